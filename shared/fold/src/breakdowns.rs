//! Breakdowns: the cells of a repository by member, and of a member by repository.
//!
//! Both have all cells, also of commits that another repository counts for the organization. So the members of a
//! repository sum to the repository.

use gam_model::WeekOfMonth;
use gam_rollup::{BreakdownItem, ListedSubject, Side, Totals};

use crate::cells::{Cell, DatedName};
use crate::month_fold::MonthFold;

impl MonthFold {
    /// Returns a week of a repository by member.
    pub(crate) fn repo_breakdown(&self, repo: usize, week: WeekOfMonth) -> BreakdownItem {
        let days = self.days_of_repo(repo).iter().filter(|repo_day| repo_day.week == week);
        let max_count = days.clone().map(|repo_day| self.cells.of(repo_day).len()).sum();
        let mut names: Vec<(u32, DatedName)> = Vec::with_capacity(max_count);
        let mut cells = Vec::with_capacity(max_count);
        for repo_day in days {
            for cell in self.cells.of(repo_day).iter().filter(|cell| cell.key.side() != Side::Unknown) {
                names.push((cell.key.member(), self.cells.dated_name(cell)));
                self.add_cell(cell, cell.key.member(), &mut cells);
            }
        }
        names.sort_unstable();
        // The last name of each member is the latest.
        names.dedup_by(|later, earlier| {
            let is_same_member = later.0 == earlier.0;
            if is_same_member {
                *earlier = *later;
            }
            is_same_member
        });
        for cell in &mut cells {
            cell.other = names.partition_point(|(member, _)| *member < cell.other) as u32;
        }
        let listed = |(member, name): (u32, DatedName)| {
            ListedSubject::Member(self.members[member as usize].clone(), self.display_name(name))
        };
        BreakdownItem { others: names.into_iter().map(listed).collect(), cells }
    }

    /// Returns a week of a member by repository.
    pub(crate) fn member_breakdown(&self, member: u32, week: WeekOfMonth) -> BreakdownItem {
        // A member's cells are in the order of days.
        let month = self.member_cells(member);
        let position = |is_before: fn(&WeekOfMonth, &WeekOfMonth) -> bool| {
            month.partition_point(|cell| is_before(&self.cells.repo_day(cell).week, &week))
        };
        let of_week = &month[position(WeekOfMonth::lt)..position(WeekOfMonth::le)];
        let mut repos: Vec<u32> = Vec::with_capacity(of_week.len());
        let mut cells = Vec::with_capacity(of_week.len());
        for cell in of_week {
            repos.push(self.repo_rank(cell));
            self.add_cell(cell, self.repo_rank(cell), &mut cells);
        }
        repos.sort_unstable();
        repos.dedup();
        for cell in &mut cells {
            cell.other = repos.partition_point(|repo| *repo < cell.other) as u32;
        }
        let others = repos.into_iter().map(|repo| ListedSubject::Repo(self.repos[repo as usize].id));
        BreakdownItem { others: others.collect(), cells }
    }

    /// Adds a cell to the last one of an item if both have the same day, other and side. Appends it else.
    fn add_cell(&self, cell: &Cell, other: u32, cells: &mut Vec<gam_rollup::Cell>) {
        let (day, side) = (self.cells.repo_day(cell).day.number(), cell.key.side());
        let is_same = |last: &gam_rollup::Cell| (last.day, last.other, last.side) == (day, other, side);
        if !cells.last().is_some_and(is_same) {
            cells.push(gam_rollup::Cell { day, other, side, totals: Totals::default() });
        }
        if let Some(last) = cells.last_mut() {
            self.cells.add_to(cell, &mut last.totals);
        }
    }
}
