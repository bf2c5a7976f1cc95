//! A browser walks through every view of the pages, with and without script: Debian's Chromium, driven by Playwright.
//!
//! `browser.py` does the walk and checks each view; it prints what was wrong. Screenshots are in `target/screenshots`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use gam_bench::{LakeGenerator, LakeShape, write_snapshots};
use gam_model::Month;
use gam_tests::action_host::ActionHost;
use gam_tests::github::writes::WriteDouble;
use gam_tests::http::get;
use gam_tests::program::{Sandbox, ServerProcess, binary, run_to_end};
use serde_json::{Value, json};

use crate::common::issues::store_tasks;
use crate::tools::{Tool, root};
use crate::{ExternalTest, external_test};

const NEEDS: &[Tool] = &[Tool::Chromium, Tool::Playwright, Tool::AxeCore];

/// The last day of the sample, so that every run shows the same numbers.
const LAST_DAY: &str = "2026-11-05";

/// A channel and a rule for the page of notifications. The rule is about what never happens in the sample.
const NOTIFY: &str = "[[notify.channels]]\nname = \"team\"\ntype = \"slack\"\nurl = \"NOTIFY_TEAM\"\n\
                      [[notify.rules]]\nkinds = [\"task_failed\"]\nrepositories = [\"web-app\"]\n\
                      channels = [\"team\"]\n";

fn every_view_works_in_a_browser() {
    let sandbox = demo().with_variable("NOTIFY_TEAM", "http://127.0.0.1:9/services/secret");
    std::fs::write(sandbox.dir().join("notify.toml"), NOTIFY).expect("the file is written");
    sandbox.run(&["config", "set", "notify.toml", "octo-demo"]).expect_status(0);
    walk(
        "every view",
        &sandbox.serve(),
        json!({ "org": "octo-demo", "since": "2026-10-07", "until": "2026-11-06" }),
    );
}

fn an_organization_of_1000_repositories_works_in_a_browser() {
    let sandbox = Sandbox::new();
    let shape = LakeShape {
        org: "octo-large".to_owned(),
        events: 60_000,
        months: 3,
        last_month: Month::parse("2025-12").expect("a month"),
        repos: 1000,
        members: 400,
        seed: 5,
    };
    let generator = LakeGenerator::new(&shape).expect("a valid shape");
    write_snapshots(&generator, &sandbox.lake_dir(), 2, &|_| ()).expect("the lake is written");
    sandbox.run(&["aggregate", "--rebuild"]).expect_status(0);
    walk(
        "large",
        &sandbox.serve(),
        json!({ "org": "octo-large", "since": "2025-10-01", "until": "2026-01-01" }),
    );
}

fn people_sign_in_and_out_in_a_browser() {
    let sandbox = demo();
    let created = sandbox.run(&["token", "new", "morning", "--role", "viewer"]).expect_status(0);
    let range = json!({
        "org": "octo-demo", "since": "2026-10-07", "until": "2026-11-06", "token": created.text().trim(),
    });
    walk("sign-in", &sandbox.serve(), range);
}

/// Somebody signs in as operator and requests a merge, another one signs in as approver and approves it, a third one
/// approves by a link, and an auditor finds all of it in the log.
fn a_merge_is_requested_approved_and_logged_in_a_browser() {
    let sandbox = demo()
        .with_variable("GITHUB_METRICS_LINK_KEY", "0123456789abcdef0123456789abcdef")
        .with_variable("GITHUB_METRICS_PUBLIC_URL", "http://links.example");
    let github = WriteDouble::start_for("octo-demo", "site");
    github.add_pull(5, "change", 'c');
    github.add_pull(6, "other", 'd');
    let policy = "[[actions.policy]]\nactions = [\"approve-merge-pr\"]\napprovals = 1\n";
    let host = ActionHost::start_with(sandbox, github, "octo-demo", policy);
    let tokens: Value = ["operator", "approver", "auditor", "admin"]
        .map(|role| (role.to_owned(), json!(host.token(role, role).trim_start_matches("Bearer "))))
        .into_iter()
        .collect::<serde_json::Map<_, _>>()
        .into();
    let settings =
        json!({ "org": "octo-demo", "since": "2026-10-07", "until": "2026-11-06", "tokens": tokens });
    walk("actions", host.server(), settings);
    assert_eq!(host.github.effects()[3..], [2, 2], "both are merged, each once");
}

/// A worker claims a task and appends to its log, while somebody looks at the log.
fn the_log_of_a_task_grows_in_a_browser() {
    let sandbox = demo();
    store_tasks(&sandbox.data_dir().join("store.sqlite"), 1);
    let token = |role: &str| {
        let created = sandbox.run(&["token", "new", role, "--role", role]).expect_status(0);
        created.text().trim().to_owned()
    };
    let settings = json!({
        "org": "octo-demo", "since": "2026-10-07", "until": "2026-11-06",
        "tokens": { "worker": token("worker"), "viewer": token("viewer") },
    });
    walk("task log", &sandbox.serve(), settings);
}

/// Returns a sandbox with the sample organization.
fn demo() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.run(&["demo", "--no-serve", "--days", "400", "--until", LAST_DAY]).expect_status(0);
    sandbox
}

/// Walks through the pages of a server. The settings name organization and range.
fn walk(name: &str, server: &ServerProcess, mut settings: Value) {
    assert_eq!(get(server.address(), "/healthz").status, 200);
    settings["walk"] = json!(name);
    settings["base"] = json!(format!("http://{}", server.address()));
    settings["chromium"] = json!(Tool::Chromium.path());
    settings["axe"] = json!(Tool::AxeCore.path());
    settings["screenshots"] = json!(screenshots().join(name.replace(' ', "-")));
    let mut python = Command::new("python3");
    python.arg(root().join("tests/tests/external/browser.py")).arg(settings.to_string());
    python.env("PYTHONPATH", Tool::Playwright.path()).stdin(Stdio::null());
    let result = run_to_end(python).expect_status(0);
    let text = result.text();
    assert!(text.lines().last().is_some_and(|line| line.ends_with("checks, 0 failed")), "{text}");
}

/// Where the screenshots are kept, for people to look at.
fn screenshots() -> PathBuf {
    let target = binary().parent().and_then(Path::parent).expect("the program has a target directory");
    target.join("screenshots")
}

pub(crate) fn tests() -> Vec<ExternalTest> {
    vec![
        external_test!(NEEDS, every_view_works_in_a_browser),
        external_test!(NEEDS, an_organization_of_1000_repositories_works_in_a_browser),
        external_test!(NEEDS, people_sign_in_and_out_in_a_browser),
        external_test!(NEEDS, the_log_of_a_task_grows_in_a_browser),
        external_test!(NEEDS, a_merge_is_requested_approved_and_logged_in_a_browser),
    ]
}
