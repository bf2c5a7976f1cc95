//! Month snapshots: the truth. One object an organization and UTC month, one row an event id, sorted
//! by repository and time, replaced whole by compare-and-swap.

use arrow_array::RecordBatch;
use gam_model::Month;

use crate::error::Result;
pub use crate::merge::{Change, Merged, merge};
use crate::object_store::{ETag, ObjectStore, PutIfAbsent, PutIfMatch};
use crate::paths;
use crate::table::{self, Order, Properties, Tail, off_thread};

const GENERATION: &str = "gam.generation";
const LOGIC_VERSION: &str = "gam.logic_version";
const IDENTITY: &str = "gam.identity";

/// As much of an object's end as holds the footer of all but the largest snapshots.
const TAIL_BYTES: usize = 64 << 10;

/// Which replacement of its month a snapshot is, and what wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// 1 for the first snapshot of the month, and one more with every replacement.
    pub generation: u64,
    /// The version of the rollup logic of the program that wrote it.
    pub logic_version: u32,
    /// The hash of the bots-and-aliases configuration of the program that wrote it.
    pub identity: String,
}

impl Stamp {
    fn properties(&self) -> Vec<(&'static str, String)> {
        vec![
            (GENERATION, self.generation.to_string()),
            (LOGIC_VERSION, self.logic_version.to_string()),
            (IDENTITY, self.identity.clone()),
        ]
    }

    fn of(path: &str, properties: &Properties) -> Result<Self> {
        Ok(Stamp {
            generation: table::property(path, properties, GENERATION)?,
            logic_version: table::property(path, properties, LOGIC_VERSION)?,
            identity: table::property(path, properties, IDENTITY)?,
        })
    }
}

/// A month as it was read.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Which replacement it is.
    pub stamp: Stamp,
    /// Which writing was read: what [`write()`] expects to replace.
    pub etag: ETag,
    /// The rows, with the columns of [`events`](crate::schema::events).
    pub batches: Vec<RecordBatch>,
}

/// The organization's UTC month, or `None` where there is no snapshot of it. Columns that only a newer
/// version knows are left out: where the stamp's logic is newer than one's own, do not write it back.
///
/// # Errors
/// [`Error::Damaged`](crate::Error::Damaged) where it cannot be read,
/// [`Error::NewerFormat`](crate::Error::NewerFormat) where a newer version wrote it, else where the
/// store fails.
pub async fn read(objects: &dyn ObjectStore, org: &str, month: Month) -> Result<Option<Snapshot>> {
    let path = paths::snapshot(org, month);
    let Some(object) = objects.get(&path).await? else { return Ok(None) };
    off_thread(move || {
        let table = table::read(path.as_str(), object.bytes)?;
        let stamp = Stamp::of(path.as_str(), &table.properties)?;
        Ok(Some(Snapshot { stamp, etag: object.etag, batches: table.batches }))
    })
    .await
}

/// The stamp of the organization's UTC month, read from the object's end alone; `None` where there is
/// no snapshot.
///
/// # Errors
/// As [`read`].
pub async fn read_stamp(objects: &dyn ObjectStore, org: &str, month: Month) -> Result<Option<Stamp>> {
    let path = paths::snapshot(org, month);
    let mut length = TAIL_BYTES;
    loop {
        let Some(tail) = objects.get_tail(&path, length as u64).await? else { return Ok(None) };
        // Each round asks for more than the last, up to what a footer may have at most.
        match table::read_tail(path.as_str(), &tail.bytes, tail.bytes.len() < length)? {
            Tail::Properties(properties) => return Stamp::of(path.as_str(), &properties).map(Some),
            Tail::Longer(needed) => length = needed,
        }
    }
}

/// Replaces the organization's UTC month by the rows, which must be sorted as [`merge`] sorts them.
/// `expected` is the snapshot that was read, `None` where there was none. Returns the new snapshot's
/// etag, or `None` where somebody else was faster: then nothing is written.
///
/// # Errors
/// Where the store fails (the snapshot may have been written nevertheless);
/// [`Error::Damaged`](crate::Error::Damaged) where the rows lack columns of the table.
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
    let bytes = off_thread(move || table::write(&batches, properties, Order::RepoAndTime)).await?;
    let metadata = [("generation", stamp.generation.to_string()), ("logic", stamp.logic_version.to_string())];
    Ok(match expected {
        None => match objects.put_if_absent(&path, bytes, &metadata).await? {
            PutIfAbsent::Written(etag) => Some(etag),
            PutIfAbsent::Exists => None,
        },
        Some(etag) => match objects.put_if_match(&path, bytes, etag, &metadata).await? {
            PutIfMatch::Written(etag) => Some(etag),
            PutIfMatch::Changed => None,
        },
    })
}

/// The UTC months of which the organization has a snapshot, in order.
///
/// # Errors
/// Where the store fails.
pub async fn months(objects: &dyn ObjectStore, org: &str) -> Result<Vec<Month>> {
    let listed = objects.list(&paths::events_prefix(org)).await?;
    let months = listed.iter().filter_map(|object| paths::parse_snapshot(&object.path));
    let mut months: Vec<Month> = months.map(|(_, month)| month).collect();
    months.sort();
    Ok(months)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use parquet::file::metadata::ParquetMetaDataReader;
    use parquet::schema::printer::print_schema;

    use super::*;
    use crate::error::Error;
    use crate::memory::MemoryObjects;
    use crate::schema::{decode, encode};
    use crate::testing::sample;

    fn march() -> Month {
        Month::parse("2026-03").unwrap()
    }

    fn stamp(generation: u64) -> Stamp {
        Stamp { generation, logic_version: 3, identity: "abc".to_owned() }
    }

    #[tokio::test]
    async fn a_snapshot_is_replaced_only_by_who_has_read_it() {
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
        let listed: Vec<_> =
            months(&objects, "Acme").await.unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(listed, ["2025-12", "2026-01", "2026-03"]);
    }

    #[tokio::test]
    async fn a_footer_longer_than_the_first_look_is_read_whole() {
        let objects = MemoryObjects::new();
        let long = Stamp { identity: "x".repeat(3 * TAIL_BYTES), ..stamp(9) };
        let batches = [encode(&sample(10)).unwrap()];
        write(&objects, "acme", march(), &batches, &long, None).await.unwrap();
        assert_eq!(read_stamp(&objects, "acme", march()).await.unwrap(), Some(long));
    }

    #[tokio::test]
    async fn what_is_no_snapshot_is_damage() {
        let objects = MemoryObjects::new();
        let path = paths::snapshot("acme", march());
        let unstamped = table::write(&[encode(&sample(1)).unwrap()], vec![], Order::None).unwrap();
        for bytes in [Bytes::new(), Bytes::from_static(b"x"), Bytes::from(vec![7; 3 * TAIL_BYTES]), unstamped]
        {
            objects.delete(&path).await.unwrap();
            objects.put_if_absent(&path, bytes, &[]).await.unwrap();
            assert!(matches!(read(&objects, "acme", march()).await, Err(Error::Damaged { .. })));
            assert!(matches!(read_stamp(&objects, "acme", march()).await, Err(Error::Damaged { .. })));
        }
    }
}
