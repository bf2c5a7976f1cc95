//! No content leaves: nothing that a person, a model or a tool said is in a fact.

use gam_model::CodingAgent;
use serde_json::{Value, json};

use crate::support::{
    SECRET, call, log, placed, prompt, read, record, response, result, rollout, session_meta,
};

/// Puts the secret into every text of a record but those that the reader needs to read it at all.
fn fill(value: &mut Value) {
    match value {
        Value::String(text) if !text.contains(SECRET) => *text = format!("{text} {SECRET}"),
        Value::Array(values) => values.iter_mut().for_each(fill),
        Value::Object(fields) => {
            for (name, value) in fields {
                if !matches!(name.as_str(), "type" | "timestamp" | "role") {
                    fill(value);
                }
            }
        }
        _ => {}
    }
}

fn assert_without_secret(agent: CodingAgent, records: &[Value], least_events: usize) {
    let events = placed(&read(agent, &log(records)));
    assert!(events.len() >= least_events, "{} events", events.len());
    assert!(!format!("{events:?}").contains(SECRET), "{events:?}");
}

fn claude_log() -> Vec<Value> {
    let at = "2026-03-01T10:00:00Z";
    let patch = json!([{ "lines": [format!("+{SECRET}")] }]);
    vec![
        prompt("p", at),
        response("a", "msg_1", at, 5),
        call("msg_2", "t1", "Bash", at, json!({ "command": format!("git commit -m {SECRET}") })),
        result("t1", at, false, &format!("[main 1a2b3c4] {SECRET}"), json!({ "stdout": SECRET })),
        call("msg_3", "t2", "Edit", at, json!({ "file_path": format!("/work/{SECRET}") })),
        result("t2", at, false, SECRET, json!({ "filePath": SECRET, "structuredPatch": patch })),
        record("system", "s", at, json!({ "subtype": "local_command", "content": SECRET })),
        json!({ "type": "summary", "summary": SECRET, "leafUuid": "x" }),
        json!({ "type": "file-history-snapshot", "snapshot": { "a": SECRET } }),
    ]
}

fn codex_log() -> Vec<Value> {
    let at = "2026-03-01T10:00:00Z";
    vec![
        session_meta("c1", at, json!({ "base_instructions": { "text": SECRET } })),
        rollout("event_msg", at, json!({ "type": "user_message", "message": SECRET })),
        rollout(
            "response_item",
            at,
            json!({ "type": "function_call", "name": "shell", "call_id": "k", "arguments": SECRET }),
        ),
        rollout(
            "response_item",
            at,
            json!({ "type": "function_call_output", "call_id": "k", "output": SECRET }),
        ),
    ]
}

#[test]
fn facts_hold_no_content() {
    assert_without_secret(CodingAgent::Claude, &claude_log(), 7);
    assert_without_secret(CodingAgent::Codex, &codex_log(), 2);
}

#[test]
fn a_sentence_in_any_field_becomes_a_hash() {
    for (agent, mut records) in [(CodingAgent::Claude, claude_log()), (CodingAgent::Codex, codex_log())] {
        records.iter_mut().for_each(fill);
        assert_without_secret(agent, &records, 2);
    }
}
