//! What a drain writes.

use std::sync::Arc;

use chrono::TimeDelta;
use gam_access::{RefusalLog, RouteClass};
use gam_audit::{DrainReport, current_head, drain, log_configurations, verify};
use gam_lake::audit::{self, MAX_SEGMENT_ROWS};
use gam_model::Clock as _;
use gam_model::configuration::Configuration;

use super::support::{ORG, World, ids};

#[tokio::test]
async fn rows_become_segments_that_follow_from_each_other() {
    let world = World::new();
    assert_eq!(drain(&world.ports(), Some(ORG)).await.unwrap(), DrainReport::default());
    assert_eq!(audit::logs(&*world.objects).await.unwrap(), Vec::<String>::new(), "nothing to write");
    world.add_rows(0..3).await;
    world.add_row(None, 100, world.clock.now()).await;
    assert_eq!(drain(&world.ports(), Some(ORG)).await.unwrap(), DrainReport { segments: 1, rows: 3 });
    world.add_rows(3..5).await;
    drain(&world.ports(), Some(ORG)).await.unwrap();
    drain(&world.ports(), None).await.unwrap();
    assert_eq!(audit::logs(&*world.objects).await.unwrap(), ["_", "acme"]);
    let [one, two] = [1, 2].map(|number| audit::read(&*world.objects, ORG, number));
    let (one, two) = (one.await.unwrap().unwrap(), two.await.unwrap().unwrap());
    assert_eq!(two.previous, one.hash);
    let head = current_head(&world.ports(), Some(ORG)).await.unwrap().unwrap();
    assert_eq!((head.number, head.hash), (2, two.hash));
    assert_eq!(world.logged(Some(ORG)).await, ids(0..5));
    assert_eq!(world.logged(None).await, ids([100]));
}

#[tokio::test]
async fn many_rows_become_several_segments() {
    let world = World::new();
    let count = MAX_SEGMENT_ROWS as u32 + 10;
    world.add_rows(0..count).await;
    let report = drain(&world.ports(), Some(ORG)).await.unwrap();
    assert_eq!(report, DrainReport { segments: 2, rows: u64::from(count) });
    assert_eq!(world.undrained().await, 0);
    let mut logged = world.logged(Some(ORG)).await;
    logged.sort();
    logged.dedup();
    assert_eq!(logged.len(), count as usize);
}

#[tokio::test]
async fn a_clock_that_goes_back_loses_nothing() {
    let world = World::new();
    world.add_rows(0..2).await;
    drain(&world.ports(), Some(ORG)).await.unwrap();
    world.clock.advance(TimeDelta::days(-400));
    world.add_rows(2..4).await;
    drain(&world.ports(), Some(ORG)).await.unwrap();
    assert_eq!(world.logged(Some(ORG)).await, ids(0..4), "the order of the log is that of the drains");
    assert_eq!(verify(&*world.objects, ORG, &[]).await.unwrap().faults, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drains_at_once_write_each_row_once() {
    for round in 0..20 {
        let world = Arc::new(World::new());
        world.add_rows(0..150).await;
        let drains: Vec<_> = (0..4)
            .map(|_| {
                let ports = world.ports();
                tokio::spawn(async move {
                    drain(&ports, Some(ORG)).await.unwrap();
                })
            })
            .collect();
        world.add_rows(150..170).await;
        for running in drains {
            running.await.unwrap();
        }
        drain(&world.ports(), Some(ORG)).await.unwrap();
        let mut logged = world.logged(Some(ORG)).await;
        logged.sort();
        let mut expected = ids(0..170);
        expected.sort();
        assert_eq!(logged, expected, "round {round}");
        assert_eq!(verify(&*world.objects, ORG, &[]).await.unwrap().faults, []);
    }
}

#[tokio::test]
async fn a_row_that_grows_waits_until_nobody_adds_to_it() {
    let world = World::new();
    let refusals = RefusalLog::new(world.store.clone(), world.clock.clone());
    refusals.count(None, RouteClass::Read).await.unwrap();
    drain(&world.ports(), None).await.unwrap();
    assert_eq!(world.logged(None).await, Vec::<String>::new());
    world.clock.advance(TimeDelta::minutes(30));
    refusals.count(None, RouteClass::Read).await.unwrap();
    world.clock.advance(TimeDelta::minutes(41));
    drain(&world.ports(), None).await.unwrap();
    let segment = audit::read(&*world.objects, "_", 1).await.unwrap().unwrap();
    assert_eq!(segment.entries.len(), 1);
    assert_eq!((segment.entries[0].count, segment.entries[0].kind.as_str()), (Some(2), "requests_refused"));
}

#[tokio::test]
async fn each_revision_of_a_configuration_has_one_row() {
    let world = World::new();
    let set = async |bots: &str, latest: u32| {
        let configuration = Configuration::parse_stored(&format!("bots = [{bots:?}]")).unwrap();
        gam_lake::configuration::add(&*world.objects, ORG, latest, &configuration, world.clock.now())
            .await
            .unwrap()
    };
    assert_eq!(log_configurations(&world.ports(), ORG, "local").await.unwrap(), 0);
    // The process was killed between the first revision and its row.
    set("a", 0).await;
    set("b", 1).await;
    assert_eq!(log_configurations(&world.ports(), ORG, "local").await.unwrap(), 2);
    assert_eq!(log_configurations(&world.ports(), ORG, "local").await.unwrap(), 0);
    drain(&world.ports(), Some(ORG)).await.unwrap();
    assert_eq!(log_configurations(&world.ports(), ORG, "local").await.unwrap(), 0);
    let segment = audit::read(&*world.objects, ORG, 1).await.unwrap().unwrap();
    let mut rows: Vec<_> = segment
        .entries
        .iter()
        .map(|entry| (entry.subject.as_str(), entry.principal.as_str(), entry.kind.as_str()))
        .collect();
    rows.sort();
    assert_eq!(
        rows,
        [
            ("configuration revision 1", "unknown", "config_set"),
            ("configuration revision 2", "local", "config_set"),
        ]
    );
    let path = gam_lake::paths::configuration(ORG, 2);
    use gam_lake::ObjectStore as _;
    let object = world.objects.get(&path).await.unwrap().unwrap();
    let hash = audit::SegmentHash::of(&object.bytes).to_string();
    assert!(segment.entries.iter().any(|entry| entry.detail.as_ref().is_some_and(|it| it.contains(&hash))));
}
