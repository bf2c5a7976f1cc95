//! What `ingest sessions` prints.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use gam_aggregate::SessionsReport;
use gam_model::{CodingAgent, FieldText, Month, SessionEvent, SessionEventKind};
use gam_sessions::ReadCounts;
use serde_json::{Map, Value, json};

use super::SessionsArgs;
use super::push::{self, Refusal};
use crate::exit::Exit;
use crate::format::{bytes, count, duration};
use crate::ingest::owners::LeftOut;
use crate::session::CliSession;

/// How many different values of a field a dry run shows.
const EXAMPLE_VALUES: usize = 5;
/// How many unknown types of records are named.
const MAX_UNKNOWN: usize = 5;

/// What was read and written.
#[derive(Debug, Default)]
pub(super) struct IngestOutcome {
    /// Number of log files.
    pub(super) files: usize,
    /// Number of files that were read, because they changed.
    pub(super) read_files: usize,
    /// Bytes of these files.
    pub(super) read_bytes: u64,
    /// How much of them was understood.
    pub(super) counts: ReadCounts,
    /// The files that cannot be read, and why.
    pub(super) failed: Vec<(String, String)>,
    /// The files with lines that were too long.
    pub(super) files_with_oversized_lines: Vec<String>,
    /// Number of events, each id once.
    pub(super) counts_of_events: EventCounts,
    /// The events, one for each id. Only a dry run keeps them.
    pub(super) events: Vec<SessionEvent>,
    /// How many sessions were left out, by reason.
    pub(super) left_out: Vec<(LeftOut, usize)>,
    /// Number of events that a server refused, by reason.
    pub(super) refused: BTreeMap<Refusal, usize>,
    /// Whether the events are in the inbox of the lake, and a later run merges them.
    pub(super) is_merge_due: bool,
    /// What became of the events in the lake.
    pub(super) merged: SessionsReport,
    /// How long reading took.
    pub(super) took: Duration,
}

impl IngestOutcome {
    /// Returns the exit status.
    pub(super) fn exit(&self) -> Exit {
        if self.problems().is_empty() { Exit::Success } else { Exit::Partial }
    }

    /// Returns what failed.
    pub(super) fn problems(&self) -> Vec<String> {
        let failed = self.failed.iter().map(|(path, why)| format!("cannot read {path}: {why}"));
        let rejected =
            self.merged.rejected.iter().map(|(path, why)| format!("moved a damaged batch to {path} ({why})"));
        let deferred = (self.merged.deferred > 0).then(|| {
            let batches = count(self.merged.deferred, "batch", "batches");
            format!(
                "{batches} not processed: a newer github-metrics has written this data; upgrade this program"
            )
        });
        failed.chain(rejected).chain(deferred).collect()
    }

    /// Returns whether there was nothing to read and nothing to merge.
    pub(super) fn is_empty(&self) -> bool {
        self.read_files == 0 && self.merged.batches == 0
    }
}

/// Numbers of session events.
#[derive(Debug, Default)]
pub(super) struct EventCounts {
    sessions: BTreeSet<(CodingAgent, FieldText)>,
    kinds: BTreeMap<SessionEventKind, usize>,
}

impl EventCounts {
    /// Adds an event.
    pub(super) fn add(&mut self, event: &SessionEvent) {
        self.sessions.insert((event.agent, event.session.clone()));
        *self.kinds.entry(event.kind).or_default() += 1;
    }

    /// Returns the number of events.
    pub(super) fn all(&self) -> usize {
        self.kinds.values().sum()
    }

    fn kind(&self, kind: SessionEventKind) -> usize {
        self.kinds.get(&kind).copied().unwrap_or(0)
    }
}

/// Prints the outcome.
///
/// # Errors
/// If stdout cannot be written.
pub(super) fn print(
    session: &CliSession,
    args: &SessionsArgs,
    outcome: &IngestOutcome,
) -> anyhow::Result<()> {
    for notice in notices(outcome) {
        notice.print(session);
    }
    print_result(session, args, outcome)
}

/// Prints the numbers, or the fields that a dry run would write.
///
/// # Errors
/// If stdout cannot be written.
pub(super) fn print_result(
    session: &CliSession,
    args: &SessionsArgs,
    outcome: &IngestOutcome,
) -> anyhow::Result<()> {
    let console = &session.console;
    match (args.dry_run, session.wants_json()) {
        (true, true) => {
            for event in &outcome.events {
                console.write_line(Value::Object(fields_to_leave(args, event)).to_string())?;
            }
            Ok(())
        }
        (true, false) => {
            for line in field_lines(args, &outcome.events) {
                console.write_line(line)?;
            }
            console.write_summary(format!("would write {}; nothing was written", found(outcome)))
        }
        (false, true) => console.write_result(as_json(args, outcome).to_string()),
        (false, false) => console.write_summary(format!("{}: {}", args.org, summary(args, outcome))),
    }
}

/// Returns the number of events, sessions and so on.
fn found(outcome: &IngestOutcome) -> String {
    use SessionEventKind::{AgentCommit, AgentPrLink, AgentResponse, AgentToolCall};
    let counts = &outcome.counts_of_events;
    format!(
        "{}: {} with {}, {}, {} and {}",
        count(counts.all(), "event", "events"),
        count(counts.sessions.len(), "session", "sessions"),
        count(counts.kind(AgentResponse), "response", "responses"),
        count(counts.kind(AgentToolCall), "tool call", "tool calls"),
        count(counts.kind(AgentCommit), "commit", "commits"),
        count(counts.kind(AgentPrLink), "link to a pull request", "links to pull requests"),
    )
}

fn summary(args: &SessionsArgs, outcome: &IngestOutcome) -> String {
    if outcome.is_empty() {
        return format!("nothing new in {}", count(outcome.files, "log file", "log files"));
    }
    let counts = &outcome.counts_of_events;
    let rows = count(outcome.merged.changed_rows, "row", "rows");
    let months = count(outcome.merged.months.len(), "month", "months");
    let written = match &args.push {
        Some(_) => {
            let refused: usize = outcome.refused.values().sum();
            match refused {
                0 => "the server has all of them".to_owned(),
                _ => format!("the server has {} and refused {refused}", counts.all().saturating_sub(refused)),
            }
        }
        None if outcome.is_merge_due => "they count within a minute".to_owned(),
        None => format!("{rows} changed in {months}"),
    };
    format!(
        "read {} of {} ({}) in {}; {}; {written}",
        outcome.read_files,
        count(outcome.files, "log file", "log files"),
        bytes(outcome.read_bytes),
        duration(outcome.took),
        found(outcome),
    )
}

/// Something that a user should know of a run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Notice {
    /// Something failed.
    Problem(String),
    /// Something is missing, and that may be right.
    Info(String),
}

impl Notice {
    /// Prints it to stderr.
    pub(super) fn print(&self, session: &CliSession) {
        match self {
            Notice::Problem(text) => session.console.print_error(text),
            Notice::Info(text) => session.console.print_info(text),
        }
    }
}

/// Returns what a user should know in addition to the numbers.
pub(super) fn notices(outcome: &IngestOutcome) -> Vec<Notice> {
    let mut notices: Vec<Notice> = outcome.problems().into_iter().map(Notice::Problem).collect();
    let left_out = outcome.left_out.iter();
    notices.extend(left_out.map(|(why, sessions)| {
        Notice::Info(format!("left out {}: {}", count(*sessions, "session", "sessions"), reason(why)))
    }));
    notices.extend(outcome.refused.iter().map(|(why, events)| {
        let events = count(*events, "event", "events");
        Notice::Info(format!("the server refused {events}: {}", refusal(*why)))
    }));
    if outcome.counts.torn_lines > 0 {
        let lines = count(outcome.counts.torn_lines as usize, "line", "lines");
        notices.push(Notice::Info(format!("{lines} could not be read completely")));
    }
    if outcome.counts.dropped_records > 0 {
        let records = count(outcome.counts.dropped_records as usize, "record", "records");
        notices.push(Notice::Info(format!(
            "skipped {records} without a session, a time or another needed field"
        )));
    }
    let max = bytes(gam_sessions::MAX_LINE_BYTES as u64);
    let oversized = outcome.files_with_oversized_lines.iter();
    notices
        .extend(oversized.map(|path| Notice::Info(format!("skipped a line of more than {max} in {path}"))));
    let unknown = &outcome.counts.unknown_records;
    if !unknown.is_empty() {
        let records: u64 = unknown.values().sum();
        let named: Vec<String> = unknown
            .keys()
            .take(MAX_UNKNOWN)
            .map(|record| format!("{} of version {}", record.record_type, record.client_version))
            .collect();
        notices.push(Notice::Info(format!(
            "skipped {} of {} that this program does not know: {}",
            count(records as usize, "record", "records"),
            count(unknown.len(), "type", "types"),
            named.join(", ")
        )));
    }
    notices
}

/// Returns why sessions were left out, and what to do about it.
fn reason(why: &LeftOut) -> String {
    match why {
        LeftOut::NoRepository => {
            "their directories have no remote on GitHub; name the repository with --repo".to_owned()
        }
        LeftOut::OtherOwner => "their repositories belong to others".to_owned(),
        LeftOut::NotCollected(repo) => {
            format!("the repository {repo} was not collected yet; collect and aggregate it first")
        }
        LeftOut::NoMember => "git has no user.email; name the member with --member".to_owned(),
    }
}

/// Returns why a server refused events, and what to do about it.
fn refusal(why: Refusal) -> &'static str {
    match why {
        Refusal::NotCollected => {
            "nothing of their repositories was collected there, or the token does not include them; they are sent again in \
             a day"
        }
        Refusal::OtherMember => "somebody else has pushed them before",
        Refusal::Invalid => {
            "a value is impossible, such as a time in the future: check the clock of this machine; they are sent again in \
             a day"
        }
        Refusal::Other => "upgrade this program to learn why; they are sent again in a day",
    }
}

fn as_json(args: &SessionsArgs, outcome: &IngestOutcome) -> Value {
    let kinds: Map<String, Value> = SessionEventKind::ALL
        .into_iter()
        .map(|kind| (kind.as_str().to_owned(), outcome.counts_of_events.kind(kind).into()))
        .collect();
    let left_out: Vec<Value> = outcome
        .left_out
        .iter()
        .map(|(why, sessions)| json!({ "sessions": sessions, "why": reason(why) }))
        .collect();
    let failed: Vec<Value> =
        outcome.failed.iter().map(|(path, why)| json!({ "path": path, "why": why })).collect();
    let unknown: Vec<Value> = outcome
        .counts
        .unknown_records
        .iter()
        .map(|(record, records)| {
            let (record_type, version) = (record.record_type.as_str(), record.client_version.as_str());
            json!({ "type": record_type, "version": version, "records": records })
        })
        .collect();
    json!({
        "org": args.org,
        "files": outcome.files,
        "read_files": outcome.read_files,
        "read_bytes": outcome.read_bytes,
        "lines": outcome.counts.lines,
        "torn_lines": outcome.counts.torn_lines,
        "oversized_lines": outcome.counts.oversized_lines,
        "dropped_records": outcome.counts.dropped_records,
        "unknown_records": unknown,
        "sessions": outcome.counts_of_events.sessions.len(),
        "events": kinds,
        "changed_rows": outcome.merged.changed_rows,
        "months": outcome.merged.months.iter().map(Month::to_string).collect::<Vec<_>>(),
        "left_out": left_out,
        "refused": outcome.refused.values().sum::<usize>(),
        "failed": failed,
        "seconds": outcome.took.as_secs_f64(),
    })
}

/// Returns all fields of an event that would leave this machine.
fn fields_to_leave(args: &SessionsArgs, event: &SessionEvent) -> Map<String, Value> {
    if args.push.is_some() { push::event_fields(event) } else { event_fields(event) }
}

/// Returns the fields with those of an object in place of the object.
fn flat_fields(fields: Map<String, Value>) -> impl Iterator<Item = (String, Value)> {
    fields.into_iter().flat_map(|(name, value)| match value {
        Value::Object(inner) => inner.into_iter().collect::<Vec<_>>(),
        value => vec![(name, value)],
    })
}

/// Returns all fields of an event that have a value.
fn event_fields(event: &SessionEvent) -> Map<String, Value> {
    let mut fields = Map::new();
    let mut set = |name: &str, value: Value| {
        if !value.is_null() {
            fields.insert(name.to_owned(), value);
        }
    };
    set("event_id", event.id.as_str().into());
    set("version", event.version.into());
    set("kind", event.kind.as_str().into());
    set("org", event.org.as_str().into());
    set("repo", event.repo.as_str().into());
    set("repo_id", event.repo_id.into());
    set("member", event.member.name.as_str().into());
    set("member_id", event.member.id.into());
    set("member_kind", event.member.kind.as_str().into());
    set("occurred_at", json!(event.occurred_at));
    set("collected_at", json!(event.collected_at));
    set("reading", event.reading.into());
    set("agent", event.agent.as_str().into());
    set("session", event.session.as_str().into());
    if let Ok(Value::Object(facts)) = serde_json::to_value(&event.facts) {
        for (name, value) in facts {
            set(&name, value);
        }
    }
    fields
}

/// Returns a line for each field of each kind: how many events have it, and examples of its values.
fn field_lines(args: &SessionsArgs, events: &[SessionEvent]) -> Vec<String> {
    let mut fields: BTreeMap<(SessionEventKind, String), (usize, BTreeSet<String>)> = BTreeMap::new();
    for event in events {
        for (name, value) in flat_fields(fields_to_leave(args, event)) {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let (rows, values) = fields.entry((event.kind, name)).or_default();
            *rows += 1;
            values.insert(text);
        }
    }
    fields
        .into_iter()
        .map(|((kind, name), (rows, values))| {
            let examples: Vec<&str> = values.iter().take(EXAMPLE_VALUES).map(String::as_str).collect();
            let more = if values.len() > EXAMPLE_VALUES { ", ..." } else { "" };
            format!(
                "{:<16} {name:<22} {}, {}: {}{more}",
                kind.as_str(),
                count(rows, "event", "events"),
                count(values.len(), "value", "values"),
                examples.join(", "),
            )
        })
        .collect()
}
