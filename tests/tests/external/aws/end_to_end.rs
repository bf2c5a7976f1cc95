//! The stack, deployed by `sam`, started by its schedule and restricted to its roles, answers byte for byte
//! like the program on one machine.

use std::collections::BTreeMap;
use std::sync::Arc;

use gam_access::{NewToken, Role, Scope, Tokens};
use gam_model::SystemClock;
use gam_tests::answers::{assert_matches_reference, assert_same_answers, sample_targets};
use gam_tests::github::{Double, TOKEN, World, generated};
use gam_tests::http::get;
use gam_tests::program::Sandbox;
use serde_json::{Value, json};

use super::calls::boto;
use super::emulator::{Emulator, EmulatorSetup, template, wait_for};
use super::stack::{Stack, built_template, parameters};
use crate::tools::Tool;
use crate::{ExternalTest, external_test};
use gam_tests::support::silently_changed;
use gam_tests::support::{collect_and_aggregate, full_range, settled_at};

const NEEDS: &[Tool] = &[Tool::Emulator, Tool::Sam];

/// Returns the answers of the program on one machine, after comparing them with the reference. They include
/// `complete_since` and `complete_until`.
pub(super) fn answers_of_one_machine(
    world: &World,
    double: &Double,
    targets: &[String],
) -> BTreeMap<String, String> {
    let sandbox = Sandbox::with_github(double);
    collect_and_aggregate(&sandbox, &world.org);
    let server = sandbox.serve();
    assert_matches_reference(server.address(), world, settled_at(), &full_range());
    let answer = |target: &String| (target.clone(), get(server.address(), target).text());
    targets.iter().map(answer).collect()
}

fn the_stack_answers_like_the_program_on_one_machine() {
    let aws = EmulatorSetup::strict().start();
    built_template();
    let world = generated::world(70);
    let double = Double::start(world.clone(), settled_at());
    aws.call("secretsmanager", "create_secret", json!({ "Name": "github-token", "SecretString": TOKEN }));
    let stack = Stack::deploy_with_sam(&aws, &parameters(&world, &double));
    stack.fire("CollectSchedule");
    // The log of an invocation appears when it ends. The plan is the first invocation.
    wait_for("the plan", || (!stack.log_lines("CollectFunction").is_empty()).then_some(()));
    stack.settle();

    let targets = sample_targets(&world, settled_at(), &full_range());
    assert_same_answers(&answers_of_one_machine(&world, &double, &targets), &stack.answers(&targets));
    assert_eq!(stack.depth("WorkDeadLettersUrl") + stack.depth("InboxDeadLettersUrl"), 0);
    assert_eq!(stack.depth("FailedInvocationsUrl"), 0);
    assert_metrics_are_logged(&stack);
    assert_alarms_have_metrics(&stack, &["CollectFunction", "AggregateFunction"]);
    assert_the_api_requires_its_token(&stack);
    assert_the_api_takes_tokens_of_the_table(&aws, &stack);
    assert_the_api_cannot_write(&aws, &stack);
    assert_the_api_puts_only_audit_rows(&stack);
    assert_reconcile_finds_silent_changes(&world, &double, &stack, &targets);
}

fn assert_reconcile_finds_silent_changes(
    world: &World,
    double: &Double,
    stack: &Stack<'_>,
    targets: &[String],
) {
    let changed = silently_changed(world);
    double.set_world(changed.clone());
    stack.fire("ReconcileSchedule");
    let is_reconciled = |line: &Value| line["message"] == "reconciled";
    wait_for("the comparison", || {
        stack.log_lines("ReconcileFunction").iter().any(is_reconciled).then_some(())
    });
    stack.settle();
    assert_same_answers(&answers_of_one_machine(&changed, double, targets), &stack.answers(targets));
}

fn assert_metrics_are_logged(stack: &Stack<'_>) {
    let total = |function, name| stack.metric(function, name).iter().sum::<f64>();
    for (function, name) in [
        ("CollectFunction", "EventsCollected"),
        ("CollectFunction", "GitHubRequests"),
        ("CollectFunction", "LagSeconds"),
        ("CollectFunction", "ApiBudgetLeft"),
        ("AggregateFunction", "BatchesMerged"),
        ("AggregateFunction", "RollupsWritten"),
    ] {
        assert!(total(function, name) > 0.0, "{function} does not log {name}");
    }
    for function in ["CollectFunction", "AggregateFunction"] {
        assert_eq!(total(function, "DeadLettered"), 0.0, "{function}");
    }
}

/// Asserts that these functions log every metric that an alarm of the template uses, with its dimensions. Alarms of
/// webhooks are checked only if the stack takes webhooks.
pub(super) fn assert_alarms_have_metrics(stack: &Stack<'_>, functions: &[&str]) {
    let template = template(boto().expect("the emulator has boto3"));
    let resources = template["Resources"].as_object().expect("resources");
    let alarms = resources.iter().filter(|(_, resource)| {
        resource["Type"] == "AWS::CloudWatch::Alarm"
            && resource["Properties"]["Namespace"] == "GitHubActivityMetrics"
            && (resource["Condition"] != "HasWebhooks" || stack.has_output("WebhookUrl"))
            && (resource["Condition"] != "HasActions" || stack.has_output("ActionQueueUrl"))
            && resource["Condition"] != "HasNotifications"
            // The tests of actions and notifications look for those of the audit log and of channels.
            && resource["Properties"]["MetricName"] != "AuditRowsWritten"
    });
    let lines: Vec<Value> = functions.iter().flat_map(|function| stack.metric_lines(function)).collect();
    let mut alarm_count = 0;
    for (name, alarm) in alarms {
        let alarm = &alarm["Properties"];
        let metric = alarm["MetricName"].as_str().expect("a metric");
        let by_stack = json!([{ "Name": "Stack", "Value": { "Ref": "AWS::StackName" } }]);
        assert_eq!(alarm["Dimensions"], by_stack, "{name}");
        let has_metric = |line: &Value| {
            let directive = &line["_aws"]["CloudWatchMetrics"][0];
            let mut metrics = directive["Metrics"].as_array().into_iter().flatten();
            metrics.any(|entry| entry["Name"] == metric)
                && directive["Dimensions"] == json!([["Stack"]])
                && line["Stack"] == stack.name()
                && line[metric].is_number()
        };
        assert!(lines.iter().any(has_metric), "{name} uses {metric}, which no function logs");
        alarm_count += 1;
    }
    assert!(alarm_count >= 2, "only {alarm_count} alarms use metrics of the functions");
}

fn assert_the_api_requires_its_token(stack: &Stack<'_>) {
    for headers in [&[][..], &[("authorization", "Bearer wrong")]] {
        let answer = stack.get_with_headers("/api/v1/orgs", headers);
        assert_eq!(answer.status, 401, "{}", answer.text());
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        assert!(answer.headers.keys().any(|name| name.ends_with("www-authenticate")), "{:?}", answer.headers);
    }
    assert_eq!(
        stack.get_with_headers("/healthz", &[]).status,
        200,
        "{}",
        stack.get_with_headers("/healthz", &[]).text()
    );
    assert_eq!(stack.get("/api/v1/nothing").status, 404);
}

/// Tokens of the table let their holders in until they are revoked.
fn assert_the_api_takes_tokens_of_the_table(aws: &Emulator, stack: &Stack<'_>) {
    let metrics = "/api/v1/orgs/nobody/metrics";
    let status = |token: &str| {
        let authorization = format!("Bearer {token}");
        stack.get_with_headers(metrics, &[("authorization", &authorization)]).status
    };
    gam_tests::support::runtime().block_on(async {
        let store = gam_aws::DynamoStore::new(&aws.config().await, stack.output("Table"));
        let tokens = Tokens::new(Arc::new(store), Arc::new(SystemClock));
        let create = async |name: &str, role| {
            let new =
                NewToken { name: name.to_owned(), role, scope: Scope::All, member: None, expires_at: None };
            tokens.create(new, "local").await.expect("a token").0
        };
        let (viewer, worker) = (create("viewer", Role::Viewer).await, create("worker", Role::Worker).await);
        assert_eq!([viewer.expose(), worker.expose(), "wrong"].map(status), [404, 403, 401]);
        tokens.revoke("viewer", "local").await.expect("it is revoked");
        assert_eq!(status(viewer.expose()), 401);
    });
}

/// Asserts that the api's role can put only rows of the audit log into the table. The emulator ignores the condition
/// `dynamodb:LeadingKeys`, so this reads the policy.
fn assert_the_api_puts_only_audit_rows(stack: &Stack<'_>) {
    let policy = stack.policy("ApiFunction", "api");
    let statements = policy.as_array().expect("statements");
    let puts = |statement: &&Value| statement["Action"].to_string().contains("dynamodb:Put");
    let puts: Vec<&Value> = statements.iter().filter(puts).collect();
    assert!(!puts.is_empty(), "{policy}");
    for statement in puts {
        let condition = json!({ "ForAllValues:StringEquals": {
            "dynamodb:LeadingKeys": ["record#_#audit_row", "record#_#receipt"],
        } });
        assert_eq!(statement["Condition"], condition, "{statement}");
    }
}

fn assert_the_api_cannot_write(aws: &Emulator, stack: &Stack<'_>) {
    let (bucket, table) = (stack.output("LakeBucket"), stack.output("Table"));
    let key = json!({ "pk": { "S": "orgs" }, "sk": { "S": "x" } });
    let object = |key: &str| json!({ "Bucket": bucket, "Key": key });
    let body = |key: &str| json!({ "Bucket": bucket, "Key": key, "Body": "x" });
    let message = |queue: &str| json!({ "QueueUrl": stack.output(queue), "MessageBody": "x" });
    let item = json!({ "PutRequest": { "Item": key } });
    let forbidden: [(&str, &str, Value); 15] = [
        ("dynamodb", "update_item", json!({ "TableName": table, "Key": key })),
        ("dynamodb", "delete_item", json!({ "TableName": table, "Key": key })),
        ("dynamodb", "batch_write_item", json!({ "RequestItems": { table: [item] } })),
        ("dynamodb", "delete_table", json!({ "TableName": table })),
        ("dynamodb", "scan", json!({ "TableName": table })),
        ("s3", "put_object", body("inbox/org=acme/x.parquet")),
        ("s3", "put_object", body("config/github-metrics.toml")),
        ("s3", "put_object", body("events/x")),
        ("s3", "delete_object", object("config/github-metrics.toml")),
        ("s3", "delete_bucket", json!({ "Bucket": bucket })),
        ("sqs", "send_message", message("WorkQueueUrl")),
        ("sqs", "send_message", message("InboxQueueUrl")),
        ("sqs", "send_message", message("MonthQueueUrl")),
        ("secretsmanager", "put_secret_value", json!({ "SecretId": "github-token", "SecretString": "x" })),
        ("secretsmanager", "get_secret_value", json!({ "SecretId": "github-token" })),
    ];
    stack.assert_forbidden("ApiFunction", &forbidden);
    // The credentials are valid: reading works.
    let read = json!({ "TableName": table, "Key": key });
    aws.call_as(&stack.credentials("ApiFunction"), "dynamodb", "get_item", read).expect("the api can read");
}

/// The tests of this file.
pub(crate) fn tests() -> Vec<ExternalTest> {
    vec![external_test!(NEEDS, the_stack_answers_like_the_program_on_one_machine)]
}
