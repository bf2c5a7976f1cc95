//! Whatever fails and whenever: nothing is lost, and nothing is counted twice.

use gam_tests::proxy::{self, Proxy, ProxyFault, SeenRequest};
use serde_json::{Value, json};

use super::emulator::{EmulatorSetup, wait_for};
use super::scenario::Scenario;
use super::stack::Stack;
use crate::tools::Tool;
use crate::{ExternalTest, external_test};

const NEEDS: &[Tool] = &[Tool::Emulator, Tool::Sam];

/// How long an answer is kept back: until its function was killed.
const KEPT_BACK: ProxyFault = ProxyFault::DelayedAnswer(30_000);

/// An emulator whose functions reach S3 and DynamoDB by way of a proxy.
fn behind(proxy: &Proxy) -> EmulatorSetup {
    let endpoint = proxy.endpoint();
    EmulatorSetup::strict()
        .with_variable("AWS_ENDPOINT_URL_S3", &endpoint)
        .with_variable("AWS_ENDPOINT_URL_DYNAMODB", &endpoint)
}

fn is_of_lake(request: &SeenRequest, method: &str, folder: &str) -> bool {
    request.operation.starts_with(method) && request.operation.contains(&format!("/{folder}/org"))
}

fn is_put_of(request: &SeenRequest, key: &str) -> bool {
    request.operation == "PutItem" && request.body.contains(key)
}

fn collect_is_killed_half_way() {
    let proxy = Proxy::start(1);
    let aws = behind(&proxy).start();
    proxy.set_upstream(aws.endpoint());
    let scenario = Scenario::new(71, 1);
    let stack = Stack::deploy(&aws, &scenario.world, &scenario.double);
    stack.hurry("WorkQueueUrl");
    // Once while it reads, once when a batch is written and not yet noted, once when that is noted.
    let before = scenario.double.request_count();
    stack.start("CollectFunction", &json!({ "action": "plan" }));
    wait_for("it to read", || (scenario.double.request_count() > before + 12).then_some(()));
    let mut killed = stack.kill("CollectFunction");
    let steps: [fn(&SeenRequest) -> bool; 2] =
        [|request| is_of_lake(request, "PUT", "inbox"), |request| is_put_of(request, "checkpoint#")];
    for (held, step) in steps.into_iter().enumerate() {
        proxy.inject_after(0, 1, KEPT_BACK, step);
        wait_for("it to write", || (proxy.delayed_answers() > held).then_some(()));
        killed += stack.kill("CollectFunction");
    }
    assert!(killed >= 3, "only {killed} were killed");
    stack.settle();
    scenario.assert_answered_by(&stack);
}

fn aggregate_is_killed_at_every_step() {
    let steps: [fn(&SeenRequest) -> bool; 6] = [
        |request| is_of_lake(request, "GET", "inbox"),
        |request| is_of_lake(request, "GET", "events"),
        |request| is_of_lake(request, "PUT", "events"),
        |request| is_put_of(request, "rollup#"),
        |request| is_put_of(request, "marker#"),
        |request| is_of_lake(request, "DELETE", "inbox"),
    ];
    let proxy = Proxy::start(2);
    let aws = behind(&proxy).start();
    proxy.set_upstream(aws.endpoint());
    let scenario = Scenario::new(72, steps.len());
    let stack = Stack::deploy(&aws, &scenario.world, &scenario.double);
    stack.hurry("InboxQueueUrl");
    let share = scenario.batches.len().div_ceil(steps.len());
    assert!(share > 0, "too few batches: {}", scenario.batches.len());
    let mut portions = scenario.batches.chunks(share);
    for (held, step) in steps.into_iter().enumerate() {
        proxy.inject_after(0, 1, KEPT_BACK, step);
        for (key, file) in portions.next().into_iter().flatten() {
            stack.put(key, file);
        }
        wait_for("it to come to that step", || (proxy.delayed_answers() > held).then_some(()));
        assert!(stack.kill("AggregateFunction") > 0, "nothing was killed at step {held}");
    }
    for (key, file) in portions.flatten() {
        stack.put(key, file);
    }
    // What was delivered too often is found by the sweep.
    stack.fire("AggregateSchedule");
    stack.settle();
    scenario.assert_answered_by(&stack);
}

/// An event of S3 as it tells of a new object.
fn news(bucket: &str, key: &str) -> Value {
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

fn events_come_twice_late_early_and_in_any_order() {
    let aws = EmulatorSetup::strict().start();
    let scenario = Scenario::new(73, 3);
    let stack = Stack::deploy(&aws, &scenario.world, &scenario.double);
    let bucket = stack.output("LakeBucket");
    let send = |(key, _): &(String, _)| stack.send("InboxQueueUrl", &news(bucket, key));
    // Before there is anything, while it is worked off, and after it is gone.
    scenario.batches.iter().for_each(send);
    for (key, file) in scenario.batches.iter().rev() {
        stack.put(key, file);
        send(&(key.clone(), file.clone()));
    }
    stack.settle();
    scenario.batches.iter().rev().for_each(send);
    // A batch that was merged comes once more.
    let (key, file) = &scenario.batches[0];
    stack.put(key, file);
    stack.settle();
    assert_eq!(stack.depth("InboxDeadLettersUrl"), 0);
    scenario.assert_answered_by(&stack);
}

fn what_can_never_work_is_set_aside_with_the_reason_and_the_rest_goes_on() {
    let aws = EmulatorSetup::strict().start();
    let scenario = Scenario::new(74, 1);
    let stack = Stack::deploy(&aws, &scenario.world, &scenario.double);
    let half = tempfile::NamedTempFile::new().expect("a file");
    let whole = std::fs::read(&scenario.batches[0].1).expect("a batch");
    std::fs::write(half.path(), &whole[..whole.len() / 2]).expect("half a batch");
    let poison = format!("inbox/org=acme-works/{}.parquet", "ab".repeat(32));
    stack.put(&poison, half.path());
    stack.put("inbox/foreign.parquet", half.path());
    stack.send("InboxQueueUrl", &news("another-bucket", &scenario.batches[0].0));
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
    for word in [&poison[10..], "foreign", "another-bucket", "swep"] {
        let told = reasons.iter().find(|(body, reason)| {
            reason.as_ref().is_some_and(|reason| body.contains(word) || reason.contains(word))
        });
        assert!(told.is_some(), "{word} is not in {reasons:?}");
    }
    let mut reasons = Vec::new();
    wait_for("the collector's dead letters", || {
        reasons.extend(stack.messages("WorkDeadLettersUrl"));
        (reasons.len() >= 4).then_some(())
    });
    assert!(
        reasons.iter().all(|(_, reason)| reason.as_ref().is_some_and(|reason| reason.contains("order"))),
        "{reasons:?}"
    );
    let rejected = stack.keys("rejected/");
    assert!(rejected.len() == 1 && rejected[0].contains(&"ab".repeat(32)), "{rejected:?}");
    // What the alarms listen to.
    let comes_to = |function, name, wanted: f64| {
        wait_for(name, || (stack.metric(function, name).iter().sum::<f64>() >= wanted).then_some(()));
        assert_eq!(stack.metric(function, name).iter().sum::<f64>(), wanted, "{function} {name}");
    };
    comes_to("AggregateFunction", "BatchesRejected", 1.0);
    comes_to("AggregateFunction", "DeadLettered", 4.0);
    comes_to("CollectFunction", "DeadLettered", 4.0);
    scenario.assert_answered_by(&stack);
}

fn services_throttle_fail_and_forget() {
    let proxy = Proxy::start(3);
    let aws = behind(&proxy).start();
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
    // The few writes of a run are to meet each of them all the same.
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
        assert!(proxy.injected_count(fault) > 0, "{fault:?} was not tried");
    }
    assert!(
        proxy.injected_count(proxy::INTERNAL) + proxy.injected_count(proxy::SLOW_DOWN) > 0,
        "S3 did not fail"
    );
    assert_eq!(stack.depth("WorkDeadLettersUrl") + stack.depth("InboxDeadLettersUrl"), 0);
    scenario.assert_answered_by(&stack);
}

fn a_plan_that_failed_for_now_is_tried_again_by_the_queue() {
    let proxy = Proxy::start(5);
    let aws = behind(&proxy).start();
    proxy.set_upstream(aws.endpoint());
    let scenario = Scenario::new(79, 1);
    let stack = Stack::deploy(&aws, &scenario.world, &scenario.double);
    // Nothing else fails: the function starts, and ends.
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

fn two_aggregates_race() {
    let proxy = Proxy::start(4);
    let aws = behind(&proxy).start();
    proxy.set_upstream(aws.endpoint());
    let scenario = Scenario::new(76, 4);
    let stack = Stack::deploy(&aws, &scenario.world, &scenario.double);
    // What one has read is old by the time that it writes.
    proxy
        .inject_randomly(30, ProxyFault::DelayedRequest(400), |request| is_of_lake(request, "PUT", "events"));
    proxy.inject_randomly(5, ProxyFault::DelayedRequest(100), |request| {
        is_put_of(request, "rollup#") || is_put_of(request, "marker#")
    });
    for portion in scenario.batches.chunks(scenario.batches.len().div_ceil(4)) {
        for (key, file) in portion {
            stack.put(key, file);
        }
        for _ in 0..2 {
            stack.start("AggregateFunction", &json!({ "action": "sweep" }));
        }
    }
    stack.settle();
    assert!(proxy.injected_count(ProxyFault::DelayedRequest(400)) > 0, "nobody was late");
    scenario.assert_answered_by(&stack);
}

/// The tests of this file.
pub(crate) fn tests() -> Vec<ExternalTest> {
    vec![
        external_test!(NEEDS, collect_is_killed_half_way),
        external_test!(NEEDS, aggregate_is_killed_at_every_step),
        external_test!(NEEDS, events_come_twice_late_early_and_in_any_order),
        external_test!(NEEDS, what_can_never_work_is_set_aside_with_the_reason_and_the_rest_goes_on),
        external_test!(NEEDS, services_throttle_fail_and_forget),
        external_test!(NEEDS, a_plan_that_failed_for_now_is_tried_again_by_the_queue),
        external_test!(NEEDS, two_aggregates_race),
    ]
}
