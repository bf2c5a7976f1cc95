//! Sends single requests: no retries and no rate limits, but redirects.

use std::time::{Duration, Instant};

use bytes::Bytes;
use gam_model::error_chain;
use http::header::{HeaderValue, IF_NONE_MATCH};
use http::response::Parts;
use http_body_util::BodyExt;
use serde_json::Value;
use url::Url;

use crate::error::{AttemptError, Error};
use crate::meter::{MeterStack, Usage};
use crate::rate_limit::RateLimitHeaders;
use crate::response::ApiResponse;
use crate::session::{ApiHost, TokenSession};

/// How long to wait for a response. GitHub gives up on a GraphQL query after 10 s, so a later one never
/// comes.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(25);
/// How many redirects of one request are followed.
const MAX_REDIRECTS: usize = 5;

/// The method of a request that writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WriteMethod {
    Post,
    Put,
}

/// A request. All but those that write may be repeated.
pub(crate) enum ApiRequest<'a> {
    /// A REST GET of a path.
    Get(&'a str),
    /// A REST GET of a path, unless the answer still has this tag.
    GetIfChanged(&'a str, &'a str),
    /// A REST POST to a path, without a body. It requests a token, so repeating it does no harm.
    Post(&'a str),
    /// A GraphQL query.
    Query(&'a Value),
    /// A REST request that writes. It must not be repeated.
    Write { method: WriteMethod, path: &'a str, body: &'a Value },
    /// A GraphQL mutation. It must not be repeated.
    Mutation(&'a Value),
}

/// Sends requests to one GitHub host.
pub(crate) struct Transport {
    pub(crate) host: ApiHost,
    url: Url,
}

impl Transport {
    /// Prepares to reach the REST API at `api_url`, and the GraphQL API next to it.
    ///
    /// # Errors
    /// If the address is not that of a REST API, or no HTTPS client can be created.
    pub(crate) fn new(api_url: &str) -> Result<Self, Error> {
        let api_url = api_url.trim_end_matches('/').to_owned();
        let url = Url::parse(&api_url).ok().filter(|url| url.has_host()).ok_or_else(|| {
            Error::Invalid(format!(
                "invalid GITHUB_API_URL {api_url:?}: expected https://api.github.com, or https://HOST/api/v3 \
                 for Enterprise Server"
            ))
        })?;
        if url.path() == "/api" {
            return Err(Error::Invalid(format!(
                "invalid GITHUB_API_URL {api_url:?}: the REST API is at {api_url}/v3"
            )));
        }
        Ok(Transport { host: ApiHost::new(api_url)?, url })
    }

    /// Sends a request and returns the response, whatever its status. Redirects of a GET are followed within
    /// the host: GitHub redirects to the new address of a renamed repository.
    ///
    /// # Errors
    /// If no complete response arrives in time, or a redirect is not followed.
    pub(crate) async fn send(
        &self,
        session: &TokenSession,
        request: &ApiRequest<'_>,
        meters: &MeterStack,
    ) -> Result<ApiResponse, AttemptError> {
        let mut response = self.send_once(session, request, meters).await?;
        let mut redirects = 0;
        while let Some(location) = response.location.take() {
            let target = self.url.join(&location).ok();
            let same_host = target.filter(|target| target.origin() == self.url.origin());
            let path = same_host.and_then(|target| self.path_from_link(target.as_str()));
            let is_get = matches!(request, ApiRequest::Get(_) | ApiRequest::GetIfChanged(..));
            let can_follow = redirects < MAX_REDIRECTS && is_get;
            let Some(path) = path.filter(|_| can_follow) else {
                return Err(AttemptError::Fatal(Error::Invalid(format!(
                    "{} redirects this request to {location}, which is not followed: set GITHUB_API_URL to \
                     the address of the API itself",
                    self.host.api_url
                ))));
            };
            redirects += 1;
            response = self.send_once(session, &ApiRequest::Get(&path), meters).await?;
        }
        Ok(response)
    }

    async fn send_once(
        &self,
        session: &TokenSession,
        request: &ApiRequest<'_>,
        meters: &MeterStack,
    ) -> Result<ApiResponse, AttemptError> {
        meters.record(Usage { requests: 1, ..Usage::default() });
        let started_at = Instant::now();
        let exchange = async {
            let response = match request {
                ApiRequest::Get(path) => session.rest._get(*path).await,
                ApiRequest::GetIfChanged(path, etag) => {
                    let headers = HeaderValue::from_str(etag).map(|etag| (IF_NONE_MATCH, etag));
                    session
                        .rest
                        ._get_with_headers(*path, headers.ok().map(|it| [it].into_iter().collect()))
                        .await
                }
                ApiRequest::Post(path) => session.rest._post(*path, None::<&()>).await,
                ApiRequest::Query(body) | ApiRequest::Mutation(body) => {
                    session.graphql._post("/graphql", Some(*body)).await
                }
                ApiRequest::Write { method: WriteMethod::Post, path, body } => {
                    session.rest._post(*path, Some(*body)).await
                }
                ApiRequest::Write { method: WriteMethod::Put, path, body } => {
                    session.rest._put(*path, Some(*body)).await
                }
            }?;
            let (parts, body) = response.into_parts();
            let mut response = response_without_body(&parts);
            response.body = body.collect().await?.to_bytes();
            response.response_time = started_at.elapsed();
            Ok::<_, octocrab::Error>(response)
        };
        match tokio::time::timeout(REQUEST_TIMEOUT, exchange).await {
            Err(_) => {
                Err(AttemptError::TooHeavy(format!("no response within {} s", REQUEST_TIMEOUT.as_secs())))
            }
            Ok(Err(error)) => {
                let why = format!("cannot reach {} ({})", self.host.api_url, error_chain(&error));
                Err(if is_connect_error(&error) {
                    AttemptError::Unreachable(why)
                } else {
                    AttemptError::Transient(why)
                })
            }
            Ok(Ok(response)) => {
                meters.record(Usage { bytes: response.body.len() as u64, ..Usage::default() });
                Ok(response)
            }
        }
    }

    /// The path of a page link, relative to the API's address; `None` if it lies outside. The host in a link
    /// is ignored, so the token is sent to the configured host only.
    pub(crate) fn path_from_link(&self, link: &str) -> Option<String> {
        let url = Url::parse(link).ok()?;
        let path = url.path().strip_prefix(self.url.path().trim_end_matches('/'))?.to_owned();
        Some(url.query().map_or_else(|| path.clone(), |query| format!("{path}?{query}")))
    }
}

/// The response as far as its status and headers show it.
fn response_without_body(parts: &Parts) -> ApiResponse {
    let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    ApiResponse {
        status: parts.status,
        rate_limit: RateLimitHeaders::parse(&parts.headers),
        scopes: text("x-oauth-scopes"),
        link: text("link"),
        etag: text("etag"),
        location: text("location").filter(|_| parts.status.is_redirection()),
        body: Bytes::new(),
        response_time: Duration::ZERO,
    }
}

/// Whether no connection was established.
fn is_connect_error(error: &octocrab::Error) -> bool {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    causes.filter_map(|cause| cause.downcast_ref::<reqwest::Error>()).any(reqwest::Error::is_connect)
}
