//! Policies and approvals.

use chrono::TimeDelta;
use gam_work::actions::*;

use super::support::*;

const ONE: &str = "[[policy]]\nactions = [\"approve-merge-pr\"]\napprovals = 1\nhours = 4\n";

async fn approve(world: &World, who: &str, action: &Action) -> Result<Action, ActionError> {
    world.actions.decide(&principal(who), &action.id, &action.content_hash(), &Decision::Approve).await
}

#[tokio::test]
async fn a_merge_waits_for_an_approval_of_somebody_else() {
    let world = World::with_policy(ONE);
    world.github.add_pull(5, "change", 'b');
    let action = world.run(merge(Some(5))).await;
    assert!(matches!(action.phase, Phase::Waiting { .. }));
    assert_eq!(world.effects(), [0; 5]);
    assert!(matches!(approve(&world, "ann", &action).await, Err(ActionError::Forbidden(_))), "her own");
    let other_hash = world.actions.decide(&principal("bob"), &action.id, "00", &Decision::Approve).await;
    assert!(matches!(other_hash, Err(ActionError::Conflict(_))));
    approve(&world, "bob", &action).await.unwrap();
    approve(&world, "bob", &action).await.expect("a repetition changes nothing");
    assert_eq!(world.drive(&action.id).await.phase, Phase::Succeeded);
    assert_eq!(world.effects(), [0, 0, 0, 1, 1]);
    let audit = world.audit(Some(ORG)).await;
    let kinds: Vec<&str> = audit.iter().filter_map(|row| row.split(' ').next()).collect();
    let expected = [
        "action_requested",
        "approval_requested",
        "action_approved",
        "action_attempted",
        "action_attempted",
        "action_succeeded",
    ];
    assert_eq!(kinds, expected);
}

#[tokio::test]
async fn two_approvals_come_from_two_people() {
    let world = World::with_policy("[[policy]]\napprovals = 2\n");
    let action = world.run(comment()).await;
    approve(&world, "bob", &action).await.unwrap();
    approve(&world, "bob", &action).await.unwrap();
    assert!(matches!(world.drive(&action.id).await.phase, Phase::Waiting { .. }));
    approve(&world, "eve", &action).await.unwrap();
    assert_eq!(world.drive(&action.id).await.phase, Phase::Succeeded);
}

#[tokio::test]
async fn a_push_voids_approvals() {
    let world = World::with_policy(ONE);
    world.github.add_pull(5, "change", 'b');
    let old = world.run(merge(Some(5))).await;
    approve(&world, "bob", &old).await.unwrap();
    world.github.edit_pull(5, |pull| pull.head_sha = sha_of('c'));
    let new = world.drive(&old.id).await;
    assert!(matches!(new.phase, Phase::Waiting { .. }) && new.approvals.is_empty(), "{new:?}");
    assert_ne!(new.content_hash(), old.content_hash());
    assert!(matches!(approve(&world, "bob", &old).await, Err(ActionError::Conflict(_))));
    approve(&world, "bob", &new).await.unwrap();
    assert_eq!(world.drive(&old.id).await.phase, Phase::Succeeded);
    assert_eq!(world.github.lock().merges, [(5, sha_of('c'))]);
    assert!(world.audit(Some(ORG)).await.contains(&"approval_voided head_moved".to_owned()));
}

#[tokio::test]
async fn a_push_while_it_waits_shows_in_time() {
    let world = World::with_policy(ONE);
    world.github.add_pull(5, "change", 'b');
    let old = world.run(merge(Some(5))).await;
    world.github.edit_pull(5, |pull| pull.head_sha = sha_of('c'));
    world.clock.advance(TimeDelta::minutes(5));
    world.actions.run_due().await.unwrap();
    assert_eq!(world.get(&old.id).await.choice.unwrap().head_sha, Some(sha_of('c')));
}

#[tokio::test]
async fn a_moved_head_without_approvals_is_not_merged() {
    let world = World::new();
    world.github.add_pull(5, "change", 'b');
    // The head moves after the review.
    let github = world.github.clone();
    let clock = world.clock.clone();
    let action = world.submit(merge(Some(5))).await;
    for _ in 0..100 {
        world.actions.run_due().await.unwrap();
        if world.effects()[3] == 1 {
            github.edit_pull(5, |pull| pull.head_sha = sha_of('c'));
        }
        clock.advance(TimeDelta::seconds(1));
    }
    let action = world.get(&action.id).await;
    assert!(matches!(action.phase, Phase::Failed { code: FailureCode::HeadMoved, .. }), "{:?}", action.phase);
    assert_eq!(world.effects(), [0, 0, 0, 1, 0]);
}

#[tokio::test]
async fn an_expected_head_is_never_exchanged() {
    let world = World::with_policy(ONE);
    world.github.add_pull(5, "change", 'b');
    let with_sha = |sha: char| match merge(Some(5)) {
        ActionRequest::ApproveMergePr { number, .. } => ActionRequest::ApproveMergePr {
            number,
            expected_sha: Some(sha_of(sha)),
            review_comment: None,
            method: Some(MergeMethod::Squash),
            commit_title: None,
            commit_message: None,
            allow_fork: false,
        },
        other => other,
    };
    let wrong = world.run(with_sha('a')).await;
    assert!(matches!(wrong.phase, Phase::Failed { code: FailureCode::HeadMoved, .. }));
    let right = world.run(with_sha('b')).await;
    approve(&world, "bob", &right).await.unwrap();
    world.github.edit_pull(5, |pull| pull.head_sha = sha_of('c'));
    let right = world.drive(&right.id).await;
    assert!(matches!(right.phase, Phase::Failed { code: FailureCode::HeadMoved, .. }));
    assert_eq!(world.effects(), [0; 5]);
}

#[tokio::test]
async fn approvals_expire() {
    let world = World::with_policy(ONE);
    world.github.add_pull(5, "change", 'b');
    let action = world.run(merge(Some(5))).await;
    world.clock.advance(TimeDelta::hours(4));
    assert!(matches!(approve(&world, "bob", &action).await, Err(ActionError::Expired(_))));
    world.actions.run_due().await.unwrap();
    let action = world.get(&action.id).await;
    assert!(matches!(action.phase, Phase::Failed { code: FailureCode::ApprovalExpired, .. }));
    assert!(matches!(approve(&world, "bob", &action).await, Err(ActionError::Conflict(_))));
}

#[tokio::test]
async fn a_rejected_action_is_never_done() {
    let world = World::with_policy(ONE);
    world.github.add_pull(5, "change", 'b');
    let action = world.run(merge(Some(5))).await;
    let reject = Decision::Reject { reason: Some("not today".to_owned()) };
    let hash = action.content_hash();
    let rejected = world.actions.decide(&principal("bob"), &action.id, &hash, &reject).await.unwrap();
    let Phase::Failed { code: FailureCode::Rejected, reason } = &rejected.phase else {
        panic!("{rejected:?}")
    };
    assert!(reason.contains("not today"));
    assert!(matches!(approve(&world, "bob", &action).await, Err(ActionError::Conflict(_))));
    for _ in 0..20 {
        world.clock.advance(TimeDelta::hours(1));
        world.actions.run_due().await.unwrap();
    }
    assert_eq!(world.effects(), [0; 5]);
}

#[tokio::test]
async fn the_policy_can_forbid_the_newest_and_forks() {
    let world = World::with_policy("[[policy]]\nallow_newest = false\nallow_fork = false\n");
    world.github.add_branch("feature", 'a', 0, false);
    for request in [pull(None), merge(None)] {
        let refused = world.try_submit("ann", request, None).await;
        assert!(matches!(refused, Err(ActionError::Forbidden(_))), "{refused:?}");
    }
    assert_eq!(world.run(pull(Some("feature"))).await.phase, Phase::Succeeded);
}
