//! Spherical k-means: rows by the nearest of `k` directions, each the mean of its rows.
//!
//! Seeded as k-means++ does it (Arthur and Vassilvitskii, 2007): squared distances of unit vectors are `2 - 2 cos`.

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use crate::element::{Element, GROUP, bits};
use crate::error::{IndexError, Result, list, zeros};
use crate::rows::{Rows, on};
use crate::storage::normalize;
use crate::table::Table;

/// Cluster of a slot without a row, or of one that came later.
const NONE: u32 = u32::MAX;
/// Groups of rows that a step assigns.
const GROUPS_PER_STEP: usize = 16;

/// A run of spherical k-means, in steps. It needs 8 bytes a slot, and 8 bytes a value of `k` vectors.
///
/// Rows may change between steps: clusters are those of the rows that are there when they are assigned.
pub struct Clusters {
    k: usize,
    iterations: usize,
    random: ChaCha8Rng,
    /// Unit vectors, one after another: `k` once they are all chosen.
    centroids: Vec<f32>,
    /// Sums of the rows assigned in this iteration.
    sums: Vec<f32>,
    /// The cluster of each slot.
    labels: Vec<u32>,
    /// Squared distance of each slot to the nearest centroid that is chosen.
    distances: Vec<f32>,
    /// Iterations that are done.
    done: usize,
    /// The group of rows to be assigned next.
    next: usize,
    /// Whether a row changed its cluster in this iteration.
    changed: bool,
}

/// What a run came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Clustering {
    /// Slots with a row, ascending.
    pub slots: Vec<u32>,
    /// The cluster of each of these, from 0.
    pub labels: Vec<u32>,
    /// Unit vectors of the clusters, one after another. There are fewer than `k` where there are fewer different rows.
    pub centroids: Vec<f32>,
}

impl Clusters {
    /// Begins a run of at most so many iterations, which ends before where no row changes its cluster.
    ///
    /// # Errors
    /// `InvalidOption` for `k` of 0 or above the number of rows, or for no iterations; `OutOfMemory`
    pub fn new(rows: &Rows, k: usize, iterations: usize, seed: u64) -> Result<Self> {
        let option = |option, expected: String, got: usize| {
            Err(IndexError::InvalidOption { option, expected, got: got.to_string() })
        };
        if k == 0 || k > rows.len() {
            return option("k", format!("1 to {}, the number of vectors", rows.len()), k);
        }
        if iterations == 0 {
            return option("iterations", "at least 1".into(), iterations);
        }
        let mut labels = list("clusters", rows.slots())?;
        labels.resize(rows.slots(), NONE);
        let mut distances = list("clusters", rows.slots())?;
        // farther than any: the first centroid is any row
        distances.resize(rows.slots(), f32::MAX);
        Ok(Self {
            k,
            iterations,
            random: ChaCha8Rng::seed_from_u64(seed),
            centroids: list("clusters", k * rows.codec().dimension())?,
            sums: zeros("clusters", k * rows.codec().dimension())?,
            labels,
            distances,
            done: 0,
            next: 0,
            changed: false,
        })
    }

    /// Chooses a centroid, or assigns up to 1,024 rows; returns about how much is done, 1 at the end.
    ///
    /// # Errors
    /// `OutOfMemory`
    pub fn step(&mut self, rows: &Rows) -> Result<f64> {
        let dimension = rows.codec().dimension();
        if self.centroids.len() < self.k * dimension && self.done == 0 && self.next == 0 {
            return self.choose(rows);
        }
        if self.done == self.iterations {
            return Ok(1.0);
        }
        let groups = self.next..(self.next + GROUPS_PER_STEP).min(self.labels.len() / GROUP);
        self.next = groups.end;
        on!(&rows.table, table => table.assign(groups, dimension, self))?;
        if self.next == self.labels.len() / GROUP {
            self.finish_iteration(dimension);
        }
        Ok(self.progress())
    }

    /// Share of the work, an assignment to `k` centroids being that of choosing them.
    fn progress(&self) -> f64 {
        let iteration = self.next as f64 / (self.labels.len() / GROUP).max(1) as f64;
        ((1.0 + self.done as f64 + iteration) / (1.0 + self.iterations as f64)).min(1.0)
    }

    /// Chooses a row as a centroid, with the probability of its squared distance to the nearest one before.
    fn choose(&mut self, rows: &Rows) -> Result<f64> {
        let dimension = rows.codec().dimension();
        let filled = rows.filled()?;
        let weight = |slot: &u32| self.distances.get(*slot as usize).map_or(0.0, |&distance| f64::from(distance));
        let total: f64 = filled.iter().map(weight).sum();
        let mut left = self.random.random::<f64>() * total;
        let chosen = filled.iter().filter(|slot| weight(slot) > 0.0).find(|slot| {
            left -= weight(slot);
            left <= 0.0
        });
        let Some(&chosen) = chosen.filter(|_| total > 0.0) else {
            // all rows are centroids: there are no more to be had
            self.k = self.centroids.len() / dimension;
            self.done = if self.k == 0 { self.iterations } else { 0 };
            return Ok(self.progress());
        };
        let mut unit = zeros("a vector", dimension)?;
        on!(&rows.table, table => {
            let (block, row) = table.filled(chosen)?;
            block.group(row / GROUP, table.steps).unit(row % GROUP, &mut unit);
            table.measure(&unit, &mut self.distances);
        });
        self.centroids.extend_from_slice(&unit);
        Ok(self.centroids.len() as f64 / (self.k * dimension) as f64 / (1.0 + self.iterations as f64))
    }

    /// Moves the centroids to the means of their rows.
    fn finish_iteration(&mut self, dimension: usize) {
        for (sum, centroid) in self.sums.chunks_exact_mut(dimension).zip(self.centroids.chunks_exact_mut(dimension)) {
            // one without rows stays where it is, as does one whose rows cancel out
            if normalize(sum).is_ok() {
                centroid.copy_from_slice(sum);
            }
        }
        self.sums.fill(0.0);
        self.done = if self.changed { self.done + 1 } else { self.iterations };
        (self.next, self.changed) = (0, false);
    }

    /// The clusters so far, of the rows that are assigned.
    ///
    /// # Errors
    /// `OutOfMemory`
    pub fn clustering(&self, rows: &Rows) -> Result<Clustering> {
        let mut slots = rows.filled()?;
        let label = |slot: u32| self.labels.get(slot as usize).copied().unwrap_or(NONE);
        slots.retain(|&slot| label(slot) != NONE);
        let mut labels = list("clusters", slots.len())?;
        labels.extend(slots.iter().map(|&slot| label(slot)));
        let mut centroids = list("clusters", self.centroids.len())?;
        centroids.extend_from_slice(&self.centroids);
        Ok(Clustering { slots, labels, centroids })
    }
}

impl<E: Element> Table<E> {
    /// Lowers squared distances to those to a centroid.
    fn measure(&self, centroid: &[f32], distances: &mut [f32]) {
        let query = E::query(centroid);
        for (i, group) in self.groups(0) {
            let Some(distances) = distances.get_mut(i * GROUP..(i + 1) * GROUP) else { break };
            let scores = E::scores(&query, group.values, group.scales, group.live);
            for j in bits(group.live) {
                // equal rows are at distance 0, but for rounding
                let distance = 2.0 - 2.0 * scores[j];
                distances[j] = distances[j].min(if distance < 1e-4 { 0.0 } else { distance });
            }
        }
    }

    /// Assigns the rows of some groups to their nearest centroids, and adds them up.
    fn assign(&self, groups: core::ops::Range<usize>, dimension: usize, run: &mut Clusters) -> Result<()> {
        let mut queries = list("queries", run.k)?;
        queries.extend(run.centroids.chunks_exact(dimension).map(E::query));
        let mut unit = zeros("a vector", dimension)?;
        for (i, group) in self.groups(groups.start).take_while(|(i, _)| *i < groups.end) {
            let (mut best, mut nearest) = ([f32::NEG_INFINITY; GROUP], [0; GROUP]);
            for (label, query) in (0..).zip(&queries) {
                let scores = E::scores(query, group.values, group.scales, group.live);
                for j in 0..GROUP {
                    if scores[j] > best[j] {
                        (best[j], nearest[j]) = (scores[j], label);
                    }
                }
            }
            for j in bits(group.live) {
                let label = &mut run.labels[i * GROUP + j];
                run.changed |= *label != nearest[j];
                *label = nearest[j];
                group.unit(j, &mut unit);
                let sum = &mut run.sums[nearest[j] as usize * dimension..][..dimension];
                for (sum, x) in sum.iter_mut().zip(&unit) {
                    *sum += x;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::Storage;
    use crate::testing::{STORAGES, clustered, cosine, put, rows_of, vectors};

    /// Runs to the end; returns the steps, too.
    fn run(rows: &Rows, k: usize, iterations: usize, seed: u64) -> (Clustering, usize) {
        let mut clusters = Clusters::new(rows, k, iterations, seed).unwrap();
        let (mut progress, mut steps) = (0.0, 0);
        while progress < 1.0 {
            let before = progress;
            progress = clusters.step(rows).unwrap();
            assert!(progress >= before && progress <= 1.0, "{before} {progress}");
            steps += 1;
        }
        (clusters.clustering(rows).unwrap(), steps)
    }

    /// Sum of the similarities of rows to the centroids of their clusters.
    fn cohesion(Clustering { slots, labels, centroids }: &Clustering, vectors: &[Vec<f32>]) -> f64 {
        let dimension = vectors[0].len();
        let centroid = |label: u32| &centroids[label as usize * dimension..][..dimension];
        slots.iter().zip(labels).map(|(&slot, &label)| cosine(&vectors[slot as usize], centroid(label))).sum()
    }

    #[test]
    fn clusters_that_lie_apart_are_found() {
        let vectors = clustered(3000, 48, 12, 0.2, 30);
        for storage in STORAGES {
            let (clustering, _) = run(&rows_of(storage, &vectors), 12, 20, 1);
            assert_eq!(clustering.slots, (0..3000).collect::<Vec<_>>());
            // rows of a centre have one label, and those of two centres have two
            let mut labels = BTreeMap::new();
            for (slot, label) in clustering.slots.iter().zip(&clustering.labels) {
                assert_eq!(labels.entry(slot % 12).or_insert(label), &label);
            }
            assert_eq!(labels.values().collect::<std::collections::BTreeSet<_>>().len(), 12);
        }
    }

    #[test]
    fn rows_are_with_the_nearest_centroid_and_centroids_are_the_means_of_their_rows() {
        let vectors = vectors(700, 8, 31);
        let (clustering, steps) = run(&rows_of(Storage::F32, &vectors), 9, 500, 2);
        // ended because nothing changed
        assert!(steps < 400, "{steps}");
        let centroids: Vec<_> = clustering.centroids.chunks_exact(8).collect();
        let mut sums = vec![[0.0f64; 8]; 9];
        for (vector, &label) in vectors.iter().zip(&clustering.labels) {
            let own = cosine(vector, centroids[label as usize]);
            assert!(centroids.iter().all(|centroid| cosine(vector, centroid) <= own + 1e-6));
            let length = vector.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
            for (sum, &x) in sums[label as usize].iter_mut().zip(vector) {
                *sum += f64::from(x) / length;
            }
        }
        for (sum, centroid) in sums.iter().zip(centroids) {
            let mean = sum.map(|x| x as f32);
            assert!(cosine(&mean, centroid) > 0.999_99);
        }
    }

    #[test]
    fn iterations_bring_rows_nearer_and_a_seed_gives_the_same_again() {
        let vectors = clustered(1000, 32, 40, 0.8, 32);
        let rows = rows_of(Storage::F16, &vectors);
        let [one, five, twenty] = [1, 5, 20].map(|iterations| run(&rows, 10, iterations, 3).0);
        let [a, b, c] = [&one, &five, &twenty].map(|clustering| cohesion(clustering, &vectors));
        assert!(a < b && b <= c, "{a} {b} {c}");
        assert_eq!(run(&rows, 10, 20, 3).0, twenty);
        assert_ne!(run(&rows, 10, 20, 4).0, twenty);
    }

    #[test]
    fn there_are_no_more_clusters_than_different_rows() {
        for storage in STORAGES {
            let three = vectors(3, 16, 33);
            let many: Vec<_> = (0..200).map(|i| three[i % 3].clone()).collect();
            let (clustering, _) = run(&rows_of(storage, &many), 5, 10, 5);
            assert_eq!(clustering.centroids.len(), 3 * 16);
            assert!((cohesion(&clustering, &many) - 200.0).abs() < 0.1);
        }
    }

    #[test]
    fn rows_may_come_and_go_meanwhile() {
        let mut rows = rows_of(Storage::Int8, &vectors(3000, 16, 34));
        let mut clusters = Clusters::new(&rows, 4, 3, 6).unwrap();
        for step in 0.. {
            if clusters.step(&rows).unwrap() == 1.0 {
                break;
            }
            rows.remove(&[step, 2999 - step]);
            put(&mut rows, &[2_000_000 + step], &vectors(1, 16, 35));
        }
        let clustering = clusters.clustering(&rows).unwrap();
        assert!(clustering.slots.iter().all(|&slot| (4..2996).contains(&slot)));
        assert_eq!(clustering.labels.len(), clustering.slots.len());
        assert!(clustering.labels.iter().all(|&label| label < 4));
        // nothing left
        let mut clusters = Clusters::new(&rows, 2, 3, 7).unwrap();
        rows.remove(&rows.filled().unwrap());
        while clusters.step(&rows).unwrap() < 1.0 {}
        assert!(clusters.clustering(&rows).unwrap().slots.is_empty());
    }

    #[test]
    fn options_are_checked() {
        let rows = rows_of(Storage::F32, &vectors(3, 4, 36));
        for (k, iterations) in [(0, 5), (4, 5), (2, 0)] {
            assert!(matches!(Clusters::new(&rows, k, iterations, 0), Err(IndexError::InvalidOption { .. })));
        }
    }
}
