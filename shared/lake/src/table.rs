//! Tables as Parquet files: how they are written, and how any bytes are read without harm.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow_array::RecordBatch;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::{FooterTail, KeyValue, ParquetMetaData, ParquetMetaDataReader, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::error::{Error, Result};
use crate::schema::{self, column, conform};

/// The most rows of a row group, and of a batch that is read.
pub(crate) const ROW_GROUP_ROWS: usize = 131_072;

/// The format this version writes, and the newest one it reads.
const FORMAT: u32 = 1;
const FORMAT_KEY: &str = "gam.format";

const ZSTD_LEVEL: i32 = 3;
const FOOTER_TAIL_BYTES: usize = 8;

/// A footer of a hundred thousand row groups stays below this.
const MAX_FOOTER_BYTES: usize = 256 << 20;

/// Every row has an id of its own, and no compression packs ids tighter than this: a file that
/// claims more rows is made to exhaust memory.
const MAX_ROWS_PER_BYTE: u64 = 8;

/// What a table says of itself in its footer: `gam.*` keys and their values.
pub(crate) type Properties = BTreeMap<String, String>;

/// A table as it was read.
pub(crate) struct Table {
    /// The footer's properties.
    pub(crate) properties: Properties,
    /// The rows, with the columns of [`schema::events`].
    pub(crate) batches: Vec<RecordBatch>,
}

/// How the rows are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// By nothing a reader could use.
    None,
    /// By repository and time.
    RepoAndTime,
}

fn writer_properties(properties: Vec<(&str, String)>, order: Order) -> Result<WriterProperties> {
    let level = ZstdLevel::try_new(ZSTD_LEVEL)
        .map_err(|error| Error::unusable("this build cannot compress Parquet files", error))?;
    let sorting = |name: &str| {
        let index = schema::events().index_of(name).ok()?;
        Some(SortingColumn { column_idx: i32::try_from(index).ok()?, descending: false, nulls_first: false })
    };
    let sorting_columns = match order {
        Order::None => None,
        Order::RepoAndTime => [column::REPO, column::OCCURRED_AT].into_iter().map(sorting).collect(),
    };
    let format = (FORMAT_KEY, FORMAT.to_string());
    let key_values = [format]
        .into_iter()
        .chain(properties)
        .map(|(key, value)| KeyValue::new(key.to_owned(), value))
        .collect();
    Ok(WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_statistics_enabled(EnabledStatistics::Page)
        // Readers that cannot parse `NAME version X` distrust the statistics.
        .set_created_by(concat!("github-metrics version ", env!("CARGO_PKG_VERSION")).to_owned())
        // Nearly every value is different, so a dictionary would only be built to be thrown away.
        .set_column_dictionary_enabled(ColumnPath::from(column::EVENT_ID), false)
        .set_column_dictionary_enabled(ColumnPath::from(column::SHA), false)
        .set_sorting_columns(sorting_columns)
        .set_key_value_metadata(Some(key_values))
        .build())
}

/// The rows as a Parquet file, in their order, with the properties in its footer.
pub(crate) fn write(batches: &[RecordBatch], properties: Vec<(&str, String)>, order: Order) -> Result<Bytes> {
    let failed = |error| Error::unusable("the events cannot be written as Parquet", error);
    let properties = writer_properties(properties, order)?;
    let mut writer = ArrowWriter::try_new(Vec::new(), schema::events(), Some(properties)).map_err(failed)?;
    for batch in batches {
        writer.write(&conform(batch)?).map_err(failed)?;
    }
    writer.into_inner().map(Bytes::from).map_err(failed)
}

/// The table that the bytes of the object at `path` hold.
///
/// # Errors
/// [`Error::Damaged`] where they hold none of ours, [`Error::NewerFormat`] where a newer version
/// wrote them.
pub(crate) fn read(path: &str, bytes: Bytes) -> Result<Table> {
    guarded(path, || {
        let size = bytes.len() as u64;
        let failed = |error| unreadable(path, error);
        let metadata = ParquetMetaDataReader::new().parse_and_finish(&bytes).map_err(failed)?;
        // Before anything else is made of it: what a newer version wrote may look like damage.
        let properties = properties_of(path, &metadata)?;
        check_rows(path, &metadata, size)?;
        let metadata =
            ArrowReaderMetadata::try_new(Arc::new(metadata), ArrowReaderOptions::new()).map_err(failed)?;
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(bytes, metadata);
        let reader = builder.with_batch_size(ROW_GROUP_ROWS).build().map_err(failed)?;
        let batches = reader
            .map(|batch| conform(&batch.map_err(|error| unreadable(path, error))?).map_err(|e| e.about(path)))
            .collect::<Result<_>>()?;
        Ok(Table { properties, batches })
    })
}

/// What the last bytes of an object hold.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    /// The footer's properties.
    Properties(Properties),
    /// The footer is longer: so many of the last bytes hold it.
    Longer(usize),
}

/// Reads the footer from the last bytes of the object at `path`; `whole` tells that they are all of it.
///
/// # Errors
/// As [`read`].
pub(crate) fn read_tail(path: &str, bytes: &[u8], whole: bool) -> Result<Tail> {
    guarded(path, || {
        let Some((rest, tail)) = bytes.split_last_chunk::<FOOTER_TAIL_BYTES>() else {
            return Err(Error::damaged(path, format!("it has {} bytes", bytes.len())));
        };
        let tail = FooterTail::try_new(tail).map_err(|error| unreadable(path, error))?;
        let length = tail.metadata_length();
        if tail.is_encrypted_footer() || length > MAX_FOOTER_BYTES || (whole && length > rest.len()) {
            return Err(Error::damaged(path, "its footer is corrupt"));
        }
        if length > rest.len() {
            return Ok(Tail::Longer(length + FOOTER_TAIL_BYTES));
        }
        let metadata = ParquetMetaDataReader::decode_metadata(&rest[rest.len() - length..])
            .map_err(|error| unreadable(path, error))?;
        properties_of(path, &metadata).map(Tail::Properties)
    })
}

fn unreadable(path: &str, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::damaged_by(path, "it cannot be read as Parquet", error)
}

/// Runs a reading that may panic on bytes that nobody has foreseen.
fn guarded<T>(path: &str, reading: impl FnOnce() -> Result<T>) -> Result<T> {
    // What the reading has touched is dropped with it, so no broken state can be seen afterwards.
    catch_unwind(AssertUnwindSafe(reading))
        .unwrap_or_else(|_| Err(Error::damaged(path, "the Parquet reader gave up on it")))
}

fn properties_of(path: &str, metadata: &ParquetMetaData) -> Result<Properties> {
    let key_values = metadata.file_metadata().key_value_metadata().map(Vec::as_slice).unwrap_or_default();
    let properties: Properties = key_values
        .iter()
        .filter(|pair| pair.key.starts_with("gam."))
        .filter_map(|pair| Some((pair.key.clone(), pair.value.clone()?)))
        .collect();
    let format = property::<u32>(path, &properties, FORMAT_KEY)?;
    if format > FORMAT {
        return Err(Error::NewerFormat {
            path: path.to_owned(),
            found: format!("format {format}"),
            known: format!("formats up to {FORMAT}"),
        });
    }
    Ok(properties)
}

/// The property of that key.
///
/// # Errors
/// [`Error::Damaged`] where it is missing or no such value.
pub(crate) fn property<T: std::str::FromStr>(path: &str, properties: &Properties, key: &str) -> Result<T> {
    let value =
        properties.get(key).ok_or_else(|| Error::damaged(path, format!("its footer has no {key}")))?;
    value.parse().map_err(|_| Error::damaged(path, format!("its footer's {key} is {value:?}")))
}

fn check_rows(path: &str, metadata: &ParquetMetaData, size: u64) -> Result<()> {
    let rows = metadata
        .row_groups()
        .iter()
        .try_fold(0u64, |sum, group| sum.checked_add(u64::try_from(group.num_rows()).ok()?));
    match rows {
        Some(rows) if rows <= size.saturating_mul(MAX_ROWS_PER_BYTE) => Ok(()),
        Some(rows) => Err(Error::damaged(path, format!("it claims {rows} rows in {size} bytes"))),
        None => Err(Error::damaged(path, "its row count is corrupt")),
    }
}

/// Runs work that would hold up other tasks for long on a thread of its own.
///
/// # Errors
/// Those of the work; [`Error::Unavailable`] where the program is shutting down.
pub(crate) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(Error::unavailable("the program is shutting down", error)),
        },
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::Array;
    use arrow_schema::DataType;
    use gam_model::Event;
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use proptest::prelude::*;

    use super::*;
    use crate::schema::{decode, encode};
    use crate::testing::{any_event, sample};

    fn file(events: &[Event]) -> Bytes {
        write(&[encode(events).unwrap()], vec![("gam.x", "y".to_owned())], Order::None).unwrap()
    }

    fn rows(table: &Table) -> Vec<Event> {
        table.batches.iter().flat_map(|batch| decode(batch).unwrap()).collect()
    }

    #[test]
    fn rows_and_properties_come_back() {
        let events = sample(300);
        let table = read("x", file(&events)).unwrap();
        assert_eq!(table.properties.get("gam.x").map(String::as_str), Some("y"));
        assert_eq!(table.properties.get("gam.format").map(String::as_str), Some("1"));
        assert_eq!(rows(&table), events);
    }

    #[test]
    fn our_reader_gets_dictionaries_and_others_get_strings() {
        let bytes = file(&sample(3));
        let ours = ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).unwrap();
        for (ours, declared) in ours.schema().fields().iter().zip(schema::events().fields()) {
            assert_eq!(ours, declared);
        }
        let reader = SerializedFileReader::new(bytes).unwrap();
        let parquet_schema = reader.metadata().file_metadata().schema_descr();
        let others = parquet::arrow::parquet_to_arrow_schema(parquet_schema, None).unwrap();
        assert_eq!(others.field_with_name(column::KIND).unwrap().data_type(), &DataType::Utf8);
        let group = reader.metadata().row_group(0);
        assert!(group.columns().iter().all(|chunk| matches!(chunk.compression(), Compression::ZSTD(_))));
        assert!(group.column(0).statistics().is_some());
    }

    #[test]
    fn row_groups_are_bounded() {
        let batch = encode(&sample(1_000)).unwrap();
        let batches = vec![batch; 150];
        let bytes = write(&batches, vec![], Order::RepoAndTime).unwrap();
        let reader = SerializedFileReader::new(bytes.clone()).unwrap();
        let groups: Vec<_> = reader.metadata().row_groups().iter().map(|group| group.num_rows()).collect();
        assert_eq!(groups, [131_072, 18_928]);
        let table = read("x", bytes).unwrap();
        assert_eq!(table.batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 150_000);
        assert!(table.batches.iter().all(|batch| batch.num_rows() <= ROW_GROUP_ROWS));
        assert_eq!(table.batches[0].column_by_name(column::KIND).unwrap().null_count(), 0);
    }

    #[test]
    fn a_newer_format_is_named_and_a_foreign_file_is_damage() {
        let batch = encode(&sample(1)).unwrap();
        let with_format = |format: Option<&str>| {
            let pairs = format.map(|value| vec![KeyValue::new(FORMAT_KEY.to_owned(), value.to_owned())]);
            let properties = WriterProperties::builder().set_key_value_metadata(pairs).build();
            let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
            writer.write(&batch).unwrap();
            read("inbox/x", Bytes::from(writer.into_inner().unwrap())).err()
        };
        assert!(with_format(Some("1")).is_none());
        let newer = with_format(Some("2")).unwrap();
        assert!(
            matches!(newer, Error::NewerFormat { .. }) && newer.to_string().contains("upgrade"),
            "{newer}"
        );
        assert!(matches!(with_format(Some("one")), Some(Error::Damaged { .. })));
        let foreign = with_format(None).unwrap();
        assert!(foreign.to_string().contains("inbox/x"), "{foreign}");
    }

    #[test]
    fn a_panic_while_reading_is_damage() {
        let damage = guarded("inbox/x", || -> Result<()> { panic!("an unforeseen byte") }).unwrap_err();
        assert!(matches!(damage, Error::Damaged { .. }) && damage.to_string().contains("inbox/x"));
    }

    #[test]
    fn no_truncation_panics() {
        let bytes = file(&sample(40));
        for length in 0..bytes.len() {
            let cut = bytes.slice(..length);
            assert!(matches!(read_tail("x", &cut, true), Err(Error::Damaged { .. })), "{length}");
            assert!(matches!(read("x", cut), Err(Error::Damaged { .. })), "{length}");
        }
    }

    fn survives(bytes: Vec<u8>) {
        // What matters is to come back; a flipped bit in a value can also give a readable table.
        let _ = read_tail("x", &bytes, true);
        if let Ok(table) = read("x", Bytes::from(bytes)) {
            for batch in &table.batches {
                let _ = decode(batch);
            }
        }
    }

    #[test]
    fn no_flipped_bits_panic() {
        let bytes = file(&sample(40));
        let mut random = fastrand::Rng::with_seed(7);
        for round in 0..3_000 {
            let mut broken = bytes.to_vec();
            for _ in 0..1 + round % 4 {
                let at = random.usize(..broken.len());
                broken[at] ^= 1 << random.u8(..8);
            }
            survives(broken);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..400), tail in any::<bool>()) {
            if tail {
                let length = u32::try_from(bytes.len()).unwrap();
                bytes.extend(length.to_le_bytes());
                bytes.extend(*b"PAR1");
            }
            survives(bytes);
        }

        #[test]
        fn any_events_survive_the_file(events in prop::collection::vec(any_event(), 0..20)) {
            prop_assert_eq!(rows(&read("x", file(&events)).unwrap()), events);
        }

        #[test]
        fn the_tail_tells_how_much_is_needed(events in prop::collection::vec(any_event(), 0..5), length in 8usize..5_000) {
            let bytes = file(&events);
            let expected = read("x", bytes.clone()).unwrap().properties;
            let from = bytes.len().saturating_sub(length);
            match read_tail("x", &bytes[from..], from == 0).unwrap() {
                Tail::Properties(properties) => prop_assert_eq!(properties, expected),
                Tail::Longer(needed) => {
                    prop_assert!(needed > length && needed <= bytes.len());
                    let again = read_tail("x", &bytes[bytes.len() - needed..], false).unwrap();
                    prop_assert_eq!(again, Tail::Properties(expected));
                }
            }
        }
    }
}
