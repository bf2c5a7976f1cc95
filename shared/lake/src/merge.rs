//! Merging events into the rows of a month.
//!
//! Only rows whose id comes in are looked at as events; the others are moved as columns.

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
use crate::schema::{Rows, Strings, conform, cut_times, encode, events as schema};
use crate::table::ROW_GROUP_ROWS;

/// One fact that a merge has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The row that is in the month now.
    pub winner: Event,
    /// The row that it took the place of; `None` where the fact is new.
    pub loser: Option<Event>,
}

/// The rows of a month after a merge.
#[derive(Debug, Clone)]
pub struct Merged {
    /// One row an event id, sorted by repository name, time and id, in batches of at most 131,072 rows;
    /// just the current batches where nothing has changed.
    pub batches: Vec<RecordBatch>,
    /// What has changed, in order of the ids; empty where nothing has.
    pub changes: Vec<Change>,
}

/// A row's place: which batch, and which row of it.
type Place = (usize, usize);

/// Merges events of one month, in any order and with any duplicates, into its current rows, of which
/// there is one an id: the winner of each id is in the result. Takes time in the order of the rows of
/// the month: run it off the threads that serve others.
///
/// # Errors
/// [`Error::Damaged`] where the current rows are not those of the table; [`Error::NewerFormat`] where
/// one that must be compared is of a kind that only a newer version knows.
pub fn merge(current: &[RecordBatch], events: Vec<Event>) -> Result<Merged> {
    let conforming: Vec<RecordBatch> = current.iter().map(conform).collect::<Result<_>>()?;
    let mut rows: Vec<Rows> = conforming.iter().map(Rows::of).collect::<Result<_>>()?;
    let (changes, replaced) = contest(&conforming, &rows, winners(events))?;
    if changes.is_empty() {
        return Ok(Merged { batches: current.to_vec(), changes });
    }
    let mut batches = conforming;
    let mut places = remaining(&batches, replaced);
    let won: Vec<Event> = changes.iter().map(|change| change.winner.clone()).collect();
    for chunk in won.chunks(ROW_GROUP_ROWS) {
        let batch = encode(chunk)?;
        places.extend((0..batch.num_rows()).map(|row| (batches.len(), row)));
        rows.push(Rows::of(&batch)?);
        batches.push(batch);
    }
    // The current rows are sorted already, which this sort finds out and makes use of.
    places.sort_by(|a, b| order(&rows, *a, *b));
    let batches =
        places.chunks(ROW_GROUP_ROWS).map(|chunk| gather(&batches, chunk)).collect::<Result<_>>()?;
    Ok(Merged { batches, changes })
}

fn order(rows: &[Rows], a: Place, b: Place) -> Ordering {
    rows[a.0].sort_key(a.1).cmp(&rows[b.0].sort_key(b.1))
}

/// The winner of each id, in order of the ids.
fn winners(mut events: Vec<Event>) -> Vec<Event> {
    // A time finer than the lake keeps would seem to differ from the same time read back.
    events.iter_mut().for_each(cut_times);
    EventBatch::new(String::new(), events).into_events()
}

enum Outcome {
    New,
    Replaces(Box<Event>),
    Beaten,
}

/// What the events change, in their order, and where the rows lie that they take the place of, in
/// order of the places.
fn contest(batches: &[RecordBatch], rows: &[Rows], events: Vec<Event>) -> Result<(Vec<Change>, Vec<Place>)> {
    let mut by_id = FxHashMap::with_capacity_and_hasher(events.len(), FxBuildHasher);
    by_id.extend(events.iter().enumerate().map(|(index, event)| (event.id.as_str(), index)));
    let mut outcomes: Vec<Outcome> = events.iter().map(|_| Outcome::New).collect();
    let mut replaced = Vec::new();
    for (number, (batch, rows)) in batches.iter().zip(rows).enumerate() {
        for row in 0..batch.num_rows() {
            let Some(&index) = by_id.get(rows.id(row)) else { continue };
            let held = rows.event(row)?;
            outcomes[index] = if events[index].supersedes(&held) {
                replaced.push((number, row));
                Outcome::Replaces(Box::new(held))
            } else {
                Outcome::Beaten
            };
        }
    }
    let changes = events.into_iter().zip(outcomes).filter_map(|(winner, outcome)| match outcome {
        Outcome::New => Some(Change { winner, loser: None }),
        Outcome::Replaces(loser) => Some(Change { winner, loser: Some(*loser) }),
        Outcome::Beaten => None,
    });
    Ok((changes.collect(), replaced))
}

/// The places of all rows but the replaced ones.
fn remaining(batches: &[RecordBatch], replaced: Vec<Place>) -> Vec<Place> {
    let mut replaced = replaced.into_iter().peekable();
    batches
        .iter()
        .enumerate()
        .flat_map(|(number, batch)| (0..batch.num_rows()).map(move |row| (number, row)))
        .filter(|place| replaced.next_if_eq(place).is_none())
        .collect()
}

/// The rows at the places, as one batch.
fn gather(batches: &[RecordBatch], places: &[Place]) -> Result<RecordBatch> {
    let schema = schema();
    let failed = |error: ArrowError| Error::damaged_by("the month", "its rows cannot be merged", error);
    let columns = (0..schema.fields().len()).map(|index| {
        let columns: Vec<&dyn Array> = batches.iter().map(|batch| batch.column(index).as_ref()).collect();
        match schema.field(index).data_type() {
            DataType::Dictionary(..) => gather_strings(&columns, places),
            _ => interleave(&columns, places),
        }
    });
    let columns = columns.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let options = RecordBatchOptions::new().with_row_count(Some(places.len()));
    RecordBatch::try_new_with_options(schema, columns, &options).map_err(failed)
}

/// The strings at the places, with a dictionary that holds just these, each once; arrow's own kernel
/// would let dictionaries grow with every merge.
fn gather_strings(columns: &[&dyn Array], places: &[Place]) -> Result<ArrayRef, ArrowError> {
    let columns: Vec<Strings> = columns.iter().map(|column| Strings::of(*column)).collect();
    let mut known: Vec<Vec<Option<i32>>> =
        columns.iter().map(|column| vec![None; column.entries()]).collect();
    let mut numbers: FxHashMap<&str, i32> = FxHashMap::default();
    let mut values: Vec<&str> = Vec::new();
    let mut keys: Vec<Option<i32>> = Vec::with_capacity(places.len());
    for &(batch, row) in places {
        let Some(entry) = columns[batch].entry(row) else {
            keys.push(None);
            continue;
        };
        let key = match known[batch][entry] {
            Some(key) => key,
            None => {
                let value = columns[batch].value(entry);
                let next = i32::try_from(values.len()).map_err(|_| ArrowError::DictionaryKeyOverflowError)?;
                let key = *numbers.entry(value).or_insert_with(|| {
                    values.push(value);
                    next
                });
                known[batch][entry] = Some(key);
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
    use crate::table::{self, Order};
    use crate::testing::{any_event, any_telling, commit, sample};

    fn rows(batches: &[RecordBatch]) -> Vec<Event> {
        batches.iter().flat_map(|batch| decode(batch).unwrap()).collect()
    }

    fn sort_key(event: &Event) -> (String, chrono::DateTime<chrono::Utc>, EventId) {
        (event.repo.clone(), event.occurred_at, event.id.clone())
    }

    /// The same by the plainest means.
    fn reference(events: &[Event]) -> Vec<Event> {
        let mut by_id: BTreeMap<EventId, Event> = BTreeMap::new();
        for event in events {
            let held = by_id.get(&event.id);
            if held.is_none_or(|held| event.supersedes(held)) {
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
    fn what_changes_nothing_leaves_the_rows_untouched() {
        let current = merge(&[], sample(20)).unwrap().batches;
        let mut later = sample(20);
        later.iter_mut().for_each(|event| event.collected_at += chrono::TimeDelta::nanoseconds(17));
        let merged = merge(&current, later).unwrap();
        assert!(merged.changes.is_empty());
        assert_eq!(merged.batches, current);
        let shared = |at: usize| Arc::ptr_eq(merged.batches[0].column(at), current[0].column(at));
        assert!((0..current[0].num_columns()).all(shared));
        assert!(merge(&[], vec![]).unwrap().batches.is_empty());
    }

    #[test]
    fn changes_name_winners_and_losers() {
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
                Change { winner: newer.clone(), loser: Some(commit(2)) },
                Change { winner: commit(9), loser: None }
            ]
        );
        assert_eq!(rows(&merged.batches), reference(&[commit(0), commit(1), newer, commit(3), commit(9)]));
    }

    #[test]
    fn many_rows_are_cut_into_batches_with_small_dictionaries() {
        let count = ROW_GROUP_ROWS as i64 + 1_000;
        let (even, odd): (Vec<Event>, Vec<Event>) = sample(count).into_iter().partition(|e| e.repo_id == 7);
        let half = merge(&[], even).unwrap();
        let whole = merge(&half.batches, odd).unwrap();
        let sizes: Vec<_> = whole.batches.iter().map(RecordBatch::num_rows).collect();
        assert_eq!(sizes, [ROW_GROUP_ROWS, 1_000]);
        let members = whole.batches[0].column_by_name(column::MEMBER).unwrap();
        assert_eq!(members.as_dictionary::<Int32Type>().values().len(), 3);
        let bytes = table::write(&whole.batches, vec![], Order::RepoAndTime).unwrap();
        let read = table::read("x", bytes).unwrap();
        assert_eq!(rows(&read.batches), reference(&sample(count)));
    }

    #[test]
    fn dictionaries_that_differ_are_joined() {
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
        fn every_way_of_merging_ends_alike(
            tellings in prop::collection::vec(any_telling(), 0..60),
            others in prop::collection::vec(any_event(), 0..6),
            seed in any::<u64>(),
            steps in 1usize..6,
            stored in any::<bool>(),
        ) {
            let mut events = tellings;
            events.extend(others);
            let expected = reference(&events);
            let mut random = fastrand::Rng::with_seed(seed);
            let duplicates: Vec<Event> = events.iter().filter(|_| random.bool()).cloned().collect();
            events.extend(duplicates);
            random.shuffle(&mut events);
            let mut batches: Vec<RecordBatch> = Vec::new();
            for step in 0..steps {
                let rest = steps - step - 1;
                let take = if rest == 0 { events.len() } else { random.usize(..=events.len()) };
                let before = rows(&batches);
                let merged = merge(&batches, events.drain(..take).collect()).unwrap();
                prop_assert_eq!(merged.changes.is_empty(), rows(&merged.batches) == before);
                batches = merged.batches;
                if stored {
                    let bytes = table::write(&batches, vec![], Order::RepoAndTime).unwrap();
                    batches = table::read("x", bytes).unwrap().batches;
                }
            }
            prop_assert_eq!(rows(&batches), expected);
        }
    }
}
