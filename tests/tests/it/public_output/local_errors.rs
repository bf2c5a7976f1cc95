//! What is missing, damaged or out of reach on this machine: exit status 1, or 3 where the rest was done.

use std::net::TcpListener;

use gam_tests::program::Sandbox;

use super::{check, check_varying, collected, start, transcript, transcripts};
use gam_tests::support::files;

#[test]
fn nothing_collected_yet() {
    let sandbox = Sandbox::new();
    let missing = transcripts(&sandbox, &[&["show", "acme"], &["export", "acme"]]);
    check("missing_store", &missing);
    let (_double, sandbox) = collected();
    let runs: [&[&str]; 6] = [
        &["show", "other"],
        &["export", "other"],
        &["aggregate", "other"],
        &["aggregate", "other", "acme"],
        &["show", "repo", "acme", "other"],
        &["show", "member", "acme", "other"],
    ];
    check("unknown_names", &transcripts(&sandbox, &runs));
}

#[test]
fn store_that_cannot_be_used() {
    let (_double, sandbox) = collected();
    let store = sandbox.data_dir().join("store.sqlite");
    let good = std::fs::read(&store).expect("the store");
    let mut text = String::new();
    // The header holds the version of the tables at 60, and whose file it is at 68.
    for (what, at) in [("a newer version", 60), ("another program", 68)] {
        let mut bytes = good.clone();
        bytes[at..at + 4].copy_from_slice(&9_999_i32.to_be_bytes());
        std::fs::write(&store, bytes).expect("the store");
        text.push_str(&format!("The store is of {what}.\n{}\n", transcript(&sandbox, &["aggregate"])));
    }
    std::fs::write(&store, "This is no database. ".repeat(500)).expect("the store");
    text.push_str(&format!("The store is a text.\n{}", transcript(&sandbox, &["aggregate"])));
    check("unusable_store", &text);
}

#[test]
fn data_directory_that_cannot_be_used() {
    let (_double, sandbox) = start();
    std::fs::write(sandbox.data_dir(), "a file").expect("a file");
    let runs: [&[&str]; 3] = [&["collect", "acme"], &["aggregate"], &["demo", "--no-serve"]];
    check("unusable_directory", &transcripts(&sandbox, &runs));
}

#[test]
fn damaged_files() {
    let (_double, sandbox) = collected();
    let inbox = sandbox.lake_dir().join("inbox/org=acme");
    std::fs::create_dir_all(&inbox).expect("the inbox");
    let snapshot = files(&sandbox.lake_dir().join("events")).pop().expect("a snapshot");
    let whole = std::fs::read(&snapshot).expect("its bytes");
    std::fs::write(inbox.join(format!("{}.parquet", "00".repeat(32))), "").expect("a batch");
    std::fs::write(inbox.join(format!("{}.parquet", "11".repeat(32))), "PAR1 no table PAR1")
        .expect("a batch");
    check("damaged_batches", &transcript(&sandbox, &["aggregate"]));
    std::fs::write(inbox.join(format!("{}.parquet", "00".repeat(32))), "").expect("a batch");
    check("damaged_batch_json", &transcript(&sandbox, &["aggregate", "--format", "json", "--quiet"]));

    std::fs::write(&snapshot, &whole[..whole.len() / 2]).expect("a snapshot");
    check("damaged_snapshot", &transcript(&sandbox, &["aggregate", "--rebuild"]));
}

#[test]
fn api_that_cannot_be_reached() {
    let (double, sandbox) = collected();
    // A port that was free a moment ago.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let address = format!("127.0.0.1:{port}");
    let mut text = transcript(&sandbox, &["serve", "--listen", &address]);
    drop(listener);
    let api = format!("http://{address}");
    text.push_str(&format!("\n{}", transcript(&sandbox, &["show", "acme", "--api", &api])));
    text.push_str(&format!("\n{}", transcript(&sandbox, &["show", "acme", "--api", &double.api_url()])));
    check_varying("unreachable_api", &text, &[(&format!(r"\b{port}\b"), "[port]")]);
}
