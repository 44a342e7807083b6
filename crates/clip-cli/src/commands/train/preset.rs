//! How CLIP itself was trained: arXiv 2103.00020, tables 18 (all models) and 20 (Vision Transformers), section 2.4 for the crops.

use serde_json::json;

use crate::config::Settings;
use crate::exit::{Failure, Result};

/// Name, shape, and learning rate after the warm-up.
const MODELS: [(&str, &str, f64); 3] = [
    ("vit-b-32", "ViT-B-32-quickgelu", 5e-4),
    ("vit-b-16", "ViT-B-16-quickgelu", 5e-4),
    ("vit-l-14", "ViT-L-14-quickgelu", 4e-4),
];

/// Puts settings over those of the published training that they name, if they name one.
///
/// # Errors
/// `invalid-option` for an unknown name.
pub(in crate::commands) fn over_preset(settings: Settings) -> Result<Settings> {
    match settings.text("preset")? {
        Some(name) => Ok(preset(name, &settings)?.with_settings(settings)),
        None => Ok(settings),
    }
}

/// The settings of a published training. Its shape is left out where `given` has another model.
fn preset(name: &str, given: &Settings) -> Result<Settings> {
    let Some(&(_, model, lr)) = MODELS.iter().find(|(known, ..)| *known == name) else {
        return Err(Failure::option("preset", &MODELS.map(|(known, ..)| known).join(", "), name));
    };
    let mut settings = json!({
        "model": model,
        "fit": {
            "batchSize": 32_768, "epochs": 32, "lr": lr, "warmup": 2000, "schedule": "cosine", "beta1": 0.9, "beta2": 0.98,
            "epsilon": 1e-6, "weightDecay": 0.2, "augment": {},
        },
    });
    if given.config().is_some() || given.text("from")?.is_some() {
        settings["model"].take();
    }
    let settings = settings.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    Ok(Settings::default().with(settings.map(|(name, value)| (name.clone(), value.clone())).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(value: serde_json::Value) -> Settings {
        Settings::default().with(value.as_object().unwrap().clone())
    }

    #[test]
    fn what_is_given_goes_over_the_published() {
        let given = settings(json!({"preset": "vit-l-14", "fit": {"batchSize": "1024", "microBatchSize": "64"}}));
        let all = over_preset(given).unwrap();
        assert_eq!(all.text("model").unwrap(), Some("ViT-L-14-quickgelu"));
        let options = all.run_options().unwrap();
        assert_eq!((&options["batchSize"], &options["microBatchSize"]), (&"1024".into(), &"64".into()));
        assert_eq!(
            (&options["lr"], &options["warmup"], &options["epochs"]),
            (&"0.0004".into(), &"2000".into(), &"32".into())
        );
        let own = settings(json!({"config": {"embedDim": 8}}));
        assert_eq!(preset("vit-b-32", &own).unwrap().text("model").unwrap(), None);
        assert!(preset("vit-h-14", &own).unwrap_err().message.contains("vit-b-32, vit-b-16, vit-l-14"));
    }
}
