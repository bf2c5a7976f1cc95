//! The inbox: event batches under keys that follow from their content, until they are merged.
//!
//! A key is the hash of what the events say, when they were collected aside, so writing the same
//! facts again writes nothing, whoever does it and however often.

use arrow_array::RecordBatch;
use bytes::Bytes;
use gam_model::{Event, EventBatch};

use crate::error::{Error, Result};
use crate::object_store::{ObjectMeta, ObjectStore, PutIfAbsent, PutIfMatch};
use crate::paths::{self, ObjectPath};
use crate::schema::{decode, encode};
use crate::table::{self, Order, ROW_GROUP_ROWS, off_thread};

/// How often a write is tried against others who put, merge and set aside the same batch.
const PUT_TRIES: usize = 5;

/// Writes the batch and returns where it lies; an empty batch is not written. Where the batch is
/// there already nothing is written, unless what is there cannot be read: then it is replaced.
///
/// # Errors
/// Where the store fails; [`Error::Unusable`] where an event is of another organization.
pub async fn put(objects: &dyn ObjectStore, batch: &EventBatch) -> Result<Option<ObjectPath>> {
    if batch.events().is_empty() {
        return Ok(None);
    }
    let org = paths::org_part(batch.org());
    if let Some(stray) = batch.events().iter().find(|event| paths::org_part(&event.org) != org) {
        let what = format!(
            "event {} is of {}, not of {}: it cannot be in one batch",
            stray.id,
            stray.org,
            batch.org()
        );
        return Err(Error::Unusable { what, source: None });
    }
    let path = paths::inbox(batch.org(), &batch.content_hash());
    let chunks: Vec<RecordBatch> =
        batch.events().chunks(ROW_GROUP_ROWS).map(encode).collect::<Result<_>>()?;
    let bytes = off_thread(move || table::write(&chunks, vec![], Order::None)).await?;
    put_bytes(objects, &path, bytes).await?;
    Ok(Some(path))
}

async fn put_bytes(objects: &dyn ObjectStore, path: &ObjectPath, bytes: Bytes) -> Result<()> {
    for _ in 0..PUT_TRIES {
        if let PutIfAbsent::Written(_) = objects.put_if_absent(path, bytes.clone(), &[]).await? {
            return Ok(());
        }
        // Gone again: merged, or set aside as damaged. Writing it once more is right either way.
        let Some(found) = objects.get(path).await? else { continue };
        match decode_object(path, found.bytes).await {
            Ok(_) | Err(Error::NewerFormat { .. }) => return Ok(()),
            Err(Error::Damaged { .. }) => {
                let replaced = objects.put_if_match(path, bytes.clone(), &found.etag, &[]).await?;
                if let PutIfMatch::Written(_) = replaced {
                    tracing::warn!(object = %path, "replaced a damaged batch");
                    return Ok(());
                }
            }
            Err(error) => return Err(error),
        }
    }
    Err(Error::Unavailable { what: format!("{path} keeps changing while it is written"), source: None })
}

/// The organization's batches, in order of their paths. Objects that are no batches are left out.
///
/// # Errors
/// Where the store fails.
pub async fn list(objects: &dyn ObjectStore, org: &str) -> Result<Vec<ObjectMeta>> {
    let mut listed = objects.list(&paths::inbox_prefix(org)).await?;
    listed.retain(|object| paths::parse_inbox(&object.path).is_some());
    Ok(listed)
}

/// Every organization with a batch in the inbox or a snapshot, as its lower-cased login, in order.
///
/// # Errors
/// Where the store fails.
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

/// The batch's events, or `None` where it is gone: somebody else has merged it.
///
/// # Errors
/// [`Error::Damaged`] where it cannot be read, or holds events of another organization: [`reject`]
/// it. [`Error::NewerFormat`] where a newer version wrote it: leave it. Else where the store fails.
pub async fn read(objects: &dyn ObjectStore, path: &ObjectPath) -> Result<Option<Vec<Event>>> {
    match objects.get(path).await? {
        Some(object) => decode_object(path, object.bytes).await.map(Some),
        None => Ok(None),
    }
}

async fn decode_object(path: &ObjectPath, bytes: Bytes) -> Result<Vec<Event>> {
    let path = path.clone();
    off_thread(move || decode_bytes(&path, bytes)).await
}

fn decode_bytes(path: &ObjectPath, bytes: Bytes) -> Result<Vec<Event>> {
    let (org, _) = paths::parse_inbox(path)
        .ok_or_else(|| Error::damaged(path.as_str(), "it does not lie where batches lie"))?;
    let table = table::read(path.as_str(), bytes)?;
    let mut events = Vec::new();
    for batch in &table.batches {
        events.extend(decode(batch).map_err(|error| error.about(path.as_str()))?);
    }
    match events.iter().find(|event| paths::org_part(&event.org) != org) {
        Some(stray) => Err(Error::damaged(
            path.as_str(),
            format!("it holds an event of another organization, {}", stray.id),
        )),
        None => Ok(events),
    }
}

/// Sets a batch aside that cannot be read: copies its bytes to `rejected/`, then removes it from the
/// inbox, and returns where the copy lies. Doing it again, or after it is gone, changes nothing; a
/// batch that was replaced meanwhile stays.
///
/// # Errors
/// Where the store fails; [`Error::Unusable`] where the path is not in the inbox.
pub async fn reject(objects: &dyn ObjectStore, path: &ObjectPath) -> Result<ObjectPath> {
    let Some((org, hash)) = paths::parse_inbox(path) else {
        return Err(Error::Unusable { what: format!("{path} is not in the inbox"), source: None });
    };
    let aside = paths::rejected(&org, path.file_name());
    let Some(found) = objects.get(path).await? else { return Ok(aside) };
    let aside = copy_aside(objects, aside, &org, &hash, &found.bytes).await?;
    // A collector may have put the batch anew since; what is readable must not be removed.
    if objects.get(path).await?.is_some_and(|now| now.etag == found.etag) {
        objects.delete(path).await?;
    }
    Ok(aside)
}

async fn copy_aside(
    objects: &dyn ObjectStore,
    aside: ObjectPath,
    org: &str,
    hash: &str,
    bytes: &Bytes,
) -> Result<ObjectPath> {
    if let PutIfAbsent::Written(_) = objects.put_if_absent(&aside, bytes.clone(), &[]).await? {
        return Ok(aside);
    }
    if objects.get(&aside).await?.is_some_and(|kept| kept.bytes == *bytes) {
        return Ok(aside);
    }
    // The same batch was damaged before, in another way: both are kept.
    let digest = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(bytes));
    let aside = paths::rejected(org, &format!("{hash}-{}.parquet", &digest[..16]));
    objects.put_if_absent(&aside, bytes.clone(), &[]).await?;
    Ok(aside)
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
        let first = objects.get(&path).await.unwrap();
        let mut later = sample(5);
        later.iter_mut().for_each(|event| event.collected_at += chrono::TimeDelta::hours(1));
        later.reverse();
        let again = put(&objects, &EventBatch::new("acme", later)).await.unwrap().unwrap();
        assert_eq!(again, path);
        assert_eq!(objects.get(&path).await.unwrap(), first);
        assert_eq!(read(&objects, &path).await.unwrap().unwrap(), batch(5).into_events());
        assert_eq!(list(&objects, "ACME").await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn an_empty_batch_and_a_stray_event_are_not_written() {
        let objects = MemoryObjects::new();
        assert_eq!(put(&objects, &EventBatch::new("acme", vec![])).await.unwrap(), None);
        let stray = put(&objects, &EventBatch::new("other", sample(1))).await;
        assert!(matches!(stray, Err(Error::Unusable { .. })));
        assert!(objects.list("").await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_batch_that_is_gone_reads_as_none() {
        let objects = MemoryObjects::new();
        assert_eq!(read(&objects, &paths::inbox("acme", "ab")).await.unwrap(), None);
    }

    #[tokio::test]
    async fn events_under_another_organizations_name_are_damage() {
        let objects = MemoryObjects::new();
        let path = put(&objects, &batch(1)).await.unwrap().unwrap();
        let bytes = objects.get(&path).await.unwrap().unwrap().bytes;
        let moved = paths::inbox("other", "ab");
        objects.put_if_absent(&moved, bytes, &[]).await.unwrap();
        assert!(matches!(read(&objects, &moved).await, Err(Error::Damaged { .. })));
    }

    #[tokio::test]
    async fn a_damaged_batch_is_set_aside_and_nothing_is_lost() {
        let objects = MemoryObjects::new();
        let path = put(&objects, &batch(2)).await.unwrap().unwrap();
        overwrite(&objects, &path, b"garbage").await;
        let damage = read(&objects, &path).await.unwrap_err();
        assert!(matches!(damage, Error::Damaged { .. }) && damage.to_string().contains(path.as_str()));
        let aside = reject(&objects, &path).await.unwrap();
        assert_eq!(reject(&objects, &path).await.unwrap(), aside);
        assert_eq!(objects.get(&aside).await.unwrap().unwrap().bytes, "garbage");
        assert!(list(&objects, "acme").await.unwrap().is_empty());

        overwrite(&objects, &path, b"other garbage").await;
        let second = reject(&objects, &path).await.unwrap();
        assert_ne!(second, aside);
        assert_eq!(objects.get(&second).await.unwrap().unwrap().bytes, "other garbage");
        assert_eq!(objects.list(&paths::rejected_prefix("acme")).await.unwrap().len(), 2);
    }

    #[tokio::test]
    async fn putting_a_batch_mends_a_damaged_one() {
        let objects = MemoryObjects::new();
        let path = put(&objects, &batch(2)).await.unwrap().unwrap();
        overwrite(&objects, &path, b"garbage").await;
        put(&objects, &batch(2)).await.unwrap();
        assert_eq!(read(&objects, &path).await.unwrap().unwrap(), batch(2).into_events());
    }

    #[tokio::test]
    async fn orgs_have_a_batch_or_a_snapshot() {
        let objects = MemoryObjects::new();
        put(&objects, &batch(1)).await.unwrap();
        let stamp = Stamp { generation: 1, logic_version: 1, identity: String::new() };
        let month = commit(0).month();
        for org in ["zeta", "ACME", "beta"] {
            snapshot::write(&objects, org, month, &[], &stamp, None).await.unwrap();
        }
        objects.put_if_absent(&paths::rejected("gone", "x"), Bytes::new(), &[]).await.unwrap();
        assert_eq!(orgs(&objects).await.unwrap(), ["acme", "beta", "zeta"]);
    }
}
