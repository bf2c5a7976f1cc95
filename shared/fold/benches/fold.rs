//! Measures how fast a month folds: `cargo bench -p gam-fold --bench fold`. divan prints events per second.
//! The fold uses one core.

use divan::Bencher;
use divan::counter::ItemsCount;
use gam_lake::snapshot;
use gam_model::{Event, EventId, EventKind, Facts, FirstReview, Identity, Member, MemberKind, Month};

fn main() {
    divan::main();
}

/// Returns `count` events of one month, by 500 members in 40 repositories.
fn events(count: u64) -> Vec<Event> {
    let rng = &mut fastrand::Rng::with_seed(1);
    let month = Month::parse("2025-01").expect("a month").first_day();
    let start = month.and_hms_opt(0, 0, 0).expect("midnight").and_utc();
    let people: Vec<Member> =
        (0..500).map(|n| Member::account(&format!("member-{n}"), Some(n), n % 25 == 0)).collect();
    (0..count)
        .map(|n| {
            let kind = match rng.u8(..10) {
                0..=4 => EventKind::Commit,
                5 => EventKind::PrOpened,
                6 => EventKind::PrMerged,
                7..=8 => EventKind::Review,
                _ => EventKind::IssueOpened,
            };
            let repo_id = rng.i64(0..40);
            let at = start + chrono::TimeDelta::seconds(rng.i64(0..31 * 86_400));
            let member = people[rng.usize(..people.len())].clone();
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

#[divan::bench(args = [100_000, 1_000_000], sample_count = 20)]
fn fold(bencher: Bencher, count: u64) {
    let month = Month::parse("2025-01").expect("a month");
    let merged = snapshot::merge(&[], events(count)).expect("the events merge");
    let identity = Identity::default();
    bencher.counter(ItemsCount::new(count)).bench_local(|| {
        gam_fold::fold(month, divan::black_box(&merged.batches), &identity).expect("the month folds")
    });
}
