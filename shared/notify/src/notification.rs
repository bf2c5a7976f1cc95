//! One thing that happened.

use chrono::{DateTime, Utc};
use gam_model::{NotificationKind, Severity};
use serde::{Deserialize, Serialize};

/// A report of one thing that happened, for people. It contains no secret and no address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    /// Identifies it: the id of an audit row, or the key of a condition and the time at which it began.
    pub id: String,
    /// What it is about.
    pub kind: NotificationKind,
    /// How urgent it is.
    pub severity: Severity,
    /// When it happened, UTC.
    pub time: DateTime<Utc>,
    /// The name of the repository without the organization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo: Option<String>,
    /// The number of the issue or pull request within the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<i64>,
    /// What it happened to, such as `issue site#42`.
    pub subject: String,
    /// Why, or how.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The page that shows it: a path such as `/orgs/acme/actions`, or a URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// The action that waits for an approval. A link that lets its reader decide is made when the message is sent, and
    /// is in no record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action_id: Option<String>,
    /// Whether it reports that a condition has ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_over: bool,
    /// The channel that must not report it: the one that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excluded_channel: Option<String>,
}

impl Notification {
    /// Creates a notification of the kind's severity. `subject` is what it happened to.
    pub fn new(
        id: impl Into<String>,
        kind: NotificationKind,
        time: DateTime<Utc>,
        subject: impl Into<String>,
    ) -> Self {
        Notification {
            id: id.into(),
            kind,
            severity: kind.severity(),
            time,
            repo: None,
            number: None,
            subject: subject.into(),
            detail: None,
            link: None,
            action_id: None,
            is_over: false,
            excluded_channel: None,
        }
    }

    /// Sets why or how it happened.
    #[must_use]
    pub fn with_detail(self, detail: impl Into<String>) -> Self {
        Notification { detail: Some(detail.into()), ..self }
    }

    /// Sets the page that shows it.
    #[must_use]
    pub fn with_link(self, link: impl Into<String>) -> Self {
        Notification { link: Some(link.into()), ..self }
    }

    /// Sets the repository.
    #[must_use]
    pub fn about(self, repo: Option<&str>, number: Option<i64>) -> Self {
        Notification { repo: repo.map(str::to_owned), number, ..self }
    }
}
