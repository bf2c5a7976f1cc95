//! `…/charts/{metric}.svg`: a chart of one metric of an organization, repository or member, to embed elsewhere.

use std::sync::LazyLock;

use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, header};
use axum::routing::{MethodRouter, get};
use chrono::NaiveDate;
use gam_access::RouteClass;
use gam_model::TimeZone;
use gam_model::metric::Metric;
use gam_query::{MetricValue, QueryPorts, SeriesAnswer, SeriesPoint, SubjectRef};
use serde::Deserialize;

use super::SUBJECT_ERRORS;
use crate::charts::{
    self, Frame, Language, NamedSeries, Placement, Slot, Svg, TimeAxis, Unit, auto_style_source,
};
use crate::complete_days::CompleteDays;
use crate::error::{ApiError, quoted};
use crate::openapi::{Operation, ResponseBody};
use crate::params::{ChartParams, Parameter, QueryParams, SubjectQuery, WithRepoId};
use crate::routes::{Route, RouteMethod};

/// The most buckets of a chart. More would be less than a pixel wide.
const MAX_BUCKETS: u64 = 1000;

/// A chart loads nothing, runs nothing and submits nothing, wherever it is opened. Only its own style sheet applies.
static CONTENT_SECURITY_POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let policy = format!(
        "default-src 'none'; style-src {}; base-uri 'none'; form-action 'none'; sandbox",
        auto_style_source()
    );
    HeaderValue::try_from(policy).expect("the policy is ASCII")
});

pub(crate) fn of_org(path: &'static str) -> Route {
    let summary = "A chart of a metric of an organization by day, week or month, as SVG";
    route(path, get(handle), operation("org", summary, ChartParams::accepted()))
}

pub(crate) fn of_repo(path: &'static str) -> Route {
    let summary = "A chart of a metric of a repository by day, week or month, as SVG";
    route(path, get(handle), operation("repo", summary, WithRepoId::<ChartParams>::accepted()))
}

pub(crate) fn of_member(path: &'static str) -> Route {
    let summary = "A chart of a metric of a member by day, week or month, as SVG";
    route(path, get(handle), operation("member", summary, ChartParams::accepted()))
}

fn route(path: &'static str, handler: MethodRouter<QueryPorts>, operation: Operation) -> Route {
    Route { path, method: RouteMethod::Get, handler, operation, class: RouteClass::Read }
}

fn operation(subject: &str, summary: &str, parameters: Vec<Parameter>) -> Operation {
    Operation {
        id: format!("{subject}_chart"),
        summary: summary.to_owned(),
        parameters,
        response: ResponseBody::Svg,
        request: None,
        no_content: None,
        error_statuses: SUBJECT_ERRORS,
    }
}

/// The metric that the last segment of a path names.
struct ChartName(&'static Metric);

impl<S: Send + Sync> FromRequestParts<S> for ChartName {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        #[derive(Deserialize)]
        struct PathNames {
            chart: String,
        }
        let path = Path::<PathNames>::from_request_parts(parts, state).await;
        let Path(PathNames { chart }) = path.map_err(|_| ApiError::no_such_route(parts.uri.path()))?;
        chart.strip_suffix(".svg").and_then(Metric::named).map(ChartName).ok_or_else(|| {
            ApiError::not_found(format!(
                "no chart {}: expected a metric of /api/v1/metrics and .svg, such as commits.svg",
                quoted(&chart)
            ))
        })
    }
}

async fn handle(
    State(ports): State<QueryPorts>,
    ChartName(metric): ChartName,
    SubjectQuery { org, subject, params }: SubjectQuery<ChartParams>,
) -> Result<([(HeaderName, HeaderValue); 2], String), ApiError> {
    let ChartParams { grain, range, bots, .. } = params;
    let buckets = range.bucket_count(grain);
    if buckets > MAX_BUCKETS {
        return Err(ApiError::invalid(format!(
            "the chart would have {buckets} buckets, but the limit is {MAX_BUCKETS}: use a shorter range or a \
             coarser granularity"
        )));
    }
    let series = gam_query::series(&ports, &org, &subject, metric, grain, range, bots).await?;
    let time_zone = TimeZone::parse(series.context.timezone).unwrap_or(TimeZone::UTC);
    let today = time_zone.day(ports.clock.now());
    // A chart of hundreds of buckets takes longer than an asynchronous thread may be blocked.
    let drawing = tokio::task::spawn_blocking(move || draw(&series, &subject, metric, today, &params));
    let svg = drawing.await.map_err(ApiError::internal)?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("image/svg+xml")),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY.clone()),
    ];
    Ok((headers, svg.into_string()))
}

/// Draws counts as bars, and durations as lines of the median and the 90th percentile.
fn draw(
    series: &SeriesAnswer,
    subject: &SubjectRef,
    metric: &Metric,
    today: NaiveDate,
    params: &ChartParams,
) -> Svg {
    let language = params.language;
    let frame = Frame {
        title: title(series, subject, metric, language),
        placement: Placement::Standalone(params.theme),
        language,
        width: params.width,
        height: (params.width * 3 / 10).clamp(160, 360),
    };
    let time = time_axis(series, today);
    let values = |pick: fn(MetricValue) -> Option<f64>| -> Vec<Option<f64>> {
        series.points.iter().map(|point| pick(point.value)).collect()
    };
    let [median, p90] = charts::duration_names(language).map(str::to_owned);
    if metric.is_distribution() {
        let lines = [
            NamedSeries { name: median, values: values(median_of) },
            NamedSeries { name: p90, values: values(p90_of) },
        ];
        return charts::durations(&frame, &time, Unit::Hours, &lines);
    }
    let counts = NamedSeries { name: frame.title.clone(), values: values(count_of) };
    charts::activity(&frame, &time, Unit::Count, &[counts], None)
}

fn count_of(value: MetricValue) -> Option<f64> {
    match value {
        MetricValue::Count(count) => Some(count as f64),
        MetricValue::Distribution { .. } => None,
    }
}

fn median_of(value: MetricValue) -> Option<f64> {
    match value {
        MetricValue::Distribution { p50, .. } => p50,
        MetricValue::Count(_) => None,
    }
}

fn p90_of(value: MetricValue) -> Option<f64> {
    match value {
        MetricValue::Distribution { p90, .. } => p90,
        MetricValue::Count(_) => None,
    }
}

/// Returns `Commits · Acme/site`. A time zone other than UTC is added.
fn title(series: &SeriesAnswer, subject: &SubjectRef, metric: &Metric, language: Language) -> String {
    let name = match (subject, &series.context.repo, &series.context.member) {
        (SubjectRef::Repo { .. }, Some(repo), _) => format!("{}/{repo}", series.context.org),
        (SubjectRef::Member(_), _, Some(member)) => format!("{member} · {}", series.context.org),
        _ => series.context.org.clone(),
    };
    let zone = if series.context.timezone == "UTC" {
        String::new()
    } else {
        format!(" ({})", series.context.timezone)
    };
    format!("{} · {name}{zone}", charts::metric_title(metric, language))
}

/// Returns the buckets, cut by the range. One is partial if the range cuts it or it is not over, and incomplete if days
/// of it that are in the range are incomplete.
fn time_axis(series: &SeriesAnswer, today: NaiveDate) -> TimeAxis {
    let days = CompleteDays::new(&series.coverage, series.context.timezone, today);
    let slot = |point: &SeriesPoint| {
        let (start, end) = (point.start.max(series.context.since), point.end.min(series.context.until));
        Slot {
            start,
            end,
            is_partial: point.partial || (point.start <= today && today < point.end),
            is_incomplete: days.is_incomplete(start, end),
        }
    };
    TimeAxis { grain: series.granularity, slots: series.points.iter().map(slot).collect() }
}
