//! Events of coding-agent sessions: what an agent used and did, without a word of what was said.
//!
//! They have a table of their own in the lake. [`SessionFacts`] is the fixed list of fields that leave the
//! machine on which the agent ran. No field can hold a text with spaces: see [`FieldText`].
//!
//! One fact can be found in several files: forks and resumed sessions copy history. [`SessionEvent::combine`]
//! makes one row of two copies. It does not depend on the order in which copies arrive.

use std::cmp::Ordering;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

use crate::field_text::FieldText;
use crate::member::Member;
use crate::period::Month;

/// A program that writes code in sessions and logs them.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum CodingAgent {
    /// Claude Code.
    Claude,
    /// Codex CLI.
    Codex,
}

impl CodingAgent {
    /// All agents whose logs can be read.
    pub const ALL: [Self; Self::VARIANTS.len()] = *Self::VARIANTS.first_chunk().unwrap();

    /// Returns the stored name.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Returns the agent with this stored name; `None` if there is none.
    pub fn parse(name: &str) -> Option<Self> {
        name.parse().ok()
    }
}

/// What sort of fact a session event is.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum SessionEventKind {
    /// What happened in a session on one UTC day.
    AgentSession,
    /// A model answered one request.
    AgentResponse,
    /// A model called a tool.
    AgentToolCall,
    /// A session created or saw a pull request.
    AgentPrLink,
    /// A session made a commit.
    AgentCommit,
}

impl SessionEventKind {
    /// All kinds, in declaration order.
    pub const ALL: [Self; Self::VARIANTS.len()] = *Self::VARIANTS.first_chunk().unwrap();

    /// Returns the stored name.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Returns the kind with this stored name; `None` if there is none.
    pub fn parse(name: &str) -> Option<Self> {
        name.parse().ok()
    }
}

/// How a tool call ended.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum ToolOutcome {
    /// The log has no result of the call.
    Unknown,
    /// The tool did what it was called for.
    Ok,
    /// The tool failed.
    Error,
    /// A person refused the call. That is no error.
    Rejected,
    /// A person stopped the call.
    Interrupted,
}

impl ToolOutcome {
    /// All outcomes, in declaration order.
    pub const ALL: [Self; Self::VARIANTS.len()] = *Self::VARIANTS.first_chunk().unwrap();

    /// Returns the stored name.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Returns the outcome with this stored name; `None` if there is none.
    pub fn parse(name: &str) -> Option<Self> {
        name.parse().ok()
    }
}

/// How long a session was active in a quarter of an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActiveQuarter {
    /// When the quarter begins, UTC: a multiple of 15 minutes.
    pub at: DateTime<Utc>,
    /// Active milliseconds, from 1 to 900,000.
    pub active_ms: i64,
}

/// The fields of a session event that depend on its kind. `None` if the kind does not have the field or the log
/// does not have the value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SessionFacts {
    /// The subagent that did it; `None` for the session itself.
    pub subagent: Option<FieldText>,
    /// The git branch of the working directory, or its hash ([`FieldText::hashed`]).
    pub branch: Option<FieldText>,
    /// Whether the only copies that were found are in the copied history of a fork.
    pub replayed: Option<bool>,
    /// Responses: the model, as the log names it.
    pub model: Option<FieldText>,
    /// Responses: input tokens, without those that were read from or written to the cache.
    pub input_tokens: Option<i64>,
    /// Responses: output tokens, including reasoning.
    pub output_tokens: Option<i64>,
    /// Responses: the output tokens of reasoning, if the agent counts them.
    pub reasoning_tokens: Option<i64>,
    /// Responses: input tokens read from the cache.
    pub cache_read_tokens: Option<i64>,
    /// Responses: input tokens written to the cache for five minutes.
    pub cache_write_5m_tokens: Option<i64>,
    /// Responses: input tokens written to the cache for an hour.
    pub cache_write_1h_tokens: Option<i64>,
    /// Responses: web searches that the service made.
    pub web_searches: Option<i64>,
    /// Responses: the speed class that the service charges, such as `standard` or `fast`.
    pub speed: Option<FieldText>,
    /// Responses: whether the log has the end of the response. If not, the output is a lower bound.
    pub is_final: Option<bool>,
    /// Tool calls: the name of the tool.
    pub tool: Option<FieldText>,
    /// Tool calls: how the call ended.
    pub outcome: Option<ToolOutcome>,
    /// Tool calls: milliseconds from the call to its result.
    pub duration_ms: Option<i64>,
    /// Tool calls: lines added to files.
    pub additions: Option<i64>,
    /// Tool calls: lines deleted from files.
    pub deletions: Option<i64>,
    /// Sessions: the first own line of the session, on whichever day, UTC.
    pub started_at: Option<DateTime<Utc>>,
    /// Sessions: what people submitted on this day.
    pub prompts: Option<i64>,
    /// Sessions: turns that the agent finished on this day.
    pub turns: Option<i64>,
    /// Sessions: active time on this day. Time between two lines is active if it is at most five minutes.
    pub active: Option<Vec<ActiveQuarter>>,
    /// Sessions: the version of the agent.
    pub client_version: Option<FieldText>,
    /// Sessions: how the agent was started, such as `cli` or `vscode`.
    pub entrypoint: Option<FieldText>,
    /// Sessions: the session whose history this one continues.
    pub forked_from: Option<FieldText>,
    /// Links to pull requests: `owner/name` of the pull request's repository.
    pub pr_repo: Option<FieldText>,
    /// Links to pull requests: the number of the pull request.
    pub number: Option<i64>,
    /// Commits: the first digits of the commit's SHA.
    pub sha: Option<FieldText>,
}

/// Fields of [`SessionFacts`] that events of every kind can have.
const FIELDS_OF_ALL_KINDS: [&str; 3] = ["subagent", "branch", "replayed"];
/// The greatest number that a field can have. No sum of such numbers over a month overflows.
const MAX_FACT: i64 = 1_000_000_000_000;
/// Within this time of a month's edge, a copy of an event can be in the neighbouring month.
pub const MONTH_EDGE: TimeDelta = TimeDelta::hours(24);
const QUARTER_MS: i64 = 15 * 60 * 1_000;

impl SessionEventKind {
    /// Returns the fields of [`SessionFacts`] that events of this kind can have, in addition to those of all kinds.
    fn fields(self) -> &'static [&'static str] {
        match self {
            SessionEventKind::AgentSession => {
                &["started_at", "prompts", "turns", "active", "client_version", "entrypoint", "forked_from"]
            }
            SessionEventKind::AgentResponse => &[
                "model",
                "input_tokens",
                "output_tokens",
                "reasoning_tokens",
                "cache_read_tokens",
                "cache_write_5m_tokens",
                "cache_write_1h_tokens",
                "web_searches",
                "speed",
                "is_final",
            ],
            SessionEventKind::AgentToolCall => &["tool", "outcome", "duration_ms", "additions", "deletions"],
            SessionEventKind::AgentPrLink => &["pr_repo", "number"],
            SessionEventKind::AgentCommit => &["sha"],
        }
    }
}

impl SessionFacts {
    /// Checks the facts of somebody else's event, which happened at this time.
    ///
    /// # Errors
    /// If the kind does not have a field, or a value is impossible. The text names the field.
    pub fn check(&self, kind: SessionEventKind, occurred_at: DateTime<Utc>) -> Result<(), String> {
        let fields = serde_json::to_value(self).map_err(|error| error.to_string())?;
        let set = fields.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
        for (name, value) in set {
            if !kind.fields().contains(&name.as_str()) && !FIELDS_OF_ALL_KINDS.contains(&name.as_str()) {
                return Err(format!("`{name}` is no field of {}", kind.as_str()));
            }
            if value.is_number() && !value.as_i64().is_some_and(|number| (0..=MAX_FACT).contains(&number)) {
                return Err(format!("`{name}` is {value}: expected 0 to {MAX_FACT}"));
            }
        }
        let quarters = self.active.as_deref().unwrap_or_default();
        let is_possible = |quarter: &ActiveQuarter| {
            quarter.at.timestamp_millis().rem_euclid(QUARTER_MS) == 0
                && (1..=QUARTER_MS).contains(&quarter.active_ms)
                && quarter.at.date_naive() == occurred_at.date_naive()
        };
        // In order, so each at most once.
        if !quarters.iter().all(is_possible) || !quarters.is_sorted_by(|a, b| a.at < b.at) {
            return Err(format!(
                "`active` is invalid: expected quarters of an hour of the UTC day of `occurred_at`, in order, each with 1 \
                 to {QUARTER_MS} ms"
            ));
        }
        // Not after the time itself: a copy of the log that lacks the beginning takes its own first line for the start.
        if self.started_at.is_some_and(|started_at| started_at.date_naive() > occurred_at.date_naive()) {
            return Err("`started_at` is after the UTC day of `occurred_at`".to_owned());
        }
        Ok(())
    }
}

/// A fact about a coding-agent session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionEvent {
    /// The identity of the fact. The same fact has the same id in every file and on every machine.
    pub id: FieldText,
    /// Orders the versions of the fact: the greater one is newer. It follows from the log.
    pub version: i64,
    /// What sort of fact it is.
    pub kind: SessionEventKind,
    /// The organization's storage key, in any case.
    pub org: String,
    /// The name of the repository of the working directory.
    pub repo: String,
    /// GitHub's numeric repository id.
    pub repo_id: i64,
    /// The member whose session it was.
    pub member: Member,
    /// When it happened, UTC, by the clock of the machine on which the agent ran.
    pub occurred_at: DateTime<Utc>,
    /// When the log was read, UTC. No content.
    pub collected_at: DateTime<Utc>,
    /// Whether the row counts nowhere.
    pub retracted: bool,
    /// The version of the code that read the log. Of two rows that are equally new, the one that was read by
    /// newer code wins.
    pub reading: i64,
    /// The agent that wrote the log.
    pub agent: CodingAgent,
    /// The id of the session.
    pub session: FieldText,
    /// The fields that depend on the kind.
    pub facts: SessionFacts,
}

impl SessionEvent {
    /// Returns the UTC month in which it happened.
    pub fn month(&self) -> Month {
        Month::of(self.occurred_at.date_naive())
    }

    /// Returns one row of two copies of a fact.
    ///
    /// The earliest time holds. What was measured comes from the copy with the greater version; of equal
    /// versions from the retracted one, then from the one with the greater `reading`, then from the one whose
    /// text is greater. Who it belongs to (session, member, repository, branch) comes from a copy that is no
    /// replay, then from one that names its branch, then from the one whose text is smaller. So the result is
    /// the same whatever the order and the number of copies.
    #[must_use]
    pub fn combine(&self, other: &SessionEvent) -> SessionEvent {
        let measured = if self.measured_order(other).is_lt() { other } else { self };
        let owner = if self.owner_order(other).is_lt() { other } else { self };
        let mut combined = measured.clone();
        combined.occurred_at = self.occurred_at.min(other.occurred_at);
        combined.collected_at = self.collected_at.min(other.collected_at);
        combined.org.clone_from(&owner.org);
        combined.repo.clone_from(&owner.repo);
        combined.repo_id = owner.repo_id;
        combined.member.clone_from(&owner.member);
        combined.session.clone_from(&owner.session);
        combined.facts.subagent.clone_from(&owner.facts.subagent);
        combined.facts.branch.clone_from(&owner.facts.branch);
        combined.facts.replayed = owner.facts.replayed;
        combined
    }

    /// Returns whether all but the organization's name and the time of reading is equal.
    pub fn has_same_content(&self, other: &SessionEvent) -> bool {
        self.id == other.id
            && self.version == other.version
            && self.kind == other.kind
            && self.repo == other.repo
            && self.repo_id == other.repo_id
            && self.member == other.member
            && self.occurred_at == other.occurred_at
            && self.retracted == other.retracted
            && self.reading == other.reading
            && self.agent == other.agent
            && self.session == other.session
            && self.facts == other.facts
    }

    fn measured_order(&self, other: &SessionEvent) -> Ordering {
        let rank = |event: &SessionEvent| (event.version, event.retracted, event.reading);
        let text = |event: &SessionEvent| {
            let facts = SessionFacts { subagent: None, branch: None, replayed: None, ..event.facts.clone() };
            serde_json::to_string(&facts).expect("facts always serialize to JSON")
        };
        rank(self).cmp(&rank(other)).then_with(|| {
            if self.facts == other.facts { Ordering::Equal } else { text(self).cmp(&text(other)) }
        })
    }

    /// The owner of the combined row is the greater one.
    fn owner_order(&self, other: &SessionEvent) -> Ordering {
        let rank = |event: &SessionEvent| {
            let names_branch = event.facts.branch.as_ref().is_some_and(|branch| !branch.is_hashed());
            (event.facts.replayed != Some(true), names_branch)
        };
        fn owner(event: &SessionEvent) -> impl Ord {
            let SessionEvent { session, repo, repo_id, member, org, facts, .. } = event;
            (session, &facts.subagent, &facts.branch, repo_id, repo, member, org)
        }
        rank(self).cmp(&rank(other)).then_with(|| owner(other).cmp(&owner(self)))
    }
}

/// Returns the first and the last month, UTC, in which a copy of an event with this time can be. They can be the same.
pub fn months_of_copies(at: DateTime<Utc>) -> [Month; 2] {
    [at - MONTH_EDGE, at + MONTH_EDGE].map(|at| Month::of(at.date_naive()))
}

/// Returns one row for each id, sorted by id: the combination of all rows with that id.
pub fn combine_by_id(mut events: Vec<SessionEvent>) -> Vec<SessionEvent> {
    events.sort_by(|a, b| a.id.cmp(&b.id));
    let mut combined: Vec<SessionEvent> = Vec::with_capacity(events.len());
    for event in events {
        match combined.last_mut() {
            Some(last) if last.id == event.id => *last = last.combine(&event),
            _ => combined.push(event),
        }
    }
    combined
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn copy(session: &str, branch: &str, replayed: bool, output: i64, second: i64) -> SessionEvent {
        SessionEvent {
            id: FieldText::new("agent:claude:response:msg_1"),
            version: output,
            kind: SessionEventKind::AgentResponse,
            org: "acme".into(),
            repo: "site".into(),
            repo_id: 7,
            member: Member::account("ann", Some(1), false),
            occurred_at: DateTime::from_timestamp(1_800_000_000 + second, 0).unwrap(),
            collected_at: DateTime::from_timestamp(1_900_000_000, 0).unwrap(),
            retracted: false,
            reading: 1,
            agent: CodingAgent::Claude,
            session: FieldText::new(session),
            facts: SessionFacts {
                branch: Some(FieldText::new(branch)),
                replayed: replayed.then_some(true),
                output_tokens: Some(output),
                ..SessionFacts::default()
            },
        }
    }

    #[test]
    fn stored_names_do_not_change() {
        assert_eq!(
            SessionEventKind::ALL.map(SessionEventKind::as_str),
            ["agent_session", "agent_response", "agent_tool_call", "agent_pr_link", "agent_commit"]
        );
        assert_eq!(CodingAgent::ALL.map(CodingAgent::as_str), ["claude", "codex"]);
        assert_eq!(
            ToolOutcome::ALL.map(ToolOutcome::as_str),
            ["unknown", "ok", "error", "rejected", "interrupted"]
        );
    }

    #[test]
    fn facts_of_others_are_checked() {
        use SessionEventKind::{AgentCommit, AgentResponse, AgentSession};
        let parse =
            |text: &str| serde_json::from_str::<SessionFacts>(text).map_err(|error| error.to_string());
        let occurred_at: DateTime<Utc> = "2026-03-01T10:20:00Z".parse().unwrap();
        let check = |text: &str, kind| parse(text).and_then(|facts| facts.check(kind, occurred_at));
        assert_eq!(check(r#"{"model":"m","output_tokens":5,"branch":"main"}"#, AgentResponse), Ok(()));
        assert_eq!(check("{}", AgentCommit), Ok(()));
        let refused = |text: &str, kind, why: &str| {
            let error = check(text, kind).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        };
        refused(r#"{"output_tokens":-1}"#, AgentResponse, "`output_tokens` is -1");
        refused(r#"{"output_tokens":2000000000000}"#, AgentResponse, "expected 0 to");
        refused(r#"{"output_tokens":1}"#, AgentCommit, "no field of agent_commit");
        refused(r#"{"prompt":"hunter2"}"#, AgentSession, "unknown field");
        refused(r#"{"model":"two words"}"#, AgentResponse, "no id or name");
        refused(r#"{"branch":"/home/ann"}"#, AgentResponse, "no id or name");
        let quarter = |at: &str, ms: i64| format!(r#"{{"active":[{{"at":"{at}","active_ms":{ms}}}]}}"#);
        assert_eq!(check(&quarter("2026-03-01T10:15:00Z", 900_000), AgentSession), Ok(()));
        refused(&quarter("2026-03-01T10:16:00Z", 1), AgentSession, "`active`");
        refused(&quarter("2026-03-01T10:15:00Z", 900_001), AgentSession, "`active`");
        refused(&quarter("2026-03-02T00:00:00Z", 1), AgentSession, "UTC day of `occurred_at`");
        refused(&quarter("2026-02-28T23:45:00Z", 1), AgentSession, "UTC day of `occurred_at`");
        let one = r#"{"at":"2026-03-01T10:15:00Z","active_ms":900000}"#;
        refused(&format!(r#"{{"active":[{one},{one}]}}"#), AgentSession, "in order");
        assert_eq!(check(r#"{"started_at":"2026-03-01T11:00:00Z"}"#, AgentSession), Ok(()));
        refused(r#"{"started_at":"2026-03-02T00:00:00Z"}"#, AgentSession, "`started_at` is after");
    }

    #[test]
    fn most_output_earliest_time_and_original_session_are_combined() {
        let original = copy("s1", "main", false, 5, 10);
        let fork = copy("s0", "main", true, 9, 4);
        let combined = original.combine(&fork);
        assert_eq!(combined.facts.output_tokens, Some(9));
        assert_eq!(combined.session.as_str(), "s1");
        assert_eq!(combined.occurred_at, fork.occurred_at);
    }

    fn any_copy() -> impl Strategy<Value = SessionEvent> {
        ("s[0-2]", "b[0-1]", any::<bool>(), 0i64..3, 0i64..3, any::<bool>(), 0i64..2).prop_map(
            |(session, branch, replayed, output, second, hashed, input)| {
                let mut event = copy(&session, &branch, replayed, output, second);
                event.facts.input_tokens = Some(input);
                if hashed {
                    event.facts.branch = Some(FieldText::hashed(&branch));
                }
                event
            },
        )
    }

    proptest! {
        #[test]
        fn order_and_repetition_of_copies_do_not_matter(copies in prop::collection::vec(any_copy(), 1..5), seed in any::<u64>()) {
            let expected = combine_by_id(copies.clone());
            let mut shuffled = copies.clone();
            shuffled.rotate_left((seed % copies.len() as u64) as usize);
            shuffled.extend(copies.clone());
            prop_assert_eq!(combine_by_id(shuffled), expected.clone());
            let mut reversed = copies.clone();
            reversed.reverse();
            prop_assert_eq!(combine_by_id(reversed), expected.clone());
            let half = copies.len() / 2;
            let mut halves = combine_by_id(copies[..half].to_vec());
            halves.extend(combine_by_id(copies[half..].to_vec()));
            prop_assert_eq!(combine_by_id(halves), expected);
        }
    }
}
