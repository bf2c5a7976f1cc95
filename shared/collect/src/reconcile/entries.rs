//! Pull requests and issues: the states that GitHub shows against those that were read.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use gam_github::{PageSize, ThreadKind, ThreadState};
use gam_model::{Event, EventId, EventKind};

use super::Comparing;
use super::known::{Entry, each_event};
use crate::CollectError;

fn letter(state: &str) -> u8 {
    state.bytes().next().map_or(b'?', |first| first.to_ascii_lowercase())
}

/// Whether an entry of the list tells events of that kind.
fn tells(of: ThreadKind, kind: EventKind) -> bool {
    use EventKind::{IssueClosed, IssueOpened, PrClosed, PrMerged, PrOpened, Review};
    match of {
        ThreadKind::PullRequests => matches!(kind, PrOpened | PrMerged | PrClosed | Review),
        ThreadKind::Issues => matches!(kind, IssueOpened | IssueClosed),
    }
}

impl Comparing<'_> {
    fn known_of(&self, of: ThreadKind) -> &HashMap<i64, Entry> {
        match of {
            ThreadKind::PullRequests => &self.known.pulls,
            ThreadKind::Issues => &self.known.issues,
        }
    }

    /// Numbers of entries that were taken back when they were gone.
    fn gone_before(&self, of: ThreadKind) -> &HashSet<i64> {
        match of {
            ThreadKind::PullRequests => &self.known.pulls_gone,
            ThreadKind::Issues => &self.known.issues_gone,
        }
    }

    /// Compares the list's entries that changed since it was first read; `totals` are GitHub's counts of
    /// the open, the closed and the merged.
    pub(super) async fn entries(
        &mut self,
        of: ThreadKind,
        since: Option<DateTime<Utc>>,
        totals: &[i64],
    ) -> Result<(), CollectError> {
        let Some(since) = since else { return Ok(()) };
        let counted =
            |state: u8| self.known_of(of).values().filter(|entry| entry.state == state).count() as i64;
        // Where every entry was read, counts tell whether anything differs.
        if [b'o', b'c', b'm'].iter().zip(totals).all(|(state, total)| counted(*state) == *total)
            && self.known_of(of).len() as i64 == totals.iter().sum::<i64>()
        {
            return Ok(());
        }
        let shown = self.states_since(of, since).await?;
        let differs = |state: &&ThreadState| {
            self.known_of(of).get(&state.number).is_none_or(|known| {
                known.changed_at < state.updated_at.timestamp() || known.state != letter(&state.state)
            })
        };
        let changed: Vec<&ThreadState> = shown.values().filter(differs).collect();
        let gone = self.gone(of, since, &shown).await?;
        let entries = changed.len() + gone.len();
        let mut events = self.read_again(of, &changed).await?;
        events.extend(self.take_back(of, &gone).await?);
        self.repair(if of == ThreadKind::PullRequests { "pull_requests" } else { "issues" }, entries, events)
            .await
    }

    /// The states of what changed since then, by number.
    async fn states_since(
        &self,
        of: ThreadKind,
        since: DateTime<Utc>,
    ) -> Result<BTreeMap<i64, ThreadState>, CollectError> {
        let (mut shown, mut cursor, mut size) = (BTreeMap::new(), None::<String>, PageSize::new(100));
        loop {
            let page = self.github.thread_states(&self.repo, of, cursor.as_deref(), &mut size).await?;
            let is_done = page.entries.iter().any(|state| state.updated_at < since);
            let found = page.entries.into_iter().filter(|state| state.updated_at >= since);
            shown.extend(found.map(|state| (state.number, state)));
            cursor = page.next.filter(|_| !is_done);
            if cursor.is_none() {
                return Ok(shown);
            }
        }
    }

    /// Numbers that were read and that the repository has no more. What changes while a list is walked
    /// may be missed by the walk, so each is asked for by itself.
    async fn gone(
        &self,
        of: ThreadKind,
        since: DateTime<Utc>,
        shown: &BTreeMap<i64, ThreadState>,
    ) -> Result<BTreeSet<i64>, CollectError> {
        let mut gone = BTreeSet::new();
        let known = self.known_of(of).iter();
        let missed = known
            .filter(|(number, entry)| entry.changed_at >= since.timestamp() && !shown.contains_key(*number))
            .map(|(number, _)| *number);
        for number in missed.collect::<BTreeSet<_>>() {
            if !self.github.has_thread(&self.repo, of, number).await? {
                gone.insert(number);
            }
        }
        Ok(gone)
    }

    /// What entries tell now. GitHub does not say of one that was gone and is back that it has changed, so
    /// what it tells is made newer than what was taken back of it. That is for those alone: of any other a
    /// retracted closing was undone, and a server that lags behind must not bring it back.
    async fn read_again(&self, of: ThreadKind, changed: &[&ThreadState]) -> Result<Vec<Event>, CollectError> {
        let ids: Vec<String> = changed.iter().map(|state| state.id.clone()).collect();
        let mut events: Vec<Event> = match of {
            ThreadKind::PullRequests => {
                let found = self.github.pull_requests_by_id(&self.repo, &ids).await?;
                found.iter().flat_map(|pull| self.origin.pull_request(pull)).collect()
            }
            ThreadKind::Issues => {
                let found = self.github.issues_by_id(&self.repo, &ids).await?;
                found.iter().flat_map(|issue| self.origin.issue(issue)).collect()
            }
        };
        let numbers = changed.iter().map(|state| state.number);
        let back: BTreeSet<i64> = numbers.filter(|number| self.gone_before(of).contains(number)).collect();
        let taken_back = self.rows(of, &back, true).await?.into_iter();
        let taken_back: HashMap<EventId, i64> = taken_back.map(|row| (row.id, row.version)).collect();
        for event in events.iter_mut().filter(|event| !event.retracted) {
            if let Some(version) = taken_back.get(&event.id) {
                event.version = event.version.max(version + 1);
            }
        }
        Ok(events)
    }

    /// Everything that was told of what is gone, as not being so.
    async fn take_back(&self, of: ThreadKind, gone: &BTreeSet<i64>) -> Result<Vec<Event>, CollectError> {
        let live = self.rows(of, gone, false).await?.into_iter();
        Ok(live.map(|event| Event { version: event.version + 1, retracted: true, ..event }).collect())
    }

    /// What the snapshots hold of entries: what is live, or what is retracted.
    async fn rows(
        &self,
        of: ThreadKind,
        numbers: &BTreeSet<i64>,
        retracted: bool,
    ) -> Result<Vec<Event>, CollectError> {
        let mut rows = Vec::new();
        if numbers.is_empty() {
            return Ok(rows);
        }
        each_event(self.ports, &self.origin.org, |event| {
            if event.retracted == retracted
                && event.repo_id == self.repo.id
                && tells(of, event.kind)
                && event.facts.number.is_some_and(|number| numbers.contains(&number))
            {
                rows.push(event);
            }
        })
        .await?;
        Ok(rows)
    }
}
