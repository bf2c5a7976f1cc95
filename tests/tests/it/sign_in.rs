//! Signing in as an app and with several tokens, and to which hosts tokens are sent.

use std::net::TcpListener;
use std::time::Duration;

use gam_tests::answers::assert_matches_reference;
use gam_tests::github::{APP_ID, Double, TOKEN, World, generated};
use gam_tests::program::{Sandbox, ServerProcess};

use gam_tests::support::{SINCE, full_range, settled_at, wait_for};

/// The key of the tests of `gam-github`.
const KEY: &str = include_str!("../../../shared/github/testdata/app_key.pem");

/// How long to wait for a request.
const LIMIT: Duration = Duration::from_secs(60);

fn sandbox_with_app(seed: u64) -> (World, Double, Sandbox) {
    let world = generated::world(seed);
    let double = Double::start(world.clone(), settled_at());
    double.install_app();
    let sandbox = Sandbox::new()
        .with_variable("GITHUB_API_URL", &double.api_url())
        .with_variable("GITHUB_APP_ID", APP_ID);
    (world, double, sandbox.with_variable("GITHUB_APP_PRIVATE_KEY", KEY))
}

#[test]
fn an_app_collects_with_its_installation_token_and_leaks_none() {
    let (world, double, sandbox) = sandbox_with_app(60);
    // The double's clock is years behind this machine's clock. The app must sign with GitHub's time.
    let run = sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
    sandbox.run(&["aggregate"]).expect_status(0);
    assert_matches_reference(sandbox.serve().address(), &world, settled_at(), &full_range());
    assert_eq!(double.tokens_issued(), 1);
    let tokens = double.tokens_used();
    assert!(
        tokens.iter().filter(|token| token.starts_with("ghs_")).count() > 10,
        "the installation token reads"
    );
    assert!(tokens.iter().filter(|token| !token.starts_with("ghs_")).count() < 5, "the app only signs in");
    for secret in tokens.iter().map(String::as_str).chain(["PRIVATE KEY"]) {
        assert!(!run.stderr.contains(secret) && !run.text().contains(secret));
    }
}

#[test]
fn an_app_finds_its_installation_in_a_renamed_organization() {
    let (mut world, double, sandbox) = sandbox_with_app(65);
    let old = world.org.clone();
    sandbox.run(&["collect", &old, "--since", SINCE]).expect_status(0);
    world.rename_org("acme-holding");
    double.set_world(world.clone());
    let error = sandbox.run(&["collect", &old]).expect_error(1);
    assert!(error.contains("not installed") && error.contains("rename-org"), "{error}");
    sandbox.run(&["rename-org", &old, &world.org]).expect_status(0);
    for org in [&old, &world.org] {
        let run = sandbox.run(&["collect", org, "--format", "json"]).expect_status(0);
        assert_eq!(run.json()["org"], world.org.as_str());
    }
    sandbox.run(&["aggregate"]).expect_status(0);
    assert_matches_reference(sandbox.serve().address(), &world, settled_at(), &full_range());
}

#[test]
fn a_revoked_installation_token_is_renewed_once() {
    let (world, double, sandbox) = sandbox_with_app(61);
    double.revoke_tokens_after(9);
    sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
    assert_eq!(double.tokens_issued(), 2, "one more replaces the revoked one");
    sandbox.run(&["aggregate"]).expect_status(0);
    assert_matches_reference(sandbox.serve().address(), &world, settled_at(), &full_range());
}

#[test]
fn a_missing_installation_and_missing_permissions_are_reported() {
    let (world, _double, sandbox) = sandbox_with_app(62);
    let error = sandbox.run(&["collect", "Elsewhere"]).expect_error(1);
    assert!(error.contains("not installed"), "{error}");
    let text = sandbox.run(&["doctor"]).text();
    let expected = format!("missing in {}: Deployments: read, Pull requests: read", world.org);
    assert!(text.contains("Counter") && text.contains(&expected), "{text}");
    let sandbox = sandbox.with_variable("GITHUB_APP_PRIVATE_KEY", "no-such-file.pem");
    assert!(sandbox.run(&["collect", &world.org]).expect_error(2).contains("GITHUB_APP_PRIVATE_KEY"));
}

#[test]
fn doctor_explains_that_members_are_hidden() {
    let mut world = generated::world(65);
    world.forbidden_fields = vec!["membersWithRole"];
    let double = Double::start(world.clone(), settled_at());
    let text = Sandbox::with_github(&double).run(&["doctor", &world.org]).text();
    let expected = format!("missing in {}: Members: read", world.org);
    assert!(text.contains(&expected) && text.contains("all activity is counted"), "{text}");
    assert!(!text.contains("no repository"), "{text}");
}

#[test]
fn each_of_several_tokens_is_used_up_to_its_limit() {
    let world = generated::world(63);
    let double = Double::start(world.clone(), settled_at());
    double.accept_token("ghp_second0123456789", 5);
    double.accept_token("ghp_third0123456789", 3);
    double.accept_token(TOKEN, 4000);
    let tokens = format!("ghp_gone0123456789, {TOKEN},ghp_second0123456789,ghp_third0123456789");
    let sandbox = Sandbox::with_github(&double).with_variable("GITHUB_TOKEN", &tokens);
    let run = sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
    sandbox.run(&["aggregate"]).expect_status(0);
    assert_matches_reference(sandbox.serve().address(), &world, settled_at(), &full_range());
    let tokens = double.tokens_used();
    let count = |token: &str| tokens.iter().filter(|it| *it == token).count();
    assert_eq!(count("ghp_gone0123456789"), 1, "a rejected token is not used again");
    let counts = [TOKEN, "ghp_second0123456789", "ghp_third0123456789"].map(count);
    assert!(counts[0] > 10 && counts[1] <= 5 && counts[2] <= 3, "{counts:?}");
    assert!(!run.stderr.contains("ghp_"), "{}", run.stderr);
    double.revoke_token(TOKEN);
    let other = Sandbox::with_github(&double);
    let error = other.run(&["collect", &world.org]).expect_error(1);
    assert!(error.contains("GITHUB_TOKEN") && !error.contains("ghp_"), "{error}");
}

#[test]
fn redirects_are_followed_on_the_same_host_only() {
    let world = generated::world(64);
    let times = generated::times(64, 2);
    let double = Double::start(world.clone(), times[0]);
    let collect = || {
        double.set_now(times[0]);
        let sandbox = Sandbox::with_github(&double);
        sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
        double.set_now(times[1]);
        sandbox
    };
    let before = double.request_count();
    collect().run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
    let compare = double.log().into_iter().skip(before).find(|logged| logged.contains("/compare/"));
    let compare = compare.expect("two tips are compared");

    let elsewhere = TcpListener::bind("127.0.0.1:0").expect("a free port");
    elsewhere.set_nonblocking(true).expect("a non-blocking socket");
    let address = elsewhere.local_addr().expect("its address").to_string();
    let sandbox = collect();
    double.redirect_next_rest_request(&format!("http://{address}/elsewhere"));
    let error = sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_error(3);
    assert!(error.contains(&address) && error.contains("GITHUB_API_URL"), "{error}");
    assert!(elsewhere.accept().is_err(), "no request reaches the other host, with or without a token");

    double.redirect_next_rest_request(&compare);
    sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
    sandbox.run(&["aggregate"]).expect_status(0);
    assert_matches_reference(sandbox.serve().address(), &world, times[1], &full_range());
}

#[test]
fn requests_go_through_the_proxy_of_the_environment() {
    let world = generated::world(66);
    let double = Double::start(world.clone(), settled_at());
    let proxy = double.api_url().replace("/api/v3", "");
    let sandbox = Sandbox::with_github(&double)
        .with_variable("GITHUB_API_URL", "http://localhost:1/api/v3")
        .with_variable("HTTP_PROXY", &proxy);
    sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
    sandbox.run(&["aggregate"]).expect_status(0);
    assert_matches_reference(sandbox.serve().address(), &world, settled_at(), &full_range());
}

#[test]
fn a_reinstalled_app_is_found_again() {
    let (world, double, sandbox) = sandbox_with_app(67);
    let count = |suffix: &str| double.log().iter().filter(|logged| logged.ends_with(suffix)).count();
    let wait_for = |suffix: &str, minimum: usize| {
        wait_for(suffix, LIMIT, || (count(suffix) >= minimum).then_some(()));
    };
    let args = ["up", &world.org, "--since", SINCE, "--every", "1s", "--listen", "127.0.0.1:0"];
    let server = ServerProcess::start(sandbox.command(&args));
    wait_for("Probe", 2);
    double.uninstall_app();
    wait_for("/installation", 3);
    double.install_app();
    wait_for("Probe", count("Probe") + 2);
    drop(server);
}

#[test]
fn a_missing_permission_is_reported_with_its_repositories() {
    let mut world = generated::world(68);
    world.forbidden_fields = vec!["deployments"];
    let double = Double::start(world.clone(), settled_at());
    let sandbox = Sandbox::with_github(&double);
    let error = sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_error(3);
    let repo = world.repos[0].name(settled_at());
    assert!(error.contains("Deployments") && error.contains(repo), "{error}");
    assert_eq!(error.matches("Deployments").count(), 1, "once for all repositories: {error}");
    let error = sandbox.run(&["collect", &world.org, "--repo", repo]).expect_error(2);
    assert!(error.contains("Deployments") && !error.contains("spelling"), "{error}");
}
