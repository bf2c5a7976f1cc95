//! Repairs that depend on rows of the lake. They are gathered, so that the lake is read once for all of them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use gam_github::ThreadKind;
use gam_model::{Event, EventId, EventKind};

use super::snapshots::{ScanBounds, scan};
use super::{Reconciliation, out_of_time, write_repair};
use crate::checkpoint::CoveredCommits;
use crate::{CollectError, Limited};

/// With this many entries, the repairs are made before more repositories are compared.
const MAX_PENDING_ENTRIES: usize = 200_000;

/// An event of a thread that was read again.
#[derive(Debug, Clone)]
struct ThreadEvent {
    kind: ThreadKind,
    event: Event,
    /// Whether the thread was retracted as a whole, and is back.
    was_gone: bool,
}

/// Commits of a repository whose number differs.
#[derive(Debug, Clone)]
struct PendingCommits {
    covered: CoveredCommits,
    /// The object ids that GitHub lists.
    listed: BTreeSet<String>,
}

/// What is to be repaired once the rows in the lake are known.
#[derive(Debug, Clone, Default)]
pub(super) struct PendingRepairs {
    thread_events: HashMap<EventId, ThreadEvent>,
    /// Threads that no longer exist, by repository id, list and number.
    gone: BTreeSet<(i64, ThreadKind, i64)>,
    /// By repository id.
    commits: BTreeMap<i64, PendingCommits>,
}

impl PendingRepairs {
    /// Adds an event of a thread as GitHub shows it now.
    pub(super) fn add_thread_event(&mut self, kind: ThreadKind, event: Event, was_gone: bool) {
        self.thread_events.insert(event.id.clone(), ThreadEvent { kind, event, was_gone });
    }

    /// Adds threads that no longer exist, by number.
    pub(super) fn add_gone(&mut self, repo_id: i64, kind: ThreadKind, numbers: BTreeSet<i64>) {
        self.gone.extend(numbers.into_iter().map(|number| (repo_id, kind, number)));
    }

    /// Adds the commits of a repository, as GitHub lists them.
    pub(super) fn add_commits(&mut self, repo_id: i64, covered: CoveredCommits, listed: BTreeSet<String>) {
        self.commits.insert(repo_id, PendingCommits { covered, listed });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.thread_events.is_empty() && self.gone.is_empty() && self.commits.is_empty()
    }

    pub(super) fn is_large(&self) -> bool {
        let commits: usize = self.commits.values().map(|pending| pending.listed.len()).sum();
        self.thread_events.len() + self.gone.len() + commits >= MAX_PENDING_ENTRIES
    }

    fn repo_ids(&self) -> BTreeSet<i64> {
        let events = self.thread_events.values().map(|pending| pending.event.repo_id);
        let gone = self.gone.iter().map(|(repo, ..)| *repo);
        events.chain(gone).chain(self.commits.keys().copied()).collect()
    }
}

/// The commits of a repository in the lake.
#[derive(Default)]
pub(super) struct CommitRows {
    /// Object ids of those that GitHub lists.
    pub(super) listed: HashSet<String>,
    /// Those that GitHub does not list, by object id.
    pub(super) unlisted: HashMap<String, Event>,
}

/// The rows in the lake that the repairs depend on.
struct FoundRows {
    pending: Arc<PendingRepairs>,
    /// Version of the stored events of threads that were read again, and whether they are retracted.
    versions: HashMap<EventId, (i64, bool)>,
    /// Events of threads that no longer exist.
    gone: Vec<Event>,
    /// By repository id.
    commits: BTreeMap<i64, CommitRows>,
}

/// Returns the list that an event's thread is in; `None` if the event has no thread.
fn list_of(kind: EventKind) -> Option<ThreadKind> {
    use EventKind::{IssueClosed, IssueOpened, PrClosed, PrMerged, PrOpened, Review};
    match kind {
        PrOpened | PrMerged | PrClosed | Review => Some(ThreadKind::PullRequests),
        IssueOpened | IssueClosed => Some(ThreadKind::Issues),
        _ => None,
    }
}

impl FoundRows {
    fn add(&mut self, event: Event) {
        let pending = &self.pending;
        if pending.thread_events.contains_key(&event.id) {
            self.versions.insert(event.id.clone(), (event.version, event.retracted));
        }
        if event.retracted {
            return;
        }
        if let (Some(kind), Some(number)) = (list_of(event.kind), event.facts.number) {
            if pending.gone.contains(&(event.repo_id, kind, number)) {
                self.gone.push(event);
            }
            return;
        }
        let is_commit = event.kind == EventKind::Commit;
        let Some(compared) = pending.commits.get(&event.repo_id).filter(|_| is_commit) else { return };
        let (covered, at) = (&compared.covered, event.occurred_at);
        let is_covered = at >= covered.since && covered.until.is_none_or(|until| at <= until);
        let Some(oid) = event.facts.sha.clone().filter(|_| is_covered) else { return };
        let rows = self.commits.entry(event.repo_id).or_default();
        if compared.listed.contains(&oid) {
            rows.listed.insert(oid);
        } else {
            rows.unlisted.insert(oid, event);
        }
    }

    /// Returns an event of a thread as it must be written; `None` if the lake holds it.
    ///
    /// If a thread was gone and is back, GitHub does not show it as changed. So its events get a greater
    /// version than their retractions. Other threads keep their versions: a retracted closing of theirs was
    /// undone, and a server that lags behind must not bring it back.
    fn repair(&self, pending: &ThreadEvent) -> Option<Event> {
        let event = pending.event.clone();
        match self.versions.get(&event.id) {
            None => (!event.retracted).then_some(event),
            Some((version, true)) if pending.was_gone && !event.retracted => {
                Some(Event { version: event.version.max(version + 1), ..event })
            }
            Some(stored) => ((event.version, event.retracted) > *stored).then_some(event),
        }
    }
}

impl Reconciliation<'_> {
    /// Makes the pending repairs. Returns the limit that stopped it, if one did.
    pub(super) async fn repair_pending(&mut self) -> Result<Result<(), Limited>, CollectError> {
        if self.pending.is_empty() {
            return Ok(Ok(()));
        }
        let pending = Arc::new(std::mem::take(&mut self.pending));
        let rows = FoundRows {
            pending: pending.clone(),
            versions: HashMap::new(),
            gone: Vec::new(),
            commits: BTreeMap::new(),
        };
        let (repo_ids, bounds) = (pending.repo_ids(), ScanBounds::complete(self.stop_at));
        let scanned = scan(self.ports, &self.key, &repo_ids, bounds, rows, FoundRows::add).await?;
        let Some(mut rows) = scanned else { return Ok(Err(out_of_time(self.ports))) };
        self.repair_threads(&pending, &rows).await?;
        for (repo_id, compared) in &pending.commits {
            let commits = rows.commits.remove(repo_id).unwrap_or_default();
            let repaired = self.repair_commits(*repo_id, &compared.covered, &compared.listed, commits).await;
            let repo = self.repos[repo_id].clone();
            if let Err(limited) = self.report_failures(&[repo], repaired)? {
                return Ok(Err(limited));
            }
        }
        Ok(Ok(()))
    }

    async fn repair_threads(
        &mut self,
        pending: &PendingRepairs,
        rows: &FoundRows,
    ) -> Result<(), CollectError> {
        let repaired =
            pending.thread_events.values().filter_map(|thread| Some((thread.kind, rows.repair(thread)?)));
        let retracted = rows.gone.iter().filter_map(|event| {
            let retraction = Event { version: event.version + 1, retracted: true, ..event.clone() };
            Some((list_of(event.kind)?, retraction))
        });
        let mut by_list: BTreeMap<(i64, ThreadKind), Vec<Event>> = BTreeMap::new();
        for (kind, event) in repaired.chain(retracted) {
            by_list.entry((event.repo_id, kind)).or_default().push(event);
        }
        for ((repo_id, kind), events) in by_list {
            let what = if kind == ThreadKind::PullRequests { "pull_requests" } else { "issues" };
            let numbers: BTreeSet<Option<i64>> = events.iter().map(|event| event.facts.number).collect();
            let repo = self.repos[&repo_id].name.clone();
            write_repair(self.ports, &self.key, &mut self.report, &repo, what, numbers.len(), events).await?;
        }
        Ok(())
    }
}
