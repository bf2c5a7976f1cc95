//! Deployed by `sam`, fired by its schedule, held to its roles: the stack answers byte for byte like
//! the program on one machine.

use std::collections::BTreeMap;

use gam_tests::answers::{assert_matches_reference, assert_same_answers, sample_targets};
use gam_tests::github::{Double, TOKEN, World, generated};
use gam_tests::http::get;
use gam_tests::program::Sandbox;
use serde_json::{Value, json};

use super::calls::calls;
use super::emulator::{Emulator, EmulatorSetup, template, wait_for};
use super::stack::{Stack, built, parameters};
use crate::tools::Tool;
use crate::{ExternalTest, external_test};
use gam_tests::support::silently_changed;
use gam_tests::support::{collect_and_aggregate, full_range, settled_at};

const NEEDS: &[Tool] = &[Tool::Emulator, Tool::Sam];

/// What the program answers on one machine, held against the reference, and with what it tells of the
/// collection itself.
fn on_one_machine(world: &World, double: &Double, targets: &[String]) -> BTreeMap<String, String> {
    let sandbox = Sandbox::with_github(double);
    collect_and_aggregate(&sandbox, &world.org);
    let server = sandbox.serve();
    assert_matches_reference(server.address(), world, settled_at(), &full_range());
    let answer = |question: &String| (question.clone(), get(server.address(), question).text());
    targets.iter().map(answer).collect()
}

fn the_deployed_stack_answers_like_the_program_on_one_machine() {
    let aws = EmulatorSetup::strict().start();
    built();
    let world = generated::world(70);
    let double = Double::start(world.clone(), settled_at());
    aws.call("secretsmanager", "create_secret", json!({ "Name": "github-token", "SecretString": TOKEN }));
    let stack = Stack::by_sam(&aws, &parameters(&world, &double));
    stack.fire("CollectSchedule");
    // What an invocation wrote is there when it has ended, and the plan is the first one.
    wait_for("the plan", || (!stack.lines("CollectFunction").is_empty()).then_some(()));
    stack.settle();

    let targets = sample_targets(&world, settled_at(), &full_range());
    assert_same_answers(&on_one_machine(&world, &double, &targets), &stack.answers(&targets));
    assert_eq!(stack.depth("WorkDeadLettersUrl") + stack.depth("InboxDeadLettersUrl"), 0);
    assert_eq!(stack.depth("FailedInvocationsUrl"), 0);
    they_measure_themselves(&stack);
    the_alarms_listen_to_what_they_tell(&stack);
    only_who_has_the_token_is_answered(&stack);
    the_api_can_write_nothing(&aws, &stack);
    what_github_does_not_tell_is_found(&world, &double, &stack, &targets);
}

fn what_github_does_not_tell_is_found(world: &World, double: &Double, stack: &Stack<'_>, targets: &[String]) {
    let other = silently_changed(world);
    double.set_world(other.clone());
    stack.fire("ReconcileSchedule");
    let is_told = |line: &Value| line["message"] == "reconciled";
    wait_for("the comparison", || stack.lines("CollectFunction").iter().any(is_told).then_some(()));
    stack.settle();
    assert_same_answers(&on_one_machine(&other, double, targets), &stack.answers(targets));
}

fn they_measure_themselves(stack: &Stack<'_>) {
    let total = |function, name| stack.metric(function, name).iter().sum::<f64>();
    for (function, name) in [
        ("CollectFunction", "EventsCollected"),
        ("CollectFunction", "GitHubRequests"),
        ("CollectFunction", "LagSeconds"),
        ("CollectFunction", "ApiBudgetLeft"),
        ("AggregateFunction", "BatchesMerged"),
        ("AggregateFunction", "RollupsWritten"),
    ] {
        assert!(total(function, name) > 0.0, "{function} tells no {name}");
    }
    for function in ["CollectFunction", "AggregateFunction"] {
        assert_eq!(total(function, "DeadLettered"), 0.0, "{function}");
    }
}

/// What the template's alarms listen to of the functions' own metrics is told under just those dimensions.
fn the_alarms_listen_to_what_they_tell(stack: &Stack<'_>) {
    let template = template(calls().expect("the emulator has boto3"));
    let resources = template["Resources"].as_object().expect("resources");
    let own = resources.iter().filter(|(_, resource)| {
        resource["Type"] == "AWS::CloudWatch::Alarm"
            && resource["Properties"]["Namespace"] == "GitHubActivityMetrics"
    });
    let lines: Vec<Value> = ["CollectFunction", "AggregateFunction"]
        .into_iter()
        .flat_map(|function| stack.embedded(function))
        .collect();
    let mut heard = 0;
    for (name, alarm) in own {
        let alarm = &alarm["Properties"];
        let metric = alarm["MetricName"].as_str().expect("a metric");
        let by_stack = json!([{ "Name": "Stack", "Value": { "Ref": "AWS::StackName" } }]);
        assert_eq!(alarm["Dimensions"], by_stack, "{name}");
        let is_told = |line: &Value| {
            let directive = &line["_aws"]["CloudWatchMetrics"][0];
            let mut named = directive["Metrics"].as_array().into_iter().flatten();
            named.any(|told| told["Name"] == metric)
                && directive["Dimensions"] == json!([["Stack"]])
                && line["Stack"] == stack.name()
                && line[metric].is_number()
        };
        assert!(lines.iter().any(is_told), "{name} listens to {metric}, which nobody tells");
        heard += 1;
    }
    assert!(heard >= 2, "only {heard} alarms listen to the functions themselves");
}

fn only_who_has_the_token_is_answered(stack: &Stack<'_>) {
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

/// The credentials of the api function's role, as the function gets them.
fn credentials(aws: &Emulator, stack: &Stack<'_>) -> Vec<String> {
    let function = json!({ "FunctionName": stack.output("ApiFunction") });
    let told = aws.call("lambda", "get_function_configuration", function);
    let assumed = json!({ "RoleArn": told["Role"], "RoleSessionName": "test" });
    let told = aws.call("sts", "assume_role", assumed);
    let part = |name: &str| told["Credentials"][name].as_str().expect("credentials").to_owned();
    vec![part("AccessKeyId"), part("SecretAccessKey"), part("SessionToken")]
}

fn the_api_can_write_nothing(aws: &Emulator, stack: &Stack<'_>) {
    let credentials = credentials(aws, stack);
    let (bucket, table) = (stack.output("LakeBucket"), stack.output("Table"));
    let key = json!({ "pk": { "S": "orgs" }, "sk": { "S": "x" } });
    let object = |key: &str| json!({ "Bucket": bucket, "Key": key });
    let body = |key: &str| json!({ "Bucket": bucket, "Key": key, "Body": "x" });
    let message = |queue: &str| json!({ "QueueUrl": stack.output(queue), "MessageBody": "x" });
    let item = json!({ "PutRequest": { "Item": key } });
    let put = json!({ "Put": { "TableName": table, "Item": key } });
    let refused: [(&str, &str, Value); 16] = [
        ("dynamodb", "put_item", json!({ "TableName": table, "Item": key })),
        ("dynamodb", "update_item", json!({ "TableName": table, "Key": key })),
        ("dynamodb", "delete_item", json!({ "TableName": table, "Key": key })),
        ("dynamodb", "batch_write_item", json!({ "RequestItems": { table: [item] } })),
        ("dynamodb", "transact_write_items", json!({ "TransactItems": [put] })),
        ("dynamodb", "delete_table", json!({ "TableName": table })),
        ("dynamodb", "scan", json!({ "TableName": table })),
        ("s3", "put_object", body("inbox/org=acme/x.parquet")),
        ("s3", "put_object", body("config/github-metrics.toml")),
        ("s3", "put_object", body("events/x")),
        ("s3", "delete_object", object("config/github-metrics.toml")),
        ("s3", "delete_bucket", json!({ "Bucket": bucket })),
        ("sqs", "send_message", message("WorkQueueUrl")),
        ("sqs", "send_message", message("InboxQueueUrl")),
        ("secretsmanager", "put_secret_value", json!({ "SecretId": "github-token", "SecretString": "x" })),
        ("secretsmanager", "get_secret_value", json!({ "SecretId": "github-token" })),
    ];
    for (service, operation, parameters) in refused {
        match aws.call_as(&credentials, service, operation, parameters) {
            Ok(answer) => panic!("the api may {service} {operation}: {answer}"),
            Err(refusal) => {
                assert!(refusal.code.starts_with("AccessDenied"), "{service} {operation}: {refusal:?}")
            }
        }
    }
    // They are credentials, only of somebody who reads.
    let read = json!({ "TableName": table, "Key": key });
    aws.call_as(&credentials, "dynamodb", "get_item", read).expect("it may read");
}

/// The tests of this file.
pub(crate) fn tests() -> Vec<ExternalTest> {
    vec![external_test!(NEEDS, the_deployed_stack_answers_like_the_program_on_one_machine)]
}
