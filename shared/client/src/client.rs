//! The requests.

use std::time::Duration;

use futures::TryStreamExt;
use gam_model::metric::Metric;
use gam_model::{AgentDimension, AgentMetric, Grain};
use gam_query::{
    AgentListAnswer, AgentListing, AgentMetricValues, AgentMetricsAnswer, AgentSeriesAnswer, HistogramAnswer,
    ListAnswer, ListKind, MetricsAnswer, OrgsAnswer, PrClassesAnswer, SeriesAnswer, SubjectRef,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{ClientError, ProblemDetail};
use crate::export::{ExportRows, NDJSON};
use crate::request::{ListQuery, MetricsQuery, Parameters, subject_path};
use crate::transport::{ApiBody, ApiRequest, ApiResponse, Transport};

const JSON: &str = "application/json";
/// How long a request may take, with its answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// The same, for an answer that is streamed.
const STREAM_TIMEOUT: Duration = Duration::from_secs(600);

/// A successful answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer<T> {
    /// The JSON text, byte for byte.
    pub text: String,
    /// The same, read.
    pub value: T,
}

/// An answer to what was sent to a server.
#[derive(Debug, Clone, PartialEq)]
pub struct PostAnswer {
    /// The HTTP status.
    pub status: u16,
    /// After how long the server asks to request again.
    pub retry_after: Option<Duration>,
    /// The body of a successful answer. Null if it has none.
    pub json: Value,
    /// Why the server refuses what was sent. `None` if it succeeded.
    pub problem: Option<ProblemDetail>,
}

/// A client of the API.
pub struct Client {
    transport: Box<dyn Transport>,
}

impl Client {
    /// Creates a client that sends its requests this way.
    pub fn new(transport: impl Transport + 'static) -> Self {
        Client { transport: Box::new(transport) }
    }

    /// Returns who answers, for messages: scheme, host and port.
    pub fn origin(&self) -> String {
        self.transport.origin()
    }

    /// Requests all organizations.
    ///
    /// # Errors
    /// If the request fails or is refused.
    pub async fn orgs(&self) -> Result<Answer<OrgsAnswer>, ClientError> {
        self.get(vec!["orgs".to_owned()], Vec::new()).await
    }

    /// Requests the metrics of a subject over a range.
    ///
    /// # Errors
    /// If the request fails or is refused.
    pub async fn metrics(
        &self,
        org: &str,
        subject: &SubjectRef,
        query: &MetricsQuery,
    ) -> Result<Answer<MetricsAnswer>, ClientError> {
        let (mut path, mut parameters) = subject_path(org, subject);
        path.push("metrics".to_owned());
        parameters.extend(query.parameters());
        self.get(path, parameters).await
    }

    /// Requests a metric of a subject, bucket by bucket.
    ///
    /// # Errors
    /// If the request fails or is refused.
    pub async fn series(
        &self,
        org: &str,
        subject: &SubjectRef,
        metric: &Metric,
        grain: Grain,
        query: &MetricsQuery,
    ) -> Result<Answer<SeriesAnswer>, ClientError> {
        let (mut path, mut parameters) = subject_path(org, subject);
        path.extend(["metrics", "timeseries"].map(str::to_owned));
        parameters.extend(query.series_parameters());
        parameters.push(("metric", metric.name.to_owned()));
        parameters.push(("granularity", grain.as_str().to_owned()));
        self.get(path, parameters).await
    }

    /// Requests how the durations of a metric of a subject are distributed.
    ///
    /// # Errors
    /// If the request fails or is refused.
    pub async fn histogram(
        &self,
        org: &str,
        subject: &SubjectRef,
        metric: &Metric,
        query: &MetricsQuery,
    ) -> Result<Answer<HistogramAnswer>, ClientError> {
        let (mut path, mut parameters) = subject_path(org, subject);
        path.extend(["metrics", "histogram"].map(str::to_owned));
        parameters.extend(query.series_parameters());
        parameters.push(("metric", metric.name.to_owned()));
        self.get(path, parameters).await
    }

    /// Requests a page of the repositories or members of a subject: both of an organization, the members of a
    /// repository, the repositories of a member.
    ///
    /// # Errors
    /// If the request fails or is refused.
    pub async fn list(
        &self,
        org: &str,
        subject: &SubjectRef,
        kind: ListKind,
        query: &ListQuery,
    ) -> Result<Answer<ListAnswer>, ClientError> {
        let (mut path, mut parameters) = subject_path(org, subject);
        path.push(kind.as_str().to_owned());
        parameters.extend(query.parameters());
        self.get(path, parameters).await
    }

    /// Requests the metrics of sessions of a subject over a range.
    ///
    /// # Errors
    /// If the request fails or is refused.
    pub async fn agent_metrics(
        &self,
        org: &str,
        subject: &SubjectRef,
        query: &MetricsQuery,
    ) -> Result<Answer<AgentMetricsAnswer>, ClientError> {
        let (mut path, mut parameters) = subject_path(org, subject);
        path.extend(["agents", "metrics"].map(str::to_owned));
        parameters.extend(query.parameters());
        self.get(path, parameters).await
    }

    /// Requests the merged pull requests of an organization or a repository by what is known of their sessions.
    ///
    /// # Errors
    /// If the request fails or is refused.
    pub async fn agent_prs(
        &self,
        org: &str,
        subject: &SubjectRef,
        query: &MetricsQuery,
    ) -> Result<Answer<PrClassesAnswer>, ClientError> {
        let (mut path, mut parameters) = subject_path(org, subject);
        path.extend(["agents", "prs"].map(str::to_owned));
        parameters.extend(query.series_parameters());
        self.get(path, parameters).await
    }

    /// Requests a metric of sessions of a subject, bucket by bucket: the total, or divided by a dimension with this many
    /// parts.
    ///
    /// # Errors
    /// If the request fails or is refused.
    pub async fn agent_series(
        &self,
        org: &str,
        subject: &SubjectRef,
        (metric, by, parts): (&AgentMetric, Option<AgentDimension>, u16),
        grain: Grain,
        query: &MetricsQuery,
    ) -> Result<Answer<AgentSeriesAnswer>, ClientError> {
        let (mut path, mut parameters) = subject_path(org, subject);
        path.extend(["agents", "metrics", "timeseries"].map(str::to_owned));
        parameters.extend(query.series_parameters());
        parameters.push(("metric", metric.name.to_owned()));
        parameters.push(("granularity", grain.as_str().to_owned()));
        parameters.push(("parts", parts.to_string()));
        parameters.extend(by.map(|dimension| ("by", dimension.as_str().to_owned())));
        self.get(path, parameters).await
    }

    /// Requests a list about the sessions of a subject, sorted by a metric, with at most this many entries.
    ///
    /// # Errors
    /// If the request fails or is refused.
    pub async fn agent_list(
        &self,
        org: &str,
        subject: &SubjectRef,
        (listing, sort, limit): (AgentListing, &AgentMetric, u16),
        query: &MetricsQuery,
    ) -> Result<Answer<AgentListAnswer>, ClientError> {
        let (mut path, mut parameters) = subject_path(org, subject);
        path.push("agents".to_owned());
        parameters.extend(query.parameters());
        parameters.push(("by", listing.as_str().to_owned()));
        parameters.push(("sort", sort.name.to_owned()));
        parameters.push(("limit", limit.to_string()));
        self.get(path, parameters).await
    }

    /// Requests all numbers of an organization, row by row.
    ///
    /// # Errors
    /// If the request fails or is refused.
    pub async fn export(
        &self,
        org: &str,
        grain: Grain,
        query: &MetricsQuery,
    ) -> Result<ExportRows, ClientError> {
        self.exported_rows(&["orgs", org, "export"], grain, query).await
    }

    /// Requests all numbers of sessions of an organization, row by row.
    ///
    /// # Errors
    /// If the request fails or is refused.
    pub async fn agent_export(
        &self,
        org: &str,
        grain: Grain,
        query: &MetricsQuery,
    ) -> Result<ExportRows<AgentMetricValues>, ClientError> {
        self.exported_rows(&["orgs", org, "agents", "export"], grain, query).await
    }

    async fn exported_rows<V: DeserializeOwned>(
        &self,
        path: &[&str],
        grain: Grain,
        query: &MetricsQuery,
    ) -> Result<ExportRows<V>, ClientError> {
        let path = path.iter().map(|segment| (*segment).to_owned()).collect();
        let mut parameters = query.series_parameters();
        parameters.push(("granularity", grain.as_str().to_owned()));
        let request = ApiRequest { path, parameters, accept: NDJSON, body: None, timeout: STREAM_TIMEOUT };
        Ok(ExportRows::new(self.successful_body(&request).await?, self.origin()))
    }

    /// Requests a path below `/api/v1` that this client has no type for.
    ///
    /// # Errors
    /// If the request fails or is refused.
    pub async fn get_json(
        &self,
        path: &[&str],
        parameters: Vec<(&'static str, String)>,
    ) -> Result<Value, ClientError> {
        let path = path.iter().map(|segment| (*segment).to_owned()).collect();
        Ok(self.get(path, parameters).await?.value)
    }

    /// Sends JSON to a path below `/api/v1`, once. A refusal is an answer, too.
    ///
    /// # Errors
    /// If there is no answer, or it is not one of this API. The server may have acted on what was sent.
    pub async fn post(&self, path: &[&str], body: &Value) -> Result<PostAnswer, ClientError> {
        let request = ApiRequest {
            path: path.iter().map(|segment| (*segment).to_owned()).collect(),
            parameters: Vec::new(),
            accept: JSON,
            body: Some(body.to_string()),
            timeout: REQUEST_TIMEOUT,
        };
        let ApiResponse { status, location, retry_after, body } = self.transport.send(&request).await?;
        if let Some(location) = location {
            return Err(ClientError::Redirect { origin: self.origin(), location });
        }
        let text = read_text(body).await?;
        let not_json = |_| self.unexpected(format!("the answer with status {status} is not JSON"));
        let (json, problem) = match status {
            200..300 if text.is_empty() => (Value::Null, None),
            200..300 => (serde_json::from_str(&text).map_err(not_json)?, None),
            _ => (Value::Null, Some(serde_json::from_str(&text).map_err(not_json)?)),
        };
        Ok(PostAnswer { status, retry_after, json, problem })
    }

    async fn get<T: DeserializeOwned>(
        &self,
        path: Vec<String>,
        parameters: Parameters,
    ) -> Result<Answer<T>, ClientError> {
        let request = ApiRequest { path, parameters, accept: JSON, body: None, timeout: REQUEST_TIMEOUT };
        let text = read_text(self.successful_body(&request).await?).await?;
        let value = serde_json::from_str(&text).map_err(|error| {
            self.unexpected(match error.classify() {
                // The texts of the others describe positions in types.
                serde_json::error::Category::Data => error.to_string(),
                _ => "the answer is not JSON".to_owned(),
            })
        })?;
        Ok(Answer { text, value })
    }

    /// Returns the body of a successful answer.
    async fn successful_body(&self, request: &ApiRequest) -> Result<ApiBody, ClientError> {
        let ApiResponse { status, location, body, .. } = self.transport.send(request).await?;
        if let Some(location) = location {
            return Err(ClientError::Redirect { origin: self.origin(), location });
        }
        if (200..300).contains(&status) {
            return Ok(body);
        }
        let text = read_text(body).await?;
        Err(match serde_json::from_str::<ProblemDetail>(&text) {
            Ok(problem) => ClientError::Problem { status, problem },
            Err(_) => self.unexpected(format!("the status is {status}")),
        })
    }

    fn unexpected(&self, why: String) -> ClientError {
        ClientError::Unexpected { origin: self.origin(), why }
    }
}

async fn read_text(body: ApiBody) -> Result<String, ClientError> {
    let chunks: Vec<_> = body.try_collect().await?;
    Ok(String::from_utf8_lossy(&chunks.concat()).into_owned())
}
