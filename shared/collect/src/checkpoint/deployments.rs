//! Which deployments of a repository have been read.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use gam_github::PageSize;
use serde::{Deserialize, Serialize};

use super::UnansweredEntries;

/// The deployments of a repository that have been read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeploymentsCheckpoint {
    /// All deployments created from this moment on have been read, UTC; `None` before the first walk has
    /// finished.
    #[serde(rename = "since")]
    pub covered_from: Option<DateTime<Utc>>,
    /// When the newest deployment was created, as of the beginning of the last finished walk, UTC.
    pub watermark: Option<DateTime<Utc>>,
    /// The repository's latest activity when the last finished walk began, UTC.
    pub active_at: Option<DateTime<Utc>>,
    /// Number of deployments when the last finished walk began.
    pub total: i64,
    /// Deployments that may still succeed, by numeric id.
    pub unsettled: BTreeMap<i64, UnsettledDeployment>,
    /// An unfinished walk.
    pub walk: Option<DeploymentsWalk>,
    /// Entries that GitHub lists but fails to return.
    #[serde(skip_serializing_if = "UnansweredEntries::is_empty")]
    pub unanswered: UnansweredEntries,
    /// The page size that GitHub could answer; `None` if no page was too large for it.
    #[serde(rename = "size", skip_serializing_if = "Option::is_none")]
    pub page_size: Option<PageSize>,
}

/// A deployment that may still succeed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnsettledDeployment {
    /// The GraphQL node id.
    pub node_id: String,
    /// When it was created, UTC.
    pub created_at: DateTime<Utc>,
    /// When it first failed, UTC; `None` if it has not.
    #[serde(default)]
    pub failed_at: Option<DateTime<Utc>>,
}

/// An unfinished walk from the newest deployment down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentsWalk {
    /// When the newest deployment was created, as of the beginning of the walk, UTC.
    pub watermark: Option<DateTime<Utc>>,
    /// The repository's latest activity when the walk began, UTC.
    pub active_at: Option<DateTime<Utc>>,
    /// The walk reads every deployment created from this moment on, UTC.
    #[serde(rename = "floor")]
    pub lower_bound: DateTime<Utc>,
    /// Number of deployments when the walk began.
    pub total: i64,
    /// The cursor of the next page; `None` for the first.
    pub cursor: Option<String>,
}
