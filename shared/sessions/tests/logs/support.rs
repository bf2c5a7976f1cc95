//! Writes logs and reads them.

use std::io::BufReader;

use chrono::{DateTime, Utc};
use gam_model::session_event::combine_by_id;
use gam_model::{CodingAgent, FieldText, Member, SessionEvent, SessionEventKind, SessionFacts};
use gam_sessions::{Disclosure, LogFacts, Owner, reader};
use serde_json::{Value, json};

/// Everything that a person, a model or a tool said in the logs of these tests contains it.
pub(crate) const SECRET: &str = "hunter2";

/// Reads a log file.
pub(crate) fn read(agent: CodingAgent, bytes: &[u8]) -> LogFacts {
    // A small buffer, so that lines are read in parts.
    let mut input = BufReader::with_capacity(64, bytes);
    reader(agent).read(&mut input).unwrap()
}

/// Returns the events of files that were read in this order: one for each id, sorted by id.
pub(crate) fn events_of(agent: CodingAgent, files: &[&[u8]]) -> Vec<SessionEvent> {
    combine_by_id(files.iter().flat_map(|file| placed(&read(agent, file))).collect())
}

/// Returns the events of a file.
pub(crate) fn placed(facts: &LogFacts) -> Vec<SessionEvent> {
    let owner = Owner {
        org: "acme".to_owned(),
        repo: "site".to_owned(),
        repo_id: 7,
        member: Member::account("ann", Some(1), false),
    };
    let owners = vec![Some(owner); facts.workplaces.len()];
    let disclosure = Disclosure { branches: true, mcp_tools: true };
    let events = facts.place(&owners, disclosure, DateTime::UNIX_EPOCH).events;
    for event in &events {
        // A server accepts it.
        event.facts.check(event.kind, event.occurred_at).unwrap();
    }
    events
}

/// Returns the events of a kind.
pub(crate) fn of_kind(events: &[SessionEvent], kind: SessionEventKind) -> Vec<&SessionEvent> {
    events.iter().filter(|event| event.kind == kind).collect()
}

/// Returns the sum of a field over the events of a kind.
pub(crate) fn sum(
    events: &[SessionEvent],
    kind: SessionEventKind,
    field: impl Fn(&SessionFacts) -> Option<i64>,
) -> i64 {
    of_kind(events, kind).iter().filter_map(|event| field(&event.facts)).sum()
}

pub(crate) fn texts<'a>(fields: impl IntoIterator<Item = &'a FieldText>) -> Vec<&'a str> {
    fields.into_iter().map(FieldText::as_str).collect()
}

pub(crate) fn time(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).unwrap().to_utc()
}

/// Returns the lines of a log file.
pub(crate) fn log(records: &[Value]) -> Vec<u8> {
    records.iter().map(|record| format!("{record}\n")).collect::<String>().into_bytes()
}

/// Returns a record of Claude Code in the session `s1` with more fields.
pub(crate) fn record(record_type: &str, uuid: &str, at: &str, fields: Value) -> Value {
    let mut record = json!({
        "parentUuid": null, "isSidechain": false, "userType": "external", "cwd": "/work/site", "sessionId": "s1",
        "version": "2.1.39", "gitBranch": "feature", "type": record_type, "uuid": uuid, "timestamp": at,
    });
    set(&mut record, fields);
    record
}

/// Sets fields of an object.
pub(crate) fn set(object: &mut Value, fields: Value) {
    let Value::Object(fields) = fields else { panic!("fields are an object") };
    object.as_object_mut().unwrap().extend(fields);
}

/// Returns a prompt.
pub(crate) fn prompt(uuid: &str, at: &str) -> Value {
    record("user", uuid, at, json!({ "message": { "role": "user", "content": format!("please {SECRET}") } }))
}

/// Returns a line of a response.
pub(crate) fn response(uuid: &str, id: &str, at: &str, output: i64) -> Value {
    let usage = json!({
        "input_tokens": 3, "output_tokens": output, "cache_read_input_tokens": 100,
        "cache_creation_input_tokens": 50,
        "cache_creation": { "ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 20 },
        "server_tool_use": { "web_search_requests": 1 }, "speed": "standard",
    });
    let message = json!({
        "id": id, "model": "claude-opus-4-6", "role": "assistant", "stop_reason": null, "usage": usage,
        "content": [{ "type": "text", "text": format!("I say {SECRET}") }],
    });
    record("assistant", uuid, at, json!({ "requestId": format!("req_{id}"), "message": message }))
}

/// Returns a response that calls a tool.
pub(crate) fn call(id: &str, call_id: &str, tool: &str, at: &str, input: Value) -> Value {
    let mut line = response(&format!("u-{call_id}"), id, at, 20);
    line["message"]["content"] = json!([{ "type": "tool_use", "id": call_id, "name": tool, "input": input }]);
    line
}

/// Returns the result of a tool call.
pub(crate) fn result(call_id: &str, at: &str, is_error: bool, content: &str, parsed: Value) -> Value {
    let block =
        json!({ "type": "tool_result", "tool_use_id": call_id, "content": content, "is_error": is_error });
    let message = json!({ "role": "user", "content": [block] });
    record("user", &format!("r-{call_id}"), at, json!({ "message": message, "toolUseResult": parsed }))
}

/// Returns a record of Codex.
pub(crate) fn rollout(record_type: &str, at: &str, payload: Value) -> Value {
    json!({ "timestamp": at, "type": record_type, "payload": payload })
}

/// Returns the beginning of a session of Codex.
pub(crate) fn session_meta(id: &str, at: &str, fields: Value) -> Value {
    let mut payload = json!({
        "id": id, "timestamp": at, "cwd": "/work/site", "originator": "codex_cli", "cli_version": "0.104.0",
        "source": "cli", "git": { "branch": "main", "repository_url": "https://github.com/acme/site.git" },
    });
    set(&mut payload, fields);
    rollout("session_meta", at, payload)
}

/// Returns a count of tokens: the running total of output tokens, and those of the last response. Each response has
/// ten times as many input tokens, of which half were read from the cache.
pub(crate) fn token_count(at: &str, total: i64, last: i64) -> Value {
    let usage = |output: i64| {
        json!({
            "input_tokens": output * 10, "cached_input_tokens": output * 5, "output_tokens": output,
            "reasoning_output_tokens": output / 2, "total_tokens": output * 11,
        })
    };
    let info = json!({ "total_token_usage": usage(total), "last_token_usage": usage(last) });
    rollout("event_msg", at, json!({ "type": "token_count", "info": info }))
}
