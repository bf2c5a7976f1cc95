//! The route that GitHub delivers webhooks to. It needs no token: the signature says who sent a delivery.
//!
//! It is a router of its own, next to the API: it takes longer bodies, and has limits of its own, so that a flood of
//! deliveries does not slow the API down, nor the other way round. Nothing of a body is parsed, and nothing is read or
//! stored, before its signature is verified.

mod signature;
mod throttle;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{from_fn, map_request};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use futures::future::BoxFuture;
use gam_model::Clock;
use gam_work::{OrderQueue, PayloadError, Received, WEBHOOK_PATH, read_delivery};
use serde::Serialize;
use tokio::sync::SemaphorePermit;
use tokio::time::timeout;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use utoipa::ToSchema;

use self::signature::is_signed;
use self::throttle::Throttle;
use crate::auth::TokenError;
use crate::error::ApiError;
use crate::middleware::{errors, headers, limits, log, request_id};
use crate::service_metrics;
use crate::throttled_warning::ThrottledWarning;

pub use signature::WebhookSecrets;

/// The longest body in bytes. GitHub sends no longer ones.
const MAX_BODY_BYTES: usize = 25 * 1024 * 1024;
/// Longer bodies are verified and parsed outside of the async threads.
const MAX_INLINE_BYTES: usize = 64 * 1024;
/// How long a body may take to arrive. GitHub gives up after 10 s.
const BODY_TIMEOUT: Duration = Duration::from_secs(9);
const SIGNATURE: &str = "x-hub-signature-256";
const EVENT: &str = "x-github-event";
const DELIVERY: &str = "x-github-delivery";
const HOOK: &str = "x-github-hook-id";
/// To what the webhook belongs: `repository`, `organization` or `integration`.
const HOOK_TARGET: &str = "x-github-hook-installation-target-type";
/// The headers that the log shows. Others may hold secrets: for some months GitHub sent the webhook's own.
const LOGGED_HEADERS: [&str; 4] = [EVENT, DELIVERY, HOOK, "content-type"];

/// Returns the secrets that sign deliveries. It is called for each delivery, so a host can read them again from time
/// to time.
pub type WebhookSecretSource =
    Arc<dyn Fn() -> BoxFuture<'static, Result<WebhookSecrets, TokenError>> + Send + Sync>;

/// What the route of webhooks uses.
#[derive(Clone)]
pub struct WebhookPorts {
    /// Takes the orders.
    pub queue: Arc<dyn OrderQueue>,
    /// The secrets.
    pub secrets: WebhookSecretSource,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
}

/// The answer to a delivery.
#[derive(Serialize, ToSchema)]
pub(crate) struct WebhookReceipt {
    /// `queued`, or `ignored` if the delivery is of no use here.
    status: &'static str,
    /// Why it is ignored.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    reason: Option<&'static str>,
}

#[derive(Clone)]
struct WebhookState {
    ports: WebhookPorts,
    throttle: Arc<Throttle>,
    warning: Arc<Mutex<ThrottledWarning>>,
}

/// Returns the route of webhooks. Merge it with the router of the API.
pub fn webhook_router(ports: WebhookPorts) -> Router {
    let state = WebhookState { ports, throttle: Arc::new(Throttle::new()), warning: Arc::default() };
    let middleware = ServiceBuilder::new()
        .layer(map_request(request_id::drop_invalid))
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(from_fn(log::log_request))
        .layer(from_fn(service_metrics::record))
        .layer(from_fn(headers::add_headers))
        .layer(from_fn(errors::render_errors))
        .layer(CatchPanicLayer::custom(errors::panic_response));
    Router::new().route(WEBHOOK_PATH, post(receive)).layer(middleware).with_state(state)
}

async fn receive(State(state): State<WebhookState>, request: Request) -> Response {
    let result = state.receive(request).await;
    match result {
        Ok(response) => response,
        Err(error) => {
            if let Some(refusal) = error.refusal() {
                let mut warning = state.warning.lock().unwrap_or_else(PoisonError::into_inner);
                warning.warn(|count| {
                    format!("refused {count} webhook deliveries, the last one because {}", refusal.0)
                });
            }
            error.into_response()
        }
    }
}

impl WebhookState {
    async fn receive(&self, request: Request) -> Result<Response, ApiError> {
        let (parts, body) = request.into_parts();
        let headers = parts.headers;
        limits::check_header_size(&headers)?;
        // What has no signature costs no memory.
        let signature = signature::parse(&headers).ok_or_else(unsigned)?;
        let (body, _memory) = self.read_body(&headers, body).await?;
        let secrets = (self.ports.secrets)().await.map_err(ApiError::internal)?;
        let body = run(body.len(), move || is_signed(&secrets, &body, &signature).then_some(body)).await?;
        let body = body.ok_or_else(unsigned)?;
        self.throttle.take()?;
        log_headers(&headers);
        if !is_json(&headers) {
            return Err(ApiError::webhook_is_not_json());
        }
        let text = |name: &str| {
            headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        let repo_hook = (text(HOOK_TARGET) == "repository").then(|| text(HOOK).parse().ok()).flatten();
        let (event, guid, now) = (text(EVENT), text(DELIVERY), self.ports.clock.now());
        let received = run(body.len(), move || read_delivery(&event, &guid, &body, now)).await?;
        match received.map_err(|error| payload_error(&error))? {
            Received::Ignored(reason) => {
                tracing::info!(reason, "webhook ignored");
                Ok(answer(WebhookReceipt { status: "ignored", reason: Some(reason) }))
            }
            Received::Order(mut order) => {
                order.repo_hook = repo_hook;
                // Only a durable order is answered with success: GitHub does not send a delivery again.
                self.ports.queue.put(&order).await.map_err(ApiError::unavailable)?;
                Ok(answer(WebhookReceipt { status: "queued", reason: None }))
            }
        }
    }

    /// Reads the body. It may be held as long as the permit.
    async fn read_body(
        &self,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<(Bytes, SemaphorePermit<'_>), ApiError> {
        let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        if length.is_some_and(|length: usize| length > MAX_BODY_BYTES) {
            return Err(ApiError::body_too_long(MAX_BODY_BYTES));
        }
        let memory = self.throttle.reserve(length.unwrap_or(MAX_BODY_BYTES)).await?;
        let body = timeout(BODY_TIMEOUT, axum::body::to_bytes(body, MAX_BODY_BYTES)).await;
        let body = body.map_err(|_| ApiError::overloaded())?;
        // The error does not say whether the body was too long or was broken off. Nobody reads the answer to the latter.
        let body = body.map_err(|_| ApiError::body_too_long(MAX_BODY_BYTES))?;
        Ok((body, memory))
    }
}

/// Runs a computation over `bytes` bytes. A long one must not hold up other requests.
async fn run<T: Send + 'static>(
    bytes: usize,
    compute: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    match bytes > MAX_INLINE_BYTES {
        true => tokio::task::spawn_blocking(compute).await.map_err(ApiError::internal),
        false => Ok(compute()),
    }
}

fn unsigned() -> ApiError {
    ApiError::unsigned().because("no secret of this server signed them")
}

fn log_headers(headers: &HeaderMap) {
    let [event, delivery, hook, content_type] = LOGGED_HEADERS
        .map(|name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default());
    tracing::info!(event, delivery, hook, content_type, "webhook delivered");
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    content_type.split(';').next().is_some_and(|it| it.trim().eq_ignore_ascii_case("application/json"))
}

fn payload_error(error: &PayloadError) -> ApiError {
    ApiError::invalid(error.to_string())
}

fn answer(body: WebhookReceipt) -> Response {
    (StatusCode::ACCEPTED, Json(body)).into_response()
}
