//! `up`: collects, aggregates and serves in one.

use std::time::Duration;

use gam_tests::answers::assert_matches_reference;
use gam_tests::github::{Double, generated};
use gam_tests::http::get;
use gam_tests::program::{Sandbox, ServerProcess};

use gam_tests::support::{SINCE, batches, full_range, settled_at};

/// How often it is asked whether the first round is over.
const TRIES: u32 = 6_000;

#[test]
fn up_serves_what_it_collects() {
    let world = generated::world(80);
    let double = Double::start(world.clone(), settled_at());
    let sandbox = Sandbox::with_github(&double);
    let args = ["up", &world.org, "--since", SINCE, "--listen", "127.0.0.1:0"];
    let server = ServerProcess::start(sandbox.command(&args));
    // It answers from the beginning; the round is over when everything is read and worked off.
    let is_over = || {
        let answer = get(server.address(), "/api/v1/orgs/acme-works/metrics");
        let read = answer.status == 200 && answer.json()["complete_until"].is_string();
        read && batches(&sandbox).is_empty()
    };
    let over = (0..TRIES).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        is_over()
    });
    assert!(over, "the first round never ends: {}", server.stop());
    assert_matches_reference(server.address(), &world, settled_at(), &full_range());
}

#[test]
fn up_ends_where_another_round_cannot_help() {
    let double = Double::start(generated::world(80), settled_at());
    let sandbox = Sandbox::with_github(&double).with_variable("GITHUB_TOKEN", "ghp_wrong");
    let told = sandbox.run(&["up", "acme-works", "--listen", "127.0.0.1:0"]).expect_error(1);
    assert!(told.contains("GITHUB_TOKEN") && !told.contains("ghp_wrong"), "{told}");
    let sandbox = Sandbox::with_github(&double);
    let told = sandbox.run(&["up", "acme-wroks", "--listen", "127.0.0.1:0"]).expect_error(1);
    assert!(told.contains("acme-wroks"), "{told}");
}
