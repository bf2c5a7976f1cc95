//! The items of session events equal sums that are computed event by event.

use std::collections::{BTreeMap, BTreeSet};

use arrow_array::RecordBatch;
use chrono::{DateTime, TimeDelta, Utc};
use gam_fold::fold_sessions;
use gam_lake::{Sessions, snapshot};
use gam_model::session_event::ActiveQuarter;
use gam_model::{
    AgentCounter, AgentDimension, CodingAgent, DayOfMonth, FieldText, Identity, ItemClass, ItemKey, Member,
    SessionEvent, SessionEventKind, SessionFacts, Subject, SubjectKind, TimeZone, ToolOutcome,
};
use gam_rollup::agents::{AgentCounts, add_counts};
use gam_rollup::{AgentDaysItem, AgentListItem, Side, StoredForm};

use crate::items::position;
use crate::support::{configured, hour, january};

const MEMBERS: [&str; 4] = ["Ann", "~0123456789ab", "cara", "renovate[bot]"];
const TOOLS: [&str; 3] = ["Bash", "Edit", "Read"];

pub(crate) fn session_event(
    kind: SessionEventKind,
    id: &str,
    repo_id: i64,
    name: &str,
    at: DateTime<Utc>,
) -> SessionEvent {
    SessionEvent {
        id: FieldText::new(id),
        version: 1,
        kind,
        org: "acme".into(),
        repo: format!("repo-{repo_id}"),
        repo_id,
        member: Member::account(name, None, name.ends_with("[bot]")),
        occurred_at: at,
        collected_at: at,
        retracted: false,
        reading: 1,
        agent: CodingAgent::Claude,
        session: FieldText::new("s"),
        facts: SessionFacts::default(),
    }
}

pub(crate) fn session_rows(events: &[SessionEvent]) -> Vec<RecordBatch> {
    snapshot::sort_rows::<Sessions>(events.to_vec()).unwrap()
}

fn random_event(n: usize, random: &mut fastrand::Rng) -> SessionEvent {
    let kinds =
        [SessionEventKind::AgentResponse, SessionEventKind::AgentToolCall, SessionEventKind::AgentSession];
    let kind = random.choice(kinds).unwrap();
    let at = hour(random.i64(0..31 * 24)) + TimeDelta::minutes(random.i64(0..60));
    let mut event =
        session_event(kind, &format!("e{n}"), random.i64(1..4), random.choice(MEMBERS).unwrap(), at);
    event.retracted = random.u8(0..20) == 0;
    event.session = FieldText::new(&format!("s{n}"));
    let facts = &mut event.facts;
    facts.branch = random.bool().then(|| FieldText::new(random.choice(["main", "~0123456789ab"]).unwrap()));
    match kind {
        SessionEventKind::AgentResponse => {
            facts.model = Some(FieldText::new(random.choice(["claude-opus-4-6", "mystery"]).unwrap()));
            facts.input_tokens = Some(random.i64(0..100));
            facts.output_tokens = Some(random.i64(0..1000));
            facts.cache_read_tokens = Some(random.i64(0..100_000));
            facts.cache_write_5m_tokens = Some(random.i64(0..1000));
            facts.cache_write_1h_tokens = random.bool().then(|| random.i64(0..1000));
        }
        SessionEventKind::AgentToolCall => {
            facts.tool = Some(FieldText::new(random.choice(TOOLS).unwrap()));
            facts.outcome = random.choice(ToolOutcome::ALL);
            facts.additions = random.bool().then(|| random.i64(0..50));
            facts.deletions = random.bool().then(|| random.i64(0..50));
        }
        _ => {
            facts.started_at = Some(at);
            facts.prompts = Some(random.i64(0..9));
            let quarter = DateTime::from_timestamp(at.timestamp().div_euclid(900) * 900, 0).unwrap();
            facts.active = Some(vec![ActiveQuarter { at: quarter, active_ms: random.i64(1..900_000) }]);
        }
    }
    event
}

/// Returns what one event counts, by the definitions of the metrics.
fn counts_of(event: &SessionEvent) -> AgentCounts {
    let mut counts = [0; AgentCounter::COUNT];
    let mut add = |counter: AgentCounter, amount: Option<i64>| {
        counts[counter as usize] += amount.unwrap_or_default() as u64;
    };
    let facts = &event.facts;
    match event.kind {
        SessionEventKind::AgentResponse => {
            add(AgentCounter::Responses, Some(1));
            add(AgentCounter::TokensInput, facts.input_tokens);
            add(AgentCounter::TokensOutput, facts.output_tokens);
            add(AgentCounter::TokensCacheRead, facts.cache_read_tokens);
            add(AgentCounter::TokensCacheWrite, facts.cache_write_5m_tokens);
            add(AgentCounter::TokensCacheWrite, facts.cache_write_1h_tokens);
            let tokens = [
                (facts.input_tokens, 5_000),
                (facts.output_tokens, 25_000),
                (facts.cache_read_tokens, 500),
                (facts.cache_write_5m_tokens, 6_250),
                (facts.cache_write_1h_tokens, 10_000),
            ];
            let is_priced = facts.model.as_ref().is_some_and(|model| model.as_str() == "claude-opus-4-6");
            for (tokens, nano_dollars) in tokens {
                match is_priced {
                    true => add(AgentCounter::CostNanoUsd, tokens.map(|tokens| tokens * nano_dollars)),
                    false => add(AgentCounter::UnpricedTokens, tokens),
                }
            }
        }
        SessionEventKind::AgentToolCall => {
            add(AgentCounter::ToolCalls, Some(1));
            add(AgentCounter::ToolErrors, Some(i64::from(facts.outcome == Some(ToolOutcome::Error))));
            add(AgentCounter::ToolRejections, Some(i64::from(facts.outcome == Some(ToolOutcome::Rejected))));
            add(AgentCounter::LinesAdded, facts.additions);
            add(AgentCounter::LinesDeleted, facts.deletions);
        }
        _ => {
            add(AgentCounter::Sessions, Some(1));
            add(AgentCounter::Prompts, facts.prompts);
            facts
                .active
                .iter()
                .flatten()
                .for_each(|quarter| add(AgentCounter::ActiveMs, Some(quarter.active_ms)));
        }
    }
    counts
}

fn items(rows: &[RecordBatch], identity: &Identity) -> BTreeMap<ItemKey, Vec<u8>> {
    fold_sessions(january(), rows, identity).unwrap().into_iter().collect()
}

fn days(items: &BTreeMap<ItemKey, Vec<u8>>, subject: &Subject) -> AgentDaysItem {
    let body = items.get(&ItemKey::new(ItemClass::Days(subject.clone()), january()));
    AgentDaysItem::decode(body.map_or(&[], Vec::as_slice)).unwrap()
}

/// Returns the key of the member that an event is credited to, and its side.
fn credited(event: &SessionEvent) -> (&'static str, Side) {
    match event.member.name.as_str() {
        "cara" => ("cara", Side::People),
        "renovate[bot]" => ("renovate[bot]", Side::Bots),
        // An alias leads from the hash to Ann.
        _ => ("ann", Side::People),
    }
}

#[test]
fn items_equal_sums_of_events() {
    for (seed, zone) in [(1, "UTC"), (2, "Asia/Tokyo"), (3, "America/New_York")] {
        let zone = TimeZone::parse(zone).unwrap();
        let identity = configured().with_time_zone(zone);
        let mut random = fastrand::Rng::with_seed(seed);
        let events: Vec<SessionEvent> = (0..400).map(|n| random_event(n, &mut random)).collect();
        let folded = items(&session_rows(&events), &identity);
        let mut expected: BTreeMap<(Subject, u8, Side), AgentCounts> = BTreeMap::new();
        let mut members: BTreeMap<(Subject, u8, Side), BTreeSet<&str>> = BTreeMap::new();
        for event in events.iter().filter(|event| !event.retracted) {
            let day = DayOfMonth::from_date(zone.day(event.occurred_at), january()).unwrap().number();
            let (member, side) = credited(event);
            for subject in [Subject::Org, Subject::Repo(event.repo_id), Subject::member(member)] {
                let key = (subject, day, side);
                let sum = expected.entry(key.clone()).or_insert([0; AgentCounter::COUNT]);
                // Active time belongs to the day of its quarter, which is the same one: no zone here has an offset that is
                // not a multiple of 15 minutes.
                add_counts(sum, &counts_of(event));
                members.entry(key).or_default().insert(member);
            }
        }
        let mut found = BTreeMap::new();
        let subjects: BTreeSet<Subject> = expected.keys().map(|(subject, ..)| subject.clone()).collect();
        for subject in &subjects {
            let item = days(&folded, subject);
            for (day, sides) in &item.days {
                for (side, done) in sides {
                    found.insert((subject.clone(), *day, *side), done.totals.counts);
                    let key = (subject.clone(), *day, *side);
                    if !matches!(subject, Subject::Member(_)) {
                        let named: BTreeSet<&str> =
                            done.members.iter().map(|&index| item.members[index as usize].as_str()).collect();
                        assert_eq!(named, members[&key]);
                    }
                    check_parts(&done.parts, &done.totals.counts);
                }
            }
        }
        assert_eq!(found, expected, "{}", zone.name());
        check_lists(&folded, &subjects);
    }
}

/// Checks that the parts sum to the totals of the counters that they have.
fn check_parts(parts: &[Vec<(u32, AgentCounts)>; AgentDimension::COUNT], totals: &AgentCounts) {
    let sum = |dimension: AgentDimension, counter: AgentCounter| -> u64 {
        parts[dimension as usize].iter().map(|(_, counts)| counts[counter as usize]).sum()
    };
    for counter in [AgentCounter::Responses, AgentCounter::TokensOutput, AgentCounter::CostNanoUsd] {
        assert_eq!(sum(AgentDimension::Model, counter), totals[counter as usize]);
        assert_eq!(sum(AgentDimension::Branch, counter), totals[counter as usize]);
    }
    for counter in [AgentCounter::ToolCalls, AgentCounter::ToolErrors, AgentCounter::LinesAdded] {
        assert_eq!(sum(AgentDimension::Tool, counter), totals[counter as usize]);
        assert_eq!(sum(AgentDimension::Branch, counter), totals[counter as usize]);
    }
}

/// Checks that lists have the days of each subject.
fn check_lists(folded: &BTreeMap<ItemKey, Vec<u8>>, subjects: &BTreeSet<Subject>) {
    for kind in [SubjectKind::Repo, SubjectKind::Member] {
        let list = AgentListItem::decode(&folded[&ItemKey::new(ItemClass::List(kind), january())]).unwrap();
        let listed: BTreeSet<Subject> = list.entries.iter().map(|entry| entry.subject.subject()).collect();
        assert_eq!(listed, subjects.iter().filter(|subject| subject.kind() == kind).cloned().collect());
        for entry in &list.entries {
            let item = days(folded, &entry.subject.subject());
            let totals = |days: &[(u8, gam_rollup::agents::AgentSides)]| {
                let sides = days.iter().flat_map(|(day, sides)| {
                    sides.iter().map(move |(side, done)| (*day, *side, done.totals.clone()))
                });
                sides.collect::<Vec<_>>()
            };
            assert_eq!(totals(&entry.days), totals(&item.days));
        }
    }
}

#[test]
fn lists_come_first() {
    let mut random = fastrand::Rng::with_seed(9);
    let events: Vec<SessionEvent> = (0..50).map(|n| random_event(n, &mut random)).collect();
    let items = fold_sessions(january(), &session_rows(&events)[..], &configured()).unwrap();
    assert!(items.is_sorted_by(|a, b| position(&a.0) < position(&b.0)));
}

#[test]
fn the_order_of_rows_does_not_matter() {
    let mut random = fastrand::Rng::with_seed(7);
    let mut events: Vec<SessionEvent> = (0..300).map(|n| random_event(n, &mut random)).collect();
    let expected = items(&session_rows(&events), &configured());
    random.shuffle(&mut events);
    let mut unsorted = session_rows(&events[..150]);
    unsorted.extend(session_rows(&events[150..]));
    assert_eq!(items(&unsorted, &configured()), expected);
}

#[test]
fn a_session_of_several_days_counts_once_with_its_active_time() {
    let day_of = |day: i64, started_at: DateTime<Utc>, minutes: i64| {
        let at = hour(24 * day + 9);
        let mut event = session_event(SessionEventKind::AgentSession, &format!("d{day}"), 1, "Ann", at);
        event.facts.started_at = Some(started_at);
        event.facts.active = Some(vec![ActiveQuarter { at, active_ms: minutes * 60_000 }]);
        event
    };
    let first = hour(24 * 3 + 9);
    // The second row is of a copy of the log that lacks the first day.
    let events = [day_of(3, first, 10), day_of(4, hour(24 * 4 + 9), 5)];
    let item = days(&items(&session_rows(&events), &Identity::default()), &Subject::Org);
    let sessions: Vec<(u8, u64)> = item
        .days
        .iter()
        .map(|(day, sides)| (*day, sides[0].1.totals.counts[AgentCounter::Sessions as usize]))
        .collect();
    assert_eq!(sessions, [(4, 1), (5, 0)]);
    assert_eq!(item.days[0].1[0].1.totals.session_lengths.percentile(50), Some(15 * 60));

    let continued = day_of(0, first - TimeDelta::days(60), 1);
    let item = days(&items(&session_rows(&[continued]), &Identity::default()), &Subject::Org);
    assert_eq!(item.days[0].1[0].1.totals.counts[AgentCounter::Sessions as usize], 0, "it began earlier");
}

#[test]
fn active_time_outside_the_month_counts_nowhere_and_stops_nothing() {
    let at = hour(9);
    let mut event = session_event(SessionEventKind::AgentSession, "d", 1, "Ann", at);
    let quarter = |at| ActiveQuarter { at, active_ms: 60_000 };
    event.facts.active = Some(vec![quarter(at - TimeDelta::days(1)), quarter(at), quarter(hour(24 * 40))]);
    let item = days(&items(&session_rows(&[event]), &Identity::default()), &Subject::Org);
    let totals = &item.days[0].1[0].1.totals;
    assert_eq!(totals.counts[AgentCounter::ActiveMs as usize], 60_000);
    assert_eq!(totals.session_lengths.percentile(50), Some(60));
}

#[test]
fn excluded_repositories_and_unknown_kinds_count_nowhere() {
    let at = hour(10);
    let mut event = session_event(SessionEventKind::AgentResponse, "e", 2, "Ann", at);
    event.facts.output_tokens = Some(1);
    let excluded = Identity::default().with_excluded_repos(["Repo-2".to_owned()]);
    let folded = items(&session_rows(&[event]), &excluded);
    assert_eq!(days(&folded, &Subject::Org), AgentDaysItem::default());
    assert_eq!(folded.len(), 3, "the organization's days and both lists are stored, empty");
}
