//! Commits that lie in several repositories: which of their rows count for the organization and the author.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher;

use arrow_array::{Array, Int64Array, RecordBatch, StringArray};
use gam_model::{EventKind, Identity};
use rustc_hash::{FxHashMap, FxHashSet, FxHasher};

use crate::columns::{CountedRows, DictionaryColumn, column};
use crate::fold::FoldError;
use crate::rows::{BatchReader, FoldRowsError, MonthRows};

/// The index of a batch, and the index of a row in it.
pub(crate) type RowPosition = (usize, usize);

/// The columns that say which rows are commits that count, and their SHAs.
const COMMIT_COLUMNS: &[&str] = &["kind", "repo", "retracted", "sha"];
/// The columns that say which row of a SHA counts for the organization.
const COUNTED_COLUMNS: &[&str] = &["kind", "repo", "retracted", "sha", "repo_id", "additions"];

/// The rows of commits that several rows have.
#[derive(Debug, Default)]
pub(crate) struct SharedCommits {
    /// The rows of commits that another row counts for the organization and the author.
    pub(crate) repeats: FxHashSet<RowPosition>,
    /// The rows of the requested SHAs: the indexes of rows, by the index of their batch.
    pub(crate) requested: BTreeMap<usize, Vec<usize>>,
}

/// A hash of a commit's SHA, and the index of the batch that has it. Sorts by hash. 8 bytes, because a month has many
/// commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct HashedCommit(u64);

impl HashedCommit {
    const BATCH_BITS: u32 = 16;
    /// Stands for all batches from this one on.
    const LAST_BATCH: usize = (1 << Self::BATCH_BITS) - 1;

    fn new(sha: &str, batch: usize) -> Self {
        HashedCommit(sha_hash(sha) << Self::BATCH_BITS | batch.min(Self::LAST_BATCH) as u64)
    }

    fn hash(self) -> u64 {
        self.0 >> Self::BATCH_BITS
    }

    /// Returns the index of the batch, at most [`HashedCommit::LAST_BATCH`].
    fn batch(self) -> usize {
        self.0 as usize & Self::LAST_BATCH
    }
}

/// Returns a hash of a commit's SHA, of 48 bits. Different SHAs may have the same hash.
fn sha_hash(sha: &str) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(sha.as_bytes());
    hasher.finish() >> HashedCommit::BATCH_BITS
}

/// Returns the rows of commits that count, with their SHAs.
///
/// # Errors
/// If a column is missing or has the wrong type.
fn commit_rows<'a>(
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

/// Finds the commits that several rows have, and the rows of the requested SHAs.
///
/// Hashes find the batches with SHAs that may occur twice. In most months there are none, and no SHA is compared. Takes
/// 8 bytes a commit, and for each commit that may occur twice its SHA.
pub(crate) fn shared_commits<R: MonthRows + ?Sized>(
    reader: &BatchReader<'_, R>,
    identity: &Identity,
    requested: &BTreeSet<&str>,
) -> Result<SharedCommits, FoldRowsError<R::Error>> {
    let mut looked_for: FxHashSet<u64> = requested.iter().map(|sha| sha_hash(sha)).collect();
    let mut batches = BTreeSet::new();
    let mut commits: Vec<HashedCommit> = Vec::new();
    reader.for_each(COMMIT_COLUMNS, |index, batch| {
        for (_, sha) in commit_rows(batch, identity)? {
            let commit = HashedCommit::new(sha, index);
            if looked_for.contains(&commit.hash()) {
                batches.insert(commit.batch());
            }
            commits.push(commit);
        }
        Ok(())
    })?;
    commits.sort_unstable();
    for same in commits.chunk_by(|a, b| a.hash() == b.hash()).filter(|same| same.len() > 1) {
        looked_for.insert(same[0].hash());
        batches.extend(same.iter().map(|commit| commit.batch()));
    }
    drop(commits);
    let mut found = SharedCommits::default();
    let mut rows_by_sha: FxHashMap<Box<str>, Vec<CommitRow>> = FxHashMap::default();
    let has_commits = |index: &usize| batches.contains(&(*index).min(HashedCommit::LAST_BATCH));
    let indexes: Vec<usize> = (0..reader.batch_count()).filter(has_commits).collect();
    reader.for_each_of(&indexes, COUNTED_COLUMNS, |batch_index, batch| {
        let repo_ids: &Int64Array = column(batch, "repo_id")?;
        let additions: &Int64Array = column(batch, "additions")?;
        for (row, sha) in commit_rows(batch, identity)?.filter(|(_, sha)| looked_for.contains(&sha_hash(sha)))
        {
            if requested.contains(sha) {
                found.requested.entry(batch_index).or_default().push(row);
            }
            let (lacks_lines, repo_id) = (additions.is_null(row), repo_ids.value(row));
            let commit_row = CommitRow { lacks_lines, repo_id, position: (batch_index, row) };
            match rows_by_sha.get_mut(sha) {
                Some(rows) => rows.push(commit_row),
                None => _ = rows_by_sha.insert(sha.into(), vec![commit_row]),
            }
        }
        Ok(())
    })?;
    for rows in rows_by_sha.values() {
        let counted = rows.iter().min();
        found.repeats.extend(rows.iter().filter(|row| Some(*row) != counted).map(|row| row.position));
    }
    Ok(found)
}

/// A row of a commit. The least of a SHA counts for the organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct CommitRow {
    lacks_lines: bool,
    repo_id: i64,
    position: RowPosition,
}
