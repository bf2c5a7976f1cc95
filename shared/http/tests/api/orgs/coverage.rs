//! `complete_since` and `complete_until`.

use gam_store::CheckpointStore;
use gam_store::keys::CheckpointKey;
use serde_json::{Value, json};

use crate::support::{acme, get_json};

/// Returns `complete_since` and `complete_until` at the path, with this checkpoint of the organization
/// and a checkpoint of the repository "Site".
async fn coverage(org: Value, path: &str) -> Value {
    let data = acme::data().await;
    let repo = json!({
        "commits": {"covered": {"tip": "a3", "since": "2023-12-01T00:00:00Z", "until": null}},
        "pulls": {"since": "2024-01-01T00:00:00Z"},
    });
    let (org_key, repo_key) =
        (CheckpointKey::Org("acme".to_owned()), CheckpointKey::Repo("acme".to_owned(), 1));
    for (key, checkpoint) in [(org_key, org), (repo_key, repo)] {
        data.store.save(&key, &checkpoint.to_string(), None).await.expect("it is saved");
    }
    let answer = get_json(&data.api(), path).await;
    json!([answer["complete_since"], answer["complete_until"]])
}

#[tokio::test]
async fn answers_include_the_coverage_of_the_subject() {
    let (since, until) = ("2023-12-11T00:00:00Z", "2024-03-10T11:00:00Z");
    let complete = json!({"complete_until": until, "since": since});
    for path in ["/api/v1/orgs/acme/metrics", "/api/v1/orgs/acme/members/ann/metrics"] {
        assert_eq!(coverage(complete.clone(), path).await, json!([since, until]), "{path}");
    }
    let site = "/api/v1/orgs/acme/repos/site/metrics";
    let expected = json!(["2024-01-01T00:00:00Z", until]);
    assert_eq!(coverage(complete, site).await, expected, "pull requests were read from a later day on");

    let partial = json!({"complete_until": until, "repos": {"2": null}, "since": since});
    let unknown = json!([null, null]);
    assert_eq!(coverage(partial.clone(), "/api/v1/orgs/acme/metrics").await, unknown);
    assert_eq!(coverage(partial.clone(), "/api/v1/orgs/acme/repos/tools/metrics").await, unknown);
    assert_eq!(coverage(partial, site).await, expected);
}
