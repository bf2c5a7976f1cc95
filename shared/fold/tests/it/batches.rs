//! The rows of a month in any number of batches.

use arrow_array::RecordBatch;
use gam_fold::{FoldRowsError, MonthRows, fold, fold_changes, fold_rows};
use gam_model::Identity;

use crate::support::{commit, hour, january, rows};

/// Rows of which one batch cannot be read.
struct Unreadable {
    batches: Vec<RecordBatch>,
    index: usize,
}

impl MonthRows for Unreadable {
    type Error = usize;

    fn batch_count(&self) -> usize {
        self.batches.len()
    }

    fn row_count(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    fn batch(&self, index: usize, columns: &[&str]) -> Result<RecordBatch, usize> {
        assert!(!columns.is_empty());
        if index == self.index { Err(index) } else { Ok(self.batches[index].clone()) }
    }
}

/// Commits of two repositories, half of which lie in both.
fn shared_commits() -> RecordBatch {
    let commits = |repo: i64, shas: std::ops::Range<i64>| {
        shas.map(move |number| commit(repo, &format!("{number:040x}"), "ann", hour(number)))
    };
    rows(&commits(1, 0..40).chain(commits(2, 20..60)).collect::<Vec<_>>()).remove(0)
}

fn slices(batch: &RecordBatch, rows: usize) -> Vec<RecordBatch> {
    let starts = (0..batch.num_rows()).step_by(rows);
    starts.map(|start| batch.slice(start, rows.min(batch.num_rows() - start))).collect()
}

#[test]
fn the_number_of_batches_changes_no_item() {
    let batch = shared_commits();
    let identity = Identity::default();
    let expected = fold(january(), std::slice::from_ref(&batch), &identity).unwrap();
    for size in [1, 7, 64] {
        let fold = fold_rows(january(), &slices(&batch, size)[..], &identity).unwrap();
        assert_eq!(fold.events(), 80);
        assert_eq!(fold.items(), expected.items(), "{size} rows a batch");
    }
}

#[test]
fn an_unreadable_batch_fails_the_fold() {
    let batches = slices(&shared_commits(), 10);
    let identity = Identity::default();
    for index in 0..batches.len() {
        let rows = Unreadable { batches: batches.clone(), index };
        assert_eq!(fold_rows(january(), &rows, &identity).err(), Some(FoldRowsError::Rows(index)));
        let changed = commit(1, &"a".repeat(40), "ann", hour(1));
        let items = fold_changes(january(), &rows, [&changed], None, &identity);
        assert_eq!(items, Err(FoldRowsError::Rows(index)));
    }
}
