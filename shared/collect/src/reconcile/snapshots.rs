//! What the lake holds of each repository, as far as it can be compared with GitHub.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use gam_github::ThreadKind;
use gam_lake::schema::{column, decode_repos, has_repo};
use gam_lake::{Error, Events, SnapshotRows, inbox, snapshot};
use gam_model::{Event, EventBatch, EventId, EventKind};

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

/// Calls `visit` with the event of each id that the lake holds of some repositories, retracted ones included:
/// one month after the other, a row group at a time, then what waits in the inbox. Decodes on threads that serve no
/// other tasks.
///
/// # Errors
/// If the lake fails, or a snapshot is damaged.
pub(super) async fn scan<S: Send + 'static>(
    ports: &CollectPorts,
    org: &str,
    repo_ids: &BTreeSet<i64>,
    state: S,
    visit: fn(&mut S, Event),
) -> Result<S, Error> {
    let (org, repo_ids) = (gam_store::keys::org_key(org), Arc::new(repo_ids.clone()));
    let waiting = waiting_events(ports, &org, &repo_ids).await?;
    let mut scan = (state, waiting);
    for month in snapshot::months::<Events>(&*ports.objects, &org).await? {
        let Some(snapshot) = snapshot::fetch::<Events>(&*ports.objects, &org, month).await? else { continue };
        let repo_ids = repo_ids.clone();
        scan = run_blocking(move || {
            let (state, waiting) = &mut scan;
            for index in 0..snapshot.rows.batch_count() {
                scan_batch(&snapshot.rows, index, &repo_ids, |stored| {
                    let newer = waiting.remove(&stored.id).filter(|event| event.supersedes(&stored));
                    visit(state, newer.unwrap_or(stored));
                })?;
            }
            Ok(scan)
        })
        .await?;
    }
    let (mut state, waiting) = scan;
    waiting.into_values().for_each(|event| visit(&mut state, event));
    Ok(state)
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

/// Returns the events of some repositories in the inbox, by id. A batch that cannot be read is left to the
/// aggregation, which reports it.
async fn waiting_events(
    ports: &CollectPorts,
    org: &str,
    repo_ids: &Arc<BTreeSet<i64>>,
) -> Result<HashMap<EventId, Event>, Error> {
    let mut events = Vec::new();
    for batch in inbox::list::<Events>(&*ports.objects, org).await? {
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
            Ok(of_repos) => events.extend(of_repos),
            Err(Error::Damaged { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let winners = EventBatch::new(org, events).into_events();
    Ok(winners.into_iter().map(|event| (event.id.clone(), event)).collect())
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

/// Returns what the lake holds of some repositories, by id.
///
/// # Errors
/// As [`scan`].
pub(super) async fn load_repos(
    ports: &CollectPorts,
    org: &str,
    repo_ids: &BTreeSet<i64>,
) -> Result<HashMap<i64, StoredRepo>, Error> {
    let add = |repos: &mut HashMap<i64, StoredRepo>, event: Event| {
        repos.entry(event.repo_id).or_default().add(event);
    };
    scan(ports, org, repo_ids, HashMap::new(), add).await
}
