//! Retrieval over a data set.

use super::groups::Groups;
use super::retrieval::{Recall, recall};
use crate::data::{PairDataset, embed_captions, embed_images};
use crate::error::Result;
use crate::model::Clip;

/// Recall in both directions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evaluation {
    /// Images as queries, captions as candidates.
    pub image_to_text: Recall,
    /// Captions as queries, images as candidates.
    pub text_to_image: Recall,
    /// Equal images and equal captions, each counted as one.
    pub grouped: Grouped,
}

/// Number of the pairs' images and captions that have an equal one among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grouped {
    /// Images with the same pixels after the transform.
    pub images: usize,
    /// Captions with the same token ids before truncation.
    pub captions: usize,
}

/// Retrieval of captions by images and of images by captions, with the items of `pairs` as queries and those of `pairs` and
/// `distractors` as candidates. Equal images are one query and one candidate, and so are equal captions. A query's rank is that of
/// the nearest of its positives, as CLIP_benchmark ranks images with several captions:
/// <https://github.com/LAION-AI/CLIP_benchmark/blob/main/clip_benchmark/metrics/zeroshot_retrieval.py>.
///
/// # Errors
/// `empty-batch` without pairs; `device-failed`.
pub async fn evaluate(
    model: &Clip,
    embed_dim: usize,
    pairs: &PairDataset,
    distractors: Option<&PairDataset>,
) -> Result<Evaluation> {
    let sets: Vec<&PairDataset> = [Some(pairs), distractors].into_iter().flatten().collect();
    let images = Groups::new(sets.iter().flat_map(|set| set.squares()));
    let texts = Groups::new(sets.iter().flat_map(|set| set.identities()));
    let (mut texts_of, mut images_of) = (vec![Vec::new(); images.first.len()], vec![Vec::new(); texts.first.len()]);
    // pairs in the order of the groups' items
    let captions = sets.iter().flat_map(|set| (0..set.len()).map(|row| set.captions_of(row).len()));
    let mut numbers = texts.numbers.iter();
    for (&image, count) in images.numbers.iter().zip(captions) {
        for &text in numbers.by_ref().take(count) {
            texts_of[image].push(text);
            images_of[text].push(image);
        }
    }
    let (mut image_rows, mut text_rows) = (Vec::new(), Vec::new());
    let (mut image_offset, mut text_offset) = (0, 0);
    for set in &sets {
        let rows = distinct_rows(&images, image_offset, set.len());
        image_rows.extend(embed_images(model, set, &rows).await?);
        let rows = distinct_rows(&texts, text_offset, set.captions());
        text_rows.extend(embed_captions(model, set, &rows).await?);
        (image_offset, text_offset) = (image_offset + set.len(), text_offset + set.captions());
    }
    // queries come before distractors
    let (asked_images, asked_texts) = (images.distinct(pairs.len()), texts.distinct(pairs.captions()));
    texts_of.truncate(asked_images);
    images_of.truncate(asked_texts);
    Ok(Evaluation {
        image_to_text: recall(&image_rows[..asked_images * embed_dim], &text_rows, embed_dim, &texts_of)?,
        text_to_image: recall(&text_rows[..asked_texts * embed_dim], &image_rows, embed_dim, &images_of)?,
        grouped: Grouped { images: images.shared(pairs.len()), captions: texts.shared(pairs.captions()) },
    })
}

/// Returns the rows of a set that are the first of their groups; its first row is item `offset`.
fn distinct_rows(groups: &Groups, offset: usize, count: usize) -> Vec<usize> {
    let of_set = groups.distinct(offset)..groups.distinct(offset + count);
    groups.first[of_set].iter().map(|&item| item - offset).collect()
}

#[cfg(test)]
mod tests {
    use rand::rngs::ChaCha8Rng;
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::config::ClipConfig;
    use crate::device::{block_on_cpu as now, cpu};
    use crate::preprocess::{Preprocess, RgbImage};
    use crate::tokenizer::{Reference, Tokenizer};

    const DIM: usize = 8;
    /// The last two differ from the first only in case and white space, so their ids are the same.
    const CAPTIONS: [&str; 7] = ["a b", "b", "c d e", "f", "g h", "A  b", " a B "];
    const PICTURES: usize = 5;

    /// Indices of an image and of its captions.
    type Row = (usize, Vec<usize>);

    fn config() -> ClipConfig {
        ClipConfig::from_json(
            r#"{"embedDim":8,"vision":{"imageSize":8,"patchSize":4,"width":16,"layers":1,"heads":2},
                "text":{"contextLength":6,"width":16,"layers":1,"heads":2,"vocabSize":515}}"#,
        )
        .unwrap()
    }

    fn dataset(rows: &[Row], truncate: bool, captions: &[&str]) -> PairDataset {
        let tokenizer = Tokenizer::from_merges("#version: 0.2\na b</w>", Reference::default()).unwrap();
        let mut pairs = PairDataset::new(&config(), Preprocess::clip(8));
        for (picture, of) in rows {
            let levels = (0..192).map(|at| ((at + 7) * (picture + 3) * 31 % 251) as u8).collect();
            let of: Vec<String> = of.iter().map(|&caption| captions[caption].into()).collect();
            pairs.push(&RgbImage::new(8, 8, levels).unwrap(), &of, &tokenizer, truncate).unwrap();
        }
        pairs
    }

    fn evaluated(rows: &[Row], distractors: &[Row]) -> Evaluation {
        let model = config().init(1, &cpu());
        let distractors = (!distractors.is_empty()).then(|| dataset(distractors, false, &CAPTIONS));
        now(evaluate(&model, DIM, &dataset(rows, false, &CAPTIONS), distractors.as_ref())).unwrap()
    }

    /// CLIP_benchmark's definition: the share of queries with a positive among the k highest scores.
    fn recall_at(
        k: usize,
        asked: &[usize],
        among: &[usize],
        score: impl Fn(usize, usize) -> f32,
        is: &[(usize, usize)],
    ) -> f64 {
        let hits = asked.iter().filter(|&&query| {
            let mut ranked = among.to_vec();
            ranked.sort_by(|&a, &b| score(query, b).total_cmp(&score(query, a)));
            ranked[..k.min(ranked.len())].iter().any(|&item| is.contains(&(query, item)))
        });
        hits.count() as f64 / asked.len() as f64
    }

    fn distinct(items: impl Iterator<Item = usize>) -> Vec<usize> {
        let mut items: Vec<usize> = items.collect();
        items.sort_unstable();
        items.dedup();
        items
    }

    #[test]
    fn recall_equals_clip_benchmark() {
        let model = config().init(1, &cpu());
        let all: Vec<Row> = (0..PICTURES).map(|picture| (picture, vec![picture])).collect();
        let each = dataset(&all, false, &CAPTIONS);
        let rows: Vec<usize> = (0..PICTURES).collect();
        let images = now(embed_images(&model, &each, &rows)).unwrap();
        let texts = now(embed_captions(&model, &each, &rows)).unwrap();
        let score = |image: usize, text: usize| -> f32 {
            (0..DIM).map(|i| images[image * DIM + i] * texts[text * DIM + i]).sum()
        };
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        for _ in 0..40 {
            let mut some = |least: usize| -> Vec<Row> {
                let count = rng.random_range(least..12);
                let caption = |rng: &mut ChaCha8Rng| rng.random_range(0..CAPTIONS.len());
                (0..count)
                    .map(|_| {
                        (
                            rng.random_range(0..PICTURES),
                            (0..rng.random_range(1..4)).map(|_| caption(&mut rng)).collect(),
                        )
                    })
                    .collect()
            };
            let (pairs, distractors) = (some(1), some(0));
            let got = evaluated(&pairs, &distractors);
            let same = |caption: usize| if caption >= 5 { 0 } else { caption };
            let positives = |rows: &[Row]| -> Vec<(usize, usize)> {
                rows.iter().flat_map(|(image, texts)| texts.iter().map(|&text| (*image, same(text)))).collect()
            };
            let (asked, is) = (positives(&pairs), [positives(&pairs), positives(&distractors)].concat());
            let (asked_images, asked_texts) =
                (distinct(asked.iter().map(|p| p.0)), distinct(asked.iter().map(|p| p.1)));
            let (all_images, all_texts) = (distinct(is.iter().map(|p| p.0)), distinct(is.iter().map(|p| p.1)));
            let back: Vec<(usize, usize)> = is.iter().map(|&(image, text)| (text, image)).collect();
            for (k, to_text, to_image) in [
                (1, got.image_to_text.at_1, got.text_to_image.at_1),
                (5, got.image_to_text.at_5, got.text_to_image.at_5),
            ] {
                assert_eq!(to_text, recall_at(k, &asked_images, &all_texts, score, &is), "{pairs:?} {distractors:?}");
                let turned = |text: usize, image: usize| score(image, text);
                assert_eq!(
                    to_image,
                    recall_at(k, &asked_texts, &all_images, turned, &back),
                    "{pairs:?} {distractors:?}"
                );
            }
            assert_eq!(got.image_to_text.queries, asked_images.len());
            assert_eq!(got.text_to_image.queries, asked_texts.len());
        }
    }

    #[test]
    fn equal_images_and_captions_are_counted() {
        let rows = [(0, vec![0]), (1, vec![1, 5]), (0, vec![2]), (2, vec![2]), (0, vec![3])];
        let grouped = |distractors: &[Row]| evaluated(&rows, distractors).grouped;
        assert_eq!(grouped(&[]), Grouped { images: 3, captions: 4 });
        // distractors are not counted
        assert_eq!(grouped(&[(1, vec![1]), (1, vec![1])]), Grouped { images: 3, captions: 4 });
        let distinct = evaluated(&[(0, vec![0]), (1, vec![1])], &[]);
        assert_eq!(distinct.grouped, Grouped { images: 0, captions: 0 });
        // several captions of one pair equal pairs with equal images
        let listed = evaluated(&[(0, vec![0, 2]), (1, vec![1])], &[]);
        let by_row = evaluated(&[(0, vec![0]), (1, vec![1]), (0, vec![2])], &[]);
        assert_eq!((listed.text_to_image, listed.image_to_text), (by_row.text_to_image, by_row.image_to_text));
    }

    #[test]
    fn captions_that_differ_only_in_truncated_tokens_are_different() {
        let model = config().init(1, &cpu());
        let captions = ["a a a a a a b", "a a a a a a c", "a a a a a a b"];
        let pairs = dataset(&[(0, vec![0]), (1, vec![1]), (2, vec![2])], true, &captions);
        let got = now(evaluate(&model, DIM, &pairs, None)).unwrap();
        assert_eq!((got.text_to_image.queries, got.grouped.captions), (2, 2));
    }
}
