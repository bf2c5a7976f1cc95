//! `…/metrics/timeseries`.

use serde_json::json;

use crate::support::{acme, get, get_json};

#[tokio::test]
async fn a_series_has_a_point_for_every_bucket() {
    let api = acme::api().await;
    let path =
        "/api/v1/orgs/acme/metrics/timeseries?type=commit&granularity=week&since=2024-03-01&until=2024-03-09";
    let expected = json!({
        "org": "Acme", "since": "2024-03-01", "until": "2024-03-09", "timezone": "UTC", "bots": "auto",
        "metric": "commits", "granularity": "week",
        "complete_since": null, "complete_until": null, "gaps": [], "gap_count": 0,
        "points": [
            {"start": "2024-02-26", "end": "2024-03-04", "value": 1, "partial": true},
            {"start": "2024-03-04", "end": "2024-03-11", "value": 1, "partial": true},
        ],
    });
    assert_eq!(get_json(&api, path).await, expected);
    let days = get_json(&api, "/api/v1/orgs/acme/metrics/timeseries").await;
    assert_eq!(
        (days["granularity"].as_str(), days["points"].as_array().map(Vec::len)),
        (Some("day"), Some(30))
    );
    let hours =
        get_json(&api, "/api/v1/orgs/acme/metrics/timeseries?metric=cycle_time_hours&granularity=month")
            .await;
    assert_eq!(hours["points"][0]["value"], json!({"count": 0, "mean": null, "p50": null, "p90": null}));
    assert_eq!(hours["points"][1]["value"]["count"], 1);
}

#[tokio::test]
async fn only_buckets_that_the_range_cuts_are_partial() {
    let api = acme::api().await;
    let partial = async |query: &str| {
        let path = format!("/api/v1/orgs/acme/metrics/timeseries?{query}");
        let points = get_json(&api, &path).await["points"].as_array().expect("points").clone();
        points.iter().map(|point| point.get("partial").cloned()).collect::<Vec<_>>()
    };
    let cut = Some(json!(true));
    let month = "granularity=month&since=";
    assert_eq!(partial(&format!("{month}2024-01-01&until=2024-03-01")).await, [None, None]);
    assert_eq!(partial(&format!("{month}2024-01-02&until=2024-03-01")).await, [cut.clone(), None]);
    assert_eq!(partial(&format!("{month}2024-01-31&until=2024-04-02")).await, [cut.clone(), None, None, cut]);
    assert_eq!(partial("granularity=day&since=2024-01-31&until=2024-02-02").await, [None, None]);
}

#[tokio::test]
async fn a_series_has_at_most_20_000_points() {
    let api = acme::api().await;
    for subject in ["", "/repos/site", "/members/ann"] {
        // 20,000 days end on 2024-10-04.
        let path = format!("/api/v1/orgs/acme{subject}/metrics/timeseries?since=1970-01-01&until=");
        assert_eq!(
            get_json(&api, &format!("{path}2024-10-04")).await["points"].as_array().map(Vec::len),
            Some(20_000)
        );
        let detail = get(&api, &format!("{path}2024-10-05")).await.problem(400, "INVALID_ARGUMENT");
        assert!(detail.contains("20,000") || detail.contains("20000"), "{detail}");
        assert_eq!(
            get_json(&api, &format!("{path}2024-10-05&granularity=week")).await["granularity"],
            "week"
        );
    }
}
