//! Snapshots of every kind of refusal: the status, the `code` and the text.

use std::sync::Arc;

use axum::Router;
use axum::http::Method;
use gam_access::{Role, Tokens};
use gam_http::{AccessControl, AllowedOrigins, TokenError, TokenSource};

use crate::support::{Fault, TestData, acme, check_snapshot, empty_api, faulty_api, get, send};

/// Compares the answers to several paths with one snapshot.
async fn check_all(name: &str, api: &Router, paths: &[&str]) {
    let mut text = String::new();
    for path in paths {
        let answer = get(api, path).await;
        assert_eq!(answer.header("content-type"), "application/problem+json", "{path}");
        text.push_str(&format!("GET {path}\n{}\n{}\n\n", answer.status, answer.body_as_snapshot()));
    }
    check_snapshot(name, &text);
}

#[tokio::test]
async fn not_found() {
    let api = acme::api().await;
    let paths = [
        "/nothing",
        "/api/v1/orgs//metrics",
        "/api/v1/orgs/other/metrics",
        "/api/v1/orgs/other/repos",
        "/api/v1/orgs/acme/repos/other/metrics",
        "/api/v1/orgs/acme/members/other/metrics",
        "/api/v1/orgs/acme/members/other/metrics/timeseries",
    ];
    check_all("error_not_found", &api, &paths).await;
}

#[tokio::test]
async fn invalid_argument() {
    let api = acme::api().await;
    let paths = [
        // Parameters.
        "/api/v1/orgs/acme/metrics?from=2024-01-01",
        "/api/v1/orgs?limit=1",
        "/api/v1/metrics?limit=1",
        "/api/v1/orgs/acme/metrics?bots=only&bots=only",
        "/api/v1/orgs/%FF/metrics",
        // Days and ranges.
        "/api/v1/orgs/acme/metrics?since=2024-02-30",
        "/api/v1/orgs/acme/metrics?since=1969-12-31",
        "/api/v1/orgs/acme/metrics?since=2024-02-02&until=2024-02-02",
        "/api/v1/orgs/acme/metrics?since=2024-03-11",
        "/api/v1/orgs/acme/metrics/timeseries?since=1970-01-01&until=2024-10-05",
        // Values.
        "/api/v1/orgs/acme/metrics?bots=maybe",
        "/api/v1/orgs/acme/metrics/timeseries?metric=stars",
        "/api/v1/orgs/acme/metrics/timeseries?type=star",
        "/api/v1/orgs/acme/metrics/timeseries?type=deploy&metric=commits",
        "/api/v1/orgs/acme/metrics/timeseries?metric=commits&metric=commits",
        "/api/v1/orgs/acme/metrics/timeseries?metric=commits&metric=reviews&since=1970-01-01&until=2024-10-04",
        "/api/v1/orgs/acme/metrics/timeseries?granularity=hour",
        "/api/v1/orgs/acme/metrics/histogram?metric=commits",
        "/api/v1/orgs/acme/metrics?compare=next",
        "/api/v1/orgs/acme/members?sort=id",
        "/api/v1/orgs/acme/members?order=down",
        "/api/v1/orgs/acme/members?limit=0",
        "/api/v1/orgs/acme/members?cursor=nonsense",
        &format!("/api/v1/orgs/acme/metrics?bots={}", "x".repeat(100)),
    ];
    check_all("error_invalid_argument", &api, &paths).await;
}

#[tokio::test]
async fn method_not_allowed() {
    let answer = send(&empty_api(), Method::POST, "/api/v1/orgs", &[]).await;
    check_snapshot("error_method_not_allowed", &format!("POST /api/v1/orgs\n{}", answer.as_snapshot()));
}

/// Returns the API for holders of the host's token.
fn guarded_api(token: TokenSource) -> Router {
    let data = TestData::default();
    let tokens = Tokens::new(data.store.clone(), data.query_ports().clock);
    let access = AccessControl::tokens(tokens).with_host_token(token, Role::Viewer);
    gam_http::guarded_router(data.query_ports(), access, AllowedOrigins::default())
}

const WRONG_TOKEN: [(&str, &str); 1] = [("authorization", "Bearer wrong")];

#[tokio::test]
async fn not_acceptable() {
    let api = acme::api().await;
    let mut text = String::new();
    for (path, accept) in [
        ("/api/v1/orgs/acme/metrics", "text/html"),
        ("/api/v1/orgs/acme/members.csv", "application/json"),
        ("/api/v1/metrics", "text/csv"),
    ] {
        let answer = send(&api, Method::GET, path, &[("accept", accept)]).await;
        let body = answer.body_as_snapshot();
        text.push_str(&format!("GET {path}, Accept: {accept}\n{}\n{body}\n\n", answer.status));
    }
    check_snapshot("error_not_acceptable", &text);
}

#[tokio::test]
async fn unauthorized() {
    let api = guarded_api(Arc::new(|| Box::pin(async { Ok("sesame".to_owned()) })));
    let without = get(&api, "/api/v1/orgs").await;
    let with = send(&api, Method::GET, "/api/v1/orgs", &WRONG_TOKEN).await;
    assert_eq!(with.body, without.body);
    check_snapshot("error_unauthorized", &format!("GET /api/v1/orgs\n{}", without.as_snapshot()));
}

#[tokio::test]
async fn token_that_cannot_be_read() {
    let api = guarded_api(Arc::new(|| {
        Box::pin(async { Err(TokenError(std::io::Error::other("no secret").into())) })
    }));
    let answer = send(&api, Method::GET, "/api/v1/orgs", &WRONG_TOKEN).await;
    check_snapshot("error_unknown_token", &format!("GET /api/v1/orgs\n{}", answer.as_snapshot()));
}

#[tokio::test]
async fn internal_error() {
    let mut text = String::new();
    for (what, fault) in
        [("is busy", Fault::Busy), ("cannot be used", Fault::Broken), ("panics", Fault::Panic)]
    {
        let answer = get(&faulty_api(fault), "/api/v1/orgs").await;
        text.push_str(&format!("GET /api/v1/orgs, while the store {what}\n{}\n\n", answer.as_snapshot()));
    }
    check_snapshot("error_internal", &text);
}
