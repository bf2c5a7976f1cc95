//! Workers of the real program: they claim cached issues from a server, and run commands.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use gam_tests::http::send_request;
use gam_tests::program::{RunResult, Sandbox, ServerProcess, run_to_end};
use gam_tests::support::wait_for;
use serde_json::{Value, json};

use crate::common::issues::store_tasks;

/// How long to wait for what another process does.
const LIMIT: Duration = Duration::from_secs(30);

/// A server on a sample with cached issues, and a worker's token.
struct Host {
    sandbox: Sandbox,
    server: ServerProcess,
    token: String,
}

impl Host {
    /// Starts the server with this many issues.
    fn start(issues: i64) -> Self {
        let sandbox = Sandbox::new();
        sandbox.run(&["demo", "--no-serve", "--days", "3"]).expect_status(0);
        store_tasks(&sandbox.data_dir().join("store.sqlite"), issues);
        let created = sandbox.run(&["token", "new", "worker", "--role", "worker"]).expect_status(0);
        let token = created.text().trim().to_owned();
        Host { server: sandbox.serve(), sandbox, token }
    }

    /// Returns a command that runs `worker` with arguments.
    fn worker(&self, args: &[&str]) -> Command {
        worker_command(&self.sandbox, self.server.address(), &self.token, args)
    }

    fn run_worker(&self, args: &[&str]) -> RunResult {
        run_to_end(self.worker(args))
    }

    /// Returns the tasks, in order of their numbers.
    fn tasks(&self) -> Vec<Value> {
        let listed = self.sandbox.run(&["task", "list", "--format", "json"]).expect_status(0).json();
        listed["tasks"].as_array().expect("a list").clone()
    }

    fn states(&self) -> Vec<String> {
        self.tasks().iter().map(|task| task["state"].as_str().expect("a state").to_owned()).collect()
    }

    /// Returns the lines of the log of the last claim of a task.
    fn log(&self, task: &Value) -> Vec<String> {
        let created = self.sandbox.run(&["token", "new", "viewer", "--role", "viewer"]).expect_status(0);
        let authorization = format!("Bearer {}", created.text().trim());
        let path = format!("/api/v1/tasks/{}/log", task["last_claim"]["claim_id"].as_str().expect("an id"));
        let answer = send_request(self.server.address(), "GET", &path, &[("authorization", &authorization)]);
        let lines = answer.json()["lines"].as_array().expect("lines").clone();
        lines.iter().map(|line| line.as_str().expect("a text").to_owned()).collect()
    }
}

fn worker_command(sandbox: &Sandbox, address: &str, token: &str, args: &[&str]) -> Command {
    let api = format!("http://{address}");
    let args: Vec<&str> = ["worker", "--api", &api].into_iter().chain(args.iter().copied()).collect();
    let mut command = sandbox.command(&args);
    command.env("GITHUB_METRICS_TOKEN", token);
    command
}

/// Waits until the condition holds.
#[track_caller]
fn wait_until(what: &str, condition: impl Fn() -> bool) {
    wait_for(what, LIMIT, || condition().then_some(()));
}

/// Sends SIGTERM, and waits for the end.
fn terminate(mut child: Child) -> (Option<i32>, String) {
    let sent = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill runs");
    assert!(sent.success());
    let mut text = String::new();
    child.stderr.take().expect("its stderr").read_to_string(&mut text).expect("a text");
    (child.wait().expect("it ends").code(), text)
}

fn is_running(pid_file: &Path) -> bool {
    let pid = std::fs::read_to_string(pid_file).expect("the command has written its id");
    Path::new("/proc").join(pid.trim()).exists()
}

#[test]
fn a_worker_does_one_task_and_reports_it() {
    let host = Host::start(1);
    let secret = format!("ghp_{}", "a".repeat(36));
    let run =
        format!("cat > issue.json; echo using {secret}; echo warning >&2; echo https://example.com/pull/1");
    let done = host.run_worker(&["--run", &run, "--once", "--name", "ann"]).expect_status(0);
    assert!(done.stderr.contains("octo-demo/web-app#1: completed"), "{}", done.stderr);
    let issue =
        std::fs::read_to_string(host.sandbox.dir().join("issue.json")).expect("the issue was on stdin");
    let issue: Value = serde_json::from_str(&issue).expect("JSON");
    assert_eq!((&issue["number"], &issue["body"]), (&json!(1), &json!("It does \"not\" work.\nReally.")));

    // A server picks one of several at random.
    store_tasks(&host.sandbox.data_dir().join("store.sqlite"), 2);
    let failed = host.run_worker(&["--run", "echo no; exit 7", "--once", "--name", "ann"]).expect_status(1);
    assert!(failed.stderr.contains("exit status 7"), "{}", failed.stderr);
    let tasks = host.tasks();
    assert_eq!((&tasks[0]["state"], &tasks[1]["state"]), (&json!("completed"), &json!("ready")));
    assert_eq!(tasks[0]["last_claim"]["result"], "https://example.com/pull/1");
    assert_eq!((&tasks[1]["failures"], &tasks[1]["last_claim"]["outcome"]), (&json!(1), &json!("failed")));
    let mut lines = host.log(&tasks[0]);
    lines.sort();
    assert_eq!(lines, ["https://example.com/pull/1", "using [redacted]", "warning"]);

    for _ in 0..2 {
        host.run_worker(&["--run", "exit 1", "--once"]).expect_status(1);
    }
    assert_eq!(host.states(), ["completed", "failed"]);
    let none = host.run_worker(&["--run", "true", "--once"]).expect_status(0);
    assert!(none.stderr.contains("no task"), "{}", none.stderr);
    host.sandbox.run(&["task", "requeue", "octo-demo/WEB-app#2"]).expect_status(0);
    host.run_worker(&["--run", "true", "--once"]).expect_status(0);
    assert_eq!(host.states(), ["completed", "completed"]);
    let error = host.sandbox.run(&["task", "requeue", "octo-demo/web-app#3"]).expect_error(2);
    assert!(error.contains("is no task"), "{error}");
    let table = host.sandbox.run(&["task", "list", "--state", "completed"]).expect_status(0).text();
    assert!(table.contains("octo-demo/web-app#2\tcompleted"), "{table}");
}

#[test]
fn a_worker_that_stops_gives_its_task_back() {
    let host = Host::start(1);
    let pid_file = host.sandbox.dir().join("pid");
    // What it starts is stopped, too.
    let run = "sleep 600 & echo $! > pid.new; mv pid.new pid; wait";
    let child = host.worker(&["--run", run]).spawn().expect("it starts");
    wait_until("the command runs", || pid_file.exists());
    assert_eq!(host.states(), ["claimed"]);
    assert!(is_running(&pid_file));
    let (status, stderr) = terminate(child);
    assert_eq!(status, Some(0), "{stderr}");
    assert!(stderr.contains("given back"), "{stderr}");
    let task = &host.tasks()[0];
    assert_eq!((&task["state"], &task["failures"]), (&json!("ready"), &json!(0)));
    assert_eq!(task["last_claim"]["outcome"], "released");
    wait_until("the command ends", || !is_running(&pid_file));
}

#[test]
fn parallel_workers_share_the_tasks() {
    let host = Host::start(12);
    let run = "cat > $GITHUB_METRICS_CLAIM_ID; printf '%s\\n' \"$(cat $GITHUB_METRICS_CLAIM_ID)\" >> done.txt; sleep 0.1";
    let args = ["--run", run, "--parallel", "3"];
    let workers = [host.worker(&args), host.worker(&args)].map(|mut it| it.spawn().expect("it starts"));
    wait_until("all tasks are done", || host.states().iter().all(|state| state == "completed"));
    for worker in workers {
        assert_eq!(terminate(worker).0, Some(0));
    }
    let done = std::fs::read_to_string(host.sandbox.dir().join("done.txt")).expect("the commands ran");
    let number = |line: &str| serde_json::from_str::<Value>(line).expect("an issue")["number"].as_i64();
    let mut numbers: Vec<_> = done.lines().map(number).collect();
    numbers.sort();
    assert_eq!(numbers, (1..=12).map(Some).collect::<Vec<_>>(), "each issue once");
}

#[test]
fn a_revoked_token_stops_a_worker() {
    let host = Host::start(1);
    let child = host.worker(&["--run", "touch started; sleep 600"]).spawn().expect("it starts");
    wait_until("the command runs", || host.sandbox.dir().join("started").exists());
    host.sandbox.run(&["token", "revoke", "worker"]).expect_status(0);
    assert_eq!(host.tasks()[0]["claim"]["cancel"], "token_revoked");
    // Its lease lasts 10 minutes: it is not waited for.
    terminate(child);
    let error = host.run_worker(&["--run", "true", "--once"]).expect_error(2);
    assert!(error.contains("valid token"), "{error}");
}

#[test]
fn a_command_is_killed_when_its_lease_is_unanswered() {
    let sandbox = Sandbox::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    // It gives a task with a lease of two seconds, and never answers anything else.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut reader = BufReader::new(stream.try_clone().expect("a copy"));
            let (mut line, mut length) = (String::new(), 0);
            reader.read_line(&mut line).expect("a line");
            let is_request = line.contains("request-task");
            loop {
                let mut header = String::new();
                reader.read_line(&mut header).expect("a line");
                if let Some(value) = header.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().expect("a number");
                }
                if header.trim().is_empty() {
                    break;
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).expect("the body");
            if is_request {
                let issue = json!({ "org": "acme", "repo": "site", "number": 1, "title": "x" });
                let task = json!({ "task": {
                    "claim_id": "acme.1.1.1-0123456789ab", "fence": 1, "lease_seconds": 2, "attempt": 1, "issue": issue,
                }});
                let text = task.to_string();
                write!(
                    stream,
                    "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
                    text.len()
                )
                .expect("it is sent");
            } else {
                write!(stream, "HTTP/1.1 503 x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                    .expect("it is sent");
            }
        }
    });
    let run = "echo $$ > pid; sleep 600; touch survived";
    let lost =
        run_to_end(worker_command(&sandbox, &address, "x", &["--run", run, "--once"])).expect_status(1);
    assert!(lost.stderr.contains("acme/site#1: lost: the server did not answer in time"), "{}", lost.stderr);
    assert!(!is_running(&sandbox.dir().join("pid")));
    assert!(!sandbox.dir().join("survived").exists());
}

#[test]
fn a_worker_needs_a_server() {
    let sandbox = Sandbox::new();
    let error = sandbox.run(&["worker", "--run", "true"]).expect_error(2);
    assert!(error.contains("--api"), "{error}");
}
