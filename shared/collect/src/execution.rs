//! Runs read tasks in parallel, with the writer next to them.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt;
use gam_github::{Client, Error};
use tokio::sync::mpsc::Sender;
use tokio::time::Instant;

use crate::context::ReadError;
use crate::cost::Costs;
use crate::gaps::REPOSITORY;
use crate::task::ReadTask;
use crate::writer::{PageRead, Writer};
use crate::{CollectError, CollectObserver, CollectProgress, Limited, RepoFailure};

/// How much time one list of one repository may lose to failures in a run.
const MAX_FAILURE_TIME: Duration = Duration::from_secs(45);

/// What became of the read tasks.
#[derive(Default)]
pub(crate) struct TaskResults {
    /// Repositories that failed, by id.
    pub(crate) failed: BTreeMap<i64, RepoFailure>,
    /// Ids of repositories that the limits stopped.
    pub(crate) stopped: BTreeSet<i64>,
    /// The limit that lasts longest of those that stopped a repository.
    pub(crate) limited: Option<Limited>,
    /// Repositories that GitHub blocks, with the reason, by id.
    pub(crate) blocked: BTreeMap<i64, String>,
    pub(crate) costs: Costs,
}

impl TaskResults {
    /// Returns the ids of repositories that have more to read. A blocked repository has not: it must not keep
    /// the organization incomplete for ever. Its checkpoint stays, so it is read from there when it is back.
    pub(crate) fn unfinished(&self) -> BTreeSet<i64> {
        self.failed.keys().chain(&self.stopped).copied().collect()
    }

    fn is_unfinished(&self, repo_id: i64) -> bool {
        self.failed.contains_key(&repo_id) || self.stopped.contains(&repo_id)
    }

    pub(crate) fn fail(&mut self, repo_id: i64, failure: RepoFailure) {
        match self.failed.entry(repo_id) {
            Entry::Vacant(entry) => {
                entry.insert(failure);
            }
            Entry::Occupied(mut entry) => entry.get_mut().add(failure),
        }
    }

    /// Records that the limits stopped a repository.
    pub(crate) fn stop(&mut self, repo_id: i64, limited: Limited) {
        if self.limited.as_ref().is_none_or(|longest| longest.until < limited.until) {
            self.limited = Some(limited);
        }
        self.stopped.insert(repo_id);
    }
}

/// Runs the tasks in parallel, and writes the pages that they read.
///
/// # Errors
/// If the lake or the store fails, or GitHub rejects the token.
pub(crate) async fn run_tasks(
    github: &Client,
    tasks: Vec<ReadTask>,
    writer: &mut Writer<'_>,
    parallelism: usize,
    observer: &dyn CollectObserver,
) -> Result<TaskResults, CollectError> {
    let (pages, received) = tokio::sync::mpsc::channel(parallelism * 2);
    let reading = read_all(github, tasks, pages, parallelism, observer);
    let (results, written) = tokio::join!(reading, writer.run(received, observer));
    // If both failed, the reason is the writer's.
    written?;
    Ok(results?)
}

async fn read_all(
    github: &Client,
    tasks: Vec<ReadTask>,
    pages: Sender<PageRead>,
    parallelism: usize,
    observer: &dyn CollectObserver,
) -> Result<TaskResults, Error> {
    let mut tasks_left: BTreeMap<i64, usize> = BTreeMap::new();
    for task in &tasks {
        *tasks_left.entry(task.repo().id).or_default() += 1;
    }
    let mut results = TaskResults::default();
    let mut outage = OutageDetector::default();
    let mut finished = futures::stream::iter(tasks)
        .map(|task| {
            let pages = pages.clone();
            async move {
                let (repo, list, begun) = (task.repo().clone(), task.list(), Instant::now());
                let github = github.with_failure_limit(MAX_FAILURE_TIME).metered();
                let result = task.run(&github, &pages).await;
                (repo, list, result, github.usage(), begun)
            }
        })
        .buffer_unordered(parallelism * 2);
    while let Some((repo, list, result, usage, begun)) = finished.next().await {
        results.costs.add(repo.id, &repo.name, usage, begun);
        match result {
            Ok(()) => {}
            Err(ReadError::WriterGone) => break,
            Err(ReadError::GitHub(Error::Limited { until, why })) => {
                results.stop(repo.id, Limited { until, why });
            }
            Err(ReadError::GitHub(Error::Blocked(why))) => {
                results.blocked.insert(repo.id, why);
            }
            Err(ReadError::GitHub(error @ Error::Unauthorized(_))) => return Err(error),
            Err(ReadError::GitHub(error)) => {
                let failure = RepoFailure::of_list(list, &error);
                results.fail(repo.id, failure);
                if outage.detects(&error, github.successful_responses()) {
                    // Each of the other tasks would wait as long, only to fail alike.
                    for repo_id in tasks_left.keys().filter(|repo_id| **repo_id != repo.id) {
                        results.fail(*repo_id, RepoFailure::of_list(REPOSITORY, &error));
                    }
                    break;
                }
            }
        }
        let left = tasks_left.entry(repo.id).or_default();
        *left = left.saturating_sub(1);
        if *left == 0 {
            tasks_left.remove(&repo.id);
            if !results.is_unfinished(repo.id) {
                observer.notice(CollectProgress::RepoDone { repo: repo.name });
            }
        }
    }
    Ok(results)
}

/// Detects that GitHub, or the network, is down: several tasks in a row failed because GitHub did not answer,
/// and no other request was answered in between.
#[derive(Default)]
struct OutageDetector {
    failures_in_a_row: u32,
    /// Number of answers that had come when the last task failed.
    answers: u64,
}

impl OutageDetector {
    const MIN_FAILURES: u32 = 5;

    /// Takes the error of a failed task, and the number of answers that have come so far. Returns whether
    /// other tasks are bound to fail too.
    fn detects(&mut self, error: &Error, answers: u64) -> bool {
        if !error.is_transient() {
            return false;
        }
        let before = if self.answers == answers { self.failures_in_a_row } else { 0 };
        *self = OutageDetector { failures_in_a_row: before + 1, answers };
        self.failures_in_a_row >= Self::MIN_FAILURES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_without_an_answer_in_between_are_an_outage() {
        let unavailable = Error::Unavailable { what: "commits".into(), why: "status 503".into() };
        let mut outage = OutageDetector::default();
        assert!((0..4).all(|_| !outage.detects(&unavailable, 7)));
        assert!(!outage.detects(&Error::NotFound("gone".into()), 7));
        assert!(!outage.detects(&unavailable, 8), "an answer came");
        assert!((0..3).all(|_| !outage.detects(&unavailable, 8)));
        assert!(outage.detects(&unavailable, 8));
    }

    #[test]
    fn a_blocked_repository_has_nothing_left_to_read() {
        let failure = RepoFailure::transient("GitHub does not answer".into());
        let results = TaskResults {
            failed: BTreeMap::from([(1, failure)]),
            stopped: BTreeSet::from([2, 4]),
            blocked: BTreeMap::from([(3, "for a claim".into()), (4, "for a claim".into())]),
            ..TaskResults::default()
        };
        assert_eq!(results.unfinished(), BTreeSet::from([1, 2, 4]));
    }
}
