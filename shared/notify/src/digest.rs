//! Digests: numbers of a period, with the change and what proves each of them.

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};
use gam_model::notify::DigestPeriod;
use serde::{Deserialize, Serialize};

/// The greatest length of a digest as JSON, in bytes.
pub(crate) const MAX_DIGEST_BYTES: usize = 60_000;
/// The greatest length of its notes.
const MAX_NOTES_BYTES: usize = 15_000;
/// The greatest length of its numbers.
const MAX_NUMBERS_BYTES: usize = 40_000;

/// What a digest is to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigestRequest {
    /// The storage key of the organization.
    pub org: String,
    /// The length of the period.
    pub every: DigestPeriod,
    /// The first day. The numbers are those of the organization's days of the same dates.
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
    /// How many numbers and notes are left out because the digest is about too many repositories and members.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl DigestContent {
    /// Creates a digest, with as many of the first numbers and notes as fit into a record.
    pub(crate) fn new(
        name: &str,
        request: &DigestRequest,
        (mut numbers, mut notes): (Vec<DigestNumber>, Vec<DigestNote>),
        made_at: DateTime<Utc>,
    ) -> Self {
        let left_out = keep_first(&mut numbers, MAX_NUMBERS_BYTES) + keep_first(&mut notes, MAX_NOTES_BYTES);
        let DigestRequest { since, until, .. } = *request;
        DigestContent { name: name.to_owned(), made_at, since, until, numbers, notes, left_out }
    }
}

/// Keeps the first items whose JSON is at most so long together. Returns the number of the others.
fn keep_first<T: Serialize>(items: &mut Vec<T>, max_bytes: usize) -> u64 {
    let mut bytes = 0;
    let fits = items.iter().take_while(|item| {
        bytes += serde_json::to_string(item).map_or(0, |json| json.len() + 1);
        bytes <= max_bytes
    });
    let kept = fits.count();
    let left_out = items.len() - kept;
    items.truncate(kept);
    left_out as u64
}

/// Where the numbers of digests come from.
#[async_trait]
pub trait DigestSource: Send + Sync {
    /// Returns the numbers of a period and what stands out.
    ///
    /// # Errors
    /// If the numbers cannot be read.
    async fn numbers(&self, request: &DigestRequest) -> crate::Result<(Vec<DigestNumber>, Vec<DigestNote>)>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_of_a_thousand_repositories_fits_into_a_record_and_says_what_is_left_out() {
        let since: NaiveDate = "2026-03-01".parse().unwrap();
        let request = DigestRequest {
            org: "acme".to_owned(),
            every: DigestPeriod::Day,
            since,
            until: since + chrono::Days::new(1),
            repositories: Vec::new(),
            members: Vec::new(),
        };
        let number = |repo: u32| DigestNumber {
            metric: "commits".to_owned(),
            subject: Some(format!("repository-{repo}")),
            value: Some(1.0),
            previous: Some(2.0),
            is_hours: false,
            link: format!("/orgs/acme/repos/repository-{repo}?since=2026-03-01&until=2026-03-02"),
        };
        let few = DigestContent::new(
            "all",
            &request,
            ((0..3).map(number).collect(), Vec::new()),
            DateTime::default(),
        );
        assert_eq!((few.numbers.len(), few.left_out), (3, 0));
        let many = DigestContent::new(
            "all",
            &request,
            ((0..1_000).map(number).collect(), Vec::new()),
            DateTime::default(),
        );
        assert_eq!(many.numbers.len() as u64 + many.left_out, 1_000);
        assert!(many.left_out > 0 && many.numbers[0] == number(0));
        assert!(serde_json::to_string(&many).unwrap().len() <= MAX_DIGEST_BYTES);
    }
}
