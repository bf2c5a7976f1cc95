//! What the lake holds of each repository, as far as it can be compared with GitHub.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use gam_github::ThreadKind;
use gam_lake::schema::{column, decode_repos, has_repo};
use gam_lake::{Error, Events, SnapshotRows, inbox, snapshot};
use gam_model::{Event, EventId, EventKind};
use tokio::time::Instant;

use crate::CollectPorts;

/// How many rows are decoded together at most. A month may hold millions.
const MAX_DECODED_ROWS: usize = 8_192;

/// The rows of a pull request or an issue that are not retracted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct StoredThread {
    /// When the thread had last changed when it was read, in epoch seconds. 0 if its opening is missing.
    pub(super) changed_at: i64,
    /// The first letter of the state: `o`pen, `c`losed or `m`erged. 0 if its opening is missing.
    pub(super) state: u8,
    has_merge: bool,
    closings: u32,
    /// Number of reviews, the author's own included.
    pub(super) reviews: u32,
}

impl StoredThread {
    /// Returns whether the rows contradict each other: one of them was lost.
    pub(super) fn is_damaged(&self) -> bool {
        let expected = match self.state {
            b'o' => (false, 0),
            b'c' => (false, 1),
            b'm' => (true, 0),
            _ => return true,
        };
        (self.has_merge, self.closings) != expected
    }
}

/// The threads of one list of a repository, as the lake holds them.
#[derive(Debug, Clone, Default)]
pub(super) struct StoredThreads {
    /// Threads with a row that is not retracted, by number.
    pub(super) live: HashMap<i64, StoredThread>,
    /// Numbers of threads whose opening was retracted because GitHub no longer showed them.
    pub(super) retracted: HashSet<i64>,
}

/// A repository, as the lake holds it.
#[derive(Debug, Clone, Default)]
pub(super) struct StoredRepo {
    pulls: StoredThreads,
    issues: StoredThreads,
    /// Number of commits on the branch, by committer date.
    commits: BTreeMap<DateTime<Utc>, u32>,
    /// Version of the events of releases and deployments, and whether they are retracted.
    deliveries: HashMap<EventId, (i64, bool)>,
}

impl StoredRepo {
    /// Returns how many commits have a committer date in the span. Both ends belong to it.
    pub(super) fn count_commits(&self, since: DateTime<Utc>, until: Option<DateTime<Utc>>) -> i64 {
        let end = until.unwrap_or(DateTime::<Utc>::MAX_UTC);
        if since > end {
            return 0;
        }
        self.commits.range(since..=end).map(|(_, count)| i64::from(*count)).sum()
    }

    pub(super) fn threads(&self, list: ThreadKind) -> &StoredThreads {
        match list {
            ThreadKind::PullRequests => &self.pulls,
            ThreadKind::Issues => &self.issues,
        }
    }

    /// Returns whether the event of a release or a deployment is missing, or newer than the stored one.
    pub(super) fn lacks_delivery(&self, event: &Event) -> bool {
        self.deliveries.get(&event.id).is_none_or(|stored| (event.version, event.retracted) > *stored)
    }

    /// Returns whether the lake holds that publication of a release.
    pub(super) fn has_release(&self, id: i64, published_at: DateTime<Utc>) -> bool {
        self.deliveries.get(&EventId::release(id, published_at)).is_some_and(|(_, retracted)| !retracted)
    }

    /// Returns how much is held, in entries of some dozen bytes.
    fn entries(&self) -> usize {
        let threads = [&self.pulls, &self.issues].map(|list| list.live.len() + list.retracted.len());
        threads.iter().sum::<usize>() + self.commits.len() + self.deliveries.len()
    }

    fn add(&mut self, event: Event) {
        use EventKind::*;
        match event.kind {
            Commit if !event.retracted => *self.commits.entry(event.occurred_at).or_default() += 1,
            Commit => {}
            PrOpened | PrMerged | PrClosed | Review | IssueOpened | IssueClosed => self.add_thread(&event),
            Release | DeploymentSuccess | DeploymentFailure => {
                self.deliveries.insert(event.id, (event.version, event.retracted));
            }
        }
    }

    fn add_thread(&mut self, event: &Event) {
        let is_issue = matches!(event.kind, EventKind::IssueOpened | EventKind::IssueClosed);
        let threads = if is_issue { &mut self.issues } else { &mut self.pulls };
        let Some(number) = event.facts.number else { return };
        let is_opening = matches!(event.kind, EventKind::IssueOpened | EventKind::PrOpened);
        if event.retracted {
            if is_opening {
                threads.retracted.insert(number);
            }
            return;
        }
        let thread = threads.live.entry(number).or_default();
        match event.kind {
            EventKind::PrMerged => thread.has_merge = true,
            EventKind::PrClosed | EventKind::IssueClosed => thread.closings += 1,
            EventKind::Review => thread.reviews += 1,
            _ => {
                thread.changed_at = event.version;
                thread.state = event.facts.state.as_deref().map_or(b'?', first_letter);
            }
        }
    }
}

/// The first letter of a state, in lower case.
pub(super) fn first_letter(state: &str) -> u8 {
    state.bytes().next().map_or(b'?', |first| first.to_ascii_lowercase())
}

/// What bounds one reading of the lake.
#[derive(Debug, Clone, Copy)]
pub(super) struct ScanBounds {
    /// How many events of the inbox are held at most, and how many entries of [`StoredRepo`]s. Repositories with greater
    /// ids are left out if it is exceeded, but never the first one.
    pub(super) max_entries: usize,
    /// When to stop; `None` to read to the end.
    pub(super) stop_at: Option<Instant>,
}

impl ScanBounds {
    /// Returns the bounds of a reading that must not leave out a repository.
    pub(super) fn complete(stop_at: Option<Instant>) -> Self {
        ScanBounds { max_entries: usize::MAX, stop_at }
    }

    fn is_over(&self) -> bool {
        self.stop_at.is_some_and(|at| Instant::now() >= at)
    }
}

/// Calls `visit` with the event of each id that the lake holds of some repositories, retracted ones included:
/// one month after the other, a row group at a time, then what waits in the inbox. Decodes on threads that serve no
/// other tasks. Returns `None` if the time is used up.
///
/// # Errors
/// If the lake fails, or a snapshot is damaged.
pub(super) async fn scan<S: Send + 'static>(
    ports: &CollectPorts,
    org: &str,
    repo_ids: &BTreeSet<i64>,
    bounds: ScanBounds,
    state: S,
    visit: fn(&mut S, Event),
) -> Result<Option<S>, Error> {
    let waiting =
        waiting_events(ports, org, repo_ids, ScanBounds { max_entries: usize::MAX, ..bounds }).await?;
    match waiting {
        Some(waiting) => scan_months(ports, org, repo_ids, bounds, waiting, state, visit).await,
        None => Ok(None),
    }
}

/// Reads the months, then visits what waits.
async fn scan_months<S: Send + 'static>(
    ports: &CollectPorts,
    org: &str,
    repo_ids: &BTreeSet<i64>,
    bounds: ScanBounds,
    waiting: WaitingEvents,
    state: S,
    visit: fn(&mut S, Event),
) -> Result<Option<S>, Error> {
    let (org, repo_ids) = (gam_store::keys::org_key(org), Arc::new(repo_ids.clone()));
    let mut scan = (state, waiting);
    for month in snapshot::months::<Events>(&*ports.objects, &org).await? {
        if bounds.is_over() {
            return Ok(None);
        }
        let Some(snapshot) = snapshot::fetch::<Events>(&*ports.objects, &org, month).await? else { continue };
        let repo_ids = repo_ids.clone();
        let scanned = run_blocking(move || {
            let (state, waiting) = &mut scan;
            for index in 0..snapshot.rows.batch_count() {
                if bounds.is_over() {
                    return Ok(None);
                }
                scan_batch(&snapshot.rows, index, &repo_ids, |stored| {
                    let newer = waiting.remove(&stored).filter(|event| event.supersedes(&stored));
                    visit(state, newer.unwrap_or(stored));
                })?;
            }
            Ok(Some(scan))
        });
        match scanned.await? {
            Some(scanned) => scan = scanned,
            None => return Ok(None),
        }
    }
    let (mut state, waiting) = scan;
    waiting.into_events().for_each(|event| visit(&mut state, event));
    Ok(Some(state))
}

/// Calls `visit` with the events of some repositories in a batch of a snapshot. Decodes all columns only if the batch
/// has such a repository.
fn scan_batch(
    rows: &SnapshotRows,
    index: usize,
    repo_ids: &BTreeSet<i64>,
    mut visit: impl FnMut(Event),
) -> Result<(), Error> {
    if !has_repo(&rows.batch(index, &[column::REPO_ID])?, repo_ids) {
        return Ok(());
    }
    let batch = rows.complete_batch(index)?;
    for start in (0..batch.num_rows()).step_by(MAX_DECODED_ROWS) {
        let slice = batch.slice(start, MAX_DECODED_ROWS.min(batch.num_rows() - start));
        decode_repos(&slice, repo_ids)?.into_iter().for_each(&mut visit);
    }
    Ok(())
}

/// The events in the inbox that win over others of their id there, by repository.
#[derive(Debug, Default)]
struct WaitingEvents {
    by_repo: BTreeMap<i64, HashMap<EventId, Event>>,
    count: usize,
    /// Repositories from this id on are left out; `None` if none is.
    left_out_from: Option<i64>,
}

impl WaitingEvents {
    /// Adds an event. Leaves out repositories if there are more than `max` events.
    fn add(&mut self, event: Event, max: usize) {
        if self.left_out_from.is_some_and(|first| event.repo_id >= first) {
            return;
        }
        let events = self.by_repo.entry(event.repo_id).or_default();
        match events.get_mut(&event.id) {
            Some(known) if event.supersedes(known) => *known = event,
            Some(_) => {}
            None => {
                events.insert(event.id.clone(), event);
                self.count += 1;
            }
        }
        while self.count > max && self.by_repo.len() > 1 {
            let Some((repo_id, left_out)) = self.by_repo.pop_last() else { break };
            self.count -= left_out.len();
            self.left_out_from = Some(repo_id);
        }
    }

    fn remove(&mut self, stored: &Event) -> Option<Event> {
        self.by_repo.get_mut(&stored.repo_id)?.remove(&stored.id)
    }

    fn into_events(self) -> impl Iterator<Item = Event> {
        self.by_repo.into_values().flat_map(HashMap::into_values)
    }
}

/// Returns the events of some repositories in the inbox; `None` if the time is used up. A batch that cannot be read is
/// left to the aggregation, which reports it.
async fn waiting_events(
    ports: &CollectPorts,
    org: &str,
    repo_ids: &BTreeSet<i64>,
    bounds: ScanBounds,
) -> Result<Option<WaitingEvents>, Error> {
    let repo_ids = Arc::new(repo_ids.clone());
    let mut waiting = WaitingEvents::default();
    for batch in inbox::list::<Events>(&*ports.objects, &gam_store::keys::org_key(org)).await? {
        if bounds.is_over() {
            return Ok(None);
        }
        let batch = match inbox::fetch::<Events>(&*ports.objects, &batch.path).await {
            Ok(Some(batch)) => batch,
            Ok(None) | Err(Error::Damaged { .. }) => continue,
            Err(error) => return Err(error),
        };
        let repo_ids = repo_ids.clone();
        let of_repos = run_blocking(move || {
            let mut of_repos = Vec::new();
            for rows in batch.into_rows()? {
                of_repos.extend(rows?.into_iter().filter(|event| repo_ids.contains(&event.repo_id)));
            }
            Ok(of_repos)
        });
        match of_repos.await {
            Ok(of_repos) => of_repos.into_iter().for_each(|event| waiting.add(event, bounds.max_entries)),
            Err(Error::Damaged { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Some(waiting))
}

/// Runs work that takes long on a thread that serves no other tasks.
async fn run_blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}

/// What the lake holds of the first of some repositories.
#[derive(Debug, Default)]
pub(super) struct LoadedRepos {
    /// By id. A repository without events is missing.
    pub(super) repos: BTreeMap<i64, StoredRepo>,
    /// Repositories from this id on were left out, because the others hold as much as is loaded together; `None` if
    /// none was.
    pub(super) left_out_from: Option<i64>,
    entries: usize,
    max_entries: usize,
}

impl LoadedRepos {
    fn add(&mut self, event: Event) {
        if self.left_out_from.is_some_and(|first| event.repo_id >= first) {
            return;
        }
        let repo = self.repos.entry(event.repo_id).or_default();
        let before = repo.entries();
        repo.add(event);
        self.entries += repo.entries() - before;
        while self.entries > self.max_entries && self.repos.len() > 1 {
            let Some((repo_id, left_out)) = self.repos.pop_last() else { break };
            self.entries -= left_out.entries();
            self.left_out_from = Some(repo_id);
        }
    }
}

/// Returns what the lake holds of some repositories, or of those with the least ids if it is too much; `None` if the time
/// is used up.
///
/// # Errors
/// As [`scan`].
pub(super) async fn load_repos(
    ports: &CollectPorts,
    org: &str,
    repo_ids: &BTreeSet<i64>,
    bounds: ScanBounds,
) -> Result<Option<LoadedRepos>, Error> {
    let Some(waiting) = waiting_events(ports, org, repo_ids, bounds).await? else { return Ok(None) };
    let left_out_from = waiting.left_out_from;
    let repo_ids =
        repo_ids.iter().copied().filter(|id| left_out_from.is_none_or(|first| *id < first)).collect();
    let loaded = LoadedRepos { left_out_from, max_entries: bounds.max_entries, ..LoadedRepos::default() };
    scan_months(ports, org, &repo_ids, bounds, waiting, loaded, LoadedRepos::add).await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use gam_model::{EventBatch, Facts, Member};

    use super::*;
    use crate::ports::tests::memory_ports;

    fn commit(repo_id: i64, number: i64, version: i64, retracted: bool) -> Event {
        let at = DateTime::from_timestamp(1_700_000_000 + 86_400 * number, 0).unwrap();
        Event {
            id: EventId::from_stored(format!("commit:{repo_id}:{number}")),
            version,
            kind: EventKind::Commit,
            org: "acme".into(),
            repo: format!("repo-{repo_id}"),
            repo_id,
            member: Member::account("ann", Some(1), false),
            occurred_at: at,
            collected_at: at,
            retracted,
            reading: 0,
            facts: Facts::default(),
        }
    }

    /// Returns a lake whose inbox has three repositories with ten commits each. In each, one was retracted later.
    async fn lake() -> CollectPorts {
        let ports = memory_ports();
        let commits = (1..=3).flat_map(|repo| (0..10).map(move |number| commit(repo, number, 1, false)));
        let retracted: Vec<Event> = (1..=3).map(|repo| commit(repo, 4, 2, true)).collect();
        for batch in [commits.collect(), retracted] {
            inbox::put(&*ports.objects, &EventBatch::new("acme", batch)).await.unwrap();
        }
        ports
    }

    fn counts(loaded: &LoadedRepos) -> Vec<(i64, i64)> {
        let count = |repo: &StoredRepo| repo.count_commits(DateTime::<Utc>::MIN_UTC, None);
        loaded.repos.iter().map(|(id, repo)| (*id, count(repo))).collect()
    }

    #[tokio::test]
    async fn repositories_are_loaded_in_parts_that_fit_into_memory() {
        let ports = lake().await;
        let load = async |ids: &[i64], max_entries| {
            let bounds = ScanBounds { max_entries, stop_at: None };
            load_repos(&ports, "acme", &ids.iter().copied().collect(), bounds).await.unwrap().unwrap()
        };
        let all = load(&[1, 2, 3], 1_000).await;
        assert_eq!((counts(&all), all.left_out_from), (vec![(1, 9), (2, 9), (3, 9)], None));
        let some = load(&[1, 2, 3], 25).await;
        assert_eq!((counts(&some), some.left_out_from), (vec![(1, 9), (2, 9)], Some(3)));
        let rest = load(&[3], 25).await;
        assert_eq!((counts(&rest), rest.left_out_from), (vec![(3, 9)], None));
        let first = load(&[1, 2, 3], 1).await;
        assert_eq!(counts(&first), [(1, 9)], "the first repository is never left out");
        assert_eq!(first.left_out_from, Some(2));
    }

    #[tokio::test]
    async fn reading_the_lake_stops_when_the_time_is_used_up() {
        let ports = lake().await;
        let load = async |stop_at| {
            let bounds = ScanBounds { max_entries: 1_000, stop_at: Some(stop_at) };
            load_repos(&ports, "acme", &BTreeSet::from([1, 2, 3]), bounds).await.unwrap()
        };
        assert!(load(Instant::now()).await.is_none());
        assert!(load(Instant::now() + Duration::from_secs(3_600)).await.is_some());
    }
}
