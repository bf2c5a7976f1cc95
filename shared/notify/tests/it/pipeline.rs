//! Nothing is lost, nothing comes twice, and no storm.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use gam_model::Clock as _;
use gam_notify::{OrgFacts, channel_status, list_messages, record_run};

use crate::support::{FailingStore, ORG, Service, World, count, webhooks};

#[tokio::test]
async fn ten_thousand_events_are_at_most_three_messages_a_channel() {
    let others = "[[notify.channels]]\nname = \"slack\"\ntype = \"slack\"\nurl = \"NOTIFY_URL\"\n[[notify.channels]]\nname = \
                  \"discord\"\ntype = \"discord\"\nurl = \"NOTIFY_URL\"\n[[notify.channels]]\nname = \"line\"\ntype = \"line\"\n\
                  url = \"NOTIFY_URL\"\ntoken = \"NOTIFY_T\"\nto = \"NOTIFY_U\"\n";
    let world = World::new(&format!("{}{others}", webhooks(&["hook"], "")));
    let notifier = world.notifier();
    world.run(&notifier, 5).await;
    for burst in 0..10 {
        world.fail_actions(burst * 1_000, 1_000).await;
        world.run(&notifier, 5).await;
        // Drains come at any time; a killed one has not deleted what it wrote.
        match burst {
            3 => world.log.drain(false).await,
            4 => world.log.delete_rows().await,
            7 => world.log.drain(true).await,
            _ => {}
        }
    }
    world.log.drain(true).await;
    world.run(&notifier, 1_800).await;
    for channel in ["hook", "slack", "discord", "line"] {
        let messages = world.services.taken(channel).len();
        assert!((1..=3).contains(&messages), "{channel}: {messages}");
    }
    assert_eq!(
        count(&world.services.taken("hook"), "action_failed"),
        10_000,
        "none is lost or counted twice"
    );
    let messages = list_messages(&*world.store, ORG, 100, world.clock.now()).await.unwrap();
    assert_eq!(
        messages.iter().filter(|it| it.channel == "hook").map(|it| it.notifications).sum::<u64>(),
        10_000
    );
}

#[tokio::test]
async fn what_is_held_comes_as_one_message_and_other_channels_report_the_failure() {
    let world = World::new(&webhooks(&["ops", "log"], "interval_minutes = 1"));
    let notifier = world.notifier();
    world.services.set("ops", Service::Answers(503));
    world.run(&notifier, 5).await;
    for first in 0..60 {
        world.fail_actions(first, 1).await;
        world.run(&notifier, 60).await;
    }
    assert!(world.services.taken("ops").is_empty());
    assert!(world.services.requests("ops") < 15, "{} requests in an hour", world.services.requests("ops"));
    let log = world.services.taken("log");
    assert_eq!((count(&log, "action_failed"), count(&log, "breaker_opened")), (60, 1));
    let status = channel_status(&*world.store, (ORG, "ops"), world.clock.now()).await.unwrap();
    assert!(status.is_broken && status.why.as_deref() == Some("the webhook answered 503"), "{status:?}");
    world.services.set("ops", Service::Takes);
    world.run(&notifier, 3_700).await;
    let ops = world.services.taken("ops");
    assert_eq!((ops.len(), count(&ops, "action_failed")), (1, 60));
    assert_eq!(count(&ops, "breaker_opened"), 0, "a channel never reports its own failure");
    assert_eq!(ops[0].body["data"]["held"], "the webhook answered 503");
}

#[tokio::test]
async fn a_failure_of_the_only_channel_makes_no_message() {
    let world = World::new(&webhooks(&["ops"], "interval_minutes = 0\nwait_seconds = 0"));
    let notifier = world.notifier();
    world.run(&notifier, 5).await;
    world.services.set("ops", Service::Answers(404));
    world.fail_actions(0, 1).await;
    world.run(&notifier, 12 * 3_600).await;
    assert_eq!(world.services.requests("ops"), 2, "a refused channel is tried each six hours");
    world.services.set("ops", Service::Takes);
    world.run(&notifier, 7 * 3_600).await;
    let ops = world.services.taken("ops");
    assert_eq!((ops.len(), count(&ops, "action_failed"), count(&ops, "breaker_opened")), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_silent_channel_delays_no_other() {
    let world = World::new(&webhooks(&["dead", "ops"], "interval_minutes = 0\nwait_seconds = 0"));
    let notifier = world.notifier();
    world.services.set("dead", Service::Silent);
    world.run_alone(&notifier).await;
    world.fail_actions(0, 1).await;
    let served = tokio::time::timeout(Duration::from_secs(60), notifier.run()).await;
    assert!(served.is_err(), "it never returns");
    assert_eq!((world.services.requests("dead"), world.services.taken("ops").len()), (1, 1));
}

#[tokio::test]
async fn a_killed_process_loses_no_notification() {
    let mut deaths = 0;
    for fails_at in 0.. {
        let mut is_over = false;
        for has_effect in [false, true] {
            let world = World::new(&webhooks(&["a", "b"], "interval_minutes = 0\nwait_seconds = 0"));
            world.run(&world.notifier(), 5).await;
            world.fail_actions(0, 3).await;
            let store = Arc::new(FailingStore::new(world.store.clone(), fails_at, has_effect));
            let notifier = world.notifier_in(store.clone());
            for _ in 0..3 {
                let _ = notifier.run_once().await;
            }
            world.log.drain(true).await;
            is_over = !store.has_failed();
            deaths += usize::from(!is_over);
            // Another process goes on.
            world.run(&world.notifier(), 300).await;
            for channel in ["a", "b"] {
                let taken = world.services.taken(channel);
                let mut ids: Vec<&str> = taken.iter().map(|taken| taken.id.as_str()).collect();
                ids.dedup();
                assert!((1..=2).contains(&taken.len()), "{fails_at} {has_effect} {channel}: {}", taken.len());
                assert_eq!(ids.len(), 1, "a message that is sent again has its id");
                assert_eq!(taken[0].body["data"]["counts"]["action_failed"], 3, "{fails_at} {has_effect}");
            }
        }
        if is_over {
            break;
        }
    }
    assert!(deaths >= 10, "{deaths} deaths were tried");
}

#[tokio::test]
async fn conditions_are_reported_once_and_when_they_end() {
    let world = World::new(&webhooks(&["ops"], "interval_minutes = 0\nwait_seconds = 0"));
    let notifier = world.notifier();
    world.run(&notifier, 5).await;
    let late =
        OrgFacts { complete_until: Some(world.clock.now() - TimeDelta::hours(30)), ..OrgFacts::default() };
    *world.facts.facts.lock().unwrap() = late;
    for _ in 0..3 {
        record_run(&*world.store, (ORG, "collect"), Some("GitHub answered 502"), world.clock.now())
            .await
            .unwrap();
        world.run(&notifier, 60).await;
    }
    let taken = world.services.taken("ops");
    assert_eq!((count(&taken, "data_late"), count(&taken, "ingest_failed")), (1, 1));
    *world.facts.facts.lock().unwrap() = OrgFacts::default();
    record_run(&*world.store, (ORG, "collect"), None, world.clock.now()).await.unwrap();
    world.run(&notifier, 60).await;
    let over = world.services.taken("ops").pop().unwrap();
    let shown = over.body["data"]["notifications"].as_array().unwrap().clone();
    assert_eq!(shown.len(), 2);
    assert!(shown.iter().all(|it| it["is_over"] == true), "{shown:?}");
}
