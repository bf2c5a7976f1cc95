//! Kills, duplicate events, throttling and failures. No data is lost, and nothing is counted twice.

use gam_tests::proxy::{self, Proxy, ProxyFault, SeenRequest};
use serde_json::{Value, json};

use super::emulator::{EmulatorSetup, wait_for};
use super::scenario::Scenario;
use super::stack::Stack;
use crate::tools::Tool;
use crate::{ExternalTest, external_test};

const NEEDS: &[Tool] = &[Tool::Emulator, Tool::Sam];

/// Delays an answer until the test has killed its function.
pub(super) const DELAYED_UNTIL_KILL: ProxyFault = ProxyFault::DelayedAnswer(30_000);

/// An emulator whose functions reach S3 and DynamoDB through a proxy.
pub(super) fn emulator_behind(proxy: &Proxy) -> EmulatorSetup {
    let endpoint = proxy.endpoint();
    EmulatorSetup::strict()
        .with_variable("AWS_ENDPOINT_URL_S3", &endpoint)
        .with_variable("AWS_ENDPOINT_URL_DYNAMODB", &endpoint)
}

pub(super) fn is_of_lake(request: &SeenRequest, method: &str, folder: &str) -> bool {
    request.operation.starts_with(method) && request.operation.contains(&format!("/{folder}/org"))
}

pub(super) fn is_put_of(request: &SeenRequest, key: &str) -> bool {
    request.operation == "PutItem" && request.body.contains(key)
}

fn a_killed_collect_loses_nothing() {
    let proxy = Proxy::start(1);
    let aws = emulator_behind(&proxy).start();
    proxy.set_upstream(aws.endpoint());
    let scenario = Scenario::new(71, 1);
    let stack = Stack::deploy(&aws, &scenario.world, &scenario.double);
    stack.shorten_visibility_timeout("WorkQueueUrl", 2);
    // Once while it reads, once after it wrote a batch, once after it saved the checkpoint.
    let before = scenario.double.request_count();
    stack.start("CollectFunction", &json!({ "action": "plan" }));
    wait_for("collect to read", || (scenario.double.request_count() > before + 12).then_some(()));
    let mut killed = stack.kill("CollectFunction");
    let steps: [fn(&SeenRequest) -> bool; 2] =
        [|request| is_of_lake(request, "PUT", "inbox"), |request| is_put_of(request, "checkpoint#")];
    for (delayed, step) in steps.into_iter().enumerate() {
        proxy.inject_after(0, 1, DELAYED_UNTIL_KILL, step);
        wait_for("collect to write", || (proxy.delayed_answers() > delayed).then_some(()));
        killed += stack.kill("CollectFunction");
    }
    assert!(killed >= 3, "only {killed} were killed");
    stack.settle();
    scenario.assert_answered_by(&stack);
}

fn an_aggregate_killed_at_any_step_loses_nothing() {
    let steps: [fn(&SeenRequest) -> bool; 6] = [
        |request| is_of_lake(request, "GET", "inbox"),
        |request| is_of_lake(request, "GET", "events"),
        |request| is_of_lake(request, "PUT", "events"),
        |request| is_put_of(request, "items#"),
        |request| is_put_of(request, "marker#"),
        |request| is_of_lake(request, "DELETE", "inbox"),
    ];
    let proxy = Proxy::start(2);
    let aws = emulator_behind(&proxy).start();
    proxy.set_upstream(aws.endpoint());
    let scenario = Scenario::new(72, steps.len());
    let stack = Stack::deploy(&aws, &scenario.world, &scenario.double);
    stack.shorten_visibility_timeout("InboxQueueUrl", 2);
    let share = scenario.batches.len().div_ceil(steps.len());
    assert!(share > 0, "too few batches: {}", scenario.batches.len());
    let mut portions = scenario.batches.chunks(share);
    for (delayed, step) in steps.into_iter().enumerate() {
        proxy.inject_after(0, 1, DELAYED_UNTIL_KILL, step);
        for (key, file) in portions.next().into_iter().flatten() {
            stack.put(key, file);
        }
        wait_for("aggregate to reach the step", || (proxy.delayed_answers() > delayed).then_some(()));
        assert!(stack.kill("AggregateFunction") > 0, "nothing was killed at step {delayed}");
    }
    for (key, file) in portions.flatten() {
        stack.put(key, file);
    }
    // The sweep finds batches whose message was delivered too often.
    stack.fire("AggregateSchedule");
    stack.settle();
    scenario.assert_answered_by(&stack);
}

/// Returns S3's event for a new object.
fn s3_event(bucket: &str, key: &str) -> Value {
    json!({ "Records": [{
        "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "us-east-1",
        "eventTime": "2024-04-27T12:00:00.000Z", "eventName": "ObjectCreated:Put",
        "userIdentity": { "principalId": "x" }, "requestParameters": { "sourceIPAddress": "127.0.0.1" },
        "responseElements": {},
        "s3": {
            "s3SchemaVersion": "1.0", "configurationId": "x",
            "bucket": {
                "name": bucket, "ownerIdentity": { "principalId": "x" },
                "arn": format!("arn:aws:s3:::{bucket}"),
            },
            "object": { "key": key.replace('=', "%3D"), "size": 1, "eTag": "x", "sequencer": "1" },
        },
    }] })
}

fn order_and_repetition_of_s3_events_do_not_matter() {
    let aws = EmulatorSetup::strict().start();
    let scenario = Scenario::new(73, 3);
    let stack = Stack::deploy(&aws, &scenario.world, &scenario.double);
    let bucket = stack.output("LakeBucket");
    let send = |(key, _): &(String, _)| stack.send("InboxQueueUrl", &s3_event(bucket, key));
    // Before the batches exist, while they are processed, and after they are deleted.
    scenario.batches.iter().for_each(send);
    for (key, file) in scenario.batches.iter().rev() {
        stack.put(key, file);
        send(&(key.clone(), file.clone()));
    }
    stack.settle();
    scenario.batches.iter().rev().for_each(send);
    // A merged batch arrives again.
    let (key, file) = &scenario.batches[0];
    stack.put(key, file);
    stack.settle();
    assert_eq!(stack.depth("InboxDeadLettersUrl"), 0);
    scenario.assert_answered_by(&stack);
}

fn invalid_messages_and_batches_are_dead_lettered_with_the_reason() {
    let aws = EmulatorSetup::strict().start();
    let scenario = Scenario::new(74, 1);
    let stack = Stack::deploy(&aws, &scenario.world, &scenario.double);
    let half = tempfile::NamedTempFile::new().expect("a file");
    let batch = std::fs::read(&scenario.batches[0].1).expect("a batch");
    std::fs::write(half.path(), &batch[..batch.len() / 2]).expect("half a batch");
    let damaged = format!("inbox/org=acme-works/{}.parquet", "ab".repeat(32));
    stack.put(&damaged, half.path());
    stack.put("inbox/foreign.parquet", half.path());
    stack.send("InboxQueueUrl", &s3_event("another-bucket", &scenario.batches[0].0));
    stack.send("InboxQueueUrl", &json!({ "action": "swep" }));
    for payload in [json!({ "action": "plna" }), json!("plan"), json!(null), json!({ "Records": [{}] })] {
        stack.start("CollectFunction", &payload);
    }
    stack.collect();

    let mut reasons = Vec::new();
    wait_for("the inbox's dead letters", || {
        reasons.extend(stack.messages("InboxDeadLettersUrl"));
        (reasons.len() >= 4).then_some(())
    });
    for word in [&damaged[10..], "foreign", "another-bucket", "swep"] {
        let letter = reasons.iter().find(|(body, reason)| {
            reason.as_ref().is_some_and(|reason| body.contains(word) || reason.contains(word))
        });
        assert!(letter.is_some(), "{word} is not in {reasons:?}");
    }
    let mut reasons = Vec::new();
    wait_for("the collector's dead letters", || {
        reasons.extend(stack.messages("WorkDeadLettersUrl"));
        (reasons.len() >= 4).then_some(())
    });
    assert!(
        reasons.iter().all(|(_, reason)| reason.as_ref().is_some_and(|reason| reason.contains("command"))),
        "{reasons:?}"
    );
    let rejected = stack.keys("rejected/");
    assert!(rejected.len() == 1 && rejected[0].contains(&"ab".repeat(32)), "{rejected:?}");
    // The metrics of the alarms.
    let assert_metric = |function, name, wanted: f64| {
        wait_for(name, || (stack.metric(function, name).iter().sum::<f64>() >= wanted).then_some(()));
        assert_eq!(stack.metric(function, name).iter().sum::<f64>(), wanted, "{function} {name}");
    };
    assert_metric("AggregateFunction", "BatchesRejected", 1.0);
    assert_metric("AggregateFunction", "DeadLettered", 4.0);
    assert_metric("CollectFunction", "DeadLettered", 4.0);
    scenario.assert_answered_by(&stack);
}

fn throttling_failures_and_lost_answers_do_no_harm() {
    let proxy = Proxy::start(3);
    let aws = emulator_behind(&proxy).start();
    proxy.set_upstream(aws.endpoint());
    let scenario = Scenario::new(75, 1);
    let stack = Stack::deploy(&aws, &scenario.world, &scenario.double);
    for fault in [proxy::THROTTLED, proxy::THROTTLING] {
        proxy.inject_randomly(10, fault, |request| !request.operation.contains('/'));
    }
    for fault in [proxy::INTERNAL, proxy::SLOW_DOWN] {
        proxy.inject_randomly(6, fault, |request| request.operation.contains('/'));
    }
    proxy.inject_randomly(25, proxy::CONFLICT, |request| request.operation.starts_with("PUT "));
    proxy.inject_randomly(4, ProxyFault::LostAnswer, |_| true);
    proxy.inject_randomly(4, ProxyFault::LostRequest, |_| true);
    // A run has few writes. These rules make sure that they meet each fault.
    proxy.inject_after(1, 2, proxy::CONFLICT, |request| is_of_lake(request, "PUT", "events"));
    proxy.inject_after(3, 1, ProxyFault::LostAnswer, |request| is_of_lake(request, "PUT", "events"));
    proxy.inject_after(1, 1, ProxyFault::LostAnswer, |request| is_of_lake(request, "PUT", "inbox"));
    stack.collect();
    proxy.stop_faults();
    for fault in [
        proxy::THROTTLED,
        proxy::THROTTLING,
        proxy::CONFLICT,
        ProxyFault::LostAnswer,
        ProxyFault::LostRequest,
    ] {
        assert!(proxy.injected_count(fault) > 0, "{fault:?} was not injected");
    }
    assert!(
        proxy.injected_count(proxy::INTERNAL) + proxy.injected_count(proxy::SLOW_DOWN) > 0,
        "S3 did not fail"
    );
    assert_eq!(stack.depth("WorkDeadLettersUrl") + stack.depth("InboxDeadLettersUrl"), 0);
    scenario.assert_answered_by(&stack);
}

fn the_queue_retries_a_plan_that_failed_temporarily() {
    let proxy = Proxy::start(5);
    let aws = emulator_behind(&proxy).start();
    proxy.set_upstream(aws.endpoint());
    let scenario = Scenario::new(79, 1);
    let stack = Stack::deploy(&aws, &scenario.world, &scenario.double);
    // Only this operation fails: the function starts and ends normally.
    proxy.inject_randomly(100, proxy::THROTTLED, |request| request.operation == "Query");
    let answer = stack.invoke("CollectFunction", &json!({ "action": "plan" }));
    assert!(proxy.injected_count(proxy::THROTTLED) > 0, "nothing failed");
    proxy.stop_faults();
    assert_eq!(answer["batchItemFailures"], json!([]));
    assert_eq!(stack.depth("WorkQueueUrl"), 1, "the plan waits");
    stack.settle();
    assert_eq!(stack.depth("FailedInvocationsUrl") + stack.depth("WorkDeadLettersUrl"), 0);
    scenario.assert_answered_by(&stack);
}

fn racing_aggregates_lose_nothing() {
    let proxy = Proxy::start(4);
    let aws = emulator_behind(&proxy).start();
    proxy.set_upstream(aws.endpoint());
    let scenario = Scenario::new(76, 4);
    let stack = Stack::deploy(&aws, &scenario.world, &scenario.double);
    // The snapshot that one has read is outdated when it writes.
    proxy
        .inject_randomly(30, ProxyFault::DelayedRequest(400), |request| is_of_lake(request, "PUT", "events"));
    proxy.inject_randomly(5, ProxyFault::DelayedRequest(100), |request| {
        is_put_of(request, "items#") || is_put_of(request, "marker#")
    });
    for portion in scenario.batches.chunks(scenario.batches.len().div_ceil(4)) {
        for (key, file) in portion {
            stack.put(key, file);
        }
        // It races with the functions that the batches start.
        stack.start("AggregateFunction", &json!({ "action": "sweep" }));
    }
    stack.settle();
    assert!(proxy.injected_count(ProxyFault::DelayedRequest(400)) > 0, "no request was delayed");
    scenario.assert_answered_by(&stack);
}

/// The tests of this file.
pub(crate) fn tests() -> Vec<ExternalTest> {
    vec![
        external_test!(NEEDS, a_killed_collect_loses_nothing),
        external_test!(NEEDS, an_aggregate_killed_at_any_step_loses_nothing),
        external_test!(NEEDS, order_and_repetition_of_s3_events_do_not_matter),
        external_test!(NEEDS, invalid_messages_and_batches_are_dead_lettered_with_the_reason),
        external_test!(NEEDS, throttling_failures_and_lost_answers_do_no_harm),
        external_test!(NEEDS, the_queue_retries_a_plan_that_failed_temporarily),
        external_test!(NEEDS, racing_aggregates_lose_nothing),
    ]
}
