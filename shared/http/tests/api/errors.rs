//! Errors: statuses, codes, details, and what is logged.

use axum::http::Method;

use crate::support::{Fault, STORE_ERROR, empty_api, faulty_api, get, log_lines, log_lines_with, send};

const SUBJECTS: [&str; 3] =
    ["/api/v1/orgs/acme", "/api/v1/orgs/acme/repos/site", "/api/v1/orgs/acme/members/dependabot%5Bbot%5D"];

#[tokio::test]
async fn an_unknown_route_is_not_found() {
    let api = empty_api();
    for path in
        ["/nothing", "/api", "/api/v1", "/api/v2/orgs", "/api/v1/orgs/", "/api/v1/orgs//metrics", "/orgs/a/b"]
    {
        let detail = get(&api, path).await.problem(404, "NOT_FOUND");
        assert_eq!(detail, format!("no route {path}: see /openapi.json for all routes"));
    }
}

#[tokio::test]
async fn other_methods_than_get_are_not_allowed() {
    let api = empty_api();
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH, Method::TRACE] {
        for path in ["/", "/api/v1/orgs", "/api/v1/orgs/acme/metrics"] {
            let response = send(&api, method.clone(), path, &[]).await;
            assert!(response.problem(405, "INVALID_ARGUMENT").contains("use GET"));
            assert_eq!(response.header("allow"), "GET,HEAD,OPTIONS");
        }
    }
}

#[tokio::test]
async fn options_lists_the_methods_of_a_route() {
    let api = empty_api();
    for path in ["/", "/api/v1/orgs", "/api/v1/orgs/acme/metrics.csv", "/api/v1/orgs/acme/repos/site/members"]
    {
        let response = send(&api, Method::OPTIONS, path, &[]).await;
        assert_eq!((response.status.as_u16(), response.body.len()), (204, 0), "{path}");
        assert_eq!(response.header("allow"), "GET,HEAD,OPTIONS", "{path}");
        assert!(!response.headers.contains_key("etag"), "{path}");
    }
    send(&api, Method::OPTIONS, "/nothing", &[]).await.problem(404, "NOT_FOUND");
}

#[tokio::test]
async fn an_unknown_organization_is_not_found() {
    let api = empty_api();
    for subject in SUBJECTS {
        for query in ["metrics", "metrics/timeseries", "metrics?since=2024-01-01&bots=only"] {
            let detail = get(&api, &format!("{subject}/{query}")).await.problem(404, "NOT_FOUND");
            assert!(detail.contains("acme"), "{detail}");
        }
    }
    for list in ["members", "repos"] {
        get(&api, &format!("/api/v1/orgs/acme/{list}")).await.problem(404, "NOT_FOUND");
    }
}

#[tokio::test]
async fn invalid_input_is_rejected_with_advice() {
    let api = empty_api();
    for subject in SUBJECTS {
        for (query, advice) in [
            ("metrics?from=2024-01-01", "since, until, bots"),
            ("metrics?since=2024-01-01&since=2024-01-01", "send it once"),
            ("metrics?since=2024-02-30", "YYYY-MM-DD"),
            ("metrics?until=1969-12-31", "1970-01-01"),
            ("metrics?since=2024-02-01&until=2024-02-01", "`until` is exclusive"),
            ("metrics?since=2024-03-11", "`until` is exclusive"),
            ("metrics?bots=maybe", "exclude, include, only"),
            ("metrics?metric=commits", "since, until, bots"),
            ("metrics/timeseries?metric=stars", "first_review_hours"),
            ("metrics/timeseries?type=star", "pull_request"),
            ("metrics/timeseries?type=deploy&metric=commits", "deploys"),
            ("metrics/timeseries?granularity=hour", "day, week, month"),
            ("metrics/timeseries?limit=10", "granularity"),
        ] {
            let path = format!("{subject}/{query}");
            let detail = get(&api, &path).await.problem(400, "INVALID_ARGUMENT");
            assert!(detail.contains(advice), "{path}: {detail}");
        }
    }
    for list in ["members", "repos"] {
        for (query, advice) in [
            ("limit=0", "1 to 1000"),
            ("limit=1001", "1 to 1000"),
            ("order=down", "asc, desc"),
            ("sort=id", "prs_merged"),
            ("compare=next", "previous"),
            ("offset=10", "cursor"),
        ] {
            let path = format!("/api/v1/orgs/acme/{list}?{query}");
            let detail = get(&api, &path).await.problem(400, "INVALID_ARGUMENT");
            assert!(detail.contains(advice), "{path}: {detail}");
        }
    }
    assert!(get(&api, "/api/v1/metrics?x").await.problem(400, "INVALID_ARGUMENT").contains("takes none"));
    assert!(get(&api, "/api/v1/orgs?limit=1").await.problem(400, "INVALID_ARGUMENT").contains("takes q"));
    let detail = get(&api, "/api/v1/orgs/%FF/metrics").await.problem(400, "INVALID_ARGUMENT");
    assert!(detail.contains("UTF-8"), "{detail}");
}

/// Routes that read the store.
const STORE_ROUTES: [&str; 4] =
    ["/", "/api/v1/orgs", "/api/v1/orgs/acme/metrics", "/api/v1/orgs/acme/members?limit=1"];

#[tokio::test]
async fn a_busy_store_is_unavailable_and_says_when_to_retry() {
    for path in STORE_ROUTES {
        let response = get(&faulty_api(Fault::Busy), path).await;
        let detail = response.problem(503, "INTERNAL_ERROR");
        assert_eq!(response.header("retry-after"), "2");
        assert!(!detail.contains(STORE_ERROR) && detail.contains("retry in"), "{detail}");
    }
}

#[tokio::test]
async fn an_internal_error_shows_only_its_request_id() {
    for fault in [Fault::Broken, Fault::Panic] {
        for path in STORE_ROUTES {
            let response = get(&faulty_api(fault), path).await;
            let detail = response.problem(500, "INTERNAL_ERROR");
            assert_eq!(detail, format!("internal error; request id {}", response.header("x-request-id")));
            assert_eq!(response.header("cache-control"), "no-store");
        }
    }
}

#[tokio::test]
async fn a_request_is_logged_once() {
    let id = [("x-request-id", "the-request")];
    for (fault, path) in [(Fault::Broken, "/api/v1/orgs"), (Fault::Panic, "/"), (Fault::Busy, "/healthz")] {
        send(&faulty_api(fault), Method::GET, path, &id).await;
    }
    let lines = log_lines("the-request");
    assert_eq!(lines.len(), 3, "{lines:#?}");
    for (line, (path, status, level)) in
        lines.iter().zip([("/api/v1/orgs", 500, "ERROR"), ("/", 500, "ERROR"), ("/healthz", 200, "INFO")])
    {
        assert_eq!(line["level"], level, "{line}");
        assert_eq!(line["fields"]["status"], status, "{line}");
        assert!(line["fields"]["latency_ms"].is_u64(), "{line}");
        assert_eq!(line["span"]["request_id"], "the-request", "{line}");
        assert_eq!((&line["span"]["method"], &line["span"]["path"]), (&"GET".into(), &path.into()), "{line}");
        let error = line["fields"]["error"].as_str().unwrap_or_default();
        assert_eq!(error.contains(STORE_ERROR), status == 500, "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn too_many_requests_are_refused_and_slow_ones_given_up() {
    let api = faulty_api(Fault::Hang);
    let started_at = tokio::time::Instant::now();
    let requests = (0..100).map(|n| {
        let api = api.clone();
        tokio::spawn(async move {
            let id = format!("crowd-{n}");
            let response = send(&api, Method::GET, "/api/v1/orgs", &[("x-request-id", &id)]).await;
            (response, started_at.elapsed().as_secs())
        })
    });
    let mut answered_after = Vec::new();
    for request in requests.collect::<Vec<_>>() {
        let (response, seconds) = request.await.expect("no panic");
        response.problem(503, "RATE_LIMITED");
        assert_eq!(response.header("retry-after"), "2");
        answered_after.push(seconds);
    }
    let count = |seconds| answered_after.iter().filter(|it| **it == seconds).count();
    assert_eq!((count(1), count(30)), (36, 64), "{answered_after:?}");
    assert_eq!(get(&api, "/healthz").await.status, 200, "a health check is always answered");
    let refusals = log_lines_with("requests: 64 are being answered");
    assert_eq!(refusals.len(), 1, "one line for all: {refusals:#?}");
}

#[tokio::test]
async fn what_cannot_be_encoded_as_requested_has_an_error_as_its_body() {
    let api = empty_api();
    for accept in ["identity;q=0", "*;q=0", "br, identity;q=0", "gzip;q=0, identity;q=0"] {
        let response = send(&api, Method::GET, "/api/v1/metrics", &[("accept-encoding", accept)]).await;
        let detail = response.problem(406, "INVALID_ARGUMENT");
        assert!(detail.contains("gzip"), "{detail}");
        assert_eq!((response.header("etag"), response.header("cache-control")), ("", "no-store"));
    }
    for accept in ["gzip, identity;q=0", "identity", "*", ""] {
        let response = send(&api, Method::GET, "/api/v1/metrics", &[("accept-encoding", accept)]).await;
        assert_eq!(response.status, 200, "{accept}");
    }
}

#[tokio::test]
async fn long_targets_and_headers_are_refused_and_inputs_cut() {
    let api = empty_api();
    let long = "x".repeat(20_000);
    get(&api, &format!("/api/v1/orgs?{long}")).await.problem(414, "INVALID_ARGUMENT");
    let response = send(&api, Method::GET, "/api/v1/orgs", &[("x-long", &"x".repeat(70_000))]).await;
    response.problem(431, "INVALID_ARGUMENT");
    let long = "x".repeat(10_000);
    for path in [
        format!("/{long}"),
        format!("/api/v1/orgs/{long}/metrics"),
        format!("/api/v1/orgs?{long}=1"),
        format!("/api/v1/orgs/acme/metrics?since={long}"),
        format!("/api/v1/orgs/acme/members?cursor={long}"),
    ] {
        let response = get(&api, &path).await;
        assert!(response.body.len() < 500, "{} bytes: {}", response.body.len(), &path[..40]);
    }
    let response = send(&api, Method::POST, &format!("/api/v1/orgs/{long}/metrics"), &[]).await;
    assert!(response.problem(405, "INVALID_ARGUMENT").len() < 300);
}

#[tokio::test]
async fn commands_are_offered_for_valid_logins_only() {
    let api = empty_api();
    let detail =
        async |org: &str| get(&api, &format!("/api/v1/orgs/{org}/metrics")).await.problem(404, "NOT_FOUND");
    assert!(detail("acme").await.contains("`github-metrics up acme`"));
    for org in ["a%20b;rm%20-rf", "%1b%5b31mRED", "$(id)", "a.b"] {
        let detail = detail(org).await;
        assert!(!detail.contains("github-metrics") && !detail.contains(char::is_control), "{detail:?}");
    }
}
