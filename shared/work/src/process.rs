//! Carries out orders: from the order of a delivery to marks and the cache of issues.
//!
//! The effect of a delivery, or the job that will have it, is stored in one commit with the delivery's GUID. So a
//! delivery that comes twice has one effect, wherever a process stops.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use gam_model::issue::IssueUser;
use gam_model::{Clock, Identity, TaskRules};
use gam_store::{
    CommitOutcome, Error as StoreError, Expectation, RecordCommit, RecordCommitId, RecordKey, RecordStore,
    commit_until_answered,
};

use crate::actions::{ActionError, concerns_actions, hasten};
use crate::dirty::mark_dirty;
use crate::issue::{
    CachedIssue, Freshness, IssueChange, IssueFollower, LabelVoucher, Tombstone, TrustedEdit, compare,
    load_issue,
};
use crate::order::{ContentEdit, Effect, LabelSet, OrderRepo, WebhookOrder, delivery_key, put_order};
use crate::repo::{IssueOrg, IssueRepo, LabelChange, check_repo, load_org, load_repo, put_org, put_repo};
use crate::source::{FetchedIssue, IssueAnswer, IssueSource, LabelEvent, RepoAddress, SourceError};

/// How long the GUID of a delivery is remembered. GitHub can redeliver what is three days old.
const GUID_LIFETIME: chrono::TimeDelta = chrono::TimeDelta::days(8);
/// How often a change is tried if others change the same records.
const MAX_CONFLICTS: u32 = 20;

/// Why an order could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// GitHub did not answer.
    #[error("cannot read GitHub: {0}")]
    Source(#[from] SourceError),
    /// The order must ask GitHub, and this process has no access.
    #[error("the order needs GitHub, and this process has no token: set GITHUB_TOKEN")]
    NoSource,
    /// The configuration or the registry cannot be read.
    #[error("cannot read the organization's configuration")]
    Scope(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<ActionError> for WorkError {
    fn from(error: ActionError) -> Self {
        match error {
            ActionError::Store(error) => WorkError::Store(error),
            error => WorkError::Store(StoreError::Unusable { what: error.to_string(), source: None }),
        }
    }
}

/// An organization whose deliveries have an effect.
#[derive(Debug, Clone)]
pub struct OrgScope {
    /// The storage key.
    pub key: String,
    /// The configured rules, for repositories that are excluded.
    pub identity: Arc<Identity>,
    /// The configured rules about tasks.
    pub task_rules: TaskRules,
    /// The revision of the configuration.
    pub revision: u32,
}

/// Finds the organization of a delivery.
#[async_trait]
pub trait OrgScopes: Send + Sync {
    /// Returns the organization with this login, or `None` if it is not collected.
    ///
    /// # Errors
    /// If the registry or the configuration cannot be read.
    async fn find(&self, login: &str) -> Result<Option<OrgScope>, WorkError>;
}

/// What became of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OrderOutcome {
    /// It had its effect.
    Done,
    /// It was a delivery that was seen before.
    Duplicate,
    /// Its organization is not collected.
    UnknownOrg,
    /// The configuration excludes its repository.
    ExcludedRepo,
}

/// Carries out orders. Clones share the ports.
#[derive(Clone)]
pub struct Processor {
    /// Records of the store.
    pub records: Arc<dyn RecordStore>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Which organizations are collected.
    pub scopes: Arc<dyn OrgScopes>,
    /// GitHub. `None` if this process may not ask it: then such orders wait for one that may.
    pub source: Option<Arc<dyn IssueSource>>,
    /// What changes together with an issue.
    pub followers: Vec<Arc<dyn IssueFollower>>,
    /// Whether deliveries make actions due that look at the same repository. This process must be able to write actions
    /// then. Without it, they are looked at by their own schedule.
    pub wakes_actions: bool,
}

/// An order, and where it belongs.
pub(crate) struct OrderContext<'a> {
    pub(crate) order: &'a WebhookOrder,
    /// The record of the order in the queue, which the effect deletes.
    pub(crate) queued: Option<&'a RecordKey>,
    /// The organization's storage key.
    pub(crate) org: &'a str,
    pub(crate) repo: &'a OrderRepo,
}

impl OrderContext<'_> {
    pub(crate) fn address(&self) -> RepoAddress {
        RepoAddress { owner: self.order.org.clone(), name: self.repo.name.clone() }
    }
}

/// An edit of title or body, and whether its author may write.
pub(crate) struct CheckedEdit {
    edit: TrustedEdit,
    is_untrusted: bool,
}

/// A change of one issue.
pub(crate) struct IssueUpdate {
    /// The new state. `None` if the cached one stays.
    pub(crate) issue: Option<CachedIssue>,
    /// Orders that follow.
    pub(crate) follow_ups: Vec<Effect>,
    /// What the state of the repository must still be. `None` if the change does not follow from it.
    pub(crate) repo: Option<Expectation>,
}

impl IssueUpdate {
    fn new(issue: Option<CachedIssue>, follow_ups: Vec<Effect>) -> Self {
        IssueUpdate { issue, follow_ups, repo: None }
    }
}

impl Processor {
    /// Carries out an order, and deletes its record in the queue, `queued`.
    ///
    /// # Errors
    /// If the store or GitHub fails. Then the order can be carried out again.
    pub async fn process(
        &self,
        order: &WebhookOrder,
        queued: Option<&RecordKey>,
    ) -> Result<OrderOutcome, WorkError> {
        let now = self.clock.now();
        if order.is_delivery && self.records.get(&delivery_key(&order.id)?, now).await?.is_some() {
            self.finish_without_effect(order, queued).await?;
            return Ok(OrderOutcome::Duplicate);
        }
        let Some(scope) = self.scopes.find(&order.org).await? else {
            self.finish_without_effect(order, queued).await?;
            return Ok(OrderOutcome::UnknownOrg);
        };
        let Some(repo) = &order.repo else {
            return self.change_org(order, queued, &scope.key).await;
        };
        if scope.identity.is_excluded_repo(&repo.name) {
            self.finish_without_effect(order, queued).await?;
            return Ok(OrderOutcome::ExcludedRepo);
        }
        if let Some(id) = order.repo_hook {
            self.remember_repo_hook(&scope.key, &order.org, (&repo.name, id)).await?;
        }
        // Before the effect, because the order is gone afterwards.
        if self.wakes_actions && order.is_delivery && concerns_actions(&order.event) {
            hasten(&*self.records, &scope.key, &repo.name, now).await?;
        }
        let context = OrderContext { order, queued, org: &scope.key, repo };
        match &order.effect {
            Effect::None | Effect::Suspend { .. } => {
                self.change_issue(&context, None, async |_, _| Ok(None)).await
            }
            Effect::Store { .. } => self.store(&context).await,
            Effect::Remove { details, tombstone } => {
                let number = details.number;
                self.change_issue(&context, Some(number), async |cached, now| {
                    let received = CachedIssue::new(repo.id, &repo.name, (**details).clone(), now);
                    Ok(Some(removed(cached, received, tombstone, now)))
                })
                .await
            }
            _ if order.is_delivery => self.hand_to_job(&context).await,
            Effect::Fetch { number, edit, .. } => self.fetch(&context, *number, edit.as_ref()).await,
            _ => self.run_job(&context).await,
        }
    }

    /// Begins a commit that records the GUID and deletes the record of the order.
    pub(crate) fn begin(
        &self,
        order: &WebhookOrder,
        queued: Option<&RecordKey>,
        now: DateTime<Utc>,
    ) -> Result<RecordCommit, StoreError> {
        let mut commit = RecordCommit::new(RecordCommitId::random());
        if order.is_delivery {
            let body = order.received_at.to_rfc3339();
            commit =
                commit.put_until(delivery_key(&order.id)?, body, now + GUID_LIFETIME, Expectation::Absent);
        }
        Ok(match queued {
            Some(key) => commit.delete(key.clone(), Expectation::Any),
            None => commit,
        })
    }

    async fn finish_without_effect(
        &self,
        order: &WebhookOrder,
        queued: Option<&RecordKey>,
    ) -> Result<(), WorkError> {
        let commit = self.begin(order, queued, self.clock.now())?;
        if let CommitOutcome::Conflict(_) =
            commit_until_answered(&*self.records, &commit, self.clock.now()).await?
            && let Some(key) = queued
        {
            // The GUID was recorded before.
            let commit = RecordCommit::new(RecordCommitId::random()).delete(key.clone(), Expectation::Any);
            commit_until_answered(&*self.records, &commit, self.clock.now()).await?;
        }
        Ok(())
    }

    async fn change_org(
        &self,
        order: &WebhookOrder,
        queued: Option<&RecordKey>,
        org: &str,
    ) -> Result<OrderOutcome, WorkError> {
        if order.effect == (Effect::Suspend { is_suspended: false }) {
            // Nothing was delivered meanwhile. Before the commit, because the order is gone afterwards.
            self.queue_reconciling(org, &order.org).await?;
        }
        for _ in 0..MAX_CONFLICTS {
            let now = self.clock.now();
            let mut commit = self.begin(order, queued, now)?;
            if let Effect::Suspend { is_suspended } = order.effect {
                let (state, expectation) = load_org(&*self.records, org, now).await?;
                commit = put_org(commit, org, &IssueOrg { is_suspended, ..state }, expectation)?;
            }
            let is_suspended = order.effect == Effect::Suspend { is_suspended: true };
            // Before, because the order is gone afterwards. And again, for a claim that was made meanwhile.
            self.suspend_followers(org, is_suspended).await?;
            if let Some(outcome) = self.commit_order(order, queued, &commit).await? {
                self.suspend_followers(org, is_suspended).await?;
                return Ok(outcome);
            }
        }
        Err(busy().into())
    }

    async fn suspend_followers(&self, org: &str, is_suspended: bool) -> Result<(), StoreError> {
        if is_suspended {
            for follower in &self.followers {
                follower.suspend(org, self.clock.now()).await?;
            }
        }
        Ok(())
    }

    /// Commits what an order does. `None` if another process changed the same records, so that it must be computed again.
    async fn commit_order(
        &self,
        order: &WebhookOrder,
        queued: Option<&RecordKey>,
        commit: &RecordCommit,
    ) -> Result<Option<OrderOutcome>, WorkError> {
        let now = self.clock.now();
        if commit_until_answered(&*self.records, commit, now).await? == CommitOutcome::Committed {
            return Ok(Some(OrderOutcome::Done));
        }
        if order.is_delivery && self.records.get(&delivery_key(&order.id)?, now).await?.is_some() {
            self.finish_without_effect(order, queued).await?;
            return Ok(Some(OrderOutcome::Duplicate));
        }
        Ok(None)
    }

    /// Adds the write of an issue to a commit, and what follows from it.
    pub(crate) async fn put_issue(
        &self,
        commit: RecordCommit,
        change: IssueChange<'_>,
        expectation: Expectation,
        now: DateTime<Utc>,
    ) -> Result<RecordCommit, StoreError> {
        let mut commit = change.after.put(change.org, commit, expectation)?;
        for follower in &self.followers {
            commit = follower.follow(change, commit, now).await?;
        }
        Ok(commit)
    }

    /// Changes one issue, or none, in one commit with the mark of the repository, the GUID and the orders that follow.
    /// `change` computes the new state from the cached one, and is called again if another process was faster.
    pub(crate) async fn change_issue(
        &self,
        context: &OrderContext<'_>,
        number: Option<i64>,
        change: impl AsyncFn(Option<&CachedIssue>, DateTime<Utc>) -> Result<Option<IssueUpdate>, WorkError>,
    ) -> Result<OrderOutcome, WorkError> {
        let OrderContext { order, queued, org, repo } = *context;
        for _ in 0..MAX_CONFLICTS {
            let now = self.clock.now();
            let mut commit = self.begin(order, queued, now)?;
            if order.marks_dirty {
                commit = mark_dirty(&*self.records, commit, org, repo, now).await?;
            }
            let cached = match number {
                Some(number) => load_issue(&*self.records, org, repo.id, number, now).await?,
                None => None,
            };
            let update = change(cached.as_ref().map(|(issue, _)| issue), now).await?;
            if let Some(IssueUpdate { issue, follow_ups, repo: expected }) = update {
                commit = match expected {
                    // Without a state, nobody would find out that the repository is gone.
                    Some(Expectation::Absent) => {
                        put_repo(commit, org, &IssueRepo::new(repo.clone()), Expectation::Absent)?
                    }
                    Some(expected) => check_repo(commit, org, repo.id, expected)?,
                    None => commit,
                };
                let cached_issue = cached.as_ref().map(|(issue, _)| issue);
                if let Some(issue) =
                    issue.filter(|issue| cached_issue.is_none_or(|cached| !is_same(cached, issue)))
                {
                    let expectation = cached
                        .as_ref()
                        .map_or(Expectation::Absent, |(_, revision)| Expectation::Revision(*revision));
                    let change = IssueChange { org, before: cached_issue, after: &issue };
                    commit = self.put_issue(commit, change, expectation, now).await?;
                }
                for effect in follow_ups {
                    let due = effect.due_at(now);
                    commit = put_order(commit, &order.follow_up(repo.clone(), effect, now), due)?;
                }
            }
            if let Some(outcome) = self.commit_order(order, queued, &commit).await? {
                return Ok(outcome);
            }
        }
        Err(busy().into())
    }

    async fn store(&self, context: &OrderContext<'_>) -> Result<OrderOutcome, WorkError> {
        let Effect::Store { details, label, edit, changes_blocked } = &context.order.effect else {
            unreachable!("the caller matched the effect")
        };
        let number = details.number;
        self.change_issue(context, Some(number), async |cached, now| {
            let (repo_state, expected) = load_repo(&*self.records, context.org, context.repo, now).await?;
            let mut details = (**details).clone();
            repo_state.apply_label_changes(&mut details);
            let received = CachedIssue::new(context.repo.id, &repo_state.repo.name, details, now);
            let is_opened = context.order.action.as_deref() == Some("opened");
            let mut update = stored(cached, received, label.as_ref(), is_opened);
            update.repo = Some(expected);
            if repo_state.is_gone {
                // The delivery is late: the repository was deleted meanwhile.
                let gone = |issue| CachedIssue { tombstone: Some(Tombstone::RepositoryGone), ..issue };
                return Ok(Some(IssueUpdate {
                    issue: update.issue.map(gone),
                    follow_ups: Vec::new(),
                    ..update
                }));
            }
            if let Some(edit) = edit {
                update.follow_ups.retain(|effect| !matches!(effect, Effect::Fetch { .. }));
                update.follow_ups.push(Effect::Fetch {
                    number,
                    edit: Some(edit.clone()),
                    changes_blocked: false,
                });
            }
            if *changes_blocked {
                update.follow_ups.push(Effect::FetchBlocked { number });
            }
            Ok(Some(update))
        })
        .await
    }

    /// Stores the order as a job, in one commit with its GUID.
    async fn hand_to_job(&self, context: &OrderContext<'_>) -> Result<OrderOutcome, WorkError> {
        let OrderContext { order, org, repo, .. } = *context;
        for _ in 0..MAX_CONFLICTS {
            let now = self.clock.now();
            let mut commit = self.begin(order, context.queued, now)?;
            if order.marks_dirty {
                commit = mark_dirty(&*self.records, commit, org, repo, now).await?;
            }
            let (mut state, expectation) = load_repo(&*self.records, org, repo, now).await?;
            let before = state.clone();
            let mut is_late = false;
            match &order.effect {
                Effect::RenameLabel { label_id, from, name } => {
                    let known = state.label_changes.get(label_id).map(|known| known.name.as_ref());
                    is_late = known.is_some_and(|known| from.is_some() && known != from.as_ref());
                    if !is_late {
                        let change = LabelChange { name: Some(name.clone()), at: order.received_at };
                        state.add_label_change(*label_id, change, now);
                    }
                }
                Effect::DropLabel { label_id } => {
                    state.add_label_change(*label_id, LabelChange { name: None, at: order.received_at }, now);
                }
                Effect::RenameRepo => state.repo.name.clone_from(&repo.name),
                Effect::RemoveRepo => state.is_gone = true,
                _ => {}
            }
            // A state that was never stored may be what the order says already.
            if state != before || expectation == Expectation::Absent {
                commit = put_repo(commit, org, &state, expectation)?;
            }
            // Deliveries of two renames came in the wrong order: GitHub knows the present name.
            let effect = if is_late { Effect::Reconcile { is_full: true } } else { order.effect.clone() };
            let job =
                WebhookOrder { received_at: order.received_at, ..order.follow_up(repo.clone(), effect, now) };
            commit = put_order(commit, &job, now)?;
            // The order was too long with its issue.
            if let Effect::Fetch { number, changes_blocked: true, .. } = order.effect {
                let job = order.follow_up(repo.clone(), Effect::FetchBlocked { number }, now);
                commit = put_order(commit, &job, now)?;
            }
            if let Some(outcome) = self.commit_order(order, context.queued, &commit).await? {
                return Ok(outcome);
            }
        }
        Err(busy().into())
    }

    pub(crate) fn source(&self) -> Result<&dyn IssueSource, WorkError> {
        self.source.as_deref().ok_or(WorkError::NoSource)
    }

    /// Fetches one issue and stores it.
    async fn fetch(
        &self,
        context: &OrderContext<'_>,
        number: i64,
        edit: Option<&ContentEdit>,
    ) -> Result<OrderOutcome, WorkError> {
        let address = context.address();
        let (state, _) = load_repo(&*self.records, context.org, context.repo, self.clock.now()).await?;
        if state.is_gone {
            // Another repository may have its name.
            return self.finish_job(context).await;
        }
        let answer = match self.source()?.issue(&address, number).await {
            Ok(answer) => answer,
            // The repository is gone, or its name is an old one. Reconciling settles that.
            Err(error) if error.is_not_found => return self.finish_job(context).await,
            Err(error) => return Err(error.into()),
        };
        let answer = match answer {
            IssueAnswer::Found(fetched) => {
                let fetched = self.with_trusted_labels(&address, *fetched, &mut HashMap::new()).await?;
                IssueAnswer::Found(Box::new(fetched))
            }
            other => other,
        };
        let is_trusted = match edit.and_then(|edit| edit.by.as_ref()) {
            Some(IssueUser { login, .. }) => match self.source()?.can_write(&address, login).await {
                Ok(can_write) => can_write,
                Err(error) if error.is_temporary => return Err(error.into()),
                // Without an answer nobody is trusted.
                Err(error) => {
                    tracing::warn!(login, "cannot read a permission: {error}");
                    false
                }
            },
            None => false,
        };
        let checked = edit.map(|edit| CheckedEdit {
            edit: TrustedEdit { from: edit.from.clone(), to: edit.to.clone(), at: edit.at },
            is_untrusted: !is_trusted,
        });
        self.store_answer(context, number, answer, checked.as_ref()).await
    }

    /// Removes the labels that the author of an issue set without permission to write: a template of the repository
    /// sets labels for everybody, and they vouch for nothing. `known` remembers permissions by login.
    pub(crate) async fn with_trusted_labels(
        &self,
        address: &RepoAddress,
        mut fetched: FetchedIssue,
        known: &mut HashMap<String, bool>,
    ) -> Result<FetchedIssue, WorkError> {
        let Some(author) = fetched.details.author.clone() else { return Ok(fetched) };
        let is_of_author = |event: &LabelEvent| event.by.as_ref().is_some_and(|by| by.id == author.id);
        if !fetched.label_events.iter().any(is_of_author) {
            return Ok(fetched);
        }
        let can_write = match known.get(&author.login) {
            Some(can_write) => *can_write,
            None => match self.source()?.can_write(address, &author.login).await {
                Ok(can_write) => can_write,
                Err(error) if error.is_temporary => return Err(error.into()),
                Err(_) => false,
            },
        };
        known.insert(author.login.clone(), can_write);
        fetched.label_events.retain(|event| can_write || !is_of_author(event));
        Ok(fetched)
    }

    pub(crate) async fn finish_job(&self, context: &OrderContext<'_>) -> Result<OrderOutcome, WorkError> {
        self.finish_without_effect(context.order, context.queued).await?;
        Ok(OrderOutcome::Done)
    }

    /// Stores what GitHub answered for one issue.
    pub(crate) async fn store_answer(
        &self,
        context: &OrderContext<'_>,
        number: i64,
        answer: IssueAnswer,
        edit: Option<&CheckedEdit>,
    ) -> Result<OrderOutcome, WorkError> {
        let (repo_id, name) = (context.repo.id, &context.repo.name);
        self.change_issue(context, Some(number), async |cached, now| {
            let mut update = match &answer {
                IssueAnswer::Found(fetched) => {
                    let issue = fetched_issue(cached, repo_id, name, (**fetched).clone(), now);
                    let is_changed = issue.as_ref().is_some_and(|issue| changes_blocked(cached, issue));
                    let blocked = is_changed.then_some(Effect::FetchBlocked { number });
                    IssueUpdate::new(issue, blocked.into_iter().collect())
                }
                IssueAnswer::Gone => match cached {
                    Some(cached) if cached.tombstone.is_none() => {
                        removed(None, cached.clone(), &Tombstone::Deleted, now)
                    }
                    _ => return Ok(None),
                },
                IssueAnswer::PullRequest => return Ok(None),
            };
            if update.issue.is_none() && edit.is_some_and(|edit| edit.is_untrusted) {
                update.issue = cached.cloned();
            }
            if let Some(CheckedEdit { edit, is_untrusted }) = edit
                && let Some(issue) = update.issue.as_mut()
            {
                match is_untrusted {
                    true => issue.drop_vouchers_of(&edit.to, edit.at),
                    false => issue.add_trusted_edit(edit.clone()),
                }
            }
            Ok(Some(update))
        })
        .await
    }
}

pub(crate) fn busy() -> StoreError {
    StoreError::Unavailable {
        what: "other processes change the same issue all the time".to_owned(),
        source: None,
    }
}

/// Returns whether two states differ in when they were received only.
pub(crate) fn is_same(a: &CachedIssue, b: &CachedIssue) -> bool {
    CachedIssue { as_of: b.as_of, ..a.clone() } == *b
}

/// Returns whether an issue was closed or reopened, so that issues which wait for it must be fetched. Nothing is known to
/// wait for one that is seen for the first time and open.
pub(crate) fn changes_blocked(cached: Option<&CachedIssue>, issue: &CachedIssue) -> bool {
    cached.map_or(!issue.is_open(), |cached| cached.details.state != issue.details.state)
}

/// Computes the state after a delivery. No pull request closes an issue that was just opened: one that does later is
/// delivered itself.
fn stored(
    cached: Option<&CachedIssue>,
    mut received: CachedIssue,
    label: Option<&LabelSet>,
    is_opened: bool,
) -> IssueUpdate {
    let freshness = compare(cached, &received);
    if is_opened && cached.is_none() {
        received.closing_pull_requests = Some(Vec::new());
    }
    // A template of the repository sets labels in the name of the author, whoever that is.
    let author = received.details.author.as_ref().map(|author| author.id);
    let is_set_by_author = label.and_then(|label| label.by.as_ref()).is_some_and(|by| Some(by.id) == author);
    let label = label.filter(|_| !is_set_by_author);
    let voucher = label.map(|label| LabelVoucher {
        label_id: label.label_id,
        content_hash: received.content_hash.clone(),
        by: label.by.clone(),
        at: received.details.updated_at,
    });
    let number = received.details.number;
    let mut issue = match (freshness, cached) {
        (Freshness::Newer, Some(cached)) => {
            let mut issue = received;
            issue.inherit(cached);
            issue
        }
        (_, Some(cached)) => cached.clone(),
        (_, None) => received,
    };
    if issue.tombstone.is_some() {
        return IssueUpdate::new(None, Vec::new());
    }
    if let Some(voucher) = voucher {
        issue.add_voucher(voucher);
    }
    let must_fetch = freshness == Freshness::Tie
        || is_set_by_author
        || (issue.is_open() && issue.closing_pull_requests.is_none());
    let follow_ups = if must_fetch { vec![Effect::fetch(number)] } else { Vec::new() };
    IssueUpdate::new(Some(issue), follow_ups)
}

/// Computes the state after a removal.
fn removed(
    cached: Option<&CachedIssue>,
    received: CachedIssue,
    tombstone: &Tombstone,
    now: DateTime<Utc>,
) -> IssueUpdate {
    if cached.is_some_and(|cached| {
        matches!(cached.tombstone, Some(Tombstone::Deleted | Tombstone::Transferred(_)))
    }) {
        return IssueUpdate::new(None, Vec::new());
    }
    let mut issue = received;
    // A tombstone keeps no text.
    issue.details.body.clear();
    issue.is_body_cut = true;
    issue.vouchers.clear();
    issue.trusted_edits.clear();
    issue.tombstone = Some(tombstone.clone());
    issue.as_of = now;
    IssueUpdate::new(Some(issue), vec![Effect::FetchAllBlocked])
}

/// Computes the state after GitHub returned an issue. `None` if the cached one stays.
pub(crate) fn fetched_issue(
    cached: Option<&CachedIssue>,
    repo_id: i64,
    repo: &str,
    fetched: FetchedIssue,
    now: DateTime<Utc>,
) -> Option<CachedIssue> {
    let FetchedIssue { details, closing_pull_requests, label_events, edited_at } = fetched;
    let mut issue = CachedIssue::new(repo_id, repo, details, now);
    // For a closed issue they are fetched once it is open again. An older GitHub server knows none.
    issue.closing_pull_requests = closing_pull_requests.or_else(|| issue.is_open().then(Vec::new));
    for event in label_events {
        // The content may have been edited within the same second.
        let is_content_unchanged = edited_at.is_none_or(|edited_at| edited_at < event.at);
        let label_id = issue.label(&event.label).map(|label| label.id);
        if let Some(label_id) = label_id.filter(|_| is_content_unchanged) {
            let content_hash = issue.content_hash.clone();
            issue.add_voucher(LabelVoucher { label_id, content_hash, by: event.by, at: event.at });
        }
    }
    match cached {
        None => {}
        Some(cached) => match &cached.tombstone {
            Some(Tombstone::RepositoryGone) => {}
            Some(_) => return None,
            // GitHub's servers do not all show the latest change at once.
            None if issue.details.updated_at < cached.details.updated_at => return None,
            None => issue.inherit(cached),
        },
    }
    Some(issue)
}
