//! The stored form never changes.
//!
//! If one of these tests fails, stored items are no longer read as they were written. A change of the form needs
//! another version byte, and another `LOGIC_VERSION` in the crate `fold`, so that all items are folded again.

use gam_model::metric::{Counter, DurationMetric};
use gam_model::{AgentCounter, MemberKind};

use crate::agents::{AgentDaysItem, AgentListEntry, AgentListItem, AgentSide, AgentTotals, branch_key};
use crate::items::{
    BreakdownItem, Cell, DaysItem, DisplayName, ListEntry, ListItem, ListedSubject, SideTotals,
};
use crate::pr_classes::{PrClass, PrClassItem, PrClassTotals};
use crate::stored_form::StoredForm;
use crate::totals::{Side, Totals};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns the totals of commits, merged pull requests and, with many of them, a sketch.
fn fixed_totals(scale: u64) -> Totals {
    let mut totals = Totals::default();
    totals.add(Counter::Commits, scale);
    totals.add(Counter::Additions, 120 * scale);
    totals.add(Counter::Deletions, 7 * scale);
    totals.add(Counter::FilesChanged, 3 * scale);
    totals.add(Counter::PrsMerged, scale);
    for index in 0..scale {
        totals.add_duration(DurationMetric::CycleTime, 3_600 + 977 * index);
    }
    totals.add_duration(DurationMetric::FirstReview, 1_234);
    totals
}

fn fixed_side(side: Side, scale: u64) -> SideTotals {
    SideTotals { side, totals: fixed_totals(scale), members: Vec::new(), repos: Vec::new(), span: None }
}

fn fixed_member(key: &str, name: &str, kind: MemberKind) -> ListedSubject {
    ListedSubject::Member(key.into(), DisplayName { name: name.into(), kind })
}

fn fixed_subjects() -> Vec<ListedSubject> {
    vec![
        fixed_member("ann", "Ann", MemberKind::User),
        fixed_member("ann-2", "ann-2", MemberKind::User),
        fixed_member("renovate[bot]", "renovate[bot]", MemberKind::Bot),
        fixed_member("~0123456789ab", "~0123456789ab", MemberKind::Unlinked),
        fixed_member("ünal", "Ünal", MemberKind::User),
    ]
}

pub(super) fn fixed_days() -> DaysItem {
    let mut people = fixed_side(Side::People, 70);
    people.members = vec![0, 1];
    people.repos = vec![1];
    people.span = Some((1_767_225_600_000, 1_767_311_999_999));
    let mut bots = fixed_side(Side::Bots, 1);
    bots.members = vec![2];
    DaysItem {
        name: Some(DisplayName { name: "Ann".into(), kind: MemberKind::User }),
        members: vec!["ann".into(), "ann-2".into(), "renovate[bot]".into()],
        repos: vec![3, 1_000_000_007],
        days: vec![(0, vec![people, bots]), (32, vec![fixed_side(Side::Unknown, 2)])],
    }
}

pub(super) fn fixed_list() -> ListItem {
    let entry = |(index, subject)| {
        let mut side = fixed_side(Side::ALL[index % 3], 1 + index as u64);
        side.members = vec![index as u32 % 2];
        ListEntry { subject, weeks: 1u8 << index, sides: vec![side] }
    };
    ListItem {
        members: vec!["ann".into(), "bob".into()],
        entries: fixed_subjects().into_iter().enumerate().map(entry).collect(),
    }
}

pub(super) fn fixed_breakdown() -> BreakdownItem {
    let cell = |(day, other, side)| Cell { day, other, side, totals: fixed_totals(u64::from(day)) };
    let positions = [
        (1, 0, Side::People),
        (1, 2, Side::Bots),
        (1, 2, Side::BotDeliveries),
        (1, 4, Side::People),
        (7, 3, Side::People),
    ];
    BreakdownItem { others: fixed_subjects(), cells: positions.into_iter().map(cell).collect() }
}

fn fixed_agent_side(scale: u64, has_parts: bool) -> AgentSide {
    let mut totals = AgentTotals::default();
    for (index, counter) in AgentCounter::ALL.into_iter().enumerate().filter(|(index, _)| index % 4 != 3) {
        totals.add(counter, scale * 10u64.pow(index as u32 % 6));
    }
    (0..scale).for_each(|index| totals.session_lengths.add(600 + 61 * index));
    let mut counts = [0; AgentCounter::COUNT];
    counts[AgentCounter::CostNanoUsd as usize] = 1_250_000_000 * scale;
    let parts = [vec![(0, counts), (1, counts)], vec![(0, [0; AgentCounter::COUNT])], Vec::new()];
    AgentSide { totals, members: vec![0], parts: if has_parts { parts } else { Default::default() } }
}

pub(super) fn fixed_agent_days() -> AgentDaysItem {
    AgentDaysItem {
        name: None,
        members: vec!["ann".into(), "bob".into()],
        names: [
            vec!["claude-opus-4-6".into(), "gpt-5.3-codex".into()],
            vec!["Bash".into()],
            vec![branch_key(7, ""), branch_key(7, "main")],
        ],
        days: vec![
            (1, vec![(Side::People, fixed_agent_side(3, true)), (Side::Bots, fixed_agent_side(1, true))]),
            (31, vec![(Side::People, fixed_agent_side(70, true))]),
        ],
    }
}

pub(super) fn fixed_agent_list() -> AgentListItem {
    let entry = |subject| {
        let days = vec![(2, vec![(Side::People, fixed_agent_side(2, false))]), (9, Vec::new())];
        AgentListEntry { subject, days }
    };
    let subjects = [ListedSubject::Repo(3), ListedSubject::Repo(1_000_000_007)];
    AgentListItem { members: vec!["ann".into()], entries: subjects.into_iter().map(entry).collect() }
}

pub(super) fn fixed_pr_classes() -> PrClassItem {
    let totals = |prs: u64| {
        let mut totals = PrClassTotals { unpriced_tokens: 1_000 * (prs - 1), ..PrClassTotals::default() };
        (0..prs).for_each(|index| totals.cycle_times.add(7_200 + 977 * index));
        (0..prs / 2).for_each(|index| totals.costs.add(1_250_000 + 333 * index));
        totals
    };
    let first = vec![
        ((Side::People, PrClass::Linked), totals(3)),
        ((Side::People, PrClass::Unknown), totals(70)),
        ((Side::Bots, PrClass::Probable), totals(1)),
    ];
    let second = vec![((Side::Bots, PrClass::Unknown), totals(2))];
    PrClassItem {
        generations: [7, 3, 0],
        repos: vec![(3, vec![(0, first), (31, second.clone())]), (1_000_000_007, vec![(32, second)])],
    }
}

#[test]
fn the_stored_form_of_classes_of_pull_requests_does_not_change() {
    let item = fixed_pr_classes();
    insta::assert_snapshot!("pr_classes", hex(&item.encode()));
    assert_eq!(PrClassItem::decode(&item.encode()), Ok(item));
    assert!(PrClassItem::default().encode().is_empty());
}

#[test]
fn the_stored_form_of_session_items_does_not_change() {
    let (days, list) = (fixed_agent_days(), fixed_agent_list());
    insta::assert_snapshot!("agent_days", hex(&days.encode()));
    insta::assert_snapshot!("agent_list", hex(&list.encode()));
    assert_eq!(AgentDaysItem::decode(&days.encode()), Ok(days));
    assert_eq!(AgentListItem::decode(&list.encode()), Ok(list));
    assert!(AgentDaysItem::default().encode().is_empty() && AgentListItem::default().encode().is_empty());
}

#[test]
fn the_stored_form_of_days_does_not_change() {
    insta::assert_snapshot!("days", hex(&fixed_days().encode()));
}

#[test]
fn the_stored_form_of_lists_does_not_change() {
    insta::assert_snapshot!("list", hex(&fixed_list().encode()));
}

#[test]
fn the_stored_form_of_breakdowns_does_not_change() {
    insta::assert_snapshot!("breakdown", hex(&fixed_breakdown().encode()));
}
