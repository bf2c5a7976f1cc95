//! Order and duplicates do not matter. However events are split into batches, shuffled, repeated and
//! aggregated, the rows and the answers are the same, byte for byte.

use fastrand::Rng;
use gam_aggregate::aggregate;
use gam_model::{Event, EventBatch, Identity};
use proptest::prelude::*;

use crate::support::{
    ORG, TestData, all_answers, other_identity, random_batches, snapshot_rows, stored_items,
};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// Returns the same events in other batches: shuffled, split, and some of them twice.
fn rebatch(rng: &mut Rng, batches: &[EventBatch]) -> Vec<EventBatch> {
    let mut events: Vec<Event> = batches.iter().flat_map(|batch| batch.events().to_vec()).collect();
    for _ in 0..rng.usize(0..events.len()) {
        events.push(events[rng.usize(..events.len())].clone());
    }
    rng.shuffle(&mut events);
    let mut rebatched = Vec::new();
    while !events.is_empty() {
        let rest = events.split_off(rng.usize(1..4).min(events.len()));
        rebatched.push(EventBatch::new(ORG, std::mem::replace(&mut events, rest)));
    }
    rebatched
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_split_and_any_number_of_runs_gives_one_result(seed in any::<u64>(), is_configured in any::<bool>()) {
        block_on(async {
            let identity = if is_configured { other_identity() } else { Identity::default() };
            let rng = &mut Rng::with_seed(seed);
            let (events, count) = (rng.u64(1..40), rng.usize(1..20));
            let batches = random_batches(rng, events, count);
            let at_once = TestData::aggregated(&batches, identity.clone()).await;
            let in_parts = TestData::default();
            let ports = in_parts.ports_with(identity.clone()).await;
            for batch in rebatch(rng, &batches) {
                in_parts.put(&[batch]).await;
                if rng.bool() {
                    aggregate(&ports.aggregate, ORG, false, &()).await.unwrap();
                }
            }
            aggregate(&ports.aggregate, ORG, false, &()).await.unwrap();
            assert_eq!(snapshot_rows(&at_once).await, snapshot_rows(&in_parts).await);
            let stored = stored_items(&at_once).await;
            assert_eq!(stored, stored_items(&in_parts).await);
            let expected = all_answers(&at_once.ports_with(identity).await).await;
            assert_eq!(expected, all_answers(&ports).await);

            aggregate(&ports.aggregate, ORG, true, &()).await.unwrap();
            assert_eq!(stored, stored_items(&in_parts).await, "a rebuild stores the same rollups");
            assert_eq!(expected, all_answers(&ports).await, "a rebuild changes no answer");
        });
    }

    #[test]
    fn a_new_configuration_applies_to_history_and_can_be_undone(seed in any::<u64>()) {
        block_on(async {
            let rng = &mut Rng::with_seed(seed);
            let batches = random_batches(rng, 30, 12);
            let data = TestData::aggregated(&batches, Identity::default()).await;
            let before = all_answers(&data.ports().await).await;
            let fresh = TestData::aggregated(&batches, other_identity()).await;
            aggregate(&data.ports_with(other_identity()).await.aggregate, ORG, false, &()).await.unwrap();
            assert_eq!(
                all_answers(&fresh.ports_with(other_identity()).await).await,
                all_answers(&data.ports_with(other_identity()).await).await
            );
            aggregate(&data.ports().await.aggregate, ORG, false, &()).await.unwrap();
            assert_eq!(before, all_answers(&data.ports().await).await);
        });
    }
}

#[tokio::test]
async fn aggregating_the_same_batches_again_writes_nothing() {
    let batches = random_batches(&mut Rng::with_seed(5), 30, 12);
    let data = TestData::aggregated(&batches, Identity::default()).await;
    data.put(&batches).await;
    let report = aggregate(&data.ports().await.aggregate, ORG, false, &()).await.unwrap();
    assert_eq!((report.batches > 0, report.rollups), (true, 0));
    let once = TestData::aggregated(&batches, Identity::default()).await;
    for month in gam_lake::snapshot::months::<gam_lake::Events>(&*data.objects, ORG).await.unwrap() {
        let stamp =
            gam_lake::snapshot::read_stamp::<gam_lake::Events>(&*data.objects, ORG, month).await.unwrap();
        assert_eq!(
            stamp,
            gam_lake::snapshot::read_stamp::<gam_lake::Events>(&*once.objects, ORG, month).await.unwrap()
        );
    }
}
