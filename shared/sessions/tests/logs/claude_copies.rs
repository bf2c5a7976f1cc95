//! Copies of a log of Claude Code: forks, resumed sessions, several machines.

use gam_model::{CodingAgent, SessionEvent, SessionEventKind};
use serde_json::{Value, json};

use crate::support::{call, events_of, log, of_kind, prompt, read, response, result, set, sum, time};

const CLAUDE: CodingAgent = CodingAgent::Claude;
const RESPONSE: SessionEventKind = SessionEventKind::AgentResponse;
const SESSION: SessionEventKind = SessionEventKind::AgentSession;

fn session() -> Vec<Value> {
    vec![
        prompt("p1", "2026-03-01T10:00:00Z"),
        response("a", "msg_1", "2026-03-01T10:00:01Z", 5),
        call("msg_2", "t1", "Bash", "2026-03-01T10:00:02Z", json!({ "command": "git commit" })),
        result("t1", "2026-03-01T10:00:03Z", false, "[feature 1a2b3c4] x", json!({})),
        prompt("p2", "2026-03-01T10:01:00Z"),
        response("b", "msg_3", "2026-03-01T10:01:01Z", 8),
    ]
}

/// Returns the records as `/branch` copies them into a new session, and what that session does then.
fn fork() -> Vec<Value> {
    let mut records = session();
    for record in &mut records {
        let uuid = record["uuid"].clone();
        let fields = json!({ "sessionId": "s0", "forkedFrom": { "sessionId": "s1", "messageUuid": uuid } });
        set(record, fields);
    }
    let mut own =
        vec![prompt("p3", "2026-03-01T11:00:00Z"), response("c", "msg_4", "2026-03-01T11:00:01Z", 2)];
    own.iter_mut().for_each(|record| set(record, json!({ "sessionId": "s0" })));
    records.extend(own);
    records
}

fn sessions_of(events: &[SessionEvent], kind: SessionEventKind) -> Vec<(&str, &str)> {
    of_kind(events, kind).iter().map(|event| (event.id.as_str(), event.session.as_str())).collect()
}

#[test]
fn growing_copies_of_a_file_are_its_last_copy() {
    let records = session();
    let copies: Vec<Vec<u8>> = (1..=records.len()).map(|length| log(&records[..length])).collect();
    let complete = events_of(CLAUDE, &[copies.last().unwrap()]);
    let mut files: Vec<&[u8]> = copies.iter().map(Vec::as_slice).collect();
    assert_eq!(events_of(CLAUDE, &files), complete);
    files.reverse();
    assert_eq!(events_of(CLAUDE, &files), complete);
    files.extend_from_within(..);
    assert_eq!(events_of(CLAUDE, &files), complete);
}

#[test]
fn files_can_be_read_in_any_order_and_subset() {
    let (parent, fork) = (log(&session()), log(&fork()));
    let forward = events_of(CLAUDE, &[&parent, &fork]);
    assert_eq!(events_of(CLAUDE, &[&fork, &parent]), forward);
    assert_eq!(events_of(CLAUDE, &[&fork, &parent, &fork]), forward);
    // A first run has read one file, and a second run the other one.
    for (first, second) in [(&parent, &fork), (&fork, &parent)] {
        let mut stored = events_of(CLAUDE, &[first]);
        stored.extend(events_of(CLAUDE, &[second]));
        assert_eq!(gam_model::session_event::combine_by_id(stored), forward);
    }
}

#[test]
fn what_a_fork_copied_belongs_to_its_parent() {
    let events = events_of(CLAUDE, &[&log(&fork()), &log(&session())]);
    assert_eq!(sum(&events, RESPONSE, |facts| facts.output_tokens), 5 + 20 + 8 + 2);
    assert_eq!(
        sessions_of(&events, RESPONSE),
        [
            ("agent:claude:response:msg_1", "s1"),
            ("agent:claude:response:msg_2", "s1"),
            ("agent:claude:response:msg_3", "s1"),
            ("agent:claude:response:msg_4", "s0"),
        ]
    );
    assert_eq!(sum(&events, SESSION, |facts| facts.prompts), 3);
    assert_eq!(
        sessions_of(&events, SessionEventKind::AgentCommit),
        [("agent:claude:commit:s1:1a2b3c4", "s1")]
    );
    let starts: Vec<_> = of_kind(&events, SESSION)
        .iter()
        .map(|event| (event.session.as_str(), event.facts.started_at.unwrap()))
        .collect();
    assert_eq!(starts, [("s0", time("2026-03-01T11:00:00Z")), ("s1", time("2026-03-01T10:00:00Z"))]);
}

#[test]
fn a_fork_without_its_parent_counts_what_it_copied_once() {
    let events = events_of(CLAUDE, &[&log(&fork())]);
    assert_eq!(sum(&events, RESPONSE, |facts| facts.output_tokens), 5 + 20 + 8 + 2);
    let replayed: Vec<_> = of_kind(&events, RESPONSE).iter().map(|event| event.facts.replayed).collect();
    assert_eq!(replayed, [Some(true), Some(true), Some(true), None]);
    assert_eq!(sum(&events, SESSION, |facts| facts.prompts), 1, "prompts are those of the fork itself");
}

#[test]
fn records_that_a_fork_writes_twice_count_once() {
    let mut records = fork();
    let unmarked: Vec<Value> = session()
        .into_iter()
        .map(|mut record| {
            set(&mut record, json!({ "sessionId": "s0" }));
            record
        })
        .collect();
    records.splice(0..0, unmarked);
    let events = events_of(CLAUDE, &[&log(&records)]);
    assert_eq!(of_kind(&events, RESPONSE).len(), 4);
    assert_eq!(sum(&events, SESSION, |facts| facts.prompts), 1);
}

#[test]
fn a_message_repeated_under_another_request_counts_once() {
    let mut side = response("x", "msg_1", "2026-03-01T10:00:01Z", 5);
    set(&mut side, json!({ "isSidechain": true, "requestId": "req_other" }));
    let mut records = session();
    records.push(side);
    let events = events_of(CLAUDE, &[&log(&records)]);
    assert_eq!(of_kind(&events, RESPONSE).len(), 3);
}

#[test]
fn a_resumed_copy_with_new_ids_of_records_counts_once() {
    let mut records = session();
    for (index, record) in records.iter_mut().enumerate() {
        set(record, json!({ "sessionId": "s2", "uuid": format!("new-{index}") }));
    }
    let events = events_of(CLAUDE, &[&log(&session()), &log(&records)]);
    assert_eq!(sum(&events, RESPONSE, |facts| facts.output_tokens), 5 + 20 + 8);
    assert_eq!(of_kind(&events, SessionEventKind::AgentToolCall).len(), 1);
}

#[test]
fn clock_jumps_count_no_negative_time() {
    let events = events_of(
        CLAUDE,
        &[&log(&[
            prompt("a", "2026-03-01T10:00:00Z"),
            prompt("b", "2026-03-01T10:01:00Z"),
            prompt("c", "2026-03-01T08:00:00Z"),
            prompt("d", "2026-03-01T08:00:30Z"),
        ])],
    );
    let active = |facts: &gam_model::SessionFacts| {
        facts.active.iter().flatten().map(|quarter| quarter.active_ms).sum()
    };
    assert_eq!(sum(&events, SESSION, |facts| Some(active(facts))), 60_000 + 30_000);
}

#[test]
fn workplaces_are_the_directories_of_the_records() {
    let mut records = session();
    set(&mut records[5], json!({ "cwd": "C:\\work\\site" }));
    let facts = read(CLAUDE, &log(&records));
    let directories: Vec<&str> = facts.workplaces.iter().map(|place| place.directory.as_str()).collect();
    assert_eq!(directories, ["/work/site", "C:\\work\\site"]);
}
