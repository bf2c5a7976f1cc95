//! Measures how long 1,000 new events take from the inbox to the rollups of a large month, in a lake and a SQLite store
//! on disk: `cargo bench -p gam-bench --bench refresh`.

use std::sync::Arc;

use divan::{Bencher, black_box};
use gam_aggregate::{AggregateOptions, AggregatePorts, aggregate, aggregate_with};
use gam_bench::{LakeGenerator, LakeShape, current_stamp};
use gam_lake::{Events, FileStore, inbox, snapshot};
use gam_model::{Event, EventBatch, EventId, Month, SystemClock};
use gam_store_sql::SqliteStore;
use tempfile::TempDir;
use tokio::runtime::Runtime;

const ORG: &str = "octo-bench";
/// The number of events in the batch.
const BATCH_EVENTS: usize = 1_000;
/// The number of repositories that a batch of a few repositories touches.
const FEW_REPOS: usize = 3;

fn main() {
    divan::main();
}

/// Which repositories a batch touches.
#[derive(Debug, Clone, Copy)]
enum Spread {
    Few,
    All,
}

/// A month with its rollups.
struct MonthOnDisk {
    runtime: Runtime,
    ports: AggregatePorts,
    /// Events of the month, of which new ones are made.
    samples: Vec<Event>,
    next_id: i64,
    _dir: TempDir,
}

impl MonthOnDisk {
    fn new(events: u64, spread: Spread) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build().expect("a runtime");
        let dir = tempfile::tempdir().expect("a directory");
        let last_month = Month::parse("2025-12").expect("a month");
        let (repos, members) = (1_000, 2_000);
        let shape = LakeShape { org: ORG.into(), events, months: 1, last_month, repos, members, seed: 1 };
        let batches = LakeGenerator::new(&shape).and_then(|generator| generator.month(0)).expect("a month");
        let objects = FileStore::open(dir.path().join("lake")).expect("a lake");
        let stamp = current_stamp();
        let written = snapshot::write::<Events>(&objects, ORG, last_month, &batches, &stamp, None);
        runtime.block_on(written).expect("the disk has room");
        let mut samples = Vec::new();
        let step = events as usize / BATCH_EVENTS;
        let rows = batches.iter().map(arrow_array::RecordBatch::num_rows).sum::<usize>();
        let mut first = 0;
        for batch in &batches {
            for row in (0..batch.num_rows()).filter(|row| (first + row).is_multiple_of(step.max(1))) {
                samples.extend(gam_lake::schema::decode(&batch.slice(row, 1)).expect("events"));
            }
            first += batch.num_rows();
        }
        assert_eq!(rows as u64, events);
        if let Spread::Few = spread {
            let middle: Vec<Event> =
                samples.iter().step_by(samples.len() / FEW_REPOS).take(FEW_REPOS).cloned().collect();
            samples = middle;
        }
        let store = runtime.block_on(SqliteStore::open(&dir.path().join("store.sqlite"))).expect("a store");
        let store = Arc::new(store);
        let ports = AggregatePorts {
            objects: Arc::new(objects),
            rollups: store.clone(),
            names: store.clone(),
            checkpoints: store,
            clock: Arc::new(SystemClock),
        };
        runtime.block_on(aggregate(&ports, ORG, true, &())).expect("an aggregation");
        MonthOnDisk { runtime, ports, samples, next_id: 1 << 50, _dir: dir }
    }

    /// Puts a batch of events into the inbox that the month does not have.
    fn put_batch(&mut self) {
        let samples = self.samples.iter().cycle().take(BATCH_EVENTS);
        let events = samples.map(|event| {
            self.next_id += 1;
            Event { id: EventId::review(self.next_id), ..event.clone() }
        });
        let batch = EventBatch::new(ORG, events.collect());
        self.runtime.block_on(inbox::put(&*self.ports.objects, &batch)).expect("the disk has room");
    }

    fn refresh(&self) {
        let options = AggregateOptions { check_months: false, ..AggregateOptions::default() };
        let report = self.runtime.block_on(aggregate_with(&self.ports, ORG, &options, &()));
        assert_eq!(black_box(report).expect("an aggregation").batches, 1);
    }
}

#[divan::bench(args = [1_000_000, 3_000_000], sample_count = 5, sample_size = 1)]
fn few_repositories(bencher: Bencher, events: u64) {
    refresh(bencher, events, Spread::Few);
}

#[divan::bench(args = [1_000_000, 3_000_000], sample_count = 5, sample_size = 1)]
fn all_repositories(bencher: Bencher, events: u64) {
    refresh(bencher, events, Spread::All);
}

fn refresh(bencher: Bencher, events: u64, spread: Spread) {
    let month = std::cell::RefCell::new(MonthOnDisk::new(events, spread));
    bencher.with_inputs(|| month.borrow_mut().put_batch()).bench_local_values(|()| month.borrow().refresh());
}
