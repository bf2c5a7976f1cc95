//! The rows of an export.

use std::marker::PhantomData;

use futures::TryStreamExt;
use gam_query::{ExportRow, MetricValues};
use serde::de::DeserializeOwned;

use crate::error::ClientError;
use crate::transport::ApiBody;

/// The media type of rows as lines of JSON.
pub(crate) const NDJSON: &str = "application/x-ndjson";
/// The most rows that are returned together.
const MAX_BATCH_ROWS: usize = 8_192;

/// The rows of an export, as they come from the server.
pub struct ExportRows<V = MetricValues> {
    body: ApiBody,
    origin: String,
    /// Bytes that are in no row yet.
    pending: Vec<u8>,
    values: PhantomData<V>,
}

impl<V: DeserializeOwned> ExportRows<V> {
    pub(crate) fn new(body: ApiBody, origin: String) -> Self {
        ExportRows { body, origin, pending: Vec::new(), values: PhantomData }
    }

    /// Returns the next rows, some thousands at most. There are none at the end.
    ///
    /// # Errors
    /// If the answer ends in the middle, or has other rows.
    pub async fn next_rows(&mut self) -> Result<Vec<ExportRow<V>>, ClientError> {
        let mut rows = Vec::new();
        while rows.len() < MAX_BATCH_ROWS {
            let Some(chunk) = self.body.try_next().await? else {
                if self.pending.is_empty() {
                    break;
                }
                let why = "a row is cut".to_owned();
                return Err(ClientError::Interrupted { origin: self.origin.clone(), why });
            };
            self.pending.extend_from_slice(&chunk);
            let complete = self.pending.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
            for line in self.pending[..complete].split(|&byte| byte == b'\n').filter(|line| !line.is_empty())
            {
                rows.push(serde_json::from_slice(line).map_err(|error| ClientError::Unexpected {
                    origin: self.origin.clone(),
                    why: format!("a line is no row: {error}"),
                })?);
            }
            self.pending.drain(..complete);
        }
        Ok(rows)
    }
}
