//! `ingest sessions --push`: sends session events to a server, so that this machine needs no access to the lake.
//!
//! A server stores each event once, however often it is sent. So whatever was not confirmed is sent again.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use gam_client::{ClientError, parse_address};
use gam_model::{FieldText, SessionEvent};
use serde_json::{Map, Value, json};
use url::Url;

use super::SessionsArgs;
use crate::api::ApiClient;
use crate::error::{one_line, usage_error};
use crate::session::CliSession;
use crate::terminal_text::quoted;

/// The most events of a request.
const MAX_EVENTS: usize = 1_000;
/// The most bytes of the events of a request. Servers take a mebibyte.
const MAX_BYTES: usize = 900_000;
/// How often a request is repeated that the server did not answer, or answered that it cannot take now.
const MAX_RETRIES: u32 = 5;
/// The pause before the first repetition. It doubles, unless the server names one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The most events whose content is remembered, so that a watch does not send them again.
const MAX_SENT: usize = 500_000;

/// Why a server does not store an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Refusal {
    /// Nothing of the repository was collected, or the token's scope does not include it.
    NotCollected,
    /// Somebody else has pushed the event.
    OtherMember,
    /// A reason that this program does not know.
    Other,
}

/// A connection to a server, and what it has.
pub(super) struct PushClient {
    client: ApiClient,
    org: String,
    member: Option<String>,
    /// Hashes of the contents of events that the server has, by the hash of the id.
    sent: HashMap<u64, u64>,
}

impl PushClient {
    /// Creates a client of the server at the address.
    ///
    /// # Errors
    /// If the token cannot be read, or there can be no connection.
    pub(super) fn new(session: &CliSession, args: &SessionsArgs, server: &Url) -> anyhow::Result<Self> {
        Ok(PushClient {
            client: ApiClient::of_server(&session.settings, server)?,
            org: args.org.clone(),
            member: args.member.clone(),
            sent: HashMap::new(),
        })
    }

    /// Sends the events that the server does not have. Returns those that it refuses.
    ///
    /// # Errors
    /// If the server cannot be reached, or refuses the request. What it took before is remembered.
    pub(super) async fn push(
        &mut self,
        events: &[SessionEvent],
    ) -> anyhow::Result<BTreeMap<FieldText, Refusal>> {
        let mut refused = BTreeMap::new();
        let new: Vec<(u64, u64, Value)> = events
            .iter()
            .map(|event| {
                let value = Value::Object(event_fields(event));
                (hash(&event.id), hash(&value.to_string()), value)
            })
            .filter(|(id, content, _)| self.sent.get(id) != Some(content))
            .collect();
        for batch in batches(&new) {
            let values: Vec<&Value> = batch.iter().map(|(_, _, value)| value).collect();
            let mut body = json!({ "org": self.org, "events": values });
            if let Some(member) = &self.member {
                body["member"] = member.as_str().into();
            }
            let of_batch = parse_refused(&self.send(&body).await?);
            let is_refused: HashSet<u64> = of_batch.keys().map(hash).collect();
            if self.sent.len() + batch.len() > MAX_SENT {
                self.sent.clear();
            }
            let accepted = batch.iter().filter(|(id, ..)| !is_refused.contains(id));
            self.sent.extend(accepted.map(|(id, content, _)| (*id, *content)));
            refused.extend(of_batch);
        }
        Ok(refused)
    }

    /// Sends a request until the server answers it.
    async fn send(&self, body: &Value) -> anyhow::Result<Value> {
        let (mut retries, mut pause) = (0, FIRST_PAUSE);
        loop {
            let (error, asked_pause) = match self.client.post(&["sessions"], body).await {
                Ok(answer) => match answer.refusal {
                    None => return Ok(answer.json),
                    Some(error) if matches!(answer.status, 429 | 500 | 502 | 503 | 504) => {
                        (error, answer.retry_after)
                    }
                    // Another request has the same answer until somebody changes something.
                    Some(error) => return Err(error),
                },
                Err(error) => (error, None),
            };
            if retries == MAX_RETRIES {
                // Not an error of this program: another attempt can help.
                return Err(anyhow::Error::msg(one_line(&error)));
            }
            retries += 1;
            tokio::time::sleep(asked_pause.unwrap_or(pause)).await;
            pause *= 2;
        }
    }
}

/// Parses the address of a server.
///
/// # Errors
/// If it is none, or others on the network could read along.
pub(super) fn server_url(text: &str) -> anyhow::Result<Url> {
    parse_address(text).map_err(|error| match error {
        ClientError::PlainHttp { origin } => usage_error(format!(
            "--push {origin} would send the token without encryption: use https, or an address of this machine"
        )),
        _ => usage_error(format!(
            "invalid --push {}: expected the address of a server, such as https://metrics.example.com",
            quoted(&crate::format::redacted(text))
        )),
    })
}

/// Returns all fields of an event that are sent.
pub(super) fn event_fields(event: &SessionEvent) -> Map<String, Value> {
    let facts = match serde_json::to_value(&event.facts) {
        Ok(Value::Object(facts)) => facts.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        _ => Map::new(),
    };
    let fields = json!({
        "event_id": event.id,
        "version": event.version,
        "kind": event.kind,
        "repo": event.repo,
        "occurred_at": event.occurred_at,
        "reading": event.reading,
        "agent": event.agent,
        "session": event.session,
        "facts": facts,
    });
    match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// Divides events into requests that a server takes.
fn batches(events: &[(u64, u64, Value)]) -> Vec<&[(u64, u64, Value)]> {
    let (mut batches, mut start, mut bytes) = (Vec::new(), 0, 0);
    for (index, (_, _, value)) in events.iter().enumerate() {
        let length = value.to_string().len() + 1;
        if index > start && (index - start == MAX_EVENTS || bytes + length > MAX_BYTES) {
            batches.push(&events[start..index]);
            (start, bytes) = (index, 0);
        }
        bytes += length;
    }
    if start < events.len() {
        batches.push(&events[start..]);
    }
    batches
}

fn parse_refused(answer: &Value) -> BTreeMap<FieldText, Refusal> {
    let refused = answer["refused"].as_array().into_iter().flatten();
    refused
        .filter_map(|refused| {
            let reason = match refused["reason"].as_str() {
                Some("not_collected") => Refusal::NotCollected,
                Some("other_member") => Refusal::OtherMember,
                _ => Refusal::Other,
            };
            Some((FieldText::new(refused["event_id"].as_str()?), reason))
        })
        .collect()
}

fn hash(value: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_have_bounded_events_and_bytes() {
        let events = |count: usize, bytes: usize| -> Vec<(u64, u64, Value)> {
            (0..count).map(|number| (number as u64, 0, Value::String("x".repeat(bytes)))).collect()
        };
        let lengths = |events: &[(u64, u64, Value)]| -> Vec<usize> {
            batches(events).into_iter().map(<[_]>::len).collect()
        };
        assert!(lengths(&[]).is_empty());
        assert_eq!(lengths(&events(2_001, 1)), [1_000, 1_000, 1]);
        assert_eq!(lengths(&events(5, 400_000)), [2, 2, 1]);
        assert_eq!(lengths(&events(2, 2_000_000)), [1, 1], "the server says what is wrong with it");
    }

    #[test]
    fn addresses_are_checked() {
        assert!(server_url("https://metrics.example.com/api/v1").is_ok());
        assert!(server_url("http://127.0.0.1:8080").is_ok());
        let error = |text: &str| server_url(text).unwrap_err().to_string();
        assert!(error("http://metrics.example.com").contains("without encryption"));
        assert!(!error("ftp://ann:hunter2@h").contains("hunter2"));
    }

    #[test]
    fn reasons_of_refusals_are_known() {
        let answer = json!({ "accepted": 0, "refused": [
            { "event_id": "a", "reason": "not_collected" },
            { "event_id": "b", "reason": "other_member" },
            { "event_id": "c", "reason": "new" },
        ] });
        let refused: Vec<Refusal> = parse_refused(&answer).into_values().collect();
        assert_eq!(refused, [Refusal::NotCollected, Refusal::OtherMember, Refusal::Other]);
    }
}
