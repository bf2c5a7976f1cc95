//! What channels sent, and what they refused.

use chrono::{DateTime, TimeDelta, Utc};
use gam_model::notify::Language;
use gam_store::{
    Expectation, KeyPart, RecordCommit, RecordCommitId, RecordKey, RecordKind, RecordRange, RecordStore,
};
use serde::{Deserialize, Serialize};

use crate::digest::DigestContent;
use crate::error::Result;
use crate::plain_text::{cut, one_line};
use crate::text::Texts;

/// How long the store remembers a message.
const LIFETIME: TimeDelta = TimeDelta::days(30);
/// The longest title, in characters.
const MAX_TITLE_CHARS: usize = 1_000;

/// A message that was sent, or that was dropped because the channel refused it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentMessage {
    /// The id of the message: 32 hexadecimal digits.
    pub id: String,
    /// The channel.
    pub channel: String,
    /// When it was sent or dropped, UTC.
    pub at: DateTime<Utc>,
    /// The title.
    pub title: String,
    /// Number of notifications in it.
    pub notifications: u64,
    /// Number of attempts.
    pub attempts: u32,
    /// Why it was dropped; `None` if it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

impl SentMessage {
    /// Returns what says that digests were dropped because newer ones wait. `None` if there are none.
    pub(crate) fn of_dropped(
        (org, channel): (&str, &str),
        dropped: &[DigestContent],
        language: Language,
        at: DateTime<Utc>,
    ) -> Option<Self> {
        let titles: Vec<String> = dropped.iter().map(|digest| Texts(language).digest(digest)).collect();
        (!dropped.is_empty()).then(|| SentMessage {
            id: RecordCommitId::random().to_string(),
            channel: channel.to_owned(),
            at,
            title: cut(&one_line(&format!("[{org}] {}", titles.join(", "))), MAX_TITLE_CHARS),
            notifications: 0,
            attempts: 0,
            refused: Some("too many newer digests wait for the channel".to_owned()),
        })
    }

    /// Adds the record to a commit.
    pub(crate) fn add_to(&self, commit: RecordCommit, org: &str) -> Result<RecordCommit> {
        let milliseconds = u64::try_from(self.at.timestamp_millis()).unwrap_or_default();
        // The newest first.
        let parts = [KeyPart::Number(u64::MAX - milliseconds), KeyPart::Text(&self.id)];
        let key = RecordKey::new(Some(org), RecordKind::NotifyMessage, &parts)?;
        let body = serde_json::to_string(self).expect("the fields have only text keys");
        Ok(commit.put_until(key, body, self.at + LIFETIME, Expectation::Any))
    }
}

/// Returns the last messages of all channels of an organization, the newest first. `org` is its storage key.
///
/// # Errors
/// If the store fails.
pub async fn list_messages(
    records: &dyn RecordStore,
    org: &str,
    limit: usize,
    now: DateTime<Utc>,
) -> Result<Vec<SentMessage>> {
    let range = RecordRange::new(Some(org), RecordKind::NotifyMessage, &[])?;
    let page = records.range(&range, limit, now).await?;
    Ok(page.iter().filter_map(|(_, record)| serde_json::from_str(&record.body).ok()).collect())
}
