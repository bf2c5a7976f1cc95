//! Entity tags and conditional requests (RFC 9110, section 13).

use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use crate::error::ApiError;

/// Adds an `ETag` with the hash of the content to successful responses that have none, and returns 304 if
/// `If-None-Match` names it. The hash of the content covers all that the content depends on. A response that is
/// streamed gets no tag: its content is not known when its headers are sent.
pub(crate) async fn add_etag(request: Request, next: Next) -> Response {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let if_none_match = request.headers().get_all(header::IF_NONE_MATCH).iter().cloned().collect::<Vec<_>>();
    let response = next.run(request).await;
    let is_stream = response.body().size_hint().exact().is_none();
    if !is_read || response.status() != StatusCode::OK || is_stream {
        return response;
    }
    if let Some(tag) = response.headers().get(header::ETAG) {
        let is_unchanged = if_none_match.iter().any(|list| names_tag(list, tag));
        return if is_unchanged { not_modified(response.headers()) } else { response };
    }
    let (mut parts, body) = response.into_parts();
    let content = match to_bytes(body, usize::MAX).await {
        Ok(content) => content,
        Err(error) => return ApiError::internal(error).into_response(),
    };
    let tag = entity_tag(&content);
    let is_unchanged = if_none_match.iter().any(|list| names_tag(list, &tag));
    parts.headers.insert(header::ETAG, tag);
    if is_unchanged {
        return not_modified(&parts.headers);
    }
    Response::from_parts(parts, Body::from(content))
}

/// Returns a weak tag, because the same content may be sent compressed or not.
pub(super) fn entity_tag(content: &Bytes) -> HeaderValue {
    let tag = format!("W/\"{}\"", hex::encode(Sha256::digest(content)));
    HeaderValue::try_from(tag).expect("hex and quotes are valid in a header")
}

/// Returns whether an `If-None-Match` list names the tag, by weak comparison. Our tags have no comma,
/// so splitting at commas cannot cut one that would match.
fn names_tag(list: &HeaderValue, tag: &HeaderValue) -> bool {
    let opaque = |tag: &[u8]| tag.strip_prefix(b"W/").unwrap_or(tag).to_vec();
    let tag = opaque(tag.as_bytes());
    list.as_bytes()
        .split(|&byte| byte == b',')
        .map(|listed| listed.trim_ascii())
        .any(|listed| listed == b"*" || opaque(listed) == tag)
}

/// Returns a 304 with the headers that it must repeat.
fn not_modified(headers: &HeaderMap) -> Response {
    // A body of unknown length, so that no `content-length: 0` is added.
    let body = Body::from_stream(futures::stream::empty::<Result<Bytes, std::io::Error>>());
    let mut response = (StatusCode::NOT_MODIFIED, body).into_response();
    for name in [header::ETAG, header::CACHE_CONTROL, header::VARY] {
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
            assert!(names_tag(&HeaderValue::from_str(list).unwrap(), &tag), "{list}");
        }
        for list in ["", "\"a\"", "W/\"\"", strong.trim_matches('"')] {
            assert!(!names_tag(&HeaderValue::from_str(list).unwrap(), &tag), "{list}");
        }
    }
}
