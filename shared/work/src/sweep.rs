//! Finds deliveries that did not reach this service, in GitHub's own list of them.
//!
//! GitHub does not send a delivery again, and lists it for three days. The sweep needs no payload: it marks the
//! repository dirty and reads its issues.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use gam_access::{AuditKind, AuditRow};
use gam_store::{Error as StoreError, Expectation, RecordCommit, RecordCommitId, commit_until_answered};
use serde::{Deserialize, Serialize};

use crate::SERVICE;
use crate::dirty::mark_dirty;
use crate::hooks::{
    HookGap, HookState, HookWalk, LastDelivery, list_hooks, load_hook, put_hook, repo_hook_id, repos_of_hooks,
};
use crate::order::{Effect, OrderRepo, WebhookOrder, delivery_key, put_order};
use crate::process::{Processor, WorkError};
use crate::repo::list_repos;
use crate::source::SourceError;

/// How long GitHub lists a delivery.
pub const LISTED_FOR: TimeDelta = TimeDelta::days(3);
/// By how much two sweeps overlap: an attempt may be listed late.
const OVERLAP: TimeDelta = TimeDelta::minutes(10);
/// The id of the webhook of an app. Its deliveries are of all organizations.
pub const APP_HOOK: &str = "app";
/// How often a mark is tried if others change it.
const MAX_CONFLICTS: u32 = 20;

/// A webhook on GitHub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookInfo {
    /// Identifies it: `app`, `org/LOGIN/ID` or `repo/LOGIN/NAME/ID`.
    pub id: String,
    /// The address that it delivers to.
    pub url: String,
    /// `json` or `form`.
    pub content_type: String,
    /// Whether it signs. `None` if GitHub does not say.
    pub has_secret: Option<bool>,
    /// The events that it is subscribed to. Empty if GitHub does not say.
    pub events: Vec<String>,
    /// Whether it delivers.
    pub is_active: bool,
}

/// An attempt to deliver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryAttempt {
    /// The GUID of the event.
    pub guid: String,
    /// When it was made, UTC.
    pub delivered_at: DateTime<Utc>,
    /// Status of the answer. 0 if there was none.
    pub status_code: i64,
    /// `OK`, or what failed.
    pub status: String,
    /// The event.
    pub event: String,
    /// The action.
    pub action: Option<String>,
    /// GitHub's id of the repository.
    pub repo_id: Option<i64>,
}

impl DeliveryAttempt {
    /// Returns whether the receiver took the event.
    pub fn is_ok(&self) -> bool {
        (200..300).contains(&self.status_code)
    }
}

/// Reads webhooks and their deliveries from GitHub. The futures stay on one thread.
#[async_trait(?Send)]
pub trait HookSource: Send + Sync {
    /// Lists the webhooks of the app and of an organization that deliver to this kind of service.
    ///
    /// # Errors
    /// If GitHub cannot be read, or refuses to list them.
    async fn hooks(&self, org: &str) -> Result<Vec<HookInfo>, SourceError>;

    /// Lists the webhooks of a repository that deliver to this kind of service.
    ///
    /// # Errors
    /// If GitHub cannot be read, or refuses to list them.
    async fn repo_hooks(&self, org: &str, repo: &str) -> Result<Vec<HookInfo>, SourceError>;

    /// Lists a page of the attempts, the last one first, from the cursor of the page before. `None` for the first page.
    ///
    /// # Errors
    /// If GitHub cannot be read.
    async fn attempts(&self, hook: &HookInfo, cursor: Option<&str>) -> Result<AttemptPage, SourceError>;
}

/// A page of the list of attempts, the last one first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AttemptPage {
    /// The attempts.
    pub attempts: Vec<DeliveryAttempt>,
    /// Where the next page begins. `None` if there is none.
    pub next: Option<String>,
}

impl AttemptPage {
    /// Leaves out attempts before a time, UTC, and the pages after them.
    fn since(mut self, since: DateTime<Utc>) -> Self {
        if self.attempts.last().is_some_and(|last| last.delivered_at < since) {
            self.next = None;
        }
        self.attempts.retain(|attempt| attempt.delivered_at >= since);
        self
    }
}

/// Lists all attempts since a time, UTC, the last one first.
///
/// # Errors
/// If GitHub cannot be read.
pub async fn attempts_since(
    hooks: &dyn HookSource,
    hook: &HookInfo,
    since: DateTime<Utc>,
) -> Result<Vec<DeliveryAttempt>, SourceError> {
    let (mut attempts, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let page = hooks.attempts(hook, cursor.as_deref()).await?.since(since);
        attempts.extend(page.attempts);
        cursor = page.next;
        if cursor.is_none() {
            return Ok(attempts);
        }
    }
}

/// What a sweep found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// Number of webhooks.
    pub hooks: usize,
    /// Number of events that were delivered or tried.
    pub events: usize,
    /// Number of events that did not reach this service.
    pub missed: usize,
    /// Repositories that were marked because of that.
    pub repos: BTreeSet<String>,
    /// When the first and the last of the missed events were tried, UTC.
    pub gap: Option<(DateTime<Utc>, DateTime<Utc>)>,
    /// Why some webhooks could not be compared.
    pub failures: Vec<String>,
}

impl SweepReport {
    fn add(&mut self, gap: &HookGap) {
        self.missed += gap.missed;
        let (from, to) = self.gap.unwrap_or((gap.from, gap.to));
        self.gap = Some((from.min(gap.from), to.max(gap.to)));
        self.repos.extend(gap.repos.iter().cloned());
    }
}

impl Processor {
    /// Compares the deliveries of the webhooks of an organization with those that were seen, and marks the repositories
    /// of those that were missed. The webhook of a repository is known once it has delivered something.
    ///
    /// # Errors
    /// If the store fails, or GitHub cannot be read at all.
    pub async fn sweep(&self, hooks: &dyn HookSource, login: &str) -> Result<SweepReport, WorkError> {
        let mut report = SweepReport::default();
        let Some(scope) = self.scopes.find(login).await? else { return Ok(report) };
        let (mut listed, mut failures) = (Vec::new(), Vec::new());
        match hooks.hooks(login).await {
            Ok(hooks) => listed.extend(hooks),
            Err(error) => failures.push(error),
        }
        for repo in self.repos_with_hooks(&scope.key).await? {
            match hooks.repo_hooks(login, &repo).await {
                Ok(hooks) => listed.extend(hooks),
                Err(error) => failures.push(error),
            }
        }
        for hook in &listed {
            match self.sweep_hook(hooks, (&scope.key, login), hook, &mut report).await {
                Ok(()) => report.hooks += 1,
                Err(WorkError::Source(error)) => failures.push(error),
                Err(error) => return Err(error),
            }
        }
        if report.hooks == 0 && !failures.is_empty() {
            return Err(failures.swap_remove(0).into());
        }
        report.failures = failures.into_iter().map(|error| error.to_string()).collect();
        Ok(report)
    }

    /// Returns the names of the repositories of an organization that have a webhook of their own.
    async fn repos_with_hooks(&self, org: &str) -> Result<Vec<String>, WorkError> {
        let now = self.clock.now();
        let names = repos_of_hooks(&list_hooks(&*self.records, org, now).await?);
        if names.is_empty() {
            return Ok(Vec::new());
        }
        // The webhook of a renamed repository is known under the new name, too.
        let repos = list_repos(&*self.records, org, now).await?;
        let present = repos.into_values().filter(|state| !state.is_gone).map(|state| state.repo.name);
        Ok(present.filter(|name| names.contains(&name.to_lowercase())).collect())
    }

    /// Compares the deliveries of one webhook, page by page. What was compared is saved after each page, so that a sweep
    /// which is stopped goes on there.
    async fn sweep_hook(
        &self,
        hooks: &dyn HookSource,
        (org, login): (&str, &str),
        hook: &HookInfo,
        report: &mut SweepReport,
    ) -> Result<(), WorkError> {
        let now = self.clock.now();
        let mut state = load_hook(&*self.records, org, &hook.id, now).await?.unwrap_or_default();
        (state.id, state.info) = (hook.id.clone(), Some(hook.clone()));
        state.last = state.last.filter(|last| last.at >= now - LISTED_FOR);
        let mut walk = state.walk.take().unwrap_or_else(|| HookWalk::new(now));
        let since = state.checked_until.map_or(now - LISTED_FOR, |checked_until| checked_until - OVERLAP);
        let since = since.max(now - LISTED_FOR);
        let (mut seen, mut taken) = (BTreeSet::new(), BTreeSet::new());
        loop {
            let page = match hooks.attempts(hook, walk.cursor.as_deref()).await {
                Ok(page) => page.since(since),
                Err(error) => {
                    if walk.cursor.is_some() && !error.is_temporary {
                        // GitHub may not know the cursor any more. The next sweep begins again.
                        self.save_hook(org, &state).await?;
                    }
                    return Err(error.into());
                }
            };
            let AttemptPage { attempts, next } = page;
            let is_ok = |attempt: &&DeliveryAttempt| attempt.is_ok();
            taken.extend(attempts.iter().filter(is_ok).map(|attempt| attempt.guid.clone()));
            let mut missed = self.missed(&attempts).await?;
            missed.retain(|attempt| !taken.contains(&attempt.guid) && !seen.contains(&attempt.guid));
            if let Some(gap) = self.heal(org, login, &missed, hook.id == APP_HOOK).await? {
                report.add(&gap);
                walk.add_gap(gap);
            }
            let guids = attempts.iter().map(|attempt| attempt.guid.clone());
            report.events += guids.filter(|guid| seen.insert(guid.clone())).count();
            if let Some(last) = LastDelivery::of(&attempts)
                && state.last.as_ref().is_none_or(|known| known.at <= last.at)
            {
                state.last = Some(last);
            }
            walk.cursor = next;
            if walk.cursor.is_none() {
                break;
            }
            self.save_hook(org, &HookState { walk: Some(walk.clone()), ..state.clone() }).await?;
        }
        let gap = walk.gap;
        gap.clone().into_iter().for_each(|gap| state.add_gap(gap));
        state.checked_until = Some(walk.started_at);
        self.save_hook_with(org, &state, gap.as_ref()).await
    }

    async fn save_hook(&self, org: &str, state: &HookState) -> Result<(), WorkError> {
        self.save_hook_with(org, state, None).await
    }

    /// Saves what is known of a webhook, with the audit row of a gap that was found.
    async fn save_hook_with(
        &self,
        org: &str,
        state: &HookState,
        gap: Option<&HookGap>,
    ) -> Result<(), WorkError> {
        let now = self.clock.now();
        let mut commit =
            put_hook(RecordCommit::new(RecordCommitId::random()), org, state, Expectation::Any, now)?;
        if let Some(gap) = gap {
            let (from, to) = (gap.from.timestamp_millis(), gap.to.timestamp_millis());
            let id = format!("gap:{}:{from}:{to}:{}", state.id, commit.id());
            let subject = format!("webhook {}", state.id);
            commit = AuditRow::new(id, Some(org), now, SERVICE, AuditKind::WebhookGap, subject)
                .with_outcome(format!("{} deliveries missed", gap.missed))
                .with_detail("from", gap.from.to_rfc3339())
                .with_detail("to", gap.to.to_rfc3339())
                .with_detail("repos", gap.repos.clone())
                .add_to(commit)?;
        }
        commit_until_answered(&*self.records, &commit, now).await?;
        Ok(())
    }

    /// Remembers the webhook of a repository, which delivered something, so that sweeps list its deliveries.
    pub(crate) async fn remember_repo_hook(
        &self,
        org: &str,
        login: &str,
        (repo, id): (&str, i64),
    ) -> Result<(), WorkError> {
        let (id, now) = (repo_hook_id(login, repo, id), self.clock.now());
        if load_hook(&*self.records, org, &id, now).await?.is_none() {
            let state = HookState { id, ..HookState::default() };
            let commit = RecordCommit::new(RecordCommitId::random());
            let commit = put_hook(commit, org, &state, Expectation::Absent, now)?;
            // A conflict says that it is known.
            commit_until_answered(&*self.records, &commit, now).await?;
        }
        Ok(())
    }

    /// Returns the last attempt of each event that did not reach this service.
    async fn missed<'a>(
        &self,
        attempts: &'a [DeliveryAttempt],
    ) -> Result<Vec<&'a DeliveryAttempt>, WorkError> {
        let mut by_guid: BTreeMap<&str, Vec<&DeliveryAttempt>> = BTreeMap::new();
        for attempt in attempts.iter().filter(|attempt| attempt.event != "ping") {
            by_guid.entry(&attempt.guid).or_default().push(attempt);
        }
        let mut missed = Vec::new();
        for (guid, attempts) in by_guid {
            if attempts.iter().any(|attempt| attempt.is_ok()) {
                continue;
            }
            // An answer that GitHub did not wait for, or another webhook that delivered the same event.
            if self.records.get(&delivery_key(guid)?, self.clock.now()).await?.is_some() {
                continue;
            }
            missed.extend(attempts.into_iter().max_by_key(|attempt| attempt.delivered_at));
        }
        Ok(missed)
    }

    /// Marks the repositories of missed events. Returns the gap, or `None` if no event of this organization was missed.
    async fn heal(
        &self,
        org: &str,
        login: &str,
        missed: &[&DeliveryAttempt],
        is_shared: bool,
    ) -> Result<Option<HookGap>, WorkError> {
        if missed.is_empty() {
            return Ok(None);
        }
        let known = self.repos_by_id(org, login, missed).await?;
        let is_elsewhere =
            |attempt: &DeliveryAttempt| attempt.repo_id.is_none_or(|id| !known.contains_key(&id));
        let missed: Vec<&DeliveryAttempt> =
            missed.iter().copied().filter(|attempt| !(is_shared && is_elsewhere(attempt))).collect();
        let times = || missed.iter().map(|attempt| attempt.delivered_at);
        let Some((from, to)) = times().min().zip(times().max()) else { return Ok(None) };
        let mut by_repo: BTreeMap<i64, Option<bool>> = BTreeMap::new();
        for (id, attempt) in missed.iter().filter_map(|attempt| Some((attempt.repo_id?, attempt))) {
            let entry = by_repo.entry(id).or_default();
            *entry = (*entry).max(what_to_read(attempt));
        }
        let mut repos = BTreeSet::new();
        for (id, is_full) in by_repo {
            // A repository that GitHub does not list is gone, which reconciling finds.
            let Some(repo) = known.get(&id) else { continue };
            self.mark(org, login, repo, is_full).await?;
            repos.insert(repo.name.clone());
        }
        Ok(Some(HookGap { from, to, missed: missed.len(), repos: repos.into_iter().collect() }))
    }

    async fn repos_by_id(
        &self,
        org: &str,
        login: &str,
        missed: &[&DeliveryAttempt],
    ) -> Result<BTreeMap<i64, OrderRepo>, WorkError> {
        let known = list_repos(&*self.records, org, self.clock.now()).await?;
        if missed.iter().filter_map(|attempt| attempt.repo_id).all(|id| known.contains_key(&id)) {
            return Ok(known.into_iter().map(|(id, state)| (id, state.repo)).collect());
        }
        let listed = self.source()?.repos(login).await?;
        let repo = |it: crate::source::RepoSummary| {
            (it.id, OrderRepo { id: it.id, node_id: it.node_id, name: it.name })
        };
        Ok(listed.into_iter().map(repo).collect())
    }

    async fn mark(
        &self,
        org: &str,
        login: &str,
        repo: &OrderRepo,
        is_full: Option<bool>,
    ) -> Result<(), WorkError> {
        for _ in 0..MAX_CONFLICTS {
            let now = self.clock.now();
            let commit = RecordCommit::new(RecordCommitId::random());
            let mut commit = mark_dirty(&*self.records, commit, org, repo, now).await?;
            if let Some(is_full) = is_full {
                let job = WebhookOrder::job(login, repo.clone(), Effect::Reconcile { is_full }, now);
                commit = put_order(commit, &job, now)?;
            }
            if commit_until_answered(&*self.records, &commit, now).await?
                == gam_store::CommitOutcome::Committed
            {
                return Ok(());
            }
        }
        let what = format!("repository {} is marked by others all the time", repo.name);
        Err(StoreError::Unavailable { what, source: None }.into())
    }
}

/// Returns whether all open issues must be read because of a missed event. `None` if it does not concern issues.
fn what_to_read(attempt: &DeliveryAttempt) -> Option<bool> {
    match attempt.event.as_str() {
        "issues" => Some(matches!(attempt.action.as_deref(), Some("deleted" | "transferred"))),
        // They change issues without changing the time of their last change.
        "label" | "repository" | "issue_dependencies" | "sub_issues" | "pull_request" => Some(true),
        _ => None,
    }
}
