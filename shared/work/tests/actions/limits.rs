//! Pace, secondary limits and the circuit breaker.

use chrono::TimeDelta;
use gam_work::actions::*;

use super::support::*;

#[tokio::test]
async fn a_limit_in_mid_burst_stops_everybody_until_it_is_over() {
    let world = World::new();
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(world.submit(comment()).await.id);
    }
    world.github.fail(|number, _| (number % 7 == 3).then_some(Fault::Limited(120)));
    for id in &ids {
        assert_eq!(world.drive(id).await.phase, Phase::Succeeded);
    }
    assert_eq!(world.effects()[1], 20);
    let writes = world.github.lock().writes.clone();
    let gaps: Vec<TimeDelta> = writes.windows(2).map(|pair| pair[1] - pair[0]).collect();
    for (number, gap) in gaps.iter().enumerate() {
        let least = if number % 7 == 3 { TimeDelta::seconds(120) } else { TimeDelta::seconds(3) };
        assert!(*gap >= least, "{number}: {gap}");
    }
}

#[tokio::test]
async fn the_breaker_holds_actions_back_and_loses_none() {
    let world = World::new();
    let mut ids = Vec::new();
    for _ in 0..12 {
        ids.push(world.submit(comment()).await.id);
    }
    let clock = world.clock.clone();
    let start = gam_model::Clock::now(&clock);
    world.github.fail(move |_, _| {
        (gam_model::Clock::now(&clock) - start < TimeDelta::minutes(20)).then_some(Fault::NotSent)
    });
    for id in &ids {
        assert_eq!(world.drive(id).await.phase, Phase::Succeeded);
    }
    assert_eq!(world.effects()[1], 12);
    let failed = world.github.lock().writes.iter().filter(|at| **at - start < TimeDelta::minutes(20)).count();
    assert!(failed <= 12, "{failed} requests were sent to a GitHub that fails");
    let rows = world.audit(None).await;
    assert_eq!(rows, ["breaker_opened ok", "breaker_closed ok"]);
}

#[tokio::test]
async fn an_action_that_cannot_be_sent_for_a_day_fails() {
    let world = World::new();
    world.github.fail(|_, _| Some(Fault::NotSent));
    let action = world.submit(comment()).await;
    for _ in 0..600 {
        world.actions.run_due().await.unwrap();
        world.clock.advance(TimeDelta::minutes(3));
    }
    let action = world.get(&action.id).await;
    assert!(
        matches!(action.phase, Phase::Failed { code: FailureCode::Unreachable, .. }),
        "{:?}",
        action.phase
    );
    assert_eq!(world.effects(), [0; 5]);
}

#[tokio::test]
async fn a_retried_action_has_a_day_of_its_own() {
    let world = World::new();
    let action = world.run(ActionRequest::merge_of(99)).await;
    assert!(matches!(action.phase, Phase::Failed { code: FailureCode::NotFound, .. }), "{:?}", action.phase);
    world.clock.advance(TimeDelta::days(3));
    world.github.lock().is_unreachable = true;
    world.actions.retry(&"local".into(), &action.id).await.unwrap();
    let run = async |hours: i64| {
        for _ in 0..hours * 60 {
            world.actions.run_due().await.unwrap();
            world.clock.advance(TimeDelta::minutes(1));
        }
        world.get(&action.id).await.phase
    };
    assert_eq!(run(23).await, Phase::Requested, "GitHub may come back");
    let phase = run(2).await;
    assert!(matches!(phase, Phase::Failed { code: FailureCode::Unreachable, .. }), "{phase:?}");
}
