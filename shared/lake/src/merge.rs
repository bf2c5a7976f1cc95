//! Merges events into the rows of a month.
//!
//! Only rows whose id is among the new events are decoded. All other rows are copied as columns.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{
    Array, ArrayRef, DictionaryArray, Int32Array, RecordBatch, RecordBatchOptions, StringArray,
};
use arrow_schema::{ArrowError, DataType};
use arrow_select::interleave::interleave;
use gam_model::{Event, EventBatch};
use rustc_hash::{FxBuildHasher, FxHashMap};

use crate::error::{Error, Result};
use crate::schema::{DictionaryStrings, EventRows, conform, encode, events as schema, truncate_times};
use crate::table::ROW_GROUP_ROWS;

/// A row that a merge added or replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowChange {
    /// The event in the row after the merge.
    pub winner: Event,
    /// The event that it replaced; `None` if the row is new.
    pub loser: Option<Event>,
}

/// The rows of a month after a merge.
#[derive(Debug, Clone)]
pub struct MergedRows {
    /// One row per event id, sorted by repository name, time and id, in batches of at most 131,072 rows. The
    /// current batches if nothing changed.
    pub batches: Vec<RecordBatch>,
    /// The rows that changed, sorted by event id.
    pub changes: Vec<RowChange>,
}

/// The index of a batch, and the index of a row in it.
type RowPosition = (usize, usize);

/// Merges events of one month into the month's current rows. The result has the winner of each event id.
///
/// The events may be in any order and contain duplicates. The current rows must have one row per event id.
/// The time is linear in the size of the month, so do not call this on a thread that serves other tasks.
///
/// # Errors
/// [`Error::Damaged`] if the current rows do not have the columns of the table; [`Error::NewerFormat`] if a
/// row to be compared has a kind that only a newer version of the program knows.
pub fn merge(current: &[RecordBatch], events: Vec<Event>) -> Result<MergedRows> {
    let conforming: Vec<RecordBatch> = current.iter().map(conform).collect::<Result<_>>()?;
    let mut rows: Vec<EventRows> = conforming.iter().map(EventRows::from_batch).collect::<Result<_>>()?;
    let (changes, replaced) = find_changes(&conforming, &rows, winners(events))?;
    if changes.is_empty() {
        return Ok(MergedRows { batches: current.to_vec(), changes });
    }
    let mut batches = conforming;
    let mut positions = remaining_positions(&batches, replaced);
    let new_rows: Vec<Event> = changes.iter().map(|change| change.winner.clone()).collect();
    for chunk in new_rows.chunks(ROW_GROUP_ROWS) {
        let batch = encode(chunk)?;
        positions.extend((0..batch.num_rows()).map(|row| (batches.len(), row)));
        rows.push(EventRows::from_batch(&batch)?);
        batches.push(batch);
    }
    // Fast, because the sort takes advantage of the current rows, which are sorted already.
    positions.sort_by(|a, b| compare_rows(&rows, *a, *b));
    let batches =
        positions.chunks(ROW_GROUP_ROWS).map(|chunk| gather_rows(&batches, chunk)).collect::<Result<_>>()?;
    Ok(MergedRows { batches, changes })
}

fn compare_rows(rows: &[EventRows], a: RowPosition, b: RowPosition) -> Ordering {
    rows[a.0].sort_key(a.1).cmp(&rows[b.0].sort_key(b.1))
}

/// Returns the winner of each event id, sorted by id.
fn winners(mut events: Vec<Event>) -> Vec<Event> {
    // Otherwise a more precise time would differ from the same time as the lake stores it.
    events.iter_mut().for_each(truncate_times);
    EventBatch::new(String::new(), events).into_events()
}

/// What merging one event does to the rows.
enum MergeEffect {
    Insert,
    Replace(Box<Event>),
    /// The current row wins.
    Ignore,
}

/// Compares the events with the current rows. Returns the changes, in the order of the events, and the
/// positions of the replaced rows, in ascending order.
fn find_changes(
    batches: &[RecordBatch],
    rows: &[EventRows],
    events: Vec<Event>,
) -> Result<(Vec<RowChange>, Vec<RowPosition>)> {
    let mut by_id = FxHashMap::with_capacity_and_hasher(events.len(), FxBuildHasher);
    by_id.extend(events.iter().enumerate().map(|(index, event)| (event.id.as_str(), index)));
    let mut effects: Vec<MergeEffect> = events.iter().map(|_| MergeEffect::Insert).collect();
    let mut replaced = Vec::new();
    for (batch_index, (batch, rows)) in batches.iter().zip(rows).enumerate() {
        for row in 0..batch.num_rows() {
            let Some(&index) = by_id.get(rows.id(row)) else { continue };
            let current = rows.event(row)?;
            effects[index] = if events[index].supersedes(&current) {
                replaced.push((batch_index, row));
                MergeEffect::Replace(Box::new(current))
            } else {
                MergeEffect::Ignore
            };
        }
    }
    let changes = events.into_iter().zip(effects).filter_map(|(winner, effect)| match effect {
        MergeEffect::Insert => Some(RowChange { winner, loser: None }),
        MergeEffect::Replace(loser) => Some(RowChange { winner, loser: Some(*loser) }),
        MergeEffect::Ignore => None,
    });
    Ok((changes.collect(), replaced))
}

/// Returns the positions of all rows but the replaced ones, in ascending order.
fn remaining_positions(batches: &[RecordBatch], replaced: Vec<RowPosition>) -> Vec<RowPosition> {
    let mut replaced = replaced.into_iter().peekable();
    batches
        .iter()
        .enumerate()
        .flat_map(|(batch_index, batch)| (0..batch.num_rows()).map(move |row| (batch_index, row)))
        .filter(|position| replaced.next_if_eq(position).is_none())
        .collect()
}

/// Returns the rows at the positions as one batch.
fn gather_rows(batches: &[RecordBatch], positions: &[RowPosition]) -> Result<RecordBatch> {
    let schema = schema();
    let merge_error = |error: ArrowError| Error::damaged_by("the month", "its rows cannot be merged", error);
    let columns = (0..schema.fields().len()).map(|index| {
        let columns: Vec<&dyn Array> = batches.iter().map(|batch| batch.column(index).as_ref()).collect();
        match schema.field(index).data_type() {
            DataType::Dictionary(..) => gather_dictionary(&columns, positions),
            _ => interleave(&columns, positions),
        }
    });
    let columns = columns.collect::<Result<Vec<_>, _>>().map_err(merge_error)?;
    let options = RecordBatchOptions::new().with_row_count(Some(positions.len()));
    RecordBatch::try_new_with_options(schema, columns, &options).map_err(merge_error)
}

/// Returns the strings at the positions, with a dictionary that contains each of them once.
///
/// With Arrow's `interleave`, dictionaries would grow with every merge.
fn gather_dictionary(columns: &[&dyn Array], positions: &[RowPosition]) -> Result<ArrayRef, ArrowError> {
    let columns: Vec<DictionaryStrings> =
        columns.iter().map(|column| DictionaryStrings::from_array(*column)).collect();
    // The new key of each dictionary entry, by batch and by the entry's old key.
    let mut new_keys: Vec<Vec<Option<i32>>> =
        columns.iter().map(|column| vec![None; column.dictionary_len()]).collect();
    let mut keys_by_value: FxHashMap<&str, i32> = FxHashMap::default();
    let mut values: Vec<&str> = Vec::new();
    let mut keys: Vec<Option<i32>> = Vec::with_capacity(positions.len());
    for &(batch, row) in positions {
        let Some(old_key) = columns[batch].key(row) else {
            keys.push(None);
            continue;
        };
        let key = match new_keys[batch][old_key] {
            Some(key) => key,
            None => {
                let value = columns[batch].value(old_key);
                let next_key =
                    i32::try_from(values.len()).map_err(|_| ArrowError::DictionaryKeyOverflowError)?;
                let key = *keys_by_value.entry(value).or_insert_with(|| {
                    values.push(value);
                    next_key
                });
                new_keys[batch][old_key] = Some(key);
                key
            }
        };
        keys.push(Some(key));
    }
    let values = Arc::new(StringArray::from_iter_values(values));
    DictionaryArray::<Int32Type>::try_new(Int32Array::from(keys), values)
        .map(|array| Arc::new(array) as ArrayRef)
}

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray;
    use std::collections::BTreeMap;

    use gam_model::EventId;
    use proptest::prelude::*;

    use super::*;
    use crate::schema::{column, decode};
    use crate::table::{self, RowOrder};
    use crate::testing::{any_event, any_version, commit, sample};

    fn rows(batches: &[RecordBatch]) -> Vec<Event> {
        batches.iter().flat_map(|batch| decode(batch).unwrap()).collect()
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
        let merged = merge(&[], sample(50)).unwrap();
        assert_eq!(merged.changes.len(), 50);
        assert!(rows(&merged.batches).is_sorted_by_key(sort_key));
        assert_eq!(rows(&merged.batches)[0].repo, "api");
    }

    #[test]
    fn a_merge_without_changes_returns_the_current_rows() {
        let current = merge(&[], sample(20)).unwrap().batches;
        let mut later = sample(20);
        later.iter_mut().for_each(|event| event.collected_at += chrono::TimeDelta::nanoseconds(17));
        let merged = merge(&current, later).unwrap();
        assert!(merged.changes.is_empty());
        assert_eq!(merged.batches, current);
        let is_shared = |index: usize| Arc::ptr_eq(merged.batches[0].column(index), current[0].column(index));
        assert!((0..current[0].num_columns()).all(is_shared));
        assert!(merge(&[], vec![]).unwrap().batches.is_empty());
    }

    #[test]
    fn changes_contain_winners_and_losers() {
        let current = merge(&[], sample(4)).unwrap().batches;
        let mut newer = commit(2);
        newer.version = 2;
        newer.repo = "renamed".to_owned();
        let mut older = commit(1);
        older.version = 0;
        let merged = merge(&current, vec![commit(9), newer.clone(), older, commit(0)]).unwrap();
        assert_eq!(
            merged.changes,
            [
                RowChange { winner: newer.clone(), loser: Some(commit(2)) },
                RowChange { winner: commit(9), loser: None }
            ]
        );
        assert_eq!(rows(&merged.batches), reference(&[commit(0), commit(1), newer, commit(3), commit(9)]));
    }

    #[test]
    fn many_rows_become_batches_with_small_dictionaries() {
        let count = ROW_GROUP_ROWS as i64 + 1_000;
        let (even, odd): (Vec<Event>, Vec<Event>) = sample(count).into_iter().partition(|e| e.repo_id == 7);
        let half = merge(&[], even).unwrap();
        let all = merge(&half.batches, odd).unwrap();
        let sizes: Vec<_> = all.batches.iter().map(RecordBatch::num_rows).collect();
        assert_eq!(sizes, [ROW_GROUP_ROWS, 1_000]);
        let members = all.batches[0].column_by_name(column::MEMBER).unwrap();
        assert_eq!(members.as_dictionary::<Int32Type>().values().len(), 3);
        let bytes = table::write(&all.batches, vec![], RowOrder::RepoAndTime).unwrap();
        let read = table::read("x", bytes).unwrap();
        assert_eq!(rows(&read.batches), reference(&sample(count)));
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
        let mut batches = Vec::new();
        for start in (0..1_000).step_by(100) {
            batches = merge(&batches, members(start..start + 150)).unwrap().batches;
        }
        assert_eq!(rows(&batches), reference(&members(0..1_050)));
        let names = batches[0].column_by_name(column::MEMBER).unwrap();
        assert_eq!(names.as_dictionary::<Int32Type>().values().len(), 1_050);
    }

    proptest! {
        #[test]
        fn the_result_does_not_depend_on_order_or_steps(
            versions in prop::collection::vec(any_version(), 0..60),
            others in prop::collection::vec(any_event(), 0..6),
            seed in any::<u64>(),
            steps in 1usize..6,
            is_stored in any::<bool>(),
        ) {
            let mut events = versions;
            events.extend(others);
            let expected = reference(&events);
            let mut random = fastrand::Rng::with_seed(seed);
            let duplicates: Vec<Event> = events.iter().filter(|_| random.bool()).cloned().collect();
            events.extend(duplicates);
            random.shuffle(&mut events);
            let mut batches: Vec<RecordBatch> = Vec::new();
            for step in 0..steps {
                let is_last = step + 1 == steps;
                let take = if is_last { events.len() } else { random.usize(..=events.len()) };
                let before = rows(&batches);
                let merged = merge(&batches, events.drain(..take).collect()).unwrap();
                prop_assert_eq!(merged.changes.is_empty(), rows(&merged.batches) == before);
                batches = merged.batches;
                if is_stored {
                    let bytes = table::write(&batches, vec![], RowOrder::RepoAndTime).unwrap();
                    batches = table::read("x", bytes).unwrap().batches;
                }
            }
            prop_assert_eq!(rows(&batches), expected);
        }
    }
}
