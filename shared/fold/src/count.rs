//! What one event adds to the totals of the member it is credited to.

use gam_model::metric::{Counter, DurationMetric};
use gam_model::{EventKind, MemberKind};
use gam_rollup::Totals;

use crate::columns::{EventColumns, nullable};
use crate::members::Members;

/// Returns whether a commit has more than one parent.
pub(crate) fn is_merge_commit(columns: &EventColumns<'_>, row: usize) -> bool {
    nullable(columns.parents, row).unwrap_or(0) > 1
}

/// Adds the counters and durations of the event in the row. `author` is the index of the key of the member it
/// is credited to.
pub(crate) fn count_event(
    totals: &mut Totals,
    kind: EventKind,
    columns: &EventColumns<'_>,
    row: usize,
    author: u32,
    members: &mut Members<'_>,
) {
    match kind {
        EventKind::Commit if is_merge_commit(columns, row) => totals.add(Counter::MergeCommits, 1),
        EventKind::Commit => {
            let non_negative = |array| nullable(array, row).map_or(0, |value: i64| value.max(0) as u64);
            totals.add(Counter::Commits, 1);
            totals.add(Counter::Additions, non_negative(columns.additions));
            totals.add(Counter::Deletions, non_negative(columns.deletions));
            totals.add(Counter::FilesChanged, non_negative(columns.files_changed));
        }
        EventKind::PrOpened => totals.add(Counter::PrsOpened, 1),
        EventKind::PrMerged => {
            totals.add(Counter::PrsMerged, 1);
            add_merge_durations(totals, columns, row, author, members);
        }
        EventKind::PrClosed => totals.add(Counter::PrsClosed, 1),
        EventKind::Review => totals.add(Counter::Reviews, 1),
        EventKind::IssueOpened => totals.add(Counter::IssuesOpened, 1),
        EventKind::IssueClosed => totals.add(Counter::IssuesClosed, 1),
        EventKind::Release => totals.add(Counter::Releases, 1),
        EventKind::DeploymentSuccess => totals.add(Counter::Deploys, 1),
        EventKind::DeploymentFailure => totals.add(Counter::DeployFailures, 1),
    }
}

/// Adds the durations of a merged pull request: from creation to merge, and from creation to the first review
/// by another person, not after the merge.
fn add_merge_durations(
    totals: &mut Totals,
    columns: &EventColumns<'_>,
    row: usize,
    author: u32,
    members: &mut Members<'_>,
) {
    let Some(created_at) = nullable(columns.created_at, row) else { return };
    let merged_at = columns.occurred_at.value(row);
    let seconds_until = |at: i64| ((at - created_at) / 1000).max(0) as u64;
    totals.add_duration(DurationMetric::CycleTime, seconds_until(merged_at));
    let first_review_at = columns
        .first_reviews
        .reviews(row)
        .filter(|review| {
            let reviewer = members.member(review.reviewer);
            let kind = MemberKind::parse(review.reviewer_kind).unwrap_or(MemberKind::User);
            review.submitted_at <= merged_at
                && reviewer.kind(kind) != MemberKind::Bot
                && reviewer.key != author
        })
        .map(|review| review.submitted_at)
        .min();
    if let Some(first_review_at) = first_review_at {
        totals.add_duration(DurationMetric::FirstReview, seconds_until(first_review_at));
    }
}
