//! Cuts a long history into windows of committer dates, to be read in parallel.
//!
//! GitHub's `history(since:)` works like `git log --since`: it stops at the first commit that is older, even
//! if ancestors of that commit are newer because somebody's clock was wrong. A window that begins later stops
//! earlier, so the windows together may hold fewer commits than the history.
//!
//! Each window's commits are part of the history, and windows do not overlap. So if the counts of the
//! windows add up to the count of the history, no commit is missing. If they do not, the history is not cut.

use std::cmp::Reverse;

use chrono::{DateTime, TimeDelta, Utc};
use gam_github::{Client, CommitPage, Error, RepoRef};

use crate::checkpoint::HistoryWindow;
use crate::context::SECOND;

/// A history with more commits than this is cut. A shorter one is not worth it: the last page of each window
/// is not full.
const MIN_COMMITS_TO_CUT: i64 = 1000;
/// A window with more commits than this is cut further.
const MAX_WINDOW_COMMITS: i64 = 500;
/// Into how many parts of equal length a span is cut to be counted.
const PARTS_PER_CUT: i64 = 24;

/// A span of committer dates, both ends included, with its number of commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CountedSpan {
    since: DateTime<Utc>,
    until: DateTime<Utc>,
    commits: i64,
}

/// Returns what is left of a window after its first page; `None` if that is not worth cutting or cannot be
/// cut.
pub(super) fn rest_worth_cutting(window: &HistoryWindow, first: &CommitPage) -> Option<CountedSpan> {
    let (since, until) = (window.since?, first.entries.last()?.committed_date);
    // More commits of the last second may be on the next page.
    let read = first.entries.iter().filter(|commit| commit.committed_date > until).count() as i64;
    let commits = first.counts?.listed - read;
    (commits > MIN_COMMITS_TO_CUT && since < until).then_some(CountedSpan { since, until, commits })
}

/// Cuts what is left of a history into windows of about [`MAX_WINDOW_COMMITS`] commits at most, the longest
/// first. Returns `None` if windows would miss commits, or GitHub has no time to count them.
///
/// # Errors
/// If GitHub refuses or fails.
pub(super) async fn cut(
    github: &Client,
    repo: &RepoRef,
    tip: &str,
    rest: CountedSpan,
) -> Result<Option<Vec<HistoryWindow>>, Error> {
    let (mut windows, mut open) = (Vec::new(), vec![rest]);
    while let Some(span) = open.pop() {
        let parts = cut_evenly(&span);
        if span.commits <= MAX_WINDOW_COMMITS || parts.len() < 2 {
            windows.push(span);
            continue;
        }
        let counts = match github.count_commits_by_span(repo, tip, &parts).await {
            Ok(counts) => counts,
            Err(error) if error.is_transient() => {
                tracing::debug!(repo = repo.name, why = %error, "reading the history page by page");
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        if counts.iter().sum::<i64>() != span.commits {
            tracing::debug!(repo = repo.name, "commits have wrong dates: reading the history page by page");
            return Ok(None);
        }
        let counted = parts.iter().zip(counts);
        open.extend(join_small(counted.map(|(&(since, until), commits)| CountedSpan {
            since,
            until,
            commits,
        })));
    }
    windows.sort_by_key(|window| Reverse(window.commits));
    let window = |counted: CountedSpan| HistoryWindow {
        since: Some(counted.since),
        until: Some(counted.until),
        cursor: None,
    };
    Ok(Some(windows.into_iter().map(window).collect()))
}

/// Cuts a span into parts of equal length, in full seconds. They do not overlap and leave no gap.
fn cut_evenly(span: &CountedSpan) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
    let length = ((span.until - span.since).num_seconds() / PARTS_PER_CUT + 1).max(1);
    let starts = (0..PARTS_PER_CUT).map(|part| span.since + TimeDelta::seconds(part * length));
    let part = |since: DateTime<Utc>| (since, (since + TimeDelta::seconds(length) - SECOND).min(span.until));
    starts.take_while(|since| *since <= span.until).map(part).collect()
}

/// Joins neighbours as long as they have few enough commits, and drops parts without commits.
fn join_small(parts: impl Iterator<Item = CountedSpan>) -> Vec<CountedSpan> {
    let mut joined: Vec<CountedSpan> = Vec::new();
    for part in parts.filter(|part| part.commits > 0) {
        match joined.last_mut() {
            Some(last) if last.commits + part.commits <= MAX_WINDOW_COMMITS => {
                *last = CountedSpan { until: part.until, commits: last.commits + part.commits, ..*last };
            }
            _ => joined.push(part),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(second)
    }

    proptest! {
        #[test]
        fn parts_cover_every_second_once(since in 0_i64..10_000, length in 0_i64..2_000_000) {
            let span = CountedSpan { since: at(since), until: at(since + length), commits: 0 };
            let parts = cut_evenly(&span);
            prop_assert!(parts.len() <= PARTS_PER_CUT as usize);
            prop_assert_eq!(parts[0].0, span.since);
            prop_assert_eq!(parts[parts.len() - 1].1, span.until);
            prop_assert!(parts.iter().all(|(since, until)| since <= until));
            prop_assert!(parts.windows(2).all(|pair| pair[0].1 + TimeDelta::seconds(1) == pair[1].0));
        }

        #[test]
        fn joining_keeps_every_commit(counts in proptest::collection::vec(0_i64..1500, 0..24)) {
            let parts: Vec<CountedSpan> = counts
                .iter()
                .zip(0..)
                .map(|(&commits, i)| CountedSpan { since: at(i * 10), until: at(i * 10 + 9), commits })
                .collect();
            let joined = join_small(parts.iter().copied());
            let commits: i64 = joined.iter().map(|window| window.commits).sum();
            prop_assert_eq!(commits, counts.iter().sum::<i64>());
            let is_in_one_window = |part: &CountedSpan| {
                joined.iter().filter(|it| it.since <= part.since && part.until <= it.until).count() == 1
            };
            prop_assert!(parts.iter().filter(|part| part.commits > 0).all(is_in_one_window));
            prop_assert!(joined.windows(2).all(|pair| pair[0].commits + pair[1].commits > MAX_WINDOW_COMMITS));
        }
    }
}
