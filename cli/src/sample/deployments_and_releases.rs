//! Deployments and releases of the sample.

use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, Utc};
use gam_model::{Event, EventId, EventKind, Facts, Member};

use super::people::pick_person;
use super::random::SampleRng;
use super::repositories::{IdSequence, SampleRepo};

/// A deployment with every status that it ever has.
pub(super) struct SampleDeployment {
    id: i64,
    environment: &'static str,
    sha: String,
    creator: Member,
    created: DateTime<Utc>,
    failed: Option<DateTime<Utc>>,
    succeeded: Option<DateTime<Utc>>,
}

impl SampleDeployment {
    /// Draws the deployment of a merge.
    pub(super) fn plan(
        environment: &'static str,
        sha: String,
        creator: Member,
        merged: DateTime<Utc>,
        ids: &mut IdSequence,
        rng: &mut SampleRng,
    ) -> Self {
        let created = merged + TimeDelta::seconds(rng.between(60, 400));
        let first = created + TimeDelta::seconds(rng.between(120, 1200));
        let retried = rng.time_after(first, 1.0, 0.7);
        let (failed, succeeded) = match rng.between(0, 100) {
            0..90 => (None, Some(first)),
            90..94 => (Some(first), Some(retried)),
            _ => (Some(first), None),
        };
        SampleDeployment {
            id: ids.next_deployment_id(),
            environment,
            sha,
            creator,
            created,
            failed,
            succeeded,
        }
    }

    /// Appends the events that happen before the end of the sample.
    pub(super) fn events(&self, repo: &SampleRepo, out: &mut Vec<Event>) {
        let (failed, succeeded) = (repo.if_past(self.failed), repo.if_past(self.succeeded));
        let Some(version) = failed.max(succeeded).map(|at| at.timestamp()) else { return };
        let facts = Facts {
            sha: Some(self.sha.clone()),
            environment: Some(self.environment.to_owned()),
            created_at: Some(self.created),
            ..Facts::default()
        };
        let mut push = |id, kind, at, retracted| {
            let event = repo.event(id, kind, &self.creator, at, facts.clone());
            out.push(Event { version, retracted, ..event });
        };
        if let Some(at) = failed {
            let id = EventId::deployment_failure(self.id);
            push(id, EventKind::DeploymentFailure, at, succeeded.is_some());
        }
        if let Some(at) = succeeded {
            push(EventId::deployment_success(self.id), EventKind::DeploymentSuccess, at, false);
        }
    }
}

/// Draws a release, if the repository has one on the day.
pub(super) fn release(
    repo: &SampleRepo,
    day: NaiveDate,
    ids: &mut IdSequence,
    rng: &mut SampleRng,
) -> Option<Event> {
    let interval_days = repo.profile.release_days?;
    // Intervals are whole weeks and day 2 of the era was a Tuesday, so all releases are on Tuesdays. The
    // repository's index shifts them, so that not all repositories release in the same week.
    let days_since_first = i64::from(day.num_days_from_ce()) - 2 - 7 * repo.index as i64;
    if days_since_first % interval_days != 0 {
        return None;
    }
    let person = pick_person(repo.seed, repo.index, day, &[], rng);
    let published = person.working_time(day, rng);
    let (id, nth) = ids.next_release_id();
    let facts = Facts {
        created_at: Some(published - TimeDelta::minutes(rng.between(5, 90))),
        tag: Some(format!("v{}.{}.0", 1 + nth / 12, nth % 12)),
        ..Facts::default()
    };
    Some(repo.event(EventId::release(id, published), EventKind::Release, &person.member(), published, facts))
}
