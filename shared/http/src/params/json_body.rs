//! The body of a request, as JSON.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use serde::de::DeserializeOwned;

use crate::error::{ApiError, cut};
use crate::middleware::limits::MAX_BODY_BYTES;

/// Extracts the body of a request. A page of another origin cannot send `application/json` without permission.
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(body)) => Ok(JsonBody(body)),
            Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                Err(ApiError::body_too_long(MAX_BODY_BYTES))
            }
            Err(JsonRejection::MissingJsonContentType(_)) => Err(ApiError::not_json()),
            Err(rejection) => Err(ApiError::invalid(format!(
                "invalid body ({}): see /openapi.json for its fields",
                cut(&source_text(&rejection))
            ))),
        }
    }
}

/// Returns what is wrong with the JSON, without the words around it.
fn source_text(rejection: &JsonRejection) -> String {
    let text = rejection.body_text();
    text.split_once(": ").map_or(text.as_str(), |(_, cause)| cause).to_owned()
}
