//! The order of arrival does not matter.

use proptest::prelude::*;

use crate::support::{Hub, READY, Service, TestDelivery, label, user};

/// A recorded life of an issue. Two changes have the same second.
fn life() -> (std::sync::Arc<Hub>, Vec<TestDelivery>) {
    let hub = Hub::new();
    hub.open(1, 0);
    hub.add_label(1, 10, label(READY, "ready"), "maintainer");
    hub.change(1, 20, "assigned", serde_json::json!({ "assignee": user("ann") }), |issue| {
        issue["assignees"] = serde_json::json!([user("ann")]);
    });
    hub.edit(1, 20, "It fails often", "maintainer");
    hub.rename_label(READY, "agent-ready");
    hub.close(1, 40);
    let deliveries = hub.take_deliveries();
    (hub, deliveries)
}

async fn run(hub: &std::sync::Arc<Hub>, deliveries: &[TestDelivery], drain_every: usize) {
    let service = Service::new(hub);
    for (index, delivery) in deliveries.iter().enumerate() {
        service.receive(delivery).await;
        if index % drain_every == 0 {
            service.drain().await;
        }
        service.clock.advance(chrono::TimeDelta::milliseconds(7));
    }
    service.drain().await;
    service.check_equals(hub).await;
    let issue = service.issue(1).await;
    assert!(issue.is_vouched_by(READY), "the edit was a maintainer's: {issue:#?}");
    assert_eq!(service.marks().await, 5, "each delivery that concerns metrics counts once");
}

/// Calls `visit` with every permutation (Heap's algorithm).
fn permutations<T: Clone>(items: &mut [T], length: usize, visit: &mut impl FnMut(&[T])) {
    if length <= 1 {
        return visit(items);
    }
    for index in 0..length {
        permutations(items, length - 1, visit);
        items.swap(if length.is_multiple_of(2) { index } else { 0 }, length - 1);
    }
}

/// All 720 orders of the six deliveries, each delivered twice in a row.
#[test]
fn every_order_of_arrival_ends_in_the_state_of_github() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (hub, mut deliveries) = life();
    assert_eq!(deliveries.len(), 6);
    let (mut count, length) = (0, deliveries.len());
    permutations(&mut deliveries, length, &mut |order| {
        let doubled: Vec<TestDelivery> = order.iter().flat_map(|it| [it.clone(), it.clone()]).collect();
        runtime.block_on(run(&hub, &doubled, 1 + count % 3));
        count += 1;
    });
    assert_eq!(count, 720);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// The second copies come anywhere.
    #[test]
    fn doubled_deliveries_in_any_order_change_nothing(
        order in Just((0..12_usize).collect::<Vec<_>>()).prop_shuffle(),
        drain_every in 1_usize..6,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (hub, deliveries) = life();
        let shuffled: Vec<TestDelivery> = order.iter().map(|index| deliveries[index % 6].clone()).collect();
        runtime.block_on(run(&hub, &shuffled, drain_every));
    }

    /// What is lost is repaired by reconciling once.
    #[test]
    fn lost_deliveries_are_repaired_by_reconciling(lost in proptest::collection::vec(any::<bool>(), 6)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (hub, deliveries) = life();
        // Closed issues that the cache never knew are not read.
        hub.reopen(1, 50);
        runtime.block_on(async {
            let service = Service::new(&hub);
            for (delivery, _) in deliveries.iter().zip(&lost).filter(|(_, lost)| !**lost) {
                service.receive(delivery).await;
                service.drain().await;
            }
            service.processor.reconcile("Acme").await.unwrap();
            service.drain().await;
            service.check_equals(&hub).await;
        });
    }
}
