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

mod bodies;
mod changes;
mod checkpoints;
mod deletes;
mod faults;
mod markers;
mod names;
mod orgs;
mod puts;
mod reads;
mod record_races;
mod records;

pub use faults::{CommitFault, FaultyRecords};

use std::future::Future;

use gam_model::Month;
use tokio::task::JoinSet;

use crate::head::Epoch;
use crate::keys::{ItemClass, ItemKey, Subject};
use crate::port::{CheckpointStore, NameStore, OrgStore, PutOutcome, RollupStore, StoredItem};
use crate::record::RecordStore;

/// An organization whose name is a prefix of some [`NEIGHBOURS`], and matches one of them as a SQL pattern.
const ORG: &str = "acme_labs";

/// Organizations that an adapter must not confuse with [`ORG`], and the owner of the rollups of another table of it.
const NEIGHBOURS: [&str; 5] = ["acme_labs-2", "acmexlabs", "acme", "acme_labs/day", "acme_labs/sessions"];

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
    S: RollupStore + NameStore + CheckpointStore + RecordStore + OrgStore + 'static,
    F: AsyncFn() -> S,
{
    orgs::check_delete(&make().await).await;
    run_rollups(&make).await;
    run_checkpoints(&make).await;
    run_records(&make).await;
}

/// Checks a [`RollupStore`] and [`NameStore`]. Heads decide which organizations are listed, so the store must also
/// be a [`CheckpointStore`]. `make` must return a new, empty store on every call.
///
/// # Panics
/// If the adapter breaks a rule of the port. The message names the rule.
pub async fn run_rollups<S, F>(make: F)
where
    S: RollupStore + NameStore + CheckpointStore + 'static,
    F: AsyncFn() -> S,
{
    puts::check_guard(&make().await).await;
    puts::check_partial_refusal(&make().await).await;
    puts::check_large_batch(&make().await).await;
    puts::check_concurrent_writers(make().await).await;
    bodies::check_unusual_bodies(&make().await).await;
    bodies::check_large_bodies(&make().await).await;
    bodies::check_refused_large_bodies(&make().await).await;
    bodies::check_concurrent_large_bodies(make().await).await;
    reads::check_bounds(&make().await).await;
    reads::check_weeks(&make().await).await;
    reads::check_classes_are_separate(&make().await).await;
    reads::check_epochs_are_separate(&make().await).await;
    reads::check_orgs_are_separate(&make().await).await;
    reads::check_get_of_many_keys(&make().await).await;
    deletes::check_items(&make().await).await;
    deletes::check_markers(&make().await).await;
    markers::check_advance(&make().await).await;
    markers::check_listing(&make().await).await;
    markers::check_concurrent_advances(make().await).await;
    names::check_newest_name_stays(&make().await).await;
    names::check_orgs(&make().await).await;
    names::check_concurrent_writers(make().await).await;
    let store = make().await;
    changes::check_every_write(&store, &store).await;
    changes::check_concurrent_reads(make().await).await;
}

/// Checks that the change tokens of one handle of a store notice what another handle of it writes. Both must be handles
/// of one new, empty store.
///
/// # Panics
/// If the adapter breaks a rule of the port. The message names the rule.
pub async fn run_changes<W, R>(writer: &W, reader: &R)
where
    W: RollupStore + NameStore + CheckpointStore,
    R: RollupStore + NameStore + CheckpointStore,
{
    assert!(reader.change_token().is_some(), "the handle has change tokens");
    changes::check_every_write(writer, reader).await;
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
    records::check_content_tokens(&make().await).await;
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

/// The epoch of most checks.
const EPOCH: Epoch = Epoch(7);

/// Epochs that an adapter must not confuse with [`EPOCH`].
const OTHER_EPOCHS: [Epoch; 4] = [Epoch(0), Epoch(6), Epoch(70), Epoch(1 << 40)];

fn month(text: &str) -> Month {
    Month::parse(text).expect("a month")
}

/// Returns the key of a repository's days in May 2024.
fn days_of_repo(id: i64) -> ItemKey {
    ItemKey::new(ItemClass::Days(Subject::Repo(id)), month("2024-05"))
}

fn item(generation: u64, body: impl Into<Vec<u8>>) -> StoredItem {
    StoredItem { generation, body: body.into() }
}

async fn put<S: RollupStore>(
    store: &S,
    org: &str,
    epoch: Epoch,
    items: &[(ItemKey, StoredItem)],
) -> PutOutcome {
    store.put(org, epoch, items).await.expect("put")
}

/// Returns the stored item with this key, after checking that both reads of the port return the same.
async fn stored<S: RollupStore>(store: &S, org: &str, epoch: Epoch, key: &ItemKey) -> Option<StoredItem> {
    let got = store.get(org, epoch, std::slice::from_ref(key)).await.expect("get");
    assert!(got.len() <= 1 && got.iter().all(|(of, _)| of == key), "get of {key:?} returned {got:?}");
    let item = got.into_iter().next().map(|(_, item)| item);
    let range = store.range(org, epoch, &key.class, key.month, key.month).await.expect("range");
    let in_range = range.into_iter().find(|(of, _)| of == key).map(|(_, item)| item);
    // Compared without printing: a body can be long.
    assert!(item == in_range, "get and range return the same item for {key:?}");
    item
}

/// Bodies of checkpoints that a careless adapter truncates, escapes or refuses.
fn unusual_bodies() -> Vec<String> {
    let long = format!("[\"{}\"]", "é0123456789".repeat(8_000));
    ["{}", "", "'quoted' \"and\" \\ % _ ? :1 $1", "\u{1F4C8}\u{200D}名前\r\n\t\\u0000", &long]
        .map(str::to_owned)
        .to_vec()
}
