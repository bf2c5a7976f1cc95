//! The routes below `/api/v1/orgs`, over events that went through the inbox, the snapshots and the
//! rollups.

mod agents;
mod charts;
mod coverage;
mod csv;
mod export;
mod histogram;
pub(crate) mod hooks;
mod issues;
mod list;
mod listings;
mod metrics;
mod timeseries;

use axum::http::Method;
use gam_aggregate::aggregate;

use crate::support::{acme, get, get_json, send};

#[tokio::test]
async fn the_same_events_have_the_same_bytes_and_tag() {
    let (once, rebuilt) = (acme::data().await, acme::data().await);
    aggregate(&rebuilt.aggregate_ports(), "Acme", true, &()).await.expect("it aggregates again");
    let (once, rebuilt) = (once.api(), rebuilt.api());
    for path in [
        "orgs",
        "orgs/acme/metrics",
        "orgs/acme/members?limit=1",
        "orgs/acme/metrics/timeseries",
        "orgs/acme/repos/site/members?limit=1",
        "orgs/acme/members/ann/repos",
        "orgs/acme/charts/commits.svg",
    ] {
        let path = format!("/api/v1/{path}");
        let (first, second) = (get(&once, &path).await, get(&rebuilt, &path).await);
        assert_eq!((first.status.as_u16(), &first.body), (200, &second.body), "{path}");
        let if_none_match = [("if-none-match", first.header("etag"))];
        assert_eq!(send(&rebuilt, Method::GET, &path, &if_none_match).await.status, 304, "{path}");
    }
}

#[tokio::test]
async fn subjects_are_found_by_any_case() {
    let api = acme::api().await;
    for (path, kind, name, commits) in [
        ("repos/site", "repo", "Site", 2),
        ("repos/TOOLS", "repo", "tools", 2),
        ("members/aNN", "member", "Ann", 2),
        ("members/dependabot%5Bbot%5D", "member", "dependabot[bot]", 1),
        ("members/Dependabot[bot]", "member", "dependabot[bot]", 1),
        ("members/~0123456789ab", "member", "~0123456789ab", 1),
        ("members/%7E0123456789AB", "member", "~0123456789ab", 1),
    ] {
        let metrics = get_json(&api, &format!("/api/v1/orgs/acme/{path}/metrics")).await;
        assert_eq!((&metrics["org"], &metrics[kind]), (&"Acme".into(), &name.into()), "{path}");
        assert_eq!(metrics["metrics"]["commits"], commits, "{path}");
        assert!(metrics["metrics"].get("total_repos").is_none(), "{path}");
        let path = format!("/api/v1/orgs/acme/{path}/metrics/timeseries?granularity=month");
        let series = get_json(&api, &path).await;
        assert_eq!(series[kind], name);
        let points = series["points"].as_array().expect("points");
        let sum = points.iter().map(|point| point["value"].as_u64().expect("a count")).sum::<u64>();
        assert_eq!((points.len(), sum), (2, commits), "{path}");
    }
    for (path, list) in
        [("repos/nothing", "members"), ("members/nobody", "repos"), ("members/dependabot", "repos")]
    {
        for answer in ["metrics", list] {
            let response = get(&api, &format!("/api/v1/orgs/acme/{path}/{answer}")).await;
            response.problem(404, "NOT_FOUND");
        }
    }
}
