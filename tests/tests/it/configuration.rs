//! The configuration of an organization belongs to its data: revisions, what they recount, and who refuses them.

use gam_tests::http::get;
use gam_tests::program::Sandbox;
use serde_json::Value;

const CONFIGURATION: &str = "bots = [\"ada-lind\"]\n[aliases]\nbo-tanaka = \"clara-weiss\"\n";

fn sample() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.run(&["demo", "--no-serve", "--days", "60"]).expect_status(0);
    sandbox
}

fn write(sandbox: &Sandbox, file: &str, text: &str) {
    std::fs::write(sandbox.dir().join(file), text).expect("the file is written");
}

fn metrics(sandbox: &Sandbox, path: &str) -> Value {
    let server = sandbox.serve();
    let target = format!("/api/v1/orgs/octo-demo/{path}?since=2020-01-01&until=2040-01-01");
    let answer = get(server.address(), &target);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["metrics"].clone()
}

fn commits(sandbox: &Sandbox) -> u64 {
    metrics(sandbox, "metrics")["commits"].as_u64().expect("a count")
}

#[test]
fn it_belongs_to_the_data_and_not_to_the_directory() {
    let sandbox = sample();
    let before = commits(&sandbox);
    // Older versions read this file. Now it has no effect, and the program says so.
    write(&sandbox, "github-metrics.toml", CONFIGURATION);
    let ignored = sandbox.run(&["aggregate"]).expect_status(0);
    assert!(ignored.stderr.contains("config set github-metrics.toml octo-demo"), "{}", ignored.stderr);
    assert_eq!(commits(&sandbox), before);
    let set = sandbox.run(&["config", "set", "github-metrics.toml"]).expect_status(0);
    assert!(set.text().contains("revision 1: 1 bot, 1 alias (before: empty)"), "{}", set.text());
    let counted = sandbox.run(&["aggregate"]).expect_status(0);
    assert!(counted.text().contains("recounted 3 months"), "{}", counted.text());
    let after = commits(&sandbox);
    assert!(after < before, "the commits of a bot count no longer");
    assert_eq!(
        metrics(&sandbox, "members/bo-tanaka/metrics"),
        metrics(&sandbox, "members/clara-weiss/metrics")
    );
    // Another directory has no file, and the same numbers.
    std::fs::remove_file(sandbox.dir().join("github-metrics.toml")).expect("it is removed");
    let unchanged = sandbox.run(&["aggregate"]).expect_status(0);
    assert!(unchanged.text().contains("nothing new"), "{}", unchanged.text());
    assert_eq!(commits(&sandbox), after);
    // An empty configuration undoes it.
    write(&sandbox, "empty.toml", "");
    sandbox.run(&["aggregate", "--config", "empty.toml"]).expect_status(0);
    assert_eq!(commits(&sandbox), before);
}

#[test]
fn revisions_are_kept_and_shown() {
    let sandbox = sample();
    write(&sandbox, "a.toml", CONFIGURATION);
    write(&sandbox, "b.toml", "mailmap = \"people\"\n[deploys]\nworkflows = [\"deploy.yml\"]\n");
    write(&sandbox, "people", "Ann <ann@new.example> <ann@old.example>\nno address\n");
    for file in ["a.toml", "a.toml", "b.toml"] {
        sandbox.run(&["config", "set", file, "octo-demo"]).expect_status(0);
    }
    let history = sandbox.run(&["config", "history", "--format", "json"]).expect_status(0).json();
    let revisions = history["revisions"].as_array().expect("revisions");
    assert_eq!(revisions.iter().map(|it| it["revision"].as_u64()).collect::<Vec<_>>(), [Some(1), Some(2)]);
    assert_eq!(revisions[1]["summary"], "1 name of a mailmap, 1 deploy workflow");
    let newest = sandbox.run(&["config", "show", "octo-demo"]).expect_status(0).text();
    assert!(newest.contains("deploy.yml") && !newest.contains('@'), "{newest}");
    let first = sandbox.run(&["config", "show", "--revision", "1"]).expect_status(0).text();
    assert!(first.contains("ada-lind"), "{first}");
    let missing = sandbox.run(&["config", "show", "--revision", "9"]).expect_error(1);
    assert!(missing.contains("no configuration revision 9"), "{missing}");
    let warned = sandbox.run(&["config", "set", "b.toml"]).expect_status(0);
    assert!(warned.stderr.contains("1 line of the mailmap"), "{}", warned.stderr);
}

#[test]
fn an_excluded_repository_counts_nowhere() {
    let sandbox = sample();
    let all = commits(&sandbox);
    let of_api = metrics(&sandbox, "repos/api/metrics")["commits"].as_u64().expect("a count");
    assert!(of_api > 0);
    write(&sandbox, "c.toml", "[repositories]\nexclude = [\"API\"]\n");
    sandbox.run(&["aggregate", "--config", "c.toml"]).expect_status(0);
    assert_eq!(commits(&sandbox), all - of_api);
    assert_eq!(metrics(&sandbox, "repos/api/metrics")["commits"], 0);
}

#[test]
fn readers_refuse_a_configuration() {
    let sandbox = sample();
    write(&sandbox, "a.toml", CONFIGURATION);
    for command in [["show", "octo-demo"], ["export", "octo-demo"], ["collect", "octo-demo"]] {
        let error = sandbox.run(&[command[0], command[1], "--config", "a.toml"]).expect_error(2);
        assert!(error.contains("--config"), "{error}");
    }
}
