//! What is missing or refused is logged once with what and why, tried again only where that can help,
//! and otherwise set aside with the reason; the API tells nobody what it is made of.

use gam_tests::github::{Double, generated};
use serde_json::{Value, json};

use super::emulator::{Emulator, EmulatorSetup, wait_for};
use super::stack::{Stack, built, parameters};
use crate::tools::Tool;
use crate::{ExternalTest, external_test};
use gam_tests::support::settled_at;

const NEEDS: &[Tool] = &[Tool::Emulator, Tool::Sam];

/// Plans, which must be set aside; the reason.
fn refused_plan(stack: &Stack<'_>) -> String {
    stack.start("CollectFunction", &json!({ "action": "plan" }));
    let mut found = Vec::new();
    wait_for("a dead letter", || {
        found.extend(stack.messages("WorkDeadLettersUrl"));
        (!found.is_empty()).then_some(())
    });
    assert_eq!(found.len(), 1, "{found:?}");
    let (body, reason) = found.remove(0);
    assert!(body.contains("plan"), "{body}");
    reason.expect("a reason")
}

/// The lines of a function's log that are errors, once there are so many: what an invocation wrote is
/// there only when it has ended.
fn errors(stack: &Stack<'_>, function: &str, count: usize) -> Vec<String> {
    let is_error =
        |line: &&Value| line["level"].as_str().is_some_and(|level| level.eq_ignore_ascii_case("error"));
    wait_for("errors in the log", || {
        let lines = stack.lines(function);
        let errors: Vec<String> = lines.iter().filter(is_error).map(Value::to_string).collect();
        (errors.len() >= count).then_some(errors)
    })
}

fn deploy<'a>(aws: &'a Emulator, double: &Double) -> Stack<'a> {
    let world = generated::world(78);
    Stack::of(aws, built(), &parameters(&world, double))
}

fn a_missing_secret_and_a_revoked_token() {
    let aws = EmulatorSetup::strict().start();
    let double = Double::start(generated::world(78), settled_at());
    let stack = deploy(&aws, &double);
    let why = refused_plan(&stack);
    assert!(why.contains("github-token") && why.contains("create it"), "{why}");
    assert_eq!(double.request_count(), 0);
    let told = errors(&stack, "CollectFunction", 1);
    assert_eq!(told.len(), 1, "it is logged once: {told:?}");
    assert!(told[0].contains("github-token"), "{}", told[0]);

    aws.call(
        "secretsmanager",
        "create_secret",
        json!({ "Name": "github-token", "SecretString": "ghp_revoked" }),
    );
    let why = refused_plan(&stack);
    assert!(why.contains("refused the token"), "{why}");
    assert!(double.request_count() <= 2, "a refused token is tried again only if there is a new one");
    let told = errors(&stack, "CollectFunction", 2);
    assert_eq!(told.len(), 2, "it is logged once: {told:?}");
    assert!(!aws.log().contains("ghp_revoked") && !told.concat().contains("ghp_revoked"));
}

fn what_is_too_large_to_be_a_batch() {
    let aws = EmulatorSetup::strict().start();
    let double = Double::start(generated::world(78), settled_at());
    let stack = deploy(&aws, &double);
    let large = tempfile::NamedTempFile::new().expect("a file");
    large.as_file().set_len(17 << 20).expect("room for it");
    let key = format!("inbox/org=acme-works/{}.parquet", "cd".repeat(32));
    stack.put(&key, large.path());
    let mut found = Vec::new();
    wait_for("a dead letter", || {
        found.extend(stack.messages("InboxDeadLettersUrl"));
        (!found.is_empty()).then_some(())
    });
    let (body, reason) = found.remove(0);
    assert!(body.contains("oversized") && body.contains(&key), "{body}");
    assert!(reason.is_some_and(|reason| reason.contains("move it out of the inbox")), "{body}");
    assert_eq!(stack.keys("inbox/"), [key], "it stays, for a person to look at");
}

fn a_missing_table() {
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
    let told = errors(&stack, "ApiFunction", 1);
    assert!(told.iter().any(|line| line.contains(table)), "the log says which table: {told:?}");
    let told = stack.try_invoke("AggregateFunction", &json!({ "action": "sweep" }));
    assert!(told.is_ok(), "there is nothing to aggregate yet: {told:?}");
}

/// The tests of this file.
pub(crate) fn tests() -> Vec<ExternalTest> {
    vec![
        external_test!(NEEDS, a_missing_secret_and_a_revoked_token),
        external_test!(NEEDS, what_is_too_large_to_be_a_batch),
        external_test!(NEEDS, a_missing_table),
    ]
}
