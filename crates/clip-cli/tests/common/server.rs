//! An HTTP server for tests, which sends the files of a folder, and fails as it is told.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;

/// First and last byte asked for.
pub type Range = Option<(usize, Option<usize>)>;

/// Path, query and range of each request.
type Log = Mutex<Vec<(String, Range)>>;

/// A request.
pub struct Asked {
    /// Path and query.
    pub target: String,
    /// First and last byte asked for.
    pub range: Range,
    /// Headers, by names in lower case.
    pub headers: HashMap<String, String>,
    /// How often the path was asked for before.
    pub before: usize,
}

/// How a request is answered.
#[derive(Clone)]
pub struct Behaviour {
    /// In place of the file.
    pub status: Option<u16>,
    /// Whether parts are sent.
    pub ranges: bool,
    /// Bytes after which the connection breaks.
    pub cut: Option<usize>,
    /// Whether the length is told; without, the body is sent in chunks.
    pub length: bool,
    pub tag: &'static str,
    pub headers: Vec<(&'static str, String)>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self { status: None, ranges: true, cut: None, length: true, tag: "\"1\"", headers: Vec::new() }
    }
}

/// The server. It ends with the test's process.
pub struct Server {
    /// Its address, without a slash at the end.
    pub url: String,
    /// Path, query and range of each request.
    pub log: Arc<Log>,
}

impl Server {
    pub fn new(folder: &str, behave: impl Fn(&Asked) -> Behaviour + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (log, behave, folder) = (Arc::default(), Arc::new(behave), PathBuf::from(folder));
        let server = Self { url, log: Arc::clone(&log) };
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let (log, behave, folder) = (Arc::clone(&log), Arc::clone(&behave), folder.clone());
                // whoever hangs up wants no more
                thread::spawn(move || while answer(&connection, &folder, &log, &*behave).is_some() {});
            }
        });
        server
    }

    /// Requests for a path, with their ranges.
    pub fn asked(&self, path: &str) -> Vec<Range> {
        let log = self.log.lock().unwrap();
        log.iter().filter(|(target, _)| target.split('?').next() == Some(path)).map(|(_, range)| *range).collect()
    }
}

fn read(connection: &TcpStream, log: &Log) -> Option<Asked> {
    let mut lines = BufReader::new(connection).lines();
    let first = lines.next()?.ok()?;
    let mut headers = HashMap::new();
    for line in lines {
        let line = line.ok()?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let target = first.split(' ').nth(1)?.to_owned();
    let range = headers.get("range").map(|range| {
        let (from, to) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
        (from.parse().unwrap(), to.parse().ok())
    });
    let mut log = log.lock().unwrap();
    let before = log.iter().filter(|(other, _)| *other == target).count();
    log.push((target.clone(), range));
    Some(Asked { target, range, headers, before })
}

/// Answers a request; `None` ends the connection.
fn answer(
    mut connection: &TcpStream,
    folder: &std::path::Path,
    log: &Log,
    behave: &dyn Fn(&Asked) -> Behaviour,
) -> Option<()> {
    let asked = read(connection, log)?;
    let behaviour = behave(&asked);
    let path = asked.target.split('?').next()?.trim_start_matches('/').replace("%20", " ");
    let file = std::fs::read(folder.join(path));
    let (mut status, mut headers) = (behaviour.status.unwrap_or(200), behaviour.headers.clone());
    let mut body = match (file, behaviour.status) {
        (Ok(file), None) => file,
        (Err(_), None) => {
            status = 404;
            b"not found".to_vec()
        }
        (_, Some(_)) => b"<Error><Code>AsTold</Code></Error>".to_vec(),
    };
    if let (Some((from, to)), true, 200) = (asked.range, behaviour.ranges, status) {
        let size = body.len();
        if from >= size {
            status = 416;
            headers.push(("content-range", format!("bytes */{size}")));
            body = Vec::new();
        } else {
            let to = to.unwrap_or(size - 1).min(size - 1);
            status = 206;
            headers.push(("content-range", format!("bytes {from}-{to}/{size}")));
            body = body[from..=to].to_vec();
        }
    }
    headers.push(("etag", behaviour.tag.into()));
    headers.push(if behaviour.length {
        ("content-length", body.len().to_string())
    } else {
        ("transfer-encoding", "chunked".into())
    });
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    connection.write_all(format!("HTTP/1.1 {status} Told\r\n{headers}\r\n").as_bytes()).ok()?;
    let sent = &body[..behaviour.cut.unwrap_or(body.len()).min(body.len())];
    if behaviour.length {
        connection.write_all(sent).ok()?;
    } else {
        for chunk in sent.chunks(1000) {
            connection.write_all(format!("{:x}\r\n", chunk.len()).as_bytes()).ok()?;
            connection.write_all(chunk).and_then(|()| connection.write_all(b"\r\n")).ok()?;
        }
        if sent.len() == body.len() {
            connection.write_all(b"0\r\n\r\n").ok()?;
        }
    }
    (sent.len() == body.len()).then_some(())
}
