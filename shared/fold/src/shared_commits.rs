//! Commits that lie in several repositories: which of their rows count for the organization and the author.

use std::hash::Hasher;

use arrow_array::{Array, Int64Array, RecordBatch, StringArray};
use gam_model::{EventKind, Identity};
use rustc_hash::{FxHashMap, FxHashSet, FxHasher};

use crate::columns::{CountedRows, DictionaryColumn, column};
use crate::fold::FoldError;
use crate::rows::{FoldRowsError, MonthRows, for_each_batch};

/// The index of a batch, and the index of a row in it.
pub(crate) type RowPosition = (usize, usize);

/// Returns a hash of a commit's SHA. Different SHAs may have the same hash.
pub(crate) fn sha_hash(sha: &str) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(sha.as_bytes());
    hasher.finish()
}

/// The columns that say which rows are commits that count, and their SHAs.
pub(crate) const COMMIT_COLUMNS: &[&str] = &["kind", "repo", "retracted", "sha"];
/// The columns that say which row of a SHA counts for the organization.
const COUNTED_COLUMNS: &[&str] = &["kind", "repo", "retracted", "sha", "repo_id", "additions"];

/// Returns the rows of commits that count, with their SHAs.
///
/// # Errors
/// If a column is missing or has the wrong type.
pub(crate) fn commit_rows<'a>(
    batch: &'a RecordBatch,
    identity: &Identity,
) -> Result<impl Iterator<Item = (usize, &'a str)>, FoldError> {
    let kind = DictionaryColumn::from_batch(batch, "kind")?;
    let counted = CountedRows::from_batch(batch, identity)?;
    let sha: &StringArray = column(batch, "sha")?;
    let is_commit: Vec<bool> =
        kind.values.iter().map(|name| name == Some(EventKind::Commit.as_str())).collect();
    let is_commit_row = move |row: usize| kind.index(row).is_some_and(|kind| is_commit[kind]);
    Ok((0..batch.num_rows())
        .filter(move |&row| counted.contains(row) && sha.is_valid(row) && is_commit_row(row))
        .map(|row| (row, sha.value(row))))
}

/// Returns the rows of commits that another row counts for the organization and the author.
///
/// Hashes find the SHAs that may occur twice. In most months there are none, and no SHA is compared. Takes 8 bytes a
/// commit, and for each commit that may occur twice its SHA.
pub(crate) fn repeated_commits<R: MonthRows + ?Sized>(
    rows: &R,
    identity: &Identity,
) -> Result<FxHashSet<RowPosition>, FoldRowsError<R::Error>> {
    let mut hashes: Vec<u64> = Vec::new();
    for_each_batch(rows, COMMIT_COLUMNS, |_, batch| {
        hashes.extend(commit_rows(batch, identity)?.map(|(_, sha)| sha_hash(sha)));
        Ok(())
    })?;
    hashes.sort_unstable();
    let shared: FxHashSet<u64> =
        hashes.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
    drop(hashes);
    if shared.is_empty() {
        return Ok(FxHashSet::default());
    }
    let mut rows_by_sha: FxHashMap<Box<str>, Vec<CommitRow>> = FxHashMap::default();
    for_each_batch(rows, COUNTED_COLUMNS, |batch_index, batch| {
        let repo_ids: &Int64Array = column(batch, "repo_id")?;
        let additions: &Int64Array = column(batch, "additions")?;
        for (row, sha) in commit_rows(batch, identity)?.filter(|(_, sha)| shared.contains(&sha_hash(sha))) {
            let (lacks_lines, repo_id) = (additions.is_null(row), repo_ids.value(row));
            let commit_row = CommitRow { lacks_lines, repo_id, position: (batch_index, row) };
            match rows_by_sha.get_mut(sha) {
                Some(rows) => rows.push(commit_row),
                None => _ = rows_by_sha.insert(sha.into(), vec![commit_row]),
            }
        }
        Ok(())
    })?;
    let mut repeats = FxHashSet::default();
    for rows in rows_by_sha.values() {
        let counted = rows.iter().min();
        repeats.extend(rows.iter().filter(|row| Some(*row) != counted).map(|row| row.position));
    }
    Ok(repeats)
}

/// A row of a commit. The least of a SHA counts for the organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct CommitRow {
    lacks_lines: bool,
    repo_id: i64,
    position: RowPosition,
}
