//! `…/issues`: the cache of issues.

use gam_model::issue::{IssueState, IssueUser};
use gam_work::{CachedIssue, Tombstone};
use serde_json::{Value, json};

use crate::support::{acme, check_snapshot, empty_api, get, get_json};

const ISSUES: &str = "/api/v1/orgs/acme/issues";

/// Returns the numbers of the issues of an answer.
fn numbers(answer: &Value) -> Vec<i64> {
    answer["issues"].as_array().unwrap().iter().map(|issue| issue["number"].as_i64().unwrap()).collect()
}

fn changed(number: i64, change: impl Fn(&mut CachedIssue)) -> CachedIssue {
    let mut issue = acme::issue(number);
    change(&mut issue);
    issue
}

#[tokio::test]
async fn issues_are_filtered_and_paged() {
    // It has issue 6 already.
    let data = acme::data().await;
    let ann = || vec![IssueUser { id: 1, login: "Ann".to_owned() }];
    for issue in [
        acme::issue(1),
        changed(2, |issue| issue.details.assignees = ann()),
        changed(3, |issue| issue.details.state = IssueState::Closed),
        changed(4, |issue| issue.details.labels.clear()),
        changed(5, |issue| issue.tombstone = Some(Tombstone::Deleted)),
    ] {
        acme::store_issue(&data, &issue).await;
    }
    let api = data.api();
    let label = acme::issue(1).details.labels[0].name.to_uppercase();
    for (query, expected) in [
        ("", &[1, 2, 4, 6][..]),
        ("?state=all", &[1, 2, 3, 4, 6]),
        ("?state=closed", &[3]),
        ("?assignee=ANN", &[2]),
        ("?assignee=none", &[1, 4, 6]),
        ("?repo=SITE", &[1, 2, 4, 6]),
        ("?repo=other", &[]),
        (&format!("?label={label}"), &[1, 2, 6]),
    ] {
        let answer = get_json(&api, &format!("{ISSUES}{query}")).await;
        assert_eq!(
            (numbers(&answer), &answer["org"], &answer["next"]),
            (expected.to_vec(), &json!("Acme"), &json!(null)),
            "{query}"
        );
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = get_json(&api, &format!("{ISSUES}?limit=2{cursor}")).await;
        seen.extend(numbers(&page));
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, [1, 2, 4, 6]);
    check_snapshot("issues", &get(&api, &format!("{ISSUES}?limit=1")).await.as_snapshot());
}

#[tokio::test]
async fn invalid_requests_for_issues_are_refused() {
    let api = acme::api().await;
    for query in ["?state=merged", "?cursor=x", "?cursor=1.-1", "?limit=0", "?sort=name"] {
        get(&api, &format!("{ISSUES}{query}")).await.problem(400, "INVALID_ARGUMENT");
    }
    get(&empty_api(), ISSUES).await.problem(404, "NOT_FOUND");
}
