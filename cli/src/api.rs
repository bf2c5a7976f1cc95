//! A client of the product's own HTTP API: of a server, or of the router within this process.

use std::time::Duration;

use anyhow::Context as _;
use gam_access::TokenSecret;
use http::header::{ACCEPT, CONTENT_TYPE, LOCATION, RETRY_AFTER};
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
/// The time limit of an answer that is streamed.
const STREAM_TIMEOUT: Duration = Duration::from_secs(600);
const JSON: &str = "application/json";
/// The maximum number of redirects of one request.
const MAX_REDIRECTS: usize = 5;

/// How often a request is repeated that the server refuses for now.
const MAX_RETRIES: u32 = 5;
/// The longest pause before that.
const MAX_PAUSE_SECONDS: u64 = 30;

/// The longest pause that a server can ask a worker for.
const MAX_RETRY_AFTER_SECONDS: u64 = 300;

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

/// An answer to what was sent to a server.
pub(crate) struct PostAnswer {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The pause that the server asks for.
    pub(crate) retry_after: Option<Duration>,
    /// The answer of status 200. Null for others.
    pub(crate) json: Value,
    /// The error that a refusal is. `None` if the request succeeded.
    pub(crate) refusal: Option<anyhow::Error>,
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
        let router = gam_http::router(store.api_ports_for_reading());
        // The router ignores the host.
        let base = Url::parse("http://localhost").context("the local address is invalid")?;
        Ok(ApiClient { base, backend: ApiBackend::Router { router, store } })
    }

    /// Requests a path below `/api/v1`. The segments of the path need no encoding.
    ///
    /// # Errors
    /// If the request fails. If the API refuses it, the message is the one of the API.
    pub(crate) async fn get(&self, path: &[&str], query: &[(&str, String)]) -> anyhow::Result<ApiAnswer> {
        let url = self.url(path, query);
        let answer = match &self.backend {
            ApiBackend::Router { router, .. } => request_router(router.clone(), &url).await?,
            ApiBackend::Server { client, token } => request_server(client, url, token.as_ref()).await?,
        };
        let text = self.check_answer(answer)?;
        let json = serde_json::from_str(&text).map_err(|_| self.unexpected("the answer is not JSON"))?;
        Ok(ApiAnswer { text, json })
    }

    /// Sends JSON to a path below `/api/v1` of a server. Returns every answer, also a refusal.
    ///
    /// # Errors
    /// If the server cannot be reached, or does not answer like this API.
    pub(crate) async fn post(&self, path: &[&str], body: &Value) -> anyhow::Result<PostAnswer> {
        let ApiBackend::Server { client, token } = &self.backend else {
            return Err(usage_error("there is no server: name it with --api"));
        };
        let url = self.url(path, &[]);
        let origin = origin(&url);
        let request = client.post(url).header(ACCEPT, JSON).header(CONTENT_TYPE, JSON).body(body.to_string());
        let answer = async {
            let response = authorized(request, token.as_ref()).send().await?;
            let status = response.status().as_u16();
            let seconds =
                response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            let retry_after =
                seconds.map(|seconds: u64| Duration::from_secs(seconds.min(MAX_RETRY_AFTER_SECONDS)));
            Ok::<_, reqwest::Error>((status, retry_after, response.text().await?))
        };
        let answer = answer.await.map_err(|error| unreachable_server(&origin, error))?;
        let (status, retry_after, text) = answer;
        let json = match status {
            200 => serde_json::from_str(&text).map_err(|_| self.unexpected("the answer is not JSON"))?,
            _ => Value::Null,
        };
        let refusal = (!(200..300).contains(&status)).then(|| self.refusal(status, &text));
        Ok(PostAnswer { status, retry_after, json, refusal })
    }

    fn url(&self, path: &[&str], query: &[(&str, String)]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// Returns the text of a successful answer.
    fn check_answer(&self, answer: RawAnswer) -> anyhow::Result<String> {
        let RawAnswer { status, location, text } = answer;
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
        Ok(text)
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

    /// Requests a path below `/api/v1` whose answer is streamed, in a media type.
    ///
    /// # Errors
    /// As [`ApiClient::get`].
    pub(crate) async fn stream(
        &self,
        path: &[&str],
        query: &[(&str, String)],
        media_type: &str,
    ) -> anyhow::Result<ApiStream> {
        let url = self.url(path, query);
        let (status, location, mut stream) = match &self.backend {
            ApiBackend::Router { router, .. } => stream_router(router.clone(), &url, media_type).await?,
            ApiBackend::Server { client, token } => {
                stream_server(client, url, token.as_ref(), media_type).await?
            }
        };
        if (200..300).contains(&status) {
            return Ok(stream);
        }
        let mut text = Vec::new();
        while let Some(chunk) = stream.next_chunk().await? {
            text.extend_from_slice(&chunk);
        }
        let text = String::from_utf8_lossy(&text).into_owned();
        self.check_answer(RawAnswer { status, location, text }).and_then(|_| Err(self.unexpected("no rows")))
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

/// An answer that is read piece by piece.
pub(crate) enum ApiStream {
    Router(Box<gam_http::Body>),
    Server { response: reqwest::Response, origin: String },
}

impl ApiStream {
    /// Returns the next bytes; `None` at the end.
    ///
    /// # Errors
    /// If the answer ends in the middle.
    pub(crate) async fn next_chunk(&mut self) -> anyhow::Result<Option<Vec<u8>>> {
        match self {
            ApiStream::Router(body) => loop {
                match body.frame().await {
                    None => return Ok(None),
                    Some(Err(error)) => return Err(failure(format!("{error}: the log has the cause"))),
                    Some(Ok(frame)) => {
                        if let Ok(bytes) = frame.into_data() {
                            return Ok(Some(bytes.to_vec()));
                        }
                    }
                }
            },
            ApiStream::Server { response, origin } => match response.chunk().await {
                Ok(chunk) => Ok(chunk.map(|bytes| bytes.to_vec())),
                Err(error) => Err(failure(format!(
                    "the answer of {origin} ended in the middle ({}): try again",
                    one_line(&error.without_url().into())
                ))),
            },
        }
    }
}

async fn request_router(router: gam_http::Router, url: &Url) -> anyhow::Result<RawAnswer> {
    let response = send_to_router(router, url, JSON).await?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.context("cannot read the answer")?.to_bytes();
    Ok(RawAnswer { status, location: None, text: String::from_utf8_lossy(&body).into_owned() })
}

async fn stream_router(
    router: gam_http::Router,
    url: &Url,
    media_type: &str,
) -> anyhow::Result<(u16, Option<String>, ApiStream)> {
    let response = send_to_router(router, url, media_type).await?;
    let status = response.status().as_u16();
    Ok((status, None, ApiStream::Router(Box::new(response.into_body()))))
}

async fn send_to_router(
    router: gam_http::Router,
    url: &Url,
    media_type: &str,
) -> anyhow::Result<http::Response<gam_http::Body>> {
    let target = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
    let request = Request::get(target).header(ACCEPT, media_type);
    let request = request.body(String::new()).context("cannot build the request")?;
    match router.oneshot(request).await {
        Ok(response) => Ok(response),
        Err(never) => match never {},
    }
}

async fn request_server(
    client: &reqwest::Client,
    url: Url,
    token: Option<&TokenSecret>,
) -> anyhow::Result<RawAnswer> {
    let origin = origin(&url);
    let answer = async {
        let response = send_to_server(authorized(client.get(url).header(ACCEPT, JSON), token)).await?;
        let (status, location) = status_of(&response);
        let text = response.text().await?;
        Ok::<_, reqwest::Error>(RawAnswer { status, location, text })
    };
    answer.await.map_err(|error| unreachable_server(&origin, error))
}

async fn stream_server(
    client: &reqwest::Client,
    url: Url,
    token: Option<&TokenSecret>,
    media_type: &str,
) -> anyhow::Result<(u16, Option<String>, ApiStream)> {
    let origin = origin(&url);
    let request = client.get(url).header(ACCEPT, media_type).timeout(STREAM_TIMEOUT);
    let sent = send_to_server(authorized(request, token)).await;
    let response = sent.map_err(|error| unreachable_server(&origin, error))?;
    let (status, location) = status_of(&response);
    Ok((status, location, ApiStream::Server { response, origin }))
}

/// Adds the token. The address is encrypted or on this machine: the settings refuse others.
fn authorized(request: reqwest::RequestBuilder, token: Option<&TokenSecret>) -> reqwest::RequestBuilder {
    match token {
        Some(token) => request.bearer_auth(token.expose()),
        None => request,
    }
}

/// Sends a request. While the server limits this token's requests, it waits as long as the server says.
async fn send_to_server(request: reqwest::RequestBuilder) -> reqwest::Result<reqwest::Response> {
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

/// Returns the status of a response, and the target of a redirect that was not followed.
fn status_of(response: &reqwest::Response) -> (u16, Option<String>) {
    let status = response.status();
    let location = response.headers().get(LOCATION).filter(|_| status.is_redirection());
    (status.as_u16(), location.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()))
}

fn unreachable_server(origin: &str, error: reqwest::Error) -> anyhow::Error {
    // The URL of the error may contain a password.
    let why = one_line(&error.without_url().into());
    failure(format!("cannot reach the API at {origin} ({why}): check --api, or start `github-metrics serve`"))
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
