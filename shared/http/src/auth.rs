//! Bearer-token authentication (RFC 6750).

use std::error::Error;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::future::BoxFuture;
use sha2::{Digest, Sha256};

use crate::error::ApiError;
use crate::routes::is_health_check;

/// Returns the token that requests must carry. It is called for each request, so a host can read the
/// token again from time to time.
pub type TokenSource = Arc<dyn Fn() -> BoxFuture<'static, Result<String, TokenError>> + Send + Sync>;

/// Why a [`TokenSource`] has no token.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the API's own token")]
pub struct TokenError(#[source] pub Box<dyn Error + Send + Sync>);

/// Passes on requests that carry the token, and health checks.
pub(crate) async fn require_token(
    State(token): State<TokenSource>,
    request: Request,
    next: Next,
) -> Response {
    if is_health_check(request.uri().path()) {
        return next.run(request).await;
    }
    let expected = match token().await {
        Ok(expected) => expected,
        Err(error) => return ApiError::internal(error).into_response(),
    };
    if has_token(request.headers(), &expected) {
        return next.run(request).await;
    }
    let mut response = ApiError::unauthorized().into_response();
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

/// Returns whether the headers carry the token. Digests are compared, so that the duration of the
/// comparison reveals nothing about the token.
fn has_token(headers: &HeaderMap, expected: &str) -> bool {
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let credentials = authorization.and_then(|value| value.split_once(' '));
    credentials.is_some_and(|(scheme, token)| {
        scheme.eq_ignore_ascii_case("bearer") && Sha256::digest(token.trim()) == Sha256::digest(expected)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_bearer_token_is_accepted() {
        let is_accepted = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            has_token(&headers, "sesame")
        };
        assert!(is_accepted("Bearer sesame") && is_accepted("bearer  sesame"));
        for other in ["", "sesame", "Basic sesame", "Bearer", "Bearer ", "Bearer sesam", "Bearer sesame2"] {
            assert!(!is_accepted(other), "{other:?}");
        }
        assert!(!has_token(&HeaderMap::new(), "sesame"));
    }
}
