//! Collects the facts of one file of Claude Code.

mod responses;
mod tools;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use gam_model::{CodingAgent, FieldText, SessionEventKind, SessionFacts};
use rustc_hash::{FxHashMap, FxHashSet};
use serde_json::value::RawValue;

use super::line::{Block, ForkedFrom, Line, Progress};
use crate::facts::{LogFact, LogFacts, ReadCounts, Workplace, Workplaces};
use crate::json::{self, Lenient};
use crate::session_days::{OwnLine, SessionDays};
use responses::Responses;
use tools::ToolCalls;

/// Records that say nothing that is read, and are known to say nothing.
const SKIPPED_TYPES: [&str; 20] = [
    "agent-name",
    "agent-setting",
    "ai-title",
    "attachment",
    "bridge-session",
    "cost-state",
    "custom-title",
    "file-history-delta",
    "file-history-snapshot",
    "fork-context-ref",
    "frame-link",
    "last-prompt",
    "mode",
    "permission-mode",
    "queue-operation",
    "summary",
    "tag",
    "task-summary",
    "teleported-from",
    "worktree-state",
];

/// How user records begin that no person wrote.
const MACHINE_TEXTS: [&str; 8] = [
    "<local-command-",
    "<bash-stdout>",
    "<bash-stderr>",
    "<task-notification>",
    "<system-reminder>",
    "<teammate-message",
    "[Request interrupted by user",
    "Caveat: The messages below",
];

/// Who wrote a record, where and when.
#[derive(Debug, Clone)]
struct Origin {
    at: DateTime<Utc>,
    session: String,
    subagent: Option<FieldText>,
    branch: Option<FieldText>,
    workplace: usize,
    /// Whether a fork copied the record.
    is_replay: bool,
}

impl Origin {
    /// Returns the fields that say to whom a fact belongs.
    fn owner_facts(&self) -> SessionFacts {
        SessionFacts {
            subagent: self.subagent.clone(),
            branch: self.branch.clone(),
            replayed: self.is_replay.then_some(true),
            ..SessionFacts::default()
        }
    }
}

/// The facts that were read so far.
#[derive(Default)]
pub(super) struct ClaudeFacts {
    pub(super) counts: ReadCounts,
    workplaces: Workplaces,
    sessions: SessionDays,
    responses: Responses,
    tool_calls: ToolCalls,
    /// Prompts by the id of their record: forks write a record twice.
    prompts: FxHashMap<String, (String, DateTime<Utc>)>,
    /// The ids of the records that a fork copied.
    copied: FxHashSet<String>,
    /// Links by session, repository and number.
    pr_links: BTreeMap<(String, String, i64), (DateTime<Utc>, usize)>,
    /// The workplace of each session's last record. Some records name no directory.
    last_workplaces: FxHashMap<String, usize>,
}

impl ClaudeFacts {
    /// Adds a record.
    pub(super) fn add_record(&mut self, line: &Line<'_>) {
        self.counts.records += 1;
        match line.record_type.text() {
            Some("assistant" | "user" | "system" | "progress") => self.add_conversation(line),
            Some("attachment") => match self.origin(line) {
                Some(origin) => self.add_activity(line, &origin),
                None => self.counts.dropped_records += 1,
            },
            Some("pr-link") => self.add_pr_link(line),
            Some(known) if SKIPPED_TYPES.contains(&known) => {}
            unknown => self.counts.add_unknown(unknown.unwrap_or("-"), line.version.text()),
        }
    }

    fn add_conversation(&mut self, line: &Line<'_>) {
        let Some(origin) = self.origin(line) else {
            self.counts.dropped_records += 1;
            return;
        };
        self.add_activity(line, &origin);
        let is_read = match line.record_type.text() {
            Some("assistant") => self.add_assistant(line, &origin),
            Some("user") => self.add_user(line, &origin),
            Some("progress") => self.add_progress(line, &origin),
            _ => {
                if line.subtype.text() == Some("turn_duration") && !origin.is_replay {
                    self.sessions.add_turn(&origin.session, origin.at);
                }
                Some(())
            }
        };
        self.counts.dropped_records += u64::from(is_read.is_none());
    }

    /// Returns who wrote the record; `None` if it lacks a session or a time.
    fn origin(&mut self, line: &Line<'_>) -> Option<Origin> {
        let (session, at) = (line.session_id.text()?, line.timestamp.time()?);
        let workplace = match (line.cwd.text(), self.last_workplaces.get(session)) {
            (None, Some(last)) => *last,
            (directory, _) => {
                let directory = directory.unwrap_or_default().to_owned();
                self.workplaces.index(Workplace { directory, remote: None })
            }
        };
        match self.last_workplaces.get_mut(session) {
            Some(last) => *last = workplace,
            None => {
                self.last_workplaces.insert(session.to_owned(), workplace);
            }
        }
        let forked_from: Option<ForkedFrom<'_>> = json::object(line.forked_from);
        if let Some(forked_from) = &forked_from {
            if let Some(parent) = forked_from.session_id.text() {
                self.sessions.set_forked_from(session, parent);
            }
            self.copied.extend(forked_from.message_uuid.text().map(str::to_owned));
        }
        Some(Origin {
            at,
            session: session.to_owned(),
            subagent: line.agent_id.text().map(FieldText::new),
            // Git calls a checkout without a branch `HEAD`.
            branch: line.git_branch.text().filter(|branch| *branch != "HEAD").map(FieldText::new),
            workplace,
            is_replay: forked_from.is_some(),
        })
    }

    fn add_activity(&mut self, line: &Line<'_>, origin: &Origin) {
        if origin.is_replay {
            return;
        }
        if line.is_sidechain.is_true() {
            self.sessions.add_subagent_line(&origin.session, origin.at);
            return;
        }
        let own_line = OwnLine {
            at: origin.at,
            workplace: origin.workplace,
            client_version: line.version.text(),
            entrypoint: line.entrypoint.text(),
        };
        self.sessions.add_own_line(&origin.session, own_line);
    }

    /// Adds a record of the agent. `None` if it lacks what its facts need.
    fn add_assistant(&mut self, line: &Line<'_>, origin: &Origin) -> Option<()> {
        let message = line.message.value()?;
        if message.model.text() == Some("<synthetic>") || line.is_api_error_message.is_true() {
            return Some(());
        }
        let mut is_read = self.responses.add(line, message, origin);
        for block in blocks(message.content).filter(|block| block.block_type.text() == Some("tool_use")) {
            is_read = self.tool_calls.add_call(&block, origin).and(is_read);
        }
        is_read
    }

    /// Adds a record of a person, or a result. `None` if it lacks what its facts need.
    fn add_user(&mut self, line: &Line<'_>, origin: &Origin) -> Option<()> {
        let message = line.message.value()?;
        let (mut has_result, mut is_read) = (false, Some(()));
        for block in blocks(message.content).filter(|block| block.block_type.text() == Some("tool_result")) {
            has_result = true;
            is_read = self.tool_calls.add_result(&block, line.tool_use_result, origin).and(is_read);
        }
        let is_machine = line.is_meta.is_true()
            || line.is_compact_summary.is_true()
            || line.is_visible_in_transcript_only.is_true()
            || line.is_sidechain.is_true();
        if has_result || is_machine || origin.is_replay || !is_written_by_person(message.content) {
            return is_read;
        }
        let id = line.uuid.text().map_or_else(|| format!("#{}", self.counts.records), str::to_owned);
        self.prompts.entry(id).or_insert_with(|| (origin.session.clone(), origin.at));
        Some(())
    }

    /// Adds the record of a subagent that a record of its session repeats. The subagent's own file may be missing. `None`
    /// if it lacks what its facts need.
    fn add_progress(&mut self, line: &Line<'_>, origin: &Origin) -> Option<()> {
        let is_agent = line.data.is_some_and(|data| data.get().contains("agent_progress"));
        if !is_agent {
            return Some(());
        }
        let progress = json::object::<Progress<'_>>(line.data)?;
        if progress.progress_type.text() != Some("agent_progress") {
            return Some(());
        }
        let record = json::object::<Line<'_>>(progress.message)?;
        let origin = Origin {
            at: record.timestamp.time().unwrap_or(origin.at),
            subagent: progress.agent_id.text().map(FieldText::new),
            ..origin.clone()
        };
        match record.record_type.text() {
            Some("assistant") => self.add_assistant(&record, &origin),
            Some("user") => {
                let message = record.message.value()?;
                let mut is_read = Some(());
                for block in blocks(message.content) {
                    if block.block_type.text() == Some("tool_result") {
                        let added = self.tool_calls.add_result(&block, record.tool_use_result, &origin);
                        is_read = added.and(is_read);
                    }
                }
                is_read
            }
            _ => Some(()),
        }
    }

    fn add_pr_link(&mut self, line: &Line<'_>) {
        let (Some(session), Some(at), Some(repo), Some(number)) =
            (line.session_id.text(), line.timestamp.time(), line.pr_repository.text(), line.pr_number.int())
        else {
            self.counts.dropped_records += 1;
            return;
        };
        // The record has no directory. The one of the session's last record with a directory applies.
        let last = self.last_workplaces.get(session).copied();
        let workplace = last.unwrap_or_else(|| self.workplaces.index(Workplace::default()));
        let key = (session.to_owned(), repo.to_lowercase(), number);
        let link = self.pr_links.entry(key).or_insert((at, workplace));
        link.0 = link.0.min(at);
    }

    /// Returns all facts.
    pub(super) fn into_log_facts(mut self) -> LogFacts {
        for (id, (session, at)) in std::mem::take(&mut self.prompts) {
            if !self.copied.contains(&id) {
                self.sessions.add_prompt(&session, at);
            }
        }
        let mut facts = self.sessions.into_facts(CodingAgent::Claude);
        facts.extend(self.responses.into_facts());
        facts.extend(self.tool_calls.into_facts());
        facts.extend(self.pr_links.into_iter().map(pr_link_fact));
        facts.sort_by(|a, b| a.id.cmp(&b.id));
        LogFacts {
            agent: CodingAgent::Claude,
            workplaces: self.workplaces.into_list(),
            facts,
            counts: self.counts,
        }
    }
}

fn pr_link_fact(
    ((session, repo, number), (at, workplace)): ((String, String, i64), (DateTime<Utc>, usize)),
) -> LogFact {
    LogFact {
        workplace,
        id: FieldText::new(&format!("agent:claude:pr:{session}:{repo}:{number}")),
        version: 0,
        kind: SessionEventKind::AgentPrLink,
        occurred_at: at,
        session: FieldText::new(&session),
        facts: SessionFacts {
            pr_repo: Some(FieldText::new(&repo)),
            number: Some(number),
            ..SessionFacts::default()
        },
    }
}

/// Returns the blocks of a message. A message that is one text has none.
fn blocks<'a>(content: Option<&'a RawValue>) -> impl Iterator<Item = Block<'a>> {
    json::list::<Lenient<Block<'_>>>(content).into_iter().filter_map(Lenient::into_value)
}

/// Returns whether the content is what a person submitted.
fn is_written_by_person(content: Option<&RawValue>) -> bool {
    let Some(content) = content else { return false };
    let is_machine_text = |raw: &RawValue| {
        let text = raw.get().trim_start_matches('"');
        MACHINE_TEXTS.iter().any(|machine| text.starts_with(machine))
    };
    if content.get().starts_with('"') {
        return content.get() != "\"\"" && !is_machine_text(content);
    }
    blocks(Some(content)).any(|block| match (block.block_type.text(), block.text) {
        (Some("text"), Some(text)) => !is_machine_text(text),
        (Some("image" | "document"), _) => true,
        _ => false,
    })
}
