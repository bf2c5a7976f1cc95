//! Webhooks and tasks on the deployed stack: what arrives, what is refused, what is lost, and what is read again.

use std::sync::Arc;

use chrono::TimeDelta;
use gam_access::{NewToken, Role, Scope, Tokens};
use gam_model::{Clock as _, SystemClock};
use gam_tests::answers::{assert_same_answers, sample_targets, without_coverage};
use gam_tests::github::webhooks::{
    Transit, WEBHOOK_SECRET, WebhookEvent, deliver_to_host, disturbed, open_issues, webhook_events,
    webhook_signature,
};
use gam_tests::github::world::Time;
use gam_tests::github::{Double, generated};
use gam_tests::http::send_request_with_body;
use gam_tests::support::{full_range, settled_at};
use serde_json::{Value, json};

use super::emulator::{EmulatorSetup, wait_for};
use super::end_to_end::{answers_of_one_machine, assert_alarms_have_metrics};
use super::stack::Stack;
use crate::tools::Tool;
use crate::{ExternalTest, external_test};

const NEEDS: &[Tool] = &[Tool::Emulator, Tool::Sam];

/// Number of unsigned deliveries of the flood.
const FLOOD: usize = 40;

fn webhooks_on_the_stack_end_in_the_state_of_github() {
    let aws = EmulatorSetup::strict().start();
    let world = generated::world(82);
    let (start, end) = (settled_at() - TimeDelta::days(40), settled_at());
    let double = Double::start(world.clone(), start);
    let stack = Stack::deploy_with_webhooks(&aws, &world, &double);
    stack.collect();
    stack.invoke("WorkFunction", &json!({ "action": "reconcile_issues" }));
    assert_eq!(
        listed(&stack, &world.org),
        open_issues(&world, start),
        "the first comparison lists all open issues"
    );

    double.set_now(end);
    let events = webhook_events(&world, start, end);
    assert!(events.iter().filter(|event| event.event == "issues").count() > 5, "{}", events.len());
    assert_unsigned_deliveries_reach_nothing(&stack, &events[0]);
    let receiver = (aws.address(), stack.host());
    double.create_webhook(stack.host());
    std::thread::scope(|scope| {
        scope.spawn(|| flood(&stack, &events[0]));
        double.deliver_events_to_host(receiver, &disturbed(events.clone()), SystemClock.now());
    });
    assert_eq!(deliver_to_host(receiver.0, receiver.1, &events[0], Transit::Delivered), 202, "once more");
    wait_for("the orders to be processed", || (stack.depth("HookQueueUrl") == 0).then_some(()));
    assert!(marks(&stack, &world.org) > 0, "the mark of a repository waits for a minute");

    stack.invoke("WorkFunction", &json!({ "action": "sweep_deliveries" }));
    let missed: f64 = stack.metric("WorkFunction", "WebhooksMissed").iter().sum();
    assert!(missed > 0.0, "the sweep finds what was lost");
    wait_for("the cache to be what GitHub has", || {
        stack.invoke("WorkFunction", &json!({ "action": "sweep" }));
        (listed(&stack, &world.org) == open_issues(&world, end)).then_some(())
    });
    wait_for("the marked repositories to be read", || (marks(&stack, &world.org) == 0).then_some(()));
    stack.settle();
    let targets = sample_targets(&world, end, &full_range());
    let by_polling = answers_of_one_machine(&world, &double, &targets);
    let by_webhooks = stack.answers(&targets);
    let numbers = |answers: std::collections::BTreeMap<String, String>| {
        answers.into_iter().map(|(target, text)| (target, without_coverage(&text))).collect()
    };
    assert_same_answers(&numbers(by_polling), &numbers(by_webhooks));

    assert_workers_claim_tasks(&stack, receiver, &events);
    assert_alarms_have_metrics(
        &stack,
        &["CollectFunction", "AggregateFunction", "WebhookFunction", "WorkFunction"],
    );
    for queue in ["HookDeadLettersUrl", "WorkDeadLettersUrl", "InboxDeadLettersUrl", "FailedInvocationsUrl"] {
        assert_eq!(stack.depth(queue), 0, "{queue}: {:?}", stack.messages(queue));
    }
    assert_roles_allow_little(&stack);
    stack.send("HookQueueUrl", &json!({ "action": "nothing" }));
    wait_for("the dead letter", || (stack.depth("HookDeadLettersUrl") == 1).then_some(()));
    let (_, reason) = stack.messages("HookDeadLettersUrl").remove(0);
    assert!(reason.is_some_and(|reason| reason.contains("neither the order of a webhook nor a command")));
}

/// Returns the open issues that the API lists: repository and number.
fn listed(stack: &Stack<'_>, org: &str) -> Vec<(String, i64)> {
    let (mut issues, mut cursor) = (Vec::new(), String::new());
    loop {
        let answer = stack.get(&format!("/api/v1/orgs/{org}/issues?limit=100{cursor}"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        let page = answer.json();
        for issue in page["issues"].as_array().expect("a list") {
            let repo = issue["repo"].as_str().expect("a name").to_owned();
            issues.push((repo, issue["number"].as_i64().expect("a number")));
        }
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    issues.sort();
    issues
}

/// Returns the number of items in a partition of the table.
fn items(stack: &Stack<'_>, partition: &str) -> usize {
    let request = json!({
        "TableName": stack.output("Table"), "KeyConditionExpression": "pk = :pk",
        "ExpressionAttributeValues": { ":pk": { "S": partition } },
    });
    stack.aws.list("dynamodb", "query", "Items", request).len()
}

fn marks(stack: &Stack<'_>, org: &str) -> usize {
    items(stack, &format!("record#{}#dirty_repo", org.to_lowercase()))
}

/// Sends deliveries with a wrong signature. Each gets 401.
fn flood(stack: &Stack<'_>, event: &WebhookEvent) {
    for _ in 0..FLOOD {
        let status = deliver_to_host(stack.aws.address(), stack.host(), event, Transit::WrongSignature);
        assert_eq!(status, 401);
    }
}

/// Unsigned deliveries get 401 and forms 415, and nothing of them is sent or stored.
fn assert_unsigned_deliveries_reach_nothing(stack: &Stack<'_>, event: &WebhookEvent) {
    let (address, host) = (stack.aws.address(), stack.host());
    flood(stack, event);
    let form = "payload=%7B%7D";
    let headers = [
        ("host", host),
        ("content-type", "application/x-www-form-urlencoded"),
        ("x-github-event", "push"),
        ("x-github-delivery", "form"),
        ("x-hub-signature-256", &webhook_signature(WEBHOOK_SECRET, form.as_bytes())),
    ];
    let answer = send_request_with_body(address, ("POST", "/api/v1/webhook/github"), &headers, form);
    assert_eq!(answer.status, 415, "a form is signed in base64 on its way: {}", answer.text());
    assert_eq!(stack.depth("HookQueueUrl"), 0);
    assert_eq!(items(stack, "record#_#delivery") + items(stack, "record#_#webhook_order"), 0);
    let refused: f64 = wait_for("the metric of refused deliveries", || {
        let refused: f64 = stack.metric("WebhookFunction", "WebhooksRefused").iter().sum();
        (refused >= FLOOD as f64).then_some(refused)
    });
    assert_eq!(refused, FLOOD as f64);
}

/// Returns a delivery that sets the label of tasks on an issue that is open at the end of the events.
fn labelled_issue(events: &[WebhookEvent]) -> (WebhookEvent, i64) {
    let last_states = events.iter().rev().filter(|event| event.event == "issues");
    let mut seen = std::collections::BTreeSet::new();
    for event in last_states {
        let mut body: Value = serde_json::from_str(&event.body).expect("a payload");
        let number = body["issue"]["number"].as_i64().expect("a number");
        if !seen.insert((event.repo_id, number)) || body["issue"]["state"] != "open" {
            continue;
        }
        let label = json!({ "id": 77, "name": "agent-ready" });
        body["action"] = json!("labeled");
        body["label"] = label.clone();
        body["issue"]["labels"] = json!([label]);
        body["sender"] = json!({ "id": 99_999, "login": "maintainer", "type": "User" });
        let updated_at: Time =
            body["issue"]["updated_at"].as_str().and_then(|it| it.parse().ok()).expect("a time");
        body["issue"]["updated_at"] = json!((updated_at + TimeDelta::days(1)).to_rfc3339());
        let (guid, action) = ("labelled".to_owned(), Some("labeled"));
        return (WebhookEvent { guid, action, body: body.to_string(), ..event.clone() }, number);
    }
    panic!("no issue of the events is open at the end");
}

/// A labelled issue is a task, which one worker claims, reports on and completes over HTTP.
fn assert_workers_claim_tasks(stack: &Stack<'_>, (address, host): (&str, &str), events: &[WebhookEvent]) {
    let (event, number) = labelled_issue(events);
    let token = gam_tests::support::runtime().block_on(async {
        let store = gam_aws::DynamoStore::new(&stack.aws.config().await, stack.output("Table"));
        let tokens = Tokens::new(Arc::new(store), Arc::new(SystemClock));
        let new = NewToken {
            name: "worker".to_owned(),
            role: Role::Worker,
            scope: Scope::All,
            member: None,
            expires_at: None,
        };
        tokens.create(new, "local").await.expect("a token").0.expose().to_owned()
    });
    let request = |worker: &str| stack.post("/api/v1/request-task", &token, &json!({ "worker": worker }));
    let nothing = request("one");
    assert_eq!(nothing.status, 204, "{}", nothing.text());
    assert_eq!(deliver_to_host(address, host, &event, Transit::Delivered), 202);
    let claimed = wait_for("the labelled issue to be assignable", || {
        let answer = request("one");
        (answer.status == 200).then(|| answer.json())
    });
    let task = &claimed["task"];
    assert_eq!(task["issue"]["number"], number, "{claimed}");
    assert_eq!(request("two").status, 204, "nobody else gets it");
    assert_eq!(
        request("one").json()["task"]["claim_id"],
        task["claim_id"],
        "the same worker gets the same claim"
    );
    let report = |what: &str| {
        let path = format!("/api/v1/tasks/{}/{what}", task["claim_id"].as_str().expect("an id"));
        stack.post(&path, &token, &json!({ "fence": task["fence"] }))
    };
    for (what, status) in [("heartbeat", 200), ("complete", 200), ("fail", 410)] {
        let answer = report(what);
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
    }
    let tasks = stack.get("/api/v1/tasks");
    assert_eq!(tasks.status, 200, "{}", tasks.text());
    assert_eq!(tasks.json()["tasks"][0]["number"], number, "{}", tasks.text());
    assert_eq!(stack.post("/api/v1/request-task", "wrong", &json!({ "worker": "one" })).status, 401);
    let by_reader = stack.post("/api/v1/request-task", stack.token(), &json!({ "worker": "one" }));
    assert_eq!(by_reader.status, 403, "{}", by_reader.text());
}

/// Returns the statements of a policy that allow an action which starts like this.
fn allowing<'a>(policy: &'a Value, action: &str) -> Vec<&'a Value> {
    let statements = policy.as_array().expect("statements").iter();
    statements.filter(|statement| statement["Action"].to_string().contains(action)).collect()
}

/// Asserts what the roles allow. The emulator ignores the condition `dynamodb:LeadingKeys`, so this reads it in the
/// policies.
fn assert_roles_allow_little(stack: &Stack<'_>) {
    let webhook = stack.policy("WebhookFunction", "webhook");
    for service in ["dynamodb:", "s3:", "kms:"] {
        assert!(allowing(&webhook, service).is_empty(), "{webhook}");
    }
    let sends = allowing(&webhook, "sqs:");
    assert!(sends.len() == 1 && sends[0]["Action"] == "sqs:SendMessage", "{webhook}");
    for (function, policy, writable) in [
        (
            "WorkFunction",
            "work",
            &["#issue", "#delivery", "#webhook_order", "#dirty_repo", "#claim", "#receipt"][..],
        ),
        (
            "GateFunction",
            "gate",
            &["#claim", "#lease", "#worker_claim", "#task_log", "#audit_row", "#receipt"][..],
        ),
    ] {
        let policy = stack.policy(function, policy);
        let writes = allowing(&policy, "dynamodb:Put");
        assert_eq!(writes.len(), 1, "{policy}");
        let keys = writes[0]["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"].as_array();
        let keys: Vec<&str> = keys.expect("partitions").iter().filter_map(Value::as_str).collect();
        assert!(keys.iter().all(|key| key.starts_with("record#") && !key.ends_with('*')), "{keys:?}");
        assert!(!keys.iter().any(|key| key.contains("token") || key.contains("items")), "{keys:?}");
        for kind in writable {
            assert!(keys.iter().any(|key| key.ends_with(kind)), "{function} cannot write {kind}: {keys:?}");
        }
        assert!(allowing(&policy, "dynamodb:Scan").is_empty(), "{policy}");
    }
    let gate = stack.policy("GateFunction", "gate");
    let of_issues = |statement: &&Value| statement["Condition"].to_string().contains("#issue\"");
    assert_eq!(allowing(&gate, "dynamodb:Put").iter().filter(|it| of_issues(it)).count(), 0, "{gate}");

    let table = stack.output("Table");
    let key = json!({ "pk": { "S": "orgs" }, "sk": { "S": "x" } });
    let put = json!({ "TableName": table, "Item": key });
    let get = json!({ "TableName": table, "Key": key });
    let send =
        |queue: &str| ("sqs", "send_message", json!({ "QueueUrl": stack.output(queue), "MessageBody": "x" }));
    let secret = |name: &str| ("secretsmanager", "get_secret_value", json!({ "SecretId": name }));
    let object = |key: &str| json!({ "Bucket": stack.output("LakeBucket"), "Key": key, "Body": "x" });
    let receive = json!({ "QueueUrl": stack.output("HookQueueUrl") });
    stack.assert_forbidden(
        "WebhookFunction",
        &[
            ("dynamodb", "get_item", get),
            ("dynamodb", "put_item", put),
            ("s3", "put_object", object("inbox/org=acme/x.parquet")),
            ("sqs", "receive_message", receive),
            send("WorkQueueUrl"),
            send("InboxQueueUrl"),
            secret("github-token"),
        ],
    );
    stack.assert_forbidden(
        "WorkFunction",
        &[
            ("s3", "put_object", object("inbox/org=acme/x.parquet")),
            ("s3", "put_object", object("events/x")),
            ("dynamodb", "scan", json!({ "TableName": table })),
            send("HookQueueUrl"),
            send("InboxQueueUrl"),
            secret("webhook-secret"),
        ],
    );
    stack.assert_forbidden(
        "GateFunction",
        &[
            ("s3", "put_object", object("config/x")),
            ("dynamodb", "scan", json!({ "TableName": table })),
            send("HookQueueUrl"),
            send("WorkQueueUrl"),
            secret("github-token"),
            secret("webhook-secret"),
        ],
    );
}

/// The tests of this file.
pub(crate) fn tests() -> Vec<ExternalTest> {
    vec![external_test!(NEEDS, webhooks_on_the_stack_end_in_the_state_of_github)]
}
