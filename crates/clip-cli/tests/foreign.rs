//! Checkpoints whose tokenizer is not CLIP's: embedded, evaluated, converted and trained on as in the package.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::path::Path;

use clip_cli::checkpoint::{Checkpoint, OpenOptions};
use clip_core::device::cpu;
use common::{Folder, TINY, class_folders, clipwright, command, finished, fixture, names, npy, repository};
use serde_json::Value;

fn json(path: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(fixture(path)).unwrap()).unwrap()
}

/// A SigLIP with another model's tokenizer, whose ids it has: config, weights and the tokenizer's files.
fn siglip(folder: &Folder, config: &str, tokenizer: &str) -> String {
    let weights = fixture("models/siglip-p16/hf/model.safetensors");
    for file in [fixture(config), weights, fixture(&format!("{tokenizer}/tokenizer.json"))] {
        let name = Path::new(&file).file_name().unwrap().to_str().unwrap();
        std::fs::copy(&file, folder.path(name)).unwrap();
    }
    folder
        .file("tokenizer_config.json", std::fs::read(fixture(&format!("{tokenizer}/tokenizer_config.json"))).unwrap());
    folder.0.path().display().to_string()
}

/// A folder of pairs with these captions.
fn pairs(folder: &Folder, captions: &[String]) -> String {
    std::fs::create_dir(folder.path("pairs")).unwrap();
    for (index, caption) in captions.iter().enumerate() {
        std::fs::copy(fixture("cases/split-metadata/train/0.png"), folder.path(&format!("pairs/{index:03}.png")))
            .unwrap();
        folder.file(&format!("pairs/{index:03}.txt"), caption);
    }
    folder.path("pairs")
}

/// Captions with their ids, padded and cut to the 16 tokens of the model, of those that it has an embedding for.
fn reference(rows: &[Value], pad: i32) -> (Vec<String>, Vec<i32>) {
    let (mut captions, mut all) = (Vec::new(), Vec::new());
    for row in rows {
        let text = row["text"].as_str().unwrap();
        let mut ids: Vec<i32> = row["ids"].as_array().unwrap().iter().map(|id| id.as_i64().unwrap() as i32).collect();
        // a caption file is trimmed, without the mark of its encoding
        let is_read_whole = text.trim() == text && !text.is_empty() && !text.contains(['\0', '\r', '\u{feff}']);
        if !is_read_whole || ids.iter().any(|&id| id >= 512) {
            continue;
        }
        if ids.len() > 16 {
            ids.drain(15..ids.len() - 1);
        }
        ids.resize(16, pad);
        captions.push(text.to_owned());
        all.extend(ids);
    }
    (captions, all)
}

#[test]
fn captions_are_embedded_by_the_reference_ids() {
    let rows = |name: &str| -> Vec<Value> {
        let text = std::fs::read_to_string(fixture(&format!("tokenizer/{name}/cases.jsonl"))).unwrap();
        let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        // other versions of Unicode give other ids
        rows.filter(|row| !row["touches"].as_array().is_some_and(|of| of.contains(&"newer_unicode".into()))).collect()
    };
    let cleaned = |name: &str| json(&format!("cases/text-clean/{name}.expected.json")).as_array().unwrap().clone();
    let hf = "models/siglip-p16/hf/config.json";
    for (config, tokenizer, rows, pad, least) in [
        (hf, "tokenizer/siglip-mini", rows("siglip-mini"), 1, 200),
        (hf, "tokenizer/gemma-mini", rows("gemma-mini"), 0, 150),
        // OpenCLIP's config cleans the texts
        (
            "cases/text-clean/gemma-lower/open_clip_config.json",
            "cases/text-clean/gemma-lower",
            cleaned("gemma-lower"),
            0,
            5,
        ),
        (
            "cases/text-clean/t5-canonicalize/open_clip_config.json",
            "cases/text-clean/t5-canonicalize",
            cleaned("t5-canonicalize"),
            0,
            5,
        ),
    ] {
        let folder = Folder::new();
        let model = siglip(&folder, config, tokenizer);
        let (captions, ids) = reference(&rows, pad);
        assert!(captions.len() > least, "{tokenizer}: {}", captions.len());
        let (data, out) = (pairs(&folder, &captions), folder.path("out"));
        let embed =
            ["--json", "embed", &model, "--data", &data, "--out", &out, "--texts", "--truncate", "--device", "cpu"];
        let ran = clipwright(&embed).expect(0);
        let done = &ran.of("embedDone")[0];
        assert_eq!((&done["embedded"], &done["skipped"]), (&captions.len().into(), &0.into()), "{tokenizer}");
        let got = npy(&std::fs::read(folder.path("out/pairs-00000.text.npy")).unwrap());
        let bundle =
            Checkpoint::open(Path::new(&model), OpenOptions::default(), &cpu()).unwrap().load(&|_| {}).unwrap().bundle;
        let expected = pollster::block_on(bundle.encode_ids(&ids)).unwrap();
        assert_eq!(got.len(), expected.len());
        let rows = got.chunks_exact(48).zip(expected.chunks_exact(48));
        for ((got, expected), caption) in rows.zip(&captions) {
            let worst = got.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            // batches of other sizes round otherwise
            assert!(worst < 1e-5, "{tokenizer}: {caption:?}: {worst}");
        }
    }
}

#[test]
fn a_model_is_evaluated_trained_and_gone_on_with() {
    let folder = Folder::new();
    let model = siglip(&folder, "models/siglip-p16/hf/config.json", "tokenizer/siglip-mini");
    let of = |count: usize| (0..count).map(|i| format!("a photo of {i} dogs")).collect::<Vec<_>>();
    let data = pairs(&folder, &of(8));
    let eval = ["--json", "eval", &model, "--val-data", &data, "--device", "cpu"];
    assert_eq!(clipwright(&eval).expect(0).of("evaluation")[0]["textToImage"]["queries"], 8);
    let images = class_folders(&folder, &[("sea", "train/0.png")]);
    let classify = ["--json", "eval", &model, "--classify", &images, "--device", "cpu", "--templates", "simple"];
    assert_eq!(clipwright(&classify).expect(0).of("zeroShot")[0]["images"], 1);

    let logs = folder.path("logs");
    let train = |more: &[&str]| {
        let all = [
            "--json",
            "train",
            "--train-data",
            &data,
            "--logs",
            &logs,
            "--batch-size",
            "4",
            "--epochs",
            "3",
            "--device",
            "cpu",
        ];
        clipwright(&[&all[..], more].concat())
    };
    let whole = train(&["--from", &model, "--name", "whole", "--save-frequency", "1"]).expect(0);
    assert_eq!(whole.losses().len(), 6);
    // the folder of the run is a checkpoint with its tokenizer
    let run = format!("{logs}/whole");
    assert!(names(&run).contains(&"tokenizer.json".to_owned()), "{:?}", names(&run));
    let after = clipwright(&["--json", "eval", &run, "--val-data", &data, "--device", "cpu"]).expect(0);
    assert_eq!(after.of("warning").len(), 0, "{}", after.stdout);
    // a state goes on with the tokenizer beside it, with the same steps
    let first = format!("{run}/checkpoints/epoch-0001.clip");
    let again = train(&["--resume", &first, "--name", "again"]).expect(0);
    assert_eq!(again.losses(), whole.losses()[2..]);
    assert!(names(format!("{logs}/again")).contains(&"tokenizer.json".to_owned()));
    // also from within the folder of the states
    let inside = ["train", "--train-data", &data, "--logs", &logs, "--name", "inside", "--device", "cpu"];
    let inside = [&["--json"], &inside[..], &["--resume", "epoch-0001.clip"]].concat();
    let inside = finished(command(&inside).current_dir(format!("{run}/checkpoints"))).expect(0);
    assert_eq!(inside.losses(), whole.losses()[2..]);
    // which follows its own files
    let refused = train(&["--from", &model, "--tokenizer", "hf", "--name", "hf"]).expect(2);
    let expected = "invalid option tokenizer: expected none beside a tokenizer that is not CLIP's";
    assert!(refused.stderr.contains(expected), "{}", refused.stderr);
    // and not without it
    let alone = folder.path("alone.clip");
    std::fs::rename(folder.path("tokenizer.json"), folder.path("pairs.json")).unwrap();
    std::fs::copy(&first, &alone).unwrap();
    let refused = train(&["--resume", &alone, "--name", "alone"]).expect(4);
    assert!(refused.stderr.contains("came without a tokenizer"), "{}", refused.stderr);
}

#[test]
fn the_files_are_checked_as_in_the_package() {
    let folder = Folder::new();
    let model = siglip(&folder, "models/siglip-p16/hf/config.json", "tokenizer/gemma-mini");
    let info = || clipwright(&["--json", "info", &model]);
    assert_eq!(info().expect(0).events()[0]["tokenizer"]["kind"], "GemmaTokenizer");
    let config = r#"{"tokenizer_class":"GemmaTokenizer","wobble":1,"pad_token":null,"model_max_length":8}"#;
    folder.file("tokenizer_config.json", config);
    let warned = info().expect(0).events()[0]["warnings"].clone();
    let instead = "texts are padded and truncated to the model's 16 tokens nevertheless";
    let expected = [
        "tokenizer_config.json: pad_token is null: using that of the tokenizer's class or file".to_owned(),
        "tokenizer_config.json: wobble is not known and was not used".into(),
        format!("tokenizer_config.json: model_max_length is 8: {instead}"),
    ];
    assert_eq!(warned, serde_json::json!(expected));
    // an export has the same tokenizer, and goes the same way
    let out = folder.path("out");
    clipwright(&["convert", &model, &out]).expect(0);
    assert_eq!(clipwright(&["--json", "info", &out]).expect(0).events()[0]["warnings"], warned);
    let data =
        pairs(&folder, &["a photo of a dog that is longer than the context of this model and then some more".into()]);
    let embed = [
        "embed",
        &model,
        "--data",
        &data,
        "--out",
        &folder.path("e"),
        "--texts",
        "--device",
        "cpu",
        "--bad-pairs",
        "stop",
    ];
    let long = clipwright(&embed).expect(5);
    assert!(long.stderr.contains("caption too long: expected at most 16 tokens"), "{}", long.stderr);
    for (config, expected) in [
        (
            r#"{"pad_token":"<pad>","padding_side":"middle"}"#,
            "padding_side: expected \"left\" or \"right\", got \"middle\"",
        ),
        (r#"{"pad_token":7}"#, "pad_token: expected a token, got 7"),
        (r#"{"pad_token":"<pad>","clipwright_clean":"upper"}"#, "lower or canonicalize, got \"upper\""),
    ] {
        folder.file("tokenizer_config.json", config);
        let refused = info().expect(4);
        let event = &refused.of("error")[0];
        assert_eq!(event["code"], "invalid-tokenizer");
        let message = event["message"].as_str().unwrap();
        assert!(message.contains("invalid tokenizer: tokenizer.json: ") && message.contains(expected), "{message}");
    }
    folder.file("tokenizer.json", r#"{"model":{"type":"Unigram"}}"#);
    assert_eq!(info().expect(4).of("error")[0]["code"], "invalid-tokenizer");
}

#[test]
fn a_checkpoint_without_a_tokenizer_says_so() {
    let (folder, model) = (Folder::new(), fixture("models/siglip-p16/hf"));
    let data = repository("examples/data/emoji-heldout.tar");
    let (config, logs) = (folder.file("run.toml", TINY.split("[config]").next().unwrap()), folder.path("logs"));
    for command in [
        &["eval", &model, "--val-data", &data, "--device", "cpu"][..],
        &["train", "--config", &config, "--from", &model, "--train-data", &data, "--logs", &logs, "--device", "cpu"],
    ] {
        let refused = clipwright(command).expect(4);
        assert!(refused.stderr.contains("put tokenizer.json and tokenizer_config.json beside"), "{}", refused.stderr);
    }
}
