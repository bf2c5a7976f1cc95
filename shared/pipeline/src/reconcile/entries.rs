//! Pull requests and issues: the states that GitHub shows against those that were read.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use gam_github::{EntryState, PageSize, StatesOf};
use gam_model::{Event, EventKind};

use super::known::{Entry, each_live};
use super::{Comparing, Live};
use crate::collect::CollectError;

fn letter(state: &str) -> u8 {
    state.bytes().next().map_or(b'?', |first| first.to_ascii_lowercase())
}

impl Comparing<'_> {
    fn known_of(&self, of: StatesOf) -> &std::collections::HashMap<i64, Entry> {
        match of {
            StatesOf::Pulls => &self.known.pulls,
            StatesOf::Issues => &self.known.issues,
        }
    }

    /// Compares the list's entries that changed since it was first read; `totals` are GitHub's counts of
    /// the open, the closed and the merged.
    pub(super) async fn entries(
        &mut self,
        of: StatesOf,
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
        let differs = |state: &&EntryState| {
            self.known_of(of).get(&state.number).is_none_or(|known| {
                known.changed_at < state.updated_at.timestamp() || known.state != letter(&state.state)
            })
        };
        let changed: Vec<String> = shown.values().filter(differs).map(|state| state.id.clone()).collect();
        let gone = self.gone(of, since, &shown).await?;
        let entries = changed.len() + gone.len();
        let mut events = self.read_again(of, &changed).await?;
        events.extend(self.take_back(of, &gone).await?);
        self.repair(if of == StatesOf::Pulls { "pull_requests" } else { "issues" }, entries, events).await
    }

    /// The states of what changed since then, by number.
    async fn states_since(
        &self,
        of: StatesOf,
        since: DateTime<Utc>,
    ) -> Result<BTreeMap<i64, EntryState>, CollectError> {
        let (mut shown, mut cursor, mut size) = (BTreeMap::new(), None::<String>, PageSize::new(100));
        loop {
            let page = self.github.states(&self.repo, of, cursor.as_deref(), &mut size).await?;
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
        of: StatesOf,
        since: DateTime<Utc>,
        shown: &BTreeMap<i64, EntryState>,
    ) -> Result<BTreeSet<i64>, CollectError> {
        let mut gone = BTreeSet::new();
        let known = self.known_of(of).iter();
        let missed = known
            .filter(|(number, entry)| entry.changed_at >= since.timestamp() && !shown.contains_key(*number))
            .map(|(number, _)| *number);
        for number in missed.collect::<BTreeSet<_>>() {
            if !self.github.has(&self.repo, of, number).await? {
                gone.insert(number);
            }
        }
        Ok(gone)
    }

    async fn read_again(&self, of: StatesOf, ids: &[String]) -> Result<Vec<Event>, CollectError> {
        Ok(match of {
            StatesOf::Pulls => {
                let found = self.github.pull_requests_by_id(&self.repo, ids).await?;
                found.iter().flat_map(|pull| self.origin.pull_request(pull)).collect()
            }
            StatesOf::Issues => {
                let found = self.github.issues_by_id(&self.repo, ids).await?;
                found.iter().flat_map(|issue| self.origin.issue(issue)).collect()
            }
        })
    }

    /// Everything that was told of what is gone, as not being so. Should it come back, GitHub will say
    /// that it changed later.
    async fn take_back(&self, of: StatesOf, gone: &BTreeSet<i64>) -> Result<Vec<Event>, CollectError> {
        if gone.is_empty() {
            return Ok(Vec::new());
        }
        let is_of = |kind: EventKind| match of {
            StatesOf::Pulls => {
                matches!(
                    kind,
                    EventKind::PrOpened | EventKind::PrMerged | EventKind::PrClosed | EventKind::Review
                )
            }
            StatesOf::Issues => matches!(kind, EventKind::IssueOpened | EventKind::IssueClosed),
        };
        let mut live = Live::new();
        each_live(self.context, &self.origin.org, |event| {
            if let Some(number) = event.facts.number
                && event.repo_id == self.repo.id
                && is_of(event.kind)
                && gone.contains(&number)
            {
                live.entry(number).or_default().push(event);
            }
        })
        .await?;
        let events = live.into_values().flatten();
        Ok(events.map(|event| Event { version: event.version + 1, retracted: true, ..event }).collect())
    }
}
