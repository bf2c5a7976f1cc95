use serde_json::{Value, json};

use super::*;

fn builder() -> EventBuilder {
    EventBuilder {
        org: "acme".into(),
        repo: "site".into(),
        repo_id: 7,
        collected_at: at("2025-06-01T00:00:00Z"),
    }
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn pull(changes: Value) -> PullRequest {
    let mut pull = json!({
        "id": "PR_5", "number": 5, "state": "OPEN", "isDraft": false,
        "createdAt": "2025-01-01T00:00:00Z", "updatedAt": "2025-01-09T00:00:00Z",
        "closedAt": null, "mergedAt": null,
        "author": { "__typename": "User", "login": "ann", "databaseId": 1 },
        "headRefName": "fix", "headRepository": { "databaseId": 8 }, "mergeCommit": null,
        "labels": { "nodes": [{ "name": "bug" }, null] },
        "reviews": { "nodes": [] },
        "timelineItems": { "nodes": [] },
    });
    pull.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    serde_json::from_value(pull).unwrap()
}

fn closed_events(times: &[&str]) -> Value {
    json!({ "nodes": times.iter().map(|t| json!({ "createdAt": t })).collect::<Vec<_>>() })
}

/// The closings among the events: time, and whether they are retracted.
fn closings_of(events: &[Event]) -> Vec<(String, bool)> {
    let closings = events.iter().filter(|e| matches!(e.kind, EventKind::PrClosed | EventKind::IssueClosed));
    closings.map(|e| (e.occurred_at.format("%m-%dT%H:%M:%S").to_string(), e.retracted)).collect()
}

#[test]
fn a_closing_takes_the_time_of_its_closed_event() {
    let closed = pull(json!({
        "state": "CLOSED", "closedAt": "2025-01-03T10:00:00Z",
        "timelineItems": closed_events(&["2025-01-03T10:00:01Z"]),
    }));
    let events = builder().pull_request(&closed);
    let expected = [("01-03T10:00:00".to_owned(), true), ("01-03T10:00:01".to_owned(), false)];
    assert_eq!(closings_of(&events), expected, "an earlier run may have recorded it at `closedAt`");
    assert_eq!(events[2].id.as_str(), "pr:7:5:closed:1735898401");

    let reopened = pull(json!({ "timelineItems": closed_events(&["2025-01-03T10:00:01Z"]) }));
    let again = builder().pull_request(&reopened);
    assert_eq!(closings_of(&again), [("01-03T10:00:01".to_owned(), true)], "the same id, retracted");
    assert_eq!(again[1].id, events[2].id);
}

#[test]
fn closing_again_is_another_event() {
    let events = builder().pull_request(&pull(json!({
        "state": "CLOSED", "closedAt": "2025-01-05T10:00:00Z",
        "timelineItems": closed_events(&["2025-01-05T10:00:00Z", "2025-01-03T10:00:00Z"]),
    })));
    let expected = [("01-03T10:00:00".to_owned(), true), ("01-05T10:00:00".to_owned(), false)];
    assert_eq!(closings_of(&events), expected);
}

#[test]
fn without_a_closed_event_the_closing_takes_closed_at() {
    let events =
        builder().pull_request(&pull(json!({ "state": "CLOSED", "closedAt": "2025-01-03T10:00:00Z" })));
    assert_eq!(closings_of(&events), [("01-03T10:00:00".to_owned(), false)]);
}

#[test]
fn a_merge_is_no_closing_and_retracts_all_closings() {
    let events = builder().pull_request(&pull(json!({
        "state": "MERGED", "closedAt": "2025-01-08T00:00:00Z", "mergedAt": "2025-01-08T00:00:00Z",
        "timelineItems": closed_events(&["2025-01-03T10:00:00Z", "2025-01-08T00:00:00Z"]),
    })));
    let expected = [("01-03T10:00:00".to_owned(), true), ("01-08T00:00:00".to_owned(), true)];
    assert_eq!(closings_of(&events), expected, "also the closing of the merge itself");
    let merged = events.iter().find(|event| event.kind == EventKind::PrMerged).unwrap();
    assert_eq!(merged.facts.state.as_deref(), Some("merged"));
    assert_eq!(merged.facts.labels.as_deref(), Some(&["bug".to_owned()][..]));
}

/// The ids of the events that count after these batches were merged in this order.
fn ids_that_count(batches: &[&[Event]]) -> Vec<String> {
    let mut winners: BTreeMap<&EventId, &Event> = BTreeMap::new();
    for event in batches.iter().copied().flatten() {
        let winner = winners.entry(&event.id).or_insert(event);
        if event.supersedes(winner) {
            *winner = event;
        }
    }
    winners.into_values().filter(|event| !event.retracted).map(|event| event.id.to_string()).collect()
}

/// Asserts that the result is what the last batch shows, whichever of the earlier batches were collected
/// before it, and in whichever order the batches are merged.
fn assert_last_batch_decides(batches: &[Vec<Event>], expected: &[&str]) {
    let (last, earlier) = batches.split_last().unwrap();
    for chosen in 0..(1_u32 << earlier.len()) {
        let collected = earlier.iter().enumerate().filter(|(at, _)| (chosen >> *at) & 1 == 1);
        let mut merged: Vec<&[Event]> = collected.map(|(_, batch)| batch.as_slice()).collect();
        merged.push(last);
        assert_eq!(ids_that_count(&merged), expected, "earlier batches {chosen:b}");
        merged.reverse();
        assert_eq!(ids_that_count(&merged), expected, "earlier batches {chosen:b}, the last one first");
    }
}

/// The fields of a pull request or an issue that change over time.
fn state_at(state: &str, updated: &str, closed: Option<&str>, events: &[&str]) -> Value {
    json!({
        "state": state, "updatedAt": updated, "closedAt": closed,
        "mergedAt": closed.filter(|_| state == "MERGED"), "timelineItems": closed_events(events),
    })
}

fn pull_request_batches(states: &[Value]) -> Vec<Vec<Event>> {
    states.iter().map(|state| builder().pull_request(&pull(state.clone()))).collect()
}

fn issue_batches(states: &[Value]) -> Vec<Vec<Event>> {
    let issue = |state: &Value| {
        let mut issue = json!({
            "id": "I_6", "number": 6, "createdAt": "2025-01-01T00:00:00Z", "author": null,
            "labels": { "nodes": [] },
        });
        issue.as_object_mut().unwrap().extend(state.as_object().unwrap().clone());
        builder().issue(&serde_json::from_value(issue).unwrap())
    };
    states.iter().map(issue).collect()
}

#[test]
fn a_closing_read_before_its_closed_event_counts_once() {
    let (closed, event) = ("2025-01-03T10:00:00Z", "2025-01-03T10:00:02Z");
    let states = [
        state_at("OPEN", "2025-01-02T00:00:00Z", None, &[]),
        state_at("CLOSED", closed, Some(closed), &[]),
        state_at("CLOSED", closed, Some(closed), &[event]),
        state_at("CLOSED", "2025-01-04T00:00:00Z", Some(closed), &[event]),
    ];
    for states in [&states[..3], &states] {
        assert_last_batch_decides(
            &pull_request_batches(states),
            &["pr:7:5:closed:1735898402", "pr:7:5:opened"],
        );
        assert_last_batch_decides(
            &issue_batches(states),
            &["issue:7:6:closed:1735898402", "issue:7:6:opened"],
        );
    }
}

#[test]
fn closed_at_and_closed_event_in_one_second_are_one_event() {
    let closed = "2025-01-03T10:00:00Z";
    let states =
        [state_at("CLOSED", closed, Some(closed), &[]), state_at("CLOSED", closed, Some(closed), &[closed])];
    for batch in pull_request_batches(&states).iter().chain(&issue_batches(&states)) {
        assert_eq!(closings_of(batch), [("01-03T10:00:00".to_owned(), false)]);
    }
}

#[test]
fn a_merge_first_read_as_a_closing_counts_as_a_merge_only() {
    let (merged, event) = ("2025-01-03T10:00:00Z", "2025-01-03T10:00:01Z");
    for events in [&[merged][..], &[event]] {
        let states = [
            state_at("OPEN", "2025-01-02T00:00:00Z", None, &[]),
            state_at("CLOSED", merged, Some(merged), &[]),
            state_at("CLOSED", merged, Some(merged), events),
            state_at("MERGED", merged, Some(merged), &[]),
            state_at("MERGED", merged, Some(merged), events),
        ];
        assert_last_batch_decides(&pull_request_batches(&states), &["pr:7:5:merged", "pr:7:5:opened"]);
    }
}

#[test]
fn undone_closings_do_not_count_and_the_last_one_does() {
    let (first, again, event) = ("2025-01-03T10:00:00Z", "2025-01-05T10:00:00Z", "2025-01-05T09:59:59Z");
    let states = [
        state_at("CLOSED", first, Some(first), &[]),
        state_at("CLOSED", first, Some(first), &[first]),
        // Reopened within the same second: the closing must not win.
        state_at("OPEN", first, None, &[first]),
        state_at("CLOSED", again, Some(again), &[first]),
        state_at("CLOSED", again, Some(again), &[first, event]),
    ];
    assert_last_batch_decides(&pull_request_batches(&states[..3]), &["pr:7:5:opened"]);
    assert_last_batch_decides(&issue_batches(&states[..3]), &["issue:7:6:opened"]);
    assert_last_batch_decides(&pull_request_batches(&states), &["pr:7:5:closed:1736071199", "pr:7:5:opened"]);
    assert_last_batch_decides(&issue_batches(&states), &["issue:7:6:closed:1736071199", "issue:7:6:opened"]);
}

fn review(id: &str, login: Option<&str>, state: &str, submitted: Option<&str>) -> Value {
    let author = login.map(|login| json!({ "__typename": "User", "login": login, "databaseId": 2 }));
    json!({
        "fullDatabaseId": id, "state": state, "submittedAt": submitted,
        "updatedAt": submitted.unwrap_or("2025-01-02T00:00:00Z"), "author": author,
    })
}

#[test]
fn reviews_name_the_pull_requests_author_and_pending_ones_are_skipped() {
    let events = builder().pull_request(&pull(json!({
        "state": "MERGED", "closedAt": "2025-01-08T00:00:00Z", "mergedAt": "2025-01-08T00:00:00Z",
        "reviews": { "nodes": [
            review("11", Some("ben"), "COMMENTED", Some("2025-01-04T00:00:00Z")),
            review("12", Some("ben"), "APPROVED", Some("2025-01-03T00:00:00Z")),
            review("13", None, "DISMISSED", Some("2025-01-05T00:00:00Z")),
            review("14", Some("cy"), "PENDING", None),
            review("15", Some("dan"), "COMMENTED", Some("2025-01-09T00:00:00Z")),
            Value::Null,
        ]},
    })));
    let reviews: Vec<&Event> = events.iter().filter(|event| event.kind == EventKind::Review).collect();
    let ids: Vec<&str> = reviews.iter().map(|event| event.id.as_str()).collect();
    assert_eq!(ids, ["review:11", "review:12", "review:13", "review:15"]);
    assert!(reviews.iter().all(|event| event.facts.pr_member.as_deref() == Some("ann")));
    assert_eq!(reviews[2].member, Member::ghost());
    let merged = events.iter().find(|event| event.kind == EventKind::PrMerged).unwrap();
    let first: Vec<(&str, String)> = merged
        .facts
        .first_reviews
        .iter()
        .flatten()
        .map(|review| (review.member.as_str(), review.at.format("%m-%d").to_string()))
        .collect();
    assert_eq!(
        first,
        [("ben", "01-03".to_owned()), ("ghost", "01-05".to_owned())],
        "each reviewer's first, up to the merge"
    );
}

fn deployment(statuses: &[(&str, &str)]) -> Deployment {
    let statuses: Vec<Value> =
        statuses.iter().map(|(state, at)| json!({ "state": state, "createdAt": at })).collect();
    serde_json::from_value(json!({
        "id": "DE_1", "databaseId": 9, "environment": "production", "commitOid": "abc",
        "createdAt": "2025-01-01T00:00:00Z",
        "creator": { "__typename": "Bot", "login": "deployer", "databaseId": 3 },
        "statuses": { "nodes": statuses },
    }))
    .unwrap()
}

fn outcome(statuses: &[(&str, &str)]) -> Vec<(String, bool, String)> {
    let events = builder().deployment(&deployment(statuses));
    events
        .iter()
        .map(|e| (e.id.to_string(), e.retracted, e.occurred_at.format("%m-%d").to_string()))
        .collect()
}

#[test]
fn a_deployment_counts_at_its_first_success() {
    let events = outcome(&[
        ("INACTIVE", "2025-01-09T00:00:00Z"),
        ("SUCCESS", "2025-01-05T00:00:00Z"),
        ("SUCCESS", "2025-01-03T00:00:00Z"),
        ("IN_PROGRESS", "2025-01-02T00:00:00Z"),
    ]);
    assert_eq!(events, [("deployment:9:success".to_owned(), false, "01-03".to_owned())]);
}

#[test]
fn a_failure_counts_until_the_deployment_succeeds() {
    let failed = [("ERROR", "2025-01-04T00:00:00Z"), ("FAILURE", "2025-01-03T00:00:00Z")];
    assert_eq!(outcome(&failed), [("deployment:9:failure".to_owned(), false, "01-03".to_owned())]);
    let recovered = [("SUCCESS", "2025-01-06T00:00:00Z"), failed[0], failed[1]];
    let expected = [
        ("deployment:9:success".to_owned(), false, "01-06".to_owned()),
        ("deployment:9:failure".to_owned(), true, "01-03".to_owned()),
    ];
    assert_eq!(outcome(&recovered), expected);
    assert_eq!(outcome(&[("PENDING", "2025-01-03T00:00:00Z")]), []);
    let late = [("FAILURE", "2025-01-08T00:00:00Z"), ("SUCCESS", "2025-01-06T00:00:00Z")];
    assert_eq!(outcome(&late).len(), 1, "a failure after a success is no event");
}

#[test]
fn a_retracted_failure_supersedes_the_failure() {
    let failed = builder().deployment(&deployment(&[("FAILURE", "2025-01-03T00:00:00Z")]));
    let recovered = builder()
        .deployment(&deployment(&[("FAILURE", "2025-01-03T00:00:00Z"), ("SUCCESS", "2025-01-06T00:00:00Z")]));
    assert!(recovered[1].supersedes(&failed[0]) && recovered[1].id == failed[0].id);
}

#[test]
fn what_comes_after_90_days_does_not_count() {
    let failed = ("FAILURE", "2025-01-03T00:00:00Z");
    let in_time = outcome(&[failed, ("SUCCESS", "2025-04-01T00:00:00Z")]);
    assert_eq!(in_time[0], ("deployment:9:success".to_owned(), false, "04-01".to_owned()));
    // A second later is too late. A success that an earlier version counted is retracted.
    let late = [failed, ("SUCCESS", "2025-04-01T00:00:01Z")];
    let expected = [
        ("deployment:9:success".to_owned(), true, "04-01".to_owned()),
        ("deployment:9:failure".to_owned(), false, "01-03".to_owned()),
    ];
    assert_eq!(outcome(&late), expected);
    let before = builder().deployment(&deployment(&[failed]));
    let after = builder().deployment(&deployment(&late));
    assert!(after[1].supersedes(&before[0]));
    assert_eq!(outcome(&[("ERROR", "2025-04-02T00:00:00Z")]), []);
}

#[test]
fn a_draft_is_no_release() {
    let release = |changes: Value| {
        let mut release = json!({
            "id": "RE_3", "databaseId": 3, "tagName": "v1", "isDraft": false, "createdAt": "2024-01-01T00:00:00Z",
            "publishedAt": "2025-01-01T00:00:00Z", "updatedAt": "2025-01-02T00:00:00Z", "author": null,
        });
        release.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        builder().release(&serde_json::from_value(release).unwrap())
    };
    let published = release(json!({})).unwrap();
    assert_eq!(published.id.as_str(), "release:3:1735689600");
    assert_eq!(published.member, Member::unknown());
    assert!(release(json!({ "isDraft": true, "publishedAt": null })).is_none());
    assert!(release(json!({ "databaseId": null })).is_none());
}

#[test]
fn a_commit_names_each_co_author_once_and_stores_no_address() {
    let person = |name: &str, email: &str, login: Option<&str>| json!({ "name": name, "email": email, "user": login.map(|l| json!({ "login": l, "databaseId": 4 })) });
    let commit: Commit = serde_json::from_value(json!({
        "oid": "abc", "committedDate": "2025-01-01T00:00:00Z",
        "additions": 3, "deletions": 1, "changedFilesIfAvailable": null,
        "parents": { "totalCount": 2 },
        "author": person("Ann", "ann@example.org", Some("ann")),
        "authors": { "nodes": [
            person("Ann", "ann@example.org", Some("ann")),
            person("Ben", "ben@example.org", None),
            person("Ben", "BEN@example.org", None),
            person("Ann", "other@example.org", Some("ann")),
        ]},
    }))
    .unwrap();
    let version = CommitVersion::initial(DateTime::from_timestamp(4, 0));
    let event = builder().commit(&commit, version);
    assert_eq!((event.version, event.member.name.as_str(), event.facts.parents), (9, "ann", Some(2)));
    assert_eq!(event.facts.files_changed, None);
    assert_eq!(event.facts.co_authors.as_ref().map(Vec::len), Some(1));
    assert!(!format!("{event:?}").contains('@'));
}

#[test]
fn a_full_answer_beats_the_basic_fields_of_a_pull_request() {
    let merged = json!({
        "state": "MERGED", "mergedAt": "2025-01-03T10:00:00Z", "closedAt": "2025-01-03T10:00:00Z",
        "reviews": null,
    });
    let pull = pull(merged);
    let (basic, full) = (builder().basic_pull_request(&pull), builder().pull_request(&pull));
    assert_eq!(
        basic.iter().map(|event| event.kind).collect::<Vec<_>>(),
        [EventKind::PrOpened, EventKind::PrMerged]
    );
    assert!(basic.iter().all(|event| !event.retracted && event.facts.first_reviews.is_none()));
    for event in &basic {
        let full = full.iter().find(|full| full.id == event.id).unwrap();
        assert!(event.version < full.version, "{}", event.id.as_str());
    }
    // An earlier full answer, which has the first reviews, beats later basic fields.
    assert!(basic[1].version < at("2025-01-03T10:00:00Z").timestamp());
}
