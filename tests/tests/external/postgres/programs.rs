//! The program with a store in PostgreSQL: the same answers as with SQLite, also after kills and with several programs
//! at once.

use std::time::{Duration, Instant};

use fastrand::Rng;
use gam_tests::answers::{assert_matches_reference, assert_same_answers, sample_targets};
use gam_tests::github::{Double, World, generated};
use gam_tests::http::get;
use gam_tests::program::Sandbox;
use gam_tests::support::{
    SINCE, backfilled, batches, collect_and_aggregate, fetch_answers, full_range, kill_after, kill_when,
    ranges, settled_at,
};

use super::server::{PASSWORD, PostgresServer, runtime};
use crate::tools::Tool;
use crate::{ExternalTest, external_test};

const NEEDS: &[Tool] = &[Tool::Postgres];

/// Returns an empty sandbox with the double as GitHub and a new database as the store.
fn sandbox_with(server: &PostgresServer, double: &Double) -> Sandbox {
    let database = runtime().block_on(server.create_database());
    let url = server.url("admin", &database);
    Sandbox::with_github(double).with_variable("GITHUB_METRICS_STORE", &url)
}

/// Fetches the complete answers to the sample requests.
fn fetch_complete_answers(sandbox: &Sandbox, world: &World) -> Vec<(String, Vec<u8>)> {
    let server = sandbox.serve();
    let targets = sample_targets(world, settled_at(), &ranges());
    targets.into_iter().map(|target| (target.clone(), get(server.address(), &target).body)).collect()
}

fn postgres_and_sqlite_answer_the_same_bytes() {
    let server = PostgresServer::start();
    let (world, double, sqlite) = backfilled(21);
    let postgres = sandbox_with(&server, &double);
    collect_and_aggregate(&postgres, &world.org);
    let answers = fetch_complete_answers(&postgres, &world);
    assert!(answers.len() > 300, "{} answers", answers.len());
    for (expected, actual) in fetch_complete_answers(&sqlite, &world).iter().zip(&answers) {
        assert!(expected == actual, "{}", expected.0);
    }
    postgres.run(&["aggregate", "--rebuild"]).expect_status(0);
    assert!(fetch_complete_answers(&postgres, &world) == answers, "a rebuild changes nothing");
    assert!(!postgres.data_dir().join("store.sqlite").exists());
}

fn repeated_kills_do_not_change_the_final_state() {
    let server = PostgresServer::start();
    let (mut killed_collects, mut killed_aggregates) = (0, 0);
    let mut rng = Rng::with_seed(31);
    let world = generated::world(31);
    let times = generated::times(31, 4);
    let double = Double::start(world.clone(), times[0]);
    let sandbox = sandbox_with(&server, &double);
    for now in &times {
        double.set_now(*now);
        for _ in 0..4 {
            let request_limit = double.request_count() + rng.usize(1..24);
            let child = sandbox.spawn(&["collect", &world.org, "--since", SINCE]);
            killed_collects += u32::from(kill_when(child, || double.request_count() >= request_limit));
            let started = Instant::now();
            let delay = Duration::from_millis(rng.u64(20..250));
            killed_aggregates += u32::from(kill_after(sandbox.spawn(&["aggregate"]), delay));
            assert!(started.elapsed() < Duration::from_secs(300), "no run waits for a killed one");
        }
    }
    collect_and_aggregate(&sandbox, &world.org);
    let now = times[times.len() - 1];
    assert_matches_reference(sandbox.serve().address(), &world, now, &full_range());
    assert!(batches(&sandbox).is_empty(), "the inbox is empty");
    let undisturbed = Sandbox::with_github(&double);
    collect_and_aggregate(&undisturbed, &world.org);
    assert_same_answers(&fetch_answers(&undisturbed, &world, now), &fetch_answers(&sandbox, &world, now));
    assert!(
        killed_collects >= 4 && killed_aggregates >= 4,
        "too few kills: {killed_collects} collects, {killed_aggregates} aggregates"
    );
}

/// Programs race for the checkpoints, the items and the markers. A run that loses says so, and the next one goes on.
fn programs_can_share_a_database() {
    let server = PostgresServer::start();
    let world = generated::world(32);
    let double = Double::start(world.clone(), settled_at());
    let sandbox = sandbox_with(&server, &double);
    let mut statuses = Vec::new();
    for round in 0..3 {
        let mut children: Vec<_> =
            (0..2).map(|_| sandbox.spawn(&["collect", &world.org, "--since", SINCE, "--again"])).collect();
        children.extend((0..3).map(|_| sandbox.spawn(&["aggregate"])));
        for mut child in children {
            let status = child.wait().expect("its status").code().expect("it exits by itself");
            assert!(matches!(status, 0 | 3), "round {round}: status {status}");
            statuses.push(status);
        }
    }
    assert_eq!(statuses.len(), 15);
    collect_and_aggregate(&sandbox, &world.org);
    assert_matches_reference(sandbox.serve().address(), &world, settled_at(), &full_range());
}

/// Every command takes the address, from its option and its variables, and none prints the password.
fn every_command_takes_a_database() {
    let server = PostgresServer::start();
    let world = generated::world(33);
    let double = Double::start(world.clone(), settled_at());
    let sandbox = Sandbox::with_github(&double);
    let database = runtime().block_on(server.create_database());
    let url = server.url("admin", &database);
    let shown = url.replace(":hunter2%2F%3F%23", "");
    let run = |args: &[&str], status: i32| {
        let result = sandbox.run(&[args, &["--store", &url]].concat()).expect_status(status);
        let text = result.text() + &result.stderr;
        assert!(!text.contains("hunter2"), "{args:?}: {text}");
        text
    };
    let org = world.org.as_str();
    // The double's clock is years behind, which doctor reports as well.
    assert!(run(&["doctor"], 1).contains(&format!("{shown} holds no store yet")));
    assert!(run(&["show", org], 1).contains(&format!("no store in {shown}")));
    run(&["collect", org, "--since", SINCE, "--dry-run"], 0);
    assert!(run(&["doctor"], 1).contains("holds no store yet"), "a dry run creates nothing");
    run(&["collect", org, "--since", SINCE], 0);
    run(&["collect", org, "--dry-run"], 0);
    run(&["aggregate"], 0);
    run(&["show", org, "--since", SINCE, "--until", "2024-05-01", "--format", "json"], 0);
    assert!(run(&["export", org, "--format", "csv", "--since", SINCE], 0).lines().count() > 10);
    assert!(run(&["doctor"], 1).contains(&format!("{shown} opens with github-metrics")));

    let sql = format!(
        "CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'; GRANT USAGE ON SCHEMA github_metrics TO reader; \
         GRANT SELECT ON ALL TABLES IN SCHEMA github_metrics TO reader"
    );
    runtime().block_on(server.execute(&database, &sql));
    let as_reader = Sandbox::new()
        .with_variable("STORAGE_TYPE", "postgres")
        .with_variable("POSTGRES_URL", &server.url("reader", &database));
    let data_dir = sandbox.data_dir().display().to_string();
    let lake = format!("file:{data_dir}/lake");
    let range = ["--since", SINCE, "--until", "2024-05-01", "--lake", &lake, "--format", "json"];
    let by_reader = as_reader.run(&[&["show", org][..], &range].concat()).expect_status(0);
    let by_writer = sandbox.run(&[&["show", org, "--store", &url][..], &range].concat()).expect_status(0);
    assert_eq!(by_reader.text(), by_writer.text());
    assert!(!by_reader.stderr.contains("hunter2"));
    let refused = as_reader.run(&["aggregate", "--rebuild", "--lake", &lake]);
    assert!(refused.status != Some(0) && refused.stderr.contains("lacks a permission"), "{refused:?}");
    assert!(!refused.stderr.contains("hunter2"), "{}", refused.stderr);
}

/// The tests of this file.
pub(crate) fn tests() -> Vec<ExternalTest> {
    vec![
        external_test!(NEEDS, postgres_and_sqlite_answer_the_same_bytes),
        external_test!(NEEDS, repeated_kills_do_not_change_the_final_state),
        external_test!(NEEDS, programs_can_share_a_database),
        external_test!(NEEDS, every_command_takes_a_database),
    ]
}
