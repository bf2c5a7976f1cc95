//! Which releases of a repository have been read.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use gam_github::PageSize;
use serde::{Deserialize, Serialize};

use super::UnansweredEntries;

/// The releases of a repository that have been read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReleasesCheckpoint {
    /// All releases created from this moment on have been read, UTC. `None` before the list was read. An earlier
    /// version, which always read the complete list, did not store it either.
    #[serde(rename = "since", skip_serializing_if = "Option::is_none")]
    pub covered_from: Option<DateTime<Utc>>,
    /// Where GitHub stopped listing releases; `None` if it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub list_end: Option<ReleaseListEnd>,
    /// What the probe showed when the list was read; `None` if it never was.
    #[serde(rename = "seen")]
    pub probed: Option<ProbedReleases>,
    /// When each known release was published, by id, UTC. A release can be withdrawn and published again.
    pub published: BTreeMap<i64, DateTime<Utc>>,
    /// Other times at which a release was published, by id, UTC. They are saved before their events are written. If the
    /// run dies before it saves `published`, a later run can still retract those events.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub announced: BTreeMap<i64, BTreeSet<DateTime<Utc>>>,
    /// The GraphQL node ids of known drafts, by id. A draft may be published at any time.
    pub drafts: BTreeMap<i64, String>,
    /// The repository's latest activity when the list was read, UTC.
    pub active_at: Option<DateTime<Utc>>,
    /// Entries that GitHub lists but fails to return.
    #[serde(skip_serializing_if = "UnansweredEntries::is_empty")]
    pub unanswered: UnansweredEntries,
    /// The page size that GitHub could answer; `None` if no page was too large for it.
    #[serde(rename = "size", skip_serializing_if = "Option::is_none")]
    pub page_size: Option<PageSize>,
}

/// Where GitHub stopped listing releases with an error, although there are more. It lists 1,000 or 10,000.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseListEnd {
    /// When the last release that GitHub listed was created, UTC.
    pub reached: DateTime<Utc>,
    /// Number of releases that GitHub listed.
    pub listed: usize,
    /// When the rest was last requested, by GitHub's clock, UTC.
    pub requested_at: Option<DateTime<Utc>>,
    /// What GitHub answered, for people.
    pub why: String,
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
