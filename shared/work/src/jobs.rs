//! Orders that touch several issues, or only lead to other orders. All of them can be repeated.

use chrono::{DateTime, Utc};
use gam_model::issue::ThreadRef;
use gam_store::{CommitOutcome, Expectation, RecordCommit, RecordCommitId, commit_until_answered};

use crate::issue::{CachedIssue, IssueChange, Tombstone, issue_range, list_issues, load_issue};
use crate::order::{Effect, OrderRepo, WebhookOrder, put_order};
use crate::process::{OrderContext, OrderOutcome, Processor, WorkError};
use crate::repo::{list_repos, load_repo};
use crate::source::IssueAddress;

/// Number of issues that one read lists.
const PAGE_ISSUES: usize = 100;
/// Number of orders that one commit queues.
const ORDERS_PER_COMMIT: usize = 90;

impl Processor {
    /// Carries out an order that is no delivery.
    pub(crate) async fn run_job(&self, context: &OrderContext<'_>) -> Result<OrderOutcome, WorkError> {
        let before = context.order.received_at;
        match &context.order.effect {
            Effect::RenameLabel { label_id, from, name } => {
                let is_other = std::cell::Cell::new(false);
                self.change_all(context, |issue| {
                    if issue.details.updated_at > before {
                        return;
                    }
                    for label in issue.details.labels.iter_mut().filter(|label| label.id == *label_id) {
                        is_other.set(
                            is_other.get()
                                || from
                                    .as_ref()
                                    .is_some_and(|from| label.name != *from && label.name != *name),
                        );
                        label.name.clone_from(name);
                    }
                })
                .await?;
                // Another rename is on its way, or came before.
                if is_other.get() {
                    let (effect, now) = (Effect::Reconcile { is_full: true }, self.clock.now());
                    let order = context.order.follow_up(context.repo.clone(), effect, now);
                    self.queue(vec![order], now).await?;
                }
            }
            Effect::DropLabel { label_id } => {
                self.change_all(context, |issue| {
                    if issue.details.updated_at <= before {
                        issue.details.labels.retain(|label| label.id != *label_id);
                        issue.vouchers.retain(|voucher| voucher.label_id != *label_id);
                    }
                })
                .await?;
            }
            Effect::RenameRepo => {
                let (state, _) =
                    load_repo(&*self.records, context.org, context.repo, self.clock.now()).await?;
                self.change_all(context, |issue| issue.repo.clone_from(&state.repo.name)).await?;
            }
            Effect::RemoveRepo => {
                let (state, _) =
                    load_repo(&*self.records, context.org, context.repo, self.clock.now()).await?;
                // It may be back by now.
                if state.is_gone {
                    self.change_all(context, |issue| {
                        issue.tombstone.get_or_insert(Tombstone::RepositoryGone);
                    })
                    .await?;
                    let (effect, now) = (Effect::FetchAllBlocked, self.clock.now());
                    let due = effect.due_at(now);
                    self.queue(vec![context.order.follow_up(context.repo.clone(), effect, now)], due).await?;
                }
            }
            Effect::FetchBlocked { number } => {
                let blocked = match self.source()?.blocked_by(&context.address(), *number).await {
                    Ok(blocked) => blocked,
                    Err(error) if error.is_not_found => Vec::new(),
                    Err(error) => return Err(error.into()),
                };
                self.queue_fetches(context, blocked).await?;
            }
            Effect::FetchAllBlocked => self.fetch_all_blocked(context).await?,
            Effect::FetchClosedBy { pull_request, is_edited } => {
                self.fetch_closed_by(context, *pull_request, *is_edited).await?;
            }
            Effect::Reconcile { is_full } => {
                let (org, login) = (context.org, &context.order.org);
                match self.reconcile_repo(org, login, context.repo, None, *is_full).await {
                    Ok(_) => {}
                    // Issues are switched off, or the repository is gone. The next reconciling of all repositories
                    // settles which.
                    Err(WorkError::Source(error)) if error.is_not_found => {
                        tracing::info!(
                            org,
                            repo = context.repo.name,
                            "the repository has no issues to read: {error}"
                        );
                    }
                    Err(error) => return Err(error),
                }
            }
            Effect::None
            | Effect::Store { .. }
            | Effect::Fetch { .. }
            | Effect::Remove { .. }
            | Effect::Suspend { .. } => {}
        }
        self.finish_job(context).await
    }

    /// Queues fetches of all cached issues of the organization that wait for another one, in whatever repository.
    async fn fetch_all_blocked(&self, context: &OrderContext<'_>) -> Result<(), WorkError> {
        let now = self.clock.now();
        let repos = list_repos(&*self.records, context.org, now).await?;
        let fetch = |issue: &CachedIssue| {
            let counts = [issue.details.blocked_by_open, issue.details.sub_issues_open];
            let is_blocked = counts.into_iter().flatten().any(|count| count > 0);
            let unread = || OrderRepo { id: issue.repo_id, node_id: String::new(), name: issue.repo.clone() };
            let repo = repos.get(&issue.repo_id).map_or_else(unread, |state| state.repo.clone());
            is_blocked.then(|| context.order.follow_up(repo, Effect::fetch(issue.details.number), now))
        };
        let fetches = self.select_issues(context.org, None, fetch).await?;
        self.queue(fetches, now).await
    }

    async fn fetch_closed_by(
        &self,
        context: &OrderContext<'_>,
        pull_request: ThreadRef,
        is_edited: bool,
    ) -> Result<(), WorkError> {
        let closed = match self.source()?.closed_by(&context.address(), pull_request.number).await {
            Ok(closed) => closed,
            Err(error) if error.is_not_found => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        self.queue_fetches(context, closed).await?;
        if is_edited {
            let numbers = self
                .numbers_of(context, |issue| {
                    issue.closing_pull_requests.as_ref().is_some_and(|known| known.contains(&pull_request))
                })
                .await?;
            self.queue_numbers(context, numbers).await?;
        }
        Ok(())
    }

    /// Changes all cached issues of the repository, one commit each.
    async fn change_all(
        &self,
        context: &OrderContext<'_>,
        change: impl Fn(&mut CachedIssue),
    ) -> Result<(), WorkError> {
        let mut range = issue_range(context.org, Some(context.repo.id))?;
        loop {
            let page = list_issues(&*self.records, &range, PAGE_ISSUES, self.clock.now()).await?;
            for (_, issue) in &page {
                let mut changed = issue.clone();
                change(&mut changed);
                if changed != *issue {
                    self.change_one(context, issue.details.number, &change).await?;
                }
            }
            match page.last() {
                Some((last, _)) if page.len() == PAGE_ISSUES => range = range.after(last),
                _ => return Ok(()),
            }
        }
    }

    async fn change_one(
        &self,
        context: &OrderContext<'_>,
        number: i64,
        change: impl Fn(&mut CachedIssue),
    ) -> Result<(), WorkError> {
        let org = context.org;
        // Each turn that is a conflict is one in which another process got ahead.
        loop {
            let now = self.clock.now();
            let loaded = load_issue(&*self.records, org, context.repo.id, number, now).await?;
            let Some((cached, revision)) = loaded else { return Ok(()) };
            let mut issue = cached.clone();
            change(&mut issue);
            if issue == cached {
                return Ok(());
            }
            issue.as_of = now;
            let commit = RecordCommit::new(RecordCommitId::random());
            let change = IssueChange { org, before: Some(&cached), after: &issue };
            let commit = self.put_issue(commit, change, Expectation::Revision(revision), now).await?;
            if commit_until_answered(&*self.records, &commit, self.clock.now()).await?
                == CommitOutcome::Committed
            {
                return Ok(());
            }
        }
    }

    /// Returns the numbers of the cached issues of the repository that `is_wanted` selects.
    pub(crate) async fn numbers_of(
        &self,
        context: &OrderContext<'_>,
        is_wanted: impl Fn(&CachedIssue) -> bool,
    ) -> Result<Vec<i64>, WorkError> {
        let number = |issue: &CachedIssue| is_wanted(issue).then_some(issue.details.number);
        self.select_issues(context.org, Some(context.repo.id), number).await
    }

    /// Returns what `select` returns of the cached issues of an organization, or of a repository by its id. Tombstones
    /// are left out.
    pub(crate) async fn select_issues<T>(
        &self,
        org: &str,
        repo_id: Option<i64>,
        select: impl Fn(&CachedIssue) -> Option<T>,
    ) -> Result<Vec<T>, WorkError> {
        let mut range = issue_range(org, repo_id)?;
        let mut selected = Vec::new();
        loop {
            let page = list_issues(&*self.records, &range, PAGE_ISSUES, self.clock.now()).await?;
            let issues = page.iter().map(|(_, issue)| issue).filter(|issue| issue.tombstone.is_none());
            selected.extend(issues.filter_map(&select));
            match page.last() {
                Some((last, _)) if page.len() == PAGE_ISSUES => range = range.after(last),
                _ => return Ok(selected),
            }
        }
    }

    async fn queue_numbers(&self, context: &OrderContext<'_>, numbers: Vec<i64>) -> Result<(), WorkError> {
        let now = self.clock.now();
        let fetch = |number| context.order.follow_up(context.repo.clone(), Effect::fetch(number), now);
        self.queue(numbers.into_iter().map(fetch).collect(), now).await
    }

    /// Queues fetches of issues that may be in other repositories. Those of unknown repositories are left out.
    async fn queue_fetches(
        &self,
        context: &OrderContext<'_>,
        issues: Vec<IssueAddress>,
    ) -> Result<(), WorkError> {
        let now = self.clock.now();
        let is_elsewhere = |issue: &IssueAddress| issue.repo != context.address();
        let known = match issues.iter().any(is_elsewhere) {
            true => list_repos(&*self.records, context.org, now).await?,
            false => std::collections::BTreeMap::new(),
        };
        let find = |issue: &IssueAddress| -> Option<OrderRepo> {
            if !is_elsewhere(issue) {
                return Some(context.repo.clone());
            }
            let is_same = |name: &str| name.eq_ignore_ascii_case(&issue.repo.name);
            let state = known.values().find(|state| is_same(&state.repo.name) && !state.is_gone)?;
            issue.repo.owner.eq_ignore_ascii_case(&context.order.org).then(|| state.repo.clone())
        };
        let orders = issues.iter().filter_map(|issue| {
            let effect = Effect::fetch(issue.number);
            Some(context.order.follow_up(find(issue)?, effect, now))
        });
        self.queue(orders.collect(), now).await
    }

    /// Queues orders that are due at `due`.
    pub(crate) async fn queue(&self, orders: Vec<WebhookOrder>, due: DateTime<Utc>) -> Result<(), WorkError> {
        for orders in orders.chunks(ORDERS_PER_COMMIT) {
            let mut commit = RecordCommit::new(RecordCommitId::random());
            let mut names = std::collections::BTreeSet::new();
            for order in orders.iter().filter(|order| names.insert(&order.id)) {
                commit = put_order(commit, order, due)?;
            }
            commit_until_answered(&*self.records, &commit, self.clock.now()).await?;
        }
        Ok(())
    }
}
