//! The repositories of the sample: how busy each is, and the ids of what happens in it.

use chrono::{DateTime, Datelike, NaiveDate, Utc, Weekday};
use gam_model::{Event, EventId, EventKind, Facts, Member};

use super::people::{DEPENDABOT, RENOVATE, TEAM_COUNT};

/// The login of the organization.
pub(crate) const ORG: &str = "octo-demo";

/// The number of repositories.
pub(crate) const REPO_COUNT: usize = REPOS.len();

/// The id of the first repository.
pub(crate) const FIRST_REPO_ID: i64 = 500_000_001;
/// The name of the first repository.
pub(crate) const FIRST_REPO_NAME: &str = "web-app";
/// The number of ids that each repository has for its reviews, releases and deployments.
const ID_BLOCK: i64 = 100_000_000;

/// How pull requests of a repository are merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MergeStyle {
    /// One new commit for all commits of the branch.
    Squash,
    /// The commits of the branch, and a merge commit.
    MergeCommit,
}

/// What makes a repository different from others.
#[derive(Debug, Clone, Copy)]
pub(super) struct RepoProfile {
    pub(super) name: &'static str,
    /// The mean number of pull requests on a usual working day.
    pub(super) pulls_per_day: f64,
    pub(super) merge_style: MergeStyle,
    /// The environment that each merge is deployed to, if any.
    pub(super) environment: Option<&'static str>,
    /// The number of days between releases, if there are any: whole weeks.
    pub(super) release_days: Option<i64>,
    /// The bot that updates dependencies, and the weekday on which it does.
    pub(super) dependency_bot: Option<(&'static str, Weekday)>,
}

const fn profile(name: &'static str, pulls_per_day: f64, merge_style: MergeStyle) -> RepoProfile {
    RepoProfile {
        name,
        pulls_per_day,
        merge_style,
        environment: None,
        release_days: None,
        dependency_bot: None,
    }
}

/// The repositories. The index in this list determines the ids of a repository.
const REPOS: [RepoProfile; TEAM_COUNT] = [
    RepoProfile {
        environment: Some("production"),
        dependency_bot: Some((DEPENDABOT, Weekday::Mon)),
        ..profile(FIRST_REPO_NAME, 3.0, MergeStyle::Squash)
    },
    RepoProfile {
        environment: Some("production"),
        release_days: Some(14),
        dependency_bot: Some((DEPENDABOT, Weekday::Mon)),
        ..profile("api", 2.6, MergeStyle::Squash)
    },
    RepoProfile {
        release_days: Some(21),
        dependency_bot: Some((DEPENDABOT, Weekday::Tue)),
        ..profile("mobile", 1.8, MergeStyle::MergeCommit)
    },
    RepoProfile {
        environment: Some("staging"),
        dependency_bot: Some((RENOVATE, Weekday::Wed)),
        ..profile("data-pipeline", 1.4, MergeStyle::Squash)
    },
    RepoProfile {
        environment: Some("production"),
        dependency_bot: Some((RENOVATE, Weekday::Wed)),
        ..profile("infra", 1.2, MergeStyle::MergeCommit)
    },
    RepoProfile {
        release_days: Some(28),
        dependency_bot: Some((RENOVATE, Weekday::Thu)),
        ..profile("design-system", 0.9, MergeStyle::Squash)
    },
    profile("docs", 0.8, MergeStyle::Squash),
    RepoProfile { release_days: Some(35), ..profile("cli", 0.7, MergeStyle::MergeCommit) },
];

/// Returns how busy a repository is on a day: 1 on a usual working day, less on weekends and holidays,
/// times a slow wave that differs between repositories.
pub(super) fn activity_level(repo_index: usize, day: NaiveDate) -> f64 {
    let weekday = match day.weekday() {
        Weekday::Mon | Weekday::Thu => 1.0,
        Weekday::Tue | Weekday::Wed => 1.1,
        Weekday::Fri => 0.8,
        Weekday::Sat => 0.12,
        Weekday::Sun => 0.15,
    };
    let season = match (day.month(), day.day()) {
        (12, 22..) | (1, ..=3) => 0.2,
        (7 | 8, _) => 0.7,
        _ => 1.0,
    };
    let wave = 1.0 + 0.3 * (f64::from(day.num_days_from_ce()) / 45.0 + repo_index as f64).sin();
    weekday * season * wave
}

/// A repository as GitHub would show it at the end of the sample.
pub(super) struct SampleRepo {
    /// The seed of the sample.
    pub(super) seed: u64,
    /// The index in [`REPOS`].
    pub(super) index: usize,
    pub(super) profile: &'static RepoProfile,
    /// The numeric id on GitHub.
    pub(super) repo_id: i64,
    /// The end of the sample, UTC. What happens from then on is unknown.
    pub(super) now: DateTime<Utc>,
}

impl SampleRepo {
    /// Creates the repository at the index.
    pub(super) fn new(index: usize, seed: u64, now: DateTime<Utc>) -> Self {
        SampleRepo { seed, index, profile: &REPOS[index], repo_id: FIRST_REPO_ID + index as i64, now }
    }

    /// Returns the time if it is before the end of the sample.
    pub(super) fn if_past(&self, at: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
        at.filter(|at| *at < self.now)
    }

    /// Creates an event of this repository, with a version that never changes.
    pub(super) fn event(
        &self,
        id: EventId,
        kind: EventKind,
        member: &Member,
        occurred_at: DateTime<Utc>,
        facts: Facts,
    ) -> Event {
        Event {
            id,
            version: occurred_at.timestamp(),
            kind,
            org: ORG.to_owned(),
            repo: self.profile.name.to_owned(),
            repo_id: self.repo_id,
            member: member.clone(),
            occurred_at,
            collected_at: self.now,
            retracted: false,
            reading: 0,
            facts,
        }
    }
}

/// Assigns the numbers and ids that GitHub would assign. Pull requests and issues have numbers of their
/// repository. Ids of reviews, releases and deployments are unique across repositories.
pub(super) struct IdSequence {
    first_id: i64,
    threads: i64,
    reviews: i64,
    releases: i64,
    deployments: i64,
}

impl IdSequence {
    /// Creates the sequence of a repository.
    pub(super) fn new(repo_index: usize) -> Self {
        IdSequence {
            first_id: (repo_index as i64 + 1) * ID_BLOCK,
            threads: 0,
            reviews: 0,
            releases: 0,
            deployments: 0,
        }
    }

    /// Returns the number of the next pull request or issue.
    pub(super) fn next_thread_number(&mut self) -> i64 {
        self.threads += 1;
        self.threads
    }

    /// Returns the id of the next review.
    pub(super) fn next_review_id(&mut self) -> i64 {
        self.reviews += 1;
        self.first_id + self.reviews
    }

    /// Returns the id of the next release, and the number of releases before it.
    pub(super) fn next_release_id(&mut self) -> (i64, i64) {
        self.releases += 1;
        (self.first_id + self.releases, self.releases - 1)
    }

    /// Returns the id of the next deployment.
    pub(super) fn next_deployment_id(&mut self) -> i64 {
        self.deployments += 1;
        self.first_id + self.deployments
    }
}
