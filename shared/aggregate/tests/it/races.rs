//! Known races and crashes that lose data in a careless implementation, one test for each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use gam_aggregate::{aggregate, fold_month, plan_months};
use gam_lake::{Events, ObjectStore, paths, snapshot};
use gam_model::period::midnight;
use gam_model::{Event, EventBatch, EventKind, Identity, Member, Month};
use gam_query::{BotFilter, MetricValue, SubjectRef};
use gam_store::{Checkpoint, CheckpointKey, Epoch, EpochRules, Head, Logic, OrgCheckpoint, ReadAgainSpan};
use tokio::sync::Semaphore;

use crate::fan_out::{inbox_only, tasks_of};
use crate::support::{Gate, ORG, TestData, all_answers, day, other_identity, random_version, snapshot_rows};

/// Pauses every call of one name until a permit is added to `open`.
struct PauseAt {
    call: &'static str,
    paused: Semaphore,
    open: Semaphore,
}

impl PauseAt {
    fn new(call: &'static str) -> Arc<Self> {
        Arc::new(PauseAt { call, paused: Semaphore::new(0), open: Semaphore::new(0) })
    }

    /// Waits until one more call has reached the gate.
    async fn wait_for_call(&self) {
        self.paused.acquire().await.unwrap().forget();
    }
}

#[async_trait]
impl Gate for PauseAt {
    async fn pass(&self, call: &str) -> Result<(), std::io::Error> {
        if call == self.call {
            self.paused.add_permits(1);
            self.open.acquire().await.map_err(std::io::Error::other)?.forget();
        }
        Ok(())
    }
}

fn commit(n: u64, version: i64, login: &str) -> Event {
    let mut event = random_version(&mut fastrand::Rng::with_seed(1), n);
    event.kind = EventKind::Commit;
    event.version = version;
    event.retracted = false;
    event.facts.sha = Some(format!("{n:040x}"));
    event.member = Member::account(login, Some(9), false);
    event.facts.parents = Some(1);
    event.occurred_at = day("2025-01-22").and_hms_opt(9, 0, 0).unwrap().and_utc();
    event.repo_id = 1;
    event.repo = "repo-1".into();
    event
}

fn on(date: &str, event: Event) -> Event {
    Event { occurred_at: day(date).and_hms_opt(9, 0, 0).unwrap().and_utc(), ..event }
}

fn batch(events: Vec<Event>) -> EventBatch {
    EventBatch::new(ORG, events)
}

async fn run(data: &TestData) {
    aggregate(&data.ports().await.aggregate, ORG, false, &()).await.unwrap();
}

/// Returns the member's number of commits, or `None` if there is no such member.
async fn commits(data: &TestData, login: &str) -> Option<MetricValue> {
    let range = gam_model::Range::new(day("2025-01-01"), day("2025-03-01")).unwrap();
    let subject = SubjectRef::Member(login.into());
    let answer =
        gam_query::metrics(&data.ports().await.query, ORG, &subject, range, BotFilter::Include).await.ok()?;
    answer.metrics.0.iter().find(|(name, _)| *name == "commits").map(|(_, value)| *value)
}

/// Checks that the data is the same as if the batches were aggregated in one run.
async fn assert_same_as_one_run(data: &TestData, batches: &[EventBatch]) {
    let expected = TestData::aggregated(batches, Identity::default()).await;
    assert_eq!(snapshot_rows(data).await, snapshot_rows(&expected).await);
    assert_eq!(all_answers(&data.ports().await).await, all_answers(&expected.ports().await).await);
}

fn january() -> Month {
    Month::parse("2025-01").unwrap()
}

#[tokio::test]
async fn a_kill_between_snapshot_and_rollups_is_repaired() {
    // The second batch changes the member of a commit.
    let (old, new) = (batch(vec![commit(1, 1, "ann")]), batch(vec![commit(1, 2, "ben")]));
    let data = TestData::aggregated(std::slice::from_ref(&old), Identity::default()).await;
    data.put(std::slice::from_ref(&new)).await;
    let gate = PauseAt::new("put");
    let ports = data.gated(Identity::default(), gate.clone()).await;
    tokio::select! {
        result = aggregate(&ports.aggregate, ORG, false, &()) => panic!("not paused: {result:?}"),
        () = gate.wait_for_call() => {}
    }
    // The batch changes nothing any more, because its row is already in the snapshot.
    let stamp =
        snapshot::read_stamp::<gam_lake::Events>(&*data.objects, ORG, january()).await.unwrap().unwrap();
    assert_eq!(stamp.generation, 2);
    assert_eq!(commits(&data, "ann").await, Some(MetricValue::Count(1)), "the old number until the next run");
    run(&data).await;
    assert_eq!(commits(&data, "ann").await, None, "the losing version no longer counts");
    assert_eq!(commits(&data, "ben").await, Some(MetricValue::Count(1)));
    assert_same_as_one_run(&data, &[old, new]).await;
}

#[tokio::test]
async fn a_slow_rebuild_does_not_undo_a_newer_batch() {
    let (first, second) = (batch(vec![commit(1, 1, "ann")]), batch(vec![commit(2, 1, "ann")]));
    let data = TestData::aggregated(std::slice::from_ref(&first), Identity::default()).await;
    // The rebuild has folded the first snapshot and pauses before it writes.
    let gate = PauseAt::new("put");
    let slow = data.gated(Identity::default(), gate.clone()).await;
    let rebuild = tokio::spawn(async move { aggregate(&slow.aggregate, ORG, true, &()).await });
    gate.wait_for_call().await;
    data.put(std::slice::from_ref(&second)).await;
    run(&data).await;
    gate.open.add_permits(10_000);
    rebuild.await.unwrap().unwrap();
    assert_eq!(commits(&data, "ann").await, Some(MetricValue::Count(2)));
    assert_same_as_one_run(&data, &[first, second]).await;
}

#[tokio::test]
async fn an_unchanged_rollup_is_written_to_block_older_writers() {
    // The paused writer has folded generation 2, in which ann has one more commit. Generation 3
    // retracts that commit, so ann's rollup is the same as in generation 1. If that rollup were not
    // written because it is unchanged, nothing newer would refuse the paused write.
    let first = batch(vec![commit(1, 1, "ann")]);
    let added = batch(vec![commit(2, 1, "ann")]);
    let mut retraction = commit(2, 2, "ann");
    retraction.retracted = true;
    let retraction = batch(vec![retraction]);
    let data = TestData::aggregated(std::slice::from_ref(&first), Identity::default()).await;
    data.put(std::slice::from_ref(&added)).await;
    let gate = PauseAt::new("put");
    let paused = data.gated(Identity::default(), gate.clone()).await;
    let paused = tokio::spawn(async move { aggregate(&paused.aggregate, ORG, false, &()).await });
    gate.wait_for_call().await;
    data.put(std::slice::from_ref(&retraction)).await;
    run(&data).await;
    assert_eq!(commits(&data, "ann").await, Some(MetricValue::Count(1)));
    gate.open.add_permits(10_000);
    paused.await.unwrap().unwrap();
    assert_eq!(commits(&data, "ann").await, Some(MetricValue::Count(1)));
    assert_same_as_one_run(&data, &[first, added, retraction]).await;
}

#[tokio::test]
async fn a_restored_lake_is_restamped_past_a_newer_store() {
    let (first, second) = (batch(vec![commit(1, 1, "ann")]), batch(vec![commit(2, 1, "ben")]));
    let old = TestData::aggregated(std::slice::from_ref(&first), Identity::default()).await;
    let newer = TestData::aggregated(std::slice::from_ref(&first), Identity::default()).await;
    for n in 3..8 {
        newer.put(&[batch(vec![commit(n, 1, "cy")])]).await;
        run(&newer).await;
    }
    let restored =
        TestData { objects: old.objects.clone(), store: newer.store.clone(), ..TestData::default() };
    run(&restored).await;
    let stamp =
        snapshot::read_stamp::<gam_lake::Events>(&*restored.objects, ORG, january()).await.unwrap().unwrap();
    assert_eq!(stamp.generation, 7, "restamped past generation 6 of the store");
    assert_eq!(commits(&restored, "cy").await, None, "events that are not in the restored lake do not count");
    restored.put(std::slice::from_ref(&second)).await;
    run(&restored).await;
    assert_same_as_one_run(&restored, &[first, second]).await;
}

#[tokio::test]
async fn a_restored_lake_replaces_rollups_of_a_killed_fold() {
    let first = batch(vec![commit(1, 1, "ann")]);
    let old = TestData::aggregated(std::slice::from_ref(&first), Identity::default()).await;
    let newer = TestData::aggregated(std::slice::from_ref(&first), Identity::default()).await;
    // The fold of generation 2 is killed after the rollups, so they are ahead of the marker.
    newer.put(&[batch(vec![commit(2, 1, "ann")])]).await;
    let gate = PauseAt::new("advance");
    let ports = newer.gated(Identity::default(), gate.clone()).await;
    tokio::select! {
        result = aggregate(&ports.aggregate, ORG, false, &()) => panic!("not paused: {result:?}"),
        () = gate.wait_for_call() => {}
    }
    let restored =
        TestData { objects: old.objects.clone(), store: newer.store.clone(), ..TestData::default() };
    run(&restored).await;
    aggregate(&restored.ports().await.aggregate, ORG, true, &()).await.unwrap();
    assert_eq!(commits(&restored, "ann").await, Some(MetricValue::Count(1)));
    assert_same_as_one_run(&restored, &[first]).await;
}

#[tokio::test]
async fn a_lost_snapshot_keeps_its_numbers_until_it_is_read_again() {
    let (first, second) = (batch(vec![commit(1, 1, "ann")]), batch(vec![commit(2, 1, "ann")]));
    let data = TestData::aggregated(std::slice::from_ref(&first), Identity::default()).await;
    let emptied = TestData { objects: Arc::default(), store: data.store.clone(), ..TestData::default() };
    for rebuild in [false, true] {
        let report = aggregate(&emptied.ports().await.aggregate, ORG, rebuild, &()).await.unwrap();
        assert_eq!(report.lost_months, BTreeSet::from([january()]));
        assert_eq!(commits(&emptied, "ann").await, Some(MetricValue::Count(1)));
    }
    assert_eq!(
        snapshot::read_stamp::<gam_lake::Events>(&*emptied.objects, ORG, january()).await.unwrap(),
        None
    );
    // A batch of an ordinary collection waits: alone it would replace the numbers by smaller ones.
    emptied.put(std::slice::from_ref(&second)).await;
    for _ in 0..2 {
        let report = aggregate(&emptied.ports().await.aggregate, ORG, false, &()).await.unwrap();
        assert_eq!((report.lost_months, report.waiting), (BTreeSet::from([january()]), 1));
        assert_eq!(commits(&emptied, "ann").await, Some(MetricValue::Count(1)));
    }
    assert_eq!(org_checkpoint(&emptied).await.lost_months, BTreeMap::from([("2025-01".to_owned(), 1)]));
    // The month was read again.
    emptied.put(std::slice::from_ref(&first)).await;
    Checkpoint::change_org(&emptied.store, ORG, |org| {
        org.lost_months.clear();
        org.read_again =
            Some(ReadAgainSpan { from: midnight(january().first_day()), until: None, has_everything: true });
    })
    .await
    .unwrap();
    let report = aggregate(&emptied.ports().await.aggregate, ORG, false, &()).await.unwrap();
    assert!(report.lost_months.is_empty());
    assert_eq!(org_checkpoint(&emptied).await, OrgCheckpoint::default());
    assert_same_as_one_run(&emptied, &[first, second]).await;
}

#[tokio::test]
async fn a_restored_snapshot_ends_the_loss() {
    let data = TestData::aggregated(&[batch(vec![commit(1, 1, "ann")])], Identity::default()).await;
    let emptied = TestData { objects: Arc::default(), store: data.store.clone(), ..TestData::default() };
    let report = aggregate(&emptied.ports().await.aggregate, ORG, false, &()).await.unwrap();
    assert_eq!(report.lost_months, BTreeSet::from([january()]));
    let restored =
        TestData { objects: data.objects.clone(), store: data.store.clone(), ..TestData::default() };
    let report = aggregate(&restored.ports().await.aggregate, ORG, false, &()).await.unwrap();
    assert!(report.lost_months.is_empty());
    assert_eq!(org_checkpoint(&restored).await, OrgCheckpoint::default());
}

#[tokio::test]
async fn a_damaged_snapshot_is_replaced_only_by_what_was_read_again() {
    let first = batch(vec![commit(1, 1, "ann")]);
    let data = TestData::aggregated(std::slice::from_ref(&first), Identity::default()).await;
    let path = paths::snapshot::<Events>(ORG, january());
    ObjectStore::delete(&*data.objects, &path).await.unwrap();
    let damaged = bytes::Bytes::from_static(b"no Parquet");
    data.objects.put_if_absent(&path, damaged.clone(), &[]).await.unwrap();
    let read_again = async |has_everything| {
        let from = midnight(january().first_day());
        Checkpoint::change_org(&data.store, ORG, |org| {
            org.lost_months.clear();
            org.read_again = Some(ReadAgainSpan { from, until: None, has_everything });
        })
        .await
        .unwrap();
    };
    // A comparison with GitHub covers the month, and has fetched nothing of it.
    read_again(false).await;
    data.put(&[batch(vec![commit(2, 1, "ann")])]).await;
    let ports = data.ports().await;
    for rebuild in [false, true] {
        aggregate(&ports.aggregate, ORG, rebuild, &()).await.unwrap_err();
        assert_eq!(ObjectStore::get(&*data.objects, &path).await.unwrap().unwrap().bytes, damaged);
        assert_eq!(commits(&data, "ann").await, Some(MetricValue::Count(1)));
    }
    read_again(true).await;
    data.put(std::slice::from_ref(&first)).await;
    let report = aggregate(&ports.aggregate, ORG, false, &()).await.unwrap();
    assert!(report.lost_months.is_empty());
    assert_eq!(commits(&data, "ann").await, Some(MetricValue::Count(2)));
    let rejected = data.objects.list(&paths::rejected_prefix::<Events>(ORG)).await.unwrap();
    let [kept] = rejected.as_slice() else { panic!("{rejected:?}") };
    assert_eq!(ObjectStore::get(&*data.objects, &kept.path).await.unwrap().unwrap().bytes, damaged);
    assert_eq!(org_checkpoint(&data).await, OrgCheckpoint::default());
}

async fn org_checkpoint(data: &TestData) -> OrgCheckpoint {
    Checkpoint::load(&data.store, &CheckpointKey::Org(ORG.to_owned())).await.unwrap().value
}

#[tokio::test]
async fn batches_wait_for_a_newer_program() {
    let (first, second) = (batch(vec![commit(1, 1, "ann")]), batch(vec![commit(2, 1, "ann")]));
    let data = TestData::aggregated(std::slice::from_ref(&first), Identity::default()).await;
    // A newer version of the program has set its rules.
    let key = CheckpointKey::Head(ORG.to_owned());
    let mut head: Checkpoint<Head> = Checkpoint::load(&data.store, &key).await.unwrap();
    let active = head.value.active.clone().unwrap();
    let newer = Logic { version: gam_fold::LOGIC_VERSION + 1, ..active.logic };
    head.value.target = Some(EpochRules { epoch: Epoch(active.epoch.0 + 1), logic: newer });
    assert!(head.save(&data.store, &key).await.unwrap());
    data.put(std::slice::from_ref(&second)).await;
    let report = aggregate(&data.ports().await.aggregate, ORG, true, &()).await.unwrap();
    assert_eq!((report.batches, report.deferred), (0, 1), "the batch stays for the newer program");
    assert_eq!(gam_lake::inbox::list::<gam_lake::Events>(&*data.objects, ORG).await.unwrap().len(), 1);
    let stamp =
        snapshot::read_stamp::<gam_lake::Events>(&*data.objects, ORG, january()).await.unwrap().unwrap();
    assert_eq!(stamp.generation, 1, "the snapshot is not replaced");
}

#[tokio::test]
async fn a_killed_change_of_configuration_can_be_undone() {
    let all = batch((1..6).map(|n| commit(n, 1, if n % 2 == 0 { "ann" } else { "ci-user" })).collect());
    let data = TestData::aggregated(std::slice::from_ref(&all), Identity::default()).await;
    let before = all_answers(&data.ports().await).await;
    // The aggregation with another configuration is killed after it has written five rollups.
    let gate = PauseAt::new("put");
    let ports = data.gated(other_identity(), gate.clone()).await;
    gate.open.add_permits(5);
    tokio::select! {
        result = aggregate(&ports.aggregate, ORG, false, &()) => panic!("not paused: {result:?}"),
        () = async { for _ in 0..6 { gate.wait_for_call().await } } => {}
    }
    run(&data).await;
    assert_eq!(before, all_answers(&data.ports().await).await);
}

#[tokio::test]
async fn a_lost_store_is_rebuilt_from_the_lake() {
    let all = batch((1..6).map(|n| commit(n, 1, "ann")).collect());
    let data = TestData::aggregated(std::slice::from_ref(&all), Identity::default()).await;
    let lost = TestData { objects: data.objects.clone(), store: Default::default(), ..TestData::default() };
    run(&lost).await;
    assert_eq!(
        all_answers(&data.ports().await).await,
        all_answers(&lost.ports().await).await,
        "with the same names"
    );
}

#[tokio::test]
async fn a_new_month_of_a_killed_writer_is_not_added_to_an_old_epoch() {
    let (first, second) =
        (batch(vec![commit(1, 1, "ann")]), batch(vec![on("2025-02-03", commit(2, 1, "ben"))]));
    let data = TestData::aggregated(std::slice::from_ref(&first), Identity::default()).await;
    data.put(std::slice::from_ref(&second)).await;
    // This run has entered the active epoch, and found no snapshot of February.
    let old_gate = PauseAt::new("put_if_absent");
    let ports = data.gated(Identity::default(), old_gate.clone()).await;
    let old = tokio::spawn(async move { aggregate(&ports.aggregate, ORG, false, &()).await });
    old_gate.wait_for_call().await;
    // A new target has listed the months, and is about to switch.
    let switch_gate = PauseAt::new("get_tail");
    let ports = data.unconfigured_ports(other_identity());
    data.configure(&other_identity()).await;
    let plan = plan_months(&ports.aggregate, ORG, false, &()).await.unwrap().unwrap();
    assert_eq!((plan.epoch, plan.months.as_slice()), (Epoch(2), [january()].as_slice()));
    let gated = data.gated(other_identity(), switch_gate.clone()).await;
    let task = tasks_of(&plan, false).remove(0);
    let switch = tokio::spawn(async move { fold_month(&gated.aggregate, &task, &inbox_only(), &()).await });
    switch_gate.wait_for_call().await;
    // Another run of the active epoch writes the snapshot and is killed.
    let path = gam_lake::paths::snapshot::<gam_lake::Events>(ORG, Month::parse("2025-02").unwrap());
    let killed = TestData::aggregated(&[first, second], Identity::default()).await;
    let snapshot = killed.objects.get(&path).await.unwrap().unwrap();
    data.objects.put_if_absent(&path, snapshot.bytes, &[]).await.unwrap();

    old_gate.open.add_permits(100);
    old.await.unwrap().unwrap();
    let ben = commits(&data, "ben").await;
    switch_gate.open.add_permits(100);
    switch.await.unwrap().unwrap();
    assert_eq!(commits(&data, "ben").await, Some(MetricValue::Count(1)), "before the switch: {ben:?}");
}
