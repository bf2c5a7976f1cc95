//! The limits of an aggregation: the time limit, the months it checks, and the largest batch it reads.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;
use gam_aggregate::{AggregateObserver, AggregateOptions, AggregatePorts, AggregateProgress, aggregate_with};
use gam_lake::{Events, ObjectStore, paths, snapshot};
use gam_model::{Clock, EventBatch, Identity, Month};

use crate::support::{
    Gate, ORG, TestData, all_answers, day, other_identity, random_batches, random_version, snapshot_rows,
};

/// A clock that advances by a second each time it is read.
#[derive(Default)]
struct TickingClock(AtomicI64);

impl TickingClock {
    fn start() -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000, 0).unwrap()
    }
}

impl Clock for TickingClock {
    fn now(&self) -> DateTime<Utc> {
        Self::start() + TimeDelta::seconds(self.0.fetch_add(1, Ordering::SeqCst))
    }
}

#[tokio::test]
async fn runs_with_a_time_limit_end_like_one_full_run() {
    let batches = random_batches(&mut Rng::with_seed(7), 120, 9);
    let full = TestData::aggregated(&batches, Identity::default()).await;
    let (expected, expected_rows) = (all_answers(&full.ports().await).await, snapshot_rows(&full).await);
    for seconds in [2, 3, 5, 8, 13] {
        let data = TestData::default();
        data.put(&batches).await;
        let mut rounds = 0;
        loop {
            rounds += 1;
            let ports =
                AggregatePorts { clock: Arc::new(TickingClock::default()), ..data.ports().await.aggregate };
            let until = Some(TickingClock::start() + TimeDelta::seconds(seconds * rounds));
            let options = AggregateOptions { until, chunk_bytes: 1, ..AggregateOptions::default() };
            let report = aggregate_with(&ports, ORG, &options, &()).await.unwrap();
            if !report.unfinished {
                break;
            }
        }
        assert!(rounds > 1, "{seconds} s must not be enough for everything");
        assert_eq!(all_answers(&data.ports().await).await, expected, "{rounds} rounds");
        assert_eq!(snapshot_rows(&data).await, expected_rows, "{rounds} rounds");
    }
}

/// A batch of 10,000 events, of which a megabyte is merged at a time.
fn large_batch() -> (EventBatch, AggregateOptions) {
    let mut rng = Rng::with_seed(10);
    let events = (0..10_000).map(|n| random_version(&mut rng, n)).collect();
    let options = AggregateOptions { chunk_bytes: 1 << 20, ..AggregateOptions::default() };
    (EventBatch::new(ORG, events), options)
}

#[tokio::test]
async fn a_batch_larger_than_a_chunk_is_merged_in_steps() {
    let (batch, options) = large_batch();
    let batches = [batch];
    let at_once = TestData::aggregated(&batches, Identity::default()).await;
    let data = TestData::default();
    data.put(&batches).await;
    let report = aggregate_with(&data.ports().await.aggregate, ORG, &options, &()).await.unwrap();
    assert_eq!((report.batches, report.events), (1, 10_000));
    assert!(gam_lake::inbox::list::<Events>(&*data.objects, ORG).await.unwrap().is_empty());
    let month = *report.months.first().unwrap();
    let stamp = snapshot::read_stamp::<Events>(&*data.objects, ORG, month).await.unwrap().unwrap();
    assert!(stamp.generation > 1, "it was merged in several steps");
    assert_eq!(all_answers(&data.ports().await).await, all_answers(&at_once.ports().await).await);
    assert_eq!(snapshot_rows(&data).await, snapshot_rows(&at_once).await);
}

/// Notes the months whose rollups were written.
#[derive(Default)]
struct MonthRecorder(Mutex<Vec<Month>>);

impl AggregateObserver for MonthRecorder {
    fn notice(&self, progress: AggregateProgress) {
        if let AggregateProgress::MonthDone { month, .. } = progress {
            self.0.lock().unwrap().push(month);
        }
    }
}

#[tokio::test]
async fn retractions_of_a_large_batch_come_last() {
    let (batch, options) = large_batch();
    let mut events = batch.into_events();
    // The first half is in January and was true; the second half is new, in February.
    let half = events.len() / 2;
    for (index, event) in events.iter_mut().enumerate() {
        let date = if index < half { "2025-01-25" } else { "2025-02-05" };
        event.occurred_at = day(date).and_time(event.occurred_at.time()).and_utc();
        event.retracted = false;
    }
    let data =
        TestData::aggregated(&[EventBatch::new(ORG, events[..half].to_vec())], Identity::default()).await;
    for event in &mut events[..half] {
        (event.retracted, event.version) = (true, event.version + 1);
    }
    data.put(&[EventBatch::new(ORG, events)]).await;
    let months = MonthRecorder::default();
    aggregate_with(&data.ports().await.aggregate, ORG, &options, &months).await.unwrap();
    let months: Vec<String> = months.0.into_inner().unwrap().iter().map(Month::to_string).collect();
    assert!(months.len() > 2, "{months:?}");
    assert!(months.iter().rev().is_sorted() && months.contains(&"2025-01".to_owned()), "{months:?}");
}

#[tokio::test]
async fn nothing_of_a_damaged_large_batch_is_merged() {
    let (batch, options) = large_batch();
    let mut events = batch.into_events();
    events.last_mut().unwrap().org = "other".to_owned();
    let data = TestData::default();
    gam_lake::inbox::put_rows::<Events>(&*data.objects, ORG, "ab", &events).await.unwrap();
    let report = aggregate_with(&data.ports().await.aggregate, ORG, &options, &()).await.unwrap();
    assert_eq!((report.rejected.len(), report.events), (1, 0));
    assert!(snapshot::months::<Events>(&*data.objects, ORG).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_time_limit_in_the_past_changes_nothing() {
    let data = TestData::default();
    data.put(&random_batches(&mut Rng::with_seed(8), 30, 2)).await;
    let before = data.objects.list("").await.unwrap();
    let until = Some(DateTime::UNIX_EPOCH);
    let options = AggregateOptions { until, ..AggregateOptions::default() };
    let report = aggregate_with(&data.ports().await.aggregate, ORG, &options, &()).await.unwrap();
    assert!(report.unfinished && report.batches == 0);
    assert_eq!(data.objects.list("").await.unwrap(), before);
}

#[tokio::test]
async fn without_check_months_only_inbox_months_change() {
    let batches = random_batches(&mut Rng::with_seed(9), 60, 4);
    let data = TestData::aggregated(&batches, Identity::default()).await;
    let before = all_answers(&data.ports().await).await;
    let options = AggregateOptions { check_months: false, ..AggregateOptions::default() };
    let ports = data.ports_with(other_identity()).await;
    let report = aggregate_with(&ports.aggregate, ORG, &options, &()).await.unwrap();
    assert!(report.months.is_empty() && report.unfinished, "a run that checks all months must follow");
    let old_rules = data.unconfigured_ports(Identity::default());
    assert_eq!(
        all_answers(&old_rules).await,
        before,
        "answers derive from the old rules until all months are folded"
    );
    let report = aggregate_with(&ports.aggregate, ORG, &AggregateOptions::default(), &()).await.unwrap();
    assert!(!report.months.is_empty(), "bots and aliases have changed");
    let fresh = TestData::aggregated(&batches, other_identity()).await;
    let expected = all_answers(&fresh.ports_with(other_identity()).await).await;
    assert_eq!(all_answers(&ports).await, expected);
}

#[tokio::test]
async fn an_oversized_object_is_reported_and_stays() {
    let batches = random_batches(&mut Rng::with_seed(10), 30, 2);
    let data = TestData::default();
    data.put(&batches).await;
    let path = paths::inbox::<Events>(ORG, "0000");
    data.objects.put_if_absent(&path, Bytes::from(vec![0; 300 << 20]), &[]).await.unwrap();
    let options = AggregateOptions::default();
    let report = aggregate_with(&data.ports().await.aggregate, ORG, &options, &()).await.unwrap();
    assert_eq!(report.oversized, [(path.to_string(), 300 << 20)]);
    assert_eq!(report.batches, batches.len());
    assert_eq!(data.objects.list(&paths::inbox_root::<Events>()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_host_with_a_higher_limit_processes_oversized_batches() {
    let batches = random_batches(&mut Rng::with_seed(11), 30, 4);
    let full = TestData::aggregated(&batches, Identity::default()).await;
    let data = TestData::default();
    data.put(&batches).await;
    let listed = data.objects.list(&paths::inbox_root::<Events>()).await.unwrap();
    let largest = listed.iter().map(|batch| batch.size).max().unwrap();
    let oversized: Vec<(String, u64)> = listed
        .iter()
        .filter(|batch| batch.size == largest)
        .map(|batch| (batch.path.to_string(), batch.size))
        .collect();
    let options = AggregateOptions { max_batch_bytes: largest - 1, ..AggregateOptions::default() };
    let report = aggregate_with(&data.ports().await.aggregate, ORG, &options, &()).await.unwrap();
    assert_eq!(report.oversized, oversized);
    assert_eq!(report.batches, listed.len() - oversized.len());
    let options = AggregateOptions { max_batch_bytes: largest, ..options };
    let report = aggregate_with(&data.ports().await.aggregate, ORG, &options, &()).await.unwrap();
    assert!(report.oversized.is_empty(), "{:?}", report.oversized);
    assert_eq!(report.batches, oversized.len());
    assert_eq!(all_answers(&data.ports().await).await, all_answers(&full.ports().await).await);
}

/// Counts the calls to the lake and the store by name.
#[derive(Default)]
struct CallCounter(Mutex<BTreeMap<String, usize>>);

#[async_trait]
impl Gate for CallCounter {
    async fn pass(&self, call: &str) -> Result<(), std::io::Error> {
        *self.0.lock().unwrap().entry(call.to_owned()).or_default() += 1;
        Ok(())
    }
}

#[tokio::test]
async fn a_run_without_changes_reads_the_footers_of_snapshots_only() {
    let data =
        TestData::aggregated(&random_batches(&mut Rng::with_seed(9), 120, 9), Identity::default()).await;
    let months = snapshot::months::<Events>(&*data.objects, ORG).await.unwrap().len();
    assert!(months > 1);
    let calls = Arc::new(CallCounter::default());
    let ports = data.gated(Identity::default(), calls.clone()).await;
    aggregate_with(&ports.aggregate, ORG, &AggregateOptions::default(), &()).await.unwrap();
    let calls = calls.0.lock().unwrap();
    let count = |call: &str| calls.get(call).copied().unwrap_or_default();
    assert_eq!(count("get_tail"), months, "{calls:?}");
    // The configuration, and of each of two tables the inbox and the months, but nothing for each month.
    assert!(count("get") <= 2 && count("list") <= 7, "{calls:?}");
    assert!(count("markers") <= 2 && count("marker") == 0 && count("load") <= 6, "{calls:?}");
    assert!(calls.keys().all(|call| !call.starts_with("put")), "{calls:?}");
}
