//! Merges rows into a month's snapshot, a row group at a time.
//!
//! A scan of the columns that identify and sort rows finds the stored versions of the new rows, and where new rows
//! belong. Row groups that neither lose nor gain a row are copied as bytes. The others are decoded, merged and encoded
//! side by side, as many at a time as there are cores.

mod gather;
mod scan;

use std::borrow::Cow;
use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::mpsc;
use std::thread;

use arrow_array::RecordBatch;
use bytes::Bytes;
use gam_model::Event;

use crate::error::Result;
use crate::parquet_file::{EncodedGroup, FileWriter, GroupEncoder, ParquetFile, ROW_GROUP_ROWS};
use crate::table::Table;
use gather::sorted_rows;
use scan::{GroupScan, KeyRows, scan_groups};

/// About how many bytes a row takes in a file.
const ROW_BYTES: usize = 64;

/// A row that a merge added or replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowChange<R = Event> {
    /// The row after the merge.
    pub winner: R,
    /// The row that it replaced; `None` if it is new.
    pub loser: Option<R>,
}

/// The result of [`merge`].
pub(crate) struct Merged<R> {
    /// The new file; `None` if nothing changed.
    pub(crate) bytes: Option<Bytes>,
    /// The rows that changed, sorted by id.
    pub(crate) changes: Vec<RowChange<R>>,
}

/// Merges rows into a month's file, which is written with these properties. `winners` has one row per id, sorted by
/// id; the file has one row per id. Without a file, one is always written.
///
/// # Errors
/// [`Error::Damaged`](crate::Error::Damaged) if the file is damaged;
/// [`Error::NewerFormat`](crate::Error::NewerFormat) if a row to be compared is one that only a newer version of the
/// program knows.
pub(crate) fn merge<T: Table>(
    current: Option<&ParquetFile>,
    winners: &[T::Row],
    properties: Vec<(&str, String)>,
) -> Result<Merged<T::Row>> {
    let rules = GroupRules { max_rows: ROW_GROUP_ROWS, may_copy: true };
    merge_with::<T>(current, winners, properties, rules)
}

/// How the row groups of a merged file are made.
#[derive(Debug, Clone, Copy)]
struct GroupRules {
    /// The maximum number of rows of those that are encoded.
    max_rows: usize,
    /// Whether those that do not change are copied as bytes, if that is possible.
    may_copy: bool,
}

/// As [`merge`], with other rules for row groups.
fn merge_with<T: Table>(
    current: Option<&ParquetFile>,
    winners: &[T::Row],
    properties: Vec<(&str, String)>,
    rules: GroupRules,
) -> Result<Merged<T::Row>> {
    if current.is_some() && winners.is_empty() {
        return Ok(Merged { bytes: None, changes: Vec::new() });
    }
    let mut new = T::encode(winners)?;
    let mut keys = KeyRows::from_batch::<T>(&new)?;
    let scans = match current {
        Some(file) => scan_groups::<T>(file, &keys)?,
        None => Vec::new(),
    };
    let found = Found::compare::<T>(current, &scans, winners)?;
    let mut rows = Cow::Borrowed(winners);
    let mut changes = Vec::new();
    let mut inserted = Vec::new();
    for (index, effect) in found.effects.into_iter().enumerate() {
        let loser = match effect {
            MergeEffect::Insert => None,
            MergeEffect::Replace { stored, row } => {
                if *row != winners[index] {
                    rows.to_mut()[index] = *row;
                }
                Some(*stored)
            }
            MergeEffect::Ignore => continue,
        };
        inserted.push(index);
        changes.push(RowChange { winner: rows[index].clone(), loser });
    }
    if let Cow::Owned(combined) = &rows {
        // Combined rows have the ids of the new ones, but their times can differ.
        new = T::encode(combined)?;
        keys = KeyRows::from_batch::<T>(&new)?;
    }
    if current.is_some() && changes.is_empty() {
        return Ok(Merged { bytes: None, changes });
    }
    inserted.sort_by(|a, b| keys.key(*a).cmp(&keys.key(*b)));
    let size = current.map_or(0, |file| file.bytes().len());
    let mut writer = FileWriter::new::<T>(properties, size + inserted.len() * ROW_BYTES)?;
    let can_copy = rules.may_copy && current.is_some_and(|file| writer.can_copy_from(file));
    let group_rows = rules.max_rows;
    let units = plan(&scans, &keys, &inserted, &found.removed, can_copy, group_rows);
    let rewriter = Rewriter::<T> {
        current,
        new: &new,
        removed: &found.removed,
        encoder: writer.encoder::<T>(),
        group_rows,
        table: std::marker::PhantomData,
    };
    rewriter.write(&units, &mut writer)?;
    Ok(Merged { bytes: Some(writer.finish()?), changes })
}

/// What merging one row does to the stored rows.
enum MergeEffect<R> {
    Insert,
    /// `row` takes the place of `stored`.
    Replace {
        stored: Box<R>,
        row: Box<R>,
    },
    /// The stored row stays.
    Ignore,
}

/// How the new rows compare with the stored rows of the same ids.
struct Found<R> {
    /// For each new row, in their order.
    effects: Vec<MergeEffect<R>>,
    /// For each row group, the indexes of the rows that are replaced, in ascending order.
    removed: Vec<Vec<usize>>,
}

impl<R: Clone + Send + Sync> Found<R> {
    fn compare<T: Table<Row = R>>(
        current: Option<&ParquetFile>,
        scans: &[GroupScan],
        winners: &[R],
    ) -> Result<Self> {
        let mut effects: Vec<MergeEffect<R>> = winners.iter().map(|_| MergeEffect::Insert).collect();
        let mut removed = vec![Vec::new(); scans.len()];
        let Some(file) = current else { return Ok(Found { effects, removed }) };
        let schema = T::schema();
        let with_stored: Vec<usize> =
            (0..scans.len()).filter(|group| !scans[*group].stored.is_empty()).collect();
        let stored_rows = parallel(&with_stored, |&group| {
            let rows: Vec<usize> = scans[group].stored.iter().map(|(row, _)| *row).collect();
            T::decode(&file.selected(group, &schema, &rows)?).map_err(|error| error.with_path(file.path()))
        });
        for (&group, stored_rows) in with_stored.iter().zip(stored_rows) {
            for (&(row, winner), stored) in scans[group].stored.iter().zip(stored_rows?) {
                effects[winner] = match T::combine(&winners[winner], &stored) {
                    Some(combined) => {
                        removed[group].push(row);
                        MergeEffect::Replace { stored: Box::new(stored), row: Box::new(combined) }
                    }
                    None => MergeEffect::Ignore,
                };
            }
        }
        Ok(Found { effects, removed })
    }
}

/// A part of the new file.
enum Unit {
    /// A row group that is copied as bytes.
    Copy(usize),
    /// Row groups that are decoded together, and the indexes of the new rows among them, sorted by key.
    Rewrite { groups: Range<usize>, inserted: Vec<usize> },
}

/// Distributes the new rows over the row groups. Neighbours that change are joined if they are small.
fn plan(
    scans: &[GroupScan],
    keys: &KeyRows,
    inserted: &[usize],
    removed: &[Vec<usize>],
    can_copy: bool,
    group_rows: usize,
) -> Vec<Unit> {
    let is_sorted = scans.iter().all(|scan| scan.is_sorted)
        && scans.windows(2).all(|pair| pair[0].last_key() <= pair[1].first_key());
    if scans.is_empty() || !is_sorted {
        // No program writes unsorted snapshots. They are sorted in memory.
        return vec![Unit::Rewrite { groups: 0..scans.len(), inserted: inserted.to_vec() }];
    }
    let mut units: Vec<Unit> = Vec::new();
    let mut rows = 0;
    let mut rest = inserted;
    for (group, scan) in scans.iter().enumerate() {
        let end = match scans.get(group + 1) {
            Some(next) => rest.partition_point(|&index| keys.key(index) < next.first_key()),
            None => rest.len(),
        };
        let (own, later) = rest.split_at(end);
        rest = later;
        if can_copy && own.is_empty() && removed[group].is_empty() {
            units.push(Unit::Copy(group));
            continue;
        }
        let own_rows = scan.rows + own.len() - removed[group].len();
        match units.last_mut() {
            Some(Unit::Rewrite { groups, inserted }) if rows + own_rows <= group_rows => {
                groups.end = group + 1;
                inserted.extend(own);
                rows += own_rows;
            }
            _ => {
                units.push(Unit::Rewrite { groups: group..group + 1, inserted: own.to_vec() });
                rows = own_rows;
            }
        }
    }
    units
}

struct Rewriter<'a, T: Table> {
    current: Option<&'a ParquetFile>,
    /// The new rows, sorted by id.
    new: &'a RecordBatch,
    removed: &'a [Vec<usize>],
    encoder: GroupEncoder,
    group_rows: usize,
    table: std::marker::PhantomData<T>,
}

impl<T: Table> Rewriter<'_, T> {
    /// Writes the units in order. As many are rewritten at a time as there are cores. Each core has one thread for all
    /// of its units, which uses its memory again.
    fn write(&self, units: &[Unit], writer: &mut FileWriter) -> Result<()> {
        let rewrites: Vec<&Unit> = units.iter().filter(|unit| matches!(unit, Unit::Rewrite { .. })).collect();
        let threads = cores().min(rewrites.len());
        thread::scope(|scope| {
            let receivers: Vec<_> = (0..threads)
                .map(|first| {
                    let (sender, receiver) = mpsc::sync_channel(0);
                    let own: Vec<&Unit> = rewrites.iter().copied().skip(first).step_by(threads).collect();
                    // Ends when nobody receives any more, because the file cannot be written.
                    scope.spawn(move || own.iter().try_for_each(|unit| sender.send(self.rewrite(unit)).ok()));
                    receiver
                })
                .collect();
            let mut rewritten = receivers.iter().cycle();
            for unit in units {
                match (unit, self.current) {
                    (Unit::Copy(group), Some(file)) => writer.copy(file, *group)?,
                    _ => {
                        // A thread that has panicked sends nothing any more, and the scope passes its panic on.
                        let Some(Ok(groups)) = rewritten.next().map(mpsc::Receiver::recv) else { break };
                        groups?.into_iter().try_for_each(|group| writer.append(group))?;
                    }
                }
            }
            Ok(())
        })
    }

    fn rewrite(&self, unit: &Unit) -> Result<Vec<EncodedGroup>> {
        let Unit::Rewrite { groups, inserted } = unit else { return Ok(Vec::new()) };
        let schema = T::schema();
        let mut batches = Vec::new();
        for group in groups.clone() {
            batches.extend(self.current.map(|file| file.group(group, &schema)).transpose()?);
        }
        let removed: Vec<&[usize]> = groups.clone().map(|group| &self.removed[group][..]).collect();
        let rows = sorted_rows::<T>(batches, &removed, self.new, inserted, self.group_rows)?;
        rows.iter().map(|rows| self.encoder.encode(rows)).collect()
    }
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Returns the results of the work on all items, in order. Divides the items among the cores.
fn parallel<I: Sync, O: Send>(items: &[I], work: impl Fn(&I) -> O + Sync) -> Vec<O> {
    let part = items.len().div_ceil(cores()).max(1);
    if items.len() <= part {
        return items.iter().map(work).collect();
    }
    thread::scope(|scope| {
        let work = &work;
        let parts: Vec<_> = items
            .chunks(part)
            .map(|part| scope.spawn(move || part.iter().map(work).collect::<Vec<O>>()))
            .collect();
        parts.into_iter().flat_map(|part| part.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    })
}

/// Returns the winner of each id as rows in the order of snapshots, in batches of at most 65,536 rows.
///
/// # Errors
/// If the columns do not fit together. No valid row can cause this.
pub fn sort_rows<T: Table>(rows: Vec<T::Row>) -> Result<Vec<RecordBatch>> {
    let new = T::encode(&T::winners(rows))?;
    let keys = KeyRows::from_batch::<T>(&new)?;
    let mut order: Vec<usize> = (0..new.num_rows()).collect();
    order.sort_by(|a, b| keys.key(*a).cmp(&keys.key(*b)));
    sorted_rows::<T>(Vec::new(), &[], &new, &order, ROW_GROUP_ROWS)
}

#[cfg(test)]
mod tests;
