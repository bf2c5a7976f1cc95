//! Commits of the sample that belong to no pull request.

use chrono::{NaiveDate, TimeDelta};
use gam_model::period::midnight;
use gam_model::{Event, EventId, EventKind, Facts};

use super::people::pick_contractor;
use super::random::SampleRng;
use super::repositories::SampleRepo;

/// Draws a commit that a contractor pushes directly to the default branch.
pub(super) fn direct_commit(repo: &SampleRepo, day: NaiveDate, rng: &mut SampleRng) -> Event {
    let at = midnight(day) + TimeDelta::seconds(rng.between(8 * 3600, 18 * 3600));
    let member = pick_contractor(rng);
    let sha = rng.sha();
    let facts = Facts {
        sha: Some(sha.clone()),
        parents: Some(1),
        additions: Some(rng.log_normal(12.0, 1.0) as i64 + 1),
        deletions: Some(rng.log_normal(5.0, 1.0) as i64),
        files_changed: Some(rng.between(1, 4)),
        co_authors: Some(Vec::new()),
        ..Facts::default()
    };
    repo.event(EventId::commit(repo.repo_id, &sha), EventKind::Commit, &member, at, facts)
}
