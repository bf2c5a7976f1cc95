//! Errors of the API, sent as `application/problem+json` (RFC 9457).

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use gam_access::{AccessError, LogError};
use gam_model::error_chain;
use gam_query::QueryError;
use gam_work::PushError;
use gam_work::actions::ActionError;
use gam_work::tasks::TaskError;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// The `Retry-After` of a response from a busy store.
const RETRY_AFTER_SECONDS: u32 = 2;
/// The `Retry-After` of a response while an organization's numbers are computed.
const RETRY_COMPUTED_AFTER_SECONDS: u32 = 30;

/// The `Retry-After` of a response while the lake fails.
const RETRY_LAKE_AFTER_SECONDS: u32 = 10;

/// The kind of error, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schema(as = Code)]
pub(crate) enum ProblemCode {
    NotFound,
    Unauthorized,
    Forbidden,
    InvalidArgument,
    RateLimited,
    CursorExpired,
    StaleFence,
    ClaimEnded,
    Conflict,
    Expired,
    ActionFailed,
    KeyReused,
    InternalError,
}

/// The most characters of an input that an error quotes.
const MAX_QUOTED_CHARS: usize = 80;

/// Quotes an input for an error: escaped, and cut if it is long.
pub(crate) fn quoted(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTED_CHARS) {
        Some((end, _)) => format!("{:?}...", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// Cuts an input that an error repeats without quotes, such as a path.
pub(crate) fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTED_CHARS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// The response to a client that is refused before its request is read.
pub(crate) const OVERLOADED_RESPONSE: &str = concat!(
    "HTTP/1.1 503 Service Unavailable\r\n",
    "content-type: application/problem+json\r\n",
    "retry-after: 2\r\n",
    "cache-control: no-store\r\n",
    "x-content-type-options: nosniff\r\n",
    "connection: close\r\n",
    "content-length: 169\r\n\r\n",
    "{\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,",
    "\"detail\":\"the server has too many requests at the moment: retry in a few seconds\",",
    "\"code\":\"RATE_LIMITED\"}",
);

/// An error, as a problem document of RFC 9457.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// Always `about:blank`: `status` and `code` identify the problem.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The reason phrase of the HTTP status.
    title: &'static str,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What was wrong, why, and what to do.
    detail: String,
    code: ProblemCode,
    /// `false` for an action that failed. Otherwise missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    success: Option<bool>,
    /// As `detail`, for an action that failed. Otherwise missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    /// The action that failed: its id as `action`, its `state`, its `code`. Otherwise missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    data: Option<Value>,
}

/// Why a request was refused, for the log. The client does not see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal(pub(crate) &'static str);

/// An error on its way to the client. As a response it has no body and carries itself as an extension.
/// The middleware renders it, because it knows the request's id, and logs the cause, which the client
/// never sees.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: ProblemCode,
    detail: String,
    cause: Option<Arc<dyn Error + Send + Sync>>,
    retry_after_seconds: Option<u32>,
    refusal: Option<Refusal>,
    /// The message and the data of an action that failed.
    answer: Option<Box<(String, Value)>>,
}

impl ApiError {
    /// Invalid input. `detail` names the input, says why it is invalid, and what to do.
    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ProblemCode::InvalidArgument, detail)
    }

    /// Nothing has the requested name.
    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, ProblemCode::NotFound, detail)
    }

    /// No route has the path.
    pub(crate) fn no_such_route(path: &str) -> Self {
        Self::not_found(format!("no route {}: see /openapi.json for all routes", cut(path)))
    }

    /// The request addresses the server by a name that is not its own.
    pub(crate) fn foreign_host(host: &str) -> Self {
        let detail = format!(
            "{} is no name of this server: use its address, or start it with --allow-host and this name",
            quoted(host)
        );
        Self::new(StatusCode::FORBIDDEN, ProblemCode::Forbidden, detail)
            .because("the Host is no name of the server")
    }

    /// The sender is known, but may not do this. The text says nothing of what there is.
    pub(crate) fn forbidden() -> Self {
        let detail = "the token does not allow this: use one with another role or scope";
        Self::new(StatusCode::FORBIDDEN, ProblemCode::Forbidden, detail)
    }

    /// The sender must wait.
    pub(crate) fn too_many_requests(retry_after_seconds: u32) -> Self {
        let detail = "too many requests with this token: retry after the seconds in `Retry-After`";
        Self::too_many(detail, retry_after_seconds)
    }

    /// GitHub must wait, or deliver again.
    pub(crate) fn too_many_deliveries(retry_after_seconds: u32) -> Self {
        let detail = "too many deliveries of webhooks at once: what this one is about is read again";
        Self::too_many(detail, retry_after_seconds)
    }

    fn too_many(detail: &str, retry_after_seconds: u32) -> Self {
        ApiError {
            retry_after_seconds: Some(retry_after_seconds),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, ProblemCode::RateLimited, detail)
        }
    }

    /// The body is longer than `max` bytes.
    pub(crate) fn body_too_long(max: usize) -> Self {
        let detail = format!("the body is longer than {max} bytes: send a shorter one");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, ProblemCode::InvalidArgument, detail)
    }

    /// Says for the log why the request was refused.
    #[must_use]
    pub(crate) fn because(self, reason: &'static str) -> Self {
        ApiError { refusal: Some(Refusal(reason)), ..self }
    }

    /// Returns why the request was refused.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        self.refusal
    }

    /// Returns whether a cursor belongs to numbers that other rules made.
    pub(crate) fn is_cursor_expired(&self) -> bool {
        matches!(self.code, ProblemCode::CursorExpired)
    }

    /// Returns whether the request has no valid token.
    pub(crate) fn is_unauthorized(&self) -> bool {
        self.status == StatusCode::UNAUTHORIZED
    }

    /// Returns whether the request was refused, so that the audit log counts it.
    pub(crate) fn is_refused(&self) -> bool {
        matches!(self.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
    }

    /// The client accepts neither a compressed nor an uncompressed response.
    pub(crate) fn not_acceptable() -> Self {
        let detail = "no acceptable encoding: accept gzip or identity";
        Self::new(StatusCode::NOT_ACCEPTABLE, ProblemCode::InvalidArgument, detail)
    }

    /// The client accepts no media type of the answer. `available` are those that there are.
    pub(crate) fn no_acceptable_type(available: &str) -> Self {
        let detail =
            format!("the answer is {available}, which `Accept` excludes: change or leave out the header");
        Self::new(StatusCode::NOT_ACCEPTABLE, ProblemCode::InvalidArgument, detail)
    }

    /// The cursor belongs to numbers that other rules made. `detail` says what to do.
    pub(crate) fn cursor_expired(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, ProblemCode::CursorExpired, detail)
    }

    /// It is too late for what the request decides.
    pub(crate) fn expired(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, ProblemCode::Expired, detail)
    }

    /// Somebody else has a claim with a greater fence.
    pub(crate) fn stale_fence(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, ProblemCode::StaleFence, detail)
    }

    /// The claim has ended.
    fn claim_ended(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, ProblemCode::ClaimEnded, detail)
    }

    /// An action failed.
    pub(crate) fn action_failed(status: StatusCode, reason: &str) -> Self {
        let code = match status {
            StatusCode::NOT_FOUND => ProblemCode::NotFound,
            StatusCode::CONFLICT => ProblemCode::Conflict,
            _ => ProblemCode::ActionFailed,
        };
        Self::new(status, code, reason)
    }

    /// Adds what clients of actions expect.
    #[must_use]
    pub(crate) fn with_answer(self, message: String, data: Value) -> Self {
        ApiError { answer: Some(Box::new((message, data))), ..self }
    }

    /// The body is not JSON.
    pub(crate) fn not_json() -> Self {
        let detail = "the body must be JSON: send it with the header `Content-Type: application/json`";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, ProblemCode::InvalidArgument, detail)
    }

    /// The host cannot change its store.
    pub(crate) fn no_tasks() -> Self {
        let detail = "this server has no tasks: it can only read its store; start it with permission to write the store";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, ProblemCode::InternalError, detail)
    }

    /// The host cannot write the lake.
    pub(crate) fn no_sessions() -> Self {
        let detail =
            "this server takes no sessions: start it with permission to write the store and the lake";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, ProblemCode::InternalError, detail)
    }

    /// The host has no key for links, or does not know its address.
    pub(crate) fn no_links() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            ProblemCode::InternalError,
            "this server makes no links: set GITHUB_METRICS_LINK_KEY to the output of `openssl rand -hex 32`, and \
             GITHUB_METRICS_PUBLIC_URL to the address at which people reach it",
        )
    }

    /// The host cannot read the audit log, or cannot write who reads it.
    pub(crate) fn no_log() -> Self {
        let detail = "this server has no audit log: it can only read its store; start it with permission to write the store";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, ProblemCode::InternalError, detail)
    }

    /// Others change the same at once.
    fn busy(detail: impl Into<String>) -> Self {
        ApiError {
            retry_after_seconds: Some(RETRY_AFTER_SECONDS),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, ProblemCode::InternalError, detail)
        }
    }

    /// The numbers are not complete yet. `detail` says of which organization, and what to do.
    fn not_computed(detail: impl Into<String>) -> Self {
        ApiError {
            retry_after_seconds: Some(RETRY_COMPUTED_AFTER_SECONDS),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, ProblemCode::InternalError, detail)
        }
    }

    /// The path and the query are longer than `max` bytes.
    pub(crate) fn target_too_long(max: usize) -> Self {
        let detail = format!("the path and the query are longer than {max} bytes: shorten them");
        Self::new(StatusCode::URI_TOO_LONG, ProblemCode::InvalidArgument, detail)
    }

    /// The header fields are longer than `max` bytes.
    pub(crate) fn headers_too_long(max: usize) -> Self {
        let detail = format!("the header fields are longer than {max} bytes: send fewer or shorter ones");
        Self::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, ProblemCode::InvalidArgument, detail)
    }

    /// Too many requests are being answered, or this one took too long.
    pub(crate) fn overloaded() -> Self {
        let detail = "the server has too many requests at the moment: retry in a few seconds";
        ApiError {
            retry_after_seconds: Some(RETRY_AFTER_SECONDS),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, ProblemCode::RateLimited, detail)
        }
    }

    /// The route has other methods only.
    pub(crate) fn method_not_allowed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, ProblemCode::InvalidArgument, detail)
    }

    /// The request does not carry the token.
    pub(crate) fn unauthorized() -> Self {
        let detail = "no valid bearer token: send the header `Authorization: Bearer TOKEN`";
        Self::new(StatusCode::UNAUTHORIZED, ProblemCode::Unauthorized, detail)
    }

    /// No secret of this server signed the delivery of a webhook. The text says nothing of why.
    pub(crate) fn unsigned() -> Self {
        let detail =
            "no valid signature: the secret of the webhook must be the GITHUB_WEBHOOK_SECRET of this server";
        Self::new(StatusCode::UNAUTHORIZED, ProblemCode::Unauthorized, detail)
    }

    /// The webhook delivers forms.
    pub(crate) fn webhook_is_not_json() -> Self {
        let detail = "the delivery is not JSON: set the content type of the webhook to application/json, under \
                      Settings > Webhooks on GitHub";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, ProblemCode::InvalidArgument, detail)
    }

    /// The server failed, and a retry will not help.
    pub(crate) fn internal(cause: impl Error + Send + Sync + 'static) -> Self {
        ApiError {
            cause: Some(Arc::new(cause)),
            ..Self::new(StatusCode::INTERNAL_SERVER_ERROR, ProblemCode::InternalError, "internal error")
        }
    }

    /// The store is temporarily unavailable.
    pub(crate) fn unavailable(cause: impl Error + Send + Sync + 'static) -> Self {
        let detail = "the store is busy or unreachable: retry in a few seconds";
        ApiError {
            cause: Some(Arc::new(cause)),
            retry_after_seconds: Some(RETRY_AFTER_SECONDS),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, ProblemCode::InternalError, detail)
        }
    }

    fn new(status: StatusCode, code: ProblemCode, detail: impl Into<String>) -> Self {
        ApiError {
            status,
            code,
            detail: detail.into(),
            cause: None,
            retry_after_seconds: None,
            refusal: None,
            answer: None,
        }
    }

    /// Returns the HTTP status.
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns what was wrong and what to do. It has nothing of the cause.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// Returns the cause and its own causes, for the log. `None` if the client's input was wrong.
    pub(crate) fn cause(&self) -> Option<String> {
        self.cause.as_deref().map(|cause| error_chain(cause))
    }

    /// Returns the response that the client sees.
    pub(crate) fn render(&self, request_id: &str) -> Response {
        let mut response = (self.status, Json(self.problem(request_id))).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if self.is_unauthorized() {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl ApiError {
    /// Returns the problem document that the client sees.
    pub(crate) fn problem(&self, request_id: &str) -> Problem {
        let detail = match self.cause {
            Some(_) => format!("{}; request id {request_id}", self.detail),
            None => self.detail.clone(),
        };
        Problem {
            kind: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail,
            code: self.code,
            success: self.answer.as_ref().map(|_| false),
            message: self.answer.as_ref().map(|answer| answer.0.clone()),
            data: self.answer.as_ref().map(|answer| answer.1.clone()),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::NotFound(detail) => ApiError::not_found(detail),
            QueryError::Invalid(detail) => ApiError::invalid(detail),
            QueryError::CursorExpired(detail) => ApiError::cursor_expired(detail),
            QueryError::NotComputed(detail) => ApiError::not_computed(detail),
            QueryError::Store(cause) if cause.is_retryable() => ApiError::unavailable(cause),
            QueryError::Store(_)
            | QueryError::Configuration(_)
            | QueryError::Registry(_)
            | QueryError::Unreadable { .. } => ApiError::internal(error),
        }
    }
}

impl From<LogError> for ApiError {
    fn from(error: LogError) -> Self {
        if error.is_retryable {
            return ApiError::unavailable(error);
        }
        let detail = "the audit log cannot be read: run `github-metrics audit verify` on the server";
        ApiError {
            cause: Some(Arc::new(error)),
            ..ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, ProblemCode::InternalError, detail)
        }
    }
}

impl From<TaskError> for ApiError {
    fn from(error: TaskError) -> Self {
        match error {
            TaskError::Invalid(detail) => ApiError::invalid(detail),
            TaskError::NotFound(detail) => ApiError::not_found(detail),
            TaskError::Stale(detail) => ApiError::stale_fence(detail),
            TaskError::Ended(detail) => ApiError::claim_ended(detail),
            TaskError::Busy => ApiError::busy(error.to_string()),
            TaskError::Store(cause) => QueryError::Store(cause).into(),
        }
    }
}

impl From<PushError> for ApiError {
    fn from(error: PushError) -> Self {
        match error {
            PushError::Busy => ApiError::busy(error.to_string()),
            PushError::Store(cause) => QueryError::Store(cause).into(),
            PushError::Lake(cause) => ApiError {
                cause: Some(cause.into()),
                retry_after_seconds: Some(RETRY_LAKE_AFTER_SECONDS),
                ..ApiError::busy("the lake cannot be written at the moment: send the same events again")
            },
        }
    }
}

impl From<ActionError> for ApiError {
    fn from(error: ActionError) -> Self {
        let text = error.to_string();
        match error {
            ActionError::Invalid(detail) => ApiError::invalid(detail),
            ActionError::Forbidden(detail) => {
                ApiError::new(StatusCode::FORBIDDEN, ProblemCode::Forbidden, detail)
            }
            ActionError::NotFound(detail) => ApiError::not_found(detail),
            ActionError::Conflict(detail) => {
                ApiError::new(StatusCode::CONFLICT, ProblemCode::Conflict, detail)
            }
            ActionError::Expired(detail) => ApiError::expired(detail),
            ActionError::KeyReused(detail) => {
                ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, ProblemCode::KeyReused, detail)
            }
            ActionError::NoCredential => {
                ApiError::new(StatusCode::SERVICE_UNAVAILABLE, ProblemCode::InternalError, text)
            }
            ActionError::Busy | ActionError::GitHub(_) => ApiError::busy(text),
            ActionError::Settings(_) => ApiError::internal(error),
            ActionError::Store(cause) => QueryError::Store(cause).into(),
            ActionError::Tokens(cause) => cause.into(),
        }
    }
}

impl From<AccessError> for ApiError {
    fn from(error: AccessError) -> Self {
        match error {
            AccessError::Store(error) => QueryError::Store(error).into(),
            AccessError::Invalid(_) => ApiError::internal(error),
        }
    }
}

/// The message of a panic that was caught.
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
    use serde_json::json;

    use super::*;

    async fn render(error: ApiError) -> (Response, Value) {
        let (parts, body) = error.render("id-1").into_parts();
        let body = serde_json::from_slice(&to_bytes(body, usize::MAX).await.unwrap()).unwrap();
        (Response::from_parts(parts, axum::body::Body::empty()), body)
    }

    #[tokio::test]
    async fn an_error_is_a_problem_document() {
        let (response, body) = render(QueryError::NotFound("no organization \"x\"".into()).into()).await;
        assert_eq!(response.status(), 404);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert_eq!(
            body,
            json!({
                "type": "about:blank", "title": "Not Found", "status": 404,
                "detail": "no organization \"x\"", "code": "NOT_FOUND",
            })
        );
        let (response, body) = render(QueryError::Invalid("cursor \"x\"".into()).into()).await;
        assert_eq!((response.status().as_u16(), &body["code"]), (400, &json!("INVALID_ARGUMENT")));
        let (response, body) = render(ApiError::method_not_allowed("no")).await;
        assert_eq!((response.status().as_u16(), &body["code"]), (405, &json!("INVALID_ARGUMENT")));
    }

    #[tokio::test]
    async fn the_cause_of_an_internal_error_is_only_logged() {
        let secret = std::io::Error::other("password=hunter2");
        let error: ApiError =
            QueryError::Store(gam_store::Error::unusable("table x is missing", secret)).into();
        assert_eq!(error.cause().unwrap(), "cannot read the store: table x is missing: password=hunter2");
        let (response, body) = render(error).await;
        assert_eq!(response.status(), 500);
        assert!(!response.headers().contains_key("retry-after"));
        assert_eq!(body["detail"], "internal error; request id id-1");
        assert_eq!(body["code"], "INTERNAL_ERROR");
    }

    #[test]
    fn long_inputs_are_cut() {
        assert_eq!(quoted("a\"b"), r#""a\"b""#);
        assert_eq!(quoted(&"ä".repeat(1000)), format!("\"{}\"...", "ä".repeat(80)));
        assert!(ApiError::no_such_route(&"/x".repeat(10_000)).detail.len() < 200);
    }

    #[tokio::test]
    async fn a_refused_connection_gets_the_same_problem() {
        let (head, body) = OVERLOADED_RESPONSE.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())), "{}", body.len());
        let (response, problem) = render(ApiError::overloaded()).await;
        assert_eq!(serde_json::from_str::<Value>(body).unwrap(), problem);
        assert_eq!(response.headers()["retry-after"], "2");
    }

    #[tokio::test]
    async fn an_expired_cursor_is_gone() {
        let (response, body) = render(QueryError::CursorExpired("leave it out".into()).into()).await;
        assert_eq!((response.status().as_u16(), &body["code"]), (410, &json!("CURSOR_EXPIRED")));
        assert_eq!(body["detail"], "leave it out");
    }

    #[tokio::test]
    async fn numbers_that_are_being_computed_say_when_to_retry() {
        let error: ApiError = QueryError::NotComputed("the numbers of acme".into()).into();
        assert!(error.cause().is_none(), "nothing failed");
        let (response, body) = render(error).await;
        assert_eq!(
            (response.status().as_u16(), &response.headers()["retry-after"]),
            (503, &"30".parse().unwrap())
        );
        assert_eq!(body["detail"], "the numbers of acme");
    }

    #[tokio::test]
    async fn a_busy_store_says_when_to_retry() {
        let busy = gam_store::Error::unavailable("reading", std::io::Error::other("locked"));
        let (response, body) = render(QueryError::Store(busy).into()).await;
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["retry-after"], "2");
        assert_eq!(body["code"], "INTERNAL_ERROR");
        assert!(!body["detail"].as_str().unwrap().contains("locked"));
    }
}
