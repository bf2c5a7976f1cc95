//! The streams of bits of the items of the table `sessions`.

use gam_model::{AgentCounter, AgentDimension};

use super::bits::{BitReader, BitWriter};
use super::codes::{AdaptiveNumber, AdaptiveSets, AdaptiveSymbols};
use super::day_codes::{read_days, write_days};
use super::item_codes::dictionary_len;
use super::name_codes::{read_keys, read_name, read_subjects, write_keys, write_name, write_subjects};
use super::totals_codes::DistributionCode;
use super::{BitForm, DecodeError, EntryCount, MAX_ENTRIES, check_entries};
use crate::agents::{
    AgentCounts, AgentDaysItem, AgentListEntry, AgentListItem, AgentSide, AgentSides, AgentTotals,
};
use crate::items::ListedSubject;
use crate::totals::Side;

/// The sides that session events have.
const SIDES: [Side; 2] = [Side::People, Side::Bots];
/// The bits of a set of counters.
const COUNTER_BITS: u32 = AgentCounter::COUNT as u32;

const _: () = assert!(COUNTER_BITS <= 16, "a set of counters fits into a symbol");

/// The code of a column of counters: which ones are not zero, and their values.
struct CountsCode {
    sets: AdaptiveSymbols,
    values: [AdaptiveNumber; AgentCounter::COUNT],
}

impl CountsCode {
    fn new() -> Self {
        CountsCode {
            sets: AdaptiveSymbols::new(COUNTER_BITS, &[]),
            values: [AdaptiveNumber::new(4); AgentCounter::COUNT],
        }
    }

    fn write(&mut self, bits: &mut BitWriter, counts: &AgentCounts) {
        let set =
            counts.iter().enumerate().fold(0, |set, (index, count)| set | u32::from(*count > 0) << index);
        self.sets.write(bits, set);
        for (code, count) in self.values.iter_mut().zip(counts) {
            if let Some(more) = count.checked_sub(1) {
                code.write(bits, more);
            }
        }
    }

    fn read(&mut self, bits: &mut BitReader<'_>) -> Result<AgentCounts, DecodeError> {
        let set = self.sets.read(bits)?;
        if set >> COUNTER_BITS != 0 {
            return Err(DecodeError::Invalid("an unknown counter"));
        }
        let mut counts = [0; AgentCounter::COUNT];
        for (index, (code, count)) in self.values.iter_mut().zip(&mut counts).enumerate() {
            if set >> index & 1 == 1 {
                *count = code.read(bits)?.saturating_add(1);
            }
        }
        Ok(counts)
    }
}

/// The code of a column of days. `parts` is `None` if sides have no parts.
struct DaysCode {
    counts: CountsCode,
    lengths: DistributionCode,
    members: AdaptiveSets,
    parts: Option<[(AdaptiveSets, CountsCode); AgentDimension::COUNT]>,
    /// As [`side_count`] counts them.
    read_sides: EntryCount,
    read_parts: EntryCount,
}

impl DaysCode {
    fn new(members: usize, names: Option<&[Vec<String>; AgentDimension::COUNT]>) -> Self {
        let part = |names: &Vec<String>| (AdaptiveSets::new(dictionary_len(names.len())), CountsCode::new());
        DaysCode {
            counts: CountsCode::new(),
            lengths: DistributionCode::new(),
            members: AdaptiveSets::new(dictionary_len(members)),
            parts: names.map(|names| names.each_ref().map(part)),
            read_sides: EntryCount::default(),
            read_parts: EntryCount::default(),
        }
    }

    fn write(&mut self, bits: &mut BitWriter, days: &[(u8, AgentSides)]) {
        write_days(bits, days.iter(), |bits, sides| {
            let mut written = 0;
            for side in SIDES {
                let found = sides.iter().find(|(one, _)| *one == side);
                bits.write_flag(found.is_some());
                if let Some((_, side)) = found {
                    self.write_side(bits, side);
                    written += 1;
                }
            }
            assert_eq!(written, sides.len(), "each side of session events is there at most once");
        });
    }

    fn write_side(&mut self, bits: &mut BitWriter, side: &AgentSide) {
        self.counts.write(bits, &side.totals.counts);
        self.lengths.write(bits, &side.totals.session_lengths);
        self.members.write(bits, &side.members);
        let has_parts = side.parts.iter().any(|part| !part.is_empty());
        assert!(self.parts.is_some() || !has_parts, "lists have no parts");
        for ((sets, counts), part) in self.parts.iter_mut().flatten().zip(&side.parts) {
            let indexes: Vec<u32> = part.iter().map(|(index, _)| *index).collect();
            sets.write(bits, &indexes);
            part.iter().for_each(|(_, part)| counts.write(bits, part));
        }
    }

    fn read(&mut self, bits: &mut BitReader<'_>) -> Result<Vec<(u8, AgentSides)>, DecodeError> {
        read_days(bits, |bits| {
            let mut sides = AgentSides::new();
            for side in SIDES {
                if bits.read_flag()? {
                    self.read_sides.add_one()?;
                    let done = self.read_side(bits)?;
                    // A side takes hundreds of bytes, and most days have one. `push` alone makes room for four.
                    sides.reserve_exact(1);
                    sides.push((side, done));
                }
            }
            if sides.is_empty() {
                self.read_sides.add_one()?;
            }
            Ok(sides)
        })
    }

    fn read_side(&mut self, bits: &mut BitReader<'_>) -> Result<AgentSide, DecodeError> {
        let totals =
            AgentTotals { counts: self.counts.read(bits)?, session_lengths: self.lengths.read(bits)? };
        let mut side = AgentSide { totals, members: self.members.read(bits)?, ..AgentSide::default() };
        for ((sets, counts), part) in self.parts.iter_mut().flatten().zip(&mut side.parts) {
            let indexes = sets.read(bits)?;
            part.reserve_exact(indexes.len().min(MAX_ENTRIES));
            for index in indexes {
                self.read_parts.add_one()?;
                part.push((index, counts.read(bits)?));
            }
        }
        Ok(side)
    }
}

/// Returns the number of sides. A day without sides counts as one.
fn side_count(days: &[(u8, AgentSides)]) -> usize {
    days.iter().map(|(_, sides)| sides.len().max(1)).sum()
}

fn name_count(members: &[String], names: &[Vec<String>; AgentDimension::COUNT]) -> usize {
    members.len() + names.iter().map(Vec::len).sum::<usize>()
}

impl BitForm for AgentDaysItem {
    const CLASS: u8 = 4;

    fn entry_counts(&self) -> [usize; 3] {
        let sides = self.days.iter().flat_map(|(_, sides)| sides);
        let parts = sides.flat_map(|(_, side)| &side.parts).map(Vec::len).sum();
        [name_count(&self.members, &self.names), side_count(&self.days), parts]
    }

    fn write(&self, bits: &mut BitWriter) {
        bits.write_flag(self.name.is_some());
        if let Some(name) = &self.name {
            write_name(bits, name);
        }
        write_keys(bits, self.members.iter().map(String::as_str));
        for names in &self.names {
            write_keys(bits, names.iter().map(String::as_str));
        }
        DaysCode::new(self.members.len(), Some(&self.names)).write(bits, &self.days);
    }

    fn read(bits: &mut BitReader<'_>) -> Result<Self, DecodeError> {
        let name = if bits.read_flag()? { Some(read_name(bits)?) } else { None };
        let members = read_keys(bits)?;
        let mut names: [Vec<String>; AgentDimension::COUNT] = Default::default();
        for names in &mut names {
            *names = read_keys(bits)?;
        }
        check_entries(name_count(&members, &names))?;
        let days = DaysCode::new(members.len(), Some(&names)).read(bits)?;
        Ok(AgentDaysItem { name, members, names, days })
    }
}

impl BitForm for AgentListItem {
    const CLASS: u8 = 5;

    fn entry_counts(&self) -> [usize; 3] {
        let sides = self.entries.iter().map(|entry| side_count(&entry.days)).sum();
        [self.members.len(), self.entries.len(), sides]
    }

    fn write(&self, bits: &mut BitWriter) {
        write_keys(bits, self.members.iter().map(String::as_str));
        write_subjects(bits, self.entries.iter().map(|entry| entry.subject.as_subject_ref()));
        let mut code = DaysCode::new(self.members.len(), None);
        for entry in &self.entries {
            code.write(bits, &entry.days);
        }
    }

    fn read(bits: &mut BitReader<'_>) -> Result<Self, DecodeError> {
        let members = read_keys(bits)?;
        let subjects: Vec<ListedSubject> = read_subjects(bits)?;
        let mut code = DaysCode::new(members.len(), None);
        let mut entries = Vec::with_capacity(subjects.len());
        for subject in subjects {
            entries.push(AgentListEntry { subject, days: code.read(bits)? });
        }
        Ok(AgentListItem { members, entries })
    }
}
