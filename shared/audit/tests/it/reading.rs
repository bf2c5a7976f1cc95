//! Readers miss nothing and see nothing twice.

use gam_access::{AuditLog as _, LogFilter};
use gam_audit::{SegmentLog, drain};
use gam_lake::{ObjectStore as _, paths};
use gam_model::{Clock as _, LogPosition};

use super::support::{ORG, World, ids};

#[tokio::test]
async fn a_reader_that_follows_the_log_sees_each_row_once() {
    let world = World::new();
    let log = SegmentLog::new(world.ports());
    let (mut position, mut seen, mut added) = (LogPosition::START, Vec::new(), 0);
    for round in 0..30u32 {
        world.add_rows(round * 3..round * 3 + round % 4).await;
        added += (round % 4) as usize;
        if round % 3 == 0 {
            drain(&world.ports(), Some(ORG)).await.unwrap();
        }
        let page = log.page(Some(ORG), position, 2, &LogFilter::default()).await.unwrap();
        assert!(page.entries.len() <= 2 && page.next >= position);
        // A cursor is a text.
        position = LogPosition::parse(&page.next.to_string()).unwrap();
        seen.extend(page.entries.into_iter().map(|logged| logged.entry.event_id));
    }
    drain(&world.ports(), Some(ORG)).await.unwrap();
    loop {
        let page = log.page(Some(ORG), position, 2, &LogFilter::default()).await.unwrap();
        position = page.next;
        seen.extend(page.entries.into_iter().map(|logged| logged.entry.event_id));
        if !page.has_more {
            break;
        }
    }
    assert_eq!(seen, world.logged(Some(ORG)).await);
    let mut sorted = seen.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!((sorted.len(), seen.len()), (added, added), "no row twice: {seen:?}");
}

#[tokio::test]
async fn a_filter_and_the_newest_rows() {
    let world = World::new();
    let log = SegmentLog::new(world.ports());
    for round in 0..4 {
        world.add_rows(round * 5..round * 5 + 5).await;
        drain(&world.ports(), Some(ORG)).await.unwrap();
    }
    world.add_rows(20..22).await;
    let claimed = LogFilter { kind: Some("task_claimed".to_owned()) };
    let page = log.page(Some(ORG), LogPosition::START, 100, &claimed).await.unwrap();
    let names = |entries: Vec<gam_access::LoggedEntry>| {
        entries.into_iter().map(|logged| logged.entry.event_id).collect::<Vec<_>>()
    };
    assert_eq!(names(page.entries), ids((0..20).filter(|number| number % 2 == 0)));
    let newest = log.latest(Some(ORG), None, 7, &LogFilter::default()).await.unwrap();
    let first = newest[0].position;
    assert_eq!(names(newest), ids(13..20));
    let beyond = Some(LogPosition { segment: 99, row: 1 });
    let last = log.latest(Some(ORG), beyond, 7, &LogFilter::default()).await.unwrap();
    assert_eq!(names(last), ids(13..20));
    let older = log.latest(Some(ORG), Some(first), 4, &LogFilter::default()).await.unwrap();
    assert_eq!(names(older), ids(9..13));
    let undrained = log.undrained(Some(ORG), 10, &LogFilter::default()).await.unwrap();
    assert_eq!(undrained.into_iter().map(|entry| entry.event_id).collect::<Vec<_>>(), ids(20..22));
    assert_eq!(log.undrained(Some(ORG), 1, &LogFilter::default()).await.unwrap()[0].event_id, "row:21");
    assert_eq!(log.latest(None, None, 7, &LogFilter::default()).await.unwrap(), []);
}

#[tokio::test]
async fn a_missing_segment_is_no_end_of_the_log() {
    let world = World::new();
    for number in 0..3 {
        world.add_row(Some(ORG), number, world.clock.now()).await;
        drain(&world.ports(), Some(ORG)).await.unwrap();
    }
    for number in [2, 3] {
        world.objects.delete(&paths::audit_segment(ORG, number)).await.unwrap();
        let log = SegmentLog::new(world.ports());
        let error = log.page(Some(ORG), LogPosition::START, 10, &LogFilter::default()).await.unwrap_err();
        assert!(
            error.source.to_string().contains("segment 2 of the audit log acme is missing"),
            "{}",
            error.source
        );
    }
}
