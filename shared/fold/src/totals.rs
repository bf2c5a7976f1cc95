//! Items that are totals of sides: a subject's days, and the lists of a month.

use gam_model::DayOfMonth;
use gam_rollup::{DaysItem, ListEntry, ListItem, ListedSubject, Side, SideTotals, Totals, merged_span};

use crate::cells::Cell;
use crate::month_fold::MonthFold;

impl MonthFold {
    /// Returns the days of the organization. A shared commit counts once, but for all its repositories.
    pub(crate) fn org_days(&self) -> DaysItem {
        let mut days = Vec::new();
        for (repo, repo_day) in self.by_day() {
            let sides = sides_of_day(&mut days, repo_day.day);
            for cell in self.cells.of(repo_day) {
                if cell.has_credited_events() {
                    let repos = &mut side_mut(sides, cell.key.side()).repos;
                    if repos.last() != Some(&repo) {
                        repos.push(repo);
                    }
                }
                if !cell.key.is_repeat() {
                    self.add_with_member(cell, sides);
                    let span = &mut side_mut(sides, cell.key.side()).span;
                    *span = merged_span(*span, self.cells.span(cell));
                }
            }
        }
        let mut lists: Vec<_> = all_sides(&mut days).map(|side| &mut side.repos).collect();
        let repos = number_from_zero(&mut lists, self.repos.len());
        let repos = repos.into_iter().map(|repo| self.repos[repo as usize].id).collect();
        DaysItem { name: None, members: self.number_members(all_sides(&mut days)), repos, days }
    }

    /// Returns the days of a repository.
    pub(crate) fn repo_days(&self, repo: usize) -> DaysItem {
        let mut days = Vec::new();
        for repo_day in self.days_of_repo(repo) {
            let sides = sides_of_day(&mut days, repo_day.day);
            self.cells.of(repo_day).iter().for_each(|cell| self.add_with_member(cell, sides));
        }
        DaysItem { name: None, members: self.number_members(all_sides(&mut days)), repos: Vec::new(), days }
    }

    /// Returns the days of a member, without commits that another repository counts.
    pub(crate) fn member_days(&self, member: u32) -> DaysItem {
        let mut days = Vec::new();
        let cells = self.member_cells(member).iter().filter(|cell| !cell.key.is_repeat());
        for cell in cells.clone() {
            let sides = sides_of_day(&mut days, self.cells.repo_day(cell).day);
            self.cells.totals(cell).add_to(&mut side_mut(sides, cell.key.side()).totals);
        }
        let name = cells.map(|cell| self.cells.dated_name(cell)).max();
        let name = name.map(|name| self.display_name(name));
        DaysItem { name, members: Vec::new(), repos: Vec::new(), days }
    }

    /// Returns the list of the repositories.
    pub(crate) fn repo_list(&self) -> ListItem {
        let entry = |repo: usize| {
            let mut sides = Vec::new();
            let cells = self.days_of_repo(repo).iter().flat_map(|repo_day| self.cells.of(repo_day));
            cells.for_each(|cell| self.add_with_member(cell, &mut sides));
            ListEntry {
                subject: ListedSubject::Repo(self.repos[repo].id),
                weeks: self.repo_weeks(repo),
                sides,
            }
        };
        let mut entries: Vec<ListEntry> = (0..self.repos.len()).map(entry).collect();
        let members = self.number_members(entries.iter_mut().flat_map(|entry| &mut entry.sides));
        ListItem { members, entries }
    }

    /// Returns the list of the members.
    ///
    /// It also has the members whose commits all count for another repository and author, without totals: they
    /// have breakdowns.
    pub(crate) fn member_list(&self) -> ListItem {
        let entry = |member: u32| {
            let cells = self.member_cells(member).iter();
            let mut sides = Vec::new();
            for cell in cells.clone().filter(|cell| !cell.key.is_repeat()) {
                self.cells.totals(cell).add_to(&mut side_mut(&mut sides, cell.key.side()).totals);
            }
            let (_, name) = cells.map(|cell| (!cell.key.is_repeat(), self.cells.dated_name(cell))).max()?;
            Some(ListEntry {
                subject: ListedSubject::Member(
                    self.members[member as usize].clone(),
                    self.display_name(name),
                ),
                weeks: self.member_weeks(member),
                sides,
            })
        };
        let entries = (0..self.members.len() as u32).filter_map(entry).collect();
        ListItem { members: Vec::new(), entries }
    }

    /// Adds a cell to the totals of its side, and its member to those credited.
    fn add_with_member(&self, cell: &Cell, sides: &mut Vec<SideTotals>) {
        let side = side_mut(sides, cell.key.side());
        self.cells.totals(cell).add_to(&mut side.totals);
        // What has no author is credited to nobody.
        if cell.has_credited_events() && cell.key.side() != Side::Unknown {
            side.members.push(cell.key.member());
        }
    }

    /// Replaces the ranks of members by indexes into the keys of all members in the sides. Returns the keys.
    fn number_members<'s>(&self, sides: impl Iterator<Item = &'s mut SideTotals>) -> Vec<String> {
        let mut lists: Vec<_> = sides.map(|side| &mut side.members).collect();
        let ranks = number_from_zero(&mut lists, self.members.len());
        ranks.into_iter().map(|rank| self.members[rank as usize].clone()).collect()
    }
}

/// Returns the sides of a day, which is appended if it is new. Days must come in order.
fn sides_of_day(days: &mut Vec<(u8, Vec<SideTotals>)>, day: DayOfMonth) -> &mut Vec<SideTotals> {
    if days.last().is_none_or(|(last, _)| *last != day.number()) {
        days.push((day.number(), Vec::new()));
    }
    &mut days.last_mut().expect("a day was appended").1
}

/// Returns the totals of a side, which are inserted in the order of sides if they are missing.
fn side_mut(sides: &mut Vec<SideTotals>, side: Side) -> &mut SideTotals {
    let position = sides.iter().position(|other| other.side >= side).unwrap_or(sides.len());
    if sides.get(position).is_none_or(|other| other.side != side) {
        let totals = Totals::default();
        sides.insert(
            position,
            SideTotals { side, totals, members: Vec::new(), repos: Vec::new(), span: None },
        );
    }
    &mut sides[position]
}

fn all_sides(days: &mut [(u8, Vec<SideTotals>)]) -> impl Iterator<Item = &mut SideTotals> {
    days.iter_mut().flat_map(|(_, sides)| sides)
}

/// Sorts the lists and removes duplicates. Returns all numbers that occur, in ascending order, and replaces each
/// number in the lists by its index among them. Numbers are less than `limit`.
fn number_from_zero(lists: &mut [&mut Vec<u32>], limit: usize) -> Vec<u32> {
    let mut all = NumberSet::new(limit);
    let mut of_list = NumberSet::new(limit);
    for list in lists.iter_mut() {
        list.iter().for_each(|&number| all.insert(number));
        // A pass over the complete set costs more than sorting a few numbers.
        if list.len() < of_list.words.len() {
            list.sort_unstable();
            list.dedup();
        } else {
            list.iter().for_each(|&number| of_list.insert(number));
            list.clear();
            list.extend(of_list.numbers());
            of_list.words.fill(0);
        }
    }
    let numbers: Vec<u32> = all.numbers().collect();
    let mut indexes = vec![0; limit];
    for (index, &number) in (0..).zip(&numbers) {
        indexes[number as usize] = index;
    }
    for number in lists.iter_mut().flat_map(|list| list.iter_mut()) {
        *number = indexes[*number as usize];
    }
    numbers
}

/// A set of numbers, a bit for each.
struct NumberSet {
    words: Vec<u64>,
}

impl NumberSet {
    fn new(limit: usize) -> Self {
        NumberSet { words: vec![0; limit.div_ceil(64)] }
    }

    fn insert(&mut self, number: u32) {
        self.words[number as usize / 64] |= 1 << (number % 64);
    }

    /// Returns the numbers in ascending order.
    fn numbers(&self) -> impl Iterator<Item = u32> {
        (0..).step_by(64).zip(&self.words).flat_map(|(first, &word)| {
            let mut rest = word;
            std::iter::from_fn(move || {
                let bit = (rest != 0).then(|| rest.trailing_zeros())?;
                rest &= rest - 1;
                Some(first + bit)
            })
        })
    }
}
