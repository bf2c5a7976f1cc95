//! The items of a month of the table `sessions`, as sums of its cells.

use std::collections::{BTreeMap, BTreeSet};

use gam_model::{AgentCounter, AgentDimension, ItemClass, ItemKey, Month, Subject, SubjectKind};
use gam_rollup::agents::{AgentCounts, AgentSides, add_counts};
use gam_rollup::{
    AgentDaysItem, AgentListEntry, AgentListItem, AgentSide, DisplayName, ListedSubject, Side, StoredForm,
};

use super::AgentFolder;
use super::cells::AgentCells;
use crate::month_fold::{EncodedItem, sort_items};

/// The sums of one side of a day of a subject. Members and names are ranks.
#[derive(Default)]
struct SideSum {
    side: AgentSide,
    members: BTreeSet<u32>,
    parts: [BTreeMap<u32, AgentCounts>; AgentDimension::COUNT],
}

/// The sums of a subject, by day and side.
type DaySums = BTreeMap<(u8, Side), SideSum>;

/// Cells whose members and names are numbered by rank.
struct RankedCells {
    cells: AgentCells,
    /// The keys of members in ascending order.
    members: Vec<String>,
    /// For the index of each key its rank.
    member_ranks: Vec<u32>,
    /// The models, tools and branches in ascending order.
    names: [Vec<String>; AgentDimension::COUNT],
    /// The parts of each cell: the dimension, the rank of the name, and the counters.
    parts: Vec<Vec<(usize, u32, AgentCounts)>>,
    /// The latest display name of each member, by its rank.
    display_names: BTreeMap<u32, DisplayName>,
}

impl AgentFolder<'_> {
    /// Returns the items of the month, in the order of [`EncodedItem`]s.
    pub(super) fn into_items(mut self) -> Vec<EncodedItem> {
        self.count_sessions();
        let month = self.days.month();
        let cells = self.into_ranked_cells();
        let mut subjects: BTreeMap<Subject, DaySums> = BTreeMap::new();
        for (index, (key, totals)) in cells.cells.cells.iter().enumerate() {
            let member = cells.member_ranks[key.member as usize];
            let of_member = Subject::Member(cells.members[member as usize].clone());
            for subject in [Subject::Org, Subject::Repo(key.repo_id), of_member] {
                let names_members = !matches!(subject, Subject::Member(_));
                let days = subjects.entry(subject).or_default();
                let sum = days.entry((key.day.number(), key.side)).or_default();
                sum.side.totals.merge(totals);
                if names_members {
                    sum.members.insert(member);
                }
                for (dimension, name, counts) in &cells.parts[index] {
                    let part = sum.parts[*dimension].entry(*name).or_insert([0; AgentCounter::COUNT]);
                    add_counts(part, counts);
                }
            }
        }
        let days = subjects.iter().map(|(subject, days)| {
            let key = ItemKey::new(ItemClass::Days(subject.clone()), month);
            (key, cells.days_item(subject, days).encode())
        });
        // Without rows, the organization's item and the lists are empty, and stored all the same.
        let no_days = (!subjects.contains_key(&Subject::Org))
            .then(|| (ItemKey::new(ItemClass::Days(Subject::Org), month), Vec::new()));
        let lists =
            [SubjectKind::Repo, SubjectKind::Member].map(|kind| cells.list_item(month, kind, &subjects));
        let mut items: Vec<EncodedItem> = lists.into_iter().chain(no_days).chain(days).collect();
        sort_items(&mut items);
        items
    }

    fn into_ranked_cells(self) -> RankedCells {
        let AgentFolder { members, cells, names, .. } = self;
        let (member_keys, member_ranks) = members.keys.into_sorted();
        let (mut sorted_names, mut name_ranks) = (Vec::new(), Vec::new());
        for names in names {
            let (names, ranks) = names.into_sorted();
            sorted_names.push(names);
            name_ranks.push(ranks);
        }
        let mut parts = vec![Vec::new(); cells.cells.len()];
        for (dimension, of_cells) in cells.parts.iter().enumerate() {
            for (&(cell, name), counts) in of_cells {
                parts[cell as usize].push((dimension, name_ranks[dimension][name as usize], *counts));
            }
        }
        let display_names = cells.display_names.iter().map(|(&member, dated)| {
            let name = members.display_names.text(dated.name).to_owned();
            (member_ranks[member as usize], DisplayName { name, kind: dated.kind })
        });
        RankedCells {
            display_names: display_names.collect(),
            members: member_keys,
            member_ranks,
            names: std::array::from_fn(|dimension| std::mem::take(&mut sorted_names[dimension])),
            parts,
            cells,
        }
    }
}

impl RankedCells {
    fn display_name(&self, key: &str) -> DisplayName {
        let rank = self.members.binary_search_by(|member| member.as_str().cmp(key));
        let name = rank.ok().and_then(|rank| self.display_names.get(&(rank as u32)));
        name.cloned().expect("each member with a cell has a name")
    }

    fn days_item(&self, subject: &Subject, days: &DaySums) -> AgentDaysItem {
        let members = Dictionary::new(days.values().flat_map(|sum| sum.members.iter()));
        let names: [Dictionary; AgentDimension::COUNT] =
            std::array::from_fn(|part| Dictionary::new(days.values().flat_map(|sum| sum.parts[part].keys())));
        let side = |sum: &SideSum| AgentSide {
            totals: sum.side.totals.clone(),
            members: sum.members.iter().map(|member| members.index(*member)).collect(),
            parts: std::array::from_fn(|part| {
                sum.parts[part].iter().map(|(name, counts)| (names[part].index(*name), *counts)).collect()
            }),
        };
        let name = match subject {
            Subject::Member(key) => Some(self.display_name(key)),
            Subject::Org | Subject::Repo(_) => None,
        };
        AgentDaysItem {
            name,
            members: members.texts(&self.members),
            names: std::array::from_fn(|part| names[part].texts(&self.names[part])),
            days: by_day(days, side),
        }
    }

    fn list_item(
        &self,
        month: Month,
        kind: SubjectKind,
        subjects: &BTreeMap<Subject, DaySums>,
    ) -> EncodedItem {
        let listed = || subjects.iter().filter(|(subject, _)| subject.kind() == kind);
        let named = listed().flat_map(|(_, days)| days.values()).flat_map(|sum| sum.members.iter());
        let members = Dictionary::new(named);
        let entries = listed().map(|(subject, days)| {
            let side = |sum: &SideSum| AgentSide {
                totals: sum.side.totals.clone(),
                members: sum.members.iter().map(|member| members.index(*member)).collect(),
                parts: Default::default(),
            };
            let subject = match subject {
                Subject::Member(key) => ListedSubject::Member(key.clone(), self.display_name(key)),
                Subject::Repo(id) => ListedSubject::Repo(*id),
                Subject::Org => unreachable!("lists are of repositories and members"),
            };
            AgentListEntry { subject, days: by_day(days, side) }
        });
        let item = AgentListItem { entries: entries.collect(), members: members.texts(&self.members) };
        (ItemKey::new(ItemClass::List(kind), month), item.encode())
    }
}

/// Returns the sides of each day, in order.
fn by_day(days: &DaySums, side_of: impl Fn(&SideSum) -> AgentSide) -> Vec<(u8, AgentSides)> {
    let mut sides: Vec<(u8, AgentSides)> = Vec::new();
    for ((day, side), sum) in days {
        match sides.last_mut() {
            Some((last, sides)) if last == day => sides.push((*side, side_of(sum))),
            _ => sides.push((*day, vec![(*side, side_of(sum))])),
        }
    }
    sides
}

/// The ranks that an item names, ascending.
struct Dictionary(Vec<u32>);

impl Dictionary {
    fn new<'r>(ranks: impl Iterator<Item = &'r u32>) -> Self {
        Dictionary(ranks.copied().collect::<BTreeSet<u32>>().into_iter().collect())
    }

    fn index(&self, rank: u32) -> u32 {
        self.0.binary_search(&rank).expect("the dictionary has every rank of the item") as u32
    }

    fn texts(&self, all: &[String]) -> Vec<String> {
        self.0.iter().map(|&rank| all[rank as usize].clone()).collect()
    }
}
