//! Issues of the sample.

use chrono::{DateTime, NaiveDate, Utc};
use gam_model::{Event, EventId, EventKind, Facts, Member};

use super::people::pick_person;
use super::random::SampleRng;
use super::repositories::{IdSequence, SampleRepo};

/// An issue with everything that ever happens to it.
pub(super) struct SampleIssue {
    number: i64,
    author: Member,
    created: DateTime<Utc>,
    labels: Vec<String>,
    closed: Option<DateTime<Utc>>,
    reopened: Option<DateTime<Utc>>,
    closed_again: Option<DateTime<Utc>>,
}

impl SampleIssue {
    /// Draws an issue that is opened on the day, and what happens to it later.
    pub(super) fn plan(repo: &SampleRepo, day: NaiveDate, ids: &mut IdSequence, rng: &mut SampleRng) -> Self {
        let person = pick_person(repo.seed, repo.index, day, &[], rng);
        let created = person.working_time(day, rng);
        let author = if rng.chance(0.02) { Member::ghost() } else { person.member() };
        let label = *rng.pick(&["bug", "enhancement", "question", "documentation"]);
        let closed = rng.time_after(created, 70.0, 1.5);
        let reopened = rng.time_after(closed, 30.0, 1.0);
        let closed_again = rng.time_after(reopened, 40.0, 1.0);
        let (closes, reopens) = (rng.chance(0.8), rng.chance(0.06));
        SampleIssue {
            number: ids.next_thread_number(),
            author,
            created,
            labels: vec![label.to_owned()],
            closed: closes.then_some(closed),
            reopened: (closes && reopens).then_some(reopened),
            closed_again: (closes && reopens).then_some(closed_again),
        }
    }

    /// Returns when the issue was opened, UTC.
    pub(super) fn created(&self) -> DateTime<Utc> {
        self.created
    }

    /// Appends the events that happen before the end of the sample.
    pub(super) fn events(&self, repo: &SampleRepo, out: &mut Vec<Event>) {
        let (closed, reopened, closed_again) =
            (repo.if_past(self.closed), repo.if_past(self.reopened), repo.if_past(self.closed_again));
        let changes = [Some(self.created), closed, reopened, closed_again];
        let version = changes.into_iter().flatten().max().unwrap_or(self.created).timestamp();
        let is_closed = closed_again.is_some() || (closed.is_some() && reopened.is_none());
        let facts = Facts {
            number: Some(self.number),
            state: Some(if is_closed { "closed" } else { "open" }.to_owned()),
            created_at: Some(self.created),
            labels: Some(self.labels.clone()),
            ..Facts::default()
        };
        let mut push = |id, kind, at, retracted| {
            let event = repo.event(id, kind, &self.author, at, facts.clone());
            out.push(Event { version, retracted, ..event });
        };
        let id = EventId::issue_opened(repo.repo_id, self.number);
        push(id, EventKind::IssueOpened, self.created, false);
        for (at, retracted) in [(closed, reopened.is_some()), (closed_again, false)] {
            if let Some(at) = at {
                let id = EventId::issue_closed(repo.repo_id, self.number, at);
                push(id, EventKind::IssueClosed, at, retracted);
            }
        }
    }
}
