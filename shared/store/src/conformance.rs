//! What every adapter must do, as one suite that each adapter's tests call.
//!
//! The suite races many tasks against each other, so call it on a multi-thread runtime:
//!
//! ```no_run
//! # use gam_store::{MemoryStore, conformance};
//! # #[tokio::main(flavor = "multi_thread")]
//! # async fn main() {
//! conformance::run(async || MemoryStore::default()).await;
//! # }
//! ```

mod checkpoints;
mod markers;
mod names;
mod puts;
mod reads;

use std::future::Future;

use chrono::{Days, NaiveDate};
use gam_model::{Grain, Month};
use tokio::task::JoinSet;

use crate::keys::{RollupKey, Subject};
use crate::port::{CheckpointStore, Logic, NameStore, RollupStore, StoredRollup};

/// An organization whose name is a prefix of [`NEIGHBOURS`], and matches them as a pattern.
const ORG: &str = "acme_labs";

/// Organizations that must never be taken for [`ORG`].
const NEIGHBOURS: [&str; 4] = ["acme_labs-2", "acmexlabs", "acme", "acme_labs/day"];

/// The same as [`ORG`], spelled otherwise.
const ORG_SPELLED_OTHERWISE: &str = "Acme_LABS";

/// Names that a careless adapter mixes up, misreads or takes for syntax.
const ODD_NAMES: [&str; 18] = [
    "ann",
    "ann-2",
    "an",
    "ann/day",
    "ann#day",
    "ann|day",
    "ann%",
    "a_n",
    "~00ff00ff00ff",
    "dependabot[bot]",
    "o'brien",
    "\"quoted\"",
    "back\\slash",
    "1/ann",
    "名前",
    "züñ",
    " spaced name ",
    "'); drop table rollups; --",
];

/// Checks both ports; `make` gives a fresh, empty store on every call.
///
/// # Panics
/// Where the adapter does not keep a port, saying which rule it breaks.
pub async fn run<S, F>(make: F)
where
    S: RollupStore + NameStore + CheckpointStore + 'static,
    F: AsyncFn() -> S,
{
    run_rollups(&make).await;
    run_checkpoints(&make).await;
}

/// Checks a [`RollupStore`] and [`NameStore`]; `make` gives a fresh, empty store on every call.
///
/// # Panics
/// Where the adapter does not keep the port, saying which rule it breaks.
pub async fn run_rollups<S, F>(make: F)
where
    S: RollupStore + NameStore + 'static,
    F: AsyncFn() -> S,
{
    puts::are_guarded(&make().await).await;
    puts::refuse_one_by_one(&make().await).await;
    puts::may_be_many(&make().await).await;
    puts::keep_odd_bodies(&make().await).await;
    puts::race(make().await).await;
    reads::keep_to_their_bounds(&make().await).await;
    reads::keep_subjects_apart(&make().await).await;
    reads::keep_orgs_apart(&make().await).await;
    markers::advance_by_the_rule(&make().await).await;
    markers::are_listed_in_order(&make().await).await;
    markers::race(make().await).await;
    names::keep_the_newest(&make().await).await;
    names::spell_organizations(&make().await).await;
    names::race(make().await).await;
}

/// Checks a [`CheckpointStore`]; `make` gives a fresh, empty store on every call.
///
/// # Panics
/// Where the adapter does not keep the port, saying which rule it breaks.
pub async fn run_checkpoints<S, F>(make: F)
where
    S: CheckpointStore + 'static,
    F: AsyncFn() -> S,
{
    checkpoints::are_saved_as_expected(&make().await).await;
    checkpoints::are_kept_apart(&make().await).await;
    checkpoints::keep_odd_bodies(&make().await).await;
    checkpoints::race(make().await).await;
}

/// Runs all tasks at once and gives back what they gave, in any order.
async fn at_once<T, Fut>(tasks: impl IntoIterator<Item = Fut>) -> Vec<T>
where
    T: Send + 'static,
    Fut: Future<Output = T> + Send + 'static,
{
    tasks.into_iter().collect::<JoinSet<T>>().join_all().await
}

/// `1..=count`, each task in an order of its own.
fn shuffled(count: u64, task: u64) -> Vec<u64> {
    let mut numbers: Vec<u64> = (1..=count).collect();
    numbers.rotate_left((task % count) as usize);
    if task % 2 == 1 {
        numbers.reverse();
    }
    numbers
}

fn day(text: &str) -> NaiveDate {
    text.parse().expect("a day")
}

fn month(text: &str) -> Month {
    Month::parse(text).expect("a month")
}

fn logic(version: u32) -> Logic {
    Logic { version, identity: "identity".to_owned() }
}

/// The key of a bucket that derives from the month it starts in.
fn key(subject: Subject, grain: Grain, start: &str) -> RollupKey {
    RollupKey { subject, grain, start: day(start), month: Month::of(day(start)) }
}

fn rollup(version: u32, generation: u64, body: impl Into<String>) -> StoredRollup {
    StoredRollup { logic: logic(version), generation, body: body.into() }
}

/// The stored rollup of that very key.
async fn stored<S: RollupStore>(store: &S, org: &str, key: &RollupKey) -> Option<StoredRollup> {
    let next = key.start + Days::new(1);
    let found = store.range(org, &key.subject, key.grain, key.start, next).await.expect("range");
    found.into_iter().find(|(found, _)| found == key).map(|(_, rollup)| rollup)
}

/// Bodies that a careless adapter cuts, escapes or refuses.
fn odd_bodies() -> Vec<String> {
    let long = format!("[\"{}\"]", "é0123456789".repeat(8_000));
    ["{}", "", "'quoted' \"and\" \\ % _ ? :1 $1", "\u{1F4C8}\u{200D}名前\r\n\t\\u0000", &long]
        .map(str::to_owned)
        .to_vec()
}
