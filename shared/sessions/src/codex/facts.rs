//! Collects the facts of one file of Codex.

use chrono::{DateTime, Utc};
use gam_model::{CodingAgent, FieldText, SessionEventKind, SessionFacts};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::line::{Git, Line, Payload, TokenInfo, TokenUsage};
use super::replay::Replay;
use super::tools::{CallOwner, CallPlace, ToolCalls};
use crate::facts::{LogFact, LogFacts, ReadCounts, Workplace, Workplaces};
use crate::json::{self, Scalar};
use crate::session_days::{OwnLine, SessionDays};

/// Types of records that say nothing that is read. Tokens are read from `token_count` alone.
const SKIPPED_RECORDS: [&str; 5] = [
    "compacted",
    "inter_agent_communication",
    "inter_agent_communication_metadata",
    "token_usage_record",
    "world_state",
];

/// Types of events that say nothing that is read, and are known to say nothing.
const SKIPPED_EVENTS: [&str; 26] = [
    "agent_message",
    "agent_message_delta",
    "agent_reasoning",
    "agent_reasoning_raw_content",
    "agent_reasoning_section_break",
    "context_compacted",
    "entered_review_mode",
    "error",
    "exec_command_begin",
    "exited_review_mode",
    "inter_agent_communication",
    "inter_agent_communication_metadata",
    "item_completed",
    "mcp_tool_call_begin",
    "mcp_tool_call_end",
    "patch_apply_begin",
    "patch_apply_end",
    "plan_update",
    "stream_error",
    "thread_rolled_back",
    "thread_settings_applied",
    "turn_aborted",
    "undo_completed",
    "view_image_tool_call",
    "warning",
    "web_search_end",
];

/// Types of items that say nothing that is read.
const SKIPPED_ITEMS: [&str; 7] = [
    "message",
    "reasoning",
    "web_search_call",
    "ghost_snapshot",
    "compaction",
    "tool_search_call",
    "tool_search_output",
];

#[derive(Debug)]
struct Session {
    id: String,
    /// The session that a subagent works for.
    parent: Option<String>,
    client_version: Option<String>,
    entrypoint: Option<String>,
}

#[derive(Debug)]
struct Response {
    at: DateTime<Utc>,
    workplace: usize,
    branch: Option<FieldText>,
    facts: SessionFacts,
}

/// The totals of tokens in one record, to recognize a record that is written twice.
type Totals = [i64; 5];

/// The facts that were read so far.
#[derive(Debug, Default)]
pub(super) struct CodexFacts {
    pub(super) counts: ReadCounts,
    workplaces: Workplaces,
    session: Option<Session>,
    days: SessionDays,
    replay: Replay,
    responses: Vec<Response>,
    tool_calls: ToolCalls,
    totals: Option<Totals>,
    model: Option<FieldText>,
    branch: Option<FieldText>,
    remote: Option<String>,
    workplace: usize,
    /// The time of the last record that has one. The oldest format has only that of the session.
    last_time: Option<DateTime<Utc>>,
}

/// Where a session came from.
#[derive(Deserialize)]
struct SubagentSource<'a> {
    #[serde(borrow, default)]
    subagent: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct SubagentKind<'a> {
    #[serde(borrow, default)]
    thread_spawn: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ThreadSpawn<'a> {
    #[serde(borrow, default)]
    parent_thread_id: Scalar<'a>,
}

impl CodexFacts {
    /// Adds a record.
    pub(super) fn add_record(&mut self, line: &Line<'_>, text: &str) {
        self.counts.records += 1;
        if let Some(at) = line.timestamp.time() {
            self.last_time = Some(at);
        }
        let Some(at) = self.last_time else {
            self.counts.add_unknown(line.record_type.text().unwrap_or("-"), None);
            return;
        };
        // In the oldest format the record is the item.
        let payload: Option<Payload<'_>> = match line.payload {
            Some(payload) => json::object(Some(payload)),
            None => json::record(text),
        };
        let Some(payload) = payload else {
            self.counts.dropped_records += 1;
            return;
        };
        match line.record_type.text() {
            Some("session_meta") => self.add_session(&payload, at),
            None if line.id.text().is_some() && self.session.is_none() => self.add_session(&payload, at),
            Some("turn_context") => self.add_turn_context(&payload),
            Some("event_msg") => self.add_event(&payload, at),
            Some("response_item") => self.add_item(&payload, at),
            Some("inter_agent_communication" | "inter_agent_communication_metadata")
                if payload.trigger_turn.is_true() =>
            {
                self.replay.start_own_work();
            }
            Some(known) if SKIPPED_RECORDS.contains(&known) => {}
            None if line.id.text().is_some() || line.state_type.text().is_some() => {}
            None => self.counts.dropped_records += 1,
            Some("message" | "function_call" | "function_call_output" | "reasoning")
                if line.payload.is_none() =>
            {
                self.add_item(&payload, at);
            }
            Some(unknown) => self.add_unknown(unknown),
        }
    }

    fn add_unknown(&mut self, record_type: &str) {
        let version = self.session.as_ref().and_then(|session| session.client_version.as_deref());
        self.counts.add_unknown(record_type, version);
    }

    /// Adds the beginning of a session. Only the first one in a file is its own: the others were copied.
    fn add_session(&mut self, payload: &Payload<'_>, at: DateTime<Utc>) {
        let Some(id) = payload.id.text() else {
            self.counts.dropped_records += 1;
            return;
        };
        if let Some(own) = &self.session {
            if own.id != id {
                self.replay.set_fork();
            }
            return;
        }
        let source = payload.source.map(|source| source.get().trim_matches('"'));
        let parent = subagent_parent(payload);
        if parent.is_some() || payload.forked_from_id.text().is_some() {
            self.replay.set_fork();
        }
        self.replay.set_start(payload.timestamp.time().unwrap_or(at));
        if let Some(git) = json::object::<Git<'_>>(payload.git) {
            self.branch = git.branch.text().filter(|branch| *branch != "HEAD").map(FieldText::new);
            self.remote = git.repository_url.text().map(str::to_owned);
        }
        self.set_workplace(payload.cwd.text().unwrap_or_default());
        if let Some(parent) = payload.forked_from_id.text().filter(|_| parent.is_none()) {
            self.days.set_forked_from(id, parent);
        }
        self.session = Some(Session {
            id: id.to_owned(),
            parent,
            client_version: payload.cli_version.text().map(str::to_owned),
            entrypoint: source.filter(|source| !source.starts_with('{')).map(str::to_owned),
        });
        self.add_own_line(at);
    }

    fn set_workplace(&mut self, directory: &str) {
        let workplace = Workplace { directory: directory.to_owned(), remote: self.remote.clone() };
        self.workplace = self.workplaces.index(workplace);
    }

    fn add_turn_context(&mut self, payload: &Payload<'_>) {
        if let Some(model) = payload.model.text() {
            self.model = Some(FieldText::new(model));
        }
        if let Some(directory) = payload.cwd.text() {
            self.set_workplace(directory);
        }
    }

    /// Records that the session was active, unless the record is a copy or the session is a subagent.
    fn add_own_line(&mut self, at: DateTime<Utc>) {
        let Some(session) = self.session.as_ref().filter(|session| session.parent.is_none()) else { return };
        if !self.replay.is_copy(at) {
            let line = OwnLine {
                at,
                workplace: self.workplace,
                client_version: session.client_version.as_deref(),
                entrypoint: session.entrypoint.as_deref(),
            };
            self.days.add_own_line(&session.id, line);
        }
    }

    fn add_event(&mut self, payload: &Payload<'_>, at: DateTime<Utc>) {
        let event = payload.payload_type.text().unwrap_or("-");
        if event == "task_started" {
            self.replay.start_turn(payload.turn_id.text(), payload.started_at.int());
        }
        self.add_own_line(at);
        let is_copy = self.replay.is_copy(at);
        match event {
            "task_started" => {}
            "token_count" => self.add_tokens(payload, at, is_copy),
            "user_message" | "task_complete" if is_copy => {}
            "user_message" => {
                if let Some(session) = self.own_session() {
                    self.days.add_prompt(&session, at);
                }
            }
            "task_complete" => {
                if let Some(session) = self.own_session() {
                    self.days.add_turn(&session, at);
                }
            }
            "exec_command_end" => self.tool_calls.add_exit_code(payload),
            "inter_agent_communication" if payload.trigger_turn.is_true() => self.replay.start_own_work(),
            known if SKIPPED_EVENTS.contains(&known) => {}
            unknown => self.add_unknown(&format!("event_msg/{unknown}")),
        }
    }

    /// Returns the id of the session, if it is not a subagent.
    fn own_session(&self) -> Option<String> {
        self.session.as_ref().filter(|session| session.parent.is_none()).map(|session| session.id.clone())
    }

    /// Adds a response, if the running total changed. The total is followed through copies, too.
    fn add_tokens(&mut self, payload: &Payload<'_>, at: DateTime<Utc>, is_copy: bool) {
        let Some(info) = json::object::<TokenInfo<'_>>(payload.info) else { return };
        let Some(total) = json::object::<TokenUsage<'_>>(info.total_token_usage) else {
            self.counts.dropped_records += 1;
            return;
        };
        let totals = totals(&total);
        let before = self.totals.replace(totals);
        if before == Some(totals) || is_copy {
            return;
        }
        let tokens = match json::object::<TokenUsage<'_>>(info.last_token_usage) {
            Some(last) => self::totals(&last),
            None => grown(totals, before),
        };
        let [input, cached, output, reasoning, _] = tokens;
        self.responses.push(Response {
            at,
            workplace: self.workplace,
            branch: self.branch.clone(),
            facts: SessionFacts {
                model: self.model.clone(),
                input_tokens: Some((input - cached).max(0)),
                output_tokens: Some(output),
                reasoning_tokens: Some(reasoning),
                cache_read_tokens: Some(cached),
                is_final: Some(true),
                ..SessionFacts::default()
            },
        });
    }

    fn add_item(&mut self, payload: &Payload<'_>, at: DateTime<Utc>) {
        self.add_own_line(at);
        if self.replay.is_copy(at) {
            return;
        }
        match payload.payload_type.text().unwrap_or("-") {
            "function_call" | "custom_tool_call" => {
                let place = CallPlace { at, workplace: self.workplace, branch: self.branch.clone() };
                let added = self.tool_calls.add_call(payload, place);
                self.counts.dropped_records += u64::from(added.is_none());
            }
            "function_call_output" | "custom_tool_call_output" => self.tool_calls.add_output(payload, at),
            known if SKIPPED_ITEMS.contains(&known) => {}
            unknown => self.add_unknown(&format!("response_item/{unknown}")),
        }
    }

    /// Returns all facts.
    pub(super) fn into_log_facts(mut self) -> LogFacts {
        let mut facts = self.days.into_facts(CodingAgent::Codex);
        if let Some(session) = self.session {
            let owner = CallOwner {
                session: FieldText::new(session.parent.as_deref().unwrap_or(&session.id)),
                subagent: session.parent.is_some().then(|| FieldText::new(&session.id)),
                file_session: session.id,
            };
            let responses = self.responses.into_iter().enumerate();
            facts.extend(responses.map(|(index, response)| response_fact(index + 1, response, &owner)));
            facts.extend(self.tool_calls.into_facts(&owner));
        } else {
            // Facts have the id of their session.
            self.counts.dropped_records = self.counts.records;
        }
        facts.sort_by(|a, b| a.id.cmp(&b.id));
        LogFacts {
            agent: CodingAgent::Codex,
            workplaces: self.workplaces.into_list(),
            facts,
            counts: self.counts,
        }
    }
}

/// Returns the session that started this one as a subagent.
fn subagent_parent(payload: &Payload<'_>) -> Option<String> {
    let source: Option<SubagentSource<'_>> = json::object(payload.source);
    let subagent = source?.subagent?;
    let spawn = json::object::<SubagentKind<'_>>(Some(subagent)).and_then(|kind| kind.thread_spawn);
    let spawn: Option<ThreadSpawn<'_>> = json::object(spawn);
    let parent = spawn.and_then(|spawn| spawn.parent_thread_id.text().map(str::to_owned));
    parent.or_else(|| payload.parent_thread_id.text().map(str::to_owned))
}

fn totals(usage: &TokenUsage<'_>) -> Totals {
    [
        usage.input_tokens.count(),
        usage.cached_input_tokens.count(),
        usage.output_tokens.count(),
        usage.reasoning_output_tokens.count(),
        usage.total_tokens.count(),
    ]
}

/// Returns by how much the totals grew. A counter that starts again counts from zero.
fn grown(totals: Totals, before: Option<Totals>) -> Totals {
    let before = before.filter(|before| before[4] <= totals[4]).unwrap_or_default();
    std::array::from_fn(|index| (totals[index] - before[index]).max(0))
}

/// Returns the fact of the response with this number in its file.
fn response_fact(number: usize, response: Response, owner: &CallOwner) -> LogFact {
    let output = response.facts.output_tokens.unwrap_or(0);
    LogFact {
        workplace: response.workplace,
        id: FieldText::new(&format!("agent:codex:response:{}:{number}", owner.file_session)),
        version: output * 2 + 1,
        kind: SessionEventKind::AgentResponse,
        occurred_at: response.at,
        session: owner.session.clone(),
        facts: SessionFacts { subagent: owner.subagent.clone(), branch: response.branch, ..response.facts },
    }
}
