//! Invalid input: the exit status, and one error line that quotes the input, says why, and says what to do.
//! Never a panic.

use std::net::TcpListener;

use gam_tests::github::{Double, generated};
use gam_tests::program::Sandbox;

use gam_tests::support::{backfilled, settled_at};

fn start() -> (Double, Sandbox) {
    let double = Double::start(generated::world(60), settled_at());
    let sandbox = Sandbox::with_github(&double);
    (double, sandbox)
}

/// Asserts that an error contains all words.
#[track_caller]
fn assert_contains(error: &str, words: &[&str]) {
    for word in words {
        assert!(error.contains(word), "{word:?} is not in: {error}");
    }
}

#[test]
fn a_missing_token_is_reported() {
    let (double, sandbox) = start();
    for token in ["", " "] {
        let sandbox = Sandbox::with_github(&double).with_variable("GITHUB_TOKEN", token);
        assert_contains(&sandbox.run(&["collect", "acme-works"]).expect_error(2), &["GITHUB_TOKEN"]);
    }
    assert_eq!(double.request_count(), 0);
    drop(sandbox);
}

#[test]
fn a_rejected_token_is_reported_and_not_retried() {
    let (double, sandbox) = start();
    let sandbox = sandbox.with_variable("GITHUB_TOKEN", "ghp_wrong");
    let error = sandbox.run(&["collect", "acme-works"]).expect_error(1);
    assert_contains(&error, &["refused the token", "GITHUB_TOKEN"]);
    assert!(!error.contains("ghp_wrong"));
    assert_eq!(double.request_count(), 1, "a rejected token is not used again");
}

#[test]
fn an_unknown_organization_is_reported() {
    let (_double, sandbox) = start();
    assert_contains(&sandbox.run(&["collect", "acme-wroks"]).expect_error(1), &["acme-wroks", "spelling"]);
}

#[test]
fn an_unknown_organization_does_not_stop_the_other() {
    let (_double, sandbox) = start();
    let error = sandbox.run(&["collect", "nobody", "acme-works", "--since", "2024-01-01"]).expect_error(3);
    assert_contains(&error, &["nobody", "spelling"]);
    sandbox.run(&["aggregate"]).expect_status(0);
}

#[test]
fn an_unknown_repository_is_reported() {
    let (_double, sandbox) = start();
    assert_contains(
        &sandbox.run(&["collect", "acme-works", "--repo", "sites"]).expect_error(2),
        &["sites", "spelling"],
    );
    let run =
        sandbox.run(&["collect", "acme-works", "--since", "2024-01-01", "--repo", "sites", "--repo", "site"]);
    assert_contains(&run.expect_error(3), &["sites", "spelling"]);
}

#[test]
fn an_empty_or_future_range_is_rejected() {
    let (double, sandbox) = start();
    for days in [["2024-02-02", "2024-02-01"], ["2024-02-02", "2024-02-02"]] {
        let error =
            sandbox.run(&["collect", "acme-works", "--since", days[0], "--until", days[1]]).expect_error(2);
        assert_contains(&error, &["--since", "--until", days[1]]);
    }
    let error = sandbox.run(&["collect", "acme-works", "--since", "2999-01-01"]).expect_error(2);
    assert_contains(&error, &["2999-01-01", "future"]);
    assert_eq!(double.request_count(), 0, "no request is sent");
}

#[test]
fn an_invalid_day_is_rejected() {
    let (_double, sandbox) = start();
    for day in ["2023-02-29", "yesterday", "2024-1-1", "01/02/2024", "", "2024-01-01T00:00:00Z"] {
        for command in [["collect", "acme-works"], ["show", "acme-works"], ["export", "acme-works"]] {
            let error = sandbox.run(&[&command[..], &["--since", day]].concat()).expect_error(2);
            assert_contains(&error, &["--since"]);
        }
    }
}

#[test]
fn a_file_as_data_directory_is_rejected() {
    let (_double, sandbox) = start();
    std::fs::write(sandbox.data_dir(), "a file").expect("a file");
    for data in [sandbox.data_dir(), sandbox.data_dir().join("below")] {
        let data = data.to_string_lossy().into_owned();
        for command in [&["collect", "acme-works"][..], &["aggregate"], &["serve", "--listen", "127.0.0.1:0"]]
        {
            let error = sandbox.run(&[command, &["--data-dir", &data]].concat()).expect_error(1);
            assert_contains(&error, &[&data]);
        }
    }
}

#[test]
fn a_file_that_is_no_store_is_rejected_unchanged() {
    let (_double, sandbox) = start();
    std::fs::create_dir_all(sandbox.data_dir()).expect("a directory");
    let store = sandbox.data_dir().join("store.sqlite");
    std::fs::write(&store, "this is no database, and long enough to be sure of that. ".repeat(100))
        .expect("a file");
    for command in [&["collect", "acme-works"][..], &["aggregate"], &["show", "acme-works"]] {
        assert_contains(&sandbox.run(command).expect_error(1), &["store.sqlite"]);
    }
    let text = std::fs::read_to_string(&store).expect("the file");
    assert!(text.starts_with("this is no database"));
}

#[test]
fn a_store_of_a_newer_version_is_rejected_unchanged() {
    let (_world, _double, sandbox) = backfilled(61);
    let store = sandbox.data_dir().join("store.sqlite");
    // The four bytes of the header that `PRAGMA user_version` returns.
    let mut bytes = std::fs::read(&store).expect("the store");
    bytes[60..64].copy_from_slice(&9_999_i32.to_be_bytes());
    std::fs::write(&store, &bytes).expect("the store");
    for command in [&["collect", "acme-works"][..], &["aggregate"], &["show", "acme-works"]] {
        assert_contains(&sandbox.run(command).expect_error(1), &["store.sqlite", "9999", "upgrade"]);
    }
    assert_eq!(std::fs::read(&store).expect("the store"), bytes, "the store is unchanged");
}

#[test]
fn a_port_in_use_and_an_invalid_address_are_reported() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("its number").port().to_string();
    let sandbox = Sandbox::new();
    let address = format!("127.0.0.1:{port}");
    for command in [&["serve"][..], &["demo", "--days", "3"]] {
        let error = sandbox.run(&[command, &["--listen", &address]].concat()).expect_error(1);
        assert_contains(&error, &[&port, "taken", "--listen"]);
    }
    let error = sandbox.run(&["serve", "--listen", "nowhere"]).expect_error(2);
    assert_contains(&error, &["nowhere", "HOST:PORT"]);
}

#[test]
fn an_invalid_github_url_is_rejected() {
    let sandbox =
        Sandbox::new().with_variable("GITHUB_TOKEN", "x").with_variable("GITHUB_API_URL", "not an address");
    assert_contains(&sandbox.run(&["collect", "acme"]).expect_error(2), &["GITHUB_API_URL"]);
}

#[test]
fn data_that_was_never_collected_is_reported() {
    let sandbox = Sandbox::new();
    assert_contains(&sandbox.run(&["show", "acme"]).expect_error(1), &["store", "--data-dir"]);
    let (_world, _double, sandbox) = backfilled(61);
    for command in [&["show", "other"][..], &["export", "other"], &["aggregate", "other"]] {
        assert_contains(&sandbox.run(command).expect_error(1), &["other", "collect"]);
    }
    let run = sandbox.run(&["aggregate", "other", "acme-works"]);
    assert!(run.text().contains("Acme-Works: "), "{run:?}");
    assert_contains(&run.expect_error(3), &["other", "collect"]);
    for subject in [["repo", "acme-works", "sites"], ["member", "acme-works", "nobody"]] {
        assert_contains(
            &sandbox.run(&[&["show"], &subject[..]].concat()).expect_error(1),
            &[subject[2], "spelling"],
        );
    }
}

#[test]
fn an_invalid_command_line_prints_usage_on_stderr() {
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
