//! The metrics compared with their definitions, computed here event by event.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use fastrand::Rng;
use gam_model::{Event, EventBatch, EventKind, Identity, MemberKind, Range, TimeZone};
use gam_query::{BotFilter, MetricValue, SubjectRef};
use proptest::prelude::*;

use crate::support::{ORG, TestData, day, kind_of, other_identity, random_batches};

/// Returns the winning version of each event id, without the retracted ones.
fn current_events(batches: &[EventBatch]) -> Vec<Event> {
    let mut winners: BTreeMap<String, Event> = BTreeMap::new();
    for event in batches.iter().flat_map(|batch| batch.events()) {
        let key = event.id.to_string();
        let winner = winners.entry(key).or_insert_with(|| event.clone());
        let order = |e: &Event| (e.version, e.retracted, e.content_hash());
        if order(event) > order(winner) {
            *winner = event.clone();
        }
    }
    winners.into_values().filter(|event| !event.retracted).collect()
}

/// The expected numbers of one subject in one range.
#[derive(Default, PartialEq, Debug)]
struct Expected {
    counts: BTreeMap<&'static str, u64>,
    members: BTreeSet<String>,
    /// In seconds.
    durations: BTreeMap<&'static str, Vec<i64>>,
}

/// A member after aliases are applied.
struct ResolvedMember {
    /// In lower case.
    name: String,
    is_bot: bool,
    /// Whether the event has no author.
    is_unknown: bool,
}

impl ResolvedMember {
    /// Returns whether the filter counts what the member did, which is a release or a deployment or something
    /// else.
    fn counts(&self, bots: BotFilter, is_delivery: bool) -> bool {
        match bots {
            BotFilter::Auto => is_delivery || !self.is_bot,
            BotFilter::Exclude => !self.is_bot && !self.is_unknown,
            BotFilter::Include => true,
            BotFilter::Only => self.is_bot,
        }
    }
}

fn resolve(identity: &Identity, name: &str, kind: MemberKind) -> ResolvedMember {
    let target = identity.name(name);
    let by_configuration = identity == &other_identity().with_time_zone(identity.time_zone())
        && target.eq_ignore_ascii_case("ci-user");
    let by_kind = target == name && kind == MemberKind::Bot;
    let is_bot = by_configuration || by_kind || target.ends_with("[bot]");
    ResolvedMember { name: target.to_lowercase(), is_bot, is_unknown: false }
}

/// Returns the member credited with the event.
fn author(identity: &Identity, event: &Event) -> ResolvedMember {
    let is_delivery = matches!(
        event.kind,
        EventKind::Release | EventKind::DeploymentSuccess | EventKind::DeploymentFailure
    );
    // Older code read a missing author as the ghost.
    let is_unknown = is_delivery
        && (event.member.kind == MemberKind::Unknown
            || (event.member.kind == MemberKind::Ghost && event.reading == 0));
    ResolvedMember { is_unknown, ..resolve(identity, &event.member.name, event.member.kind) }
}

/// Returns the ids of the commits that count for the organization and their authors: one for each SHA.
fn counted_commits(events: &[Event]) -> BTreeSet<String> {
    let mut counted: BTreeMap<&str, (bool, i64, String)> = BTreeMap::new();
    for event in events.iter().filter(|event| event.kind == EventKind::Commit) {
        let row = (event.facts.additions.is_none(), event.repo_id, event.id.to_string());
        let sha = event.facts.sha.as_deref().unwrap();
        let best = counted.entry(sha).or_insert_with(|| row.clone());
        *best = best.clone().min(row);
    }
    counted.into_values().map(|(_, _, id)| id).collect()
}

/// Adds one event to the expected numbers, if it counts.
fn add(expected: &mut Expected, event: &Event, identity: &Identity, member: &ResolvedMember) {
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
        if resolve(identity, author, kind_of(author)).name == member.name {
            return;
        }
    }
    if event.kind == EventKind::Commit && facts.parents.unwrap_or(0) <= 1 {
        let lines = facts.additions.unwrap_or(0) + facts.deletions.unwrap_or(0);
        counts.push(("lines_changed", lines as u64));
    }
    if !member.is_unknown {
        expected.members.insert(member.name.clone());
    }
    for (name, by) in counts {
        *expected.counts.entry(name).or_default() += by;
    }
    if event.kind == EventKind::PrMerged {
        let (created, merged) = (facts.created_at.unwrap(), event.occurred_at);
        let seconds = |at: chrono::DateTime<chrono::Utc>| (at - created).num_seconds().max(0);
        expected.durations.entry("cycle_time_hours").or_default().push(seconds(merged));
        let reviews = facts.first_reviews.iter().flatten();
        let by_others = reviews.filter(|review| {
            let reviewer = resolve(identity, &review.member, review.member_kind);
            review.at <= merged && !reviewer.is_bot && reviewer.name != member.name
        });
        if let Some(first) = by_others.map(|review| review.at).min() {
            expected.durations.entry("first_review_hours").or_default().push(seconds(first));
        }
    }
}

/// Returns the co-authors of a commit by name, without its author.
fn co_authors(
    event: &Event,
    identity: &Identity,
    author: &ResolvedMember,
) -> BTreeMap<String, ResolvedMember> {
    let counts = event.kind == EventKind::Commit && event.facts.parents.unwrap_or(0) <= 1;
    let names = event.facts.co_authors.iter().flatten().filter(|_| counts);
    let others = names.map(|name| resolve(identity, name, MemberKind::User));
    others.filter(|other| other.name != author.name).map(|other| (other.name.clone(), other)).collect()
}

fn check(expected: &Expected, actual: &[(&'static str, MetricValue)], context: &str) {
    for (name, value) in actual {
        match value {
            MetricValue::Count(count) if *name == "active_members" => {
                assert_eq!(*count, expected.members.len() as u64, "{context} {name}");
            }
            MetricValue::Count(_) if name.starts_with("total_") => {}
            MetricValue::Count(count) => {
                assert_eq!(*count, expected.counts.get(name).copied().unwrap_or(0), "{context} {name}");
            }
            MetricValue::Distribution { count, mean, p50, p90 } => {
                let mut seconds = expected.durations.get(name).cloned().unwrap_or_default();
                seconds.sort_unstable();
                assert_eq!(*count, seconds.len() as u64, "{context} {name}");
                if seconds.is_empty() {
                    assert_eq!((*mean, *p50, *p90), (None, None, None), "{context} {name}");
                    continue;
                }
                let assert_close = |hours: Option<f64>, expected: f64| {
                    let actual = hours.expect("a value") * 3600.0;
                    assert!(
                        (actual - expected).abs() <= expected * 0.02,
                        "{context} {name}: {actual} s, not {expected} s"
                    );
                };
                assert_close(*mean, seconds.iter().sum::<i64>() as f64 / seconds.len() as f64);
                let rank = |percent: usize| seconds[(seconds.len() * percent).div_ceil(100) - 1] as f64;
                assert_close(*p50, rank(50));
                assert_close(*p90, rank(90));
            }
        }
    }
}

/// Moves events by a number of days.
fn moved(batches: Vec<EventBatch>, days: TimeDelta) -> Vec<EventBatch> {
    let moved = |mut event: Event| {
        let facts = &mut event.facts;
        let times = [Some(&mut event.occurred_at), facts.created_at.as_mut(), facts.merged_at.as_mut()];
        times.into_iter().flatten().for_each(|time| *time += days);
        facts.first_reviews.iter_mut().flatten().for_each(|review| review.at += days);
        event
    };
    let batch =
        |batch: EventBatch| EventBatch::new(ORG, batch.into_events().into_iter().map(moved).collect());
    batches.into_iter().map(batch).collect()
}

/// Compares all numbers of random events of the three weeks from the first of two days on. The second day is compared by
/// itself, too.
async fn compare(seed: u64, identity: Identity, [first_day, other_day]: [&str; 2]) {
    let rng = &mut Rng::with_seed(seed);
    let first_day = day(first_day);
    let batches = moved(random_batches(rng, 60, 30), first_day - day("2025-01-20"));
    let events = current_events(&batches);
    let counted = counted_commits(&events);
    let zone = identity.time_zone();
    let data = TestData::aggregated(&batches, identity.clone()).await;
    let ports = data.ports_with(identity.clone()).await;
    let part = (first_day + TimeDelta::days(3), first_day + TimeDelta::days(20));
    let all = (first_day - TimeDelta::days(19), first_day + TimeDelta::days(40));
    let other_day = (day(other_day), day(other_day) + TimeDelta::days(1));
    for (since, until) in [all, part, other_day] {
        let range = Range::new(since, until).unwrap();
        for bots in [BotFilter::Auto, BotFilter::Exclude, BotFilter::Include, BotFilter::Only] {
            let mut org = Expected::default();
            let mut repos: BTreeMap<String, Expected> = BTreeMap::new();
            let mut members: BTreeMap<String, Expected> = BTreeMap::new();
            for event in events.iter().filter(|event| range.contains(zone.day(event.occurred_at))) {
                let member = author(&identity, event);
                let counts_once = event.kind != EventKind::Commit || counted.contains(event.id.as_str());
                if counts_once && !member.is_unknown && (bots != BotFilter::Only || member.is_bot) {
                    add(members.entry(member.name.clone()).or_default(), event, &identity, &member);
                }
                if member.counts(bots, event.kind.is_delivery()) {
                    // By default a bot that deploys is no active member.
                    let is_hidden = bots == BotFilter::Auto && member.is_bot;
                    let counted = ResolvedMember { is_unknown: member.is_unknown || is_hidden, ..member };
                    if counts_once {
                        add(&mut org, event, &identity, &counted);
                    }
                    add(repos.entry(event.repo.clone()).or_default(), event, &identity, &counted);
                }
                let member = author(&identity, event);
                for other in co_authors(event, &identity, &member).into_values() {
                    let count = |expected: &mut Expected| {
                        *expected.counts.entry("co_authored_commits").or_default() += 1;
                    };
                    if counts_once && (bots != BotFilter::Only || other.is_bot) {
                        count(members.entry(other.name.clone()).or_default());
                    }
                    if other.counts(bots, false) {
                        if counts_once {
                            count(&mut org);
                        }
                        count(repos.entry(event.repo.clone()).or_default());
                    }
                }
            }
            let context = format!("seed {seed} {since} {bots:?}");
            let query = async |subject| {
                gam_query::metrics(&ports.query, ORG, &subject, range, bots).await.unwrap().metrics.0
            };
            check(&org, &query(SubjectRef::Org).await, &context);
            for (repo, expected) in repos {
                let context = format!("{context} {repo}");
                check(&expected, &query(SubjectRef::repo(repo)).await, &context);
            }
            for (member, mut expected) in members.into_iter().filter(|(_, e)| !e.members.is_empty()) {
                expected.members = [member.clone()].into();
                let context = format!("{context} {member}");
                check(&expected, &query(SubjectRef::Member(member)).await, &context);
            }
        }
    }
}

/// Zones with all kinds of offsets and changes: the greatest offsets in both directions, quarters of an hour, summer in
/// the north and in the south, half an hour of it (Lord Howe), and a change in February 2025 (Casablanca).
const ZONES: [&str; 9] = [
    "Pacific/Kiritimati",
    "Pacific/Pago_Pago",
    "Asia/Kathmandu",
    "Pacific/Chatham",
    "America/St_Johns",
    "Africa/Casablanca",
    "America/New_York",
    "Europe/Lisbon",
    "Australia/Lord_Howe",
];

/// The first of three weeks, and a day among them that is compared by itself: one on which the clocks of some of the zones
/// change, so that it has another number of hours. Each time a month ends in between.
const SPANS: [[&str; 2]; 8] = [
    ["2025-01-20", "2025-01-27"],
    // Casablanca.
    ["2025-02-18", "2025-02-23"],
    // New York and St. John's.
    ["2025-02-18", "2025-03-09"],
    // Lisbon.
    ["2025-03-20", "2025-03-30"],
    // Casablanca, Chatham and Lord Howe.
    ["2025-03-20", "2025-04-06"],
    // Chatham.
    ["2025-09-20", "2025-09-28"],
    // Lisbon.
    ["2025-10-20", "2025-10-26"],
    // New York and St. John's.
    ["2025-10-20", "2025-11-02"],
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn every_number_matches_its_definition(
        seed in any::<u64>(),
        is_configured in any::<bool>(),
        zone in prop_oneof![1 => Just("UTC"), 3 => prop::sample::select(&ZONES[..])],
        span in prop::sample::select(&SPANS[..]),
    ) {
        let identity = if is_configured { other_identity() } else { Identity::default() };
        let identity = identity.with_time_zone(TimeZone::parse(zone).unwrap());
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(compare(seed, identity, span));
    }
}
