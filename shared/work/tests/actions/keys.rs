//! Keys of clients, and the default comment.

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
