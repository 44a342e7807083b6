//! The native program `clipwright`: what the package does in a browser, from the command line.
//!
//! It reads files, talks to its user and calls clip-core, which holds all of CLIP.

pub mod checkpoint;
pub mod commands;
pub mod config;
pub mod data;
pub mod device;
pub mod events;
pub mod exit;
pub mod files;
mod flags;
pub mod interrupt;
pub mod output;
mod pattern;
mod quantity;
pub mod ranks;
pub mod refused;
pub mod secrets;

use std::ffi::OsString;
use std::io::Write;
use std::sync::Arc;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory, Parser};

use crate::commands::{Cli, Command};
use crate::events::Event;
use crate::exit::Result;
use crate::flags::name_flag;
use crate::output::Output;

/// Exit code of wrong usage, which is clap's.
const USAGE: u8 = 2;

/// Says what is wrong with the arguments. Flags of OpenCLIP that are not taken are refused with what to do instead.
fn refuse_arguments(error: &clap::Error, json: bool) -> u8 {
    if !error.use_stderr() {
        // help and version: nothing can be done where they cannot be written
        drop(error.print());
        return 0;
    }
    let unknown = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(flag)) if error.kind() == ErrorKind::UnknownArgument => Some(flag),
        _ => None,
    };
    let advice = unknown.and_then(|flag| refused::advice(flag));
    if json {
        let message = advice.clone().unwrap_or_else(|| error.render().to_string().trim().to_owned());
        Output::new(true).event(&Event::Error { code: "invalid-option", message: &message, exit_code: USAGE });
    }
    match advice {
        Some(advice) => Output::new(false).note(&format!("error: {advice}")),
        None => drop(error.print()),
    }
    USAGE
}

/// Runs a command, whose error names the flag of an option.
fn call<A: Args>(command: fn(&A, &Output) -> Result<()>, arguments: &A, output: &Output) -> Result<()> {
    command(arguments, output).map_err(name_flag::<A>)
}

/// Runs the program with its arguments; returns its exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return refuse_arguments(&error, arguments.iter().any(|argument| argument == "--json")),
    };
    let output = Arc::new(Output::new(cli.json));
    data::report_retries(&output);
    let result = match cli.command {
        Command::Info(arguments) => call(commands::info::run, &arguments, &output),
        Command::Bench(arguments) => call(commands::bench::run, &arguments, &output),
        Command::Convert(arguments) => call(commands::convert::run, &arguments, &output),
        Command::Embed(arguments) => call(commands::embed::run, &arguments, &output),
        Command::Eval(arguments) => call(commands::eval::run, &arguments, &output),
        Command::Plan(arguments) => call(commands::plan::run, arguments.as_ref(), &output),
        Command::Train(arguments) => commands::train::run(&arguments, &output),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "clipwright", &mut script);
            // whoever closed the pipe, as head does, wants no more
            let _ = std::io::stdout().write_all(&script);
            Ok(())
        }
    };
    let Err(failure) = result.and_then(|()| output.check_written()) else { return 0 };
    output.failure(&failure);
    failure.exit_code()
}
