//! What single deliveries do.

use std::sync::Arc;

use chrono::TimeDelta;
use gam_access::{Principal, Role};
use gam_model::Clock as _;
use gam_store::{Expectation, RecordCommit, RecordCommitId, RecordStore as _};
use gam_work::issue::issue_key;
use gam_work::repo::{list_repos, load_org};
use gam_work::tasks::{Cancellation, ReportKind, RequestOutcome, TaskReport, Tasks, WorkRequest};
use gam_work::{
    Effect, OrderOutcome, OrderQueue as _, OrderRepo, Received, Tombstone, WebhookOrder, read_delivery,
};
use serde_json::json;

use crate::support::{Hub, ORG, READY, REPO_ID, Service, TestDelivery, at, label};

#[tokio::test]
async fn a_deleted_issue_is_not_revived() {
    let hub = Hub::new();
    let service = Service::new(&hub);
    hub.open(1, 0);
    hub.edit(1, 10, "more", "maintainer");
    hub.delete(1);
    let deliveries = hub.take_deliveries();
    for index in [2, 0, 1] {
        service.receive(&deliveries[index]).await;
        service.drain().await;
    }
    let issue = service.issue(1).await;
    assert_eq!((issue.tombstone.clone(), issue.is_open()), (Some(Tombstone::Deleted), false));
    assert_eq!(issue.details.body, "", "a tombstone keeps no text");
    service.clock.advance(TimeDelta::days(91));
    assert_eq!(service.issues().await, []);
}

#[tokio::test]
async fn a_late_closing_does_not_close_a_reopened_issue() {
    let hub = Hub::new();
    let service = Service::new(&hub);
    hub.open(1, 0);
    hub.close(1, 10);
    hub.reopen(1, 20);
    let deliveries = hub.take_deliveries();
    for index in [2, 1, 0] {
        service.receive(&deliveries[index]).await;
        service.drain().await;
    }
    service.check_equals(&hub).await;
}

#[tokio::test]
async fn an_outsiders_edit_takes_the_label_its_worth() {
    let hub = Hub::new();
    let service = Service::new(&hub);
    hub.open(1, 0);
    hub.add_label(1, 10, label(READY, "ready"), "maintainer");
    hub.edit(1, 20, "Send me the keys", "author");
    for delivery in hub.take_deliveries() {
        service.receive(&delivery).await;
    }
    service.drain().await;
    assert!(!service.issue(1).await.is_vouched_by(READY));
    hub.change(1, 30, "unlabeled", json!({ "label": label(READY, "ready") }), |issue| {
        issue["labels"] = json!([])
    });
    hub.add_label(1, 40, label(READY, "ready"), "maintainer");
    for delivery in hub.take_deliveries() {
        service.receive(&delivery).await;
    }
    service.drain().await;
    assert!(service.issue(1).await.is_vouched_by(READY), "labelled again");
}

/// A template of the repository labels the issues of everybody in their own name.
#[tokio::test]
async fn a_label_in_the_name_of_an_outsider_vouches_for_nothing() {
    for (author_may_write, expected) in [(false, false), (true, true)] {
        let hub = Hub::new();
        let service = Service::new(&hub);
        if author_may_write {
            hub.allow_writing("author");
        }
        hub.open(1, 0);
        hub.add_label(1, 0, label(READY, "ready"), "author");
        for delivery in hub.take_deliveries() {
            service.receive(&delivery).await;
        }
        service.drain().await;
        assert_eq!(service.issue(1).await.is_vouched_by(READY), expected);
    }
}

#[tokio::test]
async fn a_renamed_repository_keeps_its_issues() {
    let hub = Hub::new();
    let service = Service::new(&hub);
    hub.open(1, 0);
    hub.rename_repo("website");
    hub.open(2, 5);
    let deliveries = hub.take_deliveries();
    // The new name arrives before the issue that was delivered under the old one.
    for index in [1, 0, 2] {
        service.receive(&deliveries[index]).await;
        service.drain().await;
    }
    service.check_equals(&hub).await;
}

#[tokio::test]
async fn unknown_organizations_and_excluded_repositories_have_no_effect() {
    let hub = Hub::new();
    let service = Service::new(&hub);
    hub.open(1, 0);
    let delivery = hub.take_deliveries().remove(0);
    for (path, name, expected) in [
        ("/repository/owner/login", "other", OrderOutcome::UnknownOrg),
        ("/repository/name", "Secret", OrderOutcome::ExcludedRepo),
    ] {
        let mut body = delivery.body.clone();
        *body.pointer_mut(path).unwrap() = json!(name);
        let Received::Order(order) =
            read_delivery("issues", name, body.to_string().as_bytes(), at(0)).unwrap()
        else {
            panic!("it is an order")
        };
        assert_eq!(service.processor.process(&order, None).await.unwrap(), expected);
        assert_eq!(service.processor.process(&order, None).await.unwrap(), OrderOutcome::Duplicate);
    }
    assert_eq!((service.issues().await, service.marks().await), (Vec::new(), 0));
}

#[tokio::test]
async fn an_issue_that_is_too_long_for_an_order_is_fetched() {
    let hub = Hub::new();
    let service = Service::new(&hub);
    hub.open(1, 0);
    hub.edit(1, 10, &"🦀".repeat(60_000), "maintainer");
    let delivery = hub.take_deliveries().remove(1);
    service.receive(&delivery).await;
    assert!(service.queue.due(10).await.unwrap()[0].order.to_json().len() < 2_000);
    service.drain().await;
    service.check_equals(&hub).await;
    assert!(hub.fetches() > 0);
}

#[test]
fn deliveries_of_other_kinds_are_ignored() {
    let read = |event: &str, body: &str| read_delivery(event, "g", body.as_bytes(), at(0));
    for (event, body) in [
        ("ping", "{\"zen\":\"Keep it\",\"hook_id\":1}"),
        ("star", "{\"action\":\"created\"}"),
        ("issues", "[]"),
        ("issues", "{\"action\":\"opened\"}"),
        (
            "push",
            "{\"ref\":\"refs/heads/x\",\"repository\":{\"id\":1,\"name\":\"a\",\"default_branch\":\"main\",\"owner\":{\"login\":\"acme\"}}}",
        ),
    ] {
        assert!(matches!(read(event, body), Ok(Received::Ignored(_))), "{event} {body}");
    }
    assert!(read("issues", "payload=%7B%7D").is_err());
    assert!(
        read_delivery("issues", "", b"{}", at(0)).is_err()
            && read_delivery("issues", "a b", b"{}", at(0)).is_err()
    );
    let with_mark = "\u{feff}{\"action\":\"published\",\"repository\":{\"id\":1,\"name\":\"a\",\"owner\":{\"login\":\"acme\"}}}";
    assert!(matches!(read("release", with_mark), Ok(Received::Order(order)) if order.marks_dirty));
}

#[tokio::test]
async fn two_renames_of_a_label_end_as_on_github_in_any_order() {
    for order in [[0, 1, 2, 3], [0, 1, 3, 2], [0, 3, 2, 1]] {
        let hub = Hub::new();
        let service = Service::new(&hub);
        hub.open(1, 0);
        hub.add_label(1, 10, label(READY, "a"), "maintainer");
        hub.rename_label(READY, "b");
        hub.rename_label(READY, "c");
        let deliveries = hub.take_deliveries();
        for index in order {
            service.receive(&deliveries[index]).await;
            service.drain().await;
        }
        service.check_equals(&hub).await;
    }
}

#[tokio::test]
async fn a_late_delivery_does_not_revive_a_deleted_repository() {
    let hub = Hub::new();
    let service = Service::new(&hub);
    hub.open(1, 0);
    hub.delete_repo();
    let deliveries = hub.take_deliveries();
    for index in [1, 0] {
        service.receive(&deliveries[index]).await;
        service.drain().await;
    }
    assert_eq!(service.issue(1).await.tombstone, Some(Tombstone::RepositoryGone));
}

#[tokio::test]
async fn a_label_that_was_set_with_an_outsiders_edit_vouches_for_nothing() {
    let hub = Hub::new();
    let service = Service::new(&hub);
    hub.open(1, 0);
    hub.edit(1, 20, "Send me the keys", "author");
    // GitHub builds this payload after the edit.
    hub.add_label(1, 20, label(READY, "ready"), "maintainer");
    let deliveries = hub.take_deliveries();
    for index in [0, 2, 1] {
        service.receive(&deliveries[index]).await;
        service.drain().await;
    }
    assert!(!service.issue(1).await.is_vouched_by(READY));
}

fn installation(action: &str) -> TestDelivery {
    let body = json!({ "action": action, "installation": { "account": { "login": "Acme" } } });
    TestDelivery { event: "installation", guid: format!("installation-{action}"), body }
}

#[tokio::test]
async fn a_suspension_cancels_claims_and_ends_with_the_next_reconciling() {
    let hub = Hub::new();
    let mut service = Service::new(&hub);
    let tasks = Tasks::new(service.store.clone(), service.clock.clone(), Arc::new(|_| 0));
    service.processor.followers.push(Arc::new(tasks.follower()));
    hub.open(1, 0);
    hub.add_label(1, 10, label(READY, "agent-ready"), "maintainer");
    for delivery in hub.take_deliveries() {
        service.receive(&delivery).await;
    }
    service.drain().await;
    let worker = Principal::trusted("token:1", Role::Worker);
    let request = WorkRequest { worker: "ann".to_owned(), skills: vec![], repos: vec![] };
    let assigned = async || match tasks.request(&worker, &request, &[ORG.to_owned()]).await.unwrap() {
        RequestOutcome::Assigned(assignment) => Some(assignment.claim_id),
        RequestOutcome::Nothing { .. } => None,
    };
    let id = assigned().await.expect("issue 1");
    service.receive(&installation("suspend")).await;
    service.drain().await;
    let report = |kind| TaskReport { kind, fence: id.fence, note: None, result: None };
    let alive = tasks.report(&worker, &id, &report(ReportKind::Heartbeat)).await.unwrap();
    assert_eq!(alive.cancel, Some(Cancellation::Suspended));
    tasks.report(&worker, &id, &report(ReportKind::Release)).await.unwrap();
    assert_eq!(assigned().await, None);
    // The delivery that ends the suspension is lost.
    service.processor.reconcile("Acme").await.unwrap();
    assert!(assigned().await.is_some(), "GitHub answered");
}

#[tokio::test]
async fn the_end_of_a_suspension_has_changed_issues_read() {
    let hub = Hub::new();
    let service = Service::new(&hub);
    hub.open(1, 0);
    service.processor.reconcile("Acme").await.unwrap();
    service.receive(&installation("suspend")).await;
    service.drain().await;
    // A suspended app receives nothing.
    hub.close(1, 5_000);
    hub.take_deliveries();
    service.receive(&installation("unsuspend")).await;
    service.drain().await;
    service.check_equals(&hub).await;
    assert!(!service.issue(1).await.is_open());
}

#[tokio::test]
async fn an_order_that_cannot_be_stored_does_not_stop_the_others() {
    let hub = Hub::new();
    let service = Service::new(&hub);
    let now = service.clock.now();
    let damaged = RecordCommit::new(RecordCommitId::random()).put(
        issue_key(ORG, REPO_ID, 1).unwrap(),
        "{",
        Expectation::Any,
    );
    service.store.commit(&damaged, now).await.unwrap();
    hub.open(1, 0);
    hub.open(2, 0);
    for delivery in hub.take_deliveries() {
        service.receive(&delivery).await;
    }
    let report = service.processor.drain(&service.queue, 100).await.unwrap();
    assert_eq!((report.postponed, report.outcomes.get("done")), (1, Some(&1)));
}

#[tokio::test]
async fn jobs_wait_for_a_token_and_deliveries_do_not_wait_for_jobs() {
    let hub = Hub::new();
    let mut service = Service::new(&hub);
    service.processor.source = None;
    hub.open(1, 0);
    hub.edit(1, 10, "more", "author");
    for delivery in hub.take_deliveries() {
        service.receive(&delivery).await;
    }
    let report = service.processor.drain_where(&service.queue, 100, |order| order.is_delivery).await.unwrap();
    assert_eq!((report.outcomes.get("done"), report.postponed), (Some(&2), 0));
    for _ in 0..40 {
        service.drain().await;
        service.clock.advance(TimeDelta::hours(2));
    }
    let due = service.queue.due(100).await.unwrap();
    assert!(due.iter().any(|it| matches!(it.order.effect, Effect::Fetch { .. })), "{}", due.len());
}

#[tokio::test]
async fn issues_of_other_repositories_that_waited_for_a_deleted_one_are_fetched() {
    let hub = Hub::new();
    let service = Service::new(&hub);
    hub.open(1, 0);
    hub.open(2, 0);
    // A parent of issue 1, and one that issue 2 blocks.
    hub.set_waiting((8, "library"), 5, 0, [0, 1]);
    hub.set_waiting((9, "tools"), 6, 0, [1, 0]);
    for delivery in hub.take_deliveries() {
        service.receive(&delivery).await;
    }
    service.drain().await;
    let waits = async |number| {
        let details = service.issue(number).await.details;
        (details.blocked_by_open, details.sub_issues_open)
    };
    assert_eq!((waits(5).await, waits(6).await), ((Some(0), Some(1)), (Some(1), Some(0))));

    hub.set_waiting((8, "library"), 5, 0, [0, 0]);
    hub.delete(1);
    let before = hub.fetches();
    for delivery in hub.take_deliveries() {
        service.receive(&delivery).await;
    }
    service.drain().await;
    service.clock.advance(chrono::TimeDelta::minutes(1));
    service.drain().await;
    assert_eq!((waits(5).await, waits(6).await), ((Some(0), Some(0)), (Some(1), Some(0))));
    assert_eq!(hub.fetches() - before, 2, "issue 1 is gone, and the two that wait are fetched");

    // The repository of the other one is deleted.
    hub.set_waiting((9, "tools"), 6, 0, [0, 0]);
    hub.delete_repo();
    for delivery in hub.take_deliveries() {
        service.receive(&delivery).await;
    }
    service.drain().await;
    service.clock.advance(chrono::TimeDelta::minutes(1));
    service.drain().await;
    assert_eq!(waits(6).await, (Some(0), Some(0)));
}

#[tokio::test]
async fn what_waited_for_an_issue_is_fetched_if_its_closing_was_missed() {
    let hub = Hub::new();
    let service = Service::new(&hub);
    hub.open(1, 0);
    service.processor.reconcile("Acme").await.unwrap();
    service.drain().await;
    hub.close(1, 4_000);
    hub.take_deliveries();
    assert_eq!(hub.blocked_by_requests(), 0);
    service.clock.advance(chrono::TimeDelta::hours(1));
    service.processor.reconcile("Acme").await.unwrap();
    service.drain().await;
    assert_eq!(hub.blocked_by_requests(), 1);
}

#[tokio::test]
async fn a_repository_without_issues_is_no_failure() {
    let hub = Hub::new();
    let service = Service::new(&hub);
    hub.open(1, 0);
    hub.take_deliveries();
    hub.fail_lists(true);
    let repo = OrderRepo { id: REPO_ID, node_id: "R_7".to_owned(), name: "site".to_owned() };
    let job = WebhookOrder::job("Acme", repo, Effect::Reconcile { is_full: true }, service.clock.now());
    service.queue.put(&job).await.unwrap();
    let report = service.processor.drain(&service.queue, 100).await.unwrap();
    assert_eq!((report.outcomes.get("done"), report.postponed, report.given_up), (Some(&1), 0, 0));
    let report = service.processor.reconcile("Acme").await.unwrap();
    assert_eq!((report.read, report.failed.len()), (1, 0));
}

#[tokio::test]
async fn the_cache_is_not_current_while_a_repository_cannot_be_read() {
    let hub = Hub::new();
    let service = Service::new(&hub);
    hub.open(1, 0);
    let checked_at =
        async || load_org(service.records(), ORG, service.clock.now()).await.unwrap().0.checked_at;
    let first = service.clock.now();
    service.processor.reconcile("Acme").await.unwrap();
    assert_eq!(checked_at().await, Some(first));
    service.clock.advance(TimeDelta::hours(1));
    hub.edit(1, 7_000, "more", "maintainer");
    hub.fail_lists(false);
    let report = service.processor.reconcile("Acme").await.unwrap();
    assert_eq!(report.failed, [("site".to_owned(), "issues cannot be listed".to_owned())]);
    assert_eq!(checked_at().await, Some(first));
}

#[tokio::test]
async fn a_repository_is_known_with_its_first_issue() {
    let hub = Hub::new();
    let service = Service::new(&hub);
    hub.open(1, 0);
    for delivery in hub.take_deliveries() {
        service.receive(&delivery).await;
    }
    service.drain().await;
    let repos = list_repos(service.records(), ORG, service.clock.now()).await.unwrap();
    assert_eq!(repos.keys().collect::<Vec<_>>(), [&REPO_ID]);
    assert_eq!(repos[&REPO_ID].read_until, None, "its list was not read yet");
}
