//! The audit log: its pages, its stream, who may read it, and that reading is logged.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use chrono::{DateTime, TimeDelta, Utc};
use gam_access::{AuditKind, AuditRow, NewToken, Principal, RepoName, Role, Scope, Tokens};
use gam_audit::{AuditPorts, drain};
use gam_http::{
    AccessControl, AllowedOrigins, ApiPorts, HostPrincipal, OriginHasher, PeerAddress, guarded_router,
};
use gam_model::Clock;
use gam_store::{NameEntry, NameKind, NameStore, RecordCommit, RecordCommitId, RecordStore};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::ServiceExt as _;

use crate::pages::attributes;
use crate::support::{ApiResponse, SettableClock, TestData, send};

const LOG: &str = "/api/v1/log";

/// The organizations "Acme" and "Other", whose logs are written to a lake in memory.
struct Audited {
    data: TestData,
    tokens: Tokens,
    clock: Arc<SettableClock>,
}

impl Audited {
    async fn new() -> Self {
        let data = TestData::default();
        for org in ["Acme", "Other"] {
            let name =
                NameEntry { kind: NameKind::Org, id: 0, name: org.to_owned(), as_of: DateTime::UNIX_EPOCH };
            data.store.put_names(org, &[name]).await.expect("names are stored");
        }
        let clock = Arc::new(SettableClock::new());
        Audited { tokens: Tokens::new(data.store.clone(), clock.clone()), data, clock }
    }

    fn api(&self) -> Router {
        let ports = ApiPorts { log: Some(self.data.log_ports(self.clock.clone())), ..self.data.api_ports() };
        guarded_router(ports, AccessControl::tokens(self.tokens.clone()), AllowedOrigins::default())
    }

    fn audit_ports(&self) -> AuditPorts {
        self.data.audit_ports(self.clock.clone())
    }

    async fn token(&self, name: &str, role: Role, scope: Scope) -> String {
        let new = NewToken { name: name.to_owned(), role, scope, member: None, expires_at: None };
        self.tokens.create(new, "local").await.expect("a token").0.expose().to_owned()
    }

    /// Commits a row, a second after the one before.
    async fn add(&self, org: Option<&str>, repo: Option<&str>, id: &str) {
        self.clock.advance(TimeDelta::seconds(1));
        let now: DateTime<Utc> = self.clock.now();
        let mut row =
            AuditRow::new(id, org, now, "token:ab", AuditKind::TaskClaimed, format!("subject of {id}"));
        if let Some(repo) = repo {
            row = row.about(Some(7), repo, Some(3)).with_detail("fence", 2);
        }
        let commit = row.add_to(RecordCommit::new(RecordCommitId::random())).expect("a commit");
        self.data.store.commit(&commit, now).await.expect("the row is stored");
    }

    async fn drain(&self) {
        for org in [Some("acme"), Some("other"), None] {
            drain(&self.audit_ports(), org).await.expect("the log is written");
        }
    }
}

async fn get_with(api: &Router, path: &str, token: &str) -> ApiResponse {
    send(api, Method::GET, path, &[("authorization", &format!("Bearer {token}"))]).await
}

async fn page(api: &Router, query: &str, token: &str) -> Value {
    let answer = get_with(api, &format!("{LOG}?{query}"), token).await;
    assert_eq!(answer.status, 200, "{query}: {answer:?}");
    answer.json()
}

async fn page_of(api: &Router, path: &str, token: &str) -> Value {
    get_with(api, path, token).await.json()
}

fn ids(page: &Value) -> Vec<&str> {
    page["rows"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| row["event_id"].as_str().expect("an id"))
        .collect()
}

#[tokio::test]
async fn a_cursor_misses_nothing_and_sees_nothing_twice() {
    let audited = Audited::new().await;
    let (api, auditor) = (audited.api(), audited.token("a", Role::Auditor, Scope::All).await);
    let (mut after, mut seen) = ("start".to_owned(), Vec::new());
    for round in 0..6 {
        audited.add(Some("acme"), Some("site"), &format!("a{round}")).await;
        audited.add(Some("other"), None, &format!("o{round}")).await;
        if round % 2 == 1 {
            audited.drain().await;
        }
        let answer = page(&api, &format!("limit=2&after={after}"), &auditor).await;
        seen.extend(ids(&answer).into_iter().map(str::to_owned));
        after = answer["next"].as_str().expect("a cursor").to_owned();
    }
    audited.drain().await;
    loop {
        let answer = page(&api, &format!("limit=2&after={after}"), &auditor).await;
        seen.extend(ids(&answer).into_iter().map(str::to_owned));
        after = answer["next"].as_str().expect("a cursor").to_owned();
        if answer["has_more"] == false {
            break;
        }
    }
    seen.retain(|id| id.starts_with('a') && !id.starts_with("audit") || id.starts_with('o'));
    seen.sort();
    let mut expected: Vec<String> =
        (0..6).flat_map(|round| [format!("a{round}"), format!("o{round}")]).collect();
    expected.sort();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_row_has_all_that_is_known() {
    let audited = Audited::new().await;
    let (api, auditor) = (audited.api(), audited.token("a", Role::Auditor, Scope::All).await);
    audited.add(Some("acme"), Some("site"), "task:1:claimed").await;
    let tail = page(&api, "org=acme&tail=true", &auditor).await;
    assert_eq!(ids(&tail), ["task:1:claimed"]);
    assert_eq!((&tail["rows"][0]["segment"], &tail["has_more"]), (&Value::Null, &Value::Bool(false)));
    assert_eq!(ids(&page(&api, "org=acme", &auditor).await), Vec::<&str>::new(), "no segment has it");
    audited.drain().await;
    let answer = page(&api, "org=ACME&tail=true", &auditor).await;
    let row = &answer["rows"][0];
    assert_eq!(answer["rows"].as_array().map(Vec::len), Some(1), "not twice");
    let expected = serde_json::json!({
        "segment": 1, "row": 1, "event_id": "task:1:claimed", "kind": "task_claimed", "org": "Acme", "repo": "site",
        "repo_id": 7, "number": 3, "principal": "token:ab", "subject": "subject of task:1:claimed", "outcome": "ok",
        "occurred_at": "2024-03-10T12:00:01Z", "count": null, "origin": null, "detail": {"fence": 2},
        "commit_id": row["commit_id"],
    });
    assert_eq!(*row, expected);
    assert_eq!(answer["next"], "acme.1.1");
    let document = page_of(&api, "/openapi.json", &auditor).await;
    let schema = serde_json::json!({"$ref": "#/components/schemas/AuditLogPage"});
    for page in [&answer, &tail] {
        crate::schema::check(&document, &schema, page).expect("the answer matches its schema");
    }
    let of_kind = page(&api, "org=acme&kind=token_created", &auditor).await;
    assert_eq!((ids(&of_kind), &of_kind["next"]), (Vec::new(), &"acme.1.1".into()), "the cursor moves on");
}

#[tokio::test]
async fn only_auditors_read_the_log_of_what_they_see() {
    let audited = Audited::new().await;
    let api = audited.api();
    audited.add(Some("acme"), Some("site"), "a-site").await;
    audited.add(Some("acme"), Some("other"), "a-other").await;
    audited.add(Some("acme"), None, "a-none").await;
    audited.add(Some("other"), None, "o-none").await;
    audited.drain().await;
    for (role, status) in [
        (Role::Viewer, 403),
        (Role::Worker, 403),
        (Role::Operator, 403),
        (Role::Approver, 403),
        (Role::Auditor, 200),
        (Role::Admin, 200),
    ] {
        let token = audited.token(role.as_str(), role, Scope::All).await;
        for path in [LOG, "/log"] {
            assert_eq!(get_with(&api, path, &token).await.status, status, "{role:?} {path}");
        }
    }
    let of_acme = audited.token("acme", Role::Auditor, Scope::Orgs(vec!["acme".to_owned()])).await;
    assert_eq!(ids(&page(&api, "", &of_acme).await), ["a-site", "a-other", "a-none"]);
    for org in ["other", "_", "nobody"] {
        get_with(&api, &format!("{LOG}?org={org}"), &of_acme).await.problem(404, "NOT_FOUND");
    }
    let site = RepoName { org: "acme".to_owned(), repo: "site".to_owned() };
    let of_site = audited.token("site", Role::Auditor, Scope::Repos(vec![site])).await;
    assert_eq!(ids(&page(&api, "", &of_site).await), ["a-site"]);
    let html = get_with(&api, "/log", &of_site).await;
    assert!(html.text().contains("subject of a-site") && !html.text().contains("a-other"), "{}", html.text());
}

#[tokio::test]
async fn reading_is_logged_once_an_hour() {
    let audited = Audited::new().await;
    let (api, auditor) = (audited.api(), audited.token("a", Role::Auditor, Scope::All).await);
    for _ in 0..3 {
        page(&api, "", &auditor).await;
        get_with(&api, "/log", &auditor).await;
    }
    audited.drain().await;
    let reads = page(&api, "org=_&kind=log_read", &auditor).await;
    assert_eq!(reads["rows"].as_array().map(Vec::len), Some(1));
    let id = &audited.tokens.list().await.expect("tokens")[0].id;
    assert_eq!(reads["rows"][0]["principal"], format!("token:{id}"));
    audited.clock.advance(TimeDelta::hours(1));
    page(&api, "", &auditor).await;
    audited.drain().await;
    let reads = page(&api, "org=_&kind=log_read", &auditor).await;
    assert_eq!(reads["rows"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn a_row_has_a_hash_of_the_address_and_no_address() {
    let audited = Audited::new().await;
    let auditor = audited.token("a", Role::Auditor, Scope::All).await;
    let access = AccessControl::tokens(audited.tokens.clone()).with_origins(OriginHasher::new(b"a long key"));
    let ports =
        ApiPorts { log: Some(audited.data.log_ports(audited.clock.clone())), ..audited.data.api_ports() };
    let api = guarded_router(ports, access, AllowedOrigins::default());
    let request = Request::get(LOG)
        .header("authorization", format!("Bearer {auditor}"))
        .extension(PeerAddress("203.0.113.7".parse().expect("an address")))
        .body(Body::empty())
        .expect("a request");
    assert_eq!(api.clone().oneshot(request).await.expect("a response").status(), 200);
    audited.drain().await;
    let reads = page(&api, "org=_&kind=log_read", &auditor).await;
    let origin = reads["rows"][0]["origin"].as_str().expect("an origin");
    assert!(origin.len() == 24 && origin.bytes().all(|byte| byte.is_ascii_hexdigit()), "{origin}");
    assert!(!reads.to_string().contains("203.0.113"), "{reads}");
}

#[tokio::test]
async fn invalid_parameters_are_named() {
    let audited = Audited::new().await;
    let (api, auditor) = (audited.api(), audited.token("a", Role::Auditor, Scope::All).await);
    for (query, name) in [
        ("after=x", "`after`"),
        ("after=acme.1", "`after`"),
        ("limit=0", "`limit`"),
        ("tail=maybe", "`tail`"),
        ("cursor=1", "unknown parameter"),
    ] {
        let detail =
            get_with(&api, &format!("{LOG}?{query}"), &auditor).await.problem(400, "INVALID_ARGUMENT");
        assert!(detail.contains(name), "{query}: {detail}");
    }
    get_with(&api, "/log?before=x", &auditor).await.problem(400, "INVALID_ARGUMENT");
}

#[tokio::test]
async fn a_host_that_cannot_write_has_no_log() {
    let audited = Audited::new().await;
    let access = AccessControl::tokens(audited.tokens.clone());
    let api = guarded_router(audited.data.query_ports(), access, AllowedOrigins::default());
    let auditor = audited.token("a", Role::Auditor, Scope::All).await;
    get_with(&api, LOG, &auditor).await.problem(503, "INTERNAL_ERROR");
}

/// Reads events of a stream until `count` of them have come.
async fn events(
    api: &Router,
    path: &str,
    token: &str,
    last: Option<&str>,
    count: usize,
) -> Vec<(String, String)> {
    let mut request = Request::get(path).header("authorization", format!("Bearer {token}"));
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    let response =
        api.clone().oneshot(request.body(Body::empty()).expect("a request")).await.expect("a response");
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let (mut body, mut text) = (response.into_body(), String::new());
    let is_complete = |text: &str| text.matches("\n\n").count() > count;
    while !is_complete(&text) {
        let frame = body.frame().await.expect("the stream goes on").expect("a frame");
        text.push_str(std::str::from_utf8(frame.data_ref().expect("data")).expect("text"));
    }
    assert!(text.starts_with(':'), "a comment at once: {text}");
    let field = |event: &str, name: &str| {
        event.lines().find_map(|line| line.strip_prefix(&format!("{name}: "))).unwrap_or_default().to_owned()
    };
    let id = |event: &str| {
        let data: Value = serde_json::from_str(&field(event, "data")).expect("JSON");
        data["event_id"].as_str().expect("an id").to_owned()
    };
    text.split("\n\n")
        .skip(1)
        .filter(|event| event.contains("data: "))
        .map(|event| (id(event), field(event, "id")))
        .collect()
}

#[tokio::test]
async fn a_stream_goes_on_after_the_last_event_id() {
    let audited = Audited::new().await;
    let (api, auditor) = (audited.api(), audited.token("a", Role::Auditor, Scope::All).await);
    for number in 0..4 {
        audited.add(Some("acme"), None, &format!("a{number}")).await;
    }
    audited.drain().await;
    let path = format!("{LOG}/stream?org=acme&after=start&tail=true");
    let first = events(&api, &path, &auditor, None, 2).await;
    assert_eq!(
        first[..2],
        [("a0".to_owned(), "acme.1.1".to_owned()), ("a1".to_owned(), "acme.1.2".to_owned())]
    );
    let rest = events(&api, &path, &auditor, Some(&first[1].1), 2).await;
    assert_eq!(
        rest[..2],
        [("a2".to_owned(), "acme.1.3".to_owned()), ("a3".to_owned(), "acme.1.4".to_owned())]
    );
    audited.add(Some("acme"), None, "a4").await;
    let tail = events(&api, &path, &auditor, Some("acme.1.4"), 1).await;
    assert_eq!(tail, [("a4".to_owned(), String::new())], "it comes again in a segment, so it has no id");
    let viewer = audited.token("v", Role::Viewer, Scope::All).await;
    get_with(&api, &format!("{LOG}/stream"), &viewer).await.problem(403, "FORBIDDEN");
    send(
        &api,
        Method::GET,
        &path,
        &[("authorization", &format!("Bearer {auditor}")), ("last-event-id", "x")],
    )
    .await
    .problem(400, "INVALID_ARGUMENT");
}

#[tokio::test]
async fn a_host_that_sends_complete_answers_ends_a_stream_after_one_look() {
    let audited = Audited::new().await;
    let auditor = audited.token("a", Role::Auditor, Scope::All).await;
    let mut ports =
        ApiPorts { log: Some(audited.data.log_ports(audited.clock.clone())), ..audited.data.api_ports() };
    ports.log.as_mut().expect("a log").is_streaming = false;
    let api = guarded_router(ports, AccessControl::tokens(audited.tokens.clone()), AllowedOrigins::default());
    audited.add(Some("acme"), None, "a1").await;
    audited.drain().await;
    let stream = |last: &'static str| {
        let headers = [
            ("authorization".to_owned(), format!("Bearer {auditor}")),
            ("last-event-id".to_owned(), last.to_owned()),
        ];
        let api = api.clone();
        async move {
            let headers: Vec<(&str, &str)> =
                headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            send(&api, Method::GET, &format!("{LOG}/stream?org=acme"), &headers).await.text().to_owned()
        }
    };
    let from_now = stream("").await;
    assert!(from_now.contains("id: acme.1.1") && from_now.contains("retry: 5000"), "{from_now}");
    assert!(!from_now.contains("data:"), "there is nothing new, and the client has a position: {from_now}");
    audited.add(Some("acme"), None, "a2").await;
    audited.drain().await;
    let rows = stream("acme.1.1").await;
    assert!(rows.contains("\"a2\"") && rows.contains("id: acme.2.1") && !rows.contains("\"a1\""), "{rows}");
}

#[tokio::test]
async fn a_host_can_say_who_sent_a_request() {
    let audited = Audited::new().await;
    let ports =
        ApiPorts { log: Some(audited.data.log_ports(audited.clock.clone())), ..audited.data.api_ports() };
    let viewer = Principal::trusted("host", Role::Viewer);
    let trusting = guarded_router(ports.clone(), AccessControl::trusted(viewer), AllowedOrigins::default());
    let by_tokens =
        guarded_router(ports, AccessControl::tokens(audited.tokens.clone()), AllowedOrigins::default());
    let status = async |api: &Router, caller: Option<HostPrincipal>| {
        let mut request = Request::get(LOG).body(Body::empty()).expect("a request");
        if let Some(caller) = caller {
            request.extensions_mut().insert(caller);
        }
        api.clone().oneshot(request).await.expect("a response").status().as_u16()
    };
    let auditor = || Some(HostPrincipal(Principal::trusted("iam:AIDA", Role::Auditor)));
    assert_eq!(status(&trusting, None).await, 403);
    assert_eq!(status(&trusting, auditor()).await, 200);
    assert_eq!(status(&by_tokens, auditor()).await, 401, "where tokens are required, nothing else counts");
}

#[tokio::test]
async fn the_page_shows_the_newest_rows_and_leads_to_older_ones() {
    let audited = Audited::new().await;
    let (api, auditor) = (audited.api(), audited.token("a", Role::Auditor, Scope::All).await);
    for number in 0..150 {
        audited.add(Some("acme"), Some("site"), &format!("row-{number:03}")).await;
    }
    audited.drain().await;
    audited.add(Some("acme"), Some("<b>site</b>"), "row-150").await;
    let html = get_with(&api, "/log?org=acme&lang=ja", &auditor).await;
    let text = html.text();
    assert!(
        text.contains("監査ログ") && text.contains("未書き込み") && text.contains("data-live=\"5\""),
        "{text}"
    );
    assert!(text.contains("&lt;b&gt;site") && !text.contains("<b>site"), "names are escaped");
    let position = |id: &str| {
        text.find(&format!("subject of {id}<")).or_else(|| text.find(&format!("subject of {id} ")))
    };
    assert!(position("row-150") < position("row-149") && position("row-149").is_some(), "the newest first");
    assert!(position("row-051").is_some() && position("row-049").is_none(), "100 rows");
    let links = attributes(text, "href");
    for link in ["?lang=en&org=acme", "?lang=ja&theme=dark&org=acme", "?lang=ja&org=acme&before=1.51"] {
        assert!(links.iter().any(|it| it == link), "{link}: {links:?}");
    }
    let older = get_with(&api, "/log?org=acme&before=1.51", &auditor).await;
    assert!(older.text().contains("subject of row-049") && !older.text().contains("subject of row-051"));
    assert!(!older.text().contains("data-live"), "older rows do not change");
    let filtered = get_with(&api, "/log?kind=token_created", &auditor).await;
    assert!(filtered.text().contains("token_created") && !filtered.text().contains("row-1"));
    let home = get_with(&api, "/", &auditor).await;
    assert!(home.text().contains("href=\"./log\""), "{}", home.text());
    let viewer = audited.token("v", Role::Viewer, Scope::All).await;
    assert!(!get_with(&api, "/", &viewer).await.text().contains("href=\"./log\""));
}
