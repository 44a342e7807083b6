//! Byte-level byte-pair encoding (arXiv 1508.07909), as in
//! <https://github.com/openai/CLIP/blob/d05afc436d78/clip/simple_tokenizer.py>.
//!
//! Ids 0–255 are bytes, 256–511 bytes at the end of a word; then follow one id per merge, start and end.

use std::collections::HashMap;

use super::PUBLISHED_MERGES;
use crate::error::{ClipError, Result};

const BYTES: u32 = 256;
const SYMBOLS: u32 = 2 * BYTES;
pub(super) const WORD_END: &str = "</w>";

/// Merges of symbols.
#[derive(Debug, Clone)]
pub struct Bpe {
    /// The symbol of each merged pair; of several merges, that of the lowest id is applied first.
    merged: HashMap<(u32, u32), u32>,
    /// Merged pairs: entry i is symbol 512 + i.
    pairs: Vec<(u32, u32)>,
    /// Symbol of each byte.
    symbols: [u32; 256],
}

/// Each byte with its printable character, by id: first the printable bytes, then the others.
pub(super) fn byte_alphabet() -> Vec<(u8, char)> {
    let printable = (b'!'..=b'~').chain(0xa1..=0xac).chain(0xae..=0xff);
    let mut alphabet: Vec<(u8, char)> = printable.map(|b| (b, b as char)).collect();
    let others: Vec<u8> = (0..=255).filter(|b| !alphabet.iter().any(|(p, _)| p == b)).collect();
    alphabet.extend(others.into_iter().zip('\u{100}'..));
    alphabet
}

impl Bpe {
    pub(super) fn from_merges(merges: &str) -> Result<Self> {
        let mut symbols = [0; 256];
        let mut ids: HashMap<String, u32> = HashMap::new();
        for (id, (byte, stand_in)) in (0..).zip(byte_alphabet()) {
            symbols[usize::from(byte)] = id;
            ids.insert(stand_in.to_string(), id);
            ids.insert(format!("{stand_in}{WORD_END}"), BYTES + id);
        }
        let mut bpe = Self { merged: HashMap::new(), pairs: Vec::new(), symbols };
        for (number, line) in merges.lines().enumerate() {
            let is_header = number == 0 && (line.starts_with("#version") || line.starts_with("\"bpe_simple_vocab"));
            if is_header || line.is_empty() {
                continue;
            }
            if bpe.pairs.len() == PUBLISHED_MERGES {
                break;
            }
            let invalid = |expected: &str| ClipError::InvalidTokenizer {
                message: format!("merges, line {}: expected {expected}, got {line:?}", number + 1),
            };
            let (left, right) = line.split_once(' ').ok_or_else(|| invalid("two symbols separated by a space"))?;
            let known = "symbols made by earlier lines";
            let pair = (*ids.get(left).ok_or_else(|| invalid(known))?, *ids.get(right).ok_or_else(|| invalid(known))?);
            let id = SYMBOLS + bpe.pairs.len() as u32;
            if bpe.merged.insert(pair, id).is_some() {
                return Err(invalid("a pair that no earlier line has"));
            }
            ids.insert(format!("{left}{right}"), id);
            bpe.pairs.push(pair);
        }
        Ok(bpe)
    }

    pub(super) fn vocab_size(&self) -> usize {
        SYMBOLS as usize + self.pairs.len() + 2
    }

    pub(super) fn start(&self) -> i32 {
        (self.vocab_size() - 2) as i32
    }

    pub(super) fn end(&self) -> i32 {
        (self.vocab_size() - 1) as i32
    }

    /// Spellings of all symbols but start and end, by id, in printable characters.
    pub(super) fn symbols(&self) -> Vec<String> {
        let alphabet = byte_alphabet();
        let mut names: Vec<String> = alphabet.iter().map(|(_, c)| c.to_string()).collect();
        names.extend(alphabet.iter().map(|(_, c)| format!("{c}{WORD_END}")));
        for &(left, right) in &self.pairs {
            names.push([names[left as usize].as_str(), names[right as usize].as_str()].concat());
        }
        names
    }

    pub(super) fn merges(&self) -> String {
        let names = self.symbols();
        self.pairs
            .iter()
            .map(|&(left, right)| format!("{} {}\n", names[left as usize], names[right as usize]))
            .collect()
    }

    /// Encodes a word and appends its ids.
    pub(super) fn encode_word(&self, word: &str, ids: &mut Vec<i32>) {
        let mut parts: Vec<u32> = word.bytes().map(|b| self.symbols[usize::from(b)]).collect();
        if let Some(last) = parts.last_mut() {
            *last += BYTES;
        }
        while let Some((pair, id)) = self.first_merge(&parts) {
            let mut write = 0;
            let mut read = 0;
            while read < parts.len() {
                let merges = read + 1 < parts.len() && (parts[read], parts[read + 1]) == pair;
                parts[write] = if merges { id } else { parts[read] };
                read += 1 + usize::from(merges);
                write += 1;
            }
            parts.truncate(write);
        }
        ids.extend(parts.into_iter().map(|id| id as i32));
    }

    fn first_merge(&self, parts: &[u32]) -> Option<((u32, u32), u32)> {
        parts
            .windows(2)
            .filter_map(|w| self.merged.get(&(w[0], w[1])).map(|&id| ((w[0], w[1]), id)))
            .min_by_key(|&(_, id)| id)
    }

    /// Cuts the vocabulary to the merges that `ids` need. Also returns the new id of each old one.
    pub(super) fn cut_to(&self, ids: &[i32]) -> (Self, Vec<i32>) {
        let mut used = vec![false; self.pairs.len()];
        let mut open: Vec<usize> = ids.iter().filter_map(|&id| self.merge_of(id as u32)).collect();
        while let Some(merge) = open.pop() {
            if !core::mem::replace(&mut used[merge], true) {
                let (left, right) = self.pairs[merge];
                open.extend([left, right].into_iter().filter_map(|id| self.merge_of(id)));
            }
        }
        let mut kept = Self { merged: HashMap::new(), pairs: Vec::new(), symbols: self.symbols };
        let mut renumbered: Vec<u32> = (0..SYMBOLS).collect();
        for (&(left, right), used) in self.pairs.iter().zip(used) {
            let id = SYMBOLS + kept.pairs.len() as u32;
            renumbered.push(id);
            if used {
                let pair = (renumbered[left as usize], renumbered[right as usize]);
                kept.merged.insert(pair, id);
                kept.pairs.push(pair);
            }
        }
        let mut renumbered: Vec<i32> = renumbered.into_iter().map(|id| id as i32).collect();
        renumbered.extend([kept.start(), kept.end()]);
        (kept, renumbered)
    }

    /// Index of the merge of a symbol; `None` for bytes.
    fn merge_of(&self, id: u32) -> Option<usize> {
        let merge = id.checked_sub(SYMBOLS)? as usize;
        (merge < self.pairs.len()).then_some(merge)
    }
}
