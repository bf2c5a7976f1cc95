//! A second table in the same lake: it has an inbox, snapshots and a schema of its own, and shares the code.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampMillisecondType};
use arrow_array::{
    ArrayRef, DictionaryArray, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use gam_lake::snapshot::{self, SnapshotFile, Stamp};
use gam_lake::table::{ColumnStorage, KeyColumns};
use gam_lake::{Error, Events, MemoryObjects, ObjectStore, Table, inbox};
use gam_model::Month;

const ORG: &str = "acme";

/// A reading of a sensor.
#[derive(Debug, Clone, PartialEq)]
struct Reading {
    id: String,
    org: String,
    sensor: String,
    at: i64,
    value: i64,
}

#[derive(Debug)]
enum Readings {}

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    Arc::new(Schema::new(vec![
        Field::new("reading_id", DataType::Utf8, false),
        Field::new("org", dictionary.clone(), false),
        Field::new("sensor", dictionary, false),
        Field::new("at", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), false),
        Field::new("value", DataType::Int64, false),
    ]))
});

impl Table for Readings {
    type Row = Reading;

    const SNAPSHOTS: &'static str = "readings";
    const INBOX: &'static str = "readings-inbox";
    const REJECTED: &'static str = "readings-rejected";
    const SCHEMA_VERSION: u32 = 1;
    const KEY: KeyColumns = KeyColumns { id: "reading_id", group: "sensor", time: "at" };
    const STORAGE: &'static [(&'static str, ColumnStorage)] = &[("at", ColumnStorage::Ascending)];

    fn schema() -> SchemaRef {
        Arc::clone(&SCHEMA)
    }

    fn encode(rows: &[Reading]) -> Result<RecordBatch, Error> {
        let dictionary =
            |texts: Vec<&str>| Arc::new(DictionaryArray::<Int32Type>::from_iter(texts)) as ArrayRef;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.id))),
            dictionary(rows.iter().map(|row| row.org.as_str()).collect()),
            dictionary(rows.iter().map(|row| row.sensor.as_str()).collect()),
            Arc::new(
                TimestampMillisecondArray::from_iter_values(rows.iter().map(|row| row.at))
                    .with_timezone("UTC"),
            ),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.value))),
        ];
        RecordBatch::try_new(Self::schema(), columns).map_err(|error| Error::unusable("not a reading", error))
    }

    fn decode(batch: &RecordBatch) -> Result<Vec<Reading>, Error> {
        let text = |name: &str, row: usize| {
            let column = batch.column_by_name(name).unwrap().as_dictionary::<Int32Type>();
            column.values().as_string::<i32>().value(column.key(row).unwrap()).to_owned()
        };
        let ids = batch.column(0).as_string::<i32>();
        let times = batch.column(3).as_primitive::<TimestampMillisecondType>();
        let values = batch.column(4).as_primitive::<Int64Type>();
        let row = |row: usize| Reading {
            id: ids.value(row).to_owned(),
            org: text("org", row),
            sensor: text("sensor", row),
            at: times.value(row),
            value: values.value(row),
        };
        Ok((0..batch.num_rows()).map(row).collect())
    }

    fn org(row: &Reading) -> &str {
        &row.org
    }

    fn winners(rows: Vec<Reading>) -> Vec<Reading> {
        let mut winners: BTreeMap<String, Reading> = BTreeMap::new();
        for row in rows {
            if winners.get(&row.id).is_none_or(|stored| Self::supersedes(&row, stored)) {
                winners.insert(row.id.clone(), row);
            }
        }
        winners.into_values().collect()
    }

    /// The greater value wins.
    fn supersedes(row: &Reading, stored: &Reading) -> bool {
        row.value > stored.value
    }

    fn memory_bytes(row: &Reading) -> usize {
        size_of::<Reading>() + row.id.len() + row.org.len() + row.sensor.len()
    }
}

fn reading(number: i64, value: i64) -> Reading {
    let sensor = ["south", "north"][(number % 2) as usize].to_owned();
    let (id, at) = (format!("r{number}"), 1_772_323_200_000 + number);
    Reading { id, org: "Acme".to_owned(), sensor, at, value }
}

fn month() -> Month {
    Month::parse("2026-03").unwrap()
}

/// Merges the batches in the inbox into the month, as an aggregation does.
async fn merge_inbox(objects: &MemoryObjects) -> usize {
    let mut rows = Vec::new();
    let batches = inbox::list::<Readings>(objects, ORG).await.unwrap();
    for batch in &batches {
        rows.extend(inbox::read::<Readings>(objects, &batch.path).await.unwrap().unwrap());
    }
    let current: Option<SnapshotFile<Readings>> = snapshot::fetch(objects, ORG, month()).await.unwrap();
    let generation = current.as_ref().map_or(0, |current| current.stamp.generation);
    let stamp = Stamp::new(generation + 1, 1, 1);
    let stored = current.as_ref().map(|current| &current.rows);
    let merged = snapshot::merge(stored, &Readings::winners(rows), &stamp).unwrap();
    if let Some(rows) = &merged.rows {
        let expected = current.as_ref().map(|current| &current.etag);
        snapshot::put(objects, ORG, month(), rows, &stamp, expected).await.unwrap().unwrap();
    }
    for batch in batches {
        objects.delete(&batch.path).await.unwrap();
    }
    merged.changes.len()
}

#[tokio::test]
async fn a_second_table_is_merged_by_the_same_code() {
    let objects = MemoryObjects::new();
    let first: Vec<Reading> = (0..10).map(|number| reading(number, 1)).collect();
    inbox::put_rows::<Readings>(&objects, ORG, "ab", &first).await.unwrap();
    assert_eq!(merge_inbox(&objects).await, 10);
    inbox::put_rows::<Readings>(&objects, ORG, "cd", &[reading(3, 5), reading(4, 0), reading(11, 1)])
        .await
        .unwrap();
    assert_eq!(merge_inbox(&objects).await, 2);
    inbox::put_rows::<Readings>(&objects, ORG, "ab", &first).await.unwrap();
    assert_eq!(merge_inbox(&objects).await, 0, "the same batch changes nothing");

    let paths: Vec<String> =
        objects.list("").await.unwrap().iter().map(|object| object.path.to_string()).collect();
    assert_eq!(paths, ["readings/org=acme/month=2026-03/snapshot.parquet"]);
    let stored = snapshot::read::<Readings>(&objects, ORG, month()).await.unwrap().unwrap();
    assert_eq!((stored.stamp.generation, stored.stamp.schema_version), (2, 1));
    assert!(!stored.stamp.has_newer_schema::<Readings>());
    let mut expected: Vec<Reading> = first;
    expected[3].value = 5;
    expected.push(reading(11, 1));
    expected.sort_by(|a, b| (&a.sensor, a.at).cmp(&(&b.sensor, b.at)));
    assert_eq!(Readings::decode(&stored.batches[0]).unwrap(), expected);
}

#[tokio::test]
async fn tables_do_not_see_each_others_files() {
    let objects = MemoryObjects::new();
    let path = inbox::put_rows::<Readings>(&objects, ORG, "ab", &[reading(1, 1)]).await.unwrap();
    assert_eq!(path.as_str(), "readings-inbox/org=acme/ab.parquet");
    assert!(inbox::list::<Events>(&objects, ORG).await.unwrap().is_empty());
    merge_inbox(&objects).await;
    assert!(snapshot::months::<Events>(&objects, ORG).await.unwrap().is_empty());
    assert_eq!(snapshot::months::<Readings>(&objects, ORG).await.unwrap(), [month()]);
    assert!(snapshot::fetch::<Events>(&objects, ORG, month()).await.unwrap().is_none());
}
