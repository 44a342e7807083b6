//! Names the flag of an option, which errors name as the package and config files do.

use clap::Command;

use crate::exit::Failure;

/// `muon.weightDecay` as `muon-weight-decay`.
fn kebab_case(name: &str) -> String {
    let mut out = String::new();
    for letter in name.chars() {
        match letter {
            '.' => out.push('-'),
            letter if letter.is_ascii_uppercase() => out.extend(['-', letter.to_ascii_lowercase()]),
            other => out.push(other),
        }
    }
    out
}

/// Adds its flag to an error that names an option, if a command has one.
pub(crate) fn name_flag(failure: Failure, program: &Command) -> Failure {
    let Some(rest) = failure.message.strip_prefix("invalid option ") else { return failure };
    let Some((name, rest)) = rest.split_once(':') else { return failure };
    let flag = kebab_case(name);
    let is_flag =
        |command: &Command| command.get_arguments().any(|argument| argument.get_long() == Some(flag.as_str()));
    if !program.get_subcommands().any(is_flag) {
        return failure;
    }
    let message = format!("invalid option {name} (--{flag}):{rest}");
    Failure { message, ..failure }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::commands::Cli;

    #[test]
    fn options_that_have_a_flag_are_named_by_it() {
        for (option, expected) in [
            ("datasetType", "invalid option datasetType (--dataset-type): expected a, got b"),
            ("muon.weightDecay", "invalid option muon.weightDecay (--muon-weight-decay): expected a, got b"),
            ("accumFreq", "invalid option accumFreq (--accum-freq): expected a, got b"),
            ("ratio", "invalid option ratio: expected a, got b"),
        ] {
            assert_eq!(name_flag(Failure::option(option, "a", "b"), &Cli::command()).message, expected);
        }
        let other = Failure::dataset("row 2: no caption");
        assert_eq!(name_flag(other.clone(), &Cli::command()), other);
    }
}
