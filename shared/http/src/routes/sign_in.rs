//! `/sign-in` and `/sign-out`: a browser exchanges a token for a cookie that scripts cannot read. They belong to the
//! page, not to the API, so the OpenAPI document does not contain them.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Extension, Router};
use chrono::{DateTime, Utc};
use gam_access::RouteClass;
use gam_query::QueryPorts;
use serde::Deserialize;

use crate::auth::{AccessControl, LOCATION_OF_SIGN_IN, TOKEN_COOKIE};
use crate::error::{ApiError, Refusal};
use crate::pages::sign_in as page;
use crate::pages::{View, see_other};
use crate::params::{FromOwnPage, PageForm};

const SIGN_OUT: &str = "/sign-out";

/// The paths of the routes. They need no token.
pub(super) const PATHS: [&str; 2] = [LOCATION_OF_SIGN_IN, SIGN_OUT];

/// How long a browser stays signed in at most, in seconds: 30 days.
const MAX_AGE_SECONDS: i64 = 30 * 24 * 3600;

/// The longest path to go to after signing in.
const MAX_NEXT_BYTES: usize = 2_000;

/// Adds the routes to a router.
pub(crate) fn add_to(router: Router<QueryPorts>) -> Router<QueryPorts> {
    router.route(LOCATION_OF_SIGN_IN, get(show_page).post(sign_in)).route(SIGN_OUT, post(sign_out))
}

/// What the form sends.
#[derive(Deserialize)]
struct SignInForm {
    token: String,
    #[serde(default)]
    next: String,
}

async fn show_page(Extension(access): Extension<AccessControl>, view: View) -> Result<Response, ApiError> {
    let next = local_path(view.next()).to_owned();
    if !access.requires_token().await? {
        return Ok(go_to(&next));
    }
    Ok(page::page(&view.like_page(&next), StatusCode::OK, &next, false))
}

async fn sign_in(
    State(ports): State<QueryPorts>,
    Extension(access): Extension<AccessControl>,
    headers: HeaderMap,
    view: View,
    // Another page must not sign the browser in with a token of its own.
    PageForm(SignInForm { token, next }): PageForm<SignInForm>,
) -> Result<Response, ApiError> {
    let next = local_path(&next);
    if !access.requires_token().await? {
        return Ok(go_to(next));
    }
    match access.sign_in(token.trim()).await {
        Ok(expires_at) => {
            let max_age = max_age_seconds(expires_at, ports.clock.now());
            Ok(with_cookie(go_to(&view.dress(next)), token.trim(), max_age, is_encrypted(&headers)))
        }
        Err(error) if error.is_unauthorized() => {
            access.count_refusal(None, RouteClass::Public).await;
            let mut response = page::page(&view.like_page(next), StatusCode::UNAUTHORIZED, next, true);
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            response.extensions_mut().insert(error.refusal().unwrap_or(Refusal("the token is not valid")));
            Ok(response)
        }
        Err(error) => Err(error),
    }
}

async fn sign_out(_: FromOwnPage, headers: HeaderMap, view: View) -> Response {
    let location = format!("{LOCATION_OF_SIGN_IN}{}", view.appearance());
    with_cookie(go_to(&location), "", 0, is_encrypted(&headers))
}

/// Returns `next` if it is a path on this server, and `/` otherwise: a link to the page must not lead elsewhere.
/// Browsers take a backslash for a slash, and `//host` for another server.
fn local_path(next: &str) -> &str {
    let is_plain =
        next.len() <= MAX_NEXT_BYTES && next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    let is_local = next.starts_with('/') && !next.starts_with("//");
    if is_plain && is_local { next } else { "/" }
}

/// Returns how long the cookie of a token is valid: until the token expires, but not longer than the maximum.
fn max_age_seconds(expires_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> i64 {
    expires_at.map_or(MAX_AGE_SECONDS, |at| (at - now).num_seconds().clamp(0, MAX_AGE_SECONDS))
}

/// Returns whether the browser reached the server over TLS. The server itself speaks plain HTTP, behind a proxy or API
/// Gateway that says so. A sender that claims it without reason makes only its own cookie stricter.
fn is_encrypted(headers: &HeaderMap) -> bool {
    let starts_with_https = |name: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.is_some_and(|value| value.trim_start().to_ascii_lowercase().starts_with("https"))
    };
    starts_with_https("x-forwarded-proto") || starts_with_https("origin")
}

fn with_cookie(mut response: Response, value: &str, max_age_seconds: i64, is_secure: bool) -> Response {
    let secure = if is_secure { "; Secure" } else { "" };
    let cookie = format!(
        "{TOKEN_COOKIE}={value}; Path=/; Max-Age={max_age_seconds}; HttpOnly; SameSite=Strict{secure}"
    );
    // A token that passed the check has no character that a header cannot hold.
    if let Ok(mut cookie) = HeaderValue::try_from(cookie) {
        cookie.set_sensitive(true);
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

/// Redirects to a path on this server, relative to `/sign-in` and `/sign-out`.
fn go_to(path: &str) -> Response {
    see_other(page::relative(path))
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn only_paths_of_this_server_are_next() {
        for path in ["/", "/orgs/acme?since=2026-01-01", "/a//b", "/%2F%2Fevil.example"] {
            assert_eq!(local_path(path), path);
        }
        for elsewhere in [
            "",
            "https://evil.example",
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "evil.example",
            "javascript:alert(1)",
            "/\n/evil.example",
            "/\t/evil.example",
            "/ä",
            &format!("/{}", "x".repeat(MAX_NEXT_BYTES)),
        ] {
            assert_eq!(local_path(elsewhere), "/", "{elsewhere:?}");
        }
    }

    #[test]
    fn a_cookie_ends_with_its_token() {
        let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let age = |expires_at: Option<TimeDelta>| max_age_seconds(expires_at.map(|it| now + it), now);
        assert_eq!(age(None), MAX_AGE_SECONDS);
        assert_eq!(age(Some(TimeDelta::hours(1))), 3600);
        assert_eq!(age(Some(TimeDelta::days(400))), MAX_AGE_SECONDS);
    }
}
