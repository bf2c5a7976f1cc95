//! Tests of the Parquet files of the table `events`.

use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use bytes::Bytes;
use gam_model::Event;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use proptest::prelude::*;

use super::*;
use crate::schema::{self, column, decode, encode};
use crate::table::{Events, Table as _};
use crate::testing::{any_event, sample};

/// A file as it was read.
struct EventTable {
    properties: FooterProperties,
    batches: Vec<RecordBatch>,
}

/// Reads all rows, by row group and as one stream, which must agree.
fn read(path: &str, bytes: Bytes) -> Result<EventTable> {
    let file = ParquetFile::open(path, bytes)?;
    let groups: Result<Vec<_>> =
        (0..file.group_count()).map(|group| file.group(group, &Events::schema())).collect();
    let rows = file.clone().into_batches(Events::schema(), ROW_GROUP_ROWS)?.collect::<Result<Vec<_>>>();
    assert_eq!(groups.is_ok(), rows.is_ok());
    Ok(EventTable { properties: file.properties().clone(), batches: groups? })
}

fn file(events: &[Event]) -> Bytes {
    write::<Events>(&[encode(events).unwrap()], vec![("gam.x", "y".to_owned())], RowOrder::Unsorted).unwrap()
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
    let bytes = write::<Events>(&batches, vec![], RowOrder::Sorted).unwrap();
    let reader = SerializedFileReader::new(bytes.clone()).unwrap();
    let groups: Vec<_> = reader.metadata().row_groups().iter().map(|group| group.num_rows()).collect();
    assert_eq!(groups, [65_536, 65_536, 18_928]);
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
    assert!(matches!(newer, Error::NewerFormat { .. }) && newer.to_string().contains("upgrade"), "{newer}");
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
