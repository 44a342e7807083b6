//! Bindings of clip-index: a Wasm module of its own, which the index's worker alone loads.
//!
//! Arrays are read where JavaScript has them, row by row: a copy of a large one would enlarge the module's memory for good, and
//! wasm-bindgen ends the instance where it finds no memory for one.

use clip_index::{Clustering, Codec, Groups, Hits, IndexError, Rows, Storage, zeros};
use js_sys::{Float32Array, Object, Reflect, Uint8Array, Uint32Array};
use wasm_bindgen::prelude::*;

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/** How vectors are kept: 4, 2 or 1 bytes a value. */
export type Storage = "f32" | "f16" | "int8";

/** The best vectors for each of some queries, one query after another: the best score first, the lower slot first among equals. */
export interface Hits {
  /** Queries times hits. */
  slots: Uint32Array<ArrayBuffer>;
  /** Cosine similarities, as many as slots. */
  scores: Float32Array<ArrayBuffer>;
}

/** Groups of two or more near-duplicates, one after another in the order of their lowest slots. */
export interface Groups {
  /** Ascending in each group. */
  slots: Uint32Array<ArrayBuffer>;
  /** Where each group ends in `slots`. */
  ends: Uint32Array<ArrayBuffer>;
}

/** Vectors by clusters. */
export interface Clustering {
  /** Ascending. */
  slots: Uint32Array<ArrayBuffer>;
  /** The cluster of each slot, from 0. */
  labels: Uint32Array<ArrayBuffer>;
  /** Unit vectors of the clusters, one after another: fewer than asked for where there are fewer different vectors. */
  centroids: Float32Array<ArrayBuffer>;
}
"#;

type JsResult<T> = Result<T, JsValue>;

/// Unit vectors of one dimension in memory, each in a slot that the caller chose. Memory is reserved in blocks of about 1 MiB for
/// neighbouring slots: those of removed vectors should be filled again before others.
#[wasm_bindgen]
pub struct Vectors(Rows);

#[wasm_bindgen]
impl Vectors {
    /// Without vectors.
    #[wasm_bindgen(constructor)]
    pub fn new(dimension: usize, #[wasm_bindgen(unchecked_param_type = "Storage")] storage: &str) -> JsResult<Self> {
        Ok(Self(Rows::new(codec(dimension, storage)?)))
    }

    /// Number of vectors.
    #[wasm_bindgen(getter)]
    pub fn length(&self) -> usize {
        self.0.len()
    }

    /// Bytes that were reserved for vectors.
    #[wasm_bindgen(getter)]
    pub fn bytes(&self) -> usize {
        self.0.bytes()
    }

    /// Bytes of a vector in storage form.
    #[wasm_bindgen(getter, js_name = rowBytes)]
    pub fn row_bytes(&self) -> usize {
        self.0.codec().row_bytes()
    }

    /// Fills slots, whatever is in them, with vectors in storage form. Throws `out-of-memory` before it fills any; throws
    /// `index-damaged` for a row that `VectorCodec` did not encode: those before it are there, and its own slot is empty.
    pub fn put(&mut self, slots: &Uint32Array, rows: &Uint8Array) -> JsResult<()> {
        let width = self.row_bytes();
        let slots = from_u32(slots, "slots")?;
        let count = count_of("rows", rows.length(), width)?;
        if count != slots.len() {
            let expected = format!("{} rows of {width} bytes, one a slot", slots.len());
            return Err(to_js(IndexError::ShapeMismatch { what: "rows", expected, got: count }));
        }
        self.0.put(&slots, |row, bytes| row_of(rows, row, width).copy_to(bytes)).map_err(to_js)
    }

    /// Empties slots, and returns how many of them held a vector.
    pub fn remove(&mut self, slots: &Uint32Array) -> JsResult<usize> {
        Ok(self.0.remove(&from_u32(slots, "slots")?))
    }

    /// The vectors in these slots, in storage form.
    pub fn get(&self, slots: &Uint32Array) -> JsResult<Uint8Array> {
        let width = self.row_bytes();
        let slots = from_u32(slots, "slots")?;
        let mut bytes = zeros("a row", width).map_err(to_js)?;
        let rows = Uint8Array::new_with_length((slots.len() * width) as u32);
        for (i, slot) in slots.into_iter().enumerate() {
            self.0.get(slot, &mut bytes).map_err(to_js)?;
            row_of(&rows, i, width).copy_from(&bytes);
        }
        Ok(rows)
    }

    /// The `k` best vectors, or all if there are fewer, for each of one or more queries. With `allowed`, only among slots whose bit is
    /// set: bit `slot & 7` of byte `slot >> 3`; bytes that it lacks allow none.
    #[wasm_bindgen(unchecked_return_type = "Hits")]
    pub fn search(&self, queries: &Float32Array, k: usize, allowed: Option<Uint8Array>) -> JsResult<JsValue> {
        let allowed = allowed.map(|bits| from_u8(&bits, "allowed slots")).transpose()?;
        let Hits { slots, scores } =
            self.0.search(&from_f32(queries, "queries")?, k, allowed.as_deref()).map_err(to_js)?;
        let hits = Object::new();
        set(&hits, "slots", &Uint32Array::from(&slots[..]));
        set(&hits, "scores", &Float32Array::from(&scores[..]));
        Ok(hits.into())
    }

    /// Cosine similarities of a query to the vectors in these slots.
    pub fn scores(&self, query: &Float32Array, slots: &Uint32Array) -> JsResult<Float32Array> {
        let scores = self.0.scores(&from_f32(query, "query")?, &from_u32(slots, "slots")?).map_err(to_js)?;
        Ok(Float32Array::from(&scores[..]))
    }
}

/// Converts vectors to a storage form, and back.
#[wasm_bindgen]
pub struct VectorCodec(Codec);

#[wasm_bindgen]
impl VectorCodec {
    /// For vectors of a dimension.
    #[wasm_bindgen(constructor)]
    pub fn new(dimension: usize, #[wasm_bindgen(unchecked_param_type = "Storage")] storage: &str) -> JsResult<Self> {
        codec(dimension, storage).map(Self)
    }

    /// Bytes of a vector.
    #[wasm_bindgen(getter, js_name = rowBytes)]
    pub fn row_bytes(&self) -> usize {
        self.0.row_bytes()
    }

    /// Normalizes vectors, and converts them. Throws `invalid-vector` for one with NaN or an infinity, or of zeros alone.
    pub fn encode(&self, vectors: &Float32Array) -> JsResult<Uint8Array> {
        let (dimension, width) = (self.0.dimension(), self.0.row_bytes());
        let count = count_of("vectors", vectors.length(), dimension)?;
        let (mut values, mut bytes) = self.buffers()?;
        let rows = Uint8Array::new_with_length((count * width) as u32);
        for row in 0..count {
            vector_of(vectors, row, dimension).copy_to(&mut values);
            self.0.encode(row, &mut values, &mut bytes).map_err(to_js)?;
            row_of(&rows, row, width).copy_from(&bytes);
        }
        Ok(rows)
    }

    /// The unit vectors of rows in storage form.
    pub fn decode(&self, rows: &Uint8Array) -> JsResult<Float32Array> {
        let (dimension, width) = (self.0.dimension(), self.0.row_bytes());
        let count = count_of("rows", rows.length(), width)?;
        let (mut values, mut bytes) = self.buffers()?;
        let vectors = Float32Array::new_with_length((count * dimension) as u32);
        for row in 0..count {
            row_of(rows, row, width).copy_to(&mut bytes);
            self.0.decode(row, &bytes, &mut values).map_err(to_js)?;
            vector_of(&vectors, row, dimension).copy_from(&values);
        }
        Ok(vectors)
    }

    /// Cosine similarities of a query to rows in storage form, such as the exact ones of an int8 search's best.
    pub fn scores(&self, query: &Float32Array, rows: &Uint8Array) -> JsResult<Float32Array> {
        count_of("rows", rows.length(), self.0.row_bytes())?;
        let scores = self.0.scores(&from_f32(query, "query")?, &from_u8(rows, "rows")?).map_err(to_js)?;
        Ok(Float32Array::from(&scores[..]))
    }

    /// Memory for a vector, and for its bytes.
    fn buffers(&self) -> JsResult<(Vec<f32>, Vec<u8>)> {
        let values = zeros("a vector", self.0.dimension()).map_err(to_js)?;
        Ok((values, zeros("a row", self.0.row_bytes()).map_err(to_js)?))
    }
}

/// A search for groups of near-duplicates, which are joined by pairs whose cosine similarity reaches a threshold. Each vector is compared
/// with each, in steps, between which vectors may come and go: removed ones are in no group, later ones perhaps not in theirs.
#[wasm_bindgen]
pub struct Duplicates(clip_index::Duplicates);

#[wasm_bindgen]
impl Duplicates {
    /// Begins a search; `threshold` is above 0 and at most 1.
    #[wasm_bindgen(constructor)]
    pub fn new(vectors: &Vectors, threshold: f32) -> JsResult<Self> {
        clip_index::Duplicates::new(&vectors.0, threshold).map(Self).map_err(to_js)
    }

    /// Compares up to 64 vectors with all later ones; returns which share of all pairs is compared, 1 at the end.
    pub fn step(&mut self, vectors: &Vectors) -> JsResult<f64> {
        self.0.step(&vectors.0).map_err(to_js)
    }

    /// The groups that were found so far.
    #[wasm_bindgen(unchecked_return_type = "Groups")]
    pub fn groups(&mut self, vectors: &Vectors) -> JsResult<JsValue> {
        let Groups { slots, ends } = self.0.groups(&vectors.0).map_err(to_js)?;
        let groups = Object::new();
        set(&groups, "slots", &Uint32Array::from(&slots[..]));
        set(&groups, "ends", &Uint32Array::from(&ends[..]));
        Ok(groups.into())
    }
}

/// A run of spherical k-means, in steps, between which vectors may come and go.
#[wasm_bindgen]
pub struct Clusters(clip_index::Clusters);

#[wasm_bindgen]
impl Clusters {
    /// Begins a run for `k` clusters, of at most so many iterations. The same vectors and seed give the same clusters.
    #[wasm_bindgen(constructor)]
    pub fn new(vectors: &Vectors, k: usize, iterations: usize, seed: u32) -> JsResult<Self> {
        clip_index::Clusters::new(&vectors.0, k, iterations, seed.into()).map(Self).map_err(to_js)
    }

    /// Chooses the first centroid of a cluster, or assigns up to 1,024 vectors; returns about how much is done, 1 at the end.
    pub fn step(&mut self, vectors: &Vectors) -> JsResult<f64> {
        self.0.step(&vectors.0).map_err(to_js)
    }

    /// The clusters so far, of the vectors that were assigned.
    #[wasm_bindgen(unchecked_return_type = "Clustering")]
    pub fn clustering(&self, vectors: &Vectors) -> JsResult<JsValue> {
        let Clustering { slots, labels, centroids } = self.0.clustering(&vectors.0).map_err(to_js)?;
        let clustering = Object::new();
        set(&clustering, "slots", &Uint32Array::from(&slots[..]));
        set(&clustering, "labels", &Uint32Array::from(&labels[..]));
        set(&clustering, "centroids", &Float32Array::from(&centroids[..]));
        Ok(clustering.into())
    }
}

fn codec(dimension: usize, storage: &str) -> JsResult<Codec> {
    Storage::named(storage).and_then(|storage| Codec::new(dimension, storage)).map_err(to_js)
}

/// Number of vectors in an array.
fn count_of(what: &'static str, length: u32, width: usize) -> JsResult<usize> {
    let length = length as usize;
    if length.is_multiple_of(width) {
        return Ok(length / width);
    }
    let expected = format!("a multiple of {width}");
    Err(to_js(IndexError::ShapeMismatch { what, expected, got: length }))
}

fn vector_of(vectors: &Float32Array, row: usize, dimension: usize) -> Float32Array {
    vectors.subarray((row * dimension) as u32, ((row + 1) * dimension) as u32)
}

fn row_of(rows: &Uint8Array, row: usize, width: usize) -> Uint8Array {
    rows.subarray((row * width) as u32, ((row + 1) * width) as u32)
}

/// A function that copies an array of JavaScript's.
macro_rules! copy {
    ($name:ident, $array:ty, $value:ty) => {
        fn $name(array: &$array, what: &'static str) -> JsResult<Vec<$value>> {
            let mut values = zeros(what, array.length() as usize).map_err(to_js)?;
            array.copy_to(&mut values);
            Ok(values)
        }
    };
}
copy!(from_u8, Uint8Array, u8);
copy!(from_u32, Uint32Array, u32);
copy!(from_f32, Float32Array, f32);

fn to_js(error: IndexError) -> JsValue {
    let value = js_sys::Error::new(&error.to_string());
    value.set_name("ClipError");
    set(&value, "code", &error.code().into());
    value.into()
}

/// Sets a property of a fresh object, which cannot fail.
fn set(object: &JsValue, name: &str, value: &JsValue) {
    let _ = Reflect::set(object, &name.into(), value);
}
