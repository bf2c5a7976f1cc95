//! Compares pull requests and issues: the states that GitHub shows with those in the lake.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use gam_github::{PageSize, ThreadKind, ThreadState};
use gam_model::Event;

use super::RepoComparison;
use super::snapshots::{StoredThread, first_letter};
use crate::CollectError;

impl RepoComparison<'_> {
    /// Compares the threads of a list that changed since it was first read, and plans the repair of the
    /// differences. `totals` are GitHub's numbers of open, closed and merged threads: of all pull requests, and
    /// of issues that changed since then.
    pub(super) async fn compare_threads(
        &mut self,
        kind: ThreadKind,
        covered_from: Option<DateTime<Utc>>,
        totals: &[i64],
    ) -> Result<(), CollectError> {
        match covered_from {
            Some(covered_from) if self.must_list(kind, totals) => self.list_threads(kind, covered_from).await,
            _ => Ok(()),
        }
    }

    /// Returns whether a list must be compared entry by entry.
    fn must_list(&self, kind: ThreadKind, totals: &[i64]) -> bool {
        let stored = &self.stored.threads(kind).live;
        let total: i64 = totals.iter().sum();
        if total == 0 && stored.is_empty() {
            return false;
        }
        let count = |state: u8| stored.values().filter(|thread| thread.state == state).count() as i64;
        let agrees = [b'o', b'c', b'm'].iter().zip(totals).all(|(state, total)| count(*state) == *total);
        let is_complete = agrees && stored.len() as i64 == total;
        if stored.values().any(StoredThread::is_damaged) {
            return true;
        }
        match kind {
            ThreadKind::Issues => !is_complete,
            // GitHub cannot count the pull requests since a time. If nearly all are stored, all should be.
            ThreadKind::PullRequests => {
                self.is_listed || (!is_complete && stored.len() as i64 * 10 >= total * 9)
            }
        }
    }

    /// Compares the threads of a list that changed since it was first read, one by one.
    pub(super) async fn list_threads(
        &mut self,
        kind: ThreadKind,
        covered_from: DateTime<Utc>,
    ) -> Result<(), CollectError> {
        let (current, covered_from) = self.states_since(kind, covered_from).await?;
        let stored = &self.stored.threads(kind).live;
        let differs = |state: &&ThreadState| {
            stored.get(&state.number).is_none_or(|thread| {
                thread.changed_at < state.updated_at.timestamp()
                    || thread.state != first_letter(&state.state)
                    || thread.is_damaged()
                    || state.review_count().is_some_and(|count| count != i64::from(thread.reviews))
            })
        };
        let changed: Vec<&ThreadState> = current.values().filter(differs).collect();
        let events = self.read_again(kind, &changed).await?;
        let gone = self.gone_threads(kind, covered_from, &current).await?;
        let gone_before = &self.stored.threads(kind).retracted;
        for event in events {
            let was_gone = event.facts.number.is_some_and(|number| gone_before.contains(&number));
            self.pending.add_thread_event(kind, event, was_gone);
        }
        self.pending.add_gone(self.repo.id, kind, gone);
        Ok(())
    }

    /// Returns the states of threads that changed since a moment, by number, and since when all of them are
    /// included: later, if the list is too long.
    async fn states_since(
        &self,
        kind: ThreadKind,
        since: DateTime<Utc>,
    ) -> Result<(BTreeMap<i64, ThreadState>, DateTime<Utc>), CollectError> {
        let (mut states, mut cursor, mut size) = (BTreeMap::new(), None::<String>, PageSize::new(100));
        loop {
            let page = self.github.thread_states(&self.repo, kind, cursor.as_deref(), &mut size).await?;
            let last = page.entries.last().map(|state| state.updated_at);
            let is_done = page.entries.iter().any(|state| state.updated_at < since);
            let recent = page.entries.into_iter().filter(|state| state.updated_at >= since);
            states.extend(recent.map(|state| (state.number, state)));
            cursor = page.next.filter(|_| !is_done);
            if cursor.is_none() {
                return Ok((states, since));
            }
            if states.len() >= self.max_entries {
                return Ok((states, last.unwrap_or(since)));
            }
        }
    }

    /// Returns the numbers of stored threads that no longer exist. Reading the list may miss threads that
    /// change meanwhile, so missing threads are looked up.
    async fn gone_threads(
        &self,
        kind: ThreadKind,
        covered_from: DateTime<Utc>,
        current: &BTreeMap<i64, ThreadState>,
    ) -> Result<BTreeSet<i64>, CollectError> {
        let covered_from = covered_from.timestamp();
        let stored = self.stored.threads(kind).live.iter();
        let mut missing: Vec<i64> = stored
            .filter(|(_, thread)| thread.changed_at >= covered_from || thread.changed_at == 0)
            .filter(|(number, _)| !current.contains_key(*number))
            .map(|(number, _)| *number)
            .collect();
        missing.sort_unstable();
        let existing = self.github.existing_threads(&self.repo, kind, &missing).await?;
        Ok(missing.into_iter().filter(|number| !existing.contains(number)).collect())
    }

    /// Returns the events of threads as GitHub shows them now.
    async fn read_again(
        &self,
        kind: ThreadKind,
        changed: &[&ThreadState],
    ) -> Result<Vec<Event>, CollectError> {
        let ids: Vec<String> = changed.iter().map(|state| state.id.clone()).collect();
        Ok(match kind {
            ThreadKind::PullRequests => {
                let pulls = self.github.pull_requests_by_id(&self.repo, &ids).await?;
                pulls.iter().flat_map(|pull| self.event_builder.pull_request(pull)).collect()
            }
            ThreadKind::Issues => {
                let issues = self.github.issues_by_id(&self.repo, &ids).await?;
                issues.iter().flat_map(|issue| self.event_builder.issue(issue)).collect()
            }
        })
    }
}
