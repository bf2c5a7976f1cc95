//! Compares what was collected with what GitHub shows now, and repairs the differences.
//!
//! A collection reads what GitHub lists as changed. GitHub lists nearly every change, but not that an issue
//! was deleted or transferred, and its servers have failed to list changes before. So once a day each
//! repository's counts and latest states are compared with GitHub's: cheaply if they agree, and entry by entry
//! if they do not. Releases and unsettled deployments are not compared, because every collection reads them
//! completely.
//!
//! Only snapshots are compared. Events in the inbox, and changes since the last collection, may be read once
//! more, which changes nothing.

mod commits;
mod snapshots;
mod threads;

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use gam_github::events::EventBuilder;
use gam_github::{Client, CommitterDateSpan, Error, RepoProbe, RepoRef, ThreadKind, ThreadTotals, Usage};
use gam_lake::inbox;
use gam_model::{Event, EventBatch};
use gam_store::keys::CheckpointKey;
use gam_store::{Checkpoint, OrgCheckpoint};

use crate::checkpoint::RepoCheckpoint;
use crate::waits::with_wait_reports;
use crate::writer::Checkpoints;
use crate::{CollectError, CollectObserver, CollectPorts, CollectProgress, CollectWarning, Limited};
use snapshots::{StoredRepo, load_repos};

/// How many repositories are counted with one request.
const REPOS_PER_REQUEST: usize = 20;
/// How long after a comparison the next one is due.
const INTERVAL: TimeDelta = TimeDelta::days(1);

/// A difference between the snapshots and GitHub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The repository's name.
    pub repo: String,
    /// What differs: `commits`, `pull_requests` or `issues`.
    pub what: &'static str,
    /// Number of entries that GitHub shows differently, or does not show.
    pub entries: usize,
}

/// What a reconciliation did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReconcileReport {
    /// The organization's login, as GitHub writes it.
    pub org: String,
    /// Number of repositories compared.
    pub repos: usize,
    /// What differed. The events that repair it are in the inbox.
    pub differences: Vec<Difference>,
    /// Number of events written to the inbox.
    pub events: usize,
    /// What all requests cost.
    pub usage: Usage,
    /// Names of repositories that could not be compared, with the reason.
    pub failed: Vec<(String, String)>,
    /// What a person should know about the comparison.
    pub warnings: Vec<CollectWarning>,
    /// Why the API's limits stopped it; `None` if they did not. Repairs made before are in the inbox.
    pub limited: Option<Limited>,
}

/// Compares the organization's repositories with GitHub, and writes events that repair the differences into
/// the inbox. If the limits stopped an earlier reconciliation, this one continues it.
///
/// # Errors
/// If the organization cannot be read, or the lake or the store fails. A repository that fails is named in
/// the report.
pub async fn reconcile(
    ports: &CollectPorts,
    github: &Client,
    org: &str,
    observer: &dyn CollectObserver,
) -> Result<ReconcileReport, CollectError> {
    let github = &github.for_org(org).await?.metered();
    with_wait_reports(github, observer, compare_all(ports, github, org, observer)).await
}

async fn compare_all(
    ports: &CollectPorts,
    github: &Client,
    org: &str,
    observer: &dyn CollectObserver,
) -> Result<ReconcileReport, CollectError> {
    let checkpoints = Checkpoint::load_repos(&*ports.checkpoints, org).await?;
    let probe = github.probe(org).await?;
    let resume_after = load_org(ports, &probe.login).await?.value.reconciled_to;
    let is_collected = |repo: &&RepoProbe| checkpoints.contains_key(&repo.id);
    let mut repos: Vec<&RepoProbe> = probe.repos.iter().filter(is_collected).collect();
    repos.sort_by_key(|repo| repo.id);
    repos.retain(|repo| resume_after.is_none_or(|last| repo.id > last));
    let stored = load_repos(ports, &probe.login, &repos.iter().map(|repo| repo.id).collect()).await?;
    observer.notice(CollectProgress::Comparing { org: probe.login.clone(), repos: repos.len() });
    let report = ReconcileReport { org: probe.login.clone(), ..ReconcileReport::default() };
    let mut run = Reconciliation { ports, github, checkpoints: &checkpoints, stored, observer, report };
    let mut reached = resume_after;
    for chunk in repos.chunks(REPOS_PER_REQUEST) {
        match run.compare(chunk).await {
            Ok(()) => {}
            Err(CollectError::GitHub(Error::Limited { until, why })) => {
                run.report.limited = Some(Limited { until, why });
                break;
            }
            Err(CollectError::GitHub(error)) => {
                let failed = chunk.iter().map(|repo| (repo.name.clone(), error.to_string()));
                run.report.failed.extend(failed);
            }
            Err(error) => return Err(error),
        }
        reached = chunk.last().map(|repo| repo.id);
    }
    let mut report = run.report;
    report.usage = github.usage();
    let now = probe.read_at.unwrap_or_else(|| ports.clock.now());
    Checkpoint::change_org(&*ports.checkpoints, &probe.login, |org| {
        if report.limited.is_some() {
            org.reconciled_to = reached;
        } else {
            (org.reconciled_at, org.reconciled_to) = (Some(now), None);
        }
    })
    .await?;
    Ok(report)
}

/// Returns whether it is time to compare the organization with GitHub: a day after the last comparison or
/// after the first call of this function, or at once if the limits stopped the last comparison. `now` is the
/// time by GitHub's clock, as the last collection reported it, UTC.
///
/// # Errors
/// If the store fails.
pub async fn is_due(ports: &CollectPorts, org: &str, now: DateTime<Utc>) -> Result<bool, CollectError> {
    let checkpoint = load_org(ports, org).await?.value;
    if checkpoint.reconciled_to.is_some() {
        return Ok(true);
    }
    match checkpoint.reconciled_at {
        Some(at) => Ok(now - at >= INTERVAL),
        None => {
            Checkpoint::change_org(&*ports.checkpoints, org, |org| org.reconciled_at = Some(now)).await?;
            Ok(false)
        }
    }
}

async fn load_org(ports: &CollectPorts, org: &str) -> Result<Checkpoint<OrgCheckpoint>, CollectError> {
    Ok(Checkpoint::load(&*ports.checkpoints, &CheckpointKey::Org(org.to_owned())).await?)
}

/// A reconciliation of one organization.
struct Reconciliation<'a> {
    ports: &'a CollectPorts,
    github: &'a Client,
    checkpoints: &'a Checkpoints,
    /// What the snapshots hold of repositories that are not compared yet, by id.
    stored: HashMap<i64, StoredRepo>,
    observer: &'a dyn CollectObserver,
    report: ReconcileReport,
}

impl Reconciliation<'_> {
    /// Compares some repositories, whose counts are requested together.
    async fn compare(&mut self, repos: &[&RepoProbe]) -> Result<(), CollectError> {
        let node_ids: Vec<String> = repos.iter().map(|repo| repo.node_id.clone()).collect();
        let totals = self.github.thread_totals(&node_ids).await?;
        let covered: Vec<_> = repos.iter().filter_map(|repo| self.covered_history(repo)).collect();
        let histories = self.github.count_commits_by_repo(&covered).await?;
        for repo in repos {
            let event_builder = EventBuilder {
                org: self.report.org.clone(),
                repo: repo.name.clone(),
                repo_id: repo.id,
                collected_at: self.ports.clock.now(),
            };
            let mut comparison = RepoComparison {
                ports: self.ports,
                github: self.github,
                repo: self.reference(repo),
                event_builder,
                stored: self.stored.remove(&repo.id).unwrap_or_default(),
                pushed_at: repo.pushed_at,
                report: &mut self.report,
            };
            let checkpoint = &self.checkpoints[&repo.id].value;
            let (totals, commits) = (totals.get(&repo.node_id), histories.get(&repo.id));
            match comparison.run(checkpoint, totals.copied(), commits.copied()).await {
                Ok(()) => self.observer.notice(CollectProgress::Compared { repo: repo.name.clone() }),
                Err(CollectError::GitHub(error)) if !matches!(error, Error::Limited { .. }) => {
                    self.report.failed.push((repo.name.clone(), error.to_string()));
                }
                Err(error) => return Err(error),
            }
            self.report.repos += 1;
        }
        Ok(())
    }

    fn reference(&self, repo: &RepoProbe) -> RepoRef {
        RepoRef {
            owner: self.report.org.clone(),
            name: repo.name.clone(),
            node_id: repo.node_id.clone(),
            id: repo.id,
        }
    }

    /// Returns the covered history of a repository; `None` if a walk or a move is unfinished, which the next
    /// collection finishes.
    fn covered_history(&self, repo: &RepoProbe) -> Option<(RepoRef, String, CommitterDateSpan)> {
        let commits = &self.checkpoints[&repo.id].value.commits;
        let covered = commits.covered.as_ref().filter(|_| !commits.is_in_progress())?;
        Some((self.reference(repo), covered.tip.clone(), (Some(covered.since), covered.until)))
    }
}

/// A comparison of one repository.
struct RepoComparison<'a> {
    ports: &'a CollectPorts,
    github: &'a Client,
    repo: RepoRef,
    event_builder: EventBuilder,
    /// What the snapshots hold of the repository.
    stored: StoredRepo,
    pushed_at: Option<DateTime<Utc>>,
    report: &'a mut ReconcileReport,
}

impl RepoComparison<'_> {
    /// Warns a person about the repository: the report returns the warning.
    fn warn(&mut self, text: impl Into<String>) {
        self.report.warnings.push(CollectWarning { repo: Some(self.repo.name.clone()), text: text.into() });
    }

    /// Compares with GitHub's totals, which are `None` if GitHub did not return them. `commits` is the number
    /// of commits in the covered history.
    async fn run(
        &mut self,
        checkpoint: &RepoCheckpoint,
        totals: Option<ThreadTotals>,
        commits: Option<i64>,
    ) -> Result<(), CollectError> {
        if let Some(totals) = totals {
            let (pulls, issues) = (checkpoint.pulls.covered_from, checkpoint.issues.covered_from);
            self.compare_threads(ThreadKind::PullRequests, pulls, &totals.pulls).await?;
            self.compare_threads(ThreadKind::Issues, issues, &totals.issues).await?;
        }
        match commits {
            Some(total) => self.compare_commits(&checkpoint.commits, total).await,
            None => Ok(()),
        }
    }

    /// Writes the events that repair a difference.
    async fn repair(
        &mut self,
        what: &'static str,
        entries: usize,
        events: Vec<Event>,
    ) -> Result<(), CollectError> {
        if entries == 0 {
            return Ok(());
        }
        tracing::info!(repo = self.repo.name, what, entries, "repairing entries that differ from GitHub");
        self.report.events += events.len();
        self.report.differences.push(Difference { repo: self.repo.name.clone(), what, entries });
        inbox::put(&*self.ports.objects, &EventBatch::new(&self.event_builder.org, events)).await?;
        Ok(())
    }
}
