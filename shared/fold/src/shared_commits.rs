//! Commits that lie in several repositories: which of their rows count for the organization and the author.

use std::hash::Hasher;

use arrow_array::Array;
use rustc_hash::{FxHashMap, FxHashSet, FxHasher};

use crate::columns::EventColumns;
use gam_model::EventKind;

/// The index of a batch, and the index of a row in it.
pub(crate) type RowPosition = (usize, usize);

/// Returns a hash of a commit's SHA. Different SHAs may have the same hash.
pub(crate) fn sha_hash(sha: &str) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(sha.as_bytes());
    hasher.finish()
}

/// Returns the rows of commits that count, with their SHAs.
pub(crate) fn commit_rows<'a>(columns: &'a EventColumns<'_>) -> impl Iterator<Item = (usize, &'a str)> {
    let is_commit: Vec<bool> =
        columns.kind.values.iter().map(|name| name == Some(EventKind::Commit.as_str())).collect();
    let is_commit_row = move |row: usize| columns.kind.index(row).is_some_and(|kind| is_commit[kind]);
    (0..columns.row_count())
        .filter(move |&row| columns.counts(row) && columns.sha.is_valid(row) && is_commit_row(row))
        .map(|row| (row, columns.sha.value(row)))
}

/// Returns the rows of commits that another row counts for the organization and the author.
///
/// Hashes find the SHAs that may occur twice. In most months there are none, and no SHA is compared.
pub(crate) fn repeated_commits(batches: &[EventColumns<'_>]) -> FxHashSet<RowPosition> {
    let mut hashes: Vec<u64> =
        batches.iter().flat_map(|columns| commit_rows(columns).map(|(_, sha)| sha_hash(sha))).collect();
    hashes.sort_unstable();
    let shared: FxHashSet<u64> =
        hashes.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
    if shared.is_empty() {
        return FxHashSet::default();
    }
    let mut rows_by_sha: FxHashMap<&str, Vec<CommitRow>> = FxHashMap::default();
    for (batch_index, columns) in batches.iter().enumerate() {
        for (row, sha) in commit_rows(columns).filter(|(_, sha)| shared.contains(&sha_hash(sha))) {
            let lacks_lines = columns.additions.is_null(row);
            let repo_id = columns.repo_id.value(row);
            rows_by_sha.entry(sha).or_default().push(CommitRow {
                lacks_lines,
                repo_id,
                position: (batch_index, row),
            });
        }
    }
    let mut repeats = FxHashSet::default();
    for rows in rows_by_sha.values() {
        let counted = rows.iter().min();
        repeats.extend(rows.iter().filter(|row| Some(*row) != counted).map(|row| row.position));
    }
    repeats
}

/// A row of a commit. The least of a SHA counts for the organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct CommitRow {
    lacks_lines: bool,
    repo_id: i64,
    position: RowPosition,
}
