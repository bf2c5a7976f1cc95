//! `…/metrics`.

use serde_json::{Value, json};

use crate::support::{acme, get_json};

#[tokio::test]
async fn metrics_count_the_events_in_the_range() {
    let api = acme::api().await;
    let org = get_json(&api, "/api/v1/orgs/ACME/metrics").await;
    assert_eq!(
        (&org["org"], &org["since"], &org["until"], &org["bots"]),
        (&json!("Acme"), &json!("2024-02-10"), &json!("2024-03-11"), &json!("auto"))
    );
    assert!(org.get("repo").is_none() && org.get("member").is_none());
    assert_eq!((&org["complete_since"], &org["complete_until"]), (&Value::Null, &Value::Null));
    let metrics = &org["metrics"];
    for (name, value) in [
        ("commits", 4),
        ("additions", 40),
        ("lines_changed", 60),
        ("files_changed", 8),
        ("prs_opened", 1),
        ("prs_merged", 1),
        ("reviews", 1),
        ("issues_opened", 0),
        ("active_members", 3),
        ("total_repos", 2),
    ] {
        assert_eq!(metrics[name], value, "{name}");
    }
    let cycle = &metrics["cycle_time_hours"];
    assert_eq!((&cycle["count"], cycle["mean"].as_f64()), (&json!(1), Some(48.0)));
    let p50 = metrics["first_review_hours"]["p50"].as_f64().expect("a number");
    assert!((5.88..=6.12).contains(&p50), "{p50}");

    let everything =
        get_json(&api, "/api/v1/orgs/acme/metrics?since=1970-01-01&until=9999-01-01&bots=include").await;
    assert_eq!(everything["metrics"]["commits"], 6);
    let bots = get_json(&api, "/api/v1/orgs/acme/metrics?bots=only").await;
    assert_eq!((&bots["bots"], &bots["metrics"]["commits"]), (&json!("only"), &json!(1)));
    let idle = get_json(&api, "/api/v1/orgs/acme/metrics?since=2023-06-01&until=2023-07-01").await;
    assert_eq!(idle["metrics"]["commits"], 0);
    let empty = json!({"count": 0, "mean": null, "p50": null, "p90": null});
    assert_eq!(idle["metrics"]["cycle_time_hours"], empty);
}
