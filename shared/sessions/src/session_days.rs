//! The days of the sessions of one file.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use gam_model::{CodingAgent, FieldText, SessionEventKind, SessionFacts};
use rustc_hash::FxHashMap;

use crate::activity::Activity;
use crate::facts::LogFact;

/// How many bits of a version hold the number of lines. The rest holds the time of the last line.
const LINE_BITS: u32 = 20;

/// What is known about a session when one of its own lines is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OwnLine<'a> {
    pub(crate) at: DateTime<Utc>,
    pub(crate) workplace: usize,
    pub(crate) client_version: Option<&'a str>,
    pub(crate) entrypoint: Option<&'a str>,
}

#[derive(Debug)]
struct SessionDay {
    first: DateTime<Utc>,
    last: DateTime<Utc>,
    lines: i64,
    workplace: usize,
    client_version: Option<FieldText>,
    prompts: i64,
    turns: i64,
}

#[derive(Debug, Default)]
struct Session {
    days: BTreeMap<NaiveDate, SessionDay>,
    activity: Activity,
    entrypoint: Option<FieldText>,
    forked_from: Option<FieldText>,
}

/// The sessions of a file. A session exists once a line of its own was read.
#[derive(Debug, Default)]
pub(crate) struct SessionDays {
    sessions: FxHashMap<String, Session>,
}

impl SessionDays {
    /// Adds a line that the session wrote itself.
    pub(crate) fn add_own_line(&mut self, session: &str, line: OwnLine<'_>) {
        if !self.sessions.contains_key(session) {
            self.sessions.insert(session.to_owned(), Session::default());
        }
        let Some(session) = self.sessions.get_mut(session) else { return };
        session.activity.add(line.at);
        if session.entrypoint.is_none() {
            session.entrypoint = line.entrypoint.map(FieldText::new);
        }
        let day = session.days.entry(line.at.date_naive()).or_insert_with(|| SessionDay {
            first: line.at,
            last: line.at,
            lines: 0,
            workplace: line.workplace,
            client_version: None,
            prompts: 0,
            turns: 0,
        });
        day.first = day.first.min(line.at);
        day.last = day.last.max(line.at);
        day.lines += 1;
        if let Some(version) = line.client_version
            && day.client_version.as_ref().is_none_or(|known| known.as_str() != version)
        {
            day.client_version = Some(FieldText::new(version));
        }
    }

    /// Adds a line of a subagent, which shows that the session was active.
    pub(crate) fn add_subagent_line(&mut self, session: &str, at: DateTime<Utc>) {
        if let Some(session) = self.sessions.get_mut(session) {
            session.activity.add(at);
        }
    }

    /// Adds something that a person submitted. The line was added before.
    pub(crate) fn add_prompt(&mut self, session: &str, at: DateTime<Utc>) {
        if let Some(day) = self.day(session, at) {
            day.prompts += 1;
        }
    }

    /// Adds a turn that the agent finished. The line was added before.
    pub(crate) fn add_turn(&mut self, session: &str, at: DateTime<Utc>) {
        if let Some(day) = self.day(session, at) {
            day.turns += 1;
        }
    }

    /// Records whose history the session continues.
    pub(crate) fn set_forked_from(&mut self, session: &str, parent: &str) {
        let session = self.sessions.entry(session.to_owned()).or_default();
        session.forked_from.get_or_insert_with(|| FieldText::new(parent));
    }

    fn day(&mut self, session: &str, at: DateTime<Utc>) -> Option<&mut SessionDay> {
        self.sessions.get_mut(session)?.days.get_mut(&at.date_naive())
    }

    /// Returns a fact for each day of each session. The version grows with the time of the last line, and then
    /// with the number of lines, so the most complete copy of a file wins.
    pub(crate) fn into_facts(self, agent: CodingAgent) -> Vec<LogFact> {
        let mut facts = Vec::new();
        for (session_id, session) in self.sessions {
            let started_at = session.days.values().map(|day| day.first).min();
            for (date, day) in &session.days {
                let lines = day.lines.min((1 << LINE_BITS) - 1);
                facts.push(LogFact {
                    workplace: day.workplace,
                    id: FieldText::new(&format!("agent:{}:session:{session_id}:{date}", agent.as_str())),
                    version: (day.last.timestamp_millis().clamp(0, 1 << 42) << LINE_BITS) | lines,
                    kind: SessionEventKind::AgentSession,
                    occurred_at: day.first,
                    session: FieldText::new(&session_id),
                    facts: SessionFacts {
                        started_at,
                        prompts: Some(day.prompts),
                        turns: Some(day.turns),
                        active: Some(session.activity.of_day(*date)),
                        client_version: day.client_version.clone(),
                        entrypoint: session.entrypoint.clone(),
                        forked_from: session.forked_from.clone(),
                        ..SessionFacts::default()
                    },
                });
            }
        }
        facts
    }
}
