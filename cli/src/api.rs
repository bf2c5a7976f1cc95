//! A client of the product's own HTTP API: of this process's router, or of one that is served.

use std::time::Duration;

use anyhow::Context as _;
use http::Request;
use http_body_util::BodyExt;
use serde::Deserialize;
use serde_json::Value;
use tower::ServiceExt;
use url::Url;

use crate::exit::{failed, sentence, usage};
use crate::open::OpenStore;
use crate::settings::Settings;

/// How long a served API may take for one answer.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Whoever answers.
enum Host {
    Local { router: gam_http::Router, store: OpenStore },
    Remote(reqwest::Client),
}

/// A client of the API.
pub(crate) struct ApiClient {
    base: Url,
    host: Host,
}

/// An answer, as it came and as it is understood.
pub(crate) struct Answer {
    /// The JSON text.
    pub(crate) text: String,
    /// The same, parsed.
    pub(crate) json: Value,
}

#[derive(Deserialize)]
struct Problem {
    detail: String,
}

impl ApiClient {
    /// The API that the settings name: a served one, or that of the local store.
    ///
    /// # Errors
    /// Where the store cannot be opened.
    pub(crate) async fn new(settings: &Settings) -> anyhow::Result<Self> {
        if let Some(base) = &settings.api {
            let client = reqwest::Client::builder()
                .user_agent(concat!("github-metrics/", env!("CARGO_PKG_VERSION")))
                .timeout(TIMEOUT)
                .build()
                .context("no HTTP client can be made")?;
            return Ok(ApiClient { base: base.clone(), host: Host::Remote(client) });
        }
        let store = OpenStore::open_existing(settings).await?;
        let router = gam_http::router(store.query_ports());
        // The router does not look at the host.
        let base = Url::parse("http://localhost").context("the local address")?;
        Ok(ApiClient { base, host: Host::Local { router, store } })
    }

    /// Asks for what is below `/api/v1`; the parts of the path are encoded here.
    ///
    /// # Errors
    /// Where there is no answer; a refusal's text is the one the API gives.
    pub(crate) async fn get(&self, path: &[&str], query: &[(&str, String)]) -> anyhow::Result<Answer> {
        let mut url = self.base.clone();
        if let Ok(mut parts) = url.path_segments_mut() {
            parts.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let (status, text) = match &self.host {
            Host::Local { router, .. } => ask_router(router.clone(), &url).await?,
            Host::Remote(client) => ask_server(client, url).await?,
        };
        if !(200..300).contains(&status) {
            return Err(self.refusal(status, &text));
        }
        let json = serde_json::from_str(&text).map_err(|_| self.strange("no JSON came back"))?;
        Ok(Answer { text, json })
    }

    fn refusal(&self, status: u16, text: &str) -> anyhow::Error {
        match (status, serde_json::from_str::<Problem>(text)) {
            (400, Ok(problem)) => usage(problem.detail),
            (_, Ok(problem)) => failed(problem.detail),
            (_, Err(_)) => self.strange(&format!("status {status} came back")),
        }
    }

    fn strange(&self, what: &str) -> anyhow::Error {
        failed(format!("{} does not answer as this API does ({what}): check --api", shown(&self.base)))
    }

    /// Closes what was opened.
    pub(crate) async fn close(self) {
        if let Host::Local { store, .. } = self.host {
            store.close().await;
        }
    }
}

async fn ask_router(router: gam_http::Router, url: &Url) -> anyhow::Result<(u16, String)> {
    let target = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
    let request = Request::get(target).body(String::new()).context("the question cannot be asked")?;
    let response = match router.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.context("the answer cannot be read")?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

async fn ask_server(client: &reqwest::Client, url: Url) -> anyhow::Result<(u16, String)> {
    let address = shown(&url);
    let answer = async {
        let response = client.get(url).header(http::header::ACCEPT, "application/json").send().await?;
        let status = response.status().as_u16();
        Ok::<_, reqwest::Error>((status, response.text().await?))
    };
    answer.await.map_err(|error| {
        // The address is told once, without what may be secret in it.
        let why = sentence(&error.without_url().into());
        failed(format!(
            "the API at {address} does not answer ({why}): check --api, or start `github-metrics serve`"
        ))
    })
}

/// The address without a user's name and password.
fn shown(url: &Url) -> String {
    url.origin().ascii_serialization()
}
