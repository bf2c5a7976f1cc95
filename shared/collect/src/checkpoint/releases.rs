//! Which releases of a repository have been read.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use gam_github::PageSize;
use serde::{Deserialize, Serialize};

/// The releases of a repository that have been read. The list is always read completely.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReleasesCheckpoint {
    /// What the probe showed when the list was read; `None` if it never was.
    #[serde(rename = "seen")]
    pub probed: Option<ProbedReleases>,
    /// When each known release was published, by id, UTC. A release can be withdrawn and published again.
    pub published: BTreeMap<i64, DateTime<Utc>>,
    /// The GraphQL node ids of known drafts, by id. A draft may be published at any time.
    pub drafts: BTreeMap<i64, String>,
    /// The repository's latest activity when the list was read, UTC.
    pub active_at: Option<DateTime<Utc>>,
    /// The page size that GitHub could answer; `None` if no page was too large for it.
    #[serde(rename = "size", skip_serializing_if = "Option::is_none")]
    pub page_size: Option<PageSize>,
}

/// What the probe shows of a repository's releases. If it changes, the list is read again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbedReleases {
    /// Number of releases.
    pub total: i64,
    /// The id of the newest release.
    pub newest: Option<i64>,
    /// When the newest release last changed, UTC.
    pub updated_at: Option<DateTime<Utc>>,
}
