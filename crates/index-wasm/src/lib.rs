//! Bindings of clip-index: a Wasm module of its own, which the index's worker alone loads.
//!
//! Arrays are read where JavaScript has them, row by row: a copy of a large one would enlarge the module's memory for good, and
//! wasm-bindgen ends the instance where it finds no memory for one.

use clip_index::{Codec, Hits, IndexError, Rows, Storage};
use js_sys::{Float32Array, Object, Reflect, Uint8Array, Uint32Array};
use wasm_bindgen::prelude::*;

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/** How vectors are kept: 4 or 2 bytes a value, or 1. */
export type Storage = "f32" | "f16" | "int8";

/** The best rows for each of some queries, one query after another: the best score first, the lower slot first among equals. */
export interface Hits {
  /** Queries times hits. */
  slots: Uint32Array<ArrayBuffer>;
  /** Cosine similarities, as many as slots. */
  scores: Float32Array<ArrayBuffer>;
}
"#;

type JsResult<T> = Result<T, JsValue>;

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

fn hits_to_js(Hits { slots, scores }: &Hits) -> JsValue {
    let object = Object::new();
    set(&object, "slots", &Uint32Array::from(&slots[..]).into());
    set(&object, "scores", &Float32Array::from(&scores[..]).into());
    object.into()
}

/// Copies a list of JavaScript's into memory.
macro_rules! copied {
    ($array:expr, $what:literal) => {{
        let array = &$array;
        let mut values = clip_index::zeros($what, array.length() as usize).map_err(to_js)?;
        array.copy_to(&mut values);
        values
    }};
}

/// Unit vectors of one dimension in memory, each in a slot.
#[wasm_bindgen]
pub struct Vectors(Rows);

#[wasm_bindgen]
impl Vectors {
    /// Makes an empty list of vectors.
    #[wasm_bindgen(constructor)]
    pub fn new(dimension: usize, #[wasm_bindgen(unchecked_param_type = "Storage")] storage: &str) -> JsResult<Self> {
        Ok(Self(Rows::new(codec(dimension, storage)?)))
    }

    /// Number of vectors.
    #[wasm_bindgen(getter)]
    pub fn length(&self) -> usize {
        self.0.len()
    }

    /// Slots that memory is reserved for; slots are lower numbers.
    #[wasm_bindgen(getter)]
    pub fn capacity(&self) -> usize {
        self.0.capacity()
    }

    /// Bytes that the vectors take, with the slots that are free.
    #[wasm_bindgen(getter)]
    pub fn bytes(&self) -> usize {
        self.0.bytes()
    }

    /// Bytes of a vector in storage form.
    #[wasm_bindgen(getter, js_name = rowBytes)]
    pub fn row_bytes(&self) -> usize {
        self.0.codec().row_bytes()
    }

    /// Reserves memory for so many further vectors, or throws `out-of-memory` and reserves none.
    pub fn reserve(&mut self, count: usize) -> JsResult<()> {
        self.0.reserve(count).map_err(to_js)
    }

    /// Adds vectors of any length but zero, and returns their slots: the lowest free ones. Adds all, or none and throws.
    pub fn add(&mut self, vectors: &Float32Array) -> JsResult<Uint32Array> {
        let dimension = self.0.codec().dimension();
        let count = rows_of("vectors", vectors.length(), dimension)?;
        let slots = self.0.add(count, |row, values| part_of(vectors, row, dimension).copy_to(values));
        Ok(Uint32Array::from(&slots.map_err(to_js)?[..]))
    }

    /// Adds vectors in storage form, as `add` does. Throws `index-damaged` for bytes that `encode` did not write.
    #[wasm_bindgen(js_name = addEncoded)]
    pub fn add_encoded(&mut self, rows: &Uint8Array) -> JsResult<Uint32Array> {
        let width = self.row_bytes();
        let count = rows_of("rows", rows.length(), width)?;
        let slots = self.0.add_encoded(count, |row, bytes| bytes_of(rows, row, width).copy_to(bytes));
        Ok(Uint32Array::from(&slots.map_err(to_js)?[..]))
    }

    /// Replaces the vectors in these slots by others in storage form: all, or none and throws.
    pub fn replace(&mut self, slots: &Uint32Array, rows: &Uint8Array) -> JsResult<()> {
        let width = self.row_bytes();
        let slots = copied!(slots, "slots");
        let rows_given = rows_of("rows", rows.length(), width)?;
        if rows_given != slots.len() {
            let expected = format!("{} of {width} bytes, one a slot", slots.len());
            return Err(to_js(IndexError::ShapeMismatch { what: "rows", expected, got: rows_given }));
        }
        self.0.replace(&slots, |row, bytes| bytes_of(rows, row, width).copy_to(bytes)).map_err(to_js)
    }

    /// Removes the vectors in these slots, which later ones take: all, or none and throws.
    pub fn remove(&mut self, slots: &Uint32Array) -> JsResult<()> {
        self.0.remove(&copied!(slots, "slots")).map_err(to_js)
    }

    /// The vectors in these slots, in storage form.
    pub fn get(&self, slots: &Uint32Array) -> JsResult<Uint8Array> {
        let width = self.row_bytes();
        let slots = copied!(slots, "slots");
        let mut bytes = clip_index::zeros("a row", width).map_err(to_js)?;
        let rows = Uint8Array::new_with_length((slots.len() * width) as u32);
        for (i, slot) in slots.into_iter().enumerate() {
            self.0.get(slot, &mut bytes).map_err(to_js)?;
            bytes_of(&rows, i, width).copy_from(&bytes);
        }
        Ok(rows)
    }

    /// The `k` best vectors, or all if there are fewer, for each query. With `allowed`, only among slots whose bit is set: bit
    /// `slot & 7` of byte `slot >> 3`; bytes that it lacks allow none.
    #[wasm_bindgen(unchecked_return_type = "Hits")]
    pub fn search(&self, queries: &Float32Array, k: usize, allowed: Option<Uint8Array>) -> JsResult<JsValue> {
        let allowed = match allowed {
            Some(bits) => Some(copied!(bits, "allowed slots")),
            None => None,
        };
        let hits = self.0.search(&copied!(queries, "queries"), k, allowed.as_deref()).map_err(to_js)?;
        Ok(hits_to_js(&hits))
    }

    /// Cosine similarities of the vectors in these slots to a query.
    pub fn scores(&self, query: &Float32Array, slots: &Uint32Array) -> JsResult<Float32Array> {
        let scores = self.0.scores(&copied!(query, "query"), &copied!(slots, "slots")).map_err(to_js)?;
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
        let count = rows_of("vectors", vectors.length(), dimension)?;
        let mut values = clip_index::zeros("a vector", dimension).map_err(to_js)?;
        let mut bytes = clip_index::zeros("a row", width).map_err(to_js)?;
        let rows = Uint8Array::new_with_length((count * width) as u32);
        for row in 0..count {
            part_of(vectors, row, dimension).copy_to(&mut values);
            self.0.encode(row, &mut values, &mut bytes).map_err(to_js)?;
            bytes_of(&rows, row, width).copy_from(&bytes);
        }
        Ok(rows)
    }

    /// The unit vectors of rows in storage form.
    pub fn decode(&self, rows: &Uint8Array) -> JsResult<Float32Array> {
        let (dimension, width) = (self.0.dimension(), self.0.row_bytes());
        let count = rows_of("rows", rows.length(), width)?;
        let mut values = clip_index::zeros("a vector", dimension).map_err(to_js)?;
        let mut bytes = clip_index::zeros("a row", width).map_err(to_js)?;
        let vectors = Float32Array::new_with_length((count * dimension) as u32);
        for row in 0..count {
            bytes_of(rows, row, width).copy_to(&mut bytes);
            self.0.decode(row, &bytes, &mut values).map_err(to_js)?;
            part_of(&vectors, row, dimension).copy_from(&values);
        }
        Ok(vectors)
    }

    /// Cosine similarities of a query to rows in storage form: to score the best of an int8 search again.
    pub fn scores(&self, query: &Float32Array, rows: &Uint8Array) -> JsResult<Float32Array> {
        let scores = self.0.scores(&copied!(query, "query"), &copied!(rows, "rows")).map_err(to_js)?;
        Ok(Float32Array::from(&scores[..]))
    }
}

fn codec(dimension: usize, storage: &str) -> JsResult<Codec> {
    Storage::named(storage).and_then(|storage| Codec::new(dimension, storage)).map_err(to_js)
}

/// Number of rows in an array.
fn rows_of(what: &'static str, length: u32, width: usize) -> JsResult<usize> {
    let length = length as usize;
    if length.is_multiple_of(width) {
        return Ok(length / width);
    }
    let expected = format!("a multiple of {width}");
    Err(to_js(IndexError::ShapeMismatch { what, expected, got: length }))
}

fn part_of(vectors: &Float32Array, row: usize, width: usize) -> Float32Array {
    vectors.subarray((row * width) as u32, ((row + 1) * width) as u32)
}

fn bytes_of(rows: &Uint8Array, row: usize, width: usize) -> Uint8Array {
    rows.subarray((row * width) as u32, ((row + 1) * width) as u32)
}
