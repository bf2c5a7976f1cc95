//! The request log.

use std::time::Instant;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument;

use super::request_id::request_id;
use crate::error::{ApiError, Refusal};

/// Logs one line for each request, in a span of its own, with the cause if the server failed, and the reason if
/// the sender was refused. It contains no token.
pub(crate) async fn log_request(request: Request, next: Next) -> Response {
    // The span has the level of errors, so that a filtered log still names the request of an error.
    let span = tracing::error_span!(
        "request",
        request_id = request_id(&request),
        method = %request.method(),
        path = request.uri().path(),
        // Filled in once the sender is known.
        principal = tracing::field::Empty,
    );
    let started = Instant::now();
    let response = next.run(request).instrument(span.clone()).await;
    let latency_ms = started.elapsed().as_millis() as u64;
    let status = response.status().as_u16();
    let error = response.extensions().get::<ApiError>();
    let refusal = error.and_then(ApiError::refusal).or_else(|| response.extensions().get().copied());
    span.in_scope(|| match (error.and_then(ApiError::cause), refusal) {
        (Some(error), _) => tracing::error!(status, latency_ms, error, "request failed"),
        (None, Some(Refusal(reason))) => tracing::info!(status, latency_ms, reason, "request refused"),
        (None, None) => tracing::info!(status, latency_ms, "request answered"),
    });
    response
}
