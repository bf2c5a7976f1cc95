//! The error of a failed AWS request.

use std::error::Error;
use std::fmt;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use gam_model::error_chain;

/// The error that a service returned, or the reason why there is no response.
#[derive(Debug)]
pub(crate) struct ServiceError {
    /// The HTTP status of the response, or `None` without a response.
    pub(crate) status: Option<u16>,
    /// The service's error code, such as `NoSuchKey`, or empty without one.
    pub(crate) code: String,
    text: String,
}

impl ServiceError {
    /// Extracts status, code and text. The texts of AWS name accounts and resources, never secrets.
    pub(crate) fn new<E>(error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let status = error.raw_response().map(|response| response.status().as_u16());
        let code = error.code().unwrap_or_default().to_owned();
        let text = match (error.message(), code.as_str()) {
            (Some(message), _) if !message.is_empty() => format!("{code}: {message}"),
            (_, "") => error_chain(error),
            (_, code) => code.to_owned(),
        };
        ServiceError { status, code, text }
    }

    /// Returns whether the caller lacks the permission, or has no valid credentials.
    pub(crate) fn is_access_denied(&self) -> bool {
        self.status == Some(403)
            || matches!(
                self.code.as_str(),
                "AccessDenied" | "AccessDeniedException" | "UnrecognizedClientException" | "ExpiredToken"
            )
    }
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for ServiceError {}
