//! Requests over HTTP.

use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream};
use reqwest::header::{ACCEPT, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{RequestBuilder, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use url::{Host, Url};

use crate::error::ClientError;
use crate::transport::{ApiRequest, ApiResponse, Transport};

/// The most redirects of one request.
const MAX_REDIRECTS: usize = 5;
/// How often a request is repeated that the server refuses for now.
const MAX_RETRIES: u32 = 5;
/// The longest pause before a repetition, in seconds, if the server limits the requests of a token.
const MAX_LIMITED_PAUSE_SECONDS: u64 = 30;
/// The same, if the server is busy. One that needs longer is reported at once.
const MAX_BUSY_PAUSE_SECONDS: u64 = 5;

/// Parses the address of a server, with or without `/api/v1`.
///
/// # Errors
/// If it is no http or https URL, or if others on the network could read along: plain http is for this machine only.
pub fn parse_address(text: &str) -> Result<Url, ClientError> {
    let mut url = Url::parse(text).map_err(|_| ClientError::InvalidAddress)?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(ClientError::InvalidAddress);
    }
    if !is_protected(&url) {
        return Err(ClientError::PlainHttp { origin: origin(&url) });
    }
    let path = url.path().trim_end_matches('/');
    let path = path.strip_suffix("/api/v1").unwrap_or(path).to_owned();
    url.set_path(&path);
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
}

/// Returns whether nobody on the network can read what is sent to the address: it is encrypted, or stays on
/// this machine.
pub fn is_protected(url: &Url) -> bool {
    url.scheme() == "https"
        || match url.host() {
            Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        }
}

/// Sends requests to a server.
#[derive(Debug)]
pub struct HttpTransport {
    client: reqwest::Client,
    base: Url,
    /// Its debug text does not show it.
    token: Option<SecretString>,
}

impl HttpTransport {
    /// Creates a connection to the server at an address that [`parse_address`] returned, with the token to send. The
    /// caller installs the TLS provider of the process.
    ///
    /// # Errors
    /// If plain http would be used on the network, or there can be no connection.
    pub fn new(base: Url, token: Option<SecretString>) -> Result<Self, ClientError> {
        let base_origin = origin(&base);
        if !is_protected(&base) {
            return Err(ClientError::PlainHttp { origin: base_origin });
        }
        let client = reqwest::Client::builder()
            .user_agent(concat!("github-metrics/", env!("CARGO_PKG_VERSION")))
            .redirect(redirects_within(base.clone()))
            .build()
            .map_err(|error| unreachable(&base_origin, error))?;
        Ok(HttpTransport { client, base, token })
    }
}

#[async_trait]
impl Transport for HttpTransport {
    async fn send(&self, request: &ApiRequest) -> Result<ApiResponse, ClientError> {
        let url = request.url(&self.base);
        let builder = match &request.body {
            None => self.client.get(url),
            Some(body) => self.client.post(url).header(CONTENT_TYPE, "application/json").body(body.clone()),
        };
        let mut builder = builder.header(ACCEPT, request.accept).timeout(request.timeout);
        if let Some(token) = &self.token {
            builder = builder.bearer_auth(token.expose_secret());
        }
        let origin = self.origin();
        let response = match request.body {
            None => send_patiently(builder).await,
            Some(_) => builder.send().await,
        };
        let response = response.map_err(|error| unreachable(&origin, error))?;
        let retry_after = retry_after(&response);
        let status = response.status();
        let location = response.headers().get(LOCATION).filter(|_| status.is_redirection());
        let location = location.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let chunks = stream::try_unfold(response, |mut response| async move {
            response.chunk().await.map(|chunk| chunk.map(|chunk| (chunk, response)))
        });
        let body = chunks
            .map_err(move |error| ClientError::Interrupted { origin: origin.clone(), why: cause_of(error) });
        Ok(ApiResponse { status: status.as_u16(), location, retry_after, body: body.boxed() })
    }

    fn origin(&self) -> String {
        origin(&self.base)
    }
}

/// Follows redirects within the server only, because another host was not named by the user.
fn redirects_within(base: Url) -> Policy {
    Policy::custom(move |attempt| {
        let is_allowed = attempt.url().origin() == base.origin() && attempt.previous().len() <= MAX_REDIRECTS;
        if is_allowed { attempt.follow() } else { attempt.stop() }
    })
}

/// Sends a request. While the server refuses it for now, it waits as long as the server says.
async fn send_patiently(request: RequestBuilder) -> reqwest::Result<Response> {
    let mut retries = 0;
    loop {
        let Some(attempt) = request.try_clone() else { return request.send().await };
        let response = attempt.send().await?;
        let Some(pause) = pause_before_retry(&response).filter(|_| retries < MAX_RETRIES) else {
            return Ok(response);
        };
        retries += 1;
        tokio::time::sleep(pause).await;
    }
}

/// Returns how long to wait if the server refuses more requests for now, and not for long.
fn pause_before_retry(response: &Response) -> Option<Duration> {
    let max_seconds = match response.status() {
        StatusCode::TOO_MANY_REQUESTS => MAX_LIMITED_PAUSE_SECONDS,
        StatusCode::SERVICE_UNAVAILABLE => MAX_BUSY_PAUSE_SECONDS,
        _ => return None,
    };
    retry_after(response).filter(|pause| pause.as_secs() <= max_seconds)
}

fn retry_after(response: &Response) -> Option<Duration> {
    response.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

fn unreachable(origin: &str, error: reqwest::Error) -> ClientError {
    ClientError::Unreachable { origin: origin.to_owned(), why: cause_of(error) }
}

/// Returns what an error says, without the URL, which may contain a password.
fn cause_of(error: reqwest::Error) -> String {
    gam_model::error_chain(&error.without_url())
}

/// Returns scheme, host and port of an address, without the user and the password.
fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}
