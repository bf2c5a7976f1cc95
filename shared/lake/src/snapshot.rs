//! Month snapshots, which are the truth.
//!
//! A snapshot is one object per table, organization and UTC month. It has one row per id, sorted by group (in the table
//! `events` the repository) and time. It is replaced by compare-and-swap.

use std::marker::PhantomData;

use arrow_array::RecordBatch;
use bytes::Bytes;
use gam_model::{Month, RowEdit};

use crate::edit;
use crate::error::{Error, Result};
use crate::merge;
pub use crate::merge::{RowChange, sort_rows};
use crate::object_store::{ETag, ObjectStore, PutIfAbsent, PutIfMatch};
use crate::parquet_file::{self, FooterProperties, FooterRead, ParquetFile, RowOrder, spawn_blocking};
use crate::paths::{self, ObjectPath};
use crate::schema::SCHEMA_VERSION;
use crate::table::{Events, Table, projected};
use sha2::{Digest as _, Sha256};

const GENERATION_KEY: &str = "gam.generation";
const EPOCH_KEY: &str = "gam.epoch";
const LOGIC_VERSION_KEY: &str = "gam.logic_version";
const ERASED_KEY: &str = "gam.erased";
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
    /// The version of the schema that the snapshot was written with. [`write()`] and [`merge`] store
    /// [`Table::SCHEMA_VERSION`], whatever this says.
    pub schema_version: u32,
    /// Number of erased sessions whose rows the snapshot is without. Lists of erased sessions only grow, so whoever knows
    /// fewer must not replace the snapshot.
    pub erased: u32,
}

impl Stamp {
    /// A stamp of this program's schema of the table `events`. Files get the version of their table's schema.
    pub fn new(generation: u64, epoch: u64, logic_version: u32) -> Self {
        Stamp { generation, epoch, logic_version, schema_version: SCHEMA_VERSION, erased: 0 }
    }

    /// Returns the stamp of a snapshot that is without the rows of this many erased sessions.
    #[must_use]
    pub fn without_erased(self, erased: u32) -> Self {
        Stamp { erased, ..self }
    }

    /// Returns whether a newer program wrote the snapshot, with columns that this one does not know. Its rows
    /// must not be written back.
    pub fn has_newer_schema<T: Table>(&self) -> bool {
        self.schema_version > T::SCHEMA_VERSION
    }

    fn properties(&self) -> Vec<(&'static str, String)> {
        let mut properties = vec![
            (GENERATION_KEY, self.generation.to_string()),
            (LOGIC_VERSION_KEY, self.logic_version.to_string()),
            (EPOCH_KEY, self.epoch.to_string()),
            (IDENTITY_KEY, IDENTITY_BEFORE_EPOCHS.to_owned()),
        ];
        if self.erased > 0 {
            properties.push((ERASED_KEY, self.erased.to_string()));
        }
        properties
    }

    fn from_properties(path: &str, properties: &FooterProperties) -> Result<Self> {
        let generation = parquet_file::property(path, properties, GENERATION_KEY)?;
        let epoch = parquet_file::optional_property(path, properties, EPOCH_KEY)?.unwrap_or_default();
        // No real number is this great, and each must have a next one.
        if generation >= MAX_NUMBER || epoch >= MAX_NUMBER {
            return Err(Error::damaged(path, "its footer has an impossible generation or epoch"));
        }
        Ok(Stamp {
            generation,
            epoch,
            logic_version: parquet_file::property(path, properties, LOGIC_VERSION_KEY)?,
            schema_version: parquet_file::schema_version(path, properties)?,
            erased: parquet_file::optional_property(path, properties, ERASED_KEY)?.unwrap_or_default(),
        })
    }
}

/// The rows of a snapshot, which are decoded a batch at a time. Clones share the bytes.
#[derive(Debug)]
pub struct SnapshotRows<T: Table = Events> {
    file: ParquetFile,
    table: PhantomData<fn() -> T>,
}

impl<T: Table> Clone for SnapshotRows<T> {
    fn clone(&self) -> Self {
        SnapshotRows { file: self.file.clone(), table: PhantomData }
    }
}

impl<T: Table> SnapshotRows<T> {
    fn new(file: ParquetFile) -> Self {
        SnapshotRows { file, table: PhantomData }
    }

    /// Returns the number of batches.
    pub fn batch_count(&self) -> usize {
        self.file.group_count()
    }

    /// Returns the number of rows.
    pub fn row_count(&self) -> usize {
        (0..self.file.group_count()).map(|group| self.file.group_rows(group)).sum()
    }

    /// Decodes these columns of a batch. It takes long, so do not call it on a thread that serves other tasks. Panics
    /// if there is no such batch.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the snapshot cannot be read.
    pub fn batch(&self, index: usize, columns: &[&str]) -> Result<RecordBatch> {
        self.file.group(index, &projected(&T::schema(), columns))
    }

    /// Decodes all columns of a batch. As [`SnapshotRows::batch`].
    ///
    /// # Errors
    /// As [`SnapshotRows::batch`].
    pub fn complete_batch(&self, index: usize) -> Result<RecordBatch> {
        self.file.group(index, &T::schema())
    }

    /// Decodes all rows, with all columns of the table. As [`SnapshotRows::batch`].
    ///
    /// # Errors
    /// As [`SnapshotRows::batch`].
    pub fn all(&self) -> Result<Vec<RecordBatch>> {
        (0..self.batch_count()).map(|index| self.complete_batch(index)).collect()
    }
}

/// A snapshot whose rows are not decoded yet.
#[derive(Debug, Clone)]
pub struct SnapshotFile<T: Table = Events> {
    /// The generation and the epoch.
    pub stamp: Stamp,
    /// Identifies the snapshot for [`put`] and [`restamp`].
    pub etag: ETag,
    /// The rows.
    pub rows: SnapshotRows<T>,
}

/// A snapshot as it was read.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The generation and the epoch.
    pub stamp: Stamp,
    /// Identifies the snapshot for [`write()`].
    pub etag: ETag,
    /// The rows, with the columns of the table.
    pub batches: Vec<RecordBatch>,
}

/// A month after a merge.
#[derive(Debug, Clone)]
pub struct MergedMonth<T: Table = Events> {
    /// The rows of the new snapshot, which is not in the lake yet; `None` if nothing changed.
    pub rows: Option<SnapshotRows<T>>,
    /// The rows that changed, sorted by id.
    pub changes: Vec<RowChange<T::Row>>,
}

/// Fetches the snapshot of an organization and UTC month and decodes its footer; `None` if it does not exist.
///
/// # Errors
/// - [`Error::Damaged`] if the snapshot cannot be read.
/// - [`Error::NewerFormat`] if a newer version of the program wrote it.
/// - Other errors if the store fails.
pub async fn fetch<T: Table>(
    objects: &dyn ObjectStore,
    org: &str,
    month: Month,
) -> Result<Option<SnapshotFile<T>>> {
    let path = paths::snapshot::<T>(org, month);
    let Some(object) = objects.get(&path).await? else { return Ok(None) };
    let file = ParquetFile::open(path.as_str(), object.bytes)?;
    let stamp = Stamp::from_properties(path.as_str(), file.properties())?;
    Ok(Some(SnapshotFile { stamp, etag: object.etag, rows: SnapshotRows::new(file) }))
}

/// Returns what identifies the snapshot of an organization and UTC month, whether or not it can be read; `None` if it
/// does not exist.
///
/// # Errors
/// If the store fails.
pub async fn etag<T: Table>(objects: &dyn ObjectStore, org: &str, month: Month) -> Result<Option<ETag>> {
    Ok(objects.get(&paths::snapshot::<T>(org, month)).await?.map(|object| object.etag))
}

/// Copies the snapshot of an organization and UTC month to `rejected/`, before something replaces what cannot be read.
///
/// # Errors
/// If the store fails.
pub async fn keep_rejected<T: Table>(objects: &dyn ObjectStore, org: &str, month: Month) -> Result<()> {
    if let Some(object) = objects.get(&paths::snapshot::<T>(org, month)).await? {
        let path = paths::rejected_snapshot::<T>(org, month, &hex::encode(Sha256::digest(&object.bytes)));
        objects.put_if_absent(&path, object.bytes, &[]).await?;
    }
    Ok(())
}

/// Merges rows into a month's rows, for a snapshot with this stamp. `winners` is what [`Table::winners`] returns.
/// Without a snapshot, there is always a new one. Store it with [`put`].
///
/// Row groups that do not change are copied as bytes. The others are decoded and encoded, a few at a time, on all
/// cores. Do not call this on a thread that serves other tasks.
///
/// # Errors
/// [`Error::Damaged`] if the snapshot cannot be read; [`Error::NewerFormat`] if a row to be compared is one that only
/// a newer version of the program knows.
pub fn merge<T: Table>(
    current: Option<&SnapshotRows<T>>,
    winners: &[T::Row],
    stamp: &Stamp,
) -> Result<MergedMonth<T>> {
    let merge::Merged { bytes, changes } =
        merge::merge::<T>(current.map(|rows| &rows.file), winners, stamp.properties())?;
    let path = current.map_or("the merged month", |rows| rows.file.path());
    let rows = bytes.map(|bytes| ParquetFile::open(path, bytes).map(SnapshotRows::new)).transpose()?;
    Ok(MergedMonth { rows, changes })
}

/// Changes and deletes rows of a month, for a snapshot with this stamp. `edit` says what becomes of each row; a row that
/// takes the place of another has the same id, group and time. Returns `None` if no row changes. Store the rows with
/// [`put`].
///
/// Row groups that do not change are copied as bytes. Do not call this on a thread that serves other tasks.
///
/// # Errors
/// As [`merge`].
pub fn edit<T: Table>(
    rows: &SnapshotRows<T>,
    stamp: &Stamp,
    edit: impl Fn(&T::Row) -> RowEdit<T::Row>,
) -> Result<Option<SnapshotRows<T>>> {
    let bytes = edit::edit::<T>(&rows.file, stamp.properties(), edit)?;
    bytes.map(|bytes| ParquetFile::open(rows.file.path(), bytes).map(SnapshotRows::new)).transpose()
}

/// Returns a month without rows, for a snapshot with this stamp.
///
/// # Errors
/// If this build cannot write Parquet.
pub fn without_rows<T: Table>(stamp: &Stamp) -> Result<SnapshotRows<T>> {
    let bytes = parquet_file::write::<T>(&[], stamp.properties(), RowOrder::Sorted)?;
    ParquetFile::open("the empty month", bytes).map(SnapshotRows::new)
}

/// Stores a merged month as the snapshot of an organization and UTC month, by compare-and-swap. `stamp` is that of
/// the merge. `expected` and the result are those of [`write()`].
///
/// # Errors
/// As [`write()`].
pub async fn put<T: Table>(
    objects: &dyn ObjectStore,
    org: &str,
    month: Month,
    rows: &SnapshotRows<T>,
    stamp: &Stamp,
    expected: Option<&ETag>,
) -> Result<Option<ETag>> {
    replace(objects, &paths::snapshot::<T>(org, month), rows.file.bytes().clone(), stamp, expected).await
}

/// Replaces a snapshot by the same rows with another stamp, by compare-and-swap. Keeps the version of the schema.
/// Copies the rows as bytes. Returns what [`write()`] returns.
///
/// # Errors
/// As [`write()`].
pub async fn restamp<T: Table>(
    objects: &dyn ObjectStore,
    org: &str,
    month: Month,
    snapshot: &SnapshotFile<T>,
    stamp: &Stamp,
) -> Result<Option<ETag>> {
    let (file, properties) = (snapshot.rows.file.clone(), stamp.properties());
    let bytes = spawn_blocking(move || parquet_file::with_properties(&file, properties)).await?;
    replace(objects, &paths::snapshot::<T>(org, month), bytes, stamp, Some(&snapshot.etag)).await
}

/// Reads all rows of the snapshot of an organization and UTC month; `None` if it does not exist.
///
/// Drops columns that only a newer version of the program knows. Do not write the rows back if the stamp has
/// a newer schema or logic version than this program.
///
/// # Errors
/// The same as of [`fetch`].
pub async fn read<T: Table>(objects: &dyn ObjectStore, org: &str, month: Month) -> Result<Option<Snapshot>> {
    let Some(SnapshotFile { stamp, etag, rows }) = fetch::<T>(objects, org, month).await? else {
        return Ok(None);
    };
    let batches = spawn_blocking(move || rows.all()).await?;
    Ok(Some(Snapshot { stamp, etag, batches }))
}

/// Reads only the stamp of a snapshot, from the end of the object; `None` if the snapshot does not exist.
///
/// # Errors
/// The same as of [`fetch`].
pub async fn read_stamp<T: Table>(
    objects: &dyn ObjectStore,
    org: &str,
    month: Month,
) -> Result<Option<Stamp>> {
    let path = paths::snapshot::<T>(org, month);
    let mut length = FIRST_TAIL_BYTES;
    loop {
        let Some(tail) = objects.get_tail(&path, length as u64).await? else { return Ok(None) };
        // Terminates, because the needed length grows with each round and is limited.
        match parquet_file::read_footer(path.as_str(), &tail, tail.len() < length)? {
            FooterRead::Complete(properties) => {
                return Stamp::from_properties(path.as_str(), &properties).map(Some);
            }
            FooterRead::NeedsBytes(needed) => length = needed,
        }
    }
}

/// Replaces the snapshot of an organization and UTC month by compare-and-swap.
///
/// The rows must be sorted as by [`sort_rows`]. `expected` is the etag of the snapshot to replace; `None` if
/// there must be none. Returns the etag of the new snapshot; `None` if another process wrote one first, so
/// that nothing was written.
///
/// # Errors
/// If the store fails, and the snapshot may have been written; [`Error::Damaged`] if
/// the rows lack columns of the table.
pub async fn write<T: Table>(
    objects: &dyn ObjectStore,
    org: &str,
    month: Month,
    batches: &[RecordBatch],
    stamp: &Stamp,
    expected: Option<&ETag>,
) -> Result<Option<ETag>> {
    let (batches, properties) = (batches.to_vec(), stamp.properties());
    let bytes =
        spawn_blocking(move || parquet_file::write::<T>(&batches, properties, RowOrder::Sorted)).await?;
    replace(objects, &paths::snapshot::<T>(org, month), bytes, stamp, expected).await
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
pub async fn orgs<T: Table>(objects: &dyn ObjectStore) -> Result<Vec<String>> {
    let snapshots = objects.list(&paths::snapshots_root::<T>()).await?;
    let orgs =
        snapshots.iter().filter_map(|object| paths::parse_snapshot::<T>(&object.path)).map(|(org, _)| org);
    let mut orgs: Vec<String> = orgs.collect();
    orgs.sort();
    orgs.dedup();
    Ok(orgs)
}

/// Returns the UTC months for which the organization has a snapshot, in order.
///
/// # Errors
/// If the store fails.
pub async fn months<T: Table>(objects: &dyn ObjectStore, org: &str) -> Result<Vec<Month>> {
    let snapshots = objects.list(&paths::snapshots_prefix::<T>(org)).await?;
    let months = snapshots.iter().filter_map(|object| paths::parse_snapshot::<T>(&object.path));
    let mut months: Vec<Month> = months.map(|(_, month)| month).collect();
    months.sort();
    Ok(months)
}

#[cfg(test)]
mod tests;
