//! `…/members` and `…/repos`, of an organization, a repository and a member.

use gam_store::{Checkpoint, CheckpointKey, Head};
use serde_json::json;

use crate::support::{TestData, acme, get, get_json};

#[tokio::test]
async fn a_listing_is_sorted_and_paged() {
    let api = acme::api().await;
    // Returns the names on all pages, separated by spaces.
    let all_names = async |list: &str, query: &str| {
        let (mut names, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = get_json(&api, &format!("/api/v1/orgs/acme/{list}s?{query}{cursor}")).await;
            let entries = page[format!("{list}s")].as_array().expect("entries");
            names.extend(entries.iter().map(|entry| entry[list].as_str().expect("a name").to_owned()));
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return names.join(" "),
            }
        }
    };
    assert_eq!(all_names("member", "").await, "Ann bob ~0123456789ab");
    assert_eq!(all_names("member", "limit=1").await, "Ann bob ~0123456789ab");
    assert_eq!(all_names("member", "sort=reviews&limit=2").await, "bob Ann ~0123456789ab");
    assert_eq!(all_names("member", "sort=commits&order=asc&limit=1").await, "bob ~0123456789ab Ann");
    assert_eq!(all_names("member", "bots=only").await, "dependabot[bot]");
    assert_eq!(all_names("repo", "limit=1&sort=prs_opened").await, "Site tools");
    assert_eq!(all_names("repo", "since=2023-01-01&until=2023-02-01").await, "Site");
    assert_eq!(all_names("repo", "since=2022-01-01&until=2022-02-01").await, "");
    let page = get_json(&api, "/api/v1/orgs/acme/members?limit=2").await;
    assert_eq!(
        (&page["members"][0]["kind"], &page["members"][0]["metrics"]["commits"]),
        (&json!("user"), &json!(2))
    );
    let response = get(&api, "/api/v1/orgs/acme/members?cursor=nonsense").await;
    assert!(response.problem(400, "INVALID_ARGUMENT").contains("cursor"));
}

#[tokio::test]
async fn a_repository_has_members_and_a_member_has_repositories() {
    let api = acme::api().await;
    // Returns name and commits of each entry.
    let entries = async |path: &str, list: &str, name: &str| {
        let page = get_json(&api, &format!("/api/v1/orgs/acme/{path}")).await;
        let entries = page[list].as_array().expect("entries").iter();
        let text = entries.map(|entry| {
            format!("{} {}", entry[name].as_str().expect("a name"), entry["metrics"]["commits"])
        });
        text.collect::<Vec<_>>().join(", ")
    };
    let members = async |query: &str| entries(&format!("repos/{query}"), "members", "member").await;
    let repos = async |query: &str| entries(&format!("members/{query}"), "repos", "repo").await;
    assert_eq!(members("SITE/members").await, "Ann 2, bob 0");
    assert_eq!(members("site/members?since=2024-03-02&until=2024-03-05").await, "Ann 1");
    assert_eq!(members("site/members?bots=only").await, "dependabot[bot] 1");
    assert_eq!(members("site/members?bots=include&sort=reviews&limit=2").await, "bob 0, Ann 2");
    assert_eq!(members("tools/members?id=2").await, "bob 1, ~0123456789ab 1");
    assert_eq!(repos("ann/repos").await, "Site 2");
    assert_eq!(repos("bob/repos").await, "tools 1, Site 0");
    assert_eq!(repos("ann/repos?since=2023-01-01&until=2023-02-01").await, "Site 1");
    assert_eq!(repos("ann/repos?since=2022-01-01&until=2022-02-01").await, "");
    assert_eq!(repos("dependabot[bot]/repos").await, "Site 1", "a bot answers its own numbers");
    assert_eq!(repos("ann/repos?bots=only").await, "");
    let repo = get_json(&api, "/api/v1/orgs/acme/members/bob/repos?limit=1").await["repos"][0].clone();
    assert_eq!((&repo["id"], &repo["metrics"]["active_members"]), (&json!(2), &json!(1)));
    get(&api, "/api/v1/orgs/acme/repos/site/members?id=2").await.problem(404, "NOT_FOUND");
    get(&api, "/api/v1/orgs/acme/members/ann/repos?id=1").await.problem(400, "INVALID_ARGUMENT");
}

/// Changes the head.
async fn change_head(data: &TestData, change: impl FnOnce(&mut Head)) {
    let key = CheckpointKey::Head("acme".to_owned());
    let mut head: Checkpoint<Head> = Checkpoint::load(&*data.store, &key).await.expect("the head is loaded");
    change(&mut head.value);
    assert!(head.save(&*data.store, &key).await.expect("the head is saved"));
}

/// Replaces the hash of the configuration that the numbers are computed by. Returns the hash before.
async fn replace_identity(data: &TestData, identity: &str) -> String {
    let mut before = String::new();
    change_head(data, |head| {
        let active = head.active.as_mut().expect("an epoch is active");
        before = std::mem::replace(&mut active.logic.identity, identity.to_owned());
    })
    .await;
    before
}

#[tokio::test]
async fn a_cursor_expires_when_the_rules_change() {
    let data = acme::data().await;
    let api = data.api();
    for path in ["members", "repos", "repos/site/members", "members/bob/repos"] {
        let page = get_json(&api, &format!("/api/v1/orgs/acme/{path}?limit=1")).await;
        let next = page["next"].as_str().expect("a cursor");
        let second = format!("/api/v1/orgs/acme/{path}?limit=1&cursor={next}");
        assert_eq!(get(&api, &second).await.status, 200, "{path}");
        let identity = replace_identity(&data, "other bots").await;
        let detail = get(&api, &second).await.problem(410, "CURSOR_EXPIRED");
        assert!(detail.contains("first page"), "{detail}");
        replace_identity(&data, &identity).await;
    }
}

#[tokio::test]
async fn numbers_that_are_being_computed_are_unavailable() {
    let data = acme::data().await;
    change_head(&data, |head| head.target = head.active.take()).await;
    let api = data.api();
    for path in
        ["metrics", "members", "repos", "metrics/timeseries", "repos/site/members", "members/ann/repos"]
    {
        let response = get(&api, &format!("/api/v1/orgs/acme/{path}")).await;
        let detail = response.problem(503, "INTERNAL_ERROR");
        assert!(detail.contains("`github-metrics aggregate Acme`"), "{detail}");
        assert_eq!((response.header("retry-after"), response.header("etag")), ("30", ""), "{path}");
    }
    let expected = json!({"orgs": [
        {"org": "Acme", "repos": null, "members": null, "first_event": null, "last_event": null},
    ]});
    assert_eq!(get_json(&api, "/api/v1/orgs").await, expected);
}
