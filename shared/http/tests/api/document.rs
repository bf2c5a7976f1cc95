//! The OpenAPI document against the router, the contract and itself.

use std::collections::BTreeSet;

use gam_model::metric::CATALOGUE;
use serde_json::Value;

use crate::support::{empty, get};

const PATHS: [&str; 15] = [
    "/",
    "/api/v1/healthz",
    "/api/v1/metrics",
    "/api/v1/openapi.json",
    "/api/v1/orgs",
    "/api/v1/orgs/{org}/members",
    "/api/v1/orgs/{org}/members/{member}/metrics",
    "/api/v1/orgs/{org}/members/{member}/metrics/timeseries",
    "/api/v1/orgs/{org}/metrics",
    "/api/v1/orgs/{org}/metrics/timeseries",
    "/api/v1/orgs/{org}/repos",
    "/api/v1/orgs/{org}/repos/{repo}/metrics",
    "/api/v1/orgs/{org}/repos/{repo}/metrics/timeseries",
    "/healthz",
    "/openapi.json",
];

async fn document() -> Value {
    get(&empty(), "/openapi.json").await.json()
}

fn operations(document: &Value) -> impl Iterator<Item = (&String, &Value)> {
    document["paths"].as_object().expect("paths").iter().map(|(path, item)| (path, &item["get"]))
}

#[tokio::test]
async fn every_route_is_in_the_document_and_the_other_way_round() {
    let document = document().await;
    assert_eq!(document["openapi"], "3.1.0");
    let api = empty();
    let mut ids = BTreeSet::new();
    let paths = operations(&document).map(|(path, _)| path.as_str()).collect::<BTreeSet<_>>();
    assert_eq!(paths, PATHS.into());
    for (path, operation) in operations(&document) {
        let uri = path.replace("{org}", "acme").replace("{repo}", "site").replace("{member}", "ann");
        assert!(!get(&api, &uri).await.text().contains("there is nothing at"), "{path}");
        assert!(ids.insert(operation["operationId"].as_str().expect("an id")), "{path}");
        assert!(!operation["summary"].as_str().expect("a summary").is_empty(), "{path}");
        let told = operation["parameters"].as_array().map_or(&[][..], Vec::as_slice);
        let in_path = told.iter().filter(|parameter| parameter["in"] == "path");
        let in_path = in_path.map(|parameter| format!("{{{}}}", parameter["name"].as_str().expect("a name")));
        assert_eq!(
            in_path.collect::<Vec<_>>(),
            path.split('/').filter(|it| it.starts_with('{')).collect::<Vec<_>>()
        );
        assert!(operation["responses"]["500"]["content"]["application/problem+json"].is_object(), "{path}");
    }
    assert_eq!(get(&api, "/api/v1/openapi.json").await.body, get(&api, "/openapi.json").await.body);
}

#[tokio::test]
async fn every_parameter_in_the_document_is_taken_with_every_value() {
    let document = document().await;
    let api = empty();
    for (path, operation) in operations(&document).filter(|(path, _)| path.contains("{org}")) {
        let uri = path.replace("{org}", "acme").replace("{repo}", "site").replace("{member}", "ann");
        for parameter in operation["parameters"].as_array().expect("parameters") {
            if parameter["in"] == "path" {
                continue;
            }
            assert_eq!((&parameter["in"], &parameter["required"]), (&"query".into(), &false.into()));
            let name = parameter["name"].as_str().expect("a name");
            let values = match (&parameter["schema"]["enum"], name) {
                (Value::Array(values), _) => values.iter().map(|it| it.as_str().expect("a text")).collect(),
                (_, "limit") => vec!["1", "50", "1000"],
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
        let told = values[metric.name]["description"].as_str().expect("a description");
        for part in [metric.unit, metric.meaning, metric.credited_to, metric.at, metric.source] {
            assert!(told.contains(part), "{}: {told}", metric.name);
        }
        let reference = values[metric.name]["$ref"].as_str();
        assert_eq!(reference.is_some(), metric.is_distribution(), "{}", metric.name);
    }
    assert_eq!(schemas["OrgSeries"]["properties"]["metric"]["enum"], Value::from(names.clone()));

    let catalogue = get(&empty(), "/api/v1/metrics").await.json();
    let served = catalogue["metrics"].as_array().expect("metrics");
    assert_eq!(
        served.iter().map(|metric| metric["name"].as_str().expect("a name")).collect::<Vec<_>>(),
        names
    );
    assert_eq!(served.iter().filter(|metric| metric["distribution"] == true).count(), 2);
}

#[tokio::test]
async fn every_reference_leads_somewhere() {
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
