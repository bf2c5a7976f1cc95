//! The client of the product's own HTTP API: of a server, or of the router within this process.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt};
use gam_client::{ApiRequest, ApiResponse, Client, ClientError, ExportRows, HttpTransport, Transport};
use gam_query::ExportRow;
use http::Request;
use http::header::ACCEPT;
use serde_json::Value;
use tower::ServiceExt;
use url::Url;

use crate::error::{failure, not_found, usage_error};
use crate::export_rows::ColumnValues;
use crate::open::OpenStore;
use crate::settings::CliSettings;
use crate::terminal_text::quoted;

/// The longest pause that a server can ask a worker for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);

/// A client of the API, and the local store if it reads one.
pub(crate) struct ApiClient {
    client: Client,
    store: Option<OpenStore>,
}

/// An answer to what was sent to a server.
pub(crate) struct PostAnswer {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The pause that the server asks for.
    pub(crate) retry_after: Option<Duration>,
    /// The body of a successful answer. Null if it has none.
    pub(crate) json: Value,
    /// The error that a refusal is. `None` if the request succeeded.
    pub(crate) refusal: Option<anyhow::Error>,
}

/// Why what was sent has no answer.
pub(crate) struct PostFailure {
    pub(crate) error: anyhow::Error,
    /// Whether the server was away, so that the same request can succeed later.
    pub(crate) is_transient: bool,
}

impl ApiClient {
    /// Creates a client of the server that the settings name, or of the local store.
    ///
    /// # Errors
    /// If the store cannot be opened, or a token cannot be read.
    pub(crate) async fn new(settings: &CliSettings) -> anyhow::Result<Self> {
        if let Some(base) = &settings.api {
            return Self::of_server(settings, base);
        }
        let store = OpenStore::open_existing(settings).await?;
        let router = gam_http::router(store.api_ports_for_reading());
        Ok(ApiClient { client: Client::new(RouterTransport(router)), store: Some(store) })
    }

    /// Creates a client of the server at an address, which gets the token of the settings.
    ///
    /// # Errors
    /// If the token cannot be read, or there can be no connection.
    pub(crate) fn of_server(settings: &CliSettings, base: &Url) -> anyhow::Result<Self> {
        let token = settings.api_token.read()?.map(|token| token.expose().to_owned().into());
        let transport = HttpTransport::new(base.clone(), token).map_err(api_error("the API".to_owned()))?;
        Ok(ApiClient { client: Client::new(transport), store: None })
    }

    /// Sends a request of the client.
    ///
    /// # Errors
    /// If the request fails. If the API refuses it, the message is the one of the API.
    pub(crate) async fn send<T>(
        &self,
        request: impl AsyncFnOnce(&Client) -> Result<T, ClientError>,
    ) -> anyhow::Result<T> {
        request(&self.client).await.map_err(self.error())
    }

    /// Returns the next rows of an export. There are none at the end.
    ///
    /// # Errors
    /// If the answer ends in the middle, or has other rows.
    pub(crate) async fn next_rows<V: ColumnValues>(
        &self,
        rows: &mut ExportRows<V>,
    ) -> anyhow::Result<Vec<ExportRow<V>>> {
        rows.next_rows().await.map_err(self.error())
    }

    /// Sends JSON to a path below `/api/v1` of a server. Returns every answer, also a refusal.
    ///
    /// # Errors
    /// If the server cannot be reached, or does not answer like this API.
    pub(crate) async fn post(&self, path: &[&str], body: &Value) -> anyhow::Result<PostAnswer> {
        self.try_post(path, body).await.map_err(|failure| failure.error)
    }

    /// As [`ApiClient::post`], and says whether the same request can succeed later.
    ///
    /// # Errors
    /// As [`ApiClient::post`].
    pub(crate) async fn try_post(&self, path: &[&str], body: &Value) -> Result<PostAnswer, PostFailure> {
        if self.store.is_some() {
            let error = usage_error("there is no server: name it with --api");
            return Err(PostFailure { error, is_transient: false });
        }
        let error = self.error();
        let answer = self.client.post(path, body).await.map_err(|failure| {
            let is_transient =
                matches!(failure, ClientError::Unreachable { .. } | ClientError::Interrupted { .. });
            PostFailure { error: error(failure), is_transient }
        })?;
        let refusal =
            answer.problem.map(|problem| error(ClientError::Problem { status: answer.status, problem }));
        let retry_after = answer.retry_after.map(|pause| pause.min(MAX_RETRY_AFTER));
        Ok(PostAnswer { status: answer.status, retry_after, json: answer.json, refusal })
    }

    fn error(&self) -> impl Fn(ClientError) -> anyhow::Error {
        api_error(self.client.origin())
    }

    /// Closes the local store.
    pub(crate) async fn close(self) {
        drop(self.client);
        if let Some(store) = self.store {
            store.close().await;
        }
    }
}

/// Returns the function that turns an error of the API at `origin` into one of the program.
fn api_error(origin: String) -> impl Fn(ClientError) -> anyhow::Error {
    move |error| match &error {
        ClientError::Problem { status: 401, .. } => usage_error(format!(
            "{origin} needs a valid token: set GITHUB_METRICS_TOKEN, or GITHUB_METRICS_TOKEN_FILE; an administrator \
             creates one with `github-metrics token new`"
        )),
        ClientError::Problem { status: 400, problem } => usage_error(&problem.detail),
        ClientError::Problem { status: 404, problem } => not_found(&problem.detail),
        ClientError::Problem { problem, .. } => failure(&problem.detail),
        ClientError::Redirect { location, .. } => failure(format!(
            "{origin} redirects to {}, which is not followed: name that address with --api if you trust it",
            quoted(location)
        )),
        ClientError::Unreachable { .. } => {
            failure(format!("{error}: check --api, or start `github-metrics serve`"))
        }
        ClientError::Unexpected { .. } => failure(format!("{error}: check --api")),
        ClientError::Interrupted { .. } => failure(format!("{error}: try again")),
        ClientError::InvalidAddress | ClientError::PlainHttp { .. } => usage_error(error.to_string()),
    }
}

/// Sends requests to the router within this process.
struct RouterTransport(gam_http::Router);

/// Stands for the address of the router, which ignores it.
const ROUTER_ADDRESS: &str = "http://localhost";

#[async_trait]
impl Transport for RouterTransport {
    async fn send(&self, request: &ApiRequest) -> Result<ApiResponse, ClientError> {
        let url = request.url(&Url::parse(ROUTER_ADDRESS).map_err(|_| ClientError::InvalidAddress)?);
        let target =
            url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
        let http_request = Request::get(target).header(ACCEPT, request.accept).body(String::new());
        let http_request = http_request
            .map_err(|error| ClientError::Unexpected { origin: self.origin(), why: error.to_string() })?;
        let response = match self.0.clone().oneshot(http_request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let status = response.status().as_u16();
        let origin: Arc<str> = self.origin().into();
        let body = response.into_body().into_data_stream().map_err(move |error| ClientError::Interrupted {
            origin: origin.to_string(),
            why: format!("{error}; the log has the cause"),
        });
        Ok(ApiResponse { status, location: None, retry_after: None, body: body.boxed() })
    }

    fn origin(&self) -> String {
        "this program".to_owned()
    }
}
