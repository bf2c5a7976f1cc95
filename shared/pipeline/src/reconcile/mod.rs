//! Holding what was collected against what GitHub says now, and repairing what differs.
//!
//! Collecting reads what GitHub says has changed. It says so of nearly everything: not of an issue that
//! was deleted or moved away, and servers have had faults in what they call changed. So once a day the
//! counts and the newest states of each repository are compared with GitHub's own: cheaply where they
//! agree, and entry by entry where they do not. Releases and unsettled deployments are read whole by
//! every collection, so nothing is done about them here.
//!
//! Only snapshots are looked at. What is in the inbox, or has changed since the last collection, may be
//! read once more, which changes nothing.

mod entries;
mod known;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use gam_github::facts::Origin;
use gam_github::{Client, Error, RepoRef, StatesOf, Usage};
use gam_lake::inbox;
use gam_model::{Event, EventBatch, EventKind};
use gam_store::keys::CheckpointKey;

use crate::checkpoint::{CommitsCheckpoint, Held, OrgCheckpoint, RepoCheckpoint};
use crate::collect::CollectError;
use crate::{Context, Observer, Progress};
use known::{Known, each_live, known};

/// How many commits of a repository that are counted and not listed are looked for one by one.
const MOST_UNLISTED: usize = 100;

/// What was found to differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The repository's name.
    pub repo: String,
    /// What differs: `commits`, `pull_requests` or `issues`.
    pub what: &'static str,
    /// How many entries GitHub shows otherwise, or not at all.
    pub entries: usize,
}

/// What a reconciliation did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReconcileReport {
    /// The organization, as GitHub spells it.
    pub org: String,
    /// How many repositories were compared.
    pub repos: usize,
    /// What differed; it is repaired, and in the inbox.
    pub differences: Vec<Difference>,
    /// How many events that took.
    pub events: usize,
    /// What it cost.
    pub usage: Usage,
    /// Repositories that could not be compared, with the reason.
    pub failed: Vec<(String, String)>,
    /// Whether it stopped for the API's limits; what was repaired until then is in the inbox.
    pub limited: bool,
}

/// Compares the organization's repositories with GitHub, and writes what repairs them into the inbox.
///
/// # Errors
/// Where the organization cannot be read, or the lake or the store fails. A repository that fails is
/// named in the report.
pub async fn reconcile(
    context: &Context,
    github: &Client,
    org: &str,
    observer: &dyn Observer,
) -> Result<ReconcileReport, CollectError> {
    let github = github.for_org(org).await?.metered();
    let probe = github.probe(org).await?;
    let held = Held::load_repos(&*context.checkpoints, &probe.login).await?;
    let read: Vec<_> = probe.repos.iter().filter(|repo| held.contains_key(&repo.id)).collect();
    let mut known = known(context, &probe.login, &read.iter().map(|repo| repo.id).collect()).await?;
    let node_ids: Vec<String> = read.iter().map(|repo| repo.node_id.clone()).collect();
    let totals = github.totals(&node_ids).await?;
    observer.notice(Progress::Listed {
        org: probe.login.clone(),
        repos: probe.repos.len(),
        changed: read.len(),
    });
    let mut report =
        ReconcileReport { org: probe.login.clone(), repos: read.len(), ..ReconcileReport::default() };
    for repo in read {
        let reference = RepoRef {
            owner: probe.login.clone(),
            name: repo.name.clone(),
            node_id: repo.node_id.clone(),
            id: repo.id,
        };
        let origin = Origin {
            org: probe.login.clone(),
            repo: repo.name.clone(),
            repo_id: repo.id,
            collected_at: context.clock.now(),
        };
        let mut comparing = Comparing {
            context,
            github: &github,
            repo: reference,
            origin,
            known: known.remove(&repo.id).unwrap_or_default(),
            pushed_at: repo.pushed_at.map_or(0, |at| at.timestamp()),
            report: &mut report,
        };
        let done = comparing.compare(&held[&repo.id].value, totals.get(&repo.node_id).copied()).await;
        match done {
            Ok(()) => observer.notice(Progress::RepoDone { repo: repo.name.clone() }),
            Err(CollectError::GitHub(Error::Limited { .. })) => {
                report.limited = true;
                break;
            }
            Err(CollectError::GitHub(error)) => report.failed.push((repo.name.clone(), error.to_string())),
            Err(error) => return Err(error),
        }
    }
    report.usage = github.usage();
    if !report.limited {
        note_time(context, &probe.login).await?;
    }
    Ok(report)
}

/// Whether it is time to compare the organization again: a day after the last time, or after the first
/// collection.
///
/// # Errors
/// Where the store fails.
pub async fn is_due(context: &Context, org: &str) -> Result<bool, CollectError> {
    let key = CheckpointKey::Org(org.to_owned());
    let held: Held<OrgCheckpoint> = Held::load(&*context.checkpoints, &key).await?;
    match held.value.reconciled_at {
        Some(at) => Ok(context.clock.now() - at >= TimeDelta::days(1)),
        None => {
            note_time(context, org).await?;
            Ok(false)
        }
    }
}

/// Keeps when it was. A collection that saves at the same time goes first.
async fn note_time(context: &Context, org: &str) -> Result<(), CollectError> {
    let key = CheckpointKey::Org(org.to_owned());
    loop {
        let mut held: Held<OrgCheckpoint> = Held::load(&*context.checkpoints, &key).await?;
        held.value.reconciled_at = Some(context.clock.now());
        if held.save(&*context.checkpoints, &key).await? {
            return Ok(());
        }
    }
}

/// One repository, being compared.
struct Comparing<'a> {
    context: &'a Context,
    github: &'a Client,
    repo: RepoRef,
    origin: Origin,
    known: Known,
    pushed_at: i64,
    report: &'a mut ReconcileReport,
}

impl Comparing<'_> {
    async fn compare(
        &mut self,
        checkpoint: &RepoCheckpoint,
        totals: Option<gam_github::Totals>,
    ) -> Result<(), CollectError> {
        if let Some(totals) = totals {
            self.entries(StatesOf::Pulls, checkpoint.pulls.since, &totals.pulls).await?;
            self.entries(StatesOf::Issues, checkpoint.issues.since, &totals.issues).await?;
        }
        // A walk or a move that is not finished is finished by the next collection.
        let commits = &checkpoint.commits;
        if commits.walk.is_none() && commits.moving.is_none() {
            self.commits(commits).await?;
        }
        Ok(())
    }

    /// Writes what repairs a difference.
    async fn repair(
        &mut self,
        what: &'static str,
        entries: usize,
        events: Vec<Event>,
    ) -> Result<(), CollectError> {
        if entries == 0 {
            return Ok(());
        }
        tracing::info!(repo = self.repo.name, what, entries, "GitHub shows it otherwise: repaired");
        self.report.events += events.len();
        self.report.differences.push(Difference { repo: self.repo.name.clone(), what, entries });
        inbox::put(&*self.context.objects, &EventBatch::new(&self.origin.org, events)).await?;
        Ok(())
    }

    /// The commits reachable from the tip that was read last.
    async fn commits(&mut self, checkpoint: &CommitsCheckpoint) -> Result<(), CollectError> {
        let Some(covered) = &checkpoint.covered else { return Ok(()) };
        let span = (Some(covered.since), covered.until);
        let total = match self.github.history_total(&self.repo, &covered.tip, span).await {
            Ok(total) => total,
            // Pushed over since: the next collection moves to the new tip.
            Err(Error::NotFound(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if total == self.known.commits(covered.since, covered.until) {
            return Ok(());
        }
        let shown = self.github.history_ids(&self.repo, &covered.tip, span).await?;
        let shown: BTreeSet<String> = shown.into_iter().collect();
        let mut known: HashMap<String, Event> = HashMap::new();
        let in_span =
            |at: DateTime<Utc>| at >= covered.since && covered.until.is_none_or(|until| at <= until);
        each_live(self.context, &self.origin.org, |event| {
            if event.repo_id == self.repo.id
                && event.kind == EventKind::Commit
                && in_span(event.occurred_at)
                && let Some(sha) = event.facts.sha.clone()
            {
                known.insert(sha, event);
            }
        })
        .await?;
        let missing: Vec<String> = shown.iter().filter(|sha| !known.contains_key(*sha)).cloned().collect();
        known.retain(|sha, _| !shown.contains(sha));
        let gone = self.not_on_branch(&covered.tip, known).await?;
        let entries = missing.len() + gone.len();
        let version = if gone.is_empty() { checkpoint.version } else { self.next_version().await? };
        let found = self.github.commits_by_id(&self.repo, &missing).await?;
        let mut events: Vec<Event> = found.iter().map(|commit| self.origin.commit(commit, version)).collect();
        // Newer than what was told before, and older than what will be told from now on.
        let taken_back = 2 * (version - 1);
        events.extend(gone.into_iter().map(|event| Event { version: taken_back, retracted: true, ..event }));
        self.repair("commits", entries, events).await
    }

    /// Those that cannot be reached from the tip. A history that begins at a date leaves out what lies
    /// behind a commit with an earlier one, so each is looked for by itself.
    async fn not_on_branch(
        &self,
        tip: &str,
        unlisted: HashMap<String, Event>,
    ) -> Result<Vec<Event>, CollectError> {
        if unlisted.len() > MOST_UNLISTED {
            tracing::warn!(
                repo = self.repo.name,
                commits = unlisted.len(),
                "so many commits are counted and not listed that they are left as they are"
            );
            return Ok(Vec::new());
        }
        let mut gone = Vec::new();
        for (sha, event) in unlisted {
            let is_on_branch = match self.github.compare(&self.repo, tip, &sha).await {
                Ok(comparison) => comparison.commits.is_empty(),
                Err(Error::NotFound(_)) => false,
                Err(error) => return Err(error.into()),
            };
            if !is_on_branch {
                gone.push(event);
            }
        }
        Ok(gone)
    }

    /// Begins a new version of the repository's commits, as a force-push does: what was told of them
    /// before, and what was taken back, is older than what is told from now on.
    async fn next_version(&self) -> Result<i64, CollectError> {
        let org = &self.origin.org;
        let key = CheckpointKey::Repo(org.clone(), self.repo.id);
        let mut held: Held<RepoCheckpoint> = Held::load(&*self.context.checkpoints, &key).await?;
        let commits = &mut held.value.commits;
        commits.version = (commits.version + 2).max(self.pushed_at);
        let version = commits.version;
        if held.save(&*self.context.checkpoints, &key).await? {
            Ok(version)
        } else {
            Err(CollectError::Concurrent(org.clone()))
        }
    }
}

/// Numbers that are known, and what of them is live: to take back what is gone.
type Live = BTreeMap<i64, Vec<Event>>;
