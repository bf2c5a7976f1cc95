//! Signing in: as an app, and with several tokens; and whom tokens are told to.

use std::net::TcpListener;
use std::time::Duration;

use gam_tests::answers::assert_matches_reference;
use gam_tests::github::{APP_ID, Double, TOKEN, World, generated};
use gam_tests::program::{Sandbox, ServerProcess};

use gam_tests::support::{SINCE, full_range, settled_at};

/// Made for the tests of `gam-github`.
const KEY: &str = include_str!("../../../shared/github/testdata/app_key.pem");

fn as_app(seed: u64) -> (World, Double, Sandbox) {
    let world = generated::world(seed);
    let double = Double::start(world.clone(), settled_at());
    double.install_app();
    let sandbox = Sandbox::new()
        .with_variable("GITHUB_API_URL", &double.api_url())
        .with_variable("GITHUB_APP_ID", APP_ID);
    (world, double, sandbox.with_variable("GITHUB_APP_PRIVATE_KEY", KEY))
}

#[test]
fn an_app_signs_in_to_the_organization_and_its_token_goes_nowhere_else() {
    let (world, double, sandbox) = as_app(60);
    // The double's clock is years behind this machine's, so the app has to sign by GitHub's.
    let run = sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
    sandbox.run(&["aggregate"]).expect_status(0);
    assert_matches_reference(sandbox.serve().address(), &world, settled_at(), &full_range());
    assert_eq!(double.tokens_issued(), 1);
    let asked = double.tokens_used();
    assert!(asked.iter().filter(|token| token.starts_with("ghs_")).count() > 10, "the token reads");
    assert!(asked.iter().filter(|token| !token.starts_with("ghs_")).count() < 5, "the app only signs in");
    for secret in asked.iter().map(String::as_str).chain(["PRIVATE KEY"]) {
        assert!(!run.stderr.contains(secret) && !run.text().contains(secret));
    }
}

#[test]
fn a_token_that_is_refused_or_expires_is_renewed_once() {
    let (world, double, sandbox) = as_app(61);
    double.revoke_tokens_after(9);
    sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
    assert_eq!(double.tokens_issued(), 2, "one more for the one that was refused");
    sandbox.run(&["aggregate"]).expect_status(0);
    assert_matches_reference(sandbox.serve().address(), &world, settled_at(), &full_range());
}

#[test]
fn an_app_that_is_not_installed_says_so_and_doctor_names_what_it_lacks() {
    let (world, _double, sandbox) = as_app(62);
    let told = sandbox.run(&["collect", "Elsewhere"]).expect_error(1);
    assert!(told.contains("not installed"), "{told}");
    let text = sandbox.run(&["doctor"]).text();
    let told = format!("missing in {}: Deployments: read, Pull requests: read", world.org);
    assert!(text.contains("Counter") && text.contains(&told), "{text}");
    let sandbox = sandbox.with_variable("GITHUB_APP_PRIVATE_KEY", "no-such-file.pem");
    assert!(sandbox.run(&["collect", &world.org]).expect_error(2).contains("GITHUB_APP_PRIVATE_KEY"));
}

#[test]
fn doctor_says_what_it_means_that_members_are_hidden() {
    let mut world = generated::world(65);
    world.forbidden_fields = vec!["membersWithRole"];
    let double = Double::start(world.clone(), settled_at());
    let text = Sandbox::with_github(&double).run(&["doctor", &world.org]).text();
    let told = format!("missing in {}: Members: read", world.org);
    assert!(text.contains(&told) && text.contains("all is counted"), "{text}");
    assert!(!text.contains("no repository"), "{text}");
}

#[test]
fn of_several_tokens_each_is_used_as_far_as_it_goes() {
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
    let asked = double.tokens_used();
    let count = |token: &str| asked.iter().filter(|it| *it == token).count();
    assert_eq!(count("ghp_gone0123456789"), 1, "what is refused is not tried again");
    let counts = [TOKEN, "ghp_second0123456789", "ghp_third0123456789"].map(count);
    assert!(counts[0] > 10 && counts[1] <= 5 && counts[2] <= 3, "{counts:?}");
    assert!(!run.stderr.contains("ghp_"), "{}", run.stderr);
    double.revoke_token(TOKEN);
    let alone = Sandbox::with_github(&double);
    let told = alone.run(&["collect", &world.org]).expect_error(1);
    assert!(told.contains("GITHUB_TOKEN") && !told.contains("ghp_"), "{told}");
}

#[test]
fn a_redirect_is_followed_on_the_same_host_only() {
    let world = generated::world(64);
    let times = generated::times(64, 2);
    let double = Double::start(world.clone(), times[0]);
    let collected = || {
        double.set_now(times[0]);
        let sandbox = Sandbox::with_github(&double);
        sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
        double.set_now(times[1]);
        sandbox
    };
    let before = double.request_count();
    collected().run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
    let compare = double.log().into_iter().skip(before).find(|asked| asked.contains("/compare/"));
    let compare = compare.expect("two tips are compared");

    let elsewhere = TcpListener::bind("127.0.0.1:0").expect("a free port");
    elsewhere.set_nonblocking(true).expect("it need not wait");
    let address = elsewhere.local_addr().expect("its address").to_string();
    let sandbox = collected();
    double.redirect_next_rest_request(&format!("http://{address}/elsewhere"));
    let told = sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_error(3);
    assert!(told.contains(&address) && told.contains("GITHUB_API_URL"), "{told}");
    assert!(elsewhere.accept().is_err(), "nobody calls there, with a token or without");

    double.redirect_next_rest_request(&compare);
    sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
    sandbox.run(&["aggregate"]).expect_status(0);
    assert_matches_reference(sandbox.serve().address(), &world, times[1], &full_range());
}

#[test]
fn github_is_reached_through_the_proxy_of_the_environment() {
    let world = generated::world(66);
    let double = Double::start(world.clone(), settled_at());
    let proxy = double.api_url().replace("/api/v3", "");
    let sandbox = Sandbox::with_github(&double)
        .with_variable("GITHUB_API_URL", "http://github.company.example/api/v3")
        .with_variable("HTTP_PROXY", &proxy);
    sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
    sandbox.run(&["aggregate"]).expect_status(0);
    assert_matches_reference(sandbox.serve().address(), &world, settled_at(), &full_range());
}

#[test]
fn an_app_that_is_installed_anew_is_found_again() {
    let (world, double, sandbox) = as_app(67);
    let count = |what: &str| double.log().iter().filter(|asked| asked.ends_with(what)).count();
    let waits = |what: &str, so_many: usize| {
        let is_there = |_| {
            std::thread::sleep(Duration::from_millis(10));
            count(what) >= so_many
        };
        assert!((0..6_000).any(is_there), "{what}: {} of {so_many}: {:?}", count(what), double.log());
    };
    let args = ["up", &world.org, "--since", SINCE, "--every", "1s", "--listen", "127.0.0.1:0"];
    let server = ServerProcess::start(sandbox.command(&args));
    waits("Probe", 2);
    double.uninstall_app();
    waits("/installation", 3);
    double.install_app();
    waits("Probe", count("Probe") + 2);
    drop(server);
}

#[test]
fn a_missing_permission_is_named_with_the_repositories_it_hides() {
    let mut world = generated::world(68);
    world.forbidden_fields = vec!["deployments"];
    let double = Double::start(world.clone(), settled_at());
    let sandbox = Sandbox::with_github(&double);
    let told = sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_error(3);
    let repo = world.repos[0].name(settled_at());
    assert!(told.contains("Deployments") && told.contains(repo), "{told}");
    assert_eq!(told.matches("Deployments").count(), 1, "once for all of them: {told}");
    let told = sandbox.run(&["collect", &world.org, "--repo", repo]).expect_error(2);
    assert!(told.contains("Deployments") && !told.contains("spelling"), "{told}");
}
