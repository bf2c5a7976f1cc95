//! Order and duplicates do not matter: any batches, split, shuffled and repeated, in any number of
//! aggregations, end in the same rows and byte-identical answers; a rebuild changes nothing.

use fastrand::Rng;
use gam_aggregate::aggregate;
use gam_model::{Event, EventBatch, Identity};
use proptest::prelude::*;

use crate::support::{ORG, World, answers, batches, bodies, other_identity, rows};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// The same events in other batches: shuffled, split, some of them twice.
fn recut(rng: &mut Rng, batches: &[EventBatch]) -> Vec<EventBatch> {
    let mut events: Vec<Event> = batches.iter().flat_map(|batch| batch.events().to_vec()).collect();
    for _ in 0..rng.usize(0..events.len()) {
        events.push(events[rng.usize(..events.len())].clone());
    }
    rng.shuffle(&mut events);
    let mut recut = Vec::new();
    while !events.is_empty() {
        let rest = events.split_off(rng.usize(1..4).min(events.len()));
        recut.push(EventBatch::new(ORG, std::mem::replace(&mut events, rest)));
    }
    recut
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_cut_in_any_number_of_runs_ends_alike(seed in any::<u64>(), is_configured in any::<bool>()) {
        block_on(async {
            let identity = if is_configured { other_identity() } else { Identity::default() };
            let rng = &mut Rng::with_seed(seed);
            let (facts, count) = (rng.u64(1..40), rng.usize(1..20));
            let whole = batches(rng, facts, count);
            let at_once = World::aggregated(&whole, identity.clone()).await;
            let piecemeal = World::default();
            let ports = piecemeal.ports_as(identity.clone());
            for batch in recut(rng, &whole) {
                piecemeal.put(&[batch]).await;
                if rng.bool() {
                    aggregate(&ports.aggregate, ORG, false, &()).await.unwrap();
                }
            }
            aggregate(&ports.aggregate, ORG, false, &()).await.unwrap();
            assert_eq!(rows(&at_once).await, rows(&piecemeal).await);
            let stored = bodies(&at_once).await;
            assert_eq!(stored, bodies(&piecemeal).await);
            let expected = answers(&at_once.ports_as(identity)).await;
            assert_eq!(expected, answers(&ports).await);

            aggregate(&ports.aggregate, ORG, true, &()).await.unwrap();
            assert_eq!(stored, bodies(&piecemeal).await, "a rebuild stores nothing else");
            assert_eq!(expected, answers(&ports).await, "a rebuild changes nothing");
        });
    }

    #[test]
    fn a_change_of_configuration_reaches_history_and_can_be_undone(seed in any::<u64>()) {
        block_on(async {
            let rng = &mut Rng::with_seed(seed);
            let whole = batches(rng, 30, 12);
            let world = World::aggregated(&whole, Identity::default()).await;
            let before = answers(&world.ports()).await;
            let fresh = World::aggregated(&whole, other_identity()).await;
            aggregate(&world.ports_as(other_identity()).aggregate, ORG, false, &()).await.unwrap();
            assert_eq!(
                answers(&fresh.ports_as(other_identity())).await,
                answers(&world.ports_as(other_identity())).await
            );
            aggregate(&world.ports().aggregate, ORG, false, &()).await.unwrap();
            assert_eq!(before, answers(&world.ports()).await);
        });
    }
}

#[tokio::test]
async fn a_second_aggregation_writes_nothing_and_keeps_every_generation() {
    let whole = batches(&mut Rng::with_seed(5), 30, 12);
    let world = World::aggregated(&whole, Identity::default()).await;
    world.put(&whole).await;
    let report = aggregate(&world.ports().aggregate, ORG, false, &()).await.unwrap();
    assert_eq!((report.batches > 0, report.rollups), (true, 0));
    let once = World::aggregated(&whole, Identity::default()).await;
    for month in gam_lake::snapshot::months(&*world.objects, ORG).await.unwrap() {
        let stamp = gam_lake::snapshot::read_stamp(&*world.objects, ORG, month).await.unwrap();
        assert_eq!(stamp, gam_lake::snapshot::read_stamp(&*once.objects, ORG, month).await.unwrap());
    }
}
