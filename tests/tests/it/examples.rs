//! The example commands of workers, run by the real program against a server that acts on GitHub.

use std::path::Path;

use gam_tests::file_server::FileServer;
use gam_tests::github::writes::{WRITE_TOKEN, WriteDouble};
use gam_tests::program::{RunResult, Sandbox, ServerProcess, run_to_end};
use gam_work::CachedIssue;
use gam_work::testing::{task_issue, voucher};
use serde_json::Value;

use crate::common::issues::{created_at, store_issues};

const ORG: &str = "octo-demo";
const REPO: &str = "web-app";

/// A server with tasks that may write to GitHub, and a worker's token.
struct Host {
    github: WriteDouble,
    sandbox: Sandbox,
    server: ServerProcess,
    token: String,
}

impl Host {
    /// Starts the server with an issue for each of these bodies, numbered from 1.
    fn start(bodies: &[&str]) -> Self {
        let github = WriteDouble::start_for(ORG, REPO);
        let sandbox = Sandbox::new()
            .with_variable("GITHUB_API_URL", &github.api_url())
            .with_variable("GITHUB_WRITE_TOKEN", WRITE_TOKEN);
        sandbox.run(&["demo", "--no-serve", "--days", "3"]).expect_status(0);
        let issues = bodies.iter().zip(1..).map(|(body, number)| issue(number, body));
        store_issues(&sandbox.data_dir().join("store.sqlite"), issues);
        let created = sandbox.run(&["token", "new", "worker", "--role", "worker"]).expect_status(0);
        let token = created.text().trim().to_owned();
        Host { github, server: sandbox.serve(), sandbox, token }
    }

    /// Runs an example for one task, with variables.
    fn run_example(&self, name: &str, variables: &[(&str, &str)]) -> RunResult {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples").join(name);
        let example = example.to_str().expect("a path in UTF-8").to_owned();
        let api = format!("http://{}", self.server.address());
        let args = ["worker", "--api", &api, "--run", &example, "--once", "--name", "ann"];
        let mut command = self.sandbox.command(&args);
        command.env("GITHUB_METRICS_TOKEN", &self.token);
        command.envs(variables.iter().copied());
        run_to_end(command)
    }

    fn task(&self, number: i64) -> Value {
        let listed = self.sandbox.run(&["task", "list", "--format", "json"]).expect_status(0).json();
        let tasks = listed["tasks"].as_array().expect("a list");
        tasks.iter().find(|task| task["number"] == number).expect("the task").clone()
    }
}

/// Returns an issue whose text is for workers.
fn issue(number: i64, body: &str) -> CachedIssue {
    let mut details = task_issue((7, REPO), number, created_at()).details;
    details.body = body.to_owned();
    let mut issue = CachedIssue::new(7, REPO, details, created_at());
    issue.closing_pull_requests = Some(Vec::new());
    issue.add_voucher(voucher(&issue, created_at()));
    issue
}

#[test]
fn the_shell_script_answers_an_issue() {
    let host = Host::start(&["It fails. Nothing works; $(touch ran)"]);
    let done = host.run_example("answer-issue.sh", &[]).expect_status(0);
    assert!(done.stderr.contains("octo-demo/web-app#1: completed"), "{}", done.stderr);
    let comments = host.github.comments();
    assert_eq!(comments.len(), 1, "{comments:?}");
    assert!(comments[0].starts_with("Thank you. I have read the 6 words of this issue."), "{comments:?}");
    let result = host.task(1)["last_claim"]["result"].as_str().unwrap_or_default().to_owned();
    assert!(result.contains("/issues/1#issuecomment-"), "{result}");
    assert!(!host.sandbox.dir().join("ran").exists(), "the text of the issue is no command");
}

#[test]
fn the_quotation_of_a_linked_order_is_posted() {
    const ORDER: &str = "\u{feff}item,quantity\r\nbolt-m8,200\r\npanel-oak,3\r\n";
    let files = FileServer::start(&[("/order.csv", ORDER), ("/strange.csv", "item,quantity\n@everyone,1\n")]);
    let source = files.url();
    let bodies = [
        format!("Please quote [our order]({source}order.csv). Thanks"),
        format!("And this: {source}strange.csv"),
        "And http://169.254.169.254/latest/order.csv".to_owned(),
    ];
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    let host = Host::start(&bodies);
    let variables = [("QUOTE_SOURCES", source.as_str())];
    let run = || host.run_example("quote.py", &variables);
    // A server picks one of several tasks at random. The two that cannot be quoted wait after three failures each.
    for _ in 0..7 {
        run();
    }
    let comments = host.github.comments();
    assert_eq!(comments.len(), 1, "{comments:?}");
    let quotation = &comments[0];
    for row in [
        "| bolt-m8 | 200 | 0.35 | 70.00 |",
        "| panel-oak | 3 | 58.00 | 174.00 |",
        "| net | | | 244.00 |",
        "| tax 10 % | | | 24.40 |",
        "| **total** | | | **268.40** |",
    ] {
        assert!(quotation.contains(row), "{row} is missing: {quotation}");
    }
    assert_eq!(host.task(1)["state"], "completed");
    let note = |number| host.task(number)["last_claim"]["outcome"].clone();
    assert_eq!((note(2), note(3)), (Value::from("failed"), Value::from("failed")));
}
