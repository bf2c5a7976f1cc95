//! Prefix codes of the bytes of names (<https://en.wikipedia.org/wiki/Canonical_Huffman_code>).
//!
//! There are three fixed codes: one for letters, one for what follows a digit, and one for hashes, which begin with
//! `~`. A hyphen is followed by letters in some organizations and by digits in others, so a flag says which.

use super::DecodeError;
use super::bits::{BitReader, BitWriter};

/// The symbol for the end of a text.
const END: usize = 256;
/// The symbol before a byte that has no code of its own.
const OTHER: usize = 257;
const SYMBOLS: usize = 258;

/// The length of the longest code, in bits.
const MAX_CODE_BITS: u32 = 10;

/// A prefix code of bytes.
struct TextCode {
    /// The code of each symbol, first bit lowest, and its length; 0 without a code.
    codes: [(u16, u8); SYMBOLS],
    /// The symbol that begins with these bits, and the length of its code; 0 without one.
    symbols: [(u16, u8); 1 << MAX_CODE_BITS],
}

static LETTERS: TextCode = TextCode::new(
    &[(4, b"eainor"), (5, b"stlhmdc"), (6, b"kugybpjfvwz-012"), (7, b"xq3456789"), (8, b"[]~_.")],
    4,
    8,
);

static DIGITS: TextCode = TextCode::new(
    &[(4, b"0123456789"), (5, b"-"), (9, b"abcdefghijklmnopqrstuvwxyz["), (10, b"]~_.")],
    2,
    10,
);

static HASHES: TextCode = TextCode::new(&[(4, b"0123456789abcd"), (5, b"ef")], 5, 5);

/// Writes and reads texts.
#[derive(Debug, Clone, Copy)]
pub(super) struct TextCodes {
    /// Whether digits follow a hyphen.
    pub(super) has_numbers: bool,
}

impl TextCodes {
    /// Returns the code of the byte that follows these.
    #[inline]
    fn code_after(self, text: &[u8]) -> &'static TextCode {
        match (text.first(), text.last()) {
            (Some(b'~'), _) => &HASHES,
            (_, Some(b'0'..=b'9')) => &DIGITS,
            (_, Some(b'-')) if self.has_numbers => &DIGITS,
            _ => &LETTERS,
        }
    }

    /// Writes the bytes of the text from `start` on, and the end.
    pub(super) fn write(self, bits: &mut BitWriter, text: &[u8], start: usize) {
        for (index, &byte) in text.iter().enumerate().skip(start) {
            self.code_after(&text[..index]).write_byte(bits, byte);
        }
        self.code_after(text).write_symbol(bits, END);
    }

    /// Appends bytes up to the end.
    pub(super) fn read(self, bits: &mut BitReader<'_>, text: &mut Vec<u8>) -> Result<(), DecodeError> {
        while let Some(byte) = self.code_after(text).read_byte(bits)? {
            text.push(byte);
        }
        Ok(())
    }

    /// Returns the codes for these texts: digits follow a hyphen if they do so in most texts.
    pub(super) fn for_texts<'a>(texts: impl Iterator<Item = &'a str>) -> Self {
        let follows_hyphen =
            |text: &str| Some(text.split_once('-')?.1.starts_with(|c: char| c.is_ascii_digit()));
        let numbers = texts.filter_map(follows_hyphen).map(|is_number| if is_number { 1 } else { -1 });
        TextCodes { has_numbers: numbers.sum::<i64>() > 0 }
    }
}

impl TextCode {
    /// Creates a code from the bytes of each code length, and the lengths of [`END`] and [`OTHER`].
    const fn new(bytes_by_length: &[(u8, &[u8])], end: u8, other: u8) -> Self {
        let mut lengths = [0; SYMBOLS];
        let mut class = 0;
        while class < bytes_by_length.len() {
            let (length, bytes) = bytes_by_length[class];
            let mut index = 0;
            while index < bytes.len() {
                lengths[bytes[index] as usize] = length;
                index += 1;
            }
            class += 1;
        }
        lengths[END] = end;
        lengths[OTHER] = other;
        Self::from_lengths(&lengths)
    }

    const fn from_lengths(lengths: &[u8; SYMBOLS]) -> Self {
        let mut code = TextCode { codes: [(0, 0); SYMBOLS], symbols: [(0, 0); 1 << MAX_CODE_BITS] };
        let (mut next, mut length) = (0u16, 1);
        while length <= MAX_CODE_BITS {
            let mut symbol = 0;
            while symbol < SYMBOLS {
                if lengths[symbol] as u32 == length {
                    let reversed = next.reverse_bits() >> (u16::BITS - length);
                    code.codes[symbol] = (reversed, length as u8);
                    let mut bits = reversed as usize;
                    while bits < 1 << MAX_CODE_BITS {
                        assert!(code.symbols[bits].1 == 0, "no code begins another");
                        code.symbols[bits] = (symbol as u16, length as u8);
                        bits += 1 << length;
                    }
                    next += 1;
                }
                symbol += 1;
            }
            next <<= 1;
            length += 1;
        }
        code
    }

    #[inline]
    fn write_symbol(&self, bits: &mut BitWriter, symbol: usize) {
        let (code, length) = self.codes[symbol];
        bits.write(u64::from(code), u32::from(length));
    }

    #[inline]
    fn write_byte(&self, bits: &mut BitWriter, byte: u8) {
        if self.codes[usize::from(byte)].1 == 0 {
            self.write_symbol(bits, OTHER);
            bits.write(u64::from(byte), 8);
        } else {
            self.write_symbol(bits, usize::from(byte));
        }
    }

    /// Returns the next byte; `None` at the end of the text.
    #[inline]
    fn read_byte(&self, bits: &mut BitReader<'_>) -> Result<Option<u8>, DecodeError> {
        let (symbol, length) = self.symbols[bits.peek() as usize % (1 << MAX_CODE_BITS)];
        if length == 0 {
            return Err(DecodeError::Invalid("a code of no character"));
        }
        bits.skip(usize::from(length))?;
        Ok(match usize::from(symbol) {
            END => None,
            OTHER => Some(bits.read(8)? as u8),
            byte => Some(byte as u8),
        })
    }
}
