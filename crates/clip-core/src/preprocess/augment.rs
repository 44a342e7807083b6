//! Random crops and flips of training images, against overfitting.

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

use super::{Crop, Preprocess, RgbImage};
use crate::error::{ClipError, Result};
use crate::exact;

/// Random crops to try before the centre crop.
const ATTEMPTS: usize = 10;

/// torchvision's `RandomResizedCrop` and `RandomHorizontalFlip`:
/// <https://github.com/pytorch/vision/blob/v0.24.0/torchvision/transforms/transforms.py#L957-L998>.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augmentation {
    /// Smallest and largest share of the image's area, from 0 to 1.
    #[serde(with = "exact::pair")]
    pub scale: [f64; 2],
    /// Smallest and largest aspect ratio (width / height) of the crop, before it is resized to a square.
    #[serde(with = "exact::pair")]
    pub ratio: [f64; 2],
    /// Probability of a horizontal flip.
    #[serde(with = "exact")]
    pub flip: f64,
}

/// OpenCLIP's settings.
impl Default for Augmentation {
    fn default() -> Self {
        Self { scale: [0.9, 1.0], ratio: [3.0 / 4.0, 4.0 / 3.0], flip: 0.0 }
    }
}

/// Rounds half to even, as Python does.
fn round(side: f64) -> usize {
    side.round_ties_even() as usize
}

/// Width and height of a crop, by its area and aspect ratio.
pub(crate) fn sides(area: f64, ratio: f64) -> (usize, usize) {
    (round((area * ratio).sqrt()), round((area / ratio).sqrt()))
}

impl Augmentation {
    /// # Errors
    /// `invalid-option`.
    pub fn validate(&self) -> Result<()> {
        let refused = |option: &str, expected: &str, [least, most]: [f64; 2]| {
            Err(ClipError::invalid_option(option, expected, format!("{least} and {most}")))
        };
        let ([least, most], [narrow, wide]) = (self.scale, self.ratio);
        if !(least > 0.0 && least <= most && most <= 1.0) {
            return refused("augment.scale", "two numbers above 0, at most 1, in order", self.scale);
        }
        if !(narrow > 0.0 && narrow <= wide && wide.is_finite()) {
            return refused("augment.ratio", "two finite numbers above 0, in order", self.ratio);
        }
        if !(0.0..=1.0).contains(&self.flip) {
            return Err(ClipError::invalid_option("augment.flip", "0 ≤ flip ≤ 1", self.flip));
        }
        Ok(())
    }

    /// Draws a crop of an image.
    fn draw(&self, width: usize, height: usize, rng: &mut ChaCha8Rng) -> Crop {
        let at = |left: usize, top: usize, w: usize, h: usize| Crop { x: left..left + w, y: top..top + h };
        let (area, [narrow, wide]) = ((width * height) as f64, self.ratio);
        for _ in 0..ATTEMPTS {
            let area = area * rng.random_range(self.scale[0]..=self.scale[1]);
            let ratio = rng.random_range(narrow.ln()..=wide.ln()).exp();
            let (w, h) = sides(area, ratio);
            if (1..=width).contains(&w) && (1..=height).contains(&h) {
                let top = rng.random_range(0..=height - h);
                return at(rng.random_range(0..=width - w), top, w, h);
            }
        }
        let shape = width as f64 / height as f64;
        let (w, h) = if shape < narrow {
            (width, round(width as f64 / narrow).max(1))
        } else if shape > wide {
            (round(height as f64 * wide).max(1), height)
        } else {
            (width, height)
        };
        at((width - w) / 2, (height - h) / 2, w, h)
    }
}

/// Augments the images of a run: differently in each epoch, but reproducibly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Augmenter {
    /// The model's transform.
    pub preprocess: Preprocess,
    /// Ranges of the random crop.
    pub augmentation: Augmentation,
    /// Seed of the run.
    pub seed: u64,
}

impl Augmenter {
    /// Returns JSON, for another worker.
    pub fn to_json(&self) -> String {
        serde_json::json!(self).to_string()
    }

    /// Reads what [`to_json`](Self::to_json) returned.
    ///
    /// # Errors
    /// `invalid-option`.
    pub fn from_json(json: &str) -> Result<Self> {
        serde_json::from_str(json).map_err(|e| ClipError::invalid_option("augment", "an augmenter's JSON", e))
    }

    /// Crops, resizes and flips the image of a pair; the result is not normalised.
    ///
    /// # Shapes
    /// - output: `[3, size, size]`
    pub fn square(&self, image: &RgbImage, epoch: usize, pair: usize) -> Vec<u8> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        // streams of their own: shuffles, patch dropout and captions have others
        rng.set_stream(1 << 62 | (epoch as u64) << 31 | pair as u64);
        let part = self.augmentation.draw(image.width, image.height, &mut rng);
        let mut square = self.preprocess.square_of(image, &part);
        if rng.random_bool(self.augmentation.flip) {
            square.chunks_exact_mut(self.preprocess.size).for_each(<[u8]>::reverse);
        }
        square
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Augmentation = Augmentation { scale: [0.9, 1.0], ratio: [0.75, 4.0 / 3.0], flip: 0.0 };

    fn parts(augmentation: Augmentation, width: usize, height: usize) -> Vec<Crop> {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        (0..2_000).map(|_| augmentation.draw(width, height, &mut rng)).collect()
    }

    #[test]
    fn crops_have_the_given_areas_and_aspect_ratios() {
        let wide = Augmentation { scale: [0.2, 0.8], ..USUAL };
        let (mut shares, mut shapes, mut lefts) = (Vec::new(), Vec::new(), Vec::new());
        for Crop { x, y } in parts(wide, 400, 400) {
            assert!(x.end <= 400 && y.end <= 400 && !x.is_empty() && !y.is_empty());
            shares.push((x.len() * y.len()) as f64 / 160_000.0);
            shapes.push(x.len() as f64 / y.len() as f64);
            lefts.push(x.start as f64 / (400 - x.len()).max(1) as f64);
        }
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let range = |values: &[f64]| values.iter().fold((f64::MAX, f64::MIN), |(a, b), &x| (a.min(x), b.max(x)));
        let within = |(least, most): (f64, f64), a: f64, b: f64| {
            assert!(least >= a - 0.01 && least < a + 0.05 && most <= b + 0.01 && most > b - 0.05, "{least} {most}");
        };
        within(range(&shares), 0.2, 0.8);
        within(range(&shapes), 0.75, 4.0 / 3.0);
        within(range(&lefts), 0.0, 1.0);
        // uniform in area and position, log-uniform in aspect ratio
        assert!((mean(&shares) - 0.5).abs() < 0.02 && (mean(&lefts) - 0.5).abs() < 0.03);
        let logarithms: Vec<f64> = shapes.iter().map(|shape| shape.ln()).collect();
        assert!(mean(&logarithms).abs() < 0.02);
    }

    #[test]
    fn aspect_ratios_that_never_fit_give_the_centre_crop() {
        let whole = Augmentation { scale: [1.0, 1.0], ratio: [1.0, 1.0], flip: 0.0 };
        assert!(parts(whole, 9, 4).iter().all(|part| *part == Crop { x: 2..6, y: 0..4 }));
        assert!(parts(whole, 4, 9).iter().all(|part| *part == Crop { x: 0..4, y: 2..6 }));
        let narrow = Augmentation { ratio: [5.0, 6.0], ..whole };
        assert!(parts(narrow, 1, 2).iter().all(|part| *part == Crop { x: 0..1, y: 0..1 }));
        assert_eq!(parts(USUAL, 1, 1)[0], Crop { x: 0..1, y: 0..1 });
    }

    #[test]
    fn a_square_depends_on_seed_epoch_and_pair_alone() {
        let image = RgbImage::new(30, 20, (0..1_800).map(|i| (i * 7 % 251) as u8).collect()).unwrap();
        let make = |flip, seed| Augmenter {
            preprocess: Preprocess::clip(8),
            augmentation: Augmentation { scale: [0.3, 1.0], flip, ..USUAL },
            seed,
        };
        let augmenter = make(0.0, 1);
        let square = augmenter.square(&image, 2, 3);
        assert_eq!(square.len(), 3 * 8 * 8);
        let again = Augmenter::from_json(&augmenter.to_json()).unwrap();
        assert_eq!((&again, again.square(&image, 2, 3)), (&augmenter, square.clone()));
        for other in [augmenter.square(&image, 3, 3), augmenter.square(&image, 2, 4), make(0.0, 2).square(&image, 2, 3)]
        {
            assert_ne!(other, square);
        }
        let mut flipped = make(1.0, 1).square(&image, 2, 3);
        flipped.chunks_exact_mut(8).for_each(<[u8]>::reverse);
        assert_eq!(flipped, square);
        let often = (0..1_000).filter(|&pair| {
            let plain = augmenter.square(&image, 0, pair);
            make(0.25, 1).square(&image, 0, pair) != plain
        });
        assert!((200..300).contains(&often.count()));
    }

    #[test]
    fn invalid_ranges_are_refused_by_name() {
        let cases = [
            (Augmentation { scale: [0.0, 1.0], ..USUAL }, "augment.scale"),
            (Augmentation { scale: [0.9, 0.8], ..USUAL }, "augment.scale"),
            (Augmentation { scale: [0.9, 1.1], ..USUAL }, "augment.scale"),
            (Augmentation { scale: [f64::NAN, 1.0], ..USUAL }, "augment.scale"),
            (Augmentation { ratio: [0.0, 1.0], ..USUAL }, "augment.ratio"),
            (Augmentation { ratio: [1.0, f64::INFINITY], ..USUAL }, "augment.ratio"),
            (Augmentation { flip: 1.1, ..USUAL }, "augment.flip"),
        ];
        for (augmentation, option) in cases {
            let error = augmentation.validate().unwrap_err();
            assert!(error.code() == "invalid-option" && error.to_string().contains(option), "{error}");
        }
        USUAL.validate().unwrap();
    }
}
