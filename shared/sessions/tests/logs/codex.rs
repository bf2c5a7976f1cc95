//! What log files of Codex say.

use gam_model::{CodingAgent, SessionEvent, SessionEventKind, ToolOutcome};
use serde_json::{Value, json};

use crate::support::{events_of, log, of_kind, read, rollout, session_meta, sum, time, token_count};

const CODEX: CodingAgent = CodingAgent::Codex;
const RESPONSE: SessionEventKind = SessionEventKind::AgentResponse;
const SESSION: SessionEventKind = SessionEventKind::AgentSession;
const TOOL_CALL: SessionEventKind = SessionEventKind::AgentToolCall;

fn events(records: &[Value]) -> Vec<SessionEvent> {
    events_of(CODEX, &[&log(records)])
}

fn output(events: &[SessionEvent]) -> i64 {
    sum(events, RESPONSE, |facts| facts.output_tokens)
}

fn event(at: &str, event_type: &str, fields: Value) -> Value {
    let mut payload = json!({ "type": event_type });
    crate::support::set(&mut payload, fields);
    rollout("event_msg", at, payload)
}

fn turn_context(at: &str, model: &str) -> Value {
    rollout("turn_context", at, json!({ "cwd": "/work/site", "model": model }))
}

#[test]
fn a_token_count_that_is_written_twice_is_one_response() {
    let events = events(&[
        session_meta("c1", "2026-03-01T10:00:00Z", json!({})),
        event("2026-03-01T10:00:01Z", "token_count", json!({ "info": null, "rate_limits": {} })),
        event("2026-03-01T10:00:02Z", "user_message", json!({ "message": "hunter2" })),
        turn_context("2026-03-01T10:00:02Z", "gpt-5.3-codex"),
        token_count("2026-03-01T10:00:05Z", 10, 10),
        token_count("2026-03-01T10:00:06Z", 10, 10),
        turn_context("2026-03-01T10:00:07Z", "gpt-5.3"),
        token_count("2026-03-01T10:00:08Z", 20, 10),
        event("2026-03-01T10:00:09Z", "task_complete", json!({})),
    ]);
    let responses = of_kind(&events, RESPONSE);
    let ids: Vec<&str> = responses.iter().map(|event| event.id.as_str()).collect();
    assert_eq!(ids, ["agent:codex:response:c1:1", "agent:codex:response:c1:2"], "equal responses are two");
    let facts = &responses[0].facts;
    assert_eq!(
        (facts.input_tokens, facts.cache_read_tokens),
        (Some(50), Some(50)),
        "input is without the cache"
    );
    assert_eq!((facts.output_tokens, facts.reasoning_tokens), (Some(10), Some(5)));
    let models: Vec<&str> =
        responses.iter().map(|event| event.facts.model.as_ref().unwrap().as_str()).collect();
    assert_eq!(models, ["gpt-5.3-codex", "gpt-5.3"]);
    let session = of_kind(&events, SESSION);
    assert_eq!((session[0].facts.prompts, session[0].facts.turns), (Some(1), Some(1)));
    assert_eq!(session[0].facts.entrypoint.as_ref().unwrap().as_str(), "cli");
}

#[test]
fn a_counter_that_starts_again_loses_nothing() {
    let mut without_last = token_count("2026-03-01T10:00:03Z", 9, 0);
    without_last["payload"]["info"]["last_token_usage"] = json!(null);
    let events = events(&[
        session_meta("c1", "2026-03-01T10:00:00Z", json!({})),
        token_count("2026-03-01T10:00:01Z", 30, 30),
        token_count("2026-03-01T10:00:02Z", 4, 4),
        without_last,
    ]);
    assert_eq!(output(&events), 30 + 4 + 5);
}

fn started(at: &str, turn: &str, started_at: &str) -> Value {
    event(at, "task_started", json!({ "turn_id": turn, "started_at": time(started_at).timestamp() }))
}

#[test]
fn the_copied_history_of_a_fork_is_not_counted() {
    let events = events(&[
        session_meta("child", "2026-03-02T10:00:00Z", json!({ "forked_from_id": "c1" })),
        session_meta("c1", "2026-03-02T10:00:00Z", json!({})),
        started("2026-03-02T10:00:00Z", "old", "2026-03-01T10:00:00Z"),
        event("2026-03-02T10:00:00Z", "user_message", json!({})),
        token_count("2026-03-02T10:00:01Z", 1000, 1000),
        rollout(
            "response_item",
            "2026-03-02T10:00:01Z",
            json!({ "type": "function_call", "name": "shell", "call_id": "k0", "arguments": "{}" }),
        ),
        started("2026-03-02T10:00:20Z", "own", "2026-03-02T10:00:20Z"),
        event("2026-03-02T10:00:20Z", "user_message", json!({})),
        token_count("2026-03-02T10:00:30Z", 1007, 7),
    ]);
    assert_eq!(output(&events), 7);
    assert_eq!(of_kind(&events, RESPONSE)[0].id.as_str(), "agent:codex:response:child:1");
    assert!(of_kind(&events, TOOL_CALL).is_empty());
    assert_eq!(sum(&events, SESSION, |facts| facts.prompts), 1);
    assert_eq!(of_kind(&events, SESSION)[0].facts.forked_from.as_ref().unwrap().as_str(), "c1");
}

#[test]
fn a_fork_without_a_copy_counts_from_its_start() {
    let events = events(&[
        session_meta("child", "2026-03-02T10:00:00.400Z", json!({ "forked_from_id": "c1" })),
        started("2026-03-02T10:00:00.500Z", "own", "2026-03-02T10:00:00Z"),
        token_count("2026-03-02T10:00:00.900Z", 10, 10),
        token_count("2026-03-02T10:00:01Z", 15, 5),
    ]);
    assert_eq!(output(&events), 15);
}

#[test]
fn a_subagent_belongs_to_the_session_that_started_it() {
    let source = json!({ "subagent": { "thread_spawn": { "parent_thread_id": "c1", "depth": 1 } } });
    let events = events(&[
        session_meta("child", "2026-03-02T10:00:00Z", json!({ "source": source })),
        started("2026-03-02T10:00:00Z", "old", "2026-03-01T10:00:00Z"),
        token_count("2026-03-02T10:00:01Z", 500, 500),
        rollout("inter_agent_communication", "2026-03-02T10:00:02Z", json!({ "trigger_turn": true })),
        token_count("2026-03-02T10:00:03Z", 506, 6),
    ]);
    assert_eq!(output(&events), 6);
    let responses = of_kind(&events, RESPONSE);
    assert_eq!(responses[0].session.as_str(), "c1");
    assert_eq!(responses[0].facts.subagent.as_ref().unwrap().as_str(), "child");
    assert!(of_kind(&events, SESSION).is_empty());
}

#[test]
fn imported_turns_of_other_agents_are_no_use_of_codex() {
    let events = events(&[
        session_meta("c1", "2026-03-02T10:00:00Z", json!({})),
        event("2026-03-02T10:00:00Z", "task_started", json!({ "turn_id": "external-import-turn-1" })),
        token_count("2026-03-02T10:00:01Z", 500, 500),
        started("2026-03-02T10:05:00Z", "own", "2026-03-02T10:05:00Z"),
        token_count("2026-03-02T10:05:01Z", 503, 3),
    ]);
    assert_eq!(output(&events), 3);
}

#[test]
fn an_archived_copy_changes_nothing() {
    let file = log(&[
        session_meta("c1", "2026-03-01T10:00:00Z", json!({})),
        token_count("2026-03-01T10:00:01Z", 30, 30),
        // A resumed session records its beginning again.
        session_meta("c1", "2026-03-01T12:00:00Z", json!({ "cli_version": "0.90.0" })),
        token_count("2026-03-01T12:00:01Z", 40, 10),
    ]);
    let events = events_of(CODEX, &[&file]);
    assert_eq!(events_of(CODEX, &[&file, &file]), events);
    assert_eq!(output(&events), 40);
    let session = of_kind(&events, SESSION);
    assert_eq!(session[0].facts.client_version.as_ref().unwrap().as_str(), "0.104.0");
}

#[test]
fn the_oldest_format_has_sessions_and_calls_but_no_tokens() {
    let events = events(&[
        json!({ "id": "c0", "timestamp": "2025-08-01T10:00:00Z", "git": { "branch": "main" }, "instructions": "hunter2" }),
        json!({ "record_type": "state" }),
        json!({ "type": "message", "role": "user", "content": [] }),
        json!({ "type": "function_call", "name": "shell", "call_id": "k1", "arguments": "{}" }),
        json!({ "type": "function_call_output", "call_id": "k1", "output": "{\"metadata\":{\"exit_code\":1}}" }),
    ]);
    assert!(of_kind(&events, RESPONSE).is_empty());
    assert_eq!(of_kind(&events, SESSION)[0].id.as_str(), "agent:codex:session:c0:2025-08-01");
    let calls = of_kind(&events, TOOL_CALL);
    assert_eq!(calls[0].id.as_str(), "agent:codex:tool:c0:k1");
    assert_eq!(calls[0].facts.outcome, Some(ToolOutcome::Error));
}

#[test]
fn tool_calls_have_an_outcome_and_changed_lines() {
    let item = |at: &str, payload: Value| rollout("response_item", at, payload);
    let at = "2026-03-01T10:00:01Z";
    let patch = "*** Begin Patch\n*** Update File: a\n@@\n-old\n+new\n+more\n*** End Patch";
    let events = events(&[
        session_meta("c1", "2026-03-01T10:00:00Z", json!({})),
        item(
            at,
            json!({ "type": "custom_tool_call", "name": "apply_patch", "call_id": "k1", "input": patch }),
        ),
        item(
            "2026-03-01T10:00:03Z",
            json!({ "type": "custom_tool_call_output", "call_id": "k1", "output": "Success" }),
        ),
        item(
            at,
            json!({ "type": "function_call", "name": "exec_command", "call_id": "k2", "arguments": "{\"cmd\":\"git commit\"}" }),
        ),
        item(
            at,
            json!({ "type": "function_call_output", "call_id": "k2", "output": "Process exited with code 0\n[main 1a2b3c4] Subject" }),
        ),
        item(
            at,
            json!({ "type": "function_call", "name": "exec_command", "call_id": "k3", "arguments": "{}" }),
        ),
        event(at, "exec_command_end", json!({ "call_id": "k3", "exit_code": 2 })),
        item(
            at,
            json!({ "type": "function_call", "name": "exec_command", "call_id": "k4", "arguments": "{}" }),
        ),
    ]);
    let outcomes: Vec<_> = of_kind(&events, TOOL_CALL)
        .iter()
        .map(|event| (event.facts.outcome.unwrap(), event.facts.duration_ms))
        .collect();
    assert_eq!(
        outcomes,
        [
            (ToolOutcome::Ok, Some(2000)),
            (ToolOutcome::Ok, Some(0)),
            (ToolOutcome::Error, None),
            (ToolOutcome::Unknown, None),
        ]
    );
    assert_eq!(sum(&events, TOOL_CALL, |facts| facts.additions), 2);
    assert_eq!(sum(&events, TOOL_CALL, |facts| facts.deletions), 1);
    assert_eq!(
        of_kind(&events, SessionEventKind::AgentCommit)[0].id.as_str(),
        "agent:codex:commit:c1:1a2b3c4"
    );
}

#[test]
fn the_log_names_the_remote_of_the_workplace() {
    let facts = read(CODEX, &log(&[session_meta("c1", "2026-03-01T10:00:00Z", json!({}))]));
    assert_eq!(facts.workplaces[0].directory, "/work/site");
    assert_eq!(facts.workplaces[0].remote.as_deref(), Some("https://github.com/acme/site.git"));
}

#[test]
fn unknown_records_are_counted_by_type_and_version() {
    let facts = read(
        CODEX,
        &log(&[
            session_meta("c1", "2026-03-01T10:00:00Z", json!({})),
            rollout("new_record", "2026-03-01T10:00:00Z", json!({})),
            event("2026-03-01T10:00:00Z", "new_event", json!({})),
            event("2026-03-01T10:00:00Z", "new_event", json!({})),
        ]),
    );
    let unknown: Vec<String> = facts
        .counts
        .unknown_records
        .iter()
        .map(|(record, count)| format!("{} {} {count}", record.record_type, record.client_version))
        .collect();
    assert_eq!(unknown, ["event_msg/new_event 0.104.0 2", "new_record 0.104.0 1"]);
}

#[test]
fn records_that_lack_what_their_facts_need_are_counted() {
    let at = "2026-03-01T10:00:00Z";
    let dropped = |records: &[Value]| read(CODEX, &log(records)).counts.dropped_records;
    let meta = session_meta("c1", at, json!({}));
    let count = token_count("2026-03-01T10:00:05Z", 10, 10);
    assert_eq!(dropped(&[meta.clone(), count.clone()]), 0);
    assert_eq!(dropped(&[meta.clone(), rollout("event_msg", at, json!("a text"))]), 1);
    assert_eq!(dropped(&[meta.clone(), json!({ "timestamp": at, "payload": {} })]), 1);
    assert_eq!(dropped(std::slice::from_ref(&count)), 1, "it belongs to no session");
    assert_eq!(dropped(&[rollout("session_meta", at, json!({})), count]), 2);
}
