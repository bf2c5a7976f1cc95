//! What a decoder allocates is bounded by the length of what it reads, and by a limit.

use gam_model::metric::Counter;
use gam_model::{AgentCounter, AgentDimension, DayOfMonth};
use peak_alloc::PeakAlloc;

use super::damage::TestedItem;
use crate::agents::{AgentDaysItem, AgentListEntry, AgentListItem, AgentSide, AgentSides};
use crate::items::{BreakdownItem, DaysItem, ListEntry, ListItem, ListedSubject, SparseCell, SubjectRef};
use crate::pr_classes::{PrClass, PrClassDay, PrClassItem, PrClassTotals};
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
    check::<BreakdownItem>(what, stream.clone());
    check::<AgentDaysItem>(what, stream.clone());
    check::<AgentListItem>(what, stream.clone());
    check::<PrClassItem>(what, stream);
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
    stream_of(&ListItem { members: Vec::new(), entries: (0..entries).map(entry).collect() })
}

/// Returns the stream of an item that may be larger than allowed.
fn stream_of<T: BitForm>(item: &T) -> Vec<u8> {
    let mut bits = BitWriter::with_header([VERSION, 0, 0]);
    item.write(&mut bits);
    bits.finish()
}

/// Returns `of_day` on every day of a month, for as many subjects as take `count` days in all.
fn months<T: Clone>(of_day: &T, count: usize) -> impl Iterator<Item = Vec<(u8, T)>> {
    let days: Vec<(u8, T)> = (0..=DayOfMonth::MAX_NUMBER).map(|day| (day, of_day.clone())).collect();
    let whole = count / days.len();
    let rest = days[..count % days.len()].to_vec();
    std::iter::repeat_n(days, whole).chain(std::iter::once(rest))
}

/// Returns the stream of a list of repositories with these sides on this many days.
fn agent_list_stream(of_day: &AgentSides, days: usize) -> Vec<u8> {
    let entry = |(id, days)| AgentListEntry { subject: ListedSubject::Repo(id), days };
    stream_of(&AgentListItem {
        members: Vec::new(),
        entries: (0..).zip(months(of_day, days)).map(entry).collect(),
    })
}

/// Returns the stream of the days of a subject that used this many tools on each of 32 days.
fn agent_days_stream(tools: u32) -> Vec<u8> {
    let mut counts = [0; AgentCounter::COUNT];
    counts[AgentCounter::ToolCalls as usize] = 1;
    let mut side = AgentSide::default();
    side.parts[AgentDimension::Tool as usize] = (0..tools).map(|tool| (tool, counts)).collect();
    let mut item = AgentDaysItem::default();
    item.names[AgentDimension::Tool as usize] = (0..tools).map(|tool| format!("{tool:07}")).collect();
    item.days = (0..32).map(|day| (day, vec![(Side::People, side.clone())])).collect();
    stream_of(&item)
}

/// Returns the stream of repositories with these pull requests on this many days.
fn pr_class_stream(of_day: &PrClassDay, days: usize) -> Vec<u8> {
    stream_of(&PrClassItem { generations: [1; 3], repos: (0..).zip(months(of_day, days)).collect() })
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

    let of_day: AgentSides = vec![(Side::People, AgentSide::default())];
    for (what, of_day) in [("days without sides", AgentSides::new()), ("days with a side", of_day)] {
        assert_eq!(check::<AgentListItem>(what, agent_list_stream(&of_day, MAX_ENTRIES)), None);
        assert_eq!(check::<AgentListItem>(what, agent_list_stream(&of_day, MAX_ENTRIES + 1)), too_many);
    }
    let tools = (MAX_ENTRIES / 32) as u32;
    assert_eq!(check::<AgentDaysItem>("as many parts as allowed", agent_days_stream(tools)), None);
    assert_eq!(check::<AgentDaysItem>("a part too many", agent_days_stream(tools + 1)), too_many);
    let of_day: PrClassDay = vec![((Side::People, PrClass::Linked), PrClassTotals::default())];
    for (what, of_day) in [("days without classes", PrClassDay::new()), ("days with a class", of_day)] {
        assert_eq!(check::<PrClassItem>(what, pr_class_stream(&of_day, MAX_ENTRIES)), None);
        assert_eq!(check::<PrClassItem>(what, pr_class_stream(&of_day, MAX_ENTRIES + 1)), too_many);
    }

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
    let of_sessions = agent_list_stream(&vec![(Side::Bots, AgentSide::default())], 40_000);
    for mut stream in
        [breakdown_stream(2_000, days), list_stream(40_000), of_sessions, agent_days_stream(1_000)]
    {
        for _ in 0..20 {
            let damaged = rng.usize(..stream.len());
            stream[damaged] = rng.u8(..);
            check_all_classes("a damaged item", &stream[3..]);
        }
    }
}
