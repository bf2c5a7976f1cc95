//! Actions of the real program over HTTP, against a GitHub that fails before and after the effect.

use gam_tests::action_host::{ActionHost, action_of, wait_until};
use gam_tests::github::writes::WriteFault;
use gam_tests::http::get;
use gam_tests::program::{Sandbox, run_to_end};
use serde_json::json;

fn start(policy: &str) -> ActionHost {
    ActionHost::start(Sandbox::new(), policy)
}

#[test]
fn actions_are_requested_over_http() {
    let host = start("");
    host.github.add_branch("fix/login-page", 'b', "2026-02-01T00:00:00Z");
    host.github.add_pull(5, "change", 'c');
    let operator = host.token("operator", "operator");
    let issue = json!({ "repository": "site", "title": "Broken", "labels": ["bug"] });
    let key = [("idempotency-key", "k1")];
    let created = host.post(&operator, "/create-issue", &issue, &key);
    assert_eq!(created.status, 201, "{}", created.text());
    let answer = created.json();
    assert_eq!((&answer["success"], &answer["data"]["labels"]), (&json!(true), &json!(["bug"])));
    assert_eq!(answer["data"]["repository"], "acme/site");
    let again = host.post(&operator, "/api/v1/create-issue", &issue, &key);
    assert_eq!((again.status, again.json()), (201, answer));
    let other = json!({ "repository": "site", "title": "Other" });
    assert_eq!(host.post(&operator, "/create-issue", &other, &key).status, 422);

    let preview = host.post(&operator, "/create-pr?dry_run=true", &json!({ "repository": "acme/site" }), &[]);
    assert_eq!(preview.json()["data"]["content"]["branch"], "fix/login-page", "{}", preview.text());
    let pull = host.post(&operator, "/create-pr", &json!({ "repository": "acme/site" }), &[]);
    assert_eq!((pull.status, &pull.json()["data"]["created"]), (201, &json!(true)), "{}", pull.text());
    let same = json!({ "repository": "acme/site", "branch": "fix/login-page" });
    let same = host.post(&operator, "/create-pr", &same, &[]);
    assert_eq!((same.status, &same.json()["data"]["created"]), (200, &json!(false)), "{}", same.text());

    let merge = json!({ "repository": "acme/site", "pr_number": 5, "merge_method": "squash" });
    let merged = host.post(&operator, "/approve-merge-pr", &merge, &[]);
    assert_eq!((merged.status, &merged.json()["data"]["merged"]), (200, &json!(true)), "{}", merged.text());
    assert_eq!(host.github.merges(), [json!({ "number": 5, "head": "c".repeat(40), "method": "squash" })]);
    let gone =
        host.post(&operator, "/approve-merge-pr", &json!({ "repository": "site", "pr_number": 99 }), &[]);
    assert_eq!((gone.status, &gone.json()["success"]), (404, &json!(false)), "{}", gone.text());
    assert_eq!(host.github.effects(), [1, 0, 1, 1, 1]);

    let viewer = host.token("viewer", "viewer");
    assert_eq!(host.post(&viewer, "/create-issue", &issue, &[]).status, 403);
    let worker = host.token("worker", "worker");
    assert_eq!(host.post(&worker, "/approve-merge-pr", &merge, &[]).status, 403);
    assert_eq!(
        host.post(&worker, "/create-pr", &json!({ "repository": "site" }), &[]).status,
        403,
        "no claim"
    );
    let listed =
        host.sandbox.run(&["action", "list", "--org", "acme", "--format", "json"]).expect_status(0).json();
    assert_eq!(listed["actions"].as_array().map(Vec::len), Some(5));
}

#[test]
fn a_lost_answer_is_looked_for() {
    for fault in [WriteFault::CutAfter, WriteFault::StatusAfter] {
        let host = start("");
        let operator = host.token("operator", "operator");
        host.github.fail_next("/issues", fault);
        let issue = json!({ "repository": "site", "title": "Broken", "comment": "Look." });
        let accepted = host.post(&operator, "/create-issue", &issue, &[]);
        assert_eq!(accepted.status, 202, "{}", accepted.text());
        let action = host.wait_for(&operator, &action_of(&accepted), &["succeeded", "failed", "unknown"]);
        assert_eq!(action["state"], "succeeded", "{action}");
        assert_eq!(host.github.effects()[..2], [1, 1]);
        assert_eq!(host.github.writes().len(), 2, "nothing was sent twice");
    }
}

#[test]
fn a_secondary_limit_is_waited_for() {
    let host = start("");
    let operator = host.token("operator", "operator");
    host.github.fail_next("/issues", WriteFault::Secondary(4));
    let issue = json!({ "repository": "site", "title": "Broken" });
    let answer = host.post(&operator, "/create-issue", &issue, &[]);
    let action = host.wait_for(&operator, &action_of(&answer), &["succeeded", "failed", "unknown"]);
    assert_eq!((&action["state"], host.github.effects()[0]), (&json!("succeeded"), 1), "{action}");
}

#[test]
fn an_approval_is_about_one_head() {
    let host = start("[[actions.policy]]\nactions = [\"approve-merge-pr\"]\napprovals = 1\n");
    host.github.add_pull(5, "change", 'c');
    let operator = host.token("operator", "operator");
    let approver = host.token("approver", "approver");
    let merge = json!({ "repository": "site" });
    let waiting = host.post(&operator, "/approve-merge-pr", &merge, &[]);
    assert_eq!(
        (waiting.status, &waiting.json()["data"]["state"]),
        (202, &json!("waiting")),
        "{}",
        waiting.text()
    );
    let id = action_of(&waiting);
    let approve = format!("/api/v1/approvals/{id}/approve");
    let hash = waiting.json()["data"]["hash"].clone();
    assert_eq!(host.post(&operator, &approve, &json!({ "hash": hash }), &[]).status, 403);
    host.github.move_head(5, 'd');
    assert_eq!(host.post(&approver, &approve, &json!({ "hash": hash }), &[]).status, 200);
    wait_until(|| {
        let action = host.action(&operator, &id);
        action["state"] == "waiting" && action["hash"] != hash
    });
    let new_hash = host.action(&operator, &id)["hash"].clone();
    assert_eq!(host.post(&approver, &approve, &json!({ "hash": hash }), &[]).status, 409, "the old content");
    host.sandbox
        .run(&["action", "approve", &id, "--hash", new_hash.as_str().expect("a hash")])
        .expect_status(0);
    let action = host.wait_for(&operator, &id, &["succeeded", "failed", "unknown"]);
    assert_eq!(action["state"], "succeeded", "{action}");
    assert_eq!(host.github.merges()[0]["head"], "d".repeat(40));
    assert_eq!(host.github.effects()[3..], [1, 1]);
}

#[test]
fn decisions_are_made_with_the_api_of_a_server() {
    let sandbox = Sandbox::new()
        .with_variable("GITHUB_METRICS_LINK_KEY", "0123456789abcdef0123456789abcdef")
        .with_variable("GITHUB_METRICS_PUBLIC_URL", "https://metrics.example.com/");
    let host = ActionHost::start(sandbox, "[[actions.policy]]\napprovals = 1\n");
    let operator = host.token("operator", "operator");
    let approver = host.token("approver", "approver");
    let admin = host.token("admin", "admin");
    let run = |token: &str, args: &[&str]| {
        let api = format!("http://{}", host.address());
        let mut command = host.sandbox.command(&[&["action"][..], args, &["--api", &api]].concat());
        command.env("GITHUB_METRICS_TOKEN", token.trim_start_matches("Bearer "));
        run_to_end(command)
    };
    let comment = json!({ "repository": "site", "number": 7, "body": "Done." });
    let request = || action_of(&host.post(&operator, "/create-comment", &comment, &[]));

    let id = request();
    assert_eq!(run(&operator, &["approve", &id]).status, Some(1), "their own, and without the role");
    run(&approver, &["approve", &id]).expect_status(0);
    assert_eq!(host.wait_for(&operator, &id, &["succeeded", "failed"])["state"], "succeeded");

    let id = request();
    run(&approver, &["reject", &id, "--reason", "not today"]).expect_status(0);
    let rejected = host.action(&operator, &id);
    assert!(rejected["message"].as_str().is_some_and(|it| it.contains("not today")), "{rejected}");
    run(&operator, &["retry", &id]).expect_status(0);
    host.wait_for(&operator, &id, &["waiting"]);
    let refused = run(&operator, &["resolve", &id, "--not-done"]);
    assert!(refused.status == Some(1) && refused.stderr.contains("only an unknown action"), "{refused:?}");

    for link in [
        run(&admin, &["link", &id, "--for", "approver"]),
        host.sandbox.run(&["action", "link", &id, "--for", "approver"]),
    ] {
        let text = link.expect_status(0).text();
        assert!(text.starts_with("https://metrics.example.com/approve?link="), "{text}");
        let target = text.trim().trim_start_matches("https://metrics.example.com");
        let page = get(host.address(), target);
        assert!(page.status == 200 && page.text().contains("site#7"), "{}", page.text());
    }
    assert_eq!(host.action(&operator, &id)["state"], "waiting");
    assert_eq!(run(&operator, &["link", &id, "--for", "approver"]).status, Some(1));
    assert_eq!(host.github.effects(), [0, 1, 0, 0, 0]);
}
