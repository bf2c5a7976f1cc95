//! What commands say while they work: `demo`, `up` and `serve`, and logs as JSON.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use gam_tests::program::Sandbox;

use super::{SINCE, check, check_varying, collected, start, transcripts};

/// The sample ends with yesterday, so its numbers and days are others every day.
const SAMPLE: [(&str, &str); 4] = [
    (r"\d{4}-\d\d(-\d\d)?", "[day]"),
    (r"\b\d+(,\d{3})+ ", "[many] "),
    (r"\b\d+ (events|months|rollups)", "[many] $1"),
    (r"  \S*/github-metrics ", "  github-metrics "),
];

#[test]
fn demo() {
    let sandbox = Sandbox::new();
    let run = ["demo", "--no-serve", "--days", "70"];
    let other = ["demo", "--no-serve", "--seed", "7"];
    check_varying("demo", &transcripts(&sandbox, &[&run, &other]), &SAMPLE);
}

#[test]
fn serve() {
    let sandbox = Sandbox::new();
    check("serve_nothing", &sandbox.serve().stop());
    let (_double, sandbox) = collected();
    check("serve", &sandbox.serve().stop());
}

/// The lines in an order that does not depend on whether the server or the first round begins first.
fn server_first(text: &str) -> String {
    let (server, round): (Vec<&str>, Vec<&str>) =
        text.lines().partition(|line| line.starts_with("listening"));
    [server, round].concat().join("\n")
}

/// The first round of `up`, up to the wait for the second.
#[test]
fn up() {
    let (_double, sandbox) = start();
    let args = ["up", "acme", "--since", SINCE, "--listen", "127.0.0.1:0", "--parallelism", "1"];
    let mut child = sandbox.command(&args).stdout(Stdio::null()).spawn().expect("the program can be started");
    let lines = BufReader::new(child.stderr.take().expect("its stderr")).lines();
    let mut text = String::new();
    for line in lines {
        let line = line.expect("its stderr is text");
        text.push_str(&line);
        text.push('\n');
        if line.contains("next round") {
            break;
        }
    }
    child.kill().expect("it runs");
    child.wait().expect("it has ended");
    let next = [(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC \(in 1h\)", "[moment] (in 1h)")];
    check_varying("up", &server_first(&text), &next);
}

#[test]
fn up_that_cannot_work() {
    let (_double, sandbox) = start();
    let run = sandbox.run(&["up", "other", "--listen", "127.0.0.1:0"]).expect_status(1);
    check("up_unknown_name", &server_first(&run.stderr));
}

#[test]
fn logs_as_json() {
    let (_double, sandbox) = start();
    let logs = ["--log-format", "json"];
    let runs = [
        [&["collect", "acme", "--since", SINCE, "--parallelism", "1"][..], &logs].concat(),
        [&["aggregate", "other"][..], &logs].concat(),
    ];
    let runs: Vec<&[&str]> = runs.iter().map(Vec::as_slice).collect();
    check("logs_json", &transcripts(&sandbox, &runs));
}
