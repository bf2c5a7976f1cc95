//! Pictures of digests. Other crates draw them.

use std::fmt;

use async_trait::async_trait;
use chrono::{Days, NaiveDate};
use gam_model::notify::Language;

use crate::digest::DigestContent;
use crate::error::Result;

/// How many days a picture shows: those up to the end of the digest.
const DAYS: u64 = 28;

/// What a picture shows: a metric of an organization by day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PictureRequest {
    /// The storage key of the organization.
    pub org: String,
    /// The metric, such as `commits`.
    pub metric: String,
    /// The first day.
    pub since: NaiveDate,
    /// The day after the last one.
    pub until: NaiveDate,
    /// The language of its texts.
    pub language: Language,
}

impl PictureRequest {
    /// Returns the picture of a digest: its first number, by day. `None` if the digest is not about an organization.
    pub(crate) fn of_digest(digest: &DigestContent, org: &str, language: Language) -> Option<Self> {
        let first = digest.numbers.first()?;
        let is_of_org = digest.numbers.iter().all(|number| number.subject.is_none());
        is_of_org.then(|| PictureRequest {
            org: org.to_owned(),
            metric: first.metric.clone(),
            since: digest.until.checked_sub_days(Days::new(DAYS)).unwrap_or(digest.since),
            until: digest.until,
            language,
        })
    }
}

/// A picture in a message.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    /// The PNG.
    pub png: Vec<u8>,
    /// What it shows, for people who do not see it.
    pub description: String,
}

impl fmt::Debug for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Picture({}, {} bytes)", self.description, self.png.len())
    }
}

/// What draws charts.
#[async_trait]
pub trait ChartSource: Send + Sync {
    /// Returns a chart as SVG. Its colours are in it, and its texts are text.
    ///
    /// # Errors
    /// If the numbers cannot be read.
    async fn svg(&self, request: &PictureRequest) -> Result<String>;
}

/// What makes pictures.
#[async_trait]
pub trait PictureSource: Send + Sync {
    /// Returns a picture as PNG.
    ///
    /// # Errors
    /// If it cannot be drawn.
    async fn png(&self, request: &PictureRequest) -> Result<Vec<u8>>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::DigestNumber;

    #[test]
    fn a_picture_shows_the_first_number_of_an_organization() {
        let number = |metric: &str, subject: Option<&str>| DigestNumber {
            metric: metric.to_owned(),
            subject: subject.map(str::to_owned),
            value: Some(1.0),
            previous: None,
            is_hours: false,
            link: String::new(),
        };
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        let digest = |numbers| DigestContent {
            since: day("2026-02-23"),
            until: day("2026-03-02"),
            numbers,
            ..DigestContent::default()
        };
        let request = |numbers| PictureRequest::of_digest(&digest(numbers), "acme", Language::English);
        let of_org = request(vec![number("commits", None), number("reviews", None)]).unwrap();
        assert_eq!((&*of_org.org, &*of_org.metric), ("acme", "commits"));
        assert_eq!((of_org.since, of_org.until), (day("2026-02-02"), day("2026-03-02")));
        assert_eq!(request(vec![number("commits", Some("site"))]), None);
        assert_eq!(request(Vec::new()), None);
    }
}
