//! Codes of numbers, symbols and sets.

use super::DecodeError;
use super::bits::{BitReader, BitWriter};

/// The code of a column of numbers. It learns how many bits they have.
///
/// With an expected length of `k` bits, a number of at most `k` bits takes `k + 1`, and a number of `k + n` bits
/// `k + 2n` (the Exp-Golomb code: <https://en.wikipedia.org/wiki/Exponential-Golomb_coding>, but for its first class).
/// `k` is the mean length of the numbers before, as in JPEG-LS.
#[derive(Debug, Clone, Copy)]
pub(super) struct AdaptiveNumber {
    total_bits: u32,
    numbers: u32,
}

impl AdaptiveNumber {
    /// The weight of the expected length, in numbers.
    const PRIOR_NUMBERS: u32 = 2;
    /// At this many, the numbers before count half, so that newer ones count more.
    const MAX_NUMBERS: u32 = 32;

    /// Creates the code of a column whose first numbers are expected to have this many bits.
    pub(super) const fn new(expected_bits: u32) -> Self {
        let total_bits = expected_bits * Self::PRIOR_NUMBERS;
        AdaptiveNumber { total_bits, numbers: Self::PRIOR_NUMBERS }
    }

    #[inline]
    fn expected_bits(&self) -> u32 {
        self.total_bits / self.numbers
    }

    #[inline]
    fn learn(&mut self, bits: u32) {
        self.total_bits += bits;
        self.numbers += 1;
        if self.numbers == Self::MAX_NUMBERS {
            self.total_bits /= 2;
            self.numbers /= 2;
        }
    }

    #[inline]
    pub(super) fn write(&mut self, bits: &mut BitWriter, number: u64) {
        let expected = self.expected_bits();
        let length = u64::BITS - number.leading_zeros();
        if length <= expected {
            bits.write_flag(true);
            bits.write(number, expected);
        } else {
            bits.write_unary(length - expected);
            bits.write(number - (1 << (length - 1)), length - 1);
        }
        self.learn(length);
    }

    #[inline]
    pub(super) fn read(&mut self, bits: &mut BitReader<'_>) -> Result<u64, DecodeError> {
        let expected = self.expected_bits();
        let number = match bits.read_unary()? {
            0 => bits.read(expected)?,
            excess => {
                let length = excess.saturating_add(expected);
                if length > u64::BITS {
                    return Err(DecodeError::Invalid("a number that is too large"));
                }
                bits.read(length - 1)? + (1 << (length - 1))
            }
        };
        self.learn(u64::BITS - number.leading_zeros());
        Ok(number)
    }

    /// Reads a number that must fit 32 bits.
    pub(super) fn read_u32(&mut self, bits: &mut BitReader<'_>) -> Result<u32, DecodeError> {
        u32::try_from(self.read(bits)?).map_err(|_| DecodeError::Invalid("a number that is too large"))
    }
}

/// The code of a column of symbols. The more often a symbol came, the shorter is its code.
///
/// A known symbol is stored as its rank among the known ones, by how often it came.
#[derive(Debug, Clone)]
pub(super) struct AdaptiveSymbols {
    /// Symbols and how often they came, most frequent first.
    ranks: [(u32, u32); Self::MAX_SYMBOLS],
    known: usize,
    rank_code: AdaptiveNumber,
    /// The code of symbols that are not known.
    symbol_code: AdaptiveNumber,
}

impl AdaptiveSymbols {
    /// The number of known symbols is bounded, because they are searched one after another.
    const MAX_SYMBOLS: usize = 32;
    /// Takes the rank of all symbols that are not known.
    const UNKNOWN: u32 = u32::MAX;

    /// Creates the code of symbols that are less than `u32::MAX`. Those that are not known are expected to have
    /// `symbol_bits` bits. Knows `common` from the beginning, the most frequent ones first; they must be fewer
    /// than 32.
    pub(super) fn new(symbol_bits: u32, common: &[u32]) -> Self {
        let mut ranks = [(Self::UNKNOWN, 0); Self::MAX_SYMBOLS];
        for (rank, &symbol) in ranks.iter_mut().zip(common) {
            rank.0 = symbol;
        }
        let symbol_code = AdaptiveNumber::new(symbol_bits);
        AdaptiveSymbols { ranks, known: common.len() + 1, rank_code: AdaptiveNumber::new(1), symbol_code }
    }

    fn rank(&self, symbol: u32) -> Option<usize> {
        self.ranks[..self.known].iter().position(|(known, _)| *known == symbol)
    }

    /// Counts the symbol with this rank.
    fn learn(&mut self, mut rank: usize) {
        self.ranks[rank].1 += 1;
        while rank > 0 && self.ranks[rank - 1].1 < self.ranks[rank].1 {
            self.ranks.swap(rank - 1, rank);
            rank -= 1;
        }
    }

    /// Adds a symbol. Forgets the last one if there are too many, but never the rank of unknown ones.
    fn add(&mut self, symbol: u32) {
        if self.known < Self::MAX_SYMBOLS {
            self.ranks[self.known] = (symbol, 0);
            self.known += 1;
        } else {
            let last = if self.ranks[self.known - 1].0 == Self::UNKNOWN { 2 } else { 1 };
            self.ranks[self.known - last] = (symbol, 0);
        }
    }

    #[inline]
    pub(super) fn write(&mut self, bits: &mut BitWriter, symbol: u32) {
        if let Some(rank) = self.rank(symbol) {
            self.rank_code.write(bits, rank as u64);
            self.learn(rank);
            return;
        }
        let rank = self.rank(Self::UNKNOWN).expect("unknown symbols have a rank");
        self.rank_code.write(bits, rank as u64);
        self.learn(rank);
        self.symbol_code.write(bits, u64::from(symbol));
        self.add(symbol);
    }

    #[inline]
    pub(super) fn read(&mut self, bits: &mut BitReader<'_>) -> Result<u32, DecodeError> {
        let rank = self.rank_code.read(bits)?;
        let rank = usize::try_from(rank).ok().filter(|rank| *rank < self.known);
        let rank = rank.ok_or(DecodeError::Invalid("an unknown symbol"))?;
        let symbol = self.ranks[rank].0;
        self.learn(rank);
        if symbol != Self::UNKNOWN {
            return Ok(symbol);
        }
        let symbol = self.symbol_code.read_u32(bits)?;
        self.add(symbol);
        Ok(symbol)
    }
}

/// The code of ascending indexes, if their number is known: the gaps between them in a Rice code
/// (<https://en.wikipedia.org/wiki/Golomb_coding>). Where most indexes are present, the code is a bitmap.
#[derive(Debug, Clone, Copy)]
pub(super) struct SetCode {
    /// Indexes are less than this.
    limit: u32,
    gap_bits: u32,
    /// The least index that can follow.
    next: u32,
}

impl SetCode {
    /// Creates the code of `count` indexes that are less than `limit`.
    pub(super) fn new(count: u32, limit: u32) -> Self {
        // The best length of gaps with a geometric distribution is that of 0.69 times their mean.
        let typical_gap = u64::from(limit) * 2 / (u64::from(count).max(1) * 3);
        SetCode { limit, gap_bits: typical_gap.checked_ilog2().unwrap_or(0), next: 0 }
    }

    /// Writes the next index.
    ///
    /// # Panics
    /// If the index does not ascend, or is not less than the limit.
    #[inline]
    pub(super) fn write(&mut self, bits: &mut BitWriter, index: u32) {
        assert!(self.next <= index && index < self.limit, "indexes ascend within their dictionary");
        let gap = index - self.next;
        bits.write_unary(gap >> self.gap_bits);
        bits.write(u64::from(gap) & ((1 << self.gap_bits) - 1), self.gap_bits);
        self.next = index + 1;
    }

    #[inline]
    pub(super) fn read(&mut self, bits: &mut BitReader<'_>) -> Result<u32, DecodeError> {
        let high = u64::from(bits.read_unary()?) << self.gap_bits;
        let index = u64::from(self.next) + high + bits.read(self.gap_bits)?;
        let index = u32::try_from(index).ok().filter(|index| *index < self.limit);
        let index = index.ok_or(DecodeError::Invalid("an index outside of its dictionary"))?;
        self.next = index + 1;
        Ok(index)
    }
}

/// The code of a column of sets of indexes.
#[derive(Debug, Clone, Copy)]
pub(super) struct AdaptiveSets {
    /// Indexes are less than this. If it is 0, a set takes no bits.
    limit: u32,
    count_code: AdaptiveNumber,
}

impl AdaptiveSets {
    pub(super) fn new(limit: u32) -> Self {
        AdaptiveSets { limit, count_code: AdaptiveNumber::new(2) }
    }

    pub(super) fn write(&mut self, bits: &mut BitWriter, indexes: &[u32]) {
        if self.limit == 0 {
            assert!(indexes.is_empty(), "indexes are within their dictionary");
            return;
        }
        let mut code = self.write_count(bits, indexes.len());
        indexes.iter().for_each(|&index| code.write(bits, index));
    }

    pub(super) fn read(&mut self, bits: &mut BitReader<'_>) -> Result<Vec<u32>, DecodeError> {
        if self.limit == 0 {
            return Ok(Vec::new());
        }
        let (count, mut code) = self.read_count(bits)?;
        let mut indexes = Vec::with_capacity(count as usize);
        for _ in 0..count {
            indexes.push(code.read(bits)?);
        }
        Ok(indexes)
    }

    /// Writes the number of indexes and returns their code.
    pub(super) fn write_count(&mut self, bits: &mut BitWriter, count: usize) -> SetCode {
        self.count_code.write(bits, count as u64);
        SetCode::new(count as u32, self.limit)
    }

    /// Reads the number of indexes and returns it with their code. There are at least as many bits left.
    pub(super) fn read_count(&mut self, bits: &mut BitReader<'_>) -> Result<(u32, SetCode), DecodeError> {
        let count = self.count_code.read_u32(bits)?;
        if count > self.limit {
            return Err(DecodeError::Invalid("more indexes than its dictionary has"));
        }
        check_count(bits, count)?;
        Ok((count, SetCode::new(count, self.limit)))
    }
}

/// Checks that there is at least a bit for each of `count` elements, so that nothing is allocated for elements that
/// cannot follow.
pub(super) fn check_count(bits: &BitReader<'_>, count: u32) -> Result<(), DecodeError> {
    if count as usize > bits.remaining_bits() { Err(DecodeError::Truncated) } else { Ok(()) }
}
