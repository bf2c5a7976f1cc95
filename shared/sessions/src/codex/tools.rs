//! The tool calls of a file of Codex, with their results, and the commits that they made.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use gam_model::{FieldText, SessionEventKind, SessionFacts, ToolOutcome};
use serde_json::value::RawValue;

use super::line::Payload;
use crate::commit_ids::printed_commit_ids;
use crate::facts::LogFact;

/// What outputs say before the exit code, as they stand in JSON.
const EXIT_CODE_MARKS: [&str; 4] =
    ["\\\"exit_code\\\":", "Exit code: ", "Process exited with code ", "\"exit_code\":"];
/// What outputs say if a person refused or stopped the call.
const REFUSALS: [&str; 2] = ["rejected by user", "user rejected"];
const INTERRUPTIONS: [&str; 2] = ["aborted by user", "aborted by the user"];

#[derive(Debug)]
struct ToolCall {
    at: DateTime<Utc>,
    tool: FieldText,
    workplace: usize,
    branch: Option<FieldText>,
    mentions_commit: bool,
    lines: Option<(i64, i64)>,
    result: Option<(DateTime<Utc>, ToolOutcome)>,
    exit_code: Option<i64>,
    commits: Vec<String>,
}

/// Where a call was made.
#[derive(Debug, Clone)]
pub(super) struct CallPlace {
    pub(super) at: DateTime<Utc>,
    pub(super) workplace: usize,
    pub(super) branch: Option<FieldText>,
}

/// To whom the calls of a file belong.
#[derive(Debug, Clone)]
pub(super) struct CallOwner {
    /// The session that the ids contain: of a subagent its own one.
    pub(super) file_session: String,
    pub(super) session: FieldText,
    pub(super) subagent: Option<FieldText>,
}

/// The tool calls, by id.
#[derive(Debug, Default)]
pub(super) struct ToolCalls {
    calls: BTreeMap<String, ToolCall>,
}

impl ToolCalls {
    /// Adds a call. `None` if it lacks its id or its tool.
    pub(super) fn add_call(&mut self, payload: &Payload<'_>, place: CallPlace) -> Option<()> {
        let (id, tool) = (payload.call_id.text()?, payload.name.text()?);
        let arguments = payload.arguments.or(payload.input);
        let lines = payload.input.filter(|_| tool == "apply_patch").map(|input| patch_lines(input.get()));
        self.calls.entry(id.to_owned()).or_insert_with(|| ToolCall {
            at: place.at,
            tool: FieldText::new(tool),
            workplace: place.workplace,
            branch: place.branch,
            mentions_commit: arguments.is_some_and(|arguments| arguments.get().contains("commit")),
            lines,
            result: None,
            exit_code: None,
            commits: Vec::new(),
        });
        Some(())
    }

    /// Adds the output of a call.
    pub(super) fn add_output(&mut self, payload: &Payload<'_>, at: DateTime<Utc>) {
        let Some(call) = payload.call_id.text().and_then(|id| self.calls.get_mut(id)) else { return };
        call.result.get_or_insert((at, payload.output.map_or(ToolOutcome::Ok, outcome)));
        if let Some(output) = payload.output.filter(|_| call.mentions_commit) {
            // The output is a JSON text that can contain another one: its ends of lines are escaped twice.
            let output = output.get().replace("\\\\n", "\\n");
            call.commits = printed_commit_ids(&output).into_iter().map(str::to_owned).collect();
        }
    }

    /// Adds how the program of a call ended.
    pub(super) fn add_exit_code(&mut self, payload: &Payload<'_>) {
        let call = payload.call_id.text().and_then(|id| self.calls.get_mut(id));
        if let (Some(call), Some(code)) = (call, payload.exit_code.int()) {
            call.exit_code = Some(code);
        }
    }

    /// Returns a fact for each call and each commit.
    pub(super) fn into_facts(self, owner: &CallOwner) -> Vec<LogFact> {
        let mut facts = Vec::with_capacity(self.calls.len());
        let mut commits: BTreeMap<String, LogFact> = BTreeMap::new();
        for (id, call) in self.calls {
            for sha in &call.commits {
                let fact = commit_fact(sha, &call, owner);
                commits.entry(fact.id.to_string()).or_insert(fact);
            }
            facts.push(call_fact(&id, call, owner));
        }
        facts.extend(commits.into_values());
        facts
    }
}

fn call_fact(id: &str, call: ToolCall, owner: &CallOwner) -> LogFact {
    let outcome = match (call.result, call.exit_code) {
        (Some((_, ToolOutcome::Ok)) | None, Some(code)) if code != 0 => ToolOutcome::Error,
        (Some((_, outcome)), _) => outcome,
        (None, Some(_)) => ToolOutcome::Ok,
        (None, None) => ToolOutcome::Unknown,
    };
    let lines = call.lines.filter(|_| outcome == ToolOutcome::Ok);
    LogFact {
        workplace: call.workplace,
        id: FieldText::new(&format!("agent:codex:tool:{}:{id}", owner.file_session)),
        version: i64::from(outcome != ToolOutcome::Unknown),
        kind: SessionEventKind::AgentToolCall,
        occurred_at: call.at,
        session: owner.session.clone(),
        facts: SessionFacts {
            subagent: owner.subagent.clone(),
            branch: call.branch,
            tool: Some(call.tool),
            outcome: Some(outcome),
            duration_ms: call.result.map(|(at, _)| (at - call.at).num_milliseconds().max(0)),
            additions: lines.map(|lines| lines.0),
            deletions: lines.map(|lines| lines.1),
            ..SessionFacts::default()
        },
    }
}

fn commit_fact(sha: &str, call: &ToolCall, owner: &CallOwner) -> LogFact {
    LogFact {
        workplace: call.workplace,
        id: FieldText::new(&format!("agent:codex:commit:{}:{sha}", owner.session)),
        version: 0,
        kind: SessionEventKind::AgentCommit,
        occurred_at: call.result.map_or(call.at, |(at, _)| at),
        session: owner.session.clone(),
        facts: SessionFacts {
            subagent: owner.subagent.clone(),
            branch: call.branch.clone(),
            sha: Some(FieldText::new(sha)),
            ..SessionFacts::default()
        },
    }
}

fn outcome(output: &RawValue) -> ToolOutcome {
    let text = output.get();
    if REFUSALS.iter().any(|refusal| text.contains(refusal)) {
        ToolOutcome::Rejected
    } else if INTERRUPTIONS.iter().any(|interruption| text.contains(interruption)) {
        ToolOutcome::Interrupted
    } else if exit_code(text).is_some_and(|code| code != 0) {
        ToolOutcome::Error
    } else {
        ToolOutcome::Ok
    }
}

/// Returns the exit code that the output names first.
fn exit_code(text: &str) -> Option<i64> {
    let (mark, at) = EXIT_CODE_MARKS
        .iter()
        .filter_map(|mark| text.find(mark).map(|at| (mark, at)))
        .min_by_key(|(_, at)| *at)?;
    let number = text[at + mark.len()..].trim_start();
    let end = number.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(number.len());
    number[..end].parse().ok()
}

/// Returns how many lines a patch adds and deletes. It is a JSON text of the form that `apply_patch` takes.
fn patch_lines(json: &str) -> (i64, i64) {
    let bytes = json.as_bytes();
    let (mut additions, mut deletions, mut at) = (0, 0, 0);
    while at < bytes.len() {
        if bytes[at] != b'\\' {
            at += 1;
            continue;
        }
        if bytes.get(at + 1) == Some(&b'n') {
            additions += i64::from(bytes.get(at + 2) == Some(&b'+'));
            deletions += i64::from(bytes.get(at + 2) == Some(&b'-'));
        }
        at += 2;
    }
    (additions, deletions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_patch_are_counted() {
        let patch =
            r#""*** Begin Patch\n*** Update File: a\n@@\n context\n-old\n+new\n+a \\n+b\n*** End Patch""#;
        assert_eq!(patch_lines(patch), (2, 1));
        assert_eq!(patch_lines("\"[hidden]\""), (0, 0));
    }

    #[test]
    fn exit_codes_and_refusals_decide_the_outcome() {
        let outcome = |json: &str| outcome(serde_json::from_str(json).unwrap());
        assert_eq!(outcome(r#""{\"output\":\"x\",\"metadata\":{\"exit_code\":1}}""#), ToolOutcome::Error);
        assert_eq!(outcome(r#""{\"output\":\"x\",\"metadata\":{\"exit_code\":0}}""#), ToolOutcome::Ok);
        assert_eq!(outcome(r#""Exit code: 2\nOutput:\n""#), ToolOutcome::Error);
        assert_eq!(outcome(r#""Process exited with code 0\n""#), ToolOutcome::Ok);
        assert_eq!(outcome(r#""exec command rejected by user""#), ToolOutcome::Rejected);
        assert_eq!(outcome(r#""aborted by user after 3.1s""#), ToolOutcome::Interrupted);
        assert_eq!(outcome(r#""done""#), ToolOutcome::Ok);
    }
}
