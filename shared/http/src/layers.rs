//! What every request passes through: its id, the log, headers, revalidation, failures.

use std::any::Any;
use std::time::Instant;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use tower_http::request_id::RequestId;
use tracing::Instrument;

use crate::problem::{Failure, Panicked};

const REQUEST_ID: &str = "x-request-id";
/// The longest request id taken from a client.
const MAX_REQUEST_ID: usize = 128;

/// Drops a request id that did not come from a well-meaning proxy, so that a fresh one is made: it
/// ends up in the log and in the answer.
pub(crate) async fn drop_ill_formed_request_id(mut request: Request) -> Request {
    let well_formed = |id: &HeaderValue| {
        let id = id.as_bytes();
        (1..=MAX_REQUEST_ID).contains(&id.len())
            && id.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
    };
    if !request.headers().get(REQUEST_ID).is_some_and(well_formed) {
        request.headers_mut().remove(REQUEST_ID);
    }
    request
}

fn request_id(request: &Request) -> String {
    let id = request.extensions().get::<RequestId>().map(|id| id.header_value().to_str());
    id.and_then(Result::ok).unwrap_or("unknown").to_owned()
}

/// One span a request and one line in it, with the cause where the request failed on our side.
pub(crate) async fn observe(request: Request, next: Next) -> Response {
    // At the level of errors, so that a failure is never logged without its request.
    let span = tracing::error_span!(
        "request",
        request_id = request_id(&request),
        method = %request.method(),
        path = request.uri().path(),
    );
    let started = Instant::now();
    let response = next.run(request).instrument(span.clone()).await;
    let latency_ms = started.elapsed().as_millis() as u64;
    let status = response.status().as_u16();
    span.in_scope(|| match response.extensions().get::<Failure>().and_then(Failure::cause) {
        Some(error) => tracing::error!(status, latency_ms, error, "request failed"),
        None => tracing::info!(status, latency_ms, "request answered"),
    });
    response
}

/// The headers that every answer has: nothing is guessed from its content, answers must be
/// revalidated, and refusals are not kept.
pub(crate) async fn complete_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let kept = response.status().is_success() || response.status() == StatusCode::NOT_MODIFIED;
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    let policy = if kept { "private, no-cache" } else { "no-store" };
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static(policy));
    response
}

/// Gives a failure the body that the client sees. The failure stays with the response, for the log.
pub(crate) async fn render_failure(request: Request, next: Next) -> Response {
    let request_id = request_id(&request);
    let response = next.run(request).await;
    match response.extensions().get::<Failure>() {
        Some(failure) => {
            let mut rendered = failure.render(&request_id);
            // Which way of signing in is taken is told beside the failure.
            if let Some(scheme) = response.headers().get(header::WWW_AUTHENTICATE) {
                rendered.headers_mut().insert(header::WWW_AUTHENTICATE, scheme.clone());
            }
            *rendered.extensions_mut() = response.extensions().clone();
            rendered
        }
        None => response,
    }
}

/// The answer to a request whose handler panicked.
pub(crate) fn panicked(payload: Box<dyn Any + Send>) -> Response {
    let message = match payload.downcast::<String>() {
        Ok(message) => *message,
        Err(payload) => {
            payload.downcast::<&'static str>().map_or("no message".to_owned(), |it| it.to_string())
        }
    };
    Failure::internal(Panicked(message)).into_response()
}

/// Tags answers with the hash of their content, and answers 304 where the client has it already.
pub(crate) async fn revalidate(request: Request, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let known = request.headers().get_all(header::IF_NONE_MATCH).iter().cloned().collect::<Vec<_>>();
    let response = next.run(request).await;
    if !reads || response.status() != StatusCode::OK {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let content = match to_bytes(body, usize::MAX).await {
        Ok(content) => content,
        Err(error) => return Failure::internal(error).into_response(),
    };
    let tag = entity_tag(&content);
    let unchanged = known.iter().any(|list| holds(list, &tag));
    parts.headers.insert(header::ETAG, tag);
    if unchanged {
        return not_modified(&parts.headers);
    }
    Response::from_parts(parts, Body::from(content))
}

/// A weak tag, because the same content may travel compressed or not.
fn entity_tag(content: &Bytes) -> HeaderValue {
    let tag = format!("W/\"{}\"", hex::encode(Sha256::digest(content)));
    HeaderValue::try_from(tag).expect("hex and quotes are valid in a header")
}

/// Whether a list of `If-None-Match` holds the tag, by weak comparison. Our tags hold no comma, so
/// splitting at commas cannot cut one that would match.
fn holds(list: &HeaderValue, tag: &HeaderValue) -> bool {
    let opaque = |tag: &[u8]| tag.strip_prefix(b"W/").unwrap_or(tag).to_vec();
    let tag = opaque(tag.as_bytes());
    list.as_bytes()
        .split(|&byte| byte == b',')
        .map(|known| known.trim_ascii())
        .any(|known| known == b"*" || opaque(known) == tag)
}

/// The answer to a client that has the content, with the headers that a 304 repeats.
fn not_modified(headers: &HeaderMap) -> Response {
    // A body of unknown length, so that nobody adds the content length of an empty one.
    let body = Body::from_stream(futures::stream::empty::<Result<Bytes, std::io::Error>>());
    let mut response = (StatusCode::NOT_MODIFIED, body).into_response();
    for name in [header::ETAG, header::CACHE_CONTROL] {
        if let Some(value) = headers.get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared_weakly() {
        let tag = entity_tag(&Bytes::from_static(b"{}"));
        let text = tag.to_str().unwrap().to_owned();
        let strong = text.trim_start_matches("W/");
        for list in ["*", &text, strong, &format!("\"a\", {text}"), &format!("W/\"b\" ,{strong}, \"c\"")] {
            assert!(holds(&HeaderValue::from_str(list).unwrap(), &tag), "{list}");
        }
        for list in ["", "\"a\"", "W/\"\"", strong.trim_matches('"')] {
            assert!(!holds(&HeaderValue::from_str(list).unwrap(), &tag), "{list}");
        }
    }

    #[test]
    fn the_message_of_a_panic_is_kept_for_the_log() {
        for payload in [Box::new("boom") as Box<dyn Any + Send>, Box::new("boom".to_owned())] {
            let response = panicked(payload);
            let failure = response.extensions().get::<Failure>().unwrap();
            assert_eq!(failure.cause().unwrap(), "panicked: boom");
        }
    }
}
