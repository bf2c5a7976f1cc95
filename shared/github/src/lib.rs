//! Reading GitHub: a client that keeps to the API's limits, and the mapping of what GitHub shows to
//! events.
//!
//! GraphQL first, because REST needs a request a commit for line counts; REST only to compare two
//! tips of a branch, which GraphQL cannot. Transport and sign-in are octocrab's; retries, limits,
//! page sizes and the GraphQL envelope are this crate's, because octocrab repeats requests at once,
//! drops GraphQL's error types and partial data, and hides the limit headers.
//!
//! The mapping ([`facts`]) is pure: what GitHub shows now suffices to write every event, retracted
//! ones included, and no time in it comes from the local clock.
//!
//! This crate does not know where events are stored, nor how far a repository was read before.

mod account;
mod client;
mod commits;
mod counts;
mod credentials;
mod deployments;
mod diagnose;
mod envelope;
mod error;
pub mod facts;
mod issues;
mod jwt;
mod lanes;
mod limits;
mod meter;
mod page;
mod partial;
mod permissions;
mod probe;
mod pulls;
pub mod queries;
mod releases;
mod response;
pub mod rest;
pub mod wire;

pub use client::{Client, Settings, Wait};
pub use commits::{CommitPage, ComparedCommit, Comparison, Counted, Span};
pub use counts::{EntryState, StatesOf, Totals};
pub use credentials::{AppCredentials, Credentials};
pub use deployments::Shown;
pub use diagnose::{AppDiagnosis, Diagnosis, Quota};
pub use error::Error;
pub use meter::Usage;
pub use page::{Order, Page, PageSize};
pub use permissions::Permissions;
pub use probe::{MemberListed, Newest, OrgProbe, RepoProbe, RepoState};

/// Where a repository is found: GitHub's ids do not change when it is renamed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepoRef {
    /// The owner's login.
    pub owner: String,
    /// The name.
    pub name: String,
    /// The GraphQL node id.
    pub node_id: String,
    /// The numeric id.
    pub id: i64,
}
