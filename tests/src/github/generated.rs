//! A generated world: one winter of four repositories, with everything that makes counting hard. The same seed
//! always generates the same world.

use chrono::{DateTime, TimeDelta};
use fastrand::Rng;

use super::world::{
    Account, Actor, Deployment, PullRequest, Release, ReleaseChange, Repo, Review, Signature, Thread,
    ThreadChange, Time, World, at,
};

/// First day with activity.
pub const BEGIN: &str = "2023-12-11";
/// Day after the last one with generated threads and commits.
pub const END: &str = "2024-03-18";

const DAY_S: i64 = 86_400;
const HOUR_S: i64 = 3_600;

struct People {
    people: Vec<Account>,
    bots: Vec<Account>,
    signatures: Vec<Signature>,
}

impl People {
    fn new() -> Self {
        let people: Vec<Account> = ["Ann", "bob", "cleo-x", "dave", "Eve", "finn"]
            .into_iter()
            .zip(11..)
            .map(|(login, id)| Account::user(login, id))
            .collect();
        let bots = vec![Account::bot("dependabot", 91), Account::bot("renovate", 92)];
        let mut signatures: Vec<Signature> = people
            .iter()
            .map(|account| {
                Signature::new(
                    &account.login,
                    &format!("{}@Work.example", account.login),
                    Some(account.clone()),
                )
            })
            .collect();
        signatures.extend([
            Signature::new("Gone Person", "gone.person@old.example", None),
            Signature::new("Mixed Case", "Mixed.Case@Elsewhere.example", None),
            Signature::new("no account", "nobody+tag@elsewhere.example", None),
            Signature::new(
                "dependabot[bot]",
                "49699333+dependabot[bot]@users.noreply.github.com",
                Some(bots[0].clone()),
            ),
            Signature::new("Renovate", "29139614+renovate[bot]@users.noreply.github.com", None),
        ]);
        People { people, bots, signatures }
    }

    /// Picks an account: usually a person, sometimes a bot or a deleted account.
    fn random_actor(&self, rng: &mut Rng) -> Actor {
        match rng.u32(..12) {
            0 => None,
            1 => rng.choice(&self.bots).cloned(),
            _ => rng.choice(&self.people).cloned(),
        }
    }

    fn random_signature(&self, rng: &mut Rng) -> Signature {
        rng.choice(&self.signatures).cloned().expect("a signature")
    }
}

/// Generator of ids that are unique across repositories.
struct Ids(i64);

impl Ids {
    fn next(&mut self) -> i64 {
        self.0 += 1;
        self.0
    }
}

/// Generates the world of a seed.
pub fn world(seed: u64) -> World {
    let mut rng = Rng::with_seed(seed);
    let people = People::new();
    let mut world = World::new("Acme-Works");
    world.members = people.people.clone();
    let mut ids = Ids(1000);
    for (index, name) in ["site", "api-server", "Docs.old", "tools_x"].into_iter().enumerate() {
        let mut repo = Repo::new(701 + index as i64, name, at(BEGIN));
        add_commits(&mut repo, &people, &mut rng, index == 1);
        add_threads(&mut repo, &people, &mut rng, &mut ids);
        add_releases(&mut repo, &people, &mut rng, &mut ids);
        add_deployments(&mut repo, &people, &mut rng, &mut ids);
        world.repos.push(repo);
    }
    world.repos[2].names.push((at("2024-02-10T10:00:00Z"), "docs".to_owned()));
    // A repository without any activity.
    world.repos.push(Repo::new(799, "empty", at(BEGIN)));
    world
}

fn random_time(rng: &mut Rng, from: Time, within_s: i64) -> Time {
    from + TimeDelta::seconds(rng.i64(1..within_s))
}

fn random_lines(rng: &mut Rng) -> Option<[i64; 3]> {
    (rng.u32(..25) > 0).then(|| [rng.i64(0..400), rng.i64(0..200), rng.i64(1..12)])
}

fn add_commits(repo: &mut Repo, people: &People, rng: &mut Rng, with_force_push: bool) {
    let mut main: Vec<String> = Vec::new();
    let mut day = at(BEGIN);
    while day < at(END) {
        for _ in 0..rng.u32(..3) {
            let landed = random_time(rng, day, DAY_S);
            if repo.tips.last().is_some_and(|(last, _)| *last >= landed) {
                continue;
            }
            let tip = if main.len() > 3 && rng.u32(..3) == 0 {
                branch_and_merge(repo, people, rng, &main, landed)
            } else {
                let parents: Vec<&str> = main.last().map(String::as_str).into_iter().collect();
                // It was rebased, and pushed later than its date.
                let committed = landed - TimeDelta::seconds(rng.i64(0..3 * HOUR_S));
                repo.commit(&parents, committed, &people.random_signature(rng), random_lines(rng))
            };
            add_co_authors(repo, people, rng, &tip);
            repo.push(landed, &tip);
            main.push(tip);
        }
        day += TimeDelta::days(1);
        if with_force_push && day == at("2024-02-21") && main.len() > 4 {
            // A force-push replaces the last commits.
            main.truncate(main.len() - 3);
            let base = main.last().expect("a commit is left").clone();
            let tip = repo.commit(
                &[&base],
                day - TimeDelta::days(1),
                &people.random_signature(rng),
                random_lines(rng),
            );
            repo.push(day + TimeDelta::seconds(5), &tip);
            main.push(tip);
        }
    }
}

/// Adds a branch and merges it. The commits are days old when they land.
fn branch_and_merge(
    repo: &mut Repo,
    people: &People,
    rng: &mut Rng,
    main: &[String],
    landed: Time,
) -> String {
    let mut tip = main[rng.usize(..main.len() - 1)].clone();
    let mut committed = landed - TimeDelta::days(rng.i64(1..35));
    for _ in 0..rng.u32(1..5) {
        committed = (committed + TimeDelta::seconds(rng.i64(60..2 * DAY_S))).min(landed);
        tip = repo.commit(&[&tip], committed, &people.random_signature(rng), random_lines(rng));
    }
    let last = main.last().expect("there is a main branch");
    repo.commit(&[last, &tip], landed, &people.random_signature(rng), Some([0, 0, 0]))
}

fn add_co_authors(repo: &mut Repo, people: &People, rng: &mut Rng, sha: &str) {
    if rng.u32(..5) == 0
        && let Some(commit) = repo.commits.get_mut(sha)
    {
        commit.co_authors = vec![
            Signature::new("Pair", &format!("pair.{}@pairs.example", rng.u32(..9)), None),
            people.random_signature(rng),
        ];
    }
}

/// Returns a closing. Its event is on time or one second off.
fn random_closing(rng: &mut Rng) -> ThreadChange {
    ThreadChange::Closed { event_offset_s: [Some(0), Some(1), Some(-1)][rng.usize(..3)] }
}

/// Removes the timeline's event of some final closings. A closing that was undone must keep its event:
/// nothing else of it is visible.
fn maybe_drop_last_event(thread: &mut Thread, rng: &mut Rng) {
    if rng.u32(..3) == 0
        && let Some((_, ThreadChange::Closed { event_offset_s })) = thread.changes.last_mut()
    {
        *event_offset_s = None;
    }
}

fn add_threads(repo: &mut Repo, people: &People, rng: &mut Rng, ids: &mut Ids) {
    let days = (at(END) - at(BEGIN)).num_days();
    for number in 1..=90 {
        let opened = random_time(rng, at(BEGIN) + TimeDelta::days(number * days / 91), DAY_S);
        let mut thread = Thread::new(number, people.random_actor(rng), opened);
        let mut when = opened;
        for _ in 0..rng.u32(..4) {
            when = random_time(rng, when + TimeDelta::seconds(10), 9 * DAY_S);
            let change =
                if thread.closing(when).is_some() { ThreadChange::Reopened } else { random_closing(rng) };
            thread = thread.with_change(when, change);
        }
        if number % 5 < 2 {
            if number == 5 {
                // More closings than fit on a page of the timeline.
                for _ in 0..30 {
                    when += TimeDelta::seconds(40_000);
                    let change = if thread.closing(when).is_some() {
                        ThreadChange::Reopened
                    } else {
                        random_closing(rng)
                    };
                    thread = thread.with_change(when, change);
                }
            }
            maybe_drop_last_event(&mut thread, rng);
            repo.issues.push(thread);
            continue;
        }
        let mut pull = PullRequest::new(thread);
        pull.is_draft = rng.u32(..8) == 0;
        if pull.thread.closing(when).is_none() && rng.u32(..4) > 0 {
            pull.thread
                .changes
                .push((random_time(rng, when + TimeDelta::seconds(10), 12 * DAY_S), ThreadChange::Merged));
        }
        maybe_drop_last_event(&mut pull.thread, rng);
        let review_count = if number == 42 { 65 } else { rng.u32(..5) };
        for _ in 0..review_count {
            let author =
                if rng.u32(..6) == 0 { pull.thread.author.clone() } else { people.random_actor(rng) };
            let started = random_time(rng, opened, 16 * DAY_S);
            pull.reviews.push(random_review(rng, ids.next(), author, started));
        }
        pull.reviews.sort_by_key(|review| review.started_at);
        repo.pulls.push(pull);
    }
}

fn random_review(rng: &mut Rng, id: i64, author: Actor, started: Time) -> Review {
    let mut review = Review::new(id, author, started);
    review.verdict = ["COMMENTED", "APPROVED", "CHANGES_REQUESTED"][rng.usize(..3)];
    match rng.u32(..7) {
        0 => review.submitted_at = None,
        1 => review.submitted_at = Some(random_time(rng, started, 2 * DAY_S)),
        2 => review.dismissed_at = Some(random_time(rng, started, 2 * DAY_S)),
        _ => {}
    }
    review
}

fn add_releases(repo: &mut Repo, people: &People, rng: &mut Rng, ids: &mut Ids) {
    for number in 0..14 {
        let created_at = random_time(rng, at(BEGIN) + TimeDelta::days(number * 7), DAY_S);
        let mut release = Release {
            id: ids.next(),
            tag: format!("v{number}"),
            author: people.random_actor(rng),
            created_at,
            changes: Vec::new(),
        };
        let mut when = created_at;
        let mut with_change = |change, rng: &mut Rng| {
            when = random_time(rng, when, 3 * DAY_S);
            release.changes.push((when, change));
        };
        match number % 6 {
            0 => {}
            1 => {
                with_change(ReleaseChange::Published, rng);
                with_change(ReleaseChange::Drafted, rng);
                with_change(ReleaseChange::Published, rng);
            }
            // A draft that is deleted. A published one that is deleted would stay counted only if it was read.
            2 => {
                with_change(ReleaseChange::Drafted, rng);
                with_change(ReleaseChange::Deleted, rng);
            }
            _ => release.changes.push((created_at, ReleaseChange::Published)),
        }
        repo.releases.push(release);
    }
}

fn add_deployments(repo: &mut Repo, people: &People, rng: &mut Rng, ids: &mut Ids) {
    let mut created_at = at(BEGIN);
    while created_at < at(END) {
        created_at = random_time(rng, created_at, 4 * DAY_S);
        let mut statuses = vec![(created_at, "QUEUED")];
        let mut when = created_at;
        let mut add_status = |state, within: i64, rng: &mut Rng| {
            when = random_time(rng, when, within);
            statuses.push((when, state));
        };
        match rng.u32(..6) {
            0 => add_status("FAILURE", HOUR_S, rng),
            1 => {
                add_status("ERROR", HOUR_S, rng);
                add_status("SUCCESS", 25 * DAY_S, rng);
            }
            2 => {
                for _ in 0..24 {
                    add_status("IN_PROGRESS", HOUR_S, rng);
                }
                add_status("SUCCESS", HOUR_S, rng);
                add_status("INACTIVE", DAY_S, rng);
            }
            3 => {
                add_status("SUCCESS", HOUR_S, rng);
                add_status("FAILURE", DAY_S, rng);
            }
            4 => {}
            _ => add_status("SUCCESS", HOUR_S, rng),
        }
        let environment = ["production", "staging"][rng.usize(..2)].to_owned();
        let id = ids.next();
        repo.deployments.push(Deployment {
            id,
            environment,
            creator: people.random_actor(rng),
            created_at,
            statuses,
        });
    }
}

/// Returns increasing times at which a test collects the world. The last is after every change.
pub fn times(seed: u64, count: usize) -> Vec<Time> {
    let mut rng = Rng::with_seed(seed);
    let (from, to) = (at(BEGIN).timestamp() + DAY_S, at(END).timestamp());
    let mut times: Vec<i64> = (1..count).map(|_| rng.i64(from..to)).collect();
    times.push(to + 40 * DAY_S);
    times.sort_unstable();
    times.into_iter().filter_map(|when| DateTime::from_timestamp(when, 0)).collect()
}
