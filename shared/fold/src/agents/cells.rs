//! The cells of a month: what a member did in a repository on a day.

use gam_model::{AgentCounter, AgentDimension, DayOfMonth};
use gam_rollup::Side;
use gam_rollup::agents::{AgentCounts, AgentTotals, add_counts};
use rustc_hash::FxHashMap;

use crate::cells::DatedName;
use crate::members::Interner;

/// What a cell is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct AgentCellKey {
    pub(super) repo_id: i64,
    pub(super) day: DayOfMonth,
    /// The index of the member's key.
    pub(super) member: u32,
    pub(super) side: Side,
}

/// All cells of a month.
#[derive(Default)]
pub(super) struct AgentCells {
    pub(super) cells: Vec<(AgentCellKey, AgentTotals)>,
    indexes: FxHashMap<AgentCellKey, u32>,
    /// The counters of models, tools and branches, by the index of the cell and of the name.
    pub(super) parts: [FxHashMap<(u32, u32), AgentCounts>; AgentDimension::COUNT],
    /// The latest display name of each member, by the index of its key.
    pub(super) display_names: FxHashMap<u32, DatedName>,
}

impl AgentCells {
    /// Returns the index of the cell, which is added if it is new. Most rows belong to the cell of the row before.
    pub(super) fn cell(&mut self, key: AgentCellKey) -> u32 {
        if let Some((last, _)) = self.cells.last()
            && *last == key
        {
            return self.cells.len() as u32 - 1;
        }
        *self.indexes.entry(key).or_insert_with(|| {
            self.cells.push((key, AgentTotals::default()));
            self.cells.len() as u32 - 1
        })
    }

    pub(super) fn add(&mut self, cell: u32, counts: &AgentCounts) {
        add_counts(&mut self.cells[cell as usize].1.counts, counts);
    }

    pub(super) fn add_one(&mut self, cell: u32, counter: AgentCounter, amount: u64) {
        self.cells[cell as usize].1.add(counter, amount);
    }

    /// Adds a session that began. `seconds` is its active time.
    pub(super) fn add_session(&mut self, cell: u32, seconds: u64) {
        let totals = &mut self.cells[cell as usize].1;
        totals.add(AgentCounter::Sessions, 1);
        totals.session_lengths.add(seconds);
    }

    pub(super) fn add_part(&mut self, cell: u32, dimension: AgentDimension, name: u32, counts: &AgentCounts) {
        let part = self.parts[dimension as usize].entry((cell, name)).or_insert([0; AgentCounter::COUNT]);
        add_counts(part, counts);
    }

    /// Remembers a member's display name if it is later than the known one.
    pub(super) fn add_name(&mut self, member: u32, name: DatedName, names: &Interner) {
        let known = self.display_names.entry(member).or_insert(name);
        if name.is_later(*known, names) {
            *known = name;
        }
    }
}
