//! Stores of objects: S3, Google Cloud Storage, Azure.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf, Bytes};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path;
use object_store::{Attribute, GetOptions, GetRange, GetResult, ObjectStore, RetryConfig};

use super::answer::{Answer, Fault, Version, packed};
use super::client::{Connector, fault_in};

/// The stores that were opened, by scheme and bucket: each holds its credentials.
static OPEN: Mutex<Option<HashMap<String, Arc<dyn ObjectStore>>>> = Mutex::new(None);

/// A file in a store.
#[derive(Debug, Clone)]
pub(super) struct Object {
    store: Arc<dyn ObjectStore>,
    path: Path,
}

/// Opens the store of a bucket, with what the environment says of it. Retries are ours.
fn open(scheme: &str, bucket: &str) -> object_store::Result<Arc<dyn ObjectStore>> {
    let url = format!("{scheme}://{bucket}");
    let once = RetryConfig { max_retries: 0, ..RetryConfig::default() };
    Ok(match scheme {
        "gs" => Arc::new(
            GoogleCloudStorageBuilder::from_env()
                .with_url(url)
                .with_retry(once)
                .with_http_connector(Connector)
                .build()?,
        ),
        "s3" | "s3a" => {
            Arc::new(AmazonS3Builder::from_env().with_url(url).with_retry(once).with_http_connector(Connector).build()?)
        }
        _ => Arc::new(
            MicrosoftAzureBuilder::from_env().with_url(url).with_retry(once).with_http_connector(Connector).build()?,
        ),
    })
}

impl Object {
    /// The object of a key in a bucket. Keys are taken as they are, as stores' own tools take them.
    pub(super) fn new(scheme: &str, bucket: &str, key: &str) -> Result<Self, Fault> {
        let path = Path::parse(key).map_err(|error| Fault::lasting(error.to_string()))?;
        // object_store removes them: it would be another object
        if path.as_ref() != key {
            return Err(Fault::lasting("keys that begin or end with / are not read"));
        }
        let mut stores = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let stores = stores.get_or_insert_default();
        let name = format!("{scheme}://{bucket}");
        let store = match stores.get(&name) {
            Some(store) => store.clone(),
            None => {
                let store = open(scheme, bucket).map_err(|error| fault_in(&error))?;
                stores.insert(name, store.clone());
                store
            }
        };
        Ok(Self { store, path })
    }

    /// Asks for the bytes from `from` on, up to and with `last`.
    pub(super) fn get(&self, from: u64, last: Option<u64>) -> Result<Answer, Fault> {
        let range = match last {
            Some(last) => Some(GetRange::Bounded(from..last + 1)),
            // an empty object has no range
            None => (from > 0).then_some(GetRange::Offset(from)),
        };
        let asked = self.store.get_opts(&self.path, GetOptions { range, ..GetOptions::default() });
        let got: GetResult = pollster::block_on(asked).map_err(|error| fault_in(&error))?;
        let encoding = got.attributes.get(&Attribute::ContentEncoding).map(|value| value.as_ref());
        let version = Version {
            tag: got.meta.e_tag.clone(),
            modified: Some(got.meta.last_modified.to_rfc3339()),
            size: Some(got.meta.size),
        };
        let (start, is_packed) = (got.range.start, packed(encoding)?);
        let body = Box::new(Pieces { stream: Mutex::new(got.into_stream()), rest: Bytes::new() });
        Ok(Answer { start, in_parts: true, is_packed, is_page: false, version, body })
    }
}

/// Reads a stream of pieces.
struct Pieces {
    stream: Mutex<BoxStream<'static, object_store::Result<Bytes>>>,
    rest: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            let stream = self.stream.get_mut().unwrap_or_else(PoisonError::into_inner);
            match pollster::block_on(stream.next()) {
                None => return Ok(0),
                Some(Ok(piece)) => self.rest = piece,
                Some(Err(error)) => return Err(io::Error::other(fault_in(&error))),
            }
        }
        let length = into.len().min(self.rest.len());
        self.rest.copy_to_slice(&mut into[..length]);
        Ok(length)
    }
}
