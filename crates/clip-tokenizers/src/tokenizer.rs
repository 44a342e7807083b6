//! A tokenizer of any model, normalizer and pre-tokenizer that Hugging Face's library has, padded and cut to a model's context length.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tokenizers::utils::truncation::{TruncationDirection, TruncationParams, truncate_encodings};
use tokenizers::{Encoding, ModelWrapper, PostProcessor, PostProcessorWrapper, Tokenizer};

use crate::config::Config;
use crate::error::{Error, Result};

/// Characters of a caption that an error quotes.
const MAX_QUOTED: usize = 80;

/// The files of a tokenizer, as text.
#[derive(Debug, Clone, Copy, Default)]
pub struct TokenizerFiles<'a> {
    /// `tokenizer.json`.
    pub tokenizer: &'a str,
    /// `tokenizer_config.json`.
    pub tokenizer_config: Option<&'a str>,
    /// `special_tokens_map.json`.
    pub special_tokens: Option<&'a str>,
    /// `added_tokens.json`.
    pub added_tokens: Option<&'a str>,
}

/// The tokenizer's options in an OpenCLIP config.
#[derive(Debug, Clone, Copy)]
pub struct OpenClipOptions<'a> {
    /// How texts are cleaned, by the name that clip-core has for it.
    pub cleaning: &'a str,
    /// JSON: keys that replace those of `tokenizer_config.json`.
    pub tokenizer_overrides: &'a str,
}

/// Converts texts to ids.
pub struct ForeignTokenizer {
    /// The library's, without truncation, padding and post-processor.
    library: Tokenizer,
    /// What puts special tokens around a text. It is called here, after the text is cut: in the library, the length to cut to is a
    /// setting.
    post_processor: Option<PostProcessorWrapper>,
    cleaning: String,
    pad: i32,
    pads_left: bool,
    truncation: TruncationDirection,
    warnings: Vec<String>,
    max_length: Option<f64>,
    kind: String,
    config_json: String,
}

/// Calls the library and makes its panics errors. In a Wasm module panics abort; there `foreign-tokenizer.ts` does this.
fn contained<T>(call: impl FnOnce() -> Result<T>) -> Result<T> {
    // the library's caches are whole at any time
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_panic| {
        Err(Error::Invalid("the tokenizers library panicked: its parts contradict each other".into()))
    })
}

fn signed(ids: &[u32]) -> Vec<i32> {
    ids.iter().map(|&id| id as i32).collect()
}

impl ForeignTokenizer {
    /// Reads a tokenizer's files.
    ///
    /// # Errors
    /// `invalid-tokenizer`.
    pub fn read(files: &TokenizerFiles<'_>, options: &OpenClipOptions<'_>) -> Result<Self> {
        contained(|| Self::build(files, options))
    }

    fn build(files: &TokenizerFiles<'_>, options: &OpenClipOptions<'_>) -> Result<Self> {
        let mut library: Tokenizer = files.tokenizer.parse()?;
        let mut config = Config::read(files, options)?;
        let cleaning = config.cleaning(options.cleaning)?;
        add_tokens(&mut library, &config)?;
        library.set_encode_special_tokens(config.splits_special()?);
        let padding = library.get_padding();
        let pad = match config.pad_token()? {
            Some(token) => library.token_to_id(&token),
            None => padding.map(|padding| padding.pad_id),
        };
        let pad = pad.ok_or_else(|| Error::Invalid("the pad_token is missing from the vocabulary".into()))?;
        let pads_left = config.pads_left(padding.map(|padding| padding.direction))?;
        let truncation = config.truncation(library.get_truncation().map(|truncation| truncation.direction))?;
        let post_processor = library.get_post_processor().cloned();
        library.with_padding(None).with_truncation(None)?.with_post_processor(None::<PostProcessorWrapper>);
        let tokenizer = Self {
            kind: config.class().unwrap_or(model_type(library.get_model())).into(),
            library,
            post_processor,
            cleaning,
            pad: pad as i32,
            pads_left,
            truncation,
            warnings: config.warnings(),
            max_length: config.max_length(),
            config_json: config.to_json(),
        };
        // some contradictions only show in use
        tokenizer.encode("")?;
        Ok(tokenizer)
    }

    /// How texts are cleaned before they come here, by the name that clip-core has for it.
    pub fn cleaning(&self) -> &str {
        &self.cleaning
    }

    /// Its class or the type of its model.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The `tokenizer_config.json` of an export; its other files are those that were read.
    pub fn config_json(&self) -> &str {
        &self.config_json
    }

    /// Warnings for the user, for a model of this context length.
    pub fn warnings(&self, context_length: usize) -> Vec<String> {
        let shorter = self.max_length.filter(|&length| length < context_length as f64);
        let warning = shorter.map(|length| {
            let instead = format!("texts are padded and truncated to the model's {context_length} tokens nevertheless");
            format!("tokenizer_config.json: model_max_length is {length}: {instead}")
        });
        self.warnings.iter().cloned().chain(warning).collect()
    }

    fn sequence(&self, text: &str) -> Result<Encoding> {
        Ok(self.library.encode_fast(text, false)?)
    }

    /// Puts special tokens around a text.
    fn finish(&self, sequence: Encoding) -> Result<Vec<i32>> {
        let finished = match &self.post_processor {
            Some(processor) => processor.process(sequence, None, true)?,
            None => sequence,
        };
        Ok(signed(finished.get_ids()))
    }

    /// Cuts a text so that it has `length` ids with its special tokens.
    fn cut(&self, sequence: Encoding, length: usize) -> Result<Encoding> {
        let special = self.post_processor.as_ref().map_or(0, |processor| processor.added_tokens(false));
        let max_length = length.checked_sub(special).ok_or_else(|| {
            Error::Invalid(format!("it adds {special} special tokens, more than the context length of {length}"))
        })?;
        let to = TruncationParams { max_length, direction: self.truncation, ..TruncationParams::default() };
        Ok(truncate_encodings(sequence, None, &to)?.0)
    }

    /// Encodes a cleaned text with the special tokens that the file puts around it.
    ///
    /// # Errors
    /// `invalid-tokenizer` for files that contradict each other.
    pub fn encode(&self, cleaned: &str) -> Result<Vec<i32>> {
        contained(|| self.finish(self.sequence(cleaned)?))
    }

    /// Encodes a text, and pads it to the context length. A truncated text keeps its special tokens.
    ///
    /// # Errors
    /// `caption-too-long`, with the text as it was before it was cleaned, unless `truncate` is set; `invalid-tokenizer`.
    pub fn tokenize(&self, text: &str, cleaned: &str, context_length: usize, truncate: bool) -> Result<Vec<i32>> {
        let mut ids = self.encode(cleaned)?;
        if ids.len() > context_length {
            if !truncate {
                let text = text.chars().take(MAX_QUOTED).collect();
                return Err(Error::CaptionTooLong { expected: context_length, got: ids.len(), text });
            }
            ids = contained(|| self.finish(self.cut(self.sequence(cleaned)?, context_length)?))?;
        }
        let Some(missing) = context_length.checked_sub(ids.len()) else {
            let got = ids.len();
            return Err(Error::Invalid(format!("a text cut to {context_length} tokens has {got} with special ones")));
        };
        let padding = vec![self.pad; missing];
        Ok(if self.pads_left { [padding, ids].concat() } else { [ids, padding].concat() })
    }
}

/// Adds the tokens of the config. Ids follow their order. Tokens of the vocabulary must be added to be matched in texts; those that the
/// file adds itself keep its flags.
fn add_tokens(library: &mut Tokenizer, config: &Config) -> Result<()> {
    let of_file: HashSet<String> =
        library.get_added_tokens_decoder().into_values().map(|token| token.content).collect();
    // all at once: each call builds the library's matcher anew
    library.add_tokens(config.tokens.iter().filter(|token| !of_file.contains(&token.content)).cloned())?;
    Ok(())
}

fn model_type(model: &ModelWrapper) -> &'static str {
    match model {
        ModelWrapper::BPE(_) => "BPE",
        ModelWrapper::WordPiece(_) => "WordPiece",
        ModelWrapper::WordLevel(_) => "WordLevel",
        ModelWrapper::Unigram(_) => "Unigram",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// Reads a file of the tests.
    fn fixture(path: &str) -> String {
        std::fs::read_to_string(format!("{}/../../test/fixtures/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    fn open(tokenizer: &str, config: &str) -> Result<ForeignTokenizer> {
        let files = TokenizerFiles { tokenizer, tokenizer_config: Some(config), ..TokenizerFiles::default() };
        ForeignTokenizer::read(&files, &OpenClipOptions { cleaning: "none", tokenizer_overrides: "{}" })
    }

    fn mini(name: &str) -> (String, String) {
        let file = |file: &str| fixture(&format!("tokenizer/{name}/{file}"));
        (file("tokenizer.json"), file("tokenizer_config.json"))
    }

    #[test]
    fn ids_are_those_of_transformers_also_of_cut_texts() {
        const CONTEXT: usize = 16;
        for name in ["siglip-mini", "gemma-mini"] {
            let (tokenizer, config) = mini(name);
            let tokenizer = open(&tokenizer, &config).unwrap();
            let mut cut = 0;
            for line in fixture(&format!("tokenizer/{name}/cases.jsonl")).lines() {
                let row: Value = serde_json::from_str(line).unwrap();
                // other versions of Unicode give other ids
                if row["touches"].as_array().is_some_and(|touches| touches.contains(&"newer_unicode".into())) {
                    continue;
                }
                let text = row["text"].as_str().unwrap();
                let ids: Vec<i32> =
                    row["ids"].as_array().unwrap().iter().map(|id| id.as_i64().unwrap() as i32).collect();
                assert_eq!(tokenizer.encode(text).unwrap(), ids, "{name}: {text:?}");
                let mut expected = ids.clone();
                if ids.len() > CONTEXT {
                    expected.drain(CONTEXT - 1..ids.len() - 1);
                    cut += 1;
                }
                expected.resize(CONTEXT, tokenizer.pad);
                assert_eq!(tokenizer.tokenize(text, text, CONTEXT, true).unwrap(), expected, "{name}: {text:?}");
            }
            assert!(cut > 5, "{name}: {cut}");
        }
    }

    #[test]
    fn sides_of_padding_and_truncation_are_followed() {
        let (tokenizer, config) = mini("gemma-mini");
        let right = open(&tokenizer, &config).unwrap();
        let mut config: Value = serde_json::from_str(&config).unwrap();
        config["padding_side"] = "left".into();
        config["truncation_side"] = "left".into();
        let left = open(&tokenizer, &config.to_string()).unwrap();
        let ids = right.encode("a cat").unwrap();
        assert_eq!(left.tokenize("", "a cat", ids.len() + 1, false).unwrap()[1..], ids);
        let long = right.encode("a cat and a dog").unwrap();
        let special = long.len() - right.sequence("a cat and a dog").unwrap().len();
        let kept = special + 3;
        let of_left = left.tokenize("", "a cat and a dog", kept, true).unwrap();
        assert_eq!(of_left[kept - 2..], long[long.len() - 2..]);
        assert_ne!(of_left, right.tokenize("", "a cat and a dog", kept, true).unwrap());
    }

    #[test]
    fn long_captions_are_refused_with_their_own_text() {
        let (tokenizer, config) = mini("siglip-mini");
        let tokenizer = open(&tokenizer, &config).unwrap();
        let got = tokenizer.encode("a cat").unwrap().len();
        let error = tokenizer.tokenize("A \"Cat\"", "a cat", 2, false).unwrap_err();
        assert_eq!(error.code(), "caption-too-long");
        let expected = format!("expected at most 2 tokens with start and end, got {got}: \"A \\\"Cat\\\"\"");
        assert_eq!(error.to_string(), format!("caption too long: {expected}"));
        // the start of the text
        let error = tokenizer.tokenize(&"é".repeat(MAX_QUOTED + 1), "a cat", 2, false).unwrap_err();
        assert!(error.to_string().ends_with(&format!(": \"{}\"", "é".repeat(MAX_QUOTED))), "{error}");
        // no room for the end token
        let error = tokenizer.tokenize("", "a cat", 0, true).unwrap_err();
        assert_eq!(error.code(), "invalid-tokenizer", "{error}");
    }

    #[test]
    fn warnings_depend_on_the_context() {
        let (tokenizer, _) = mini("gemma-mini");
        let config = r#"{"tokenizer_class":"GemmaTokenizer","wobble":1,"model_max_length":32}"#;
        let tokenizer = open(&tokenizer, config).unwrap();
        assert_eq!(tokenizer.kind(), "GemmaTokenizer");
        assert_eq!(tokenizer.warnings(32), ["tokenizer_config.json: wobble is not known and was not used"]);
        let instead = "texts are padded and truncated to the model's 64 tokens nevertheless";
        let expected = format!("tokenizer_config.json: model_max_length is 32: {instead}");
        assert_eq!(tokenizer.warnings(64)[1], expected);
    }

    #[test]
    fn files_that_are_no_tokenizer_are_refused() {
        let (good, _) = mini("siglip-mini");
        for (tokenizer, config, expected) in [
            ("{", "{}", "EOF"),
            (r#"{"model":{"type":"Magic","vocab":{}}}"#, "{}", ""),
            (&good, r#"{"pad_token":7}"#, "pad_token: expected a token, got 7"),
            (&good, "[]", "tokenizer_config.json: expected an object"),
        ] {
            let error = open(tokenizer, config).err().unwrap();
            assert_eq!(error.code(), "invalid-tokenizer");
            let message = error.to_string();
            assert!(
                message.starts_with("invalid tokenizer: tokenizer.json: ") && message.contains(expected),
                "{message}"
            );
        }
    }

    #[test]
    fn a_panic_is_an_error() {
        let error = contained(|| -> Result<()> { panic!("of a library") }).unwrap_err();
        assert!(error.to_string().contains("the tokenizers library panicked"), "{error}");
    }
}
