//! Which web pages of other origins may call the API (CORS). By default none may.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// How long a browser may remember a permission, in seconds.
const MAX_AGE_SECONDS: &str = "600";

/// The origins whose pages may call the API, such as `https://metrics.example.com`. Pages send their token themselves:
/// cookies are not accepted from other origins.
#[derive(Debug, Clone, Default)]
pub struct AllowedOrigins(Arc<[HeaderValue]>);

impl AllowedOrigins {
    /// Allows exactly these origins. `None` if one of them is no origin: a scheme and a host, and a port if it is not
    /// the scheme's own.
    pub fn parse<'a>(origins: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let parse = |origin: &str| {
            let uri: Uri = origin.parse().ok()?;
            let scheme = uri.scheme_str().filter(|scheme| matches!(*scheme, "http" | "https"))?;
            let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'))?;
            let is_origin = origin == format!("{scheme}://{authority}") && origin == origin.to_lowercase();
            is_origin.then(|| HeaderValue::try_from(origin).ok())?
        };
        origins
            .into_iter()
            .map(parse)
            .collect::<Option<Vec<_>>>()
            .map(|origins| AllowedOrigins(origins.into()))
    }

    /// Returns the origin of a request, if it is allowed.
    fn find(&self, headers: &HeaderMap) -> Option<&HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        self.0.iter().find(|allowed| *allowed == origin)
    }
}

/// Answers a browser that asks for permission, and lets pages of allowed origins read answers.
pub(crate) async fn allow_origins(
    State(origins): State<AllowedOrigins>,
    request: Request,
    next: Next,
) -> Response {
    if origins.0.is_empty() {
        return next.run(request).await;
    }
    let origin = origins.find(request.headers()).cloned();
    let is_preflight = request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ORIGIN)
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = match (is_preflight, &origin) {
        (true, Some(_)) => preflight_response(),
        _ => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        let exposed = HeaderValue::from_static("etag, link, retry-after, x-request-id");
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
    response
}

fn preflight_response() -> Response {
    let headers = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "accept, authorization, if-none-match, x-request-id"),
        (header::ACCESS_CONTROL_MAX_AGE, MAX_AGE_SECONDS),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_origins_are_allowed() {
        let parse = |origin: &str| AllowedOrigins::parse([origin]).is_some();
        for origin in ["https://metrics.example.com", "http://localhost:3000", "https://[::1]:8443"] {
            assert!(parse(origin), "{origin}");
        }
        for invalid in [
            "*",
            "null",
            "",
            "metrics.example.com",
            "https://metrics.example.com/",
            "https://metrics.example.com/x",
            "https://Metrics.example.com",
            "https://a@metrics.example.com",
            "ftp://metrics.example.com",
            "https://a,https://b",
        ] {
            assert!(!parse(invalid), "{invalid}");
        }
    }
}
