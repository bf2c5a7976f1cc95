//! One process takes requests and has no credential, and another one does them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use chrono::TimeDelta;
use gam_model::ActionSettings;
use gam_work::actions::*;

use super::support::*;

/// Counts how often the other process was woken.
#[derive(Default)]
struct CountingWaker {
    calls: AtomicUsize,
    is_broken: AtomicBool,
}

#[async_trait]
impl ActionWaker for CountingWaker {
    async fn wake(&self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        if self.is_broken.load(Ordering::Relaxed) { Err("the queue is out of reach".into()) } else { Ok(()) }
    }
}

/// Returns the world of the process that takes requests, the one of the process that does them, and what wakes it.
fn two_processes() -> (World, World, Arc<CountingWaker>) {
    let actor = World::new();
    let waker = Arc::new(CountingWaker::default());
    let settings = Arc::new(TestSettings(ActionSettings::default()));
    let actions = Actions::new(actor.records.clone(), Arc::new(actor.clock.clone()), settings, None);
    let mut gate = actor.clone();
    gate.actions = actions.done_by(waker.clone());
    (gate, actor, waker)
}

#[tokio::test]
async fn an_action_is_done_by_the_process_that_is_woken() {
    let (gate, actor, waker) = two_processes();
    let action = gate.submit(issue()).await;
    assert_eq!(waker.calls.load(Ordering::Relaxed), 1);
    assert_eq!(gate.actions.run_due().await.unwrap(), RunReport::default(), "it has no credential");
    assert_eq!(gate.effects(), [0; 5]);
    let done = actor.drive(&action.id).await;
    assert_eq!((done.phase, gate.effects()[..2].to_vec()), (Phase::Succeeded, vec![1, 1]));
}

#[tokio::test]
async fn a_request_is_taken_also_if_nobody_can_be_woken() {
    let (gate, actor, waker) = two_processes();
    waker.is_broken.store(true, Ordering::Relaxed);
    let action = gate.submit(issue()).await;
    assert_eq!(actor.drive(&action.id).await.phase, Phase::Succeeded);
}

#[tokio::test]
async fn a_preview_is_answered_by_the_other_process() {
    let (gate, actor, waker) = two_processes();
    let repo = RepositoryName { owner: "acme".to_owned(), name: "site".to_owned() };
    let new = NewAction { org: ORG.to_owned(), repo, request: issue(), key: None };
    let ann = principal("ann");
    let answering = async {
        while waker.calls.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        actor.actions.answer_previews().await
    };
    let (preview, answered) = tokio::join!(gate.actions.preview(&ann, &new), answering);
    answered.expect("the store works");
    let preview = preview.expect("GitHub is read");
    assert!(matches!(preview.phase, Phase::Ready { .. }), "{:?}", preview.phase);
    assert_eq!(gate.actions.get(&preview.id).await.unwrap(), None, "no action is stored");
    assert_eq!((gate.effects(), gate.audit(Some(ORG)).await), ([0; 5], Vec::new()));
}

#[tokio::test]
async fn a_run_says_when_there_is_something_to_do_next() {
    let world = World::new();
    assert_eq!(world.actions.run_due().await.unwrap(), RunReport::default(), "nothing waits");
    let [first, second] = [world.submit(comment()).await, world.submit(comment()).await];
    let mut report = world.actions.run_due().await.unwrap();
    for _ in 0..10 {
        if report.held_back > 0 {
            break;
        }
        report = world.actions.run_due().await.unwrap();
    }
    let wait = report.next_due.expect("the second one waits") - world.actions.now();
    assert!(report.held_back == 1 && wait > TimeDelta::zero() && wait <= TimeDelta::seconds(3), "{report:?}");
    world.clock.advance(wait);
    for id in [&first.id, &second.id] {
        assert_eq!(world.drive(id).await.phase, Phase::Succeeded);
    }
}
