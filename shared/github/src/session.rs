//! Connections to a GitHub host that carry a token.

use std::time::Duration;

use gam_model::error_chain;
use octocrab::Octocrab;
use tokio::time::Instant;

use crate::error::Error;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long before its expiry a token is renewed.
const RENEW_BEFORE_EXPIRY: Duration = Duration::from_secs(300);

/// The addresses of a GitHub host, and the HTTP client that reaches it.
#[derive(Debug, Clone)]
pub(crate) struct ApiHost {
    /// The address of the REST API, without a trailing slash.
    pub(crate) api_url: String,
    /// The address to which `/graphql` is appended.
    pub(crate) graphql_base: String,
    http: reqwest::Client,
}

impl ApiHost {
    /// Prepares to reach the host whose REST API is at `api_url`. Proxies come from the environment
    /// (`HTTPS_PROXY`, `NO_PROXY`). Redirects are not followed here: the transport checks each target first,
    /// so that the token is not sent elsewhere.
    ///
    /// # Errors
    /// If no HTTPS client can be created.
    pub(crate) fn new(api_url: String) -> Result<Self, Error> {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .build()
            .map_err(|error| {
                Error::Invalid(format!(
                    "cannot create an HTTPS client ({}): check that the system's CA certificates are \
                     installed (package ca-certificates), and that HTTPS_PROXY is a valid address",
                    error_chain(&error)
                ))
            })?;
        // Enterprise Server serves REST at /api/v3 and GraphQL at /api/graphql.
        let graphql_base = api_url.strip_suffix("/v3").unwrap_or(&api_url).to_owned();
        Ok(ApiHost { api_url, graphql_base, http })
    }
}

/// Clients for both APIs that send one token.
pub(crate) struct TokenSession {
    pub(crate) rest: Octocrab,
    pub(crate) graphql: Octocrab,
    renew_at: Option<Instant>,
}

impl TokenSession {
    /// Creates a session for a token that expires after `lifetime`, or never if `None`.
    ///
    /// # Errors
    /// If the host's address is invalid.
    pub(crate) fn new(host: &ApiHost, token: &str, lifetime: Option<Duration>) -> Result<Self, Error> {
        let octocrab = |base: &str| {
            let invalid = |why: octocrab::Error| {
                Error::Invalid(format!(
                    "invalid GITHUB_API_URL {base:?} ({why}): expected https://HOST/api/v3"
                ))
            };
            // octocrab sends a personal token to the host of the base address only.
            Octocrab::builder()
                .base_uri(base)
                .map_err(invalid)?
                .personal_token(token.to_owned())
                .build_with_reqwest(host.http.clone())
                .map_err(invalid)
        };
        Ok(TokenSession {
            rest: octocrab(&host.api_url)?,
            graphql: octocrab(&host.graphql_base)?,
            renew_at: lifetime.map(|lifetime| Instant::now() + lifetime.saturating_sub(RENEW_BEFORE_EXPIRY)),
        })
    }

    /// Whether the token is not about to expire.
    pub(crate) fn is_valid(&self) -> bool {
        self.renew_at.is_none_or(|at| Instant::now() < at)
    }
}
