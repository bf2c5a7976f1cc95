//! Compares pull requests and issues: the states that GitHub shows with those in the snapshots.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use gam_github::{PageSize, ThreadKind, ThreadState};
use gam_model::{Event, EventId, EventKind};

use super::RepoComparison;
use super::snapshots::for_each_event;
use crate::CollectError;

/// The first letter of a state, as the snapshots have it.
fn state_letter(state: &str) -> u8 {
    state.bytes().next().map_or(b'?', |first| first.to_ascii_lowercase())
}

/// Returns whether threads of the list have events of the kind.
fn has_kind(list: ThreadKind, kind: EventKind) -> bool {
    use EventKind::{IssueClosed, IssueOpened, PrClosed, PrMerged, PrOpened, Review};
    match list {
        ThreadKind::PullRequests => matches!(kind, PrOpened | PrMerged | PrClosed | Review),
        ThreadKind::Issues => matches!(kind, IssueOpened | IssueClosed),
    }
}

impl RepoComparison<'_> {
    /// Compares the threads of a list that changed since it was first read, and repairs the differences.
    /// `totals` are GitHub's numbers of open, closed and merged threads.
    pub(super) async fn compare_threads(
        &mut self,
        list: ThreadKind,
        covered_from: Option<DateTime<Utc>>,
        totals: &[i64],
    ) -> Result<(), CollectError> {
        let Some(covered_from) = covered_from else { return Ok(()) };
        if self.counts_agree(list, totals) {
            return Ok(());
        }
        let current = self.states_since(list, covered_from).await?;
        let stored = &self.stored.threads(list).live;
        let differs = |state: &&ThreadState| {
            stored.get(&state.number).is_none_or(|thread| {
                thread.changed_at < state.updated_at.timestamp() || thread.state != state_letter(&state.state)
            })
        };
        let changed: Vec<&ThreadState> = current.values().filter(differs).collect();
        let gone = self.gone_threads(list, covered_from, &current).await?;
        let mut events = self.read_again(list, &changed).await?;
        // GitHub may fail to return some of them.
        let returned: BTreeSet<i64> = events.iter().filter_map(|event| event.facts.number).collect();
        let entries = changed.iter().filter(|state| returned.contains(&state.number)).count() + gone.len();
        events.extend(self.retract_threads(list, &gone).await?);
        self.repair(
            if list == ThreadKind::PullRequests { "pull_requests" } else { "issues" },
            entries,
            events,
        )
        .await
    }

    /// Returns whether the snapshots have as many threads of each state as GitHub. Counts suffice only if
    /// every thread of the list was read.
    fn counts_agree(&self, list: ThreadKind, totals: &[i64]) -> bool {
        let stored = &self.stored.threads(list).live;
        let count = |state: u8| stored.values().filter(|thread| thread.state == state).count() as i64;
        [b'o', b'c', b'm'].iter().zip(totals).all(|(state, total)| count(*state) == *total)
            && stored.len() as i64 == totals.iter().sum::<i64>()
    }

    /// Returns the states of threads that changed since a moment, by number.
    async fn states_since(
        &self,
        list: ThreadKind,
        since: DateTime<Utc>,
    ) -> Result<BTreeMap<i64, ThreadState>, CollectError> {
        let (mut states, mut cursor, mut size) = (BTreeMap::new(), None::<String>, PageSize::new(100));
        loop {
            let page = self.github.thread_states(&self.repo, list, cursor.as_deref(), &mut size).await?;
            let is_done = page.entries.iter().any(|state| state.updated_at < since);
            let recent = page.entries.into_iter().filter(|state| state.updated_at >= since);
            states.extend(recent.map(|state| (state.number, state)));
            cursor = page.next.filter(|_| !is_done);
            if cursor.is_none() {
                return Ok(states);
            }
        }
    }

    /// Returns the numbers of stored threads that no longer exist. Reading the list may miss threads that
    /// change meanwhile, so each missing thread is requested by itself.
    async fn gone_threads(
        &self,
        list: ThreadKind,
        covered_from: DateTime<Utc>,
        current: &BTreeMap<i64, ThreadState>,
    ) -> Result<BTreeSet<i64>, CollectError> {
        let covered_from = covered_from.timestamp();
        let stored = self.stored.threads(list).live.iter();
        let missing: BTreeSet<i64> = stored
            .filter(|(number, thread)| thread.changed_at >= covered_from && !current.contains_key(*number))
            .map(|(number, _)| *number)
            .collect();
        let mut gone = BTreeSet::new();
        for number in missing {
            if !self.github.has_thread(&self.repo, list, number).await? {
                gone.insert(number);
            }
        }
        Ok(gone)
    }

    /// Returns the events of changed threads as GitHub shows them now.
    ///
    /// If a thread was gone and is back, GitHub does not show it as changed. So its events get a greater
    /// version than their retractions. Other threads keep their versions: a retracted closing of theirs was
    /// undone, and a server that lags behind must not bring it back.
    async fn read_again(
        &self,
        list: ThreadKind,
        changed: &[&ThreadState],
    ) -> Result<Vec<Event>, CollectError> {
        let ids: Vec<String> = changed.iter().map(|state| state.id.clone()).collect();
        let mut events: Vec<Event> = match list {
            ThreadKind::PullRequests => {
                let pulls = self.github.pull_requests_by_id(&self.repo, &ids).await?;
                pulls.iter().flat_map(|pull| self.event_builder.pull_request(pull)).collect()
            }
            ThreadKind::Issues => {
                let issues = self.github.issues_by_id(&self.repo, &ids).await?;
                issues.iter().flat_map(|issue| self.event_builder.issue(issue)).collect()
            }
        };
        let gone_before = &self.stored.threads(list).retracted;
        let numbers = changed.iter().map(|state| state.number);
        let back: BTreeSet<i64> = numbers.filter(|number| gone_before.contains(number)).collect();
        let retractions = self.stored_events(list, &back, true).await?.into_iter();
        let retractions: HashMap<EventId, i64> = retractions.map(|row| (row.id, row.version)).collect();
        for event in events.iter_mut().filter(|event| !event.retracted) {
            if let Some(version) = retractions.get(&event.id) {
                event.version = event.version.max(version + 1);
            }
        }
        Ok(events)
    }

    /// Returns retractions of all events of threads that are gone.
    async fn retract_threads(
        &self,
        list: ThreadKind,
        gone: &BTreeSet<i64>,
    ) -> Result<Vec<Event>, CollectError> {
        let live = self.stored_events(list, gone, false).await?.into_iter();
        Ok(live.map(|event| Event { version: event.version + 1, retracted: true, ..event }).collect())
    }

    /// Returns the events of threads in the snapshots: either the live or the retracted ones.
    async fn stored_events(
        &self,
        list: ThreadKind,
        numbers: &BTreeSet<i64>,
        retracted: bool,
    ) -> Result<Vec<Event>, CollectError> {
        let mut events = Vec::new();
        if numbers.is_empty() {
            return Ok(events);
        }
        for_each_event(self.ports, &self.event_builder.org, |event| {
            if event.retracted == retracted
                && event.repo_id == self.repo.id
                && has_kind(list, event.kind)
                && event.facts.number.is_some_and(|number| numbers.contains(&number))
            {
                events.push(event);
            }
        })
        .await?;
        Ok(events)
    }
}
