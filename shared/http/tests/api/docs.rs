//! Files that are generated: the examples in the OpenAPI document, and `docs/API.md`.
//!
//! `UPDATE_DOCS=1 cargo test -p gam-http --test api docs` writes them. The examples become a part of the document only
//! when the crate is compiled again, so run it twice if answers changed.

mod api_page;

use crate::support::{acme, check_file, empty_api, get, send};
use axum::http::Method;

/// The schemas with an example, and the request whose answer it is.
const EXAMPLES: [(&str, &str); 15] = [
    ("Orgs", ""),
    ("OrgMetrics", "/acme/metrics"),
    ("RepoMetrics", "/acme/repos/site/metrics"),
    ("MemberMetrics", "/acme/members/ann/metrics"),
    ("OrgSeries", "/acme/metrics/timeseries?granularity=week&since=2024-02-28&until=2024-03-11"),
    ("RepoSeries", "/acme/repos/site/metrics/timeseries?granularity=month&since=2024-03-01&until=2024-04-01"),
    ("MemberSeries", "/acme/members/ann/metrics/timeseries?since=2024-03-01&until=2024-03-03"),
    (
        "OrgSeriesOfMetrics",
        "/acme/metrics/timeseries?metric=commits&metric=cycle_time_hours&granularity=month&since=2024-03-01&until=2024-04-01",
    ),
    (
        "RepoSeriesOfMetrics",
        "/acme/repos/site/metrics/timeseries?metric=commits&metric=reviews&granularity=month&since=2024-03-01&until=2024-04-01",
    ),
    (
        "MemberSeriesOfMetrics",
        "/acme/members/ann/metrics/timeseries?metric=commits&metric=reviews&granularity=month&since=2024-03-01&until=2024-04-01",
    ),
    ("OrgHistogram", "/acme/metrics/histogram"),
    ("RepoHistogram", "/acme/repos/site/metrics/histogram"),
    ("MemberHistogram", "/acme/members/ann/metrics/histogram"),
    ("Members", "/acme/members?limit=1"),
    ("Repos", "/acme/repos?limit=1"),
];

#[tokio::test]
async fn the_examples_are_real_answers() {
    let api = acme::api().await;
    for (name, path) in EXAMPLES {
        let path = format!("/api/v1/orgs{path}");
        let json = get(&api, &path).await.body_as_snapshot();
        check_file(&format!("shared/http/src/openapi/examples/{name}.json"), &format!("{json}\n"));
        let csv = send(&api, Method::GET, &path, &[("accept", "text/csv")]).await;
        check_file(&format!("shared/http/src/openapi/examples/{name}.csv"), csv.text());
    }
}

#[tokio::test]
async fn the_api_page_matches_the_document() {
    let document = get(&empty_api(), "/openapi.json").await.json();
    check_file("docs/API.md", &api_page::markdown(&document));
}
