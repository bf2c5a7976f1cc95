//! The headers of every response.

use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

/// The request headers that all responses depend on.
const VARY: &str = "accept, accept-encoding";
/// The request headers that a page depends on.
const VARY_OF_PAGES: &str = "accept, accept-encoding, accept-language";

/// Adds the headers that every response has: browsers must not guess the content type, caches must
/// revalidate answers, and must not store errors.
pub(crate) async fn add_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let is_cacheable = response.status().is_success() || response.status() == StatusCode::NOT_MODIFIED;
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let depends_on_language =
        headers.get_all(header::VARY).iter().any(|name| name == header::ACCEPT_LANGUAGE.as_str());
    let vary = if depends_on_language { VARY_OF_PAGES } else { VARY };
    headers.insert(header::VARY, HeaderValue::from_static(vary));
    let cache_control = if is_cacheable { "private, no-cache" } else { "no-store" };
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static(cache_control));
    response
}
