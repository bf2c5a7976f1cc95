//! Bounds on a request, and on how many are answered at the same time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::error::ApiError;
use crate::routes::is_health_check;
use crate::throttled_warning::ThrottledWarning;

/// The longest target of a request: its path and query.
const MAX_TARGET_BYTES: usize = 16 * 1024;
/// The longest header fields of a request, names and values together.
const MAX_HEADER_BYTES: usize = 64 * 1024;
/// The longest body of a request.
pub(crate) const MAX_BODY_BYTES: usize = 1024 * 1024;
/// Number of requests that are answered at the same time.
const MAX_CONCURRENT_REQUESTS: usize = 64;
/// How long a request waits for others to be answered before it is refused.
const MAX_WAIT: Duration = Duration::from_secs(1);
/// How long an answer may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Refuses requests whose target, headers or body are too long. The HTTP library refuses longer targets and headers
/// itself, without a body. A body of unknown length is cut where it is read.
pub(crate) async fn check_size(request: Request, next: Next) -> Response {
    let target_bytes = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if target_bytes > MAX_TARGET_BYTES {
        return ApiError::target_too_long(MAX_TARGET_BYTES).into_response();
    }
    if let Err(error) = check_header_size(request.headers()) {
        return error.into_response();
    }
    let length = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: u64| length > MAX_BODY_BYTES as u64) {
        return ApiError::body_too_long(MAX_BODY_BYTES).into_response();
    }
    next.run(request).await
}

/// Checks the length of the header fields.
///
/// # Errors
/// If they are too long.
pub(crate) fn check_header_size(headers: &HeaderMap) -> Result<(), ApiError> {
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if bytes > MAX_HEADER_BYTES { Err(ApiError::headers_too_long(MAX_HEADER_BYTES)) } else { Ok(()) }
}

/// How many requests are answered at the same time. Clones share the number.
#[derive(Clone)]
pub(crate) struct RequestLimiter {
    permits: Arc<Semaphore>,
    warning: Arc<Mutex<ThrottledWarning>>,
}

impl RequestLimiter {
    pub(crate) fn new() -> Self {
        RequestLimiter { permits: Arc::new(Semaphore::new(MAX_CONCURRENT_REQUESTS)), warning: Arc::default() }
    }

    fn warn(&self, text: impl FnOnce(u64) -> String) {
        self.warning.lock().unwrap_or_else(PoisonError::into_inner).warn(text);
    }
}

/// Refuses requests while too many others are answered, and those that take too long. Health checks are
/// always answered.
pub(crate) async fn limit_requests(
    State(limiter): State<RequestLimiter>,
    request: Request,
    next: Next,
) -> Response {
    if is_health_check(request.uri().path()) {
        return next.run(request).await;
    }
    let Ok(Ok(_permit)) = timeout(MAX_WAIT, limiter.permits.acquire()).await else {
        limiter.warn(|count| {
            format!(
                "refused {count} requests: {MAX_CONCURRENT_REQUESTS} are being answered, which is the limit"
            )
        });
        return ApiError::overloaded().into_response();
    };
    match timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let seconds = REQUEST_TIMEOUT.as_secs();
            limiter
                .warn(|count| format!("gave up {count} requests after {seconds} s: the store is too slow"));
            ApiError::overloaded().into_response()
        }
    }
}
