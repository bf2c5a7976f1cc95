//! Decodes rows to session events.

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMillisecondType};
use arrow_array::{Array, RecordBatch};
use chrono::{DateTime, Utc};
use gam_model::session_event::ActiveQuarter;
use gam_model::{CodingAgent, FieldText, Member, SessionEvent, SessionEventKind, SessionFacts, ToolOutcome};

use super::{Sessions, column};
use crate::error::Result;
use crate::schema::{DictionaryStrings, conform_to, member_kind, number, required, text, time, unknown_kind};
use crate::table::Table as _;

/// Returns the rows as session events, in the same order.
///
/// # Errors
/// [`Error::Damaged`](crate::Error::Damaged) if the rows are not valid; [`Error::NewerFormat`](crate::Error::NewerFormat) if a row has a kind, an agent or an outcome that
/// only a newer version of the program knows.
pub(super) fn decode(batch: &RecordBatch) -> Result<Vec<SessionEvent>> {
    let rows = Rows { batch: conform_to(batch, Sessions::schema())? };
    let names = Names::new(&rows);
    (0..batch.num_rows()).map(|row| rows.event(&names, row)).collect()
}

/// The rows of a batch that conforms to the schema.
struct Rows {
    batch: RecordBatch,
}

/// The columns of names.
struct Names {
    kind: DictionaryStrings,
    org: DictionaryStrings,
    repo: DictionaryStrings,
    member: DictionaryStrings,
    member_kind: DictionaryStrings,
    agent: DictionaryStrings,
    session: DictionaryStrings,
    subagent: DictionaryStrings,
    branch: DictionaryStrings,
    model: DictionaryStrings,
    speed: DictionaryStrings,
    tool: DictionaryStrings,
    outcome: DictionaryStrings,
    client_version: DictionaryStrings,
    entrypoint: DictionaryStrings,
    forked_from: DictionaryStrings,
    pr_repo: DictionaryStrings,
}

impl Names {
    fn new(rows: &Rows) -> Self {
        let names = |name: &str| DictionaryStrings::from_array(rows.column(name));
        Names {
            kind: names(column::KIND),
            org: names(column::ORG),
            repo: names(column::REPO),
            member: names(column::MEMBER),
            member_kind: names(column::MEMBER_KIND),
            agent: names(column::AGENT),
            session: names(column::SESSION),
            subagent: names(column::SUBAGENT),
            branch: names(column::BRANCH),
            model: names(column::MODEL),
            speed: names(column::SPEED),
            tool: names(column::TOOL),
            outcome: names(column::OUTCOME),
            client_version: names(column::CLIENT_VERSION),
            entrypoint: names(column::ENTRYPOINT),
            forked_from: names(column::FORKED_FROM),
            pr_repo: names(column::PR_REPO),
        }
    }
}

impl Rows {
    /// `conform_to` has checked that every column exists and has its type.
    fn column(&self, name: &str) -> &dyn Array {
        self.batch.column_by_name(name).expect("a conforming batch has every column")
    }

    fn number(&self, name: &str, row: usize) -> Option<i64> {
        number(self.column(name).as_primitive::<Int64Type>(), row)
    }

    fn flag(&self, name: &str, row: usize) -> Option<bool> {
        let flags = self.column(name).as_boolean();
        flags.is_valid(row).then(|| flags.value(row))
    }

    fn time(&self, name: &str, row: usize) -> Result<Option<DateTime<Utc>>> {
        let times = self.column(name).as_primitive::<TimestampMillisecondType>();
        number(times, row).map(|millis| time(millis, name)).transpose()
    }

    fn text(&self, name: &str, row: usize) -> Option<&str> {
        text(self.column(name).as_string::<i32>(), row)
    }

    fn event(&self, names: &Names, row: usize) -> Result<SessionEvent> {
        let kind = required(names.kind.get(row), column::KIND)?;
        let agent = required(names.agent.get(row), column::AGENT)?;
        let owned = |text: Option<&str>, name: &str| required(text, name).map(str::to_owned);
        Ok(SessionEvent {
            id: FieldText::new(required(self.text(column::EVENT_ID, row), column::EVENT_ID)?),
            version: required(self.number(column::VERSION, row), column::VERSION)?,
            kind: SessionEventKind::parse(kind)
                .ok_or_else(|| unknown_kind("a session event", kind, SessionEventKind::ALL.len()))?,
            org: owned(names.org.get(row), column::ORG)?,
            repo: owned(names.repo.get(row), column::REPO)?,
            repo_id: required(self.number(column::REPO_ID, row), column::REPO_ID)?,
            member: Member {
                name: owned(names.member.get(row), column::MEMBER)?,
                id: self.number(column::MEMBER_ID, row),
                kind: member_kind(required(names.member_kind.get(row), column::MEMBER_KIND)?)?,
            },
            occurred_at: required(self.time(column::OCCURRED_AT, row)?, column::OCCURRED_AT)?,
            collected_at: required(self.time(column::COLLECTED_AT, row)?, column::COLLECTED_AT)?,
            retracted: required(self.flag(column::RETRACTED, row), column::RETRACTED)?,
            reading: self.number(column::READING, row).unwrap_or_default(),
            agent: CodingAgent::parse(agent)
                .ok_or_else(|| unknown_kind("an agent", agent, CodingAgent::ALL.len()))?,
            session: FieldText::new(required(names.session.get(row), column::SESSION)?),
            facts: self.facts(names, row)?,
        })
    }

    fn facts(&self, names: &Names, row: usize) -> Result<SessionFacts> {
        let name = |names: &DictionaryStrings| names.get(row).map(FieldText::new);
        let outcome = names.outcome.get(row).map(|outcome| {
            ToolOutcome::parse(outcome)
                .ok_or_else(|| unknown_kind("an outcome", outcome, ToolOutcome::ALL.len()))
        });
        Ok(SessionFacts {
            subagent: name(&names.subagent),
            branch: name(&names.branch),
            replayed: self.flag(column::REPLAYED, row),
            model: name(&names.model),
            input_tokens: self.number(column::INPUT_TOKENS, row),
            output_tokens: self.number(column::OUTPUT_TOKENS, row),
            reasoning_tokens: self.number(column::REASONING_TOKENS, row),
            cache_read_tokens: self.number(column::CACHE_READ_TOKENS, row),
            cache_write_5m_tokens: self.number(column::CACHE_WRITE_5M_TOKENS, row),
            cache_write_1h_tokens: self.number(column::CACHE_WRITE_1H_TOKENS, row),
            web_searches: self.number(column::WEB_SEARCHES, row),
            speed: name(&names.speed),
            is_final: self.flag(column::IS_FINAL, row),
            tool: name(&names.tool),
            outcome: outcome.transpose()?,
            duration_ms: self.number(column::DURATION_MS, row),
            additions: self.number(column::ADDITIONS, row),
            deletions: self.number(column::DELETIONS, row),
            started_at: self.time(column::STARTED_AT, row)?,
            prompts: self.number(column::PROMPTS, row),
            turns: self.number(column::TURNS, row),
            active: self.active(row)?,
            client_version: name(&names.client_version),
            entrypoint: name(&names.entrypoint),
            forked_from: name(&names.forked_from),
            pr_repo: name(&names.pr_repo),
            number: self.number(column::NUMBER, row),
            sha: self.text(column::SHA, row).map(FieldText::new),
        })
    }

    fn active(&self, row: usize) -> Result<Option<Vec<ActiveQuarter>>> {
        let lists = self.column(column::ACTIVE).as_list::<i32>();
        if lists.is_null(row) {
            return Ok(None);
        }
        let list = lists.value(row);
        let quarters = list.as_struct();
        let field = |name| required(quarters.column_by_name(name), column::ACTIVE);
        let times = field(column::AT)?.as_primitive::<TimestampMillisecondType>();
        let active = field(column::ACTIVE_MS)?.as_primitive::<Int64Type>();
        (0..quarters.len())
            .map(|index| {
                Ok(ActiveQuarter {
                    at: time(required(number(times, index), column::ACTIVE)?, column::ACTIVE)?,
                    active_ms: required(number(active, index), column::ACTIVE)?,
                })
            })
            .collect::<Result<_>>()
            .map(Some)
    }
}
