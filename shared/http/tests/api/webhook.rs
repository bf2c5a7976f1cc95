//! The route of webhooks: what is taken, what is refused, and what a refusal costs.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use axum::Router;
use gam_http::{WEBHOOK_PATH, WebhookPorts, WebhookSecrets, webhook_router};
use gam_store::{MemoryStore, RecordKind, RecordRange, RecordStore};
use gam_work::{OrderQueue, QueueError, RecordQueue, WebhookOrder};
use ring::hmac;
use serde_json::json;

use crate::support::{ApiResponse, SettableClock, send_body};

const SECRET: &str = "0123456789abcdef";
const PREVIOUS: &str = "fedcba9876543210";

/// A queue that counts orders, and fails if it `is_broken`.
struct CountingQueue {
    queue: RecordQueue,
    puts: AtomicUsize,
    is_broken: bool,
}

#[async_trait]
impl OrderQueue for CountingQueue {
    async fn put(&self, order: &WebhookOrder) -> Result<(), QueueError> {
        self.puts.fetch_add(1, Ordering::Relaxed);
        match self.is_broken {
            true => Err(QueueError("the disk is full".into())),
            false => self.queue.put(order).await,
        }
    }
}

struct Receiver {
    api: Router,
    queue: Arc<CountingQueue>,
    store: Arc<MemoryStore>,
}

impl Receiver {
    fn new(is_broken: bool) -> Self {
        let (store, clock) = (Arc::new(MemoryStore::default()), Arc::new(SettableClock::new()));
        let queue = RecordQueue::new(store.clone(), clock.clone());
        let queue = Arc::new(CountingQueue { queue, puts: AtomicUsize::new(0), is_broken });
        let secrets = WebhookSecrets::new([SECRET.to_owned(), PREVIOUS.to_owned()]).unwrap();
        let secrets = Arc::new(move || {
            let secrets = secrets.clone();
            Box::pin(async move { Ok(secrets) }) as futures::future::BoxFuture<'static, _>
        });
        let api = webhook_router(WebhookPorts { queue: queue.clone(), secrets, clock });
        Receiver { api, queue, store }
    }

    fn puts(&self) -> usize {
        self.queue.puts.load(Ordering::Relaxed)
    }

    async fn orders(&self) -> Vec<WebhookOrder> {
        let range = RecordRange::new(None, RecordKind::WebhookOrder, &[]).unwrap();
        let now = "2024-03-10T12:00:00Z".parse().unwrap();
        let records = self.store.range(&range, 100, now).await.unwrap();
        records.iter().map(|(_, record)| serde_json::from_str(&record.body).unwrap()).collect()
    }

    /// Delivers an event, signed with a secret.
    async fn deliver(&self, secret: &str, content_type: &str, body: &[u8]) -> ApiResponse {
        let signature = signature(secret, body);
        let headers = [
            ("content-type", content_type),
            ("x-hub-signature-256", signature.as_str()),
            ("x-github-event", "issues"),
            ("x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958"),
        ];
        send_body(&self.api, WEBHOOK_PATH, &headers, body.to_vec()).await
    }
}

fn signature(secret: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    format!("sha256={}", hex::encode(hmac::sign(&key, body)))
}

fn issue_opened(body: &str) -> Vec<u8> {
    let payload = json!({
        "action": "opened",
        "issue": {
            "number": 7, "node_id": "I_7", "title": "Grüße 🦀", "body": body, "state": "open", "labels": [],
            "assignees": [], "user": { "id": 1, "login": "ann" }, "created_at": "2024-03-10T11:00:00Z",
            "updated_at": "2024-03-10T11:00:00Z", "locked": false,
        },
        "repository": { "id": 1, "node_id": "R_1", "name": "site", "owner": { "login": "acme" } },
        "sender": { "id": 1, "login": "ann" },
    });
    payload.to_string().into_bytes()
}

#[tokio::test]
async fn signed_deliveries_are_queued() {
    let receiver = Receiver::new(false);
    let with_mark = [b"\xEF\xBB\xBF".as_slice(), &issue_opened("It fails")].concat();
    let bodies = [
        issue_opened("It fails 🦀"),
        with_mark,
        issue_opened(&"x".repeat(5 << 20)),
        issue_opened(&"x".repeat(11 << 20)),
    ];
    for (index, body) in bodies.iter().enumerate() {
        let secret = [SECRET, PREVIOUS][index % 2];
        let response = receiver.deliver(secret, "application/json; charset=utf-8", body).await;
        assert_eq!((response.status.as_u16(), response.json()), (202, json!({ "status": "queued" })));
        assert!(!response.header("x-request-id").is_empty());
    }
    assert_eq!(receiver.puts(), 4);
    let orders = receiver.orders().await;
    // The clock stands still and the GUID is the same: the last one is stored, and it says to fetch the issue.
    assert_eq!(orders.len(), 1);
    assert!(orders[0].to_json().len() < 2_000, "{orders:?}");
}

#[tokio::test]
async fn other_deliveries_are_refused_or_ignored() {
    let receiver = Receiver::new(false);
    let body = issue_opened("It fails");
    let form = b"payload=%7B%7D".to_vec();
    let response = receiver.deliver(SECRET, "application/x-www-form-urlencoded", &form).await;
    assert!(response.problem(415, "INVALID_ARGUMENT").contains("content type of the webhook"));
    let response = receiver.deliver("another secret", "application/json", &body).await;
    assert!(response.problem(401, "UNAUTHORIZED").contains("GITHUB_WEBHOOK_SECRET"));
    for headers in [
        &[("content-type", "application/json")][..],
        &[("x-hub-signature-256", "sha256=00")],
        &[("x-hub-signature", "sha1=0000000000000000000000000000000000000000")],
    ] {
        let response = send_body(&receiver.api, WEBHOOK_PATH, headers, body.clone()).await;
        response.problem(401, "UNAUTHORIZED");
    }
    let response = receiver.deliver(SECRET, "application/json", b"{").await;
    assert!(response.problem(400, "INVALID_ARGUMENT").contains("not a webhook's JSON"));
    let response = receiver.deliver(SECRET, "application/json", &vec![b' '; (25 << 20) + 1]).await;
    response.problem(413, "INVALID_ARGUMENT");
    let response = receiver.deliver(SECRET, "application/json", b"{\"action\":\"opened\"}").await;
    assert_eq!((response.status.as_u16(), &response.json()["status"]), (202, &json!("ignored")));
    assert_eq!((receiver.puts(), receiver.orders().await), (0, Vec::new()));
}

#[tokio::test]
async fn an_order_that_is_not_durable_is_no_success() {
    let receiver = Receiver::new(true);
    let response = receiver.deliver(SECRET, "application/json", &issue_opened("It fails")).await;
    assert_eq!(response.status.as_u16(), 503);
    assert!(!response.text().contains("disk"), "the cause is only logged: {}", response.text());
}

#[tokio::test]
async fn a_flood_of_unsigned_requests_reaches_neither_queue_nor_store() {
    let receiver = Receiver::new(false);
    let body = issue_opened("It fails");
    for index in 0..5_000 {
        let wrong = format!("sha256={}", "0".repeat(64));
        let headers: &[(&str, &str)] = match index % 5 {
            0 => &[("x-hub-signature-256", &wrong)],
            _ => &[],
        };
        let response = send_body(&receiver.api, WEBHOOK_PATH, headers, body.clone()).await;
        assert!(matches!(response.status.as_u16(), 401 | 429));
    }
    assert_eq!((receiver.puts(), receiver.orders().await.len()), (0, 0));
    let response = receiver.deliver(SECRET, "application/json", &body).await;
    assert_eq!((response.status.as_u16(), receiver.puts()), (202, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn signed_deliveries_pass_a_flood_of_unsigned_ones() {
    const SENDERS: usize = 8;
    const UNSIGNED: usize = 500;
    let receiver = Arc::new(Receiver::new(false));
    let body = issue_opened("It fails");
    let started = std::time::Instant::now();
    let flood: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let (api, body) = (receiver.api.clone(), body.clone());
            tokio::spawn(async move {
                let wrong = format!("sha256={}", "0".repeat(64));
                let headers: &[(&str, &str)] =
                    if sender % 2 == 0 { &[("x-hub-signature-256", &wrong)] } else { &[] };
                for _ in 0..UNSIGNED {
                    let response = send_body(&api, WEBHOOK_PATH, headers, body.clone()).await;
                    assert!(matches!(response.status.as_u16(), 401 | 429), "{}", response.status);
                }
            })
        })
        .collect();
    let mut signed = 0;
    while signed < 20 || flood.iter().any(|sender| !sender.is_finished()) {
        let response = receiver.deliver(SECRET, "application/json", &body).await;
        assert_eq!(response.status.as_u16(), 202, "delivery {signed}");
        signed += 1;
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    for sender in flood {
        sender.await.expect("all unsigned requests are refused");
    }
    let seconds = started.elapsed().as_secs_f64();
    let unsigned = SENDERS * UNSIGNED;
    writeln!(
        std::io::stdout(),
        "{unsigned} unsigned requests in {seconds:.1} s, {signed} signed ones passed"
    )
    .expect("stdout is open");
    assert_eq!((receiver.puts(), receiver.orders().await.len()), (signed, 1));
}
