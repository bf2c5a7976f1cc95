//! Compares what was collected with what GitHub shows now, and repairs the differences.
//!
//! A collection reads what GitHub lists as changed. GitHub lists nearly every change, but not that an issue
//! was deleted or transferred, and its servers have failed to list changes before. So once a day each
//! repository's counts are compared with GitHub's, and the rows in the lake with each other. If they differ,
//! the list is compared entry by entry.
//!
//! | kind | compared by counts | entry by entry |
//! |---|---|---|
//! | commits | those in the covered span | if the counts differ |
//! | issues | those that changed since the list was first read, by state | if the counts differ |
//! | pull requests, with reviews | if all were read: by state | if the counts differ, and once a week |
//! | releases | with those that the checkpoint remembers | if one is missing |
//! | deployments | | once a week |
//!
//! The week is spread over the repositories: each day another seventh of them is listed. A reconciliation that
//! a person starts lists all of them. What GitHub no longer shows is retracted, but for releases and
//! deployments: they happened all the same.
//!
//! The lake is read before the comparison, and once more if rows have to be found that a repair changes. If it holds more
//! of the repositories than fits into memory, it is read for some of them at a time. If reading takes longer than a run
//! has, the next run reads it for half as many.

mod commits;
mod delivery;
mod repairs;
mod snapshots;
mod threads;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use gam_github::events::EventBuilder;
use gam_github::{Client, CommitterDateSpan, Error, RepoProbe, RepoRef, ThreadKind, ThreadTotals, Usage};
use gam_lake::{configuration, inbox};
use gam_model::{Event, EventBatch};
use gam_store::keys::CheckpointKey;
use gam_store::{Checkpoint, OrgCheckpoint, ReadAgainSpan};
use tokio::time::Instant;

use crate::checkpoint::RepoCheckpoint;
use crate::org::{OrgRef, RequestedOrg, stored_name};
use crate::waits::with_wait_reports;
use crate::writer::Checkpoints;
use crate::{CollectError, CollectObserver, CollectPorts, CollectProgress, Limited};
use repairs::PendingRepairs;
use snapshots::{ScanBounds, StoredRepo, load_repos};

/// How many repositories are counted with one request.
const REPOS_PER_REQUEST: usize = 20;
/// How long after a comparison the next one is due.
const INTERVAL: TimeDelta = TimeDelta::days(1);
/// Each repository is listed on one of this many days.
const LISTING_CYCLE_DAYS: i64 = 7;
/// How much is held in memory of the repositories that are compared together, in entries: about 100 bytes each.
const MAX_LOADED_ENTRIES: usize = 1_000_000;
/// How many entries of a list are compared at most on the day of a repository, the last changed ones first.
const MAX_DAILY_ENTRIES: usize = 5_000;

/// What to compare.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReconcileRequest {
    /// The organization's login: the current one, or a former one that the registry knows.
    pub org: String,
    /// Whether the pull requests and deployments of all repositories are compared entry by entry, however long
    /// their lists are. Otherwise those of a seventh of the repositories are.
    pub lists_everything: bool,
    /// When to stop and save the progress; `None` to run to the end. A host that ends the process sets it.
    pub stop_at: Option<Instant>,
}

/// A difference between the snapshots and GitHub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The repository's name.
    pub repo: String,
    /// What differs: `commits`, `pull_requests`, `issues`, `releases` or `deployments`.
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
    /// Number of repositories whose reviews and deployments were compared too, entry by entry.
    pub listed: usize,
    /// What differed. The events that repair it are in the inbox.
    pub differences: Vec<Difference>,
    /// Number of events written to the inbox.
    pub events: usize,
    /// What all requests cost.
    pub usage: Usage,
    /// Names of repositories that could not be compared, with the reason.
    pub failed: Vec<(String, String)>,
    /// Why the API's limits stopped it; `None` if they did not. Repairs made before are in the inbox.
    pub limited: Option<Limited>,
}

/// Compares the organization's repositories with GitHub, and writes events that repair the differences into
/// the inbox. If the limits or the time stopped an earlier reconciliation, this one continues it.
///
/// # Errors
/// If the organization cannot be read, or the lake or the store fails. A repository that fails is named in
/// the report.
pub async fn reconcile(
    ports: &CollectPorts,
    github: &Client,
    request: &ReconcileRequest,
    observer: &dyn CollectObserver,
) -> Result<ReconcileReport, CollectError> {
    let org = RequestedOrg::find(&*ports.objects, &request.org).await?;
    let github = &org.sign_in(&*ports.objects, github).await?;
    with_wait_reports(github, observer, compare_all(ports, github, &org, request, observer)).await
}

async fn compare_all(
    ports: &CollectPorts,
    github: &Client,
    org: &RequestedOrg,
    request: &ReconcileRequest,
    observer: &dyn CollectObserver,
) -> Result<ReconcileReport, CollectError> {
    let mut checkpoints = Checkpoint::load_repos(&*ports.checkpoints, &org.key).await?;
    let mut probe = org.probe(&*ports.objects, github).await?;
    let key = org.identify(&probe, ports.clock.now())?.key;
    if key != org.key {
        checkpoints = Checkpoint::load_repos(&*ports.checkpoints, &key).await?;
    }
    let configuration = configuration::latest(&*ports.objects, &key).await?.configuration;
    probe.repos.retain(|repo| !configuration.excludes(&repo.name));
    let progress = load_org(ports, &key).await?.value;
    let resume_after = progress.reconciled_to;
    let is_collected = |repo: &&RepoProbe| checkpoints.contains_key(&repo.id);
    let mut repos: Vec<RepoProbe> = probe.repos.iter().filter(is_collected).cloned().collect();
    repos.sort_by_key(|repo| repo.id);
    repos.retain(|repo| resume_after.is_none_or(|last| repo.id > last));
    observer.notice(CollectProgress::Comparing { org: probe.login.clone(), repos: repos.len() });
    let now = probe.read_at.unwrap_or_else(|| ports.clock.now());
    let org = OrgRef { key: &key, login: &probe.login };
    let mut run = Reconciliation::new(ports, github, org, &checkpoints, &repos, now);
    run.stop_at = request.stop_at;
    if !request.lists_everything {
        run.listing_day = Some(now.timestamp().div_euclid(86_400));
        run.max_entries = MAX_DAILY_ENTRIES;
    }
    // Up to which repository everything was compared, and repaired.
    let (mut compared_to, mut repaired_to) = (resume_after, resume_after);
    let max_repos = progress.reconcile_at_most.map_or(usize::MAX, |repos| repos.max(1) as usize);
    let mut rest = &repos[..];
    let mut loaded = &repos[..0];
    while !rest.is_empty() {
        if loaded.is_empty() {
            let wanted = &rest[..max_repos.min(rest.len())];
            match run.load(wanted, MAX_LOADED_ENTRIES).await? {
                Some(count) => loaded = &wanted[..count],
                None => {
                    // Later ones have less time, and the next run starts with them.
                    if rest.len() == repos.len() {
                        let half = u32::try_from(wanted.len() / 2).unwrap_or(u32::MAX);
                        let halve = |org: &mut OrgCheckpoint| org.reconcile_at_most = Some(half);
                        Checkpoint::change_org(&*ports.checkpoints, &key, halve).await?;
                    }
                    run.report.limited = Some(out_of_time(ports));
                    break;
                }
            }
        }
        let chunk = &loaded[..REPOS_PER_REQUEST.min(loaded.len())];
        (loaded, rest) = (&loaded[chunk.len()..], &rest[chunk.len()..]);
        let compared = run.compare_chunk(chunk, observer).await?;
        if compared.is_ok() {
            compared_to = chunk.last().map(|repo| repo.id);
        }
        let is_repaired = match compared {
            Ok(()) if run.pending.is_large() => run.repair_pending().await?.map(|()| true),
            Ok(()) => Ok(run.pending.is_empty()),
            Err(limited) => Err(limited),
        };
        match is_repaired {
            Ok(true) => {
                repaired_to = compared_to;
                save_progress(ports, &key, repaired_to).await?;
            }
            Ok(false) => {}
            Err(limited) => {
                run.report.limited = Some(limited);
                break;
            }
        }
    }
    let has_pending = !run.pending.is_empty();
    match run.repair_pending().await? {
        Ok(()) if has_pending => repaired_to = compared_to,
        Ok(()) => {}
        Err(limited) => run.report.limited = Some(limited),
    }
    if run.report.limited.is_some() {
        save_progress(ports, &key, repaired_to).await?;
    }
    let mut report = run.report;
    report.usage = github.usage();
    if report.limited.is_none() {
        let has_compared_all = request.lists_everything && resume_after.is_none() && report.failed.is_empty();
        Checkpoint::change_org(&*ports.checkpoints, &key, |org| {
            (org.reconciled_at, org.reconciled_to, org.reconcile_at_most) = (Some(now), None, None);
            if let Some(from) = org.since.filter(|_| has_compared_all) {
                // The repairs bring back whatever a lost month held.
                org.lost_months.clear();
                org.read_again = Some(ReadAgainSpan { from, until: None, has_everything: false });
            }
        })
        .await?;
    }
    Ok(report)
}

/// Returns the limit that the time of a run is.
fn out_of_time(ports: &CollectPorts) -> Limited {
    Limited { until: Some(ports.clock.now()), why: "the time of this run is used up".to_owned() }
}

/// Saves up to which repository everything was compared and repaired.
async fn save_progress(ports: &CollectPorts, key: &str, reached: Option<i64>) -> Result<(), CollectError> {
    Checkpoint::change_org(&*ports.checkpoints, key, |org| org.reconciled_to = reached).await?;
    Ok(())
}

/// A list of threads in which GitHub shows fewer threads than were counted.
#[derive(Debug, Clone)]
pub(crate) struct ShortList {
    pub(crate) repo: RepoProbe,
    pub(crate) kind: ThreadKind,
}

/// Compares lists of threads in which GitHub shows fewer than were counted, and retracts what is gone.
///
/// # Errors
/// If the lake or the store fails. A repository that fails is named in the report.
pub(crate) async fn compare_short_lists(
    ports: &CollectPorts,
    github: &Client,
    org: OrgRef<'_>,
    checkpoints: &Checkpoints,
    lists: &[ShortList],
    probed_at: DateTime<Utc>,
) -> Result<ReconcileReport, CollectError> {
    let repos: Vec<RepoProbe> = lists.iter().map(|list| list.repo.clone()).collect();
    let mut run = Reconciliation::new(ports, github, org, checkpoints, &repos, probed_at);
    // These are the few lists of one collection.
    run.load(&repos, usize::MAX).await?;
    for ShortList { repo, kind } in lists {
        let checkpoint = &checkpoints[&repo.id].value;
        let covered_from = match kind {
            ThreadKind::PullRequests => checkpoint.pulls.covered_from,
            ThreadKind::Issues => checkpoint.issues.covered_from,
        };
        let Some(covered_from) = covered_from else { continue };
        let stored = run.stored.get(&repo.id).cloned().unwrap_or_default();
        let compared = run.comparison(repo, stored).list_threads(*kind, covered_from).await;
        if let Err(limited) = run.report_failures(std::slice::from_ref(repo), compared)? {
            run.report.limited = Some(limited);
            break;
        }
    }
    if let Err(limited) = run.repair_pending().await? {
        run.report.limited = Some(limited);
    }
    Ok(run.report)
}

/// Returns whether it is time to compare the organization with GitHub: a day after the last comparison or
/// after the first call of this function, or at once if the limits stopped the last comparison. `now` is the
/// time by GitHub's clock, as the last collection reported it, UTC. `key` is the organization's storage key.
///
/// # Errors
/// If the store fails.
pub async fn is_due(ports: &CollectPorts, key: &str, now: DateTime<Utc>) -> Result<bool, CollectError> {
    let checkpoint = load_org(ports, key).await?.value;
    if checkpoint.reconciled_to.is_some() {
        return Ok(true);
    }
    match checkpoint.reconciled_at {
        // A clock that was ahead once must not put off comparisons for as long.
        Some(at) => Ok((now - at).abs() >= INTERVAL),
        None => {
            Checkpoint::change_org(&*ports.checkpoints, key, |org| org.reconciled_at = Some(now)).await?;
            Ok(false)
        }
    }
}

async fn load_org(ports: &CollectPorts, key: &str) -> Result<Checkpoint<OrgCheckpoint>, CollectError> {
    Ok(Checkpoint::load(&*ports.checkpoints, &CheckpointKey::Org(key.to_owned())).await?)
}

/// A reconciliation of one organization.
struct Reconciliation<'a> {
    ports: &'a CollectPorts,
    github: &'a Client,
    /// The organization's storage key.
    key: String,
    checkpoints: &'a Checkpoints,
    repos: BTreeMap<i64, RepoProbe>,
    /// When GitHub listed the repositories, by its clock, UTC.
    probed_at: DateTime<Utc>,
    /// What the lake holds of repositories that are not compared yet, by id.
    stored: BTreeMap<i64, StoredRepo>,
    /// How long it took to read the lake.
    scan_time: Duration,
    /// When to stop; `None` to run to the end.
    stop_at: Option<Instant>,
    /// The day, since the epoch, that decides which repositories are compared entry by entry; `None` if all are.
    listing_day: Option<i64>,
    /// How many entries of a list are compared at most.
    max_entries: usize,
    pending: PendingRepairs,
    report: ReconcileReport,
}

impl<'a> Reconciliation<'a> {
    fn new(
        ports: &'a CollectPorts,
        github: &'a Client,
        org: OrgRef<'_>,
        checkpoints: &'a Checkpoints,
        repos: &[RepoProbe],
        probed_at: DateTime<Utc>,
    ) -> Self {
        Reconciliation {
            ports,
            github,
            key: org.key.to_owned(),
            checkpoints,
            repos: repos.iter().map(|repo| (repo.id, repo.clone())).collect(),
            probed_at,
            stored: BTreeMap::new(),
            scan_time: Duration::ZERO,
            stop_at: None,
            listing_day: None,
            max_entries: usize::MAX,
            pending: PendingRepairs::default(),
            report: ReconcileReport { org: org.login.to_owned(), ..ReconcileReport::default() },
        }
    }

    /// Reads what the lake holds of the first of these repositories, which are ordered by id. Returns their number, or
    /// `None` if reading takes more than half of the time that is left: repairs take as long again.
    async fn load(&mut self, repos: &[RepoProbe], max_entries: usize) -> Result<Option<usize>, CollectError> {
        let begun = Instant::now();
        let ids: BTreeSet<i64> = repos.iter().map(|repo| repo.id).collect();
        if ids.is_empty() {
            return Ok(Some(0));
        }
        let stop_at = self.stop_at.map(|at| begun + at.saturating_duration_since(begun) / 2);
        let loaded = load_repos(self.ports, &self.key, &ids, ScanBounds { max_entries, stop_at }).await?;
        let Some(loaded) = loaded else { return Ok(None) };
        self.stored = loaded.repos;
        self.scan_time = begun.elapsed();
        let is_loaded = |repo: &RepoProbe| loaded.left_out_from.is_none_or(|first| repo.id < first);
        Ok(Some(repos.iter().filter(|repo| is_loaded(repo)).count()))
    }

    /// Compares some repositories, whose counts are requested together. Returns why it stopped early, if it did.
    async fn compare_chunk(
        &mut self,
        repos: &[RepoProbe],
        observer: &dyn CollectObserver,
    ) -> Result<Result<(), Limited>, CollectError> {
        // Repairs take as long again as reading the lake did.
        let reserved = if self.pending.is_empty() { Duration::ZERO } else { self.scan_time };
        if self.stop_at.is_some_and(|at| Instant::now() + reserved >= at) {
            return Ok(Err(out_of_time(self.ports)));
        }
        let counts = match self.counts(repos).await {
            Ok(counts) => counts,
            Err(error) => return self.report_failures(repos, Err(error)),
        };
        for repo in repos {
            let stored = self.stored.remove(&repo.id).unwrap_or_default();
            let checkpoint = &self.checkpoints[&repo.id].value;
            let (totals, commits) = (counts.threads.get(&repo.id), counts.commits.get(&repo.id));
            let mut comparison = self.comparison(repo, stored);
            let compared = comparison.run(checkpoint, totals, commits.copied()).await;
            if compared.is_ok() {
                observer.notice(CollectProgress::Compared { repo: repo.name.clone() });
            }
            if let Err(limited) = self.report_failures(std::slice::from_ref(repo), compared)? {
                return Ok(Err(limited));
            }
            self.report.repos += 1;
            self.report.listed += usize::from(self.is_listed(repo.id));
        }
        Ok(Ok(()))
    }

    /// Reports repositories that could not be compared. Returns the limit that stopped the comparison, if one
    /// did.
    fn report_failures(
        &mut self,
        repos: &[RepoProbe],
        compared: Result<(), CollectError>,
    ) -> Result<Result<(), Limited>, CollectError> {
        match compared {
            Ok(()) => {}
            Err(CollectError::GitHub(Error::Limited { until, why })) => {
                return Ok(Err(Limited { until, why }));
            }
            Err(CollectError::GitHub(error)) => {
                let failed = repos.iter().map(|repo| (repo.name.clone(), error.to_string()));
                self.report.failed.extend(failed);
            }
            Err(error) => return Err(error),
        }
        Ok(Ok(()))
    }

    /// Requests GitHub's counts of some repositories.
    async fn counts(&self, repos: &[RepoProbe]) -> Result<RepoCounts, CollectError> {
        let mut by_start: BTreeMap<Option<DateTime<Utc>>, Vec<&RepoProbe>> = BTreeMap::new();
        for repo in repos {
            let start = self.checkpoints[&repo.id].value.issues.covered_from;
            by_start.entry(start).or_default().push(repo);
        }
        let mut threads = HashMap::new();
        for (start, repos) in by_start {
            let node_ids: Vec<String> = repos.iter().map(|repo| repo.node_id.clone()).collect();
            let mut totals = self.github.thread_totals(&node_ids, start).await?;
            threads.extend(repos.iter().filter_map(|repo| Some((repo.id, totals.remove(&repo.node_id)?))));
        }
        let covered: Vec<_> = repos.iter().filter_map(|repo| self.covered_history(repo)).collect();
        let commits = self.github.count_commits_by_repo(&covered).await?;
        Ok(RepoCounts { threads, commits })
    }

    /// Returns the comparison of a repository of which the lake holds `stored`.
    fn comparison(&mut self, repo: &RepoProbe, stored: StoredRepo) -> RepoComparison<'_> {
        RepoComparison {
            github: self.github,
            repo: self.reference(repo),
            event_builder: EventBuilder {
                org: stored_name(&self.key, &self.report.org).to_owned(),
                repo: repo.name.clone(),
                repo_id: repo.id,
                collected_at: self.probed_at,
            },
            stored,
            is_listed: self.is_listed(repo.id),
            max_entries: self.max_entries,
            ports: self.ports,
            key: &self.key,
            pending: &mut self.pending,
            report: &mut self.report,
        }
    }

    /// Returns whether the pull requests and deployments of a repository are compared entry by entry.
    fn is_listed(&self, repo_id: i64) -> bool {
        self.listing_day.is_none_or(|day| is_listed_on(day, repo_id))
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

/// Returns whether it is the day of a repository. `day` counts from the epoch.
fn is_listed_on(day: i64, repo_id: i64) -> bool {
    (repo_id + day).rem_euclid(LISTING_CYCLE_DAYS) == 0
}

/// GitHub's counts of some repositories, by id. Those that GitHub does not count are left out.
struct RepoCounts {
    threads: HashMap<i64, ThreadTotals>,
    /// Number of commits in the covered history.
    commits: HashMap<i64, i64>,
}

/// A comparison of one repository.
struct RepoComparison<'a> {
    github: &'a Client,
    repo: RepoRef,
    event_builder: EventBuilder,
    /// What the lake holds of the repository.
    stored: StoredRepo,
    /// Whether pull requests and deployments are compared entry by entry.
    is_listed: bool,
    /// How many entries of a list are compared at most.
    max_entries: usize,
    ports: &'a CollectPorts,
    /// The organization's storage key.
    key: &'a str,
    pending: &'a mut PendingRepairs,
    report: &'a mut ReconcileReport,
}

impl RepoComparison<'_> {
    /// Compares with GitHub's totals, which are `None` if GitHub did not return them. `commits` is the number
    /// of commits in the covered history.
    async fn run(
        &mut self,
        checkpoint: &RepoCheckpoint,
        totals: Option<&ThreadTotals>,
        commits: Option<i64>,
    ) -> Result<(), CollectError> {
        if let Some(totals) = totals {
            let (pulls, issues) = (checkpoint.pulls.covered_from, checkpoint.issues.covered_from);
            self.compare_threads(ThreadKind::PullRequests, pulls, &totals.pulls).await?;
            self.compare_threads(ThreadKind::Issues, issues, &totals.issues).await?;
        }
        self.compare_releases(&checkpoint.releases).await?;
        if self.is_listed {
            self.compare_deployments(&checkpoint.deployments).await?;
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
        write_repair(self.ports, self.key, self.report, &self.repo.name, what, entries, events).await
    }
}

/// Writes the events that repair a difference, and reports it.
async fn write_repair(
    ports: &CollectPorts,
    key: &str,
    report: &mut ReconcileReport,
    repo: &str,
    what: &'static str,
    entries: usize,
    events: Vec<Event>,
) -> Result<(), CollectError> {
    if entries == 0 {
        return Ok(());
    }
    tracing::info!(repo, what, entries, "repairing entries that differ from GitHub");
    report.events += events.len();
    report.differences.push(Difference { repo: repo.to_owned(), what, entries });
    inbox::put(&*ports.objects, &EventBatch::new(key, events)).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_repository_is_listed_once_a_week() {
        for repo_id in [1, 2, 701, 1_296_269] {
            let days = (20_000..20_007).filter(|day| is_listed_on(*day, repo_id)).count();
            assert_eq!(days, 1, "{repo_id}");
        }
        let on_one_day = (1..=700).filter(|repo_id| is_listed_on(20_000, *repo_id)).count();
        assert_eq!(on_one_day, 100);
    }
}
