//! Tests of merges of the table `events`.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use gam_model::EventId;
use proptest::prelude::*;

use super::*;
use crate::parquet_file::{RowOrder, write};
use crate::schema::{column, decode, encode, events as schema};
use crate::table::Events;
use crate::testing::{FIRST_COLUMNS, any_event, any_version, any_version_of, commit, older_file, sample};

/// A month, and how it is merged.
struct Month {
    file: Option<ParquetFile>,
    rules: GroupRules,
}

impl Month {
    fn new(group_rows: usize) -> Self {
        Month { file: None, rules: GroupRules { max_rows: group_rows, may_copy: true } }
    }

    fn of_bytes(bytes: Bytes) -> Self {
        Month { file: Some(ParquetFile::open("x", bytes).unwrap()), ..Month::new(ROW_GROUP_ROWS) }
    }

    /// Merges events. Returns the changes, and whether there is a new file.
    fn merge(&mut self, events: Vec<Event>) -> (Vec<RowChange>, bool) {
        let winners = Events::winners(events);
        let merged = merge_with::<Events>(self.file.as_ref(), &winners, vec![], self.rules).unwrap();
        let is_new = merged.bytes.is_some();
        self.file = merged.bytes.map(|bytes| ParquetFile::open("x", bytes).unwrap()).or(self.file.take());
        (merged.changes, is_new)
    }

    fn groups(&self) -> Vec<RecordBatch> {
        let Some(file) = &self.file else { return Vec::new() };
        (0..file.group_count()).map(|group| file.group(group, &schema()).unwrap()).collect()
    }

    fn rows(&self) -> Vec<Event> {
        self.groups().iter().flat_map(|batch| decode(batch).unwrap()).collect()
    }

    /// Returns the encoded columns of a row group.
    fn encoded(&self, group: usize) -> Vec<Bytes> {
        let file = self.file.as_ref().unwrap();
        let columns = file.metadata().row_group(group).columns().iter();
        columns
            .map(|column| {
                let (start, length) = column.byte_range();
                file.bytes().slice(start as usize..(start + length) as usize)
            })
            .collect()
    }
}

fn sort_key(event: &Event) -> (String, chrono::DateTime<chrono::Utc>, EventId) {
    (event.repo.clone(), event.occurred_at, event.id.clone())
}

/// Computes the expected rows of a merge in the simplest way.
fn reference(events: &[Event]) -> Vec<Event> {
    let mut by_id: BTreeMap<EventId, Event> = BTreeMap::new();
    for event in events {
        let current = by_id.get(&event.id);
        if current.is_none_or(|current| event.supersedes(current)) {
            by_id.insert(event.id.clone(), event.clone());
        }
    }
    let mut events: Vec<Event> = by_id.into_values().collect();
    events.sort_by_key(sort_key);
    events
}

#[test]
fn rows_are_sorted_by_repository_and_time() {
    let mut month = Month::new(ROW_GROUP_ROWS);
    let (changes, _) = month.merge(sample(50));
    assert_eq!(changes.len(), 50);
    assert!(month.rows().is_sorted_by_key(sort_key));
    assert_eq!(month.rows()[0].repo, "api");
    let sorted = sort_rows::<Events>(sample(50)).unwrap();
    assert_eq!(decode(&sorted[0]).unwrap(), month.rows());
}

#[test]
fn a_merge_without_changes_makes_no_file() {
    let mut month = Month::new(8);
    assert_eq!(month.merge(sample(20)), (month_changes(20), true));
    let mut later = sample(20);
    later.iter_mut().for_each(|event| event.collected_at += chrono::TimeDelta::nanoseconds(17));
    assert_eq!(month.merge(later), (vec![], false));
    assert_eq!(month.merge(vec![]), (vec![], false));
    let (changes, is_new) = Month::new(8).merge(vec![]);
    assert!(changes.is_empty() && is_new, "a month without a file gets one");
}

/// The changes of a first merge of this many commits.
fn month_changes(count: i64) -> Vec<RowChange> {
    let winners = Events::winners(sample(count));
    winners.into_iter().map(|winner| RowChange { winner, loser: None }).collect()
}

#[test]
fn changes_contain_winners_and_losers() {
    let mut month = Month::new(2);
    month.merge(sample(4));
    let mut newer = commit(2);
    newer.version = 2;
    newer.repo = "renamed".to_owned();
    let mut older = commit(1);
    older.version = 0;
    let (changes, _) = month.merge(vec![commit(9), newer.clone(), older, commit(0)]);
    assert_eq!(
        changes,
        [
            RowChange { winner: newer.clone(), loser: Some(commit(2)) },
            RowChange { winner: commit(9), loser: None }
        ]
    );
    assert_eq!(month.rows(), reference(&[commit(0), commit(1), newer, commit(3), commit(9)]));
}

#[test]
fn row_groups_that_do_not_change_are_copied_as_bytes() {
    let mut month = Month::new(100);
    month.merge(sample(1_000));
    let before: Vec<_> = (0..10).map(|group| month.encoded(group)).collect();
    let mut newer = commit(2);
    newer.version += 1;
    let (changes, _) = month.merge(vec![newer.clone(), commit(2), commit(700)]);
    assert_eq!(changes, [RowChange { winner: newer, loser: Some(commit(2)) }]);
    let changed: Vec<usize> = (0..10).filter(|group| month.encoded(*group) != before[*group]).collect();
    assert_eq!(changed, [5], "the first commits of the second repository");
    assert_eq!(month.groups().len(), 10);
}

#[test]
fn row_groups_split_when_they_grow_and_join_when_they_shrink() {
    let mut month = Month::new(100);
    month.merge(sample(100));
    month.merge(vec![commit(101)]);
    let sizes = |month: &Month| month.groups().iter().map(RecordBatch::num_rows).collect::<Vec<_>>();
    assert_eq!(sizes(&month), [51, 50]);
    let renamed: Vec<Event> = (0..100)
        .filter(|number| number % 10 != 0)
        .map(|number| Event { version: 2, repo: "zoo".to_owned(), ..commit(number) })
        .collect();
    month.merge(renamed);
    assert_eq!(sizes(&month).iter().sum::<usize>(), 101);
    assert!(sizes(&month).len() <= 3, "{:?}", sizes(&month));
}

#[test]
fn many_rows_become_row_groups_with_small_dictionaries() {
    let count = ROW_GROUP_ROWS as i64 + 1_000;
    let (even, odd): (Vec<Event>, Vec<Event>) = sample(count).into_iter().partition(|e| e.repo_id == 7);
    let mut month = Month::new(ROW_GROUP_ROWS);
    month.merge(even);
    month.merge(odd);
    let groups = month.groups();
    assert!(groups.iter().all(|group| group.num_rows() <= ROW_GROUP_ROWS));
    let members = groups[0].column_by_name(column::MEMBER).unwrap();
    assert_eq!(members.as_dictionary::<Int32Type>().values().len(), 3);
    assert_eq!(month.rows(), reference(&sample(count)));
}

#[test]
fn different_dictionaries_are_combined() {
    let members = |range: std::ops::Range<i64>| -> Vec<Event> {
        range
            .map(|number| {
                let mut event = commit(number);
                event.member.name = format!("member-{number}");
                event
            })
            .collect()
    };
    let mut month = Month::new(ROW_GROUP_ROWS);
    for start in (0..1_000).step_by(100) {
        month.merge(members(start..start + 150));
    }
    assert_eq!(month.rows(), reference(&members(0..1_050)));
    let names = month.groups()[0].column_by_name(column::MEMBER).unwrap().clone();
    assert_eq!(names.as_dictionary::<Int32Type>().values().len(), 1_050);
}

#[test]
fn a_file_of_an_older_schema_is_encoded_again() {
    let mut month = Month::of_bytes(older_file(sample(30), 10, schema().fields().len() - 1, &[]));
    month.merge(vec![commit(30)]);
    assert_eq!(month.rows(), reference(&sample(31)));
    let columns =
        month.file.unwrap().metadata().file_metadata().schema_descr().root_schema().get_fields().len();
    assert_eq!(columns, schema().fields().len());
}

#[test]
fn row_groups_with_older_encodings_are_copied() {
    let mut month = Month::of_bytes(older_file(sample(30), 10, schema().fields().len(), &[]));
    let before: Vec<_> = (0..3).map(|group| month.encoded(group)).collect();
    month.merge(vec![commit(30)]);
    // Commit 30 is the last one of the second repository.
    assert_eq!([month.encoded(0), month.encoded(1)], before[..2]);
    assert_eq!(month.rows(), reference(&sample(31)));
    let encodings = |group: usize| {
        let column = month.file.as_ref().unwrap().metadata().row_group(group).column(0);
        column.encodings().collect::<Vec<_>>()
    };
    assert_ne!(encodings(0), encodings(2), "each column of a row group names its encodings");
}

#[test]
fn unsorted_rows_are_sorted() {
    let mut events = sample(40);
    events.reverse();
    let batches = [encode(&events[..30]).unwrap(), encode(&events[30..]).unwrap()];
    let mut month = Month::of_bytes(write::<Events>(&batches, vec![], RowOrder::Unsorted).unwrap());
    let mut newer = commit(7);
    newer.version += 1;
    month.merge(vec![newer.clone(), commit(40)]);
    events.extend([newer, commit(40)]);
    assert_eq!(month.rows(), reference(&events));
}

#[test]
fn other_readers_see_the_schema_of_a_merged_file() {
    let mut month = Month::new(10);
    month.merge(sample(30));
    let read = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(
        month.file.unwrap().bytes().clone(),
    );
    assert_eq!(read.unwrap().schema().fields(), Arc::clone(&schema()).fields());
}

proptest! {
    // Each case encodes many small files, which takes long in a debug build.
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn copying_row_groups_changes_no_row(
        first in prop::collection::vec(any_version_of(60), 0..80),
        batches in prop::collection::vec(prop::collection::vec(any_version_of(80), 0..4), 1..5),
        group_rows in 2usize..12,
        columns in prop::sample::select(vec![None, Some(schema().fields().len()), Some(FIRST_COLUMNS)]),
    ) {
        let mut copying = Month::new(group_rows);
        let mut events = first;
        match columns.filter(|_| !events.is_empty()) {
            None => _ = copying.merge(events.clone()),
            Some(columns) => {
                let bytes = older_file(events.clone(), group_rows, columns, &[]);
                copying.file = Some(ParquetFile::open("x", bytes).unwrap());
                events = copying.rows();
            }
        }
        let mut encoding = Month { file: copying.file.clone(), ..Month::new(group_rows) };
        encoding.rules.may_copy = false;
        for batch in batches {
            events.extend(batch.clone());
            prop_assert_eq!(copying.merge(batch.clone()), encoding.merge(batch));
            prop_assert_eq!(copying.rows(), encoding.rows());
            prop_assert_eq!(copying.rows(), reference(&events));
        }
    }

}

proptest! {
    #[test]
    fn the_result_does_not_depend_on_order_or_steps(
        versions in prop::collection::vec(any_version(), 0..60),
        others in prop::collection::vec(any_event(), 0..6),
        seed in any::<u64>(),
        steps in 1usize..6,
        group_rows in prop::sample::select(vec![3, 10, 30, ROW_GROUP_ROWS]),
    ) {
        let mut events = versions;
        events.extend(others);
        let expected = reference(&events);
        let mut random = fastrand::Rng::with_seed(seed);
        let duplicates: Vec<Event> = events.iter().filter(|_| random.bool()).cloned().collect();
        events.extend(duplicates);
        random.shuffle(&mut events);
        let mut month = Month::new(group_rows);
        for step in 0..steps {
            let is_last = step + 1 == steps;
            let take = if is_last { events.len() } else { random.usize(..=events.len()) };
            let before = month.rows();
            let (changes, _) = month.merge(events.drain(..take).collect());
            prop_assert_eq!(changes.is_empty(), month.rows() == before);
            prop_assert!(month.groups().iter().all(|group| (1..=group_rows).contains(&group.num_rows())));
        }
        prop_assert_eq!(month.rows(), expected);
    }
}
