//! Random events of one small organization.

use std::sync::atomic::{AtomicI64, Ordering};

use chrono::TimeDelta;
use fastrand::Rng;
use gam_model::{
    Clock, Event, EventBatch, EventId, EventKind, Facts, FirstReview, Identity, Member, MemberKind,
};

use super::{ORG, TestClock, day};

/// The members of the organization, with the names that GitHub returns.
pub(crate) fn members() -> Vec<Member> {
    vec![
        Member::account("Ann", Some(1), false),
        Member::account("ben", Some(2), false),
        Member::account("ci-user", Some(3), false),
        Member::account("dependabot", Some(4), true),
        Member::commit_author(Some("Cy"), Some("cy@example.org")),
        Member::ghost(),
        // As rows had it before it was known as an agent.
        Member { name: "Copilot".to_owned(), id: Some(198_982_749), kind: MemberKind::User },
    ]
}

pub(crate) fn kind_of(member: &str) -> MemberKind {
    members().into_iter().find(|m| m.name == member).map_or(MemberKind::User, |m| m.kind)
}

/// A configuration with a bot and an alias.
pub(crate) fn other_identity() -> Identity {
    let alias = (members()[4].name.clone(), "ann".to_owned());
    Identity::new(["ci-user".to_owned()], [alias]).unwrap()
}

/// Number of events made so far. It makes each event's `collected_at` different.
static EVENTS_MADE: AtomicI64 = AtomicI64::new(0);

/// Returns a random version of the `n`-th event of the organization. The id fixes kind, repository and
/// time. The version fixes the member, the case of its name, the amounts, and whether the event is
/// retracted.
pub(crate) fn random_version(rng: &mut Rng, n: u64) -> Event {
    // Of every three events the last is the second again, in the other repository. A commit has the same SHA.
    let (original, is_copy) = if n % 3 == 2 { (n - 1, true) } else { (n, false) };
    let by_id = &mut Rng::with_seed(original * 7919 + 1);
    let kind = EventKind::ALL[by_id.usize(..EventKind::ALL.len())];
    let repo_id = by_id.i64(1..3);
    let repo_id = if is_copy { 3 - repo_id } else { repo_id };
    // Two months whose border cuts a week, so that weeks have two parts.
    let at =
        day("2025-01-20").and_hms_opt(0, 0, 0).unwrap().and_utc() + TimeDelta::minutes(by_id.i64(0..31_000));
    let version = rng.i64(1..5);
    let by_version = &mut Rng::with_seed(n * 104_729 + version as u64);
    let members = members();
    let number = n as i64;
    let first_reviews = (0..by_version.usize(0..4))
        .map(|_| {
            let reviewer = &members[by_version.usize(..members.len())];
            let at = at - TimeDelta::minutes(by_version.i64(-30..3_000));
            FirstReview { member: reviewer.name.clone(), member_kind: reviewer.kind, at }
        })
        .collect();
    let co_authors = (0..by_version.usize(0..4))
        .map(|_| members[by_version.usize(..members.len())].name.clone())
        .collect();
    let mut event = Event {
        id: EventId::from_stored(format!("fact:{n}")),
        version,
        kind,
        org: ORG.into(),
        repo: format!("repo-{repo_id}"),
        repo_id,
        member: members[by_version.usize(..members.len())].clone(),
        occurred_at: at,
        collected_at: TestClock::default().now()
            + TimeDelta::milliseconds(EVENTS_MADE.fetch_add(1, Ordering::Relaxed)),
        retracted: by_version.u8(..5) == 0,
        reading: by_version.i64(0..2),
        facts: Facts {
            sha: Some(format!("{original:040x}")),
            parents: Some(by_version.i32(0..3)),
            additions: (by_version.u8(..6) > 0).then(|| by_version.i64(0..500)),
            deletions: Some(by_version.i64(0..500)),
            files_changed: Some(by_version.i64(0..20)),
            number: Some(number),
            pr_member: Some(members[by_version.usize(..members.len())].name.clone()),
            created_at: Some(at - TimeDelta::minutes(by_version.i64(0..40_000))),
            merged_at: (kind == EventKind::PrMerged).then_some(at),
            first_reviews: (kind == EventKind::PrMerged).then_some(first_reviews),
            co_authors: (kind == EventKind::Commit).then_some(co_authors),
            ..Facts::default()
        },
    };
    if kind.is_delivery() && by_version.u8(..3) == 0 {
        event.member = Member::unknown();
    }
    // A login in another case is the same member.
    if event.member.kind == MemberKind::User && by_version.bool() {
        event.member.name = event.member.name.to_uppercase();
    }
    event
}

/// Returns `batches` batches of one to five random versions each, of `events` different events.
pub(crate) fn random_batches(rng: &mut Rng, events: u64, batches: usize) -> Vec<EventBatch> {
    (0..batches)
        .map(|_| {
            let batch = (0..rng.usize(1..6)).map(|_| {
                let n = rng.u64(..events);
                random_version(rng, n)
            });
            EventBatch::new(ORG, batch.collect())
        })
        .collect()
}
