//! The interleavings that a careless aggregation loses, each by name.

use std::sync::Arc;

use async_trait::async_trait;
use gam_aggregate::aggregate;
use gam_lake::snapshot;
use gam_model::{Event, EventBatch, EventKind, Identity, Member, Month};
use gam_query::{BotFilter, SubjectRef, Value};
use gam_store::{FoldScope, Logic, RollupStore};
use tokio::sync::Semaphore;

use crate::support::{Gate, ORG, World, answers, day, other_identity, rows, telling};

/// Stops before the n-th call of a name until it is opened.
struct HoldsAt {
    call: &'static str,
    reached: Semaphore,
    open: Semaphore,
}

impl HoldsAt {
    fn new(call: &'static str) -> Arc<Self> {
        Arc::new(HoldsAt { call, reached: Semaphore::new(0), open: Semaphore::new(0) })
    }

    async fn reached(&self) {
        self.reached.acquire().await.unwrap().forget();
    }
}

#[async_trait]
impl Gate for HoldsAt {
    async fn pass(&self, call: &str) -> Result<(), std::io::Error> {
        if call == self.call {
            self.reached.add_permits(1);
            self.open.acquire().await.map_err(std::io::Error::other)?.forget();
        }
        Ok(())
    }
}

fn commit(n: u64, version: i64, login: &str) -> Event {
    let mut event = telling(&mut fastrand::Rng::with_seed(1), n);
    event.kind = EventKind::Commit;
    event.version = version;
    event.retracted = false;
    event.member = Member::account(login, Some(9), false);
    event.facts.parents = Some(1);
    event.occurred_at = day("2025-01-22").and_hms_opt(9, 0, 0).unwrap().and_utc();
    event.repo_id = 1;
    event.repo = "repo-1".into();
    event
}

fn batch(events: Vec<Event>) -> EventBatch {
    EventBatch::new(ORG, events)
}

async fn run(world: &World) {
    aggregate(&world.ports().aggregate, ORG, false, &()).await.unwrap();
}

/// How many commits the member has, `None` where it was never seen.
async fn commits(world: &World, login: &str) -> Option<Value> {
    let range = gam_model::Range::new(day("2025-01-01"), day("2025-03-01")).unwrap();
    let subject = SubjectRef::Member(login.into());
    let answer =
        gam_query::metrics(&world.ports().query, ORG, &subject, range, BotFilter::Include).await.ok()?;
    answer.metrics.0.iter().find(|(name, _)| *name == "commits").map(|(_, value)| *value)
}

async fn is_truth(world: &World, batches: &[EventBatch]) {
    let truth = World::aggregated(batches, Identity::default()).await;
    assert_eq!(rows(world).await, rows(&truth).await);
    assert_eq!(answers(&world.ports()).await, answers(&truth.ports()).await);
}

fn january() -> Month {
    Month::parse("2025-01").unwrap()
}

#[tokio::test]
async fn killed_between_swap_and_rollup_when_a_row_changed_its_member() {
    let (old, new) = (batch(vec![commit(1, 1, "ann")]), batch(vec![commit(1, 2, "ben")]));
    let world = World::aggregated(std::slice::from_ref(&old), Identity::default()).await;
    world.put(std::slice::from_ref(&new)).await;
    let gate = HoldsAt::new("put");
    let ports = world.gated(Identity::default(), gate.clone());
    tokio::select! {
        done = aggregate(&ports.aggregate, ORG, false, &()) => panic!("not stopped: {done:?}"),
        () = gate.reached() => {}
    }
    // The batch is gone from the truth's point of view: its row is in the snapshot already.
    let swapped = snapshot::read_stamp(&*world.objects, ORG, january()).await.unwrap().unwrap();
    assert_eq!(swapped.generation, 2);
    assert_eq!(commits(&world, "ann").await, Some(Value::Count(1)), "the old numbers until the next run");
    run(&world).await;
    assert_eq!(commits(&world, "ann").await, None, "what the losing row was credited for is taken back");
    assert_eq!(commits(&world, "ben").await, Some(Value::Count(1)));
    is_truth(&world, &[old, new]).await;
}

#[tokio::test]
async fn a_full_fold_racing_a_batch() {
    let (first, second) = (batch(vec![commit(1, 1, "ann")]), batch(vec![commit(2, 1, "ann")]));
    let world = World::aggregated(std::slice::from_ref(&first), Identity::default()).await;
    // A rebuild has folded the first snapshot and is held up before it writes.
    let gate = HoldsAt::new("put");
    let slow = world.gated(Identity::default(), gate.clone());
    let rebuild = tokio::spawn(async move { aggregate(&slow.aggregate, ORG, true, &()).await });
    gate.reached().await;
    world.put(std::slice::from_ref(&second)).await;
    run(&world).await;
    gate.open.add_permits(10_000);
    rebuild.await.unwrap().unwrap();
    assert_eq!(commits(&world, "ann").await, Some(Value::Count(2)));
    is_truth(&world, &[first, second]).await;
}

#[tokio::test]
async fn an_unchanged_rollup_while_an_older_writer_is_paused() {
    // The paused writer has folded generation 2, in which ann has a commit more; generation 3 takes
    // it back, so ann's rollup is as it was in generation 1. Were it skipped for being unchanged, the
    // paused write would find nothing newer in its way.
    let first = batch(vec![commit(1, 1, "ann")]);
    let more = batch(vec![commit(2, 1, "ann")]);
    let mut gone = commit(2, 2, "ann");
    gone.retracted = true;
    let gone = batch(vec![gone]);
    let world = World::aggregated(std::slice::from_ref(&first), Identity::default()).await;
    world.put(std::slice::from_ref(&more)).await;
    let gate = HoldsAt::new("put");
    let paused = world.gated(Identity::default(), gate.clone());
    let paused = tokio::spawn(async move { aggregate(&paused.aggregate, ORG, false, &()).await });
    gate.reached().await;
    world.put(std::slice::from_ref(&gone)).await;
    run(&world).await;
    assert_eq!(commits(&world, "ann").await, Some(Value::Count(1)));
    gate.open.add_permits(10_000);
    paused.await.unwrap().unwrap();
    assert_eq!(commits(&world, "ann").await, Some(Value::Count(1)));
    is_truth(&world, &[first, more, gone]).await;
}

#[tokio::test]
async fn a_lake_restored_under_a_newer_store() {
    let (first, second) = (batch(vec![commit(1, 1, "ann")]), batch(vec![commit(2, 1, "ben")]));
    let old = World::aggregated(std::slice::from_ref(&first), Identity::default()).await;
    let newer = World::aggregated(std::slice::from_ref(&first), Identity::default()).await;
    for n in 3..8 {
        newer.put(&[batch(vec![commit(n, 1, "cy")])]).await;
        run(&newer).await;
    }
    let restored = World { objects: old.objects.clone(), store: newer.store.clone() };
    run(&restored).await;
    let stamp = snapshot::read_stamp(&*restored.objects, ORG, january()).await.unwrap().unwrap();
    assert_eq!(stamp.generation, 7, "lifted past the store's sixth");
    assert_eq!(commits(&restored, "cy").await, None, "what the restored lake does not hold counts no more");
    restored.put(std::slice::from_ref(&second)).await;
    run(&restored).await;
    is_truth(&restored, &[first, second]).await;
}

#[tokio::test]
async fn a_lake_restored_under_a_store_that_a_writer_died_in() {
    let first = batch(vec![commit(1, 1, "ann")]);
    let old = World::aggregated(std::slice::from_ref(&first), Identity::default()).await;
    let newer = World::aggregated(std::slice::from_ref(&first), Identity::default()).await;
    // Generation 2 is folded half-way: its rollups are ahead of the marker.
    newer.put(&[batch(vec![commit(2, 1, "ann")])]).await;
    let gate = HoldsAt::new("advance");
    let ports = newer.gated(Identity::default(), gate.clone());
    tokio::select! {
        done = aggregate(&ports.aggregate, ORG, false, &()) => panic!("not stopped: {done:?}"),
        () = gate.reached() => {}
    }
    let restored = World { objects: old.objects.clone(), store: newer.store.clone() };
    run(&restored).await;
    aggregate(&restored.ports().aggregate, ORG, true, &()).await.unwrap();
    assert_eq!(commits(&restored, "ann").await, Some(Value::Count(1)));
    is_truth(&restored, &[first]).await;
}

#[tokio::test]
async fn a_lake_emptied_under_its_store() {
    let world = World::aggregated(&[batch(vec![commit(1, 1, "ann")])], Identity::default()).await;
    let emptied = World { objects: Arc::default(), store: world.store.clone() };
    run(&emptied).await;
    assert_eq!(commits(&emptied, "ann").await, None);
    let stamp = snapshot::read_stamp(&*emptied.objects, ORG, january()).await.unwrap().unwrap();
    assert_eq!(stamp.generation, 2);
}

#[tokio::test]
async fn new_logic_beside_old() {
    let (first, second) = (batch(vec![commit(1, 1, "ann")]), batch(vec![commit(2, 1, "ann")]));
    let world = World::aggregated(std::slice::from_ref(&first), Identity::default()).await;
    // A newer version of the program has folded the month.
    let newer = Logic { version: gam_fold::LOGIC_VERSION + 1, identity: Identity::default().hash() };
    let org = ORG.to_lowercase();
    world.store.advance(&org, january(), &newer, 1, FoldScope::Month).await.unwrap();
    world.put(std::slice::from_ref(&second)).await;
    let report = aggregate(&world.ports().aggregate, ORG, false, &()).await.unwrap();
    assert_eq!((report.batches, report.deferred), (0, 1), "the batch is left for the newer program");
    assert_eq!(gam_lake::inbox::list(&*world.objects, ORG).await.unwrap().len(), 1);
    let stamp = snapshot::read_stamp(&*world.objects, ORG, january()).await.unwrap().unwrap();
    assert_eq!(stamp.generation, 1, "the snapshot is left alone");
    assert_eq!(world.store.marker(&org, january()).await.unwrap().unwrap().logic, newer);
}

#[tokio::test]
async fn another_configuration_killed_midway_and_then_given_up() {
    let whole = batch((1..6).map(|n| commit(n, 1, if n % 2 == 0 { "ann" } else { "ci-user" })).collect());
    let world = World::aggregated(std::slice::from_ref(&whole), Identity::default()).await;
    let before = answers(&world.ports()).await;
    let gate = HoldsAt::new("put");
    let ports = world.gated(other_identity(), gate.clone());
    gate.open.add_permits(5);
    tokio::select! {
        done = aggregate(&ports.aggregate, ORG, false, &()) => panic!("not stopped: {done:?}"),
        () = async { for _ in 0..6 { gate.reached().await } } => {}
    }
    run(&world).await;
    assert_eq!(before, answers(&world.ports()).await);
}

#[tokio::test]
async fn a_lost_store_is_rebuilt_from_the_lake() {
    let whole = batch((1..6).map(|n| commit(n, 1, "ann")).collect());
    let world = World::aggregated(std::slice::from_ref(&whole), Identity::default()).await;
    let lost = World { objects: world.objects.clone(), store: Default::default() };
    run(&lost).await;
    assert_eq!(answers(&world.ports()).await, answers(&lost.ports()).await, "names among them");
}
