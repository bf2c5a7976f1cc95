//! Errors as pages.

use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::Response;
use maud::html;

use super::request::Params;
use super::shell::{Page, respond};
use super::view::View;
use super::words::fill;
use crate::error::ApiError;

/// What is needed to show the error of a request as a page.
pub(crate) struct ErrorPage(View);

impl ErrorPage {
    /// Returns the error page of a request; `None` if it is not for a page. Pages are what browsers request, other
    /// than answers of the API.
    pub(crate) fn of(request: &Request) -> Option<Self> {
        let accepts = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
        let is_browser = accepts.is_some_and(|value| value.contains("text/html"));
        if !is_browser || request.uri().path().starts_with("/api/") {
            return None;
        }
        let mut parts = http_parts(request);
        let params = Params::appearance(request.uri());
        parts.headers = request.headers().clone();
        Some(ErrorPage(View::new(params, &parts)))
    }

    /// Renders an error. Not found and forbidden look alike, so that neither says what there is.
    pub(crate) fn render(&self, error: &ApiError, request_id: &str) -> Response {
        let (view, words, status) = (&self.0, self.0.words, error.status());
        let failed = fill(words.failed_inside, &[("id", request_id)]);
        let text = match status {
            StatusCode::NOT_FOUND | StatusCode::FORBIDDEN => words.nothing_here,
            StatusCode::UNAUTHORIZED => words.unauthorized,
            StatusCode::TOO_MANY_REQUESTS => words.too_many,
            StatusCode::SERVICE_UNAVAILABLE => words.not_ready,
            StatusCode::GONE if error.is_cursor_expired() => words.cursor_expired,
            status if status.is_client_error() => words.bad_request,
            _ => &failed,
        };
        let has_detail =
            !matches!(status, StatusCode::NOT_FOUND | StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED)
                && !status.is_server_error();
        let body = html! {
            div.message {
                p.code { (status.as_u16()) }
                h1 { (text) }
                @if has_detail { p.note lang="en" { (error.detail()) } }
                p { a href=(view.link(&[])) { (words.go_overview) } }
            }
        };
        let mut response = respond(view, status, Page { title: text, org: None, body });
        let problem = error.render(request_id);
        for name in [header::RETRY_AFTER, header::WWW_AUTHENTICATE] {
            if let Some(value) = problem.headers().get(&name) {
                response.headers_mut().insert(name, value.clone());
            }
        }
        response
    }
}

fn http_parts(request: &Request) -> axum::http::request::Parts {
    let (mut parts, ()) = axum::http::Request::new(()).into_parts();
    parts.uri = request.uri().clone();
    parts
}
