//! A client of the product's own HTTP API: of a server, or of the router within this process.

use std::time::Duration;

use anyhow::Context as _;
use gam_access::TokenSecret;
use http::header::{ACCEPT, LOCATION, RETRY_AFTER};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use reqwest::redirect::Policy;
use serde::Deserialize;
use serde_json::Value;
use tower::ServiceExt;
use url::Url;

use crate::error::{failure, not_found, one_line, usage_error};
use crate::open::OpenStore;
use crate::settings::CliSettings;
use crate::terminal_text::quoted;

/// The time limit of one request to a server.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// The maximum number of redirects of one request.
const MAX_REDIRECTS: usize = 5;

/// How often a request is repeated that the server refuses for now.
const MAX_RETRIES: u32 = 5;
/// The longest pause before that.
const MAX_PAUSE_SECONDS: u64 = 30;

/// What answers the requests.
enum ApiBackend {
    Router {
        router: gam_http::Router,
        store: OpenStore,
    },
    /// A server, and the token to send.
    Server {
        client: reqwest::Client,
        token: Option<TokenSecret>,
    },
}

/// A client of the API.
pub(crate) struct ApiClient {
    base: Url,
    backend: ApiBackend,
}

/// A successful answer.
pub(crate) struct ApiAnswer {
    /// The JSON text, byte for byte.
    pub(crate) text: String,
    /// The same, parsed.
    pub(crate) json: Value,
}

/// The part of `application/problem+json` that is printed.
#[derive(Deserialize)]
struct ProblemDetail {
    detail: String,
}

impl ApiClient {
    /// Creates a client of the server that the settings name, or of the local store.
    ///
    /// # Errors
    /// If the store cannot be opened.
    pub(crate) async fn new(settings: &CliSettings) -> anyhow::Result<Self> {
        if let Some(base) = &settings.api {
            let client = reqwest::Client::builder()
                .user_agent(concat!("github-metrics/", env!("CARGO_PKG_VERSION")))
                .timeout(REQUEST_TIMEOUT)
                .redirect(redirects_within(base.clone()))
                .build()
                .context("cannot create an HTTP client")?;
            let backend = ApiBackend::Server { client, token: settings.api_token.read()? };
            return Ok(ApiClient { base: base.clone(), backend });
        }
        let store = OpenStore::open_existing(settings).await?;
        let router = gam_http::router(store.query_ports());
        // The router ignores the host.
        let base = Url::parse("http://localhost").context("the local address is invalid")?;
        Ok(ApiClient { base, backend: ApiBackend::Router { router, store } })
    }

    /// Requests a path below `/api/v1`. The segments of the path need no encoding.
    ///
    /// # Errors
    /// If the request fails. If the API refuses it, the message is the one of the API.
    pub(crate) async fn get(&self, path: &[&str], query: &[(&str, String)]) -> anyhow::Result<ApiAnswer> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let RawAnswer { status, location, text } = match &self.backend {
            ApiBackend::Router { router, .. } => request_router(router.clone(), &url).await?,
            ApiBackend::Server { client, token } => request_server(client, url, token.as_ref()).await?,
        };
        if let Some(location) = location {
            return Err(failure(format!(
                "{} redirects to {}, which is not followed: name that address with --api if you trust it",
                origin(&self.base),
                quoted(&location)
            )));
        }
        if !(200..300).contains(&status) {
            return Err(self.refusal(status, &text));
        }
        let json = serde_json::from_str(&text).map_err(|_| self.unexpected("the answer is not JSON"))?;
        Ok(ApiAnswer { text, json })
    }

    fn refusal(&self, status: u16, text: &str) -> anyhow::Error {
        match (status, serde_json::from_str::<ProblemDetail>(text)) {
            (400, Ok(problem)) => usage_error(problem.detail),
            (401, Ok(_)) => usage_error(format!(
                "{} needs a valid token: set GITHUB_METRICS_TOKEN, or GITHUB_METRICS_TOKEN_FILE; an administrator creates \
                 one with `github-metrics token new`",
                origin(&self.base)
            )),
            (404, Ok(problem)) => not_found(problem.detail),
            (_, Ok(problem)) => failure(problem.detail),
            (_, Err(_)) => self.unexpected(&format!("the status is {status}")),
        }
    }

    fn unexpected(&self, what: &str) -> anyhow::Error {
        let origin = origin(&self.base);
        failure(format!("{origin} does not answer like the API of github-metrics ({what}): check --api"))
    }

    /// Closes the local store.
    pub(crate) async fn close(self) {
        if let ApiBackend::Router { store, .. } = self.backend {
            store.close().await;
        }
    }
}

/// A response, read completely.
struct RawAnswer {
    status: u16,
    /// The target of a redirect that was not followed.
    location: Option<String>,
    text: String,
}

/// Follows redirects within the server only, because another host was not named by the user.
fn redirects_within(base: Url) -> Policy {
    Policy::custom(move |attempt| {
        let is_allowed = attempt.url().origin() == base.origin() && attempt.previous().len() <= MAX_REDIRECTS;
        if is_allowed { attempt.follow() } else { attempt.stop() }
    })
}

async fn request_router(router: gam_http::Router, url: &Url) -> anyhow::Result<RawAnswer> {
    let target = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
    let request = Request::get(target).body(String::new()).context("cannot build the request")?;
    let response = match router.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.context("cannot read the answer")?.to_bytes();
    Ok(RawAnswer { status, location: None, text: String::from_utf8_lossy(&body).into_owned() })
}

/// Requests an answer of a server. While the server limits this token's requests, it waits as long as the server says.
async fn request_server(
    client: &reqwest::Client,
    url: Url,
    token: Option<&TokenSecret>,
) -> anyhow::Result<RawAnswer> {
    let origin = origin(&url);
    let answer = async {
        let request = client.get(url).header(ACCEPT, "application/json");
        // The address is encrypted or on this machine: the settings refuse others.
        let request = match token {
            Some(token) => request.bearer_auth(token.expose()),
            None => request,
        };
        let mut retries = 0;
        let response = loop {
            let Some(attempt) = request.try_clone() else { break request.send().await? };
            let response = attempt.send().await?;
            let Some(pause) = pause_before_retry(&response).filter(|_| retries < MAX_RETRIES) else {
                break response;
            };
            retries += 1;
            tokio::time::sleep(pause).await;
        };
        let status = response.status();
        let location = response.headers().get(LOCATION).filter(|_| status.is_redirection());
        let location = location.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let text = response.text().await?;
        Ok::<_, reqwest::Error>(RawAnswer { status: status.as_u16(), location, text })
    };
    answer.await.map_err(|error| {
        // The URL of the error may contain a password.
        let why = one_line(&error.without_url().into());
        failure(format!(
            "cannot reach the API at {origin} ({why}): check --api, or start `github-metrics serve`"
        ))
    })
}

/// Returns how long to wait if the server refuses more requests for now.
fn pause_before_retry(response: &reqwest::Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    let is_limited = response.status() == StatusCode::TOO_MANY_REQUESTS;
    (is_limited && seconds <= MAX_PAUSE_SECONDS).then(|| Duration::from_secs(seconds))
}

/// Returns scheme, host and port of an address, without the user and the password.
fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}
