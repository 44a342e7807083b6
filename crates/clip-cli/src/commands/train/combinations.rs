//! Settings that would be ignored beside the others are refused.

use crate::config::Settings;
use crate::exit::{Failure, Result, above_0};

/// Settings of a model that a state brings along.
pub(super) const OF_MODEL: [&str; 4] = ["from", "adapter", "tokenizer", "merges"];

/// Checks that each setting has a use.
///
/// # Errors
/// `invalid-option` for one that would be ignored; `other-settings` for one that the state to resume has itself.
pub(super) fn check_combinations(settings: &Settings) -> Result<()> {
    let refuse = |name: &str, expected: &str, value: &str| Err(Failure::option(name, expected, value));
    // `latest` is left out: without a state it begins a run, whose model these flags name
    if let Some(state) = settings.text("resume")?.filter(|state| *state != "latest") {
        for name in OF_MODEL {
            if settings.text(name)?.is_some() {
                let message = format!("{name}: the run goes on with the model of {state}: leave it out");
                return Err(Failure::new("other-settings", message));
            }
        }
    }
    let from = settings.text("from")?;
    if let Some(path) = settings.text("adapter")?.filter(|_| from.is_none()) {
        return refuse("adapter", "none without the checkpoint that it belongs to: name that by --from", path);
    }
    if let Some(path) = settings.text("merges")?.filter(|_| from.is_some()) {
        return refuse("merges", "none beside --from: a checkpoint has its own", path);
    }
    let classifies = settings.text("classify")?.is_some();
    let evaluates = classifies || !settings.texts("valData")?.is_empty();
    if let Some(epochs) = settings.number("valFrequency")?.filter(|_| !evaluates) {
        let expected = "none without something to evaluate on: name it by --val-data or --classify";
        return refuse("valFrequency", expected, &epochs.to_string());
    }
    let names = settings.text("classNames")?.map(|path| ("classNames", path.to_owned()));
    let templates = settings.texts("templates")?.into_iter().next().map(|first| ("templates", first));
    if let Some((name, value)) = names.or(templates).filter(|_| !classifies) {
        return refuse(name, "none without images to classify: name them by --classify", &value);
    }
    for name in ["workers", "threads"] {
        settings.number(name)?.map(|number| above_0(name, number as usize)).transpose()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_would_be_ignored_is_refused() {
        let check = |flags: serde_json::Value| {
            check_combinations(&Settings::default().with(flags.as_object().unwrap().clone()))
        };
        for (flags, code) in [
            (json!({"adapter": "a"}), "invalid-option"),
            (json!({"from": "a", "merges": "b"}), "invalid-option"),
            (json!({"valFrequency": "2"}), "invalid-option"),
            (json!({"classNames": "a.txt"}), "invalid-option"),
            (json!({"templates": ["openai"]}), "invalid-option"),
            (json!({"workers": "0"}), "invalid-option"),
            (json!({"resume": "a.clip", "from": "b"}), "other-settings"),
            (json!({"resume": "a.clip", "tokenizer": "hf"}), "other-settings"),
        ] {
            assert_eq!(check(flags.clone()).unwrap_err().code, code, "{flags}");
        }
        for flags in [
            json!({"from": "a", "adapter": "b"}),
            json!({"resume": "latest", "from": "a"}),
            json!({"classify": "a", "classNames": "b", "templates": "simple", "valFrequency": 2}),
            json!({"valData": "a.csv", "valFrequency": 2, "merges": "b"}),
        ] {
            assert!(check(flags.clone()).is_ok(), "{flags}");
        }
    }
}
