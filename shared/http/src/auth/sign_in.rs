//! How a browser without a token gets to the page for signing in, and back.

use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// The path of the page for signing in.
pub(crate) const LOCATION_OF_SIGN_IN: &str = "/sign-in";

/// Returns the redirect to the page for signing in, if a browser wants to show the answer. The location is relative,
/// so that it also works under a path prefix.
pub(crate) fn redirect_to_sign_in(parts: &Parts) -> Option<Response> {
    let accepts_html = parts
        .headers
        .get_all(header::ACCEPT)
        .iter()
        .any(|value| value.to_str().is_ok_and(|value| value.to_ascii_lowercase().contains("text/html")));
    // Who sends a token in the header is a program, whatever else it accepts.
    if parts.method != Method::GET || !accepts_html || parts.headers.contains_key(header::AUTHORIZATION) {
        return None;
    }
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let depth = parts.uri.path().matches('/').count().saturating_sub(1);
    let up = if depth == 0 { "./".to_owned() } else { "../".repeat(depth) };
    let next = utf8_percent_encode(target, NON_ALPHANUMERIC);
    let location = format!("{up}{}?next={next}", LOCATION_OF_SIGN_IN.trim_start_matches('/'));
    let location = HeaderValue::try_from(location).ok()?;
    Some((StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response())
}
