//! What is answered where a question has no answer: `application/problem+json` (RFC 9457).

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use gam_model::error_chain;
use gam_query::QueryError;
use serde::Serialize;
use utoipa::ToSchema;

/// How long a client should wait before it asks a busy store again.
const RETRY_AFTER_SECONDS: u32 = 2;

/// What went wrong, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Code {
    NotFound,
    Unauthorized,
    #[expect(dead_code, reason = "answered by what stands in front of the API, and documented with it")]
    Forbidden,
    InvalidArgument,
    #[expect(dead_code, reason = "answered by what stands in front of the API, and documented with it")]
    RateLimited,
    InternalError,
}

/// Why a question has no answer, by RFC 9457.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// `about:blank`: the problem is told by its status and `code`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The phrase of the HTTP status.
    title: &'static str,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What was refused, why, and the mend.
    detail: String,
    code: Code,
}

/// A question without an answer, on its way to the client. As a response it is empty and carries
/// itself as an extension: the layers render it, because they know the request's id, and log its
/// cause, which the client never sees.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    status: StatusCode,
    code: Code,
    detail: String,
    cause: Option<Arc<dyn Error + Send + Sync>>,
    retry_after_seconds: Option<u32>,
}

impl Failure {
    /// The input cannot be used: the text names it, why, and the mend.
    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::refused(StatusCode::BAD_REQUEST, Code::InvalidArgument, detail)
    }

    /// There is nothing of that name.
    fn not_found(detail: impl Into<String>) -> Self {
        Self::refused(StatusCode::NOT_FOUND, Code::NotFound, detail)
    }

    /// No route has that path.
    pub(crate) fn no_such_route(path: &str) -> Self {
        Self::not_found(format!("there is nothing at {path}: /openapi.json lists every route"))
    }

    /// The route takes other methods only.
    pub(crate) fn method_not_allowed(detail: impl Into<String>) -> Self {
        Self::refused(StatusCode::METHOD_NOT_ALLOWED, Code::InvalidArgument, detail)
    }

    /// Who asks has not shown the token.
    pub(crate) fn unauthorized() -> Self {
        let detail = "no valid bearer token: send the header `Authorization: Bearer TOKEN`";
        Self::refused(StatusCode::UNAUTHORIZED, Code::Unauthorized, detail)
    }

    /// Something broke that asking again does not mend.
    pub(crate) fn internal(cause: impl Error + Send + Sync + 'static) -> Self {
        Failure {
            cause: Some(Arc::new(cause)),
            ..Self::refused(StatusCode::INTERNAL_SERVER_ERROR, Code::InternalError, "internal error")
        }
    }

    /// Something is out of reach for the moment.
    fn unavailable(cause: impl Error + Send + Sync + 'static) -> Self {
        let detail = "the store is busy or out of reach: ask again in some seconds";
        Failure {
            cause: Some(Arc::new(cause)),
            retry_after_seconds: Some(RETRY_AFTER_SECONDS),
            ..Self::refused(StatusCode::SERVICE_UNAVAILABLE, Code::InternalError, detail)
        }
    }

    fn refused(status: StatusCode, code: Code, detail: impl Into<String>) -> Self {
        Failure { status, code, detail: detail.into(), cause: None, retry_after_seconds: None }
    }

    /// The cause with all of its own causes, for the log; `None` where the client was at fault.
    pub(crate) fn cause(&self) -> Option<String> {
        self.cause.as_deref().map(|cause| error_chain(cause))
    }

    /// The answer that the client sees.
    pub(crate) fn render(&self, request_id: &str) -> Response {
        let detail = match self.cause {
            Some(_) => format!("{}; request id {request_id}", self.detail),
            None => self.detail.clone(),
        };
        let problem = Problem {
            kind: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail,
            code: self.code,
        };
        let mut response = (self.status, Json(problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::NotFound(detail) => Failure::not_found(detail),
            QueryError::Invalid(detail) => Failure::invalid(detail),
            QueryError::Store(cause) if cause.is_retryable() => Failure::unavailable(cause),
            QueryError::Store(_) | QueryError::Unreadable { .. } => Failure::internal(error),
        }
    }
}

/// A panic that was caught.
#[derive(Debug)]
pub(crate) struct Panicked(pub(crate) String);

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "panicked: {}", self.0)
    }
}

impl Error for Panicked {}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use serde_json::{Value, json};

    use super::*;

    async fn rendered(failure: Failure) -> (Response, Value) {
        let (parts, body) = failure.render("id-1").into_parts();
        let body = serde_json::from_slice(&to_bytes(body, usize::MAX).await.unwrap()).unwrap();
        (Response::from_parts(parts, axum::body::Body::empty()), body)
    }

    #[tokio::test]
    async fn a_refusal_is_a_problem_document() {
        let (response, body) = rendered(QueryError::NotFound("no organization \"x\"".into()).into()).await;
        assert_eq!(response.status(), 404);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert_eq!(
            body,
            json!({
                "type": "about:blank", "title": "Not Found", "status": 404,
                "detail": "no organization \"x\"", "code": "NOT_FOUND",
            })
        );
        let (response, body) = rendered(QueryError::Invalid("cursor \"x\"".into()).into()).await;
        assert_eq!((response.status().as_u16(), &body["code"]), (400, &json!("INVALID_ARGUMENT")));
        let (response, body) = rendered(Failure::method_not_allowed("no")).await;
        assert_eq!((response.status().as_u16(), &body["code"]), (405, &json!("INVALID_ARGUMENT")));
    }

    #[tokio::test]
    async fn an_internal_failure_keeps_its_cause_for_the_log() {
        let secret = std::io::Error::other("password=hunter2");
        let failure: Failure =
            QueryError::Store(gam_store::Error::unusable("table x is missing", secret)).into();
        assert_eq!(
            failure.cause().unwrap(),
            "the store could not be read: table x is missing: password=hunter2"
        );
        let (response, body) = rendered(failure).await;
        assert_eq!(response.status(), 500);
        assert!(!response.headers().contains_key("retry-after"));
        assert_eq!(body["detail"], "internal error; request id id-1");
        assert_eq!(body["code"], "INTERNAL_ERROR");
    }

    #[tokio::test]
    async fn a_busy_store_asks_to_be_asked_again() {
        let busy = gam_store::Error::unavailable("reading", std::io::Error::other("locked"));
        let (response, body) = rendered(QueryError::Store(busy).into()).await;
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["retry-after"], "2");
        assert_eq!(body["code"], "INTERNAL_ERROR");
        assert!(!body["detail"].as_str().unwrap().contains("locked"));
    }
}
