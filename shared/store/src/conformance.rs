//! The conformance suite that the tests of every adapter run.
//!
//! Some checks race tasks against each other, so run the suite on a multi-thread runtime:
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
mod record_races;
mod records;

use std::future::Future;

use chrono::{Days, NaiveDate};
use gam_model::{Grain, Month};
use tokio::task::JoinSet;

use crate::keys::{RollupKey, Subject};
use crate::port::{CheckpointStore, Logic, NameStore, RollupStore, StoredRollup};
use crate::record::RecordStore;

/// An organization whose name is a prefix of some [`NEIGHBOURS`], and matches one of them as a SQL pattern.
const ORG: &str = "acme_labs";

/// Organizations that an adapter must not confuse with [`ORG`].
const NEIGHBOURS: [&str; 4] = ["acme_labs-2", "acmexlabs", "acme", "acme_labs/day"];

/// [`ORG`] in another case: the same organization.
const ORG_OTHER_CASE: &str = "Acme_LABS";

/// Names that a careless adapter confuses, truncates or treats as syntax.
const UNUSUAL_NAMES: [&str; 18] = [
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

/// Checks all ports. `make` must return a new, empty store on every call.
///
/// # Panics
/// If the adapter breaks a rule of a port. The message names the rule.
pub async fn run<S, F>(make: F)
where
    S: RollupStore + NameStore + CheckpointStore + RecordStore + 'static,
    F: AsyncFn() -> S,
{
    run_rollups(&make).await;
    run_checkpoints(&make).await;
    run_records(&make).await;
}

/// Checks a [`RollupStore`] and [`NameStore`]. `make` must return a new, empty store on every call.
///
/// # Panics
/// If the adapter breaks a rule of the port. The message names the rule.
pub async fn run_rollups<S, F>(make: F)
where
    S: RollupStore + NameStore + 'static,
    F: AsyncFn() -> S,
{
    puts::check_guard(&make().await).await;
    puts::check_partial_refusal(&make().await).await;
    puts::check_large_batch(&make().await).await;
    puts::check_unusual_bodies(&make().await).await;
    puts::check_concurrent_writers(make().await).await;
    reads::check_bounds(&make().await).await;
    reads::check_subjects_are_separate(&make().await).await;
    reads::check_orgs_are_separate(&make().await).await;
    markers::check_advance(&make().await).await;
    markers::check_listing(&make().await).await;
    markers::check_concurrent_advances(make().await).await;
    names::check_newest_name_stays(&make().await).await;
    names::check_orgs(&make().await).await;
    names::check_concurrent_writers(make().await).await;
}

/// Checks a [`CheckpointStore`]. `make` must return a new, empty store on every call.
///
/// # Panics
/// If the adapter breaks a rule of the port. The message names the rule.
pub async fn run_checkpoints<S, F>(make: F)
where
    S: CheckpointStore + 'static,
    F: AsyncFn() -> S,
{
    checkpoints::check_compare_and_swap(&make().await).await;
    checkpoints::check_keys_are_separate(&make().await).await;
    checkpoints::check_unusual_bodies(&make().await).await;
    checkpoints::check_concurrent_saves(make().await).await;
}

/// Checks a [`RecordStore`]. `make` must return a new, empty store on every call.
///
/// # Panics
/// If the adapter breaks a rule of the port. The message names the rule.
pub async fn run_records<S, F>(make: F)
where
    S: RecordStore + 'static,
    F: AsyncFn() -> S,
{
    records::check_expectations(&make().await).await;
    records::check_all_or_none(&make().await).await;
    records::check_limits(&make().await).await;
    records::check_expiry(&make().await).await;
    records::check_pages(&make().await).await;
    records::check_unusual_content(&make().await).await;
    records::check_orgs_are_separate(&make().await).await;
    record_races::check_repeats(make().await).await;
    record_races::check_concurrent_claims(make().await).await;
    record_races::check_concurrent_commits(make().await).await;
}

/// Runs all tasks concurrently and returns their results, in any order.
async fn run_concurrently<T, Fut>(tasks: impl IntoIterator<Item = Fut>) -> Vec<T>
where
    T: Send + 'static,
    Fut: Future<Output = T> + Send + 'static,
{
    tasks.into_iter().collect::<JoinSet<T>>().join_all().await
}

/// Returns `1..=count`, in a different order for each task.
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

/// Returns the key of a bucket that derives from the month it starts in.
fn key(subject: Subject, grain: Grain, start: &str) -> RollupKey {
    RollupKey { subject, grain, start: day(start), month: Month::of(day(start)) }
}

fn rollup(version: u32, generation: u64, body: impl Into<String>) -> StoredRollup {
    StoredRollup { logic: logic(version), generation, body: body.into() }
}

/// Returns the stored rollup of exactly that key.
async fn stored<S: RollupStore>(store: &S, org: &str, key: &RollupKey) -> Option<StoredRollup> {
    let next = key.start + Days::new(1);
    let rollups = store.range(org, &key.subject, key.grain, key.start, next).await.expect("range");
    rollups.into_iter().find(|(stored_key, _)| stored_key == key).map(|(_, rollup)| rollup)
}

/// Bodies that a careless adapter truncates, escapes or refuses.
fn unusual_bodies() -> Vec<String> {
    let long = format!("[\"{}\"]", "é0123456789".repeat(8_000));
    ["{}", "", "'quoted' \"and\" \\ % _ ? :1 $1", "\u{1F4C8}\u{200D}名前\r\n\t\\u0000", &long]
        .map(str::to_owned)
        .to_vec()
}
