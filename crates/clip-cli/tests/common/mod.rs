//! Runs the program on files of the repository.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test file is a crate, which uses a part")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

pub mod server;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// A model that trains quickly, as a config file has it.
pub const TINY: &str = r#"
seed = 1
[config]
embedDim = 16
vision = { imageSize = 16, patchSize = 8, width = 16, layers = 1, heads = 2 }
text = { contextLength = 8, width = 16, layers = 1, heads = 2 }
[fit]
batchSize = 64
epochs = 2
truncate = true
"#;

/// A file of the repository.
pub fn repository(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path).display().to_string()
}

pub fn fixture(path: &str) -> String {
    repository(&format!("test/fixtures/{path}"))
}

/// A result of the program.
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// Events of `--json`.
    pub fn events(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
    }

    /// Events of a type.
    pub fn of(&self, kind: &str) -> Vec<Value> {
        self.events().into_iter().filter(|event| event["type"] == kind).collect()
    }

    /// The losses of the steps, as their text.
    pub fn losses(&self) -> Vec<String> {
        self.of("step").iter().map(|step| format!("{} {}", step["step"], step["loss"])).collect()
    }

    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }
}

/// The program with these arguments.
pub fn command(arguments: &[&str]) -> Command {
    piped(Command::new(env!("CARGO_BIN_EXE_clipwright")), arguments)
}

/// The program on several ranks, by `mpirun`; a set of arguments for each group of them.
pub fn mpirun(groups: &[(usize, &[&str])]) -> Command {
    let mut command = Command::new("mpirun");
    command.arg("--oversubscribe");
    for (at, (ranks, arguments)) in groups.iter().enumerate() {
        command.args((at > 0).then_some(":")).args(["-n", &ranks.to_string(), env!("CARGO_BIN_EXE_clipwright")]);
        command.args(*arguments);
    }
    piped(command, &[])
}

fn piped(mut command: Command, arguments: &[&str]) -> Command {
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs the program to its end.
pub fn clipwright(arguments: &[&str]) -> Ran {
    finished(command(arguments))
}

/// Runs a command to its end.
pub fn finished(mut command: impl std::borrow::BorrowMut<Command>) -> Ran {
    let output = command.borrow_mut().output().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Starts the program; `at` is called with each line of stdout.
pub fn watched(arguments: &[&str], at: impl FnMut(&mut Child, &str)) -> Ran {
    watching(command(arguments), at)
}

/// Starts a command; `at` is called with each line of stdout.
pub fn watching(mut command: Command, mut at: impl FnMut(&mut Child, &str)) -> Ran {
    let mut child = command.spawn().unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let mut read = String::new();
    for line in stdout.lines() {
        let line = line.unwrap();
        at(&mut child, &line);
        read += &format!("{line}\n");
    }
    let output = child.wait_with_output().unwrap();
    Ran { code: output.status.code().unwrap_or(-1), stdout: read, stderr: String::from_utf8(output.stderr).unwrap() }
}

/// A new folder, deleted at the end.
pub struct Folder(pub tempfile::TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    /// Writes a file; returns its path.
    pub fn file(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        std::fs::write(self.0.path().join(name), text).unwrap();
        self.path(name)
    }
}

/// Flags of a run on the CPU, with so many threads.
pub fn training<'a>([config, data, logs]: [&'a str; 3], threads: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let base = ["--json", "train", "--config", config, "--train-data", data, "--logs", logs, "--device", "cpu"];
    base.iter().chain(&["--threads", threads]).chain(more).copied().collect()
}

/// A run over the emoji that are held out in the examples.
pub struct Emoji {
    pub folder: Folder,
    pub config: String,
    pub data: String,
    pub logs: String,
    threads: &'static str,
}

impl Emoji {
    pub fn new(config: &str, threads: &'static str) -> Self {
        let folder = Folder::new();
        let config = folder.file("run.toml", config);
        let (data, logs) = (repository("examples/data/emoji-heldout.tar"), folder.path("logs"));
        Self { folder, config, data, logs, threads }
    }

    pub fn flags<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        training([&self.config, &self.data, &self.logs], self.threads, more)
    }

    pub fn train(&self, more: &[&str]) -> Ran {
        clipwright(&self.flags(more))
    }

    /// The last state of a run.
    pub fn latest(&self, name: &str) -> String {
        format!("{}/{name}/checkpoints/latest.clip", self.logs)
    }
}

/// Names of the files in a folder, sorted.
pub fn names(folder: impl Into<PathBuf>) -> Vec<String> {
    let entries = std::fs::read_dir(folder.into()).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Copies the files of a folder into another one, which is made.
pub fn copy_files(from: &str, to: impl AsRef<Path>) {
    std::fs::create_dir_all(&to).unwrap();
    for name in names(from) {
        std::fs::copy(Path::new(from).join(&name), to.as_ref().join(&name)).unwrap();
    }
}

/// A folder with a subfolder for each class, of the class and the image of each row.
pub fn class_folders(folder: &Folder, rows: &[(&str, &str)]) -> String {
    for (class, image) in rows {
        let to = folder.path(&format!("images/{class}"));
        std::fs::create_dir_all(&to).unwrap();
        let name = image.replace('/', "-");
        std::fs::copy(fixture(&format!("cases/split-metadata/{image}")), format!("{to}/{name}")).unwrap();
    }
    folder.path("images")
}

/// The values of NumPy's file of f32.
pub fn npy(file: &[u8]) -> Vec<f32> {
    file[128..].chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect()
}

/// Names and bytes of the files in a folder.
pub fn contents(folder: &str) -> BTreeMap<String, Vec<u8>> {
    names(folder).into_iter().map(|name| (name.clone(), std::fs::read(format!("{folder}/{name}")).unwrap())).collect()
}
