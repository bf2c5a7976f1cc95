//! The result of a fold: the cells of a month, and the items that are sums of them.

use std::collections::BTreeSet;

use gam_model::{ItemClass, ItemKey, Month, Subject, SubjectKind, WeekOfMonth};
use gam_rollup::{BreakdownItem, DaysItem, DisplayName, ListItem, Side, StoredForm};

use crate::cells::{Cell, Cells, DatedName, RepoDay};

/// The folded events of one month, from which its items are made on demand.
///
/// Members, display names and repositories are numbered by their rank: their index in ascending order.
pub struct MonthFold {
    pub(crate) month: Month,
    events: u64,
    /// The keys of members, in ascending order. Some have no cells.
    pub(crate) members: Vec<String>,
    /// The display names, in ascending order.
    names: Vec<String>,
    pub(crate) cells: Cells,
    /// The repositories with cells, in ascending order.
    pub(crate) repos: Vec<Repo>,
    /// For each repository and day among the cells', the rank of the repository.
    repo_ranks: Vec<u32>,
    /// The indexes of the repositories' days, by day, then by repository.
    by_day: Vec<u32>,
    /// The indexes of the cells of members, by member, day, repository, side and repeat. What has no author
    /// belongs to no member.
    by_member: Vec<u32>,
    /// For each member the index of its first one among those; then their number.
    member_starts: Vec<u32>,
}

/// A repository with cells.
pub(crate) struct Repo {
    /// GitHub's numeric id.
    pub(crate) id: i64,
    /// The index of its first day among the cells', and that after its last.
    days: (u32, u32),
}

/// An item of a month, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MonthItem {
    /// A subject's days.
    Days(DaysItem),
    /// All repositories or all members.
    List(ListItem),
    /// A repository's week by member, or a member's week by repository.
    Breakdown(BreakdownItem),
}

impl MonthItem {
    /// Returns the stored form.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            MonthItem::Days(item) => item.encode(),
            MonthItem::List(item) => item.encode(),
            MonthItem::Breakdown(item) => item.encode(),
        }
    }
}

impl MonthFold {
    /// `members` and `names` are in ascending order, and the cells sorted.
    pub(crate) fn new(
        month: Month,
        events: u64,
        members: Vec<String>,
        names: Vec<String>,
        cells: Cells,
    ) -> Self {
        let mut repos: Vec<Repo> = Vec::new();
        let mut repo_ranks = Vec::with_capacity(cells.repo_days.len());
        for (index, repo_day) in (0..).zip(&cells.repo_days) {
            match repos.last_mut() {
                Some(repo) if repo.id == repo_day.repo_id => repo.days.1 = index + 1,
                _ => repos.push(Repo { id: repo_day.repo_id, days: (index, index + 1) }),
            }
            repo_ranks.push(repos.len() as u32 - 1);
        }
        let mut by_day: Vec<u32> = (0..cells.repo_days.len() as u32).collect();
        // The sort is stable, so repositories stay in order.
        by_day.sort_by_key(|&index| cells.repo_days[index as usize].day);
        let (by_member, member_starts) = group_by_member(&cells, &by_day, members.len());
        MonthFold {
            month,
            events,
            members,
            names,
            cells,
            repos,
            repo_ranks,
            by_day,
            by_member,
            member_starts,
        }
    }

    /// Returns the number of events that were counted.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Returns the keys of the month's items that are not empty, in order.
    pub fn keys(&self) -> Vec<ItemKey> {
        let members = (0..self.members.len() as u32).filter(|&member| self.member_cells(member).len() > 0);
        let members: Vec<u32> = members.collect();
        let counts_for_member = |&&member: &&u32| self.member_cells(member).any(|cell| !cell.key.is_repeat());
        let repo = |rank: usize| Subject::Repo(self.repos[rank].id);
        let member = |rank: u32| Subject::Member(self.members[rank as usize].clone());
        let days = |subject: Subject| ItemKey::new(ItemClass::Days(subject), self.month);
        let list = |kind: SubjectKind| ItemKey::new(ItemClass::List(kind), self.month);
        let mut keys = Vec::new();
        if !self.repos.is_empty() {
            keys.push(days(Subject::Org));
        }
        keys.extend((0..self.repos.len()).map(|rank| days(repo(rank))));
        keys.extend(members.iter().filter(counts_for_member).map(|&rank| days(member(rank))));
        if !self.repos.is_empty() {
            keys.push(list(SubjectKind::Repo));
        }
        if !members.is_empty() {
            keys.push(list(SubjectKind::Member));
        }
        for rank in 0..self.repos.len() {
            keys.extend(self.breakdown_keys(&repo(rank), self.repo_weeks(rank)));
        }
        for rank in members {
            keys.extend(self.breakdown_keys(&member(rank), self.member_weeks(rank)));
        }
        keys
    }

    fn breakdown_keys(&self, subject: &Subject, weeks: u8) -> impl Iterator<Item = ItemKey> {
        let weeks = WeekOfMonth::all().filter(move |week| weeks >> week.number() & 1 == 1);
        weeks.map(|week| ItemKey::breakdown(subject.clone(), self.month, week))
    }

    /// Returns the item with this key; `None` if it is empty, or of another month.
    pub fn item(&self, key: &ItemKey) -> Option<MonthItem> {
        if key.month != self.month {
            return None;
        }
        let item = match &key.class {
            ItemClass::Days(subject) => MonthItem::Days(match subject {
                Subject::Org => self.org_days(),
                Subject::Repo(id) => self.repo_days(self.find_repo(*id)?),
                Subject::Member(name) => self.member_days(self.find_member(name)?),
            }),
            ItemClass::List(SubjectKind::Org) => return None,
            ItemClass::List(SubjectKind::Repo) => MonthItem::List(self.repo_list()),
            ItemClass::List(SubjectKind::Member) => MonthItem::List(self.member_list()),
            ItemClass::Breakdown(subject) => MonthItem::Breakdown(match subject {
                Subject::Org => return None,
                Subject::Repo(id) => self.repo_breakdown(self.find_repo(*id)?, key.week),
                Subject::Member(name) => self.member_breakdown(self.find_member(name)?, key.week),
            }),
        };
        let is_empty = match &item {
            MonthItem::Days(item) => item.days.is_empty(),
            MonthItem::List(item) => item.entries.is_empty(),
            MonthItem::Breakdown(item) => item.cells.is_empty(),
        };
        (!is_empty).then_some(item)
    }

    /// Returns all items that are not empty, in key order, in their stored form.
    pub fn items(&self) -> Vec<(ItemKey, Vec<u8>)> {
        self.keys().into_iter().map(|key| self.encoded(key)).collect()
    }

    /// Returns the items with these keys, in key order, in their stored form. An item that is empty has an empty
    /// body. Keys of other months are left out.
    pub fn items_of(&self, keys: &BTreeSet<ItemKey>) -> Vec<(ItemKey, Vec<u8>)> {
        keys.iter().filter(|key| key.month == self.month).map(|key| self.encoded(key.clone())).collect()
    }

    fn encoded(&self, key: ItemKey) -> (ItemKey, Vec<u8>) {
        let body = self.item(&key).map_or_else(Vec::new, |item| item.encode());
        (key, body)
    }

    fn find_repo(&self, id: i64) -> Option<usize> {
        self.repos.binary_search_by_key(&id, |repo| repo.id).ok()
    }

    fn find_member(&self, key: &str) -> Option<u32> {
        self.members.binary_search_by(|member| member.as_str().cmp(key)).ok().map(|rank| rank as u32)
    }

    /// Returns the days of a repository, in order.
    pub(crate) fn days_of_repo(&self, repo: usize) -> &[RepoDay] {
        let (first, end) = self.repos[repo].days;
        &self.cells.repo_days[first as usize..end as usize]
    }

    /// Returns all repositories' days by day, then by repository, each with the rank of its repository.
    pub(crate) fn by_day(&self) -> impl Iterator<Item = (u32, &RepoDay)> {
        self.by_day
            .iter()
            .map(|&index| (self.repo_ranks[index as usize], &self.cells.repo_days[index as usize]))
    }

    /// Returns the cells of a member by day, repository, side and repeat.
    pub(crate) fn member_cells(&self, member: u32) -> impl ExactSizeIterator<Item = &Cell> + Clone {
        let (first, end) = (self.member_starts[member as usize], self.member_starts[member as usize + 1]);
        let cells = self.cells.all();
        self.by_member[first as usize..end as usize].iter().map(move |&index| &cells[index as usize])
    }

    /// Returns the rank of the repository of a cell.
    pub(crate) fn repo_rank(&self, cell: &Cell) -> u32 {
        self.repo_ranks[cell.repo_day as usize]
    }

    /// Returns the display name of a cell, or of several.
    pub(crate) fn display_name(&self, name: DatedName) -> DisplayName {
        DisplayName { name: self.names[name.name as usize].clone(), kind: name.kind }
    }

    /// Returns a bit for each week in which a member has a cell of the repository.
    pub(crate) fn repo_weeks(&self, repo: usize) -> u8 {
        let has_member =
            |repo_day: &&RepoDay| self.cells.of(repo_day).iter().any(|cell| cell.key.side() != Side::Unknown);
        let days = self.days_of_repo(repo).iter().filter(has_member);
        days.fold(0, |weeks, repo_day| weeks | week_bit(repo_day))
    }

    /// Returns a bit for each week in which the member has a cell.
    pub(crate) fn member_weeks(&self, member: u32) -> u8 {
        self.member_cells(member).fold(0, |weeks, cell| weeks | week_bit(self.cells.repo_day(cell)))
    }
}

fn week_bit(repo_day: &RepoDay) -> u8 {
    1 << repo_day.day.week().number()
}

/// Returns the indexes of the cells of members, by member, then in the order of `by_day`; and for each member
/// the index of its first one, then their number.
fn group_by_member(cells: &Cells, by_day: &[u32], member_count: usize) -> (Vec<u32>, Vec<u32>) {
    let has_member = |cell: &Cell| cell.key.side() != Side::Unknown;
    // First the number of cells of the member before, from which the starts follow.
    let mut starts = vec![0; member_count + 1];
    for cell in cells.all().iter().filter(|cell| has_member(cell)) {
        starts[cell.key.member() as usize + 1] += 1;
    }
    for member in 0..member_count {
        starts[member + 1] += starts[member];
    }
    let mut next = starts.clone();
    let mut by_member = vec![0; starts[member_count] as usize];
    for &repo_day in by_day {
        let (first, end) = cells.repo_days[repo_day as usize].cells;
        for index in first..end {
            let cell = &cells.all()[index as usize];
            if has_member(cell) {
                let position = &mut next[cell.key.member() as usize];
                by_member[*position as usize] = index;
                *position += 1;
            }
        }
    }
    (by_member, starts)
}
