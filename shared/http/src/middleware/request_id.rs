//! The id of a request, in the header `x-request-id`.

use axum::extract::Request;
use axum::http::HeaderValue;
use tower_http::request_id::RequestId;

const REQUEST_ID: &str = "x-request-id";
/// The longest request id that is taken from a client.
const MAX_REQUEST_ID_BYTES: usize = 128;

/// Drops an unusual request id, so that a new one is made: the id is written to the log and to the
/// response.
pub(crate) async fn drop_invalid(mut request: Request) -> Request {
    let is_valid = |id: &HeaderValue| {
        let id = id.as_bytes();
        (1..=MAX_REQUEST_ID_BYTES).contains(&id.len())
            && id.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
    };
    if !request.headers().get(REQUEST_ID).is_some_and(is_valid) {
        request.headers_mut().remove(REQUEST_ID);
    }
    request
}

/// Returns the id that `SetRequestIdLayer` has put into the request.
pub(super) fn request_id(request: &Request) -> String {
    let id = request.extensions().get::<RequestId>().map(|id| id.header_value().to_str());
    id.and_then(Result::ok).unwrap_or("unknown").to_owned()
}
