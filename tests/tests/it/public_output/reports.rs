//! What `collect`, `aggregate` and `doctor` report, as text and as JSON.

use gam_tests::github::world::{Thread, Time, at};
use gam_tests::program::Sandbox;

use super::{SINCE, check, check_varying, collected, start, transcript, transcripts, world};

/// One repository after the other, so that lines come in one order.
const ALONE: [&str; 2] = ["--parallelism", "1"];

#[test]
fn collect_as_text() {
    let (_double, sandbox) = start();
    let first = [&["collect", "acme", "--since", SINCE][..], &ALONE].concat();
    let again = [&["collect", "acme"][..], &ALONE].concat();
    let quiet = [&["collect", "acme", "--quiet"][..], &ALONE].concat();
    check("collect_text", &transcripts(&sandbox, &[&first, &again, &quiet]));
}

#[test]
fn collect_as_json() {
    let (_double, sandbox) = start();
    let run = [&["collect", "acme", "--since", SINCE, "--format", "json"][..], &ALONE].concat();
    check("collect_json", &transcripts(&sandbox, &[&run]));
}

#[test]
fn dry_run() {
    let (_double, sandbox) = start();
    let text = ["collect", "acme", "--since", SINCE, "--dry-run"];
    let json = ["collect", "acme", "--since", SINCE, "--dry-run", "--format", "json"];
    check("collect_dry_run", &transcripts(&sandbox, &[&text, &json]));
}

#[test]
fn reconcile() {
    let (double, sandbox) = collected();
    // The list of changes does not show what is gone.
    let mut changed = world();
    changed.repos[0].issues.clear();
    changed.repos[1].deployments.pop();
    double.set_world(changed);
    let text = [&["collect", "acme", "--reconcile"][..], &ALONE].concat();
    let json = [&["collect", "acme", "--reconcile", "--format", "json", "--quiet"][..], &ALONE].concat();
    let first = transcript(&sandbox, &text);
    // A run with JSON writes one document, also of a comparison.
    let second = transcript(&sandbox, &json);
    check("collect_reconcile", &format!("{first}\n{second}"));
}

/// What `collect` says of repositories that cannot be read any more.
#[test]
fn blocked_and_hidden_repositories() {
    let (double, sandbox) = collected();
    let mut changed = world();
    changed.repos[0].is_blocked = true;
    changed.repos[0].issues.push(Thread::new(9, None, at("2024-03-10T11:00:00Z")));
    changed.repos.remove(1);
    double.set_world(changed);
    let run = [&["collect", "acme"][..], &ALONE].concat();
    check("collect_blocked_and_hidden", &transcripts(&sandbox, &[&run]));
}

#[test]
fn aggregate_as_text() {
    let (_double, sandbox) = start();
    sandbox.run(&["collect", "acme", "--since", SINCE]).expect_status(0);
    let runs: [&[&str]; 4] = [
        &["aggregate"],
        &["aggregate", "acme"],
        &["aggregate", "--rebuild"],
        &["aggregate", "--rebuild", "--quiet"],
    ];
    check("aggregate_text", &transcripts(&sandbox, &runs));
    let empty = Sandbox::new();
    check("aggregate_empty", &transcripts(&empty, &[&["aggregate"]]));
}

#[test]
fn aggregate_as_json() {
    let (_double, sandbox) = start();
    sandbox.run(&["collect", "acme", "--since", SINCE]).expect_status(0);
    let run = ["aggregate", "--format", "json"];
    check("aggregate_json", &transcripts(&sandbox, &[&run, &run]));
}

/// This machine's clock, which `doctor` compares with GitHub's.
#[expect(clippy::disallowed_methods, reason = "the program reads the clock of the machine too")]
fn today() -> Time {
    chrono::Utc::now()
}

/// The clocks agree but for the time that the run takes, and the limits are reset an hour later.
const CLOCK: [(&str, &str); 3] = [
    (r"\d+ s (ahead of|behind) GitHub's clock\b([^:]|$)", "agrees with GitHub's clock$2"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", "[moment]"),
    (r"\(in (1h|59m [0-9]+s|59m)\)", "(in [about an hour])"),
];

#[test]
fn doctor_finds_nothing() {
    let (double, sandbox) = collected();
    double.set_now(today());
    let runs: [&[&str]; 2] = [&["doctor", "acme"], &["doctor", "acme", "--format", "json"]];
    check_varying("doctor_healthy", &transcripts(&sandbox, &runs), &CLOCK);
    let fresh = Sandbox::with_github(&double);
    check_varying("doctor_before_the_first_run", &transcripts(&fresh, &[&["doctor"]]), &CLOCK);
}

#[test]
fn doctor_finds_everything() {
    let (double, sandbox) = start();
    let skew = [(r"\d+ s ahead of GitHub's", "[seconds] s ahead of GitHub's")];
    let mut changed = world();
    changed.forbidden_fields = vec!["membersWithRole", "deployments"];
    double.set_world(changed);
    check_varying("doctor_permissions_and_clock", &transcripts(&sandbox, &[&["doctor", "acme"]]), &skew);

    let sandbox = sandbox
        .with_variable("GITHUB_TOKEN", "ghp_wrong")
        .with_variable("GITHUB_METRICS_CONFIG", "bots.toml");
    std::fs::write(sandbox.dir().join("bots.toml"), "bots = [").expect("a file");
    std::fs::create_dir_all(sandbox.data_dir()).expect("a directory");
    std::fs::write(sandbox.lake_dir(), "a file").expect("a file");
    let runs: [&[&str]; 2] = [&["doctor", "acme"], &["doctor", "acme", "--format", "json"]];
    check("doctor_broken", &transcripts(&sandbox, &runs));
    let nothing = Sandbox::new();
    check("doctor_without_token", &transcripts(&nothing, &[&["doctor"]]));
}
