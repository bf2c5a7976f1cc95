//! The code of a column of totals.

use std::sync::LazyLock;

use gam_model::metric::{Counter, DurationMetric};

use super::DecodeError;
use super::bits::{BitReader, BitWriter};
use super::codes::{AdaptiveNumber, AdaptiveSymbols, check_count};
use crate::distribution::{Distribution, MAX_EXACT_VALUES, Sketch};
use crate::totals::{Side, SparseTotals, Totals};

/// The counters that count events, the rare ones last.
const EVENTS: [Counter; 12] = [
    Counter::Commits,
    Counter::PrsOpened,
    Counter::PrsMerged,
    Counter::Reviews,
    Counter::IssuesOpened,
    Counter::IssuesClosed,
    Counter::MergeCommits,
    Counter::PrsClosed,
    Counter::Releases,
    Counter::Deploys,
    Counter::DeployFailures,
    Counter::CoAuthoredCommits,
];

/// The number of events that are not rare.
const FREQUENT_EVENTS: u32 = 6;

/// The counters that commits have in addition. They are stored if one of them is not zero.
const LINES: [Counter; 3] = [Counter::Additions, Counter::Deletions, Counter::FilesChanged];

const _: () = assert!(EVENTS.len() + LINES.len() == Counter::COUNT, "every counter is stored");

/// A bit for each of [`LINES`].
const LINES_MASK: u16 = {
    let mut mask = 0;
    let mut index = 0;
    while index < LINES.len() {
        mask |= 1 << LINES[index] as u16;
        index += 1;
    }
    mask
};

/// For each byte of a set of counters, the lower one first: the set of those that are in [`EVENTS`], by their index
/// there.
static EVENTS_OF_COUNTERS: [[u16; 256]; 2] = {
    let mut tables = [[0; 256]; 2];
    let mut index = 0;
    while index < EVENTS.len() {
        let counter = EVENTS[index] as usize;
        let mut byte = 0;
        while byte < 256 {
            tables[counter / 8][byte] |= ((byte >> (counter % 8) & 1) << index) as u16;
            byte += 1;
        }
        index += 1;
    }
    tables
};

/// How many durations there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DurationCount {
    None,
    /// As many as pull requests were merged.
    Merged,
    /// Another number, which is stored, up to [`MAX_EXACT_VALUES`].
    Stored,
    /// More: there is a sketch.
    Sketch,
}

/// What one symbol says about totals: their side and which numbers follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    side: Side,
    /// Whether another side of the same day or subject follows.
    has_next_side: bool,
    /// Whether a counter of events is greater than 1.
    has_many: bool,
    /// Which of [`EVENTS`] are not zero: bit 0 is the first.
    events: u32,
    /// Whether one of [`LINES`] is not zero.
    has_lines: bool,
    durations: [DurationCount; DurationMetric::COUNT],
}

/// The length of most symbols: all but those of rare events and of sides other than people.
const SYMBOL_BITS: u32 = 12;

static COMMON_SYMBOLS: LazyLock<[u32; 8]> = LazyLock::new(Shape::common_symbols);

impl Shape {
    const DURATION_COUNTS: [DurationCount; 4] =
        [DurationCount::None, DurationCount::Merged, DurationCount::Stored, DurationCount::Sketch];

    fn new(side: Side, has_next_side: bool, totals: &SparseTotals<'_>) -> Self {
        let [low, high] = totals.counters.to_le_bytes().map(usize::from);
        let events = EVENTS_OF_COUNTERS[0][low] | EVENTS_OF_COUNTERS[1][high];
        let mut counters = totals.counters;
        let is_many = |&count: &u64| {
            let is_event = counters & LINES_MASK & counters.wrapping_neg() == 0;
            counters &= counters - 1;
            is_event && count > 1
        };
        let has_many = totals.counts.iter().any(is_many);
        let duration_count = |durations: &Distribution| match durations.exact_values() {
            None => DurationCount::Sketch,
            Some([]) => DurationCount::None,
            Some(values) if values.len() as u64 == totals.count(Counter::PrsMerged) => DurationCount::Merged,
            Some(_) => DurationCount::Stored,
        };
        let durations = totals.durations;
        Shape {
            side,
            has_next_side,
            has_many,
            events: u32::from(events),
            has_lines: totals.counters & LINES_MASK != 0,
            durations: durations.map_or([DurationCount::None; _], |both| both.each_ref().map(duration_count)),
        }
    }

    /// Returns the shape as a number, which is small if nothing in it is rare.
    fn to_symbol(self) -> u32 {
        let frequent_events = self.events & ((1 << FREQUENT_EVENTS) - 1);
        frequent_events
            | u32::from(self.has_lines) << 6
            | u32::from(self.has_many) << 7
            | (self.durations[0] as u32) << 8
            | (self.durations[1] as u32) << 10
            | (self.side as u32) << 12
            | u32::from(self.has_next_side) << 14
            | (self.events >> FREQUENT_EVENTS) << 15
    }

    fn from_symbol(symbol: u32) -> Self {
        let bit = |position: u32| symbol >> position & 1 == 1;
        let two_bits = |position: u32| (symbol >> position & 3) as usize;
        Shape {
            side: Side::ALL[two_bits(12)],
            has_next_side: bit(14),
            has_many: bit(7),
            events: symbol & ((1 << FREQUENT_EVENTS) - 1) | symbol >> 15 << FREQUENT_EVENTS,
            has_lines: bit(6),
            durations: [Self::DURATION_COUNTS[two_bits(8)], Self::DURATION_COUNTS[two_bits(10)]],
        }
    }

    /// Returns the symbols of one event each, most frequent first.
    fn common_symbols() -> [u32; 8] {
        let shape = |counter: Counter| {
            let mut totals = Totals::default();
            totals.add(counter, 1);
            totals
        };
        let with_durations = |metrics: &[DurationMetric]| {
            let mut totals = shape(Counter::PrsMerged);
            metrics.iter().for_each(|&metric| totals.add_duration(metric, 0));
            totals
        };
        let mut commit = shape(Counter::Commits);
        commit.add(Counter::Additions, 1);
        [
            commit,
            shape(Counter::Reviews),
            shape(Counter::PrsOpened),
            with_durations(&[DurationMetric::CycleTime, DurationMetric::FirstReview]),
            shape(Counter::IssuesOpened),
            with_durations(&[DurationMetric::CycleTime]),
            shape(Counter::IssuesClosed),
            shape(Counter::MergeCommits),
        ]
        .map(|totals| {
            Shape::new(Side::People, false, &totals.to_sparse(&mut [0; Counter::COUNT])).to_symbol()
        })
    }
}

/// The code of a column of totals.
pub(super) struct TotalsCode {
    shapes: AdaptiveSymbols,
    events: [AdaptiveNumber; EVENTS.len()],
    lines: [AdaptiveNumber; LINES.len()],
    durations: [DurationsCode; DurationMetric::COUNT],
}

impl TotalsCode {
    pub(super) fn new() -> Self {
        TotalsCode {
            shapes: AdaptiveSymbols::new(SYMBOL_BITS, &*COMMON_SYMBOLS),
            events: [AdaptiveNumber::new(1); _],
            lines: [AdaptiveNumber::new(6), AdaptiveNumber::new(5), AdaptiveNumber::new(2)],
            durations: [DurationsCode::new(); _],
        }
    }

    /// Writes totals with their side, and whether another side of the same day or subject follows.
    pub(super) fn write(
        &mut self,
        bits: &mut BitWriter,
        side: Side,
        has_next_side: bool,
        totals: &SparseTotals<'_>,
    ) {
        let shape = Shape::new(side, has_next_side, totals);
        self.shapes.write(bits, shape.to_symbol());
        if shape.has_many {
            for (counter, code) in EVENTS.into_iter().zip(&mut self.events) {
                if let Some(more) = totals.count(counter).checked_sub(1) {
                    code.write(bits, more);
                }
            }
        }
        if shape.has_lines {
            for (counter, code) in LINES.into_iter().zip(&mut self.lines) {
                code.write(bits, totals.count(counter));
            }
        }
        let Some(durations) = totals.durations else { return };
        for ((code, durations), count) in self.durations.iter_mut().zip(durations.iter()).zip(shape.durations)
        {
            code.write(bits, count, durations);
        }
    }

    /// Reads what [`TotalsCode::write`] wrote.
    pub(super) fn read(&mut self, bits: &mut BitReader<'_>) -> Result<(Side, bool, Totals), DecodeError> {
        let shape = Shape::from_symbol(self.shapes.read(bits)?);
        if shape.events >> EVENTS.len() != 0 {
            return Err(DecodeError::Invalid("an unknown counter"));
        }
        let mut totals = Totals::default();
        for (index, (counter, code)) in EVENTS.into_iter().zip(&mut self.events).enumerate() {
            if shape.events >> index & 1 == 1 {
                let more = if shape.has_many { code.read(bits)? } else { 0 };
                totals.counts[counter as usize] = more.saturating_add(1);
            }
        }
        if shape.has_lines {
            for (counter, code) in LINES.into_iter().zip(&mut self.lines) {
                totals.counts[counter as usize] = code.read(bits)?;
            }
        }
        if shape.durations != [DurationCount::None; _] {
            let merged = totals.counts[Counter::PrsMerged as usize];
            let durations = totals.durations.get_or_insert_default();
            for ((code, durations), count) in
                self.durations.iter_mut().zip(durations.iter_mut()).zip(shape.durations)
            {
                *durations = code.read(bits, count, merged)?;
            }
        }
        Ok((shape.side, shape.has_next_side, totals))
    }
}

/// The code of a column of distributions that stand alone.
#[derive(Debug, Clone, Copy)]
pub(super) struct DistributionCode(DurationsCode);

impl DistributionCode {
    pub(super) fn new() -> Self {
        DistributionCode(DurationsCode::new())
    }

    pub(super) fn write(&mut self, bits: &mut BitWriter, durations: &Distribution) {
        let count = match durations.exact_values() {
            None => DurationCount::Sketch,
            Some([]) => DurationCount::None,
            Some(_) => DurationCount::Stored,
        };
        bits.write(count as u64, 2);
        self.0.write(bits, count, durations);
    }

    pub(super) fn read(&mut self, bits: &mut BitReader<'_>) -> Result<Distribution, DecodeError> {
        match Shape::DURATION_COUNTS[bits.read(2)? as usize] {
            DurationCount::Merged => Err(DecodeError::Invalid("a wrong number of durations")),
            count => self.0.read(bits, count, 0),
        }
    }
}

/// The code of a column of distributions.
#[derive(Debug, Clone, Copy)]
struct DurationsCode {
    counts: AdaptiveNumber,
    first_values: AdaptiveNumber,
    gaps: AdaptiveNumber,
    bucket_gaps: AdaptiveNumber,
    bucket_counts: AdaptiveNumber,
}

impl DurationsCode {
    fn new() -> Self {
        DurationsCode {
            counts: AdaptiveNumber::new(1),
            first_values: AdaptiveNumber::new(17),
            gaps: AdaptiveNumber::new(16),
            bucket_gaps: AdaptiveNumber::new(1),
            bucket_counts: AdaptiveNumber::new(1),
        }
    }

    fn write(&mut self, bits: &mut BitWriter, count: DurationCount, durations: &Distribution) {
        let values = durations.exact_values().unwrap_or_default();
        match count {
            DurationCount::None => {}
            DurationCount::Merged => self.write_values(bits, values),
            DurationCount::Stored => {
                self.counts.write(bits, values.len() as u64 - 1);
                self.write_values(bits, values);
            }
            DurationCount::Sketch => {
                if let Some(sketch) = durations.sketch() {
                    self.write_sketch(bits, durations.sum(), sketch);
                }
            }
        }
    }

    fn read(
        &mut self,
        bits: &mut BitReader<'_>,
        count: DurationCount,
        merged: u64,
    ) -> Result<Distribution, DecodeError> {
        let count = match count {
            DurationCount::None => return Ok(Distribution::default()),
            DurationCount::Merged => merged,
            DurationCount::Stored => self.counts.read(bits)?.saturating_add(1),
            DurationCount::Sketch => return self.read_sketch(bits),
        };
        if count == 0 || count > MAX_EXACT_VALUES as u64 {
            return Err(DecodeError::Invalid("a wrong number of durations"));
        }
        self.read_values(bits, count as usize)
    }

    /// Writes ascending values as the first one and the gaps.
    fn write_values(&mut self, bits: &mut BitWriter, values: &[u64]) {
        let Some(first) = values.first() else { return };
        self.first_values.write(bits, *first);
        for pair in values.windows(2) {
            self.gaps.write(bits, pair[1] - pair[0]);
        }
    }

    fn read_values(&mut self, bits: &mut BitReader<'_>, count: usize) -> Result<Distribution, DecodeError> {
        let mut value = self.first_values.read(bits)?;
        let mut values = Vec::with_capacity(count);
        values.push(value);
        while values.len() < count {
            value = value
                .checked_add(self.gaps.read(bits)?)
                .ok_or(DecodeError::Invalid("a duration that is too long"))?;
            values.push(value);
        }
        Ok(Distribution::from_exact_values(values))
    }

    fn write_sketch(&mut self, bits: &mut BitWriter, sum: u64, sketch: &Sketch) {
        let mut range_code = AdaptiveNumber::new(10);
        range_code.write(bits, sketch.min);
        range_code.write(bits, sketch.max - sketch.min);
        AdaptiveNumber::new(32).write(bits, sum);
        self.counts.write(bits, sketch.buckets.len() as u64);
        let mut next = 0;
        for (&bucket, &count) in &sketch.buckets {
            self.bucket_gaps.write(bits, u64::from(bucket - next));
            self.bucket_counts.write(bits, count - 1);
            next = bucket + 1;
        }
    }

    fn read_sketch(&mut self, bits: &mut BitReader<'_>) -> Result<Distribution, DecodeError> {
        let invalid = || DecodeError::Invalid("a sketch that no durations have");
        let mut range_code = AdaptiveNumber::new(10);
        let min = range_code.read(bits)?;
        let max = range_code.read(bits)?.checked_add(min).ok_or_else(invalid)?;
        let sum = AdaptiveNumber::new(32).read(bits)?;
        let bucket_count = self.counts.read_u32(bits)?;
        check_count(bits, bucket_count)?;
        let mut next = 0u32;
        let mut buckets = Vec::with_capacity(bucket_count as usize);
        for _ in 0..bucket_count {
            let bucket = self.bucket_gaps.read_u32(bits)?.checked_add(next).ok_or_else(invalid)?;
            let count = self.bucket_counts.read(bits)?.checked_add(1).ok_or_else(invalid)?;
            buckets.push((bucket, count));
            next = bucket.checked_add(1).ok_or_else(invalid)?;
        }
        let sketch = Sketch { min, max, buckets: buckets.into_iter().collect() };
        Distribution::from_sketch(sum, sketch).ok_or_else(invalid)
    }
}
