//! Whatever fails where: at most one issue, comment, pull request, review and merge.

use std::sync::Arc;

use chrono::TimeDelta;
use gam_work::actions::*;

use super::support::*;

/// The requests, with what each makes: issues, comments, pull requests, reviews, merges.
fn requests() -> [(ActionRequest, [usize; 5]); 4] {
    [
        (issue(), [1, 1, 0, 0, 0]),
        (comment(), [0, 1, 0, 0, 0]),
        (pull(Some("feature")), [0, 0, 1, 0, 0]),
        (merge(Some(5)), [0, 0, 0, 1, 1]),
    ]
}

fn prepare(world: &World) {
    world.github.add_branch("feature", 'a', 0, false);
    world.github.add_pull(5, "change", 'b');
}

#[tokio::test]
async fn everything_is_done_once_if_nothing_fails() {
    for (request, effects) in requests() {
        let world = World::new();
        prepare(&world);
        let action = world.run(request).await;
        assert_eq!(action.phase, Phase::Succeeded, "{action:?}");
        assert_eq!(world.effects(), effects);
        assert!(action.due.is_none());
        let audit = world.audit(Some(ORG)).await;
        assert_eq!(audit.first().map(String::as_str), Some("action_requested ok"));
        assert_eq!(audit.last().map(String::as_str), Some("action_succeeded ok"));
        let attempts = audit.iter().filter(|row| row.starts_with("action_attempted")).count();
        assert_eq!(attempts, effects.iter().sum::<usize>(), "{audit:?}");
    }
}

#[tokio::test]
async fn a_lost_answer_never_makes_a_second_one() {
    for lag in [TimeDelta::zero(), TimeDelta::minutes(10)] {
        for fault in [Fault::LostBefore, Fault::LostAfter] {
            for at in 0..2 {
                for (request, effects) in requests() {
                    let world = World::new();
                    prepare(&world);
                    world.github.lock().lag = lag;
                    world.github.fail(move |number, _| (number == at).then_some(fault));
                    let action = world.run(request).await;
                    let made = world.effects();
                    let case = format!("{fault:?} at {at}, lag {lag}, {:?}", action.request);
                    assert!(made.iter().zip(effects).all(|(made, most)| *made <= most), "{case}: {made:?}");
                    let was_hit = at < world.github.lock().writes.len();
                    match (&action.phase, fault) {
                        (Phase::Succeeded, _) => assert_eq!(made, effects, "{case}"),
                        // GitHub's lists show nothing, and a repetition would be blind.
                        (Phase::Unknown { .. }, Fault::LostBefore) => assert!(was_hit, "{case}"),
                        (phase, _) => panic!("{case}: {phase:?}"),
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn what_was_not_sent_or_was_limited_is_done_later() {
    for fault in [Fault::NotSent, Fault::Limited(90)] {
        for (request, effects) in requests() {
            let world = World::new();
            prepare(&world);
            world.github.fail(move |number, _| (number < 3).then_some(fault));
            let action = world.run(request).await;
            assert_eq!(action.phase, Phase::Succeeded, "{fault:?}");
            assert_eq!(world.effects(), effects, "{fault:?}");
        }
    }
}

/// Kills the process at each commit, before and after it, and lets another one go on.
async fn survive_deaths(store: impl AsyncFn() -> TestStore) {
    for (request, effects) in requests() {
        for at in 0..12 {
            let mut has_died = false;
            for death in [Death::Before(at), Death::After(at), Death::LostAnswer(at)] {
                let store = store().await;
                let inner = store.records.clone();
                let mortal = death.of_process_on(inner.clone());
                let first = World::with(Arc::new(mortal), "");
                prepare(&first);
                first.github.lock().lag = TimeDelta::minutes(10);
                let submitted = first.try_submit("ann", request.clone(), Some("key")).await;
                let mut died = submitted.is_err();
                for _ in 0..60 {
                    died = died || first.actions.run_due().await.is_err();
                    if died {
                        break;
                    }
                    first.clock.advance(TimeDelta::seconds(1));
                }
                has_died = has_died || died;
                let second = first.restarted(inner);
                // The client does not know either, and repeats its request.
                let action = second.try_submit("ann", request.clone(), Some("key")).await.expect("a request");
                let action = second.drive(&action.id).await;
                let made = second.effects();
                let case = format!("{death:?}: {:?}", action.request);
                assert!(made.iter().zip(effects).all(|(made, most)| *made <= most), "{case}: {made:?}");
                match &action.phase {
                    Phase::Succeeded => assert_eq!(made, effects, "{case}"),
                    // The process died before it sent what it had announced.
                    Phase::Unknown { .. } => assert!(matches!(death, Death::After(_)), "{case}"),
                    phase => panic!("{case}: {phase:?}"),
                }
                let listed = second.actions.list(ORG, &ActionFilter::default(), |_| true, 10, None).await;
                assert_eq!(listed.expect("a list").actions.len(), 1, "{case}");
                store.close().await;
            }
            if !has_died {
                assert!(at > 3, "the deaths were tried");
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_death_at_any_commit_doubles_nothing() {
    survive_deaths(async || TestStore::memory()).await;
}

#[tokio::test]
async fn a_death_at_any_commit_doubles_nothing_in_sqlite() {
    survive_deaths(TestStore::sqlite).await;
}

#[tokio::test]
async fn two_processes_send_each_request_once() {
    let world = World::new();
    let other = world.restarted(world.records.clone());
    let mut ids = Vec::new();
    for _ in 0..10 {
        ids.push(world.submit(issue()).await.id);
    }
    for _ in 0..400 {
        let (one, two) = tokio::join!(world.actions.run_due(), other.actions.run_due());
        one.and(two).expect("the store works");
        world.clock.advance(TimeDelta::seconds(1));
    }
    for id in &ids {
        assert_eq!(world.get(id).await.phase, Phase::Succeeded);
    }
    assert_eq!(world.effects()[..2], [10, 10]);
}

#[tokio::test]
async fn a_copied_marker_is_not_taken_for_the_result() {
    let world = World::new();
    world.github.fail(|number, _| (number == 0).then_some(Fault::LostAfter));
    let action = world.submit(issue()).await;
    for _ in 0..3 {
        world.actions.run_due().await.unwrap();
    }
    {
        let mut state = world.github.lock();
        let mut copy = state.issues[0].clone();
        (copy.it.number, copy.it.id, copy.it.author) = (1, 1, Some("mallory".to_owned()));
        let mut quote = state.issues[0].clone();
        quote.it.id = 2;
        quote.it.body.push_str("\nas somebody else wrote");
        state.issues.extend([copy, quote]);
    }
    let action = world.drive(&action.id).await;
    assert_eq!(action.phase, Phase::Succeeded);
    assert_eq!(action.data["number"], world.github.lock().issues[0].it.number);
}

#[tokio::test]
async fn an_unknown_action_is_resolved_by_a_person() {
    for is_done in [true, false] {
        let world = World::new();
        world.github.fail(|number, _| (number == 0).then_some(Fault::LostBefore));
        let action = world.run(issue()).await;
        assert!(matches!(action.phase, Phase::Unknown { step: Step::Issue, .. }), "{:?}", action.phase);
        assert!(world.actions.retry(&"local".into(), &action.id).await.is_err(), "it may have been done");
        if is_done {
            let url = "https://github.example/acme/site/issues/77".to_owned();
            let done = ActionResolution::Done { url };
            world.actions.resolve(&"local".into(), &action.id, &done).await.unwrap();
            let action = world.drive(&action.id).await;
            assert_eq!((action.phase, &action.data["number"]), (Phase::Succeeded, &77.into()));
            assert_eq!(world.effects()[..2], [0, 1], "the comment followed");
        } else {
            let invalid = ActionResolution::Done { url: "later".to_owned() };
            assert!(world.actions.resolve(&"local".into(), &action.id, &invalid).await.is_err());
            world.actions.resolve(&"local".into(), &action.id, &ActionResolution::NotDone).await.unwrap();
            let failed = world.get(&action.id).await;
            assert!(matches!(failed.phase, Phase::Failed { code: FailureCode::NotDone, .. }));
            world.actions.retry(&"local".into(), &action.id).await.unwrap();
            assert_eq!(world.drive(&action.id).await.phase, Phase::Succeeded);
            assert_eq!(world.effects()[..2], [1, 1]);
        }
        let audit = world.audit(Some(ORG)).await;
        assert!(audit.contains(&"action_unknown unknown".to_owned()), "{audit:?}");
        let resolved = if is_done { "action_resolved done" } else { "action_resolved not_done" };
        assert!(audit.contains(&resolved.to_owned()), "{audit:?}");
    }
}
