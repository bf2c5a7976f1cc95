//! Actions, approvals and the audit log on the deployed stack: each action happens once, whatever fails, and the log proves
//! who requested and approved it.

use chrono::DateTime;
use gam_aws::DynamoStore;
use gam_store::{NameEntry, NameKind, NameStore};
use gam_tests::github::writes::{WRITE_TOKEN, WriteDouble, WriteFault};
use gam_tests::http::{HttpResponse, send_json};
use gam_tests::program::{RunResult, Sandbox};
use gam_tests::support::runtime;
use serde_json::{Value, json};

use super::calls::boto;
use super::emulator::{Emulator, EmulatorSetup, template, wait_for};
use super::stack::{Stack, built_template, parameters_for};
use crate::tools::Tool;
use crate::{ExternalTest, external_test};

const NEEDS: &[Tool] = &[Tool::Emulator, Tool::Sam];

/// A merge needs an approval.
const POLICY: &str = "[[actions.policy]]\nactions = [\"approve-merge-pr\"]\napprovals = 1\n";

/// The stack with a GitHub that it may write to, and the program of a person who administers it.
pub(super) struct Host<'a> {
    pub(super) stack: Stack<'a>,
    pub(super) github: &'a WriteDouble,
    pub(super) sandbox: Sandbox,
}

impl<'a> Host<'a> {
    fn deploy(aws: &'a Emulator, github: &'a WriteDouble) -> Self {
        Self::deploy_with(aws, github, &[])
    }

    /// Deploys with more parameters.
    pub(super) fn deploy_with(aws: &'a Emulator, github: &'a WriteDouble, more: &[(&str, &str)]) -> Self {
        let template = built_template();
        for (name, text) in [("github-token", "unused"), ("github-write", WRITE_TOKEN)] {
            aws.call("secretsmanager", "create_secret", json!({ "Name": name, "SecretString": text }));
        }
        let mut parameters = parameters_for("acme", github.api_url());
        parameters.insert("GitHubWriteSecret".to_owned(), "github-write".to_owned());
        parameters.insert("GitHubOwner".to_owned(), "acme".to_owned());
        parameters.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let stack = Stack::with_parameters(aws, template, &parameters);
        let sandbox = Sandbox::new()
            .with_variable("AWS_ENDPOINT_URL", aws.endpoint())
            .with_variable("AWS_REGION", "us-east-1")
            .with_variable("AWS_ACCESS_KEY_ID", "test")
            .with_variable("AWS_SECRET_ACCESS_KEY", "test")
            .with_variable("GITHUB_METRICS_LAKE", &format!("s3://{}", stack.output("LakeBucket")))
            .with_variable("GITHUB_METRICS_AUDIT_LOG", &format!("s3://{}", stack.output("AuditBucket")))
            .with_variable("GITHUB_METRICS_STORE", &format!("dynamodb:{}", stack.output("Table")));
        // A collection would do this: the log shows the organizations that the store knows.
        runtime().block_on(async {
            let store = DynamoStore::new(&aws.config().await, stack.output("Table"));
            let as_of = DateTime::UNIX_EPOCH;
            let name = NameEntry { kind: NameKind::Org, id: 0, name: "acme".to_owned(), as_of };
            store.put_names("acme", &[name]).await.expect("names are stored");
        });
        lock_audit_bucket(&stack);
        Host { stack, github, sandbox }
    }

    pub(super) fn run(&self, args: &[&str]) -> RunResult {
        self.sandbox.run(args)
    }

    pub(super) fn token(&self, role: &str) -> String {
        let created = self.run(&["token", "new", role, "--role", role]).expect_status(0);
        format!("Bearer {}", created.text().trim())
    }

    pub(super) fn post(&self, token: &str, path: &str, body: &Value, key: Option<&str>) -> HttpResponse {
        let mut headers = vec![("host", self.stack.host()), ("authorization", token)];
        headers.extend(key.map(|key| ("idempotency-key", key)));
        send_json(self.stack.aws.address(), path, &headers, body)
    }

    pub(super) fn get(&self, token: &str, path: &str) -> HttpResponse {
        self.stack.get_with_headers(path, &[("authorization", token)])
    }

    /// Waits until an action is in a state. The function `act` also runs by its schedule.
    pub(super) fn wait_for(&self, token: &str, id: &str, state: &str) -> Value {
        wait_for(&format!("the action to be {state}"), || {
            let action = self.get(token, &format!("/api/v1/actions/{id}")).json();
            (action["state"] == state).then_some(action)
        })
    }

    /// Has the audit log drained, as the schedule does.
    pub(super) fn drain(&self) {
        self.stack.invoke("AuditFunction", &json!({ "action": "drain" }));
    }
}

/// Locks the bucket of the audit log as the template says. The emulator ignores that property of a bucket.
fn lock_audit_bucket(stack: &Stack<'_>) {
    let template = template(boto().expect("the emulator has boto3"));
    let bucket = &template["Resources"]["AuditBucket"]["Properties"];
    assert_eq!(bucket["ObjectLockEnabled"], true);
    let retention = &bucket["ObjectLockConfiguration"]["Rule"]["Fn::If"][1]["DefaultRetention"];
    assert_eq!(retention["Mode"]["Fn::If"], json!(["HasComplianceLock", "COMPLIANCE", "GOVERNANCE"]));
    let parameters = &template["Parameters"];
    assert_eq!(parameters["AuditLock"]["Default"], "governance");
    let retention = json!({ "Mode": "GOVERNANCE", "Years": parameters["AuditYears"]["Default"] });
    let lock = json!({ "ObjectLockEnabled": "Enabled", "Rule": { "DefaultRetention": retention } });
    let request = json!({ "Bucket": stack.output("AuditBucket"), "ObjectLockConfiguration": lock });
    stack.aws.call("s3", "put_object_lock_configuration", request);
}

pub(super) fn id_of(answer: &HttpResponse) -> String {
    answer.json()["data"]["action"].as_str().unwrap_or_else(|| panic!("{}", answer.text())).to_owned()
}

fn actions_on_the_stack_happen_once_and_are_logged() {
    let aws = EmulatorSetup::strict().start();
    let github = WriteDouble::start();
    let host = Host::deploy(&aws, &github);
    std::fs::write(host.sandbox.dir().join("acme.toml"), POLICY).expect("the file is written");
    host.run(&["config", "set", "acme.toml", "acme"]).expect_status(0);
    let [operator, approver, auditor] = ["operator", "approver", "auditor"].map(|role| host.token(role));

    let killed = request_and_kill(&host, &operator);
    assert_requests_have_one_effect(&host, &operator);
    let merged = assert_a_merge_needs_an_approval(&host, &operator, &approver);
    let commented = host.wait_for(&operator, &killed, "succeeded");
    assert_eq!(commented["state"], "succeeded", "{commented}");
    assert_eq!(github.effects(), [3, 1, 0, 1, 1], "each action has one effect: {:?}", github.writes());

    assert_the_log_has(&host, &auditor, &merged);
    assert_nobody_bends_the_log(&host);
    assert_only_act_can_write(&host.stack);
    for (function, metric) in [
        ("ActFunction", "ActionsUnknown"),
        ("ActFunction", "BreakersOpened"),
        ("AuditFunction", "AuditRowsWritten"),
    ] {
        assert!(!host.stack.metric(function, metric).is_empty(), "an alarm needs {metric}");
    }
    assert_eq!(host.stack.depth("ActionDeadLettersUrl"), 0);
    host.stack.send("ActionQueueUrl", &json!({ "action": "nothing" }));
    wait_for("the dead letter", || (host.stack.depth("ActionDeadLettersUrl") == 1).then_some(()));
}

/// Requests a comment, and kills the function while GitHub does not answer. The result is found a minute later.
fn request_and_kill(host: &Host<'_>, operator: &str) -> String {
    host.github.fail_next("/comments", WriteFault::SilenceAfter);
    let body = json!({ "repository": "site", "number": 7, "body": "Done." });
    std::thread::scope(|scope| {
        let requested = scope.spawn(|| host.post(operator, "/create-comment", &body, None));
        wait_for("the request that GitHub does not answer", || {
            host.github.writes().iter().any(|write| write.ends_with("/comments")).then_some(())
        });
        assert!(host.stack.kill("ActFunction") > 0, "nothing was killed");
        let answer = requested.join().expect("an answer");
        assert_eq!(answer.status, 202, "{}", answer.text());
        id_of(&answer)
    })
}

/// A repeated request, an answer that is lost after the effect, and a limit before it: each is one issue.
fn assert_requests_have_one_effect(host: &Host<'_>, operator: &str) {
    let issue = |title: &str| json!({ "repository": "site", "title": title });
    let preview = host.post(operator, "/create-issue?dry_run=true", &issue("Broken"), None);
    assert_eq!(
        (preview.status, &preview.json()["data"]["dry_run"]),
        (200, &json!(true)),
        "{}",
        preview.text()
    );
    assert_eq!(host.github.effects()[0], 0, "nothing was done");

    let created = host.post(operator, "/create-issue", &issue("Broken"), Some("k1"));
    let id = id_of(&created);
    host.wait_for(operator, &id, "succeeded");
    let again = host.post(operator, "/api/v1/create-issue", &issue("Broken"), Some("k1"));
    assert_eq!((again.status, id_of(&again)), (201, id), "the same key is the same action");
    assert_eq!(host.post(operator, "/create-issue", &issue("Other"), Some("k1")).status, 422);

    for fault in [WriteFault::StatusAfter, WriteFault::Secondary(2)] {
        host.github.fail_next("/issues", fault);
        let answer = host.post(operator, "/create-issue", &issue(&format!("{fault:?}")), None);
        host.wait_for(operator, &id_of(&answer), "succeeded");
    }
    assert_eq!(host.github.effects()[0], 3, "{:?}", host.github.writes());
}

/// An operator requests a merge, somebody else approves what it is about, and it happens. Returns the action's id.
fn assert_a_merge_needs_an_approval(host: &Host<'_>, operator: &str, approver: &str) -> String {
    host.github.add_branch("change", 'c', "2026-02-01T00:00:00Z");
    host.github.add_pull(7, "change", 'c');
    let merge = json!({ "repository": "site", "pr_number": 7 });
    let requested = host.post(operator, "/approve-merge-pr", &merge, None);
    let id = id_of(&requested);
    let waiting = host.wait_for(operator, &id, "waiting");
    let approve = format!("/api/v1/approvals/{id}/approve");
    let by = |token: &str, hash: &Value| host.post(token, &approve, &json!({ "hash": hash }), None).status;
    assert_eq!(by(operator, &waiting["hash"]), 403, "an operator decides nothing");
    assert_eq!(by(approver, &json!("0".repeat(64))), 409, "another content");
    assert_eq!(
        host.post(approver, "/approve-merge-pr", &merge, None).status,
        403,
        "an approver requests nothing"
    );
    assert_eq!(by(approver, &waiting["hash"]), 200);
    host.wait_for(operator, &id, "succeeded");
    assert_eq!(host.github.merges().len(), 1);
    id
}

/// The rows of an action are in segments, which the API shows to auditors and `audit verify` finds intact.
fn assert_the_log_has(host: &Host<'_>, auditor: &str, merged: &str) {
    host.drain();
    let answer = host.get(auditor, "/api/v1/log?limit=1000");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let log = answer.json();
    let kinds_of = |action: &str| {
        let rows = log["rows"].as_array().expect("rows").iter();
        rows.filter(|row| row.to_string().contains(action))
            .filter_map(|row| row["kind"].as_str())
            .collect::<Vec<_>>()
    };
    let kinds = kinds_of(merged);
    for kind in ["action_requested", "action_approved", "action_attempted", "action_succeeded"] {
        assert!(kinds.contains(&kind), "{kind} is missing in {kinds:?}");
    }
    for kind in ["config_set", "token_created"] {
        assert!(log["rows"].as_array().expect("rows").iter().any(|row| row["kind"] == kind), "{kind}: {log}");
    }
    host.drain();
    let log = host.get(auditor, "/api/v1/log?kind=log_read").json();
    assert_eq!(log["rows"].as_array().map(Vec::len), Some(1), "reading is one row an hour: {log}");
    assert_eq!(host.stack.get("/api/v1/log").status, 403, "the token of the stack only reads metrics");
    let stream = host.get(auditor, "/api/v1/log/stream");
    assert_eq!(stream.headers["content-type"], "text/event-stream", "{}", stream.text());
    assert!(stream.text().contains("retry:"), "{}", stream.text());
    let page = host.get(auditor, "/log");
    assert!(
        page.status == 200 && page.text().contains("action_approved"),
        "{}: {}",
        page.status,
        page.text()
    );

    let verified = host.run(&["audit", "verify", "--format", "json"]).expect_status(0);
    assert!(verified.text().contains("acme"), "{}", verified.text());
    let exported = host.run(&["audit", "export", "acme", "--format", "json"]).expect_status(0);
    assert!(exported.text().contains("action_approved"), "{}", exported.text());
    host.run(&["audit", "witness", "heads.jsonl"]).expect_status(0);
    host.run(&["audit", "verify", "--witness", "heads.jsonl"]).expect_status(0);
}

/// Segments are locked, and what somebody replaces nevertheless is found.
fn assert_nobody_bends_the_log(host: &Host<'_>) {
    let (aws, bucket) = (host.stack.aws, host.stack.output("AuditBucket"));
    let segments = aws.list(
        "s3",
        "list_objects_v2",
        "Contents",
        json!({ "Bucket": bucket, "Prefix": "audit/org=acme/" }),
    );
    let key = segments.first().expect("a segment")["Key"].clone();
    let versions = aws.call("s3", "list_object_versions", json!({ "Bucket": bucket, "Prefix": key }));
    let version = versions["Versions"][0]["VersionId"].clone();
    let deleted =
        aws.try_call("s3", "delete_object", json!({ "Bucket": bucket, "Key": key, "VersionId": version }));
    assert!(deleted.is_err_and(|error| error.code == "AccessDenied"), "a locked version was deleted");
    assert_eq!(host.stack.keys("audit/"), Vec::<String>::new(), "the lake has no part of the log");
    aws.call("s3", "put_object", json!({ "Bucket": bucket, "Key": key, "Body": "another segment" }));
    let fault = host.run(&["audit", "verify", "acme"]).expect_error(1);
    assert!(fault.contains("the audit log is not as it was written"), "{fault}");
}

/// Returns the statements of all roles of the template, with the names of their roles.
fn statements_of_roles() -> Vec<(String, Value)> {
    let template = template(boto().expect("the emulator has boto3"));
    let resources = template["Resources"].as_object().expect("resources").iter();
    let roles = resources.filter(|(_, resource)| resource["Type"] == "AWS::IAM::Role");
    let mut statements = Vec::new();
    for (name, role) in roles {
        for policy in role["Properties"]["Policies"].as_array().into_iter().flatten() {
            let listed = policy["PolicyDocument"]["Statement"].as_array().expect("statements");
            statements.extend(listed.iter().map(|statement| (name.clone(), statement.clone())));
        }
    }
    assert!(statements.len() > 50, "{}", statements.len());
    statements
}

fn only_act_has_the_credential_and_nothing_changes_a_segment() {
    let statements = statements_of_roles();
    let roles_with = |found: &dyn Fn(&Value) -> bool| {
        let mut roles: Vec<&str> =
            statements.iter().filter(|(_, it)| found(it)).map(|(role, _)| role.as_str()).collect();
        roles.dedup();
        roles
    };
    let mentions = |statement: &Value, text: &str| statement.to_string().contains(text);
    assert_eq!(roles_with(&|it| mentions(it, "GitHubWriteSecret")), ["ActRole"]);
    assert_eq!(roles_with(&|it| mentions(it, "NotifySecrets")), ["NotifyRole"]);
    assert_eq!(roles_with(&|it| mentions(it, "AuditBucket") && mentions(it, "s3:Put")), ["AuditRole"]);
    assert_eq!(
        roles_with(&|it| mentions(it, "AuditBucket") && mentions(it, "s3:GetObject")),
        ["AuditRole", "LogRole", "NotifyRole"]
    );
    for action in ["s3:Delete", "s3:*", "s3:Bypass", "s3:PutObjectRetention", "s3:PutObjectLegalHold"] {
        assert!(roles_with(&|it| mentions(it, "AuditBucket") && mentions(it, action)).is_empty(), "{action}");
    }
    let writes = |it: &Value| mentions(it, "dynamodb:Put") || mentions(it, "dynamodb:Delete");
    let mut rows = roles_with(&|it| mentions(it, "dynamodb:Delete") && mentions(it, "#audit_row"));
    rows.sort_unstable();
    assert_eq!(
        rows,
        ["ActRole", "AuditRole", "GateRole", "WorkRole"],
        "those that may delete rows before a segment has them"
    );
    assert_eq!(roles_with(&|it| writes(it) && mentions(it, "#notify_")), ["NotifyRole"]);
    for kind in ["record#*#action\"", "record#_#action_due"] {
        assert_eq!(roles_with(&|it| writes(it) && mentions(it, kind)), ["ActRole", "GateRole"], "{kind}");
    }
    assert_eq!(roles_with(&|it| writes(it) && mentions(it, "action_pace")), ["ActRole"]);
    for (role, statement) in &statements {
        if writes(statement) {
            assert!(mentions(statement, "dynamodb:LeadingKeys"), "{role}: {statement}");
            assert!(!mentions(statement, "#token"), "{role}: {statement}");
        }
    }
}

/// Calls AWS as the functions, with the roles that the emulator enforces.
fn assert_only_act_can_write(stack: &Stack<'_>) {
    let secret = |name: &str| ("secretsmanager", "get_secret_value", json!({ "SecretId": name }));
    let bucket = stack.output("AuditBucket");
    let segment =
        json!({ "Bucket": bucket, "Key": "audit/org=acme/block=000000/segment=0000000001.parquet" });
    let delete = ("s3", "delete_object", segment.clone());
    let read = ("s3", "get_object", segment.clone());
    let put = ("s3", "put_object", json!({ "Bucket": bucket, "Key": segment["Key"], "Body": "x" }));
    let lock = (
        "s3",
        "put_object_retention",
        json!({
            "Bucket": bucket, "Key": segment["Key"], "Retention": { "Mode": "GOVERNANCE", "RetainUntilDate": "2030-01-01T00:00:00Z" },
        }),
    );
    for function in [
        "GateFunction",
        "ApiFunction",
        "CollectFunction",
        "AuditFunction",
        "LogFunction",
        "AggregateFunction",
        "SessionsFunction",
    ] {
        stack.assert_forbidden(function, &[secret("github-write"), delete.clone(), lock.clone()]);
    }
    for function in [
        "GateFunction",
        "ApiFunction",
        "ActFunction",
        "CollectFunction",
        "AggregateFunction",
        "SessionsFunction",
    ] {
        stack.assert_forbidden(function, &[put.clone(), read.clone()]);
    }
    stack.assert_forbidden("LogFunction", std::slice::from_ref(&put));
    let inbox =
        json!({ "Bucket": stack.output("LakeBucket"), "Key": "inbox/org=acme/x.parquet", "Body": "x" });
    let send =
        ("sqs", "send_message", json!({ "QueueUrl": stack.output("WorkQueueUrl"), "MessageBody": "x" }));
    stack.assert_forbidden(
        "ActFunction",
        &[secret("github-token"), delete, lock, ("s3", "put_object", inbox), send],
    );
    let mine = stack.credentials("ActFunction");
    let (service, operation, parameters) = secret("github-write");
    assert!(stack.aws.call_as(&mine, service, operation, parameters).is_ok(), "act reads its credential");
}

/// The tests of this file.
pub(crate) fn tests() -> Vec<ExternalTest> {
    vec![
        external_test!(NEEDS, actions_on_the_stack_happen_once_and_are_logged),
        external_test!(NEEDS, only_act_has_the_credential_and_nothing_changes_a_segment),
    ]
}
