//! Notices a process of the run that was killed: the others would wait for it without end, or be killed without a word.
//!
//! Each process holds the lock of a file, which the system releases when the process ends, however it ends.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clip_core::train::Ranks;
use tempfile::NamedTempFile;

use super::agreement::gather_texts;
use super::mpi::PASSED_ON;
use crate::exit::Failure;
use crate::output::Output;

/// How often it looks. Open MPI's `mpirun` kills the others half a second after one was killed.
const INTERVAL: Duration = Duration::from_millis(50);

/// Written by a process into its own file before it ends for a known reason, so that no other reports it lost.
const SAID: &[u8] = b"said";

/// Watches the processes of this host on a thread of its own. Those of other hosts are the launcher's to watch.
#[derive(Debug)]
pub(super) struct Watch {
    /// The file of this process, while it holds its lock.
    own: Arc<Option<File>>,
    ended: Arc<AtomicBool>,
}

/// A process of this host.
#[derive(Debug)]
struct Neighbour {
    rank: usize,
    process: String,
    file: File,
}

/// How a process is.
#[derive(Debug, PartialEq, Eq)]
enum State {
    Runs,
    /// It ended, and it is known why.
    Left,
    Lost,
}

/// Makes the file of this process and locks it.
fn sign() -> std::io::Result<NamedTempFile> {
    let file = NamedTempFile::with_prefix("clipwright-rank-")?;
    file.as_file().lock()?;
    Ok(file)
}

fn state(file: &mut File) -> State {
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => return State::Runs,
        // what cannot be locked says nothing
        Err(TryLockError::Error(_)) => return State::Runs,
        Ok(()) => {}
    }
    let mut text = Vec::new();
    let read = file.rewind().and_then(|()| file.read_to_end(&mut text));
    // others look, too
    let _ = file.unlock();
    if read.is_ok() && text == SAID { State::Left } else { State::Lost }
}

impl Watch {
    /// Begins, on all ranks at once.
    pub(super) fn begin(ranks: &Ranks, host: String, json: bool) -> Self {
        let own = sign().ok();
        let path = own.as_ref().map_or(String::new(), |file| file.path().display().to_string());
        let rank = ranks.rank();
        let texts = gather_texts(ranks, &format!("{host}\n{}\n{path}", std::process::id()));
        let neighbour = |(other, text): (usize, &String)| {
            let [place, process, path] = text.splitn(3, '\n').collect::<Vec<_>>()[..] else { return None };
            // a container of the same name may have other files
            let file = if place == host && other != rank { File::open(Path::new(path)).ok()? } else { return None };
            Some(Neighbour { rank: other, process: process.into(), file })
        };
        let neighbours: Vec<Neighbour> = texts.iter().enumerate().filter_map(neighbour).collect();
        // all have opened it: it needs no name, which a killed process would leave behind
        ranks.gather(vec![0.0]);
        let own = Arc::new(own.map(|file| file.into_parts().0));
        let watch = Self { own: own.clone(), ended: Arc::default() };
        let ended = watch.ended.clone();
        std::thread::spawn(move || look(neighbours, rank, &host, &ended, &own, json));
        watch
    }

    /// Stops: from now on others may end.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// Lets the others know that this process says itself why it ends.
    pub(super) fn say(&self) {
        say(&self.own);
    }
}

fn say(own: &Option<File>) {
    if let Some(mut file) = own.as_ref() {
        // else they say that it has ended
        let _ = file.write_all(SAID);
    }
}

fn look(mut neighbours: Vec<Neighbour>, rank: usize, host: &str, ended: &AtomicBool, own: &Option<File>, json: bool) {
    while !ended.load(Ordering::Relaxed) {
        let states: Vec<State> = neighbours.iter_mut().map(|neighbour| state(&mut neighbour.file)).collect();
        let of = |wanted: State| neighbours.iter().zip(&states).filter(move |(_, state)| **state == wanted);
        let (left, lost) = (of(State::Left).next(), of(State::Lost).next());
        if (left.is_some() || lost.is_some()) && !ended.load(Ordering::Relaxed) {
            say(own);
            let speaks = left.is_none() && of(State::Runs).all(|(other, _)| other.rank > rank);
            end(lost.filter(|_| speaks).map(|(lost, _)| lost), host, json);
        }
        std::thread::sleep(INTERVAL);
    }
}

/// Ends this process, whose main thread may wait in MPI, and says which other is lost.
fn end(lost: Option<&Neighbour>, host: &str, json: bool) -> ! {
    let failure = |Neighbour { rank, process, .. }: &Neighbour| {
        let message = format!(
            "rank {rank} (process {process} on {host}) has ended: the others cannot go on without it. Start all again with --resume \
             latest to go on from the last saved state, with as many processes as there are"
        );
        Failure::new("rank-lost", message)
    };
    if let Some(lost) = lost {
        Output::new(json).failure(&failure(lost));
    }
    // who is silent leaves last: else the one that speaks would take it for one that has spoken
    std::thread::sleep(if lost.is_some() { PASSED_ON } else { 3 * PASSED_ON });
    signal_hook::low_level::exit(Failure::new("rank-lost", "").exit_code().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_ended_without_a_word_is_lost() {
        let own = sign().unwrap();
        let [mut first, mut second] = [(), ()].map(|()| File::open(own.path()).unwrap());
        assert_eq!([state(&mut first), state(&mut second)], [State::Runs, State::Runs]);
        drop(own.into_parts().0);
        assert_eq!([state(&mut first), state(&mut second)], [State::Lost, State::Lost]);
    }

    #[test]
    fn one_that_said_why_is_not() {
        let own = sign().unwrap();
        let mut other = File::open(own.path()).unwrap();
        let watch = Watch { own: Arc::new(Some(own.into_parts().0)), ended: Arc::default() };
        watch.say();
        assert_eq!(state(&mut other), State::Runs);
        drop(watch);
        assert_eq!(state(&mut other), State::Left);
    }
}
