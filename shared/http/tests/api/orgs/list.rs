//! `/api/v1/orgs`.

use serde_json::json;

use crate::support::{acme, get_json};

#[tokio::test]
async fn organizations_are_listed() {
    let api = acme::api().await;
    let expected = json!({"orgs": [{
        "org": "Acme", "repos": 2, "members": 3,
        "first_event": "2023-01-02T00:00:00Z", "last_event": "2024-03-09T23:59:59Z",
    }]});
    assert_eq!(get_json(&api, "/api/v1/orgs").await, expected);
}
