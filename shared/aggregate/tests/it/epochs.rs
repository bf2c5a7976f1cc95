//! Epochs: rules that fold alike, stores that are lost, months that are lost, and what is left of old epochs.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::TimeDelta;
use fastrand::Rng;
use gam_aggregate::{AggregateObserver, AggregateProgress, aggregate};
use gam_lake::{ObjectStore, configuration, inbox};
use gam_model::configuration::Configuration;
use gam_model::{Identity, Month};
use gam_query::QueryError;
use gam_store::{Epoch, ItemKey, RollupStore};
use tokio::sync::Mutex;

use crate::support::{
    Gate, ORG, TestData, active_epoch, all_answers, day, other_identity, random_batches, snapshot_rows,
    stored_items,
};

async fn aggregated(seed: u64) -> TestData {
    TestData::aggregated(&random_batches(&mut Rng::with_seed(seed), 20, 5), Identity::default()).await
}

async fn run(data: &TestData) -> gam_aggregate::AggregateReport {
    let ports = data.unconfigured_ports(Identity::default());
    aggregate(&ports.aggregate, ORG, false, &()).await.unwrap()
}

#[tokio::test]
async fn a_revision_that_folds_alike_recounts_nothing() {
    let data = aggregated(1).await;
    let before = stored_items(&data).await;
    let workflows =
        Configuration { deploy_workflows: vec!["deploy.yml".to_owned()], ..Configuration::default() };
    configuration::add(&*data.objects, ORG, 0, &workflows, chrono::DateTime::UNIX_EPOCH).await.unwrap();
    let report = run(&data).await;
    assert_eq!((report.months, active_epoch(&data).await), (BTreeSet::new(), Epoch(1)));
    assert_eq!(stored_items(&data).await, before);
}

#[tokio::test]
async fn an_old_epoch_is_deleted_after_a_while() {
    let data = aggregated(2).await;
    let expected = aggregated(2).await;
    data.configure(&other_identity()).await;
    run(&data).await;
    assert_eq!(active_epoch(&data).await, Epoch(2));
    data.clock.advance(TimeDelta::minutes(14));
    run(&data).await;
    assert!(!data.store.markers(ORG, Epoch(1)).await.unwrap().is_empty(), "somebody may still read it");
    data.clock.advance(TimeDelta::minutes(1));
    run(&data).await;
    assert_eq!(data.store.markers(ORG, Epoch(1)).await.unwrap(), []);
    assert_eq!(data.store.item_count(ORG, Epoch(1)), 0, "nothing is left of it");
    data.configure(&Identity::default()).await;
    run(&data).await;
    assert_eq!(active_epoch(&data).await, Epoch(3), "a number is used once");
    assert_eq!(stored_items(&data).await, stored_items(&expected).await);
}

#[tokio::test]
async fn a_lost_month_keeps_its_numbers_under_new_rules() {
    let data = aggregated(3).await;
    let january = Month::parse("2025-01").unwrap();
    let before = stored_items(&data).await;
    let path = gam_lake::paths::snapshot::<gam_lake::Events>(ORG, january);
    data.objects.delete(&path).await.unwrap();
    data.configure(&other_identity()).await;
    let report = run(&data).await;
    assert_eq!(report.lost_months, BTreeSet::from([january]));
    assert_eq!(active_epoch(&data).await, Epoch(2), "one lost month does not hold back new rules");
    let of_january = |items: Vec<(gam_store::ItemKey, Vec<u8>)>| {
        items.into_iter().filter(|(key, _)| key.month == january).collect::<Vec<_>>()
    };
    assert_eq!(of_january(stored_items(&data).await), of_january(before));
}

/// Collects what an aggregation reports.
#[derive(Default)]
struct Progress(std::sync::Mutex<Vec<AggregateProgress>>);

impl AggregateObserver for Progress {
    fn notice(&self, progress: AggregateProgress) {
        self.0.lock().unwrap().push(progress);
    }
}

/// Asks for the organization's overview before each call.
struct QueryAtEachCall {
    data: TestData,
    answers: Mutex<Vec<Option<String>>>,
}

#[async_trait::async_trait]
impl Gate for QueryAtEachCall {
    async fn pass(&self, _: &str) -> Result<(), std::io::Error> {
        let ports = self.data.unconfigured_ports(Identity::default());
        let subject = gam_query::SubjectRef::Org;
        let range = gam_model::Range::new(day("2025-01-01"), day("2025-03-01")).unwrap();
        let answer =
            gam_query::metrics(&ports.query, ORG, &subject, range, gam_query::BotFilter::Include).await;
        self.answers.lock().await.push(match answer {
            Ok(answer) => Some(serde_json::to_string(&answer).unwrap()),
            Err(QueryError::NotFound(_) | QueryError::NotComputed(_)) => None,
            Err(error) => panic!("{error}"),
        });
        Ok(())
    }
}

#[tokio::test]
async fn a_lost_store_answers_nothing_until_it_is_complete() {
    let data = aggregated(4).await;
    let expected = all_answers(&data.ports().await).await;
    let lost = TestData { objects: data.objects.clone(), ..TestData::default() };
    let gate = Arc::new(QueryAtEachCall { data: lost.clone(), answers: Mutex::default() });
    let progress = Progress::default();
    let ports = lost.gated(Identity::default(), gate.clone()).await;
    aggregate(&ports.aggregate, ORG, false, &progress).await.unwrap();
    assert!(matches!(progress.0.into_inner().unwrap()[0], AggregateProgress::StoreIsNew { months: 2, .. }));
    assert_eq!(all_answers(&lost.ports().await).await, expected);
    let answers: BTreeSet<String> = gate.answers.lock().await.iter().flatten().cloned().collect();
    assert!(answers.len() <= 1, "no answer derives from a part of the months: {answers:?}");
    assert_eq!(active_epoch(&lost).await, Epoch(1), "the new store goes on with the epoch of the snapshots");
    assert!(!snapshot_rows(&lost).await.is_empty());
}

#[tokio::test]
async fn two_stores_over_one_lake_end_alike() {
    let data = aggregated(5).await;
    let other = TestData { objects: data.objects.clone(), ..TestData::default() };
    run(&other).await;
    assert_eq!(active_epoch(&other).await, Epoch(1));
    // The second store folds under other rules: its snapshots belong to an epoch that the first does not know.
    data.configure(&other_identity()).await;
    run(&other).await;
    assert_eq!(active_epoch(&other).await, Epoch(2));
    run(&data).await;
    assert_eq!(stored_items(&other).await, stored_items(&data).await);
    let epochs = [active_epoch(&data).await, active_epoch(&other).await];
    assert_eq!(epochs, [Epoch(2), Epoch(2)], "both have set the same rules");
}

#[tokio::test]
async fn a_lost_month_that_is_restored_is_folded_by_the_new_rules() {
    let data = aggregated(3).await;
    let january = Month::parse("2025-01").unwrap();
    let path = gam_lake::paths::snapshot::<gam_lake::Events>(ORG, january);
    let snapshot = ObjectStore::get(&*data.objects, &path).await.unwrap().unwrap();
    data.objects.delete(&path).await.unwrap();
    data.configure(&other_identity()).await;
    run(&data).await;
    data.objects.put_if_absent(&path, snapshot.bytes, &[]).await.unwrap();
    let report = run(&data).await;
    assert!(report.lost_months.is_empty());
    let fresh = TestData::aggregated(&random_batches(&mut Rng::with_seed(3), 20, 5), other_identity()).await;
    assert_eq!(stored_items(&data).await, stored_items(&fresh).await);
}

#[tokio::test]
async fn a_batch_of_a_lost_month_does_not_look_like_a_restored_snapshot() {
    let data = aggregated(3).await;
    let january = Month::parse("2025-01").unwrap();
    data.objects.delete(&gam_lake::paths::snapshot::<gam_lake::Events>(ORG, january)).await.unwrap();
    data.configure(&other_identity()).await;
    data.put(&random_batches(&mut Rng::with_seed(30), 20, 2)).await;
    for _ in 0..3 {
        let report = run(&data).await;
        assert_eq!(report.lost_months, BTreeSet::from([january]), "until it is read again");
    }
}

#[tokio::test]
async fn an_epoch_of_unreadable_lists_is_deleted() {
    let data = aggregated(2).await;
    let january = Month::parse("2025-01").unwrap();
    let key = gam_store::ItemKey::new(gam_store::ItemClass::List(gam_store::SubjectKind::Member), january);
    let unreadable = gam_store::StoredItem { generation: 99, body: vec![250, 1, 2, 3] };
    data.store.put(ORG, Epoch(1), &[(key, unreadable)]).await.unwrap();
    data.configure(&other_identity()).await;
    run(&data).await;
    data.clock.advance(TimeDelta::minutes(15));
    run(&data).await;
    assert_eq!(data.store.item_count(ORG, Epoch(1)), 0, "items are found without their lists");
    assert_eq!(data.store.markers(ORG, Epoch(1)).await.unwrap(), []);
    assert_eq!(active_epoch(&data).await, Epoch(2));
}

/// Replaces the snapshot of January by a file that is no snapshot.
async fn damage_january(data: &TestData) -> Month {
    let january = Month::parse("2025-01").unwrap();
    let path = gam_lake::paths::snapshot::<gam_lake::Events>(ORG, january);
    data.objects.delete(&path).await.unwrap();
    data.objects.put_if_absent(&path, bytes::Bytes::from_static(b"no Parquet"), &[]).await.unwrap();
    january
}

/// Returns the marker of February in an epoch.
async fn february(data: &TestData, epoch: u64) -> Option<u64> {
    let february = Month::parse("2025-02").unwrap();
    let marker = data.store.marker(ORG, Epoch(epoch), february).await.unwrap();
    marker.map(|marker| marker.generation)
}

#[tokio::test]
async fn a_damaged_month_keeps_its_numbers_under_new_rules() {
    let data = aggregated(2).await;
    let january = damage_january(&data).await;
    let before = items_of(&data, january).await;
    data.configure(&other_identity()).await;
    let ports = data.unconfigured_ports(Identity::default());
    let error = aggregate(&ports.aggregate, ORG, false, &()).await.unwrap_err();
    assert!(error.to_string().contains("month=2025-01/snapshot.parquet"), "{error}");
    assert!(february(&data, 2).await.is_some(), "it is folded");
    assert_eq!(active_epoch(&data).await, Epoch(2));
    assert_eq!(items_of(&data, january).await, before);
}

#[tokio::test]
async fn batches_of_a_damaged_month_stay_and_those_of_other_months_count() {
    let data = aggregated(2).await;
    let before = february(&data, 1).await;
    damage_january(&data).await;
    // Its events are in both months.
    data.put(&random_batches(&mut Rng::with_seed(77), 20, 1)).await;
    let ports = data.unconfigured_ports(Identity::default());
    assert!(aggregate(&ports.aggregate, ORG, false, &()).await.is_err());
    assert!(february(&data, 1).await > before, "it has the new events");
    assert_eq!(inbox::list::<gam_lake::Events>(&*data.objects, ORG).await.unwrap().len(), 1);
}

/// Returns the bodies of a month's items in the active epoch.
async fn items_of(data: &TestData, month: Month) -> Vec<(ItemKey, Vec<u8>)> {
    let items = stored_items(data).await;
    items.into_iter().filter(|(key, _)| key.month == month).collect()
}
