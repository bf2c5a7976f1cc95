//! The items of a made-up month, for the bench and the test of sizes.
//!
//! Few repositories and few members have most of the events, and every member works in every repository, so that
//! most cells count one event: no real organization is as expensive.

use std::collections::{BTreeMap, BTreeSet};

use gam_model::metric::{Counter, DurationMetric};
use gam_model::{DayOfMonth, MemberKind};
use gam_rollup::{
    BreakdownItem, Cell, DaysItem, DisplayName, ListEntry, ListItem, ListedSubject, Side, SideTotals, Totals,
};

const REPOS: usize = 1000;
const MEMBERS: usize = 2000;
const DAYS: u8 = 30;

/// The items of a month by class. Each vector has an item for each subject.
pub(crate) struct MonthItems {
    pub(crate) days_of_org: Vec<DaysItem>,
    pub(crate) days_of_repos: Vec<DaysItem>,
    pub(crate) days_of_members: Vec<DaysItem>,
    pub(crate) lists: Vec<ListItem>,
    pub(crate) breakdowns_of_repos: Vec<BreakdownItem>,
    pub(crate) breakdowns_of_members: Vec<BreakdownItem>,
}

#[derive(Clone, Copy)]
struct Event {
    repo: u32,
    member: u32,
    day: u8,
    counter: Counter,
    lines: [u64; 3],
    cycle_seconds: u64,
    review_seconds: Option<u64>,
}

fn events(count: usize) -> Vec<Event> {
    let rng = &mut fastrand::Rng::with_seed(1);
    let kinds = [
        (50, Counter::Commits),
        (10, Counter::PrsOpened),
        (10, Counter::PrsMerged),
        (20, Counter::Reviews),
        (5, Counter::IssuesOpened),
        (5, Counter::IssuesClosed),
    ];
    let mut event = || {
        let mut percent = rng.i32(0..100);
        let counter = kinds.into_iter().find(|(weight, _)| {
            percent -= weight;
            percent < 0
        });
        let size = rng.f64();
        let cycle_seconds = (size.powi(3) * 3_600_000.0) as u64;
        Event {
            repo: (rng.f64().powi(3) * REPOS as f64) as u32,
            member: (rng.f64().powf(2.5) * MEMBERS as f64) as u32,
            day: rng.u8(1..=DAYS),
            counter: counter.expect("the weights sum to 100").1,
            lines: [(size.powi(4) * 2000.0) as u64, (size.powi(5) * 1500.0) as u64, 1 + (size * 9.0) as u64],
            cycle_seconds,
            review_seconds: (rng.u8(..10) < 7).then(|| rng.u64(0..=cycle_seconds)),
        }
    };
    (0..count).map(|_| event()).collect()
}

fn add(totals: &mut Totals, event: &Event) {
    totals.add(event.counter, 1);
    if event.counter == Counter::Commits {
        let counters = [Counter::Additions, Counter::Deletions, Counter::FilesChanged];
        counters.into_iter().zip(event.lines).for_each(|(counter, amount)| totals.add(counter, amount));
    }
    if event.counter == Counter::PrsMerged {
        totals.add_duration(DurationMetric::CycleTime, event.cycle_seconds);
        event
            .review_seconds
            .iter()
            .for_each(|&seconds| totals.add_duration(DurationMetric::FirstReview, seconds));
    }
}

/// Returns the key and the display name of a member.
fn member(index: u32) -> (String, DisplayName) {
    let words = ["ana", "Ben", "chen", "Dana", "eli", "farah", "gus", "Hana", "ivan", "june", "Kofi", "lea"];
    let name = format!("{}-{index}", words[index as usize % words.len()]);
    (name.to_lowercase(), DisplayName { name, kind: MemberKind::User })
}

/// Numbers that events have in common with dictionaries, in the dictionary's order.
struct Dictionary {
    ranks: BTreeMap<u32, u32>,
    entries: Vec<ListedSubject>,
}

impl Dictionary {
    fn new(mut entries: Vec<(ListedSubject, u32)>) -> Self {
        entries.sort();
        let ranks = entries.iter().enumerate().map(|(rank, (_, number))| (*number, rank as u32)).collect();
        Dictionary { ranks, entries: entries.into_iter().map(|(subject, _)| subject).collect() }
    }

    fn of_members(members: impl IntoIterator<Item = u32>) -> Self {
        let members: BTreeSet<u32> = members.into_iter().collect();
        let entry = |index| {
            let (key, name) = member(index);
            (ListedSubject::Member(key, name), index)
        };
        Self::new(members.into_iter().map(entry).collect())
    }

    fn of_repos(repos: impl IntoIterator<Item = u32>, ids: &[i64]) -> Self {
        let repos: BTreeSet<u32> = repos.into_iter().collect();
        Self::new(repos.into_iter().map(|index| (ListedSubject::Repo(ids[index as usize]), index)).collect())
    }

    fn indexes(&self, numbers: &BTreeSet<u32>) -> Vec<u32> {
        let indexes: BTreeSet<u32> = numbers.iter().map(|number| self.ranks[number]).collect();
        indexes.into_iter().collect()
    }

    fn keys(&self) -> Vec<String> {
        let keys = self.entries.iter().filter_map(|entry| match entry {
            ListedSubject::Member(key, _) => Some(key.clone()),
            ListedSubject::Repo(_) => None,
        });
        keys.collect()
    }

    fn ids(&self) -> Vec<i64> {
        let ids = self.entries.iter().filter_map(|entry| match entry {
            ListedSubject::Repo(id) => Some(*id),
            ListedSubject::Member(..) => None,
        });
        ids.collect()
    }
}

#[derive(Default)]
struct DaySums {
    totals: Totals,
    members: BTreeSet<u32>,
    repos: BTreeSet<u32>,
}

fn days_items<K: Ord>(
    events: &[Event],
    ids: &[i64],
    (has_members, has_repos): (bool, bool),
    subject: impl Fn(&Event) -> K,
) -> BTreeMap<K, DaysItem> {
    let mut sums: BTreeMap<K, BTreeMap<u8, DaySums>> = BTreeMap::new();
    for event in events {
        let day = sums.entry(subject(event)).or_default().entry(event.day).or_default();
        add(&mut day.totals, event);
        day.members.extend(has_members.then_some(event.member));
        day.repos.extend(has_repos.then_some(event.repo));
    }
    let item = |days: BTreeMap<u8, DaySums>| {
        let members = Dictionary::of_members(days.values().flat_map(|day| day.members.clone()));
        let repos = Dictionary::of_repos(days.values().flat_map(|day| day.repos.clone()), ids);
        let sides = days.into_iter().map(|(day, sums)| {
            let start = 1_700_000_000_000 + i64::from(day) * 86_400_000;
            let side = SideTotals {
                side: Side::People,
                totals: sums.totals,
                members: members.indexes(&sums.members),
                repos: repos.indexes(&sums.repos),
                span: has_repos.then_some((start + 12_345, start + 80_000_000)),
            };
            (day, vec![side])
        });
        let days = sides.collect();
        DaysItem { name: None, members: members.keys(), repos: repos.ids(), days }
    };
    sums.into_iter().map(|(subject, days)| (subject, item(days))).collect()
}

fn list(subjects: Dictionary, days: &BTreeMap<u32, DaysItem>) -> ListItem {
    let all_keys = |days: &DaysItem| days.members.clone();
    let members: BTreeSet<String> = days.values().flat_map(all_keys).collect();
    let members: Vec<String> = members.into_iter().collect();
    let mut entries: Vec<ListEntry> = Vec::new();
    for (number, item) in days {
        let mut totals = Totals::default();
        item.days.iter().flat_map(|(_, sides)| sides).for_each(|side| totals.merge(&side.totals));
        let weeks = item.days.iter().filter_map(|(day, _)| DayOfMonth::new(*day));
        let weeks = weeks.fold(0, |weeks, day| weeks | 1 << day.week().number());
        let indexes = item.members.iter().map(|key| members.binary_search(key).expect("listed") as u32);
        let side = SideTotals {
            side: Side::People,
            totals,
            members: indexes.collect(),
            repos: Vec::new(),
            span: None,
        };
        let subject = subjects.entries[subjects.ranks[number] as usize].clone();
        entries.push(ListEntry { subject, weeks, sides: vec![side] });
    }
    entries.sort_by(|a, b| a.subject.cmp(&b.subject));
    ListItem { members, entries }
}

fn breakdowns(
    events: &[Event],
    subject: impl Fn(&Event) -> u32,
    other: impl Fn(&Event) -> u32,
    dictionary: impl Fn(BTreeSet<u32>) -> Dictionary,
) -> Vec<BreakdownItem> {
    let mut sums: BTreeMap<(u32, u8), BTreeMap<(u8, u32), Totals>> = BTreeMap::new();
    for event in events {
        let week = DayOfMonth::new(event.day).expect("a day").week().number();
        let cells = sums.entry((subject(event), week)).or_default();
        add(cells.entry((event.day, other(event))).or_default(), event);
    }
    let item = |cells: BTreeMap<(u8, u32), Totals>| {
        let others = dictionary(cells.keys().map(|(_, other)| *other).collect());
        let cell =
            |((day, other), totals)| Cell { day, other: others.ranks[&other], side: Side::People, totals };
        let mut cells: Vec<Cell> = cells.into_iter().map(cell).collect();
        cells.sort_by_key(|cell| (cell.day, cell.other));
        BreakdownItem { others: others.entries, cells }
    };
    sums.into_values().map(item).collect()
}

/// Returns the items of a month with this many events of 2,000 members in 1,000 repositories. The ids of
/// repositories are up to `max_id_gap` apart.
pub(crate) fn month_items(event_count: usize, max_id_gap: i64) -> MonthItems {
    let events = &events(event_count);
    let rng = &mut fastrand::Rng::with_seed(2);
    let mut id = 500_000_000;
    let next_id = || {
        id += rng.i64(1..=max_id_gap);
        id
    };
    let ids: Vec<i64> = std::iter::repeat_with(next_id).take(REPOS).collect();
    let org = days_items(events, &ids, (true, true), |_| ());
    let by_repo = days_items(events, &ids, (true, false), |event| event.repo);
    let mut by_member = days_items(events, &ids, (false, false), |event| event.member);
    for (index, item) in &mut by_member {
        item.name = Some(member(*index).1);
    }
    let repos = Dictionary::of_repos(by_repo.keys().copied(), &ids);
    let members = Dictionary::of_members(by_member.keys().copied());
    MonthItems {
        lists: vec![list(repos, &by_repo), list(members, &by_member)],
        days_of_org: org.into_values().collect(),
        days_of_repos: by_repo.into_values().collect(),
        days_of_members: by_member.into_values().collect(),
        breakdowns_of_repos: breakdowns(
            events,
            |event| event.repo,
            |event| event.member,
            Dictionary::of_members,
        ),
        breakdowns_of_members: breakdowns(
            events,
            |event| event.member,
            |event| event.repo,
            |repos| Dictionary::of_repos(repos, &ids),
        ),
    }
}
