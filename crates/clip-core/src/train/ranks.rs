//! Ranks: processes that train one model together, each on its rows of every batch. Between two stages of a step they exchange
//! features, their gradients, and at its end the weights' gradients.

use std::iter::Peekable;
use std::ops::Range;
use std::sync::Arc;

use burn::module::{Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{Device, FloatDType, Tensor, TensorData};

use super::exchange::{Counted, Traffic};
use crate::device::read;
use crate::error::{ClipError, Result};
use crate::model::{Clip, ParamVisitor, visit_params};

/// Numbers that are summed at once: 25 MB, as `DistributedDataParallel` of PyTorch.
pub const BUCKET: usize = 25 * 1024 * 1024 / 4;

/// How ranks exchange numbers; every rank makes the same calls in the same order. An implementation ends the process where another rank
/// is lost: a step of some ranks has no meaning.
pub trait Collective: Send + Sync {
    /// Number of ranks.
    fn size(&self) -> usize;
    /// Number of this one, from 0.
    fn rank(&self) -> usize;
    /// Gathers the values of all ranks, in rank order. Every rank brings equally many.
    fn all_gather(&self, own: &[f32]) -> Vec<f32>;
    /// Sums the values of all ranks, `size * n` each, and returns the `n` sums from `rank * n` on.
    fn reduce_scatter(&self, values: &[f32]) -> Vec<f32>;
}

/// The ranks that train a model; by default one alone.
#[derive(Clone, Default)]
pub struct Ranks(Option<Arc<Counted>>);

impl Ranks {
    /// Several ranks; one needs no exchange.
    pub fn new(collective: Arc<dyn Collective>) -> Self {
        Self((collective.size() > 1).then(|| Arc::new(Counted::new(collective))))
    }

    /// Number of ranks.
    pub fn size(&self) -> usize {
        self.0.as_ref().map_or(1, |collective| collective.size())
    }

    /// Number of this one, from 0.
    pub fn rank(&self) -> usize {
        self.0.as_ref().map_or(0, |collective| collective.rank())
    }

    /// What this one has exchanged so far.
    pub fn traffic(&self) -> Traffic {
        self.0.as_ref().map_or_else(Traffic::default, |counted| counted.traffic())
    }

    /// Whether there are others.
    pub(super) fn are_several(&self) -> bool {
        self.0.is_some()
    }

    /// Rows of this rank in a batch.
    pub fn rows(&self, batch: usize) -> Range<usize> {
        let count = batch / self.size();
        self.rank() * count..(self.rank() + 1) * count
    }

    /// Refuses a batch that does not fall into equal parts.
    ///
    /// # Errors
    /// `invalid-option`.
    pub(super) fn check(&self, batch: usize) -> Result<()> {
        check_shares(batch, self.size())
    }

    /// Returns the values of all ranks in their order.
    pub fn gather(&self, own: Vec<f32>) -> Vec<f32> {
        match &self.0 {
            Some(collective) => collective.all_gather(&own),
            None => own,
        }
    }

    /// Returns the first rank's values, so that all ranks decide alike: processors may round differently.
    pub(super) fn first(&self, own: Vec<f32>) -> Vec<f32> {
        let count = own.len();
        let mut all = self.gather(own);
        all.truncate(count);
        all
    }

    /// Returns the sums over the ranks. Each is computed by one rank and copied to the others, so that all have the same bits.
    pub fn sum(&self, mut values: Vec<f32>) -> Vec<f32> {
        let Some(collective) = &self.0 else { return values };
        let count = values.len();
        values.resize(count.next_multiple_of(self.size()), 0.0);
        let mut sums = collective.all_gather(&collective.reduce_scatter(&values));
        sums.truncate(count);
        sums
    }

    /// Returns the features of the whole batch, without a graph.
    ///
    /// # Shapes
    /// - own: `[rows, embed_dim]`
    /// - output: `[batch, embed_dim]`
    ///
    /// # Errors
    /// `device-failed`.
    pub(super) async fn gather_features(&self, own: Tensor<2>) -> Result<Tensor<2>> {
        if !self.are_several() {
            return Ok(own);
        }
        let ([rows, dim], device) = (own.dims(), own.device());
        let values = self.gather(read(own).await?);
        Ok(Tensor::from_data(TensorData::new(values, [rows * self.size(), dim]), &device))
    }

    /// Sums the gradients that all ranks have at the features of the batch; returns those at the own rows.
    ///
    /// # Shapes
    /// - gradient: `[batch, embed_dim]`
    /// - output: `[rows, embed_dim]`
    ///
    /// # Errors
    /// `device-failed`.
    pub(super) async fn scatter_gradient(&self, gradient: Tensor<2>) -> Result<Tensor<2>> {
        let Some(collective) = &self.0 else { return Ok(gradient) };
        let ([batch, dim], device) = (gradient.dims(), gradient.device());
        let values = collective.reduce_scatter(&read(gradient).await?);
        Ok(Tensor::from_data(TensorData::new(values, [batch / self.size(), dim]), &device))
    }

    /// Returns the sum of a tensor over the ranks.
    ///
    /// # Errors
    /// `device-failed`.
    pub(super) async fn sum_tensor(&self, own: Tensor<1>) -> Result<Tensor<1>> {
        if !self.are_several() {
            return Ok(own);
        }
        let device = own.device();
        Ok(flat(self.sum(read(own).await?), &device))
    }

    /// Sums the gradients of a model over the ranks, in buckets of whole tensors. Burn returns them when its backward pass is over, and
    /// the step needs the norm of all of them: there is no work left to do meanwhile.
    ///
    /// # Errors
    /// `device-failed`.
    pub(super) async fn sum_gradients(&self, model: &Clip, gradients: GradientsParams) -> Result<GradientsParams> {
        if !self.are_several() {
            return Ok(gradients);
        }
        let mut take = Take { gradients, taken: Vec::new() };
        visit_params(model, &mut take);
        let counts: Vec<usize> = take.taken.iter().map(|(_, tensor)| tensor.dims()[0]).collect();
        let (mut tensors, mut sums, device) = (take.taken.into_iter(), Vec::new(), model.device().inner());
        for bucket in buckets(&counts) {
            let (ids, tensors): (Vec<_>, Vec<_>) = tensors.by_ref().take(bucket.len()).unzip();
            // read at once: each read waits for the device
            let own = read(Tensor::cat(tensors, 0)).await?;
            let mut values = self.sum(own).into_iter();
            for (id, &count) in ids.into_iter().zip(bucket) {
                sums.push((id, flat(values.by_ref().take(count).collect(), &device)));
            }
        }
        let mut put = Put { sums: sums.into_iter().peekable(), gradients: GradientsParams::new() };
        visit_params(model, &mut put);
        Ok(put.gradients)
    }
}

/// Refuses a batch that does not fall into equal parts.
///
/// # Errors
/// `invalid-option`.
pub(super) fn check_shares(batch: usize, ranks: usize) -> Result<()> {
    if batch.is_multiple_of(ranks) {
        return Ok(());
    }
    let expected = format!("a multiple of the {ranks} ranks that share each batch");
    Err(ClipError::invalid_option("batchSize", &expected, batch))
}

/// Groups tensors, given their numbers of values, into buckets that are summed at once. A tensor that is larger than a bucket is alone.
pub(super) fn buckets(counts: &[usize]) -> impl Iterator<Item = &[usize]> {
    let mut rest = counts;
    std::iter::from_fn(move || {
        let mut filled = 0;
        let fits = |count: &&usize| {
            filled += **count;
            filled <= BUCKET
        };
        let (bucket, after) = rest.split_at_checked(rest.iter().take_while(fits).count().max(1))?;
        rest = after;
        Some(bucket)
    })
}

fn flat(values: Vec<f32>, device: &Device) -> Tensor<1> {
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]), device)
}

/// Takes the gradients out, flat, in f32 and in the order of the parameters, which is that of all ranks.
struct Take {
    gradients: GradientsParams,
    taken: Vec<(ParamId, Tensor<1>)>,
}

impl ParamVisitor for Take {
    fn visit<const D: usize>(&mut self, _path: &str, param: &Param<Tensor<D>>) {
        let Some(gradient) = self.gradients.remove::<D>(param.id) else { return };
        let count = gradient.dims().iter().product::<usize>();
        self.taken.push((param.id, gradient.cast(FloatDType::F32).reshape([count]))); // flat
    }
}

/// Puts their sums in.
struct Put<I: Iterator> {
    sums: Peekable<I>,
    gradients: GradientsParams,
}

impl<I: Iterator<Item = (ParamId, Tensor<1>)>> ParamVisitor for Put<I> {
    fn visit<const D: usize>(&mut self, _path: &str, param: &Param<Tensor<D>>) {
        if let Some((id, sum)) = self.sums.next_if(|(id, _)| *id == param.id) {
            self.gradients.register(id, sum.reshape(param.base().dims())); // the parameter's shape
        }
    }
}

/// Ranks as threads, for tests.
#[cfg(test)]
pub(super) mod testing {
    use std::sync::{Barrier, Mutex, PoisonError};

    use super::*;

    struct Shared {
        barrier: Barrier,
        slots: Mutex<Vec<Vec<f32>>>,
    }

    struct Thread {
        rank: usize,
        shared: Arc<Shared>,
    }

    impl Thread {
        /// Returns what all ranks brought.
        fn exchange(&self, own: &[f32]) -> Vec<Vec<f32>> {
            let slots = || self.shared.slots.lock().unwrap_or_else(PoisonError::into_inner);
            slots()[self.rank] = own.to_vec();
            self.shared.barrier.wait();
            let all = slots().clone();
            self.shared.barrier.wait();
            all
        }
    }

    impl Collective for Thread {
        fn size(&self) -> usize {
            self.shared.slots.lock().unwrap_or_else(PoisonError::into_inner).len()
        }

        fn rank(&self) -> usize {
            self.rank
        }

        fn all_gather(&self, own: &[f32]) -> Vec<f32> {
            self.exchange(own).concat()
        }

        fn reduce_scatter(&self, values: &[f32]) -> Vec<f32> {
            let all = self.exchange(values);
            let count = values.len() / all.len();
            (self.rank * count..(self.rank + 1) * count).map(|at| all.iter().map(|values| values[at]).sum()).collect()
        }
    }

    /// Runs each rank on a thread of its own; returns their results.
    pub(in crate::train) fn on_ranks<T: Send>(size: usize, work: impl Fn(Ranks) -> T + Sync) -> Vec<T> {
        let shared = Arc::new(Shared { barrier: Barrier::new(size), slots: Mutex::new(vec![Vec::new(); size]) });
        std::thread::scope(|scope| {
            let ranks: Vec<_> = (0..size)
                .map(|rank| {
                    let ranks = Ranks::new(Arc::new(Thread { rank, shared: shared.clone() }));
                    let work = &work;
                    scope.spawn(move || work(ranks))
                })
                .collect();
            ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{LossOptions, Trainer};
    use super::testing::on_ranks;
    use super::*;
    use crate::checkpoint::{Header, Layout, save_gradients};
    use crate::config::ClipConfig;
    use crate::device::{block_on_cpu as now, cpu};
    use crate::model::TextBatch;

    const CONFIG: &str = r#"{"embedDim": 8,
        "vision": {"imageSize": 16, "patchSize": 4, "width": 16, "layers": 2, "heads": 2},
        "text": {"contextLength": 6, "vocabSize": 20, "width": 16, "layers": 2, "heads": 2}}"#;

    /// Loss and gradients of eight pairs, two of which have the same caption.
    fn gradients(config: &str, options: &LossOptions, ranks: Ranks) -> Vec<(String, Vec<f32>)> {
        let config = ClipConfig::from_json(config).unwrap();
        let pixels: Vec<f32> = (0..8 * 3 * 256).map(|i| (i as f32 * 0.7).sin()).collect();
        let ids: Vec<i32> = (0..48).map(|i| if i % 6 == 5 { 19 } else { (i % 42) % 17 }).collect();
        let texts = TextBatch::new(&ids, 8, &config.text).unwrap();
        assert_eq!(texts.first_alike()[7], 0);
        let mut trainer = Trainer::new(config.init(1, &cpu().autodiff()));
        trainer.set_ranks(ranks);
        let images = Tensor::from_data(TensorData::new(pixels, [8, 3, 16, 16]), &cpu());
        let (loss, gradients) = now(trainer.gradients(&(images, texts), options)).unwrap();
        let file = now(save_gradients(trainer.model(), &config, &gradients, Layout::OpenClip)).unwrap();
        let header = Header::parse(&file, file.len() as u64).unwrap();
        let mut named: Vec<(String, Vec<f32>)> = header
            .names()
            .map(|name| {
                let (begin, end) = header.bytes_of(header.tensor(name).unwrap());
                let values = file[begin as usize..end as usize].as_chunks().0;
                (name.to_owned(), values.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect())
            })
            .collect();
        named.sort_by(|a, b| a.0.cmp(&b.0));
        named.push(("loss".into(), vec![loss]));
        named
    }

    /// Largest difference of each tensor, as a share of its largest value.
    fn assert_near(got: &[(String, Vec<f32>)], expected: &[(String, Vec<f32>)]) {
        assert_eq!(got.len(), expected.len());
        for ((name, got), (_, expected)) in got.iter().zip(expected) {
            let largest = expected.iter().fold(0f32, |most, value| most.max(value.abs()));
            assert!(largest > 0.0, "{name} has no gradient");
            let worst = got.iter().zip(expected).fold(0f32, |most, (a, b)| most.max((a - b).abs()));
            assert!(worst <= 2e-5 * largest, "{name}: {worst} of {largest}");
        }
    }

    #[test]
    fn any_number_of_ranks_has_the_gradients_of_one() {
        let micro = LossOptions { micro_batch_size: Some(1), ..LossOptions::default() };
        let all = LossOptions {
            micro_batch_size: Some(3),
            activation_checkpointing: true,
            label_smoothing: 0.1,
            mask_duplicates: true,
            patch_dropout: 0.5,
            seed: 3,
            ..LossOptions::default()
        };
        let sigmoid = CONFIG.replacen('{', r#"{"objective": "sigmoid", "#, 1);
        for (config, options) in [
            (CONFIG, LossOptions::default()),
            (CONFIG, micro),
            (CONFIG, all),
            (&sigmoid, LossOptions::default()),
            (&sigmoid, LossOptions { label_smoothing: 0.0, ..all }),
        ] {
            let expected = gradients(config, &options, Ranks::default());
            for size in [2, 4, 8] {
                let got = on_ranks(size, |ranks| gradients(config, &options, ranks));
                assert_near(&got[0], &expected);
                assert!(got.iter().all(|other| *other == got[0]), "ranks differ");
            }
        }
    }

    #[test]
    fn sums_have_any_length_and_are_the_same_on_all_ranks() {
        for sums in on_ranks(4, |ranks| ranks.sum((0..7).map(|i| (i + ranks.rank()) as f32).collect())) {
            assert_eq!(sums, [6.0, 10.0, 14.0, 18.0, 22.0, 26.0, 30.0]);
        }
        assert_eq!(Ranks::default().sum(vec![1.5]), [1.5]);
    }

    #[test]
    fn buckets_hold_whole_tensors() {
        let got = |counts: &[usize]| -> Vec<Vec<usize>> { buckets(counts).map(<[usize]>::to_vec).collect() };
        assert_eq!(got(&[BUCKET - 1, 1, 1]), [vec![BUCKET - 1, 1], vec![1]]);
        assert_eq!(got(&[3, BUCKET + 1, 2, 4]), [vec![3], vec![BUCKET + 1], vec![2, 4]]);
        assert!(got(&[]).is_empty());
    }

    #[test]
    fn a_batch_that_the_ranks_cannot_share_is_refused() {
        for error in on_ranks(3, |ranks| ranks.check(8).unwrap_err()) {
            assert_eq!(error.code(), "invalid-option");
            assert!(error.to_string().contains("a multiple of the 3 ranks"), "{error}");
        }
        assert!(on_ranks(2, |ranks| ranks.check(8).is_ok()).into_iter().all(|ok| ok));
    }
}
