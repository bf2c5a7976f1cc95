//! `…/charts/{metric}.svg`.

use axum::http::Method;
use axum::http::header::CONTENT_TYPE;

use crate::support::{ApiResponse, acme, empty_api, get, send};

const CHARTS: &str = "/api/v1/orgs/acme/charts";

fn parse(answer: &ApiResponse) -> roxmltree::Document<'_> {
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "image/svg+xml"), "{answer:?}");
    roxmltree::Document::parse(answer.text()).unwrap_or_else(|error| panic!("{error}: {}", answer.text()))
}

fn text_of(answer: &ApiResponse, element: &str) -> String {
    let document = parse(answer);
    let node = document.descendants().find(|node| node.tag_name().name() == element);
    node.and_then(|node| node.text()).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_chart_shows_the_numbers_of_the_series() {
    let api = acme::api().await;
    let march = "since=2024-03-01&until=2024-03-09&granularity=week";
    let summary = "1 Mar 2024 – 8 Mar 2024, total 2, most 1 (4 Mar 2024 – 8 Mar 2024).";
    for (path, title) in [
        ("charts/commits.svg", "Commits · Acme"),
        ("repos/SITE/charts/commits.svg", "Commits · Acme/Site"),
        ("members/ann/charts/commits.svg", "Commits · Ann · Acme"),
    ] {
        let answer = get(&api, &format!("/api/v1/orgs/acme/{path}?{march}")).await;
        assert_eq!((text_of(&answer, "title").as_str(), text_of(&answer, "desc").as_str()), (title, summary));
    }
    let hours = get(&api, &format!("{CHARTS}/cycle_time_hours.svg?granularity=month&lang=ja")).await;
    assert_eq!(text_of(&hours, "title"), "サイクルタイム · Acme");
    assert!(text_of(&hours, "desc").contains("中央値 "), "{}", text_of(&hours, "desc"));
}

#[tokio::test]
async fn every_metric_has_a_chart() {
    let api = acme::api().await;
    for metric in gam_model::metric::CATALOGUE {
        for subject in ["", "/repos/site", "/members/ann"] {
            let path = format!("/api/v1/orgs/acme{subject}/charts/{}.svg", metric.name);
            parse(&get(&api, &path).await);
        }
    }
}

#[tokio::test]
async fn theme_and_width_change_the_picture() {
    let api = acme::api().await;
    let auto = get(&api, &format!("{CHARTS}/commits.svg")).await;
    assert_eq!(parse(&auto).root_element().attribute("width"), Some("680"));
    assert!(auto.text().contains("<style>@media(prefers-color-scheme:dark)"), "{}", auto.text());
    let dark = get(&api, &format!("{CHARTS}/commits.svg?theme=dark&width=240")).await;
    assert_eq!(parse(&dark).root_element().attribute("width"), Some("240"));
    assert!(dark.text().contains("#15181E") && !dark.text().contains("<style>"), "{}", dark.text());
    assert_ne!(auto.header("etag"), dark.header("etag"));
}

#[tokio::test]
async fn a_chart_can_be_embedded_and_runs_nothing() {
    let api = acme::api().await;
    let path = format!("{CHARTS}/commits.svg");
    let answer = get(&api, &path).await;
    let policy = answer.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(policy.ends_with("sandbox") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert_eq!(answer.header("cache-control"), "private, no-cache");
    assert!(!answer.text().contains("<script") && !answer.text().contains("http://127"), "{}", answer.text());
    let again = send(&api, Method::GET, &path, &[("if-none-match", answer.header("etag"))]).await;
    assert_eq!((again.status.as_u16(), again.body.len()), (304, 0));
    let gzip = send(&api, Method::GET, &path, &[("accept-encoding", "gzip")]).await;
    assert_eq!(gzip.header("content-encoding"), "gzip");
    let head = send(&api, Method::HEAD, &path, &[]).await;
    assert_eq!(head.headers[CONTENT_TYPE], "image/svg+xml");
}

#[tokio::test]
async fn invalid_charts_are_problem_documents() {
    let api = acme::api().await;
    for chart in ["stars.svg", "commits", "commits.png", ".svg", "commits.svg.svg", "COMMITS.SVG"] {
        let detail = get(&api, &format!("{CHARTS}/{chart}")).await.problem(404, "NOT_FOUND");
        assert!(detail.contains("commits.svg"), "{detail}");
    }
    for (query, part) in [
        ("width=100", "from 240 to 1600"),
        ("theme=pink", "light, dark, auto"),
        ("lang=xx", "en, ja"),
        ("metric=reviews", "unknown parameter"),
        ("since=2024-03-02&until=2024-03-01", "`until` is exclusive"),
        ("granularity=day&since=2020-01-01&until=2024-01-01", "1461 buckets, but the limit is 1000"),
    ] {
        let detail =
            get(&api, &format!("{CHARTS}/commits.svg?{query}")).await.problem(400, "INVALID_ARGUMENT");
        assert!(detail.contains(part), "{detail}");
    }
    let long = get(&api, &format!("{CHARTS}/commits.svg?since=2020-01-01&until=2024-01-01")).await;
    assert_eq!(long.status, 200, "without a granularity it has weeks: {}", long.text());
    for path in ["nobody/charts/commits.svg", "acme/repos/nothing/charts/commits.svg"] {
        get(&api, &format!("/api/v1/orgs/{path}")).await.problem(404, "NOT_FOUND");
    }
    get(&empty_api(), &format!("{CHARTS}/commits.svg")).await.problem(404, "NOT_FOUND");
}
