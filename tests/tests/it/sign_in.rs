//! Signing in: as an app, and with several tokens; and whom tokens are told to.

use std::io::{Read, Write};
use std::net::TcpListener;

use gam_tests::answers::check;
use gam_tests::github::{APP_ID, Double, TOKEN, World, generated};
use gam_tests::program::Place;

use crate::support::{SINCE, settled, whole};

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
    assert!(text.contains(&told) && text.contains("all is counted"), "{text}");
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

/// A server that takes note of what it is asked, and knows nothing.
fn elsewhere() -> (String, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address").to_string();
    let heard = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a call");
        let mut bytes = [0; 4096];
        let read = stream.read(&mut bytes).expect("a request");
        let answer = b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
        stream.write_all(answer).expect("an answer");
        String::from_utf8_lossy(&bytes[..read]).into_owned()
    });
    (address, heard)
}

#[test]
fn a_redirect_to_another_host_does_not_take_the_token_along() {
    let world = generated::world(64);
    let moments = generated::moments(64, 2);
    let double = Double::start(world.clone(), moments[0]);
    let place = Place::with(&double);
    place.run(&["collect", &world.org, "--since", SINCE]).expect(0);
    double.set_now(moments[1]);
    let (address, heard) = elsewhere();
    double.redirect_rest(&format!("http://{address}/elsewhere"));
    // There is nothing there, so the history is read anew from the right place.
    place.run(&["collect", &world.org, "--since", SINCE]).expect(0);
    let heard = heard.join().expect("it was called").to_lowercase();
    assert!(heard.starts_with("get /elsewhere") && !heard.contains("authorization"), "{heard}");
    place.run(&["aggregate"]).expect(0);
    check(place.serve().address(), &world, moments[1], &whole());
}
