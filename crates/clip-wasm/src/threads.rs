//! Rayon's global thread pool: the thread that calls [`Threads::fill`], so that it computes a share itself, and workers that JavaScript
//! starts before. Each worker instantiates this module with the same memory and calls [`Threads::run`], which waits for its task.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};

use rayon::{ThreadBuilder, ThreadPoolBuilder};
use wasm_bindgen::prelude::*;

use crate::error::JsResult;

static TASKS: Mutex<VecDeque<ThreadBuilder>> = Mutex::new(VecDeque::new());
static ARRIVED: Condvar = Condvar::new();

/// The thread pool.
#[wasm_bindgen]
pub struct Threads;

#[wasm_bindgen]
impl Threads {
    /// Waits for a task and runs it; does not return.
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

    /// Builds the pool of `count` threads: this one, and workers that call [`Self::run`].
    pub fn fill(count: usize) -> JsResult<()> {
        let hand_over = |task| {
            TASKS.lock().unwrap_or_else(PoisonError::into_inner).push_back(task);
            ARRIVED.notify_one();
            Ok(())
        };
        let built =
            ThreadPoolBuilder::new().num_threads(count).use_current_thread().spawn_handler(hand_over).build_global();
        built.map_err(|error| JsError::new(&error.to_string()).into())
    }
}
