//! Repairs the cache of issues: what deliveries did not say, or what never arrived.
//!
//! One question shows which repositories have changed issues, for a hundred of them at a time. Only those are read.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use gam_store::{CommitOutcome, Expectation, RecordCommit, RecordCommitId, commit_until_answered};

use crate::issue::{CachedIssue, IssueChange, load_issue};
use crate::order::{Effect, OrderRepo, WebhookOrder, put_order};
use crate::process::{Processor, WorkError, changes_blocked, fetched_issue, is_same};
use crate::repo::{IssueOrg, IssueRepo, list_repos, load_org, load_repo, put_org, put_repo};
use crate::source::{FetchedIssue, IssueListQuery, RepoAddress, RepoSummary, SourceError};

/// By how much GitHub's lists may lag behind. What changed less than this before the newest change is read again.
const MAX_LAG: TimeDelta = TimeDelta::minutes(5);

/// The last change in a repository without issues, so that it counts as read. All of GitHub's changes are later.
const NOTHING_READ: DateTime<Utc> = DateTime::from_timestamp(86_400, 0).expect("a valid time");

/// What reconciling an organization did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReconcileReport {
    /// Number of repositories in scope.
    pub repos: usize,
    /// Number of repositories whose issues were read.
    pub read: usize,
    /// Number of issues that the cache had wrong or lacked.
    pub repaired: usize,
    /// Repositories that could not be read, with the reason.
    pub failed: Vec<(String, String)>,
}

impl Processor {
    /// Compares the cache of an organization with GitHub, and repairs it. `login` is its current name.
    ///
    /// # Errors
    /// If the store fails, or GitHub does not list the repositories.
    pub async fn reconcile(&self, login: &str) -> Result<ReconcileReport, WorkError> {
        let mut report = ReconcileReport::default();
        let Some(scope) = self.scopes.find(login).await? else { return Ok(report) };
        let summaries = self.source()?.repos(login).await?;
        let now = self.clock.now();
        let known = list_repos(&*self.records, &scope.key, now).await?;
        // An excluded repository is not gone.
        let listed: BTreeSet<i64> = summaries.iter().map(|summary| summary.id).collect();
        for summary in summaries.iter().filter(|summary| !scope.identity.is_excluded_repo(&summary.name)) {
            report.repos += 1;
            let state = known.get(&summary.id);
            let repo =
                OrderRepo { id: summary.id, node_id: summary.node_id.clone(), name: summary.name.clone() };
            if state.is_some_and(|state| state.repo.name != summary.name) {
                self.rename(&scope.key, login, &repo).await?;
            }
            let Some(is_full) = what_to_read(state, summary) else { continue };
            report.read += 1;
            match self.reconcile_repo(&scope.key, login, &repo, Some(summary), is_full).await {
                Ok(repaired) => report.repaired += repaired,
                // Issues are switched off. Once they are on again, the probe shows a change.
                Err(WorkError::Source(error)) if error.is_not_found => {
                    let (mut state, expectation) = load_repo(&*self.records, &scope.key, &repo, now).await?;
                    state.read_until = state.read_until.or(Some(NOTHING_READ));
                    state.issues = summary.issues;
                    self.save_repo(&scope.key, &state, expectation).await?;
                }
                Err(WorkError::Source(error)) => {
                    report.failed.push((summary.name.clone(), error.to_string()));
                }
                Err(error) => return Err(error),
            }
        }
        let (state, expectation) = load_org(&*self.records, &scope.key, now).await?;
        // GitHub answered, so the app is not suspended, whatever the last delivery said.
        let checked_at = if report.failed.is_empty() { Some(now.trunc_subsecs(0)) } else { state.checked_at };
        let state = IssueOrg { checked_at, is_suspended: false, ..state };
        let commit = put_org(RecordCommit::new(RecordCommitId::random()), &scope.key, &state, expectation)?;
        // If another process changed it meanwhile, the next time is soon.
        commit_until_answered(&*self.records, &commit, now).await?;
        for state in known.values().filter(|state| !state.is_gone && !listed.contains(&state.repo.id)) {
            self.check_gone(&scope.key, login, &state.repo).await?;
        }
        Ok(report)
    }

    /// Queues the reading of changed issues of all known repositories of an organization.
    pub(crate) async fn queue_reconciling(&self, org: &str, login: &str) -> Result<(), WorkError> {
        let now = self.clock.now();
        let known = list_repos(&*self.records, org, now).await?;
        let present = known.into_values().filter(|state| !state.is_gone);
        let job = |state: IssueRepo| {
            WebhookOrder::job(login, state.repo, Effect::Reconcile { is_full: false }, now)
        };
        self.queue(present.map(job).collect(), now).await
    }

    async fn rename(&self, org: &str, login: &str, repo: &OrderRepo) -> Result<(), WorkError> {
        let now = self.clock.now();
        let (mut state, expectation) = load_repo(&*self.records, org, repo, now).await?;
        state.repo = repo.clone();
        self.save_repo(org, &state, expectation).await?;
        self.queue(vec![WebhookOrder::job(login, repo.clone(), Effect::RenameRepo, now)], now).await
    }

    /// Finds out whether a repository that GitHub no longer lists is gone.
    async fn check_gone(&self, org: &str, login: &str, repo: &OrderRepo) -> Result<(), WorkError> {
        let (address, now) =
            (RepoAddress { owner: login.to_owned(), name: repo.name.clone() }, self.clock.now());
        match self.source()?.repo_id(&address).await {
            // It is only hidden from the list.
            Ok(id) if id == repo.id => return Ok(()),
            // Another repository has its name.
            Ok(_) => {}
            Err(error) if error.is_not_found => {}
            Err(_) => return Ok(()),
        }
        let (mut state, expectation) = load_repo(&*self.records, org, repo, now).await?;
        state.is_gone = true;
        self.save_repo(org, &state, expectation).await?;
        self.queue(vec![WebhookOrder::job(login, repo.clone(), Effect::RemoveRepo, now)], now).await
    }

    /// Saves the state of a repository, unless another process changed it meanwhile. It will be read again then.
    async fn save_repo(
        &self,
        org: &str,
        state: &IssueRepo,
        expectation: Expectation,
    ) -> Result<(), WorkError> {
        let commit = put_repo(RecordCommit::new(RecordCommitId::random()), org, state, expectation)?;
        commit_until_answered(&*self.records, &commit, self.clock.now()).await?;
        Ok(())
    }

    /// Reads the list of issues of a repository: all open ones, or those that changed since the last time. Returns
    /// how many issues the cache had wrong or lacked.
    pub(crate) async fn reconcile_repo(
        &self,
        org: &str,
        login: &str,
        repo: &OrderRepo,
        summary: Option<&RepoSummary>,
        is_full: bool,
    ) -> Result<usize, WorkError> {
        let now = self.clock.now();
        let (mut state, mut expectation) = load_repo(&*self.records, org, repo, now).await?;
        let address = RepoAddress { owner: login.to_owned(), name: repo.name.clone() };
        // Lists are by name. A summary is of this id and this name.
        if summary.is_none() && self.source()?.repo_id(&address).await? != repo.id {
            return Err(other_repository(&address).into());
        }
        if expectation == Expectation::Absent {
            // Before its issues: if this process dies, somebody must still find out that the repository is gone.
            self.save_repo(org, &state, expectation).await?;
            (state, expectation) = load_repo(&*self.records, org, repo, now).await?;
        }
        let since = state.read_until;
        let (mut repaired, mut permissions) = (0, HashMap::new());
        let (mut newest, mut created) = (since, 0);
        if let Some(since) = since {
            // The list ends with what changed last, so everything before that was read.
            let query = IssueListQuery::ChangedSince(since - MAX_LAG);
            for fetched in self.list(&address, query).await? {
                created += i64::from(fetched.details.created_at > since);
                newest = newest.max(Some(fetched.details.updated_at));
                let fetched = self.with_trusted_labels(&address, fetched, &mut permissions).await?;
                repaired += usize::from(self.store_listed((org, login), repo, fetched).await?);
            }
        }
        let is_short = summary.is_some_and(|summary| summary.issues < state.issues + created);
        if is_full || since.is_none() || is_short {
            // This list says nothing about issues that were closed while it was read. So it does not count for `newest`.
            let open = self.list(&address, IssueListQuery::Open).await?;
            let numbers: BTreeSet<i64> = open.iter().map(|issue| issue.details.number).collect();
            for fetched in open {
                let fetched = self.with_trusted_labels(&address, fetched, &mut permissions).await?;
                repaired += usize::from(self.store_listed((org, login), repo, fetched).await?);
            }
            repaired += self.fetch_unlisted(org, login, repo, &numbers).await?;
        }
        state.repo = repo.clone();
        state.is_gone = false;
        // The summary is from before the lists. Without one, the next reconciling reads all open issues.
        let newest = newest.max(summary.and_then(|summary| summary.changed_at));
        // A repository without issues was read too.
        let nothing_read = summary.map(|_| NOTHING_READ);
        state.read_until = newest.map(|at| behind_lag(at, now)).or(nothing_read);
        state.issues = summary.map_or(state.issues, |summary| summary.issues);
        self.save_repo(org, &state, expectation).await?;
        Ok(repaired)
    }

    async fn list(
        &self,
        address: &RepoAddress,
        query: IssueListQuery,
    ) -> Result<Vec<FetchedIssue>, WorkError> {
        let (source, mut issues) = (self.source()?, Vec::new());
        let mut position = None;
        loop {
            let page = source.issues(address, query, position).await?;
            issues.extend(page.issues);
            position = page.next;
            if position.is_none() {
                return Ok(issues);
            }
        }
    }

    /// Stores an issue of a list. Returns whether the cache had it wrong, or lacked it.
    async fn store_listed(
        &self,
        (org, login): (&str, &str),
        repo: &OrderRepo,
        fetched: FetchedIssue,
    ) -> Result<bool, WorkError> {
        loop {
            let now = self.clock.now();
            let number = fetched.details.number;
            let loaded = load_issue(&*self.records, org, repo.id, number, now).await?;
            let (cached, expectation) = match &loaded {
                Some((cached, revision)) => (Some(cached), Expectation::Revision(*revision)),
                None => (None, Expectation::Absent),
            };
            let Some(issue) = fetched_issue(cached, repo.id, &repo.name, fetched.clone(), now) else {
                return Ok(false);
            };
            if cached.is_some_and(|cached| is_same(cached, &issue)) {
                return Ok(false);
            }
            let mut commit = RecordCommit::new(RecordCommitId::random());
            if changes_blocked(cached, &issue) {
                let job = WebhookOrder::job(login, repo.clone(), Effect::FetchBlocked { number }, now);
                commit = put_order(commit, &job, now)?;
            }
            let change = IssueChange { org, before: cached, after: &issue };
            let commit = self.put_issue(commit, change, expectation, now).await?;
            if commit_until_answered(&*self.records, &commit, self.clock.now()).await?
                == CommitOutcome::Committed
            {
                return Ok(true);
            }
        }
    }

    /// Queues a fetch of each issue that is cached as open and that GitHub does not list as open. Returns their number.
    async fn fetch_unlisted(
        &self,
        org: &str,
        login: &str,
        repo: &OrderRepo,
        listed: &BTreeSet<i64>,
    ) -> Result<usize, WorkError> {
        let now = self.clock.now();
        let order = WebhookOrder::job(login, repo.clone(), Effect::Reconcile { is_full: true }, now);
        let fetch = |issue: &CachedIssue| {
            let number = issue.details.number;
            let is_unlisted = issue.is_open() && !listed.contains(&number);
            is_unlisted.then(|| order.follow_up(repo.clone(), Effect::fetch(number), now))
        };
        let fetches = self.select_issues(org, Some(repo.id), fetch).await?;
        let count = fetches.len();
        self.queue(fetches, now).await?;
        Ok(count)
    }
}

/// Returns whether all open issues of a repository must be read. `None` if nothing must be read.
fn what_to_read(state: Option<&IssueRepo>, summary: &RepoSummary) -> Option<bool> {
    let Some(state) = state.filter(|state| !state.is_gone) else { return Some(true) };
    let Some(read_until) = state.read_until else { return Some(true) };
    if summary.issues < state.issues {
        return Some(true);
    }
    let is_changed = summary.changed_at.is_some_and(|changed_at| changed_at > read_until);
    (is_changed || summary.issues != state.issues).then_some(false)
}

fn other_repository(address: &RepoAddress) -> SourceError {
    let RepoAddress { owner, name } = address;
    SourceError {
        message: format!("{owner}/{name} is another repository by now"),
        is_temporary: false,
        is_not_found: true,
    }
}

fn behind_lag(newest: DateTime<Utc>, now: DateTime<Utc>) -> DateTime<Utc> {
    if now - newest < MAX_LAG { newest - MAX_LAG } else { newest }
}
