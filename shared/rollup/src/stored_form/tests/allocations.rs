//! What a decoder allocates is bounded by the length of what it reads, and by a limit.

use gam_model::metric::Counter;
use peak_alloc::PeakAlloc;

use super::damage::TestedItem;
use crate::items::{BreakdownItem, DaysItem, ListEntry, ListItem, ListedSubject, SparseCell, SubjectRef};
use crate::stored_form::bits::BitWriter;
use crate::stored_form::{BitForm, DecodeError, MAX_ENTRIES, VERSION, item_codes, seal};
use crate::totals::{Side, SparseTotals};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// How many bytes a byte of an item can become. The greatest ratio is that of cells with one review each.
const MAX_RATIO: usize = 1_500;
/// What no item allocates, in bytes.
const MAX_BYTES: usize = 1 << 30;
/// What other tests allocate at the same time, in bytes.
const OTHER_BYTES: usize = 64 << 20;

/// Returns what decoding allocated at most, in bytes, and the error.
fn decode_and_measure<T: TestedItem>(bytes: &[u8]) -> (usize, Option<DecodeError>) {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let error = T::decode(bytes).err();
    (ALLOCATOR.peak_usage().saturating_sub(before), error)
}

fn check<T: TestedItem>(what: &str, stream: Vec<u8>) -> Option<DecodeError> {
    let bytes = seal::<T>(stream);
    let (allocated, error) = decode_and_measure::<T>(&bytes);
    let limit = (bytes.len() * MAX_RATIO).min(MAX_BYTES) + OTHER_BYTES;
    assert!(allocated <= limit, "{what}: {} bytes allocated {allocated}", bytes.len());
    error
}

fn check_all_classes(what: &str, stream: &[u8]) {
    let stream = [&[VERSION, 0, 0], stream].concat();
    check::<DaysItem>(what, stream.clone());
    check::<ListItem>(what, stream.clone());
    check::<BreakdownItem>(what, stream);
}

/// Returns the stream of a repository's week in which this many others have a review on each of `days` days.
fn breakdown_stream(others: u32, days: u8) -> Vec<u8> {
    let totals = SparseTotals { counters: 1 << Counter::Reviews as u16, counts: &[1], durations: None };
    let cell = |day, other| SparseCell { day, other, side: Side::People, totals };
    let cells: Vec<_> = (0..days).flat_map(|day| (0..others).map(move |other| cell(day, other))).collect();
    let mut bits = BitWriter::with_header([VERSION, 0, 0]);
    let ids: Vec<_> = (0..i64::from(others)).map(SubjectRef::Repo).collect();
    item_codes::write_breakdown(&mut bits, ids.into_iter(), &cells);
    bits.finish()
}

/// Returns the stream of a list of repositories in which nobody did anything.
fn list_stream(entries: usize) -> Vec<u8> {
    let entry =
        |id| ListEntry { subject: ListedSubject::Repo(id as i64), weeks: 0b1_1111, sides: Vec::new() };
    let list = ListItem { members: Vec::new(), entries: (0..entries).map(entry).collect() };
    let mut bits = BitWriter::with_header([VERSION, 0, 0]);
    list.write(&mut bits);
    bits.finish()
}

/// One test, since others that measure at the same time would be measured too.
#[test]
fn decoding_allocates_a_bounded_number_of_bytes() {
    // The greatest items for their length.
    let days = 32;
    let others = (MAX_ENTRIES / usize::from(days)) as u32;
    assert_eq!(check::<BreakdownItem>("few cells", breakdown_stream(300, days)), None);
    assert_eq!(check::<BreakdownItem>("as many cells as allowed", breakdown_stream(others, days)), None);
    assert_eq!(check::<ListItem>("as many entries as allowed", list_stream(MAX_ENTRIES)), None);
    let too_many = Some(DecodeError::Invalid("too many entries"));
    assert_eq!(check::<BreakdownItem>("a cell too many", breakdown_stream(others + 1, days)), too_many);
    assert_eq!(check::<ListItem>("an entry too many", list_stream(MAX_ENTRIES + 1)), too_many);

    // Long streams of no item.
    let mut rng = fastrand::Rng::with_seed(1);
    for pattern in [0x00, 0x01, 0x55, 0x80, 0xaa, 0xfe, 0xff] {
        check_all_classes("one byte again and again", &vec![pattern; 1 << 20]);
    }
    for density in 0..6 {
        let mut stream = vec![0; 1 << 18];
        rng.fill(&mut stream);
        for _ in 0..density / 2 {
            let other: Vec<u8> = (0..stream.len()).map(|_| rng.u8(..)).collect();
            let combine = |(byte, other): (&mut u8, u8)| {
                *byte = if density % 2 == 0 { *byte & other } else { *byte | other };
            };
            stream.iter_mut().zip(other).for_each(combine);
        }
        check_all_classes("random bits", &stream);
    }

    // Long streams that begin as an item does.
    for mut stream in [breakdown_stream(2_000, days), list_stream(40_000)] {
        for _ in 0..20 {
            let damaged = rng.usize(..stream.len());
            stream[damaged] = rng.u8(..);
            check_all_classes("a damaged item", &stream[3..]);
        }
    }
}
