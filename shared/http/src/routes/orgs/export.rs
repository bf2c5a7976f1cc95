//! `…/export` and `…/agents/export`: all numbers of an organization, bucket by bucket, as CSV or as lines of JSON.

use std::io;
use std::sync::Arc;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::{StreamExt, TryStreamExt, stream};
use gam_access::RouteClass;
use gam_model::metric::CATALOGUE;
use gam_model::{AgentMetric, csv_cell};
use gam_query::{
    AgentMetricValue, AgentMetricValues, Export, ExportRequest, ExportRow, MetricValues, QueryError,
    QueryPorts,
};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::SUBJECT_ERRORS;
use crate::answer;
use crate::error::ApiError;
use crate::openapi::{Operation, ResponseBody};
use crate::params::{ExportParams, QueryParams, SubjectPath, Validated};
use crate::routes::{Route, RouteMethod};

/// Number of exports at the same time. Each holds the items of some months.
const MAX_CONCURRENT_EXPORTS: usize = 4;

const NDJSON: &str = "application/x-ndjson";

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RowFormat {
    /// With a header.
    Csv,
    /// A JSON object on each line.
    Ndjson,
}

impl RowFormat {
    /// Returns the format that the client accepts: CSV, unless it names the media type of the other one.
    fn accepted(headers: &HeaderMap) -> Self {
        let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let mut types = accepted.flat_map(|value| value.split(',')).map(|item| item.split(';').next());
        let is_ndjson =
            |name: Option<&str>| name.is_some_and(|name| name.trim().eq_ignore_ascii_case(NDJSON));
        if types.any(is_ndjson) { RowFormat::Ndjson } else { RowFormat::Csv }
    }

    fn media_type(self) -> &'static str {
        match self {
            RowFormat::Csv => "text/csv; charset=utf-8; header=present",
            RowFormat::Ndjson => NDJSON,
        }
    }

    fn file_ending(self) -> &'static str {
        match self {
            RowFormat::Csv => "csv",
            RowFormat::Ndjson => "ndjson",
        }
    }

    fn header_line<V: RowValues>(self) -> String {
        match self {
            RowFormat::Csv => csv_header::<V>() + "\n",
            RowFormat::Ndjson => String::new(),
        }
    }

    fn write<V: RowValues>(self, rows: &[ExportRow<V>]) -> io::Result<Vec<u8>> {
        match self {
            RowFormat::Csv => csv_rows(rows),
            RowFormat::Ndjson => ndjson_rows(rows),
        }
    }
}

/// What is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exported {
    Activity,
    Sessions,
}

impl Exported {
    fn operation(self, format: Option<RowFormat>) -> Operation {
        let (id, what) = match self {
            Exported::Activity => ("export", "metrics"),
            Exported::Sessions => ("agent_export", "metrics of sessions of coding agents"),
        };
        Operation {
            id: match format {
                None => id.to_owned(),
                Some(format) => format!("{id}_{}", format.file_ending()),
            },
            summary: format!(
                "The {what} of the organization in every bucket, and of every repository and member with activity in it. \
                 An error breaks the connection off"
            ),
            parameters: ExportParams::accepted(),
            response: ResponseBody::Rows(match format {
                None => &["text/csv", NDJSON],
                Some(RowFormat::Csv) => &["text/csv"],
                Some(RowFormat::Ndjson) => &[NDJSON],
            }),
            request: None,
            no_content: None,
            error_statuses: SUBJECT_ERRORS,
        }
    }
}

pub(crate) fn of_accepted_format(path: &'static str) -> Route {
    route(path, Exported::Activity, None)
}

pub(crate) fn as_csv(path: &'static str) -> Route {
    route(path, Exported::Activity, Some(RowFormat::Csv))
}

pub(crate) fn as_ndjson(path: &'static str) -> Route {
    route(path, Exported::Activity, Some(RowFormat::Ndjson))
}

/// Returns the routes of sessions.
pub(in crate::routes) fn of_agents() -> [Route; 3] {
    [
        route("/api/v1/orgs/{org}/agents/export", Exported::Sessions, None),
        route("/api/v1/orgs/{org}/agents/export.csv", Exported::Sessions, Some(RowFormat::Csv)),
        route("/api/v1/orgs/{org}/agents/export.ndjson", Exported::Sessions, Some(RowFormat::Ndjson)),
    ]
}

/// Creates the route. Without a format, the client chooses one.
fn route(path: &'static str, exported: Exported, format: Option<RowFormat>) -> Route {
    let operation = exported.operation(format);
    let handler = get(move |permits, ports, path, params, headers: HeaderMap| {
        let format = format.unwrap_or_else(|| RowFormat::accepted(&headers));
        handle((exported, format), permits, ports, path, params)
    });
    Route { path, method: RouteMethod::Get, handler, operation, class: RouteClass::Read }
}

/// The permits of the exports of a server.
#[derive(Clone)]
pub(crate) struct ExportPermits(Arc<Semaphore>);

impl Default for ExportPermits {
    fn default() -> Self {
        ExportPermits(Arc::new(Semaphore::new(MAX_CONCURRENT_EXPORTS)))
    }
}

async fn handle(
    (exported, format): (Exported, RowFormat),
    Extension(ExportPermits(permits)): Extension<ExportPermits>,
    State(ports): State<QueryPorts>,
    SubjectPath { org, .. }: SubjectPath,
    Validated(ExportParams { range, grain, bots }): Validated<ExportParams>,
) -> Result<Response, ApiError> {
    let permit = permits.try_acquire_owned().map_err(|_| ApiError::overloaded())?;
    let request = ExportRequest { range, grain, bots };
    Ok(match exported {
        Exported::Activity => response(format, permit, "", gam_query::export(&ports, &org, request).await?),
        Exported::Sessions => {
            response(format, permit, "-agents", gam_query::agent_export(&ports, &org, request).await?)
        }
    })
}

/// Returns the response that streams the rows. `suffix` ends the name of the file.
fn response<V: RowValues>(
    format: RowFormat,
    permit: OwnedSemaphorePermit,
    suffix: &str,
    Export { org, rows }: Export<V>,
) -> Response {
    let lines = rows.map(move |rows| {
        // The permit belongs to the stream: it is returned at the end, or when the client is gone.
        let _permit = &permit;
        rows.map_err(log_and_break_off).and_then(|rows| format.write(&rows)).map(Bytes::from)
    });
    let header_line = stream::iter([Ok(Bytes::from(format.header_line::<V>()))]);
    let is_not_empty = |chunk: &Bytes| std::future::ready(!chunk.is_empty());
    let body = Body::from_stream(header_line.chain(lines).try_filter(is_not_empty));
    let file_name = format!("attachment; filename=\"{}{suffix}.{}\"", file_stem(&org), format.file_ending());
    let headers =
        [(header::CONTENT_TYPE, format.media_type().to_owned()), (header::CONTENT_DISPOSITION, file_name)];
    (headers, body).into_response()
}

/// Returns the organization's login as a part of a file name.
fn file_stem(org: &str) -> String {
    org.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).collect()
}

/// Logs why an export ends in the middle. The error breaks the connection off, so that the client cannot take the part
/// for the complete export.
fn log_and_break_off(error: QueryError) -> io::Error {
    let error = ApiError::from(error);
    tracing::error!(error = error.cause(), "export ended in the middle");
    io::Error::other("the export failed in the middle")
}

/// The values of a row, as cells of CSV.
trait RowValues: Serialize + Send + 'static {
    /// Returns the names of the columns: those of a metric are its own, or one for each statistic of a distribution.
    fn columns() -> Vec<String>;

    /// Returns the cells of the columns.
    fn cells(&self) -> io::Result<Vec<String>>;
}

impl RowValues for MetricValues {
    fn columns() -> Vec<String> {
        answer::csv::columns(CATALOGUE)
    }

    fn cells(&self) -> io::Result<Vec<String>> {
        cells(self.0.iter().map(|(_, value)| (*value).into()))
    }
}

impl RowValues for AgentMetricValues {
    fn columns() -> Vec<String> {
        answer::agent_csv::columns(AgentMetric::divided_by(None))
    }

    fn cells(&self) -> io::Result<Vec<String>> {
        cells(self.0.iter().map(|(_, value)| *value))
    }
}

/// Returns the cells of values.
fn cells(values: impl Iterator<Item = AgentMetricValue>) -> io::Result<Vec<String>> {
    let mut cells = Vec::new();
    for value in values {
        match value {
            AgentMetricValue::Count(count) => cells.push(count.to_string()),
            AgentMetricValue::Number(value) => cells.push(number(value)?),
            AgentMetricValue::Distribution { count, mean, p50, p90 } => {
                cells.extend([count.to_string(), number(mean)?, number(p50)?, number(p90)?]);
            }
        }
    }
    Ok(cells)
}

fn csv_header<V: RowValues>() -> String {
    let first = ["level", "name", "id", "start", "end"].map(str::to_owned).into_iter();
    first.chain(V::columns()).collect::<Vec<_>>().join(",")
}

fn csv_rows<V: RowValues>(rows: &[ExportRow<V>]) -> io::Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.write_field(row.level.as_str())?;
        writer.write_field(csv_cell(&row.name).as_ref())?;
        writer.write_field(row.id.map(|id| id.to_string()).unwrap_or_default())?;
        writer.write_field(row.start.to_string())?;
        writer.write_field(row.end.to_string())?;
        writer.write_record(row.metrics.cells()?)?;
    }
    writer.into_inner().map_err(|error| error.into_error())
}

/// Returns a number as JSON writes it, so that both formats have the same digits. Empty for `None`.
fn number(value: Option<f64>) -> io::Result<String> {
    Ok(value.map(|value| serde_json::to_string(&value)).transpose()?.unwrap_or_default())
}

fn ndjson_rows<V: RowValues>(rows: &[ExportRow<V>]) -> io::Result<Vec<u8>> {
    let mut lines = Vec::new();
    for row in rows {
        serde_json::to_writer(&mut lines, row)?;
        lines.push(b'\n');
    }
    Ok(lines)
}
