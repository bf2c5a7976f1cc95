//! `up`: collects, aggregates and serves in one process.

use std::time::Duration;

use gam_tests::answers::assert_matches_reference;
use gam_tests::github::{Double, generated};
use gam_tests::http::get;
use gam_tests::program::{Sandbox, ServerProcess};

use gam_tests::support::{SINCE, batches, full_range, settled_at, wait_for};

/// How long to wait for the first round.
const LIMIT: Duration = Duration::from_secs(120);

#[test]
fn up_serves_what_it_collects() {
    let world = generated::world(80);
    let double = Double::start(world.clone(), settled_at());
    let sandbox = Sandbox::with_github(&double);
    let args = ["up", &world.org, "--since", SINCE, "--listen", "127.0.0.1:0"];
    let server = ServerProcess::start(sandbox.command(&args));
    // It serves from the start. The first round is over when everything is collected and aggregated.
    let is_over = || {
        let answer = get(server.address(), "/api/v1/orgs/acme-works/metrics");
        let is_collected = answer.status == 200 && answer.json()["complete_until"].is_string();
        is_collected && batches(&sandbox).is_empty()
    };
    wait_for("the end of the first round", LIMIT, || is_over().then_some(()));
    assert_matches_reference(server.address(), &world, settled_at(), &full_range());
}

#[test]
fn up_exits_if_another_round_cannot_help() {
    let double = Double::start(generated::world(80), settled_at());
    let sandbox = Sandbox::with_github(&double).with_variable("GITHUB_TOKEN", "ghp_wrong");
    let error = sandbox.run(&["up", "acme-works", "--listen", "127.0.0.1:0"]).expect_error(1);
    assert!(error.contains("GITHUB_TOKEN") && !error.contains("ghp_wrong"), "{error}");
    let sandbox = Sandbox::with_github(&double);
    let error = sandbox.run(&["up", "acme-wroks", "--listen", "127.0.0.1:0"]).expect_error(1);
    assert!(error.contains("acme-wroks"), "{error}");
}
