//! The API of the real `serve`.

use std::collections::BTreeSet;
use std::io::Read;

use gam_tests::answers::{bucket_bounds, day};
use gam_tests::github::Double;
use gam_tests::http::{get, send_request};
use gam_tests::program::{Sandbox, ServerProcess};
use gam_tests::reference::{self, Bots, Subject};
use serde_json::{Value, json};

use gam_tests::support::{SINCE, backfilled, settled_at};

const ORG: &str = "/api/v1/orgs/acme-works";

fn start() -> (gam_tests::github::World, Double, Sandbox, ServerProcess) {
    let (world, double, sandbox) = backfilled(70);
    let server = sandbox.serve();
    (world, double, sandbox, server)
}

#[test]
fn every_route_answers_with_its_fields() {
    let (world, _double, _sandbox, server) = start();
    let orgs = get(server.address(), "/api/v1/orgs").json();
    let credits = reference::credits(&world, settled_at());
    let people = reference::active_members(credits.iter(), &Subject::Org, Bots::Auto);
    let first = credits.iter().map(|credit| credit.at).min().expect("a credit");
    assert_eq!(orgs["orgs"][0]["org"], "Acme-Works");
    assert_eq!(orgs["orgs"][0]["members"], people.len());
    assert_eq!(orgs["orgs"][0]["repos"], 4);
    let first_event: chrono::DateTime<chrono::Utc> =
        orgs["orgs"][0]["first_event"].as_str().and_then(|at| at.parse().ok()).expect("a moment");
    assert_eq!(first_event, first);

    for (path, fields) in [
        (
            format!("{ORG}/metrics"),
            &["org", "since", "until", "bots", "complete_since", "complete_until", "metrics"][..],
        ),
        (
            format!("{ORG}/repos/site/metrics"),
            &["org", "repo", "complete_since", "complete_until", "metrics"],
        ),
        (
            format!("{ORG}/members/ann/metrics"),
            &["org", "member", "complete_since", "complete_until", "metrics"],
        ),
        (
            format!("{ORG}/metrics/timeseries"),
            &[
                "org",
                "since",
                "until",
                "bots",
                "complete_since",
                "complete_until",
                "metric",
                "granularity",
                "points",
            ],
        ),
        (format!("{ORG}/repos/site/metrics/timeseries"), &["points"]),
        (format!("{ORG}/members/ann/metrics/timeseries"), &["points"]),
        (format!("{ORG}/members"), &["members", "next"]),
        (format!("{ORG}/repos"), &["repos", "next"]),
        ("/openapi.json".to_owned(), &["openapi", "paths"]),
        ("/healthz".to_owned(), &[]),
    ] {
        let answer = get(server.address(), &path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let body = answer.json();
        for field in fields {
            assert!(body.get(field).is_some(), "{path} has no {field}: {body}");
        }
    }
    let root = get(server.address(), "/");
    assert_eq!(root.status, 303, "with one organization, its page is the first one");
    let dashboard = get(server.address(), root.headers["location"].trim_start_matches('.'));
    assert_eq!(dashboard.status, 200);
    assert!(dashboard.headers["content-type"].starts_with("text/html"));
    let openapi = get(server.address(), "/openapi.json").json();
    assert!(openapi["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")));
    let complete = get(server.address(), &format!("{ORG}/metrics")).json()["complete_until"].clone();
    assert_eq!(complete, "2024-04-27T12:00:00Z", "GitHub's time of the last complete reading");
    for path in ["metrics", "repos/site/metrics", "members/ann/metrics"] {
        let since = get(server.address(), &format!("{ORG}/{path}")).json()["complete_since"].clone();
        assert_eq!(since, format!("{SINCE}T00:00:00Z"), "{path}");
    }
}

#[test]
fn errors_are_problem_documents() {
    let (_world, _double, _sandbox, server) = start();
    for (target, status, code) in [
        ("/api/v1/orgs/nobody/metrics", 404, "NOT_FOUND"),
        ("/api/v1/orgs/acme-works/repos/nothing/metrics", 404, "NOT_FOUND"),
        ("/api/v1/orgs/acme-works/members/nobody/metrics", 404, "NOT_FOUND"),
        ("/api/v1/orgs/acme-works/members/nobody/metrics/timeseries", 404, "NOT_FOUND"),
        ("/api/v1/nothing", 404, "NOT_FOUND"),
        ("/api/v1/orgs/acme-works/metrics?since=2024-02-30", 400, "INVALID_ARGUMENT"),
        ("/api/v1/orgs/acme-works/metrics?since=2024-02-02&until=2024-02-02", 400, "INVALID_ARGUMENT"),
        ("/api/v1/orgs/acme-works/metrics?until=2024-02-02&since=2024-02-03", 400, "INVALID_ARGUMENT"),
        ("/api/v1/orgs/acme-works/metrics?bots=some", 400, "INVALID_ARGUMENT"),
        ("/api/v1/orgs/acme-works/metrics?colour=red", 400, "INVALID_ARGUMENT"),
        ("/api/v1/orgs/acme-works/metrics/timeseries?metric=stars", 400, "INVALID_ARGUMENT"),
        ("/api/v1/orgs/acme-works/metrics/timeseries?granularity=hour", 400, "INVALID_ARGUMENT"),
        ("/api/v1/orgs/acme-works/metrics/timeseries?since=1970-01-01&until=2024-10-04", 200, ""),
        (
            "/api/v1/orgs/acme-works/metrics/timeseries?since=1970-01-01&until=2024-10-05",
            400,
            "INVALID_ARGUMENT",
        ),
        ("/api/v1/orgs/acme-works/members?limit=0", 400, "INVALID_ARGUMENT"),
        ("/api/v1/orgs/acme-works/members?cursor=nonsense", 400, "INVALID_ARGUMENT"),
        ("/api/v1/orgs/acme-works/members?order=up", 400, "INVALID_ARGUMENT"),
    ] {
        let answer = get(server.address(), target);
        assert_eq!(answer.status, status, "{target}: {}", answer.text());
        if status != 200 {
            let problem = answer.json();
            assert_eq!(answer.headers["content-type"], "application/problem+json", "{target}");
            assert_eq!((&problem["status"], &problem["code"]), (&json!(status), &json!(code)), "{target}");
            for field in ["type", "title", "detail"] {
                assert!(problem[field].as_str().is_some_and(|text| !text.is_empty()), "{target}: {problem}");
            }
        }
    }
    assert_eq!(
        send_request(server.address(), "POST", "/api/v1/orgs", &[]).status,
        405,
        "organizations are only read"
    );
}

#[test]
fn answers_have_etags_and_are_compressed() {
    let (_world, _double, _sandbox, server) = start();
    let target = format!("{ORG}/metrics/timeseries?since={SINCE}&until=2024-05-01&bots=include");
    let plain = get(server.address(), &target);
    let etag = plain.headers["etag"].clone();
    assert!(plain.headers.contains_key("cache-control"));
    assert!(!plain.headers.contains_key("content-encoding"));
    let unchanged = send_request(server.address(), "GET", &target, &[("if-none-match", &etag)]);
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
    assert_eq!(unchanged.headers["etag"], etag);
    let other = send_request(server.address(), "GET", &target, &[("if-none-match", "\"other\"")]);
    assert_eq!((other.status, &other.body), (200, &plain.body));
    let compressed = send_request(server.address(), "GET", &target, &[("accept-encoding", "gzip")]);
    assert_eq!(compressed.headers["content-encoding"], "gzip");
    let mut decompressed = Vec::new();
    flate2::read::GzDecoder::new(compressed.body.as_slice()).read_to_end(&mut decompressed).expect("gzip");
    assert_eq!(decompressed, plain.body);
    assert!(compressed.body.len() < plain.body.len());
}

#[test]
fn a_partial_bucket_counts_only_days_in_the_range() {
    let (world, _double, _sandbox, server) = start();
    let credits = reference::credits(&world, settled_at());
    // Across the end of a year, across a leap day, and with both ends within one week.
    for (since, until) in
        [("2023-12-27", "2024-01-09"), ("2024-02-28", "2024-03-02"), ("2024-01-30", "2024-02-02")]
    {
        for granularity in ["day", "week", "month"] {
            for metric in ["lines_changed", "reviews", "active_members"] {
                let target = format!(
                    "{ORG}/metrics/timeseries?metric={metric}&granularity={granularity}&since={since}&until={until}"
                );
                let answer = get(server.address(), &target).json();
                let mut at = day(since);
                for point in answer["points"].as_array().expect("points") {
                    let (start, end) = bucket_bounds(granularity, at);
                    let clipped = (start.max(day(since)), end.min(day(until)));
                    let selected =
                        reference::select(&credits, &Subject::Org, clipped.0, clipped.1, Bots::Auto);
                    let value = reference::metrics(&selected, &Subject::Org, Bots::Auto)[metric].clone();
                    let mut expected =
                        json!({ "start": start.to_string(), "end": end.to_string(), "value": value });
                    if clipped != (start, end) {
                        expected["partial"] = true.into();
                    }
                    assert_eq!(point, &expected, "{target}");
                    at = end;
                }
                assert!(at >= day(until), "{target}: the buckets reach the end of the range");
            }
        }
    }
}

#[test]
fn ranges_without_events_answer_with_zeros() {
    let (_world, _double, _sandbox, server) = start();
    for range in ["since=2030-01-01&until=2030-03-01", "since=2001-01-01&until=2001-03-01"] {
        for subject in ["", "/repos/site", "/members/bob"] {
            let answer = get(server.address(), &format!("{ORG}{subject}/metrics?{range}")).json();
            let empty = json!({ "count": 0, "mean": null, "p50": null, "p90": null });
            assert_eq!(answer["metrics"]["commits"], 0);
            assert_eq!(answer["metrics"]["active_members"], 0);
            assert_eq!(answer["metrics"]["cycle_time_hours"], empty);
            let target = format!(
                "{ORG}{subject}/metrics/timeseries?{range}&metric=cycle_time_hours&granularity=month"
            );
            let series = get(server.address(), &target).json();
            let points = series["points"].as_array().expect("points");
            assert_eq!(points.len(), 2);
            assert!(points.iter().all(|point| point["value"] == empty), "{series}");
        }
        let listing = get(server.address(), &format!("{ORG}/members?{range}")).json();
        assert_eq!((&listing["members"], &listing["next"]), (&json!([]), &json!(null)));
    }
}

#[test]
fn names_ignore_case_and_bots_can_be_queried_by_name() {
    let (world, _double, _sandbox, server) = start();
    let range = format!("since={SINCE}&until=2024-05-01");
    for (path, field, name) in [
        ("/api/v1/orgs/ACME-works/metrics", "org", "Acme-Works"),
        ("/api/v1/orgs/acme-works/repos/API-Server/metrics", "repo", "api-server"),
        ("/api/v1/orgs/acme-works/members/aNN/metrics", "member", "Ann"),
        ("/api/v1/orgs/acme-works/members/DEPENDABOT%5Bbot%5D/metrics", "member", "dependabot[bot]"),
        ("/api/v1/orgs/acme-works/members/ghost/metrics", "member", "ghost"),
    ] {
        assert_eq!(get(server.address(), &format!("{path}?{range}")).json()[field], name, "{path}");
    }
    let credits = reference::credits(&world, settled_at());
    let bot = Subject::Member("dependabot[bot]".to_owned());
    let bot_credits = reference::select(&credits, &bot, day(SINCE), day("2024-05-01"), Bots::Include);
    let commits = reference::metrics(&bot_credits, &bot, Bots::Include)["commits"].clone();
    assert!(commits.as_u64() > Some(0));
    for bots in ["auto", "exclude", "include", "only"] {
        let target = format!("{ORG}/members/dependabot%5Bbot%5D/metrics?{range}&bots={bots}");
        assert_eq!(get(server.address(), &target).json()["metrics"]["commits"], commits, "{bots}");
    }
    for (kind, metric) in [
        ("commit", "commits"),
        ("pull_request", "prs_opened"),
        ("code_change", "lines_changed"),
        ("deploy", "deploys"),
    ] {
        let points = |query: String| {
            let target = format!("{ORG}/metrics/timeseries?{range}&granularity=month&{query}");
            get(server.address(), &target).json()["points"].clone()
        };
        assert_eq!(points(format!("type={kind}")), points(format!("metric={metric}")));
    }
}

#[test]
fn the_pages_of_a_listing_contain_every_entry_once() {
    let (world, _double, _sandbox, server) = start();
    let credits = reference::credits(&world, settled_at());
    let range = format!("since={SINCE}&until=2024-05-01");
    for (bots, filter) in Bots::ALL {
        let credited = reference::select(&credits, &Subject::Org, day(SINCE), day("2024-05-01"), bots);
        let expected = reference::active_members(credited.into_iter(), &Subject::Org, bots);
        for (sort, order) in
            [("commits", "desc"), ("commits", "asc"), ("reviews", "desc"), ("cycle_time_hours", "asc")]
        {
            let (mut seen, mut values, mut cursor) = (Vec::new(), Vec::new(), String::new());
            loop {
                let target =
                    format!("{ORG}/members?{range}&bots={filter}&sort={sort}&order={order}&limit=3{cursor}");
                let page = get(server.address(), &target).json();
                let members = page["members"].as_array().expect("members").clone();
                assert!(members.len() <= 3, "{target}");
                seen.extend(members.iter().filter_map(|entry| entry["member"].as_str().map(str::to_owned)));
                values.extend(members.iter().map(|entry| sort_value(&entry["metrics"][sort])));
                match page["next"].as_str() {
                    Some(next) => cursor = format!("&cursor={next}"),
                    None => break,
                }
            }
            assert_eq!(seen.len(), expected.len(), "every member once: {seen:?}");
            assert_eq!(seen.iter().map(String::as_str).collect::<BTreeSet<_>>(), expected);
            let present: Vec<f64> = values.iter().copied().flatten().collect();
            let is_ordered = present
                .windows(2)
                .all(|two| if order == "asc" { two[0] <= two[1] } else { two[0] >= two[1] });
            assert!(is_ordered, "{sort} {order}: {values:?}");
        }
    }
    let repos = get(server.address(), &format!("{ORG}/repos?{range}&limit=2")).json();
    assert_eq!(repos["repos"].as_array().map(Vec::len), Some(2));
    let target = format!("{ORG}/repos?{range}&limit=2&cursor={}", repos["next"].as_str().expect("a cursor"));
    let rest = get(server.address(), &target).json();
    let names: BTreeSet<String> = [repos, rest]
        .iter()
        .flat_map(|page| page["repos"].as_array().cloned().unwrap_or_default())
        .map(|entry| entry["repo"].to_string())
        .collect();
    assert_eq!(names.len(), 4, "four repositories have events: {names:?}");
}

/// Returns the sort value of an entry: a count, or a distribution's median.
fn sort_value(value: &Value) -> Option<f64> {
    value.as_f64().or(value["p50"].as_f64())
}
