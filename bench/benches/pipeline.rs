//! Measures the steps from Parquet to answers on generated months: `cargo bench -p gam-bench`, or one step with
//! `cargo bench -p gam-bench -- fold`. divan prints events or requests a second. Every step uses one core.

use std::sync::{Arc, LazyLock};

use arrow_array::RecordBatch;
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use gam_aggregate::{AggregatePorts, aggregate};
use gam_bench::{LakeGenerator, LakeShape, current_stamp};
use gam_http::Router;
use gam_lake::schema::decode;
use gam_lake::{Events, MemoryObjects, Table as _, snapshot};
use gam_model::metric::CATALOGUE;
use gam_model::{Event, Grain, Identity, Month, OrgRegistry, Range, SystemClock};
use gam_query::{BotFilter, QueryPorts, SubjectRef};
use gam_store::MemoryStore;
use http::Request;
use http_body_util::BodyExt as _;
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

const ORG: &str = "octo-bench";
/// The number of events of the month that is decoded, merged and folded.
const MONTH_EVENTS: u64 = 200_000;
/// The number of events that are merged into the month.
const MERGED_EVENTS: usize = 1_000;
/// The number of events of the year that queries read, in twelve months.
const YEAR_EVENTS: u64 = 60_000;

fn main() {
    divan::main();
}

fn generator(events: u64, months: usize) -> LakeGenerator {
    let last_month = Month::parse("2025-12").expect("a month");
    let shape = LakeShape { org: ORG.into(), events, months, last_month, repos: 200, members: 500, seed: 1 };
    LakeGenerator::new(&shape).expect("enough events")
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime")
}

/// A month, and its rows.
static MONTH: LazyLock<(Month, Vec<RecordBatch>)> = LazyLock::new(|| {
    let generator = generator(MONTH_EVENTS, 1);
    (generator.months()[0], generator.month(0).expect("a month"))
});

/// Writes the months to a lake in memory.
fn lake(runtime: &Runtime, months: &[(Month, Vec<RecordBatch>)]) -> Arc<MemoryObjects> {
    let objects = Arc::new(MemoryObjects::new());
    for (month, batches) in months {
        let stamp = current_stamp();
        let written = snapshot::write::<Events>(&*objects, ORG, *month, batches, &stamp, None);
        runtime.block_on(written).expect("memory does not fail");
    }
    objects
}

#[divan::bench(sample_count = 10)]
fn generate(bencher: Bencher) {
    let generator = generator(MONTH_EVENTS, 1);
    bencher.counter(ItemsCount::new(MONTH_EVENTS)).bench_local(|| generator.month(black_box(0)));
}

#[divan::bench(sample_count = 10)]
fn write_snapshot(bencher: Bencher) {
    let runtime = runtime();
    bencher
        .counter(ItemsCount::new(MONTH_EVENTS))
        .bench_local(|| lake(&runtime, std::slice::from_ref(black_box(&*MONTH))));
}

#[divan::bench(sample_count = 20)]
fn decode_snapshot(bencher: Bencher) {
    let runtime = runtime();
    let objects = lake(&runtime, std::slice::from_ref(&*MONTH));
    bencher
        .counter(ItemsCount::new(MONTH_EVENTS))
        .bench_local(|| runtime.block_on(snapshot::read::<Events>(&*objects, ORG, MONTH.0)));
}

/// New events, and newer versions of present ones, half each.
fn changes(batches: &[RecordBatch]) -> Vec<Event> {
    let step = MONTH_EVENTS as usize / MERGED_EVENTS;
    let events = batches.iter().flat_map(|batch| decode(batch).expect("events"));
    let every_other = |(index, event): (usize, Event)| {
        if index % 2 == 0 {
            Event { version: event.version + 10, ..event }
        } else {
            let id = gam_model::EventId::review(index as i64);
            Event { id, ..event }
        }
    };
    events.step_by(step).enumerate().map(every_other).collect()
}

#[divan::bench(sample_count = 20)]
fn merge(bencher: Bencher) {
    let runtime = runtime();
    let objects = lake(&runtime, std::slice::from_ref(&*MONTH));
    let file = runtime.block_on(snapshot::fetch::<Events>(&*objects, ORG, MONTH.0));
    let file = file.expect("memory does not fail").expect("a snapshot");
    let winners = Events::winners(changes(&MONTH.1));
    bencher
        .counter(ItemsCount::new(MONTH_EVENTS))
        .bench_local(|| snapshot::merge::<Events>(Some(&file.rows), black_box(&winners), &current_stamp()));
}

#[divan::bench(sample_count = 20)]
fn fold(bencher: Bencher) {
    let (month, batches) = &*MONTH;
    let identity = Identity::default();
    bencher
        .counter(ItemsCount::new(MONTH_EVENTS))
        .bench_local(|| gam_fold::fold(*month, black_box(batches), &identity));
}

/// The rollups of a year in memory, and what reads them.
struct Year {
    runtime: Runtime,
    ports: QueryPorts,
    router: Router,
}

static YEAR: LazyLock<Year> = LazyLock::new(Year::new);

impl Year {
    fn new() -> Self {
        let runtime = runtime();
        let generator = generator(YEAR_EVENTS, 12);
        let months = generator.months().into_iter().enumerate();
        let months: Vec<_> =
            months.map(|(index, month)| (month, generator.month(index).expect("a month"))).collect();
        let store = Arc::new(MemoryStore::default());
        let clock = Arc::new(SystemClock);
        let aggregate_ports = AggregatePorts {
            objects: lake(&runtime, &months),
            rollups: store.clone(),
            names: store.clone(),
            checkpoints: store.clone(),
            clock: clock.clone(),
        };
        runtime.block_on(aggregate(&aggregate_ports, ORG, true, &())).expect("memory does not fail");
        let ports = QueryPorts {
            rollups: store.clone(),
            names: store.clone(),
            checkpoints: store,
            clock,
            identities: Arc::new(Identity::default()),
            registry: Arc::new(OrgRegistry::default()),
        };
        let router = gam_http::router(ports.clone());
        Year { runtime, ports, router }
    }

    fn get(&self, path: &str) -> usize {
        let request = Request::get(path).body(String::new()).expect("a request");
        let answer = async {
            let response = self.router.clone().oneshot(request).await.expect("the router always answers");
            assert!(response.status().is_success(), "{path}: {}", response.status());
            response.into_body().collect().await.expect("a body").to_bytes().len()
        };
        self.runtime.block_on(answer)
    }
}

#[divan::bench]
fn query_series(bencher: Bencher) {
    let year = &*YEAR;
    let first_day = Month::parse("2025-01").expect("a month").first_day();
    let range = Range::new(first_day, Month::parse("2025-12").expect("a month").end()).expect("a range");
    let metric = &CATALOGUE[0];
    let bots = BotFilter::default();
    bencher.bench_local(|| {
        let series =
            gam_query::series(&year.ports, ORG, &SubjectRef::Org, metric, Grain::Day, black_box(range), bots);
        year.runtime.block_on(series).expect("an answer")
    });
}

#[divan::bench(args = [
    "/api/v1/orgs/octo-bench/metrics?since=2025-01-01&until=2026-01-01",
    "/api/v1/orgs/octo-bench/metrics/timeseries?metric=commits&granularity=day&since=2025-01-01&until=2026-01-01",
    "/api/v1/orgs/octo-bench/members?since=2025-01-01&until=2026-01-01",
])]
fn router(bencher: Bencher, path: &str) {
    let year = &*YEAR;
    bencher.counter(ItemsCount::new(1u64)).bench_local(|| year.get(black_box(path)));
}
