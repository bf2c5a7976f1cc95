//! Arbitrary valid items.

use std::collections::{BTreeMap, BTreeSet};

use gam_model::metric::{Counter, DurationMetric};
use gam_model::{AgentCounter, AgentDimension, DayOfMonth, MemberKind};
use proptest::prelude::*;

use crate::agents::{
    AgentCounts, AgentDaysItem, AgentListEntry, AgentListItem, AgentSide, AgentSides, AgentTotals,
};
use crate::distribution::Distribution;
use crate::items::{
    BreakdownItem, Cell, DaysItem, DisplayName, ListEntry, ListItem, ListedSubject, SideTotals,
};
use crate::pr_classes::{PrClass, PrClassDay, PrClassItem, PrClassTotals};
use crate::totals::{Side, Totals};

fn any_count() -> impl Strategy<Value = u64> {
    prop_oneof![4 => Just(1u64), 4 => 1u64..10, 2 => 0u64..100_000, 1 => any::<u64>()]
}

fn any_durations() -> impl Strategy<Value = Vec<u64>> {
    let seconds = || prop_oneof![4 => 0u64..4_000_000, 1 => any::<u64>()];
    prop_oneof![
        6 => Just(Vec::new()),
        4 => prop::collection::vec(seconds(), 1..5),
        1 => prop::collection::vec(seconds(), 60..90),
    ]
}

fn any_totals() -> impl Strategy<Value = Totals> {
    let counts = prop::collection::vec((0..Counter::COUNT, any_count()), 0..6);
    (counts, any_durations(), any_durations()).prop_map(|(counts, cycle_times, first_reviews)| {
        let mut totals = Totals::default();
        counts.into_iter().for_each(|(index, count)| totals.counts[index] = count);
        cycle_times.into_iter().for_each(|seconds| totals.add_duration(DurationMetric::CycleTime, seconds));
        first_reviews
            .into_iter()
            .for_each(|seconds| totals.add_duration(DurationMetric::FirstReview, seconds));
        totals
    })
}

fn any_key() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z0-9-]{1,12}",
        1 => "[a-z]{2,5}\\[bot\\]",
        1 => "~[0-9a-f]{12}",
        1 => "member-[0-9]{1,4}",
        1 => "\\PC{0,8}",
        1 => "[ab]{60,70}",
    ]
}

fn any_keys() -> impl Strategy<Value = Vec<String>> {
    prop::collection::btree_set(any_key(), 0..12).prop_map(|keys| keys.into_iter().collect())
}

fn any_ids() -> impl Strategy<Value = Vec<i64>> {
    let id = prop_oneof![4 => 1i64..900_000_000, 1 => 500i64..520, 1 => any::<i64>()];
    prop::collection::btree_set(id, 0..12).prop_map(|ids| ids.into_iter().collect())
}

fn any_kind() -> impl Strategy<Value = MemberKind> {
    prop::sample::select(&MemberKind::ALL[..])
}

fn any_display_name() -> impl Strategy<Value = DisplayName> {
    let name = prop_oneof!["[A-Za-z0-9-]{1,12}", "\\PC{0,8}"];
    (name, any_kind()).prop_map(|(name, kind)| DisplayName { name, kind })
}

/// Returns a display name that may follow from the key.
fn any_name_of_key() -> impl Strategy<Value = (String, DisplayName)> {
    (any_key(), any_display_name(), 0..4).prop_map(|(key, mut display_name, form)| {
        match form {
            0 => {}
            1 => display_name.name = key.to_ascii_uppercase(),
            _ => display_name.name.clone_from(&key),
        }
        (key, display_name)
    })
}

fn any_subjects() -> impl Strategy<Value = Vec<ListedSubject>> {
    let members = prop::collection::btree_map(any_key(), any_name_of_key(), 0..12).prop_map(|members| {
        let members: BTreeMap<String, DisplayName> = members.into_values().collect();
        members.into_iter().map(|(key, name)| ListedSubject::Member(key, name)).collect()
    });
    let repos = any_ids().prop_map(|ids| ids.into_iter().map(ListedSubject::Repo).collect());
    prop_oneof![members, repos]
}

/// Returns those of `count` indexes whose bit is set.
fn indexes(bits: u64, count: usize) -> Vec<u32> {
    (0..count as u32).filter(|index| bits >> (index % 64) & 1 == 1).collect()
}

/// The totals of a side, the bits of its members and its repositories, and when its span begins and how long it is.
type SideParts = (Totals, u64, u64, Option<(i64, u64)>);

fn any_side_parts() -> impl Strategy<Value = BTreeMap<usize, SideParts>> {
    let start = prop_oneof![1_600_000_000_000i64..1_800_000_000_000, any::<i64>()];
    let span = prop::option::of((start, 0u64..100_000_000));
    let masks = || prop_oneof![any::<u64>(), Just(u64::MAX), Just(1u64)];
    prop::collection::btree_map(0..Side::ALL.len(), (any_totals(), masks(), masks(), span), 1..4)
}

fn sides(
    parts: BTreeMap<usize, SideParts>,
    members: usize,
    repos: usize,
    has_spans: bool,
) -> Vec<SideTotals> {
    let side = |(side, parts): (usize, SideParts)| {
        let (totals, member_bits, repo_bits, span) = parts;
        let span = span.filter(|_| has_spans);
        SideTotals {
            side: Side::ALL[side],
            totals,
            members: indexes(member_bits, members),
            repos: indexes(repo_bits, repos),
            span: span.map(|(first, length)| (first, first.saturating_add_unsigned(length))),
        }
    };
    parts.into_iter().map(side).collect()
}

pub(super) fn any_days_item() -> impl Strategy<Value = DaysItem> {
    let days = prop::collection::btree_map(0..=DayOfMonth::MAX_NUMBER, any_side_parts(), 0..6);
    let name = prop::option::of(any_display_name());
    (name, any_keys(), any_ids(), days, any::<bool>()).prop_map(|(name, members, repos, days, has_spans)| {
        let days =
            days.into_iter().map(|(day, parts)| (day, sides(parts, members.len(), repos.len(), has_spans)));
        DaysItem { days: days.collect(), name, members, repos }
    })
}

pub(super) fn any_list_item() -> impl Strategy<Value = ListItem> {
    let parts = prop::collection::vec((0u8..32, prop::option::weighted(0.9, any_side_parts())), 12);
    (any_keys(), any_subjects(), parts).prop_map(|(members, subjects, parts)| {
        let entries = subjects.into_iter().zip(parts).map(|(subject, (weeks, parts))| {
            let sides = sides(parts.unwrap_or_default(), members.len(), 0, false);
            ListEntry { subject, weeks, sides }
        });
        ListItem { entries: entries.collect(), members }
    })
}

pub(super) fn any_breakdown_item() -> impl Strategy<Value = BreakdownItem> {
    let position = (0..=DayOfMonth::MAX_NUMBER, any::<u32>(), 0..Side::ALL.len());
    let cells = prop::collection::vec((position, any_totals()), 0..20);
    (any_subjects(), cells).prop_map(|(others, cells)| {
        let mut seen = BTreeSet::new();
        let cells = cells.into_iter().filter_map(|((day, other, side), totals)| {
            let other = other.checked_rem(others.len() as u32)?;
            seen.insert((day, other, side)).then(|| Cell { day, other, side: Side::ALL[side], totals })
        });
        let mut cells: Vec<Cell> = cells.collect();
        cells.sort_by_key(|cell| (cell.day, cell.other, cell.side));
        BreakdownItem { others, cells }
    })
}

fn any_distribution() -> impl Strategy<Value = Distribution> {
    any_durations().prop_map(|seconds| {
        let mut distribution = Distribution::default();
        seconds.into_iter().for_each(|seconds| distribution.add(seconds));
        distribution
    })
}

fn any_agent_counts() -> impl Strategy<Value = AgentCounts> {
    prop::collection::vec((0..AgentCounter::COUNT, any_count()), 0..6).prop_map(|counts| {
        let mut all = [0; AgentCounter::COUNT];
        counts.into_iter().for_each(|(index, count)| all[index] = count);
        all
    })
}

/// The totals of a side, the bits of its members, and of each dimension the bits of its names and their counters.
type AgentSideParts = (AgentTotals, u64, [(u64, AgentCounts); AgentDimension::COUNT]);

fn any_agent_side() -> impl Strategy<Value = AgentSideParts> {
    let totals = (any_agent_counts(), any_distribution())
        .prop_map(|(counts, session_lengths)| AgentTotals { counts, session_lengths });
    let masks = || prop_oneof![any::<u64>(), Just(u64::MAX), Just(1u64)];
    let part = || (masks(), any_agent_counts());
    (totals, masks(), [part(), part(), part()])
}

fn any_agent_days(max_days: usize) -> impl Strategy<Value = BTreeMap<u8, [Option<AgentSideParts>; 2]>> {
    let sides =
        || [prop::option::weighted(0.8, any_agent_side()), prop::option::weighted(0.3, any_agent_side())];
    prop::collection::btree_map(0..=DayOfMonth::MAX_NUMBER, sides(), 0..=max_days)
}

fn agent_days(
    days: BTreeMap<u8, [Option<AgentSideParts>; 2]>,
    members: usize,
    names: [usize; AgentDimension::COUNT],
) -> Vec<(u8, AgentSides)> {
    let side = |(totals, member_bits, parts): AgentSideParts| AgentSide {
        totals,
        members: indexes(member_bits, members),
        parts: std::array::from_fn(|part| {
            let (bits, counts) = parts[part];
            indexes(bits, names[part]).into_iter().map(|index| (index, counts)).collect()
        }),
    };
    let sides = |sides: [Option<AgentSideParts>; 2]| {
        let named = [Side::People, Side::Bots].into_iter().zip(sides);
        named.filter_map(|(name, parts)| Some((name, side(parts?)))).collect()
    };
    days.into_iter().map(|(day, of_day)| (day, sides(of_day))).collect()
}

pub(super) fn any_agent_days_item() -> impl Strategy<Value = AgentDaysItem> {
    let name = prop::option::of(any_display_name());
    let names = [any_keys(), any_keys(), any_keys()];
    (name, any_keys(), names, any_agent_days(3)).prop_map(|(name, members, names, days)| {
        let days = agent_days(days, members.len(), names.each_ref().map(Vec::len));
        AgentDaysItem { name, members, names, days }
    })
}

pub(super) fn any_agent_list_item() -> impl Strategy<Value = AgentListItem> {
    let days = prop::collection::vec(any_agent_days(1), 12);
    (any_keys(), any_subjects(), days).prop_map(|(members, subjects, days)| {
        let entries = subjects.into_iter().zip(days).map(|(subject, days)| AgentListEntry {
            subject,
            days: agent_days(days, members.len(), [0; AgentDimension::COUNT]),
        });
        AgentListItem { entries: entries.collect(), members }
    })
}

fn any_pr_class_day() -> impl Strategy<Value = PrClassDay> {
    let totals = (any_distribution(), any_distribution(), any_count());
    let key =
        (prop::sample::select(&[Side::People, Side::Bots][..]), prop::sample::select(&PrClass::ALL[..]));
    prop::collection::btree_map(key, totals, 0..4).prop_map(|classes| {
        let totals =
            |(cycle_times, costs, unpriced_tokens)| PrClassTotals { cycle_times, costs, unpriced_tokens };
        classes.into_iter().map(|(key, parts)| (key, totals(parts))).collect()
    })
}

pub(super) fn any_pr_class_item() -> impl Strategy<Value = PrClassItem> {
    let days = prop::collection::btree_map(0..=DayOfMonth::MAX_NUMBER, any_pr_class_day(), 0..4);
    let days = prop::collection::vec(days, 12);
    (prop::array::uniform3(any_count()), any_ids(), days).prop_map(|(generations, ids, days)| {
        let repos = ids.into_iter().zip(days).map(|(id, days)| (id, days.into_iter().collect()));
        PrClassItem { generations, repos: repos.collect() }
    })
}
