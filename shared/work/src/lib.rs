//! Use case work: the cache of issues, the tasks that workers claim, and actions on GitHub.
//!
//! The cache holds what GitHub said about each issue last. Webhooks change it at once, and reading repairs it. It is
//! records of the store, so it can be lost and filled again. A request for it never asks GitHub.
//!
//! * A newer state wins by GitHub's `updated_at`. Two different states with the same `updated_at` are a **tie**: the
//!   issue is fetched from GitHub ([`issue::compare`]).
//! * A deleted or transferred issue leaves a **tombstone**, so that a late webhook does not revive it.
//!
//! This crate does not know HTTP, GitHub's client, or which database stores the records.

pub mod actions;
pub mod conformance;
pub mod dirty;
mod drain;
pub mod hooks;
pub mod issue;
mod jobs;
pub mod list;
pub mod order;
pub mod payload;
mod process;
mod pushed_sessions;
mod reconcile;
pub mod repo;
pub mod source;
pub mod sweep;
mod task_rules;
pub mod tasks;
pub mod testing;

/// The path of the route that takes webhooks. Addresses of webhooks end with it.
pub const WEBHOOK_PATH: &str = "/api/v1/webhook/github";

/// Who changes a task or an action, or finds a gap, in the audit log if no client does.
pub(crate) const SERVICE: &str = "service";

pub use drain::DrainReport;
pub use issue::{CachedIssue, Freshness, IssueChange, IssueFollower, LabelVoucher, Tombstone, TrustedEdit};
pub use list::{IssueFilter, IssuePage, IssueReader};
pub use order::{Effect, OrderQueue, OrderRepo, QueueError, QueuedOrder, RecordQueue, WebhookOrder};
pub use payload::{PayloadError, Received, read_delivery};
pub use process::{OrderOutcome, OrgScope, OrgScopes, Processor, WorkError};
pub use pushed_sessions::{InboxError, OWNER_LIFETIME, PushError, PushedSessions, SessionInbox};
pub use reconcile::ReconcileReport;
pub use source::IssueSource;
pub use sweep::{HookSource, SweepReport};
pub use task_rules::RulesReport;
