//! `…/export`: rows of all subjects and buckets, streamed.

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request};
use tower::ServiceExt;

use crate::support::{CountingStore, acme, get, send};

const RANGE: &str = "since=2024-03-01&until=2024-04-01&granularity=month";

#[tokio::test]
async fn rows_are_csv_unless_the_client_accepts_lines_of_json() {
    let api = acme::api().await;
    let csv = get(&api, &format!("/api/v1/orgs/ACME/export?{RANGE}")).await;
    assert_eq!(csv.status, 200);
    assert_eq!(csv.header("content-type"), "text/csv; charset=utf-8; header=present");
    assert_eq!(csv.header("content-disposition"), "attachment; filename=\"Acme.csv\"");
    let lines: Vec<&str> = csv.text().lines().collect();
    assert!(lines[0].starts_with("level,name,id,start,end,commits,"), "{}", lines[0]);
    let columns = |line: &str| line.split(',').take(6).collect::<Vec<_>>().join(",");
    let rows: Vec<String> = lines[1..].iter().map(|line| columns(line)).collect();
    assert_eq!(
        rows,
        [
            "org,Acme,,2024-03-01,2024-04-01,3",
            "repo,Site,1,2024-03-01,2024-04-01,2",
            "repo,tools,2,2024-03-01,2024-04-01,1",
            "member,Ann,,2024-03-01,2024-04-01,2",
            "member,bob,,2024-03-01,2024-04-01,1",
        ]
    );
    assert!(lines.iter().all(|line| line.split(',').count() == lines[0].split(',').count()));

    let accept = [("accept", "text/html;q=0.1, application/x-ndjson")];
    let accepted = send(&api, Method::GET, &format!("/api/v1/orgs/acme/export?{RANGE}"), &accept).await;
    let suffixed = get(&api, &format!("/api/v1/orgs/acme/export.ndjson?{RANGE}")).await;
    assert_eq!((&accepted.body, accepted.header("content-type")), (&suffixed.body, "application/x-ndjson"));
    let rows: Vec<serde_json::Value> =
        suffixed.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(rows.len(), 5);
    assert_eq!(
        (&rows[1]["level"], &rows[1]["id"], &rows[1]["commits"]),
        (&"repo".into(), &1.into(), &2.into())
    );
    assert_eq!(rows[3]["cycle_time_hours"]["p50"], 48.0);
    let csv_again = send(&api, Method::GET, &format!("/api/v1/orgs/acme/export.csv?{RANGE}"), &accept).await;
    assert_eq!(csv_again.body, csv.body);
}

#[tokio::test]
async fn an_invalid_export_is_refused_before_it_begins() {
    let api = acme::api().await;
    get(&api, "/api/v1/orgs/nobody/export").await.problem(404, "NOT_FOUND");
    get(&api, "/api/v1/orgs/acme/export?metric=commits").await.problem(400, "INVALID_ARGUMENT");
    get(&api, "/api/v1/orgs/acme/export.csv?granularity=year").await.problem(400, "INVALID_ARGUMENT");
}

#[tokio::test]
async fn a_failure_in_the_middle_breaks_the_answer_off() {
    let data = acme::data().await;
    let store = CountingStore::failing_after(&data, 1);
    let api = gam_http::router(store.query_ports(&data));
    let request = Request::get(format!("/api/v1/orgs/acme/export?{RANGE}")).body(Body::empty()).unwrap();
    let response = api.oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200, "the status is sent before the rows are read");
    let body = to_bytes(response.into_body(), usize::MAX).await;
    assert!(body.is_err(), "{body:?}");
}

#[tokio::test]
async fn too_many_exports_at_once_are_refused() {
    let api = acme::api().await;
    let begin = async || {
        let request = Request::get("/api/v1/orgs/acme/export").body(Body::empty()).unwrap();
        api.clone().oneshot(request).await.unwrap()
    };
    let mut running = Vec::new();
    for _ in 0..4 {
        let response = begin().await;
        assert_eq!(response.status(), 200);
        running.push(response);
    }
    assert_eq!(begin().await.status(), 503);
    running.pop();
    assert_eq!(begin().await.status(), 200, "a client that is gone makes room");
}
