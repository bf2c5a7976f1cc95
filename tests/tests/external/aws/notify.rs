//! Notifications on the deployed stack: what happens becomes one message, whose link lets an approver decide.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gam_tests::channels::ChannelDouble;
use gam_tests::github::writes::WriteDouble;
use gam_tests::http::{HttpResponse, send_request_with_body};
use serde_json::{Value, json};

use super::actions::{Host, id_of};
use super::calls::boto;
use super::emulator::{Emulator, EmulatorSetup, template, wait_for};
use super::stack::Stack;
use crate::tools::Tool;
use crate::{ExternalTest, external_test};

const NEEDS: &[Tool] = &[Tool::Emulator, Tool::Sam];

/// A merge needs an approval. The channel `hook` is read by the holder of the token `approver`.
const CONFIGURATION: &str = r#"
[[actions.policy]]
actions = ["approve-merge-pr"]
approvals = 1

[notify]
base_url = "https://metrics.example.com"

[[notify.channels]]
name = "hook"
type = "webhook"
url = "NOTIFY_HOOK_URL"
signing_secrets = ["NOTIFY_HOOK_KEY"]
approver = "approver"
wait_seconds = 0
interval_minutes = 0

[[notify.channels]]
name = "gone"
type = "slack"
url = "NOTIFY_GONE_URL"
wait_seconds = 0

[[notify.rules]]
kinds = ["action_failed", "approval_wanted", "breaker_opened"]
channels = ["hook", "gone"]
"#;

/// The key that signs links.
const LINK_KEY: &str = "0123456789abcdef0123456789abcdef";

fn what_happens_on_the_stack_becomes_one_message() {
    let aws = EmulatorSetup::strict().start();
    let (github, hook) = (WriteDouble::start(), ChannelDouble::start(&[]));
    store_secrets(&aws, &hook);
    let parameters = [("NotifySecrets", "ssm:/gam/notify"), ("LinkKeySecret", "link-key")];
    let host = Host::deploy_with(&aws, &github, &parameters);
    std::fs::write(host.sandbox.dir().join("acme.toml"), CONFIGURATION).expect("the file is written");
    host.run(&["config", "set", "acme.toml", "acme"]).expect_status(0);
    let [operator, approver] = ["operator", "approver"].map(|role| host.token(role));
    let run = || host.stack.invoke("NotifyFunction", &json!({ "action": "run" }));

    let test = host.stack.invoke("NotifyFunction", &json!({ "action": "test", "channel": "hook" }));
    assert_eq!((test, hook.wait_for(1)[0].json()["type"].clone()), (Value::Null, json!("test")));
    let unset = host.stack.try_invoke("NotifyFunction", &json!({ "action": "test", "channel": "gone" }));
    let why = unset.expect_err("a secret is missing").to_string();
    assert!(why.contains("/gam/notify/NOTIFY_GONE_URL"), "{why}");
    run();
    assert_eq!(hook.received().len(), 1, "nothing has happened");

    let merge = json!({ "repository": "site", "pr_number": 99 });
    let failed = id_of(&host.post(&operator, "/approve-merge-pr", &merge, None));
    host.wait_for(&operator, &failed, "failed");
    run();
    let messages = of_kind(&hook, "action_failed");
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert_eq!(messages[0]["severity"], "error", "{}", messages[0]);
    // What the drain moves to a segment is not reported again.
    host.drain();
    run();
    run();
    assert_eq!(of_kind(&hook, "action_failed").len(), 1);
    assert_eq!(of_kind(&hook, "breaker_opened").len(), 1, "the other channel reports the one that is gone");

    assert_a_link_decides(&host, &hook, (&operator, &approver), &run);
    assert_people_see_what_was_sent(&host, &approver);
    assert_the_schedule_starts_it(&host.stack);
    assert_the_role_allows_little(&host.stack);
    for metric in ["MessagesSent", "ChannelsBroken"] {
        let values = host.stack.metric("NotifyFunction", metric);
        assert!(values.iter().any(|value| *value > 0.0), "an alarm needs {metric}: {values:?}");
    }
    for line in host.stack.log_lines("NotifyFunction") {
        let line = line.to_string();
        assert!(!line.contains("hunter2") && !line.contains("link="), "{line}");
    }
}

fn store_secrets(aws: &Emulator, hook: &ChannelDouble) {
    for (name, value) in [
        ("NOTIFY_HOOK_URL", hook.url("/hunter2")),
        ("NOTIFY_HOOK_KEY", format!("whsec_{}", STANDARD.encode([7_u8; 32]))),
    ] {
        let name = format!("/gam/notify/{name}");
        let request = json!({ "Name": name, "Value": value, "Type": "SecureString" });
        aws.call("ssm", "put_parameter", request);
    }
    let request = json!({ "Name": "link-key", "SecretString": LINK_KEY });
    aws.call("secretsmanager", "create_secret", request);
}

/// Returns the messages that have a notification of a kind.
fn of_kind(hook: &ChannelDouble, kind: &str) -> Vec<Value> {
    let messages = hook.received().into_iter().map(|request| request.json());
    messages.filter(|message| !message["data"]["counts"][kind].is_null()).collect()
}

/// The message about a merge that waits has a link. Opening it decides nothing; its form approves as the approver.
fn assert_a_link_decides(
    host: &Host<'_>,
    hook: &ChannelDouble,
    (operator, approver): (&str, &str),
    run: &dyn Fn() -> Value,
) {
    host.github.add_branch("change", 'c', "2026-02-01T00:00:00Z");
    host.github.add_pull(7, "change", 'c');
    let merge = json!({ "repository": "site", "pr_number": 7 });
    let id = id_of(&host.post(operator, "/approve-merge-pr", &merge, None));
    host.wait_for(operator, &id, "waiting");
    run();
    let wanted = of_kind(hook, "approval_wanted");
    let [message] = wanted.as_slice() else { panic!("{wanted:?}") };
    let link = message["lines"][0]["link"].as_str().expect("a link");
    let target = link.strip_prefix(host.stack.output("ApiUrl")).unwrap_or_else(|| panic!("{link}"));
    assert!(target.starts_with("/approve?link="), "{link}");

    let page = host.stack.get_with_headers(target, &[]);
    assert!(page.status == 200 && page.text().contains("acme/site#7"), "{}: {}", page.status, page.text());
    assert_eq!(host.get(operator, &format!("/api/v1/actions/{id}")).json()["state"], "waiting");
    let text = target.strip_prefix("/approve?link=").expect("a link");
    let (body, forged) = (format!("link={text}&decision=approve"), text.replace('.', "x."));
    assert_eq!(host.stack.get_with_headers(&format!("/approve?link={forged}"), &[]).status, 404);
    assert_eq!(submit(&host.stack, &body, "cross-site").status, 403, "another page sent the form");
    let approved = submit(&host.stack, &body, "same-origin");
    assert!(approved.status == 200 && approved.text().contains("Approved."), "{}", approved.text());
    let merged = host.wait_for(operator, &id, "succeeded");
    assert_eq!((merged["state"].as_str(), host.github.merges().len()), (Some("succeeded"), 1));

    let administrator = host.token("admin");
    let other = json!({ "approver": "approver" });
    let refused = host.post(&administrator, &format!("/api/v1/approvals/{id}/link"), &other, None);
    assert_eq!(refused.status, 409, "{}", refused.text());
    let refused = host.post(approver, &format!("/api/v1/approvals/{id}/link"), &other, None);
    assert_eq!(refused.status, 403, "only administrators make links: {}", refused.text());
}

/// Sends the form of the page of a link.
fn submit(stack: &Stack<'_>, body: &str, site: &str) -> HttpResponse {
    let headers = [
        ("host", stack.host()),
        ("content-type", "application/x-www-form-urlencoded"),
        ("accept", "text/html"),
        ("sec-fetch-site", site),
    ];
    send_request_with_body(stack.aws.address(), ("POST", "/approve"), &headers, body)
}

/// The page and the program show the messages and the channel that does not work. They need no secret of a channel.
fn assert_people_see_what_was_sent(host: &Host<'_>, approver: &str) {
    let history = host.run(&["notify", "history", "acme"]).expect_status(0).text();
    assert_eq!(history.matches("\tsent\t[acme] Action failed").count(), 1, "{history}");
    let listed = host.run(&["notify", "list", "--format", "json"]).expect_status(0).json();
    let problem = |channel: usize| listed["channels"][channel]["problem"].clone();
    assert_eq!(problem(0), Value::Null, "{listed}");
    assert!(problem(1).as_str().is_some_and(|why| why.contains("NOTIFY_GONE_URL")), "{listed}");
    let page = host.get(approver, "/orgs/acme/notifications");
    assert_eq!(page.status, 200, "{}", page.text());
    for text in ["hook", "gone", "[acme] Action failed", "Approval wanted"] {
        assert!(page.text().contains(text), "{text}: {}", page.text());
    }
}

fn assert_the_schedule_starts_it(stack: &Stack<'_>) {
    let runs = || stack.metric("NotifyFunction", "MessagesSent").len();
    let before = runs();
    stack.fire("NotifySchedule");
    wait_for("a run of the schedule", || (runs() > before).then_some(()));
}

/// Calls AWS as the function, with the role that the emulator enforces. It ignores `dynamodb:LeadingKeys`, so those are
/// read in the policy.
fn assert_the_role_allows_little(stack: &Stack<'_>) {
    let (table, audit, lake) =
        (stack.output("Table"), stack.output("AuditBucket"), stack.output("LakeBucket"));
    let key = json!({ "pk": { "S": "orgs" }, "sk": { "S": "x" } });
    let secret = |name: &str| ("secretsmanager", "get_secret_value", json!({ "SecretId": name }));
    let object = |bucket: &str, key: &str| json!({ "Bucket": bucket, "Key": key });
    let body = |bucket: &str, key: &str| json!({ "Bucket": bucket, "Key": key, "Body": "x" });
    let segment = "audit/org=acme/block=000000/segment=0000000001.parquet";
    let send = json!({ "QueueUrl": stack.output("ActionQueueUrl"), "MessageBody": "x" });
    let parameter = json!({ "Name": "/gam/other", "WithDecryption": true });
    stack.assert_forbidden(
        "NotifyFunction",
        &[
            secret("github-write"),
            secret("github-token"),
            ("ssm", "get_parameter", parameter),
            ("dynamodb", "delete_item", json!({ "TableName": table, "Key": key })),
            ("dynamodb", "scan", json!({ "TableName": table })),
            ("s3", "delete_object", object(audit, segment)),
            ("s3", "put_object", body(audit, segment)),
            ("s3", "put_object", body(lake, "config/x")),
            ("s3", "get_object", object(lake, "events/x")),
            ("sqs", "send_message", send),
        ],
    );
    for function in
        ["ApiFunction", "SessionsFunction", "ActFunction", "AuditFunction", "LogFunction", "CollectFunction"]
    {
        let channel = json!({ "Name": "/gam/notify/NOTIFY_HOOK_URL", "WithDecryption": true });
        stack.assert_forbidden(function, &[secret("link-key"), ("ssm", "get_parameter", channel)]);
    }
    let policy = stack.policy("NotifyFunction", "notify");
    let statements = policy.as_array().expect("statements").iter();
    let writes: Vec<&Value> =
        statements.filter(|it| it["Action"].to_string().contains("dynamodb:Put")).collect();
    let [writes] = writes.as_slice() else { panic!("{policy}") };
    assert_eq!(
        writes["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"],
        json!([
            "record#*#notify_state",
            "record#*#notify_channel",
            "record#*#notify_message",
            "record#*#audit_row",
            "record#_#receipt",
        ])
    );
    assert!(!policy.to_string().contains("dynamodb:Delete"), "{policy}");
}

/// Without a key no function makes links, and with signed requests there are none.
fn links_need_a_key_and_tokens() {
    let template = template(boto().expect("the emulator has boto3"));
    let has_links = &template["Conditions"]["HasLinks"]["Fn::And"];
    assert_eq!(has_links[0], json!({ "Condition": "BearerAccess" }), "{has_links}");
    assert!(has_links[1].to_string().contains("LinkKeySecret"), "{has_links}");
    let resources = &template["Resources"];
    for resource in ["ApproveLinkRoute", "LinkKeyPolicy"] {
        assert_eq!(resources[resource]["Condition"], "HasLinks", "{resource}");
    }
    let key = json!({ "Fn::If": ["HasLinks", { "Ref": "LinkKeySecret" }, ""] });
    let functions = resources.as_object().expect("resources").iter();
    let with_key = functions
        .filter(|(_, it)| it["Properties"]["Environment"]["Variables"]["LINK_KEY_SECRET"] == key)
        .map(|(name, _)| name.as_str());
    assert_eq!(with_key.collect::<Vec<_>>(), ["GateFunction", "NotifyFunction"]);
    let roles = resources["LinkKeyPolicy"]["Properties"]["Roles"].to_string();
    assert!(roles.contains("GateRole") && roles.contains("NotifyRole"), "{roles}");
    assert_eq!(roles.matches("Role\"").count(), 2, "{roles}");
}

/// The tests of this file.
pub(crate) fn tests() -> Vec<ExternalTest> {
    vec![
        external_test!(NEEDS, what_happens_on_the_stack_becomes_one_message),
        external_test!(NEEDS, links_need_a_key_and_tokens),
    ]
}
