//! Orders: what a webhook's delivery asks for, small enough for any queue, and the local queue of orders.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use gam_model::Clock;
use gam_model::issue::{IssueDetails, IssueUser, ThreadRef};
use gam_store::{
    CommitOutcome, Error as StoreError, Expectation, KeyPart, RecordCommit, RecordCommitId, RecordKey,
    RecordKind, RecordRange, RecordStore, Result, commit_until_answered,
};
use serde::{Deserialize, Serialize};

use crate::issue::Tombstone;

/// Greatest length of an order as JSON, in bytes. A longer one leaves the issue out, and it is fetched. Queues of AWS
/// are set to 262,144 bytes.
pub const MAX_ORDER_BYTES: usize = 200_000;
/// The version of orders. A program leaves newer ones in the queue.
const FORMAT: u32 = 1;
/// How long an order that nobody could carry out stays in the queue.
const ORDER_LIFETIME: TimeDelta = TimeDelta::days(14);

/// The repository of an order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OrderRepo {
    /// GitHub's numeric id.
    pub id: i64,
    /// The node id for GraphQL.
    pub node_id: String,
    /// The name without the owner, as of the delivery.
    pub name: String,
}

/// A change of title or body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentEdit {
    /// Who made it. `None` if the account was deleted.
    pub by: Option<IssueUser>,
    /// [`content_hash`](crate::issue::content_hash) before the edit.
    pub from: String,
    /// The hash after it.
    pub to: String,
    /// When it was made, UTC, by GitHub's clock.
    pub at: DateTime<Utc>,
}

/// A label that was set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelSet {
    /// GitHub's id of the label.
    pub label_id: i64,
    /// Who set it.
    pub by: Option<IssueUser>,
}

/// What an order does to the cache of issues.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Effect {
    /// Nothing.
    None,
    /// Stores a state of an issue, if it is newer than the cached one.
    Store {
        /// The state.
        details: Box<IssueDetails>,
        /// The label that was set.
        label: Option<LabelSet>,
        /// The change of title or body.
        edit: Option<ContentEdit>,
        /// Whether issues that this one blocks must be fetched: it was closed or reopened.
        changes_blocked: bool,
    },
    /// Fetches an issue from GitHub.
    Fetch {
        /// The issue's number.
        number: i64,
        /// An edit whose author's permission is to be checked.
        edit: Option<ContentEdit>,
        /// Whether issues that this one blocks must be fetched, too.
        #[serde(default)]
        changes_blocked: bool,
    },
    /// Sets a tombstone.
    Remove {
        /// The last known state.
        details: Box<IssueDetails>,
        /// Why the issue is gone.
        tombstone: Tombstone,
    },
    /// Renames a label on all issues of the repository.
    RenameLabel {
        /// GitHub's id of the label.
        label_id: i64,
        /// The name before. `None` in orders of older versions.
        #[serde(default)]
        from: Option<String>,
        /// The new name.
        name: String,
    },
    /// Removes a label from all issues of the repository.
    DropLabel {
        /// GitHub's id of the label.
        label_id: i64,
    },
    /// Renames the repository.
    RenameRepo,
    /// Sets a tombstone on all issues of the repository: it was deleted or went to another owner.
    RemoveRepo,
    /// Fetches the issues that wait for an issue: those that it blocks, and the one that it is a sub-issue of.
    FetchBlocked {
        /// The number of the blocking issue.
        number: i64,
    },
    /// Fetches all cached issues of the organization that wait for another issue: that one is gone.
    FetchAllBlocked,
    /// Fetches the issues that a pull request closes.
    FetchClosedBy {
        /// The pull request.
        pull_request: ThreadRef,
        /// Whether it may close fewer issues than before: its text was edited.
        is_edited: bool,
    },
    /// Reads the list of issues of the repository.
    Reconcile {
        /// Whether all open issues are listed, to find those that are gone, instead of those that changed.
        is_full: bool,
    },
    /// Remembers whether GitHub suspended the app's installation in the organization.
    Suspend {
        /// Whether it is suspended.
        is_suspended: bool,
    },
}

/// What a delivery or an earlier order asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookOrder {
    /// Version of this form.
    pub format: u32,
    /// The GUID of the delivery, or the name of the job.
    pub id: String,
    /// Whether `id` is a GUID, which must not have an effect twice.
    pub is_delivery: bool,
    /// The event, such as `issues`.
    pub event: String,
    /// The action, such as `opened`.
    pub action: Option<String>,
    /// The organization's login as of the delivery.
    pub org: String,
    /// The repository, if the event is about one.
    pub repo: Option<OrderRepo>,
    /// Whether the collector must read the repository.
    pub marks_dirty: bool,
    /// What to do to the cache of issues.
    pub effect: Effect,
    /// When the order was made, UTC.
    pub received_at: DateTime<Utc>,
    /// How often it was tried.
    #[serde(default)]
    pub attempts: u32,
    /// GitHub's id of the repository's webhook that delivered it. `None` if an organization's or an app's did.
    #[serde(default)]
    pub repo_hook: Option<i64>,
}

impl Effect {
    /// Fetches an issue, and nothing else.
    pub fn fetch(number: i64) -> Self {
        Effect::Fetch { number, edit: None, changes_blocked: false }
    }

    /// Returns when a job with this effect is due, UTC, if it is queued now.
    pub(crate) fn due_at(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            // It reads all cached issues, and many are often deleted together. Jobs with one due time are one job.
            Effect::FetchAllBlocked => {
                let next_minute = now + TimeDelta::minutes(1);
                next_minute.duration_trunc(TimeDelta::minutes(1)).unwrap_or(next_minute)
            }
            _ => now,
        }
    }
}

impl WebhookOrder {
    /// Creates an order that follows from another one. Two with the same effect on the same repository are one.
    pub fn follow_up(&self, repo: OrderRepo, effect: Effect, now: DateTime<Utc>) -> Self {
        WebhookOrder {
            event: self.event.clone(),
            action: self.action.clone(),
            ..WebhookOrder::job(&self.org, repo, effect, now)
        }
    }

    /// Creates an order without a delivery.
    pub fn job(org: &str, repo: OrderRepo, effect: Effect, now: DateTime<Utc>) -> Self {
        WebhookOrder {
            format: FORMAT,
            id: job_name(&repo, &effect),
            is_delivery: false,
            event: "job".to_owned(),
            action: None,
            org: org.to_owned(),
            repo: Some(repo),
            marks_dirty: false,
            effect,
            received_at: now,
            attempts: 0,
            repo_hook: None,
        }
    }

    /// Returns the version of orders that this program writes.
    pub const fn format() -> u32 {
        FORMAT
    }

    /// Returns the order as JSON. An issue that makes it too long is left out, and the order fetches it instead.
    pub fn to_json(&self) -> String {
        let to_json =
            |order: &WebhookOrder| serde_json::to_string(order).expect("an order has only text keys");
        let complete = to_json(self);
        if complete.len() <= MAX_ORDER_BYTES {
            return complete;
        }
        let effect = match self.effect.clone() {
            Effect::Store { details, edit, changes_blocked, .. } => {
                Effect::Fetch { number: details.number, edit, changes_blocked }
            }
            // A tombstone needs no text.
            Effect::Remove { mut details, tombstone } => {
                details.body.clear();
                Effect::Remove { details, tombstone }
            }
            _ => return complete,
        };
        to_json(&WebhookOrder { effect, ..self.clone() })
    }
}

fn job_name(repo: &OrderRepo, effect: &Effect) -> String {
    let what = match effect {
        Effect::Fetch { number, edit: None, .. } => format!("fetch:{number}"),
        Effect::Fetch { number, edit: Some(edit), .. } => format!("fetch:{number}:{}", edit.to),
        Effect::FetchBlocked { number } => format!("fetch_blocked:{number}"),
        Effect::FetchAllBlocked => "fetch_all_blocked".to_owned(),
        Effect::Reconcile { is_full } => format!("reconcile:{is_full}"),
        other => serde_json::to_string(other).expect("an effect has only text keys"),
    };
    let name = format!("{}:{what}", repo.id);
    // Names become keys, which are bounded.
    name.chars().take(200).collect()
}

/// Takes orders durably.
#[async_trait]
pub trait OrderQueue: Send + Sync {
    /// Puts an order into the queue. Returns once it is durable. Putting the same order twice is harmless.
    ///
    /// # Errors
    /// If the queue fails. Then the sender must get no success, because the order may be lost.
    async fn put(&self, order: &WebhookOrder) -> std::result::Result<(), QueueError>;
}

/// Why an order was not taken.
#[derive(Debug, thiserror::Error)]
#[error("cannot queue the order of a webhook")]
pub struct QueueError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// The queue of one machine: records of the store.
#[derive(Clone)]
pub struct RecordQueue {
    records: Arc<dyn RecordStore>,
    clock: Arc<dyn Clock>,
}

/// An order in the queue.
pub struct QueuedOrder {
    /// The key of its record.
    pub key: RecordKey,
    /// The revision of its record.
    pub revision: RecordCommitId,
    /// The order.
    pub order: WebhookOrder,
}

impl RecordQueue {
    /// Connects to the records of a store.
    pub fn new(records: Arc<dyn RecordStore>, clock: Arc<dyn Clock>) -> Self {
        RecordQueue { records, clock }
    }

    /// Returns up to `limit` orders that are due, the oldest first. Orders of a newer program are left alone.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn due(&self, limit: usize) -> Result<Vec<QueuedOrder>> {
        let now = self.clock.now();
        let mut range = RecordRange::new(None, RecordKind::WebhookOrder, &[])?;
        let mut due = Vec::new();
        // Orders that this program cannot read do not hide those behind them.
        while due.len() < limit {
            let page = self.records.range(&range, limit, now).await?;
            let is_last = page.len() < limit;
            for (key, record) in page {
                let is_due = due_milliseconds(&key).is_some_and(|due| due <= milliseconds(now));
                if !is_due || due.len() == limit {
                    return Ok(due);
                }
                range = range.after(&key);
                match serde_json::from_str::<WebhookOrder>(&record.body) {
                    Ok(order) if order.format <= FORMAT => {
                        due.push(QueuedOrder { key, revision: record.revision, order });
                    }
                    Ok(_) | Err(_) => tracing::warn!(
                        key = key.sort(),
                        "the order of a webhook cannot be read: upgrade github-metrics"
                    ),
                }
            }
            if is_last {
                break;
            }
        }
        Ok(due)
    }
}

fn milliseconds(time: DateTime<Utc>) -> u64 {
    u64::try_from(time.timestamp_millis()).unwrap_or_default()
}

fn due_milliseconds(key: &RecordKey) -> Option<u64> {
    key.sort().split('#').next()?.parse().ok()
}

/// Adds a write that queues an order for `due`.
///
/// # Errors
/// If the order's id is too long for a key.
pub fn put_order(commit: RecordCommit, order: &WebhookOrder, due: DateTime<Utc>) -> Result<RecordCommit> {
    let parts = [KeyPart::Number(milliseconds(due)), KeyPart::Text(&order.id)];
    let key = RecordKey::new(None, RecordKind::WebhookOrder, &parts)?;
    Ok(commit.put_until(key, order.to_json(), due + ORDER_LIFETIME, Expectation::Any))
}

/// Returns the key of the record that says that a delivery was seen.
///
/// # Errors
/// If the GUID is too long.
pub fn delivery_key(guid: &str) -> Result<RecordKey> {
    RecordKey::new(None, RecordKind::Delivery, &[KeyPart::Text(guid)])
}

#[async_trait]
impl OrderQueue for RecordQueue {
    async fn put(&self, order: &WebhookOrder) -> std::result::Result<(), QueueError> {
        let put = async {
            let now = self.clock.now();
            if order.is_delivery && self.records.get(&delivery_key(&order.id)?, now).await?.is_some() {
                return Ok(());
            }
            // The key has the time of the order, so the commit changes nothing else and cannot be a conflict.
            let commit = put_order(RecordCommit::new(RecordCommitId::random()), order, now)?;
            match commit_until_answered(&*self.records, &commit, self.clock.now()).await? {
                CommitOutcome::Committed => Ok(()),
                CommitOutcome::Conflict(_) => Err(StoreError::Unavailable {
                    what: "the order of a webhook was not queued".to_owned(),
                    source: None,
                }),
            }
        };
        put.await.map_err(|error: StoreError| QueueError(Box::new(error)))
    }
}

#[cfg(test)]
mod tests {
    use gam_model::SystemClock;
    use gam_store::MemoryStore;

    use super::*;

    #[tokio::test]
    async fn unreadable_orders_do_not_hide_others() {
        let store = Arc::new(MemoryStore::default());
        let now = SystemClock.now();
        let repo = OrderRepo { id: 1, node_id: "R_1".to_owned(), name: "site".to_owned() };
        let order = |number| WebhookOrder::job("acme", repo.clone(), Effect::fetch(number), now);
        let mut commit = RecordCommit::new(RecordCommitId::random());
        for number in 1..=5 {
            let newer = WebhookOrder { format: FORMAT + 1, ..order(number) };
            commit = put_order(commit, &newer, now - TimeDelta::seconds(10)).unwrap();
        }
        for number in 6..=7 {
            commit = put_order(commit, &order(number), now - TimeDelta::seconds(5)).unwrap();
        }
        commit = put_order(commit, &order(8), now + TimeDelta::hours(1)).unwrap();
        store.commit(&commit, now).await.unwrap();
        let queue = RecordQueue::new(store, Arc::new(SystemClock));
        for (limit, expected) in [(1, 1), (2, 2), (3, 2), (100, 2)] {
            let due = queue.due(limit).await.unwrap();
            assert_eq!(due.len(), expected, "of at most {limit}");
            assert!(due.iter().all(|queued| queued.order.format == FORMAT));
        }
    }
}
