//! GitHub fails: what may pass is tried again, what may not is told, and nothing is lost.

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
fn what_may_pass_is_tried_again() {
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

#[test]
fn what_came_whole_is_used_and_the_rest_is_asked_for_by_itself() {
    let (world, double, sandbox) = start(25);
    let clean = Double::start(world.clone(), settled_at());
    Sandbox::with_github(&clean).run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
    let lists = ["PullRequests", "Issues", "Commits", "Deployments", "Releases"];
    for list in lists {
        double.plan_fault(list, 0, 1, Fault::BrokenEntry);
    }
    sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
    assert_eq!(double.pending_faults(), 0, "{}", double.log().join(", "));
    sandbox.run(&["aggregate"]).expect_status(0);
    assert_matches_reference(sandbox.serve().address(), &world, settled_at(), &full_range());
    for list in lists {
        assert_eq!(double.count_of(list), clean.count_of(list), "{list}: no page is asked for again");
    }
    for list in ["PullRequestsById", "IssuesById"] {
        assert_eq!((double.count_of(list), clean.count_of(list)), (1, 0), "{list}");
    }
}

#[test]
fn a_repository_that_github_cannot_tell_does_not_stop_the_others() {
    let (world, double, sandbox) = start(27);
    double.plan_fault("Probe", 0, 1, Fault::BrokenEntry);
    sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
    assert!(double.log().contains(&"ProbeById".to_owned()), "it is asked for by itself");
    sandbox.run(&["aggregate"]).expect_status(0);
    assert_matches_reference(sandbox.serve().address(), &world, settled_at(), &full_range());

    let sandbox = Sandbox::with_github(&double);
    double.plan_fault("Probe", 0, 1, Fault::BrokenEntry);
    double.plan_fault("ProbeById", 0, 1, Fault::Status(404));
    let told = sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_error(3);
    let mut names: Vec<&str> = world.repos.iter().map(|repo| repo.name(settled_at())).collect();
    names.sort_by_key(|name| name.to_lowercase());
    assert!(told.contains(names[names.len() - 1]), "{told}");
    // From the day on that was asked for at first.
    sandbox.run(&["collect", &world.org]).expect_status(0);
    sandbox.run(&["aggregate"]).expect_status(0);
    assert_matches_reference(sandbox.serve().address(), &world, settled_at(), &full_range());
}

#[test]
fn commits_that_github_did_not_count_are_asked_for_again() {
    let mut world = generated::world(26);
    let now = settled_at();
    let of_site = world.repos[0].commits.values_mut().filter(|commit| commit.lines.is_some()).take(30);
    of_site.for_each(|commit| commit.uncounted_until = Some(now + TimeDelta::hours(30)));
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
    // Deployments that may still succeed are asked for each time.
    let idle = step(now + TimeDelta::hours(1));
    assert!(step(now + TimeDelta::hours(25)) > idle, "they are asked for again, in vain");
    step(now + TimeDelta::hours(26));
    assert!(step(now + TimeDelta::hours(50)) > idle);
}

#[test]
fn a_limit_is_waited_for_if_it_is_reset_in_time() {
    let (world, double, sandbox) = start(21);
    double.plan_fault("Issues", 1, 1, Fault::RateLimited(1));
    let run = sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
    assert_eq!(double.pending_faults(), 0);
    assert!(run.stderr.to_lowercase().contains("limit"), "it says what it waits for: {}", run.stderr);
    sandbox.run(&["aggregate"]).expect_status(0);
    assert_matches_reference(sandbox.serve().address(), &world, settled_at(), &full_range());
}

#[test]
fn past_the_longest_wait_it_stops_and_goes_on_later() {
    for fault in [Fault::RateLimited(1800), Fault::SecondaryLimit(1800)] {
        let (world, double, sandbox) = start(22);
        double.plan_fault("PullRequests", 1, 1, fault);
        let run = sandbox.run(&["collect", &world.org, "--since", SINCE, "--max-wait", "10s"]);
        let told = run.expect_error(75);
        assert!(told.contains("2024-04-27"), "it tells when the limit is reset: {told}");
        sandbox.run(&["aggregate"]).expect_status(0);
        sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
        sandbox.run(&["aggregate"]).expect_status(0);
        assert_matches_reference(sandbox.serve().address(), &world, settled_at(), &full_range());
    }
}

#[test]
fn a_stop_before_anything_was_read_is_told_with_its_reason() {
    let limits = [
        (Fault::RateLimited(1800), "API rate limit exceeded"),
        (Fault::SecondaryLimit(1800), "secondary rate limit"),
    ];
    for (fault, why) in limits {
        let (world, double, sandbox) = start(27);
        double.plan_fault("Probe", 0, 1, fault);
        let run = sandbox.run(&["collect", &world.org, "--since", SINCE, "--max-wait", "10s"]);
        let summary = run.text();
        assert!(summary.contains("before any repository was read, 1 request,"), "{summary}");
        let told = run.expect_error(75);
        assert!(told.contains("2024-04-27") && told.contains(why), "{told}");
    }
}

#[test]
fn a_budget_is_used_to_its_end_though_calls_queue() {
    let (world, clean, sandbox) = start(28);
    sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
    // Of 5,000 points an hour 60 % may be used; a call reserves four points at most, and takes one here.
    let run = |left: u64| {
        let double = Double::start(world.clone(), settled_at());
        double.accept_token(TOKEN, left);
        let args = ["collect", &world.org, "--since", SINCE, "--max-wait", "0s", "--budget", "60%"];
        Sandbox::with_github(&double).run(&args)
    };
    run(2008 + clean.request_count() as u64).expect_status(0);
    let told = run(2008).expect_error(75);
    assert!(told.contains("2024-04-27"), "it tells when the limit is reset: {told}");
}

#[test]
fn where_a_repository_failed_the_others_are_compared_all_the_same() {
    let (world, double, sandbox) = start(29);
    double.plan_fault("Deployments", 0, 1, Fault::Status(403));
    let run = sandbox.run(&["collect", &world.org, "--since", SINCE, "--reconcile"]).expect_status(3);
    assert!(run.text().contains(" compared, "), "{run:?}");
}

#[test]
fn a_repository_that_fails_does_not_stop_the_others() {
    let (world, double, sandbox) = start(23);
    double.plan_fault("Deployments", 0, 1, Fault::Status(403));
    let told = sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_error(3);
    let names: Vec<&str> = world.repos.iter().map(|repo| repo.name(settled_at())).collect();
    assert_eq!(names.iter().filter(|name| told.contains(&format!("/{name} "))).count(), 1, "{told}");
    sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
    sandbox.run(&["aggregate"]).expect_status(0);
    assert_matches_reference(sandbox.serve().address(), &world, settled_at(), &full_range());
}

#[test]
fn doctor_tells_what_the_double_says() {
    let (_world, _double, sandbox) = start(24);
    let run = sandbox.run(&["doctor"]);
    let text = run.text();
    assert!(text.contains("reader"), "whose token it is: {text} {}", run.stderr);
    assert!(text.contains("4,990") || text.contains("4990"), "what is left: {text}");
}

#[test]
fn doctor_tells_the_limits_where_it_is_not_told_whose_token_it_is() {
    let (_world, double, sandbox) = start(24);
    double.plan_fault("/api/v3/user", 0, 1, Fault::SecondaryLimit(1800));
    let run = sandbox.run(&["doctor"]);
    let text = run.text();
    assert_eq!(double.pending_faults(), 0, "{text}");
    assert!(text.contains("does not say whose it is") && text.contains("scopes repo"), "{text}");
    assert_eq!(text.matches("4,990 of 5,000 left").count(), 2, "{text}");
}
