//! The result of a fold: the cells of a month, and the items that are sums of them.

use std::collections::BTreeSet;

use gam_model::{ItemClass, ItemKey, MemberKind, Month, Subject, SubjectKind, WeekOfMonth};
use gam_rollup::{DisplayName, Side, StoredForm};

use crate::breakdowns::BreakdownBuffers;
use crate::cells::{Cell, Cells, DatedName, RepoDay};

/// The key of an item, and its stored form. A fold returns the lists of a month first, and the other items in key order:
/// lists name all items of their month, so what a run had written when it was killed can be found by them.
pub type EncodedItem = (ItemKey, Vec<u8>);

/// Sorts items as a fold returns them.
pub(crate) fn sort_items(items: &mut [EncodedItem]) {
    items.sort_by(|(a, _), (b, _)| {
        let is_list = |key: &ItemKey| matches!(key.class, ItemClass::List(_));
        is_list(b).cmp(&is_list(a)).then_with(|| a.cmp(b))
    });
}

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
    /// The cells of members, by member, day, repository, side and repeat. What has no author belongs to no
    /// member.
    by_member: Vec<Cell>,
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

impl MonthFold {
    /// `members` and `names` are in ascending order, and the cells sorted.
    pub(crate) fn new(
        month: Month,
        events: u64,
        members: Vec<String>,
        names: Vec<String>,
        mut cells: Cells,
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
        let (by_member, member_starts) = cells.group_by_member(&by_day, members.len());
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

    /// Returns the keys of the month's items that are not empty, in the order of [`EncodedItem`]s.
    pub fn keys(&self) -> Vec<ItemKey> {
        let members = (0..self.members.len() as u32).filter(|&member| !self.member_cells(member).is_empty());
        let members: Vec<u32> = members.collect();
        let counts_for_member =
            |&&member: &&u32| self.member_cells(member).iter().any(|cell| !cell.key.is_repeat());
        let repo = |rank: usize| Subject::Repo(self.repos[rank].id);
        let member = |rank: u32| Subject::Member(self.members[rank as usize].clone());
        let days = |subject: Subject| ItemKey::new(ItemClass::Days(subject), self.month);
        let list = |kind: SubjectKind| ItemKey::new(ItemClass::List(kind), self.month);
        let mut keys = Vec::new();
        if !self.repos.is_empty() {
            keys.push(list(SubjectKind::Repo));
        }
        if !members.is_empty() {
            keys.push(list(SubjectKind::Member));
        }
        if !self.repos.is_empty() {
            keys.push(days(Subject::Org));
        }
        keys.extend((0..self.repos.len()).map(|rank| days(repo(rank))));
        keys.extend(members.iter().filter(counts_for_member).map(|&rank| days(member(rank))));
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

    /// Returns all items that are not empty, the lists first, in their stored form.
    pub fn items(&self) -> Vec<EncodedItem> {
        self.encode_items(self.keys())
    }

    /// Returns the items with these keys, the lists first, in their stored form. An item that is empty has an empty
    /// body. Keys of other months are left out.
    pub fn items_of(&self, keys: &BTreeSet<ItemKey>) -> Vec<EncodedItem> {
        let mut items = self.encode_items(keys.iter().filter(|key| key.month == self.month).cloned());
        sort_items(&mut items);
        items
    }

    fn encode_items(&self, keys: impl IntoIterator<Item = ItemKey>) -> Vec<EncodedItem> {
        let mut buffers = BreakdownBuffers::default();
        let encoded = |key: ItemKey| {
            let body = self.encode_item(&key, &mut buffers).unwrap_or_default();
            (key, body)
        };
        keys.into_iter().map(encoded).collect()
    }

    /// Returns the stored form of an item of this month; `None` if its subject has no cells.
    fn encode_item(&self, key: &ItemKey, buffers: &mut BreakdownBuffers) -> Option<Vec<u8>> {
        Some(match &key.class {
            ItemClass::Days(Subject::Org) => self.org_days().encode(),
            ItemClass::Days(Subject::Repo(id)) => self.repo_days(self.find_repo(*id)?).encode(),
            ItemClass::Days(Subject::Member(name)) => self.member_days(self.find_member(name)?).encode(),
            ItemClass::List(SubjectKind::Repo) => self.repo_list().encode(),
            ItemClass::List(SubjectKind::Member) => self.member_list().encode(),
            ItemClass::Breakdown(Subject::Repo(id)) => {
                self.repo_breakdown(self.find_repo(*id)?, key.week, buffers)
            }
            ItemClass::Breakdown(Subject::Member(name)) => {
                self.member_breakdown(self.find_member(name)?, key.week, buffers)
            }
            ItemClass::List(SubjectKind::Org) | ItemClass::Breakdown(Subject::Org) => return None,
        })
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
    pub(crate) fn member_cells(&self, member: u32) -> &[Cell] {
        let (first, end) = (self.member_starts[member as usize], self.member_starts[member as usize + 1]);
        &self.by_member[first as usize..end as usize]
    }

    /// Returns the rank of the repository of a cell.
    pub(crate) fn repo_rank(&self, cell: &Cell) -> u32 {
        self.repo_ranks[cell.repo_day as usize]
    }

    /// Returns the display name of a cell, or of several.
    pub(crate) fn display_name(&self, name: DatedName) -> DisplayName {
        DisplayName { name: self.names[name.name as usize].clone(), kind: name.kind }
    }

    /// Returns the display name of a cell without a copy.
    pub(crate) fn name_and_kind(&self, name: DatedName) -> (&str, MemberKind) {
        (&self.names[name.name as usize], name.kind)
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
        let cells = self.member_cells(member).iter();
        cells.fold(0, |weeks, cell| weeks | week_bit(self.cells.repo_day(cell)))
    }
}

fn week_bit(repo_day: &RepoDay) -> u8 {
    1 << repo_day.week.number()
}
