//! What the snapshots hold of each repository, as far as it can be held against GitHub.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use gam_lake::schema::decode;
use gam_lake::snapshot;
use gam_model::{Event, EventKind};

use crate::CollectPorts;

/// How many rows are looked at together: a month may hold millions.
const ROWS: usize = 8_192;

/// What is known of a pull request or an issue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// When it had last changed when it was read, in epoch seconds.
    pub(super) changed_at: i64,
    /// `open`, `closed` or `merged`, as its first letter.
    pub(super) state: u8,
}

/// What is known of a repository.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    pub(super) pulls: HashMap<i64, Entry>,
    pub(super) issues: HashMap<i64, Entry>,
    /// Numbers of pull requests that were read, and taken back when they were gone.
    pub(super) pulls_gone: HashSet<i64>,
    /// The same of issues.
    pub(super) issues_gone: HashSet<i64>,
    /// Committer dates of the commits on the branch, with how many there are of each.
    commits: BTreeMap<DateTime<Utc>, u32>,
}

impl Known {
    /// How many commits have committer dates of the span, both ends included.
    pub(super) fn commits(&self, since: DateTime<Utc>, until: Option<DateTime<Utc>>) -> i64 {
        let end = until.unwrap_or(DateTime::<Utc>::MAX_UTC);
        if since > end {
            return 0;
        }
        self.commits.range(since..=end).map(|(_, count)| i64::from(*count)).sum()
    }

    fn take(&mut self, event: &Event) {
        let entry = Entry {
            changed_at: event.version,
            state: event.facts.state.as_deref().and_then(|state| state.bytes().next()).unwrap_or(b'?'),
        };
        match (event.kind, event.facts.number, event.retracted) {
            (EventKind::Commit, _, false) => *self.commits.entry(event.occurred_at).or_default() += 1,
            (EventKind::PrOpened, Some(number), false) => _ = self.pulls.insert(number, entry),
            (EventKind::PrOpened, Some(number), true) => _ = self.pulls_gone.insert(number),
            (EventKind::IssueOpened, Some(number), false) => _ = self.issues.insert(number, entry),
            (EventKind::IssueOpened, Some(number), true) => _ = self.issues_gone.insert(number),
            _ => {}
        }
    }
}

/// Looks at every event of the organization's snapshots, retracted ones included.
///
/// # Errors
/// Where the lake fails.
pub(super) async fn each_event(
    ports: &CollectPorts,
    org: &str,
    mut look: impl FnMut(Event),
) -> Result<(), gam_lake::Error> {
    let org = &gam_store::keys::org_key(org);
    for month in snapshot::months(&*ports.objects, org).await? {
        let Some(found) = snapshot::read(&*ports.objects, org, month).await? else { continue };
        for batch in &found.batches {
            for start in (0..batch.num_rows()).step_by(ROWS) {
                let rows = batch.slice(start, ROWS.min(batch.num_rows() - start));
                decode(&rows)?.into_iter().for_each(&mut look);
            }
        }
    }
    Ok(())
}

/// What the snapshots hold of the repositories.
///
/// # Errors
/// Where the lake fails.
pub(super) async fn known(
    ports: &CollectPorts,
    org: &str,
    repos: &BTreeSet<i64>,
) -> Result<HashMap<i64, Known>, gam_lake::Error> {
    let mut known: HashMap<i64, Known> = HashMap::new();
    each_event(ports, org, |event| {
        if repos.contains(&event.repo_id) {
            known.entry(event.repo_id).or_default().take(&event);
        }
    })
    .await?;
    Ok(known)
}
