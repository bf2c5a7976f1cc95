//! Sessions of coding agents of the sample: some people ingest their logs, and some of their pull requests come from
//! sessions.

use chrono::{DateTime, TimeDelta, Utc};
use gam_model::session_event::ActiveQuarter;
use gam_model::{
    CodingAgent, Event, EventKind, FieldText, MemberKind, SessionEvent, SessionEventKind, SessionFacts,
    ToolOutcome,
};

use super::random::SampleRng;

/// The share of people who ingest their logs, and that of their pull requests with a session.
const INGESTING_SHARE: f64 = 0.5;
const SESSION_SHARE: f64 = 0.7;
/// The share of sessions that record the link to their pull request.
const LINK_SHARE: f64 = 0.3;
const QUARTER_SECONDS: i64 = 900;
/// Models with their share of the sessions, in percent. The last one has no price.
const MODELS: [(&str, CodingAgent, i64); 4] = [
    ("claude-opus-4-6", CodingAgent::Claude, 45),
    ("claude-sonnet-4-6", CodingAgent::Claude, 35),
    ("gpt-5.3-codex", CodingAgent::Codex, 17),
    ("house-model", CodingAgent::Codex, 3),
];
/// Tools with the chance that a call fails.
const TOOLS: [(&str, f64); 5] =
    [("Read", 0.01), ("Edit", 0.05), ("Bash", 0.14), ("Grep", 0.01), ("WebFetch", 0.22)];

/// Returns the branch of a pull request of the sample.
pub(super) fn branch(number: i64) -> String {
    format!("change-{number}")
}

/// Returns the session events of the sample, which follow from its merged pull requests.
pub(crate) fn session_events(seed: u64, events: &[Event]) -> Vec<SessionEvent> {
    let mut sessions = Vec::new();
    let merged = events.iter().filter(|event| event.kind == EventKind::PrMerged && !event.retracted);
    for event in merged.filter(|event| event.member.kind == MemberKind::User) {
        let (Some(number), Some(created_at)) = (event.facts.number, event.facts.created_at) else { continue };
        let login: Vec<u64> = event.member.name.bytes().map(u64::from).collect();
        let is_ingesting = SampleRng::from_key(&[&[seed], &login[..]].concat()).chance(INGESTING_SHARE);
        let mut rng = SampleRng::from_key(&[seed, event.repo_id as u64, number as u64]);
        if is_ingesting && rng.chance(SESSION_SHARE) {
            let start = created_at - TimeDelta::seconds(rng.between(1_800, 5 * 3_600));
            SampleSession::new(event, number, start, &mut rng).generate(&mut rng, &mut sessions);
        }
    }
    sessions
}

struct SampleSession<'a> {
    pull: &'a Event,
    number: i64,
    start: DateTime<Utc>,
    id: String,
    agent: CodingAgent,
    model: &'static str,
}

impl<'a> SampleSession<'a> {
    fn new(pull: &'a Event, number: i64, start: DateTime<Utc>, rng: &mut SampleRng) -> Self {
        let mut share = rng.between(0, 100);
        let mut chosen = MODELS[0];
        for model in MODELS {
            chosen = model;
            share -= model.2;
            if share < 0 {
                break;
            }
        }
        let id = format!("sample-{}-{number}", pull.repo_id);
        SampleSession { pull, number, start, id, agent: chosen.1, model: chosen.0 }
    }

    fn event(
        &self,
        kind: SessionEventKind,
        id: String,
        at: DateTime<Utc>,
        facts: SessionFacts,
    ) -> SessionEvent {
        SessionEvent {
            id: FieldText::new(&id),
            version: 1,
            kind,
            org: self.pull.org.clone(),
            repo: self.pull.repo.clone(),
            repo_id: self.pull.repo_id,
            member: self.pull.member.clone(),
            occurred_at: at,
            collected_at: self.pull.collected_at,
            retracted: false,
            reading: 1,
            agent: self.agent,
            session: FieldText::new(&self.id),
            facts: SessionFacts { branch: Some(FieldText::hashed(&branch(self.number))), ..facts },
        }
    }

    fn generate(&self, rng: &mut SampleRng, out: &mut Vec<SessionEvent>) {
        let prefix = format!("agent:{}", self.agent.as_str());
        let turns = rng.between(4, 16);
        let mut at = self.start;
        let mut context = rng.between(8_000, 20_000);
        for turn in 0..turns {
            at += TimeDelta::seconds(rng.between(15, 150));
            let written = rng.between(300, 4_000);
            let facts = SessionFacts {
                model: Some(FieldText::new(self.model)),
                input_tokens: Some(rng.between(3, 400)),
                output_tokens: Some(rng.between(100, 2_500)),
                cache_read_tokens: Some(context),
                cache_write_5m_tokens: Some(written),
                is_final: Some(true),
                ..SessionFacts::default()
            };
            context += written;
            let id = format!("{prefix}:response:{}-{turn}", self.id);
            out.push(self.event(SessionEventKind::AgentResponse, id, at, facts));
            let id = format!("{prefix}:tool:{}-{turn}", self.id);
            out.push(self.event(SessionEventKind::AgentToolCall, id, at, tool_call(rng)));
        }
        self.add_days(at, rng, out);
        if rng.chance(LINK_SHARE) {
            let repo = format!("{}/{}", self.pull.org, self.pull.repo);
            let facts = SessionFacts {
                pr_repo: Some(FieldText::new(&repo)),
                number: Some(self.number),
                ..SessionFacts::default()
            };
            let id = format!("{prefix}:pr:{}:{repo}:{}", self.id, self.number);
            out.push(self.event(SessionEventKind::AgentPrLink, id, at, facts));
        }
    }

    /// Adds the row of each UTC day of the session, which lasts until `end` without a pause.
    fn add_days(&self, end: DateTime<Utc>, rng: &mut SampleRng, out: &mut Vec<SessionEvent>) {
        let mut days: Vec<(DateTime<Utc>, Vec<ActiveQuarter>)> = Vec::new();
        let mut at = self.start;
        while at < end {
            let quarter =
                DateTime::from_timestamp(at.timestamp().div_euclid(QUARTER_SECONDS) * QUARTER_SECONDS, 0)
                    .expect("a time of the sample");
            let until = end.min(quarter + TimeDelta::seconds(QUARTER_SECONDS));
            let active = ActiveQuarter { at: quarter, active_ms: (until - at).num_milliseconds() };
            match days.last_mut() {
                Some((first, quarters)) if first.date_naive() == at.date_naive() => quarters.push(active),
                _ => days.push((at, vec![active])),
            }
            at = until;
        }
        for (first, active) in days {
            let facts = SessionFacts {
                started_at: Some(self.start),
                prompts: Some(rng.between(1, 6)),
                active: Some(active),
                ..SessionFacts::default()
            };
            let id = format!("agent:{}:session:{}:{}", self.agent.as_str(), self.id, first.date_naive());
            out.push(self.event(SessionEventKind::AgentSession, id, first, facts));
        }
    }
}

fn tool_call(rng: &mut SampleRng) -> SessionFacts {
    let (tool, failure) = *rng.pick(&TOOLS);
    let outcome = match rng.chance(failure) {
        true => ToolOutcome::Error,
        false if rng.chance(0.02) => ToolOutcome::Rejected,
        false => ToolOutcome::Ok,
    };
    let edits = tool == "Edit" && outcome == ToolOutcome::Ok;
    SessionFacts {
        tool: Some(FieldText::new(tool)),
        outcome: Some(outcome),
        duration_ms: Some(rng.between(20, 20_000)),
        additions: edits.then(|| rng.between(1, 60)),
        deletions: edits.then(|| rng.between(0, 25)),
        ..SessionFacts::default()
    }
}
