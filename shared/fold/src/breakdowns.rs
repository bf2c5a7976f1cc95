//! Breakdowns: the cells of a repository by member, and of a member by repository.
//!
//! Both have all cells, also of commits that another repository counts for the organization. So the members of a
//! repository sum to the repository. Nearly every event has a cell in two breakdowns, so they are encoded without a copy
//! of their totals.

use gam_model::WeekOfMonth;
use gam_model::metric::Counter;
use gam_rollup::{Side, SparseCell, SubjectRef, Totals, encode_breakdown};

use crate::cells::{Cell, DatedName};
use crate::month_fold::MonthFold;

/// Memory that breakdowns use one after another.
#[derive(Debug, Default)]
pub(crate) struct BreakdownBuffers {
    /// For each member's or repository's rank: its index among the others of the current breakdown.
    indexes: Vec<u32>,
}

/// A cell of a breakdown, and the rank of its member or repository.
type RankedCell<'a> = (u32, &'a Cell);

impl MonthFold {
    /// Returns the stored form of a week of a repository by member. Empty without cells.
    pub(crate) fn repo_breakdown(
        &self,
        repo: usize,
        week: WeekOfMonth,
        buffers: &mut BreakdownBuffers,
    ) -> Vec<u8> {
        let days = self.days_of_repo(repo).iter().filter(|repo_day| repo_day.week == week);
        let cells = days.flat_map(|repo_day| self.cells.of(repo_day));
        let cells = cells.filter(|cell| cell.key.side() != Side::Unknown);
        let cells: Vec<RankedCell<'_>> = cells.map(|cell| (cell.key.member(), cell)).collect();
        let members = buffers.number_others(&cells, self.members.len());
        let mut names: Vec<Option<DatedName>> = vec![None; members.len()];
        for (member, cell) in &cells {
            let name = &mut names[buffers.indexes[*member as usize] as usize];
            *name = (*name).max(Some(self.cells.dated_name(cell)));
        }
        let others = members.iter().zip(&names).map(|(&member, name)| {
            let (name, kind) = self.name_and_kind(name.expect("each member has a cell"));
            SubjectRef::Member { key: &self.members[member as usize], name, kind }
        });
        self.encode_cells(others, &cells, &buffers.indexes)
    }

    /// Returns the stored form of a week of a member by repository. Empty without cells.
    pub(crate) fn member_breakdown(
        &self,
        member: u32,
        week: WeekOfMonth,
        buffers: &mut BreakdownBuffers,
    ) -> Vec<u8> {
        // A member's cells are in the order of days.
        let month = self.member_cells(member);
        let position = |is_before: fn(&WeekOfMonth, &WeekOfMonth) -> bool| {
            month.partition_point(|cell| is_before(&self.cells.repo_day(cell).week, &week))
        };
        let of_week = &month[position(WeekOfMonth::lt)..position(WeekOfMonth::le)];
        let cells: Vec<RankedCell<'_>> = of_week.iter().map(|cell| (self.repo_rank(cell), cell)).collect();
        let repos = buffers.number_others(&cells, self.repos.len());
        let others = repos.iter().map(|&repo| SubjectRef::Repo(self.repos[repo as usize].id));
        self.encode_cells(others, &cells, &buffers.indexes)
    }

    /// Encodes cells that are in the order of days, others, sides and repeats.
    fn encode_cells<'a>(
        &'a self,
        others: impl ExactSizeIterator<Item = SubjectRef<'a>> + Clone,
        cells: &[RankedCell<'a>],
        indexes: &[u32],
    ) -> Vec<u8> {
        let day = |cell: &Cell| self.cells.repo_day(cell).day;
        let is_same = |(a_other, a): &RankedCell<'_>, (b_other, b): &RankedCell<'_>| {
            a_other == b_other && a.key.side() == b.key.side() && day(a) == day(b)
        };
        // Commits that another repository counts have a cell of their own.
        let sums: Vec<Totals> = cells
            .chunk_by(is_same)
            .filter(|same| same.len() > 1)
            .map(|same| {
                let mut sum = Totals::default();
                same.iter().for_each(|(_, cell)| self.cells.totals(cell).add_to(&mut sum));
                sum
            })
            .collect();
        let mut counts = vec![[0; Counter::COUNT]; sums.len()];
        let mut sums = sums.iter().zip(&mut counts);
        let sparse: Vec<SparseCell<'_>> = cells
            .chunk_by(is_same)
            .filter_map(|same| {
                let (other, cell) = same[0];
                let totals = match same {
                    [_] => self.cells.totals(cell),
                    _ => sums.next().map(|(sum, counts)| sum.to_sparse(counts))?,
                };
                let other = indexes[other as usize];
                Some(SparseCell { day: day(cell).number(), other, side: cell.key.side(), totals })
            })
            .collect();
        encode_breakdown(others, &sparse)
    }
}

impl BreakdownBuffers {
    /// Returns the ranks that occur, in ascending order, and sets the index of each. Ranks are less than `limit`.
    fn number_others(&mut self, cells: &[RankedCell<'_>], limit: usize) -> Vec<u32> {
        const UNSEEN: u32 = u32::MAX;
        self.indexes.resize(limit.max(self.indexes.len()), UNSEEN);
        let mut ranks = Vec::new();
        for (rank, _) in cells {
            self.indexes[*rank as usize] = UNSEEN;
        }
        for (rank, _) in cells {
            let index = &mut self.indexes[*rank as usize];
            if *index == UNSEEN {
                *index = 0;
                ranks.push(*rank);
            }
        }
        ranks.sort_unstable();
        for (index, rank) in (0..).zip(&ranks) {
            self.indexes[*rank as usize] = index;
        }
        ranks
    }
}
