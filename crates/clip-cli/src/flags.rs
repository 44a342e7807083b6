//! Names the flag of an option, which errors name as the package and config files do.

use clap::{Args, Command};

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

/// Adds its flag to an error that names an option, if the command with the flags `A` has one.
pub(crate) fn name_flag<A: Args>(failure: Failure) -> Failure {
    let Some(rest) = failure.message.strip_prefix("invalid option ") else { return failure };
    let Some((name, rest)) = rest.split_once(':') else { return failure };
    let flag = kebab_case(name);
    let command = A::augment_args(Command::new(""));
    if !command.get_arguments().any(|argument| argument.get_long() == Some(flag.as_str())) {
        return failure;
    }
    let message = format!("invalid option {name} (--{flag}):{rest}");
    Failure { message, ..failure }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::bench::BenchArgs;
    use crate::commands::train::TrainArgs;

    #[test]
    fn options_that_have_a_flag_are_named_by_it() {
        for (option, expected) in [
            ("datasetType", "invalid option datasetType (--dataset-type): expected a, got b"),
            ("muon.weightDecay", "invalid option muon.weightDecay (--muon-weight-decay): expected a, got b"),
            ("accumFreq", "invalid option accumFreq (--accum-freq): expected a, got b"),
            ("ratio", "invalid option ratio: expected a, got b"),
        ] {
            assert_eq!(name_flag::<TrainArgs>(Failure::option(option, "a", "b")).message, expected);
        }
        // a flag of another command
        let of_bench = name_flag::<BenchArgs>(Failure::option("lr", "a", "b"));
        assert_eq!(of_bench.message, "invalid option lr: expected a, got b");
        let other = Failure::dataset("row 2: no caption");
        assert_eq!(name_flag::<TrainArgs>(other.clone()), other);
    }
}
