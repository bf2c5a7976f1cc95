//! The pages: their content, links, languages, errors and headers. The tests in a browser are in `tests`.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use axum::Router;
use axum::http::Method;
use chrono::TimeDelta;
use gam_query::QueryPorts;
use gam_store::CheckpointStore;
use gam_store::keys::CheckpointKey;
use serde_json::json;

use crate::support::{ApiResponse, Fault, SettableClock, acme, empty_api, faulty_api, get, get_json, send};

/// Views of the organization that [`acme`] makes, in a range with events.
const VIEWS: [&str; 6] = [
    "/orgs/acme",
    "/orgs/acme/delivery",
    "/orgs/acme/repos",
    "/orgs/acme/members",
    "/orgs/acme/repos/site",
    "/orgs/acme/members/ann",
];

async fn page(api: &Router, path: &str) -> ApiResponse {
    let answer = get(api, path).await;
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8", "{path}");
    answer
}

/// Returns the values of an attribute, unescaped.
pub(crate) fn attributes(html: &str, name: &str) -> Vec<String> {
    let start = format!(" {name}=\"");
    let values = html.split(&start).skip(1).filter_map(|rest| rest.split('"').next());
    values.map(|value| value.replace("&amp;", "&")).collect()
}

/// Resolves a relative link of a page, as a browser does.
pub(crate) fn resolve(page: &str, link: &str) -> String {
    let path = page.split('?').next().expect("a path");
    let link = link.split('#').next().expect("a link");
    if let Some(query) = link.strip_prefix('?') {
        return format!("{path}?{query}");
    }
    let (link, query) = link.split_once('?').map_or((link, None), |(link, query)| (link, Some(query)));
    let mut segments: Vec<&str> = path.split('/').collect();
    segments.pop();
    for segment in link.split('/') {
        match segment {
            "." => {}
            ".." => {
                assert!(segments.len() > 1, "{link} leaves the server at {page}");
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    let path = segments.join("/");
    let path = if path.is_empty() { "/".to_owned() } else { path };
    query.map_or(path.clone(), |query| format!("{path}?{query}"))
}

#[tokio::test]
async fn every_link_of_every_page_leads_somewhere() {
    let api = acme::api().await;
    let mut seen = BTreeSet::from(["/orgs/acme".to_owned()]);
    let mut queue: VecDeque<String> = seen.iter().cloned().collect();
    let mut pages = 0;
    while let Some(path) = queue.pop_front() {
        let answer = get(&api, &path).await;
        assert!(matches!(answer.status.as_u16(), 200 | 303), "{path}: {answer:?}");
        if !answer.header("content-type").starts_with("text/html") {
            continue;
        }
        pages += 1;
        let links = ["href", "src"].into_iter().flat_map(|name| attributes(answer.text(), name));
        for link in links.filter(|link| !link.starts_with("https://") && !link.starts_with("data:")) {
            let target = resolve(&path, &link);
            // Links combine: a few hundred of them have each parameter often.
            if !link.starts_with('#') && seen.len() < 600 && seen.insert(target.clone()) {
                queue.push_back(target);
            }
        }
    }
    assert!(pages > 100, "{pages}");
    for view in VIEWS {
        assert!(seen.iter().any(|path| path.eq_ignore_ascii_case(view)), "nothing leads to {view}");
    }
}

#[tokio::test]
async fn pages_show_the_numbers_of_the_api() {
    let api = acme::api().await;
    for (view, metrics) in [
        ("/orgs/acme", "/api/v1/orgs/acme/metrics"),
        ("/orgs/acme/repos/site", "/api/v1/orgs/acme/repos/site/metrics"),
        ("/orgs/acme/members/ann", "/api/v1/orgs/acme/members/ann/metrics"),
    ] {
        let (page, metrics) = (page(&api, view).await, get_json(&api, metrics).await);
        for metric in ["prs_merged", "reviews"] {
            let tile = page.text().split(&format!("data-metric=\"{metric}\"")).nth(1).expect("a tile");
            let value = tile.split("class=\"value\">").nth(1).and_then(|rest| rest.split('<').next());
            assert_eq!(value, Some(metrics["metrics"][metric].to_string().as_str()), "{view} {metric}");
        }
    }
}

#[tokio::test]
async fn a_page_needs_nothing_inline_and_nothing_from_elsewhere() {
    let api = acme::api().await;
    for view in VIEWS {
        let answer = page(&api, view).await;
        for forbidden in [" style=\"", "<style", "onclick", "<script>", "src=\"http", "http://"] {
            let html = answer.text().replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
            assert!(!html.contains(forbidden), "{view} has {forbidden}");
        }
        let policy = answer.header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("referrer-policy"), "same-origin");
    }
}

#[tokio::test]
async fn the_style_sheet_and_the_script_never_change_under_their_names() {
    let api = acme::api().await;
    let page = page(&api, "/orgs/acme").await;
    let links = ["href", "src"].into_iter().flat_map(|name| attributes(page.text(), name));
    let assets: Vec<String> = links.filter(|link| link.contains("assets/")).collect();
    assert_eq!(assets.len(), 2, "{assets:?}");
    for asset in assets {
        let answer = get(&api, &resolve("/orgs/acme", &asset)).await;
        assert_eq!(answer.status, 200, "{asset}");
        assert_eq!(answer.header("cache-control"), "public, max-age=31536000, immutable");
    }
    assert_eq!(get(&api, "/assets/0123456789abcdef.css").await.status, 404);
}

#[tokio::test]
async fn the_language_follows_the_address_and_then_the_browser() {
    let api = acme::api().await;
    let in_language = async |path: &str, accepted: &str| {
        let answer = send(&api, Method::GET, path, &[("accept-language", accepted)]).await;
        (answer.header("content-language").to_owned(), answer.text().contains("サイクルタイム"))
    };
    assert_eq!(in_language("/orgs/acme", "ja,en;q=0.5").await, ("ja".to_owned(), true));
    assert_eq!(in_language("/orgs/acme", "de").await, ("en".to_owned(), false));
    assert_eq!(in_language("/orgs/acme?lang=en", "ja").await, ("en".to_owned(), false));
}

#[tokio::test]
async fn errors_of_pages_are_pages() {
    let api = acme::api().await;
    for (path, status) in [
        ("/orgs/nobody", 404),
        ("/orgs/acme/repos/nothing", 404),
        ("/orgs/acme/members/nobody", 404),
        ("/orgs/acme?since=yesterday", 400),
        ("/orgs/acme/repos?cursor=x", 400),
        ("/orgs/acme?since=1970-01-01&until=9999-01-01", 400),
        ("/orgs/acme/repos?since=1970-01-01&until=9999-01-01", 400),
        ("/orgs/acme/nothing", 404),
    ] {
        let answer = send(&api, Method::GET, path, &[("accept", "text/html,*/*;q=0.8")]).await;
        assert_eq!(answer.status, status, "{path}");
        assert!(answer.header("content-type").starts_with("text/html"), "{path}");
        assert!(answer.text().contains("<h1>"), "{path}");
        assert_eq!(answer.text().contains("nothing here that you can see"), status == 404, "{path}");
    }
    let browser = send(&api, Method::GET, "/nothing", &[("accept", "text/html")]).await;
    assert_eq!((browser.status.as_u16(), browser.header("content-type")), (404, "text/html; charset=utf-8"));
    get(&api, "/nothing").await.problem(404, "NOT_FOUND");
}

#[tokio::test]
async fn a_range_with_too_many_buckets_says_what_to_do() {
    let path = "/orgs/acme/members/ann?since=1970-01-01&until=9999-01-01";
    let answer = send(&acme::api().await, Method::GET, path, &[("accept", "text/html")]).await;
    assert_eq!(answer.status, 400);
    let text = "the range from 1970-01-01 to 9999-01-01 has 96348 months, but the limit is 600: choose a shorter range";
    assert!(answer.text().contains(text), "{}", answer.text());
}

#[tokio::test]
async fn a_repository_shows_its_first_two_hundred_members() {
    let api = acme::data_with(&[], acme::commits_of_members(("Site", 1), 230)).await.api();
    let page = page(&api, "/orgs/acme/repos/site").await;
    let members = page.text().split("id=\"entries\"").nth(1).and_then(|rest| rest.split("</section>").next());
    let members = members.expect("the members");
    assert_eq!(members.matches("<th scope=\"row\">").count(), 200);
    assert!(members.contains("The 200 of 232 with most Commits"), "{}", &members[..400]);
    assert!(attributes(members, "href").contains(&"../../../orgs/Acme/members".to_owned()));
}

#[tokio::test]
async fn one_organization_is_shown_at_once_and_none_says_what_to_run() {
    let one = get(&acme::api().await, "/").await;
    assert_eq!((one.status.as_u16(), one.header("location")), (303, "./orgs/Acme"));
    let none = page(&empty_api(), "/").await;
    assert!(none.text().contains("github-metrics up my-org"), "{}", none.text());
}

#[tokio::test]
async fn a_form_with_a_last_day_leads_to_the_day_after_it() {
    let api = acme::api().await;
    let answer = get(&api, "/orgs/acme?since=2024-03-01&last=2024-03-05&lang=ja").await;
    let location = "?since=2024-03-01&until=2024-03-06&lang=ja";
    assert_eq!((answer.status.as_u16(), answer.header("location")), (303, location));
}

#[tokio::test]
async fn a_page_can_be_limited_to_members() {
    let api = acme::api().await;
    let commits = async |query: &str| {
        let page = page(&api, &format!("/orgs/acme?since=2024-03-01&until=2024-03-11{query}")).await;
        let panel = page.text().split("id=\"activity\"").nth(1).expect("the activity").to_owned();
        let table = panel
            .split("<tbody>")
            .nth(1)
            .and_then(|rest| rest.split("</tbody>").next())
            .expect("a table")
            .to_owned();
        table
            .split("<td class=\"number\">")
            .skip(1)
            .map(|cell| cell.split('<').next().unwrap().parse::<u64>().unwrap())
            .sum::<u64>()
    };
    assert_eq!(commits("").await, 3);
    assert_eq!(commits("&member=ANN").await, 2);
    assert_eq!(commits("&member=ann&member=bob").await, 3);
    assert_eq!(commits("&member=ann,bob").await, 3);
}

#[tokio::test]
async fn an_empty_range_says_when_something_happened() {
    let page = page(&acme::api().await, "/orgs/acme?since=2022-01-01&until=2022-02-01").await;
    assert!(page.text().contains("Nothing happened in these days"), "{}", page.text());
    assert!(page.text().contains("9 Mar 2024"), "{}", page.text());
}

#[tokio::test]
async fn the_last_event_is_one_of_those_who_count() {
    let api = acme::api().await;
    let path = "/orgs/acme/repos/site?since=2022-01-01&until=2022-02-01";
    let (people, all) = (page(&api, path).await, page(&api, &format!("{path}&bots=include")).await);
    assert!(people.text().contains("4 Mar 2024"), "{}", people.text());
    assert!(all.text().contains("5 Mar 2024"), "a bot's commit: {}", all.text());
}

#[tokio::test]
async fn days_before_the_collection_are_not_compared() {
    let data = acme::data().await;
    let key = CheckpointKey::Org("acme".to_owned());
    // One repository was never read completely, so the time until which the numbers are complete is not known.
    let checkpoint = json!({"complete_until": "2024-03-10T11:00:00Z", "repos": {"2": null}, "since": "2024-02-20T00:00:00Z"});
    data.store.save(&key, &checkpoint.to_string(), None).await.expect("it is saved");
    let text = "the days before are not complete";
    let is_comparable =
        async |days: &str| !page(&data.api(), &format!("/orgs/acme?{days}")).await.text().contains(text);
    assert!(!is_comparable("since=2024-02-20&until=2024-03-11").await);
    assert!(is_comparable("since=2024-03-04&until=2024-03-11").await);
}

#[tokio::test]
async fn days_before_the_first_event_are_not_compared_if_nothing_is_known_of_the_collection() {
    let api = acme::api().await;
    for view in ["/orgs/acme", "/orgs/acme/members"] {
        let compares = async |since: &str| {
            let html = page(&api, &format!("{view}?since={since}&until=2024-03-11")).await.text().to_owned();
            assert_ne!(
                html.contains("Changes compare"),
                html.contains("Changes are hidden"),
                "{view} {since}"
            );
            html.contains("Changes compare")
        };
        // The first event is of 2 January 2023, so 217 days are the longest range with a range before it.
        assert!(compares("2024-03-01").await && compares("2023-08-07").await, "{view}");
        assert!(!compares("2023-08-06").await && !compares("2023-01-01").await, "{view}");
    }
}

#[tokio::test]
async fn members_that_do_not_exist_are_named() {
    let api = acme::api().await;
    let html = async |query: &str| {
        page(&api, &format!("/orgs/acme?since=2024-03-01&until=2024-03-11{query}")).await.text().to_owned()
    };
    let only = html("&member=nobody").await;
    assert!(only.contains("Acme has no member nobody: check the spelling."), "{only}");
    let mixed = html("&member=ann,nobody,%3Cb%3E").await;
    assert!(mixed.contains("Acme has no member &lt;b&gt;, nobody: check"), "{mixed}");
    // A member who did nothing in these days is a member.
    let idle = html("&member=bob&since=2024-03-02&until=2024-03-03").await;
    assert!(!idle.contains("has no member") && idle.contains("Nothing happened"), "{idle}");
}

#[tokio::test]
async fn links_to_repositories_with_one_name_have_the_id() {
    let api = acme::data_with(&[("tools", 3)], acme::commits_of_members(("tools", 3), 1)).await.api();
    // The other one with this name did nothing on that day.
    let day = "since=2024-03-04&until=2024-03-05";
    for path in ["/orgs/acme", "/orgs/acme/repos", "/orgs/acme/members/member0"] {
        let page = page(&api, &format!("{path}?{day}")).await;
        let links = attributes(page.text(), "href");
        let to_tools: Vec<_> =
            links.iter().filter(|link| link.contains("/repos/tools?") && !link.contains("/api/")).collect();
        assert!(!to_tools.is_empty(), "{path}");
        assert!(to_tools.iter().all(|link| link.contains("&id=3")), "{path}: {to_tools:?}");
        assert!(!links.iter().any(|link| link.contains("/repos/Site?") && link.contains("id=")), "{path}");
    }
    let page = page(&api, &format!("/orgs/acme/repos/tools?{day}&id=3")).await;
    let links = attributes(page.text(), "href");
    let series: Vec<_> = links.iter().filter(|link| link.contains("metrics/timeseries")).collect();
    assert!(!series.is_empty() && series.iter().all(|link| link.ends_with("&id=3")), "{series:?}");
}

#[tokio::test]
async fn the_next_page_has_the_days_of_the_first() {
    let data = acme::data_with(&[], acme::commits_of_members(("Site", 1), 60)).await;
    let clock = Arc::new(SettableClock::new());
    let api = gam_http::router(QueryPorts { clock: clock.clone(), ..data.query_ports() });
    let first = page(&api, "/orgs/acme/members").await;
    let next = attributes(first.text(), "href").into_iter().find(|link| link.contains("cursor="));
    let next = resolve("/orgs/acme/members", &next.expect("a next page"));
    assert!(next.contains("since=2024-02-10&until=2024-03-11"), "{next}");
    clock.advance(TimeDelta::days(1));
    page(&api, &next).await;
}

#[tokio::test]
async fn an_error_page_says_when_to_retry() {
    let answer = send(&faulty_api(Fault::Busy), Method::GET, "/orgs/acme", &[("accept", "text/html")]).await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "2"));
    assert!(answer.header("content-type").starts_with("text/html"));
}

#[tokio::test]
async fn addresses_that_people_type_lead_to_pages() {
    let api = acme::api().await;
    for (path, location) in [("/orgs", "."), ("/orgs/acme/", "../acme")] {
        let answer = get(&api, path).await;
        assert_eq!((answer.status.as_u16(), answer.header("location")), (308, location), "{path}");
    }
}
