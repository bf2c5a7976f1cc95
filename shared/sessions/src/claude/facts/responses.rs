//! The responses of a file: of all copies of a response the one with most output, at the earliest time.

use chrono::{DateTime, Utc};
use gam_model::{FieldText, SessionEventKind, SessionFacts};
use rustc_hash::FxHashMap;

use super::super::line::{CacheCreation, Line, Message, ServerToolUse, Usage};
use super::Origin;
use crate::facts::LogFact;
use crate::json;

struct Response {
    /// The earliest time of a copy.
    at: DateTime<Utc>,
    version: i64,
    owner: Origin,
    facts: SessionFacts,
}

/// The responses, by id.
#[derive(Default)]
pub(super) struct Responses {
    responses: FxHashMap<String, Response>,
}

impl Responses {
    /// Adds a copy of a response. `None` if it has tokens and no id. One without tokens is no response.
    pub(super) fn add(&mut self, line: &Line<'_>, message: &Message<'_>, origin: &Origin) -> Option<()> {
        let Some(usage) = json::object::<Usage<'_>>(message.usage) else { return Some(()) };
        let id = response_id(line, message, &usage, origin)?;
        let is_final = message.stop_reason.text().is_some();
        let version = usage.output_tokens.count() * 2 + i64::from(is_final);
        match self.responses.get_mut(&id) {
            Some(response) => {
                response.at = response.at.min(origin.at);
                if version > response.version {
                    response.version = version;
                    response.facts = usage_facts(message, &usage, is_final);
                }
                if response.owner.is_replay && !origin.is_replay {
                    response.owner = origin.clone();
                }
            }
            None => {
                let facts = usage_facts(message, &usage, is_final);
                let response = Response { at: origin.at, version, owner: origin.clone(), facts };
                self.responses.insert(id, response);
            }
        }
        Some(())
    }

    /// Returns a fact for each response.
    pub(super) fn into_facts(self) -> impl Iterator<Item = LogFact> {
        self.responses.into_iter().map(|(id, response)| {
            let owner = response.owner.owner_facts();
            LogFact {
                workplace: response.owner.workplace,
                id: FieldText::new(&id),
                version: response.version,
                kind: SessionEventKind::AgentResponse,
                occurred_at: response.at,
                session: FieldText::new(&response.owner.session),
                facts: SessionFacts {
                    subagent: owner.subagent,
                    branch: owner.branch,
                    replayed: owner.replayed,
                    ..response.facts
                },
            }
        })
    }
}

/// Returns the id of the event.
///
/// Ids of the vendor's API are unique. Gateways may use an id again, so without the id of a request the session and
/// the input tokens are part of the id: all copies of a response have the same.
fn response_id(line: &Line<'_>, message: &Message<'_>, usage: &Usage<'_>, origin: &Origin) -> Option<String> {
    let request = line.request_id.text();
    match (message.id.text(), request) {
        (Some(id), Some(_)) => return Some(format!("agent:claude:response:{id}")),
        (Some(id), None) if id.starts_with("msg_") => return Some(format!("agent:claude:response:{id}")),
        (None, Some(request)) => return Some(format!("agent:claude:response:{request}")),
        _ => {}
    }
    let id = message.id.text().or(line.uuid.text())?;
    let input = usage.input_tokens.count();
    let (read, written) = (usage.cache_read_input_tokens.count(), usage.cache_creation_input_tokens.count());
    let session = &origin.session;
    Some(format!("agent:claude:response:{session}:{id}:{input}-{read}-{written}"))
}

fn usage_facts(message: &Message<'_>, usage: &Usage<'_>, is_final: bool) -> SessionFacts {
    let written = usage.cache_creation_input_tokens.count();
    let written_1h = json::object::<CacheCreation<'_>>(usage.cache_creation)
        .map_or(0, |creation| creation.ephemeral_1h_input_tokens.count());
    let web_searches = json::object::<ServerToolUse<'_>>(usage.server_tool_use)
        .map_or(0, |server| server.web_search_requests.count());
    SessionFacts {
        model: message.model.text().map(model_name),
        input_tokens: Some(usage.input_tokens.count()),
        output_tokens: Some(usage.output_tokens.count()),
        cache_read_tokens: Some(usage.cache_read_input_tokens.count()),
        // Without a split, everything is written for five minutes, which is the default.
        cache_write_5m_tokens: Some((written - written_1h).max(0)),
        cache_write_1h_tokens: Some(written_1h),
        web_searches: Some(web_searches),
        speed: usage.speed.text().map(FieldText::new),
        is_final: Some(is_final),
        ..SessionFacts::default()
    }
}

/// Returns the model. Resource names of a cloud contain the number of an account, and become a hash.
fn model_name(model: &str) -> FieldText {
    if model.starts_with("arn:") { FieldText::hashed(model) } else { FieldText::new(model) }
}
