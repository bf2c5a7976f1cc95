//! Damaged and hostile bytes are errors.

use proptest::prelude::*;

use super::golden::{
    fixed_agent_days, fixed_agent_list, fixed_breakdown, fixed_days, fixed_list, fixed_pr_classes,
};
use super::strategies::{
    any_agent_days_item, any_agent_list_item, any_breakdown_item, any_days_item, any_list_item,
    any_pr_class_item,
};
use crate::agents::{AgentDaysItem, AgentListItem};
use crate::items::{BreakdownItem, DaysItem, ListItem};
use crate::pr_classes::PrClassItem;
use crate::stored_form::bits::BitWriter;
use crate::stored_form::codes::AdaptiveNumber;
use crate::stored_form::{BitForm, DecodeError, HEADER_BYTES, StoredForm, VERSION, seal};

pub(super) trait TestedItem: StoredForm + BitForm + std::fmt::Debug {}
impl<T: StoredForm + BitForm + std::fmt::Debug> TestedItem for T {}

/// Decodes a stream of bits as if its checksum were right. If it is an item, its own bytes must be decoded to it.
fn decode_sealed<T: TestedItem>(bytes: Vec<u8>) -> Result<T, DecodeError> {
    let item = T::decode(&seal::<T>(bytes))?;
    assert_eq!(T::decode(&item.encode()).as_ref(), Ok(&item), "a decoded item is valid");
    Ok(item)
}

fn check_damage<T: TestedItem>(item: &T) {
    let bytes = item.encode();
    for length in 1..bytes.len() {
        assert!(T::decode(&bytes[..length]).is_err(), "{length} of {} bytes", bytes.len());
        if length >= HEADER_BYTES {
            let result = decode_sealed::<T>(bytes[..length].to_vec());
            assert!(result.is_err(), "{length} of {} bytes with a right checksum", bytes.len());
        }
    }
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(T::decode(&damaged).is_err(), "bit {bit}");
        // Neither panics nor returns an invalid item.
        let _ = decode_sealed::<T>(damaged);
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(decode_sealed::<T>(longer), Err(DecodeError::Invalid("trailing data")));
}

#[test]
fn truncated_and_flipped_items_are_errors() {
    check_damage(&fixed_days());
    check_damage(&fixed_list());
    check_damage(&fixed_breakdown());
    check_damage(&fixed_agent_days());
    check_damage(&fixed_agent_list());
    check_damage(&fixed_pr_classes());
}

fn check_any_bytes<T: TestedItem>(stream: &[u8]) {
    let _ = T::decode(stream);
    let _ = decode_sealed::<T>([&[VERSION, 0, 0], stream].concat());
}

proptest! {
    // Each case decodes an item some thousand times.
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn damaged_days_are_errors(item in any_days_item().prop_filter("not empty", |item| !item.days.is_empty())) {
        check_damage(&item);
    }

    #[test]
    fn damaged_lists_are_errors(item in any_list_item().prop_filter("not empty", |item| !item.entries.is_empty())) {
        check_damage(&item);
    }

    #[test]
    fn damaged_breakdowns_are_errors(
        item in any_breakdown_item().prop_filter("not empty", |item| !item.cells.is_empty()),
    ) {
        check_damage(&item);
    }

    #[test]
    fn damaged_days_of_sessions_are_errors(
        item in any_agent_days_item().prop_filter("not empty", |item| !item.days.is_empty()),
    ) {
        check_damage(&item);
    }

    #[test]
    fn damaged_lists_of_sessions_are_errors(
        item in any_agent_list_item().prop_filter("not empty", |item| !item.entries.is_empty()),
    ) {
        check_damage(&item);
    }

    #[test]
    fn damaged_classes_of_pull_requests_are_errors(
        item in any_pr_class_item().prop_filter("not empty", |item| !item.repos.is_empty()),
    ) {
        check_damage(&item);
    }
}

/// Overwrites, removes, repeats and swaps parts of an item.
fn check_scrambled<T: TestedItem>(item: &T, seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let bytes = item.encode();
    for _ in 0..40 {
        let mut stream = bytes.get(HEADER_BYTES..).unwrap_or_default().to_vec();
        for _ in 0..rng.usize(1..4) {
            let (a, b) = (rng.usize(..=stream.len()), rng.usize(..=stream.len()));
            let part = a.min(b)..a.max(b);
            match rng.u8(..4) {
                0 => stream[part].iter_mut().for_each(|byte| *byte = rng.u8(..)),
                1 => drop(stream.drain(part)),
                2 => stream.extend_from_within(part),
                _ => stream[part].reverse(),
            }
        }
        // Neither panics nor returns an invalid item.
        let _ = decode_sealed::<T>([&[VERSION, 0, 0], &stream[..]].concat());
    }
}

proptest! {
    #[test]
    fn scrambled_items_are_an_item_or_an_error(
        days in any_days_item(),
        list in any_list_item(),
        breakdown in any_breakdown_item(),
        seed in any::<u64>(),
    ) {
        check_scrambled(&days, seed);
        check_scrambled(&list, seed);
        check_scrambled(&breakdown, seed);
    }

    #[test]
    fn scrambled_items_about_sessions_are_an_item_or_an_error(
        days in any_agent_days_item(),
        list in any_agent_list_item(),
        classes in any_pr_class_item(),
        seed in any::<u64>(),
    ) {
        check_scrambled(&days, seed);
        check_scrambled(&list, seed);
        check_scrambled(&classes, seed);
    }

    #[test]
    fn any_bytes_are_an_item_or_an_error(
        mut stream in prop::collection::vec(any::<u8>(), 0..3_000),
        density in 0..3,
    ) {
        // Few ones make large numbers, many ones make small numbers and so more entries.
        match density {
            0 => stream.iter_mut().for_each(|byte| *byte |= byte.rotate_left(3)),
            1 => stream.iter_mut().for_each(|byte| *byte &= byte.rotate_left(3)),
            _ => {}
        }
        check_any_bytes::<DaysItem>(&stream);
        check_any_bytes::<ListItem>(&stream);
        check_any_bytes::<BreakdownItem>(&stream);
        check_any_bytes::<AgentDaysItem>(&stream);
        check_any_bytes::<AgentListItem>(&stream);
        check_any_bytes::<PrClassItem>(&stream);
    }
}

/// Returns a stream of these numbers, the codes of which are those of the number of entries.
fn stream_of_count(flags: &[bool], count: u64) -> Vec<u8> {
    let mut bits = BitWriter::with_header([VERSION, 0, 0]);
    write_count(&mut bits, flags, count);
    bits.finish()
}

fn write_count(bits: &mut BitWriter, flags: &[bool], count: u64) {
    flags.iter().for_each(|&flag| bits.write_flag(flag));
    bits.write_flag(true);
    AdaptiveNumber::new(5).write(bits, count - 1);
    bits.write(u64::MAX, 64);
}

#[test]
fn counts_that_cannot_follow_are_errors() {
    for count in [100, 1 << 20, u64::from(u32::MAX), u64::from(u32::MAX) + 1, u64::MAX] {
        // Days begin with the flag of a name and the members; breakdowns with the repositories.
        assert!(decode_sealed::<DaysItem>(stream_of_count(&[false], count)).is_err(), "{count}");
        assert!(decode_sealed::<ListItem>(stream_of_count(&[], count)).is_err(), "{count}");
        assert!(decode_sealed::<AgentDaysItem>(stream_of_count(&[false], count)).is_err(), "{count}");
        assert!(decode_sealed::<AgentListItem>(stream_of_count(&[], count)).is_err(), "{count}");
        assert!(decode_sealed::<BreakdownItem>(stream_of_count(&[], count)).is_err(), "{count}");
        // Classes begin with three generations.
        let mut classes = BitWriter::with_header([VERSION, 0, 0]);
        (0..3).for_each(|_| AdaptiveNumber::new(8).write(&mut classes, 1));
        write_count(&mut classes, &[], count);
        assert!(decode_sealed::<PrClassItem>(classes.finish()).is_err(), "{count}");
    }
}

#[test]
fn items_of_another_version_or_class_are_errors() {
    let mut bytes = fixed_days().encode();
    assert_eq!(ListItem::decode(&bytes), Err(DecodeError::WrongChecksum));
    bytes[0] = VERSION + 1;
    assert_eq!(DaysItem::decode(&bytes), Err(DecodeError::UnknownVersion(VERSION + 1)));
    assert_eq!(DaysItem::decode(&[VERSION]), Err(DecodeError::Truncated));
}

#[test]
fn merging_huge_decoded_counts_does_not_panic() {
    let mut item = fixed_days();
    for (_, sides) in &mut item.days {
        sides.iter_mut().for_each(|side| side.totals.counts = [u64::MAX; _]);
    }
    let decoded = DaysItem::decode(&item.encode()).unwrap();
    let month = gam_model::Month::parse("2026-01").unwrap();
    let sum = decoded.sum_all(month);
    assert_eq!(sum.people.counts, [u64::MAX; _]);
}
