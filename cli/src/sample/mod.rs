//! A generated organization: the events of a team that never existed, for `demo`.
//!
//! The sample is pure: it follows from a seed and a span of days, and from nothing else. Every day
//! has dice of its own and nothing that was drawn depends on the present, so a later sample of the
//! same seed holds everything an earlier one held, or a newer telling of it, just as GitHub does.

mod cast;
mod dice;
mod pulls;
#[cfg(test)]
mod tests;
mod upkeep;

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use gam_model::period::midnight;
use gam_model::{Event, EventId, EventKind, Facts, Member};

use cast::{REPOS, RepoRole};
use dice::Dice;
use pulls::Pull;
use upkeep::{Deployment, Issue};

/// The organization's login.
pub(crate) const ORG: &str = "octo-demo";

/// The day on which the sample organization began its work; numbers are counted from here.
pub(crate) const FOUNDED: NaiveDate = NaiveDate::from_ymd_opt(2020, 1, 1).expect("a valid date");

/// Which sample is wanted: what was begun and what happened in `[since, until)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    /// Another seed makes another history.
    pub(crate) seed: u64,
    /// What was begun before that day is left out.
    pub(crate) since: NaiveDate,
    /// The sample's present: what happens from that day on is not known yet.
    pub(crate) until: NaiveDate,
}

/// How many repositories there are.
pub(crate) const REPO_COUNT: usize = REPOS.len();

fn repo_id(place: usize) -> i64 {
    500_000_001 + place as i64
}

/// Every event of the sample, repository by repository.
pub(crate) fn events(span: Span) -> Vec<Event> {
    let mut out = Vec::new();
    for (place, role) in REPOS.iter().enumerate() {
        let stage =
            Stage { seed: span.seed, place, role, repo_id: repo_id(place), now: midnight(span.until) };
        let mut numbers = Numbers::of(place);
        // A working day of somebody east of Greenwich begins on the day before in UTC, so the day
        // that is just beginning is played too.
        for day in FOUNDED.iter_days().take_while(|day| *day <= span.until) {
            play_day(&stage, day, midnight(span.since), &mut numbers, &mut out);
        }
    }
    out
}

/// Draws all that begins in a repository on a day, and tells what of it lies in the span.
fn play_day(
    stage: &Stage,
    day: NaiveDate,
    since: DateTime<Utc>,
    numbers: &mut Numbers,
    out: &mut Vec<Event>,
) {
    let mut dice = Dice::named(&[stage.seed, stage.place as u64, day.num_days_from_ce() as u64]);
    let shown = |begun: DateTime<Utc>| since <= begun && begun < stage.now;
    let pace = stage.role.pace * cast::busyness(stage.place, day);
    for _ in 0..dice.poisson(pace) {
        let pull = Pull::by_person(stage, day, numbers, &mut dice);
        if shown(pull.created()) {
            pull.events(stage, out);
        }
    }
    if let Some((bot, weekday)) = stage.role.updater
        && day.weekday() == weekday
    {
        for _ in 0..dice.poisson(2.0) {
            let pull = Pull::by_bot(stage, bot, day, numbers, &mut dice);
            if shown(pull.created()) {
                pull.events(stage, out);
            }
        }
    }
    for _ in 0..dice.poisson(pace * 0.35) {
        let issue = Issue::plan(stage, day, numbers, &mut dice);
        if shown(issue.created()) {
            issue.events(stage, out);
        }
    }
    if let Some(release) = upkeep::release(stage, day, numbers, &mut dice)
        && shown(release.occurred_at)
    {
        out.push(release);
    }
    if dice.chance(0.04) {
        let commit = upkeep::direct_commit(stage, day, &mut dice);
        if shown(commit.occurred_at) {
            out.push(commit);
        }
    }
}

/// A repository as it is seen at the sample's present.
struct Stage {
    seed: u64,
    place: usize,
    role: &'static RepoRole,
    repo_id: i64,
    now: DateTime<Utc>,
}

impl Stage {
    /// The moment, if it has come already.
    fn past(&self, at: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
        at.filter(|at| *at < self.now)
    }

    /// An event of this repository that is told once and for all.
    fn event(
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
            repo: self.role.name.to_owned(),
            repo_id: self.repo_id,
            member: member.clone(),
            occurred_at,
            collected_at: self.now,
            retracted: false,
            facts,
        }
    }
}

/// The numbers that GitHub would give away, each once; reviews, releases and deployments are
/// numbered across all repositories, so each repository has a block of its own.
struct Numbers {
    block: i64,
    threads: i64,
    reviews: i64,
    releases: i64,
    deployments: i64,
}

impl Numbers {
    fn of(place: usize) -> Self {
        Numbers {
            block: (place as i64 + 1) * 100_000_000,
            threads: 0,
            reviews: 0,
            releases: 0,
            deployments: 0,
        }
    }

    /// The next number of a pull request or an issue.
    fn thread(&mut self) -> i64 {
        self.threads += 1;
        self.threads
    }

    /// The next review's id.
    fn review(&mut self) -> i64 {
        self.reviews += 1;
        self.block + self.reviews
    }

    /// The next release's id, and how many came before it.
    fn release(&mut self) -> (i64, i64) {
        self.releases += 1;
        (self.block + self.releases, self.releases - 1)
    }

    /// The next deployment's id.
    fn deployment(&mut self) -> i64 {
        self.deployments += 1;
        self.block + self.deployments
    }
}
