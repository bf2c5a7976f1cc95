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
use gam_github::events::EventBuilder;
use gam_github::{Client, CommitterDateSpan, Error, RepoProbe, RepoRef, ThreadKind, Usage};
use gam_lake::inbox;
use gam_model::{CommitVersion, Event, EventBatch, EventKind};
use gam_store::keys::CheckpointKey;

use crate::checkpoint::{CommitsCheckpoint, CoveredCommits, RepoCheckpoint};
use crate::waits::telling_waits;
use crate::{CollectError, Limited};
use crate::{CollectObserver, CollectPorts, CollectProgress};
use gam_store::{Checkpoint, OrgCheckpoint};
use known::{Known, each_event, known};

/// How many repositories are counted together.
const TOGETHER: usize = 20;
/// How many commits of a repository are listed at most where their count differs.
const MOST_LISTED: usize = 100_000;
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
    /// Where it stopped for the API's limits; what was repaired until then is in the inbox.
    pub limited: Option<Limited>,
}

/// Compares the organization's repositories with GitHub, and writes what repairs them into the inbox. Where
/// an earlier run was stopped by the limits, this one goes on.
///
/// # Errors
/// Where the organization cannot be read, or the lake or the store fails. A repository that fails is
/// named in the report.
pub async fn reconcile(
    ports: &CollectPorts,
    github: &Client,
    org: &str,
    observer: &dyn CollectObserver,
) -> Result<ReconcileReport, CollectError> {
    let github = &github.for_org(org).await?.metered();
    telling_waits(github, observer, compare_all(ports, github, org, observer)).await
}

async fn compare_all(
    ports: &CollectPorts,
    github: &Client,
    org: &str,
    observer: &dyn CollectObserver,
) -> Result<ReconcileReport, CollectError> {
    let held = Checkpoint::load_repos(&*ports.checkpoints, org).await?;
    let probe = github.probe(org).await?;
    let begun = load_org(ports, &probe.login).await?.value.reconciled_to;
    let mut read: Vec<&RepoProbe> = probe.repos.iter().filter(|repo| held.contains_key(&repo.id)).collect();
    read.sort_by_key(|repo| repo.id);
    read.retain(|repo| begun.is_none_or(|begun| repo.id > begun));
    let known = known(ports, &probe.login, &read.iter().map(|repo| repo.id).collect()).await?;
    observer.notice(CollectProgress::Comparing { org: probe.login.clone(), repos: read.len() });
    let report = ReconcileReport { org: probe.login.clone(), ..ReconcileReport::default() };
    let mut run = Run { ports, github, held: &held, known, observer, report };
    let mut reached = begun;
    for chunk in read.chunks(TOGETHER) {
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
    let now = ports.clock.now();
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

/// Whether it is time to compare the organization again: a day after the last time, or after the first
/// collection, or where the last time was stopped by the limits.
///
/// # Errors
/// Where the store fails.
pub async fn is_due(ports: &CollectPorts, org: &str) -> Result<bool, CollectError> {
    let held = load_org(ports, org).await?;
    let now = ports.clock.now();
    match held.value.reconciled_at {
        _ if held.value.reconciled_to.is_some() => Ok(true),
        Some(at) => Ok(now - at >= TimeDelta::days(1)),
        None => {
            Checkpoint::change_org(&*ports.checkpoints, org, |org| org.reconciled_at = Some(now)).await?;
            Ok(false)
        }
    }
}

async fn load_org(ports: &CollectPorts, org: &str) -> Result<Checkpoint<OrgCheckpoint>, CollectError> {
    Ok(Checkpoint::load(&*ports.checkpoints, &CheckpointKey::Org(org.to_owned())).await?)
}

/// A reconciliation under way.
struct Run<'a> {
    ports: &'a CollectPorts,
    github: &'a Client,
    held: &'a BTreeMap<i64, Checkpoint<RepoCheckpoint>>,
    known: HashMap<i64, Known>,
    observer: &'a dyn CollectObserver,
    report: ReconcileReport,
}

impl Run<'_> {
    /// Compares some repositories, whose counts are asked for together.
    async fn compare(&mut self, repos: &[&RepoProbe]) -> Result<(), CollectError> {
        let node_ids: Vec<String> = repos.iter().map(|repo| repo.node_id.clone()).collect();
        let totals = self.github.thread_totals(&node_ids).await?;
        let covered: Vec<_> = repos.iter().filter_map(|repo| self.covered(repo)).collect();
        let histories = self.github.count_commits_by_repo(&covered).await?;
        for repo in repos {
            let origin = EventBuilder {
                org: self.report.org.clone(),
                repo: repo.name.clone(),
                repo_id: repo.id,
                collected_at: self.ports.clock.now(),
            };
            let mut comparing = Comparing {
                ports: self.ports,
                github: self.github,
                repo: self.reference(repo),
                origin,
                known: self.known.remove(&repo.id).unwrap_or_default(),
                pushed_at: repo.pushed_at,
                report: &mut self.report,
            };
            let checkpoint = &self.held[&repo.id].value;
            let (total, history) = (totals.get(&repo.node_id), histories.get(&repo.id));
            match comparing.compare(checkpoint, total.copied(), history.copied()).await {
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

    /// The history that was read of a repository. A walk or a move that is not finished is finished by the
    /// next collection.
    fn covered(&self, repo: &RepoProbe) -> Option<(RepoRef, String, CommitterDateSpan)> {
        let commits = &self.held[&repo.id].value.commits;
        let covered =
            commits.covered.as_ref().filter(|_| commits.walk.is_none() && commits.moving.is_none())?;
        Some((self.reference(repo), covered.tip.clone(), (Some(covered.since), covered.until)))
    }
}

/// One repository, being compared.
struct Comparing<'a> {
    ports: &'a CollectPorts,
    github: &'a Client,
    repo: RepoRef,
    origin: EventBuilder,
    known: Known,
    pushed_at: Option<DateTime<Utc>>,
    report: &'a mut ReconcileReport,
}

impl Comparing<'_> {
    async fn compare(
        &mut self,
        checkpoint: &RepoCheckpoint,
        totals: Option<gam_github::ThreadTotals>,
        history: Option<i64>,
    ) -> Result<(), CollectError> {
        if let Some(totals) = totals {
            self.entries(ThreadKind::PullRequests, checkpoint.pulls.since, &totals.pulls).await?;
            self.entries(ThreadKind::Issues, checkpoint.issues.since, &totals.issues).await?;
        }
        match history {
            Some(total) => self.commits(&checkpoint.commits, total).await,
            None => Ok(()),
        }
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
        inbox::put(&*self.ports.objects, &EventBatch::new(&self.origin.org, events)).await?;
        Ok(())
    }

    /// The commits reachable from the tip that was read last, of which there are so many.
    async fn commits(&mut self, checkpoint: &CommitsCheckpoint, total: i64) -> Result<(), CollectError> {
        let Some(covered) = &checkpoint.covered else { return Ok(()) };
        if total == self.known.commits(covered.since, covered.until) {
            return Ok(());
        }
        let Some(shown) = self.listed(covered, total).await? else {
            tracing::warn!(
                repo = self.repo.name,
                total,
                "its commits differ, and are too many to be compared"
            );
            return Ok(());
        };
        let mut known: HashMap<String, Event> = HashMap::new();
        let in_span =
            |at: DateTime<Utc>| at >= covered.since && covered.until.is_none_or(|until| at <= until);
        each_event(self.ports, &self.origin.org, |event| {
            if event.repo_id == self.repo.id
                && event.kind == EventKind::Commit
                && !event.retracted
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
        let version = if gone.is_empty() {
            Some(checkpoint.version)
        } else {
            self.next_version(covered, &gone).await?
        };
        let Some(version) = version else {
            tracing::info!(
                repo = self.repo.name,
                "a collection has moved on meanwhile: compared another day"
            );
            return Ok(());
        };
        let found = self.github.commits_by_id(&self.repo, &missing).await?;
        let mut events: Vec<Event> = found.iter().map(|commit| self.origin.commit(commit, version)).collect();
        // Newer than what was told before, and older than what will be told from now on.
        let taken_back = version.retraction().event_version(false);
        events.extend(gone.into_iter().map(|event| Event { version: taken_back, retracted: true, ..event }));
        self.repair("commits", entries, events).await
    }

    /// The object ids of the commits that were to be read, of which there are so many; nothing where they are
    /// too many to be looked at. The list leaves out what lies behind a commit with an earlier date: then all
    /// are looked at.
    async fn listed(
        &self,
        covered: &CoveredCommits,
        total: i64,
    ) -> Result<Option<BTreeSet<String>>, CollectError> {
        for since in [Some(covered.since), None] {
            let span = (since, covered.until);
            let Some(shown) =
                self.github.list_commit_ids(&self.repo, &covered.tip, span, MOST_LISTED).await?
            else {
                return Ok(None);
            };
            let shown = shown.into_iter().filter(|(_, at)| *at >= covered.since);
            let shown: BTreeSet<String> = shown.map(|(oid, _)| oid).collect();
            if since.is_none() || shown.len() as i64 >= total {
                return Ok(Some(shown));
            }
        }
        Ok(None)
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
    /// before, and what was taken back, is older than what is told from now on. What is gone is not asked for
    /// again, as GitHub may still show it. Nothing where a collection has moved on from what was compared.
    async fn next_version(
        &self,
        compared: &CoveredCommits,
        gone: &[Event],
    ) -> Result<Option<CommitVersion>, CollectError> {
        let org = &self.origin.org;
        let key = CheckpointKey::Repo(org.clone(), self.repo.id);
        let mut held: Checkpoint<RepoCheckpoint> = Checkpoint::load(&*self.ports.checkpoints, &key).await?;
        let commits = &mut held.value.commits;
        if commits.covered.as_ref() != Some(compared) || commits.walk.is_some() || commits.moving.is_some() {
            return Ok(None);
        }
        let gone = gone.iter().filter_map(|event| event.facts.sha.as_deref());
        gone.for_each(|sha| commits.uncounted.note(sha, true));
        commits.version = commits.version.after_force_push(self.pushed_at);
        let version = commits.version;
        if held.save(&*self.ports.checkpoints, &key).await? {
            Ok(Some(version))
        } else {
            Err(CollectError::Concurrent(org.clone()))
        }
    }
}
