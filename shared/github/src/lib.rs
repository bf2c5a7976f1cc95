//! Reads GitHub: a client that keeps to GitHub's rate limits, and the mapping of its responses to events. Requests that
//! write there (`write.rs`) are sent once and never repeated.
//!
//! Data comes from GraphQL, because REST needs one request per commit for line counts. REST is used only for
//! what GraphQL lacks: comparing two tips of a branch, runs of workflows, and signing in. octocrab provides transport and
//! authentication. Retries, rate limits, page sizes and the GraphQL envelope are implemented here: octocrab
//! retries without a pause, drops GraphQL's error types and partial data, and hides the rate limit headers.
//!
//! The mapping ([`events`]) is pure. GitHub's present state is enough to produce every event, retractions
//! included, and no time in an event's facts comes from the local clock.
//!
//! This crate does not know where events are stored, or what was read before.

mod account;
mod by_id;
mod client;
mod commits;
mod concurrency;
mod credentials;
mod deployments;
mod diagnose;
mod envelope;
mod error;
pub mod events;
mod failure_limit;
mod history;
mod issue_details;
mod issue_lists;
mod issues;
mod jwt;
mod meter;
mod page;
mod partial_page;
mod permissions;
mod probe;
mod pull_requests;
pub mod queries;
mod rate_limit;
mod releases;
mod repo_ref;
mod response;
pub mod rest;
mod retry;
mod session;
mod thread_states;
mod transport;
mod webhooks;
pub mod wire;
mod workflow_runs;
mod write;
mod write_reads;

pub use client::{Client, ClientSettings};
pub use commits::{CommitCounts, CommitPage, CommitterDateSpan, ComparedCommit, Comparison};
pub use credentials::{AppCredentials, Credentials};
pub use deployments::DeploymentLookup;
pub use diagnose::{AppDiagnosis, Diagnosis, Quota};
pub use error::Error;
pub use issue_details::{DetailedIssue, IssueLookup, LabelSetting};
pub use issue_lists::{IssueQuery, IssuesPage};
pub use meter::Usage;
pub use page::{ListOrder, Page, PageSize, UnansweredEntry};
pub use partial_page::KnownUnanswered;
pub use permissions::Permissions;
pub use probe::{ListSummary, OrgMember, OrgProbe, RepoProbe, RepoState};
pub use rate_limit::RateLimitWait;
pub use repo_ref::RepoRef;
pub use thread_states::{ThreadKind, ThreadState, ThreadTotals};
pub use webhooks::{Delivery, DeliveryPage, Webhook, WebhookOwner};
pub use workflow_runs::{WorkflowRunQuery, WorkflowRuns};
pub use write::{
    Created, MergeProgress, NewIssue, NewMerge, NewPull, WriteOutcome, WriteRefusal, WriteRetry,
};
pub use write_reads::{Branch, ListedReview, ListedText, PullRequestState, WritableRepo};
