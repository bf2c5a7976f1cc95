//! The cache of issues of the real program follows what happens to issues and repositories.

use chrono::TimeDelta;
use gam_model::{Clock as _, SystemClock};
use gam_tests::github::webhooks::{
    Transit, WEBHOOK_SECRET, WebhookEvent, deliver, installation_event, labeled_event, open_issues,
    webhook_events,
};
use gam_tests::github::world::{Account, Removal, Repo, Thread, Time, at};
use gam_tests::github::{Double, World};
use gam_tests::http::send_json;
use gam_tests::program::{Sandbox, ServerProcess};
use gam_tests::support::SINCE;
use serde_json::{Value, json};

use crate::webhooks::{listed, wait_until};

/// Returns the start, and a time after each step of [`world`].
fn times() -> [Time; 6] {
    [0, 1, 2, 3, 4, 5].map(|hours| at("2024-03-01T00:00:00Z") + TimeDelta::hours(hours))
}

/// An organization in which an issue is transferred, a repository is renamed, an issue is deleted, a repository is deleted,
/// and another one is created under its name.
fn world() -> World {
    let times = times();
    let during = |step: usize| times[step - 1] + TimeDelta::minutes(30);
    let ann = Account::user("ann", 7);
    let issue = |number, when| Thread::new(number, Some(ann.clone()), when);
    let before = at("2024-02-01");
    let mut app = Repo::new(1, "app", before);
    app.issues = vec![
        issue(1, before).with_removal(during(1), Removal::Transferred { repo_id: 2, number: 2 }),
        issue(2, before),
        issue(3, before).with_removal(during(3), Removal::Deleted),
    ];
    app.names.push((during(2), "application".to_owned()));
    let mut library = Repo::new(2, "library", before);
    library.issues = vec![issue(1, before), issue(2, during(1))];
    library.deleted_at = Some(during(4));
    let mut successor = Repo::new(3, "library", during(5));
    successor.issues = vec![issue(1, during(5))];
    let mut world = World::new("move-works");
    world.members = vec![ann];
    world.repos = vec![app, library, successor];
    world
}

fn start_server(sandbox: &Sandbox, world: &World) -> ServerProcess {
    let args = ["up", &world.org, "--since", SINCE, "--every", "6h", "--listen", "127.0.0.1:0"];
    ServerProcess::start(sandbox.command(&args))
}

#[test]
fn transfers_renames_and_deletions_follow_from_deliveries_alone() {
    let (world, times) = (world(), times());
    let double = Double::start(world.clone(), times[0]);
    let sandbox = Sandbox::with_github(&double).with_variable("GITHUB_WEBHOOK_SECRET", WEBHOOK_SECRET);
    let server = start_server(&sandbox, &world);
    let is_current = |now: Time| listed(server.address(), &world.org) == open_issues(&world, now);
    wait_until("the first comparison lists all open issues", || is_current(times[0]));
    let names = ["issues", "repository", "issues", "repository", "repository"];
    for (step, name) in names.into_iter().enumerate() {
        let (before, after) = (times[step], times[step + 1]);
        assert_ne!(open_issues(&world, before), open_issues(&world, after));
        double.set_now(after);
        let events = webhook_events(&world, before, after);
        assert!(events.iter().any(|event| event.event == name), "{events:?}");
        // In the wrong order, and each twice.
        for event in events.iter().rev().flat_map(|event| [event, event]) {
            assert_eq!(deliver(server.address(), event, Transit::Delivered), 202);
        }
        wait_until(&format!("the cache follows {events:?}"), || is_current(after));
    }
    // All of it comes again and late, as if it had never arrived.
    for event in webhook_events(&world, at("2024-01-01"), times[4]) {
        let event = WebhookEvent { guid: format!("{}-again", event.guid), ..event };
        deliver(server.address(), &event, Transit::Delivered);
    }
    std::thread::sleep(std::time::Duration::from_secs(5));
    wait_until("late deliveries revive nothing", || is_current(times[5]));
    server.stop();
}

#[test]
fn transfers_renames_and_deletions_of_a_dark_hour_are_found() {
    let (world, times) = (world(), times());
    let double = Double::start(world.clone(), times[0]);
    let sandbox = Sandbox::with_github(&double).with_variable("GITHUB_WEBHOOK_SECRET", WEBHOOK_SECRET);
    let server = start_server(&sandbox, &world);
    wait_until("the first comparison lists all open issues", || {
        listed(server.address(), &world.org) == open_issues(&world, times[0])
    });
    double.create_webhook(server.address());
    double.set_now(times[5]);
    let missed: Vec<_> = webhook_events(&world, times[0], times[5])
        .into_iter()
        .map(|event| (event, Transit::Dropped))
        .collect();
    double.deliver_events(server.address(), &missed, SystemClock.now());
    server.stop();
    let server = start_server(&sandbox, &world);
    wait_until("what was missed is found", || {
        listed(server.address(), &world.org) == open_issues(&world, times[5])
    });
    server.stop();
}

#[test]
fn a_suspended_app_hands_out_no_issue_and_cancels_claims() {
    let (world, now) = (world(), times()[0]);
    let double = Double::start(world.clone(), now);
    let sandbox = Sandbox::with_github(&double).with_variable("GITHUB_WEBHOOK_SECRET", WEBHOOK_SECRET);
    std::fs::write(sandbox.dir().join("rules.toml"), "[tasks]\nlabels_any = [\"area/2\"]\n").expect("a file");
    let create = |role: &str| {
        let created = sandbox.run(&["token", "new", role, "--role", role]).expect_status(0);
        format!("Bearer {}", created.text().trim())
    };
    let worker = create("worker");
    let args = [
        "up",
        &world.org,
        "--since",
        SINCE,
        "--every",
        "6h",
        "--listen",
        "127.0.0.1:0",
        "--config",
        "rules.toml",
    ];
    let server = ServerProcess::start(sandbox.command(&args));
    let post = |path: &str, body: Value| {
        send_json(server.address(), &format!("/api/v1{path}"), &[("authorization", &worker)], &body)
    };
    let request = || post("/request-task", json!({ "worker": "ann" }));
    let send = |event: &WebhookEvent| assert_eq!(deliver(server.address(), event, Transit::Delivered), 202);
    // Issue 2 has the label `area/2`, and this delivery says that a maintainer set it.
    let app = &world.repos[0];
    let mut assigned = Value::Null;
    wait_until("the labelled issue is assigned", || {
        send(&labeled_event(&world, app, &app.issues[1], now));
        let answer = request();
        if answer.status == 200 {
            assigned = answer.json()["task"].clone();
        }
        answer.status == 200
    });
    assert_eq!(assigned["issue"]["number"], 2);
    let report = |what: &str| {
        let path = format!("/tasks/{}/{what}", assigned["claim_id"].as_str().expect("an id"));
        post(&path, json!({ "fence": assigned["fence"] }))
    };
    assert_eq!(report("heartbeat").json()["cancel"], Value::Null);
    send(&installation_event(&world, "suspend"));
    wait_until("the heartbeat reports the suspension", || {
        report("heartbeat").json()["cancel"] == "suspended"
    });
    assert_eq!(report("release").status, 200);
    assert_eq!(request().status, 204, "a suspended app hands out nothing");
    send(&installation_event(&world, "unsuspend"));
    wait_until("the issue is assigned again", || request().status == 200);
    server.stop();
}
