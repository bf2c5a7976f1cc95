//! The people and bots of the sample organization.

use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, Utc};
use gam_model::Member;
use gam_model::period::midnight;

use super::random::SampleRng;

/// The logins of bots that update dependencies.
pub(super) const DEPENDABOT: &str = "dependabot[bot]";
pub(super) const RENOVATE: &str = "renovate[bot]";

/// The number of teams: one for each repository.
pub(super) const TEAM_COUNT: usize = 8;

/// Logins, with the offset from UTC in hours.
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

/// Contractors whose e-mail addresses belong to no account: names and addresses as in git.
const UNLINKED: [(&str, &str); 3] = [
    ("Robin Park", "robin@laptop.example"),
    ("Sky Adler", "sky@studio.example"),
    ("Toni Marsh", "toni@translations.example"),
];

/// A person, as an index in [`PEOPLE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Person(usize);

impl Person {
    /// Returns the account of the person.
    pub(super) fn member(self) -> Member {
        Member::account(PEOPLE[self.0].0, Some(7_000_001 + self.0 as i64), false)
    }

    /// Returns a time in the person's working hours on the day, UTC.
    pub(super) fn working_time(self, day: NaiveDate, rng: &mut SampleRng) -> DateTime<Utc> {
        let local_seconds = rng.between(8 * 3600, 13 * 3600) + rng.between(0, 5 * 3600);
        midnight(day) + TimeDelta::seconds(local_seconds - PEOPLE[self.0].1 * 3600)
    }

    /// Returns whether the person is on leave: two weeks in most quarters.
    fn is_away(self, seed: u64, day: NaiveDate) -> bool {
        let week = i64::from(day.num_days_from_ce()) / 7;
        let mut rng = SampleRng::from_key(&[seed, 0xa3a7, self.0 as u64, (week / 13) as u64]);
        let first = rng.between(0, 12);
        rng.chance(0.8) && (first..first + 2).contains(&(week % 13))
    }
}

/// Picks a person who works on the day and is not one of `others`, mostly from the repository's team.
pub(super) fn pick_person(
    seed: u64,
    repo_index: usize,
    day: NaiveDate,
    others: &[Member],
    rng: &mut SampleRng,
) -> Person {
    let mut person = Person(0);
    for _ in 0..16 {
        let index = if rng.chance(0.75) {
            // Teams overlap: everybody belongs to a repository and to the one after the next.
            (repo_index + TEAM_COUNT * rng.between(0, 4) as usize + if rng.chance(0.3) { 2 } else { 0 })
                % PEOPLE.len()
        } else {
            rng.between(0, PEOPLE.len() as i64) as usize
        };
        person = Person(index);
        if !others.contains(&person.member()) && !person.is_away(seed, day) {
            return person;
        }
    }
    // Everybody seems to be on leave, so a person on leave is picked.
    (0..PEOPLE.len()).map(Person).find(|person| !others.contains(&person.member())).unwrap_or(person)
}

/// Picks a contractor: an unlinked author, as a collection finds it in a commit.
pub(super) fn pick_contractor(rng: &mut SampleRng) -> Member {
    let (name, email) = rng.pick(&UNLINKED);
    Member::commit_author(Some(name), Some(email))
}

/// Returns the account of a bot.
pub(super) fn bot_member(login: &str) -> Member {
    Member::account(login, Some(if login == DEPENDABOT { 49_699_333 } else { 29_139_614 }), true)
}
