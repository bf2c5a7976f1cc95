//! Hosts that end: an aggregation that runs out of time stops between two steps, and the next one
//! goes on; one that looks at the inbox alone leaves other months as they are; one with little memory
//! leaves what is too large for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;
use gam_aggregate::{AggregateOptions, AggregatePorts, aggregate_with};
use gam_lake::{ObjectStore, paths};
use gam_model::{Clock, Identity};

use crate::support::{ORG, World, answers, batches, other_identity, rows};

/// A clock that goes on by a second whenever somebody looks.
#[derive(Default)]
struct Ticking(AtomicI64);

impl Ticking {
    fn start() -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000, 0).unwrap()
    }
}

impl Clock for Ticking {
    fn now(&self) -> DateTime<Utc> {
        Self::start() + TimeDelta::seconds(self.0.fetch_add(1, Ordering::SeqCst))
    }
}

#[tokio::test]
async fn runs_that_are_out_of_time_end_where_one_whole_run_ends() {
    let all = batches(&mut Rng::with_seed(7), 120, 9);
    let whole = World::aggregated(&all, Identity::default()).await;
    let (expected, expected_rows) = (answers(&whole.ports()).await, rows(&whole).await);
    for seconds in [2, 3, 5, 8, 13] {
        let world = World::default();
        world.put(&all).await;
        let mut rounds = 0;
        loop {
            rounds += 1;
            let ports = AggregatePorts { clock: Arc::new(Ticking::default()), ..world.ports().aggregate };
            let until = Some(Ticking::start() + TimeDelta::seconds(seconds * rounds));
            let options = AggregateOptions { until, chunk_bytes: 1, ..AggregateOptions::default() };
            let report = aggregate_with(&ports, ORG, &options, &()).await.unwrap();
            if !report.unfinished {
                break;
            }
        }
        assert!(rounds > 1, "{seconds} s are not enough for all of it");
        assert_eq!(answers(&world.ports()).await, expected, "{rounds} rounds");
        assert_eq!(rows(&world).await, expected_rows, "{rounds} rounds");
    }
}

#[tokio::test]
async fn no_time_at_all_changes_nothing() {
    let world = World::default();
    world.put(&batches(&mut Rng::with_seed(8), 30, 2)).await;
    let before = world.objects.list("").await.unwrap();
    let until = Some(DateTime::UNIX_EPOCH);
    let options = AggregateOptions { until, ..AggregateOptions::default() };
    let report = aggregate_with(&world.ports().aggregate, ORG, &options, &()).await.unwrap();
    assert!(report.unfinished && report.batches == 0);
    assert_eq!(world.objects.list("").await.unwrap(), before);
}

#[tokio::test]
async fn who_looks_at_the_inbox_alone_leaves_other_months_to_who_looks_at_all() {
    let all = batches(&mut Rng::with_seed(9), 60, 4);
    let world = World::aggregated(&all, Identity::default()).await;
    let before = answers(&world.ports()).await;
    let options = AggregateOptions { check_months: false, ..AggregateOptions::default() };
    let ports = world.ports_as(other_identity());
    let report = aggregate_with(&ports.aggregate, ORG, &options, &()).await.unwrap();
    assert!(report.months.is_empty() && !report.unfinished);
    assert_eq!(answers(&world.ports()).await, before);
    let report = aggregate_with(&ports.aggregate, ORG, &AggregateOptions::default(), &()).await.unwrap();
    assert!(!report.months.is_empty(), "bots and aliases are others now");
    let fresh = World::aggregated(&all, other_identity()).await;
    let expected = answers(&fresh.ports_as(other_identity())).await;
    assert_eq!(answers(&ports).await, expected);
}

#[tokio::test]
async fn what_is_too_large_to_be_a_batch_is_named_and_stays() {
    let all = batches(&mut Rng::with_seed(10), 30, 2);
    let world = World::default();
    world.put(&all).await;
    let path = paths::inbox(ORG, "0000");
    world.objects.put_if_absent(&path, Bytes::from(vec![0; 300 << 20]), &[]).await.unwrap();
    let options = AggregateOptions::default();
    let report = aggregate_with(&world.ports().aggregate, ORG, &options, &()).await.unwrap();
    assert_eq!(report.oversized, [(path.to_string(), 300 << 20)]);
    assert_eq!(report.batches, all.len());
    assert_eq!(world.objects.list(paths::inbox_root()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_host_with_little_memory_leaves_what_is_too_large_for_it_to_others() {
    let all = batches(&mut Rng::with_seed(11), 30, 4);
    let whole = World::aggregated(&all, Identity::default()).await;
    let world = World::default();
    world.put(&all).await;
    let listed = world.objects.list(paths::inbox_root()).await.unwrap();
    let largest = listed.iter().map(|batch| batch.size).max().unwrap();
    let too_large: Vec<(String, u64)> = listed
        .iter()
        .filter(|batch| batch.size == largest)
        .map(|batch| (batch.path.to_string(), batch.size))
        .collect();
    let options = AggregateOptions { largest_batch_bytes: largest - 1, ..AggregateOptions::default() };
    let report = aggregate_with(&world.ports().aggregate, ORG, &options, &()).await.unwrap();
    assert_eq!(report.oversized, too_large);
    assert_eq!(report.batches, listed.len() - too_large.len());
    let options = AggregateOptions { largest_batch_bytes: largest, ..options };
    let report = aggregate_with(&world.ports().aggregate, ORG, &options, &()).await.unwrap();
    assert!(report.oversized.is_empty(), "{:?}", report.oversized);
    assert_eq!(report.batches, too_large.len());
    assert_eq!(answers(&world.ports()).await, answers(&whole.ports()).await);
}
