//! Signing in: as an app, and with several tokens; and whom tokens are told to.

use std::net::TcpListener;
use std::time::Duration;

use gam_tests::answers::check;
use gam_tests::github::{APP_ID, Double, TOKEN, World, generated};
use gam_tests::program::{Place, Serving};

use gam_tests::support::{SINCE, settled, whole};

/// Made for the tests of `gam-github`.
const KEY: &str = include_str!("../../../shared/github/testdata/app_key.pem");

fn as_app(seed: u64) -> (World, Double, Place) {
    let world = generated::world(seed);
    let double = Double::start(world.clone(), settled());
    double.install_app();
    let place = Place::new().set("GITHUB_API_URL", &double.api_url()).set("GITHUB_APP_ID", APP_ID);
    (world, double, place.set("GITHUB_APP_PRIVATE_KEY", KEY))
}

#[test]
fn an_app_signs_in_to_the_organization_and_its_token_goes_nowhere_else() {
    let (world, double, place) = as_app(60);
    // The double's clock is years behind this machine's, so the app has to sign by GitHub's.
    let run = place.run(&["collect", &world.org, "--since", SINCE]).expect(0);
    place.run(&["aggregate"]).expect(0);
    check(place.serve().address(), &world, settled(), &whole());
    assert_eq!(double.tokens_given(), 1);
    let asked = double.tokens_that_asked();
    assert!(asked.iter().filter(|token| token.starts_with("ghs_")).count() > 10, "the token reads");
    assert!(asked.iter().filter(|token| !token.starts_with("ghs_")).count() < 5, "the app only signs in");
    for secret in asked.iter().map(String::as_str).chain(["PRIVATE KEY"]) {
        assert!(!run.stderr.contains(secret) && !run.text().contains(secret));
    }
}

#[test]
fn a_token_that_is_refused_or_expires_is_renewed_once() {
    let (world, double, place) = as_app(61);
    double.revoke_after(9);
    place.run(&["collect", &world.org, "--since", SINCE]).expect(0);
    assert_eq!(double.tokens_given(), 2, "one more for the one that was refused");
    place.run(&["aggregate"]).expect(0);
    check(place.serve().address(), &world, settled(), &whole());
}

#[test]
fn an_app_that_is_not_installed_says_so_and_doctor_names_what_it_lacks() {
    let (world, _double, place) = as_app(62);
    let told = place.run(&["collect", "Elsewhere"]).refusal(1);
    assert!(told.contains("not installed"), "{told}");
    let text = place.run(&["doctor"]).text();
    let told = format!("missing in {}: Deployments: read, Pull requests: read", world.org);
    assert!(text.contains("Counter") && text.contains(&told), "{text}");
    let place = place.set("GITHUB_APP_PRIVATE_KEY", "no-such-file.pem");
    assert!(place.run(&["collect", &world.org]).refusal(2).contains("GITHUB_APP_PRIVATE_KEY"));
}

#[test]
fn doctor_says_what_it_means_that_members_are_hidden() {
    let mut world = generated::world(65);
    world.refused_fields = vec!["membersWithRole"];
    let double = Double::start(world.clone(), settled());
    let text = Place::with(&double).run(&["doctor", &world.org]).text();
    let told = format!("missing in {}: Members: read", world.org);
    assert!(text.contains(&told) && text.contains("all activity is counted"), "{text}");
    assert!(!text.contains("no repository"), "{text}");
}

#[test]
fn of_several_tokens_each_is_used_as_far_as_it_goes() {
    let world = generated::world(63);
    let double = Double::start(world.clone(), settled());
    double.accept("ghp_second0123456789", 5);
    double.accept("ghp_third0123456789", 3);
    double.accept(TOKEN, 4000);
    let tokens = format!("ghp_gone0123456789, {TOKEN},ghp_second0123456789,ghp_third0123456789");
    let place = Place::with(&double).set("GITHUB_TOKEN", &tokens);
    let run = place.run(&["collect", &world.org, "--since", SINCE]).expect(0);
    place.run(&["aggregate"]).expect(0);
    check(place.serve().address(), &world, settled(), &whole());
    let asked = double.tokens_that_asked();
    let count = |token: &str| asked.iter().filter(|it| *it == token).count();
    assert_eq!(count("ghp_gone0123456789"), 1, "what is refused is not tried again");
    let counts = [TOKEN, "ghp_second0123456789", "ghp_third0123456789"].map(count);
    assert!(counts[0] > 10 && counts[1] <= 5 && counts[2] <= 3, "{counts:?}");
    assert!(!run.stderr.contains("ghp_"), "{}", run.stderr);
    double.revoke(TOKEN);
    let alone = Place::with(&double);
    let told = alone.run(&["collect", &world.org]).refusal(1);
    assert!(told.contains("GITHUB_TOKEN") && !told.contains("ghp_"), "{told}");
}

#[test]
fn a_redirect_is_followed_on_the_same_host_only() {
    let world = generated::world(64);
    let moments = generated::moments(64, 2);
    let double = Double::start(world.clone(), moments[0]);
    let collected = || {
        double.set_now(moments[0]);
        let place = Place::with(&double);
        place.run(&["collect", &world.org, "--since", SINCE]).expect(0);
        double.set_now(moments[1]);
        place
    };
    let before = double.requests();
    collected().run(&["collect", &world.org, "--since", SINCE]).expect(0);
    let compare = double.log().into_iter().skip(before).find(|asked| asked.contains("/compare/"));
    let compare = compare.expect("two tips are compared");

    let elsewhere = TcpListener::bind("127.0.0.1:0").expect("a free port");
    elsewhere.set_nonblocking(true).expect("it need not wait");
    let address = elsewhere.local_addr().expect("its address").to_string();
    let place = collected();
    double.redirect_rest(&format!("http://{address}/elsewhere"));
    let told = place.run(&["collect", &world.org, "--since", SINCE]).refusal(3);
    assert!(told.contains(&address) && told.contains("GITHUB_API_URL"), "{told}");
    assert!(elsewhere.accept().is_err(), "nobody calls there, with a token or without");

    double.redirect_rest(&compare);
    place.run(&["collect", &world.org, "--since", SINCE]).expect(0);
    place.run(&["aggregate"]).expect(0);
    check(place.serve().address(), &world, moments[1], &whole());
}

#[test]
fn github_is_reached_through_the_proxy_of_the_environment() {
    let world = generated::world(66);
    let double = Double::start(world.clone(), settled());
    let proxy = double.api_url().replace("/api/v3", "");
    let place = Place::with(&double)
        .set("GITHUB_API_URL", "http://github.company.example/api/v3")
        .set("HTTP_PROXY", &proxy);
    place.run(&["collect", &world.org, "--since", SINCE]).expect(0);
    place.run(&["aggregate"]).expect(0);
    check(place.serve().address(), &world, settled(), &whole());
}

#[test]
fn an_app_that_is_installed_anew_is_found_again() {
    let (world, double, place) = as_app(67);
    let count = |what: &str| double.log().iter().filter(|asked| asked.ends_with(what)).count();
    let waits = |what: &str, so_many: usize| {
        let is_there = |_| {
            std::thread::sleep(Duration::from_millis(10));
            count(what) >= so_many
        };
        assert!((0..6_000).any(is_there), "{what}: {} of {so_many}: {:?}", count(what), double.log());
    };
    let args = ["up", &world.org, "--since", SINCE, "--every", "1s", "--listen", "127.0.0.1:0"];
    let serving = Serving::start(place.command(&args));
    waits("Probe", 2);
    double.uninstall_app();
    waits("/installation", 3);
    double.install_app();
    waits("Probe", count("Probe") + 2);
    drop(serving);
}

#[test]
fn a_missing_permission_is_named_with_the_repositories_it_hides() {
    let mut world = generated::world(68);
    world.refused_fields = vec!["deployments"];
    let double = Double::start(world.clone(), settled());
    let place = Place::with(&double);
    let told = place.run(&["collect", &world.org, "--since", SINCE]).refusal(3);
    let repo = world.repos[0].name(settled());
    assert!(told.contains("Deployments") && told.contains(repo), "{told}");
    assert_eq!(told.matches("Deployments").count(), 1, "once for all of them: {told}");
    let told = place.run(&["collect", &world.org, "--repo", repo]).refusal(2);
    assert!(told.contains("Deployments") && !told.contains("spelling"), "{told}");
}
