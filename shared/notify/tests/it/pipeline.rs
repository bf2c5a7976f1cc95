//! Nothing is lost, nothing comes twice, and no storm.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::TimeDelta;
use gam_model::Clock as _;
use gam_notify::{OrgFacts, RunOutcome, channel_status, list_messages, record_run};
use gam_store::{KeyPart, RecordKey, RecordKind, RecordStore as _};

use crate::support::{ORG, Service, World, count, dying_at, webhooks};

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
            let (store, has_died) = dying_at(world.store.clone(), fails_at, has_effect);
            let notifier = world.notifier_in(Arc::new(store));
            for _ in 0..3 {
                let _ = notifier.run_once().await;
            }
            world.log.drain(true).await;
            is_over = !has_died.load(Ordering::SeqCst);
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
        let failed = RunOutcome { error: Some("GitHub answered 502".to_owned()), ..RunOutcome::default() };
        record_run(&*world.store, (ORG, "collect"), &failed, world.clock.now()).await.unwrap();
        world.run(&notifier, 60).await;
    }
    let taken = world.services.taken("ops");
    assert_eq!((count(&taken, "data_late"), count(&taken, "ingest_failed")), (1, 1));
    *world.facts.facts.lock().unwrap() = OrgFacts::default();
    record_run(&*world.store, (ORG, "collect"), &RunOutcome::default(), world.clock.now()).await.unwrap();
    world.run(&notifier, 60).await;
    let over = world.services.taken("ops").pop().unwrap();
    let shown = over.body["data"]["notifications"].as_array().unwrap().clone();
    assert_eq!(shown.len(), 2);
    assert!(shown.iter().all(|it| it["is_over"] == true), "{shown:?}");
}

#[tokio::test]
async fn a_storm_that_no_drain_keeps_up_with_is_counted_exactly_and_fits_into_a_record() {
    let world = World::new(&webhooks(&["ops"], ""));
    let notifier = world.notifier();
    world.run(&notifier, 5).await;
    let key = RecordKey::new(Some(ORG), RecordKind::NotifyState, &[KeyPart::Text("state")]).unwrap();
    let mut most_bytes = 0;
    for burst in 0..12 {
        world.fail_actions(burst * 1_500, 1_500).await;
        world.run(&notifier, 5).await;
        let record = world.store.get(&key, world.clock.now()).await.unwrap().unwrap();
        most_bytes = most_bytes.max(record.body.len());
    }
    assert!(most_bytes < 170_000, "{most_bytes} bytes of one cursor");
    // Drains that are killed before they delete what they wrote.
    for _ in 0..3 {
        world.log.drain_some(2_000, false).await;
        world.run(&notifier, 10).await;
        world.log.delete_drained().await;
        world.run(&notifier, 5).await;
    }
    while world.log.drain_some(2_000, true).await {
        world.run(&notifier, 5).await;
    }
    world.run(&notifier, 700).await;
    assert_eq!(count(&world.services.taken("ops"), "action_failed"), 18_000);
    let record = world.store.get(&key, world.clock.now()).await.unwrap().unwrap();
    assert!(record.body.len() < 500, "nothing is remembered any more: {}", record.body);
}

/// Returns the settings of a channel and of daily digests with these names.
fn digests(names: &[&str], rest: &str) -> String {
    let digest = |name: &&str| {
        format!(
            "[[notify.digests]]\nname = \"{name}\"\nevery = \"day\"\nat = \"13:00\"\nchannels = [\"ops\", \"ops\"]\n"
        )
    };
    webhooks(&["ops"], rest) + &names.iter().map(digest).collect::<String>()
}

#[tokio::test]
async fn twenty_digests_that_are_due_at_once_are_sent_once_each() {
    let names: Vec<String> = (0..20).map(|name| format!("d{name}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let world = World::new(&digests(&names, "interval_minutes = 1"));
    let notifier = world.notifier();
    world.run_hours(&notifier, 3).await;
    let taken = world.services.taken("ops");
    let mut sent: Vec<&str> =
        taken.iter().map(|taken| taken.body["data"]["digest"]["name"].as_str().unwrap()).collect();
    assert_eq!(sent, names, "in their order");
    sent.dedup();
    assert_eq!((sent.len(), world.digests.reads.load(Ordering::SeqCst)), (20, 20), "numbers are read once");
}

#[tokio::test]
async fn digests_that_a_dead_channel_misses_are_listed_as_dropped() {
    let names: Vec<String> = (0..20).map(|name| format!("d{name}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let world = World::new(&digests(&names, "interval_minutes = 0"));
    let notifier = world.notifier();
    world.services.set("ops", Service::Answers(404));
    world.run_hours(&notifier, 3 * 24).await;
    let status = channel_status(&*world.store, (ORG, "ops"), world.clock.now()).await.unwrap();
    assert_eq!(status.digests, 20);
    let dropped = list_messages(&*world.store, ORG, 100, world.clock.now()).await.unwrap();
    assert!(!dropped.is_empty() && dropped.iter().all(|it| it.refused.is_some() && it.attempts == 0));
    let named: usize = dropped.iter().map(|it| it.title.matches("Digest d").count()).sum();
    assert_eq!(named, 40, "two days of three: {dropped:?}");
    world.services.set("ops", Service::Takes);
    world.run_hours(&notifier, 7).await;
    assert_eq!(world.services.taken("ops").len(), 20);
}

#[tokio::test]
async fn digests_cost_nothing_until_they_are_due_or_the_configuration_changes() {
    let world = World::new(&digests(&["daily"], "interval_minutes = 0"));
    let notifier = world.notifier();
    world.digests.fails.store(true, Ordering::SeqCst);
    world.run_hours(&notifier, 2).await;
    let reads = || world.digests.reads.load(Ordering::SeqCst);
    assert!((5..=7).contains(&reads()), "an hour of failures: {} reads", reads());
    world.digests.fails.store(false, Ordering::SeqCst);
    world.run_hours(&notifier, 1).await;
    assert_eq!(world.services.taken("ops").len(), 1);
    let before = reads();
    world.run_hours(&notifier, 1).await;
    assert_eq!(reads(), before);
    *world.facts.settings.lock().unwrap() = digests(&["daily", "new"], "interval_minutes = 0");
    world.run_hours(&notifier, 24).await;
    assert_eq!(reads(), before + 2, "the new digest is sent, too");
}
