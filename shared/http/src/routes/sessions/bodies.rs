//! The JSON of the route that takes session events.

use chrono::{DateTime, TimeDelta, Utc};
use gam_model::{CodingAgent, FieldText, Member, SessionEvent, SessionEventKind, SessionFacts};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::{Ref, RefOr, Schema};

use crate::openapi::schema_name;

/// No coding agent wrote logs before this day.
const FIRST_TIME: &str = "2023-01-01T00:00:00Z";
/// How far the clock of another machine may be ahead.
const MAX_AHEAD: TimeDelta = TimeDelta::days(1);
/// The greatest version of the code that read an event.
const MAX_READING: i64 = 1_000_000;

/// Events of sessions on another machine.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SessionPush {
    /// The organization, in any case.
    #[schema(min_length = 1, example = "acme")]
    pub(super) org: String,
    /// The login of the member whose sessions they are. Only an administrator may name another than the token's own.
    #[schema(max_length = 100, example = "ann")]
    pub(super) member: Option<String>,
    /// The events.
    #[schema(max_items = 1000)]
    pub(super) events: Vec<PushedSessionEvent>,
}

/// A fact about a session, as `ingest sessions --push URL --dry-run --format json` shows it. It has no other fields.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PushedSessionEvent {
    /// The identity of the fact.
    #[schema(value_type = String, min_length = 1, max_length = 200, example = "agent:claude:response:msg_01Ab")]
    event_id: FieldText,
    /// Orders the versions of the fact: the greater one is newer.
    #[schema(minimum = 0)]
    version: i64,
    /// What sort of fact it is: `agent_session`, `agent_response`, `agent_tool_call`, `agent_pr_link` or `agent_commit`.
    #[schema(value_type = String, example = "agent_response")]
    kind: SessionEventKind,
    /// The name of the repository, in any case.
    #[schema(min_length = 1, example = "site")]
    pub(super) repo: String,
    /// When it happened, UTC.
    occurred_at: DateTime<Utc>,
    /// The version of the code that read the log.
    #[schema(minimum = 0)]
    reading: i64,
    /// The agent that wrote the log: `claude` or `codex`.
    #[schema(value_type = String, example = "claude")]
    agent: CodingAgent,
    /// The id of the session.
    #[schema(value_type = String, min_length = 1, max_length = 200)]
    session: FieldText,
    /// The fields that depend on the kind.
    #[schema(schema_with = facts_schema)]
    facts: SessionFacts,
}

fn facts_schema() -> RefOr<Schema> {
    Ref::from_schema_name(schema_name::SESSION_FACTS).into()
}

/// To whom an event belongs.
pub(super) struct EventOwner<'a> {
    /// The storage key of the organization.
    pub(super) org: &'a str,
    /// The member whose sessions are pushed.
    pub(super) member: &'a Member,
    /// The id and the name of the repository.
    pub(super) repo: (i64, &'a str),
}

impl PushedSessionEvent {
    /// Returns the id.
    pub(super) fn id(&self) -> &FieldText {
        &self.event_id
    }

    /// Checks all that no event can be, whoever it belongs to.
    ///
    /// # Errors
    /// If a value is impossible. The text names the field.
    pub(super) fn check(&self, now: DateTime<Utc>) -> Result<(), String> {
        let first: DateTime<Utc> = FIRST_TIME.parse().map_err(|error| format!("{FIRST_TIME}: {error}"))?;
        let is_possible = |at: DateTime<Utc>| (first..=now + MAX_AHEAD).contains(&at);
        self.check_id()?;
        // Versions of some kinds use all 63 bits.
        let numbers = [("version", self.version, i64::MAX), ("reading", self.reading, MAX_READING)];
        for (name, number, max) in numbers {
            if !(0..=max).contains(&number) {
                return Err(format!("`{name}` is {number}: expected 0 to {max}"));
            }
        }
        let times = [("occurred_at", Some(self.occurred_at)), ("started_at", self.facts.started_at)];
        for (name, at) in times {
            if at.is_some_and(|at| !is_possible(at)) {
                return Err(format!("`{name}` is before {FIRST_TIME} or in the future: check the clock"));
            }
        }
        self.facts.check(self.kind, self.occurred_at)
    }

    /// Checks that the id is one of this kind. The id of a fact that credits a session contains the session: so nobody
    /// adds such a fact to the session of somebody else without owning its id.
    fn check_id(&self) -> Result<(), String> {
        let (id, session, facts) = (&self.event_id, &self.session, &self.facts);
        let mut start = self.id_prefix();
        let whole = match self.kind {
            SessionEventKind::AgentResponse | SessionEventKind::AgentToolCall => {
                let is_own = id.is_hashed() || id.as_str().starts_with(&start);
                return if is_own { Ok(()) } else { Err(format!("its `event_id` must begin with {start}")) };
            }
            SessionEventKind::AgentSession => Some(self.occurred_at.date_naive().to_string()),
            SessionEventKind::AgentCommit => facts.sha.as_ref().map(FieldText::to_string),
            SessionEventKind::AgentPrLink => match (&facts.pr_repo, facts.number) {
                (Some(repo), Some(number)) => Some(format!("{repo}:{number}")),
                _ => None,
            },
        };
        start.push_str(&format!("{session}:"));
        let whole = whole.map(|rest| FieldText::new(&format!("{start}{rest}")));
        // What is hashed itself is not known, so neither is the id that contains it.
        let has_hash = session.is_hashed() || facts.pr_repo.as_ref().is_some_and(FieldText::is_hashed);
        let is_own = match id.is_hashed() {
            true => has_hash || whole.as_ref() == Some(id),
            false if self.kind == SessionEventKind::AgentSession => whole.as_ref() == Some(id),
            false => id.as_str().starts_with(&start),
        };
        if is_own {
            return Ok(());
        }
        Err(match self.kind {
            SessionEventKind::AgentSession => {
                format!("its `event_id` must be {start} and the UTC day of `occurred_at`")
            }
            _ => format!("its `event_id` must begin with {start}"),
        })
    }

    fn id_prefix(&self) -> String {
        let word = match self.kind {
            SessionEventKind::AgentSession => "session",
            SessionEventKind::AgentResponse => "response",
            SessionEventKind::AgentToolCall => "tool",
            SessionEventKind::AgentPrLink => "pr",
            SessionEventKind::AgentCommit => "commit",
        };
        format!("agent:{}:{word}:", self.agent.as_str())
    }

    /// Adds the owner.
    pub(super) fn into_event(self, owner: &EventOwner<'_>, collected_at: DateTime<Utc>) -> SessionEvent {
        SessionEvent {
            id: self.event_id,
            version: self.version,
            kind: self.kind,
            org: owner.org.to_owned(),
            repo: owner.repo.1.to_owned(),
            repo_id: owner.repo.0,
            member: owner.member.clone(),
            occurred_at: self.occurred_at,
            collected_at,
            retracted: false,
            reading: self.reading,
            agent: self.agent,
            session: self.session,
            facts: self.facts,
        }
    }
}

/// What became of the events.
#[derive(Serialize, ToSchema)]
pub(super) struct SessionsPushed {
    /// Number of events that are stored, now or before. They count after the next aggregation.
    pub(super) accepted: usize,
    /// The events that are not stored.
    pub(super) refused: Vec<RefusedSessionEvent>,
}

impl RefusedSessionEvent {
    /// Creates a refusal that needs no detail.
    pub(super) fn new(event_id: FieldText, reason: &'static str) -> Self {
        RefusedSessionEvent { event_id, reason, detail: None }
    }
}

/// An event that is not stored.
#[derive(Serialize, ToSchema)]
pub(super) struct RefusedSessionEvent {
    /// The identity of the fact.
    #[schema(value_type = String)]
    pub(super) event_id: FieldText,
    /// Why: `not_collected` if nothing of the repository was collected, or the token's scope does not include it;
    /// `other_member` if somebody else pushed the event first; `invalid` if a value is impossible, such as a time in the
    /// future.
    pub(super) reason: &'static str,
    /// What is impossible, if the reason is `invalid`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) detail: Option<String>,
}
