//! What every page knows: its parameters, its language, and where it is.

use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::NaiveDate;
use gam_access::{Principal, RouteClass};
use gam_model::{Grain, Range};
use gam_query::QueryPorts;

use super::format::encode;
use super::log::LOG_PATH;
use super::request::{Params, Theme, language_name, preferred_language};
use super::words::Words;
use crate::charts::Language;
use crate::error::ApiError;

/// A request for a page. All of it follows from path and query and from [`View::variant`].
pub(crate) struct View {
    pub(super) params: Params,
    pub(super) language: Language,
    pub(super) words: &'static Words,
    /// The way from this page to the root: `../../`. Links are relative, so that pages work under a path prefix.
    pub(super) root: String,
    /// Whether the sender has a token, so that a browser can sign out.
    pub(super) has_token: bool,
    /// Whether the sender may read the audit log.
    pub(super) can_audit: bool,
}

/// The parts of a request, other than path and query, that a page depends on.
struct PageVariant {
    /// The language that the browser prefers.
    language: Language,
    has_token: bool,
    can_audit: bool,
}

impl PageVariant {
    fn new(headers: &HeaderMap, extensions: &Extensions) -> Self {
        let principal = extensions.get::<Principal>();
        PageVariant {
            language: preferred_language(headers),
            has_token: principal.is_some_and(|principal| principal.has_token),
            can_audit: principal.is_some_and(|principal| principal.may(RouteClass::Audit)),
        }
    }
}

impl View {
    /// Creates the view of a request.
    pub(super) fn new(params: Params, parts: &Parts) -> Self {
        let PageVariant { language, has_token, can_audit } =
            PageVariant::new(&parts.headers, &parts.extensions);
        let language = params.language.unwrap_or(language);
        let segments = parts.uri.path().matches('/').count();
        let root = match segments {
            0 | 1 => "./".to_owned(),
            _ => "../".repeat(segments - 1),
        };
        View { params, language, words: Words::of(language), root, has_token, can_audit }
    }

    /// Returns the parts of a request, other than path and query, that a page depends on: the language that the browser
    /// prefers, and what the sender may do as far as pages show it. Senders with the same variant get the same page.
    pub(crate) fn variant(request: &Request) -> Box<[u8]> {
        let PageVariant { language, has_token, can_audit } =
            PageVariant::new(request.headers(), request.extensions());
        format!("{} {has_token} {can_audit}", language_name(language)).into_bytes().into()
    }

    /// Returns the view with the language and the theme of another page, unless its own URL sets them.
    pub(crate) fn like_page(mut self, path_and_query: &str) -> Self {
        let other = path_and_query.parse().map(|uri| Params::appearance(&uri)).unwrap_or_default();
        if self.params.language.is_none()
            && let Some(language) = other.language
        {
            self.params.language = Some(language);
            self.language = language;
            self.words = Words::of(language);
        }
        if self.params.theme == Theme::default() {
            self.params.theme = other.theme;
        }
        self
    }

    /// Returns the query string with the language and the theme that the address sets; empty if it sets none.
    pub(crate) fn appearance(&self) -> String {
        let Params { language, theme, .. } = self.params;
        query_of(&Params { language, theme, ..Params::default() })
    }

    /// Returns the address of another page with the language and the theme that this address sets. The address of another
    /// route stays as it is, because the API refuses unknown parameters.
    pub(crate) fn dress(&self, path_and_query: &str) -> String {
        let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
        let own = self.appearance();
        let is_page = path == "/" || path == LOG_PATH || path.starts_with("/orgs/");
        if !is_page || own.is_empty() {
            return path_and_query.to_owned();
        }
        let own: Vec<&str> = own.trim_start_matches('?').split('&').collect();
        let name = |pair: &str| pair.split('=').next().unwrap_or_default().to_owned();
        let is_kept = |pair: &&str| !pair.is_empty() && own.iter().all(|it| name(it) != name(pair));
        let pairs: Vec<&str> = query.split('&').filter(is_kept).chain(own.iter().copied()).collect();
        format!("{path}?{}", pairs.join("&"))
    }

    /// Returns where the page for signing in leads to, as its address says.
    pub(crate) fn next(&self) -> &str {
        &self.params.next
    }

    /// Returns the link to another page of this router, with the parameters that pages share.
    pub(super) fn link(&self, segments: &[&str]) -> String {
        self.link_with(segments, &self.params.carried())
    }

    /// Returns the link to another page of this router, with these parameters.
    pub(super) fn link_with(&self, segments: &[&str], params: &Params) -> String {
        let path: Vec<String> = segments.iter().map(|segment| encode(segment)).collect();
        format!("{}{}{}", self.root, path.join("/"), query_of(params))
    }

    /// Returns the link to this page with other parameters.
    pub(super) fn here(&self, change: impl FnOnce(&mut Params)) -> String {
        self.params.with(change).query()
    }

    /// Returns the redirect to the same page with `until` in place of the form's last day.
    pub(super) fn redirect(&self) -> Option<Response> {
        let query = self.params.canonical()?.query();
        let location = HeaderValue::try_from(query).ok()?;
        Some((StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response())
    }

    /// Returns the current day of the organization, the days of the page, and the length of the buckets.
    pub(super) async fn days(
        &self,
        ports: &QueryPorts,
        org: &str,
    ) -> Result<(NaiveDate, Range, Grain), ApiError> {
        let today = gam_query::today(ports, org).await?;
        let range = self.params.days(today)?;
        Ok((today, range, self.params.grain(range)))
    }
}

/// Returns the query string with `?`; empty without parameters.
fn query_of(params: &Params) -> String {
    let query = params.query();
    if query == "?" { String::new() } else { query }
}

impl<S: Send + Sync> FromRequestParts<S> for View {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Ok(View::new(Params::parse(&parts.uri)?, parts))
    }
}

/// Returns the redirect from a form to another page of this router.
pub(crate) fn see_other(link: String) -> Response {
    let headers = [(header::LOCATION, link), (header::CACHE_CONTROL, "no-store".to_owned())];
    (StatusCode::SEE_OTHER, headers).into_response()
}
