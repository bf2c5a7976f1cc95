//! What single deliveries do.

use chrono::TimeDelta;
use gam_work::{OrderOutcome, Received, Tombstone, read_delivery};
use serde_json::json;

use crate::support::{Hub, READY, Service, at, label};

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
