//! Short names for what a module and its glue call each other's functions. Those of wasm-bindgen, such as
//! `__wbg_getRandomValues_8b6f1f663e6f188d`, hold hashes, which gzip cannot shrink: docs/decisions/0035. What has one name in two
//! modules does the same, so that they can share their glue: docs/decisions/0038.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use wasm_bindgen_cli_support::Output;

/// A name begins with a letter, and without vowels it is no word of JavaScript.
const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz";
const LETTERS_AND_DIGITS: &[u8] = b"bcdfghjklmnpqrstvwxz0123456789";
/// Length of a name that no other begins like.
const SHORT: usize = 3;
/// Length of a whole hash: 20 · 30¹² is about 2⁶³.
const LONG: usize = 13;

/// The short name of each long one.
#[derive(Debug)]
pub(crate) struct ShortNames(BTreeMap<String, String>);

impl ShortNames {
    /// Renames the functions that a module imports from its glue, and those that it exports for closures. Not a memory that threads
    /// share, nor exports whose names are ours.
    pub(crate) fn give(output: &mut Output) -> Self {
        let glue = output.js().to_owned();
        let module = output.wasm_mut();
        let mut others = HashSet::new();
        let mut long = Vec::new();
        let mut sort = |name: &String, is_long: bool| {
            if is_long {
                long.push(name.clone());
            } else {
                others.insert(name.clone());
            }
        };
        for import in module.imports.iter() {
            sort(&import.name, import.name.starts_with("__wb"));
        }
        for export in module.exports.iter() {
            sort(&export.name, export.name.starts_with("wasm_bindgen_"));
        }
        let short = Self::new(long, &others, &glue);
        for name in module.imports.iter_mut().map(|import| &mut import.name) {
            short.shorten(name);
        }
        for name in module.exports.iter_mut().map(|export| &mut export.name) {
            short.shorten(name);
        }
        short
    }

    /// A short name is the beginning of the hash of the long one and its text in the glue. Modules then have the same name for the same
    /// function, and only for it: wasm-bindgen numbers its casts in each module anew. Without a short name a function keeps its own.
    fn new(long: Vec<String>, others: &HashSet<String>, glue: &str) -> Self {
        let hashes: BTreeMap<_, _> =
            long.into_iter().map(|name| (letters(hash(&(name.clone() + &text_of(&name, glue)))), name)).collect();
        let is_free =
            |short: &str| hashes.keys().filter(|hash| hash.starts_with(short)).count() == 1 && !others.contains(short);
        let short =
            |hash: &str| (SHORT..=LONG).map(|length| &hash[..length]).find(|short| is_free(short)).map(String::from);
        Self(hashes.iter().filter_map(|(hash, name)| Some((name.clone(), short(hash)?))).collect())
    }

    fn shorten(&self, name: &mut String) {
        if let Some(short) = self.0.get(name) {
            name.clone_from(short);
        }
    }

    /// Renames in the glue and its types what was renamed in the module.
    ///
    /// # Errors
    /// If the glue lacks a name, and so could not answer the module.
    pub(crate) fn rewrite(&self, glue: &Path, types: &Path) -> Result<()> {
        for file in [glue, types] {
            let text = fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
            let (text, missing) = self.renamed(&text);
            if let (true, Some(name)) = (file == glue, missing.first()) {
                bail!("{} has no property {name}: is wasm-bindgen's glue written otherwise now?", file.display());
            }
            fs::write(file, text).with_context(|| format!("{} cannot be written", file.display()))?;
        }
        Ok(())
    }

    /// Renames properties: functions of the glue keep their names. Returns the names that were not there, too.
    fn renamed<'a>(&'a self, text: &str) -> (String, Vec<&'a String>) {
        let is_part = |c: char| c.is_alphanumeric() || "_$".contains(c);
        let mut missing: Vec<&String> = self.0.keys().collect();
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(begin) = rest.find(is_part) {
            let (before, from) = rest.split_at(begin);
            let (word, after) = from.split_at(from.find(|c| !is_part(c)).unwrap_or(from.len()));
            out.push_str(before);
            let is_property = before.ends_with('.') || after.starts_with(':');
            match self.0.get(word).filter(|_| is_property) {
                Some(short) => {
                    out.push_str(short);
                    missing.retain(|name| *name != word);
                }
                None => out.push_str(word),
            }
            rest = after;
        }
        out.push_str(rest);
        (out, missing)
    }
}

/// Returns the text of an imported function in the glue; empty for other names. Comments are left out, as they hold numbers that
/// differ between modules.
fn text_of(name: &str, glue: &str) -> String {
    let begins = format!("{name}: ");
    let lines = glue.lines().map(str::trim_start).skip_while(|line| !line.starts_with(&begins));
    let mut text = String::new();
    let mut open = 0;
    for line in lines.filter(|line| !line.starts_with("//")) {
        text.push_str(line);
        open += line.matches('{').count();
        open = open.saturating_sub(line.matches('}').count());
        if open == 0 {
            break;
        }
    }
    text
}

/// FNV-1a.
fn hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

fn letters(mut hash: u64) -> String {
    let mut digit = |of: &[u8]| {
        let base = of.len() as u64;
        let at = (hash % base) as usize;
        hash /= base;
        char::from(of[at])
    };
    (0..LONG).map(|i| digit(if i == 0 { LETTERS } else { LETTERS_AND_DIGITS })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ERROR: &str = "__wbg_Error_208446807d0d1e30";
    const CLOSURE: &str = "wasm_bindgen__convert__closures_____invoke__h1160aa115b8b3522";

    fn named(long: &[&str], others: &[&str]) -> BTreeMap<String, String> {
        let owned = |names: &[&str]| names.iter().copied().map(String::from).collect::<Vec<_>>();
        ShortNames::new(owned(long), &owned(others).into_iter().collect(), "").0
    }

    #[test]
    fn a_function_has_the_same_name_in_every_module() {
        let alone = named(&[ERROR], &["memory"]);
        let beside = named(&[CLOSURE, ERROR, "__wbg_device_new"], &[]);
        assert_eq!(alone[ERROR], beside[ERROR]);
        assert_eq!(alone[ERROR].len(), SHORT);
    }

    #[test]
    fn a_function_of_another_text_has_another_name() {
        let cast = |comment: &str, text: &str| {
            let glue = format!(
                "const import0 = {{\n{ERROR}: function(a) {{\n  // {comment}\n  {{ return {text}; }}\n  }},\n  other: 1"
            );
            ShortNames::new(vec![ERROR.into()], &HashSet::new(), &glue).0[ERROR].clone()
        };
        let name = cast("shim_idx: 71", "a");
        assert_eq!(cast("shim_idx: 83", "a"), name);
        assert_ne!(cast("shim_idx: 71", "Error(a)"), name);
        assert_eq!(
            text_of("other", "name: function() {\n}, \nother: function() { call(); },\nlast: 1"),
            "other: function() { call(); },"
        );
    }

    #[test]
    fn names_are_told_apart() {
        let long: Vec<String> = (0..5000).map(|i| format!("__wbg_call_{i:016x}")).collect();
        let long: Vec<&str> = long.iter().map(String::as_str).collect();
        let short = named(&long, &[]);
        let different: HashSet<_> = short.values().collect();
        assert_eq!(different.len(), 5000);
        assert!(short.values().any(|name| name.len() > SHORT));
        assert!(short.values().all(|name| name.starts_with(|c: char| c.is_ascii_lowercase())));
        let taken = &named(&[ERROR], &[])[ERROR];
        let longer = &named(&[ERROR], &[taken])[ERROR];
        assert!(longer.starts_with(taken) && longer.len() == SHORT + 1);
    }

    #[test]
    fn properties_are_renamed_in_the_glue_and_functions_are_not() {
        let names = ShortNames([(ERROR, "b1c"), (CLOSURE, "d2f")].map(|(a, b)| (a.into(), b.into())).into());
        let glue = format!(
            "const import0 = {{ {ERROR}: function(a) {{ return Error(a); }}, {ERROR}2: 1 }};\n\
             function {CLOSURE}(a) {{ wasm.{CLOSURE}(a); }} // é"
        );
        let (text, missing) = names.renamed(&glue);
        let expected = format!(
            "const import0 = {{ b1c: function(a) {{ return Error(a); }}, {ERROR}2: 1 }};\n\
             function {CLOSURE}(a) {{ wasm.d2f(a); }} // é"
        );
        assert_eq!(text, expected);
        assert!(missing.is_empty());
        let (text, missing) = names.renamed(&format!("    readonly {CLOSURE}: (a: number) => void;"));
        assert_eq!(text, "    readonly d2f: (a: number) => void;");
        assert_eq!(missing, [ERROR]);
    }
}
