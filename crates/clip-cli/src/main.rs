//! The program `clipwright`.

use std::process::ExitCode;

fn main() -> ExitCode {
    clip_cli::run(std::env::args_os()).into()
}
