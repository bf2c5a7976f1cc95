//! What one log file of Claude Code says.

use gam_model::session_event::ActiveQuarter;
use gam_model::{CodingAgent, SessionEventKind, ToolOutcome};
use serde_json::{Value, json};

use crate::support::{
    call, events_of, log, of_kind, prompt, read, record, response, result, set, sum, texts, time,
};

const CLAUDE: CodingAgent = CodingAgent::Claude;
const RESPONSE: SessionEventKind = SessionEventKind::AgentResponse;
const SESSION: SessionEventKind = SessionEventKind::AgentSession;
const TOOL_CALL: SessionEventKind = SessionEventKind::AgentToolCall;

fn events(records: &[Value]) -> Vec<gam_model::SessionEvent> {
    events_of(CLAUDE, &[&log(records)])
}

#[test]
fn a_response_has_its_first_time_and_its_most_output() {
    let mut last = response("c", "msg_1", "2026-03-01T10:00:05.500Z", 40);
    last["message"]["stop_reason"] = json!("end_turn");
    let events = events(&[
        response("a", "msg_1", "2026-03-01T10:00:01.250Z", 1),
        prompt("p", "2026-03-01T10:00:02Z"),
        response("b", "msg_1", "2026-03-01T10:00:03Z", 1),
        last,
        response("d", "msg_1", "2026-03-01T10:00:06Z", 39),
    ]);
    let responses = of_kind(&events, RESPONSE);
    assert_eq!(responses.len(), 1);
    let (event, facts) = (responses[0], &responses[0].facts);
    assert_eq!(event.id.as_str(), "agent:claude:response:msg_1");
    assert_eq!(event.occurred_at, time("2026-03-01T10:00:01.250Z"));
    assert_eq!(event.version, 81);
    assert_eq!(facts.model.as_ref().unwrap().as_str(), "claude-opus-4-6");
    assert_eq!(
        (facts.input_tokens, facts.output_tokens, facts.cache_read_tokens),
        (Some(3), Some(40), Some(100))
    );
    assert_eq!((facts.cache_write_5m_tokens, facts.cache_write_1h_tokens), (Some(30), Some(20)));
    assert_eq!((facts.web_searches, facts.is_final), (Some(1), Some(true)));
    assert_eq!(facts.branch.as_ref().unwrap().as_str(), "feature");
    assert_eq!(facts.replayed, None);
}

#[test]
fn synthetic_messages_and_api_errors_are_no_responses() {
    let mut synthetic = response("a", "msg_1", "2026-03-01T10:00:00Z", 5);
    synthetic["message"]["model"] = json!("<synthetic>");
    let mut error = response("b", "msg_2", "2026-03-01T10:00:01Z", 5);
    set(&mut error, json!({ "isApiErrorMessage": true }));
    let mut without_usage = response("c", "msg_3", "2026-03-01T10:00:02Z", 5);
    without_usage["message"]["usage"] = json!(null);
    assert!(of_kind(&events(&[synthetic, error, without_usage]), RESPONSE).is_empty());
}

/// Returns a response without the id of a request.
fn gateway_response(uuid: &str, id: Value, at: &str, input: i64, output: i64) -> Value {
    let mut line = response(uuid, "gen", at, output);
    line["requestId"] = json!(null);
    line["message"]["id"] = id;
    line["message"]["usage"]["input_tokens"] = json!(input);
    line
}

#[test]
fn ids_that_gateways_use_again_are_several_responses() {
    let events = events(&[
        // Two lines of one response.
        gateway_response("a", json!("gen-1"), "2026-03-01T10:00:00Z", 10, 1),
        gateway_response("b", json!("gen-1"), "2026-03-01T10:00:01Z", 10, 7),
        // The gateway uses the id again.
        gateway_response("c", json!("gen-1"), "2026-03-01T10:05:00Z", 25, 3),
        // Neither an id nor a request.
        gateway_response("d", json!(null), "2026-03-01T10:06:00Z", 30, 4),
    ]);
    assert_eq!(of_kind(&events, RESPONSE).len(), 3);
    assert_eq!(sum(&events, RESPONSE, |facts| facts.output_tokens), 7 + 3 + 4);
}

#[test]
fn a_message_without_an_id_is_known_by_its_request() {
    let mut first = response("a", "x", "2026-03-01T10:00:00Z", 1);
    first["message"]["id"] = json!(null);
    let mut second = first.clone();
    set(&mut second, json!({ "uuid": "b" }));
    second["message"]["usage"]["output_tokens"] = json!(9);
    let events = events(&[first, second]);
    assert_eq!(of_kind(&events, RESPONSE)[0].id.as_str(), "agent:claude:response:req_x");
    assert_eq!(sum(&events, RESPONSE, |facts| facts.output_tokens), 9);
}

#[test]
fn without_a_split_cache_writes_are_for_five_minutes() {
    let mut line = response("a", "msg_1", "2026-03-01T10:00:00Z", 5);
    line["message"]["usage"]["cache_creation"] = json!(null);
    let events = events(&[line]);
    let facts = &of_kind(&events, RESPONSE)[0].facts;
    assert_eq!((facts.cache_write_5m_tokens, facts.cache_write_1h_tokens), (Some(50), Some(0)));
}

#[test]
fn a_subagent_without_final_usage_counts_and_belongs_to_its_session() {
    let mut line = response("a", "msg_1", "2026-03-01T10:00:00Z", 2);
    set(&mut line, json!({ "isSidechain": true, "agentId": "a1" }));
    let events = events(&[line]);
    let responses = of_kind(&events, RESPONSE);
    assert_eq!(responses[0].session.as_str(), "s1");
    assert_eq!(responses[0].facts.subagent.as_ref().unwrap().as_str(), "a1");
    assert_eq!((responses[0].facts.is_final, responses[0].facts.output_tokens), (Some(false), Some(2)));
    assert!(of_kind(&events, SESSION).is_empty(), "a subagent is no session");
}

#[test]
fn repeated_subagent_records_are_copies() {
    let mut own = response("a", "msg_1", "2026-03-01T10:00:01Z", 5);
    set(&mut own, json!({ "isSidechain": true, "agentId": "a1" }));
    let progress = |id: &str, at: &str| {
        let repeated = json!({
            "type": "assistant", "uuid": "x", "timestamp": at, "requestId": format!("req_{id}"),
            "message": response("x", id, at, 5)["message"],
        });
        let data = json!({ "type": "agent_progress", "agentId": "a1", "message": repeated });
        record("progress", &format!("p-{id}"), "2026-03-01T10:00:09Z", json!({ "data": data }))
    };
    let session =
        log(&[progress("msg_1", "2026-03-01T10:00:01Z"), progress("msg_2", "2026-03-01T10:00:03Z")]);
    let events = events_of(CLAUDE, &[&session, &log(&[own])]);
    let responses = of_kind(&events, RESPONSE);
    assert_eq!(responses.len(), 2, "one has no copy in the subagent's file");
    assert!(responses.iter().all(|event| event.facts.subagent.as_ref().unwrap().as_str() == "a1"));
    assert_eq!(responses[1].occurred_at, time("2026-03-01T10:00:03Z"));
}

#[test]
fn tool_calls_end_well_with_an_error_or_with_a_refusal() {
    let at = "2026-03-01T10:00:00Z";
    let refusal = "The user doesn't want to proceed with this tool use.";
    let events = events(&[
        call("msg_1", "t1", "Bash", at, json!({ "command": "ls" })),
        call("msg_2", "t2", "Bash", at, json!({ "command": "ls" })),
        call("msg_3", "t3", "Edit", at, json!({})),
        call("msg_4", "t4", "Bash", at, json!({})),
        call("msg_5", "t5", "Read", at, json!({})),
        result("t1", "2026-03-01T10:00:02.500Z", false, "done", json!({ "stdout": "done" })),
        result("t2", "2026-03-01T09:59:00Z", true, "Exit code 1", json!("Error: Exit code 1")),
        result("t3", at, true, refusal, json!("User rejected tool use")),
        result("t4", at, false, "", json!({ "interrupted": true })),
    ]);
    let calls: Vec<_> = of_kind(&events, TOOL_CALL)
        .iter()
        .map(|event| (event.facts.outcome.unwrap(), event.facts.duration_ms, event.version))
        .collect();
    assert_eq!(
        calls,
        [
            (ToolOutcome::Ok, Some(2500), 1),
            (ToolOutcome::Error, Some(0), 1),
            (ToolOutcome::Rejected, Some(0), 1),
            (ToolOutcome::Interrupted, Some(0), 1),
            (ToolOutcome::Unknown, None, 0),
        ]
    );
}

#[test]
fn changed_lines_come_from_patches_and_new_files() {
    let at = "2026-03-01T10:00:00Z";
    let patch = json!([{ "oldStart": 1, "lines": [" a", "-b", "+c", "+d"] }, { "lines": ["-e"] }]);
    let events = events(&[
        call("msg_1", "t1", "Edit", at, json!({})),
        result("t1", at, false, "ok", json!({ "filePath": "/work/x", "structuredPatch": patch })),
        call("msg_2", "t2", "Write", at, json!({})),
        result(
            "t2",
            at,
            false,
            "ok",
            json!({ "type": "create", "content": "a\nb\n", "structuredPatch": [] }),
        ),
    ]);
    assert_eq!(sum(&events, TOOL_CALL, |facts| facts.additions), 2 + 2);
    assert_eq!(sum(&events, TOOL_CALL, |facts| facts.deletions), 2);
}

#[test]
fn printed_commits_and_pull_request_links_are_facts() {
    let at = "2026-03-01T10:00:00Z";
    let link = |at: &str| {
        json!({
            "type": "pr-link", "sessionId": "s1", "prNumber": 12, "prUrl": "https://github.com/Other/Tool/pull/12",
            "prRepository": "Other/Tool", "timestamp": at,
        })
    };
    let events = events(&[
        call("msg_1", "t1", "Bash", at, json!({ "command": "git commit -m x" })),
        result("t1", at, false, "hook ran\n[feature 1a2b3c4] Subject\n 1 file", json!({})),
        call("msg_2", "t2", "Bash", at, json!({ "command": "cat notes" })),
        result("t2", at, false, "[feature 9f9f9f9] no commit", json!({})),
        link("2026-03-01T11:00:00Z"),
        link("2026-03-01T10:30:00Z"),
    ]);
    let commits = of_kind(&events, SessionEventKind::AgentCommit);
    assert_eq!(texts(commits.iter().filter_map(|event| event.facts.sha.as_ref())), ["1a2b3c4"]);
    let links = of_kind(&events, SessionEventKind::AgentPrLink);
    assert_eq!(links.len(), 1);
    assert_eq!(links[0].id.as_str(), "agent:claude:pr:s1:other/tool:12");
    assert_eq!(links[0].facts.pr_repo.as_ref().unwrap().as_str(), "other/tool", "the repository of the link");
    assert_eq!(links[0].repo, "site", "the repository of the session");
    assert_eq!(links[0].occurred_at, time("2026-03-01T10:30:00Z"));
}

#[test]
fn only_what_people_submit_is_a_prompt() {
    let at = "2026-03-01T10:00:00Z";
    let user = |uuid: &str, content: Value, fields: Value| {
        let mut line = record("user", uuid, at, json!({ "message": { "role": "user", "content": content } }));
        set(&mut line, fields);
        line
    };
    let text = |text: &str| json!([{ "type": "text", "text": text }]);
    let events = events(&[
        user("1", json!("do it"), json!({})),
        user("2", text("and that"), json!({})),
        user("3", json!([{ "type": "image", "source": {} }]), json!({})),
        user("1", json!("do it"), json!({})),
        user("4", json!("meta"), json!({ "isMeta": true })),
        user("5", json!("summary"), json!({ "isCompactSummary": true })),
        user("6", text("[Request interrupted by user]"), json!({})),
        user("7", json!("<local-command-stdout>x"), json!({})),
        user("8", json!("subagent"), json!({ "isSidechain": true })),
        result("t1", at, false, "output", json!({})),
    ]);
    assert_eq!(sum(&events, SESSION, |facts| facts.prompts), 3);
}

#[test]
fn sessions_have_a_row_for_each_utc_day() {
    let turn = json!({ "subtype": "turn_duration", "durationMs": 1 });
    let events = events(&[
        prompt("a", "2026-03-31T23:58:00Z"),
        response("b", "msg_1", "2026-03-31T23:59:00Z", 5),
        response("c", "msg_1", "2026-04-01T00:00:30Z", 9),
        record("system", "d", "2026-04-01T00:01:00Z", turn),
        prompt("e", "2026-04-01T00:20:00Z"),
    ]);
    let days = of_kind(&events, SESSION);
    let ids: Vec<&str> = days.iter().map(|event| event.id.as_str()).collect();
    assert_eq!(ids, ["agent:claude:session:s1:2026-03-31", "agent:claude:session:s1:2026-04-01"]);
    assert_eq!(days.iter().map(|day| day.month().to_string()).collect::<Vec<_>>(), ["2026-03", "2026-04"]);
    assert!(days.iter().all(|day| day.facts.started_at == Some(time("2026-03-31T23:58:00Z"))));
    assert_eq!(days.iter().map(|day| day.facts.prompts.unwrap()).collect::<Vec<_>>(), [1, 1]);
    assert_eq!(days.iter().map(|day| day.facts.turns.unwrap()).collect::<Vec<_>>(), [0, 1]);
    let active = |at: &str, active_ms: i64| vec![ActiveQuarter { at: time(at), active_ms }];
    assert_eq!(days[0].facts.active, Some(active("2026-03-31T23:45:00Z", 120_000)));
    assert_eq!(days[1].facts.active, Some(active("2026-04-01T00:00:00Z", 60_000)));
    let responses = of_kind(&events, RESPONSE);
    assert_eq!(responses[0].month().to_string(), "2026-03", "the month of its first line");
    assert_eq!(responses[0].facts.output_tokens, Some(9));
}

#[test]
fn a_detached_head_is_no_branch() {
    let mut line = response("a", "msg_1", "2026-03-01T10:00:00Z", 5);
    set(&mut line, json!({ "gitBranch": "HEAD" }));
    assert_eq!(of_kind(&events(&[line]), RESPONSE)[0].facts.branch, None);
}

#[test]
fn damaged_lines_lose_nothing_else() {
    let line =
        |number: i64| response(&format!("u{number}"), &format!("msg_{number}"), "2026-03-01T10:00:00Z", 1);
    let mut file = format!("{}{}\n", line(1), line(2)).into_bytes();
    file.extend_from_slice(b"\0\0\0\0\0\0\0\0");
    file.extend_from_slice(format!("{}\n\n", line(3)).as_bytes());
    let torn = line(4).to_string();
    file.extend_from_slice(&torn.as_bytes()[..torn.len() / 2]);
    file.extend_from_slice(format!("{}\n", line(5)).as_bytes());
    let mut invalid = line(6).to_string().replace("I say", "I say \u{fffe}").into_bytes();
    let at = invalid.windows(3).position(|bytes| bytes == "\u{fffe}".as_bytes()).unwrap();
    invalid[at] = 0xff;
    file.extend_from_slice(&invalid);
    file.extend_from_slice(b"\nno json at all\n{\"type\":\"wiki\",\"version\":\"3.0.0\"}\n[1]\n");
    let facts = read(CLAUDE, &file);
    let ids: Vec<&str> =
        facts.facts.iter().filter(|fact| fact.kind == RESPONSE).map(|fact| fact.id.as_str()).collect();
    let expected = [1, 2, 3, 5, 6].map(|number| format!("agent:claude:response:msg_{number}"));
    assert_eq!(ids, expected);
    assert_eq!((facts.counts.torn_lines, facts.counts.lines), (3, 8));
    let unknown: Vec<_> = facts.counts.unknown_records.iter().collect();
    assert_eq!(unknown.len(), 1);
    assert_eq!((unknown[0].0.record_type.as_str(), unknown[0].0.client_version.as_str()), ("wiki", "3.0.0"));
}

#[test]
fn a_line_that_is_still_written_is_left_for_the_next_run() {
    let full = log(&[
        response("a", "msg_1", "2026-03-01T10:00:00Z", 5),
        response("b", "msg_2", "2026-03-01T10:00:01Z", 5),
    ]);
    for end in 1..full.len() {
        let facts = read(CLAUDE, &full[..end]);
        assert_eq!(facts.counts.torn_lines, 0, "{end}");
    }
    let half = &full[..full.len() * 3 / 4];
    let is_complete = |text: &[u8]| read(CLAUDE, text).counts.is_complete();
    assert_eq!((is_complete(half), is_complete(&full)), (false, true));
    assert_eq!(of_kind(&events_of(CLAUDE, &[half]), RESPONSE).len(), 1);
    assert_eq!(events_of(CLAUDE, &[half, &full]), events_of(CLAUDE, &[&full]));
    assert_eq!(
        events_of(CLAUDE, &[&full[..full.len() - 1]]),
        events_of(CLAUDE, &[&full]),
        "the last line is complete"
    );
}

#[test]
fn records_that_lack_what_their_facts_need_are_counted() {
    let at = "2026-03-01T10:00:00Z";
    let with = |mut record: Value, fields: Value| {
        set(&mut record, fields);
        record
    };
    let link = record("pr-link", "l", at, json!({ "prRepository": "acme/site", "prNumber": 1 }));
    let dropped = |record: &Value| {
        let facts = read(CLAUDE, &log(&[response("r", "msg_1", at, 5), record.clone()]));
        assert_eq!(facts.are_complete(), facts.counts.dropped_records == 0);
        facts.counts.dropped_records
    };
    assert_eq!([dropped(&prompt("p", at)), dropped(&link)], [0, 0]);
    for record in [
        with(prompt("p", at), json!({ "sessionId": null })),
        with(prompt("p", at), json!({ "timestamp": "yesterday" })),
        with(prompt("p", at), json!({ "message": "a text" })),
        with(response("a", "msg_2", at, 1), json!({ "message": 7 })),
        with(link.clone(), json!({ "prNumber": null })),
    ] {
        assert_eq!(dropped(&record), 1, "{record}");
    }
    let nothing = read(CLAUDE, &log(&[json!({ "type": "summary" })]));
    assert!(nothing.counts.is_complete() && !nothing.are_complete(), "it has a record and no fact");
}
