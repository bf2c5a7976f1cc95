//! Month snapshots, which are the truth.
//!
//! A snapshot is one object per organization and UTC month. It has one row per event id, sorted by repository
//! and time. It is replaced by compare-and-swap.

use arrow_array::RecordBatch;
use bytes::Bytes;
use gam_model::Month;

use crate::error::{Error, Result};
pub use crate::merge::{MergedRows, RowChange, merge};
use crate::object_store::{ETag, ObjectStore, PutIfAbsent, PutIfMatch};
use crate::paths::{self, ObjectPath};
use crate::schema::SCHEMA_VERSION;
use crate::table::{self, FooterProperties, FooterRead, RowOrder, spawn_blocking};

const GENERATION_KEY: &str = "gam.generation";
const EPOCH_KEY: &str = "gam.epoch";
const LOGIC_VERSION_KEY: &str = "gam.logic_version";
/// Programs before epochs require this property, and leave a snapshot of a newer logic version alone.
const IDENTITY_KEY: &str = "gam.identity";
const IDENTITY_BEFORE_EPOCHS: &str = "epoch";

/// Stores keep generations and epochs as signed integers.
const MAX_NUMBER: u64 = i64::MAX as u64;

/// The size of the first read of a footer. The footers of all but the largest snapshots are smaller.
const FIRST_TAIL_BYTES: usize = 64 << 10;

/// The generation of a snapshot, the epoch that it belongs to and the version of its schema. Stored in the Parquet
/// footer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// 1 for the first snapshot of the month; each replacement adds 1.
    pub generation: u64,
    /// The number of the store's epoch under which the snapshot was written; 0 before there were epochs. Who works
    /// in a smaller epoch must not replace the snapshot.
    pub epoch: u64,
    /// The version of the rollup logic of the program that wrote the snapshot.
    pub logic_version: u32,
    /// The version of the schema that the snapshot was written with. [`write()`] always stores
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
}

impl Stamp {
    /// A stamp of this program's schema.
    pub fn new(generation: u64, epoch: u64, logic_version: u32) -> Self {
        Stamp { generation, epoch, logic_version, schema_version: SCHEMA_VERSION }
    }

    /// Returns whether a newer program wrote the snapshot, with columns that this one does not know. Its rows
    /// must not be written back.
    pub fn has_newer_schema(&self) -> bool {
        self.schema_version > SCHEMA_VERSION
    }

    fn properties(&self) -> Vec<(&'static str, String)> {
        vec![
            (GENERATION_KEY, self.generation.to_string()),
            (LOGIC_VERSION_KEY, self.logic_version.to_string()),
            (EPOCH_KEY, self.epoch.to_string()),
            (IDENTITY_KEY, IDENTITY_BEFORE_EPOCHS.to_owned()),
        ]
    }

    fn from_properties(path: &str, properties: &FooterProperties) -> Result<Self> {
        let generation = table::property(path, properties, GENERATION_KEY)?;
        let epoch = table::optional_property(path, properties, EPOCH_KEY)?.unwrap_or_default();
        // No real number is this great, and each must have a next one.
        if generation >= MAX_NUMBER || epoch >= MAX_NUMBER {
            return Err(Error::damaged(path, "its footer has an impossible generation or epoch"));
        }
        Ok(Stamp {
            generation,
            epoch,
            logic_version: table::property(path, properties, LOGIC_VERSION_KEY)?,
            schema_version: table::schema_version(path, properties)?,
        })
    }
}

/// A snapshot as it was read.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The generation and the epoch.
    pub stamp: Stamp,
    /// Identifies the snapshot for [`write()`].
    pub etag: ETag,
    /// The rows, with the columns of [`events`](crate::schema::events).
    pub batches: Vec<RecordBatch>,
}

/// A snapshot whose rows are not decoded yet.
#[derive(Debug, Clone)]
pub struct SnapshotFile {
    /// The generation and the epoch.
    pub stamp: Stamp,
    /// Identifies the snapshot for [`write()`] and [`restamp`].
    pub etag: ETag,
    path: ObjectPath,
    bytes: Bytes,
}

impl SnapshotFile {
    /// Decodes all rows, with the columns of [`events`](crate::schema::events). It takes long, so do not call it on
    /// a thread that serves other tasks.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the snapshot cannot be read.
    pub fn rows(&self) -> Result<Vec<RecordBatch>> {
        Ok(table::read(self.path.as_str(), self.bytes.clone())?.batches)
    }

    /// Decodes these columns of all rows. As [`SnapshotFile::rows`].
    ///
    /// # Errors
    /// As [`SnapshotFile::rows`].
    pub fn columns(&self, columns: &[&str]) -> Result<Vec<RecordBatch>> {
        Ok(table::read_projected(self.path.as_str(), self.bytes.clone(), Some(columns))?.batches)
    }
}

/// Fetches the snapshot of an organization and UTC month and decodes its footer; `None` if it does not exist.
///
/// # Errors
/// The same as of [`read`].
pub async fn fetch(objects: &dyn ObjectStore, org: &str, month: Month) -> Result<Option<SnapshotFile>> {
    let path = paths::snapshot(org, month);
    let Some(object) = objects.get(&path).await? else { return Ok(None) };
    let properties = match table::read_footer(path.as_str(), &object.bytes, true)? {
        FooterRead::Complete(properties) => properties,
        FooterRead::NeedsBytes(_) => return Err(Error::damaged(path.as_str(), "its footer is corrupt")),
    };
    let stamp = Stamp::from_properties(path.as_str(), &properties)?;
    Ok(Some(SnapshotFile { stamp, etag: object.etag, path, bytes: object.bytes }))
}

/// Replaces a snapshot by the same rows with another stamp, by compare-and-swap. Keeps the version of the schema.
/// Copies the rows as bytes. Returns what [`write()`] returns.
///
/// # Errors
/// As [`write()`].
pub async fn restamp(objects: &dyn ObjectStore, file: &SnapshotFile, stamp: &Stamp) -> Result<Option<ETag>> {
    let (path, bytes, properties) = (file.path.clone(), file.bytes.clone(), stamp.properties());
    let bytes = spawn_blocking(move || table::with_properties(path.as_str(), &bytes, properties)).await?;
    replace(objects, &file.path, bytes, stamp, Some(&file.etag)).await
}

/// Reads the snapshot of an organization and UTC month; `None` if it does not exist.
///
/// Drops columns that only a newer version of the program knows. Do not write the rows back if the stamp has
/// a newer schema or logic version than this program.
///
/// # Errors
/// - [`Error::Damaged`] if the snapshot cannot be read.
/// - [`Error::NewerFormat`] if a newer version of the program wrote it.
/// - Other errors if the store fails.
pub async fn read(objects: &dyn ObjectStore, org: &str, month: Month) -> Result<Option<Snapshot>> {
    let path = paths::snapshot(org, month);
    let Some(object) = objects.get(&path).await? else { return Ok(None) };
    spawn_blocking(move || {
        let table = table::read(path.as_str(), object.bytes)?;
        let stamp = Stamp::from_properties(path.as_str(), &table.properties)?;
        Ok(Some(Snapshot { stamp, etag: object.etag, batches: table.batches }))
    })
    .await
}

/// Reads only the stamp of a snapshot, from the end of the object; `None` if the snapshot does not exist.
///
/// # Errors
/// The same as of [`read`].
pub async fn read_stamp(objects: &dyn ObjectStore, org: &str, month: Month) -> Result<Option<Stamp>> {
    let path = paths::snapshot(org, month);
    let mut length = FIRST_TAIL_BYTES;
    loop {
        let Some(tail) = objects.get_tail(&path, length as u64).await? else { return Ok(None) };
        // Terminates, because the needed length grows with each round and is limited.
        match table::read_footer(path.as_str(), &tail, tail.len() < length)? {
            FooterRead::Complete(properties) => {
                return Stamp::from_properties(path.as_str(), &properties).map(Some);
            }
            FooterRead::NeedsBytes(needed) => length = needed,
        }
    }
}

/// Replaces the snapshot of an organization and UTC month by compare-and-swap.
///
/// The rows must be sorted as by [`merge`]. `expected` is the etag of the snapshot to replace; `None` if
/// there must be none. Returns the etag of the new snapshot; `None` if another process wrote one first, so
/// that nothing was written.
///
/// # Errors
/// If the store fails, and the snapshot may have been written; [`Error::Damaged`] if
/// the rows lack columns of the table.
pub async fn write(
    objects: &dyn ObjectStore,
    org: &str,
    month: Month,
    batches: &[RecordBatch],
    stamp: &Stamp,
    expected: Option<&ETag>,
) -> Result<Option<ETag>> {
    let path = paths::snapshot(org, month);
    let (batches, properties) = (batches.to_vec(), stamp.properties());
    let bytes = spawn_blocking(move || table::write(&batches, properties, RowOrder::RepoAndTime)).await?;
    replace(objects, &path, bytes, stamp, expected).await
}

async fn replace(
    objects: &dyn ObjectStore,
    path: &ObjectPath,
    bytes: Bytes,
    stamp: &Stamp,
    expected: Option<&ETag>,
) -> Result<Option<ETag>> {
    let metadata = [("generation", stamp.generation.to_string()), ("logic", stamp.logic_version.to_string())];
    Ok(match expected {
        None => match objects.put_if_absent(path, bytes, &metadata).await? {
            PutIfAbsent::Written(etag) => Some(etag),
            PutIfAbsent::Exists => None,
        },
        Some(etag) => match objects.put_if_match(path, bytes, etag, &metadata).await? {
            PutIfMatch::Written(etag) => Some(etag),
            PutIfMatch::Changed => None,
        },
    })
}

/// Returns the storage keys of the organizations that have snapshots, in order.
///
/// # Errors
/// If the store fails.
pub async fn orgs(objects: &dyn ObjectStore) -> Result<Vec<String>> {
    let events = objects.list(paths::events_root()).await?;
    let orgs = events.iter().filter_map(|object| paths::parse_snapshot(&object.path)).map(|(org, _)| org);
    let mut orgs: Vec<String> = orgs.collect();
    orgs.sort();
    orgs.dedup();
    Ok(orgs)
}

/// Returns the UTC months for which the organization has a snapshot, in order.
///
/// # Errors
/// If the store fails.
pub async fn months(objects: &dyn ObjectStore, org: &str) -> Result<Vec<Month>> {
    let snapshots = objects.list(&paths::events_prefix(org)).await?;
    let months = snapshots.iter().filter_map(|object| paths::parse_snapshot(&object.path));
    let mut months: Vec<Month> = months.map(|(_, month)| month).collect();
    months.sort();
    Ok(months)
}

#[cfg(test)]
mod tests {
    use parquet::file::metadata::ParquetMetaDataReader;
    use parquet::schema::printer::print_schema;

    use super::*;
    use crate::memory::MemoryObjects;
    use crate::schema::{decode, encode};
    use crate::testing::sample;

    fn march() -> Month {
        Month::parse("2026-03").unwrap()
    }

    fn stamp(generation: u64) -> Stamp {
        Stamp::new(generation, 7, 3)
    }

    #[tokio::test]
    async fn a_snapshot_is_replaced_only_with_its_current_etag() {
        let objects = MemoryObjects::new();
        assert!(read(&objects, "acme", march()).await.unwrap().is_none());
        assert_eq!(read_stamp(&objects, "acme", march()).await.unwrap(), None);
        let one = [encode(&sample(3)).unwrap()];
        let two = [encode(&sample(4)).unwrap()];
        let first = write(&objects, "Acme", march(), &one, &stamp(1), None).await.unwrap().unwrap();
        assert_eq!(write(&objects, "acme", march(), &two, &stamp(1), None).await.unwrap(), None);
        let second = write(&objects, "acme", march(), &two, &stamp(2), Some(&first)).await.unwrap().unwrap();
        assert_eq!(write(&objects, "acme", march(), &one, &stamp(2), Some(&first)).await.unwrap(), None);

        let snapshot = read(&objects, "ACME", march()).await.unwrap().unwrap();
        assert_eq!((snapshot.stamp, snapshot.etag), (stamp(2), second));
        assert_eq!(decode(&snapshot.batches[0]).unwrap(), sample(4));
        assert_eq!(read_stamp(&objects, "acme", march()).await.unwrap(), Some(stamp(2)));
        let metadata = objects.metadata(&paths::snapshot("acme", march())).unwrap();
        assert_eq!(metadata, [("generation", "2".to_owned()), ("logic", "3".to_owned())]);
    }

    /// Other programs read these files. New columns come last and are optional.
    #[tokio::test]
    async fn the_format_of_a_snapshot_file_never_changes() {
        let objects = MemoryObjects::new();
        let rows = [encode(&sample(1)).unwrap()];
        write(&objects, "acme", march(), &rows, &stamp(1), None).await.unwrap();
        let bytes = objects.get(&paths::snapshot("acme", march())).await.unwrap().unwrap().bytes;
        let file = ParquetMetaDataReader::new().parse_and_finish(&bytes).unwrap();
        let mut text = Vec::new();
        print_schema(&mut text, file.file_metadata().schema());
        let mut text = String::from_utf8(text).unwrap();
        for pair in file.file_metadata().key_value_metadata().into_iter().flatten() {
            // The Arrow schema is base64, and says what the schema above says.
            if pair.key != "ARROW:schema" {
                text.push_str(&format!("{} = {}\n", pair.key, pair.value.as_deref().unwrap_or_default()));
            }
        }
        let (first, sorting) = (file.row_group(0), file.row_group(0).sorting_columns());
        for sorted in sorting.into_iter().flatten() {
            let column = first.column(sorted.column_idx as usize).column_path();
            text.push_str(&format!("sorted by {column}, descending: {}\n", sorted.descending));
        }
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!("snapshot_file", text);
        });
    }

    #[tokio::test]
    async fn months_are_listed_in_order() {
        let objects = MemoryObjects::new();
        for month in ["2026-03", "2025-12", "2026-01"] {
            let month = Month::parse(month).unwrap();
            write(&objects, "acme", month, &[], &stamp(1), None).await.unwrap();
        }
        write(&objects, "acme-two", march(), &[], &stamp(1), None).await.unwrap();
        let months: Vec<_> =
            months(&objects, "Acme").await.unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(months, ["2025-12", "2026-01", "2026-03"]);
    }

    #[tokio::test]
    async fn a_restamped_snapshot_has_the_same_bytes_of_rows() {
        let objects = MemoryObjects::new();
        let events = sample(1_000);
        let rows = [encode(&events[..600]).unwrap(), encode(&events[600..]).unwrap()];
        write(&objects, "acme", march(), &rows, &stamp(1), None).await.unwrap();
        let file = fetch(&objects, "acme", march()).await.unwrap().unwrap();
        let other = Stamp::new(2, 8, 4);
        let etag = restamp(&objects, &file, &other).await.unwrap();
        assert!(restamp(&objects, &file, &other).await.unwrap().is_none(), "it was replaced meanwhile");
        let copy = read(&objects, "acme", march()).await.unwrap().unwrap();
        assert_eq!((copy.stamp, Some(copy.etag)), (other.clone(), etag));
        assert_eq!(copy.batches, file.rows().unwrap());
        let object = |bytes: &Bytes| ParquetMetaDataReader::new().parse_and_finish(bytes).unwrap();
        let copied = objects.get(&paths::snapshot("acme", march())).await.unwrap().unwrap().bytes;
        let (old, new) = (object(&file.bytes), object(&copied));
        let data = 4..old.row_groups()[0].columns()[0].compressed_size() as usize;
        assert_eq!(file.bytes[data.clone()], copied[data], "copied, not encoded again");
        assert_eq!(new.row_groups()[0].sorting_columns(), old.row_groups()[0].sorting_columns());
        assert_eq!(
            new.row_groups()[0].columns()[0].statistics(),
            old.row_groups()[0].columns()[0].statistics()
        );
        // And once more, from the copy.
        let file = fetch(&objects, "acme", march()).await.unwrap().unwrap();
        restamp(&objects, &file, &stamp(3)).await.unwrap().unwrap();
        assert_eq!(read(&objects, "acme", march()).await.unwrap().unwrap().stamp, stamp(3));
        let some = file.columns(&["repo_id", "kind"]).unwrap();
        assert_eq!(some[0].num_columns(), 2);
        assert_eq!(some.iter().map(RecordBatch::num_rows).sum::<usize>(), 1_000);
    }

    #[tokio::test]
    async fn a_footer_larger_than_the_first_read_is_complete() {
        let objects = MemoryObjects::new();
        let mut properties = stamp(9).properties();
        properties.push(("gam.comment", "x".repeat(3 * FIRST_TAIL_BYTES)));
        let bytes = table::write(&[encode(&sample(10)).unwrap()], properties, RowOrder::RepoAndTime).unwrap();
        objects.put_if_absent(&paths::snapshot("acme", march()), bytes, &[]).await.unwrap();
        assert_eq!(read_stamp(&objects, "acme", march()).await.unwrap(), Some(stamp(9)));
    }

    #[tokio::test]
    async fn a_snapshot_names_its_schema_and_an_old_one_has_the_first() {
        let objects = MemoryObjects::new();
        let rows = [encode(&sample(1)).unwrap()];
        write(&objects, "acme", march(), &rows, &stamp(1), None).await.unwrap();
        let path = paths::snapshot("acme", march());
        let current = read_stamp(&objects, "acme", march()).await.unwrap().unwrap();
        assert_eq!((current.schema_version, current.has_newer_schema()), (SCHEMA_VERSION, false));
        for (written, expected) in [(None, 1), (Some(3), 3)] {
            let (properties, order) = (stamp(1).properties(), RowOrder::RepoAndTime);
            let bytes = table::write_with_schema_version(&rows, properties, order, written).unwrap();
            objects.delete(&path).await.unwrap();
            objects.put_if_absent(&path, bytes, &[]).await.unwrap();
            let stamp = read(&objects, "acme", march()).await.unwrap().unwrap().stamp;
            assert_eq!(
                (stamp.schema_version, stamp.has_newer_schema()),
                (expected, expected > SCHEMA_VERSION)
            );
        }
    }

    #[tokio::test]
    async fn invalid_snapshots_are_damage() {
        let objects = MemoryObjects::new();
        let path = paths::snapshot("acme", march());
        let unstamped = table::write(&[encode(&sample(1)).unwrap()], vec![], RowOrder::Unsorted).unwrap();
        for bytes in
            [Bytes::new(), Bytes::from_static(b"x"), Bytes::from(vec![7; 3 * FIRST_TAIL_BYTES]), unstamped]
        {
            objects.delete(&path).await.unwrap();
            objects.put_if_absent(&path, bytes, &[]).await.unwrap();
            assert!(matches!(read(&objects, "acme", march()).await, Err(Error::Damaged { .. })));
            assert!(matches!(read_stamp(&objects, "acme", march()).await, Err(Error::Damaged { .. })));
        }
    }
}
