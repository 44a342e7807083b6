//! `ClipError` as a JavaScript `Error` with a `code`.

use clip_core::{ClipError, Result};
use wasm_bindgen::prelude::*;

pub(crate) type JsResult<T> = core::result::Result<T, JsValue>;

/// Converts a result of clip-core for JavaScript.
pub(crate) fn js<T>(result: Result<T>) -> JsResult<T> {
    result.map_err(to_js)
}

fn to_js(error: ClipError) -> JsValue {
    let value = js_sys::Error::new(&error.to_string());
    value.set_name("ClipError");
    // setting a property of a fresh object cannot fail
    let _ = js_sys::Reflect::set(&value, &"code".into(), &error.code().into());
    value.into()
}
