//! The token that a request carries: in the header `Authorization` (RFC 6750), or in the cookie of a browser that has
//! signed in.

use axum::http::uri::{Authority, Uri};
use axum::http::{HeaderMap, header};
use gam_access::TokenSecret;

use crate::error::ApiError;

/// The name of the cookie with the token.
pub(crate) const TOKEN_COOKIE: &str = "github-metrics-token";

/// The token of a request.
pub(super) struct Credentials {
    pub(super) secret: TokenSecret,
    /// Whether the browser added it, so that another page may have caused the request.
    pub(super) is_from_cookie: bool,
}

impl Credentials {
    /// Reads the token. The header wins over the cookie.
    ///
    /// # Errors
    /// 401 if there is none, or more than one.
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, ApiError> {
        let refused = |reason| ApiError::unauthorized().because(reason);
        let mut authorizations = headers.get_all(header::AUTHORIZATION).iter();
        match (authorizations.next(), authorizations.next()) {
            (None, _) => {
                let secret = cookie_values(headers).find_map(TokenSecret::parse);
                let secret = secret.ok_or_else(|| refused("the request has no token"))?;
                Ok(Credentials { secret, is_from_cookie: true })
            }
            (Some(value), None) => {
                let credentials = value.to_str().ok().and_then(|value| value.split_once(' '));
                let token = credentials.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
                let secret = token.and_then(|(_, token)| TokenSecret::parse(token.trim()));
                let secret = secret.ok_or_else(|| refused("the header Authorization has no bearer token"))?;
                Ok(Credentials { secret, is_from_cookie: false })
            }
            (Some(_), Some(_)) => Err(refused("the request has several headers Authorization")),
        }
    }
}

/// Returns whether a browser sent a token, whatever it is worth.
pub(super) fn has_cookie(headers: &HeaderMap) -> bool {
    cookie_values(headers).next().is_some()
}

/// Returns the values of the token's cookie.
fn cookie_values(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lists = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = lists.flat_map(|list| list.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(|(name, _)| *name == TOKEN_COOKIE).map(|(_, value)| value)
}

/// Returns whether a page of this server sent the request. Browsers say so; other programs do not, and send no
/// cookies either.
pub(crate) fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text("sec-fetch-site") {
        return site == "same-origin";
    }
    let origin = text("origin").and_then(|origin| origin.parse::<Uri>().ok());
    let host = text("host").and_then(|host| host.parse::<Authority>().ok());
    match (origin.as_ref().and_then(Uri::authority), host) {
        (Some(origin), Some(host)) => origin.as_str().eq_ignore_ascii_case(host.as_str()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    fn read(pairs: &[(&str, &str)]) -> Option<(String, bool)> {
        let credentials = Credentials::read(&headers(pairs)).ok()?;
        Some((credentials.secret.expose().to_owned(), credentials.is_from_cookie))
    }

    #[test]
    fn a_token_is_in_one_header_or_in_the_cookie() {
        let sesame = |is_from_cookie| Some(("sesame".to_owned(), is_from_cookie));
        for value in ["Bearer sesame", "bearer  sesame", "BEARER sesame "] {
            assert_eq!(read(&[("authorization", value)]), sesame(false), "{value:?}");
        }
        for cookie in ["github-metrics-token=sesame", "a=b; github-metrics-token=sesame;c=d"] {
            assert_eq!(read(&[("cookie", cookie)]), sesame(true), "{cookie:?}");
        }
        let cookie = ("cookie", "github-metrics-token=other");
        assert_eq!(read(&[("authorization", "Bearer sesame"), cookie]), sesame(false));
        for value in ["", "sesame", "Basic sesame", "Bearer", "Bearer ", "Bearer a b"] {
            assert_eq!(read(&[("authorization", value), cookie]), None, "{value:?}");
        }
        assert_eq!(read(&[("authorization", "Bearer sesame"), ("authorization", "Bearer sesame")]), None);
        for cookie in ["", "token=sesame", "github-metrics-token=", "xgithub-metrics-token=sesame"] {
            assert_eq!(read(&[("cookie", cookie)]), None, "{cookie:?}");
        }
    }

    #[test]
    fn only_a_page_of_the_server_is_of_the_same_origin() {
        let is_same = |pairs: &[(&str, &str)]| is_same_origin(&headers(pairs));
        let host = ("host", "metrics.example:8080");
        assert!(is_same(&[host, ("origin", "http://metrics.example:8080")]));
        assert!(is_same(&[host, ("origin", "http://other.example"), ("sec-fetch-site", "same-origin")]));
        for origin in ["http://metrics.example", "http://evil.example", "null", ""] {
            assert!(!is_same(&[host, ("origin", origin)]), "{origin}");
        }
        for site in ["same-site", "cross-site", "none"] {
            let origin = ("origin", "http://metrics.example:8080");
            assert!(!is_same(&[host, origin, ("sec-fetch-site", site)]), "{site}");
        }
        assert!(!is_same(&[host]) && !is_same(&[]));
    }
}
