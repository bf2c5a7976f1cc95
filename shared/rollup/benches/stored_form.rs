//! Measures how fast a month's items are encoded and decoded: `cargo bench -p gam-rollup`. divan prints the events of
//! the month per second.

mod month;

use divan::Bencher;
use divan::counter::ItemsCount;
use gam_rollup::StoredForm;
use month::{MonthItems, month_items};

const EVENTS: usize = 416_666;

fn main() {
    divan::main();
}

fn encode_all<T: StoredForm>(items: &[T]) -> Vec<Vec<u8>> {
    items.iter().map(StoredForm::encode).collect()
}

/// Returns the encoded items of the whole month, and of each class those of the same class.
fn encoded(month: &MonthItems) -> [Vec<Vec<u8>>; 3] {
    let days = [&month.days_of_org, &month.days_of_repos, &month.days_of_members];
    let breakdowns = [&month.breakdowns_of_repos, &month.breakdowns_of_members];
    [
        days.into_iter().flat_map(|items| encode_all(items)).collect(),
        encode_all(&month.lists),
        breakdowns.into_iter().flat_map(|items| encode_all(items)).collect(),
    ]
}

fn decode_all<T: StoredForm>(items: &[Vec<u8>]) {
    for bytes in items {
        let item = T::decode(bytes).expect("an encoded item is decoded");
        divan::black_box(item);
    }
}

#[divan::bench(sample_count = 10)]
fn encode(bencher: Bencher<'_, '_>) {
    let month = month_items(EVENTS, 1);
    bencher.counter(ItemsCount::new(EVENTS)).bench_local(|| encoded(divan::black_box(&month)));
}

#[divan::bench(sample_count = 10)]
fn decode(bencher: Bencher<'_, '_>) {
    let [days, lists, breakdowns] = encoded(&month_items(EVENTS, 1));
    bencher.counter(ItemsCount::new(EVENTS)).bench_local(|| {
        decode_all::<gam_rollup::DaysItem>(&days);
        decode_all::<gam_rollup::ListItem>(&lists);
        decode_all::<gam_rollup::BreakdownItem>(&breakdowns);
    });
}
