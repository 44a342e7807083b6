//! What a user sees: a line of progress on a terminal, plain lines elsewhere, or events as JSON. Results go to stdout, all else to stderr.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::events::Event;
use crate::exit::{Failure, Result};

/// Columns of a terminal that does not tell.
const COLUMNS: usize = 80;
/// A terminal's line is written again after this time, so that quick steps do not wait for it.
const REDRAW: Duration = Duration::from_millis(100);
/// Elsewhere a line of progress comes after this time.
const REPEAT: Duration = Duration::from_secs(30);

/// What is shown of progress.
#[derive(Default)]
struct Shown {
    /// When it was last shown or first asked for.
    last: Option<Instant>,
    /// Whether the cursor is in its line.
    in_line: bool,
}

/// The outputs of a command.
pub struct Output {
    json: bool,
    terminal: bool,
    /// Whether nothing is written, as another process of the run writes the same.
    muted: AtomicBool,
    shown: Mutex<Shown>,
    /// Why the first line was lost that stdout did not take.
    lost: Mutex<Option<String>>,
}

impl Output {
    /// Writes events as JSON, or text for people.
    pub fn new(json: bool) -> Self {
        Self {
            json,
            terminal: !json && std::io::stderr().is_terminal(),
            muted: AtomicBool::new(false),
            shown: Mutex::default(),
            lost: Mutex::new(None),
        }
    }

    /// Writes nothing from now on, or all again.
    pub fn mute(&self, muted: bool) {
        self.muted.store(muted, Ordering::Relaxed);
    }

    /// Writes a failure that ends the program, in both forms.
    pub fn failure(&self, failure: &Failure) {
        let &Failure { code, ref message, .. } = failure;
        self.event(&Event::Error { code, message, exit_code: failure.exit_code() });
        self.note(&format!("✗ {message} ({code})"));
    }

    /// Whether events are written as JSON.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Writes a line to stdout. A pipe that its reader closed, as `head` does, is no error.
    fn stdout(&self, line: &str) {
        if self.muted.load(Ordering::Relaxed) {
            return;
        }
        let mut out = std::io::stdout().lock();
        match writeln!(out, "{line}").and_then(|()| out.flush()) {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                self.lost.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error.to_string());
            }
            _ => {}
        }
    }

    /// Checks that stdout took all lines.
    ///
    /// # Errors
    /// `target-unwritable`, as on a full disk.
    pub fn check_written(&self) -> Result<()> {
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        let failure = |error| Failure::new("target-unwritable", format!("cannot write to stdout: {error}"));
        lost.as_ref().map_or(Ok(()), |error| Err(failure(error)))
    }

    fn stderr(&self, text: &str) {
        if self.muted.load(Ordering::Relaxed) {
            return;
        }
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes an event as a line of JSON, where events are asked for.
    pub fn event(&self, event: &impl Serialize) {
        // a number that JSON lacks is written as null, and nothing else can fail
        if let Some(line) = self.json.then(|| serde_json::to_string(event).unwrap_or_default()) {
            self.stdout(&line);
        }
    }

    /// Writes text for people, where JSON is not asked for.
    pub fn result(&self, text: &str) {
        if !self.json {
            self.clear();
            self.stdout(&printable(text));
        }
    }

    /// Writes a line for people to stderr.
    pub fn note(&self, text: &str) {
        self.clear();
        self.stderr(&format!("{}\n", printable(text)));
    }

    /// Warns, in both forms; `code` is the name of the warning, if it has one.
    pub fn warn(&self, code: Option<&str>, message: &str) {
        self.event(&Event::Warning { code, message });
        let name = code.map_or(String::new(), |code| format!(" ({code})"));
        self.note(&format!("warning: {message}{name}"));
    }

    /// Removes the line of progress.
    pub fn clear(&self) {
        let mut shown = self.shown();
        if std::mem::take(&mut shown.in_line) {
            self.stderr("\r\x1b[K");
        }
    }

    /// Shows progress: in one line of a terminal, elsewhere now and then in a new one. `text` is called where it is shown.
    pub fn progress(&self, done: usize, total: usize, text: impl FnOnce() -> String) {
        let mut shown = self.shown();
        let wait = if self.terminal { REDRAW } else { REPEAT };
        let is_due = match shown.last {
            // the first time it waits: short work shows none
            None => {
                shown.last = Some(Instant::now());
                false
            }
            Some(last) => last.elapsed() >= wait,
        };
        if self.json || !is_due {
            return;
        }
        let text = printable(&text());
        if self.terminal {
            let columns =
                terminal_size::terminal_size_of(std::io::stderr()).map_or(COLUMNS, |(width, _)| width.0.into());
            let line: String = format!("{} {text}", bar(done, total)).chars().take(columns.saturating_sub(1)).collect();
            self.stderr(&format!("\r\x1b[K{line}"));
            shown.in_line = true;
        } else {
            self.stderr(&format!("{text}\n"));
        }
        shown.last = Some(Instant::now());
    }
}

/// Text without control characters but line breaks: names of files and members may hold a terminal's commands.
fn printable(text: &str) -> String {
    let control = |c: char| c.is_control() && c != '\n';
    text.chars().map(|c| if control(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// A bar of 24 characters.
fn bar(done: usize, total: usize) -> String {
    let filled = (24 * done.min(total)).checked_div(total).unwrap_or(0);
    format!("{}{}", "█".repeat(filled), "░".repeat(24 - filled))
}

/// A duration for people.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole / 60 % 60),
    }
}

/// A number of bytes for people.
pub fn size(bytes: u64) -> String {
    let units = ["bytes", "kB", "MB", "GB", "TB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} bytes") } else { format!("{value:.1} {}", units[unit]) }
}

/// A count for people: digits in groups of three.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<String> =
        digits.as_bytes().rchunks(3).rev().map(|group| String::from_utf8_lossy(group).into_owned()).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!(
            (duration(59.4), duration(61.0), duration(7260.0)),
            ("59 s".into(), "1 min 01 s".into(), "2 h 01 min".into())
        );
        assert_eq!((size(999), size(1_234_567)), ("999 bytes".into(), "1.2 MB".into()));
        assert_eq!((count(7), count(1234567)), ("7".into(), "1,234,567".into()));
        assert_eq!(printable("a\x1b[2J\u{9b}b\nc"), "a\u{fffd}[2J\u{fffd}b\nc");
        assert_eq!(bar(1, 2), format!("{}{}", "█".repeat(12), "░".repeat(12)));
    }
}
