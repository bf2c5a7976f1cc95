//! `up`: collects, aggregates and serves in one.

use std::time::Duration;

use gam_tests::answers::check;
use gam_tests::github::{Double, generated};
use gam_tests::http::get;
use gam_tests::program::{Place, Serving};

use gam_tests::support::{SINCE, batches, settled, whole};

/// How often it is asked whether the first round is over.
const TRIES: u32 = 6_000;

#[test]
fn up_serves_what_it_collects() {
    let world = generated::world(80);
    let double = Double::start(world.clone(), settled());
    let place = Place::with(&double);
    let args = ["up", &world.org, "--since", SINCE, "--listen", "127.0.0.1:0"];
    let serving = Serving::start(place.command(&args));
    // It answers from the beginning; the round is over when everything is read and worked off.
    let is_over = || {
        let answer = get(serving.address(), "/api/v1/orgs/acme-works/metrics");
        let read = answer.status == 200 && answer.json()["complete_until"].is_string();
        read && batches(&place).is_empty()
    };
    let over = (0..TRIES).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        is_over()
    });
    assert!(over, "the first round never ends: {}", serving.stop());
    check(serving.address(), &world, settled(), &whole());
}

#[test]
fn up_ends_where_another_round_cannot_help() {
    let double = Double::start(generated::world(80), settled());
    let place = Place::with(&double).set("GITHUB_TOKEN", "ghp_wrong");
    let told = place.run(&["up", "acme-works", "--listen", "127.0.0.1:0"]).refusal(1);
    assert!(told.contains("GITHUB_TOKEN") && !told.contains("ghp_wrong"), "{told}");
    let place = Place::with(&double);
    let told = place.run(&["up", "acme-wroks", "--listen", "127.0.0.1:0"]).refusal(1);
    assert!(told.contains("acme-wroks"), "{told}");
}
