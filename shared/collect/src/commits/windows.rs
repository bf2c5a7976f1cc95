//! Cutting a long history into windows of committer dates, to be read side by side.
//!
//! `git log --since`, which GitHub's `history(since:)` follows, stops at a commit that is older, though
//! ancestors of it may be newer where somebody's clock was wrong. A window that begins later stops
//! earlier, so windows may hold less than the whole. Each window's commits are among those of the whole
//! and the windows do not overlap: where their counts add up to that of the whole, nothing is missing.
//! Where they do not, the history is not cut.

use std::cmp::Reverse;

use chrono::{DateTime, TimeDelta, Utc};
use gam_github::{Client, CommitPage, Error, RepoRef};

use crate::checkpoint::CommitWindow;

/// A history with more commits than this is cut: every window ends with a page that is not full.
const LONG: i64 = 1000;
/// A window with more commits than this is cut further.
const MOST: i64 = 500;
/// Into how many parts of equal length a span is cut to be counted.
const PARTS: i64 = 24;

/// A span of committer dates, both ends included, and how many commits it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counted {
    since: DateTime<Utc>,
    until: DateTime<Utc>,
    commits: i64,
}

/// What is left of a window after its first page, where that is worth cutting and can be cut.
pub(super) fn rest(window: &CommitWindow, first: &CommitPage) -> Option<Counted> {
    let (since, until) = (window.since?, first.entries.last()?.committed_date);
    // Those of that very second may go on beyond the page.
    let read = first.entries.iter().filter(|commit| commit.committed_date > until).count() as i64;
    let commits = first.counts?.listed - read;
    (commits > LONG && since < until).then_some(Counted { since, until, commits })
}

/// Cuts what is left of a history into windows of at most about [`MOST`] commits, the longest first;
/// nothing where it cannot be cut without losing some, or GitHub has no time to count them.
pub(super) async fn cut(
    github: &Client,
    repo: &RepoRef,
    tip: &str,
    whole: Counted,
) -> Result<Option<Vec<CommitWindow>>, Error> {
    let (mut windows, mut open) = (Vec::new(), vec![whole]);
    while let Some(span) = open.pop() {
        let parts = parts(&span);
        if span.commits <= MOST || parts.len() < 2 {
            windows.push(span);
            continue;
        }
        let counts = match github.count_commits_by_span(repo, tip, &parts).await {
            Ok(counts) => counts,
            Err(Error::Unavailable { what, why }) => {
                tracing::debug!(repo = repo.name, what, why, "reading the history page after page");
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        if counts.iter().sum::<i64>() != span.commits {
            tracing::debug!(
                repo = repo.name,
                "commits with wrong dates: reading the history page after page"
            );
            return Ok(None);
        }
        let counted = parts.iter().zip(counts);
        open.extend(joined(counted.map(|(&(since, until), commits)| Counted { since, until, commits })));
    }
    windows.sort_by_key(|window| Reverse(window.commits));
    let window = |counted: Counted| CommitWindow {
        since: Some(counted.since),
        until: Some(counted.until),
        cursor: None,
    };
    Ok(Some(windows.into_iter().map(window).collect()))
}

/// Parts of equal length, to the second, that do not overlap and leave nothing out.
fn parts(span: &Counted) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
    let second = TimeDelta::seconds(1);
    let length = ((span.until - span.since).num_seconds() / PARTS + 1).max(1);
    let begins = (0..PARTS).map(|part| span.since + TimeDelta::seconds(part * length));
    let part = |since: DateTime<Utc>| (since, (since + TimeDelta::seconds(length) - second).min(span.until));
    begins.take_while(|since| *since <= span.until).map(part).collect()
}

/// Neighbours put together as long as they are not too many, and those without a commit left out.
fn joined(parts: impl Iterator<Item = Counted>) -> Vec<Counted> {
    let mut joined: Vec<Counted> = Vec::new();
    for part in parts.filter(|part| part.commits > 0) {
        match joined.last_mut() {
            Some(last) if last.commits + part.commits <= MOST => {
                *last = Counted { until: part.until, commits: last.commits + part.commits, ..*last };
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
            let span = Counted { since: at(since), until: at(since + length), commits: 0 };
            let parts = parts(&span);
            prop_assert!(parts.len() <= PARTS as usize);
            prop_assert_eq!(parts[0].0, span.since);
            prop_assert_eq!(parts[parts.len() - 1].1, span.until);
            prop_assert!(parts.iter().all(|(since, until)| since <= until));
            prop_assert!(parts.windows(2).all(|pair| pair[0].1 + TimeDelta::seconds(1) == pair[1].0));
        }

        #[test]
        fn joining_keeps_every_commit(counts in proptest::collection::vec(0_i64..1500, 0..24)) {
            let parts: Vec<Counted> = counts
                .iter()
                .zip(0..)
                .map(|(&commits, i)| Counted { since: at(i * 10), until: at(i * 10 + 9), commits })
                .collect();
            let joined = joined(parts.iter().copied());
            let all: i64 = joined.iter().map(|window| window.commits).sum();
            prop_assert_eq!(all, counts.iter().sum::<i64>());
            let held = |part: &&Counted| {
                joined.iter().filter(|it| it.since <= part.since && part.until <= it.until).count() == 1
            };
            prop_assert!(parts.iter().filter(|part| part.commits > 0).all(|part| held(&part)));
            prop_assert!(joined.windows(2).all(|pair| pair[0].commits + pair[1].commits > MOST));
        }
    }
}
