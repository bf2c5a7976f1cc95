//! HTTP and SMTP together.

use async_trait::async_trait;
use gam_notify::{HttpAnswer, HttpPost, Mail, NoAnswer, SendOutcome, Transport};

use crate::{http, smtp};

/// Sends over the network.
#[derive(Debug, Clone)]
pub struct NetTransport {
    http: reqwest::Client,
}

impl NetTransport {
    /// Creates what sends. A TLS provider must be installed in the process.
    ///
    /// # Errors
    /// If the client of HTTP cannot be created.
    pub fn new() -> Result<Self, String> {
        http::client().map(|http| NetTransport { http })
    }
}

#[async_trait]
impl Transport for NetTransport {
    async fn post(&self, request: HttpPost) -> Result<HttpAnswer, NoAnswer> {
        http::post(&self.http, request).await
    }

    async fn mail(&self, mail: Mail) -> SendOutcome {
        smtp::send(mail).await
    }
}
