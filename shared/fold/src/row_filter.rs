//! Selects the rows that some items of a month are folded from.

use gam_model::DayOfMonth;
use rustc_hash::FxHashSet;

use crate::columns::EventColumns;
use crate::members::{InternedMember, Interner, Members};

/// Selects all rows of some repositories, of some members and of some days. It may select more: the items of other
/// subjects and days are then incomplete.
#[derive(Debug, Default)]
pub(crate) struct RowFilter {
    pub(crate) repos: FxHashSet<i64>,
    /// The keys of members.
    pub(crate) members: FxHashSet<String>,
    pub(crate) days: FxHashSet<DayOfMonth>,
    /// For each member's index, whether it is one of the members. Grows with the members of the fold.
    is_selected: Vec<bool>,
}

impl RowFilter {
    /// Returns whether the row is needed. `member` is whom it is credited to.
    pub(crate) fn selects(
        &mut self,
        columns: &EventColumns<'_>,
        row: usize,
        day: DayOfMonth,
        member: InternedMember,
        members: &mut Members<'_>,
    ) -> bool {
        self.days.contains(&day)
            || self.repos.contains(&columns.repo_id.value(row))
            || self.has_member(member, &members.keys)
            || columns.co_authors.names(row).any(|name| {
                let co_author = members.member(name);
                self.has_member(co_author, &members.keys)
            })
    }

    fn has_member(&mut self, member: InternedMember, keys: &Interner) -> bool {
        let index = member.key as usize;
        while self.is_selected.len() <= index {
            let key = keys.text(self.is_selected.len() as u32);
            self.is_selected.push(self.members.contains(key));
        }
        self.is_selected[index]
    }
}
