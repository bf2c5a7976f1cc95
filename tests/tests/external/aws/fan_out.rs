//! A change of rules and a rebuild: one message a month, folded side by side by the deployed functions.

use std::collections::BTreeSet;

use gam_tests::program::Sandbox;
use gam_tests::proxy::{Proxy, SeenRequest};
use serde_json::{Value, json};

use super::emulator::wait_for;
use super::faults::{DELAYED_UNTIL_KILL, emulator_behind, is_of_lake, is_put_of};
use super::scenario::Scenario;
use super::stack::Stack;
use crate::tools::Tool;
use crate::{ExternalTest, external_test};

const NEEDS: &[Tool] = &[Tool::Emulator, Tool::Sam];

/// Returns the values of a field in the log lines of the aggregate function that have this message.
fn logged(stack: &Stack<'_>, message: &str, field: &str) -> Vec<Value> {
    let lines = stack.log_lines("AggregateFunction").into_iter();
    lines.filter(|line| line["message"] == message).map(|line| line[field].clone()).collect()
}

/// Waits until this many months were folded by messages since the beginning. Returns the distinct ones.
fn wait_for_months(stack: &Stack<'_>, count: usize) -> BTreeSet<String> {
    let months = wait_for("months in the log", || {
        let months = logged(stack, "folded a month", "month");
        (months.len() >= count).then_some(months)
    });
    months.iter().filter_map(|month| month.as_str().map(str::to_owned)).collect()
}

/// Returns the number of plans of a rebuild in this epoch that queued this many months. A killed plan that was started
/// again queues what is left, at any time.
fn complete_rebuilds(stack: &Stack<'_>, months: usize, epoch: u64) -> usize {
    let lines = stack.log_lines("AggregateFunction").into_iter();
    let is_complete = |line: &Value| {
        line["message"] == "queued months to fold"
            && (&line["months"], &line["epoch"], &line["rebuild"])
                == (&json!(months), &json!(epoch), &json!(true))
    };
    lines.filter(is_complete).count()
}

/// Asserts what `status` shows of the stack.
fn assert_status_is_complete(stack: &Stack<'_>, months: usize) {
    let sandbox = Sandbox::new()
        .with_variable("AWS_ENDPOINT_URL", stack.aws.endpoint())
        .with_variable("AWS_REGION", "us-east-1")
        .with_variable("AWS_ACCESS_KEY_ID", "test")
        .with_variable("AWS_SECRET_ACCESS_KEY", "test");
    let (lake, store) =
        (format!("s3://{}", stack.output("LakeBucket")), format!("dynamodb:{}", stack.output("Table")));
    let run = sandbox.run(&["status", "--lake", &lake, "--store", &store, "--format", "json"]);
    let status = run.expect_status(0).json();
    assert!(status["not_visible"].to_string().contains("queues of AWS"), "{status}");
    let status = &status["orgs"][0];
    assert_eq!(status["rules"]["state"], "current", "{status}");
    assert_eq!((&status["rules"]["months"], &status["inbox"]["batches"]), (&json!(months), &json!(0)));
}

fn new_rules_and_rebuilds_are_folded_month_by_month() {
    let proxy = Proxy::start(6);
    let aws = emulator_behind(&proxy).start();
    proxy.set_upstream(aws.endpoint());
    let mut scenario = Scenario::new(77, 2);
    let stack = Stack::deploy(&aws, &scenario.world, &scenario.double);
    // Long enough for a fold, so that only killed functions leave a message behind. The last month of a plan sends a
    // sweep to the inbox queue, which can be killed as well.
    for queue in ["MonthQueueUrl", "InboxQueueUrl"] {
        stack.shorten_visibility_timeout(queue, 15);
    }
    for (key, file) in &scenario.batches {
        stack.put(key, file);
    }
    stack.settle();
    scenario.assert_answered_by(&stack);
    let snapshots = stack.keys("events/");
    assert!(snapshots.len() > 1, "{snapshots:?}");

    // New rules. Functions are killed while they restamp, fold and finish a month.
    let (key, file) = scenario.configure("timezone = \"Asia/Tokyo\"\n");
    stack.put(&key, &file);
    let steps: [fn(&SeenRequest) -> bool; 3] = [
        |request| is_of_lake(request, "PUT", "events"),
        |request| is_put_of(request, "items#"),
        |request| is_put_of(request, "marker#"),
    ];
    for (delayed, step) in steps.into_iter().enumerate() {
        proxy.inject_after(0, 1, DELAYED_UNTIL_KILL, step);
        // A message of an old epoch waits in the queue, too.
        stack.send_month(
            &json!({ "action": "fold_month", "org": "acme-works", "epoch": 1, "month": "2024-02" }),
        );
        // The first sweep finds the new rules.
        stack.start("AggregateFunction", &json!({ "action": "sweep", "rebuild": delayed > 0 }));
        wait_for("a fold to reach the step", || (proxy.delayed_answers() > delayed).then_some(()));
        assert!(stack.kill("AggregateFunction") > 0, "nothing was killed at step {delayed}");
    }
    stack.settle();
    scenario.assert_answered_by(&stack);

    // A rebuild that nothing disturbs folds each month again, and answers stay.
    let months = snapshots.len();
    let rebuilds = complete_rebuilds(&stack, months, 2);
    let folded = logged(&stack, "folded a month", "month").len();
    stack.invoke("AggregateFunction", &json!({ "action": "sweep", "rebuild": true }));
    wait_for("a plan of all months", || (complete_rebuilds(&stack, months, 2) > rebuilds).then_some(()));
    stack.settle();
    assert!(wait_for_months(&stack, folded + months).len() >= months);
    scenario.assert_answered_by(&stack);

    assert_status_is_complete(&stack, months);

    // Messages that are old, repeated or unknown.
    for (epoch, rebuild) in [(1, None), (99, None), (2, None), (1, Some("2024-01-01T00:00:00Z"))] {
        for month in ["2024-02", "1999-01"] {
            let mut body =
                json!({ "action": "fold_month", "org": "acme-works", "epoch": epoch, "month": month });
            if let Some(rebuild) = rebuild {
                body["rebuild"] = json!(rebuild);
            }
            stack.send_month(&body);
        }
    }
    stack.settle();
    assert_eq!(stack.depth("MonthDeadLettersUrl") + stack.depth("InboxDeadLettersUrl"), 0);
    scenario.assert_answered_by(&stack);

    stack.send_month(&json!({ "action": "fold_month", "org": "acme-works", "epoch": 2, "month": "May" }));
    let mut letters = Vec::new();
    wait_for("a dead letter", || {
        letters.extend(stack.messages("MonthDeadLettersUrl"));
        (!letters.is_empty()).then_some(())
    });
    let reason = letters[0].1.as_deref().unwrap_or_default();
    assert!(letters.len() == 1 && reason.contains("invalid month \"May\""), "{letters:?}");
}

/// The tests of this file.
pub(crate) fn tests() -> Vec<ExternalTest> {
    vec![external_test!(NEEDS, new_rules_and_rebuilds_are_folded_month_by_month)]
}
