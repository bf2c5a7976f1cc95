//! The route of webhooks behind API Gateway: the queue that takes the orders, and the secrets.

use std::convert::Infallible;
use std::sync::Arc;

use async_trait::async_trait;
use gam_aws::secret::parse_field;
use gam_aws::{CachedSecret, Queue};
use gam_http::{Body, Router, TokenError, WebhookSecretSource, WebhookSecrets};
use gam_model::Clock;
use gam_work::{OrderQueue, QueueError, WebhookOrder};
use lambda_http::tower::ServiceExt;
use lambda_http::{Request, Response};

use crate::{FunctionMetric, MetricLog};

/// The shortest secret in characters: nobody can guess as many random ones.
const MIN_SECRET_CHARS: usize = 16;

/// The queue `hooks`.
pub struct HookQueue(pub Queue);

#[async_trait]
impl OrderQueue for HookQueue {
    async fn put(&self, order: &WebhookOrder) -> Result<(), QueueError> {
        let sent = self.0.send_one(&order.to_json()).await;
        sent.map_err(|error| QueueError(Box::new(error)))
    }
}

/// Returns how to read the secrets of webhooks. They are at most five minutes old.
pub fn secret_source(secret: CachedSecret) -> WebhookSecretSource {
    Arc::new(move || {
        let secret = secret.clone();
        Box::pin(async move {
            let text = secret.get().await.map_err(|error| TokenError(Box::new(error)))?;
            parse_secrets(&text).map_err(|reason| TokenError(reason.into()))
        })
    })
}

/// Parses the text of the secret: the secret of webhooks, or JSON with `secret` and, while it is exchanged, `previous`.
///
/// # Errors
/// If a secret is missing or short. The text says what to do, and contains no secret.
pub fn parse_secrets(text: &str) -> Result<WebhookSecrets, String> {
    let is_object = text.trim_start().starts_with('{');
    let secret = match parse_field(text, "secret") {
        Some(secret) => Some(secret),
        None => Some(text.trim().to_owned()).filter(|_| !is_object),
    };
    let is_long = |secret: &String| secret.chars().count() >= MIN_SECRET_CHARS;
    let previous = parse_field(text, "previous");
    let secret = secret.filter(is_long).filter(|_| previous.as_ref().is_none_or(is_long));
    let Some(secret) = secret else {
        return Err(format!(
            "the secret of webhooks is missing or too short: store at least {MIN_SECRET_CHARS} random characters, such \
             as the output of `openssl rand -hex 32`, as plain text or as {{\"secret\": \"...\", \"previous\": \"...\"}}"
        ));
    };
    WebhookSecrets::new([secret].into_iter().chain(previous))
        .ok_or_else(|| "the secret of webhooks is empty".to_owned())
}

/// Answers a request, and writes whether it was a delivery that was taken.
///
/// # Errors
/// Never.
pub async fn answer(
    router: &Router,
    metrics: &MetricLog,
    clock: &dyn Clock,
    request: Request,
) -> Result<Response<Body>, Infallible> {
    let response = router.clone().oneshot(request).await?;
    if let Some(metric) = metric_of(response.status().as_u16()) {
        metrics.write(clock.now(), &[(metric, 1.0)]);
    }
    Ok(response)
}

/// Returns what the status of an answer counts as. `None` if it says nothing about deliveries, as 405 does.
fn metric_of(status: u16) -> Option<FunctionMetric> {
    match status {
        202 => Some(FunctionMetric::WebhooksAccepted),
        401 | 403 => Some(FunctionMetric::WebhooksRefused),
        400 | 413 | 415 | 429 | 500.. => Some(FunctionMetric::WebhooksFailed),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD as BASE64;
    use gam_http::{WEBHOOK_PATH, WebhookPorts, webhook_router};
    use gam_model::SystemClock;
    use http_body_util::BodyExt;
    use ring::hmac;
    use serde_json::{Value, json};

    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    /// A queue that remembers orders, and fails if it `is_broken`.
    #[derive(Default)]
    struct OrderList {
        orders: Mutex<Vec<String>>,
        is_broken: bool,
    }

    #[async_trait]
    impl OrderQueue for OrderList {
        async fn put(&self, order: &WebhookOrder) -> Result<(), QueueError> {
            if self.is_broken {
                return Err(QueueError("the queue is out of reach".into()));
            }
            self.orders.lock().unwrap().push(order.to_json());
            Ok(())
        }
    }

    fn router(queue: Arc<OrderList>) -> Router {
        let secrets = parse_secrets(SECRET).unwrap();
        let secrets: WebhookSecretSource = Arc::new(move || {
            let secrets = secrets.clone();
            Box::pin(async move { Ok(secrets) })
        });
        webhook_router(WebhookPorts { queue, secrets, clock: Arc::new(SystemClock) })
    }

    fn payload() -> String {
        json!({
            "action": "opened",
            "issue": {
                "number": 7, "node_id": "I_7", "title": "Grüße 🦀", "body": "It fails", "state": "open", "labels": [],
                "assignees": [], "user": { "id": 1, "login": "ann" }, "created_at": "2024-03-10T11:00:00Z",
                "updated_at": "2024-03-10T11:00:00Z", "locked": false,
            },
            "repository": { "id": 1, "node_id": "R_1", "name": "site", "owner": { "login": "acme" } },
        })
        .to_string()
    }

    fn signature(body: &[u8]) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
        format!("sha256={}", hex::encode(hmac::sign(&key, body)))
    }

    /// Returns the event of an HTTP API. A body that is not sent as text is in base64.
    fn event(body: &[u8], is_base64: bool, content_type: &str, signature: Option<&str>) -> Value {
        let text = || String::from_utf8(body.to_vec()).expect("a text");
        let mut headers = json!({
            "content-type": content_type, "content-length": body.len().to_string(), "host": "api.example",
            "x-github-event": "issues", "x-github-delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
        });
        if let Some(signature) = signature {
            headers["x-hub-signature-256"] = json!(signature);
        }
        json!({
            "version": "2.0", "routeKey": format!("POST {WEBHOOK_PATH}"), "rawPath": WEBHOOK_PATH,
            "rawQueryString": "", "headers": headers,
            "requestContext": {
                "accountId": "1", "apiId": "a", "domainName": "api.example", "requestId": "1",
                "routeKey": format!("POST {WEBHOOK_PATH}"), "stage": "$default",
                "time": "20/Feb/2024:04:00:00 +0000", "timeEpoch": 1_708_401_600_000_i64,
                "http": {
                    "method": "POST", "path": WEBHOOK_PATH, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1",
                    "userAgent": "GitHub-Hookshot/1",
                },
            },
            "body": if is_base64 { BASE64.encode(body) } else { text() },
            "isBase64Encoded": is_base64,
        })
    }

    async fn status_of(queue: &Arc<OrderList>, event: &Value) -> (u16, String) {
        let request = lambda_http::request::from_str(&event.to_string()).expect("an event of API Gateway");
        let metrics = MetricLog::new("test".to_owned());
        let response = answer(&router(queue.clone()), &metrics, &SystemClock, request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    #[tokio::test]
    async fn text_and_base64_are_the_bytes_that_were_signed() {
        let queue = Arc::new(OrderList::default());
        let (plain, with_mark) = (payload(), format!("\u{feff}{}", payload()));
        for body in [plain, with_mark] {
            for is_base64 in [false, true] {
                let signature = signature(body.as_bytes());
                let event = event(body.as_bytes(), is_base64, "application/json", Some(&signature));
                assert_eq!(status_of(&queue, &event).await.0, 202, "{event}");
            }
        }
        let orders = queue.orders.lock().unwrap();
        assert_eq!(orders.len(), 4);
        assert!(
            orders.iter().all(|order| order.contains("Grüße 🦀") && order.contains("\"acme\"")),
            "{orders:?}"
        );
    }

    #[tokio::test]
    async fn what_is_not_signed_never_reaches_the_queue() {
        let queue = Arc::new(OrderList::default());
        let body = payload();
        let of_base64 = signature(BASE64.encode(&body).as_bytes());
        let of_other = signature(b"other");
        let twice = format!("{0},{0}", signature(body.as_bytes()));
        for is_base64 in [false, true] {
            for signature in [None, Some(""), Some(of_base64.as_str()), Some(&of_other), Some(&twice)] {
                let event = event(body.as_bytes(), is_base64, "application/json", signature);
                assert_eq!(status_of(&queue, &event).await.0, 401, "{event}");
            }
        }
        // A form comes in base64.
        let form = format!("payload={body}");
        let signed_form = signature(form.as_bytes());
        let event = event(form.as_bytes(), true, "application/x-www-form-urlencoded", Some(&signed_form));
        let (status, text) = status_of(&queue, &event).await;
        assert!(status == 415 && text.contains("application/json"), "{status} {text}");
        assert!(queue.orders.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_queue_that_fails_is_no_success() {
        let queue = Arc::new(OrderList { is_broken: true, ..OrderList::default() });
        let body = payload();
        let event = event(body.as_bytes(), false, "application/json", Some(&signature(body.as_bytes())));
        assert_eq!(status_of(&queue, &event).await.0, 503);
    }

    #[test]
    fn every_answer_to_a_delivery_is_counted() {
        use FunctionMetric::{WebhooksAccepted, WebhooksFailed, WebhooksRefused};
        for (status, expected) in [
            (202, Some(WebhooksAccepted)),
            (401, Some(WebhooksRefused)),
            (413, Some(WebhooksFailed)),
            (503, Some(WebhooksFailed)),
            (405, None),
        ] {
            assert_eq!(metric_of(status), expected, "{status}");
        }
    }

    #[test]
    fn a_secret_is_plain_text_or_json_with_the_previous_one() {
        let count = |text: &str| parse_secrets(text).map(|secrets| format!("{secrets:?}"));
        assert_eq!(count(&format!(" {SECRET}\n")).unwrap(), "WebhookSecrets(1 secret)");
        let both = json!({ "secret": SECRET, "previous": SECRET }).to_string();
        assert_eq!(count(&both).unwrap(), "WebhookSecrets(2 secret)");
        let short = json!({ "secret": SECRET, "previous": "hunter2" }).to_string();
        let only_previous = json!({ "previous": SECRET }).to_string();
        for text in ["", " ", "hunter2", short.as_str(), &only_previous, "{\"secret\": \"\"}"] {
            let reason = parse_secrets(text).unwrap_err();
            assert!(reason.contains("openssl rand") && !reason.contains("hunter2"), "{reason}");
        }
    }
}
