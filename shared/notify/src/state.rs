//! The records of notifications.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use gam_model::{LogPosition, NotificationKind};
use gam_store::{Expectation, KeyPart, Record, RecordCommit, RecordKey, RecordKind, RecordStore};
use serde::{Deserialize, Serialize};

use crate::channel_state::ChannelState;
use crate::error::{NotifyError, Result};

/// The key of the only record of its kind of an organization.
const ONLY: KeyPart<'static> = KeyPart::Text("state");

/// A condition that was reported and lasts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActiveCondition {
    /// What it is about.
    pub kind: NotificationKind,
    /// What it is the case for.
    pub subject: String,
    /// When it was first seen, UTC.
    pub since: DateTime<Utc>,
    /// When it was reported last, UTC.
    pub reported_at: DateTime<Utc>,
}

/// How far a log was read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct LogCursor {
    /// Up to where its segments were read. `None` if it was never read.
    #[serde(with = "position_text")]
    pub(crate) position: Option<LogPosition>,
    /// Hashes of the ids of rows that were read before a segment had them, and whether a segment up to the position has
    /// them now.
    pub(crate) seen: BTreeMap<String, bool>,
}

/// A position as [`LogPosition`] writes itself.
mod position_text {
    use gam_model::LogPosition;
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    pub(super) fn serialize<S: Serializer>(position: &Option<LogPosition>, to: S) -> Result<S::Ok, S::Error> {
        position.map(|position| position.to_string()).serialize(to)
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Option<LogPosition>, D::Error> {
        let text: Option<String> = Option::deserialize(from)?;
        let parse =
            |text: String| LogPosition::parse(&text).ok_or_else(|| D::Error::custom("invalid position"));
        text.map(parse).transpose()
    }
}

/// What notifications of an organization know.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct NotifyState {
    /// The log of the organization.
    pub(crate) org_log: LogCursor,
    /// The log of what belongs to no organization.
    pub(crate) service_log: LogCursor,
    /// The conditions that last, by key.
    pub(crate) conditions: BTreeMap<String, ActiveCondition>,
    /// The last local day on which the head of the audit log was reported.
    pub(crate) head_day: Option<NaiveDate>,
    /// Of each digest, by name: the day after the last one that it was made about.
    pub(crate) digests: BTreeMap<String, NaiveDate>,
}

fn parse<T: for<'a> Deserialize<'a>>(record: &Record, kind: &'static str, org: &str) -> Result<T> {
    serde_json::from_str(&record.body).map_err(|error| NotifyError::Damaged {
        kind,
        org: org.to_owned(),
        what: error.to_string(),
    })
}

/// A record, and what must be stored when it is replaced.
pub(crate) struct Loaded<T> {
    pub(crate) value: T,
    pub(crate) expectation: Expectation,
}

/// Loads what notifications of an organization know.
pub(crate) async fn load_state(
    records: &dyn RecordStore,
    org: &str,
    now: DateTime<Utc>,
) -> Result<Loaded<NotifyState>> {
    let key = RecordKey::new(Some(org), RecordKind::NotifyState, &[ONLY])?;
    let record = records.get(&key, now).await?;
    let value = record.as_ref().map(|record| parse(record, "notify_state", org)).transpose()?;
    Ok(Loaded { value: value.unwrap_or_default(), expectation: Expectation::unchanged(record.as_ref()) })
}

/// Adds a write of the state to a commit.
pub(crate) fn put_state(
    commit: RecordCommit,
    org: &str,
    state: &Loaded<NotifyState>,
) -> Result<RecordCommit> {
    let key = RecordKey::new(Some(org), RecordKind::NotifyState, &[ONLY])?;
    let body = serde_json::to_string(&state.value).expect("the fields have only text keys");
    Ok(commit.put(key, body, state.expectation))
}

fn channel_key(org: &str, channel: &str) -> Result<RecordKey> {
    Ok(RecordKey::new(Some(org), RecordKind::NotifyChannel, &[KeyPart::Text(channel)])?)
}

/// Loads what a channel has to send.
pub(crate) async fn load_channel(
    records: &dyn RecordStore,
    (org, channel): (&str, &str),
    now: DateTime<Utc>,
) -> Result<Loaded<ChannelState>> {
    let record = records.get(&channel_key(org, channel)?, now).await?;
    let value = record.as_ref().map(|record| parse(record, "notify_channel", org)).transpose()?;
    Ok(Loaded { value: value.unwrap_or_default(), expectation: Expectation::unchanged(record.as_ref()) })
}

/// Adds a write of a channel's state to a commit.
pub(crate) fn put_channel(
    commit: RecordCommit,
    (org, channel): (&str, &str),
    state: &Loaded<ChannelState>,
) -> Result<RecordCommit> {
    let body = serde_json::to_string(&state.value).expect("the fields have only text keys");
    Ok(commit.put(channel_key(org, channel)?, body, state.expectation))
}

/// What a channel has to send and whether it works, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChannelStatus {
    /// The channel's name.
    pub channel: String,
    /// Number of notifications that wait.
    pub waiting: u64,
    /// Number of digests that wait.
    pub digests: usize,
    /// Whether a message is being sent or tried again.
    pub is_sending: bool,
    /// When the last message was sent, UTC.
    pub last_sent: Option<DateTime<Utc>>,
    /// Until when nothing is sent because the channel failed or asked for a pause, UTC.
    pub paused_until: Option<DateTime<Utc>>,
    /// Whether the breaker is open.
    pub is_broken: bool,
    /// Why the last message was not sent.
    pub why: Option<String>,
}

/// Returns the status of a channel. `org` is the storage key of its organization.
///
/// # Errors
/// If the store fails.
pub async fn channel_status(
    records: &dyn RecordStore,
    (org, channel): (&str, &str),
    now: DateTime<Utc>,
) -> Result<ChannelStatus> {
    let state = load_channel(records, (org, channel), now).await?.value;
    let groups = [&state.pending, &state.urgent];
    let waiting = groups.into_iter().flatten().map(crate::PendingGroup::len).sum();
    Ok(ChannelStatus {
        channel: channel.to_owned(),
        waiting,
        digests: state.digests.len(),
        is_sending: state.sending.is_some(),
        last_sent: state.last_sent,
        paused_until: state.breaker.open_until().max(state.not_before).filter(|until| *until > now),
        is_broken: state.breaker.is_open(),
        why: state.breaker.why,
    })
}
