//! Rayon's global pool, whose threads are workers that JavaScript starts: each instantiates this module over the same memory and
//! calls [`Threads::run`], and when all are there [`Threads::fill`] hands each its task.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};

use rayon::{ThreadBuilder, ThreadPoolBuilder};
use wasm_bindgen::prelude::*;

use crate::error::JsResult;

static TASKS: Mutex<VecDeque<ThreadBuilder>> = Mutex::new(VecDeque::new());
static ARRIVED: Condvar = Condvar::new();

/// The pool.
#[wasm_bindgen]
pub struct Threads;

#[wasm_bindgen]
impl Threads {
    /// Waits for a task and does it: never returns.
    pub fn run() {
        let mut tasks = TASKS.lock().unwrap_or_else(PoisonError::into_inner);
        let task = loop {
            match tasks.pop_front() {
                Some(task) => break task,
                None => tasks = ARRIVED.wait(tasks).unwrap_or_else(PoisonError::into_inner),
            }
        };
        drop(tasks);
        task.run();
    }

    /// Makes as many threads the pool; so many wait in [`Self::run`], or will.
    pub fn fill(count: usize) -> JsResult<()> {
        let hand_over = |task| {
            TASKS.lock().unwrap_or_else(PoisonError::into_inner).push_back(task);
            ARRIVED.notify_one();
            Ok(())
        };
        let built = ThreadPoolBuilder::new().num_threads(count).spawn_handler(hand_over).build_global();
        built.map_err(|error| JsError::new(&error.to_string()).into())
    }
}
