//! `…/members` and `…/repos`.

use serde_json::json;

use crate::support::{acme, get, get_json};

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
