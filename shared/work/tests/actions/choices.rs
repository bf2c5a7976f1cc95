//! Which branch and which pull request are taken, and what GitHub's answers mean.

use gam_work::actions::*;

use super::support::*;

fn failure(action: &Action) -> Option<FailureCode> {
    match action.phase {
        Phase::Failed { code, .. } => Some(code),
        _ => None,
    }
}

#[tokio::test]
async fn the_branch_with_the_newest_commit_is_taken() {
    let world = World::new();
    for (name, sha, minutes, has_pull) in [
        ("main", '0', 90, false),
        ("behind", '1', 80, false),
        ("in-review", '2', 70, true),
        ("b-newest", '3', 60, false),
        ("a-newest", '4', 60, false),
        ("older", '5', 10, false),
    ] {
        world.github.add_branch(name, sha, minutes, has_pull);
    }
    let action = world.run(pull(None)).await;
    assert_eq!(action.phase, Phase::Succeeded);
    assert_eq!((&action.data["branch"], &action.data["created"]), (&"a-newest".into(), &true.into()));
    assert_eq!(action.choice.unwrap().title.as_deref(), Some("A newest"));
    let empty = World::new();
    empty.github.add_branch("main", '0', 0, false);
    assert_eq!(failure(&empty.run(pull(None)).await), Some(FailureCode::NoCandidate));
    assert_eq!(failure(&empty.run(pull(Some("gone"))).await), Some(FailureCode::NotFound));
}

#[tokio::test]
async fn an_open_pull_request_is_not_created_again() {
    let world = World::new();
    world.github.add_branch("change", 'b', 0, true);
    world.github.add_pull(5, "change", 'b');
    let action = world.run(pull(Some("change"))).await;
    assert_eq!(
        (action.phase, &action.data["number"], &action.data["created"]),
        (Phase::Succeeded, &5.into(), &false.into())
    );
    assert!(world.github.lock().writes.is_empty());
}

#[tokio::test]
async fn a_pull_request_that_appears_meanwhile_is_the_result() {
    let world = World::new();
    world.github.add_branch("change", 'b', 0, false);
    world.github.fail(|_, _| {
        Some(Fault::Refused(422, "Validation Failed: A pull request already exists for acme:change."))
    });
    let action = world.submit(pull(Some("change"))).await;
    world.actions.run_due().await.unwrap();
    world.actions.run_due().await.unwrap();
    world.github.add_pull(5, "change", 'b');
    let action = world.drive(&action.id).await;
    assert_eq!((action.phase, &action.data["created"]), (Phase::Succeeded, &false.into()));
}

#[tokio::test]
async fn the_newest_pull_request_is_neither_a_draft_nor_from_a_fork() {
    let world = World::new();
    for number in [3, 5, 7, 9] {
        world.github.add_pull(number, &format!("b{number}"), 'b');
    }
    world.github.edit_pull(9, |pull| pull.is_draft = true);
    world.github.edit_pull(7, |pull| pull.is_fork = true);
    let action = world.run(merge(None)).await;
    assert_eq!((action.phase, &action.data["number"]), (Phase::Succeeded, &5.into()));
    for (number, expected) in [
        (9, FailureCode::NotAllowed),
        (7, FailureCode::NotAllowed),
        (5, FailureCode::NotAllowed),
        (1, FailureCode::NotFound),
    ] {
        assert_eq!(failure(&world.run(merge(Some(number))).await), Some(expected), "{number}");
    }
}

#[tokio::test]
async fn nobody_approves_their_own_pull_request() {
    let world = World::new();
    world.github.add_pull(5, "change", 'b');
    world.github.edit_pull(5, |pull| pull.author = Some(LOGIN.to_owned()));
    let action = world.run(merge(Some(5))).await;
    assert_eq!(action.phase, Phase::Succeeded);
    assert_eq!(action.data["review"]["skipped"], "own pull request");
    assert_eq!(world.effects()[3..], [0, 1]);
}

#[tokio::test]
async fn an_older_server_merges_at_once() {
    let world = World::new();
    world.github.lock().has_merge_requests = false;
    world.github.add_pull(5, "change", 'b');
    let action = world.run(merge(Some(5))).await;
    assert_eq!((action.phase, &action.data["merged"]), (Phase::Succeeded, &true.into()));
    assert_eq!(world.effects()[3..], [1, 1]);
}

#[tokio::test]
async fn a_merge_queue_gets_the_pull_request() {
    for has_merge_requests in [true, false] {
        let world = World::new();
        world.github.lock().has_merge_requests = has_merge_requests;
        world.github.lock().needs_queue = true;
        world.github.add_pull(5, "change", 'b');
        let action = world.run(merge(Some(5))).await;
        assert_eq!((action.phase, &action.data["queued"]), (Phase::Succeeded, &true.into()));
    }
}

#[tokio::test]
async fn refusals_of_a_merge_have_meanings() {
    let not_mergeable = Some(FailureCode::NotMergeable);
    for (status, text, times, expected) in [
        (405, "Base branch was modified. Review and try the merge again.", 2, None),
        (405, "Base branch was modified. Review and try the merge again.", 99, not_mergeable),
        (405, "Merge already in progress", 1, None),
        (405, "Pull Request is not mergeable", 1, None),
        (405, "At least 1 approving review is required by reviewers with write access.", 1, not_mergeable),
        (405, "Required status check \"ci\" is expected.", 1, not_mergeable),
        (405, "Squash merges are not allowed on this repository.", 1, not_mergeable),
        (409, "Head branch was modified. Review and try the merge again.", 1, Some(FailureCode::HeadMoved)),
        (403, "Resource not accessible by integration", 1, Some(FailureCode::Refused)),
    ] {
        let world = World::new();
        world.github.lock().has_merge_requests = false;
        world.github.add_pull(5, "change", 'b');
        let mut left = times;
        world.github.fail(move |_, call| {
            if !matches!(call, WriteCall::Merge { is_repeatable: false, .. }) || left == 0 {
                return None;
            }
            left -= 1;
            Some(Fault::Refused(status, text))
        });
        let action = world.run(merge(Some(5))).await;
        assert_eq!(failure(&action), expected, "{text}: {:?}", action.phase);
        assert_eq!(world.effects()[4], usize::from(expected.is_none()), "{text}");
    }
}

#[tokio::test]
async fn a_merge_that_was_refused_but_done_is_done() {
    let world = World::new();
    world.github.lock().has_merge_requests = false;
    world.github.add_pull(5, "change", 'b');
    let github = world.github.clone();
    let action = world.submit(merge(Some(5))).await;
    world.github.fail(move |_, call| {
        matches!(call, WriteCall::Merge { is_repeatable: false, .. })
            .then_some(Fault::Refused(405, "Pull Request is not mergeable"))
    });
    for _ in 0..8 {
        world.actions.run_due().await.unwrap();
        world.clock.advance(chrono::TimeDelta::seconds(1));
    }
    github.edit_pull(5, |pull| pull.state = PullState::Merged);
    assert_eq!(world.drive(&action.id).await.phase, Phase::Succeeded);
}

#[tokio::test]
async fn conflicts_are_reported_and_a_slow_computation_is_waited_for() {
    let world = World::new();
    world.github.add_pull(5, "change", 'b');
    world.github.edit_pull(5, |pull| pull.is_mergeable = Some(false));
    assert_eq!(failure(&world.run(merge(Some(5))).await), Some(FailureCode::NotMergeable));
    world.github.add_pull(6, "other", 'c');
    world.github.edit_pull(6, |pull| pull.is_mergeable = None);
    assert_eq!(world.run(merge(Some(6))).await.phase, Phase::Succeeded);
}

#[tokio::test]
async fn labels_that_github_dropped_are_reported() {
    let world = World::new();
    world.github.lock().drops_labels = true;
    let action = world.run(issue()).await;
    assert_eq!(action.data["dropped_labels"], serde_json::json!(["Bug"]));
    let world = World::new();
    assert_eq!(world.run(issue()).await.data["dropped_labels"], serde_json::json!([]));
}

#[tokio::test]
async fn a_comment_that_is_refused_does_not_repeat_the_issue() {
    let world = World::new();
    world.github.fail(|_, call| {
        matches!(call, WriteCall::CreateComment { .. })
            .then_some(Fault::Refused(403, "Unable to create comment"))
    });
    let action = world.run(issue()).await;
    assert_eq!(failure(&action), Some(FailureCode::Refused));
    assert!(action.data.contains_key("number"), "the issue is reported");
    world.github.fail(|_, _| None);
    world.actions.retry(&"local".into(), &action.id).await.unwrap();
    assert_eq!(world.drive(&action.id).await.phase, Phase::Succeeded);
    assert_eq!(world.effects()[..2], [1, 1]);
}

#[tokio::test]
async fn a_repository_that_takes_nothing_fails_the_action() {
    for (name, expected) in [
        ("missing", FailureCode::NotFound),
        ("archived", FailureCode::NotAllowed),
        ("no-issues", FailureCode::NotAllowed),
    ] {
        let world = World::new();
        let repo = RepositoryName { owner: "acme".to_owned(), name: name.to_owned() };
        let new = NewAction { org: ORG.to_owned(), repo, request: issue(), key: None };
        let submitted = world.actions.submit(&principal("ann"), &new).await.unwrap();
        assert_eq!(failure(&world.drive(&submitted.action.id).await), Some(expected), "{name}");
        let preview = world.preview(&new).await;
        assert_eq!(failure(&preview), Some(expected), "{name}");
    }
}

#[tokio::test]
async fn a_preview_stores_and_sends_nothing() {
    let world = World::with_policy("[[policy]]\napprovals = 1\n");
    world.github.add_pull(5, "change", 'b');
    let repo = RepositoryName { owner: "acme".to_owned(), name: "site".to_owned() };
    let new = NewAction { org: ORG.to_owned(), repo, request: merge(None), key: None };
    let preview = world.preview(&new).await;
    assert!(matches!(preview.phase, Phase::Waiting { .. }));
    assert_eq!(preview.choice.unwrap().head_sha, Some(sha_of('b')));
    assert!(world.actions.get(&preview.id).await.unwrap().is_none());
    assert!(world.audit(Some(ORG)).await.is_empty());
}
