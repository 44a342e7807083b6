//! Ids, against the reference tokenizers.

use std::io::Read;

use super::*;
use crate::tokenizer::{Cleaning, Reference, Tokenizer, TokenizerFiles};

fn published() -> String {
    let bytes = fixture("../../assets/clip-merges.txt.gz");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
    text
}

fn check(merges: &str, cases: &str, at_least: usize) {
    let rows = String::from_utf8(fixture(cases)).unwrap();
    let (mut compared, mut wrong) = (0, Vec::new());
    for (column, reference) in
        [("open_clip", Reference::OpenClip), ("openai", Reference::OpenAi), ("hf", Reference::Hf)]
    {
        let tokenizer = Tokenizer::from_merges(merges, reference).unwrap();
        for row in rows.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
            let touches = row["touches"].as_array();
            if touches.is_some_and(|t| t.iter().any(|t| t == "newer_unicode")) {
                continue;
            }
            // OpenAI's column is present only if it differs from OpenCLIP's; the mini cases have none
            let same = column == "openai" && row["openai"].is_null() && cases == "tokenizer/cases.jsonl";
            let column = if same { "open_clip" } else { column };
            let expected: Vec<i32> = match row[column].as_array() {
                Some(ids) => ids.iter().map(|id| id.as_i64().unwrap() as i32).collect(),
                None => continue,
            };
            let text = row["text"].as_str().unwrap();
            let got = tokenizer.tokenize([text], expected.len(), true).unwrap();
            compared += 1;
            if got != expected {
                wrong.push(format!(
                    "{reference:?} {} {text:?}\n  {:?}\n  {:?}",
                    row["id"],
                    &got[..20],
                    &expected[..20]
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {compared} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(compared >= at_least, "{compared}");
}

#[test]
fn published_vocabulary() {
    check(&published(), "tokenizer/cases.jsonl", 3 * 519);
}

#[test]
fn mini_vocabulary() {
    let merges = String::from_utf8(fixture("tokenizer/mini/merges.txt")).unwrap();
    check(&merges, "tokenizer/mini/cases.jsonl", 100);
}

/// Every character decoded as Windows-1252, against ftfy, whose character classes are Python's.
#[test]
fn one_character_mojibakes() {
    let golden: Value = serde_json::from_slice(&fixture("tokenizer/mojibake.json")).unwrap();
    let (mut characters, mut wrong) = (0, Vec::new());
    for (name, block) in golden["blocks"].as_object().unwrap() {
        let runs: Vec<[u32; 2]> = serde_json::from_value(block["runs"].clone()).unwrap();
        let fixed: Vec<String> = runs
            .into_iter()
            .flat_map(|[first, last]| first..=last)
            .map(|code| crate::tokenizer::fix_mojibake_of(char::from_u32(code).unwrap()))
            .collect();
        characters += fixed.len();
        let mut sum = crate::digest::Sha256::default();
        sum.update(fixed.join("\n").as_bytes());
        if block["sha256"] != sum.finish() {
            wrong.push(name);
        }
    }
    assert!(wrong.is_empty(), "blocks {wrong:?}");
    assert!(characters > 55_000, "{characters}");
}

/// Special and added tokens, sides and padding by the files beside a vocabulary, read and then exported.
#[test]
fn files_beside_the_vocabulary() {
    let golden = json("tokenizer/config_cases.json");
    let length = golden["length"].as_u64().unwrap() as usize;
    let texts: Vec<&str> = golden["texts"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    let merges = text("tokenizer/mini/merges.txt");
    let (mut vocab, mut tokenizer) = (json("tokenizer/mini/vocab.json"), json("tokenizer/mini/tokenizer.json"));
    let mut compared = 0;
    for case in golden["cases"].as_array().unwrap() {
        let file = |name: &str| case["files"].get(name);
        let with = |base: &mut Value, name: &str| {
            let mut whole = base.clone();
            whole.as_object_mut().unwrap().extend(file(name)?.as_object().unwrap().clone());
            Some(whole.to_string())
        };
        let tokenizer = with(&mut tokenizer, "tokenizer.json");
        let vocab = with(&mut vocab, "vocab.json");
        let own = |name: &str| file(name).map(Value::to_string);
        let (config, special, added) =
            (own("tokenizer_config.json"), own("special_tokens_map.json"), own("added_tokens.json"));
        let files = TokenizerFiles {
            tokenizer: tokenizer.as_deref(),
            merges: Some(&merges),
            vocab: vocab.as_deref(),
            config: config.as_deref(),
            special_tokens: special.as_deref(),
            added_tokens: added.as_deref(),
        };
        let name = &case["name"];
        let mut warnings = Vec::new();
        let read = Tokenizer::from_files(&files, Reference::Hf, &mut warnings).unwrap().unwrap();
        assert!(warnings.is_empty(), "{name}: {warnings:?}");
        let (exported, vocab) = (read.config_json().to_string(), Value::from(read.vocab_json()).to_string());
        let files = TokenizerFiles { tokenizer: None, vocab: Some(&vocab), ..files };
        let files = TokenizerFiles { config: Some(&exported), special_tokens: None, added_tokens: None, ..files };
        let again = Tokenizer::from_files(&files, Reference::Hf, &mut warnings).unwrap().unwrap();
        for (text, ids) in texts.iter().zip(case["ids"].as_array().unwrap()) {
            let expected: Vec<i32> = serde_json::from_value(ids.clone()).unwrap();
            for (tokenizer, which) in [(&read, "read"), (&again, "exported")] {
                let got = tokenizer.tokenize([*text], length, true).unwrap();
                assert_eq!(got, expected, "{name}, {which}: {text:?}");
            }
            compared += 1;
        }
    }
    assert!(compared > 240, "{compared}");
}

#[test]
fn texts_are_cleaned_as_open_clip_cleans_them() {
    let golden = json("tokenizer/cleaning.json");
    let rows: Vec<[String; 4]> = serde_json::from_value(golden["rows"].clone()).unwrap();
    for [text, whitespace, lower, canonicalized] in &rows {
        for (cleaning, expected) in
            [(Cleaning::Whitespace, whitespace), (Cleaning::Lower, lower), (Cleaning::Canonicalize, canonicalized)]
        {
            assert_eq!(cleaning.apply(text), *expected, "{}: {text:?}", cleaning.name());
        }
    }
    assert!(rows.len() > 300, "{}", rows.len());
}
