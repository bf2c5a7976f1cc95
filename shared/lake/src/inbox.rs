//! The inbox: event batches that wait to be merged into snapshots.
//!
//! The name of a batch is the hash of its events without their collection times. Writing the same facts again
//! therefore writes nothing.

use arrow_array::RecordBatch;
use bytes::Bytes;
use gam_model::{Event, EventBatch};

use crate::error::{Error, Result};
use crate::object_store::{ObjectMeta, ObjectStore, PutIfAbsent, PutIfMatch};
use crate::paths::{self, ObjectPath};
use crate::schema::{SCHEMA_VERSION, decode, encode};
use crate::table::{self, ROW_GROUP_ROWS, RowOrder, spawn_blocking};

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
    let path = paths::inbox(batch.org(), &batch.content_hash());
    let chunks: Vec<RecordBatch> =
        batch.events().chunks(ROW_GROUP_ROWS).map(encode).collect::<Result<_>>()?;
    let bytes = spawn_blocking(move || table::write(&chunks, vec![], RowOrder::Unsorted)).await?;
    put_bytes(objects, &path, bytes).await?;
    Ok(Some(path))
}

async fn put_bytes(objects: &dyn ObjectStore, path: &ObjectPath, bytes: Bytes) -> Result<()> {
    for _ in 0..MAX_PUT_ATTEMPTS {
        if let PutIfAbsent::Written(_) = objects.put_if_absent(path, bytes.clone(), &[]).await? {
            return Ok(());
        }
        // If it is gone, it was merged or rejected. Writing it again is right in both cases.
        let Some(existing) = objects.get(path).await? else { continue };
        match decode_object(path, existing.bytes).await {
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
pub async fn list(objects: &dyn ObjectStore, org: &str) -> Result<Vec<ObjectMeta>> {
    let mut batches = objects.list(&paths::inbox_prefix(org)).await?;
    batches.retain(|object| paths::parse_inbox(&object.path).is_some());
    Ok(batches)
}

/// Returns the organizations that have a batch or a snapshot, as sorted lower-case logins.
///
/// # Errors
/// If the store fails.
pub async fn orgs(objects: &dyn ObjectStore) -> Result<Vec<String>> {
    let inbox = objects.list(paths::inbox_root()).await?;
    let events = objects.list(paths::events_root()).await?;
    let batches = inbox.iter().filter_map(|object| paths::parse_inbox(&object.path)).map(|(org, _)| org);
    let months = events.iter().filter_map(|object| paths::parse_snapshot(&object.path)).map(|(org, _)| org);
    let mut orgs: Vec<String> = batches.chain(months).collect();
    orgs.sort();
    orgs.dedup();
    Ok(orgs)
}

/// Returns the batch's events; `None` if it does not exist, because another process merged it.
///
/// # Errors
/// - [`Error::Damaged`] if the batch cannot be read or contains events of another organization. [`reject`]
///   it.
/// - [`Error::NewerFormat`] if a newer version of the program wrote it. Leave it in the inbox.
/// - Other errors if the store fails.
pub async fn read(objects: &dyn ObjectStore, path: &ObjectPath) -> Result<Option<Vec<Event>>> {
    match objects.get(path).await? {
        Some(object) => decode_object(path, object.bytes).await.map(Some),
        None => Ok(None),
    }
}

async fn decode_object(path: &ObjectPath, bytes: Bytes) -> Result<Vec<Event>> {
    let path = path.clone();
    spawn_blocking(move || decode_bytes(&path, bytes)).await
}

fn decode_bytes(path: &ObjectPath, bytes: Bytes) -> Result<Vec<Event>> {
    let (org, _) = paths::parse_inbox(path)
        .ok_or_else(|| Error::damaged(path.as_str(), "its path is not that of a batch"))?;
    let table = table::read(path.as_str(), bytes)?;
    let schema_version = table::schema_version(path.as_str(), &table.properties)?;
    if schema_version > SCHEMA_VERSION {
        return Err(Error::NewerFormat {
            path: path.as_str().to_owned(),
            actual: format!("schema version {schema_version}"),
            supported: format!("schema versions up to {SCHEMA_VERSION}"),
        });
    }
    let mut events = Vec::new();
    for batch in &table.batches {
        events.extend(decode(batch).map_err(|error| error.with_path(path.as_str()))?);
    }
    match events.iter().find(|event| paths::org_component(&event.org) != org) {
        Some(stray) => {
            Err(Error::damaged(path.as_str(), format!("event {} belongs to another organization", stray.id)))
        }
        None => Ok(events),
    }
}

/// Moves an unreadable batch to `rejected/` and returns its new path.
///
/// Does nothing if the batch no longer exists. Keeps a batch in the inbox that was replaced in the meantime.
///
/// # Errors
/// If the store fails; [`Error::Unusable`] if the path is not in the inbox.
pub async fn reject(objects: &dyn ObjectStore, path: &ObjectPath) -> Result<ObjectPath> {
    let Some((org, hash)) = paths::parse_inbox(path) else {
        return Err(Error::Unusable { what: format!("{path} is not in the inbox"), source: None });
    };
    let rejected_path = paths::rejected(&org, path.file_name());
    let Some(batch) = objects.get(path).await? else { return Ok(rejected_path) };
    let rejected_path = copy_to_rejected(objects, rejected_path, &org, &hash, &batch.bytes).await?;
    // A collector may have replaced the damaged batch by a readable one, which must not be removed.
    if objects.get(path).await?.is_some_and(|current| current.etag == batch.etag) {
        objects.delete(path).await?;
    }
    Ok(rejected_path)
}

async fn copy_to_rejected(
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
    let rejected_path = paths::rejected(org, &format!("{hash}-{}.parquet", &digest[..16]));
    objects.put_if_absent(&rejected_path, bytes.clone(), &[]).await?;
    Ok(rejected_path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryObjects;
    use crate::snapshot::{self, Stamp};
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
        assert_eq!(read(&objects, &path).await.unwrap().unwrap(), batch(5).into_events());
        assert_eq!(list(&objects, "ACME").await.unwrap().len(), 1);
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
        assert_eq!(read(&objects, &paths::inbox("acme", "ab")).await.unwrap(), None);
    }

    #[tokio::test]
    async fn events_of_another_organization_are_damage() {
        let objects = MemoryObjects::new();
        let path = put(&objects, &batch(1)).await.unwrap().unwrap();
        let bytes = objects.get(&path).await.unwrap().unwrap().bytes;
        let moved = paths::inbox("other", "ab");
        objects.put_if_absent(&moved, bytes, &[]).await.unwrap();
        assert!(matches!(read(&objects, &moved).await, Err(Error::Damaged { .. })));
    }

    #[tokio::test]
    async fn rejected_batches_are_all_kept() {
        let objects = MemoryObjects::new();
        let path = put(&objects, &batch(2)).await.unwrap().unwrap();
        overwrite(&objects, &path, b"garbage").await;
        let error = read(&objects, &path).await.unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }) && error.to_string().contains(path.as_str()));
        let first = reject(&objects, &path).await.unwrap();
        assert_eq!(reject(&objects, &path).await.unwrap(), first);
        assert_eq!(objects.get(&first).await.unwrap().unwrap().bytes, "garbage");
        assert!(list(&objects, "acme").await.unwrap().is_empty());

        overwrite(&objects, &path, b"other garbage").await;
        let second = reject(&objects, &path).await.unwrap();
        assert_ne!(second, first);
        assert_eq!(objects.get(&second).await.unwrap().unwrap().bytes, "other garbage");
        assert_eq!(objects.list(&paths::rejected_prefix("acme")).await.unwrap().len(), 2);
    }

    #[tokio::test]
    async fn writing_a_batch_replaces_a_damaged_one() {
        let objects = MemoryObjects::new();
        let path = put(&objects, &batch(2)).await.unwrap().unwrap();
        overwrite(&objects, &path, b"garbage").await;
        put(&objects, &batch(2)).await.unwrap();
        assert_eq!(read(&objects, &path).await.unwrap().unwrap(), batch(2).into_events());
    }

    #[tokio::test]
    async fn organizations_have_a_batch_or_a_snapshot() {
        let objects = MemoryObjects::new();
        put(&objects, &batch(1)).await.unwrap();
        let stamp = Stamp::new(1, 1, 1);
        let month = commit(0).month();
        for org in ["zeta", "ACME", "beta"] {
            snapshot::write(&objects, org, month, &[], &stamp, None).await.unwrap();
        }
        objects.put_if_absent(&paths::rejected("gone", "x"), Bytes::new(), &[]).await.unwrap();
        assert_eq!(orgs(&objects).await.unwrap(), ["acme", "beta", "zeta"]);
    }
}
