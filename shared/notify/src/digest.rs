//! Digests: numbers of a period, with the change and what proves each of them.

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};
use gam_model::notify::DigestPeriod;
use serde::{Deserialize, Serialize};

/// What a digest is to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigestRequest {
    /// The storage key of the organization.
    pub org: String,
    /// The length of the period.
    pub every: DigestPeriod,
    /// The first day, in the organization's time zone.
    pub since: NaiveDate,
    /// The day after the last one.
    pub until: NaiveDate,
    /// Repositories, without the owner.
    pub repositories: Vec<String>,
    /// Members.
    pub members: Vec<String>,
}

/// One number of a digest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DigestNumber {
    /// The metric, such as `prs_merged`.
    pub metric: String,
    /// The repository or member, or `None` for the organization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The value; the median of a distribution, in hours. `None` if there is nothing to measure.
    pub value: Option<f64>,
    /// The value of the period before.
    pub previous: Option<f64>,
    /// Whether it is a number of hours.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_hours: bool,
    /// The path of the page with the same number.
    pub link: String,
}

/// Which rule made a note. `docs/NOTIFICATIONS.md` defines them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoteRule {
    /// The median of a distribution is more than twice that of the four periods before.
    SlowerThanUsual,
    /// Deployments failed.
    DeploysFailed,
    /// Fewer reviews than merged pull requests.
    FewReviews,
    /// The data of the period is not complete.
    Incomplete,
}

/// What stands out, by a named rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DigestNote {
    /// The rule.
    pub rule: NoteRule,
    /// The repository, or `None` for the organization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The metric that the rule looks at.
    pub metric: String,
    /// The value of the period.
    pub value: f64,
    /// What it was compared with.
    pub compared_with: f64,
    /// The path of the page that proves it.
    pub link: String,
}

/// A digest that was made.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct DigestContent {
    /// The name in the configuration.
    pub name: String,
    /// When it was made, UTC.
    pub made_at: DateTime<Utc>,
    /// The first day.
    pub since: NaiveDate,
    /// The day after the last one.
    pub until: NaiveDate,
    /// The numbers.
    pub numbers: Vec<DigestNumber>,
    /// What stands out.
    pub notes: Vec<DigestNote>,
}

/// A picture of a chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// The bytes of a PNG file.
    pub png: Vec<u8>,
    /// What it shows.
    pub alt: String,
}

/// Where the numbers of digests come from.
#[async_trait]
pub trait DigestSource: Send + Sync {
    /// Returns the numbers of a period and what stands out.
    ///
    /// # Errors
    /// If the numbers cannot be read.
    async fn numbers(&self, request: &DigestRequest) -> crate::Result<(Vec<DigestNumber>, Vec<DigestNote>)>;

    /// Returns a picture of the digest for channels that show pictures. `None` if there is none.
    async fn picture(&self, org: &str, digest: &DigestContent) -> Option<Picture>;
}
