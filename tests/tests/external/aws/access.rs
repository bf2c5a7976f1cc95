//! Access by signed requests: the gateway checks the signature, and the function requires no token.

use gam_tests::github::{Double, TOKEN, generated};
use gam_tests::http::send_request_with_body;
use serde_json::json;

use super::emulator::EmulatorSetup;
use super::stack::{Stack, built_template, gateway_event, parameters};
use crate::tools::Tool;
use crate::{ExternalTest, external_test};
use gam_tests::support::settled_at;

const NEEDS: &[Tool] = &[Tool::Emulator, Tool::Sam];

fn with_iam_access_requests_need_a_signature_and_no_token() {
    let aws = EmulatorSetup::strict().start();
    let template = built_template();
    let world = generated::world(80);
    let double = Double::start(world.clone(), settled_at());
    aws.call("secretsmanager", "create_secret", json!({ "Name": "github-token", "SecretString": TOKEN }));
    let mut parameters = parameters(&world, &double);
    parameters.insert("Access".to_owned(), "iam".to_owned());
    let stack = Stack::with_parameters(&aws, template, &parameters);
    assert!(!stack.has_output("AccessTokenSecret"), "the stack has no token");

    // The event that the gateway sends for a signed request.
    let mut event = gateway_event("/api/v1/orgs", "", "");
    event["headers"] = json!({ "host": "api.example" });
    event["requestContext"]["authorizer"] = json!({ "iam": {
        "accessKey": "AKIAEXAMPLE", "accountId": "000000000000", "callerId": "AIDAEXAMPLE",
        "cognitoIdentity": null, "principalOrgId": "o-example",
        "userArn": "arn:aws:iam::000000000000:user/example", "userId": "AIDAEXAMPLE",
    } });
    let answer = stack.invoke("ApiFunction", &event);
    assert_eq!(answer["statusCode"], 200, "{answer}");
    assert!(answer["body"].as_str().is_some_and(|body| body.contains("orgs")), "{answer}");

    // Whom IAM lets through to a route of tasks is a worker.
    event["rawPath"] = json!("/api/v1/request-task");
    event["requestContext"]["http"]["path"] = json!("/api/v1/request-task");
    event["requestContext"]["http"]["method"] = json!("POST");
    event["headers"]["content-type"] = json!("application/json");
    event["body"] = json!("{\"worker\":\"one\"}");
    let answer = stack.invoke("GateFunction", &event);
    assert_eq!(answer["statusCode"], 204, "there is no task: {answer}");
    assert!(!stack.has_output("WebhookUrl"), "without a secret the stack takes no webhooks");
    // Whom IAM lets through to a route of actions is an operator. This stack has no credential that may write.
    event["rawPath"] = json!("/api/v1/create-issue");
    event["requestContext"]["http"]["path"] = json!("/api/v1/create-issue");
    let (org, title) = (&world.org, "Broken");
    event["body"] = json!(json!({ "repository": format!("{org}/site"), "title": title }).to_string());
    let answer = stack.invoke("GateFunction", &event);
    assert_eq!(answer["statusCode"], 503, "{answer}");
    assert!(answer["body"].as_str().is_some_and(|body| body.contains("credential")), "{answer}");

    // The gateway rejects a request without a signature.
    let answer = stack.get_with_headers("/api/v1/orgs", &[]);
    assert!([401, 403].contains(&answer.status), "{}: {}", answer.status, answer.text());
    let headers = [("host", stack.host()), ("content-type", "application/json")];
    let request = ("POST", "/api/v1/request-task");
    let answer = send_request_with_body(aws.address(), request, &headers, "{\"worker\":\"one\"}");
    assert!([401, 403].contains(&answer.status), "{}: {}", answer.status, answer.text());
}

/// The tests of this file.
pub(crate) fn tests() -> Vec<ExternalTest> {
    vec![external_test!(NEEDS, with_iam_access_requests_need_a_signature_and_no_token)]
}
