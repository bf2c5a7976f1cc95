//! Issues, deployments and releases of the sample.

use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, Utc};
use gam_model::{Event, EventId, EventKind, Facts, Member};

use super::dice::Dice;
use super::{Numbers, Stage, cast};

/// An issue with everything that will ever happen to it.
pub(super) struct Issue {
    number: i64,
    author: Member,
    created: DateTime<Utc>,
    labels: Vec<String>,
    closed: Option<DateTime<Utc>>,
    reopened: Option<DateTime<Utc>>,
    closed_again: Option<DateTime<Utc>>,
}

impl Issue {
    /// An issue of that day.
    pub(super) fn plan(stage: &Stage, day: NaiveDate, numbers: &mut Numbers, dice: &mut Dice) -> Self {
        let person = cast::somebody(stage.seed, stage.place, day, &[], dice);
        let created = person.at_work(day, dice);
        let author = if dice.chance(0.02) { Member::ghost() } else { person.member() };
        let label = *dice.pick(&["bug", "enhancement", "question", "documentation"]);
        let closed = dice.later(created, 70.0, 1.5);
        let reopened = dice.later(closed, 30.0, 1.0);
        let closed_again = dice.later(reopened, 40.0, 1.0);
        let (closes, reopens) = (dice.chance(0.8), dice.chance(0.06));
        Issue {
            number: numbers.thread(),
            author,
            created,
            labels: vec![label.to_owned()],
            closed: closes.then_some(closed),
            reopened: (closes && reopens).then_some(reopened),
            closed_again: (closes && reopens).then_some(closed_again),
        }
    }

    /// When it was opened.
    pub(super) fn created(&self) -> DateTime<Utc> {
        self.created
    }

    /// The events that GitHub shows at the stage's present.
    pub(super) fn events(&self, stage: &Stage, out: &mut Vec<Event>) {
        let (closed, reopened, closed_again) =
            (stage.past(self.closed), stage.past(self.reopened), stage.past(self.closed_again));
        let touched = [Some(self.created), closed, reopened, closed_again];
        let version = touched.into_iter().flatten().max().unwrap_or(self.created).timestamp();
        let is_closed = closed_again.is_some() || (closed.is_some() && reopened.is_none());
        let facts = Facts {
            number: Some(self.number),
            state: Some(if is_closed { "closed" } else { "open" }.to_owned()),
            created_at: Some(self.created),
            labels: Some(self.labels.clone()),
            ..Facts::default()
        };
        let mut tell = |id, kind, at, retracted| {
            let event = stage.event(id, kind, &self.author, at, facts.clone());
            out.push(Event { version, retracted, ..event });
        };
        let id = EventId::issue_opened(stage.repo_id, self.number);
        tell(id, EventKind::IssueOpened, self.created, false);
        for (at, retracted) in [(closed, reopened.is_some()), (closed_again, false)] {
            if let Some(at) = at {
                let id = EventId::issue_closed(stage.repo_id, self.number, at);
                tell(id, EventKind::IssueClosed, at, retracted);
            }
        }
    }
}

/// A deployment with every status it will ever have.
pub(super) struct Deployment {
    id: i64,
    environment: &'static str,
    sha: String,
    creator: Member,
    created: DateTime<Utc>,
    failed: Option<DateTime<Utc>>,
    succeeded: Option<DateTime<Utc>>,
}

impl Deployment {
    /// The deployment of a merge.
    pub(super) fn plan(
        environment: &'static str,
        sha: String,
        creator: Member,
        merged: DateTime<Utc>,
        numbers: &mut Numbers,
        dice: &mut Dice,
    ) -> Self {
        let created = merged + TimeDelta::seconds(dice.between(60, 400));
        let first = created + TimeDelta::seconds(dice.between(120, 1200));
        let retried = dice.later(first, 1.0, 0.7);
        let (failed, succeeded) = match dice.between(0, 100) {
            0..90 => (None, Some(first)),
            90..94 => (Some(first), Some(retried)),
            _ => (Some(first), None),
        };
        Deployment { id: numbers.deployment(), environment, sha, creator, created, failed, succeeded }
    }

    /// The events that GitHub shows at the stage's present.
    pub(super) fn events(&self, stage: &Stage, out: &mut Vec<Event>) {
        let (failed, succeeded) = (stage.past(self.failed), stage.past(self.succeeded));
        let Some(version) = failed.max(succeeded).map(|at| at.timestamp()) else { return };
        let facts = Facts {
            sha: Some(self.sha.clone()),
            environment: Some(self.environment.to_owned()),
            created_at: Some(self.created),
            ..Facts::default()
        };
        let mut tell = |id, kind, at, retracted| {
            let event = stage.event(id, kind, &self.creator, at, facts.clone());
            out.push(Event { version, retracted, ..event });
        };
        if let Some(at) = failed {
            let id = EventId::deployment_failure(self.id);
            tell(id, EventKind::DeploymentFailure, at, succeeded.is_some());
        }
        if let Some(at) = succeeded {
            tell(EventId::deployment_success(self.id), EventKind::DeploymentSuccess, at, false);
        }
    }
}

/// The release of that day, on the days that have one.
pub(super) fn release(
    stage: &Stage,
    day: NaiveDate,
    numbers: &mut Numbers,
    dice: &mut Dice,
) -> Option<Event> {
    let every = stage.role.release_days?;
    // Cadences are whole weeks and day 2 of the era was a Tuesday, so releases are on Tuesdays, and
    // not of all repositories in the same week.
    let since_first = i64::from(day.num_days_from_ce()) - 2 - 7 * stage.place as i64;
    if since_first % every != 0 {
        return None;
    }
    let person = cast::somebody(stage.seed, stage.place, day, &[], dice);
    let published = person.at_work(day, dice);
    let (id, nth) = numbers.release();
    let facts = Facts {
        created_at: Some(published - TimeDelta::minutes(dice.between(5, 90))),
        tag: Some(format!("v{}.{}.0", 1 + nth / 12, nth % 12)),
        ..Facts::default()
    };
    Some(stage.event(EventId::release(id, published), EventKind::Release, &person.member(), published, facts))
}

/// A commit that a contractor pushes straight to the default branch.
pub(super) fn direct_commit(stage: &Stage, day: NaiveDate, dice: &mut Dice) -> Event {
    let at = gam_model::period::midnight(day) + TimeDelta::seconds(dice.between(8 * 3600, 18 * 3600));
    let member = cast::contractor(dice);
    let sha = dice.sha();
    let facts = Facts {
        sha: Some(sha.clone()),
        parents: Some(1),
        additions: Some(dice.log_normal(12.0, 1.0) as i64 + 1),
        deletions: Some(dice.log_normal(5.0, 1.0) as i64),
        files_changed: Some(dice.between(1, 4)),
        co_authors: Some(Vec::new()),
        ..Facts::default()
    };
    stage.event(EventId::commit(stage.repo_id, &sha), EventKind::Commit, &member, at, facts)
}
