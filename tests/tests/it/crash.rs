//! Killed at any instant by SIGKILL, the next run goes on and ends in the same state.

use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use fastrand::Rng;
use gam_tests::answers::{assert_matches_reference, assert_same_answers, fetch_all, without_coverage};
use gam_tests::github::{Double, Fault, generated};
use gam_tests::http::get;
use gam_tests::program::Sandbox;

use gam_tests::support::{
    SINCE, backfilled, batches, collect_and_aggregate, fetch_answers, files, full_range, settled_at,
};

/// Waits until it is time or the program has ended, and kills it. Whether there was something to kill.
fn kill_when(mut child: Child, is_time: impl Fn() -> bool) -> bool {
    while child.try_wait().expect("its status").is_none() {
        if is_time() {
            child.kill().expect("it can be killed");
            return child.wait().expect("its status").code().is_none();
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    false
}

fn kill_after(child: Child, delay: Duration) -> bool {
    let begun = Instant::now();
    kill_when(child, || begun.elapsed() >= delay)
}

#[test]
fn a_first_run_that_was_stopped_goes_on_from_the_day_it_was_told() {
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
fn killed_again_and_again_it_ends_where_it_would_have_ended() {
    let mut killed = (0, 0);
    for seed in [10, 11, 12] {
        let mut rng = Rng::with_seed(seed);
        let world = generated::world(seed);
        let times = generated::times(seed, 4);
        let double = Double::start(world.clone(), times[0]);
        let sandbox = Sandbox::with_github(&double);
        for now in &times {
            double.set_now(*now);
            for _ in 0..4 {
                let enough = double.request_count() + rng.usize(1..24);
                let pause = Duration::from_millis(rng.u64(..12));
                let child = sandbox.spawn(&["collect", &world.org, "--since", SINCE]);
                let is_time = || {
                    let is_time = double.request_count() >= enough;
                    if is_time {
                        std::thread::sleep(pause);
                    }
                    is_time
                };
                killed.0 += u32::from(kill_when(child, is_time));
                if rng.bool() {
                    let delay = Duration::from_millis(rng.u64(5..60));
                    killed.1 += u32::from(kill_after(sandbox.spawn(&["aggregate"]), delay));
                }
            }
        }
        sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
        sandbox.run(&["aggregate"]).expect_status(0);
        let now = times[times.len() - 1];
        assert_matches_reference(sandbox.serve().address(), &world, now, &full_range());
        assert!(batches(&sandbox).is_empty(), "the inbox is worked off");
        let fresh = Sandbox::with_github(&double);
        fresh.run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
        fresh.run(&["aggregate"]).expect_status(0);
        assert_same_answers(&fetch_answers(&fresh, &world, now), &fetch_answers(&sandbox, &world, now));
    }
    assert!(killed.0 >= 10 && killed.1 >= 4, "too little was killed to show anything: {killed:?}");
}

fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let target = to.join(file.strip_prefix(from).expect("it lies below"));
        std::fs::create_dir_all(target.parent().expect("a directory")).expect("a directory");
        std::fs::copy(&file, &target).expect("a copy");
    }
}

/// Every subject's metrics, in three answers.
fn in_short(sandbox: &Sandbox) -> Vec<String> {
    let server = sandbox.serve();
    let range = format!("since={SINCE}&until=2024-05-01&bots=include&limit=1000");
    let ask = |target: String| without_coverage(&get(server.address(), &target).text());
    vec![
        ask(format!("/api/v1/orgs/acme-works/members?{range}")),
        ask(format!("/api/v1/orgs/acme-works/repos?{range}")),
        ask("/api/v1/orgs".to_owned()),
    ]
}

#[test]
fn an_aggregation_killed_anywhere_on_its_way_loses_no_batch() {
    let world = generated::world(15);
    let double = Double::start(world.clone(), settled_at());
    let source = Sandbox::with_github(&double);
    source.run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
    let copied = || {
        let sandbox = Sandbox::with_github(&double);
        copy(&source.data_dir(), &sandbox.data_dir());
        sandbox
    };
    let undisturbed = copied();
    let begun = Instant::now();
    undisturbed.run(&["aggregate"]).expect_status(0);
    let took = begun.elapsed();
    let expected = in_short(&undisturbed);
    let mut killed = 0;
    for step in 1..16 {
        let sandbox = copied();
        killed += u32::from(kill_after(sandbox.spawn(&["aggregate"]), took * step / 16));
        sandbox.run(&["aggregate"]).expect_status(0);
        assert_eq!(in_short(&sandbox), expected, "killed at {step}/16 of its way");
        assert!(batches(&sandbox).is_empty(), "the inbox is worked off");
    }
    assert!(killed > 0, "nothing was killed");
}

#[test]
fn stopped_by_sigterm_it_says_so_and_goes_on_later() {
    let world = generated::world(14);
    let double = Double::start(world.clone(), settled_at());
    let sandbox = Sandbox::with_github(&double);
    // It waits for a limit when the signal comes.
    double.plan_fault("PullRequests", 1, 1, Fault::SecondaryLimit(1800));
    let child = sandbox.command(&["collect", &world.org, "--since", SINCE]).spawn().expect("it is started");
    while double.pending_faults() > 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let kill =
        Command::new("kill").arg("-TERM").arg(child.id().to_string()).status().expect("a signal is sent");
    assert!(kill.success());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(143), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stderr).contains("run again to go on"));
    collect_and_aggregate(&sandbox, &world.org);
    assert_matches_reference(sandbox.serve().address(), &world, settled_at(), &full_range());
}

#[test]
fn a_killed_rebuild_leaves_every_answer_right() {
    let (world, _double, sandbox) = backfilled(13);
    let answers = || fetch_all(sandbox.serve().address(), &world, settled_at(), &full_range());
    let before = answers();
    let begun = Instant::now();
    sandbox.run(&["aggregate", "--rebuild"]).expect_status(0);
    let took = begun.elapsed();
    let mut killed = 0;
    for step in 1..9 {
        killed += u32::from(kill_after(sandbox.spawn(&["aggregate", "--rebuild"]), took * step / 10));
        assert_same_answers(&before, &answers());
    }
    assert!(killed > 0, "nothing was killed");
    sandbox.run(&["aggregate"]).expect_status(0);
    assert_same_answers(&before, &answers());
}
