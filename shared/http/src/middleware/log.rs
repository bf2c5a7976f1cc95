//! The request log.

use std::time::Instant;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument;

use super::request_id::request_id;
use crate::error::ApiError;

/// Logs one line for each request, in a span of its own, with the cause if the server failed.
pub(crate) async fn log_request(request: Request, next: Next) -> Response {
    // The span has the level of errors, so that a filtered log still names the request of an error.
    let span = tracing::error_span!(
        "request",
        request_id = request_id(&request),
        method = %request.method(),
        path = request.uri().path(),
    );
    let started = Instant::now();
    let response = next.run(request).instrument(span.clone()).await;
    let latency_ms = started.elapsed().as_millis() as u64;
    let status = response.status().as_u16();
    span.in_scope(|| match response.extensions().get::<ApiError>().and_then(ApiError::cause) {
        Some(error) => tracing::error!(status, latency_ms, error, "request failed"),
        None => tracing::info!(status, latency_ms, "request answered"),
    });
    response
}
