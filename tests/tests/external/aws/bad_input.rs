//! Missing and forbidden resources, and invalid objects. The functions log an error once, retry only if that
//! can help, and dead-letter the message with the reason otherwise. The API reveals nothing about its internals.

use gam_tests::github::{Double, generated};
use serde_json::{Value, json};

use super::emulator::{Emulator, EmulatorSetup, wait_for};
use super::stack::{Stack, built_template, parameters};
use crate::tools::Tool;
use crate::{ExternalTest, external_test};
use gam_tests::support::settled_at;

const NEEDS: &[Tool] = &[Tool::Emulator, Tool::Sam];

/// Sends a plan that must be dead-lettered. Returns the reason.
fn failed_plan(stack: &Stack<'_>) -> String {
    stack.start("CollectFunction", &json!({ "action": "plan" }));
    let mut letters = Vec::new();
    wait_for("a dead letter", || {
        letters.extend(stack.messages("WorkDeadLettersUrl"));
        (!letters.is_empty()).then_some(())
    });
    assert_eq!(letters.len(), 1, "{letters:?}");
    let (body, reason) = letters.remove(0);
    assert!(body.contains("plan"), "{body}");
    reason.expect("a reason")
}

/// Waits for at least `count` errors in a function's log, and returns them. The log of an invocation appears
/// when it ends.
fn wait_for_errors(stack: &Stack<'_>, function: &str, count: usize) -> Vec<String> {
    let is_error =
        |line: &&Value| line["level"].as_str().is_some_and(|level| level.eq_ignore_ascii_case("error"));
    wait_for("errors in the log", || {
        let lines = stack.log_lines(function);
        let errors: Vec<String> = lines.iter().filter(is_error).map(Value::to_string).collect();
        (errors.len() >= count).then_some(errors)
    })
}

fn deploy<'a>(aws: &'a Emulator, double: &Double) -> Stack<'a> {
    let world = generated::world(78);
    Stack::with_parameters(aws, built_template(), &parameters(&world, double))
}

fn a_missing_secret_or_rejected_token_is_logged_once() {
    let aws = EmulatorSetup::strict().start();
    let double = Double::start(generated::world(78), settled_at());
    let stack = deploy(&aws, &double);
    let why = failed_plan(&stack);
    assert!(why.contains("github-token") && why.contains("create it"), "{why}");
    assert_eq!(double.request_count(), 0);
    let errors = wait_for_errors(&stack, "CollectFunction", 1);
    assert_eq!(errors.len(), 1, "it is logged once: {errors:?}");
    assert!(errors[0].contains("github-token"), "{}", errors[0]);

    aws.call(
        "secretsmanager",
        "create_secret",
        json!({ "Name": "github-token", "SecretString": "ghp_revoked" }),
    );
    let why = failed_plan(&stack);
    assert!(why.contains("refused the token"), "{why}");
    assert!(double.request_count() <= 2, "a rejected token is not used again");
    let errors = wait_for_errors(&stack, "CollectFunction", 2);
    assert_eq!(errors.len(), 2, "it is logged once: {errors:?}");
    assert!(!aws.log().contains("ghp_revoked") && !errors.concat().contains("ghp_revoked"));
}

fn an_oversized_batch_is_dead_lettered_and_stays() {
    let aws = EmulatorSetup::strict().start();
    let double = Double::start(generated::world(78), settled_at());
    let stack = deploy(&aws, &double);
    let large = tempfile::NamedTempFile::new().expect("a file");
    large.as_file().set_len(17 << 20).expect("room for it");
    let key = format!("inbox/org=acme-works/{}.parquet", "cd".repeat(32));
    stack.put(&key, large.path());
    let mut letters = Vec::new();
    wait_for("a dead letter", || {
        letters.extend(stack.messages("InboxDeadLettersUrl"));
        (!letters.is_empty()).then_some(())
    });
    let (body, reason) = letters.remove(0);
    assert!(body.contains("oversized") && body.contains(&key), "{body}");
    assert!(reason.is_some_and(|reason| reason.contains("move it out of the inbox")), "{body}");
    assert_eq!(stack.keys("inbox/"), [key], "the object stays in the inbox");
}

fn a_missing_table_is_logged_but_not_shown_by_the_api() {
    let aws = EmulatorSetup::strict().start();
    let double = Double::start(generated::world(78), settled_at());
    let stack = deploy(&aws, &double);
    let table = stack.output("Table");
    let unprotected = json!({ "TableName": table, "DeletionProtectionEnabled": false });
    aws.call("dynamodb", "update_table", unprotected);
    aws.call("dynamodb", "delete_table", json!({ "TableName": table }));
    for target in ["/api/v1/orgs", "/api/v1/orgs/acme-works/metrics", "/api/v1/orgs/acme-works/members"] {
        let answer = stack.get(target);
        let text = answer.text();
        assert!((500..600).contains(&answer.status), "{target}: {text}");
        assert_eq!(answer.headers["content-type"], "application/problem+json", "{target}");
        assert_eq!(answer.json()["status"], answer.status);
        for word in ["arn:", "aws", "dynamodb", "panicked", "stack backtrace", ".rs:", "role", table] {
            assert!(!text.to_lowercase().contains(&word.to_lowercase()), "{target}: {word} is in {text}");
        }
    }
    let errors = wait_for_errors(&stack, "ApiFunction", 1);
    assert!(errors.iter().any(|line| line.contains(table)), "the log says which table: {errors:?}");
    let result = stack.try_invoke("AggregateFunction", &json!({ "action": "sweep" }));
    assert!(result.is_ok(), "there is nothing to aggregate yet: {result:?}");
}

/// The tests of this file.
pub(crate) fn tests() -> Vec<ExternalTest> {
    vec![
        external_test!(NEEDS, a_missing_secret_or_rejected_token_is_logged_once),
        external_test!(NEEDS, an_oversized_batch_is_dead_lettered_and_stays),
        external_test!(NEEDS, a_missing_table_is_logged_but_not_shown_by_the_api),
    ]
}
