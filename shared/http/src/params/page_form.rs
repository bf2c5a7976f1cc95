//! The forms of pages.

use axum::extract::{Form, FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::auth::is_same_origin;
use crate::error::ApiError;
use crate::middleware::limits::MAX_BODY_BYTES;

/// Checks that a page of this server sent the request. Another page must not act for the user of a browser.
pub(crate) struct FromOwnPage;

impl<S: Sync> FromRequestParts<S> for FromOwnPage {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        match is_same_origin(&parts.headers) {
            true => Ok(FromOwnPage),
            false => Err(ApiError::forbidden().because("another page sent the form")),
        }
    }
}

/// Extracts the form that a page of this server sent.
pub(crate) struct PageForm<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for PageForm<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let (mut parts, body) = request.into_parts();
        FromOwnPage::from_request_parts(&mut parts, state).await?;
        match Form::<T>::from_request(Request::from_parts(parts, body), state).await {
            Ok(Form(form)) => Ok(PageForm(form)),
            Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                Err(ApiError::body_too_long(MAX_BODY_BYTES))
            }
            Err(_) => Err(ApiError::invalid(
                "expected the form of the page: open the page again, and send its form",
            )),
        }
    }
}
