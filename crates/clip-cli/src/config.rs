//! Settings of a run: a TOML file with the names of the TypeScript options, and flags that take precedence.

use std::path::{Path, PathBuf};

use clip_core::config::ClipConfig;
use serde_json::{Map, Value};
use strsim::levenshtein;

use crate::checkpoint::read_text_file;
use crate::data::{is_absolute, split_paths};
use crate::exit::{Failure, Result};
use crate::secrets::without_secrets;

/// Settings outside of the tables `config` and `fit`.
const NAMES: &[&str] = &[
    "preset",
    "model",
    "from",
    "adapter",
    "seed",
    "device",
    "gpu",
    "threads",
    "tokenizer",
    "merges",
    "trainData",
    "valData",
    "classify",
    "classNames",
    "templates",
    "datasetType",
    "encoding",
    "captions",
    "imageColumn",
    "captionColumn",
    "separator",
    "table",
    "images",
    "logs",
    "name",
    "resume",
    "saveSteps",
    "saveFrequency",
    "valFrequency",
    "workers",
    "imageMemory",
    "export",
    "reportTo",
];

/// Settings that are paths: in a file, relative to its folder.
const PATHS: &[&str] =
    &["from", "adapter", "merges", "trainData", "valData", "images", "classify", "classNames", "logs"];

/// Options of a run that the program reads; the others are the core's.
const RUN: &[&str] = &["truncate", "badPairs"];

/// Options of `fit` in TypeScript that are set otherwise here.
const ELSEWHERE: &[(&str, &str)] = &[
    ("evaluation", "valData and valFrequency outside of [fit]"),
    ("autosave", "saveSteps outside of [fit]"),
    ("signal", "Ctrl-C"),
];

/// Settings by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    values: Map<String, Value>,
}

/// The known name that differs least, if it is near.
fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace(['-', '_'], "");
    let edits = |other: &str| levenshtein(&plain(other), &plain(name));
    known.iter().copied().min_by_key(|other| edits(other)).filter(|other| edits(other) <= 2)
}

fn unknown(file: &str, name: &str) -> Failure {
    let hint = match nearest(name, NAMES) {
        Some(near) => format!("; did you mean {near}?"),
        None => "; options of the run are in [fit], the shape of the model in [config]".into(),
    };
    Failure::new("invalid-config", format!("{file}: unknown setting {name}{hint}"))
}

/// The name of a number that is not finite, which JSON has as null.
fn not_finite<'a>(name: &'a str, value: &'a Value) -> Option<&'a str> {
    match value {
        Value::Null => Some(name),
        Value::Array(list) => list.iter().find_map(|value| not_finite(name, value)),
        Value::Object(map) => map.iter().find_map(|(name, value)| not_finite(name, value)),
        _ => None,
    }
}

/// Joins two values; tables are joined name by name.
fn join(under: &mut Map<String, Value>, over: Map<String, Value>) {
    for (name, value) in over {
        match (under.get_mut(&name), value) {
            (Some(Value::Object(under)), Value::Object(over)) => join(under, over),
            (_, value) => {
                under.insert(name, value);
            }
        }
    }
}

/// Replaces relative paths by paths relative to a folder; addresses stay.
fn relative_to(folder: &Path, value: &mut Value) {
    match value {
        // the empty path is refused later, and is not that folder
        Value::String(path) if !path.is_empty() => {
            let below = |path: String| match is_absolute(&path) {
                true => path,
                false => folder.join(path).to_string_lossy().into_owned(),
            };
            *path = split_paths(path).into_iter().map(below).collect::<Vec<_>>().join("::");
        }
        Value::Array(paths) => paths.iter_mut().for_each(|path| relative_to(folder, path)),
        _ => {}
    }
}

impl Settings {
    /// Reads a TOML file.
    ///
    /// # Errors
    /// `source-unreadable`; `invalid-config` with the line, or naming the setting.
    pub fn read(path: &Path) -> Result<Self> {
        let text = read_text_file(path, "invalid-config")?;
        let mut settings = Self::parse(&text, &path.display().to_string())?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let resumed = settings.text("resume").is_ok_and(|state| state != Some("latest"));
        for name in PATHS.iter().chain(resumed.then_some(&"resume")) {
            settings.values.get_mut(*name).into_iter().for_each(|value| relative_to(folder, value));
        }
        Ok(settings)
    }

    fn parse(text: &str, file: &str) -> Result<Self> {
        let invalid = |message: String| Failure::new("invalid-config", format!("{file}: {message}"));
        let values: Map<String, Value> = toml::from_str(text).map_err(|error| invalid(error.to_string()))?;
        if let Some(name) = values.iter().find_map(|(name, value)| not_finite(name, value)) {
            return Err(invalid(format!("{name}: expected a number, got inf or nan")));
        }
        for (name, value) in &values {
            match name.as_str() {
                "config" | "fit" if value.is_object() => {}
                "config" | "fit" => return Err(invalid(format!("expected a table [{name}], got {value}"))),
                other if NAMES.contains(&other) => {}
                other => return Err(unknown(file, other)),
            }
        }
        Ok(Self { values })
    }

    /// Reads what [`to_json`](Self::to_json) wrote; `None` for anything else.
    pub fn from_json(json: &str) -> Option<Self> {
        Some(Self { values: serde_json::from_str(json).ok()? })
    }

    /// Puts flags over these settings.
    #[must_use]
    pub fn with(mut self, flags: Map<String, Value>) -> Self {
        join(&mut self.values, flags);
        self
    }

    /// Puts other settings over these.
    #[must_use]
    pub fn with_settings(self, over: Self) -> Self {
        self.with(over.values)
    }

    /// A setting that is text.
    ///
    /// # Errors
    /// `invalid-option` for another type.
    pub fn text(&self, name: &str) -> Result<Option<&str>> {
        match self.values.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(Failure::option(name, "text", other)),
        }
    }

    /// A setting that is a path.
    ///
    /// # Errors
    /// As [`text`](Self::text).
    pub fn path(&self, name: &str) -> Result<Option<PathBuf>> {
        Ok(self.text(name)?.map(PathBuf::from))
    }

    /// A setting that is one text or a list of texts.
    ///
    /// # Errors
    /// As [`text`](Self::text).
    pub fn texts(&self, name: &str) -> Result<Vec<String>> {
        let wrong = |value: &Value| Failure::option(name, "text, or a list of texts", value);
        match self.values.get(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(list)) => {
                list.iter().map(|value| value.as_str().map(str::to_owned).ok_or_else(|| wrong(value))).collect()
            }
            Some(value) => value.as_str().map(|text| vec![text.to_owned()]).ok_or_else(|| wrong(value)),
        }
    }

    /// A setting that is a whole number, which a flag gives as text.
    ///
    /// # Errors
    /// `invalid-option`.
    pub fn number(&self, name: &str) -> Result<Option<u64>> {
        let Some(value) = self.values.get(name) else { return Ok(None) };
        let number = value.as_u64().or_else(|| value.as_str()?.parse().ok());
        number.map(Some).ok_or_else(|| Failure::option(name, "a whole number of 0 or more", value))
    }

    /// The shape of the model as JSON, if it is given.
    pub fn config(&self) -> Option<String> {
        self.values.get("config").map(Value::to_string)
    }

    /// The shape that `config` or `model` gives, as JSON; `None` if neither is given.
    ///
    /// # Errors
    /// `invalid-option` for an unknown name, and for both.
    pub fn shape(&self) -> Result<Option<String>> {
        match (self.config(), self.text("model")?) {
            (Some(_), Some(name)) => {
                Err(Failure::option("model", "none beside [config], which is the model's shape", name))
            }
            (Some(config), None) => Ok(Some(config)),
            (None, Some(name)) => Ok(Some(ClipConfig::preset(name)?.to_json())),
            (None, None) => Ok(None),
        }
    }

    /// The settings by their names, those of the run as `fit.epochs`.
    pub fn names(&self) -> Vec<String> {
        let others = self.values.keys().filter(|name| *name != "fit").cloned();
        others.chain(self.fit().map(|(name, _)| format!("fit.{name}"))).collect()
    }

    fn fit(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.values.get("fit").and_then(Value::as_object).into_iter().flatten()
    }

    /// Options of the run that the core reads, as JSON. Numbers are text, which keeps every bit. The seed of the weights is the run's, too,
    /// unless that has its own.
    ///
    /// # Errors
    /// `invalid-option` for options of `fit` in TypeScript that are set elsewhere here.
    pub fn run_options(&self) -> Result<Map<String, Value>> {
        let mut options = Map::new();
        for (name, value) in self.fit().filter(|(name, _)| !RUN.contains(&name.as_str())) {
            if let Some((_, instead)) = ELSEWHERE.iter().find(|(other, _)| other == name) {
                return Err(Failure::option(name, &format!("nothing: use {instead}"), value));
            }
            options.insert(name.clone(), numbers_as_text(value));
        }
        if let Some(seed) = self.values.get("seed") {
            options.entry("seed").or_insert_with(|| numbers_as_text(seed));
        }
        Ok(options)
    }

    /// Whether captions longer than the context are cut.
    ///
    /// # Errors
    /// `invalid-option`.
    pub fn truncate(&self) -> Result<bool> {
        match self.fit().find(|(name, _)| *name == "truncate") {
            None => Ok(false),
            Some((_, Value::Bool(value))) => Ok(*value),
            Some((_, other)) => Err(Failure::option("truncate", "true or false", other)),
        }
    }

    /// Whether pairs that cannot be used are skipped.
    ///
    /// # Errors
    /// `invalid-option`.
    pub fn skips_bad_pairs(&self) -> Result<bool> {
        match self.fit().find(|(name, _)| *name == "badPairs").map(|(_, value)| value) {
            None => Ok(false),
            Some(value) => match value.as_str() {
                Some("skip") => Ok(true),
                Some("stop") => Ok(false),
                _ => Err(Failure::option("badPairs", "stop or skip", value)),
            },
        }
    }

    /// All settings, as JSON.
    pub fn to_json(&self) -> String {
        without_secrets(&format!("{:#}\n", Value::from(self.values.clone()))).into_owned()
    }
}

fn numbers_as_text(value: &Value) -> Value {
    match value {
        Value::Number(number) => number.to_string().into(),
        Value::Array(list) => list.iter().map(numbers_as_text).collect(),
        Value::Object(map) => map.iter().map(|(name, value)| (name.clone(), numbers_as_text(value))).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_go_over_the_file() {
        let text = "seed = 3\ntrainData = [\"a.tar\"]\n[config]\nembedDim = 8\n[fit]\nbatchSize = 4\nlr = 0.0003333333333333333\ntruncate = true\nmuon = { lr = 0.02 }\n";
        let flags = serde_json::json!({"fit": {"batchSize": "8", "muon": {"momentum": "0.9"}}, "workers": "2"});
        let settings = Settings::parse(text, "run.toml").unwrap().with(flags.as_object().unwrap().clone());
        let options = Value::from(settings.run_options().unwrap());
        let expected = serde_json::json!({"seed": "3", "batchSize": "8", "lr": "0.0003333333333333333", "muon": {"lr": "0.02", "momentum": "0.9"}});
        assert_eq!(options, expected);
        let own = Settings::parse("seed = 3\n[fit]\nseed = 4", "run.toml").unwrap();
        assert_eq!(own.run_options().unwrap()["seed"], "4");
        assert_eq!((settings.number("workers").unwrap(), settings.number("seed").unwrap()), (Some(2), Some(3)));
        assert!(settings.truncate().unwrap() && !settings.skips_bad_pairs().unwrap());
        assert_eq!(settings.config().unwrap(), "{\"embedDim\":8}");
    }

    #[test]
    fn what_is_unknown_or_wrong_is_named() {
        for (text, expected) in [
            ("train_data = 1", "run.toml: unknown setting train_data; did you mean trainData?"),
            ("batchSize = 1", "run.toml: unknown setting batchSize; options of the run are in [fit]"),
            ("fit = 3", "expected a table [fit], got 3"),
            ("[fit]\nemaDecay = nan", "run.toml: emaDecay: expected a number, got inf or nan"),
            ("[fit.muon]\nlr = inf", "run.toml: lr: expected a number, got inf or nan"),
            ("seed = ", "run.toml: TOML parse error at line 1"),
        ] {
            let error = Settings::parse(text, "run.toml").unwrap_err();
            assert!(error.code == "invalid-config" && error.message.contains(expected), "{error}");
        }
        let settings =
            Settings::parse("device = 3\nseed = \"x\"\n[fit]\nautosave = {}\nbadPairs = 1", "run.toml").unwrap();
        for error in [
            settings.text("device").unwrap_err(),
            settings.number("seed").unwrap_err(),
            settings.run_options().unwrap_err(),
            settings.skips_bad_pairs().unwrap_err(),
        ] {
            assert_eq!(error.code, "invalid-option", "{error}");
        }
    }

    #[test]
    fn paths_in_a_file_are_relative_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.toml");
        std::fs::write(
            &path,
            "trainData = \"a-{0..1}.tar::/b.csv\"\nlogs = \"logs\"\nname = \"x\"\nfrom = \"\"\nresume = \"a.clip\"",
        )
        .unwrap();
        let settings = Settings::read(&path).unwrap();
        let expected = format!("{}::/b.csv", folder.path().join("a-{0..1}.tar").display());
        assert_eq!(settings.texts("trainData").unwrap(), [expected]);
        assert_eq!(settings.path("logs").unwrap().unwrap(), folder.path().join("logs"));
        assert_eq!((settings.text("name").unwrap(), settings.text("from").unwrap()), (Some("x"), Some("")));
        assert_eq!(settings.path("resume").unwrap().unwrap(), folder.path().join("a.clip"));
    }
}
