//! The tool calls of a file, with their results, and the commits that they made.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use gam_model::{FieldText, SessionEventKind, SessionFacts, ToolOutcome};
use memchr::memmem;
use rustc_hash::FxHashMap;
use serde_json::value::RawValue;

use super::super::line::{Block, Hunk, ToolUseResult};
use super::Origin;
use crate::commit_ids::printed_commit_ids;
use crate::facts::LogFact;
use crate::json::{self, Lenient};

/// What a result says if a person refused the call.
const REFUSAL: &str = "doesn't want to";

struct ToolCall {
    at: DateTime<Utc>,
    owner: Origin,
    tool: FieldText,
    /// Whether the arguments mention a commit.
    mentions_commit: bool,
}

struct ToolResult {
    at: DateTime<Utc>,
    outcome: ToolOutcome,
    additions: Option<i64>,
    deletions: Option<i64>,
    commits: Vec<String>,
}

/// The tool calls, by id.
#[derive(Default)]
pub(super) struct ToolCalls {
    calls: FxHashMap<String, ToolCall>,
    results: FxHashMap<String, ToolResult>,
}

impl ToolCalls {
    /// Adds a copy of a call. `None` if it lacks its id or its tool.
    pub(super) fn add_call(&mut self, block: &Block<'_>, origin: &Origin) -> Option<()> {
        let (id, tool) = (block.id.text()?, block.name.text()?);
        match self.calls.get_mut(id) {
            Some(call) => {
                call.at = call.at.min(origin.at);
                if call.owner.is_replay && !origin.is_replay {
                    call.owner = origin.clone();
                }
            }
            None => {
                let mentions_commit = block.input.is_some_and(|input| input.get().contains("commit"));
                let tool = FieldText::new(tool);
                let call = ToolCall { at: origin.at, owner: origin.clone(), tool, mentions_commit };
                self.calls.insert(id.to_owned(), call);
            }
        }
        Some(())
    }

    /// Adds a copy of a result. `parsed` is the result as the tool returned it. `None` if it does not name its call.
    pub(super) fn add_result(
        &mut self,
        block: &Block<'_>,
        parsed: Option<&RawValue>,
        origin: &Origin,
    ) -> Option<()> {
        let id = block.tool_use_id.text()?;
        let mut result = tool_result(block, parsed, origin.at);
        // Only a call that mentions a commit prints the id of one. The call comes before its result.
        let call = self.calls.get(id);
        if let Some(content) = block.content
            && call.is_some_and(|call| call.mentions_commit)
        {
            result.commits = printed_commit_ids(content.get()).into_iter().map(str::to_owned).collect();
        }
        match self.results.get_mut(id) {
            Some(known) => {
                known.at = known.at.min(result.at);
                known.outcome = known.outcome.max(result.outcome);
                known.additions = known.additions.max(result.additions);
                known.deletions = known.deletions.max(result.deletions);
            }
            None => {
                self.results.insert(id.to_owned(), result);
            }
        }
        Some(())
    }

    /// Returns a fact for each call and each commit.
    pub(super) fn into_facts(self) -> Vec<LogFact> {
        let mut facts = Vec::with_capacity(self.calls.len());
        let mut commits: BTreeMap<String, LogFact> = BTreeMap::new();
        for (id, call) in &self.calls {
            let result = self.results.get(id);
            facts.push(call_fact(id, call, result));
            let Some(result) = result.filter(|_| !call.owner.is_replay) else { continue };
            for sha in &result.commits {
                let fact = commit_fact(sha, call, result);
                let earliest = commits.entry(fact.id.to_string()).or_insert_with(|| fact.clone());
                if fact.occurred_at < earliest.occurred_at {
                    *earliest = fact;
                }
            }
        }
        facts.extend(commits.into_values());
        facts
    }
}

fn call_fact(id: &str, call: &ToolCall, result: Option<&ToolResult>) -> LogFact {
    LogFact {
        workplace: call.owner.workplace,
        id: FieldText::new(&format!("agent:claude:tool:{id}")),
        version: i64::from(result.is_some()),
        kind: SessionEventKind::AgentToolCall,
        occurred_at: call.at,
        session: FieldText::new(&call.owner.session),
        facts: SessionFacts {
            tool: Some(call.tool.clone()),
            outcome: Some(result.map_or(ToolOutcome::Unknown, |result| result.outcome)),
            duration_ms: result.map(|result| (result.at - call.at).num_milliseconds().max(0)),
            additions: result.and_then(|result| result.additions),
            deletions: result.and_then(|result| result.deletions),
            ..call.owner.owner_facts()
        },
    }
}

fn commit_fact(sha: &str, call: &ToolCall, result: &ToolResult) -> LogFact {
    let session = &call.owner.session;
    LogFact {
        workplace: call.owner.workplace,
        id: FieldText::new(&format!("agent:claude:commit:{session}:{sha}")),
        version: 0,
        kind: SessionEventKind::AgentCommit,
        occurred_at: result.at,
        session: FieldText::new(session),
        facts: SessionFacts { sha: Some(FieldText::new(sha)), ..call.owner.owner_facts() },
    }
}

fn tool_result(block: &Block<'_>, parsed: Option<&RawValue>, at: DateTime<Utc>) -> ToolResult {
    let parsed: Option<ToolUseResult<'_>> =
        json::object(parsed.filter(|parsed| is_worth_parsing(parsed.get())));
    let is_refused = || block.content.is_some_and(|content| content.get().contains(REFUSAL));
    let outcome = if block.is_error.is_true() {
        if is_refused() { ToolOutcome::Rejected } else { ToolOutcome::Error }
    } else if parsed.as_ref().is_some_and(|parsed| parsed.interrupted.is_true()) {
        ToolOutcome::Interrupted
    } else {
        ToolOutcome::Ok
    };
    let lines = parsed.as_ref().and_then(changed_lines);
    ToolResult {
        at,
        outcome,
        additions: lines.map(|lines| lines.0),
        deletions: lines.map(|lines| lines.1),
        commits: Vec::new(),
    }
}

/// Returns whether the result as the tool returned it can say more than that the call went well. Most are long outputs that
/// do not, and to parse them is another pass over most of the bytes of a log. In a text, quotation marks are escaped, so
/// that only keys are found.
fn is_worth_parsing(json: &str) -> bool {
    const INTERRUPTED: &str = "\"interrupted\"";
    let is_true = |at: usize| {
        let value = json[at + INTERRUPTED.len()..].trim_start().trim_start_matches(':').trim_start();
        !value.starts_with("false")
    };
    memmem::find(json.as_bytes(), b"\"structuredPatch\"").is_some()
        || memmem::find_iter(json.as_bytes(), INTERRUPTED).any(is_true)
}

/// Returns how many lines the tool added and deleted; `None` if it changes no files.
fn changed_lines(parsed: &ToolUseResult<'_>) -> Option<(i64, i64)> {
    let patch = parsed.structured_patch.filter(|patch| patch.get().starts_with('['))?;
    if parsed.result_type.text() == Some("create") {
        return Some((parsed.content.map_or(0, |content| text_lines(content.get())), 0));
    }
    let (mut additions, mut deletions) = (0, 0);
    for hunk in json::list::<Lenient<Hunk<'_>>>(Some(patch)).into_iter().filter_map(Lenient::into_value) {
        for line in json::list::<&RawValue>(hunk.lines) {
            additions += i64::from(line.get().starts_with("\"+"));
            deletions += i64::from(line.get().starts_with("\"-"));
        }
    }
    Some((additions, deletions))
}

/// Returns the number of lines of a JSON text. A last line without an end counts.
fn text_lines(json: &str) -> i64 {
    let Some(text) = json.strip_prefix('"').and_then(|text| text.strip_suffix('"')) else { return 0 };
    let bytes = text.as_bytes();
    let (mut lines, mut at, mut is_open) = (0, 0, false);
    while at < bytes.len() {
        if bytes[at] == b'\\' {
            let is_end = bytes.get(at + 1) == Some(&b'n');
            lines += i64::from(is_end);
            is_open = !is_end;
            at += 2;
        } else {
            is_open = true;
            at += 1;
        }
    }
    lines + i64::from(is_open)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_that_say_more_than_an_output_are_parsed() {
        for (json, is_worth) in [
            (r#"{"stdout":"a","interrupted":false}"#, false),
            (r#"{"stdout":"a","interrupted":true}"#, true),
            (r#"{"interrupted" : false, "stdout":"a"}"#, false),
            (r#"{"interrupted" : true}"#, true),
            (r#"{"stdout":"\"interrupted\":true \"structuredPatch\""}"#, false),
            (r#"{"filePath":"a","structuredPatch":[]}"#, true),
            (r#""Error: file not found""#, false),
        ] {
            assert_eq!(is_worth_parsing(json), is_worth, "{json}");
        }
    }

    #[test]
    fn lines_of_a_json_text_are_counted() {
        assert_eq!(text_lines(r#""a\nb\n""#), 2);
        assert_eq!(text_lines(r#""a\nb""#), 2);
        assert_eq!(text_lines(r#""a\\nb""#), 1, "a backslash and an n are no end of a line");
        assert_eq!(text_lines(r#""""#), 0);
        assert_eq!(text_lines("null"), 0);
    }
}
