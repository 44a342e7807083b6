//! Random vectors, and search as anyone would write it, for tests.

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;

use crate::{Codec, Rows, Storage};

pub(crate) const STORAGES: [Storage; 3] = [Storage::F32, Storage::F16, Storage::Int8];

pub(crate) fn random(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// Vectors in all directions.
pub(crate) fn vectors(count: usize, dimension: usize, seed: u64) -> Vec<Vec<f32>> {
    let mut random = random(seed);
    (0..count).map(|_| (0..dimension).map(|_| random.sample(StandardNormal)).collect()).collect()
}

/// Vectors around `clusters` centres, as embeddings lie: each a centre and noise of `spread` times its length.
pub(crate) fn clustered(count: usize, dimension: usize, clusters: usize, spread: f32, seed: u64) -> Vec<Vec<f32>> {
    let centres = vectors(clusters, dimension, seed);
    let noise = vectors(count, dimension, seed + 1);
    let of = |(i, noise): (usize, Vec<f32>)| {
        noise.iter().zip(&centres[i % clusters]).map(|(noise, centre)| centre + spread * noise).collect()
    };
    noise.into_iter().enumerate().map(of).collect()
}

/// Rows in storage form, one after another.
pub(crate) fn encoded(codec: &Codec, vectors: &[Vec<f32>]) -> Vec<u8> {
    let mut bytes = vec![0; vectors.len() * codec.row_bytes()];
    for (row, (vector, bytes)) in vectors.iter().zip(bytes.chunks_exact_mut(codec.row_bytes())).enumerate() {
        codec.encode(row, &mut vector.clone(), bytes).unwrap();
    }
    bytes
}

/// The unit vector that a row in storage form stands for.
pub(crate) fn decoded(codec: &Codec, vector: &[f32]) -> Vec<f32> {
    let bytes = encoded(codec, &[vector.to_vec()]);
    let mut unit = vec![0.0; codec.dimension()];
    codec.decode(0, &bytes, &mut unit).unwrap();
    unit
}

pub(crate) fn put(rows: &mut Rows, slots: &[u32], vectors: &[Vec<f32>]) {
    let bytes = encoded(rows.codec(), vectors);
    let width = rows.codec().row_bytes();
    rows.put(slots, |row, to| to.copy_from_slice(&bytes[row * width..][..width])).unwrap();
}

/// Rows in the first slots.
pub(crate) fn rows_of(storage: Storage, vectors: &[Vec<f32>]) -> Rows {
    let mut rows = Rows::new(Codec::new(vectors[0].len(), storage).unwrap());
    let slots: Vec<u32> = (0..vectors.len() as u32).collect();
    put(&mut rows, &slots, vectors);
    rows
}

/// Cosine similarity in f64.
pub(crate) fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// All slots, the best first, with their scores.
pub(crate) fn ranked<'a>(query: &[f32], rows: impl IntoIterator<Item = (u32, &'a Vec<f32>)>) -> Vec<(u32, f64)> {
    let mut ranked: Vec<_> = rows.into_iter().map(|(slot, row)| (slot, cosine(query, row))).collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    ranked
}
