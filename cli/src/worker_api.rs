//! What a worker sends to a server.

use std::time::Duration;

use anyhow::Context as _;
use gam_access::TokenSecret;
use gam_client::ProblemDetail;
use http::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use reqwest::redirect::Policy;
use serde_json::Value;
use url::Url;

use crate::error::{failure, one_line, usage_error};
use crate::settings::CliSettings;

const JSON: &str = "application/json";
/// The time limit of one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest pause that a server can ask for.
const MAX_RETRY_AFTER_SECONDS: u64 = 300;

/// Sends JSON to a server. Nothing is repeated: the caller knows how long it may wait.
pub(crate) struct WorkerApi {
    client: reqwest::Client,
    base: Url,
    token: Option<TokenSecret>,
}

/// An answer of the server.
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

impl WorkerApi {
    /// Connects to the server that the settings name.
    ///
    /// # Errors
    /// If they name none, or the token cannot be read.
    pub(crate) fn new(settings: &CliSettings) -> anyhow::Result<Self> {
        let Some(base) = &settings.api else {
            return Err(usage_error(
                "a worker needs a server: name it with --api, such as --api http://127.0.0.1:8080",
            ));
        };
        let client = reqwest::Client::builder()
            .user_agent(concat!("github-metrics/", env!("CARGO_PKG_VERSION")))
            .timeout(REQUEST_TIMEOUT)
            // What follows a redirect is no longer a POST with this body.
            .redirect(Policy::none())
            .build()
            .context("cannot create an HTTP client")?;
        Ok(WorkerApi { client, base: base.clone(), token: settings.api_token.read()? })
    }

    /// Sends JSON to a path below `/api/v1`. Returns every answer, also a refusal.
    ///
    /// # Errors
    /// If the server cannot be reached, or does not answer like this API.
    pub(crate) async fn post(&self, path: &[&str], body: &Value) -> anyhow::Result<PostAnswer> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        let mut request = self.client.post(url).header(ACCEPT, JSON).header(CONTENT_TYPE, JSON);
        // The address is encrypted or on this machine: the settings refuse others.
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose());
        }
        let answer = async {
            let response = request.body(body.to_string()).send().await?;
            let status = response.status().as_u16();
            let seconds =
                response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            Ok::<_, reqwest::Error>((status, seconds, response.text().await?))
        };
        let (status, seconds, text) = answer.await.map_err(|error| self.unreachable(error))?;
        let retry_after =
            seconds.map(|seconds: u64| Duration::from_secs(seconds.min(MAX_RETRY_AFTER_SECONDS)));
        let json = match status {
            200 => serde_json::from_str(&text).map_err(|_| self.unexpected("the answer is not JSON"))?,
            _ => Value::Null,
        };
        let refusal = (!(200..300).contains(&status)).then(|| self.refusal(status, &text));
        Ok(PostAnswer { status, retry_after, json, refusal })
    }

    fn refusal(&self, status: u16, text: &str) -> anyhow::Error {
        match (status, serde_json::from_str::<ProblemDetail>(text)) {
            (400, Ok(problem)) => usage_error(problem.detail),
            (401, Ok(_)) => usage_error(format!(
                "{} needs a valid token: set GITHUB_METRICS_TOKEN, or GITHUB_METRICS_TOKEN_FILE; an administrator creates \
                 one with `github-metrics token new`",
                self.origin()
            )),
            (_, Ok(problem)) => failure(problem.detail),
            (_, Err(_)) => self.unexpected(&format!("the status is {status}")),
        }
    }

    fn unexpected(&self, what: &str) -> anyhow::Error {
        failure(format!(
            "{} does not answer like the API of github-metrics ({what}): check --api",
            self.origin()
        ))
    }

    fn unreachable(&self, error: reqwest::Error) -> anyhow::Error {
        // The URL of the error may contain a password.
        let why = one_line(&error.without_url().into());
        failure(format!(
            "cannot reach the API at {} ({why}): check --api, or start `github-metrics serve`",
            self.origin()
        ))
    }

    /// Returns scheme, host and port of the server, without the user and the password.
    fn origin(&self) -> String {
        self.base.origin().ascii_serialization()
    }
}
