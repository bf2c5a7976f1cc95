//! A browser walks through every view of the pages, with and without script: Debian's Chromium, driven by Playwright.
//!
//! `browser.py` does the walk and checks each view; it prints what was wrong. Screenshots are in `target/screenshots`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use gam_tests::http::get;
use gam_tests::program::{Sandbox, binary, run_to_end};
use serde_json::json;

use crate::tools::{Tool, root};
use crate::{ExternalTest, external_test};

const NEEDS: &[Tool] = &[Tool::Chromium, Tool::Playwright, Tool::AxeCore];

/// The last day of the sample, so that every run shows the same numbers.
const LAST_DAY: &str = "2026-11-05";

fn every_view_works_in_a_browser() {
    let sandbox = Sandbox::new();
    sandbox.run(&["demo", "--no-serve", "--days", "400", "--until", LAST_DAY]).expect_status(0);
    let server = sandbox.serve();
    assert_eq!(get(server.address(), "/healthz").status, 200);
    let settings = json!({
        "base": format!("http://{}", server.address()),
        "org": "octo-demo",
        "since": "2026-10-07",
        "until": "2026-11-06",
        "chromium": Tool::Chromium.path(),
        "axe": Tool::AxeCore.path(),
        "screenshots": screenshots(),
    });
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
    vec![external_test!(NEEDS, every_view_works_in_a_browser)]
}
