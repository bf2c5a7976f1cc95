//! After SIGKILL at any time, the next run resumes and ends in the same state.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use fastrand::Rng;
use gam_tests::answers::{assert_matches_reference, assert_same_answers, fetch_all, without_coverage};
use gam_tests::github::{Double, Fault, generated};
use gam_tests::http::get;
use gam_tests::program::Sandbox;

use gam_tests::support::{
    SINCE, backfilled, batches, collect_and_aggregate, fetch_answers, files, full_range, kill_after,
    kill_when, settled_at,
};

#[test]
fn a_stopped_first_run_keeps_its_first_day() {
    let world = generated::world(16);
    let double = Double::start(world.clone(), settled_at());
    let sandbox = Sandbox::with_github(&double);
    double.plan_fault("*", 3, 1, Fault::RateLimited(36_000));
    sandbox.run(&["collect", &world.org, "--since", SINCE, "--max-wait", "1s"]).expect_status(75);
    assert!(kill_when(sandbox.spawn(&["collect", &world.org]), || double.request_count() > 8));
    sandbox.run(&["collect", &world.org]).expect_status(0);
    sandbox.run(&["aggregate"]).expect_status(0);
    assert_matches_reference(sandbox.serve().address(), &world, settled_at(), &full_range());
}

#[test]
fn repeated_kills_do_not_change_the_final_state() {
    let (mut killed_collects, mut killed_aggregates) = (0, 0);
    for seed in [10, 11, 12] {
        let mut rng = Rng::with_seed(seed);
        let world = generated::world(seed);
        let times = generated::times(seed, 4);
        let double = Double::start(world.clone(), times[0]);
        let sandbox = Sandbox::with_github(&double);
        for now in &times {
            double.set_now(*now);
            for _ in 0..4 {
                let request_limit = double.request_count() + rng.usize(1..24);
                let pause = Duration::from_millis(rng.u64(..12));
                let child = sandbox.spawn(&["collect", &world.org, "--since", SINCE]);
                let is_time = || {
                    let is_time = double.request_count() >= request_limit;
                    if is_time {
                        std::thread::sleep(pause);
                    }
                    is_time
                };
                killed_collects += u32::from(kill_when(child, is_time));
                if rng.bool() {
                    let delay = Duration::from_millis(rng.u64(5..60));
                    killed_aggregates += u32::from(kill_after(sandbox.spawn(&["aggregate"]), delay));
                }
            }
        }
        sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
        sandbox.run(&["aggregate"]).expect_status(0);
        let now = times[times.len() - 1];
        assert_matches_reference(sandbox.serve().address(), &world, now, &full_range());
        assert!(batches(&sandbox).is_empty(), "the inbox is empty");
        let undisturbed = Sandbox::with_github(&double);
        undisturbed.run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
        undisturbed.run(&["aggregate"]).expect_status(0);
        assert_same_answers(&fetch_answers(&undisturbed, &world, now), &fetch_answers(&sandbox, &world, now));
    }
    assert!(
        killed_collects >= 10 && killed_aggregates >= 4,
        "too few kills: {killed_collects} collects, {killed_aggregates} aggregates"
    );
}

fn copy_files(from: &Path, to: &Path) {
    for file in files(from) {
        let target = to.join(file.strip_prefix(from).expect("a file below the directory"));
        std::fs::create_dir_all(target.parent().expect("a directory")).expect("a directory");
        std::fs::copy(&file, &target).expect("a copy");
    }
}

/// Fetches every subject's metrics, in three answers.
fn fetch_listings(sandbox: &Sandbox) -> Vec<String> {
    let server = sandbox.serve();
    let range = format!("since={SINCE}&until=2024-05-01&bots=include&limit=1000");
    let fetch = |target: String| without_coverage(&get(server.address(), &target).text());
    vec![
        fetch(format!("/api/v1/orgs/acme-works/members?{range}")),
        fetch(format!("/api/v1/orgs/acme-works/repos?{range}")),
        fetch("/api/v1/orgs".to_owned()),
    ]
}

#[test]
fn a_killed_aggregation_loses_no_batch() {
    let world = generated::world(15);
    let double = Double::start(world.clone(), settled_at());
    let source = Sandbox::with_github(&double);
    source.run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
    let copy_sandbox = || {
        let sandbox = Sandbox::with_github(&double);
        copy_files(&source.data_dir(), &sandbox.data_dir());
        sandbox
    };
    let undisturbed = copy_sandbox();
    let started = Instant::now();
    undisturbed.run(&["aggregate"]).expect_status(0);
    let duration = started.elapsed();
    let expected = fetch_listings(&undisturbed);
    let mut killed = 0;
    for step in 1..16 {
        let sandbox = copy_sandbox();
        killed += u32::from(kill_after(sandbox.spawn(&["aggregate"]), duration * step / 16));
        sandbox.run(&["aggregate"]).expect_status(0);
        assert_eq!(fetch_listings(&sandbox), expected, "killed at {step}/16 of its duration");
        assert!(batches(&sandbox).is_empty(), "the inbox is empty");
    }
    assert!(killed > 0, "nothing was killed");
}

#[test]
fn after_sigterm_the_next_run_resumes() {
    let world = generated::world(14);
    let double = Double::start(world.clone(), settled_at());
    let sandbox = Sandbox::with_github(&double);
    // The run waits for a limit when the signal arrives.
    double.plan_fault("PullRequests", 1, 1, Fault::SecondaryLimit(1800));
    let child = sandbox.command(&["collect", &world.org, "--since", SINCE]).spawn().expect("it is started");
    while double.pending_faults() > 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let kill =
        Command::new("kill").arg("-TERM").arg(child.id().to_string()).status().expect("a signal is sent");
    assert!(kill.success());
    let output = child.wait_with_output().expect("it exits");
    assert_eq!(output.status.code(), Some(143), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stderr).contains("run again to continue"));
    collect_and_aggregate(&sandbox, &world.org);
    assert_matches_reference(sandbox.serve().address(), &world, settled_at(), &full_range());
}

#[test]
fn a_killed_rebuild_leaves_every_answer_correct() {
    let (world, _double, sandbox) = backfilled(13);
    let answers = || fetch_all(sandbox.serve().address(), &world, settled_at(), &full_range());
    let before = answers();
    let started = Instant::now();
    sandbox.run(&["aggregate", "--rebuild"]).expect_status(0);
    let duration = started.elapsed();
    let mut killed = 0;
    for step in 1..9 {
        killed += u32::from(kill_after(sandbox.spawn(&["aggregate", "--rebuild"]), duration * step / 10));
        assert_same_answers(&before, &answers());
    }
    assert!(killed > 0, "nothing was killed");
    sandbox.run(&["aggregate"]).expect_status(0);
    assert_same_answers(&before, &answers());
}
