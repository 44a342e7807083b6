//! Files on servers: by HTTP(S), and in the stores of S3, Google Cloud and Azure by the crate object_store, which finds credentials in
//! the environment and signs requests. All bytes come through one HTTP client that blocks, as the rest of the program does: object_store
//! gets it as its own, and needs no runtime.

mod address;
mod answer;
mod client;
mod report;
mod stores;
mod transfer;

pub use address::Address;
pub use report::report_retries;
