//! Snapshots of what every route answers over a small fixed set of events. A change of a snapshot is a
//! change of the public API.

use axum::Router;
use gam_store::{CheckpointKey, CheckpointStore};
use serde_json::json;

use crate::support::{acme, check_snapshot, empty_api, get, with_names};

/// Answers that the plain path of a route does not show: the snapshot's name, and the path.
const VARIANTS: [(&str, &str); 18] = [
    ("metrics_with_bots", "/api/v1/orgs/acme/metrics?since=2024-03-01&until=2024-04-01&bots=include"),
    ("metrics_of_bots", "/api/v1/orgs/acme/metrics?since=2024-03-01&until=2024-04-01&bots=only"),
    ("metrics_of_no_activity", "/api/v1/orgs/acme/metrics?since=2023-06-01&until=2023-07-01"),
    ("metrics_of_unlinked_member", "/api/v1/orgs/acme/members/~0123456789ab/metrics"),
    ("timeseries_day", "/api/v1/orgs/acme/metrics/timeseries?since=2024-03-01&until=2024-03-05"),
    (
        "timeseries_week",
        "/api/v1/orgs/acme/metrics/timeseries?granularity=week&since=2024-02-28&until=2024-03-09",
    ),
    (
        "timeseries_month_of_distribution",
        "/api/v1/orgs/acme/metrics/timeseries?metric=cycle_time_hours&granularity=month&since=2024-02-01&until=2024-04-01",
    ),
    ("timeseries_by_type", "/api/v1/orgs/acme/metrics/timeseries?type=code_change&granularity=month"),
    ("members_first_page", "/api/v1/orgs/acme/members?limit=1"),
    ("members_of_bots", "/api/v1/orgs/acme/members?bots=only"),
    ("members_of_no_activity", "/api/v1/orgs/acme/members?since=2022-01-01&until=2022-02-01"),
    ("repos_by_reviews_ascending", "/api/v1/orgs/acme/repos?sort=reviews&order=asc"),
    ("metrics_compared", "/api/v1/orgs/acme/metrics?since=2024-03-01&until=2024-03-05&compare=previous"),
    (
        "metrics_compared_csv",
        "/api/v1/orgs/acme/metrics.csv?since=2024-03-01&until=2024-03-05&compare=previous",
    ),
    ("metrics_without_days_before", "/api/v1/orgs/acme/metrics?since=1970-01-01&compare=previous"),
    ("repos_compared", "/api/v1/orgs/acme/repos?since=2024-03-03&until=2024-03-06&compare=previous"),
    ("members_by_name_filtered", "/api/v1/orgs/acme/members?sort=name&order=desc&q=B&limit=1"),
    (
        "timeseries_of_metrics",
        "/api/v1/orgs/acme/metrics/timeseries?metric=reviews&metric=cycle_time_hours&granularity=week&since=2024-02-28&until=2024-03-09",
    ),
];

/// The API over the events of `data`, with GitHub read from 2023-12-11 to 2024-03-10.
async fn api() -> Router {
    let data = acme::data().await;
    let org = json!({
        "complete_until": "2024-03-10T11:00:00Z", "repos": {}, "since": "2023-12-11T00:00:00Z",
    });
    let key = CheckpointKey::Org("acme".to_owned());
    data.store.save(&key, &org.to_string(), None).await.expect("it is saved");
    data.api()
}

async fn check_answer(name: &str, api: &Router, path: &str) {
    let answer = get(api, path).await;
    check_snapshot(name, &format!("GET {path}\n{}", answer.as_snapshot()));
}

/// A route that is added takes a snapshot of its own.
#[tokio::test]
async fn every_route_answers_as_in_its_snapshot() {
    let api = api().await;
    let document = get(&api, "/openapi.json").await.json();
    // These answer the same under a second path.
    let twice = ["/api/v1/healthz", "/api/v1/openapi.json"];
    let paths = document["paths"].as_object().expect("paths").iter();
    for path in paths.filter(|(_, item)| item["get"].is_object()).map(|(path, _)| path) {
        if twice.contains(&path.as_str()) {
            assert_eq!(get(&api, path).await.body, get(&api, &path["/api/v1".len()..]).await.body, "{path}");
            continue;
        }
        let uri = with_names(path);
        let name = path.trim_start_matches('/').replace('/', "-").replace(['{', '}', '.'], "_");
        check_answer(&format!("route_{name}"), &api, &uri).await;
    }
}

#[tokio::test]
async fn parameters_change_answers_as_in_the_snapshots() {
    let api = api().await;
    for (name, path) in VARIANTS {
        check_answer(name, &api, path).await;
    }
}

#[tokio::test]
async fn the_next_page_of_a_listing_is_found_by_its_cursor() {
    let api = api().await;
    let first = get(&api, "/api/v1/orgs/acme/members?limit=1").await.json();
    let path =
        format!("/api/v1/orgs/acme/members?limit=1&cursor={}", first["next"].as_str().expect("a cursor"));
    check_answer("members_second_page", &api, &path).await;
}

#[tokio::test]
async fn an_empty_store_answers_as_in_its_snapshots() {
    let api = empty_api();
    check_answer("empty_orgs", &api, "/api/v1/orgs").await;
}
