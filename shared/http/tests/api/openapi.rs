//! The OpenAPI document compared with the router, the catalogue, real answers and itself.

use std::collections::BTreeSet;

use gam_model::metric::CATALOGUE;
use serde_json::{Value, json};

use crate::schema;
use crate::support::{acme, empty_api, get, get_json, with_names};

/// The routes without a CSV form.
const OTHER_PATHS: [&str; 22] = [
    "/api/v1/actions",
    "/api/v1/actions/{action_id}",
    "/api/v1/healthz",
    "/api/v1/log",
    "/api/v1/log/stream",
    "/api/v1/metrics",
    "/api/v1/openapi.json",
    "/api/v1/orgs/{org}/agents/export",
    "/api/v1/orgs/{org}/agents/export.csv",
    "/api/v1/orgs/{org}/agents/export.ndjson",
    "/api/v1/orgs/{org}/charts/{chart}",
    "/api/v1/orgs/{org}/export",
    "/api/v1/orgs/{org}/export.csv",
    "/api/v1/orgs/{org}/export.ndjson",
    "/api/v1/orgs/{org}/hooks",
    "/api/v1/orgs/{org}/issues",
    "/api/v1/orgs/{org}/members/{member}/charts/{chart}",
    "/api/v1/orgs/{org}/repos/{repo}/charts/{chart}",
    "/api/v1/tasks",
    "/api/v1/tasks/{claim_id}/log",
    "/healthz",
    "/openapi.json",
];

/// The routes with answers as JSON and CSV. Each has a second path that ends in `.csv`.
const ANSWER_PATHS: [&str; 14] = [
    "/api/v1/orgs",
    "/api/v1/orgs/{org}/members",
    "/api/v1/orgs/{org}/members/{member}/metrics",
    "/api/v1/orgs/{org}/members/{member}/metrics/histogram",
    "/api/v1/orgs/{org}/members/{member}/metrics/timeseries",
    "/api/v1/orgs/{org}/members/{member}/repos",
    "/api/v1/orgs/{org}/metrics",
    "/api/v1/orgs/{org}/metrics/histogram",
    "/api/v1/orgs/{org}/metrics/timeseries",
    "/api/v1/orgs/{org}/repos",
    "/api/v1/orgs/{org}/repos/{repo}/members",
    "/api/v1/orgs/{org}/repos/{repo}/metrics",
    "/api/v1/orgs/{org}/repos/{repo}/metrics/histogram",
    "/api/v1/orgs/{org}/repos/{repo}/metrics/timeseries",
];

/// The routes about sessions of coding agents, with answers as JSON and CSV.
const AGENT_PATHS: [&str; 11] = [
    "/api/v1/orgs/{org}/agents",
    "/api/v1/orgs/{org}/agents/metrics",
    "/api/v1/orgs/{org}/agents/metrics/timeseries",
    "/api/v1/orgs/{org}/agents/prs",
    "/api/v1/orgs/{org}/members/{member}/agents",
    "/api/v1/orgs/{org}/members/{member}/agents/metrics",
    "/api/v1/orgs/{org}/members/{member}/agents/metrics/timeseries",
    "/api/v1/orgs/{org}/repos/{repo}/agents",
    "/api/v1/orgs/{org}/repos/{repo}/agents/metrics",
    "/api/v1/orgs/{org}/repos/{repo}/agents/metrics/timeseries",
    "/api/v1/orgs/{org}/repos/{repo}/agents/prs",
];

/// The routes that take JSON.
const POST_PATHS: [&str; 19] = [
    "/api/v1/actions/{action_id}/resolve",
    "/api/v1/approvals/{action_id}/approve",
    "/api/v1/approvals/{action_id}/link",
    "/api/v1/approvals/{action_id}/reject",
    "/api/v1/approve-merge-pr",
    "/api/v1/create-comment",
    "/api/v1/create-issue",
    "/api/v1/create-pr",
    "/api/v1/request-task",
    SESSIONS_PATH,
    "/api/v1/tasks/{claim_id}/complete",
    "/api/v1/tasks/{claim_id}/fail",
    "/api/v1/tasks/{claim_id}/heartbeat",
    "/api/v1/tasks/{claim_id}/log",
    "/api/v1/tasks/{claim_id}/release",
    "/approve-merge-pr",
    "/create-comment",
    "/create-issue",
    "/create-pr",
];

/// The route that takes session events.
const SESSIONS_PATH: &str = "/api/v1/sessions";

/// The route that takes no body: there is nothing to say.
const RETRY_PATH: &str = "/api/v1/actions/{action_id}/retry";

/// The route that GitHub delivers to.
const WEBHOOK_PATH: &str = "/api/v1/webhook/github";

/// The schemas that generated clients name.
const SCHEMAS: [&str; 93] = [
    "Action",
    "ActionAnswer",
    "ActionApproval",
    "ActionList",
    "AgentCoverage",
    "AgentList",
    "AgentListEntry",
    "AgentMetricChanges",
    "AgentMetricValues",
    "AgentMetrics",
    "AgentPartSeries",
    "AgentPoint",
    "AgentPullRequestClass",
    "AgentPullRequests",
    "AgentSeries",
    "Approval",
    "ApprovalLink",
    "ApprovalLinkRequest",
    "ApproveMergePr",
    "AssignedTask",
    "AuditLogPage",
    "AuditLogRow",
    "ClaimReport",
    "ClaimStatus",
    "Code",
    "CountChange",
    "CreateComment",
    "CreateIssue",
    "CreatePr",
    "Distribution",
    "DistributionChange",
    "Gap",
    "Health",
    "HistogramBin",
    "HookList",
    "HoursChange",
    "IssueList",
    "ListedClaim",
    "ListedDelivery",
    "ListedEndedClaim",
    "ListedGap",
    "ListedHook",
    "ListedIssue",
    "ListedTask",
    "LogAppended",
    "LogLines",
    "Member",
    "MemberHistogram",
    "MemberMetrics",
    "MemberSeries",
    "MemberSeriesOfMetrics",
    "Members",
    "MergeMethod",
    "MetricCatalogue",
    "MetricChanges",
    "MetricEntry",
    "MetricValues",
    "NumberChange",
    "OrgHistogram",
    "OrgMetricValues",
    "OrgMetrics",
    "OrgSeries",
    "OrgSeriesOfMetrics",
    "OrgSummary",
    "Orgs",
    "Point",
    "PointOfMetrics",
    "PreviousAgentMetricValues",
    "PreviousAgentMetrics",
    "PreviousMetrics",
    "PreviousRange",
    "PreviousValues",
    "Problem",
    "PushedSessionEvent",
    "RefusedSessionEvent",
    "Rejection",
    "Repo",
    "RepoHistogram",
    "RepoMetrics",
    "RepoSeries",
    "RepoSeriesOfMetrics",
    "Repos",
    "Resolution",
    "SessionFacts",
    "SessionPush",
    "SessionsPushed",
    "SomeMetricValues",
    "TaskAssignment",
    "TaskIssue",
    "TaskList",
    "TaskLog",
    "TaskRequest",
    "WebhookReceipt",
];

async fn document() -> Value {
    get(&empty_api(), "/openapi.json").await.json()
}

fn operations(document: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let paths = document["paths"].as_object().expect("paths").iter();
    paths.filter_map(|(path, item)| Some((path, item.get("get")?)))
}

fn post_operations(document: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let paths = document["paths"].as_object().expect("paths").iter();
    paths.filter_map(|(path, item)| Some((path, item.get("post")?)))
}

#[tokio::test]
async fn the_document_and_the_router_have_the_same_routes() {
    let document = document().await;
    assert_eq!(document["openapi"], "3.1.0");
    let api = empty_api();
    let mut ids = BTreeSet::new();
    let paths = operations(&document).map(|(path, _)| path.as_str()).collect::<BTreeSet<_>>();
    let answers = || ANSWER_PATHS.into_iter().chain(AGENT_PATHS);
    let csv_paths: Vec<String> = answers().map(|path| format!("{path}.csv")).collect();
    let csv_paths = csv_paths.iter().map(String::as_str);
    let expected = OTHER_PATHS.into_iter().chain(answers()).chain(csv_paths);
    assert_eq!(paths, expected.collect::<BTreeSet<_>>());
    for (path, operation) in operations(&document) {
        let uri = with_names(path);
        let answer = get(&api, &uri).await;
        // The document has the error as an example.
        assert!(answer.status == 200 || !answer.text().contains("no route"), "{path}");
        assert!(ids.insert(operation["operationId"].as_str().expect("an id")), "{path}");
        assert!(!operation["summary"].as_str().expect("a summary").is_empty(), "{path}");
        let parameters = operation["parameters"].as_array().map_or(&[][..], Vec::as_slice);
        let in_path = parameters.iter().filter(|parameter| parameter["in"] == "path");
        let in_path = in_path.map(|parameter| format!("{{{}}}", parameter["name"].as_str().expect("a name")));
        assert_eq!(
            in_path.collect::<Vec<_>>(),
            path.split('/').filter(|it| it.starts_with('{')).collect::<Vec<_>>()
        );
        let statuses = operation["responses"].as_object().expect("responses").iter();
        for (status, response) in statuses.filter(|(status, _)| status.as_str() >= "400") {
            let reference = response["$ref"].as_str().expect("a reference").trim_start_matches('#');
            let response = document.pointer(reference).expect("a response");
            let problem = &response["content"]["application/problem+json"];
            assert_eq!(problem["example"]["status"].to_string(), *status, "{path}");
        }
        assert!(
            operation["responses"]["500"].is_object() && operation["responses"]["406"].is_object(),
            "{path}"
        );
    }
    assert_eq!(get(&api, "/api/v1/openapi.json").await.body, get(&api, "/openapi.json").await.body);
}

#[tokio::test]
async fn routes_that_take_json_describe_it() {
    let document = document().await;
    let paths = post_operations(&document).map(|(path, _)| path.as_str()).collect::<BTreeSet<_>>();
    assert_eq!(paths, POST_PATHS.into_iter().chain([WEBHOOK_PATH, RETRY_PATH]).collect());
    let get_ids = operations(&document).map(|(_, operation)| &operation["operationId"]).collect::<Vec<_>>();
    assert!(document["paths"][RETRY_PATH]["post"]["requestBody"].is_null());
    let takes_json = |path: &str| ![WEBHOOK_PATH, RETRY_PATH].contains(&path);
    for (path, operation) in post_operations(&document).filter(|(path, _)| takes_json(path)) {
        assert!(!get_ids.contains(&&operation["operationId"]), "{path}");
        let body = &operation["requestBody"];
        assert!(
            body["required"] == true && body["content"]["application/json"]["schema"]["$ref"].is_string()
        );
        let responses = operation["responses"].as_object().expect("responses");
        for status in ["200", "400", "401", "415"] {
            assert!(responses.contains_key(status), "{path}: {status}");
        }
        assert!(!responses.contains_key("304"), "{path}");
        assert_eq!(responses.contains_key("204"), path.ends_with("request-task"), "{path}");
        let has_conflicts = !path.ends_with("request-task") && path != SESSIONS_PATH;
        assert_eq!(responses.contains_key("409"), has_conflicts, "{path}");
        let requests_action = responses.contains_key("202");
        assert_eq!(
            requests_action,
            path.contains("/create-") || path.ends_with("/approve-merge-pr"),
            "{path}"
        );
        assert_eq!(requests_action, responses.contains_key("422"), "{path}");
    }
}

#[tokio::test]
async fn the_route_of_webhooks_is_described() {
    let document = document().await;
    let operation = &document["paths"][WEBHOOK_PATH]["post"];
    assert!(operation["security"].is_null(), "a signature, no token");
    let headers = operation["parameters"].as_array().expect("parameters").iter();
    let headers = headers.map(|it| (it["in"].as_str().unwrap(), it["name"].as_str().unwrap()));
    let expected = ["X-Hub-Signature-256", "X-GitHub-Event", "X-GitHub-Delivery"];
    assert_eq!(headers.collect::<Vec<_>>(), expected.map(|name| ("header", name)));
    let responses = operation["responses"].as_object().expect("responses");
    assert!(
        ["202", "400", "401", "404", "413", "415", "429", "503"].iter().all(|it| responses.contains_key(*it))
    );
    for answer in [json!({ "status": "queued" }), json!({ "status": "ignored", "reason": "it is a ping" })] {
        let schema = &responses["202"]["content"]["application/json"]["schema"];
        schema::check(&document, schema, &answer).expect("an answer of the route");
    }
}

#[tokio::test]
async fn every_documented_parameter_value_is_valid() {
    let document = document().await;
    let api = empty_api();
    for (path, operation) in operations(&document).filter(|(path, _)| path.contains("{org}")) {
        let uri = with_names(path);
        for parameter in operation["parameters"].as_array().expect("parameters") {
            if parameter["in"] == "path" {
                continue;
            }
            assert_eq!((&parameter["in"], &parameter["required"]), (&"query".into(), &false.into()));
            let name = parameter["name"].as_str().expect("a name");
            let schema = &parameter["schema"];
            let choices = if schema["type"] == "array" { &schema["items"]["enum"] } else { &schema["enum"] };
            let values = match (choices, name) {
                (Value::Array(values), _) => values.iter().map(|it| it.as_str().expect("a text")).collect(),
                (_, "limit") => vec!["1", "50", "1000"],
                (_, "width") => vec!["240", "680", "1600"],
                (_, "since" | "until") => vec!["2024-03-01"],
                _ => continue,
            };
            for value in values {
                let answer = get(&api, &format!("{uri}?{name}={value}")).await;
                answer.problem(404, "NOT_FOUND");
            }
            if let Some(default) = parameter["schema"]["default"].as_str() {
                get(&api, &format!("{uri}?{name}={default}")).await.problem(404, "NOT_FOUND");
            }
        }
    }
}

#[tokio::test]
async fn the_catalogue_is_in_the_document() {
    let document = document().await;
    let names = CATALOGUE.iter().map(|metric| metric.name).collect::<Vec<_>>();
    let schemas = &document["components"]["schemas"];
    let values = schemas["MetricValues"]["properties"].as_object().expect("properties");
    assert_eq!(values.keys().map(String::as_str).collect::<BTreeSet<_>>(), names.iter().copied().collect());
    for metric in CATALOGUE {
        let description = values[metric.name]["description"].as_str().expect("a description");
        for part in [metric.unit, metric.meaning, metric.credited_to, metric.at, metric.source] {
            assert!(description.contains(part), "{}: {description}", metric.name);
        }
        let reference = values[metric.name]["$ref"].as_str();
        assert_eq!(reference.is_some(), metric.is_distribution(), "{}", metric.name);
    }
    assert_eq!(schemas["OrgSeries"]["properties"]["metric"]["enum"], Value::from(names.clone()));

    let catalogue = get(&empty_api(), "/api/v1/metrics").await.json();
    let served = catalogue["metrics"].as_array().expect("metrics");
    assert_eq!(
        served.iter().map(|metric| metric["name"].as_str().expect("a name")).collect::<Vec<_>>(),
        names
    );
    assert_eq!(served.iter().filter(|metric| metric["distribution"] == true).count(), 2);
}

#[tokio::test]
async fn real_answers_match_their_schemas() {
    let api = acme::api().await;
    let document = get_json(&api, "/openapi.json").await;
    for (path, operation) in operations(&document) {
        let Some(schema) = operation["responses"]["200"]["content"]["application/json"].get("schema") else {
            continue;
        };
        let uri = with_names(path);
        let queries: &[&str] = match path.as_str() {
            path if path.ends_with("agents/metrics/timeseries") => &[
                "",
                "?metric=agent_session_hours&granularity=month",
                "?metric=agent_tool_calls&by=tool&parts=3",
            ],
            path if path.ends_with("{org}/agents") => {
                &["", "?by=tool", "?by=branch", "?by=repo&compare=previous", "?by=member"]
            }
            path if path.ends_with("agents/metrics") => &["", "?bots=include&compare=previous"],
            path if path.contains("/agents") => &["", "?bots=include"],
            path if path.ends_with("timeseries") => &[
                "",
                "?metric=cycle_time_hours&granularity=month",
                "?metric=cycle_time_hours&metric=commits&granularity=week",
            ],
            path if path.ends_with("histogram") => &["", "?metric=first_review_hours"],
            path if path.ends_with("members") => &["", "?bots=include&limit=1", "?compare=previous"],
            path if path.ends_with("repos") => &["", "?compare=previous&since=1970-01-01"],
            path if path.ends_with("{org}/metrics") => {
                &["", "?compare=previous", "?compare=previous&since=1970-01-01"]
            }
            path if path.ends_with("metrics") && path.contains("{org}") => &["", "?compare=previous"],
            path if path.ends_with("openapi.json") => continue,
            // Only auditors read it: `log.rs` compares its answers.
            "/api/v1/log" => continue,
            _ => &[""],
        };
        for query in queries {
            let answer = get_json(&api, &format!("{uri}{query}")).await;
            schema::check(&document, schema, &answer).unwrap_or_else(|error| panic!("{uri}{query}: {error}"));
        }
    }
    for (name, example) in examples(&document) {
        let schema = json!({"$ref": format!("#/components/schemas/{name}")});
        schema::check(&document, &schema, example)
            .unwrap_or_else(|error| panic!("example of {name}: {error}"));
    }
    let problem = get(&api, "/api/v1/orgs/nobody/metrics").await.json();
    schema::check(&document, &json!({"$ref": "#/components/schemas/Problem"}), &problem).expect("a problem");
}

/// Returns the examples of JSON answers, with the names of their schemas.
fn examples(document: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let contents = operations(document).filter_map(|(_, operation)| {
        operation["responses"]["200"]["content"]["application/json"].as_object()
    });
    let examples = contents.filter_map(|content| content.get("examples")?.as_object());
    examples.flatten().map(|(name, example)| (name, &example["value"]))
}

#[tokio::test]
async fn every_answer_has_examples() {
    let document = document().await;
    for path in ANSWER_PATHS {
        let content = &document["paths"][path]["get"]["responses"]["200"]["content"];
        let json = content["application/json"]["examples"].as_object().expect("examples");
        let csv = content["text/csv"]["examples"].as_object().expect("examples");
        assert_eq!(json.keys().collect::<Vec<_>>(), csv.keys().collect::<Vec<_>>(), "{path}");
        let of_csv = &document["paths"][format!("{path}.csv")]["get"]["responses"]["200"]["content"];
        assert_eq!(&of_csv["text/csv"], &content["text/csv"], "{path}");
        assert!(of_csv["application/json"].is_null(), "{path}");
    }
    assert_eq!(examples(&document).count(), 17);
}

#[tokio::test]
async fn public_routes_need_no_token() {
    let document = document().await;
    let schemes = document["components"]["securitySchemes"].as_object().expect("schemes");
    assert_eq!(schemes.keys().collect::<Vec<_>>(), ["cookie", "token"]);
    for (path, operation) in operations(&document) {
        let is_public = path.ends_with("healthz") || path.ends_with("openapi.json");
        // The last one: a server may require none.
        let required = json!([{"token": []}, {"cookie": []}, {}]);
        assert_eq!(operation["security"], if is_public { Value::Null } else { required }, "{path}");
        assert_eq!(operation["responses"]["401"].is_null(), is_public, "{path}");
    }
}

#[tokio::test]
async fn the_schemas_have_stable_names() {
    let document = document().await;
    let schemas = document["components"]["schemas"].as_object().expect("schemas");
    assert_eq!(schemas.keys().map(String::as_str).collect::<BTreeSet<_>>(), SCHEMAS.into());
}

#[tokio::test]
async fn every_reference_has_a_target() {
    let document = document().await;
    let mut references = Vec::new();
    collect_references(&document, &mut references);
    assert!(references.len() > 20);
    for reference in references {
        let pointer = reference.strip_prefix('#').expect("a reference into the document");
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

fn collect_references(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if name == "$ref" => references.push(text.clone()),
                    _ => collect_references(value, references),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect_references(value, references)),
        _ => {}
    }
}
