//! Signed links: the page, its form, who may make one, and when it is void.

use axum::http::Method;
use chrono::TimeDelta;
use gam_access::{AuditRow, RepoName, Role, Scope};
use gam_store::{RecordKind, RecordRange, RecordStore};
use serde_json::{Value, json};

use crate::actions::{Host, PUBLIC_URL, SAME_ORIGIN, comment};
use crate::pages::{attributes, resolve};
use crate::support::{ApiResponse, send, send_form};

/// The content type of pages.
const HTML: &str = "text/html; charset=utf-8";

/// A host with an action that waits, and the tokens of its people.
struct Scene {
    host: Host,
    admin: String,
    operator: String,
    id: String,
}

impl Scene {
    async fn new() -> Self {
        let host = Host::new().await;
        let admin = host.token("admin", Role::Admin, Scope::All).await;
        let operator = host.token("operator", Role::Operator, Scope::All).await;
        host.token("ann", Role::Approver, Scope::All).await;
        let waiting = host.post("/create-comment", &operator, comment("acme/site")).await;
        assert_eq!(waiting.status, 202, "{}", waiting.text());
        let id = waiting.json()["data"]["action"].as_str().expect("an id").to_owned();
        Scene { host, admin, operator, id }
    }

    async fn make_link(&self, token: &str, approver: &str) -> ApiResponse {
        let path = format!("/api/v1/approvals/{}/link", self.id);
        self.host.post(&path, token, json!({ "approver": approver })).await
    }

    /// Returns the text of a link for `ann`.
    async fn link(&self) -> String {
        let made = self.make_link(&self.admin, "ann").await;
        let url = made.json()["url"].as_str().expect("an address").to_owned();
        url.strip_prefix(&format!("{PUBLIC_URL}/approve?link=")).expect("the page").to_owned()
    }

    /// Opens a link as a browser that has not signed in.
    async fn open(&self, link: &str) -> ApiResponse {
        let headers = [("accept", "text/html")];
        send(&self.host.api, Method::GET, &format!("/approve?link={link}"), &headers).await
    }

    async fn submit(&self, link: &str, decision: &str) -> ApiResponse {
        let form = format!("link={link}&decision={decision}");
        send_form(&self.host.api, "/approve", &[SAME_ORIGIN, ("accept", "text/html")], &form).await
    }

    async fn state(&self) -> Value {
        self.host.actions.run_due().await.expect("the store works");
        self.host.get(&format!("/api/v1/actions/{}", self.id), &self.operator).await.json()["state"].clone()
    }

    async fn audit_rows(&self, kind: &str) -> Vec<AuditRow> {
        let range = RecordRange::new(Some("acme"), RecordKind::AuditRow, &[]).expect("a range");
        let now = self.host.actions.now();
        let rows = self.host.data.store.range(&range, 1_000, now).await.expect("the store works");
        let rows = rows.into_iter().map(|(_, row)| serde_json::from_str(&row.body).expect("a row"));
        rows.filter(|row: &AuditRow| serde_json::to_value(row.kind).expect("a name") == kind).collect()
    }
}

#[tokio::test]
async fn a_link_shows_a_page_whose_form_decides() {
    let scene = Scene::new().await;
    let link = scene.link().await;
    for method in [Method::GET, Method::HEAD, Method::GET, Method::OPTIONS] {
        send(&scene.host.api, method, &format!("/approve?link={link}"), &[]).await;
    }
    let page = scene.open(&link).await;
    assert_eq!((page.status.as_u16(), page.header("cache-control")), (200, "no-store"));
    let text = page.text();
    assert!(text.contains("method=\"post\" action=\"./approve\"") && text.contains("acme/site#7"), "{text}");
    assert_eq!(scene.state().await, "waiting", "opening a link spends nothing");

    let form = format!("link={link}&decision=approve");
    assert_eq!(send_form(&scene.host.api, "/approve", &[], &form).await.status, 403, "another page");
    let approved = scene.submit(&link, "approve").await;
    assert!(approved.status == 200 && approved.text().contains("Approved."), "{}", approved.text());
    assert_eq!(scene.state().await, "succeeded");
    let again = scene.submit(&link, "approve").await;
    assert!(again.status == 200 && again.text().contains("Approved."), "a second click is harmless");
    assert_eq!(scene.submit(&link, "reject").await.status, 409);
    assert!(scene.open(&link).await.text().contains("nothing to decide"));

    let rows = scene.audit_rows("action_approved").await;
    let [row] = rows.as_slice() else { panic!("{rows:?}") };
    let made = scene.audit_rows("approval_link_created").await;
    assert_eq!(made.len(), 1);
    assert_eq!((&made[0].detail["approver"], &row.detail["by"]), (&json!(row.principal), &json!("link")));
}

/// Returns the target of the link of a page to itself in another language.
fn in_other_language(path: &str, page: &ApiResponse) -> String {
    let links = attributes(page.text(), "href");
    let link = links.iter().find(|link| link.starts_with('?') && link.contains("lang=ja"));
    resolve(path, link.unwrap_or_else(|| panic!("no other language: {links:?}")))
}

#[tokio::test]
async fn the_page_of_a_link_has_other_languages_and_themes() {
    let scene = Scene::new().await;
    let (link, approver) = (scene.link().await, scene.host.token("bob", Role::Approver, Scope::All).await);
    let path = format!("/approve?link={link}");
    let japanese = scene.host.get(&in_other_language(&path, &scene.open(&link).await), &approver).await;
    assert!(japanese.status == 200 && japanese.text().contains("アクションの承認"), "{japanese:?}");
    assert!(japanese.text().contains("action=\"./approve?lang=ja\""), "{japanese:?}");
    let dark = scene.host.get(&format!("{path}&theme=dark&utm_source=x"), &approver).await;
    assert!(dark.status == 200 && dark.text().contains("data-theme=\"dark\""), "{dark:?}");

    let form = format!("link={link}&decision=approve");
    let headers = [SAME_ORIGIN, ("accept", "text/html")];
    let decided = send_form(&scene.host.api, "/approve?theme=dark", &headers, &form).await;
    assert!(decided.text().contains("Approved.") && decided.text().contains("data-theme=\"dark\""));
    let japanese = in_other_language("/approve?theme=dark", &decided);
    assert!(japanese.contains("theme=dark"), "{japanese}");
    assert!(scene.host.get(&japanese, &approver).await.text().contains("決定は不要になりました"));
}

#[tokio::test]
async fn errors_of_the_page_of_a_link_are_pages() {
    let scene = Scene::new().await;
    let link = scene.link().await;
    for (path, status) in [
        ("/approve", 404),
        ("/approve?link=x", 404),
        ("/approve?link=x&link=y", 404),
        ("/approve?link=x&range=y", 400),
    ] {
        let answer = send(&scene.host.api, Method::GET, path, &[("accept", "text/html")]).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (status, HTML), "{path}");
    }
    for form in ["", "link=x", &format!("link={link}"), &format!("link={link}&decision=maybe")] {
        let headers = [SAME_ORIGIN, ("accept", "text/html")];
        let answer = send_form(&scene.host.api, "/approve", &headers, form).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (400, HTML), "{form}");
    }
}

#[tokio::test]
async fn a_link_can_reject() {
    let scene = Scene::new().await;
    let rejected = scene.submit(&scene.link().await, "reject").await;
    assert!(rejected.status == 200 && rejected.text().contains("Rejected."), "{}", rejected.text());
    assert_eq!(scene.state().await, "failed");
}

#[tokio::test]
async fn only_an_administrator_makes_links_for_approvers() {
    let scene = Scene::new().await;
    let approver = scene.host.token("bob", Role::Approver, Scope::All).await;
    assert_eq!(scene.make_link(&scene.operator, "ann").await.status, 403, "who requests cannot approve");
    assert_eq!(scene.make_link(&approver, "ann").await.status, 403);
    assert_eq!(scene.make_link(&scene.admin, "nobody").await.status, 400);
    assert_eq!(scene.make_link(&scene.admin, "operator").await.status, 400, "no approver");
    scene.host.token("elsewhere", Role::Approver, Scope::Orgs(vec!["other".to_owned()])).await;
    assert_eq!(scene.make_link(&scene.admin, "elsewhere").await.status, 400, "another organization");
    let of_tools = Scope::Repos(vec![RepoName { org: "acme".to_owned(), repo: "tools".to_owned() }]);
    scene.host.token("of-tools", Role::Approver, of_tools).await;
    assert_eq!(scene.make_link(&scene.admin, "of-tools").await.status, 400, "another repository");
    scene.host.token("gone", Role::Approver, Scope::All).await;
    scene.host.tokens.revoke("gone", "local").await.expect("a token");
    assert_eq!(scene.make_link(&scene.admin, "gone").await.status, 400, "a revoked token");
    let rows = scene.audit_rows("approval_link_created").await;
    assert!(rows.is_empty(), "{rows:?}");
    assert_eq!(scene.make_link(&scene.admin, "ann").await.status, 200);
}

#[tokio::test]
async fn nobody_approves_their_own_action_by_a_link() {
    let scene = Scene::new().await;
    let waiting = scene.host.post("/create-comment", &scene.admin, comment("acme/site")).await;
    let own = waiting.json()["data"]["action"].as_str().expect("an id").to_owned();
    let scene = Scene { id: own, ..scene };
    assert_eq!(scene.make_link(&scene.admin, "admin").await.status, 403);
    assert_eq!(scene.make_link(&scene.admin, "ann").await.status, 200);
}

#[tokio::test]
async fn a_link_is_void_without_its_token_after_its_time_and_if_it_was_changed() {
    let scene = Scene::new().await;
    let link = scene.link().await;
    let changed = format!("x{}", &link[1..]);
    for invalid in ["", "x", "x.y", &changed] {
        assert_eq!(scene.open(invalid).await.status, 404, "{invalid}");
        assert_eq!(scene.submit(invalid, "approve").await.status, 404, "{invalid}");
    }
    scene.host.tokens.revoke("ann", "local").await.expect("a token");
    assert_eq!(scene.open(&link).await.status, 404);
    assert_eq!(scene.submit(&link, "approve").await.status, 404);
    scene.host.token("ann", Role::Approver, Scope::All).await;
    assert_eq!(scene.submit(&link, "approve").await.status, 404, "another token with the same name");
    let link = scene.link().await;
    scene.host.clock.advance(TimeDelta::hours(72));
    assert_eq!(scene.open(&link).await.status, 410);
    assert_eq!(scene.submit(&link, "approve").await.status, 410);
}

#[tokio::test]
async fn a_failed_action_is_retried_and_an_unknown_one_resolved_by_operators() {
    let scene = Scene::new().await;
    let path = |verb: &str| format!("/api/v1/actions/{}/{verb}", scene.id);
    let operator = &scene.operator;
    assert_eq!(scene.host.post(&path("retry"), operator, json!({})).await.status, 409, "it waits");
    assert_eq!(scene.submit(&scene.link().await, "reject").await.status, 200);
    let viewer = scene.host.token("viewer", Role::Viewer, Scope::All).await;
    assert_eq!(scene.host.post(&path("retry"), &viewer, json!({})).await.status, 403);
    let retried = scene.host.post(&path("retry"), operator, json!({})).await;
    assert_eq!((retried.status.as_u16(), &retried.json()["state"]), (200, &json!("requested")));
    assert_eq!(scene.state().await, "waiting");
    for body in [json!({}), json!({ "done": "https://x", "not_done": true }), json!({ "not_done": false })] {
        assert_eq!(scene.host.post(&path("resolve"), operator, body.clone()).await.status, 400, "{body}");
    }
    let not_done = scene.host.post(&path("resolve"), operator, json!({ "not_done": true })).await;
    assert_eq!(not_done.status, 409, "it is not unknown");
}
