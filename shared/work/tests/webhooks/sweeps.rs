//! What GitHub could not deliver is found in its list of deliveries.

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use gam_model::Clock;
use gam_work::HookSource;
use gam_work::dirty::{clear_mark, list_marks};
use gam_work::source::SourceError;
use gam_work::sweep::{DeliveryAttempt, HookInfo};

use crate::support::{Hub, ORG, READY, REPO_ID, Service, TestDelivery, label};

/// The list of deliveries of one webhook.
struct Listed(Vec<DeliveryAttempt>);

#[async_trait(?Send)]
impl HookSource for Listed {
    async fn hooks(&self, _: &str) -> Result<Vec<HookInfo>, SourceError> {
        Ok(vec![HookInfo {
            id: "org/acme/1".to_owned(),
            url: "https://metrics.example.com/api/v1/webhook/github".to_owned(),
            content_type: "json".to_owned(),
            has_secret: Some(true),
            events: Vec::new(),
            is_active: true,
        }])
    }

    async fn attempts(
        &self,
        _: &HookInfo,
        since: DateTime<Utc>,
    ) -> Result<Vec<DeliveryAttempt>, SourceError> {
        Ok(self.0.iter().filter(|attempt| attempt.delivered_at >= since).cloned().collect())
    }
}

fn attempt(delivery: &TestDelivery, status_code: i64, at: DateTime<Utc>) -> DeliveryAttempt {
    DeliveryAttempt {
        guid: delivery.guid.clone(),
        delivered_at: at,
        status_code,
        status: "timed out".to_owned(),
        event: delivery.event.to_owned(),
        action: delivery.body["action"].as_str().map(str::to_owned),
        repo_id: Some(REPO_ID),
    }
}

#[tokio::test]
async fn a_dark_hour_is_healed_by_one_sweep() {
    let hub = Hub::new();
    let service = Service::new(&hub);
    hub.open(1, 0);
    hub.open(2, 1);
    for delivery in hub.take_deliveries() {
        service.receive(&delivery).await;
    }
    service.drain().await;
    // Nothing arrives.
    hub.add_label(1, 10, label(READY, "ready"), "maintainer");
    hub.rename_label(READY, "agent-ready");
    hub.delete(2);
    let missed = hub.take_deliveries();
    let at = service.clock.now() - TimeDelta::minutes(30);
    let source = Listed(missed.iter().map(|delivery| attempt(delivery, 0, at)).collect());
    let report = service.processor.sweep(&source, "Acme").await.unwrap();
    assert_eq!((report.hooks, report.events, report.missed, report.gap), (1, 3, 3, Some((at, at))));
    assert_eq!(report.repos.iter().collect::<Vec<_>>(), ["site"]);
    service.drain().await;
    service.check_equals(&hub).await;
    assert!(service.marks().await > 2, "the collector reads the repository too");
    // What was found once is not found again.
    service.clock.advance(TimeDelta::minutes(41));
    assert_eq!(service.processor.sweep(&source, "Acme").await.unwrap().missed, 0);
}

#[tokio::test]
async fn deliveries_that_arrived_are_no_gap() {
    let hub = Hub::new();
    let service = Service::new(&hub);
    for number in 1..=3 {
        hub.open(number, number);
    }
    let deliveries = hub.take_deliveries();
    service.receive(&deliveries[0]).await;
    service.drain().await;
    let at = service.clock.now();
    let source = Listed(vec![
        // The answer came too late for GitHub.
        attempt(&deliveries[0], 0, at),
        // The second attempt succeeded.
        attempt(&deliveries[1], 503, at - TimeDelta::minutes(1)),
        attempt(&deliveries[1], 202, at),
        attempt(&deliveries[2], 202, at),
    ]);
    let report = service.processor.sweep(&source, "Acme").await.unwrap();
    assert_eq!((report.events, report.missed, report.gap), (3, 0, None));
}

#[tokio::test]
async fn a_mark_that_grows_while_it_is_read_stays() {
    let hub = Hub::new();
    let service = Service::new(&hub);
    hub.open(1, 0);
    hub.edit(1, 1, "more", "maintainer");
    let deliveries = hub.take_deliveries();
    service.receive(&deliveries[0]).await;
    service.drain().await;
    let marks = list_marks(service.records(), ORG, service.clock.now()).await.unwrap();
    assert_eq!(marks[0].mark.due_at, service.clock.now() + TimeDelta::seconds(60));
    // While the collector reads, another delivery arrives.
    service.receive(&deliveries[1]).await;
    service.drain().await;
    service.clock.advance(TimeDelta::seconds(70));
    clear_mark(service.records(), ORG, &marks[0], service.clock.now()).await.unwrap();
    let marks = list_marks(service.records(), ORG, service.clock.now()).await.unwrap();
    assert_eq!((marks.len(), marks[0].mark.due_at), (1, service.clock.now() + TimeDelta::seconds(60)));
    clear_mark(service.records(), ORG, &marks[0], service.clock.now()).await.unwrap();
    assert_eq!(service.marks().await, 0);
}

#[tokio::test]
async fn reconciling_an_idle_organization_costs_one_request() {
    let hub = Hub::new();
    let service = Service::new(&hub);
    hub.open(1, 0);
    let report = service.processor.reconcile("Acme").await.unwrap();
    assert_eq!((report.repos, report.read, report.repaired), (1, 1, 1));
    service.check_equals(&hub).await;
    let before = hub.fetches();
    let report = service.processor.reconcile("Acme").await.unwrap();
    assert_eq!((report.read, report.repaired, hub.fetches() - before), (0, 0, 1));
}
