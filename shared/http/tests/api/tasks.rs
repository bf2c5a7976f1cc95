//! Tasks over HTTP: what workers do, and what others see of it.

use std::sync::Arc;

use axum::Router;
use axum::http::Method;
use chrono::TimeDelta;
use gam_access::{NewToken, Principal, RepoName, Role, Scope, Tokens};
use gam_http::{AccessControl, AllowedOrigins, ApiPorts, guarded_router};
use gam_store::{NameEntry, NameKind, NameStore};
use serde_json::{Value, json};

use crate::pages::attributes;
use crate::support::{ApiResponse, SettableClock, TestData, acme, empty_api, get, send, send_json};

const REQUEST: &str = "/api/v1/request-task";
const TASKS: &str = "/api/v1/tasks";

/// The API over "Acme", with its tasks, for holders of tokens.
struct Host {
    api: Router,
    tokens: Tokens,
    clock: Arc<SettableClock>,
    data: TestData,
}

impl Host {
    async fn new() -> Self {
        let data = acme::data().await;
        for number in [7, 8] {
            acme::store_issue(&data, &acme::issue(number)).await;
        }
        let clock = Arc::new(SettableClock::new());
        let tokens = Tokens::new(data.store.clone(), clock.clone());
        let work = data.work_ports(clock.clone());
        let ports = ApiPorts { query: data.query_ports(), work: Some(work), log: None };
        let api = guarded_router(ports, AccessControl::tokens(tokens.clone()), AllowedOrigins::default());
        Host { api, tokens, clock, data }
    }

    async fn token(&self, name: &str, role: Role, scope: Scope) -> String {
        let new = NewToken { name: name.to_owned(), role, scope, member: None, expires_at: None };
        let (secret, _) = self.tokens.create(new, "local").await.expect("a token");
        format!("Bearer {}", secret.expose())
    }

    async fn worker(&self) -> String {
        self.token("worker", Role::Worker, Scope::All).await
    }

    async fn post(&self, path: &str, token: &str, body: Value) -> ApiResponse {
        send_json(&self.api, path, &[("authorization", token)], body).await
    }

    async fn get(&self, path: &str, token: &str) -> ApiResponse {
        send(&self.api, Method::GET, path, &[("authorization", token)]).await
    }

    async fn claim(&self, worker: &str, token: &str) -> Value {
        let answer = self.post(REQUEST, token, json!({ "worker": worker })).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["task"].clone()
    }

    /// Returns the path of a report about a claim.
    fn path(claim: &Value, what: &str) -> String {
        format!("{TASKS}/{}/{what}", claim["claim_id"].as_str().expect("an id"))
    }
}

#[tokio::test]
async fn a_worker_claims_reports_and_completes() {
    let host = Host::new().await;
    let token = host.worker().await;
    let claim = host.claim("dan", &token).await;
    assert_eq!(
        (&claim["issue"]["number"], &claim["fence"], &claim["attempt"]),
        (&json!(6), &json!(1), &json!(1))
    );
    assert_eq!(
        (&claim["lease_seconds"], &claim["lease_until"]),
        (&json!(600), &json!("2024-03-10T12:10:00Z"))
    );
    let issue = &claim["issue"];
    assert_eq!(
        (&issue["org"], &issue["repo"], &issue["author"]),
        (&json!("acme"), &json!("Site"), &json!("bob"))
    );
    assert_eq!(
        (&issue["title"], &issue["body"]),
        (&json!("Fix problem 6"), &json!("It does \"not\" work.\nReally."))
    );
    assert_eq!(host.claim("dan", &token).await["claim_id"], claim["claim_id"]);

    host.clock.advance(TimeDelta::seconds(60));
    let fence = json!({ "fence": 1 });
    let beat = host.post(&Host::path(&claim, "heartbeat"), &token, fence.clone()).await;
    assert_eq!(beat.json(), json!({ "lease_seconds": 600, "lease_until": "2024-03-10T12:11:00Z" }));
    let lines = json!({ "fence": 1, "lines": ["one", "token=abcdefghijk"], "sequence": 0 });
    for _ in 0..2 {
        let appended = host.post(&Host::path(&claim, "log"), &token, lines.clone()).await;
        assert_eq!((appended.status.as_u16(), appended.json()), (200, json!({ "lines": 2 })));
    }
    let stale = host.post(&Host::path(&claim, "complete"), &token, json!({ "fence": 2 })).await;
    assert!(stale.problem(409, "STALE_FENCE").contains("stop working"));
    let result = json!({ "fence": 1, "note": "done", "result": "https://example.com/pull/1" });
    let done = host.post(&Host::path(&claim, "complete"), &token, result).await;
    assert_eq!((done.status.as_u16(), &done.json()["lease_seconds"]), (200, &json!(0)));
    let ended = host.post(&Host::path(&claim, "heartbeat"), &token, fence).await;
    assert!(ended.problem(410, "CLAIM_ENDED").contains("completed"));

    let viewer = host.token("viewer", Role::Viewer, Scope::All).await;
    let log = host.get(&Host::path(&claim, "log"), &viewer).await.json();
    assert_eq!(log, json!({ "lines": ["one", "token=[redacted]"], "next": null, "is_cut": false }));
    let listed = host.get(&format!("{TASKS}?state=completed"), &viewer).await.json();
    let task = &listed["tasks"][0];
    assert_eq!((&task["number"], &task["claim"], &listed["next"]), (&json!(6), &Value::Null, &Value::Null));
    let last = &task["last_claim"];
    assert_eq!((&last["worker"], &last["outcome"]), (&json!("dan"), &json!("completed")));
    assert_eq!((&last["note"], &last["result"]), (&json!("done"), &json!("https://example.com/pull/1")));
}

#[tokio::test]
async fn without_a_task_a_worker_learns_when_to_request_again() {
    let host = Host::new().await;
    let token = host.worker().await;
    let body = json!({ "worker": "dan", "repos": ["acme/tools"] });
    let answer = host.post(REQUEST, &token, body).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0), "{answer:?}");
    assert_eq!(answer.header("retry-after"), "30");
    for repo in ["ACME/Site", "site"] {
        let answer =
            host.post(REQUEST, &token, json!({ "worker": repo.replace('/', "-"), "repos": [repo] })).await;
        assert_eq!(answer.status, 200, "{repo}: {answer:?}");
    }
}

#[tokio::test]
async fn roles_and_scopes_bound_what_tokens_do() {
    let host = Host::new().await;
    let worker = host.worker().await;
    let viewer = host.token("viewer", Role::Viewer, Scope::All).await;
    host.post(REQUEST, &viewer, json!({ "worker": "dan" })).await.problem(403, "FORBIDDEN");
    host.get(TASKS, &worker).await.problem(403, "FORBIDDEN");
    let repos = |repo: &str| Scope::Repos(vec![RepoName { org: "acme".to_owned(), repo: repo.to_owned() }]);
    let of_tools = host.token("tools", Role::Worker, repos("tools")).await;
    assert_eq!(host.post(REQUEST, &of_tools, json!({ "worker": "dan" })).await.status, 204);
    let of_site = host.token("site", Role::Worker, repos("site")).await;
    let claim = host.claim("dan", &of_site).await;
    for token in [&worker, &of_tools] {
        let refused = host.post(&Host::path(&claim, "complete"), token, json!({ "fence": 1 })).await;
        refused.problem(404, "NOT_FOUND");
    }
    let other = host.token("other", Role::Worker, Scope::Orgs(vec!["other".to_owned()])).await;
    assert_eq!(host.post(REQUEST, &other, json!({ "worker": "dan" })).await.status, 204);
    for (name, scope, count) in [
        ("view-tools", repos("tools"), 0),
        ("view-site", repos("site"), 4),
        ("view-acme", Scope::Orgs(vec!["acme".to_owned()]), 4),
        ("view-other", Scope::Orgs(vec!["other".to_owned()]), 0),
    ] {
        let token = host.token(name, Role::Viewer, scope).await;
        let listed = host.get(TASKS, &token).await.json();
        assert_eq!(listed["tasks"].as_array().expect("a list").len(), count, "{name}");
        let log = host.get(&Host::path(&claim, "log"), &token).await;
        assert_eq!(log.status, if count == 0 { 404 } else { 200 }, "{name}");
    }
    host.tokens.revoke("site", "local").await.expect("it is revoked");
    let refused = host.post(&Host::path(&claim, "heartbeat"), &of_site, json!({ "fence": 1 })).await;
    refused.problem(401, "UNAUTHORIZED");
}

#[tokio::test]
async fn invalid_bodies_are_refused_with_advice() {
    let host = Host::new().await;
    let token = host.worker().await;
    for (body, expected) in [
        (json!({}), "missing field `worker`"),
        (json!({ "worker": "dan", "skill": [] }), "unknown field `skill`"),
        (json!({ "worker": "" }), "invalid worker"),
        (json!({ "worker": "dan", "repos": ["a/b/c"] }), "expected org/repo"),
        (json!({ "worker": "dan", "skills": ["x".repeat(200)] }), "invalid skill"),
        (json!([]), "invalid"),
    ] {
        let detail = host.post(REQUEST, &token, body.clone()).await.problem(400, "INVALID_ARGUMENT");
        assert!(detail.contains(expected), "{body}: {detail}");
    }
    let headers = [("authorization", &*token)];
    let not_json = send(&host.api, Method::POST, REQUEST, &headers).await;
    not_json.problem(415, "INVALID_ARGUMENT");
    let form = [("authorization", &*token), ("content-type", "text/plain")];
    send(&host.api, Method::POST, REQUEST, &form).await.problem(415, "INVALID_ARGUMENT");
    let broken = send_json(&host.api, REQUEST, &headers, "{\"worker\":").await;
    broken.problem(400, "INVALID_ARGUMENT");
    let huge = send_json(&host.api, REQUEST, &headers, "x".repeat(2 << 20)).await;
    huge.problem(413, "INVALID_ARGUMENT");
    let unknown = host.post(&format!("{REQUEST}?a=b"), &token, json!({ "worker": "dan" })).await;
    unknown.problem(400, "INVALID_ARGUMENT");
    for id in ["x", "acme.1.5.1", "acme.1.5.1-zz", "acme.1.99.1-0123456789ab"] {
        let answer = host.post(&format!("{TASKS}/{id}/complete"), &token, json!({ "fence": 1 })).await;
        answer.problem(404, "NOT_FOUND");
    }
}

#[tokio::test]
async fn the_list_has_pages_and_filters() {
    let host = Host::new().await;
    let viewer = host.token("viewer", Role::Viewer, Scope::All).await;
    let mut path = format!("{TASKS}?limit=3");
    let mut numbers = Vec::new();
    loop {
        let answer = host.get(&path, &viewer).await;
        let page = answer.json();
        numbers.extend(page["tasks"].as_array().expect("a list").iter().map(|task| task["number"].clone()));
        let Some(next) = page["next"].as_str() else { break };
        assert!(answer.header("link").contains(next), "{answer:?}");
        path = format!("{TASKS}?limit=3&cursor={next}");
    }
    assert_eq!(numbers, [5, 6, 7, 8]);
    for (query, count) in [
        ("state=claimed", 1),
        ("state=ready", 3),
        ("repo=SITE", 4),
        ("repo=tools", 0),
        ("org=ACME&state=failed", 0),
    ] {
        let page = host.get(&format!("{TASKS}?{query}"), &viewer).await.json();
        assert_eq!(page["tasks"].as_array().expect("a list").len(), count, "{query}");
    }
    for query in ["state=done", "limit=0", "cursor=x", "cursor=acme.1", "page=2"] {
        host.get(&format!("{TASKS}?{query}"), &viewer).await.problem(400, "INVALID_ARGUMENT");
    }
    host.get(&format!("{TASKS}?org=nobody"), &viewer).await.problem(404, "NOT_FOUND");
}

#[tokio::test]
async fn issues_are_filtered_by_whether_workers_can_claim_them() {
    let host = Host::new().await;
    let viewer = host.token("viewer", Role::Viewer, Scope::All).await;
    let numbers = async |query: &str| {
        let answer = host.get(&format!("/api/v1/orgs/acme/issues{query}"), &viewer).await.json();
        let issues = answer["issues"].as_array().expect("a list").iter();
        issues.map(|issue| issue["number"].as_i64().expect("a number")).collect::<Vec<_>>()
    };
    assert_eq!(numbers("").await, [5, 6, 7, 8]);
    assert_eq!(numbers("?assignable=true").await, [6, 7, 8]);
    assert_eq!(numbers("?assignable=false").await, [5]);
    host.get("/api/v1/orgs/acme/issues?assignable=maybe", &viewer).await.problem(400, "INVALID_ARGUMENT");
}

#[tokio::test]
async fn the_page_shows_tasks_by_state_with_leases() {
    let host = Host::new().await;
    let viewer = host.token("viewer", Role::Viewer, Scope::All).await;
    let html = host.get("/orgs/ACME/tasks", &viewer).await;
    let text = html.text();
    let order = [
        "Workers",
        "ann",
        "Site#5",
        "works",
        "In work",
        "lease until",
        "Ready",
        "Site#6",
        "Site#7",
        "Site#8",
    ];
    let places = order.map(|it| text.find(it).unwrap_or_else(|| panic!("{it} is missing: {text}")));
    assert!(places.is_sorted(), "{places:?}");
    host.clock.advance(TimeDelta::seconds(601));
    let later = host.get("/orgs/acme/tasks", &viewer).await;
    let later = later.text();
    assert!(later.contains("lease ended") && later.contains("silent since the end of its lease"), "{later}");
    let mut locked = acme::issue(9);
    locked.details.is_locked = true;
    acme::store_issue(&host.data, &locked).await;
    let japanese = host.get("/orgs/acme/tasks?lang=ja", &viewer).await;
    assert!(japanese.text().contains("作業中") && japanese.text().contains("ロック中"), "{japanese:?}");
    let links = attributes(japanese.text(), "href");
    let outputs: Vec<_> = links.iter().filter(|link| link.contains("/tasks/")).collect();
    assert!(!outputs.is_empty() && outputs.iter().all(|link| link.ends_with("?lang=ja")), "{outputs:?}");
    assert_eq!(host.get("/orgs/nobody/tasks", &viewer).await.status, 404);
    let worker = host.worker().await;
    assert_eq!(host.get("/orgs/acme/tasks", &worker).await.status, 403);
}

/// Returns the part of a page that its script renews, with the number of seconds after which it looks again.
fn live_part(page: &ApiResponse) -> (&str, &str) {
    let (_, rest) =
        page.text().split_once(" data-live=\"").unwrap_or_else(|| panic!("no live part: {page:?}"));
    let (seconds, rest) = rest.split_once('"').expect("the attribute ends");
    (seconds, rest.split_once("</main>").expect("the content ends").0)
}

#[tokio::test]
async fn an_open_page_of_a_log_gets_the_last_lines_after_the_end_of_the_task() {
    let host = Host::new().await;
    let (token, viewer) = (host.worker().await, host.token("viewer", Role::Viewer, Scope::All).await);
    let claim = host.claim("dan", &token).await;
    let path = format!("/orgs/acme/tasks/{}", claim["claim_id"].as_str().expect("an id"));
    let opened = host.get(&path, &viewer).await;
    assert_eq!(live_part(&opened).0, "2");
    let lines = json!({ "fence": 1, "lines": ["the last line"], "sequence": 0 });
    host.post(&Host::path(&claim, "log"), &token, lines).await;
    host.post(&Host::path(&claim, "complete"), &token, json!({ "fence": 1 })).await;
    // The script takes the last part over, and then stops.
    let ended = host.get(&path, &viewer).await;
    let (seconds, part) = live_part(&ended);
    assert!(seconds == "0" && part.contains("the last line\n"), "{ended:?}");
    let later = host.get(&format!("{path}?from=1&theme=dark"), &viewer).await;
    assert!(!later.text().contains("the last line"), "{later:?}");
    let links = attributes(later.text(), "href");
    assert!(links.contains(&"?lang=ja&theme=dark&from=1".to_owned()), "{links:?}");
    let (path, headers) = (format!("{path}?from=x"), [("accept", "text/html"), ("authorization", &*viewer)]);
    let invalid = send(&host.api, Method::GET, &path, &headers).await;
    assert!(invalid.status == 400 && invalid.text().contains("<h1>"), "{invalid:?}");
}

#[tokio::test]
async fn an_open_page_of_no_tasks_can_lose_its_note() {
    let data = TestData::default();
    let as_of = "2024-03-10T00:00:00Z".parse().expect("a time");
    let name = NameEntry { kind: NameKind::Org, id: 0, name: "Idle".to_owned(), as_of };
    data.store.put_names("Idle", &[name]).await.expect("the name is stored");
    let page = get(&data.api(), "/orgs/idle/tasks").await;
    assert!(live_part(&page).1.contains("No tasks yet"), "{page:?}");
}

#[tokio::test]
async fn a_host_that_only_reads_has_no_tasks() {
    let api = gam_http::router(TestData::default().query_ports());
    let detail = get(&api, TASKS).await.problem(503, "INTERNAL_ERROR");
    assert!(detail.contains("permission to write"), "{detail}");
    let answer = get(&empty_api(), TASKS).await.json();
    assert_eq!(answer, json!({ "tasks": [], "next": null }));
}

#[tokio::test]
async fn options_lists_the_methods_of_tasks() {
    let admin = AccessControl::trusted(Principal::trusted("admin", Role::Admin));
    let api = guarded_router(TestData::default().api_ports(), admin, AllowedOrigins::default());
    for (path, methods) in [
        (REQUEST, "POST,OPTIONS"),
        (TASKS, "GET,HEAD,OPTIONS"),
        ("/api/v1/tasks/x/log", "GET,HEAD,POST,OPTIONS"),
    ] {
        let answer = send(&api, Method::OPTIONS, path, &[]).await;
        assert_eq!((answer.status.as_u16(), answer.header("allow")), (204, methods), "{path}");
    }
}
