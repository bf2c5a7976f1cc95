//! Bad input: the exit status, one line that names the input, why, and the mend, and never a panic.

use std::net::TcpListener;

use gam_tests::github::{Double, generated};
use gam_tests::program::Sandbox;

use gam_tests::support::{backfilled, settled_at};

fn start() -> (Double, Sandbox) {
    let double = Double::start(generated::world(60), settled_at());
    let sandbox = Sandbox::with_github(&double);
    (double, sandbox)
}

/// The refusal must name all of that.
#[track_caller]
fn assert_told(told: &str, words: &[&str]) {
    for word in words {
        assert!(told.contains(word), "{word:?} is not in: {told}");
    }
}

#[test]
fn no_token() {
    let (double, sandbox) = start();
    for token in ["", " "] {
        let sandbox = Sandbox::with_github(&double).with_variable("GITHUB_TOKEN", token);
        assert_told(&sandbox.run(&["collect", "acme-works"]).expect_error(2), &["GITHUB_TOKEN"]);
    }
    assert_eq!(double.request_count(), 0);
    drop(sandbox);
}

#[test]
fn a_refused_token() {
    let (double, sandbox) = start();
    let sandbox = sandbox.with_variable("GITHUB_TOKEN", "ghp_wrong");
    let told = sandbox.run(&["collect", "acme-works"]).expect_error(1);
    assert_told(&told, &["refused the token", "GITHUB_TOKEN"]);
    assert!(!told.contains("ghp_wrong"));
    assert_eq!(double.request_count(), 1, "a token that is refused is not tried again");
}

#[test]
fn an_organization_that_is_not_there() {
    let (_double, sandbox) = start();
    assert_told(&sandbox.run(&["collect", "acme-wroks"]).expect_error(1), &["acme-wroks", "spelling"]);
}

#[test]
fn one_organization_of_two_that_is_not_there() {
    let (_double, sandbox) = start();
    let told = sandbox.run(&["collect", "nobody", "acme-works", "--since", "2024-01-01"]).expect_error(3);
    assert_told(&told, &["nobody", "spelling"]);
    sandbox.run(&["aggregate"]).expect_status(0);
}

#[test]
fn a_repository_that_is_not_there() {
    let (_double, sandbox) = start();
    assert_told(
        &sandbox.run(&["collect", "acme-works", "--repo", "sites"]).expect_error(2),
        &["sites", "spelling"],
    );
    let told =
        sandbox.run(&["collect", "acme-works", "--since", "2024-01-01", "--repo", "sites", "--repo", "site"]);
    assert_told(&told.expect_error(3), &["sites", "spelling"]);
}

#[test]
fn days_that_make_no_range() {
    let (double, sandbox) = start();
    for days in [["2024-02-02", "2024-02-01"], ["2024-02-02", "2024-02-02"]] {
        let told =
            sandbox.run(&["collect", "acme-works", "--since", days[0], "--until", days[1]]).expect_error(2);
        assert_told(&told, &["--since", "--until", days[1]]);
    }
    let told = sandbox.run(&["collect", "acme-works", "--since", "2999-01-01"]).expect_error(2);
    assert_told(&told, &["2999-01-01", "future"]);
    assert_eq!(double.request_count(), 0, "what cannot be is not asked for");
}

#[test]
fn what_is_no_day() {
    let (_double, sandbox) = start();
    for day in ["2023-02-29", "yesterday", "2024-1-1", "01/02/2024", "", "2024-01-01T00:00:00Z"] {
        for command in [["collect", "acme-works"], ["show", "acme-works"], ["export", "acme-works"]] {
            let told = sandbox.run(&[&command[..], &["--since", day]].concat()).expect_error(2);
            assert_told(&told, &["--since"]);
        }
    }
}

#[test]
fn a_data_directory_that_is_no_directory() {
    let (_double, sandbox) = start();
    std::fs::write(sandbox.data_dir(), "a file").expect("a file");
    for data in [sandbox.data_dir(), sandbox.data_dir().join("below")] {
        let data = data.to_string_lossy().into_owned();
        for command in [&["collect", "acme-works"][..], &["aggregate"], &["serve", "--listen", "127.0.0.1:0"]]
        {
            let told = sandbox.run(&[command, &["--data-dir", &data]].concat()).expect_error(1);
            assert_told(&told, &[&data]);
        }
    }
}

#[test]
fn a_store_that_is_none() {
    let (_double, sandbox) = start();
    std::fs::create_dir_all(sandbox.data_dir()).expect("a directory");
    let store = sandbox.data_dir().join("store.sqlite");
    std::fs::write(&store, "this is no database, and long enough to be sure of that. ".repeat(100))
        .expect("a file");
    for command in [&["collect", "acme-works"][..], &["aggregate"], &["show", "acme-works"]] {
        assert_told(&sandbox.run(command).expect_error(1), &["store.sqlite"]);
    }
    let text = std::fs::read_to_string(&store).expect("it is as it was");
    assert!(text.starts_with("this is no database"));
}

#[test]
fn a_store_of_a_newer_version() {
    let (_world, _double, sandbox) = backfilled(61);
    let store = sandbox.data_dir().join("store.sqlite");
    // The header's four bytes that `PRAGMA user_version` shows.
    let mut bytes = std::fs::read(&store).expect("the store");
    bytes[60..64].copy_from_slice(&9_999_i32.to_be_bytes());
    std::fs::write(&store, &bytes).expect("the store");
    for command in [&["collect", "acme-works"][..], &["aggregate"], &["show", "acme-works"]] {
        assert_told(&sandbox.run(command).expect_error(1), &["store.sqlite", "9999", "upgrade"]);
    }
    assert_eq!(std::fs::read(&store).expect("the store"), bytes, "it is left alone");
}

#[test]
fn a_port_that_is_taken() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("its number").port().to_string();
    let sandbox = Sandbox::new();
    let address = format!("127.0.0.1:{port}");
    for command in [&["serve"][..], &["demo", "--days", "3"]] {
        let told = sandbox.run(&[command, &["--listen", &address]].concat()).expect_error(1);
        assert_told(&told, &[&port, "taken", "--listen"]);
    }
    let told = sandbox.run(&["serve", "--listen", "nowhere"]).expect_error(2);
    assert_told(&told, &["nowhere", "HOST:PORT"]);
}

#[test]
fn a_github_that_is_not_there() {
    let sandbox =
        Sandbox::new().with_variable("GITHUB_TOKEN", "x").with_variable("GITHUB_API_URL", "not an address");
    assert_told(&sandbox.run(&["collect", "acme"]).expect_error(2), &["GITHUB_API_URL"]);
}

#[test]
fn what_was_never_collected() {
    let sandbox = Sandbox::new();
    assert_told(&sandbox.run(&["show", "acme"]).expect_error(1), &["store", "--data-dir"]);
    let (_world, _double, sandbox) = backfilled(61);
    for command in [&["show", "other"][..], &["export", "other"], &["aggregate", "other"]] {
        assert_told(&sandbox.run(command).expect_error(1), &["other", "collect"]);
    }
    let told = sandbox.run(&["aggregate", "other", "acme-works"]);
    assert!(told.text().contains("Acme-Works: "), "{told:?}");
    assert_told(&told.expect_error(3), &["other", "collect"]);
    for subject in [["repo", "acme-works", "sites"], ["member", "acme-works", "nobody"]] {
        assert_told(
            &sandbox.run(&[&["show"], &subject[..]].concat()).expect_error(1),
            &[subject[2], "spelling"],
        );
    }
}

#[test]
fn a_command_line_that_means_nothing() {
    let sandbox = Sandbox::new();
    for args in
        [&[][..], &["colect"], &["collect"], &["collect", "a b"], &["show", "acme", "--metric", "stars"]]
    {
        let run = sandbox.run(args).expect_status(2);
        assert!(
            run.stdout.is_empty() && !run.stderr.is_empty() && !run.stderr.contains("panicked"),
            "{run:?}"
        );
    }
    let help = sandbox.run(&["--help"]).expect_status(0);
    assert!(help.text().contains("collect") && help.stderr.is_empty());
}
