//! Who may use the API: tokens, roles, scopes, signing in, and pages of other origins.

use std::sync::Arc;

use axum::Router;
use axum::http::Method;
use chrono::{DateTime, TimeDelta};
use gam_access::{NewToken, RefusalLog, RefusalRow, RepoName, Role, Scope, Tokens};
use gam_http::{AccessControl, AllowedHosts, AllowedOrigins, RequestRate, TokenSource, guarded_router};
use gam_model::Clock;
use gam_store::{NameEntry, NameKind, NameStore, RecordKind, RecordRange, RecordStore};

use crate::pages::{attributes, resolve};
use crate::support::{
    ApiResponse, SettableClock, TestData, acme, get, get_json, log_lines, log_lines_with, send, send_form,
    send_json, with_names,
};

const METRICS_OF_ACME: &str = "/api/v1/orgs/acme/metrics";
const METRICS_OF_OTHER: &str = "/api/v1/orgs/other/metrics";

/// The organizations "Acme" and "Other", and the tokens of their store.
struct Guarded {
    data: TestData,
    tokens: Tokens,
    clock: Arc<SettableClock>,
}

impl Guarded {
    async fn new() -> Self {
        let data = acme::data().await;
        let name =
            |kind, id, name: &str| NameEntry { kind, id, name: name.to_owned(), as_of: DateTime::UNIX_EPOCH };
        let names = [name(NameKind::Org, 0, "Other"), name(NameKind::Repo, 9, "hidden")];
        data.store.put_names("Other", &names).await.expect("names are stored");
        let clock = Arc::new(SettableClock::new());
        Guarded { tokens: Tokens::new(data.store.clone(), clock.clone()), data, clock }
    }

    /// Returns the API for holders of tokens.
    fn api(&self) -> Router {
        self.api_with(AccessControl::tokens(self.tokens.clone()))
    }

    fn api_with(&self, access: AccessControl) -> Router {
        guarded_router(self.data.api_ports(), access, AllowedOrigins::default())
    }

    /// Creates a token, and returns its secret.
    async fn create(&self, name: &str, role: Role, scope: Scope) -> String {
        let new = NewToken { name: name.to_owned(), role, scope, member: None, expires_at: None };
        let (secret, _) = self.tokens.create(new, "local").await.expect("a token");
        secret.expose().to_owned()
    }

    async fn viewer(&self) -> String {
        self.create("viewer", Role::Viewer, Scope::All).await
    }
}

async fn get_with(api: &Router, path: &str, token: &str) -> ApiResponse {
    let authorization = format!("Bearer {token}");
    send(api, Method::GET, path, &[("authorization", &authorization)]).await
}

/// Checks that this is the refusal of everybody without a valid token.
fn assert_unauthorized(answer: &ApiResponse) {
    let detail = answer.problem(401, "UNAUTHORIZED");
    assert_eq!(detail, "no valid bearer token: send the header `Authorization: Bearer TOKEN`");
    assert_eq!(answer.header("www-authenticate"), "Bearer");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert!(!answer.headers.contains_key("etag") && !answer.headers.contains_key("location"));
}

fn only_acme() -> Scope {
    Scope::Orgs(vec!["acme".to_owned()])
}

#[tokio::test]
async fn every_route_but_the_public_ones_needs_a_token() {
    let guarded = Guarded::new().await;
    let api = guarded.api();
    let token = guarded.viewer().await;
    let document = get_json(&api, "/openapi.json").await;
    // Webhooks have a router of their own, and signatures.
    let paths = document["paths"].as_object().expect("paths").keys();
    let paths: Vec<&String> = paths.filter(|path| *path != gam_http::WEBHOOK_PATH).collect();
    assert!(paths.len() > 10, "{paths:?}");
    let mut public = Vec::new();
    for path in paths {
        let uri = with_names(path);
        let without = get(&api, &uri).await;
        let operation = &document["paths"][path.as_str()]["get"];
        if operation.is_null() {
            assert_unauthorized(&without);
            assert_unauthorized(&send_json(&api, &uri, &[], "{}").await);
            let authorization = format!("Bearer {token}");
            let forbidden = send_json(&api, &uri, &[("authorization", &authorization)], "{}").await;
            forbidden.problem(403, "FORBIDDEN");
            continue;
        }
        if without.status == 200 {
            public.push(path.as_str());
            assert!(operation["security"].is_null() && operation["responses"]["401"].is_null(), "{path}");
            continue;
        }
        assert_unauthorized(&without);
        assert!(operation["responses"]["401"].is_object(), "{path}");
        assert_eq!(operation["security"][0]["token"], serde_json::json!([]), "{path}");
        for method in [Method::HEAD, Method::POST, Method::DELETE] {
            let answer = send(&api, method.clone(), &uri, &[]).await;
            assert_eq!(answer.status, 401, "{method} {path}");
        }
        let with = get_with(&api, &uri, &token).await;
        // A viewer does not read the audit log.
        let expected = if path.starts_with("/api/v1/log") { 403 } else { 200 };
        assert_eq!(with.status, expected, "{path}: {with:?}");
        assert_unauthorized(&get_with(&api, &uri, "wrong").await);
    }
    assert_eq!(public, ["/api/v1/healthz", "/api/v1/openapi.json", "/healthz", "/openapi.json"]);
    for path in ["/nothing", "/api/v1/orgs/nobody/metrics", "/api/v1/orgs/acme/metrics?bots=maybe"] {
        assert_unauthorized(&get(&api, path).await);
    }
}

#[tokio::test]
async fn wrong_expired_and_revoked_tokens_get_the_same_answer() {
    let guarded = Guarded::new().await;
    let api = guarded.api();
    let viewer = guarded.viewer().await;
    let expires_at = Some(guarded.clock.now() + TimeDelta::hours(1));
    let new =
        NewToken { name: "short".to_owned(), role: Role::Admin, scope: Scope::All, member: None, expires_at };
    let (short, _) = guarded.tokens.create(new, "local").await.expect("a token");
    for token in [viewer.as_str(), short.expose()] {
        assert_eq!(get_with(&api, METRICS_OF_ACME, token).await.status, 200);
    }
    let reference = get(&api, METRICS_OF_ACME).await;
    guarded.clock.advance(TimeDelta::hours(1));
    guarded.tokens.revoke("viewer", "local").await.expect("it is revoked");
    let longer = format!("{viewer}0");
    for (token, reason) in [
        (viewer.as_str(), "the token is unknown or was revoked"),
        (short.expose(), "the token is expired"),
        (longer.as_str(), "the token is unknown or was revoked"),
        ("", "the header Authorization has no bearer token"),
    ] {
        let answer = get_with(&api, METRICS_OF_ACME, token).await;
        assert_unauthorized(&answer);
        assert_eq!(answer.body, reference.body, "the answer does not say what is wrong");
        let lines = log_lines(answer.header("x-request-id"));
        assert_eq!(lines.last().expect("a line")["fields"]["reason"], reason);
        assert!(token.is_empty() || !format!("{lines:?}").contains(token), "the log has no token: {lines:?}");
    }
    assert!(!log_lines_with("refused").is_empty(), "refusals are warned about");
}

#[tokio::test]
async fn a_token_sees_only_its_organizations() {
    let guarded = Guarded::new().await;
    let api = guarded.api();
    let (all, acme) = (guarded.viewer().await, guarded.create("acme", Role::Admin, only_acme()).await);
    assert_eq!(get_with(&api, METRICS_OF_OTHER, &all).await.status, 200);
    assert_eq!(get_with(&api, METRICS_OF_ACME, &acme).await.status, 200);
    for path in [
        "/api/v1/orgs/{org}/metrics",
        "/api/v1/orgs/{org}/metrics?bots=maybe",
        "/api/v1/orgs/{org}/members",
        "/api/v1/orgs/{org}/repos/hidden/metrics/timeseries",
    ] {
        let body = async |org: &str| {
            let answer = get_with(&api, &path.replace("{org}", org), &acme).await;
            answer.problem(404, "NOT_FOUND").replace(org, "{org}")
        };
        assert_eq!(body("other").await, body("nobody").await, "{path}");
        assert_eq!(body("Other").await, body("other").await, "{path}");
    }
    let unknown = get_with(&api, "/api/v1/orgs/nobody/metrics", &all).await.problem(404, "NOT_FOUND");
    let hidden = get_with(&api, METRICS_OF_OTHER, &acme).await.problem(404, "NOT_FOUND");
    assert_eq!(hidden, unknown.replace("nobody", "other"), "as for an unknown organization");

    let orgs = async |token: &str| {
        let answer = get_with(&api, "/api/v1/orgs", token).await.json();
        let orgs = answer["orgs"].as_array().expect("a list").iter();
        orgs.map(|org| org["org"].as_str().expect("a name").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        (orgs(&all).await, orgs(&acme).await),
        (vec!["Acme".into(), "Other".into()], vec!["Acme".into()])
    );
    let page = get_with(&api, "/", &all).await;
    assert!(page.text().contains("Acme") && page.text().contains("Other"), "{}", page.text());
    let only = get_with(&api, "/", &acme).await;
    assert_eq!((only.status.as_u16(), only.header("location")), (303, "./orgs/Acme"));
}

#[tokio::test]
async fn a_token_of_a_repository_sees_no_sums() {
    let guarded = Guarded::new().await;
    let api = guarded.api();
    let scope = Scope::Repos(vec![RepoName { org: "acme".to_owned(), repo: "site".to_owned() }]);
    let token = guarded.create("site", Role::Viewer, scope).await;
    for path in ["metrics", "metrics/timeseries", "members"] {
        for repo in ["site", "SITE"] {
            let path = format!("/api/v1/orgs/Acme/repos/{repo}/{path}");
            assert_eq!(get_with(&api, &path, &token).await.status, 200, "{path}");
        }
    }
    for repo in ["tools", "missing", "site%2F", "hidden"] {
        let path = format!("/api/v1/orgs/acme/repos/{repo}/metrics");
        get_with(&api, &path, &token).await.problem(404, "NOT_FOUND");
    }
    for path in [
        METRICS_OF_ACME,
        "/api/v1/orgs/acme/members/ann/metrics",
        "/api/v1/orgs/acme/repos",
        "/api/v1/orgs",
        "/",
    ] {
        get_with(&api, path, &token).await.problem(403, "FORBIDDEN");
    }
    get_with(&api, METRICS_OF_OTHER, &token).await.problem(404, "NOT_FOUND");
}

#[tokio::test]
async fn a_lesser_role_is_forbidden_without_a_hint() {
    let guarded = Guarded::new().await;
    let api = guarded.api();
    let worker = guarded.create("worker", Role::Worker, only_acme()).await;
    for path in [METRICS_OF_ACME, METRICS_OF_OTHER, "/api/v1/orgs", "/", "/nothing"] {
        let answer = get_with(&api, path, &worker).await;
        let detail = answer.problem(403, "FORBIDDEN");
        assert_eq!(detail, "the token does not allow this: use one with another role or scope");
        let lines = log_lines(answer.header("x-request-id"));
        let line = lines.last().expect("a line");
        assert_eq!(line["fields"]["reason"], "the role does not include this route");
        assert!(line["span"]["principal"].as_str().expect("a principal").starts_with("token:"));
    }
    for role in Role::ALL.into_iter().filter(|role| *role != Role::Worker) {
        let token = guarded.create(role.as_str(), role, Scope::All).await;
        assert_eq!(get_with(&api, METRICS_OF_ACME, &token).await.status, 200, "{role:?}");
    }
}

#[tokio::test]
async fn a_token_that_the_host_knows_has_its_role() {
    let guarded = Guarded::new().await;
    let source: TokenSource = Arc::new(|| Box::pin(async { Ok("sesame".to_owned()) }));
    let access = AccessControl::tokens(guarded.tokens.clone()).with_host_token(source, Role::Viewer);
    let api = guarded.api_with(access);
    let stored = guarded.viewer().await;
    for token in ["sesame", &stored] {
        assert_eq!(get_with(&api, METRICS_OF_ACME, token).await.status, 200);
    }
    for token in ["sesam", "sesame2", "Sesame"] {
        assert_unauthorized(&get_with(&api, METRICS_OF_ACME, token).await);
    }
    let header = send(&api, Method::GET, METRICS_OF_ACME, &[("authorization", "Basic sesame")]).await;
    assert_unauthorized(&header);
}

#[tokio::test]
async fn a_local_server_is_open_until_there_is_a_token() {
    let guarded = Guarded::new().await;
    let hosts = AllowedHosts::new(["box".to_owned()]);
    let api = guarded.api_with(AccessControl::tokens(guarded.tokens.clone()).open_without_tokens(hosts));
    let status =
        async |host: &str, path: &str| send(&api, Method::GET, path, &[("host", host)]).await.status.as_u16();
    for path in [METRICS_OF_ACME, "/", "/openapi.json"] {
        assert_eq!((status("box", path).await, status("evil.example", path).await), (200, 403), "{path}");
    }
    let sign_in = send(&api, Method::GET, "/sign-in?next=/x", &[("host", "box")]).await;
    assert_eq!((sign_in.status.as_u16(), sign_in.header("location")), (303, "./x"), "nobody need sign in");
    let token = guarded.viewer().await;
    assert_eq!((status("box", METRICS_OF_ACME).await, status("box", "/openapi.json").await), (401, 200));
    let authorization = format!("Bearer {token}");
    let headers = [("host", "box"), ("authorization", authorization.as_str())];
    assert_eq!(send(&api, Method::GET, METRICS_OF_ACME, &headers).await.status, 200);
    guarded.tokens.revoke("viewer", "local").await.expect("it is revoked");
    assert_eq!(status("box", METRICS_OF_ACME).await, 401, "it stays closed");
    let restarted =
        AccessControl::tokens(guarded.tokens.clone()).open_without_tokens(AllowedHosts::default());
    let answer =
        send(&guarded.api_with(restarted), Method::GET, METRICS_OF_ACME, &[("host", "localhost")]).await;
    assert_eq!(answer.status, 401, "also after a restart");
}

#[tokio::test]
async fn too_many_requests_with_one_token_get_429() {
    let guarded = Guarded::new().await;
    let rate = RequestRate { per_second: 0.001, burst: 3.0 };
    let api = guarded.api_with(AccessControl::tokens(guarded.tokens.clone()).with_request_rate(rate));
    let (first, second) = (guarded.viewer().await, guarded.create("second", Role::Viewer, Scope::All).await);
    for _ in 0..3 {
        assert_eq!(get_with(&api, METRICS_OF_ACME, &first).await.status, 200);
    }
    let refused = get_with(&api, METRICS_OF_ACME, &first).await;
    refused.problem(429, "RATE_LIMITED");
    let seconds: u32 = refused.header("retry-after").parse().expect("a number of seconds");
    assert!((900..=1000).contains(&seconds), "{seconds}");
    assert_eq!(get_with(&api, METRICS_OF_ACME, &second).await.status, 200, "others are not slowed down");
    assert_eq!(get(&api, "/healthz").await.status, 200);
}

const SAME_ORIGIN: (&str, &str) = ("sec-fetch-site", "same-origin");

/// Returns the name and value of the cookie that the answer sets.
fn cookie(answer: &ApiResponse) -> &str {
    answer.header("set-cookie").split(';').next().expect("a cookie")
}

#[tokio::test]
async fn a_browser_signs_in_and_out() {
    let guarded = Guarded::new().await;
    let api = guarded.api();
    let token = guarded.viewer().await;
    let html = [("accept", "text/html,*/*")];
    for (path, location) in [
        ("/", "./sign-in?next=%2F"),
        ("/api/v1/orgs?x=1&y", "../../sign-in?next=%2Fapi%2Fv1%2Forgs%3Fx%3D1%26y"),
    ] {
        let answer = send(&api, Method::GET, path, &html).await;
        assert_eq!((answer.status.as_u16(), answer.header("location")), (303, location));
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    let page = send(&api, Method::GET, "/sign-in?next=/api/v1/orgs", &html).await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("name=\"next\" value=\"/api/v1/orgs\""), "{}", page.text());
    let policy = page.header("content-security-policy");
    assert!(
        policy.starts_with("default-src 'none'; style-src 'self'") && policy.contains("form-action 'self'")
    );
    assert!(!policy.contains("unsafe") && !page.text().contains("<script>"));

    let form = format!("token=+{token}&next=%2Fapi%2Fv1%2Forgs");
    let signed_in = send_form(&api, "/sign-in", &[SAME_ORIGIN], &form).await;
    assert_eq!((signed_in.status.as_u16(), signed_in.header("location")), (303, "./api/v1/orgs"));
    let attributes = signed_in.header("set-cookie");
    assert!(attributes.ends_with("; Path=/; Max-Age=2592000; HttpOnly; SameSite=Strict"), "{attributes}");
    let headers = [("cookie", cookie(&signed_in))];
    assert_eq!(send(&api, Method::GET, METRICS_OF_ACME, &headers).await.status, 200);
    // A method that changes something, from another page.
    let forged = [headers[0], ("origin", "https://evil.example"), ("host", "metrics.example")];
    send(&api, Method::POST, METRICS_OF_ACME, &forged).await.problem(403, "FORBIDDEN");

    let behind_tls = [SAME_ORIGIN, ("x-forwarded-proto", "https")];
    let secure = send_form(&api, "/sign-in", &behind_tls, &form).await;
    assert!(secure.header("set-cookie").ends_with("; SameSite=Strict; Secure"));

    let signed_out = send_form(&api, "/sign-out", &[SAME_ORIGIN, headers[0]], "").await;
    assert_eq!((signed_out.status.as_u16(), signed_out.header("location")), (303, "./sign-in"));
    let attributes = signed_out.header("set-cookie");
    assert!(attributes.starts_with("github-metrics-token=; Path=/; Max-Age=0;"), "{attributes}");

    guarded.tokens.revoke("viewer", "local").await.expect("it is revoked");
    assert_unauthorized(&send(&api, Method::GET, METRICS_OF_ACME, &headers).await);
}

#[tokio::test]
async fn language_and_theme_are_kept_when_a_browser_signs_out_and_in() {
    let guarded = Guarded::new().await;
    let api = guarded.api();
    let token = guarded.viewer().await;
    let authorization = format!("Bearer {token}");
    let path = "/orgs/acme/repos?since=2024-03-01&lang=ja&theme=dark";
    let page = send(&api, Method::GET, path, &[("authorization", &authorization)]).await;
    let form = |path: &str, html: &str, name: &str| {
        let action = attributes(html, "action").into_iter().find(|action| action.contains(name));
        resolve(path, &action.expect("a form"))
    };
    let sign_out = form(path, page.text(), "sign-out");
    let signed_out = send_form(&api, &sign_out, &[SAME_ORIGIN], "").await;
    let sign_in = resolve(&sign_out, signed_out.header("location"));
    assert_eq!(sign_in, "/sign-in?lang=ja&theme=dark");
    let page = get(&api, &sign_in).await;
    assert!(page.text().contains("<html lang=\"ja\" data-theme=\"dark\">"), "{}", page.text());

    let sign_in = form(&sign_in, page.text(), "sign-in");
    for (next, location) in [
        ("/", "./?lang=ja&theme=dark"),
        ("/orgs/acme?since=2024-03-01&lang=en&q=x", "./orgs/acme?since=2024-03-01&q=x&lang=ja&theme=dark"),
        ("/log?org=acme", "./log?org=acme&lang=ja&theme=dark"),
        // It takes no such parameters.
        ("/api/v1/orgs", "./api/v1/orgs"),
    ] {
        let next = next.replace('&', "%26");
        let signed_in =
            send_form(&api, &sign_in, &[SAME_ORIGIN], &format!("token={token}&next={next}")).await;
        assert_eq!((signed_in.status.as_u16(), signed_in.header("location")), (303, location));
    }
    // An address without language and theme leads on without them.
    let signed_in = send_form(&api, "/sign-in", &[SAME_ORIGIN], &format!("token={token}&next=/log")).await;
    assert_eq!(signed_in.header("location"), "./log");
}

#[tokio::test]
async fn signing_in_refuses_wrong_tokens_and_other_pages() {
    let guarded = Guarded::new().await;
    let api = guarded.api();
    let token = guarded.viewer().await;
    for wrong in ["wrong", "", "a b", "%00"] {
        let answer = send_form(&api, "/sign-in", &[SAME_ORIGIN], &format!("token={wrong}")).await;
        assert_eq!((answer.status.as_u16(), answer.header("www-authenticate")), (401, "Bearer"), "{wrong:?}");
        assert!(answer.text().contains("not valid") && !answer.headers.contains_key("set-cookie"));
        assert!(wrong.is_empty() || wrong == "a b" || !answer.text().contains(&format!("{wrong}\"")));
    }
    let form = format!("token={token}");
    for headers in [
        &[("sec-fetch-site", "cross-site")][..],
        &[("origin", "https://evil.example"), ("host", "metrics.example")],
        &[("origin", "null"), ("host", "metrics.example")],
        &[],
    ] {
        for path in ["/sign-in", "/sign-out"] {
            let answer = send_form(&api, path, headers, &form).await;
            answer.problem(403, "FORBIDDEN");
            assert!(!answer.headers.contains_key("set-cookie"));
        }
    }
    let origin = [("origin", "http://metrics.example:8080"), ("host", "metrics.example:8080")];
    let next = format!("{form}&next=https%3A%2F%2Fevil.example");
    let answer = send_form(&api, "/sign-in", &origin, &next).await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (303, "./"), "it leads nowhere else");
    send_form(&api, "/sign-in", &[SAME_ORIGIN], "next=/").await.problem(400, "INVALID_ARGUMENT");
    let huge = format!("token={}", "x".repeat(2_000_000));
    let answer = send_form(&api, "/sign-in", &[SAME_ORIGIN, ("content-length", "2000006")], &huge).await;
    answer.problem(413, "INVALID_ARGUMENT");
    assert_eq!(get(&api, "/sign-out").await.status, 405);
}

#[tokio::test]
async fn only_pages_of_allowed_origins_may_read() {
    let guarded = Guarded::new().await;
    let origins = AllowedOrigins::parse(["https://wiki.example.com"]).expect("an origin");
    let api =
        guarded_router(guarded.data.query_ports(), AccessControl::tokens(guarded.tokens.clone()), origins);
    let token = format!("Bearer {}", guarded.viewer().await);
    let read = async |origin: &str| {
        send(&api, Method::GET, METRICS_OF_ACME, &[("authorization", &token), ("origin", origin)]).await
    };
    let ask = async |origin: &str| {
        let headers = [("origin", origin), ("access-control-request-method", "GET")];
        send(&api, Method::OPTIONS, METRICS_OF_ACME, &headers).await
    };
    let allowed = "access-control-allow-origin";
    let answer = read("https://wiki.example.com").await;
    assert_eq!((answer.status.as_u16(), answer.header(allowed)), (200, "https://wiki.example.com"));
    assert!(!answer.headers.contains_key("access-control-allow-credentials"), "cookies are not accepted");
    let preflight = ask("https://wiki.example.com").await;
    assert_eq!((preflight.status.as_u16(), preflight.header(allowed)), (204, "https://wiki.example.com"));
    assert!(preflight.header("access-control-allow-headers").contains("authorization"));
    for origin in [
        "https://wiki.example.com.evil.example",
        "http://wiki.example.com",
        "https://wiki.example.com:444",
        "null",
    ] {
        assert!(!read(origin).await.headers.contains_key(allowed), "{origin}");
        let refused = ask(origin).await;
        assert!(!refused.headers.contains_key(allowed), "{origin}");
        assert_eq!(refused.status, 401, "{origin}");
    }
    for answer in [answer, read("null").await] {
        let vary: Vec<_> = answer.headers.get_all("vary").iter().collect();
        assert!(vary.iter().any(|value| *value == "origin"), "{vary:?}");
    }
}

#[tokio::test]
async fn refused_requests_are_counted_in_the_audit_log() {
    let guarded = Guarded::new().await;
    let store = guarded.data.store.clone();
    let refusals = RefusalLog::new(store.clone(), guarded.clock.clone());
    let access = AccessControl::tokens(guarded.tokens.clone()).with_refusal_log(refusals);
    let api = guarded.api_with(access.clone());
    let worker = guarded.create("worker", Role::Worker, Scope::All).await;
    let viewer = guarded.viewer().await;
    for _ in 0..3 {
        assert_unauthorized(&get(&api, METRICS_OF_ACME).await);
    }
    assert_unauthorized(&get_with(&api, METRICS_OF_OTHER, "gamt_wrong").await);
    get_with(&api, METRICS_OF_ACME, &worker).await.problem(403, "FORBIDDEN");
    assert_eq!(get_with(&api, METRICS_OF_ACME, &viewer).await.status, 200);
    assert_eq!(get_with(&api, "/api/v1/orgs/none/metrics", &viewer).await.status, 404);
    assert_eq!(send_form(&api, "/sign-in", &[SAME_ORIGIN], "token=wrong").await.status, 401);
    // A guess is one, also if its sender accepts a page. Opening the page without a token is none.
    let html = ("accept", "text/html");
    let cookie = ("cookie", "github-metrics-token=gamt_wrong");
    for (header, status) in [(("authorization", "Bearer gamt_wrong"), 401), (cookie, 303), (html, 303)] {
        let answer = send(&api, Method::GET, METRICS_OF_ACME, &[html, header]).await;
        assert_eq!(answer.status, status, "{header:?}");
    }
    access.flush_refusals().await;

    let range = RecordRange::new(None, RecordKind::AuditRow, &[]).expect("a range");
    let records = RecordStore::range(&*store, &range, 100, guarded.clock.now()).await.expect("records");
    let bodies: Vec<String> = records.into_iter().map(|(_, record)| record.body).collect();
    let rows = bodies.iter().filter_map(|body| serde_json::from_str::<RefusalRow>(body).ok());
    let mut rows: Vec<(String, String, u64)> =
        rows.map(|RefusalRow { row, count }| (row.principal, row.subject, count)).collect();
    rows.sort();
    let id = &guarded.tokens.list().await.expect("tokens")[1].id;
    let row = |principal: &str, class: &str, count| (principal.to_owned(), class.to_owned(), count);
    assert_eq!(
        rows,
        [row("anonymous", "public", 1), row("anonymous", "read", 6), row(&format!("token:{id}"), "read", 1)]
    );
    for secret in ["gamt_", "127.0.0.1", "wrong"] {
        assert!(bodies.iter().all(|body| !body.contains(secret)), "{secret}: {bodies:?}");
    }
}
