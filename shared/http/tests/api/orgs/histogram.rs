//! `…/metrics/histogram`.

use serde_json::{Value, json};

use crate::support::{acme, get, get_json};

#[tokio::test]
async fn a_histogram_counts_durations_in_fixed_bins() {
    let api = acme::api().await;
    for subject in ["", "/repos/site", "/members/ann"] {
        let path = format!("/api/v1/orgs/acme{subject}/metrics/histogram");
        let cycle_time = get_json(&api, &path).await;
        assert_eq!((&cycle_time["metric"], &cycle_time["org"]), (&json!("cycle_time_hours"), &json!("Acme")));
        assert_eq!(
            (&cycle_time["since"], &cycle_time["until"]),
            (&json!("2024-02-10"), &json!("2024-03-11"))
        );
        let metrics = get_json(&api, &format!("/api/v1/orgs/acme{subject}/metrics")).await;
        assert_eq!(cycle_time["value"], metrics["metrics"]["cycle_time_hours"], "{subject}");
        let bins = cycle_time["bins"].as_array().expect("bins");
        assert_eq!(bins.len(), 14);
        assert_eq!(bins[0], json!({"from": 0.0, "to": 0.75, "count": 0}));
        assert_eq!(bins[7], json!({"from": 48.0, "to": 96.0, "count": 1}), "48 hours");
        assert_eq!(bins[13], json!({"from": 3072.0, "to": null, "count": 0}));
        assert!(bins.windows(2).all(|pair| pair[0]["to"] == pair[1]["from"]));
        let first_review = get_json(&api, &format!("{path}?metric=first_review_hours")).await;
        let bins = first_review["bins"].as_array().expect("bins");
        assert_eq!(bins[4], json!({"from": 6.0, "to": 12.0, "count": 1}), "6 hours");
        let total = bins.iter().filter_map(|bin| bin["count"].as_u64()).sum::<u64>();
        assert_eq!(Value::from(total), first_review["value"]["count"]);
    }
    let idle = get_json(&api, "/api/v1/orgs/acme/members/bob/metrics/histogram").await;
    assert!(idle["bins"].as_array().expect("bins").iter().all(|bin| bin["count"] == 0));
    for (path, status, code) in [
        ("acme/metrics/histogram?metric=commits", 400, "INVALID_ARGUMENT"),
        ("acme/members/nobody/metrics/histogram", 404, "NOT_FOUND"),
        ("nobody/metrics/histogram", 404, "NOT_FOUND"),
    ] {
        get(&api, &format!("/api/v1/orgs/{path}")).await.problem(status, code);
    }
}
