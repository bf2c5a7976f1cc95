//! The inbox: event batches that wait to be merged into snapshots.
//!
//! The name of a batch is the hash of its events without their collection times. Writing the same facts again
//! therefore writes nothing.

use std::marker::PhantomData;

use arrow_array::RecordBatch;
use bytes::Bytes;
use gam_model::EventBatch;

use crate::error::{Error, Result};
use crate::object_store::{ObjectMeta, ObjectStore, PutIfAbsent, PutIfMatch};
use crate::parquet_file::{self, ParquetFile, ROW_GROUP_ROWS, RowOrder, spawn_blocking};
use crate::paths::{self, ObjectPath};
use crate::snapshot;
use crate::table::{Events, Table};

/// How many rows of a batch are decoded at a time.
const DECODED_ROWS: usize = 4_096;

/// How often a write is attempted while other processes write, merge or reject the same batch.
const MAX_PUT_ATTEMPTS: usize = 5;

/// Writes the batch and returns its path; `None` for an empty batch, which is not written.
///
/// Writes nothing if the batch exists already. Replaces an existing batch that cannot be read.
///
/// # Errors
/// If the store fails; [`Error::Unusable`] if an event belongs to another organization.
pub async fn put(objects: &dyn ObjectStore, batch: &EventBatch) -> Result<Option<ObjectPath>> {
    if batch.events().is_empty() {
        return Ok(None);
    }
    let org = paths::org_component(batch.org());
    if let Some(stray) = batch.events().iter().find(|event| paths::org_component(&event.org) != org) {
        let what = format!(
            "event {} belongs to {} and cannot be in a batch of {}",
            stray.id,
            stray.org,
            batch.org()
        );
        return Err(Error::Unusable { what, source: None });
    }
    let path = put_rows::<Events>(objects, &org, &batch.content_hash(), batch.events()).await?;
    Ok(Some(path))
}

/// Writes rows of an organization as a batch, and returns its path. `content_hash` identifies the rows.
///
/// Writes nothing if the batch exists already. Replaces an existing batch that cannot be read.
///
/// # Errors
/// If the store fails.
pub async fn put_rows<T: Table>(
    objects: &dyn ObjectStore,
    org: &str,
    content_hash: &str,
    rows: &[T::Row],
) -> Result<ObjectPath> {
    let path = paths::inbox::<T>(org, content_hash);
    let chunks: Vec<RecordBatch> = rows.chunks(ROW_GROUP_ROWS).map(T::encode).collect::<Result<_>>()?;
    let bytes = spawn_blocking(move || parquet_file::write::<T>(&chunks, vec![], RowOrder::Unsorted)).await?;
    put_bytes::<T>(objects, &path, bytes).await?;
    Ok(path)
}

async fn put_bytes<T: Table>(objects: &dyn ObjectStore, path: &ObjectPath, bytes: Bytes) -> Result<()> {
    for _ in 0..MAX_PUT_ATTEMPTS {
        if let PutIfAbsent::Written(_) = objects.put_if_absent(path, bytes.clone(), &[]).await? {
            return Ok(());
        }
        // If it is gone, it was merged or rejected. Writing it again is right in both cases.
        let Some(existing) = objects.get(path).await? else { continue };
        match check_object::<T>(path, existing.bytes).await {
            Ok(_) | Err(Error::NewerFormat { .. }) => return Ok(()),
            Err(Error::Damaged { .. }) => {
                let outcome = objects.put_if_match(path, bytes.clone(), &existing.etag, &[]).await?;
                if let PutIfMatch::Written(_) = outcome {
                    tracing::warn!(object = %path, "replaced a damaged batch");
                    return Ok(());
                }
            }
            Err(error) => return Err(error),
        }
    }
    Err(Error::Unavailable { what: format!("other processes keep changing {path}"), source: None })
}

/// Lists the organization's batches, sorted by path. Skips objects that are not batches.
///
/// # Errors
/// If the store fails.
pub async fn list<T: Table>(objects: &dyn ObjectStore, org: &str) -> Result<Vec<ObjectMeta>> {
    let mut batches = objects.list(&paths::inbox_prefix::<T>(org)).await?;
    batches.retain(|object| paths::parse_inbox::<T>(&object.path).is_some());
    Ok(batches)
}

/// Returns the organizations that have a batch or a snapshot, as sorted lower-case logins.
///
/// # Errors
/// If the store fails.
pub async fn orgs<T: Table>(objects: &dyn ObjectStore) -> Result<Vec<String>> {
    let inbox = objects.list(&paths::inbox_root::<T>()).await?;
    let months = snapshot::orgs::<T>(objects).await?;
    let batches = inbox.iter().filter_map(|object| paths::parse_inbox::<T>(&object.path)).map(|(org, _)| org);
    let mut orgs: Vec<String> = batches.chain(months).collect();
    orgs.sort();
    orgs.dedup();
    Ok(orgs)
}

/// A batch whose rows are not decoded yet. Clones share the bytes.
#[derive(Debug)]
pub struct BatchFile<T: Table = Events> {
    file: ParquetFile,
    /// The organization in the path.
    org: String,
    table: PhantomData<fn() -> T>,
}

impl<T: Table> Clone for BatchFile<T> {
    fn clone(&self) -> Self {
        BatchFile { file: self.file.clone(), org: self.org.clone(), table: PhantomData }
    }
}

impl<T: Table> BatchFile<T> {
    fn open(path: &ObjectPath, bytes: Bytes) -> Result<Self> {
        let (org, _) = paths::parse_inbox::<T>(path)
            .ok_or_else(|| Error::damaged(path.as_str(), "its path is not that of a batch"))?;
        let file = ParquetFile::open(path.as_str(), bytes)?;
        let schema_version = parquet_file::schema_version(path.as_str(), file.properties())?;
        if schema_version > T::SCHEMA_VERSION {
            return Err(Error::NewerFormat {
                path: path.as_str().to_owned(),
                actual: format!("schema version {schema_version}"),
                supported: format!("schema versions up to {}", T::SCHEMA_VERSION),
            });
        }
        Ok(BatchFile { file, org, table: PhantomData })
    }

    /// Decodes the rows a few thousand at a time. It takes long, so do not call it on a thread that serves other tasks.
    /// The iterator ends after the first error.
    ///
    /// # Errors
    /// The items and the result: [`Error::Damaged`] if the batch cannot be read or contains rows of another
    /// organization; [`Error::NewerFormat`] if a newer version of the program wrote a row.
    pub fn into_rows(self) -> Result<impl Iterator<Item = Result<Vec<T::Row>>> + Send + use<T>> {
        let path = self.file.path().to_owned();
        let batches = self.file.into_batches(T::schema(), DECODED_ROWS)?;
        let mut has_failed = false;
        let rows = batches.map(move |batch| {
            let rows = T::decode(&batch?).map_err(|error| error.with_path(&path))?;
            match rows.iter().find(|row| paths::org_component(T::org(row)) != self.org) {
                Some(stray) => {
                    let what = format!("a row belongs to another organization, {}", T::org(stray));
                    Err(Error::damaged(path.as_str(), what))
                }
                None => Ok(rows),
            }
        });
        Ok(rows.take_while(move |rows| !std::mem::replace(&mut has_failed, rows.is_err())))
    }
}

/// Fetches a batch and decodes its footer; `None` if it does not exist, because another process merged it.
///
/// # Errors
/// As [`read`].
pub async fn fetch<T: Table>(objects: &dyn ObjectStore, path: &ObjectPath) -> Result<Option<BatchFile<T>>> {
    let Some(object) = objects.get(path).await? else { return Ok(None) };
    BatchFile::open(path, object.bytes).map(Some)
}

/// Returns all rows of the batch; `None` if it does not exist, because another process merged it.
///
/// # Errors
/// - [`Error::Damaged`] if the batch cannot be read or contains rows of another organization. [`reject`]
///   it.
/// - [`Error::NewerFormat`] if a newer version of the program wrote it. Leave it in the inbox.
/// - Other errors if the store fails.
pub async fn read<T: Table>(objects: &dyn ObjectStore, path: &ObjectPath) -> Result<Option<Vec<T::Row>>> {
    let Some(batch) = fetch::<T>(objects, path).await? else { return Ok(None) };
    spawn_blocking(move || {
        let mut rows = Vec::new();
        for some in batch.into_rows()? {
            rows.extend(some?);
        }
        Ok(Some(rows))
    })
    .await
}

/// Decodes all rows of an object, to find out whether it can be read.
async fn check_object<T: Table>(path: &ObjectPath, bytes: Bytes) -> Result<()> {
    let path = path.clone();
    spawn_blocking(move || {
        BatchFile::<T>::open(&path, bytes)?.into_rows()?.try_for_each(|rows| rows.map(|_| ()))
    })
    .await
}

/// Moves an unreadable batch to `rejected/` and returns its new path.
///
/// Does nothing if the batch no longer exists. Keeps a batch in the inbox that was replaced in the meantime.
///
/// # Errors
/// If the store fails; [`Error::Unusable`] if the path is not in the inbox.
pub async fn reject<T: Table>(objects: &dyn ObjectStore, path: &ObjectPath) -> Result<ObjectPath> {
    let Some((org, hash)) = paths::parse_inbox::<T>(path) else {
        return Err(Error::Unusable { what: format!("{path} is not in the inbox"), source: None });
    };
    let rejected_path = paths::rejected::<T>(&org, path.file_name());
    let Some(batch) = objects.get(path).await? else { return Ok(rejected_path) };
    let rejected_path = copy_to_rejected::<T>(objects, rejected_path, &org, &hash, &batch.bytes).await?;
    // A collector may have replaced the damaged batch by a readable one, which must not be removed.
    if objects.get(path).await?.is_some_and(|current| current.etag == batch.etag) {
        objects.delete(path).await?;
    }
    Ok(rejected_path)
}

async fn copy_to_rejected<T: Table>(
    objects: &dyn ObjectStore,
    rejected_path: ObjectPath,
    org: &str,
    hash: &str,
    bytes: &Bytes,
) -> Result<ObjectPath> {
    if let PutIfAbsent::Written(_) = objects.put_if_absent(&rejected_path, bytes.clone(), &[]).await? {
        return Ok(rejected_path);
    }
    if objects.get(&rejected_path).await?.is_some_and(|earlier| earlier.bytes == *bytes) {
        return Ok(rejected_path);
    }
    // The same batch was rejected before with other damage. Keep both.
    let digest = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(bytes));
    let rejected_path = paths::rejected::<T>(org, &format!("{hash}-{}.parquet", &digest[..16]));
    objects.put_if_absent(&rejected_path, bytes.clone(), &[]).await?;
    Ok(rejected_path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryObjects;
    use crate::snapshot::{self, Stamp};
    use crate::table::Events;
    use crate::testing::{commit, sample};

    fn batch(count: i64) -> EventBatch {
        EventBatch::new("Acme", sample(count))
    }

    async fn overwrite(objects: &MemoryObjects, path: &ObjectPath, bytes: &'static [u8]) {
        objects.delete(path).await.unwrap();
        objects.put_if_absent(path, Bytes::from_static(bytes), &[]).await.unwrap();
    }

    #[tokio::test]
    async fn the_same_facts_are_written_once() {
        let objects = MemoryObjects::new();
        let path = put(&objects, &batch(5)).await.unwrap().unwrap();
        let written = objects.get(&path).await.unwrap();
        let mut collected_later = sample(5);
        collected_later.iter_mut().for_each(|event| event.collected_at += chrono::TimeDelta::hours(1));
        collected_later.reverse();
        let again = put(&objects, &EventBatch::new("acme", collected_later)).await.unwrap().unwrap();
        assert_eq!(again, path);
        assert_eq!(objects.get(&path).await.unwrap(), written);
        assert_eq!(read::<Events>(&objects, &path).await.unwrap().unwrap(), batch(5).into_events());
        assert_eq!(list::<Events>(&objects, "ACME").await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn empty_and_mixed_batches_are_not_written() {
        let objects = MemoryObjects::new();
        assert_eq!(put(&objects, &EventBatch::new("acme", vec![])).await.unwrap(), None);
        let mixed = put(&objects, &EventBatch::new("other", sample(1))).await;
        assert!(matches!(mixed, Err(Error::Unusable { .. })));
        assert!(objects.list("").await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_missing_batch_reads_as_none() {
        let objects = MemoryObjects::new();
        assert_eq!(read::<Events>(&objects, &paths::inbox::<Events>("acme", "ab")).await.unwrap(), None);
    }

    #[tokio::test]
    async fn events_of_another_organization_are_damage() {
        let objects = MemoryObjects::new();
        let path = put(&objects, &batch(1)).await.unwrap().unwrap();
        let bytes = objects.get(&path).await.unwrap().unwrap().bytes;
        let moved = paths::inbox::<Events>("other", "ab");
        objects.put_if_absent(&moved, bytes, &[]).await.unwrap();
        assert!(matches!(read::<Events>(&objects, &moved).await, Err(Error::Damaged { .. })));
    }

    #[tokio::test]
    async fn rejected_batches_are_all_kept() {
        let objects = MemoryObjects::new();
        let path = put(&objects, &batch(2)).await.unwrap().unwrap();
        overwrite(&objects, &path, b"garbage").await;
        let error = read::<Events>(&objects, &path).await.unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }) && error.to_string().contains(path.as_str()));
        let first = reject::<Events>(&objects, &path).await.unwrap();
        assert_eq!(reject::<Events>(&objects, &path).await.unwrap(), first);
        assert_eq!(objects.get(&first).await.unwrap().unwrap().bytes, "garbage");
        assert!(list::<Events>(&objects, "acme").await.unwrap().is_empty());

        overwrite(&objects, &path, b"other garbage").await;
        let second = reject::<Events>(&objects, &path).await.unwrap();
        assert_ne!(second, first);
        assert_eq!(objects.get(&second).await.unwrap().unwrap().bytes, "other garbage");
        assert_eq!(objects.list(&paths::rejected_prefix::<Events>("acme")).await.unwrap().len(), 2);
    }

    #[tokio::test]
    async fn writing_a_batch_replaces_a_damaged_one() {
        let objects = MemoryObjects::new();
        let path = put(&objects, &batch(2)).await.unwrap().unwrap();
        overwrite(&objects, &path, b"garbage").await;
        put(&objects, &batch(2)).await.unwrap();
        assert_eq!(read::<Events>(&objects, &path).await.unwrap().unwrap(), batch(2).into_events());
    }

    #[tokio::test]
    async fn organizations_have_a_batch_or_a_snapshot() {
        let objects = MemoryObjects::new();
        put(&objects, &batch(1)).await.unwrap();
        let stamp = Stamp::new(1, 1, 1);
        let month = commit(0).month();
        for org in ["zeta", "ACME", "beta"] {
            snapshot::write::<Events>(&objects, org, month, &[], &stamp, None).await.unwrap();
        }
        objects.put_if_absent(&paths::rejected::<Events>("gone", "x"), Bytes::new(), &[]).await.unwrap();
        assert_eq!(orgs::<Events>(&objects).await.unwrap(), ["acme", "beta", "zeta"]);
    }
}
