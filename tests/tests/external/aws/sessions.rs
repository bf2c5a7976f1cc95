//! Session events of other machines on the deployed stack: what a worker's token pushes lands in the inbox of the lake, is
//! merged, and is shown. The function that takes them can do nothing else.

use std::sync::Arc;

use gam_access::{NewToken, Role, Scope, Tokens};
use gam_model::SystemClock;
use gam_tests::github::{Double, generated};
use serde_json::{Value, json};

use super::emulator::{EmulatorSetup, wait_for};
use super::stack::Stack;
use crate::tools::Tool;
use crate::{ExternalTest, external_test};
use gam_tests::support::{runtime, settled_at};

const NEEDS: &[Tool] = &[Tool::Emulator, Tool::Sam];
const PATH: &str = "/api/v1/sessions";
/// The most events of a request.
const MAX_EVENTS: usize = 1_000;
/// The greatest request that `ingest sessions --push` sends has a few bytes more.
const PUSHED_BYTES: usize = 900_000;

/// Returns a response of a model on 10 February 2024. Events of that age are also compared with the lake.
fn event(id: &str, repo: &str) -> Value {
    json!({
        "event_id": format!("agent:claude:response:msg_{id}"), "version": 21, "kind": "agent_response", "repo": repo,
        "occurred_at": "2024-02-10T10:00:00Z", "reading": 1, "agent": "claude", "session": "s1",
        "facts": { "model": "claude-opus-4-6", "input_tokens": 3, "output_tokens": 10, "is_final": true },
    })
}

/// Returns a worker's token of the table, which belongs to a member.
fn worker_token(stack: &Stack<'_>, member: &str) -> String {
    runtime().block_on(async {
        let store = gam_aws::DynamoStore::new(&stack.aws.config().await, stack.output("Table"));
        let tokens = Tokens::new(Arc::new(store), Arc::new(SystemClock));
        let new = NewToken {
            name: format!("{member}-laptop"),
            role: Role::Worker,
            scope: Scope::All,
            member: Some(member.to_owned()),
            expires_at: None,
        };
        tokens.create(new, "local").await.expect("a token").0.expose().to_owned()
    })
}

fn pushed_sessions_are_merged_and_shown() {
    let aws = EmulatorSetup::strict().start();
    let world = generated::world(131);
    let double = Double::start(world.clone(), settled_at());
    let stack = Stack::deploy(&aws, &world, &double);
    stack.collect();
    let (ann, bob) = (worker_token(&stack, "ann"), worker_token(&stack, "bob"));
    let push = |token: &str, body: &Value| stack.post(PATH, token, body);
    let of = |events: &[Value]| json!({ "org": world.org, "events": events });
    let repo = world.repos[0].names[0].1.as_str();
    let responses = |member: &str| {
        let path = format!(
            "/api/v1/orgs/{}/members/{member}/agents/metrics?since=2024-02-01&until=2024-03-01",
            world.org
        );
        let answer = stack.get(&path);
        (answer.status == 200).then(|| answer.json()["metrics"]["agent_responses"].clone())
    };

    let first = of(&[event("1", repo), event("2", repo)]);
    let answer = push(&ann, &first);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json(), json!({ "accepted": 2, "refused": [] }));
    wait_for("the sessions to be shown", || (responses("ann") == Some(json!(2))).then_some(()));
    let snapshots = stack.keys("sessions/org=");
    assert!(snapshots.len() == 1 && snapshots[0].contains("month=2024-02"), "{snapshots:?}");

    // The same again changes nothing, and nobody else can have it.
    assert_eq!(push(&ann, &first).json()["accepted"], 2);
    let stolen = push(&bob, &of(&[event("1", repo), event("3", repo), event("4", "never-collected")])).json();
    let mut reasons: Vec<&Value> =
        stolen["refused"].as_array().expect("refusals").iter().map(|refused| &refused["reason"]).collect();
    reasons.sort_by_key(|reason| reason.to_string());
    assert_eq!(
        (&stolen["accepted"], reasons),
        (&json!(1), vec![&json!("not_collected"), &json!("other_member")])
    );
    wait_for("bob's session to be shown", || (responses("bob") == Some(json!(1))).then_some(()));
    assert_eq!(responses("ann"), Some(json!(2)));

    // The greatest request of a laptop.
    let events: Vec<Value> = (0..MAX_EVENTS)
        .map(|number| {
            let padding = "x".repeat(150);
            let mut event = event(&format!("{number}_{padding}"), repo);
            event["session"] = json!(format!("session-{padding}"));
            event["facts"]["subagent"] = json!(format!("agent-{padding}"));
            event["facts"]["branch"] = json!("b".repeat(90));
            event
        })
        .collect();
    let body = of(&events);
    let bytes = body.to_string().len();
    assert!((PUSHED_BYTES - 100_000..PUSHED_BYTES + 100_000).contains(&bytes), "{bytes} bytes");
    let answer = push(&ann, &body);
    assert_eq!((answer.status, &answer.json()["accepted"]), (200, &json!(MAX_EVENTS)), "{}", answer.text());
    let all = json!(MAX_EVENTS + 2);
    wait_for("all sessions to be shown", || (responses("ann").as_ref() == Some(&all)).then_some(()));
    wait_for("the inbox to be empty", || stack.keys("sessions-inbox/").is_empty().then_some(()));
    assert_eq!(stack.depth("InboxDeadLettersUrl"), 0);

    assert_requests_are_refused(&stack, &world.org, &bob, event("5", repo));
    assert_the_role_allows_little(&stack);
}

/// Only a worker pushes, in the own name, and not without bounds.
fn assert_requests_are_refused(stack: &Stack<'_>, org: &str, bob: &str, event: Value) {
    let named = json!({ "org": org, "member": "ann", "events": [event] });
    let own = json!({ "org": org, "events": named["events"] });
    let too_many = json!({ "org": org, "events": vec![&named["events"][0]; MAX_EVENTS + 1] });
    let with_text = json!({ "org": org, "events": [{ "prompt": "what was said" }] });
    for (what, token, body, status) in [
        ("the name of somebody else", bob, &named, 403),
        ("the token that reads", stack.token(), &own, 403),
        ("no token of the table", "wrong", &own, 401),
        ("too many events", bob, &too_many, 400),
        ("an unknown field", bob, &with_text, 400),
    ] {
        let answer = stack.post(PATH, token, body);
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
    }
    let too_long = json!({ "org": org, "events": [], "padding": "x".repeat(1 << 20) });
    assert_eq!(stack.post(PATH, bob, &too_long).status, 413);
}

/// Asserts what the role allows. The emulator ignores the condition `dynamodb:LeadingKeys`, so this reads it in the policy.
fn assert_the_role_allows_little(stack: &Stack<'_>) {
    let policy = stack.policy("SessionsFunction", "sessions");
    let statements = policy.as_array().expect("statements");
    let writes = |statement: &&Value| {
        let actions = statement["Action"].to_string();
        ["Put", "Delete", "Write", "Update", "Send", "*"].iter().any(|word| actions.contains(word))
    };
    let writes: Vec<&Value> = statements.iter().filter(writes).collect();
    let [logs, records, batches] = writes[..] else { panic!("{writes:?}") };
    assert!(logs["Action"].to_string().contains("logs:"), "{logs}");
    let condition = json!({ "ForAllValues:StringLike": {
        "dynamodb:LeadingKeys": ["record#*#session_owner", "record#_#audit_row", "record#_#receipt"],
    } });
    assert_eq!(records["Condition"], condition, "{records}");
    assert!(batches["Resource"].to_string().contains("/sessions-inbox/*\""), "{batches}");

    let (bucket, table) = (stack.output("LakeBucket"), stack.output("Table"));
    let put = |key: &str| ("s3", "put_object", json!({ "Bucket": bucket, "Key": key, "Body": "x" }));
    let key = json!({ "pk": { "S": "orgs" }, "sk": { "S": "x" } });
    let send =
        |queue: &str| ("sqs", "send_message", json!({ "QueueUrl": stack.output(queue), "MessageBody": "x" }));
    let secret = json!({ "SecretId": "github-token" });
    let delete = json!({ "Bucket": bucket, "Key": "sessions-inbox/org=acme/x.parquet" });
    stack.assert_forbidden(
        "SessionsFunction",
        &[
            put("inbox/org=acme/x.parquet"),
            put("sessions/org=acme/month=2024-02/snapshot.parquet"),
            put("events/org=acme/month=2024-02/snapshot.parquet"),
            put("config/github-metrics.toml"),
            ("s3", "delete_object", delete),
            ("dynamodb", "scan", json!({ "TableName": table })),
            ("dynamodb", "delete_item", json!({ "TableName": table, "Key": key })),
            send("InboxQueueUrl"),
            send("WorkQueueUrl"),
            ("secretsmanager", "get_secret_value", secret),
        ],
    );
}

/// The tests of this file.
pub(crate) fn tests() -> Vec<ExternalTest> {
    vec![external_test!(NEEDS, pushed_sessions_are_merged_and_shown)]
}
