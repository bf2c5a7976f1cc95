//! `…/hooks` and its page: the webhooks of an organization.

use gam_store::{Expectation, RecordCommit, RecordCommitId, RecordStore as _};
use gam_work::hooks::{HookGap, HookState, LastDelivery, put_hook};
use gam_work::sweep::HookInfo;
use serde_json::json;

use crate::support::{TestData, acme, check_snapshot, fixed_clock, get, get_json};

const HOOKS: &str = "/api/v1/orgs/ACME/hooks";

pub(crate) async fn store(data: &TestData, state: &HookState) {
    let now = fixed_clock().now();
    let commit = RecordCommit::new(RecordCommitId::random());
    let commit = put_hook(commit, "acme", state, Expectation::Any, now).expect("a key");
    data.store.commit(&commit, now).await.expect("it is stored");
}

pub(crate) fn swept() -> HookState {
    let at = |text: &str| text.parse().expect("a time");
    HookState {
        id: "org/acme/1".to_owned(),
        info: Some(HookInfo {
            id: "org/acme/1".to_owned(),
            url: "https://metrics.example.com/api/v1/webhook/github".to_owned(),
            content_type: "json".to_owned(),
            has_secret: Some(false),
            events: vec!["*".to_owned()],
            is_active: true,
        }),
        checked_until: Some(at("2024-03-09T12:00:00Z")),
        last: Some(LastDelivery {
            at: at("2024-03-09T11:50:00Z"),
            event: "issues".to_owned(),
            status_code: 401,
            status: "Unauthorized".to_owned(),
        }),
        walk: None,
        gaps: vec![HookGap {
            from: at("2024-03-08T01:00:00Z"),
            to: at("2024-03-08T02:00:00Z"),
            missed: 1_204,
            repos: vec!["Site".to_owned(), "<b>".to_owned()],
        }],
    }
}

#[tokio::test]
async fn hooks_have_their_last_delivery_and_gaps() {
    let data = acme::data().await;
    let api = data.api();
    assert_eq!(get_json(&api, HOOKS).await, json!({ "org": "Acme", "hooks": [] }));
    let page = get(&api, "/orgs/acme/hooks").await;
    assert!(page.text().contains("github-metrics hook check Acme"), "{}", page.text());

    store(&data, &swept()).await;
    store(&data, &HookState { id: "repo/acme/site/5".to_owned(), ..HookState::default() }).await;
    let listed = get(&api, HOOKS).await;
    assert_eq!(listed.json()["hooks"].as_array().map(Vec::len), Some(2), "the earlier answer is not kept");
    check_snapshot("hooks", &listed.as_snapshot());
    let page = get(&api, "/orgs/acme/hooks").await.text().to_owned();
    for expected in [
        "org/acme/1",
        "issues, answer 401",
        "its last delivery was refused",
        "1,204",
        "Site, &lt;b&gt;",
        "repo/acme/site/5",
    ] {
        assert!(page.contains(expected), "{expected}: {page}");
    }
    let japanese = get(&api, "/orgs/acme/hooks?lang=ja").await.text().to_owned();
    assert!(japanese.contains("届かなかった配信"), "{japanese}");
    get(&api, "/api/v1/orgs/nobody/hooks").await.problem(404, "NOT_FOUND");
    get(&api, "/api/v1/orgs/acme/hooks?x=1").await.problem(400, "INVALID_ARGUMENT");
}

#[tokio::test]
async fn a_server_that_only_reads_says_that_it_knows_no_hooks_and_tasks() {
    let data = acme::data().await;
    let api = gam_http::router(data.query_ports());
    get(&api, HOOKS).await.problem(503, "INTERNAL_ERROR");
    for page in ["/orgs/acme/hooks", "/orgs/acme/tasks"] {
        let text = get(&api, page).await.text().to_owned();
        assert!(text.contains("can only read its store") && !text.contains("No tasks"), "{text}");
    }
}
