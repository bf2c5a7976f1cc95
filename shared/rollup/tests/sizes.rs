//! How many bytes a month's items take. `cargo test --release -p gam-rollup --test sizes -- --include-ignored --nocapture`
//! prints them by class.

#[path = "../benches/month/mod.rs"]
mod month;

use gam_rollup::StoredForm;
use month::month_items;

/// Returns the bytes of all items. Checks that they are decoded to what they were.
fn stored_bytes<T: StoredForm + PartialEq>(items: &[T]) -> (usize, usize) {
    let bytes = items.iter().map(|item| {
        let bytes = item.encode();
        assert!(T::decode(&bytes).is_ok_and(|decoded| decoded == *item));
        bytes.len()
    });
    (bytes.sum(), items.len())
}

fn check_size(events: usize, max_id_gap: i64, max_bytes_per_event: f64) {
    let month = month_items(events, max_id_gap);
    let classes = [
        ("days of the organization", stored_bytes(&month.days_of_org)),
        ("days of repositories", stored_bytes(&month.days_of_repos)),
        ("days of members", stored_bytes(&month.days_of_members)),
        ("lists", stored_bytes(&month.lists)),
        ("breakdowns of repositories", stored_bytes(&month.breakdowns_of_repos)),
        ("breakdowns of members", stored_bytes(&month.breakdowns_of_members)),
    ];
    let mut table = String::new();
    let mut total = (0, 0);
    for (class, (bytes, items)) in classes {
        table += &format!("{class}: {:.2} bytes an event in {items} items\n", bytes as f64 / events as f64);
        total = (total.0 + bytes, total.1 + items);
    }
    let per_event = total.0 as f64 / events as f64;
    table += &format!("all of {events} events: {per_event:.2} bytes an event in {} items", total.1);
    assert!(per_event <= max_bytes_per_event, "{table}");
    // Shown with --nocapture.
    std::io::Write::write_all(&mut std::io::stdout(), table.as_bytes()).unwrap();
}

#[test]
fn a_month_of_two_million_events_a_year_is_small() {
    check_size(166_666, 1, 16.6);
}

#[test]
#[ignore = "takes a minute without optimisation"]
fn a_month_of_ten_million_events_in_two_years_is_small() {
    check_size(416_666, 1, 13.4);
}

#[test]
#[ignore = "takes a minute without optimisation"]
fn ids_of_repositories_that_are_far_apart_take_more() {
    check_size(166_666, 1_000_000, 19.0);
}
