//! A generated sample: the events of an organization that never existed, for `demo`.
//!
//! The events follow from a seed and a range of days, and from nothing else. Every day has random numbers
//! of its own, and no draw depends on the end of the range. So a longer sample of the same seed contains
//! every event of a shorter one, or a newer version of it, as GitHub does.

mod deployments_and_releases;
mod direct_commits;
mod issues;
mod people;
mod pull_requests;
mod random;
mod repositories;
mod sessions;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use gam_model::Event;
use gam_model::period::midnight;

use deployments_and_releases::release;
use direct_commits::direct_commit;
use issues::SampleIssue;
use pull_requests::SamplePullRequest;
use random::SampleRng;
pub(crate) use repositories::{FIRST_REPO_ID, FIRST_REPO_NAME, ORG, REPO_COUNT};
use repositories::{IdSequence, SampleRepo, activity_level};
pub(crate) use sessions::session_events;

/// The first day of the sample organization. Numbers of pull requests and issues are counted from here.
pub(crate) const FIRST_SAMPLE_DAY: NaiveDate = NaiveDate::from_ymd_opt(2020, 1, 1).expect("a valid date");

/// Which sample to generate: activity that began and happened in `[since, until)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SampleRange {
    /// The seed of all random numbers.
    pub(crate) seed: u64,
    /// The first day, UTC. Pull requests and issues that were opened before it are left out.
    pub(crate) since: NaiveDate,
    /// The day after the last one, UTC.
    pub(crate) until: NaiveDate,
}

/// Returns every event of the sample, one repository after the other.
pub(crate) fn events(range: SampleRange) -> Vec<Event> {
    let mut events = Vec::new();
    for index in 0..REPO_COUNT {
        let repo = SampleRepo::new(index, range.seed, midnight(range.until));
        let mut ids = IdSequence::new(index);
        // East of Greenwich a working day begins on the day before in UTC, so the day after the last one
        // is generated too.
        for day in FIRST_SAMPLE_DAY.iter_days().take_while(|day| *day <= range.until) {
            generate_day(&repo, day, midnight(range.since), &mut ids, &mut events);
        }
    }
    events
}

/// Draws everything that begins in a repository on a day, and appends the events within the range.
fn generate_day(
    repo: &SampleRepo,
    day: NaiveDate,
    since: DateTime<Utc>,
    ids: &mut IdSequence,
    events: &mut Vec<Event>,
) {
    let mut rng = SampleRng::from_key(&[repo.seed, repo.index as u64, day.num_days_from_ce() as u64]);
    let is_in_range = |at: DateTime<Utc>| since <= at && at < repo.now;
    let pulls_per_day = repo.profile.pulls_per_day * activity_level(repo.index, day);
    for _ in 0..rng.poisson(pulls_per_day) {
        let pull = SamplePullRequest::by_person(repo, day, ids, &mut rng);
        if is_in_range(pull.created()) {
            pull.events(repo, events);
        }
    }
    if let Some((bot, weekday)) = repo.profile.dependency_bot
        && day.weekday() == weekday
    {
        for _ in 0..rng.poisson(2.0) {
            let pull = SamplePullRequest::by_bot(repo, bot, day, ids, &mut rng);
            if is_in_range(pull.created()) {
                pull.events(repo, events);
            }
        }
    }
    for _ in 0..rng.poisson(pulls_per_day * 0.35) {
        let issue = SampleIssue::plan(repo, day, ids, &mut rng);
        if is_in_range(issue.created()) {
            issue.events(repo, events);
        }
    }
    if let Some(release) = release(repo, day, ids, &mut rng)
        && is_in_range(release.occurred_at)
    {
        events.push(release);
    }
    if rng.chance(0.04) {
        let commit = direct_commit(repo, day, &mut rng);
        if is_in_range(commit.occurred_at) {
            events.push(commit);
        }
    }
}
