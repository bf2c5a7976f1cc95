//! The table `sessions`: what coding agents did and used.
//!
//! It has an inbox and snapshots of its own, so the months of the table `events` are never touched by it. Columns are
//! found by name, as in the table `events`.

mod decode;
mod encode;

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray as _;
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef};
use gam_model::session_event::combine_by_id;
use gam_model::{Month, SessionEvent};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::inbox;
use crate::object_store::ObjectStore;
use crate::parquet_file::spawn_blocking;
use crate::paths::{self, ObjectPath};
use crate::schema::{dictionary_type, list_type, timestamp_type};
use crate::snapshot;
use crate::table::{ColumnStorage, KeyColumns, Table};

/// The names of the columns, in the order in which they are written. Times are UTC.
pub mod column {
    pub use crate::schema::column::{
        ADDITIONS, COLLECTED_AT, DELETIONS, EVENT_ID, KIND, MEMBER, MEMBER_ID, MEMBER_KIND, NUMBER,
        OCCURRED_AT, ORG, READING, REPO, REPO_ID, RETRACTED, SHA, VERSION,
    };

    /// The agent that wrote the log: `claude` or `codex`.
    pub const AGENT: &str = "agent";
    /// The id of the session.
    pub const SESSION: &str = "session";
    /// The subagent; null for the session itself.
    pub const SUBAGENT: &str = "subagent";
    /// The git branch, or `~` and the first 12 hex digits of its SHA-256.
    pub const BRANCH: &str = "branch";
    /// True if the only copies that were found are in the copied history of a fork.
    pub const REPLAYED: &str = "replayed";
    /// Responses: the model, as the log names it.
    pub const MODEL: &str = "model";
    /// Responses: input tokens, without those that were read from or written to the cache.
    pub const INPUT_TOKENS: &str = "input_tokens";
    /// Responses: output tokens, including reasoning.
    pub const OUTPUT_TOKENS: &str = "output_tokens";
    /// Responses: output tokens of reasoning.
    pub const REASONING_TOKENS: &str = "reasoning_tokens";
    /// Responses: input tokens read from the cache.
    pub const CACHE_READ_TOKENS: &str = "cache_read_tokens";
    /// Responses: input tokens written to the cache for five minutes.
    pub const CACHE_WRITE_5M_TOKENS: &str = "cache_write_5m_tokens";
    /// Responses: input tokens written to the cache for an hour.
    pub const CACHE_WRITE_1H_TOKENS: &str = "cache_write_1h_tokens";
    /// Responses: web searches.
    pub const WEB_SEARCHES: &str = "web_searches";
    /// Responses: the speed class.
    pub const SPEED: &str = "speed";
    /// Responses: whether the log has the end of the response.
    pub const IS_FINAL: &str = "is_final";
    /// Tool calls: the name of the tool.
    pub const TOOL: &str = "tool";
    /// Tool calls: `ok`, `error`, `rejected`, `interrupted` or `unknown`.
    pub const OUTCOME: &str = "outcome";
    /// Tool calls: milliseconds from the call to its result.
    pub const DURATION_MS: &str = "duration_ms";
    /// Sessions: when the session began, on whichever day.
    pub const STARTED_AT: &str = "started_at";
    /// Sessions: what people submitted on this UTC day.
    pub const PROMPTS: &str = "prompts";
    /// Sessions: turns that the agent finished on this UTC day.
    pub const TURNS: &str = "turns";
    /// Sessions: active time on this UTC day, as a list of `at` (the beginning of a quarter of an hour) and `active_ms`.
    pub const ACTIVE: &str = "active";
    /// Sessions: the version of the agent.
    pub const CLIENT_VERSION: &str = "client_version";
    /// Sessions: how the agent was started.
    pub const ENTRYPOINT: &str = "entrypoint";
    /// Sessions: the session whose history this one continues.
    pub const FORKED_FROM: &str = "forked_from";
    /// Links to pull requests: `owner/name` of the pull request's repository.
    pub const PR_REPO: &str = "pr_repo";
    /// Within [`ACTIVE`]: when the quarter begins.
    pub const AT: &str = "at";
    /// Within [`ACTIVE`]: active milliseconds of the quarter.
    pub const ACTIVE_MS: &str = "active_ms";
}

/// The table `sessions`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sessions {}

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| Arc::new(build_schema()));

/// Returns the fields of an entry of the column `active`.
fn active_fields() -> Fields {
    Fields::from(vec![
        Field::new(column::AT, timestamp_type(), false),
        Field::new(column::ACTIVE_MS, DataType::Int64, false),
    ])
}

fn build_schema() -> Schema {
    use DataType::{Boolean, Int64, Utf8};
    let required = |name: &str, data_type: DataType| Field::new(name, data_type, false);
    let optional = |name: &str, data_type: DataType| Field::new(name, data_type, true);
    let name = dictionary_type;
    Schema::new(vec![
        required(column::EVENT_ID, Utf8),
        required(column::VERSION, Int64),
        required(column::KIND, name()),
        required(column::ORG, name()),
        required(column::REPO, name()),
        required(column::REPO_ID, Int64),
        required(column::MEMBER, name()),
        optional(column::MEMBER_ID, Int64),
        required(column::MEMBER_KIND, name()),
        required(column::OCCURRED_AT, timestamp_type()),
        required(column::COLLECTED_AT, timestamp_type()),
        required(column::RETRACTED, Boolean),
        optional(column::READING, Int64),
        required(column::AGENT, name()),
        required(column::SESSION, name()),
        optional(column::SUBAGENT, name()),
        optional(column::BRANCH, name()),
        optional(column::REPLAYED, Boolean),
        optional(column::MODEL, name()),
        optional(column::INPUT_TOKENS, Int64),
        optional(column::OUTPUT_TOKENS, Int64),
        optional(column::REASONING_TOKENS, Int64),
        optional(column::CACHE_READ_TOKENS, Int64),
        optional(column::CACHE_WRITE_5M_TOKENS, Int64),
        optional(column::CACHE_WRITE_1H_TOKENS, Int64),
        optional(column::WEB_SEARCHES, Int64),
        optional(column::SPEED, name()),
        optional(column::IS_FINAL, Boolean),
        optional(column::TOOL, name()),
        optional(column::OUTCOME, name()),
        optional(column::DURATION_MS, Int64),
        optional(column::ADDITIONS, Int64),
        optional(column::DELETIONS, Int64),
        optional(column::STARTED_AT, timestamp_type()),
        optional(column::PROMPTS, Int64),
        optional(column::TURNS, Int64),
        optional(column::ACTIVE, list_type(DataType::Struct(active_fields()))),
        optional(column::CLIENT_VERSION, name()),
        optional(column::ENTRYPOINT, name()),
        optional(column::FORKED_FROM, name()),
        optional(column::PR_REPO, name()),
        optional(column::NUMBER, Int64),
        optional(column::SHA, Utf8),
    ])
}

impl Table for Sessions {
    type Row = SessionEvent;

    const SNAPSHOTS: &'static str = "sessions";
    const INBOX: &'static str = "sessions-inbox";
    const REJECTED: &'static str = "sessions-rejected";
    const SCHEMA_VERSION: u32 = 1;
    const KEY: KeyColumns =
        KeyColumns { id: column::EVENT_ID, group: column::REPO, time: column::OCCURRED_AT };
    const STORAGE: &'static [(&'static str, ColumnStorage)] = &[
        (column::EVENT_ID, ColumnStorage::DistinctText),
        (column::OCCURRED_AT, ColumnStorage::Ascending),
        (column::VERSION, ColumnStorage::Plain),
    ];

    fn schema() -> SchemaRef {
        Arc::clone(&SCHEMA)
    }

    fn encode(rows: &[SessionEvent]) -> Result<RecordBatch> {
        encode::encode(rows)
    }

    fn decode(batch: &RecordBatch) -> Result<Vec<SessionEvent>> {
        decode::decode(batch)
    }

    fn org(row: &SessionEvent) -> &str {
        &row.org
    }

    fn winners(rows: Vec<SessionEvent>) -> Vec<SessionEvent> {
        combine_by_id(rows)
    }

    fn supersedes(row: &SessionEvent, stored: &SessionEvent) -> bool {
        Self::combine(row, stored).is_some()
    }

    fn combine(row: &SessionEvent, stored: &SessionEvent) -> Option<SessionEvent> {
        // A log that has grown is read again, so most rows are copies of stored ones.
        if row.has_same_content(stored) {
            return None;
        }
        let combined = stored.combine(row);
        (!combined.has_same_content(stored)).then_some(combined)
    }

    fn memory_bytes(row: &SessionEvent) -> usize {
        let facts = &row.facts;
        let optional = [
            &facts.subagent,
            &facts.branch,
            &facts.model,
            &facts.speed,
            &facts.tool,
            &facts.client_version,
            &facts.entrypoint,
            &facts.forked_from,
            &facts.pr_repo,
            &facts.sha,
        ];
        let texts = optional.into_iter().flatten().chain([&row.id, &row.session]);
        let quarters = facts.active.iter().flatten().count() * 24;
        size_of::<SessionEvent>()
            + row.org.len()
            + row.repo.len()
            + row.member.name.len()
            + texts.map(|text| text.as_str().len()).sum::<usize>()
            + quarters
    }
}

/// Writes events of one organization to the inbox of the table, and returns the path of the batch; `None` if there are
/// no events. The name of the batch follows from the events, so writing the same facts again writes nothing.
///
/// # Errors
/// If the store fails; [`Error::Unusable`] if an event belongs to another organization.
pub async fn put(
    objects: &dyn ObjectStore,
    org: &str,
    events: Vec<SessionEvent>,
) -> Result<Option<ObjectPath>> {
    let key = paths::org_component(org);
    if let Some(stray) = events.iter().find(|event| paths::org_component(&event.org) != key) {
        let what = format!("session event {} belongs to {}, not to {org}", stray.id, stray.org);
        return Err(Error::Unusable { what, source: None });
    }
    let events = combine_by_id(events);
    if events.is_empty() {
        return Ok(None);
    }
    inbox::put_rows::<Sessions>(objects, &key, &content_hash(&events), &events).await.map(Some)
}

/// Returns the rows of a month's snapshot with these ids, in no order; none if there is no snapshot.
///
/// # Errors
/// As [`crate::snapshot::fetch`].
pub async fn rows_by_id(
    objects: &dyn ObjectStore,
    org: &str,
    month: Month,
    ids: BTreeSet<String>,
) -> Result<Vec<SessionEvent>> {
    let Some(file) = snapshot::fetch::<Sessions>(objects, org, month).await? else { return Ok(Vec::new()) };
    spawn_blocking(move || {
        let mut found = Vec::new();
        for index in 0..file.rows.batch_count() {
            let keys = file.rows.batch(index, &[column::EVENT_ID])?;
            let has_one = keys
                .column_by_name(column::EVENT_ID)
                .is_some_and(|column| column.as_string::<i32>().iter().flatten().any(|id| ids.contains(id)));
            if has_one {
                let rows = Sessions::decode(&file.rows.complete_batch(index)?)?;
                found.extend(rows.into_iter().filter(|row| ids.contains(row.id.as_str())));
            }
        }
        Ok(found)
    })
    .await
}

/// Returns the SHA-256, in hex, of all that [`SessionEvent::has_same_content`] compares.
fn content_hash(events: &[SessionEvent]) -> String {
    let mut hasher = Sha256::new();
    for event in events {
        let content = (
            (&event.id, event.version, event.kind, &event.repo, event.repo_id, &event.member),
            (event.occurred_at, event.retracted, event.reading, event.agent, &event.session),
            &event.facts,
        );
        hasher.update(serde_json::to_vec(&content).expect("a session event always serializes to JSON"));
    }
    hex::encode(hasher.finalize())
}

#[cfg(test)]
mod tests;
