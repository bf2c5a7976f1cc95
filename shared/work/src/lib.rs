//! Use case work: the cache of issues, and the tasks that workers claim.
//!
//! The cache holds what GitHub said about each issue last. Webhooks change it at once, and reading repairs it. It is
//! records of the store, so it can be lost and filled again. A request for it never asks GitHub.
//!
//! * A newer state wins by GitHub's `updated_at`. Two different states with the same `updated_at` are a **tie**: the
//!   issue is fetched from GitHub ([`issue::compare`]).
//! * A deleted or transferred issue leaves a **tombstone**, so that a late webhook does not revive it.
//!
//! This crate does not know HTTP, GitHub's client, or which database stores the records.

pub mod issue;
pub mod tasks;
pub mod testing;

pub use issue::{CachedIssue, Freshness, IssueChange, IssueFollower, LabelVoucher, Tombstone, TrustedEdit};
