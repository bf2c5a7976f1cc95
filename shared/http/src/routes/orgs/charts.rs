//! `…/charts/{metric}.svg`: a chart of one metric of an organization, repository or member, to embed elsewhere.

use std::sync::LazyLock;

use async_trait::async_trait;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, header};
use axum::routing::{MethodRouter, get};
use chrono::NaiveDate;
use gam_access::RouteClass;
use gam_model::agent_metric::AgentAggregation;
use gam_model::metric::Metric;
use gam_model::{AgentMetric, Grain, Range, TimeZone, error_chain};
use gam_notify::{ChartSource, NotifyError, PictureRequest};
use gam_query::{
    AgentMetricValue, AgentSeriesAnswer, AgentSeriesRequest, AnswerContext, BotFilter, CoverageAnswer,
    QueryPorts, SeriesAnswer, SubjectRef,
};
use serde::Deserialize;
use tokio::task::JoinError;

use super::SUBJECT_ERRORS;
use crate::charts::{
    self, Frame, Language, MAX_BUCKETS, NamedSeries, Placement, Slot, Svg, Theme, TimeAxis, Unit,
    auto_style_source,
};
use crate::complete_days::CompleteDays;
use crate::error::{ApiError, quoted};
use crate::openapi::{Operation, ResponseBody};
use crate::params::{ChartParams, Parameter, QueryParams, SubjectQuery, WithRepoId};
use crate::routes::{Route, RouteMethod};

/// The width of the chart of a digest, in pixels.
const DIGEST_CHART_WIDTH: u32 = 640;

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

/// What the last segment of a path names.
#[derive(Clone, Copy)]
enum ChartMetric {
    /// A metric of activity on GitHub.
    Activity(&'static Metric),
    /// A metric of sessions of coding agents.
    Sessions(&'static AgentMetric),
}

impl ChartMetric {
    fn named(name: &str) -> Option<Self> {
        let of_sessions = || AgentMetric::named(name).map(ChartMetric::Sessions);
        Metric::named(name).map(ChartMetric::Activity).or_else(of_sessions)
    }

    fn title(self, language: Language) -> String {
        match self {
            ChartMetric::Activity(metric) => charts::metric_title(metric, language),
            ChartMetric::Sessions(metric) => charts::agent_metric_title(metric, language),
        }
    }
}

/// The metric that the last segment of a path names.
struct ChartName(ChartMetric);

impl<S: Send + Sync> FromRequestParts<S> for ChartName {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        #[derive(Deserialize)]
        struct PathNames {
            chart: String,
        }
        let path = Path::<PathNames>::from_request_parts(parts, state).await;
        let Path(PathNames { chart }) = path.map_err(|_| ApiError::no_such_route(parts.uri.path()))?;
        chart.strip_suffix(".svg").and_then(ChartMetric::named).map(ChartName).ok_or_else(|| {
            ApiError::not_found(format!(
                "no chart {}: expected a metric of /api/v1/metrics or of sessions and .svg, such as commits.svg or \
                 agent_sessions.svg",
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
    let series = match metric {
        ChartMetric::Activity(metric) => {
            let series = gam_query::series(&ports, &org, &subject, metric, grain, range, bots).await?;
            ChartSeries::of_activity(series, metric, &params)
        }
        ChartMetric::Sessions(metric) => {
            let request = AgentSeriesRequest {
                subject: subject.clone(),
                metric,
                by: None,
                grain,
                range,
                bots,
                limit: 1,
            };
            ChartSeries::of_sessions(gam_query::agent_series(&ports, &org, &request).await?, metric, &params)
        }
    };
    let svg = draw_apart(&ports, series, subject, metric, params).await.map_err(ApiError::internal)?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("image/svg+xml")),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY.clone()),
    ];
    Ok((headers, svg.into_string()))
}

/// Draws on another thread: a chart of hundreds of buckets takes longer than an asynchronous thread may be blocked.
async fn draw_apart(
    ports: &QueryPorts,
    series: ChartSeries,
    subject: SubjectRef,
    metric: ChartMetric,
    params: ChartParams,
) -> Result<Svg, JoinError> {
    let time_zone = TimeZone::parse(series.context.timezone).unwrap_or(TimeZone::UTC);
    let today = time_zone.day(ports.clock.now());
    tokio::task::spawn_blocking(move || draw(&series, &subject, metric, today, &params)).await
}

/// Draws the charts of digests, as the route does.
pub struct DigestCharts {
    ports: QueryPorts,
}

impl DigestCharts {
    /// Connects to the ports of queries.
    pub fn new(ports: QueryPorts) -> Self {
        DigestCharts { ports }
    }
}

#[async_trait]
impl ChartSource for DigestCharts {
    async fn svg(&self, request: &PictureRequest) -> gam_notify::Result<String> {
        let PictureRequest { org, metric, since, until, language } = request;
        let failed = |what: String| NotifyError::Facts { what };
        let metric = Metric::named(metric).ok_or_else(|| failed(format!("there is no metric {metric}")))?;
        let range = Range::new(*since, *until)
            .ok_or_else(|| failed("the days of a picture are no range".to_owned()))?;
        let params = ChartParams {
            grain: Grain::Day,
            range,
            bots: BotFilter::Auto,
            theme: Theme::Light,
            width: DIGEST_CHART_WIDTH,
            language: match language {
                gam_model::notify::Language::English => Language::English,
                gam_model::notify::Language::Japanese => Language::Japanese,
            },
        };
        let subject = SubjectRef::Org;
        let series =
            gam_query::series(&self.ports, org, &subject, metric, params.grain, range, params.bots).await;
        let series = series.map_err(|error| failed(error_chain(&error)))?;
        let series = ChartSeries::of_activity(series, metric, &params);
        let metric = ChartMetric::Activity(metric);
        let svg = draw_apart(&self.ports, series, subject, metric, params).await;
        svg.map(Svg::into_string).map_err(|error| failed(error.to_string()))
    }
}

/// How the values of a chart are drawn.
enum ChartForm {
    /// As bars, in this unit.
    Bars(Unit),
    /// As lines, in this unit.
    Lines(Unit),
}

/// A series, ready to be drawn.
struct ChartSeries {
    context: AnswerContext,
    /// From when until when the numbers are complete; of sessions, nothing is known of that.
    coverage: CoverageAnswer,
    grain: Grain,
    /// The buckets: first day, day after the last, and whether the range cuts it.
    buckets: Vec<(NaiveDate, NaiveDate, bool)>,
    form: ChartForm,
    /// The lines. The name of the only series is that of the chart.
    lines: Vec<NamedSeries>,
}

impl ChartSeries {
    fn of_activity(series: SeriesAnswer, metric: &Metric, params: &ChartParams) -> Self {
        let values = series.points.iter().map(|point| AgentMetricValue::from(point.value)).collect();
        let form = match metric.is_distribution() {
            true => ChartForm::Lines(Unit::Hours),
            false => ChartForm::Bars(Unit::Count),
        };
        ChartSeries {
            buckets: series.points.iter().map(|point| (point.start, point.end, point.partial)).collect(),
            lines: lines(values, metric.is_distribution(), 1.0, params.language),
            form,
            context: series.context,
            coverage: series.coverage,
            grain: series.granularity,
        }
    }

    fn of_sessions(series: AgentSeriesAnswer, metric: &AgentMetric, params: &ChartParams) -> Self {
        let points = series.points.unwrap_or_default();
        let (form, factor) = match metric.aggregation {
            AgentAggregation::SessionLength => (ChartForm::Lines(Unit::Hours), 1.0),
            // Without calls there is no share. A line can have gaps.
            AgentAggregation::Rate(..) => (ChartForm::Lines(Unit::Count), 100.0),
            AgentAggregation::Hours(_) => (ChartForm::Bars(Unit::Hours), 1.0),
            AgentAggregation::Dollars(_) => (ChartForm::Bars(Unit::Dollars), 1.0),
            AgentAggregation::Count(_) | AgentAggregation::DistinctMembers => {
                (ChartForm::Bars(Unit::Count), 1.0)
            }
        };
        let values = points.iter().map(|point| point.value).collect();
        ChartSeries {
            buckets: points.iter().map(|point| (point.start, point.end, point.partial)).collect(),
            lines: lines(values, metric.is_distribution(), factor, params.language),
            form,
            context: series.context,
            coverage: CoverageAnswer::default(),
            grain: series.granularity,
        }
    }
}

/// Returns the lines of a chart: of distributions the median and the 90th percentile, else the values.
fn lines(
    values: Vec<AgentMetricValue>,
    is_distribution: bool,
    factor: f64,
    language: Language,
) -> Vec<NamedSeries> {
    let of = |pick: fn(AgentMetricValue) -> Option<f64>| -> Vec<Option<f64>> {
        values.iter().map(|value| pick(*value).map(|number| number * factor)).collect()
    };
    if is_distribution {
        let [median, p90] = charts::duration_names(language).map(str::to_owned);
        let p90_of = |value| match value {
            AgentMetricValue::Distribution { p90, .. } => p90,
            AgentMetricValue::Count(_) | AgentMetricValue::Number(_) => None,
        };
        return vec![
            NamedSeries { name: median, values: of(AgentMetricValue::number) },
            NamedSeries { name: p90, values: of(p90_of) },
        ];
    }
    vec![NamedSeries { name: String::new(), values: of(AgentMetricValue::number) }]
}

/// Draws counts as bars, and durations as lines of the median and the 90th percentile.
fn draw(
    series: &ChartSeries,
    subject: &SubjectRef,
    metric: ChartMetric,
    today: NaiveDate,
    params: &ChartParams,
) -> Svg {
    let language = params.language;
    let frame = Frame {
        title: title(&series.context, subject, metric, language),
        placement: Placement::Standalone(params.theme),
        language,
        width: params.width,
        height: (params.width * 3 / 10).clamp(160, 360),
    };
    let time = time_axis(series, today);
    let mut lines = series.lines.clone();
    if let [only] = &mut lines[..] {
        only.name.clone_from(&frame.title);
    }
    match series.form {
        ChartForm::Bars(unit) => charts::activity(&frame, &time, unit, &lines, None),
        ChartForm::Lines(unit) => charts::durations(&frame, &time, unit, &lines),
    }
}

/// Returns `Commits · Acme/site`. A time zone other than UTC is added.
fn title(context: &AnswerContext, subject: &SubjectRef, metric: ChartMetric, language: Language) -> String {
    let name = match (subject, &context.repo, &context.member) {
        (SubjectRef::Repo { .. }, Some(repo), _) => format!("{}/{repo}", context.org),
        (SubjectRef::Member(_), _, Some(member)) => format!("{member} · {}", context.org),
        _ => context.org.clone(),
    };
    let zone = if context.timezone == "UTC" { String::new() } else { format!(" ({})", context.timezone) };
    format!("{} · {name}{zone}", metric.title(language))
}

/// Returns the buckets, cut by the range. One is partial if the range cuts it or it is not over, and incomplete if days
/// of it that are in the range are incomplete.
fn time_axis(series: &ChartSeries, today: NaiveDate) -> TimeAxis {
    let days = CompleteDays::new(&series.coverage, series.context.timezone, today);
    let slot = |&(start, end, is_cut): &(NaiveDate, NaiveDate, bool)| {
        let is_current = start <= today && today < end;
        let (start, end) = (start.max(series.context.since), end.min(series.context.until));
        Slot { start, end, is_partial: is_cut || is_current, is_incomplete: days.is_incomplete(start, end) }
    };
    TimeAxis { grain: series.grain, slots: series.buckets.iter().map(slot).collect() }
}
