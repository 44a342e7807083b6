//! The commands.

pub mod bench;
pub mod convert;
pub mod embed;
pub mod eval;
pub mod info;
mod link;
mod model_args;
mod pairs;
pub mod plan;
pub mod train;
mod zero_shot;

use clap::{Parser, Subcommand};
use clap_complete::Shell;

use crate::exit::exit_code_help;

/// The arguments of the program.
#[derive(Debug, Parser)]
#[command(name = "clipwright", version, about = "Train, evaluate, embed with and convert CLIP models", after_help = exit_code_help())]
#[command(args_override_self = true)]
pub struct Cli {
    /// Write events to stdout, each a line of JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Describe a checkpoint: shape, tokenizer, transform, weights
    Info(info::InfoArgs),
    /// Write a checkpoint in the layout of Hugging Face or OpenCLIP
    Convert(convert::ConvertArgs),
    /// Embed the images of shards, folders and tables; a second run skips finished files
    Embed(embed::EmbedArgs),
    /// Evaluate a model: retrieval among pairs, zero-shot classification
    Eval(eval::EvalArgs),
    /// Train or fine-tune a model on image–caption pairs
    #[command(after_help = train::HELP)]
    Train(Box<train::TrainArgs>),
    /// Foretell memory, communication and time of a run on many GPUs
    Plan(Box<plan::PlanArgs>),
    /// Measure encoding and training steps on synthetic pairs
    Bench(bench::BenchArgs),
    /// Write a shell's completions to stdout
    Completions {
        /// The shell
        shell: Shell,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_well_formed() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }
}
