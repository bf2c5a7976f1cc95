//! Actions over HTTP: who may request and decide them, and the page with its form.

use std::error::Error;
use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::http::Method;
use chrono::{DateTime, Utc};
use gam_access::{NewToken, Principal, Role, Scope, Tokens};
use gam_http::{AccessControl, AllowedOrigins, ApiPorts, WorkPorts, guarded_router};
use gam_model::ActionSettings;
use gam_work::actions::*;
use gam_work::testing::store_action;
use serde_json::{Value, json};

use crate::pages::{attributes, resolve};
use crate::support::{ApiResponse, SettableClock, TestData, acme, get, send, send_form, send_json};

pub(crate) const SAME_ORIGIN: (&str, &str) = ("sec-fetch-site", "same-origin");

/// A GitHub that only takes comments.
struct OnlyComments;

fn unknown<T>() -> Result<T, ReadError> {
    Err(ReadError { message: "not in this test".to_owned(), kind: ReadErrorKind::Final })
}

#[async_trait(?Send)]
impl GitHubActions for OnlyComments {
    fn account(&self, _: &str) -> String {
        "token".to_owned()
    }

    async fn login(&self, _: &str) -> Result<String, ReadError> {
        Ok("service".to_owned())
    }

    async fn write(&self, _: &RepositoryName, call: &WriteCall) -> WriteOutcome {
        assert!(matches!(call, WriteCall::CreateComment { .. }), "{call:?}");
        let url = "https://github.example/acme/site/issues/7#issuecomment-1".to_owned();
        WriteOutcome::Done(WriteAnswer::Created {
            number: None,
            id: 1,
            url,
            labels: Vec::new(),
            assignees: Vec::new(),
            has_milestone: false,
        })
    }

    async fn repository(&self, repo: &RepositoryName) -> Result<RepositoryFacts, ReadError> {
        Ok(RepositoryFacts {
            name: repo.clone(),
            default_branch: "main".to_owned(),
            is_archived: false,
            has_issues: true,
        })
    }

    async fn branches(&self, _: &RepositoryName) -> Result<Vec<BranchFacts>, ReadError> {
        unknown()
    }

    async fn branch(&self, _: &RepositoryName, _: &str) -> Result<Option<String>, ReadError> {
        unknown()
    }

    async fn commits_ahead(&self, _: &RepositoryName, _: &str, _: &str) -> Result<u64, ReadError> {
        unknown()
    }

    async fn pull(&self, _: &RepositoryName, _: i64) -> Result<Option<PullFacts>, ReadError> {
        unknown()
    }

    async fn open_pulls(&self, _: &RepositoryName) -> Result<Vec<PullFacts>, ReadError> {
        unknown()
    }

    async fn pulls_of(&self, _: &RepositoryName, _: &str, _: &str) -> Result<Vec<PullFacts>, ReadError> {
        unknown()
    }

    async fn issues_since(&self, _: &RepositoryName, _: DateTime<Utc>) -> Result<Vec<ListedText>, ReadError> {
        unknown()
    }

    async fn comments_since(
        &self,
        _: &RepositoryName,
        _: i64,
        _: DateTime<Utc>,
    ) -> Result<Vec<ListedText>, ReadError> {
        unknown()
    }

    async fn reviews(&self, _: &RepositoryName, _: i64) -> Result<Vec<ReviewFacts>, ReadError> {
        unknown()
    }

    async fn merge_status(
        &self,
        _: &RepositoryName,
        _: i64,
        _: &str,
    ) -> Result<Option<MergeStatus>, ReadError> {
        unknown()
    }
}

/// One approval for everything.
struct OneApproval;

#[async_trait]
impl ActionSettingsSource for OneApproval {
    async fn settings(&self, _: &str) -> Result<(u32, ActionSettings), Box<dyn Error + Send + Sync>> {
        let rule = gam_model::PolicyRule { approvals: Some(1), ..gam_model::PolicyRule::default() };
        Ok((1, ActionSettings { default_comment: None, policy: vec![rule] }))
    }
}

/// The key of links.
const LINK_KEY: &[u8] = b"0123456789abcdef";
/// Where people reach the server.
pub(crate) const PUBLIC_URL: &str = "https://metrics.example.com";

pub(crate) struct Host {
    pub(crate) api: Router,
    pub(crate) actions: Actions,
    pub(crate) tokens: Tokens,
    pub(crate) clock: Arc<SettableClock>,
    pub(crate) data: TestData,
}

impl Host {
    pub(crate) async fn new() -> Self {
        let data = acme::data().await;
        acme::store_issue(&data, &acme::issue(7)).await;
        let clock = Arc::new(SettableClock::new());
        let tokens = Tokens::new(data.store.clone(), clock.clone());
        let actions = Actions::new(
            data.store.clone(),
            clock.clone(),
            Arc::new(OneApproval),
            Some(Arc::new(OnlyComments)),
        );
        let links = Some(ApprovalLinks::new(LINK_KEY, PUBLIC_URL).expect("a key"));
        let work = WorkPorts { actions: actions.clone(), links, ..data.work_ports(clock.clone()) };
        let ports = ApiPorts { query: data.query_ports(), work: Some(work), log: None };
        let api = guarded_router(ports, AccessControl::tokens(tokens.clone()), AllowedOrigins::default());
        Host { api, actions, tokens, clock, data }
    }

    pub(crate) async fn token(&self, name: &str, role: Role, scope: Scope) -> String {
        let new = NewToken { name: name.to_owned(), role, scope, member: None, expires_at: None };
        let (secret, _) = self.tokens.create(new, "local").await.expect("a token");
        format!("Bearer {}", secret.expose())
    }

    /// Sends a request while the actions are carried out.
    pub(crate) async fn post(&self, path: &str, token: &str, body: Value) -> ApiResponse {
        let headers = [("authorization", token)];
        let requested = send_json(&self.api, path, &headers, body);
        let carried_out = async {
            loop {
                self.actions.run_due().await.expect("the store works");
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            answer = requested => answer,
            () = carried_out => unreachable!("it never ends"),
        }
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> ApiResponse {
        send(&self.api, Method::GET, path, &[("authorization", token)]).await
    }
}

pub(crate) fn comment(repository: &str) -> Value {
    json!({ "repository": repository, "number": 7, "body": "Done." })
}

#[tokio::test]
async fn an_action_is_approved_on_the_page_by_somebody_else() {
    let host = Host::new().await;
    let operator = host.token("operator", Role::Operator, Scope::All).await;
    let approver = host.token("approver", Role::Approver, Scope::All).await;
    let waiting = host.post("/create-comment", &operator, comment("acme/site")).await;
    assert_eq!(waiting.status, 202, "{}", waiting.text());
    let data = waiting.json()["data"].clone();
    let (id, hash) = (data["action"].as_str().expect("an id"), data["hash"].as_str().expect("a hash"));
    let japanese = host.get("/orgs/acme/actions?lang=ja", &approver).await;
    assert!(japanese.text().contains("コメント acme/site#7"), "{}", japanese.text());
    let page = host.get("/orgs/acme/actions", &approver).await;
    let form = format!("action=\"../../orgs/Acme/actions/{id}/decide\"");
    assert!(page.status == 200 && page.text().contains(&form), "{}", page.text());
    assert!(!host.get("/orgs/acme/actions", &operator).await.text().contains("<form class=\"decision\""));

    let decide = format!("/orgs/acme/actions/{id}/decide");
    let body = format!("hash={hash}&decision=approve");
    let with = |token: &str| [("authorization".to_owned(), token.to_owned())];
    let headers = with(&approver);
    let header = (headers[0].0.as_str(), headers[0].1.as_str());
    assert_eq!(host.get(&decide, &approver).await.status, 405, "a link decides nothing");
    assert_eq!(send_form(&host.api, &decide, &[header], &body).await.status, 403, "another page");
    let of_operator = [SAME_ORIGIN, ("authorization", operator.as_str())];
    assert_eq!(send_form(&host.api, &decide, &of_operator, &body).await.status, 403);
    let page = format!("{decide}?lang=ja&theme=dark");
    let decided = send_form(&host.api, &page, &[SAME_ORIGIN, header], &body).await;
    let location = "../../../../orgs/acme/actions?lang=ja&theme=dark";
    assert_eq!((decided.status.as_u16(), decided.header("location")), (303, location));
    host.actions.run_due().await.unwrap();
    let action = host.get(&format!("/api/v1/actions/{id}"), &operator).await.json();
    assert_eq!(action["state"], "succeeded", "{action}");
    let listed = host.get("/api/v1/actions?state=succeeded&repo=SITE", &operator).await.json();
    assert_eq!(listed["actions"][0]["action"], id);
}

#[tokio::test]
async fn the_page_says_if_it_does_not_show_all_actions() {
    let host = Host::new().await;
    let viewer = host.token("viewer", Role::Viewer, Scope::All).await;
    let is_cut = async || {
        let page = host.get("/orgs/acme/actions", &viewer).await;
        assert!(!page.text().contains("No actions yet"), "{}", page.text());
        page.text().contains("These are the newest 200 actions.")
    };
    // The organization has one.
    for number in 1..200 {
        let id = format!("acme.{}.0123456789abcdef", 1_700_000_000_000_u64 + number);
        store_action(&*host.data.store, &id, host.actions.now()).await;
    }
    assert!(!is_cut().await);
    store_action(&*host.data.store, "acme.1700000000200.0123456789abcdef", host.actions.now()).await;
    assert!(is_cut().await);
}

#[tokio::test]
async fn an_old_action_that_waits_is_found_by_its_state() {
    let host = Host::new().await;
    let operator = host.token("operator", Role::Operator, Scope::All).await;
    let approver = host.token("approver", Role::Approver, Scope::All).await;
    let waiting = host.post("/create-comment", &operator, comment("acme/site")).await.json();
    let (id, hash) = (waiting["data"]["action"].as_str(), waiting["data"]["hash"].as_str());
    let (id, hash) = (id.expect("an id"), hash.expect("a hash"));
    let time = id.split('.').nth(1).and_then(|time| time.parse::<u64>().ok()).expect("a time");
    for number in 1..=200 {
        let newer = format!("acme.{}.0123456789abcdef", time + number);
        store_action(&*host.data.store, &newer, host.actions.now()).await;
    }
    let newest = host.get("/orgs/acme/actions", &approver).await;
    assert!(!newest.text().contains(id), "{}", newest.text());
    let page = "/orgs/acme/actions?lang=en&state=waiting";
    assert!(attributes(newest.text(), "href").contains(&"?state=waiting".to_owned()), "{}", newest.text());
    let shown = host.get(page, &approver).await;
    let form = attributes(shown.text(), "action").into_iter().find(|form| form.contains(id)).expect("a form");
    assert!(!shown.text().contains("<h2>Done</h2>"), "{}", shown.text());

    // The page after the decision shows the same state.
    let headers = [SAME_ORIGIN, ("authorization", approver.as_str())];
    let decide = resolve(page, &form);
    let decided = send_form(&host.api, &decide, &headers, &format!("hash={hash}&decision=approve")).await;
    assert_eq!(decided.status, 303, "{}", decided.text());
    assert_eq!(resolve(&decide, decided.header("location")).to_lowercase(), page);
    let empty = host.get(page, &approver).await;
    assert!(empty.text().contains("No action is in this state."), "{}", empty.text());
    assert_eq!(host.get("/orgs/acme/actions?state=x", &approver).await.status, 400);
}

#[tokio::test]
async fn a_host_that_only_reads_says_so_on_the_page_of_actions() {
    let data = acme::data().await;
    let ports = ApiPorts { query: data.query_ports(), work: None, log: None };
    let admin = AccessControl::trusted(Principal::trusted("admin", Role::Admin));
    let page = get(&guarded_router(ports, admin, AllowedOrigins::default()), "/orgs/acme/actions").await;
    assert!(page.text().contains("can only read its store"), "{}", page.text());
    assert!(!page.text().contains("Request a merge"), "{}", page.text());
}

#[tokio::test]
async fn a_worker_acts_only_where_it_holds_a_claim() {
    let host = Host::new().await;
    let worker = host.token("worker", Role::Worker, Scope::All).await;
    assert_eq!(host.post("/api/v1/create-comment", &worker, comment("acme/site")).await.status, 403);
    let claimed = host.post("/api/v1/request-task", &worker, json!({ "worker": "w" })).await;
    assert_eq!(claimed.status, 200, "{}", claimed.text());
    let repo = format!("acme/{}", claimed.json()["task"]["issue"]["repo"].as_str().expect("a name"));
    assert_eq!(host.post("/api/v1/create-comment", &worker, comment(&repo)).await.status, 202);
    assert_eq!(host.post("/api/v1/create-comment", &worker, comment("acme/elsewhere")).await.status, 403);
    let merge = json!({ "repository": repo, "pr_number": 1 });
    assert_eq!(host.post("/approve-merge-pr", &worker, merge).await.status, 403);
    let issue = json!({ "repository": repo, "title": "x" });
    assert_eq!(host.post("/create-issue", &worker, issue).await.status, 403);
}

#[tokio::test]
async fn what_is_out_of_scope_does_not_exist() {
    let host = Host::new().await;
    let operator = host.token("operator", Role::Operator, Scope::All).await;
    let elsewhere = host.token("elsewhere", Role::Operator, Scope::Orgs(vec!["other".to_owned()])).await;
    assert_eq!(host.post("/create-comment", &elsewhere, comment("acme/site")).await.status, 404);
    let waiting = host.post("/create-comment", &operator, comment("acme/site")).await;
    let id = waiting.json()["data"]["action"].as_str().expect("an id").to_owned();
    assert_eq!(host.get(&format!("/api/v1/actions/{id}"), &elsewhere).await.status, 404);
    assert_eq!(host.get("/api/v1/actions", &elsewhere).await.json()["actions"], json!([]));
    let approver = host.token("approver", Role::Approver, Scope::Orgs(vec!["other".to_owned()])).await;
    let hash = json!({ "hash": waiting.json()["data"]["hash"] });
    assert_eq!(host.post(&format!("/api/v1/approvals/{id}/approve"), &approver, hash).await.status, 404);
}

#[tokio::test]
async fn actions_of_an_organization_that_was_never_collected_are_found() {
    let host = Host::new().await;
    let operator = host.token("operator", Role::Operator, Scope::All).await;
    let of_fresh = host.token("fresh", Role::Operator, Scope::Orgs(vec!["fresh".to_owned()])).await;
    assert_eq!(host.post("/create-comment", &of_fresh, comment("site")).await.status, 202);
    for token in [&operator, &of_fresh] {
        let listed = host.get("/api/v1/actions", token).await.json();
        let actions = listed["actions"].as_array().expect("actions");
        assert!(actions.iter().any(|action| action["repository"] == "fresh/site"), "{listed}");
    }
    let elsewhere = host.token("elsewhere", Role::Operator, Scope::Orgs(vec!["other".to_owned()])).await;
    assert_eq!(host.get("/api/v1/actions", &elsewhere).await.json()["actions"], json!([]));

    let auditor = host.token("auditor", Role::Auditor, Scope::All).await;
    let log = ApiPorts { log: Some(host.data.log_ports(host.clock.clone())), ..host.data.api_ports() };
    let api = guarded_router(log, AccessControl::tokens(host.tokens.clone()), AllowedOrigins::default());
    for query in ["tail=true", "tail=true&org=fresh"] {
        let path = format!("/api/v1/log?{query}");
        let answer = send(&api, Method::GET, &path, &[("authorization", &auditor)]).await.json();
        let rows = answer["rows"].as_array().expect("rows");
        assert!(
            rows.iter().any(|row| row["org"] == "fresh" && row["kind"] == "action_requested"),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn requests_are_checked() {
    let host = Host::new().await;
    let operator = host.token("operator", Role::Operator, Scope::All).await;
    for org in ["_", "a%20b", "a.b"] {
        assert_eq!(host.get(&format!("/api/v1/actions?org={org}"), &operator).await.status, 404, "{org}");
    }
    for body in [
        json!({ "repository": "_/site", "number": 1, "body": "x" }),
        json!({ "repository": "acme/site", "number": 0, "body": "x" }),
        json!({ "repository": "acme/site", "number": 1, "body": " " }),
        json!({ "repository": "acme/site/x", "number": 1, "body": "x" }),
        json!({ "repository": "acme/site", "number": 1, "body": "x", "more": 1 }),
        json!({ "number": 1, "body": "x" }),
    ] {
        let answer = host.post("/create-comment", &operator, body.clone()).await;
        assert_eq!(answer.status, 400, "{body}: {}", answer.text());
    }
    let preview = host.post("/create-comment?dry_run=true", &operator, comment("acme/site")).await;
    let data = preview.json()["data"].clone();
    assert_eq!((preview.status.as_u16(), &data["would"]), (200, &json!("waiting")), "{}", preview.text());
    assert_eq!(data["policy"]["approvals"], 1);
    let listed = host.get("/api/v1/actions?repo=site", &operator).await.json();
    assert_eq!(listed["actions"], json!([]), "nothing was stored");
}
