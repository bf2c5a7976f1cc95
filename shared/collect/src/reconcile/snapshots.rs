//! What the snapshots hold of each repository, as far as it can be compared with GitHub.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use gam_github::ThreadKind;
use gam_lake::schema::decode;
use gam_lake::snapshot;
use gam_model::{Event, EventKind};

use crate::CollectPorts;

/// How many rows are decoded together at most. A month may hold millions.
const MAX_DECODED_ROWS: usize = 8_192;

/// A pull request or an issue, as the snapshots hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StoredThread {
    /// When the thread had last changed when it was read, in epoch seconds.
    pub(super) changed_at: i64,
    /// The first letter of the state: `o`pen, `c`losed or `m`erged.
    pub(super) state: u8,
}

/// The threads of one list of a repository, as the snapshots hold them.
#[derive(Debug, Clone, Default)]
pub(super) struct StoredThreads {
    /// Threads that are not retracted, by number.
    pub(super) live: HashMap<i64, StoredThread>,
    /// Numbers of threads that were retracted because GitHub no longer showed them.
    pub(super) retracted: HashSet<i64>,
}

/// A repository, as the snapshots hold it.
#[derive(Debug, Clone, Default)]
pub(super) struct StoredRepo {
    pulls: StoredThreads,
    issues: StoredThreads,
    /// Number of commits on the branch, by committer date.
    commits: BTreeMap<DateTime<Utc>, u32>,
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

    fn add(&mut self, event: &Event) {
        let threads = match event.kind {
            EventKind::Commit if !event.retracted => {
                *self.commits.entry(event.occurred_at).or_default() += 1;
                return;
            }
            EventKind::PrOpened => &mut self.pulls,
            EventKind::IssueOpened => &mut self.issues,
            _ => return,
        };
        let Some(number) = event.facts.number else { return };
        if event.retracted {
            threads.retracted.insert(number);
        } else {
            let state = event.facts.state.as_deref().and_then(|state| state.bytes().next()).unwrap_or(b'?');
            threads.live.insert(number, StoredThread { changed_at: event.version, state });
        }
    }
}

/// Calls `visit` with every event of the organization's snapshots, retracted ones included.
///
/// # Errors
/// If the lake fails, or a snapshot is damaged.
pub(super) async fn for_each_event(
    ports: &CollectPorts,
    org: &str,
    mut visit: impl FnMut(Event),
) -> Result<(), gam_lake::Error> {
    let org = &gam_store::keys::org_key(org);
    for month in snapshot::months(&*ports.objects, org).await? {
        let Some(snapshot) = snapshot::read(&*ports.objects, org, month).await? else { continue };
        for batch in &snapshot.batches {
            for start in (0..batch.num_rows()).step_by(MAX_DECODED_ROWS) {
                let rows = batch.slice(start, MAX_DECODED_ROWS.min(batch.num_rows() - start));
                decode(&rows)?.into_iter().for_each(&mut visit);
            }
        }
    }
    Ok(())
}

/// Returns what the snapshots hold of some repositories, by id.
///
/// # Errors
/// As [`for_each_event`].
pub(super) async fn load_repos(
    ports: &CollectPorts,
    org: &str,
    repo_ids: &BTreeSet<i64>,
) -> Result<HashMap<i64, StoredRepo>, gam_lake::Error> {
    let mut repos: HashMap<i64, StoredRepo> = HashMap::new();
    for_each_event(ports, org, |event| {
        if repo_ids.contains(&event.repo_id) {
            repos.entry(event.repo_id).or_default().add(&event);
        }
    })
    .await?;
    Ok(repos)
}
