//! What a failed request comes to.

use std::error::Error;
use std::fmt;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use gam_model::error_chain;

/// A failed request: what the service said, or why nothing was said.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The status of the answer, where there was one.
    pub(crate) status: Option<u16>,
    /// The service's code, such as `NoSuchKey`; empty where there was none.
    pub(crate) code: String,
    text: String,
}

impl Failure {
    /// What the error says. The texts of AWS name accounts and resources, never secrets.
    pub(crate) fn of<E>(error: &SdkError<E, HttpResponse>) -> Self
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
        Failure { status, code, text }
    }

    /// Whether the caller is not allowed to do this, or is nobody the service knows.
    pub(crate) fn is_refusal(&self) -> bool {
        self.status == Some(403)
            || matches!(
                self.code.as_str(),
                "AccessDenied" | "AccessDeniedException" | "UnrecognizedClientException" | "ExpiredToken"
            )
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for Failure {}
