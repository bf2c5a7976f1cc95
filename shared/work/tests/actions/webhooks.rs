//! A delivery of a webhook has actions looked at that wait for GitHub.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::TimeDelta;
use gam_model::{Clock, Identity, TaskRules};
use gam_work::actions::*;
use gam_work::{OrderOutcome, OrgScope, OrgScopes, Processor, Received, WorkError, read_delivery};
use serde_json::json;

use super::support::*;

struct OnlyAcme;

#[async_trait]
impl OrgScopes for OnlyAcme {
    async fn find(&self, _: &str) -> Result<Option<OrgScope>, WorkError> {
        let (identity, task_rules) = (Arc::new(Identity::default()), TaskRules::default());
        Ok(Some(OrgScope { key: ORG.to_owned(), identity, task_rules, revision: 0 }))
    }
}

/// Carries out a delivery about a repository.
async fn deliver(world: &World, event: &str, action: &str, repo: &str) {
    deliver_to(world, (event, action, repo), true).await;
}

/// Delivers to a process that wakes actions, or may not write them.
async fn deliver_to(world: &World, (event, action, repo): (&str, &str, &str), wakes_actions: bool) {
    let repository = json!({
        "id": 1, "node_id": "R_1", "name": repo, "full_name": format!("Acme/{repo}"), "default_branch": "main",
        "owner": { "login": "Acme", "id": 2 },
    });
    let body = json!({
        "action": action, "repository": repository, "organization": { "login": "Acme", "id": 2 },
        "pull_request": { "number": 5 }, "review": { "id": 1 },
    });
    let guid = format!("{event}-{repo}");
    let received = read_delivery(event, &guid, body.to_string().as_bytes(), world.clock.now());
    let Received::Order(order) = received.expect("a delivery") else { panic!("{event} is ignored") };
    let processor = Processor {
        records: world.records.clone(),
        clock: Arc::new(world.clock.clone()),
        scopes: Arc::new(OnlyAcme),
        source: None,
        followers: Vec::new(),
        wakes_actions,
    };
    assert_eq!(processor.process(&order, None).await.expect("the store works"), OrderOutcome::Done);
}

#[tokio::test]
async fn a_push_voids_approvals_at_once() {
    let world = World::with_policy("[[policy]]\napprovals = 2\n");
    world.github.add_pull(5, "change", 'b');
    let old = world.run(merge(Some(5))).await;
    world.clock.advance(TimeDelta::milliseconds(1));
    world.actions.decide(&principal("bob"), &old.id, &old.content_hash(), &Decision::Approve).await.unwrap();
    world.github.edit_pull(5, |pull| pull.head_sha = sha_of('c'));
    world.clock.advance(TimeDelta::seconds(1));
    world.actions.run_due().await.unwrap();
    deliver(&world, "pull_request_review", "submitted", "elsewhere").await;
    world.actions.run_due().await.unwrap();
    assert_eq!(world.get(&old.id).await.approvals.len(), 1, "nothing says yet that the head moved");
    deliver(&world, "pull_request", "synchronize", "site").await;
    world.actions.run_due().await.unwrap();
    let new = world.get(&old.id).await;
    assert!(new.approvals.is_empty() && matches!(new.phase, Phase::Waiting { .. }), "{new:?}");
    assert_eq!(new.choice.unwrap().head_sha, Some(sha_of('c')));
    assert!(world.audit(Some(ORG)).await.contains(&"approval_voided head_moved".to_owned()));
}

#[tokio::test]
async fn a_process_that_may_not_write_actions_leaves_them_alone() {
    let world = World::with_policy("[[policy]]\napprovals = 2\n");
    world.github.add_pull(5, "change", 'b');
    let old = world.run(merge(Some(5))).await;
    world.clock.advance(TimeDelta::seconds(1));
    deliver_to(&world, ("pull_request", "synchronize", "site"), false).await;
    assert_eq!(world.get(&old.id).await, old);
}

#[tokio::test]
async fn a_delivery_settles_a_lost_answer_and_uses_up_no_look() {
    let world = World::new();
    world.github.lock().lag = TimeDelta::minutes(3);
    world.github.fail(|number, _| (number == 0).then_some(Fault::LostAfter));
    let action = world.submit(comment()).await;
    for _ in 0..3 {
        world.actions.run_due().await.unwrap();
    }
    assert!(matches!(world.get(&action.id).await.phase, Phase::Checking { looks: 0, .. }));
    deliver(&world, "pull_request_review", "submitted", "site").await;
    world.actions.run_due().await.unwrap();
    assert!(matches!(world.get(&action.id).await.phase, Phase::Checking { looks: 0, .. }), "too early");
    // The third look is after two minutes, the fourth one after five.
    for seconds in [5, 30, 90] {
        world.clock.advance(TimeDelta::seconds(seconds));
        world.actions.run_due().await.unwrap();
    }
    let checked = world.get(&action.id).await;
    assert!(matches!(checked.phase, Phase::Checking { looks: 3, .. }), "{:?}", checked.phase);
    world.clock.advance(TimeDelta::seconds(70));
    world.actions.run_due().await.unwrap();
    assert!(!world.get(&action.id).await.is_settled(), "nobody looks now");
    deliver(&world, "pull_request", "edited", "site").await;
    world.actions.run_due().await.unwrap();
    assert_eq!(world.get(&action.id).await.phase, Phase::Succeeded);
    assert_eq!(world.effects()[1], 1);
}
