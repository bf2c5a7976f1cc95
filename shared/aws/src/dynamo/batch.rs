//! Reads and deletes many items with few requests.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use aws_sdk_dynamodb::types::{DeleteRequest, KeysAndAttributes, WriteRequest};
use futures::{StreamExt, TryStreamExt};
use gam_store::error::{Error, Result};

use super::item::Item;
use super::keys::TableKey;
use super::{DynamoStore, MAX_CONCURRENT_REQUESTS};

/// Number of items that DynamoDB reads in one request at most.
const MAX_BATCH_GET_ITEMS: usize = 100;

/// Number of items that DynamoDB deletes in one request at most.
const MAX_BATCH_DELETE_ITEMS: usize = 25;

/// Number of requests in a row of which DynamoDB processes nothing. It returns what it has not processed if it is
/// busy, or if an answer is too large.
const MAX_IDLE_ATTEMPTS: u32 = 10;

/// Pause after the first of these requests. It doubles up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_secs(3);

/// Counts requests in a row of which DynamoDB processed nothing.
#[derive(Default)]
struct Progress {
    idle_attempts: u32,
}

impl Progress {
    /// Waits before the next request, unless the last one has processed something.
    ///
    /// # Errors
    /// If DynamoDB has processed nothing for too long.
    async fn wait(&mut self, action: &str, has_processed: bool) -> Result<()> {
        if has_processed {
            self.idle_attempts = 0;
            return Ok(());
        }
        if self.idle_attempts == MAX_IDLE_ATTEMPTS {
            let what = format!("{action}: the table is too busy");
            return Err(Error::Unavailable { what, source: None });
        }
        tokio::time::sleep((FIRST_PAUSE * 2u32.pow(self.idle_attempts)).min(MAX_PAUSE)).await;
        self.idle_attempts += 1;
        Ok(())
    }
}

impl DynamoStore {
    /// Reads items with consistent reads, many at a time. Returns those that exist, in any order, each once.
    pub(super) async fn batch_get(
        &self,
        action: &str,
        keys: impl IntoIterator<Item = TableKey>,
    ) -> Result<Vec<Item>> {
        let keys: BTreeSet<TableKey> = keys.into_iter().collect();
        let keys: Vec<_> = keys.iter().map(TableKey::attributes).collect();
        let reads: Vec<_> =
            keys.chunks(MAX_BATCH_GET_ITEMS).map(|batch| self.get_batch(action, batch.to_vec())).collect();
        let batches: Vec<Vec<Item>> =
            futures::stream::iter(reads).buffer_unordered(MAX_CONCURRENT_REQUESTS).try_collect().await?;
        Ok(batches.into_iter().flatten().collect())
    }

    /// Reads up to [`MAX_BATCH_GET_ITEMS`] items.
    async fn get_batch(
        &self,
        action: &str,
        mut unread: Vec<HashMap<String, aws_sdk_dynamodb::types::AttributeValue>>,
    ) -> Result<Vec<Item>> {
        let (mut items, mut progress) = (Vec::new(), Progress::default());
        while !unread.is_empty() {
            let keys = KeysAndAttributes::builder().set_keys(Some(unread)).consistent_read(true).build();
            let keys = keys.map_err(|error| Error::unusable(action.to_owned(), error))?;
            let request = self.client.batch_get_item().request_items(&self.table, keys);
            let response = request.send().await.map_err(|error| self.error(action, &error))?;
            let read = items.len();
            items.extend(response.responses.into_iter().flatten().flat_map(|(_, items)| items).map(Item));
            let unprocessed = response.unprocessed_keys.into_iter().flatten();
            unread = unprocessed.flat_map(|(_, rest)| rest.keys).collect();
            if !unread.is_empty() {
                progress.wait(action, items.len() > read).await?;
            }
        }
        Ok(items)
    }

    /// Deletes items, of which some may not exist.
    pub(super) async fn batch_delete(
        &self,
        action: &str,
        keys: impl IntoIterator<Item = TableKey>,
    ) -> Result<()> {
        // DynamoDB rejects a request that names a key twice.
        let keys: BTreeSet<TableKey> = keys.into_iter().collect();
        let keys: Vec<_> = keys.into_iter().collect();
        let deletes: Vec<_> =
            keys.chunks(MAX_BATCH_DELETE_ITEMS).map(|batch| self.delete_batch(action, batch)).collect();
        futures::stream::iter(deletes).buffer_unordered(MAX_CONCURRENT_REQUESTS).try_collect().await
    }

    /// Deletes up to [`MAX_BATCH_DELETE_ITEMS`] items.
    async fn delete_batch(&self, action: &str, keys: &[TableKey]) -> Result<()> {
        let delete = |key: &TableKey| {
            let request = DeleteRequest::builder().set_key(Some(key.attributes())).build()?;
            Ok(WriteRequest::builder().delete_request(request).build())
        };
        let unusable = |error: aws_sdk_dynamodb::error::BuildError| Error::unusable(action.to_owned(), error);
        let requests: Vec<_> =
            keys.iter().map(delete).collect::<std::result::Result<_, _>>().map_err(unusable)?;
        let (mut remaining, mut progress) = (requests, Progress::default());
        while !remaining.is_empty() {
            let sent = remaining.len();
            let request = self.client.batch_write_item().request_items(&self.table, remaining);
            let response = request.send().await.map_err(|error| self.error(action, &error))?;
            remaining = response.unprocessed_items.into_iter().flatten().flat_map(|(_, rest)| rest).collect();
            if !remaining.is_empty() {
                progress.wait(action, remaining.len() < sent).await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_busy_table_is_waited_for_as_long_as_it_makes_progress() {
        let mut progress = Progress::default();
        for _ in 0..1_000 {
            progress.wait("reading", true).await.unwrap();
        }
        for _ in 0..MAX_IDLE_ATTEMPTS {
            progress.wait("reading", false).await.unwrap();
        }
        let start = tokio::time::Instant::now();
        let error = progress.wait("reading", false).await.unwrap_err();
        assert!(error.is_retryable() && start.elapsed().is_zero(), "{error}");
        progress.wait("reading", true).await.unwrap();
        progress.wait("reading", false).await.unwrap();
        assert_eq!(start.elapsed(), FIRST_PAUSE, "pauses are short again after progress");
    }
}
