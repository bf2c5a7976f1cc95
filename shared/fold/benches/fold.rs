//! Measures how fast a month folds: `cargo bench -p gam-fold --bench fold`. divan prints events per second.
//! The fold uses one core.

use arrow_array::RecordBatch;
use divan::Bencher;
use divan::counter::ItemsCount;
use gam_lake::snapshot;
use gam_model::{Event, EventId, EventKind, Facts, FirstReview, Identity, Member, MemberKind, Month};

fn main() {
    divan::main();
}

/// How many events a month has, by how many members in how many repositories.
#[derive(Debug, Clone, Copy)]
struct Size {
    events: u64,
    repos: usize,
    members: usize,
}

const SIZES: [Size; 2] = [
    Size { events: 100_000, repos: 40, members: 500 },
    // A month of an organization with 10 million events in two years.
    Size { events: 416_666, repos: 1_000, members: 2_000 },
];

/// Returns a random index, of which the n-th is n times rarer than the first.
fn zipf(rng: &mut fastrand::Rng, sums: &[f64]) -> usize {
    let target = rng.f64() * sums[sums.len() - 1];
    sums.partition_point(|sum| *sum <= target)
}

fn sums_of_weights(count: usize) -> Vec<f64> {
    let weights = (1..=count).map(|rank| 1.0 / rank as f64);
    weights
        .scan(0.0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        })
        .collect()
}

fn month() -> Month {
    Month::parse("2025-01").expect("a month")
}

/// Returns events of one month.
fn events(size: Size) -> Vec<Event> {
    let rng = &mut fastrand::Rng::with_seed(1);
    let start = month().first_day().and_hms_opt(0, 0, 0).expect("midnight").and_utc();
    let people: Vec<Member> = (0..size.members as i64)
        .map(|n| Member::account(&format!("member-{n}"), Some(n), n % 25 == 0))
        .collect();
    let (repos, members) = (sums_of_weights(size.repos), sums_of_weights(size.members));
    (0..size.events)
        .map(|n| {
            let kind = match rng.u8(..10) {
                0..=4 => EventKind::Commit,
                5 => EventKind::PrOpened,
                6 => EventKind::PrMerged,
                7..=8 => EventKind::Review,
                _ => EventKind::IssueOpened,
            };
            let repo_id = zipf(rng, &repos) as i64;
            let at = start + chrono::TimeDelta::seconds(rng.i64(0..31 * 86_400));
            let member = people[zipf(rng, &members)].clone();
            let review = FirstReview { member: people[1].name.clone(), member_kind: MemberKind::User, at };
            Event {
                id: EventId::from_stored(format!("fact:{n}")),
                version: 1,
                kind,
                org: "acme".into(),
                repo: format!("repo-{repo_id}"),
                repo_id,
                member,
                occurred_at: at,
                collected_at: start,
                retracted: false,
                reading: 0,
                facts: Facts {
                    sha: (kind == EventKind::Commit)
                        .then(|| format!("{:040x}", u128::from(n) * 0x9e37_79b9_7f4a_7c15)),
                    parents: Some(1),
                    additions: Some(rng.i64(0..500)),
                    deletions: Some(rng.i64(0..500)),
                    files_changed: Some(3),
                    pr_member: Some("member-7".into()),
                    created_at: Some(at - chrono::TimeDelta::hours(rng.i64(1..500))),
                    first_reviews: (kind == EventKind::PrMerged).then(|| vec![review]),
                    ..Facts::default()
                },
            }
        })
        .collect()
}

fn rows(size: Size) -> Vec<RecordBatch> {
    snapshot::sort_rows::<gam_lake::Events>(events(size)).expect("the events are valid")
}

/// From rows in memory to cells.
#[divan::bench(args = SIZES, sample_count = 20)]
fn cells(bencher: Bencher, size: Size) {
    let (rows, identity) = (rows(size), Identity::default());
    bencher.counter(ItemsCount::new(size.events)).bench_local(|| {
        gam_fold::fold(month(), divan::black_box(&rows), &identity).expect("the month folds")
    });
}

/// From rows in memory to encoded items.
#[divan::bench(args = SIZES, sample_count = 20)]
fn encoded_items(bencher: Bencher, size: Size) {
    let (rows, identity) = (rows(size), Identity::default());
    bencher.counter(ItemsCount::new(size.events)).bench_local(|| {
        gam_fold::fold(month(), divan::black_box(&rows), &identity).expect("the month folds").items()
    });
}
