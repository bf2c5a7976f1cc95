//! Webhooks of the real program: what arrives, what is lost, and what is read again.

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use gam_model::{Clock, SystemClock};
use gam_tests::answers::assert_matches_reference;
use gam_tests::github::webhooks::{
    Transit, WEBHOOK_SECRET, WebhookEvent, deliver, disturbed, open_issues, webhook_events,
};
use gam_tests::github::{Double, generated};
use gam_tests::http::get;
use gam_tests::program::{Sandbox, ServerProcess};
use gam_tests::support::{SINCE, batches, full_range, settled_at};
use serde_json::Value;

/// How long to wait for what another process does. A marked repository is read after a minute.
const LIMIT: Duration = Duration::from_secs(240);

/// The query that reads the state of single repositories.
const PROBE_OF_MARKED: &str = "ProbeById";

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let until = Instant::now() + LIMIT;
    while !is_so() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Returns the open issues that a server lists: repository, number and title.
fn listed(address: &str, org: &str) -> Vec<(String, i64)> {
    let (mut issues, mut cursor) = (Vec::new(), String::new());
    loop {
        let answer = get(address, &format!("/api/v1/orgs/{org}/issues?limit=100{cursor}"));
        if answer.status != 200 {
            return issues;
        }
        let page = answer.json();
        let text = |issue: &Value, name: &str| issue[name].as_str().expect("a text").to_owned();
        let of_page = page["issues"].as_array().expect("a list");
        issues.extend(of_page.iter().map(|it| (text(it, "repo"), it["number"].as_i64().expect("a number"))));
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    issues.sort();
    issues
}

#[test]
fn webhooks_and_sweeps_end_in_the_state_of_github() {
    let world = generated::world(80);
    let (end, start) = (settled_at(), settled_at() - TimeDelta::days(40));
    let double = Double::start(world.clone(), start);
    let sandbox = Sandbox::with_github(&double).with_variable("GITHUB_WEBHOOK_SECRET", WEBHOOK_SECRET);
    let up = ["up", &world.org, "--since", SINCE, "--listen", "127.0.0.1:0"];
    let server = ServerProcess::start(sandbox.command(&up));
    wait_until("the first comparison lists all open issues", || {
        listed(server.address(), &world.org) == open_issues(&world, start)
    });
    double.set_now(end);
    let events = webhook_events(&world, start, end);
    assert!(events.iter().filter(|event| event.event == "issues").count() > 5, "{}", events.len());
    let events = disturbed(events);
    double.create_webhook(server.address());
    double.deliver_events(server.address(), &events, SystemClock.now());
    // The next process sweeps at once, before its first round.
    server.stop();
    let server = ServerProcess::start(sandbox.command(&up));
    wait_until("what was lost is read again", || {
        listed(server.address(), &world.org) == open_issues(&world, end)
    });
    wait_until("the round reads what is new", || {
        let answer = get(server.address(), &format!("/api/v1/orgs/{}/metrics", world.org));
        answer.status == 200 && answer.json()["complete_until"].as_str().is_some_and(|it| it > "2024")
    });
    let log = server.stop();
    assert!(log.contains("webhooks did not arrive"), "{log}");
    assert!(!log.contains(WEBHOOK_SECRET), "{log}");
}

#[test]
fn a_delivery_is_in_the_metrics_before_the_next_round() {
    let world = generated::world(81);
    let (end, start) = (settled_at(), settled_at() - TimeDelta::days(40));
    let double = Double::start(world.clone(), start);
    let sandbox = Sandbox::with_github(&double).with_variable("GITHUB_WEBHOOK_SECRET", WEBHOOK_SECRET);
    let args = ["up", &world.org, "--since", SINCE, "--every", "6h", "--listen", "127.0.0.1:0"];
    let server = ServerProcess::start(sandbox.command(&args));
    wait_until("the first round ends", || {
        let answer = get(server.address(), &format!("/api/v1/orgs/{}/metrics", world.org));
        let is_collected = answer.status == 200 && answer.json()["complete_until"].is_string();
        is_collected && batches(&sandbox).is_empty()
    });
    double.set_now(end);
    let before = double.count_of(PROBE_OF_MARKED);
    let events = webhook_events(&world, start, end);
    for event in &events {
        assert_eq!(deliver(server.address(), event, Transit::Delivered), 202);
    }
    wait_until("the marked repositories are read", || double.count_of(PROBE_OF_MARKED) > before);
    // Repositories that were marked a little later are read a little later.
    std::thread::sleep(Duration::from_secs(15));
    wait_until("what was read is aggregated", || batches(&sandbox).is_empty());
    std::thread::sleep(Duration::from_secs(2));
    assert_matches_reference(server.address(), &world, end, &full_range());
}

/// The two requests of `docs/OPERATIONS.md`.
#[test]
fn the_demo_takes_webhooks() {
    let sandbox = Sandbox::new().with_variable("GITHUB_WEBHOOK_SECRET", WEBHOOK_SECRET);
    let server = ServerProcess::start(sandbox.command(&["demo", "--days", "3", "--listen", "127.0.0.1:0"]));
    let body = serde_json::json!({
        "action": "opened",
        "issue": {
            "number": 7, "node_id": "I_7", "title": "It fails", "body": "Often", "state": "open", "labels": [],
            "assignees": [], "user": { "id": 1, "login": "ann" }, "created_at": "2026-03-01T10:00:00Z",
            "updated_at": "2026-03-01T10:00:00Z",
        },
        "repository": { "id": 7, "node_id": "R_7", "name": "site", "owner": { "login": "octo-demo" } },
    });
    let event = WebhookEvent {
        guid: "72d3162e-cc78-11e3-81ab-4c9367dc0958".to_owned(),
        event: "issues",
        action: Some("opened"),
        repo_id: 7,
        body: body.to_string(),
    };
    assert_eq!(deliver(server.address(), &event, Transit::WrongSignature), 401);
    assert_eq!(deliver(server.address(), &event, Transit::Delivered), 202);
    wait_until("the issue is listed", || listed(server.address(), "octo-demo") == [("site".to_owned(), 7)]);
}
