//! What GitHub refuses or fails at: exit status 1, 3 where a part was done, 75 for its limits.

use gam_tests::github::{Fault, TOKEN};

use super::{SINCE, check, start, transcript};

/// Stops at limits at once, one repository after the other.
const COLLECT: [&str; 8] = ["collect", "acme", "--since", SINCE, "--max-wait", "0s", "--parallelism", "1"];

#[test]
fn refused_token() {
    let (_double, sandbox) = start();
    let sandbox = sandbox.with_variable("GITHUB_TOKEN", "ghp_wrong");
    check("github_refused_token", &transcript(&sandbox, &COLLECT));
}

#[test]
fn names_that_github_does_not_know() {
    let (_double, sandbox) = start();
    let mut text = String::new();
    for args in [
        &["collect", "other"][..],
        &["collect", "other", "acme", "--since", SINCE, "--parallelism", "1", "--quiet"],
        &["collect", "acme", "--repo", "other"],
        &["collect", "acme", "--repo", "other", "--repo", "site", "--quiet"],
    ] {
        text.push_str(&format!("{}\n", transcript(&sandbox, args)));
    }
    check("github_unknown_names", &text);
}

#[test]
fn limits() {
    let mut text = String::new();
    for (on, what, fault) in [
        ("Probe", "the first request with the primary limit", Fault::RateLimited(1800)),
        ("PullRequests", "pull requests with the primary limit", Fault::RateLimited(1800)),
        ("Issues", "issues with the secondary limit", Fault::SecondaryLimit(1800)),
    ] {
        let (double, sandbox) = start();
        double.plan_fault(on, 0, 1, fault);
        text.push_str(&format!("GitHub answers {what}.\n{}\n", transcript(&sandbox, &COLLECT)));
        assert_eq!(double.pending_faults(), 0, "{on}");
    }
    let (double, sandbox) = start();
    double.plan_fault("Probe", 0, 1, Fault::RateLimited(1800));
    text.push_str(&format!("{}\n", transcript(&sandbox, &[&COLLECT[..], &["--format", "json"]].concat())));
    let (double, sandbox) = start();
    double.plan_fault("Probe", 0, 1, Fault::RateLimited(1800));
    text.push_str(&format!("{}\n", transcript(&sandbox, &[&COLLECT[..], &["other"]].concat())));
    double.accept_token(TOKEN, 2000);
    text.push_str(&transcript(&sandbox, &[&COLLECT[..], &["--budget", "60%"]].concat()));
    check("github_limits", &text);
}

#[test]
fn repositories_that_cannot_be_read() {
    let mut text = String::new();
    for (on, what, times, fault) in [
        ("Deployments", "deployments of one repository with status 403", 1, Fault::Status(403)),
        ("Commits", "commits of both repositories with status 403", 2, Fault::Status(403)),
        ("Releases", "releases of one repository with status 404", 1, Fault::Status(404)),
    ] {
        let (double, sandbox) = start();
        double.plan_fault(on, 0, times, fault);
        text.push_str(&format!("GitHub answers {what}.\n{}\n", transcript(&sandbox, &COLLECT)));
        assert_eq!(double.pending_faults(), 0, "{on}");
    }
    let (double, sandbox) = start();
    double.plan_fault("Deployments", 0, 1, Fault::Status(403));
    text.push_str(&transcript(&sandbox, &[&COLLECT[..], &["--format", "json", "--quiet"]].concat()));
    check("github_partial_failure", &text);
}
