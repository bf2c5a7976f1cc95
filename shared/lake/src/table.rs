//! Writes tables as Parquet files, and reads them without trusting their bytes.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow_array::RecordBatch;
use bytes::Bytes;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::{Compression, ZstdLevel};
use parquet::column::writer::ColumnCloseResult;
use parquet::file::metadata::{
    FooterTail, KeyValue, PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader, SortingColumn,
};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;

use crate::error::{Error, Result};
use crate::schema::{self, column, conform, conform_to};

/// The maximum number of rows in a row group and in a batch.
pub(crate) const ROW_GROUP_ROWS: usize = 131_072;

/// The format that this version writes, and the newest that it reads.
const FORMAT_VERSION: u32 = 1;
const FORMAT_KEY: &str = "gam.format";
const SCHEMA_VERSION_KEY: &str = "gam.schema_version";
/// The schema version of files that do not name one.
const FIRST_SCHEMA_VERSION: u32 = 1;

/// What is said of a file on which the Parquet reader panics.
const READER_CRASHED: &str = "the Parquet reader crashed";

const CREATED_BY: &str = concat!("github-metrics version ", env!("CARGO_PKG_VERSION"));
const ZSTD_LEVEL: i32 = 3;
const FOOTER_TAIL_BYTES: usize = 8;

/// Larger footers are rejected. The footer of a file with 100,000 row groups is smaller.
const MAX_FOOTER_BYTES: usize = 256 << 20;

/// Files with more rows are rejected, because they were made to exhaust memory: every row has a distinct id,
/// and a byte cannot hold more ids than this.
const MAX_ROWS_PER_BYTE: u64 = 8;

/// The `gam.*` keys of a Parquet footer and their values.
pub(crate) type FooterProperties = BTreeMap<String, String>;

/// A table as it was read.
pub(crate) struct EventTable {
    pub(crate) properties: FooterProperties,
    /// The rows, with the columns of [`schema::events`].
    pub(crate) batches: Vec<RecordBatch>,
}

/// The order of the rows, which is declared in the file for other readers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowOrder {
    Unsorted,
    RepoAndTime,
}

fn writer_properties(properties: Vec<(&str, String)>, order: RowOrder) -> Result<WriterProperties> {
    let level = ZstdLevel::try_new(ZSTD_LEVEL)
        .map_err(|error| Error::unusable("this build cannot compress Parquet files", error))?;
    let ascending = |name: &str| {
        let index = schema::events().index_of(name).ok()?;
        Some(SortingColumn { column_idx: i32::try_from(index).ok()?, descending: false, nulls_first: false })
    };
    let sorting_columns = match order {
        RowOrder::Unsorted => None,
        RowOrder::RepoAndTime => [column::REPO, column::OCCURRED_AT].into_iter().map(ascending).collect(),
    };
    let format = (FORMAT_KEY, FORMAT_VERSION.to_string());
    let key_values = [format]
        .into_iter()
        .chain(properties)
        .map(|(key, value)| KeyValue::new(key.to_owned(), value))
        .collect();
    Ok(WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_statistics_enabled(EnabledStatistics::Page)
        // Readers ignore the statistics of a file whose creator does not have the form `NAME version X`.
        .set_created_by(CREATED_BY.to_owned())
        // Nearly all values are distinct, so the writer would build a dictionary and discard it.
        .set_column_dictionary_enabled(ColumnPath::from(column::EVENT_ID), false)
        .set_column_dictionary_enabled(ColumnPath::from(column::SHA), false)
        .set_sorting_columns(sorting_columns)
        .set_key_value_metadata(Some(key_values))
        .build())
}

/// Encodes the rows as a Parquet file with these footer properties. `order` must be the order of the rows.
pub(crate) fn write(
    batches: &[RecordBatch],
    properties: Vec<(&str, String)>,
    order: RowOrder,
) -> Result<Bytes> {
    write_with_schema_version(batches, properties, order, Some(schema::SCHEMA_VERSION))
}

/// As [`write`]. Older programs wrote no schema version, and newer ones write a greater one.
pub(crate) fn write_with_schema_version(
    batches: &[RecordBatch],
    mut properties: Vec<(&str, String)>,
    order: RowOrder,
    schema_version: Option<u32>,
) -> Result<Bytes> {
    properties.extend(schema_version.map(|version| (SCHEMA_VERSION_KEY, version.to_string())));
    let write_error = |error| Error::unusable("cannot write the events as Parquet", error);
    let properties = writer_properties(properties, order)?;
    let mut writer =
        ArrowWriter::try_new(Vec::new(), schema::events(), Some(properties)).map_err(write_error)?;
    for batch in batches {
        writer.write(&conform(batch)?).map_err(write_error)?;
    }
    writer.into_inner().map(Bytes::from).map_err(write_error)
}

/// Returns the file with other values of these footer properties, and all others as they are. The row groups are
/// copied as bytes, without decoding them.
///
/// # Errors
/// As [`read`].
pub(crate) fn with_properties(path: &str, bytes: &Bytes, changed: Vec<(&str, String)>) -> Result<Bytes> {
    catch_panic(path, || {
        let damaged = |error| invalid_parquet(path, error);
        let reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Optional);
        let metadata = reader.parse_and_finish(bytes).map_err(damaged)?;
        footer_properties(path, &metadata)?;
        check_rows(path, &metadata, bytes.len() as u64)?;
        let file = metadata.file_metadata();
        let old = file.key_value_metadata().cloned().unwrap_or_default();
        let kept = old.into_iter().filter(|pair| !changed.iter().any(|(key, _)| *key == pair.key));
        let new = changed.iter().map(|(key, value)| KeyValue::new((*key).to_owned(), value.clone()));
        let properties = WriterProperties::builder()
            .set_created_by(CREATED_BY.to_owned())
            .set_sorting_columns(
                metadata.row_groups().first().and_then(|rows| rows.sorting_columns().cloned()),
            )
            .set_key_value_metadata(Some(kept.chain(new).collect()))
            .build();
        let schema = file.schema_descr().root_schema_ptr();
        let mut writer =
            SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties)).map_err(damaged)?;
        for (index, group) in metadata.row_groups().iter().enumerate() {
            let mut copy = writer.next_row_group().map_err(damaged)?;
            let pages = metadata.page_index_for_row_group(index);
            for (column, chunk) in group.columns().iter().enumerate() {
                let close = ColumnCloseResult {
                    bytes_written: u64::try_from(chunk.compressed_size()).unwrap_or_default(),
                    rows_written: u64::try_from(group.num_rows()).unwrap_or_default(),
                    metadata: chunk.clone(),
                    bloom_filter: None,
                    column_index: pages.column_index(column).cloned(),
                    offset_index: pages.offset_index(column).cloned(),
                };
                copy.append_column(bytes, close).map_err(damaged)?;
            }
            copy.close().map_err(damaged)?;
        }
        writer.into_inner().map(Bytes::from).map_err(damaged)
    })
}

/// Decodes the table in the bytes of the object at `path`.
///
/// # Errors
/// [`Error::Damaged`] if the bytes are not a valid table of events; [`Error::NewerFormat`] if a newer version
/// of the program wrote them.
pub(crate) fn read(path: &str, bytes: Bytes) -> Result<EventTable> {
    read_projected(path, bytes, None)
}

/// As [`read`], but decodes and returns only the columns with these names; all of them for `None`.
pub(crate) fn read_projected(path: &str, bytes: Bytes, columns: Option<&[&str]>) -> Result<EventTable> {
    catch_panic(path, || {
        let size = bytes.len() as u64;
        let damaged = |error| invalid_parquet(path, error);
        let metadata = ParquetMetaDataReader::new().parse_and_finish(&bytes).map_err(damaged)?;
        // Check the format first: a newer format may look like damage.
        let properties = footer_properties(path, &metadata)?;
        check_rows(path, &metadata, size)?;
        let metadata =
            ArrowReaderMetadata::try_new(Arc::new(metadata), ArrowReaderOptions::new()).map_err(damaged)?;
        let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(bytes, metadata);
        if let Some(columns) = columns {
            let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
            builder = builder.with_projection(mask);
        }
        let schema = columns.map_or_else(schema::events, schema::projected);
        let reader = builder.with_batch_size(ROW_GROUP_ROWS).build().map_err(damaged)?;
        let batches = reader
            .map(|batch| {
                conform_to(&batch.map_err(|error| invalid_parquet(path, error))?, schema.clone())
                    .map_err(|error| error.with_path(path))
            })
            .collect::<Result<_>>()?;
        Ok(EventTable { properties, batches })
    })
}

/// The outcome of [`read_footer`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum FooterRead {
    Complete(FooterProperties),
    /// The footer is larger than the given bytes. Call again with this many of the object's last bytes.
    NeedsBytes(usize),
}

/// Reads the footer from the last bytes of the object at `path`. `is_complete` means that the bytes are the
/// entire object.
///
/// # Errors
/// The same as of [`read`].
pub(crate) fn read_footer(path: &str, bytes: &[u8], is_complete: bool) -> Result<FooterRead> {
    catch_panic(path, || {
        let Some((rest, tail)) = bytes.split_last_chunk::<FOOTER_TAIL_BYTES>() else {
            return Err(Error::damaged(path, format!("it has only {} bytes", bytes.len())));
        };
        let tail = FooterTail::try_new(tail).map_err(|error| invalid_parquet(path, error))?;
        let length = tail.metadata_length();
        if tail.is_encrypted_footer() || length > MAX_FOOTER_BYTES || (is_complete && length > rest.len()) {
            return Err(Error::damaged(path, "its footer is corrupt"));
        }
        if length > rest.len() {
            return Ok(FooterRead::NeedsBytes(length + FOOTER_TAIL_BYTES));
        }
        let metadata = ParquetMetaDataReader::decode_metadata(&rest[rest.len() - length..])
            .map_err(|error| invalid_parquet(path, error))?;
        footer_properties(path, &metadata).map(FooterRead::Complete)
    })
}

fn invalid_parquet(path: &str, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::damaged_by(path, "it is not valid Parquet", error)
}

/// Runs a Parquet reader, which may panic on malformed bytes. Turns a panic into [`Error::Damaged`].
fn catch_panic<T>(path: &str, read: impl FnOnce() -> Result<T>) -> Result<T> {
    // Unwind safe, because the closure drops everything that it could have left inconsistent.
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err(Error::damaged(path, READER_CRASHED)))
}

fn footer_properties(path: &str, metadata: &ParquetMetaData) -> Result<FooterProperties> {
    let key_values = metadata.file_metadata().key_value_metadata().map(Vec::as_slice).unwrap_or_default();
    let properties: FooterProperties = key_values
        .iter()
        .filter(|pair| pair.key.starts_with("gam."))
        .filter_map(|pair| Some((pair.key.clone(), pair.value.clone()?)))
        .collect();
    let format = property::<u32>(path, &properties, FORMAT_KEY)?;
    if format > FORMAT_VERSION {
        return Err(Error::NewerFormat {
            path: path.to_owned(),
            actual: format!("format {format}"),
            supported: format!("formats up to {FORMAT_VERSION}"),
        });
    }
    Ok(properties)
}

/// Parses the footer property with this key.
///
/// # Errors
/// [`Error::Damaged`] if the property is missing or invalid.
pub(crate) fn property<T: std::str::FromStr>(
    path: &str,
    properties: &FooterProperties,
    key: &str,
) -> Result<T> {
    optional_property(path, properties, key)?
        .ok_or_else(|| Error::damaged(path, format!("its footer has no {key}")))
}

/// Parses a property of a footer; `None` if it is missing.
///
/// # Errors
/// [`Error::Damaged`] if the property is invalid.
pub(crate) fn optional_property<T: std::str::FromStr>(
    path: &str,
    properties: &FooterProperties,
    key: &str,
) -> Result<Option<T>> {
    let Some(value) = properties.get(key) else { return Ok(None) };
    let invalid = |_| Error::damaged(path, format!("its footer has an invalid {key}: {value:?}"));
    value.parse().map(Some).map_err(invalid)
}

/// Returns the version of the schema that a file was written with. A newer one than
/// [`schema::SCHEMA_VERSION`] has columns that this program does not know.
///
/// # Errors
/// [`Error::Damaged`] if the property is invalid.
pub(crate) fn schema_version(path: &str, properties: &FooterProperties) -> Result<u32> {
    if properties.contains_key(SCHEMA_VERSION_KEY) {
        property(path, properties, SCHEMA_VERSION_KEY)
    } else {
        Ok(FIRST_SCHEMA_VERSION)
    }
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

/// Runs an operation that takes long or blocks on a thread for blocking work.
///
/// # Errors
/// Those of the operation; [`Error::Unavailable`] if the program is shutting down.
pub(crate) async fn spawn_blocking<T: Send + 'static>(
    operation: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(operation).await {
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
        write(&[encode(events).unwrap()], vec![("gam.x", "y".to_owned())], RowOrder::Unsorted).unwrap()
    }

    fn rows(table: &EventTable) -> Vec<Event> {
        table.batches.iter().flat_map(|batch| decode(batch).unwrap()).collect()
    }

    #[test]
    fn rows_and_properties_are_read() {
        let events = sample(300);
        let table = read("x", file(&events)).unwrap();
        assert_eq!(table.properties.get("gam.x").map(String::as_str), Some("y"));
        assert_eq!(table.properties.get("gam.format").map(String::as_str), Some("1"));
        assert_eq!(rows(&table), events);
    }

    #[test]
    fn other_readers_see_plain_strings() {
        let bytes = file(&sample(3));
        let own_reader = ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).unwrap();
        for (read, declared) in own_reader.schema().fields().iter().zip(schema::events().fields()) {
            assert_eq!(read, declared);
        }
        let reader = SerializedFileReader::new(bytes).unwrap();
        let parquet_schema = reader.metadata().file_metadata().schema_descr();
        let other_schema = parquet::arrow::parquet_to_arrow_schema(parquet_schema, None).unwrap();
        assert_eq!(other_schema.field_with_name(column::KIND).unwrap().data_type(), &DataType::Utf8);
        let group = reader.metadata().row_group(0);
        assert!(group.columns().iter().all(|chunk| matches!(chunk.compression(), Compression::ZSTD(_))));
        assert!(group.column(0).statistics().is_some());
    }

    #[test]
    fn row_groups_and_batches_are_limited() {
        let batch = encode(&sample(1_000)).unwrap();
        let batches = vec![batch; 150];
        let bytes = write(&batches, vec![], RowOrder::RepoAndTime).unwrap();
        let reader = SerializedFileReader::new(bytes.clone()).unwrap();
        let groups: Vec<_> = reader.metadata().row_groups().iter().map(|group| group.num_rows()).collect();
        assert_eq!(groups, [131_072, 18_928]);
        let table = read("x", bytes).unwrap();
        assert_eq!(table.batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 150_000);
        assert!(table.batches.iter().all(|batch| batch.num_rows() <= ROW_GROUP_ROWS));
        assert_eq!(table.batches[0].column_by_name(column::KIND).unwrap().null_count(), 0);
    }

    #[test]
    fn newer_formats_and_foreign_files_are_distinguished() {
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
    fn a_panic_of_the_reader_is_damage() {
        let error = catch_panic("inbox/x", || -> Result<()> { panic!("malformed bytes") }).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }) && error.to_string().contains("inbox/x"));
    }

    #[test]
    fn truncated_files_are_damage() {
        let bytes = file(&sample(40));
        for length in 0..bytes.len() {
            let truncated = bytes.slice(..length);
            assert!(matches!(read_footer("x", &truncated, true), Err(Error::Damaged { .. })), "{length}");
            assert!(matches!(read("x", truncated), Err(Error::Damaged { .. })), "{length}");
        }
    }

    /// Reads the bytes in every way. Returns whether the Parquet reader panicked, which a caller sees as damage.
    fn has_panicked(bytes: Vec<u8>) -> bool {
        let is_crash = |error: &Error| error.to_string().contains(READER_CRASHED);
        let footer = read_footer("x", &bytes, true);
        let table = read("x", Bytes::from(bytes));
        for batch in table.iter().flat_map(|table| &table.batches) {
            let _ = decode(batch);
        }
        footer.is_err_and(|error| is_crash(&error)) || table.is_err_and(|error| is_crash(&error))
    }

    /// How many files with flipped bits are read.
    const ROUNDS: u32 = 3_000;
    /// On how many of them the Parquet reader panics at most.
    const MAX_PANICS: u32 = 30;

    #[test]
    fn flipped_bits_rarely_panic_and_a_panic_is_damage() {
        let bytes = file(&sample(40));
        let mut random = fastrand::Rng::with_seed(7);
        let mut panics = 0;
        for round in 0..ROUNDS {
            let mut damaged = bytes.to_vec();
            for _ in 0..1 + round % 4 {
                let index = random.usize(..damaged.len());
                damaged[index] ^= 1 << random.u8(..8);
            }
            panics += u32::from(has_panicked(damaged));
        }
        // The reader asserts that column chunks lie within the file. A new version may assert more.
        assert!(panics <= MAX_PANICS, "the Parquet reader panicked on {panics} of {ROUNDS} damaged files");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_not_panic(
            mut bytes in prop::collection::vec(any::<u8>(), 0..400),
            has_valid_end in any::<bool>(),
        ) {
            if has_valid_end {
                let length = u32::try_from(bytes.len()).unwrap();
                bytes.extend(length.to_le_bytes());
                bytes.extend(*b"PAR1");
            }
            prop_assert!(!has_panicked(bytes));
        }

        #[test]
        fn any_events_are_read_as_written(events in prop::collection::vec(any_event(), 0..20)) {
            prop_assert_eq!(rows(&read("x", file(&events)).unwrap()), events);
        }

        #[test]
        fn a_short_tail_reports_the_needed_length(
            events in prop::collection::vec(any_event(), 0..5),
            length in 8usize..5_000,
        ) {
            let bytes = file(&events);
            let expected = read("x", bytes.clone()).unwrap().properties;
            let from = bytes.len().saturating_sub(length);
            match read_footer("x", &bytes[from..], from == 0).unwrap() {
                FooterRead::Complete(properties) => prop_assert_eq!(properties, expected),
                FooterRead::NeedsBytes(needed) => {
                    prop_assert!(needed > length && needed <= bytes.len());
                    let second_read = read_footer("x", &bytes[bytes.len() - needed..], false).unwrap();
                    prop_assert_eq!(second_read, FooterRead::Complete(expected));
                }
            }
        }
    }
}
