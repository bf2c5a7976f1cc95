//! Real answers: events through the inbox, the snapshots and the rollups to the API.

use axum::Router;
use chrono::{DateTime, Utc};
use gam_aggregate::aggregate;
use gam_model::{Event, EventBatch, EventId, EventKind, Facts, FirstReview, Member, MemberKind};
use gam_store::keys::CheckpointKey;
use gam_store::{CheckpointStore, NameEntry, NameKind, NameStore};
use serde_json::{Value, json};

use crate::schema;
use crate::support::{World, get, send};

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

fn event(
    id: EventId,
    kind: EventKind,
    repo: (&str, i64),
    member: &Member,
    when: &str,
    facts: Facts,
) -> Event {
    Event {
        id,
        version: 1,
        kind,
        org: "Acme".to_owned(),
        repo: repo.0.to_owned(),
        repo_id: repo.1,
        member: member.clone(),
        occurred_at: at(when),
        collected_at: at("2024-03-10T00:00:00Z"),
        retracted: false,
        facts,
    }
}

const SITE: (&str, i64) = ("Site", 1);
const TOOLS: (&str, i64) = ("tools", 2);

fn commit(sha: &str, repo: (&str, i64), member: &Member, when: &str) -> Event {
    let facts = Facts {
        sha: Some(sha.to_owned()),
        parents: Some(1),
        additions: Some(10),
        deletions: Some(5),
        files_changed: Some(2),
        ..Facts::default()
    };
    event(EventId::commit(repo.1, sha), EventKind::Commit, repo, member, when, facts)
}

fn events() -> Vec<Event> {
    let ann = Member::account("Ann", Some(11), false);
    let bob = Member::account("bob", Some(12), false);
    let bot = Member::account("dependabot", Some(13), true);
    let unlinked = Member { name: "~0123456789ab".to_owned(), id: None, kind: MemberKind::Unlinked };
    let opened = "2024-03-01T10:00:00Z";
    let facts = Facts {
        number: Some(1),
        state: Some("merged".to_owned()),
        draft: Some(false),
        created_at: Some(at(opened)),
        merged_at: Some(at("2024-03-03T10:00:00Z")),
        ..Facts::default()
    };
    let reviewed = FirstReview {
        member: "bob".to_owned(),
        member_kind: MemberKind::User,
        at: at("2024-03-01T16:00:00Z"),
    };
    let merged = Facts { first_reviews: Some(vec![reviewed]), ..facts.clone() };
    let review = Facts { number: Some(1), pr_member: Some("Ann".to_owned()), ..Facts::default() };
    vec![
        commit("a1", SITE, &ann, "2023-01-02T00:00:00Z"),
        commit("a2", SITE, &ann, opened),
        commit("a3", SITE, &ann, "2024-03-04T10:00:00Z"),
        commit("b1", TOOLS, &bob, "2024-03-09T23:59:59Z"),
        commit("c1", SITE, &bot, "2024-03-05T10:00:00Z"),
        commit("d1", TOOLS, &unlinked, "2024-02-20T10:00:00Z"),
        event(EventId::pr_opened(1, 1), EventKind::PrOpened, SITE, &ann, opened, facts),
        event(EventId::pr_merged(1, 1), EventKind::PrMerged, SITE, &ann, "2024-03-03T10:00:00Z", merged),
        event(EventId::review(7), EventKind::Review, SITE, &bob, "2024-03-01T16:00:00Z", review),
    ]
}

/// A world that holds the events of one organization, aggregated.
pub(crate) async fn world() -> World {
    let world = World::default();
    let names = [(NameKind::Org, 0, "Acme"), (NameKind::Repo, 1, "Site"), (NameKind::Repo, 2, "tools")];
    let names = names.map(|(kind, id, name)| NameEntry {
        kind,
        id,
        name: name.to_owned(),
        as_of: at("2024-03-10T00:00:00Z"),
    });
    world.store.put_names("Acme", &names).await.expect("names are kept");
    let batch = EventBatch::new("Acme", events());
    gam_lake::inbox::put(world.objects.as_ref(), &batch).await.expect("the batch is written");
    let report = aggregate(&world.aggregate_ports(), "acme", false, &()).await.expect("it aggregates");
    assert_eq!((report.batches, report.rejected.len()), (1, 0));
    world
}

async fn api() -> Router {
    gam_http::router(world().await.query_ports())
}

async fn asked(api: &Router, path: &str) -> Value {
    let answer = get(api, path).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("content-type")),
        (200, "application/json"),
        "{path}: {answer:?}"
    );
    answer.json()
}

#[tokio::test]
async fn organizations_are_listed() {
    let api = api().await;
    let expected = json!({"orgs": [{
        "org": "Acme", "repos": 2, "members": 3,
        "first_event": "2023-01-02T00:00:00Z", "last_event": "2024-03-09T23:59:59Z",
    }]});
    assert_eq!(asked(&api, "/api/v1/orgs").await, expected);
    let page = get(&api, "/").await;
    assert!(page.text().contains("<strong>Acme</strong>"), "{}", page.text());
    assert!(page.text().contains("href=\"api/v1/orgs/Acme/metrics\""), "{}", page.text());
}

/// From when on and up to when GitHub was read, as the answer says, given what is kept of the collection.
async fn read_span(org: Value, path: &str) -> Value {
    let world = world().await;
    let repo = json!({
        "commits": {"covered": {"tip": "a3", "since": "2023-12-01T00:00:00Z", "until": null}},
        "pulls": {"since": "2024-01-01T00:00:00Z"},
    });
    let (org_key, repo_key) =
        (CheckpointKey::Org("acme".to_owned()), CheckpointKey::Repo("acme".to_owned(), 1));
    for (key, kept) in [(org_key, org), (repo_key, repo)] {
        world.store.save(&key, &kept.to_string(), None).await.expect("it is saved");
    }
    let answer = asked(&gam_http::router(world.query_ports()), path).await;
    json!([answer["complete_since"], answer["complete_until"]])
}

#[tokio::test]
async fn answers_say_from_when_to_when_github_was_read() {
    let (since, until) = ("2023-12-11T00:00:00Z", "2024-03-10T11:00:00Z");
    let whole = json!({"complete_until": until, "since": since});
    for path in ["/api/v1/orgs/acme/metrics", "/api/v1/orgs/acme/members/ann/metrics"] {
        assert_eq!(read_span(whole.clone(), path).await, json!([since, until]), "{path}");
    }
    let site = "/api/v1/orgs/acme/repos/site/metrics";
    let span = json!(["2024-01-01T00:00:00Z", until]);
    assert_eq!(read_span(whole, site).await, span, "pull requests were read from a later day on");

    let partial = json!({"complete_until": until, "repos": {"2": null}, "since": since});
    let unknown = json!([null, null]);
    assert_eq!(read_span(partial.clone(), "/api/v1/orgs/acme/metrics").await, unknown);
    assert_eq!(read_span(partial.clone(), "/api/v1/orgs/acme/repos/tools/metrics").await, unknown);
    assert_eq!(read_span(partial, site).await, span);
}

#[tokio::test]
async fn metrics_are_those_of_the_range() {
    let api = api().await;
    let org = asked(&api, "/api/v1/orgs/ACME/metrics").await;
    assert_eq!(
        (&org["org"], &org["since"], &org["until"], &org["bots"]),
        (&json!("Acme"), &json!("2024-02-10"), &json!("2024-03-11"), &json!("exclude"))
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
        asked(&api, "/api/v1/orgs/acme/metrics?since=1970-01-01&until=9999-01-01&bots=include").await;
    assert_eq!(everything["metrics"]["commits"], 6);
    let bots = asked(&api, "/api/v1/orgs/acme/metrics?bots=only").await;
    assert_eq!((&bots["bots"], &bots["metrics"]["commits"]), (&json!("only"), &json!(1)));
    let idle = asked(&api, "/api/v1/orgs/acme/metrics?since=2023-06-01&until=2023-07-01").await;
    assert_eq!(idle["metrics"]["commits"], 0);
    let none = json!({"count": 0, "mean": null, "p50": null, "p90": null});
    assert_eq!(idle["metrics"]["cycle_time_hours"], none);
}

#[tokio::test]
async fn repositories_and_members_are_found_by_any_spelling() {
    let api = api().await;
    for (path, name, spelled, commits) in [
        ("repos/site", "repo", "Site", 2),
        ("repos/TOOLS", "repo", "tools", 2),
        ("members/aNN", "member", "Ann", 2),
        ("members/dependabot%5Bbot%5D", "member", "dependabot[bot]", 1),
        ("members/Dependabot[bot]", "member", "dependabot[bot]", 1),
        ("members/~0123456789ab", "member", "~0123456789ab", 1),
        ("members/%7E0123456789AB", "member", "~0123456789ab", 1),
    ] {
        let metrics = asked(&api, &format!("/api/v1/orgs/acme/{path}/metrics")).await;
        assert_eq!((&metrics["org"], &metrics[name]), (&json!("Acme"), &json!(spelled)), "{path}");
        assert_eq!(metrics["metrics"]["commits"], commits, "{path}");
        assert!(metrics["metrics"].get("total_repos").is_none(), "{path}");
        let series =
            asked(&api, &format!("/api/v1/orgs/acme/{path}/metrics/timeseries?granularity=month")).await;
        assert_eq!(series[name], spelled);
        let points = series["points"].as_array().expect("points");
        let sum = points.iter().map(|point| point["value"].as_u64().expect("a count")).sum::<u64>();
        assert_eq!((points.len(), sum), (2, commits), "{path}");
    }
    for path in ["repos/nothing", "members/nobody", "members/dependabot"] {
        let refused = get(&api, &format!("/api/v1/orgs/acme/{path}/metrics")).await;
        refused.problem(404, "NOT_FOUND");
    }
}

#[tokio::test]
async fn a_series_has_a_point_for_every_bucket() {
    let api = api().await;
    let path =
        "/api/v1/orgs/acme/metrics/timeseries?type=commit&granularity=week&since=2024-03-01&until=2024-03-09";
    let expected = json!({
        "org": "Acme", "metric": "commits", "granularity": "week",
        "points": [
            {"start": "2024-02-26", "end": "2024-03-04", "value": 1},
            {"start": "2024-03-04", "end": "2024-03-11", "value": 1},
        ],
    });
    assert_eq!(asked(&api, path).await, expected);
    let days = asked(&api, "/api/v1/orgs/acme/metrics/timeseries").await;
    assert_eq!(
        (days["granularity"].as_str(), days["points"].as_array().map(Vec::len)),
        (Some("day"), Some(30))
    );
    let hours =
        asked(&api, "/api/v1/orgs/acme/metrics/timeseries?metric=cycle_time_hours&granularity=month").await;
    assert_eq!(hours["points"][0]["value"], json!({"count": 0, "mean": null, "p50": null, "p90": null}));
    assert_eq!(hours["points"][1]["value"]["count"], 1);
}

#[tokio::test]
async fn a_series_has_its_limits() {
    let api = api().await;
    for subject in ["", "/repos/site", "/members/ann"] {
        // 20,000 days end on 2024-10-04.
        let path = format!("/api/v1/orgs/acme{subject}/metrics/timeseries?since=1970-01-01&until=");
        assert_eq!(
            asked(&api, &format!("{path}2024-10-04")).await["points"].as_array().map(Vec::len),
            Some(20_000)
        );
        let detail = get(&api, &format!("{path}2024-10-05")).await.problem(400, "INVALID_ARGUMENT");
        assert!(detail.contains("20,000") || detail.contains("20000"), "{detail}");
        assert_eq!(asked(&api, &format!("{path}2024-10-05&granularity=week")).await["granularity"], "week");
    }
}

#[tokio::test]
async fn a_listing_is_sorted_and_paged() {
    let api = api().await;
    let listed = async |list: &str, question: &str| {
        let (mut names, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = asked(&api, &format!("/api/v1/orgs/acme/{list}s?{question}{cursor}")).await;
            let entries = page[format!("{list}s")].as_array().expect("entries");
            names.extend(entries.iter().map(|entry| entry[list].as_str().expect("a name").to_owned()));
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return names.join(" "),
            }
        }
    };
    assert_eq!(listed("member", "").await, "Ann bob ~0123456789ab");
    assert_eq!(listed("member", "limit=1").await, "Ann bob ~0123456789ab");
    assert_eq!(listed("member", "sort=reviews&limit=2").await, "bob Ann ~0123456789ab");
    assert_eq!(listed("member", "sort=commits&order=asc&limit=1").await, "bob ~0123456789ab Ann");
    assert_eq!(listed("member", "bots=only").await, "dependabot[bot]");
    assert_eq!(listed("repo", "limit=1&sort=prs_opened").await, "Site tools");
    assert_eq!(listed("repo", "since=2023-01-01&until=2023-02-01").await, "Site");
    assert_eq!(listed("repo", "since=2022-01-01&until=2022-02-01").await, "");
    let page = asked(&api, "/api/v1/orgs/acme/members?limit=2").await;
    assert_eq!(
        (&page["members"][0]["kind"], &page["members"][0]["metrics"]["commits"]),
        (&json!("user"), &json!(2))
    );
    let refused = get(&api, "/api/v1/orgs/acme/members?cursor=nonsense").await;
    assert!(refused.problem(400, "INVALID_ARGUMENT").contains("cursor"));
}

#[tokio::test]
async fn answers_are_as_the_document_says() {
    let api = api().await;
    let document = asked(&api, "/openapi.json").await;
    for (path, item) in document["paths"].as_object().expect("paths") {
        let Some(schema) = item["get"]["responses"]["200"]["content"]["application/json"].get("schema")
        else {
            continue;
        };
        let uri = path.replace("{org}", "acme").replace("{repo}", "site").replace("{member}", "ann");
        let variants: &[&str] = match path {
            path if path.ends_with("timeseries") => &["", "?metric=cycle_time_hours&granularity=month"],
            path if path.ends_with("members") => &["", "?bots=include&limit=1"],
            path if path.ends_with("openapi.json") => continue,
            _ => &[""],
        };
        for variant in variants {
            let answer = asked(&api, &format!("{uri}{variant}")).await;
            schema::check(&document, schema, &answer)
                .unwrap_or_else(|error| panic!("{uri}{variant}: {error}"));
        }
    }
    let problem = get(&api, "/api/v1/orgs/nobody/metrics").await.json();
    schema::check(&document, &json!({"$ref": "#/components/schemas/Problem"}), &problem).expect("a problem");
}

#[tokio::test]
async fn the_same_facts_are_answered_with_the_same_bytes() {
    let (one, two) = (world().await, world().await);
    aggregate(&two.aggregate_ports(), "Acme", true, &()).await.expect("it aggregates anew");
    let (one, two) = (gam_http::router(one.query_ports()), gam_http::router(two.query_ports()));
    for path in ["orgs", "orgs/acme/metrics", "orgs/acme/members?limit=1", "orgs/acme/metrics/timeseries"] {
        let path = format!("/api/v1/{path}");
        let (first, second) = (get(&one, &path).await, get(&two, &path).await);
        assert_eq!((first.status.as_u16(), &first.body), (200, &second.body), "{path}");
        let known = [("if-none-match", first.header("etag"))];
        assert_eq!(send(&two, axum::http::Method::GET, &path, &known).await.status, 304, "{path}");
    }
}
