//! What all ranks must have alike: they would train different models otherwise, or wait for each other without end.

use clip_core::train::Ranks;

use crate::exit::{Failure, Result};

/// Characters of a fact that a message shows.
const SHOWN: usize = 120;

/// Exchanges texts; returns those of all ranks in their order.
pub(super) fn gather_texts(ranks: &Ranks, own: &str) -> Vec<String> {
    let lengths = ranks.gather(vec![own.len() as f32]);
    let longest = lengths.iter().copied().fold(0.0, f32::max) as usize;
    let mut values: Vec<f32> = own.bytes().map(f32::from).collect();
    values.resize(longest, 0.0);
    let all: Vec<u8> = ranks.gather(values).into_iter().map(|value| value as u8).collect();
    let text = |(rank, length): (usize, &f32)| {
        String::from_utf8_lossy(&all[rank * longest..rank * longest + *length as usize]).into_owned()
    };
    lengths.iter().enumerate().map(text).collect()
}

/// The part of two texts that differs, with a little before it.
fn difference<'a>(a: &'a str, b: &'a str) -> [String; 2] {
    let same = a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count();
    let from = same.saturating_sub(SHOWN / 4);
    [a, b].map(|text| {
        let part: String = text.chars().skip(from).take(SHOWN).collect();
        if from > 0 { format!("…{part}") } else { part }
    })
}

/// Compares facts with those of the first rank; all ranks come to the same result.
///
/// # Errors
/// `other-ranks`, with the first fact that differs.
pub(super) fn check_same(ranks: &Ranks, facts: &[(&str, String)]) -> Result<()> {
    for (what, own) in facts {
        let all = gather_texts(ranks, own);
        if let Some(rank) = all.iter().position(|other| *other != all[0]) {
            let [first, other] = difference(&all[0], &all[rank]);
            let message = format!(
                "{what}: rank 0 has {first}, rank {rank} has {other}: start all processes with the same program, settings and files"
            );
            return Err(Failure::new("other-ranks", message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_shows_where_texts_differ() {
        assert_eq!(difference("4", "5"), ["4", "5"]);
        let long = "x".repeat(300);
        let [a, b] = difference(&format!("{long}1{long}"), &format!("{long}2{long}"));
        assert!(a.contains("x1x") && b.contains("x2x") && a.chars().count() < 130, "{a}");
    }

    #[test]
    fn one_rank_agrees_with_itself() {
        assert_eq!(gather_texts(&Ranks::default(), "ä"), ["ä"]);
        assert!(check_same(&Ranks::default(), &[("version", "1".into())]).is_ok());
    }
}
