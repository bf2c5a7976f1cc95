//! Tests of generated lakes: what they promise to measurements, and that the pipeline accepts them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use gam_aggregate::{AggregatePorts, aggregate};
use gam_bench::{LakeGenerator, LakeShape, current_stamp, write_batches, write_snapshots};
use gam_lake::schema::decode;
use gam_lake::{Events, FileStore, MemoryObjects, ObjectStore, inbox, snapshot};
use gam_model::{Clock, Event, EventKind, Identity, MemberKind, Month, SystemClock};
use gam_store::MemoryStore;

fn shape(events: u64, months: usize, seed: u64) -> LakeShape {
    let last_month = Month::parse("2025-03").unwrap();
    LakeShape { org: "octo-bench".into(), events, months, last_month, repos: 40, members: 120, seed }
}

fn generator(events: u64, months: usize, seed: u64) -> LakeGenerator {
    LakeGenerator::new(&shape(events, months, seed)).unwrap()
}

fn month_events(generator: &LakeGenerator, index: usize) -> Vec<Event> {
    generator.month(index).unwrap().iter().flat_map(|batch| decode(batch).unwrap()).collect()
}

fn all_events(generator: &LakeGenerator) -> Vec<Event> {
    (0..generator.months().len()).flat_map(|index| month_events(generator, index)).collect()
}

fn ignore_progress(_month: Month) {}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// Returns the bytes of every file below the directory, by path.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut open = vec![dir.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "parquet") {
                let name = path.strip_prefix(dir).unwrap().to_string_lossy().into_owned();
                files.insert(name, std::fs::read(path).unwrap());
            }
        }
    }
    files
}

fn written_files(seed: u64, parallel_months: usize) -> BTreeMap<String, Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    let generator = generator(1_500, 3, seed);
    let written = write_snapshots(&generator, dir.path(), parallel_months, &ignore_progress).unwrap();
    assert_eq!((written.files, written.rows), (3, 1_500));
    files(dir.path())
}

#[test]
fn the_seed_decides_the_bytes() {
    let first = written_files(7, 1);
    let months = ["2025-01", "2025-02", "2025-03"];
    let paths = months.map(|month| format!("events/org=octo-bench/month={month}/snapshot.parquet"));
    assert_eq!(first.keys().collect::<Vec<_>>(), paths.iter().collect::<Vec<_>>());
    assert_eq!(written_files(7, 3), first, "months side by side are the same months");
    let other = written_files(8, 1);
    assert!(first.iter().all(|(path, bytes)| other[path] != *bytes));
}

#[test]
fn a_month_that_exists_is_not_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let generator = generator(1_000, 2, 1);
    write_snapshots(&generator, dir.path(), 1, &ignore_progress).unwrap();
    let error = write_snapshots(&generator, dir.path(), 1, &ignore_progress).unwrap_err().to_string();
    assert!(error.contains("2025-02 already: choose another directory"), "{error}");
}

#[test]
fn rows_are_as_a_merge_would_leave_them() {
    let generator = generator(6_000, 3, 1);
    let months = generator.months();
    let mut ids = BTreeSet::new();
    for (index, month) in months.iter().enumerate() {
        let events = month_events(&generator, index);
        assert!(events.iter().all(|event| event.month() == *month));
        let merged = snapshot::sort_rows::<Events>(events.clone()).unwrap();
        let merged: Vec<Event> = merged.iter().flat_map(|batch| decode(batch).unwrap()).collect();
        assert_eq!(events, merged, "sorted, and one row per id");
        ids.extend(events.into_iter().map(|event| event.id));
    }
    assert_eq!(ids.len(), 6_000, "no id occurs in two months");
}

#[test]
fn every_kind_has_its_share() {
    let events = all_events(&generator(40_000, 4, 1));
    let count = |kind: EventKind| events.iter().filter(|event| event.kind == kind).count();
    for (kind, range) in [
        (EventKind::Commit, 19_000..24_000),
        (EventKind::PrOpened, 3_900..4_001),
        (EventKind::PrMerged, 2_600..3_600),
        (EventKind::PrClosed, 200..500),
        (EventKind::Review, 6_500..8_500),
        (EventKind::IssueOpened, 1_500..1_601),
        (EventKind::IssueClosed, 800..1_300),
        (EventKind::Release, 100..121),
        (EventKind::DeploymentSuccess, 850..1_100),
        (EventKind::DeploymentFailure, 120..230),
    ] {
        assert!(range.contains(&count(kind)), "{}: {}", kind.as_str(), count(kind));
    }
    for kind in MemberKind::ALL {
        assert!(events.iter().any(|event| event.member.kind == kind), "{}", kind.as_str());
    }
    let has = |predicate: fn(&Event) -> bool| events.iter().filter(|event| predicate(event)).count();
    assert!(has(|event| event.retracted && event.kind == EventKind::Commit) > 50);
    assert!(has(|event| event.retracted && event.kind == EventKind::PrClosed) > 20);
    assert!(has(|event| event.retracted && event.kind == EventKind::DeploymentFailure) > 30);
    assert!(has(|event| event.facts.co_authors.as_ref().is_some_and(|names| !names.is_empty())) > 1_000);
    assert!(has(|event| event.facts.workflow.is_some()) > 100);
    assert!(has(|event| event.collected_at - event.occurred_at > chrono::TimeDelta::days(1)) > 300);
}

#[test]
fn some_commits_lie_in_two_repositories() {
    let events = all_events(&generator(20_000, 2, 1));
    let mut repos_by_sha: BTreeMap<&str, BTreeSet<i64>> = BTreeMap::new();
    for event in events.iter().filter(|event| event.kind == EventKind::Commit) {
        repos_by_sha.entry(event.facts.sha.as_deref().unwrap()).or_default().insert(event.repo_id);
    }
    let shared = repos_by_sha.values().filter(|repos| repos.len() == 2).count();
    assert!((20..800).contains(&shared), "{shared}");
}

#[test]
fn threads_are_consistent_over_months() {
    let events = all_events(&generator(20_000, 4, 1));
    let mut opened = BTreeMap::new();
    for event in events.iter().filter(|event| event.kind == EventKind::PrOpened) {
        opened.insert((event.repo_id, event.facts.number), event);
    }
    let mut from_other_months = 0;
    for event in &events {
        let Some(pull) = opened.get(&(event.repo_id, event.facts.number)) else { continue };
        match event.kind {
            EventKind::PrMerged => {
                assert_eq!(event.facts.created_at, Some(pull.occurred_at));
                assert_eq!((&event.member, event.facts.merged_at), (&pull.member, Some(event.occurred_at)));
                assert!(
                    event.facts.first_reviews.iter().flatten().all(|review| review.at <= event.occurred_at)
                );
                from_other_months += usize::from(event.month() != pull.month());
            }
            EventKind::Review => assert_eq!(event.facts.pr_member.as_ref(), Some(&pull.member.name)),
            _ => {}
        }
    }
    assert!(from_other_months > 100, "{from_other_months} merged in a later month");
}

#[test]
fn a_written_month_folds() {
    let dir = tempfile::tempdir().unwrap();
    let generator = generator(2_000, 2, 1);
    write_snapshots(&generator, dir.path(), 1, &ignore_progress).unwrap();
    let objects = FileStore::open(dir.path()).unwrap();
    let month = generator.months()[1];
    let snapshot = block_on(snapshot::read::<Events>(&objects, "octo-bench", month)).unwrap().unwrap();
    assert_eq!(snapshot.stamp, current_stamp());
    let fold = gam_fold::fold(month, &snapshot.batches, &Identity::default()).unwrap();
    let live = month_events(&generator, 1).iter().filter(|event| !event.retracted).count() as u64;
    // Reviews of one's own pull request count nowhere.
    assert!(fold.events() <= live && fold.events() * 100 > live * 95, "{} of {live}", fold.events());
}

fn aggregate_ports(objects: Arc<dyn ObjectStore>) -> AggregatePorts {
    let store = Arc::new(MemoryStore::default());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    AggregatePorts { objects, rollups: store.clone(), names: store.clone(), checkpoints: store, clock }
}

#[test]
fn aggregating_the_batches_gives_the_snapshots() {
    let (batch_dir, generator) = (tempfile::tempdir().unwrap(), generator(1_500, 3, 1));
    let written = write_batches(&generator, batch_dir.path(), 200, &ignore_progress).unwrap();
    assert!(written.files > 7 && written.rows > 1_500, "retracted events are in two batches: {written:?}");
    let objects: Arc<dyn ObjectStore> = Arc::new(FileStore::open(batch_dir.path()).unwrap());
    let batches = block_on(inbox::list::<Events>(&*objects, "octo-bench")).unwrap();
    assert_eq!(batches.len() as u64, written.files);
    let mut months_by_batch = Vec::new();
    for batch in &batches {
        let events = block_on(inbox::read::<Events>(&*objects, &batch.path)).unwrap().unwrap();
        months_by_batch.push(events.iter().map(Event::month).collect::<BTreeSet<_>>().len());
    }
    assert!(months_by_batch.iter().any(|months| *months > 1), "late events: {months_by_batch:?}");

    block_on(aggregate(&aggregate_ports(objects.clone()), "octo-bench", false, &())).unwrap();
    for (index, month) in generator.months().into_iter().enumerate() {
        let snapshot = block_on(snapshot::read::<Events>(&*objects, "octo-bench", month)).unwrap().unwrap();
        let rows: Vec<Event> = snapshot.batches.iter().flat_map(|batch| decode(batch).unwrap()).collect();
        assert_eq!(rows, month_events(&generator, index), "{month}");
    }
}

#[test]
fn an_aggregation_leaves_a_generated_lake_as_it_is() {
    let objects = Arc::new(MemoryObjects::new());
    let generator = generator(1_000, 2, 1);
    for (index, month) in generator.months().into_iter().enumerate() {
        let batches = generator.month(index).unwrap();
        block_on(snapshot::write::<Events>(&*objects, "octo-bench", month, &batches, &current_stamp(), None))
            .unwrap();
    }
    let report = block_on(aggregate(&aggregate_ports(objects.clone()), "octo-bench", true, &())).unwrap();
    assert!(report.rollups > 100);
    for month in generator.months() {
        let stamp = block_on(snapshot::read_stamp::<Events>(&*objects, "octo-bench", month)).unwrap();
        assert_eq!(stamp, Some(current_stamp()), "{month}");
    }
}
