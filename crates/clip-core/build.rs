//! Compiles the tokenizer's regular expressions to automata. The compiler would be a seventh of a Wasm module that encodes; the
//! automata are a hundredth.

use std::path::PathBuf;
use std::{env, error::Error, fs};

use regex_automata::MatchKind;
use regex_automata::dfa::{StartKind, dense};

#[path = "src/tokenizer"]
mod tokenizer {
    mod expressions;
    mod ftfy_expressions;

    pub(super) use expressions::EXPRESSIONS;
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=src/tokenizer/expressions.rs");
    println!("cargo::rerun-if-changed=src/tokenizer/ftfy_expressions.rs");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let little = env::var("CARGO_CFG_TARGET_ENDIAN")? == "little";
    // the semantics of the regex crate: leftmost-first; anchored, as `Pattern` tries one start after another
    let config =
        dense::Config::new().match_kind(MatchKind::LeftmostFirst).start_kind(StartKind::Anchored).minimize(true);
    for (name, expression) in tokenizer::EXPRESSIONS {
        let automaton = dense::Builder::new().configure(config.clone()).build(expression)?.to_sparse()?;
        let bytes = if little { automaton.to_bytes_little_endian() } else { automaton.to_bytes_big_endian() };
        fs::write(out.join(name).with_extension("dfa"), bytes)?;
    }
    Ok(())
}
