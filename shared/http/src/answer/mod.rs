//! An answer in the format that the client accepts: JSON or CSV.

mod accept;
pub(crate) mod agent_csv;
pub(crate) mod csv;

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

pub(crate) use self::accept::MediaType;
use self::accept::best_accepted;
pub(crate) use self::csv::ToCsv;
use crate::error::ApiError;

/// What the path of a route ends in that has its answer as CSV only.
pub(crate) const CSV_SUFFIX: &str = ".csv";

/// The format of an answer: that of the path, or else the one that `Accept` prefers. JSON if it has no preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AnswerFormat {
    /// `application/json`.
    Json,
    /// `text/csv`, with a header.
    Csv {
        /// Whether browsers are to save it as a file.
        is_file: bool,
    },
}

impl<S: Sync> FromRequestParts<S> for AnswerFormat {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let is_file = parts.uri.path().ends_with(CSV_SUFFIX);
        let available: &[MediaType] = match is_file {
            true => &[MediaType::Csv],
            false => &[MediaType::Json, MediaType::Csv],
        };
        Ok(match best_accepted(&parts.headers, available)? {
            MediaType::Json => AnswerFormat::Json,
            MediaType::Csv => AnswerFormat::Csv { is_file },
        })
    }
}

/// The client accepts JSON, the only format of the route.
pub(crate) struct AcceptsJson;

impl<S: Sync> FromRequestParts<S> for AcceptsJson {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        best_accepted(&parts.headers, &[MediaType::Json]).map(|_| AcceptsJson)
    }
}

/// An answer and its format.
pub(crate) struct Answer<T> {
    pub(crate) format: AnswerFormat,
    pub(crate) body: T,
}

impl<T: Serialize + ToCsv> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        let AnswerFormat::Csv { is_file } = self.format else { return Json(self.body).into_response() };
        let csv = match self.body.to_csv().into_text() {
            Ok(csv) => csv,
            Err(error) => return ApiError::internal(error).into_response(),
        };
        let content_type = HeaderValue::from_static("text/csv; charset=utf-8; header=present");
        let mut response = ([(header::CONTENT_TYPE, content_type)], csv).into_response();
        if is_file {
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
        }
        response
    }
}
