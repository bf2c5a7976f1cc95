//! Actions of the real program over HTTP, against a GitHub that fails before and after the effect.

use std::time::Duration;

use gam_tests::github::writes::{WRITE_TOKEN, WriteDouble, WriteFault};
use gam_tests::http::{HttpResponse, send_json, send_request};
use gam_tests::program::{Sandbox, ServerProcess};
use gam_tests::support::wait_for;
use serde_json::{Value, json};

/// How long to wait for what another process does.
const LIMIT: Duration = Duration::from_secs(60);

/// A server with a GitHub that it may write to.
struct Host {
    github: WriteDouble,
    sandbox: Sandbox,
    server: ServerProcess,
}

impl Host {
    /// `policy` is the configuration of the organization.
    fn start(policy: &str) -> Self {
        let github = WriteDouble::start();
        let sandbox = Sandbox::new()
            .with_variable("GITHUB_API_URL", &github.api_url())
            .with_variable("GITHUB_WRITE_TOKEN", WRITE_TOKEN)
            .with_variable("GITHUB_OWNER", "acme");
        if !policy.is_empty() {
            std::fs::write(sandbox.dir().join("acme.toml"), policy).expect("the file is written");
            sandbox.run(&["config", "set", "acme.toml", "acme"]).expect_status(0);
        }
        let server = sandbox.serve();
        Host { github, sandbox, server }
    }

    fn token(&self, name: &str, role: &str) -> String {
        let created = self.sandbox.run(&["token", "new", name, "--role", role]).expect_status(0);
        format!("Bearer {}", created.text().trim())
    }

    fn post(&self, token: &str, path: &str, body: &Value, headers: &[(&str, &str)]) -> HttpResponse {
        let headers: Vec<(&str, &str)> =
            [("authorization", token)].into_iter().chain(headers.iter().copied()).collect();
        send_json(self.server.address(), path, &headers, body)
    }

    fn action(&self, token: &str, id: &str) -> Value {
        let path = format!("/api/v1/actions/{id}");
        send_request(self.server.address(), "GET", &path, &[("authorization", token)]).json()
    }

    /// Waits until an action is in one of these states.
    fn wait_for(&self, token: &str, id: &str, states: &[&str]) -> Value {
        wait_for(&format!("{id} to be {states:?}"), LIMIT, || {
            let action = self.action(token, id);
            states.iter().any(|state| action["state"] == *state).then_some(action)
        })
    }
}

fn id_of(answer: &HttpResponse) -> String {
    answer.json()["data"]["action"].as_str().expect("an id").to_owned()
}

#[test]
fn actions_are_requested_over_http() {
    let host = Host::start("");
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
        let host = Host::start("");
        let operator = host.token("operator", "operator");
        host.github.fail_next("/issues", fault);
        let issue = json!({ "repository": "site", "title": "Broken", "comment": "Look." });
        let accepted = host.post(&operator, "/create-issue", &issue, &[]);
        assert_eq!(accepted.status, 202, "{}", accepted.text());
        let action = host.wait_for(&operator, &id_of(&accepted), &["succeeded", "failed", "unknown"]);
        assert_eq!(action["state"], "succeeded", "{action}");
        assert_eq!(host.github.effects()[..2], [1, 1]);
        assert_eq!(host.github.writes().len(), 2, "nothing was sent twice");
    }
}

#[test]
fn a_secondary_limit_is_waited_for() {
    let host = Host::start("");
    let operator = host.token("operator", "operator");
    host.github.fail_next("/issues", WriteFault::Secondary(4));
    let issue = json!({ "repository": "site", "title": "Broken" });
    let answer = host.post(&operator, "/create-issue", &issue, &[]);
    let action = host.wait_for(&operator, &id_of(&answer), &["succeeded", "failed", "unknown"]);
    assert_eq!((&action["state"], host.github.effects()[0]), (&json!("succeeded"), 1), "{action}");
}

#[test]
fn an_approval_is_about_one_head() {
    let host = Host::start("[[actions.policy]]\nactions = [\"approve-merge-pr\"]\napprovals = 1\n");
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
    let id = id_of(&waiting);
    let approve = format!("/api/v1/approvals/{id}/approve");
    let hash = waiting.json()["data"]["hash"].clone();
    assert_eq!(host.post(&operator, &approve, &json!({ "hash": hash }), &[]).status, 403);
    host.github.move_head(5, 'd');
    assert_eq!(host.post(&approver, &approve, &json!({ "hash": hash }), &[]).status, 200);
    let new_hash = wait_for("a new hash", LIMIT, || {
        let action = host.action(&operator, &id);
        (action["state"] == "waiting" && action["hash"] != hash).then(|| action["hash"].clone())
    });
    assert_eq!(host.post(&approver, &approve, &json!({ "hash": hash }), &[]).status, 409, "the old content");
    host.sandbox
        .run(&["action", "approve", &id, "--hash", new_hash.as_str().expect("a hash")])
        .expect_status(0);
    let action = host.wait_for(&operator, &id, &["succeeded", "failed", "unknown"]);
    assert_eq!(action["state"], "succeeded", "{action}");
    assert_eq!(host.github.merges()[0]["head"], "d".repeat(40));
    assert_eq!(host.github.effects()[3..], [1, 1]);
}
