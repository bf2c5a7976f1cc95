//! Who works at the sample organization, on what, and when.

use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, Utc, Weekday};
use gam_model::Member;
use gam_model::period::midnight;

use super::dice::Dice;

/// How pull requests of a repository are merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MergeStyle {
    /// One new commit for all of them.
    Squash,
    /// The branch's commits and a merge commit.
    MergeCommit,
}

/// A repository of the sample.
#[derive(Debug, Clone, Copy)]
pub(super) struct RepoRole {
    /// The name.
    pub(super) name: &'static str,
    /// Pull requests on a usual working day.
    pub(super) pace: f64,
    /// How they are merged.
    pub(super) style: MergeStyle,
    /// Where merges are deployed to, if anywhere.
    pub(super) environment: Option<&'static str>,
    /// Days between releases, if there are any.
    pub(super) release_days: Option<i64>,
    /// The bot that updates its dependencies, and on which weekday.
    pub(super) updater: Option<(&'static str, Weekday)>,
}

const fn repo(name: &'static str, pace: f64, style: MergeStyle) -> RepoRole {
    RepoRole { name, pace, style, environment: None, release_days: None, updater: None }
}

const DEPENDABOT: &str = "dependabot[bot]";
const RENOVATE: &str = "renovate[bot]";

/// The repositories; a repository's place in the list makes its id.
pub(super) const REPOS: [RepoRole; 8] = [
    RepoRole {
        environment: Some("production"),
        updater: Some((DEPENDABOT, Weekday::Mon)),
        ..repo("web-app", 3.0, MergeStyle::Squash)
    },
    RepoRole {
        environment: Some("production"),
        release_days: Some(14),
        updater: Some((DEPENDABOT, Weekday::Mon)),
        ..repo("api", 2.6, MergeStyle::Squash)
    },
    RepoRole {
        release_days: Some(21),
        updater: Some((DEPENDABOT, Weekday::Tue)),
        ..repo("mobile", 1.8, MergeStyle::MergeCommit)
    },
    RepoRole {
        environment: Some("staging"),
        updater: Some((RENOVATE, Weekday::Wed)),
        ..repo("data-pipeline", 1.4, MergeStyle::Squash)
    },
    RepoRole {
        environment: Some("production"),
        updater: Some((RENOVATE, Weekday::Wed)),
        ..repo("infra", 1.2, MergeStyle::MergeCommit)
    },
    RepoRole {
        release_days: Some(28),
        updater: Some((RENOVATE, Weekday::Thu)),
        ..repo("design-system", 0.9, MergeStyle::Squash)
    },
    repo("docs", 0.8, MergeStyle::Squash),
    RepoRole { release_days: Some(35), ..repo("cli", 0.7, MergeStyle::MergeCommit) },
];

/// Logins with their offset from UTC in hours.
const PEOPLE: [(&str, i64); 30] = [
    ("ada-lind", 1),
    ("bo-tanaka", 9),
    ("carmen-vega", -5),
    ("dmitri-k", 2),
    ("ella-novak", 1),
    ("farid-h", 3),
    ("grace-oduya", 1),
    ("hugo-martin", 1),
    ("ines-costa", 0),
    ("jonas-berg", 1),
    ("kavya-rao", 5),
    ("liam-oneil", 0),
    ("mei-chen", 8),
    ("noah-fischer", 1),
    ("olga-petrova", 2),
    ("pablo-ruiz", -6),
    ("quinn-harper", -8),
    ("rosa-marino", 1),
    ("sam-okafor", 1),
    ("tara-singh", 5),
    ("umar-aziz", 4),
    ("vera-holm", 1),
    ("will-cooper", -5),
    ("xenia-pop", 2),
    ("yusuf-demir", 3),
    ("zoe-walker", -8),
    ("aiko-mori", 9),
    ("ben-hughes", 0),
    ("clara-weiss", 1),
    ("diego-luna", -3),
];

/// Contractors whose addresses belong to no account: names as git knows them.
const UNLINKED: [(&str, &str); 3] = [
    ("Robin Park", "robin@laptop.example"),
    ("Sky Adler", "sky@studio.example"),
    ("Toni Marsh", "toni@translations.example"),
];

/// A person by place in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Person(usize);

impl Person {
    /// The person's account.
    pub(super) fn member(self) -> Member {
        Member::account(PEOPLE[self.0].0, Some(7_000_001 + self.0 as i64), false)
    }

    /// A moment in the person's working hours on that day.
    pub(super) fn at_work(self, day: NaiveDate, dice: &mut Dice) -> DateTime<Utc> {
        let local_seconds = dice.between(8 * 3600, 13 * 3600) + dice.between(0, 5 * 3600);
        midnight(day) + TimeDelta::seconds(local_seconds - PEOPLE[self.0].1 * 3600)
    }

    /// Whether the person is on leave: two weeks in most quarters.
    fn is_away(self, seed: u64, day: NaiveDate) -> bool {
        let week = i64::from(day.num_days_from_ce()) / 7;
        let mut dice = Dice::named(&[seed, 0xa3a7, self.0 as u64, (week / 13) as u64]);
        let first = dice.between(0, 12);
        dice.chance(0.8) && (first..first + 2).contains(&(week % 13))
    }
}

/// Somebody at work that day, mostly from the repository's own team, and none of `others`.
pub(super) fn somebody(seed: u64, repo: usize, day: NaiveDate, others: &[Member], dice: &mut Dice) -> Person {
    let mut person = Person(0);
    for _ in 0..16 {
        let index = if dice.chance(0.75) {
            // Teams overlap: everybody belongs to a repository and to the one after the next.
            (repo + REPOS.len() * dice.between(0, 4) as usize + if dice.chance(0.3) { 2 } else { 0 })
                % PEOPLE.len()
        } else {
            dice.between(0, PEOPLE.len() as i64) as usize
        };
        person = Person(index);
        if !others.contains(&person.member()) && !person.is_away(seed, day) {
            return person;
        }
    }
    // Everybody seems to be on leave: whoever is not one of the others steps in.
    (0..PEOPLE.len()).map(Person).find(|person| !others.contains(&person.member())).unwrap_or(person)
}

/// A contractor, as the collector sees the author of a commit that belongs to no account.
pub(super) fn contractor(dice: &mut Dice) -> Member {
    let (name, email) = dice.pick(&UNLINKED);
    Member::commit_author(Some(name), Some(email))
}

/// A bot's account.
pub(super) fn bot(login: &str) -> Member {
    Member::account(login, Some(if login == DEPENDABOT { 49_699_333 } else { 29_139_614 }), true)
}

/// How busy a day is, where 1 is a usual working day: weeks, seasons, and a slow wave of its own
/// for each repository.
pub(super) fn busyness(repo: usize, day: NaiveDate) -> f64 {
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
    let wave = 1.0 + 0.3 * (f64::from(day.num_days_from_ce()) / 45.0 + repo as f64).sin();
    weekday * season * wave
}
