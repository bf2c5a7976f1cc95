//! Keys of clients, and the default comment.

use std::sync::Arc;

use chrono::TimeDelta;
use gam_access::{AuditRow, Principal};
use gam_store::{MemoryStore, OrgStore, RecordKind, RecordRange};
use gam_work::actions::*;

use super::support::*;

#[tokio::test]
async fn one_key_is_one_action() {
    let world = World::new();
    let first = world.try_submit("ann", issue(), Some("k")).await.unwrap();
    let second = world.try_submit("ann", issue(), Some("k")).await.unwrap();
    assert_eq!(first.id, second.id);
    let done = world.drive(&first.id).await;
    assert_eq!(world.try_submit("ann", issue(), Some("k")).await.unwrap(), done);
    assert_eq!(world.effects()[..2], [1, 1]);
    let other = world.try_submit("ann", comment(), Some("k")).await;
    assert!(matches!(other, Err(ActionError::KeyReused(_))));
    let of_bob = world.try_submit("bob", issue(), Some("k")).await.unwrap();
    assert_ne!(of_bob.id, first.id);
    for key in ["", "ä", &"x".repeat(256)] {
        assert!(matches!(world.try_submit("ann", issue(), Some(key)).await, Err(ActionError::Invalid(_))));
    }
}

#[tokio::test]
async fn requests_with_one_key_at_the_same_time_are_one_action() {
    let world = World::new();
    let submit = || world.try_submit("ann", issue(), Some("k"));
    let (a, b, c) = tokio::join!(submit(), submit(), submit());
    let ids = [a.unwrap().id, b.unwrap().id, c.unwrap().id];
    assert!(ids.iter().all(|id| *id == ids[0]));
}

#[tokio::test]
async fn a_request_that_no_record_holds_is_refused() {
    let world = World::new();
    let long = "\u{1F980}".repeat(60_000);
    let request = match issue() {
        ActionRequest::CreateIssue { title, labels, assignees, milestone, .. } => {
            ActionRequest::CreateIssue {
                title,
                body: long.clone(),
                labels,
                assignees,
                milestone,
                comment: Some(long),
            }
        }
        other => other,
    };
    assert!(matches!(world.try_submit("ann", request, None).await, Err(ActionError::Invalid(_))));
}

#[tokio::test]
async fn the_default_comment_follows_an_issue_without_one() {
    let world = World::with_policy("default_comment = \"@claude have a look\"\n");
    let without = match issue() {
        ActionRequest::CreateIssue { title, body, labels, assignees, milestone, .. } => {
            ActionRequest::CreateIssue { title, body, labels, assignees, milestone, comment: None }
        }
        other => other,
    };
    let action = world.run(without).await;
    assert_eq!(action.phase, Phase::Succeeded);
    assert!(world.github.lock().comments[0].it.body.starts_with("@claude have a look\n\n<!--"));
    world.run(issue()).await;
    assert!(world.github.lock().comments[1].it.body.starts_with("Please look."));
}

#[tokio::test]
async fn actions_are_listed_the_newest_first_page_by_page() {
    let world = World::new();
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(world.submit(comment()).await.id);
        world.clock.advance(chrono::TimeDelta::milliseconds(1));
    }
    ids.reverse();
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page =
            world.actions.list(ORG, &ActionFilter::default(), |_| true, 2, after.as_ref()).await.unwrap();
        listed.extend(page.actions.into_iter().map(|action| action.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(listed, ids);
    let filter = ActionFilter { state: Some(ActionState::Succeeded), repo: None };
    assert!(world.actions.list(ORG, &filter, |_| true, 9, None).await.unwrap().actions.is_empty());
}

#[tokio::test]
async fn a_key_can_be_used_again_after_the_organization_was_removed() {
    let store = Arc::new(MemoryStore::default());
    let world = World::with(store.clone(), "");
    let removed = world.try_submit("ann", issue(), Some("k")).await.unwrap();
    store.delete_org(ORG).await.unwrap();
    let again = world.try_submit("ann", issue(), Some("k")).await.unwrap();
    assert_ne!(again.id, removed.id);
    assert_eq!(world.try_submit("ann", issue(), Some("k")).await.unwrap().id, again.id);
}

#[tokio::test]
async fn audit_rows_have_the_origin_of_the_request_and_answers_the_time_of_the_change() {
    let world = World::new();
    let ann = Principal { origin: Some("hash".to_owned()), ..principal("ann") };
    let repo = RepositoryName { owner: "acme".to_owned(), name: "api".to_owned() };
    let new = NewAction { org: ORG.to_owned(), repo, request: comment(), key: None };
    let action = world.actions.submit(&ann, &new).await.unwrap().action;
    assert_eq!(action.changed_at, world.actions.get(&action.id).await.unwrap().unwrap().changed_at);
    let range = RecordRange::new(Some(ORG), RecordKind::AuditRow, &[]).unwrap();
    let rows = world.records.range(&range, 9, world.actions.now()).await.unwrap();
    let row: AuditRow = serde_json::from_str(&rows[0].1.body).unwrap();
    assert_eq!(row.origin.as_deref(), Some("hash"));
}

#[tokio::test]
async fn ended_actions_are_kept_for_90_days_and_unknown_ones_until_they_are_resolved() {
    let world = World::new();
    let done = world.run(comment()).await;
    world.github.fail(|_, _| Some(Fault::LostBefore));
    let unknown = world.run(comment()).await;
    world.clock.advance(TimeDelta::days(89));
    assert_eq!(world.get(&done.id).await.phase, Phase::Succeeded);
    world.clock.advance(TimeDelta::days(2));
    assert_eq!(world.actions.get(&done.id).await.unwrap(), None);
    world.clock.advance(TimeDelta::days(1_000));
    assert!(matches!(world.get(&unknown.id).await.phase, Phase::Unknown { .. }));
    world.actions.resolve(&"local".into(), &unknown.id, &ActionResolution::NotDone).await.unwrap();
    world.clock.advance(TimeDelta::days(91));
    assert_eq!(world.actions.get(&unknown.id).await.unwrap(), None);
}
