//! The fold against the definitions, written out plainly.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use gam_model::{Event, EventBatch, EventKind, Identity, MemberKind, Range};
use gam_query::{BotFilter, SubjectRef, Value};
use proptest::prelude::*;

use crate::support::{ORG, World, batches, day, kind_of, other_identity};

/// The facts that hold, by the contract's rule.
fn live(batches: &[EventBatch]) -> Vec<Event> {
    let mut facts: BTreeMap<String, Event> = BTreeMap::new();
    for event in batches.iter().flat_map(|batch| batch.events()) {
        let key = event.id.to_string();
        let kept = facts.entry(key).or_insert_with(|| event.clone());
        let order = |e: &Event| (e.version, e.retracted, e.content_hash());
        if order(event) > order(kept) {
            *kept = event.clone();
        }
    }
    facts.into_values().filter(|event| !event.retracted).collect()
}

#[derive(Default, PartialEq, Debug)]
struct Expected {
    counts: BTreeMap<&'static str, u64>,
    members: BTreeSet<String>,
    durations: BTreeMap<&'static str, Vec<i64>>,
}

struct Who {
    name: String,
    bot: bool,
}

fn who(identity: &Identity, name: &str, kind: MemberKind) -> Who {
    let target = identity.name(name);
    let configured = identity == &other_identity() && target.eq_ignore_ascii_case("ci-user");
    let by_kind = target == name && kind == MemberKind::Bot;
    Who { name: target.to_lowercase(), bot: configured || by_kind || target.ends_with("[bot]") }
}

/// One event into what is expected; nothing where it counts nowhere.
fn add(expected: &mut Expected, event: &Event, identity: &Identity, member: &Who) {
    let facts = &event.facts;
    let mut counts: Vec<(&'static str, u64)> = match event.kind {
        EventKind::Commit if facts.parents.unwrap_or(0) > 1 => vec![("merge_commits", 1)],
        EventKind::Commit => vec![
            ("commits", 1),
            ("additions", facts.additions.unwrap_or(0) as u64),
            ("deletions", facts.deletions.unwrap_or(0) as u64),
            ("files_changed", facts.files_changed.unwrap_or(0) as u64),
        ],
        EventKind::PrOpened => vec![("prs_opened", 1)],
        EventKind::PrMerged => vec![("prs_merged", 1)],
        EventKind::PrClosed => vec![("prs_closed", 1)],
        EventKind::Review => vec![("reviews", 1)],
        EventKind::IssueOpened => vec![("issues_opened", 1)],
        EventKind::IssueClosed => vec![("issues_closed", 1)],
        EventKind::Release => vec![("releases", 1)],
        EventKind::DeploymentSuccess => vec![("deploys", 1)],
        EventKind::DeploymentFailure => vec![("deploy_failures", 1)],
    };
    if event.kind == EventKind::Review {
        let author = facts.pr_member.as_deref().unwrap();
        if who(identity, author, kind_of(author)).name == member.name {
            return;
        }
    }
    if event.kind == EventKind::Commit && facts.parents.unwrap_or(0) <= 1 {
        let lines = facts.additions.unwrap_or(0) + facts.deletions.unwrap_or(0);
        counts.push(("lines_changed", lines as u64));
    }
    expected.members.insert(member.name.clone());
    for (name, by) in counts {
        *expected.counts.entry(name).or_default() += by;
    }
    if event.kind == EventKind::PrMerged {
        let (created, merged) = (facts.created_at.unwrap(), event.occurred_at);
        let seconds = |at: chrono::DateTime<chrono::Utc>| (at - created).num_seconds().max(0);
        expected.durations.entry("cycle_time_hours").or_default().push(seconds(merged));
        let reviews = facts.first_reviews.iter().flatten();
        let by_others = reviews.filter(|review| {
            let reviewer = who(identity, &review.member, review.member_kind);
            review.at <= merged && !reviewer.bot && reviewer.name != member.name
        });
        if let Some(first) = by_others.map(|review| review.at).min() {
            expected.durations.entry("first_review_hours").or_default().push(seconds(first));
        }
    }
}

/// Those whom a commit names beside its author.
fn co_authors(event: &Event, identity: &Identity, author: &Who) -> BTreeMap<String, Who> {
    let counts = event.kind == EventKind::Commit && event.facts.parents.unwrap_or(0) <= 1;
    let named = event.facts.co_authors.iter().flatten().filter(|_| counts);
    let others = named.map(|name| who(identity, name, MemberKind::User));
    others.filter(|other| other.name != author.name).map(|other| (other.name.clone(), other)).collect()
}

fn check(expected: &Expected, got: &[(&'static str, Value)], what: &str) {
    for (name, value) in got {
        match value {
            Value::Count(count) if *name == "active_members" => {
                assert_eq!(*count, expected.members.len() as u64, "{what} {name}");
            }
            Value::Count(_) if name.starts_with("total_") => {}
            Value::Count(count) => {
                assert_eq!(*count, expected.counts.get(name).copied().unwrap_or(0), "{what} {name}");
            }
            Value::Distribution { count, mean, p50, p90 } => {
                let mut seconds = expected.durations.get(name).cloned().unwrap_or_default();
                seconds.sort_unstable();
                assert_eq!(*count, seconds.len() as u64, "{what} {name}");
                if seconds.is_empty() {
                    assert_eq!((*mean, *p50, *p90), (None, None, None), "{what} {name}");
                    continue;
                }
                let close = |got: Option<f64>, want: f64| {
                    let got = got.expect("a value") * 3600.0;
                    assert!((got - want).abs() <= want * 0.02, "{what} {name}: {got} for {want}");
                };
                close(*mean, seconds.iter().sum::<i64>() as f64 / seconds.len() as f64);
                let rank = |percent: usize| seconds[(seconds.len() * percent).div_ceil(100) - 1] as f64;
                close(*p50, rank(50));
                close(*p90, rank(90));
            }
        }
    }
}

async fn compare(seed: u64, identity: Identity) {
    let rng = &mut Rng::with_seed(seed);
    let whole = batches(rng, 60, 30);
    let facts = live(&whole);
    let world = World::aggregated(&whole, identity.clone()).await;
    let ports = world.ports_as(identity.clone());
    for (since, until) in
        [("2025-01-01", "2025-03-01"), ("2025-01-23", "2025-02-09"), ("2025-01-27", "2025-01-28")]
    {
        let range = Range::new(day(since), day(until)).unwrap();
        for bots in [BotFilter::Exclude, BotFilter::Include, BotFilter::Only] {
            let mut org = Expected::default();
            let mut repos: BTreeMap<String, Expected> = BTreeMap::new();
            let mut members: BTreeMap<String, Expected> = BTreeMap::new();
            for event in facts.iter().filter(|event| range.contains(event.occurred_at.date_naive())) {
                let member = who(&identity, &event.member.name, event.member.kind);
                let by_name = bots != BotFilter::Only || member.bot;
                if by_name {
                    add(members.entry(member.name.clone()).or_default(), event, &identity, &member);
                }
                if member.bot == (bots == BotFilter::Only) || bots == BotFilter::Include {
                    add(&mut org, event, &identity, &member);
                    add(repos.entry(event.repo.clone()).or_default(), event, &identity, &member);
                }
                for other in co_authors(event, &identity, &member).into_values() {
                    let count = |expected: &mut Expected| {
                        *expected.counts.entry("co_authored_commits").or_default() += 1;
                    };
                    if bots != BotFilter::Only || other.bot {
                        count(members.entry(other.name.clone()).or_default());
                    }
                    if other.bot == (bots == BotFilter::Only) || bots == BotFilter::Include {
                        count(&mut org);
                        count(repos.entry(event.repo.clone()).or_default());
                    }
                }
            }
            let what = format!("seed {seed} {since} {bots:?}");
            let ask = async |subject| {
                gam_query::metrics(&ports.query, ORG, &subject, range, bots).await.unwrap().metrics.0
            };
            check(&org, &ask(SubjectRef::Org).await, &what);
            for (repo, expected) in repos {
                check(&expected, &ask(SubjectRef::Repo(repo.clone())).await, &format!("{what} {repo}"));
            }
            for (member, mut expected) in members.into_iter().filter(|(_, e)| !e.members.is_empty()) {
                expected.members = [member.clone()].into();
                check(&expected, &ask(SubjectRef::Member(member.clone())).await, &format!("{what} {member}"));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn every_number_is_that_of_the_definitions(seed in any::<u64>(), configured in any::<bool>()) {
        let identity = if configured { other_identity() } else { Identity::default() };
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(compare(seed, identity));
    }
}
