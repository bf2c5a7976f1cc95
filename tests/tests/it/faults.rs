//! Failures of GitHub: transient ones are retried, others are reported, and no data is lost.

use chrono::TimeDelta;
use gam_tests::answers::assert_matches_reference;
use gam_tests::github::{Double, Fault, TOKEN, generated};
use gam_tests::program::Sandbox;

use gam_tests::support::{SINCE, full_range, settled_at};

fn start(seed: u64) -> (gam_tests::github::World, Double, Sandbox) {
    let world = generated::world(seed);
    let double = Double::start(world.clone(), settled_at());
    let sandbox = Sandbox::with_github(&double);
    (world, double, sandbox)
}

#[test]
fn transient_failures_are_retried() {
    let (world, double, sandbox) = start(20);
    double.plan_fault("Probe", 0, 1, Fault::Status(502));
    double.plan_fault("PullRequests", 1, 1, Fault::Truncated);
    double.plan_fault("PullRequests", 2, 1, Fault::NullNode);
    double.plan_fault("Issues", 0, 1, Fault::Reset);
    double.plan_fault("Commits", 1, 2, Fault::Status(504));
    double.plan_fault("Deployments", 0, 1, Fault::NullNode);
    double.plan_fault("Releases", 1, 1, Fault::SecondaryLimit(1));
    double.plan_fault("PullRequestRest", 0, 1, Fault::Reset);
    sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
    assert_eq!(double.pending_faults(), 0, "{}", double.log().join(", "));
    sandbox.run(&["aggregate"]).expect_status(0);
    assert_matches_reference(sandbox.serve().address(), &world, settled_at(), &full_range());
}

/// Something between here and GitHub answers 404 for one kind of query. The API is there all the same.
#[test]
fn a_404_of_one_list_is_not_taken_for_a_missing_api() {
    let (world, double, sandbox) = start(29);
    double.plan_fault("Issues", 0, 1_000, Fault::Status(404));
    // Another query reads the same issues.
    let run = sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
    assert!(run.stderr.contains("status 404") && !run.stderr.contains("no GitHub API"), "{}", run.stderr);
    sandbox.run(&["aggregate"]).expect_status(0);
    assert_matches_reference(sandbox.serve().address(), &world, settled_at(), &full_range());
    // Before anything was answered, a 404 means a wrong address.
    double.plan_fault("*", 0, 1_000, Fault::Status(404));
    let run = Sandbox::with_github(&double).run(&["collect", &world.org]).expect_status(1);
    assert!(run.stderr.contains("no GitHub API at"), "{}", run.stderr);
}

#[test]
fn broken_entries_of_a_page_are_requested_by_id() {
    let (world, double, sandbox) = start(25);
    let undisturbed = Double::start(world.clone(), settled_at());
    Sandbox::with_github(&undisturbed).run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
    let lists = ["PullRequests", "Issues", "Commits", "Deployments", "Releases"];
    for list in lists {
        double.plan_fault(list, 0, 1, Fault::BrokenEntry);
    }
    sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
    assert_eq!(double.pending_faults(), 0, "{}", double.log().join(", "));
    sandbox.run(&["aggregate"]).expect_status(0);
    assert_matches_reference(sandbox.serve().address(), &world, settled_at(), &full_range());
    for list in lists {
        assert_eq!(double.count_of(list), undisturbed.count_of(list), "{list}: no page is requested twice");
    }
    for list in ["PullRequestsById", "IssuesById"] {
        assert_eq!((double.count_of(list), undisturbed.count_of(list)), (1, 0), "{list}");
    }
}

#[test]
fn a_repository_missing_in_the_probe_does_not_stop_the_others() {
    let (world, double, sandbox) = start(27);
    double.plan_fault("Probe", 0, 1, Fault::BrokenEntry);
    sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
    assert!(double.log().contains(&"ProbeById".to_owned()), "it is requested by id");
    sandbox.run(&["aggregate"]).expect_status(0);
    assert_matches_reference(sandbox.serve().address(), &world, settled_at(), &full_range());

    let sandbox = Sandbox::with_github(&double);
    double.plan_fault("Probe", 0, 1, Fault::BrokenEntry);
    double.plan_fault("ProbeById", 0, 1, Fault::Status(451));
    let error = sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_error(3);
    let mut names: Vec<&str> = world.repos.iter().map(|repo| repo.name(settled_at())).collect();
    names.sort_by_key(|name| name.to_lowercase());
    assert!(error.contains(names[names.len() - 1]), "{error}");
    // This run starts at the first day of the previous run.
    sandbox.run(&["collect", &world.org]).expect_status(0);
    sandbox.run(&["aggregate"]).expect_status(0);
    assert_matches_reference(sandbox.serve().address(), &world, settled_at(), &full_range());
}

#[test]
fn missing_line_counts_are_requested_again() {
    let mut world = generated::world(26);
    let now = settled_at();
    let commits = world.repos[0].commits.values_mut().filter(|commit| commit.lines.is_some()).take(30);
    commits.for_each(|commit| commit.uncounted_until = Some(now + TimeDelta::hours(30)));
    let double = Double::start(world.clone(), now);
    let sandbox = Sandbox::with_github(&double);
    let step = |at| {
        double.set_now(at);
        let before = double.request_count();
        sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
        sandbox.run(&["aggregate"]).expect_status(0);
        assert_matches_reference(sandbox.serve().address(), &world, at, &full_range());
        double.request_count() - before
    };
    step(now);
    // Every run requests the unsettled deployments.
    let idle = step(now + TimeDelta::hours(1));
    assert!(step(now + TimeDelta::hours(25)) > idle, "they are requested again, without success");
    step(now + TimeDelta::hours(26));
    assert!(step(now + TimeDelta::hours(50)) > idle);
}

#[test]
fn a_run_waits_for_a_limit_that_resets_in_time() {
    let (world, double, sandbox) = start(21);
    double.plan_fault("Issues", 1, 1, Fault::RateLimited(1));
    let run = sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
    assert_eq!(double.pending_faults(), 0);
    assert!(run.stderr.to_lowercase().contains("limit"), "expected the reason of the wait: {}", run.stderr);
    sandbox.run(&["aggregate"]).expect_status(0);
    assert_matches_reference(sandbox.serve().address(), &world, settled_at(), &full_range());
}

#[test]
fn a_run_stops_if_the_wait_is_too_long() {
    for fault in [Fault::RateLimited(1800), Fault::SecondaryLimit(1800)] {
        let (world, double, sandbox) = start(22);
        double.plan_fault("PullRequests", 1, 1, fault);
        let run = sandbox.run(&["collect", &world.org, "--since", SINCE, "--max-wait", "10s"]);
        let error = run.expect_error(75);
        assert!(error.contains("2024-04-27"), "expected the time of the reset: {error}");
        sandbox.run(&["aggregate"]).expect_status(0);
        sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
        sandbox.run(&["aggregate"]).expect_status(0);
        assert_matches_reference(sandbox.serve().address(), &world, settled_at(), &full_range());
    }
}

#[test]
fn a_stop_in_the_probe_is_reported_with_its_reason() {
    let limits = [
        (Fault::RateLimited(1800), "API rate limit exceeded"),
        (Fault::SecondaryLimit(1800), "secondary rate limit"),
    ];
    for (fault, why) in limits {
        let (world, double, sandbox) = start(27);
        double.plan_fault("Probe", 0, 1, fault);
        let run = sandbox.run(&["collect", &world.org, "--since", SINCE, "--max-wait", "10s"]);
        let summary = run.text();
        assert!(summary.contains("before any repository was read (1 request,"), "{summary}");
        let error = run.expect_error(75);
        assert!(error.contains("2024-04-27") && error.contains(why), "{error}");
    }
}

#[test]
fn a_budget_can_be_used_up_completely() {
    let (world, undisturbed, sandbox) = start(28);
    sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
    // The budget is 60 % of 5,000 points an hour. A request reserves up to four points, and costs one here.
    let run = |remaining: u64| {
        let double = Double::start(world.clone(), settled_at());
        double.accept_token(TOKEN, remaining);
        let args = ["collect", &world.org, "--since", SINCE, "--max-wait", "0s", "--budget", "60%"];
        Sandbox::with_github(&double).run(&args)
    };
    run(2008 + undisturbed.request_count() as u64).expect_status(0);
    let error = run(2008).expect_error(75);
    assert!(error.contains("2024-04-27"), "expected the time of the reset: {error}");
}

#[test]
fn reconcile_continues_after_a_repository_failed() {
    let (world, double, sandbox) = start(29);
    double.plan_fault("Deployments", 0, 1, Fault::Status(403));
    let run = sandbox.run(&["collect", &world.org, "--since", SINCE, "--reconcile"]).expect_status(3);
    assert!(run.text().contains(" compared, "), "{run:?}");
}

#[test]
fn a_failed_repository_does_not_stop_the_others() {
    let (world, double, sandbox) = start(23);
    double.plan_fault("Deployments", 0, 1, Fault::Status(403));
    let error = sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_error(3);
    let names: Vec<&str> = world.repos.iter().map(|repo| repo.name(settled_at())).collect();
    assert_eq!(names.iter().filter(|name| error.contains(&format!("/{name} "))).count(), 1, "{error}");
    sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
    sandbox.run(&["aggregate"]).expect_status(0);
    assert_matches_reference(sandbox.serve().address(), &world, settled_at(), &full_range());
}

#[test]
fn doctor_shows_the_account_and_its_limits() {
    let (_world, _double, sandbox) = start(24);
    let run = sandbox.run(&["doctor"]);
    let text = run.text();
    assert!(text.contains("reader"), "expected the account: {text} {}", run.stderr);
    assert!(text.contains("4,990") || text.contains("4990"), "expected the remaining points: {text}");
}

#[test]
fn doctor_shows_the_limits_if_the_account_is_unknown() {
    let (_world, double, sandbox) = start(24);
    double.plan_fault("/api/v3/user", 0, 1, Fault::SecondaryLimit(1800));
    let run = sandbox.run(&["doctor"]);
    let text = run.text();
    assert_eq!(double.pending_faults(), 0, "{text}");
    assert!(text.contains("does not report the user") && text.contains("scopes repo"), "{text}");
    assert_eq!(text.matches("4,990 of 5,000 left").count(), 2, "{text}");
}
