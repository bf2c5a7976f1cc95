//! The streams of bits of the items of the table `sessions`.

use gam_model::{AgentCounter, AgentDimension, DayOfMonth};

use super::bits::{BitReader, BitWriter};
use super::codes::{AdaptiveNumber, AdaptiveSets, AdaptiveSymbols};
use super::item_codes::dictionary_len;
use super::name_codes::{read_keys, read_name, read_subjects, write_keys, write_name, write_subjects};
use super::totals_codes::DistributionCode;
use super::{BitForm, DecodeError};
use crate::agents::{
    AgentCounts, AgentDaysItem, AgentListEntry, AgentListItem, AgentSide, AgentSides, AgentTotals,
};
use crate::items::ListedSubject;
use crate::totals::Side;

/// Days have numbers less than this.
const DAY_LIMIT: u32 = DayOfMonth::MAX_NUMBER as u32 + 1;
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
}

impl DaysCode {
    fn new(members: usize, names: Option<&[Vec<String>; AgentDimension::COUNT]>) -> Self {
        let part = |names: &Vec<String>| (AdaptiveSets::new(dictionary_len(names.len())), CountsCode::new());
        DaysCode {
            counts: CountsCode::new(),
            lengths: DistributionCode::new(),
            members: AdaptiveSets::new(dictionary_len(members)),
            parts: names.map(|names| names.each_ref().map(part)),
        }
    }

    fn write(&mut self, bits: &mut BitWriter, days: &[(u8, AgentSides)]) {
        let mut day_code = AdaptiveSets::new(DAY_LIMIT).write_count(bits, days.len());
        for (day, sides) in days {
            day_code.write(bits, u32::from(*day));
            for side in SIDES {
                let found = sides.iter().find(|(one, _)| *one == side);
                bits.write_flag(found.is_some());
                if let Some((_, side)) = found {
                    self.write_side(bits, side);
                }
            }
        }
    }

    fn write_side(&mut self, bits: &mut BitWriter, side: &AgentSide) {
        self.counts.write(bits, &side.totals.counts);
        self.lengths.write(bits, &side.totals.session_lengths);
        self.members.write(bits, &side.members);
        for ((sets, counts), part) in self.parts.iter_mut().flatten().zip(&side.parts) {
            let indexes: Vec<u32> = part.iter().map(|(index, _)| *index).collect();
            sets.write(bits, &indexes);
            part.iter().for_each(|(_, part)| counts.write(bits, part));
        }
    }

    fn read(&mut self, bits: &mut BitReader<'_>) -> Result<Vec<(u8, AgentSides)>, DecodeError> {
        let (count, mut day_code) = AdaptiveSets::new(DAY_LIMIT).read_count(bits)?;
        let mut days = Vec::with_capacity(count as usize);
        for _ in 0..count {
            let day = day_code.read(bits)? as u8;
            let mut sides = AgentSides::new();
            for side in SIDES {
                if bits.read_flag()? {
                    sides.push((side, self.read_side(bits)?));
                }
            }
            days.push((day, sides));
        }
        Ok(days)
    }

    fn read_side(&mut self, bits: &mut BitReader<'_>) -> Result<AgentSide, DecodeError> {
        let totals =
            AgentTotals { counts: self.counts.read(bits)?, session_lengths: self.lengths.read(bits)? };
        let mut side = AgentSide { totals, members: self.members.read(bits)?, ..AgentSide::default() };
        for ((sets, counts), part) in self.parts.iter_mut().flatten().zip(&mut side.parts) {
            for index in sets.read(bits)? {
                part.push((index, counts.read(bits)?));
            }
        }
        Ok(side)
    }
}

impl BitForm for AgentDaysItem {
    const CLASS: u8 = 4;

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
        let days = DaysCode::new(members.len(), Some(&names)).read(bits)?;
        Ok(AgentDaysItem { name, members, names, days })
    }
}

impl BitForm for AgentListItem {
    const CLASS: u8 = 5;

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
