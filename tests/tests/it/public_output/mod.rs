//! Snapshots of what users see: texts, JSON and exit statuses of the real program over a small fixed
//! organization. A change of a snapshot is a change of the public output.

mod data;
mod github_errors;
mod local_errors;
mod progress;
mod reports;
mod usage_errors;

use std::process::Command;

use gam_tests::github::world::{
    Account, Deployment, PullRequest, Release, ReleaseChange, Repo, Review, Signature, Thread, ThreadChange,
    Time, at,
};
use gam_tests::github::{Double, World};
use gam_tests::program::{RunResult, Sandbox, run_to_end};

/// The day from which on the organization is collected.
const SINCE: &str = "2024-01-01";

/// When the organization is collected, by GitHub's clock.
fn now() -> Time {
    at("2024-03-10T12:00:00Z")
}

/// An organization of two repositories, with something of every kind of event.
fn world() -> World {
    let (ann, bob) = (Account::user("Ann", 11), Account::user("bob", 12));
    let by_ann = Signature::new("Ann", "ann@work.example", Some(ann.clone()));
    let by_bob = Signature::new("Bob", "bob@work.example", Some(bob.clone()));
    let by_nobody = Signature::new("No Account", "nobody@elsewhere.example", None);
    let by_bot = Signature::new("dependabot[bot]", "bot@work.example", Some(Account::bot("dependabot", 91)));
    let begin = at(SINCE);

    let mut site = Repo::new(701, "site", begin);
    let first = site.commit(&[], at("2024-01-10T10:00:00Z"), &by_ann, Some([100, 10, 3]));
    let second = site.commit(&[&first], at("2024-02-20T10:00:00Z"), &by_bob, Some([20, 5, 2]));
    let third = site.commit(&[&second], at("2024-03-04T10:00:00Z"), &by_bot, Some([1, 1, 1]));
    site.commits.get_mut(&second).expect("the commit").co_authors.push(by_ann.clone());
    site.push(at("2024-03-04T10:05:00Z"), &third);
    let merged = Thread::new(1, Some(ann.clone()), at("2024-03-01T10:00:00Z"));
    let mut merged = PullRequest::new(merged.with_change(at("2024-03-03T10:00:00Z"), ThreadChange::Merged));
    merged.reviews.push(Review::new(7, Some(bob.clone()), at("2024-03-01T16:00:00Z")));
    let closed = Thread::new(2, Some(bob.clone()), at("2024-03-02T09:00:00Z"));
    let closed =
        closed.with_change(at("2024-03-05T09:00:00Z"), ThreadChange::Closed { event_offset_s: Some(0) });
    site.pulls = vec![merged, PullRequest::new(closed)];
    let issue = Thread::new(3, Some(ann.clone()), at("2024-03-02T08:00:00Z"));
    site.issues =
        vec![issue.with_change(at("2024-03-06T08:00:00Z"), ThreadChange::Closed { event_offset_s: Some(0) })];

    let mut tools = Repo::new(702, "tools", begin);
    let only = tools.commit(&[], at("2024-03-07T10:00:00Z"), &by_nobody, Some([7, 0, 1]));
    tools.push(at("2024-03-07T10:05:00Z"), &only);
    tools.releases.push(Release {
        id: 31,
        tag: "v1".to_owned(),
        author: Some(bob.clone()),
        created_at: at("2024-03-08"),
        changes: vec![(at("2024-03-08T01:00:00Z"), ReleaseChange::Published)],
    });
    for (id, status) in [(41, "SUCCESS"), (42, "FAILURE")] {
        tools.deployments.push(Deployment {
            id,
            environment: "production".to_owned(),
            creator: Some(ann.clone()),
            created_at: at("2024-03-09"),
            statuses: vec![(at("2024-03-09T01:00:00Z"), status)],
        });
    }
    World { members: vec![ann, bob], repos: vec![site, tools], ..World::new("Acme") }
}

/// GitHub with the organization, and an empty sandbox.
fn start() -> (Double, Sandbox) {
    let double = Double::start(world(), now());
    let sandbox = Sandbox::with_github(&double);
    (double, sandbox)
}

/// The same, with the organization collected and aggregated.
fn collected() -> (Double, Sandbox) {
    let (double, sandbox) = start();
    sandbox.run(&["collect", "acme", "--since", SINCE]).expect_status(0);
    sandbox.run(&["aggregate"]).expect_status(0);
    (double, sandbox)
}

/// Runs the program; the command line, how it ended and what it wrote.
fn transcript(sandbox: &Sandbox, args: &[&str]) -> String {
    transcript_of(sandbox.command(args), args)
}

fn transcript_of(command: Command, args: &[&str]) -> String {
    let quoted = args
        .iter()
        .map(|arg| if arg.is_empty() || arg.contains(' ') { format!("'{arg}'") } else { (*arg).to_owned() });
    let line = std::iter::once("github-metrics".to_owned()).chain(quoted).collect::<Vec<_>>().join(" ");
    let run = run_to_end(command);
    assert!(!run.stderr.contains("panicked"), "{line}: {}", run.stderr);
    let status = run.status.expect("it ends by itself");
    let mut text = format!("$ {line}\nexit status {status}\n");
    for (name, stream) in [("stdout", data(&run)), ("stderr", run.stderr)] {
        if !stream.is_empty() {
            text.push_str(&format!("--- {name}\n{}\n", stream.trim_end()));
        }
    }
    text
}

/// Runs the program several times.
fn transcripts(sandbox: &Sandbox, runs: &[&[&str]]) -> String {
    runs.iter().map(|args| transcript(sandbox, args)).collect::<Vec<_>>().join("\n")
}

/// The data of a run. JSON documents are shown line by line, with their keys sorted: their order means nothing.
fn data(run: &RunResult) -> String {
    let text = run.text();
    let documents: Result<Vec<serde_json::Value>, _> =
        serde_json::Deserializer::from_str(&text).into_iter().collect();
    match documents {
        Ok(documents) => {
            let shown = documents.iter().map(|json| serde_json::to_string_pretty(json).expect("it is JSON"));
            shown.collect::<Vec<_>>().join("\n")
        }
        Err(_) => text,
    }
}

/// What is another with every run or on every machine: patterns, and what snapshots show instead.
const VARYING: [(&str, &str); 12] = [
    (r#"(/[^\s"':]*)?/\.tmp\w{6}"#, "[dir]"),
    // Ports that the system chooses; the default one is shown.
    (r"127\.0\.0\.1:[1-6]\d{4}\b", "127.0.0.1:[port]"),
    (r"github-metrics 0\.\d+\.\d+", "github-metrics [version]"),
    (r" (in|after) (?:\d+ ms|\d+(?:\.\d)? s|\d+m(?: \d+s)?)\b", " $1 [duration]"),
    (r#""seconds": [0-9.e-]+"#, r#""seconds": "[seconds]""#),
    // How events are cut into batches depends on how fast each list is read.
    (r" in \d+ batch(es)?", " in [some] batches"),
    (r"\d+ batch(es)? (with|in the inbox)", "[some] batches $2"),
    (r"\d+ batch(es are| is) not counted", "[some] batches are not counted"),
    (r#""batches": [1-9]\d*"#, r#""batches": "[some]""#),
    (r" \(os error \d+\)", " (os error [number])"),
    (r"today is \d{4}-\d\d-\d\d", "today is [today]"),
    (r#""timestamp": ?"[^"]+""#, r#""timestamp":"[timestamp]""#),
];

/// Compares a text with its snapshot.
fn check(name: &str, text: &str) {
    check_varying(name, text, &[]);
}

/// The same, with more patterns for what varies.
fn check_varying(name: &str, text: &str, more: &[(&str, &str)]) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    for (pattern, shown) in VARYING.iter().chain(more) {
        settings.add_filter(&format!("(?m){pattern}"), *shown);
    }
    settings.bind(|| insta::assert_snapshot!(name, text));
}
