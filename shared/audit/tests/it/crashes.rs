//! A drain that is killed at any write loses no row, and writes none twice.

use gam_audit::{drain, verify};

use super::support::{ORG, World, ids};

/// More rows than one commit deletes.
const ROWS: u32 = 200;

#[tokio::test]
async fn a_drain_that_is_killed_anywhere_loses_and_doubles_nothing() {
    for is_done in [false, true] {
        let mut write = 0;
        loop {
            let world = World::new();
            world.add_rows(0..ROWS).await;
            let killed = drain(&world.failing_ports(write, is_done), Some(ORG)).await;
            world.add_rows(ROWS..ROWS + 3).await;
            drain(&world.ports(), Some(ORG)).await.unwrap();
            assert_eq!(world.undrained().await, 0);
            let mut logged = world.logged(Some(ORG)).await;
            logged.sort();
            let mut expected = ids(0..ROWS + 3);
            expected.sort();
            assert_eq!(logged, expected, "killed at write {write}, done: {is_done}");
            let checked = verify(&*world.objects, ORG, &[]).await.unwrap();
            assert_eq!(checked.faults, [], "killed at write {write}, done: {is_done}");
            if killed.is_ok() {
                break;
            }
            write += 1;
        }
        // The segment, three commits that delete, and the head.
        assert_eq!(write, 5, "each write was tried");
    }
}

#[tokio::test]
async fn an_older_store_does_not_write_rows_again() {
    let world = World::new();
    world.add_rows(0..5).await;
    let before: Vec<_> = {
        let range = gam_store::RecordRange::new(Some(ORG), gam_store::RecordKind::AuditRow, &[]).unwrap();
        use gam_store::RecordStore as _;
        world.store.range(&range, 100, chrono::DateTime::UNIX_EPOCH).await.unwrap()
    };
    drain(&world.ports(), Some(ORG)).await.unwrap();
    world.add_rows(5..7).await;
    drain(&world.ports(), Some(ORG)).await.unwrap();
    // The store is lost, and a backup from before the first drain takes its place.
    let restored = World { store: std::sync::Arc::default(), ..world };
    for (key, record) in before {
        use gam_store::{Expectation, RecordCommit, RecordStore as _};
        let commit = RecordCommit::new(record.revision).put(key, record.body, Expectation::Absent);
        restored.store.commit(&commit, chrono::DateTime::UNIX_EPOCH).await.unwrap();
    }
    restored.add_rows(7..8).await;
    drain(&restored.ports(), Some(ORG)).await.unwrap();
    assert_eq!(restored.logged(Some(ORG)).await, ids(0..8));
    assert_eq!(verify(&*restored.objects, ORG, &[]).await.unwrap().faults, []);
}
