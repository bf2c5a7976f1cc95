//! Who may ask: whoever shows the token, where a host wants one.

use std::error::Error;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::future::BoxFuture;
use sha2::{Digest, Sha256};

use crate::problem::Failure;
use crate::routes::is_health;

/// Gives the token that is to be shown: a host may read it anew now and then.
pub type Token = Arc<dyn Fn() -> BoxFuture<'static, Result<String, TokenError>> + Send + Sync>;

/// Why the token that is to be shown is not known.
#[derive(Debug, thiserror::Error)]
#[error("the API's own token cannot be read")]
pub struct TokenError(#[source] pub Box<dyn Error + Send + Sync>);

/// Lets those requests pass that show the token (RFC 6750), and those that ask whether the program is well.
pub(crate) async fn require(State(token): State<Token>, request: Request, next: Next) -> Response {
    if is_health(request.uri().path()) {
        return next.run(request).await;
    }
    let wanted = match token().await {
        Ok(wanted) => wanted,
        Err(error) => return Failure::internal(error).into_response(),
    };
    if shows(request.headers(), &wanted) {
        return next.run(request).await;
    }
    let mut refused = Failure::unauthorized().into_response();
    refused.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    refused
}

/// Whether the headers show the token. Digests are compared, so that the time it takes tells nothing of it.
fn shows(headers: &HeaderMap, wanted: &str) -> bool {
    let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let shown = shown.and_then(|value| value.split_once(' '));
    shown.is_some_and(|(scheme, token)| {
        scheme.eq_ignore_ascii_case("bearer") && Sha256::digest(token.trim()) == Sha256::digest(wanted)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_itself_is_the_token() {
        let with = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            shows(&headers, "sesame")
        };
        assert!(with("Bearer sesame") && with("bearer  sesame"));
        for other in ["", "sesame", "Basic sesame", "Bearer", "Bearer ", "Bearer sesam", "Bearer sesame2"] {
            assert!(!with(other), "{other:?}");
        }
        assert!(!shows(&HeaderMap::new(), "sesame"));
    }
}
