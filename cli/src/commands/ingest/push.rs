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
use crate::error::{failure, one_line, usage_error};
use crate::session::CliSession;
use crate::terminal_text::quoted;

/// The most events of a request.
const MAX_EVENTS: usize = 1_000;
/// The most bytes of the events of a request. Servers take a mebibyte.
const MAX_BYTES: usize = 900_000;
/// How often a request is repeated that did not reach the server, or that the server asks to repeat.
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
    /// A value is impossible, such as a time in the future.
    Invalid,
    /// A reason that this program does not know.
    Other,
}

/// A connection to a server, and what it has.
pub(super) struct PushClient {
    client: ApiClient,
    org: String,
    member: Option<String>,
    /// Not under a hook, which must not disturb the end of a session. The next run makes up for it.
    can_retry: bool,
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
            can_retry: !args.auto,
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
        let new: Vec<OutgoingEvent> = events
            .iter()
            .map(OutgoingEvent::new)
            .filter(|event| self.sent.get(&event.id) != Some(&event.content))
            .collect();
        for batch in batches(&new) {
            let values: Vec<&Value> = batch.iter().map(|event| &event.value).collect();
            let mut body = json!({ "org": self.org, "events": values });
            if let Some(member) = &self.member {
                body["member"] = member.as_str().into();
            }
            let answer = self.send(&body).await?;
            check_answer(&answer, batch.len())?;
            let of_batch = parse_refused(&answer);
            let is_refused: HashSet<u64> = of_batch.keys().map(hash).collect();
            if self.sent.len() + batch.len() > MAX_SENT {
                self.sent.clear();
            }
            let accepted = batch.iter().filter(|event| !is_refused.contains(&event.id));
            self.sent.extend(accepted.map(|event| (event.id, event.content)));
            refused.extend(of_batch);
        }
        Ok(refused)
    }

    /// Sends a request until the server answers it.
    async fn send(&self, body: &Value) -> anyhow::Result<Value> {
        let (mut retries, mut pause) = (0, FIRST_PAUSE);
        loop {
            let (error, asked_pause) = match self.client.try_post(&["sessions"], body).await {
                Ok(answer) => match answer.refusal {
                    None => return Ok(answer.json),
                    Some(error) if may_repeat(answer.status, answer.retry_after) => {
                        (error, answer.retry_after)
                    }
                    // Another request has the same answer until somebody changes something.
                    Some(error) => return Err(error),
                },
                Err(failure) if failure.is_transient => (failure.error, None),
                Err(failure) => return Err(failure.error),
            };
            if retries == MAX_RETRIES || !self.can_retry {
                // Not an error of this program: another attempt can help.
                return Err(anyhow::Error::msg(one_line(&error)));
            }
            retries += 1;
            tokio::time::sleep(asked_pause.unwrap_or(pause)).await;
            pause *= 2;
        }
    }
}

/// Returns whether the same request can succeed later: the server asks for it, or a proxy does not reach the server.
fn may_repeat(status: u16, retry_after: Option<Duration>) -> bool {
    matches!(status, 429 | 502 | 504) || ((500..600).contains(&status) && retry_after.is_some())
}

/// Checks that an answer says of each event what became of it. Something else than this API may have answered.
fn check_answer(answer: &Value, sent: usize) -> anyhow::Result<()> {
    let accepted = answer["accepted"].as_u64().and_then(|accepted| usize::try_from(accepted).ok());
    let refused = answer["refused"].as_array().map(Vec::len);
    let is_complete =
        matches!((accepted, refused), (Some(accepted), Some(refused)) if accepted + refused == sent);
    if is_complete {
        return Ok(());
    }
    Err(failure(format!(
        "the server did not say what became of {sent} events, so they count as not sent: check that --push names a \
         server of github-metrics, without a proxy that changes answers"
    )))
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

/// An event that is sent.
struct OutgoingEvent {
    /// The hash of its id.
    id: u64,
    /// The hash of all of it.
    content: u64,
    /// Its length in a request.
    bytes: usize,
    value: Value,
}

impl OutgoingEvent {
    fn new(event: &SessionEvent) -> Self {
        let value = Value::Object(event_fields(event));
        let text = value.to_string();
        // A comma follows it.
        OutgoingEvent { id: hash(&event.id), content: hash(&text), bytes: text.len() + 1, value }
    }
}

/// Divides events into requests that a server takes.
fn batches(events: &[OutgoingEvent]) -> Vec<&[OutgoingEvent]> {
    let (mut batches, mut start, mut bytes) = (Vec::new(), 0, 0);
    for (index, event) in events.iter().enumerate() {
        if index > start && (index - start == MAX_EVENTS || bytes + event.bytes > MAX_BYTES) {
            batches.push(&events[start..index]);
            (start, bytes) = (index, 0);
        }
        bytes += event.bytes;
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
                Some("invalid") => Refusal::Invalid,
                _ => Refusal::Other,
            };
            Some((FieldText::new(refused["event_id"].as_str()?), reason))
        })
        .collect()
}

pub(super) fn hash(value: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_have_bounded_events_and_bytes() {
        let events = |count: usize, bytes: usize| -> Vec<OutgoingEvent> {
            let value = Value::String("x".repeat(bytes));
            let bytes = value.to_string().len() + 1;
            let event = |id| OutgoingEvent { id, content: 0, bytes, value: value.clone() };
            (0..count as u64).map(event).collect()
        };
        let lengths = |events: &[OutgoingEvent]| -> Vec<usize> {
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
            { "event_id": "c", "reason": "invalid" },
            { "event_id": "d", "reason": "new" },
        ] });
        let refused: Vec<Refusal> = parse_refused(&answer).into_values().collect();
        let expected = [Refusal::NotCollected, Refusal::OtherMember, Refusal::Invalid, Refusal::Other];
        assert_eq!(refused, expected);
    }

    #[test]
    fn an_answer_must_account_for_each_event() {
        let refused = json!([{ "event_id": "a", "reason": "invalid" }]);
        assert!(check_answer(&json!({ "accepted": 2, "refused": refused }), 3).is_ok());
        for answer in [
            Value::Null,
            json!({}),
            json!({ "status": "ok" }),
            json!({ "accepted": 3 }),
            json!({ "accepted": 3, "refused": refused }),
            json!({ "accepted": 1, "refused": refused }),
        ] {
            assert!(check_answer(&answer, 3).is_err(), "{answer}");
        }
    }

    #[test]
    fn only_what_the_server_asks_for_is_repeated() {
        let pause = Some(Duration::from_secs(1));
        assert!(may_repeat(429, None) && may_repeat(502, None) && may_repeat(503, pause));
        assert!(!may_repeat(500, None) && !may_repeat(404, pause));
    }
}
