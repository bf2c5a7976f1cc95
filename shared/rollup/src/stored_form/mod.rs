//! The stored form of items: a version, a checksum, and a stream of bits.
//!
//! ```text
//! byte 0      the version of the form
//! bytes 1, 2  a checksum of the class and of all that follows, little-endian
//! bytes 3..   the stream of bits; the last byte is filled up with zeros
//! ```
//!
//! Each column of an item has a code that fits it. A number is stored in about as many bits as the numbers before it
//! had (`codes::AdaptiveNumber`). A set of indexes is stored as gaps (`codes::SetCode`). A symbol says which
//! counters are not zero, and frequent symbols get short codes (`codes::AdaptiveSymbols`). Encoder and decoder adapt
//! their codes alike, so the codes are not stored. ADR 17 says why.
//!
//! A change of the form needs another version and another `LOGIC_VERSION`, so that all items are folded again.

mod agent_codes;
mod bits;
mod checksum;
mod codes;
mod day_codes;
mod item_codes;
mod name_codes;
mod pr_class_codes;
mod text_codes;
mod totals_codes;

use crate::agents::{AgentDaysItem, AgentListItem};
use crate::items::{BreakdownItem, DaysItem, ListItem, SparseCell, SubjectRef};
use crate::pr_classes::PrClassItem;
use bits::{BitReader, BitWriter};
use checksum::checksum;

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 3;

/// The greatest number of names, of sides and of cells of one item. An item of this size has the work of a million
/// members in a month, or of 30,000 members who each do something in one repository on every day.
///
/// An entry can take two bits, and more than a hundred bytes when it is decoded. The limit bounds what a damaged item of
/// any length can allocate.
const MAX_ENTRIES: usize = 1 << 20;

/// Checks that an item can have `count` entries of a kind.
fn check_entries(count: usize) -> Result<(), DecodeError> {
    if count <= MAX_ENTRIES { Ok(()) } else { Err(DecodeError::Invalid("too many entries")) }
}

/// The number of entries of a kind that were read.
#[derive(Default)]
struct EntryCount(usize);

impl EntryCount {
    /// Counts one more.
    ///
    /// # Errors
    /// If they are more than an item can have.
    fn add_one(&mut self) -> Result<(), DecodeError> {
        self.0 += 1;
        check_entries(self.0)
    }
}

/// Why stored bytes are no item.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Another version of the program wrote the item.
    #[error("the stored item has the unknown version {0}")]
    UnknownVersion(u8),
    /// The bytes are not those that were written.
    #[error("the stored item is damaged: its checksum is wrong")]
    WrongChecksum,
    /// The bytes end too early.
    #[error("the stored item is damaged: it is truncated")]
    Truncated,
    /// The bytes contain something that no item has.
    #[error("the stored item is damaged: it has {0}")]
    Invalid(&'static str),
}

/// An item that can be stored.
pub trait StoredForm: Sized {
    /// Returns the stored form. Equal items have equal bytes. An item without entries is empty.
    ///
    /// # Panics
    /// If dictionaries, days, indexes or sides are not in ascending order, if an index is not in its dictionary, or if
    /// the item has more than a million names, sides or cells.
    fn encode(&self) -> Vec<u8>;

    /// Decodes a stored form. Returns an item whose dictionaries and entries are in order and whose indexes are
    /// all within its dictionaries. Allocates at most about a thousand times the length of the bytes, and less than a
    /// gigabyte whatever their length.
    ///
    /// # Errors
    /// If the bytes are not what [`StoredForm::encode`] returned.
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError>;
}

/// An item as a stream of bits.
trait BitForm: Default + PartialEq {
    /// Distinguishes the stored forms of the classes.
    const CLASS: u8;

    /// Returns the numbers of entries that [`MAX_ENTRIES`] limits.
    fn entry_counts(&self) -> [usize; 3];

    fn write(&self, bits: &mut BitWriter);

    fn read(bits: &mut BitReader<'_>) -> Result<Self, DecodeError>;
}

macro_rules! stored_as_bits {
    ($($item:ty),*) => {$(
        impl StoredForm for $item {
            fn encode(&self) -> Vec<u8> {
                encode_bits(self)
            }

            fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
                decode_bits(bytes)
            }
        }
    )*};
}

stored_as_bits!(DaysItem, ListItem, BreakdownItem, AgentDaysItem, AgentListItem, PrClassItem);

fn assert_entries(count: usize) {
    assert!(count <= MAX_ENTRIES, "an item has at most {MAX_ENTRIES} names, sides or cells, and not {count}");
}

fn encode_bits<T: BitForm>(item: &T) -> Vec<u8> {
    if *item == T::default() {
        return Vec::new();
    }
    item.entry_counts().into_iter().for_each(assert_entries);
    let mut bits = BitWriter::with_header([VERSION, 0, 0]);
    item.write(&mut bits);
    seal::<T>(bits.finish())
}

/// Returns the stored form of the [`BreakdownItem`] with these others and cells. For a fold, in which nearly every event
/// has a cell.
///
/// # Panics
/// As [`StoredForm::encode`].
pub fn encode_breakdown<'a>(
    others: impl ExactSizeIterator<Item = SubjectRef<'a>> + Clone,
    cells: &[SparseCell<'_>],
) -> Vec<u8> {
    if others.len() == 0 && cells.is_empty() {
        return Vec::new();
    }
    [others.len(), cells.len()].into_iter().for_each(assert_entries);
    let mut bits = BitWriter::with_header([VERSION, 0, 0]);
    item_codes::write_breakdown(&mut bits, others, cells);
    seal::<BreakdownItem>(bits.finish())
}

/// Sets the checksum of an encoded item.
fn seal<T: BitForm>(mut bytes: Vec<u8>) -> Vec<u8> {
    let checksum = checksum(T::CLASS, &bytes[HEADER_BYTES..]);
    bytes[1..HEADER_BYTES].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

fn decode_bits<T: BitForm>(bytes: &[u8]) -> Result<T, DecodeError> {
    let Some(&version) = bytes.first() else { return Ok(T::default()) };
    if version != VERSION {
        return Err(DecodeError::UnknownVersion(version));
    }
    let Some((header, stream)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return Err(DecodeError::Truncated);
    };
    if checksum(T::CLASS, stream) != u16::from_le_bytes([header[1], header[2]]) {
        return Err(DecodeError::WrongChecksum);
    }
    let mut bits = BitReader::new(stream);
    let item = T::read(&mut bits)?;
    bits.expect_end()?;
    Ok(item)
}

#[cfg(test)]
mod tests;
