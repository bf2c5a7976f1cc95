//! Replaces a part of an item by that of another one, so that a change of a month need not compute the rest again.

use crate::items::{DaysItem, ListEntry, ListItem, ListedSubject, SideTotals};

/// A dictionary of texts or ids that combines those of two items.
struct CombinedNames<N> {
    /// The names that are used, ascending.
    names: Vec<N>,
}

impl<N: Ord + Clone> CombinedNames<N> {
    fn new() -> Self {
        CombinedNames { names: Vec::new() }
    }

    /// Adds those of an item's names that these indexes use.
    fn add<'s>(&mut self, names: &[N], lists: impl Iterator<Item = &'s Vec<u32>>) {
        let mut is_used = vec![false; names.len()];
        lists.flatten().for_each(|&index| is_used[index as usize] = true);
        self.names
            .extend(names.iter().zip(is_used).filter(|(_, is_used)| *is_used).map(|(name, _)| name.clone()));
        // Fast, because both parts are sorted.
        self.names.sort();
        self.names.dedup();
    }

    /// Replaces indexes into an item's names by indexes into the combined ones. Both are ascending, so the indexes stay
    /// in order.
    fn number<'s>(&self, names: &[N], lists: impl Iterator<Item = &'s mut Vec<u32>>) {
        let position = |name: &N| self.names.binary_search(name).unwrap_or_default() as u32;
        let positions: Vec<u32> = names.iter().map(position).collect();
        for index in lists.flatten() {
            *index = positions[*index as usize];
        }
    }
}

impl DaysItem {
    /// Returns this item with those days that `is_replaced` returns `true` for taken from `newer`, also if they are
    /// missing there. Names that no day uses any more are left out. The display name is that of this item.
    pub fn with_days(mut self, mut newer: DaysItem, is_replaced: impl Fn(u8) -> bool) -> DaysItem {
        self.days.retain(|(day, _)| !is_replaced(*day));
        newer.days.retain(|(day, _)| is_replaced(*day));
        let (mut members, mut repos) = (CombinedNames::new(), CombinedNames::new());
        for item in [&self, &newer] {
            members.add(&item.members, sides_of(&item.days).map(|side| &side.members));
            repos.add(&item.repos, sides_of(&item.days).map(|side| &side.repos));
        }
        for item in [&mut self, &mut newer] {
            members.number(&item.members, sides_mut(&mut item.days).map(|side| &mut side.members));
            repos.number(&item.repos, sides_mut(&mut item.days).map(|side| &mut side.repos));
        }
        self.days.append(&mut newer.days);
        self.days.sort_by_key(|(day, _)| *day);
        DaysItem { members: members.names, repos: repos.names, ..self }
    }
}

fn sides_of(days: &[(u8, Vec<SideTotals>)]) -> impl Iterator<Item = &SideTotals> {
    days.iter().flat_map(|(_, sides)| sides)
}

fn sides_mut(days: &mut [(u8, Vec<SideTotals>)]) -> impl Iterator<Item = &mut SideTotals> {
    days.iter_mut().flat_map(|(_, sides)| sides)
}

impl ListItem {
    /// Returns this list with the entries of those subjects that `is_replaced` returns `true` for taken from `newer`,
    /// also if they are missing there. Members that no entry uses any more are left out.
    pub fn with_entries(
        mut self,
        mut newer: ListItem,
        is_replaced: impl Fn(&ListedSubject) -> bool,
    ) -> ListItem {
        self.entries.retain(|entry| !is_replaced(&entry.subject));
        newer.entries.retain(|entry| is_replaced(&entry.subject));
        let mut members = CombinedNames::new();
        for list in [&self, &newer] {
            members.add(&list.members, sides_of_entries(&list.entries).map(|side| &side.members));
        }
        for list in [&mut self, &mut newer] {
            let sides = list.entries.iter_mut().flat_map(|entry| &mut entry.sides);
            members.number(&list.members, sides.map(|side| &mut side.members));
        }
        self.entries.append(&mut newer.entries);
        self.entries.sort_by(|a, b| a.subject.cmp(&b.subject));
        ListItem { members: members.names, entries: self.entries }
    }
}

fn sides_of_entries(entries: &[ListEntry]) -> impl Iterator<Item = &SideTotals> {
    entries.iter().flat_map(|entry| &entry.sides)
}
