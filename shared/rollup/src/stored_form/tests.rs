//! Tests of the stored form: what is written is read, and nothing else is.

mod allocations;
mod damage;
mod golden;
mod strategies;

use proptest::prelude::*;

use super::*;
use strategies::{
    any_agent_days_item, any_agent_list_item, any_breakdown_item, any_days_item, any_list_item,
    any_pr_class_item,
};

/// Decodes what was encoded, and encodes the result again.
fn check_round_trip<T: StoredForm + PartialEq + Clone + std::fmt::Debug>(
    item: &T,
) -> Result<(), TestCaseError> {
    let bytes = item.encode();
    let decoded = T::decode(&bytes).map_err(|error| TestCaseError::fail(error.to_string()))?;
    prop_assert_eq!(&decoded, item);
    prop_assert_eq!(decoded.encode(), bytes, "equal items have equal bytes");
    Ok(())
}

proptest! {
    #[test]
    fn days_items_are_decoded_to_what_they_were(item in any_days_item()) {
        check_round_trip(&item)?;
    }

    #[test]
    fn list_items_are_decoded_to_what_they_were(item in any_list_item()) {
        check_round_trip(&item)?;
    }

    #[test]
    fn breakdown_items_are_decoded_to_what_they_were(item in any_breakdown_item()) {
        check_round_trip(&item)?;
    }

    #[test]
    fn items_about_sessions_are_decoded_to_what_they_were(
        days in any_agent_days_item(),
        list in any_agent_list_item(),
        classes in any_pr_class_item(),
    ) {
        check_round_trip(&days)?;
        check_round_trip(&list)?;
        check_round_trip(&classes)?;
    }
}

#[test]
fn items_without_entries_are_empty() {
    assert!(DaysItem::default().encode().is_empty());
    assert!(ListItem::default().encode().is_empty());
    assert!(BreakdownItem::default().encode().is_empty());
    assert!(AgentDaysItem::default().encode().is_empty());
    assert!(AgentListItem::default().encode().is_empty());
    assert!(PrClassItem::default().encode().is_empty());
    assert_eq!(DaysItem::decode(&[]), Ok(DaysItem::default()));
}
