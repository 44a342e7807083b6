//! Begins a run, or goes on with one.

use std::path::{Path, PathBuf};

use clip_core::config::ClipConfig;
use clip_core::device::Device;
use clip_core::tokenizer::Tokenize;
use clip_core::train::{RunOptions, TrainingSession};
use serde_json::{Map, Value, json};

use super::combinations::OF_MODEL;
use super::run_folder::RunFolder;
use super::start::new_session;
use crate::checkpoint::{ForeignTokenizer, captions_tokenizer, open_state};
use crate::config::Settings;
use crate::exit::{Failure, Result};
use crate::output::Output;

/// A session whose run can begin.
pub(super) struct Begun {
    pub(super) session: TrainingSession,
    /// A tokenizer that is not CLIP's.
    pub(super) foreign: Option<ForeignTokenizer>,
    /// Options of its run.
    pub(super) options: RunOptions,
    /// Steps that were taken before, if a run goes on.
    pub(super) resumed: Option<usize>,
}

impl Begun {
    /// What tokenizes the captions.
    ///
    /// # Errors
    /// `invalid-tokenizer` without a tokenizer.
    pub(super) fn tokenizer(&self) -> Result<&dyn Tokenize> {
        let own = self.session.tokenizer().ok().map(|own| own.as_ref());
        captions_tokenizer(self.foreign.as_ref(), own)
    }
}

/// The state to go on from.
fn state_of(settings: &Settings, folder: &RunFolder, output: &Output) -> Result<Option<PathBuf>> {
    match settings.text("resume")? {
        None => Ok(None),
        Some("latest") => {
            let latest = folder.latest();
            if latest.exists() {
                return Ok(Some(latest));
            }
            output.note(&format!("no {}: a new run begins", latest.display()));
            Ok(None)
        }
        Some(path) => Ok(Some(path.into())),
    }
}

fn differs(setting: &str, run: impl core::fmt::Display, got: impl core::fmt::Display) -> Failure {
    let advice = "leave it out, or begin another run";
    Failure::new("other-settings", format!("{setting}: the run to resume has {run}, got {got}: {advice}"))
}

/// `weight_decay` as `weightDecay`.
fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| name + &word[..1].to_uppercase() + &word[1..])
}

/// A table that was given, over that of the run: a part of it says nothing of the rest.
fn over_own(run: &Value, given: &Value) -> Value {
    let (Value::Object(own), Value::Object(given)) = (run, given) else { return given.clone() };
    let mut whole: Map<String, Value> = own.iter().map(|(name, value)| (camel_case(name), value.clone())).collect();
    whole.extend(given.clone());
    whole.into()
}

/// The first value in which two differ: its path, and both values.
fn difference(path: &str, run: &Value, given: &Value) -> Option<(String, Value, Value)> {
    match (run, given) {
        _ if run == given => None,
        (Value::Object(run), Value::Object(given)) if run.keys().eq(given.keys()) => run
            .iter()
            .find_map(|(name, value)| difference(&format!("{path}.{}", camel_case(name)), value, &given[name])),
        _ => Some((path.to_owned(), run.clone(), given.clone())),
    }
}

/// Checks that settings that were given are those of the run: it goes on as it began.
fn check_options(run: &RunOptions, given: &Map<String, Value>) -> Result<()> {
    let own = json!(run);
    for (name, value) in given {
        let precision = run.precision;
        let one = Map::from_iter([(name.clone(), over_own(&own[name], value))]);
        let other = json!(run.with_json(&Value::from(one).to_string())?);
        if let Some((path, run, got)) = difference("", &own, &other) {
            // names the differing value inside a table
            let table = value.is_object().then(|| path.strip_prefix(&format!(".{name}."))).flatten();
            let plain = |value: &Value| match value {
                Value::Null => "none".to_owned(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            return Err(match table {
                Some(leaf) => differs(&format!("{name}.{leaf}"), plain(&run), plain(&got)),
                None if name == "precision" => differs(name, precision, plain(value)),
                None => differs(name, plain(&run), plain(value)),
            });
        }
    }
    Ok(())
}

fn check_config(session: &TrainingSession, given: Option<String>) -> Result<()> {
    let Some(json) = given else { return Ok(()) };
    let mut given = ClipConfig::from_json(&json)?;
    let own = session.config();
    if given.text.vocab_size == 0 {
        given.text.vocab_size = own.text.vocab_size;
    }
    if given == *own { Ok(()) } else { Err(differs("the model's shape", own.to_json(), given.to_json())) }
}

/// Whether two settings name the same file, or are the same text.
fn is_same(a: &str, b: &str) -> bool {
    let file = |path: &str| Path::new(path).canonicalize().ok();
    a == b || file(a).is_some_and(|a| Some(a) == file(b))
}

/// Checks that the model which is named beside `--resume latest` is the one that the run began with: schedulers repeat one command.
fn check_model(settings: &Settings, began: Option<&Settings>) -> Result<()> {
    for name in OF_MODEL {
        let Some(given) = settings.text(name)? else { continue };
        let Some(began) = began else { return Err(differs(name, "lost its settings.json", given)) };
        match began.text(name)? {
            Some(own) if is_same(own, given) => {}
            own => return Err(differs(name, own.unwrap_or("none"), given)),
        }
    }
    Ok(())
}

/// Makes a session, or reads it from the state of the run to go on with.
///
/// # Errors
/// `target-unwritable` where the folder holds another run; those of [`new_session`]; for a state `source-unreadable`,
/// `invalid-checkpoint`, `no-run`, and `other-settings` where a setting is not the run's.
pub(super) fn begin(settings: &Settings, folder: &RunFolder, device: &Device, output: &Output) -> Result<Begun> {
    let given = settings.run_options()?;
    let state = state_of(settings, folder, output)?;
    // before hours of work, not after; a run that was killed before its first save has nothing to lose
    let begins_again = state.is_none() && settings.text("resume")?.is_some();
    if !begins_again {
        folder.check_free(state.as_deref())?;
    }
    let Some(path) = state else {
        let options = RunOptions::from_json(&Value::from(given).to_string())?;
        let (session, foreign) = new_session(settings, device, output)?;
        return Ok(Begun { session, foreign, options, resumed: None });
    };
    if settings.text("resume")? == Some("latest") {
        check_model(settings, folder.settings().as_ref())?;
    }
    let (session, foreign) = open_state(&path, device)?;
    let Some((&options, step)) = session.interrupted() else {
        let message = format!("{}: its run has ended: begin another from it by --from", path.display());
        return Err(Failure::new("no-run", message));
    };
    check_options(&options, &given)?;
    check_config(&session, settings.shape()?)?;
    Ok(Begun { session, foreign, options, resumed: Some(step) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latest_goes_on_with_the_model_that_it_began_with() {
        let settings = |value: Value| Settings::default().with(value.as_object().unwrap().clone());
        let began = settings(json!({"from": "Cargo.toml", "tokenizer": "hf"}));
        let check = |given: Value| check_model(&settings(given), Some(&began));
        for given in
            [json!({}), json!({"from": "Cargo.toml"}), json!({"from": "./src/../Cargo.toml", "tokenizer": "hf"})]
        {
            check(given).unwrap();
        }
        for (given, expected) in [
            (json!({"from": "README.md"}), "from: the run to resume has Cargo.toml, got README.md"),
            (json!({"adapter": "a"}), "adapter: the run to resume has none, got a"),
            (json!({"tokenizer": "openai"}), "tokenizer: the run to resume has hf, got openai"),
        ] {
            let error = check(given).unwrap_err();
            assert!(error.code == "other-settings" && error.message.starts_with(expected), "{error}");
        }
        check_model(&settings(json!({})), None).unwrap();
        assert_eq!(check_model(&settings(json!({"from": "a"})), None).unwrap_err().code, "other-settings");
    }

    #[test]
    fn what_differs_from_the_run_is_named() {
        let json = r#"{"lr": "0.0003333333333333333", "muon": {"lr": "0.02", "momentum": "0.9"}, "precision": "f16", "lastBlocks": 2}"#;
        let run = RunOptions::from_json(json).unwrap();
        let check = |given: Value| check_options(&run, given.as_object().unwrap());
        for given in [
            json!({"muon": {"lr": "0.02"}}),
            json!({"muon": {"momentum": "0.9"}, "lr": "0.0003333333333333333"}),
            json!({"precision": "f16", "seed": "0", "lastBlocks": "2"}),
        ] {
            check(given).unwrap();
        }
        for (given, expected) in [
            (json!({"lr": "0.5"}), "lr: the run to resume has 0.0003333333333333333, got 0.5"),
            (json!({"muon": {"weightDecay": "0"}}), "muon.weightDecay: the run to resume has 0.1, got 0"),
            (json!({"precision": "f32"}), "precision: the run to resume has f16, got f32"),
            (json!({"precision": "bf16"}), "precision: the run to resume has f16, got bf16"),
            (json!({"seed": "4"}), "seed: the run to resume has 0, got 4"),
            (json!({"clipNorm": "1"}), "clipNorm: the run to resume has none, got 1"),
            (json!({"lora": {"rank": 1, "alpha": 1}}), "lora: the run to resume has {\"last_blocks\":2}, got "),
        ] {
            let error = check(given).unwrap_err();
            assert!(error.code == "other-settings" && error.message.starts_with(expected), "{error}");
        }
    }
}
