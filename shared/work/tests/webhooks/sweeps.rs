//! What GitHub could not deliver is found in its list of deliveries.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use gam_model::Clock;
use gam_work::dirty::{clear_mark, list_marks};
use gam_work::hooks::{HookGap, list_hooks};
use gam_work::order::MAX_ORDER_BYTES;
use gam_work::source::SourceError;
use gam_work::sweep::{AttemptPage, DeliveryAttempt, HookInfo};
use gam_work::{Effect, HookSource, OrderRepo, WebhookOrder};

use crate::support::{Hub, ORG, READY, REPO_ID, Service, TestDelivery, label};

/// The list of deliveries of one webhook: of the organization, or of the repository `site`.
struct Listed {
    attempts: Vec<DeliveryAttempt>,
    is_of_repo: bool,
    page_size: usize,
    /// Number of pages that GitHub returns before it fails once.
    pages_left: AtomicUsize,
}

impl Listed {
    fn of_org(attempts: Vec<DeliveryAttempt>) -> Self {
        Listed { attempts, is_of_repo: false, page_size: 100, pages_left: AtomicUsize::new(usize::MAX) }
    }

    fn of_repo(attempts: Vec<DeliveryAttempt>) -> Self {
        Listed { is_of_repo: true, ..Listed::of_org(attempts) }
    }
}

fn hook(id: &str) -> HookInfo {
    HookInfo {
        id: id.to_owned(),
        url: "https://metrics.example.com/api/v1/webhook/github".to_owned(),
        content_type: "json".to_owned(),
        has_secret: Some(true),
        events: Vec::new(),
        is_active: true,
    }
}

fn source_error(message: &str) -> SourceError {
    SourceError { message: message.to_owned(), is_temporary: false, is_not_found: false }
}

#[async_trait(?Send)]
impl HookSource for Listed {
    async fn hooks(&self, _: &str) -> Result<Vec<HookInfo>, SourceError> {
        match self.is_of_repo {
            true => Err(source_error("only owners may list them")),
            false => Ok(vec![hook("org/acme/1")]),
        }
    }

    async fn repo_hooks(&self, org: &str, repo: &str) -> Result<Vec<HookInfo>, SourceError> {
        assert_eq!((org, repo), ("Acme", "site"));
        Ok(vec![hook("repo/acme/site/5")])
    }

    async fn attempts(&self, _: &HookInfo, cursor: Option<&str>) -> Result<AttemptPage, SourceError> {
        let page = cursor.map_or(0, |cursor| cursor.parse().expect("a page"));
        if self.pages_left.fetch_sub(1, Ordering::Relaxed) == 0 {
            self.pages_left.store(usize::MAX, Ordering::Relaxed);
            return Err(SourceError { is_temporary: true, ..source_error("the time is over") });
        }
        let mut newest_first = self.attempts.clone();
        newest_first.sort_by_key(|attempt| std::cmp::Reverse(attempt.delivered_at));
        let pages: Vec<_> = newest_first.chunks(self.page_size).collect();
        let attempts = pages.get(page).map(|page| page.to_vec()).unwrap_or_default();
        Ok(AttemptPage { attempts, next: (page + 1 < pages.len()).then(|| (page + 1).to_string()) })
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
    let source = Listed::of_org(missed.iter().map(|delivery| attempt(delivery, 0, at)).collect());
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
async fn a_sweep_goes_on_where_it_was_stopped() {
    let hub = Hub::new();
    let service = Service::new(&hub);
    for number in 1..=7 {
        hub.open(number, number);
    }
    let missed = hub.take_deliveries();
    let now = service.clock.now();
    let attempts =
        missed.iter().zip(1..).map(|(it, minutes)| attempt(it, 0, now - TimeDelta::minutes(minutes)));
    let source = Listed { page_size: 2, ..Listed::of_org(attempts.collect()) };
    source.pages_left.store(2, Ordering::Relaxed);
    assert!(service.processor.sweep(&source, "Acme").await.is_err(), "the third page fails");
    let states = list_hooks(&*service.store, "acme", service.clock.now()).await.unwrap();
    let walk = states[0].walk.as_ref().expect("the sweep is not complete");
    assert_eq!((walk.cursor.as_deref(), states[0].checked_until), (Some("2"), None));
    service.clock.advance(TimeDelta::minutes(1));
    let report = service.processor.sweep(&source, "Acme").await.unwrap();
    assert_eq!((report.events, report.missed), (3, 3), "the first two pages are not read again");
    let states = list_hooks(&*service.store, "acme", service.clock.now()).await.unwrap();
    assert_eq!(
        (&states[0].walk, states[0].checked_until),
        (&None, Some(now)),
        "what came later is not compared yet"
    );
    assert_eq!((states[0].gaps.len(), states[0].gaps[0].missed), (1, 7), "it is one gap");
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
    let source = Listed::of_org(vec![
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
async fn the_webhook_of_a_repository_is_swept_once_it_has_delivered() {
    let hub = Hub::new();
    let service = Service::new(&hub);
    for number in 1..=2 {
        hub.open(number, number);
    }
    let deliveries = hub.take_deliveries();
    let at = service.clock.now();
    let source = Listed::of_repo(vec![attempt(&deliveries[1], 0, at)]);
    let unknown = service.processor.sweep(&source, "Acme").await.unwrap_err();
    assert!(unknown.to_string().contains("only owners"), "{unknown}");

    let repo = OrderRepo { id: REPO_ID, node_id: "R_7".to_owned(), name: "site".to_owned() };
    let mut order = WebhookOrder::job("Acme", repo, Effect::Reconcile { is_full: true }, at);
    (order.is_delivery, order.id, order.repo_hook) = (true, "guid".to_owned(), Some(5));
    service.processor.process(&order, None).await.unwrap();
    service.drain().await;
    let report = service.processor.sweep(&source, "Acme").await.unwrap();
    assert_eq!((report.hooks, report.missed, report.gap), (1, 1, Some((at, at))));
    assert_eq!(report.failures, ["only owners may list them"]);
    service.drain().await;
    service.check_equals(&hub).await;

    let hooks = list_hooks(service.records(), ORG, service.clock.now()).await.unwrap();
    let state = &hooks[0];
    assert_eq!((hooks.len(), state.id.as_str(), state.checked_until), (1, "repo/acme/site/5", Some(at)));
    let gap = HookGap { from: at, to: at, missed: 1, repos: vec!["site".to_owned()] };
    assert_eq!((&state.gaps, state.problems()), (&vec![gap], vec![]));
    assert_eq!(state.last.as_ref().map(|last| (last.at, last.status_code)), Some((at, 0)));
    // A sweep that finds nothing forgets no gap, and the last delivery after three days.
    service.clock.advance(TimeDelta::days(4));
    let source = Listed::of_repo(vec![]);
    assert_eq!(service.processor.sweep(&source, "Acme").await.unwrap().missed, 0);
    let hooks = list_hooks(service.records(), ORG, service.clock.now()).await.unwrap();
    assert_eq!((hooks[0].gaps.len(), &hooks[0].last), (1, &None));
}

#[tokio::test]
async fn a_long_order_still_fetches_what_the_issue_blocks() {
    let hub = Hub::new();
    let service = Service::new(&hub);
    hub.open(1, 0);
    hub.edit(1, 1, &"x".repeat(MAX_ORDER_BYTES), "maintainer");
    hub.close(1, 2);
    for delivery in hub.take_deliveries() {
        service.receive(&delivery).await;
    }
    service.drain().await;
    assert!(hub.blocked_by_requests() > 0);
    service.check_equals(&hub).await;
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
