//! The streams of bits of the three classes of items.

use gam_model::metric::Counter;

use super::bits::{BitReader, BitWriter};
use super::codes::{AdaptiveNumber, AdaptiveSets, AdaptiveSymbols};
use super::day_codes::{DAY_LIMIT, read_days, write_days};
use super::name_codes::{
    from_zigzag, read_ids, read_keys, read_name, read_subjects, write_ids, write_keys, write_name,
    write_subjects, zigzag,
};
use super::totals_codes::TotalsCode;
use super::{BitForm, DecodeError, EntryCount, check_entries};
use crate::items::{
    BreakdownItem, Cell, DaysItem, ListEntry, ListItem, ListedSubject, SideTotals, SparseCell, SubjectRef,
};
use crate::totals::Side;

/// Returns the number of entries of a dictionary, which limits its indexes.
pub(super) fn dictionary_len(entries: usize) -> u32 {
    u32::try_from(entries).expect("an item has fewer than 2^32 members and repositories")
}

/// Checks that a side comes after the one before it.
fn check_order(previous: Option<Side>, side: Side) -> Result<(), DecodeError> {
    if previous.is_some_and(|previous| previous >= side) {
        return Err(DecodeError::Invalid("sides that do not ascend"));
    }
    Ok(())
}

/// The code of a column of sides, each with its members, repositories and span.
struct SidesCode {
    totals: TotalsCode,
    members: AdaptiveSets,
    repos: AdaptiveSets,
    /// `None` if no side has a span.
    spans: Option<SpanCode>,
    read_sides: EntryCount,
}

impl SidesCode {
    fn new(members: usize, repos: usize, has_spans: bool) -> Self {
        SidesCode {
            totals: TotalsCode::new(),
            members: AdaptiveSets::new(dictionary_len(members)),
            repos: AdaptiveSets::new(dictionary_len(repos)),
            spans: has_spans.then(SpanCode::new),
            read_sides: EntryCount::default(),
        }
    }

    /// Writes the sides, of which there is at least one.
    fn write(&mut self, bits: &mut BitWriter, sides: &[SideTotals]) {
        assert!(sides.is_sorted_by(|a, b| a.side < b.side), "sides ascend");
        let mut counts = [0; Counter::COUNT];
        for (index, side) in sides.iter().enumerate() {
            let totals = side.totals.to_sparse(&mut counts);
            self.totals.write(bits, side.side, index + 1 < sides.len(), &totals);
            self.members.write(bits, &side.members);
            self.repos.write(bits, &side.repos);
            if let Some(spans) = &mut self.spans {
                spans.write(bits, side.span);
            }
        }
    }

    fn read(&mut self, bits: &mut BitReader<'_>) -> Result<Vec<SideTotals>, DecodeError> {
        let mut sides: Vec<SideTotals> = Vec::with_capacity(1);
        loop {
            self.read_sides.add_one()?;
            let (side, has_next_side, totals) = self.totals.read(bits)?;
            check_order(sides.last().map(|previous| previous.side), side)?;
            let members = self.members.read(bits)?;
            let repos = self.repos.read(bits)?;
            let span = match &mut self.spans {
                Some(spans) => spans.read(bits)?,
                None => None,
            };
            sides.push(SideTotals { side, totals, members, repos, span });
            if !has_next_side {
                return Ok(sides);
            }
        }
    }
}

/// The code of a column of spans: how much later each begins than the one before, and its length.
struct SpanCode {
    previous: i64,
    starts: AdaptiveNumber,
    lengths: AdaptiveNumber,
}

impl SpanCode {
    fn new() -> Self {
        SpanCode { previous: 0, starts: AdaptiveNumber::new(32), lengths: AdaptiveNumber::new(26) }
    }

    fn write(&mut self, bits: &mut BitWriter, span: Option<(i64, i64)>) {
        bits.write_flag(span.is_some());
        let Some((first, last)) = span else { return };
        assert!(first <= last, "a span ends after it begins");
        self.starts.write(bits, zigzag(first.wrapping_sub(self.previous)));
        self.lengths.write(bits, last.abs_diff(first));
        self.previous = first;
    }

    fn read(&mut self, bits: &mut BitReader<'_>) -> Result<Option<(i64, i64)>, DecodeError> {
        if !bits.read_flag()? {
            return Ok(None);
        }
        let first = self.previous.wrapping_add(from_zigzag(self.starts.read(bits)?));
        let last = first.checked_add_unsigned(self.lengths.read(bits)?);
        self.previous = first;
        Ok(Some((first, last.ok_or(DecodeError::Invalid("a time that is too late"))?)))
    }
}

impl BitForm for DaysItem {
    const CLASS: u8 = 1;

    fn entry_counts(&self) -> [usize; 3] {
        [self.members.len(), self.repos.len(), self.days.iter().map(|(_, sides)| sides.len()).sum()]
    }

    fn write(&self, bits: &mut BitWriter) {
        bits.write_flag(self.name.is_some());
        if let Some(name) = &self.name {
            write_name(bits, name);
        }
        write_keys(bits, self.members.iter().map(String::as_str));
        write_ids(bits, self.repos.iter().copied());
        let has_spans = self.days.iter().flat_map(|(_, sides)| sides).any(|side| side.span.is_some());
        bits.write_flag(has_spans);
        let mut code = SidesCode::new(self.members.len(), self.repos.len(), has_spans);
        let days = self.days.iter().filter(|(_, sides)| !sides.is_empty());
        write_days(bits, days, |bits, sides| code.write(bits, sides));
    }

    fn read(bits: &mut BitReader<'_>) -> Result<Self, DecodeError> {
        let name = if bits.read_flag()? { Some(read_name(bits)?) } else { None };
        let members = read_keys(bits)?;
        let repos = read_ids(bits)?;
        let mut code = SidesCode::new(members.len(), repos.len(), bits.read_flag()?);
        Ok(DaysItem { name, members, repos, days: read_days(bits, |bits| code.read(bits))? })
    }
}

/// The code of the weeks of list entries, and whether they have sides.
struct WeeksCode(AdaptiveSymbols);

impl WeeksCode {
    const WEEKS: u32 = 0b1_1111;
    const HAS_NO_SIDES: u32 = 1 << 5;

    fn new() -> Self {
        WeeksCode(AdaptiveSymbols::new(6, &[Self::WEEKS]))
    }

    fn write(&mut self, bits: &mut BitWriter, entry: &ListEntry) {
        assert!(u32::from(entry.weeks) <= Self::WEEKS, "a month has five weeks");
        let has_no_sides = if entry.sides.is_empty() { Self::HAS_NO_SIDES } else { 0 };
        self.0.write(bits, u32::from(entry.weeks) | has_no_sides);
    }

    /// Returns the weeks, and whether sides follow.
    fn read(&mut self, bits: &mut BitReader<'_>) -> Result<(u8, bool), DecodeError> {
        let symbol = self.0.read(bits)?;
        if symbol > Self::WEEKS | Self::HAS_NO_SIDES {
            return Err(DecodeError::Invalid("more than five weeks"));
        }
        Ok(((symbol & Self::WEEKS) as u8, symbol & Self::HAS_NO_SIDES == 0))
    }
}

impl BitForm for ListItem {
    const CLASS: u8 = 2;

    fn entry_counts(&self) -> [usize; 3] {
        let sides = self.entries.iter().map(|entry| entry.sides.len()).sum();
        [self.members.len(), self.entries.len(), sides]
    }

    fn write(&self, bits: &mut BitWriter) {
        write_keys(bits, self.members.iter().map(String::as_str));
        write_subjects(bits, self.entries.iter().map(|entry| entry.subject.as_subject_ref()));
        let mut weeks = WeeksCode::new();
        let mut code = SidesCode::new(self.members.len(), 0, false);
        for entry in &self.entries {
            weeks.write(bits, entry);
            code.write(bits, &entry.sides);
        }
    }

    fn read(bits: &mut BitReader<'_>) -> Result<Self, DecodeError> {
        let members = read_keys(bits)?;
        let subjects = read_subjects(bits)?;
        let mut weeks = WeeksCode::new();
        let mut code = SidesCode::new(members.len(), 0, false);
        let mut entries = Vec::with_capacity(subjects.len());
        for subject in subjects {
            let (weeks, has_sides) = weeks.read(bits)?;
            let sides = if has_sides { code.read(bits)? } else { Vec::new() };
            entries.push(ListEntry { subject, weeks, sides });
        }
        Ok(ListItem { members, entries })
    }
}

/// Writes what [`BreakdownItem::read`] reads.
///
/// # Panics
/// As [`StoredForm::encode`](super::StoredForm::encode).
pub(super) fn write_breakdown<'a>(
    bits: &mut BitWriter,
    others: impl ExactSizeIterator<Item = SubjectRef<'a>> + Clone,
    cells: &[SparseCell<'_>],
) {
    let limit = dictionary_len(others.len());
    write_subjects(bits, others);
    let days = || cells.chunk_by(|a, b| a.day == b.day);
    let mut day_code = AdaptiveSets::new(DAY_LIMIT).write_count(bits, days().count());
    let mut others_of_days = AdaptiveSets::new(limit);
    let mut totals_code = TotalsCode::new();
    for cells in days() {
        day_code.write(bits, u32::from(cells[0].day));
        let others = || cells.chunk_by(|a, b| a.other == b.other);
        let mut other_code = others_of_days.write_count(bits, others().count());
        for cells in others() {
            assert!(cells.is_sorted_by(|a, b| a.side < b.side), "sides ascend");
            other_code.write(bits, cells[0].other);
            for (index, cell) in cells.iter().enumerate() {
                totals_code.write(bits, cell.side, index + 1 < cells.len(), &cell.totals);
            }
        }
    }
}

impl BitForm for BreakdownItem {
    const CLASS: u8 = 3;

    fn entry_counts(&self) -> [usize; 3] {
        [self.others.len(), self.cells.len(), 0]
    }

    fn write(&self, bits: &mut BitWriter) {
        let mut counts = vec![[0; Counter::COUNT]; self.cells.len()];
        let cells = self.cells.iter().zip(&mut counts);
        let cells: Vec<_> = cells.map(|(cell, counts)| cell.to_sparse(counts)).collect();
        write_breakdown(bits, self.others.iter().map(ListedSubject::as_subject_ref), &cells);
    }

    fn read(bits: &mut BitReader<'_>) -> Result<Self, DecodeError> {
        let others = read_subjects(bits)?;
        let (day_count, mut day_code) = AdaptiveSets::new(DAY_LIMIT).read_count(bits)?;
        let mut others_of_days = AdaptiveSets::new(dictionary_len(others.len()));
        let mut totals_code = TotalsCode::new();
        let mut cells = Vec::new();
        for _ in 0..day_count {
            let day = day_code.read(bits)? as u8;
            let (count, mut other_code) = others_of_days.read_count(bits)?;
            for _ in 0..count {
                let other = other_code.read(bits)?;
                let mut previous = None;
                loop {
                    check_entries(cells.len() + 1)?;
                    let (side, has_next_side, totals) = totals_code.read(bits)?;
                    check_order(previous, side)?;
                    previous = Some(side);
                    cells.push(Cell { day, other, side, totals });
                    if !has_next_side {
                        break;
                    }
                }
            }
        }
        Ok(BreakdownItem { others, cells })
    }
}
