//! What sends requests: a connection to a server, or something in this process.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use url::Url;

use crate::error::ClientError;

/// A request: `GET`, or `POST` if it has a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiRequest {
    /// The segments of the path below `/api/v1`, not encoded.
    pub path: Vec<String>,
    /// The parameters, not encoded.
    pub parameters: Vec<(&'static str, String)>,
    /// The media type that the answer is to have.
    pub accept: &'static str,
    /// The JSON text to send. It is sent once: the server may have acted on it although there is no response.
    pub body: Option<String>,
    /// How long the request may take, with its answer.
    pub timeout: Duration,
}

impl ApiRequest {
    /// Returns the address of the request on the server at `base`.
    pub fn url(&self, base: &Url) -> Url {
        let mut url = base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(&self.path);
        }
        if !self.parameters.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.parameters);
        }
        url
    }
}

/// The bytes of an answer.
pub type ApiBody = BoxStream<'static, Result<Bytes, ClientError>>;

/// A response.
pub struct ApiResponse {
    /// The HTTP status.
    pub status: u16,
    /// The target of a redirect that was not followed.
    pub location: Option<String>,
    /// After how long the server asks to request again.
    pub retry_after: Option<Duration>,
    /// The body.
    pub body: ApiBody,
}

/// Sends requests.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Sends a request, and returns the response of any status.
    ///
    /// # Errors
    /// If there is no response.
    async fn send(&self, request: &ApiRequest) -> Result<ApiResponse, ClientError>;

    /// Returns who answers, for messages: scheme, host and port.
    fn origin(&self) -> String;
}
