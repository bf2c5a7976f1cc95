//! A stream of bits. The first bit is the lowest bit of the first byte.

use super::{DecodeError, HEADER_BYTES};

/// How many bits [`BitReader::peek`] returns at least, if there are as many.
const PEEKED_BITS: usize = 57;

/// Appends bits to bytes.
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    /// Bits that are not in `bytes` yet: fewer than 32.
    pending: u64,
    pending_bits: u32,
}

impl BitWriter {
    pub(super) fn with_header(header: [u8; HEADER_BYTES]) -> Self {
        let mut bytes = Vec::with_capacity(512);
        bytes.extend_from_slice(&header);
        BitWriter { bytes, pending: 0, pending_bits: 0 }
    }

    /// Writes the lowest `bits` bits of the value, at most 64. Its other bits must be 0.
    #[inline]
    pub(super) fn write(&mut self, value: u64, bits: u32) {
        if bits > 32 {
            self.write_short(value & 0xffff_ffff, 32);
            self.write_short(value >> 32, bits - 32);
        } else {
            self.write_short(value, bits);
        }
    }

    #[inline]
    fn write_short(&mut self, value: u64, bits: u32) {
        debug_assert!(bits <= 32 && value >> bits == 0);
        self.pending |= value << self.pending_bits;
        self.pending_bits += bits;
        if self.pending_bits >= 32 {
            self.bytes.extend_from_slice(&(self.pending as u32).to_le_bytes());
            self.pending >>= 32;
            self.pending_bits -= 32;
        }
    }

    pub(super) fn write_flag(&mut self, flag: bool) {
        self.write_short(u64::from(flag), 1);
    }

    /// Writes this many zeros and a one.
    #[inline]
    pub(super) fn write_unary(&mut self, mut zeros: u32) {
        while zeros >= 32 {
            self.write_short(0, 32);
            zeros -= 32;
        }
        self.write_short(1 << zeros, zeros + 1);
    }

    /// Returns the bytes, the last one filled up with zeros.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let rest = self.pending_bits.div_ceil(8) as usize;
        self.bytes.extend_from_slice(&self.pending.to_le_bytes()[..rest]);
        self.bytes
    }
}

/// Reads what [`BitWriter`] wrote.
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    /// Number of bits that have been read.
    position: usize,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        BitReader { bytes, position: 0 }
    }

    pub(super) fn remaining_bits(&self) -> usize {
        self.bytes.len() * 8 - self.position
    }

    /// Returns the next bits without reading them, with zeros after the last one.
    #[inline]
    pub(super) fn peek(&self) -> u64 {
        let next = &self.bytes[self.position / 8..];
        let word = match next.first_chunk() {
            Some(chunk) => u64::from_le_bytes(*chunk),
            None => {
                let mut chunk = [0; 8];
                chunk[..next.len()].copy_from_slice(next);
                u64::from_le_bytes(chunk)
            }
        };
        word >> (self.position % 8)
    }

    /// Reads bits that were peeked.
    #[inline]
    pub(super) fn skip(&mut self, bits: usize) -> Result<(), DecodeError> {
        if bits > self.remaining_bits() {
            return Err(DecodeError::Truncated);
        }
        self.position += bits;
        Ok(())
    }

    /// Reads a value of at most 64 bits.
    #[inline]
    pub(super) fn read(&mut self, bits: u32) -> Result<u64, DecodeError> {
        if bits > 32 {
            let low = self.read_short(32)?;
            return Ok(low | self.read_short(bits - 32)? << 32);
        }
        self.read_short(bits)
    }

    #[inline]
    fn read_short(&mut self, bits: u32) -> Result<u64, DecodeError> {
        let value = self.peek() & ((1 << bits) - 1);
        self.skip(bits as usize)?;
        Ok(value)
    }

    pub(super) fn read_flag(&mut self) -> Result<bool, DecodeError> {
        Ok(self.read_short(1)? == 1)
    }

    /// Reads zeros and a one, and returns the number of zeros.
    #[inline]
    pub(super) fn read_unary(&mut self) -> Result<u32, DecodeError> {
        let mut total = 0;
        loop {
            let zeros = self.peek().trailing_zeros() as usize;
            if zeros < PEEKED_BITS {
                self.skip(zeros + 1)?;
                return u32::try_from(total + zeros)
                    .map_err(|_| DecodeError::Invalid("a number that is too large"));
            }
            self.skip(PEEKED_BITS)?;
            total += PEEKED_BITS;
        }
    }

    /// Checks that everything was read but the bits that fill up the last byte.
    pub(super) fn expect_end(&self) -> Result<(), DecodeError> {
        if self.remaining_bits() >= 8 || self.peek() != 0 {
            return Err(DecodeError::Invalid("trailing data"));
        }
        Ok(())
    }
}
