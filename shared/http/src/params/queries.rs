//! The query parameters of each route, validated.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use chrono::{Days, NaiveDate};
use gam_model::issue::IssueState;
use gam_model::metric::Metric;
use gam_model::period::FIRST_DAY;
use gam_model::{Grain, Range};
use gam_query::{
    BotFilter, ListRequest, ListSort, Listing, MAX_LIMIT, NameFilter, QueryPorts, SortDirection, SubjectRef,
};
use gam_work::actions::ActionState;
use gam_work::tasks::TaskState;
use serde::Deserialize;

use super::query_string::QueryString;
use super::subject_path::SubjectPath;
use super::{
    BOOLEANS, BOT_FILTERS, COMPARE_PREVIOUS, DEFAULT_CHART_WIDTH, DEFAULT_DAYS, DEFAULT_DURATION_METRIC,
    DEFAULT_LIMIT, DEFAULT_METRIC, ISSUE_STATES, LANGUAGES, MAX_NAME_CHARS, Parameter, SORT_DIRECTIONS,
    THEMES, metric_of_type, value_of,
};
use crate::charts::{Language, MAX_BUCKETS, MAX_WIDTH, MIN_WIDTH, Theme};
use crate::error::ApiError;

/// The query parameters of a route.
pub(crate) trait QueryParams: Sized {
    /// The parameters that the route takes.
    fn accepted() -> Vec<Parameter>;

    /// Validates the parameters and applies the defaults. `today` is the day of the request, in the time zone of the
    /// organization.
    fn from_query(query: &QueryString, today: NaiveDate) -> Result<Self, ApiError>;
}

/// The organization in a path.
#[derive(Deserialize)]
struct OrgName {
    org: String,
}

/// Extracts the validated query parameters of a route.
pub(crate) struct Validated<Q>(pub(crate) Q);

impl<Q: QueryParams> FromRequestParts<QueryPorts> for Validated<Q> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, ports: &QueryPorts) -> Result<Self, ApiError> {
        let query = QueryString::parse(&parts.uri, &Q::accepted())?;
        let has_range = [Parameter::Since, Parameter::Until].iter().all(|end| query.text(*end).is_some());
        let today = match Path::<OrgName>::from_request_parts(parts, ports).await {
            Ok(Path(OrgName { org })) if !has_range => gam_query::today(ports, &org).await?,
            _ => ports.clock.now().date_naive(),
        };
        Q::from_query(&query, today).map(Validated)
    }
}

/// The parameters of a route that takes none.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoParams;

impl QueryParams for NoParams {
    fn accepted() -> Vec<Parameter> {
        vec![]
    }

    fn from_query(_: &QueryString, _: NaiveDate) -> Result<Self, ApiError> {
        Ok(NoParams)
    }
}

/// The parameters of a subject's metrics.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct MetricsParams {
    pub(crate) range: Range,
    pub(crate) bots: BotFilter,
    pub(crate) compare: bool,
}

impl QueryParams for MetricsParams {
    fn accepted() -> Vec<Parameter> {
        vec![Parameter::Since, Parameter::Until, Parameter::Bots, Parameter::Compare]
    }

    fn from_query(query: &QueryString, today: NaiveDate) -> Result<Self, ApiError> {
        let range = parse_range(query, today)?;
        Ok(MetricsParams { range, bots: parse_bots(query)?, compare: parse_compare(query)? })
    }
}

/// The parameters of a histogram.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct HistogramParams {
    pub(crate) metric: &'static Metric,
    pub(crate) range: Range,
    pub(crate) bots: BotFilter,
}

impl QueryParams for HistogramParams {
    fn accepted() -> Vec<Parameter> {
        vec![Parameter::DurationMetric, Parameter::Since, Parameter::Until, Parameter::Bots]
    }

    fn from_query(query: &QueryString, today: NaiveDate) -> Result<Self, ApiError> {
        let range = parse_range(query, today)?;
        let duration_metric = |name: &str| Metric::named(name).filter(|metric| metric.is_distribution());
        let metric = query.choice(Parameter::DurationMetric, duration_metric)?;
        let metric = metric.unwrap_or_else(|| catalogue_metric(DEFAULT_DURATION_METRIC));
        Ok(HistogramParams { metric, range, bots: parse_bots(query)? })
    }
}

/// The parameters of the list of organizations.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct OrgsParams {
    pub(crate) name_filter: Option<NameFilter>,
}

impl QueryParams for OrgsParams {
    fn accepted() -> Vec<Parameter> {
        vec![Parameter::Name]
    }

    fn from_query(query: &QueryString, _: NaiveDate) -> Result<Self, ApiError> {
        Ok(OrgsParams { name_filter: parse_name_filter(query)? })
    }
}

/// The parameters of the list of issues.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct IssuesParams {
    /// `None` for both.
    pub(crate) state: Option<IssueState>,
    pub(crate) label: Option<String>,
    pub(crate) assignee: Option<String>,
    pub(crate) repo: Option<String>,
    /// `None` for both.
    pub(crate) assignable: Option<bool>,
    pub(crate) limit: usize,
    pub(crate) cursor: Option<String>,
}

impl QueryParams for IssuesParams {
    fn accepted() -> Vec<Parameter> {
        vec![
            Parameter::IssueState,
            Parameter::IssueLabel,
            Parameter::IssueAssignee,
            Parameter::IssueRepo,
            Parameter::Assignable,
            Parameter::Limit,
            Parameter::Cursor,
        ]
    }

    fn from_query(query: &QueryString, _: NaiveDate) -> Result<Self, ApiError> {
        let text = |parameter| query.short_text(parameter, MAX_NAME_CHARS).map(|it| it.map(str::to_owned));
        let state = query.choice(Parameter::IssueState, |name| value_of(&ISSUE_STATES, name))?;
        Ok(IssuesParams {
            state: state.unwrap_or(ISSUE_STATES[0].1),
            label: text(Parameter::IssueLabel)?,
            assignee: text(Parameter::IssueAssignee)?,
            repo: text(Parameter::IssueRepo)?,
            assignable: query.choice(Parameter::Assignable, |name| value_of(&BOOLEANS, name))?,
            limit: query.number(Parameter::Limit, MAX_LIMIT)?.unwrap_or(DEFAULT_LIMIT),
            cursor: query.text(Parameter::Cursor).map(str::to_owned),
        })
    }
}

/// The parameters of the list of tasks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TasksParams {
    pub(crate) org: Option<String>,
    pub(crate) state: Option<TaskState>,
    pub(crate) repo: Option<String>,
    pub(crate) limit: usize,
    pub(crate) cursor: Option<String>,
}

impl QueryParams for TasksParams {
    fn accepted() -> Vec<Parameter> {
        vec![
            Parameter::TaskOrg,
            Parameter::TaskState,
            Parameter::TaskRepo,
            Parameter::Limit,
            Parameter::Cursor,
        ]
    }

    fn from_query(query: &QueryString, _: NaiveDate) -> Result<Self, ApiError> {
        let text = |parameter| query.short_text(parameter, MAX_NAME_CHARS).map(|it| it.map(str::to_owned));
        Ok(TasksParams {
            org: text(Parameter::TaskOrg)?,
            state: query.choice(Parameter::TaskState, TaskState::parse)?,
            repo: text(Parameter::TaskRepo)?,
            limit: query.number(Parameter::Limit, MAX_LIMIT)?.unwrap_or(DEFAULT_LIMIT),
            cursor: query.text(Parameter::Cursor).map(str::to_owned),
        })
    }
}

/// The parameters of a request of an action.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ActionParams {
    pub(crate) is_dry_run: bool,
}

impl QueryParams for ActionParams {
    fn accepted() -> Vec<Parameter> {
        vec![Parameter::DryRun]
    }

    fn from_query(query: &QueryString, _: NaiveDate) -> Result<Self, ApiError> {
        let is_dry_run = query.choice(Parameter::DryRun, |name| value_of(&BOOLEANS, name))?;
        Ok(ActionParams { is_dry_run: is_dry_run.unwrap_or_default() })
    }
}

/// The parameters of the list of actions.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ActionsParams {
    pub(crate) org: Option<String>,
    pub(crate) state: Option<ActionState>,
    pub(crate) repo: Option<String>,
    pub(crate) limit: usize,
    pub(crate) cursor: Option<String>,
}

impl QueryParams for ActionsParams {
    fn accepted() -> Vec<Parameter> {
        vec![
            Parameter::TaskOrg,
            Parameter::ActionState,
            Parameter::TaskRepo,
            Parameter::Limit,
            Parameter::Cursor,
        ]
    }

    fn from_query(query: &QueryString, _: NaiveDate) -> Result<Self, ApiError> {
        let text = |parameter| query.short_text(parameter, MAX_NAME_CHARS).map(|it| it.map(str::to_owned));
        Ok(ActionsParams {
            org: text(Parameter::TaskOrg)?,
            state: query.choice(Parameter::ActionState, ActionState::parse)?,
            repo: text(Parameter::TaskRepo)?,
            limit: query.number(Parameter::Limit, MAX_LIMIT)?.unwrap_or(DEFAULT_LIMIT),
            cursor: query.text(Parameter::Cursor).map(str::to_owned),
        })
    }
}

/// The parameters of the audit log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AuditLogParams {
    /// The organization, or `_` for rows of none; `None` for all.
    pub(crate) org: Option<String>,
    pub(crate) after: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) tail: bool,
    pub(crate) limit: usize,
}

impl QueryParams for AuditLogParams {
    fn accepted() -> Vec<Parameter> {
        vec![
            Parameter::AuditOrg,
            Parameter::AuditKind,
            Parameter::AuditAfter,
            Parameter::AuditTail,
            Parameter::Limit,
        ]
    }

    fn from_query(query: &QueryString, _: NaiveDate) -> Result<Self, ApiError> {
        let text = |parameter| query.short_text(parameter, MAX_NAME_CHARS).map(|it| it.map(str::to_owned));
        Ok(AuditLogParams {
            org: text(Parameter::AuditOrg)?,
            after: query.text(Parameter::AuditAfter).map(str::to_owned),
            kind: text(Parameter::AuditKind)?,
            tail: query.choice(Parameter::AuditTail, |name| value_of(&BOOLEANS, name))?.unwrap_or(false),
            limit: query.number(Parameter::Limit, MAX_LIMIT)?.unwrap_or(DEFAULT_LIMIT),
        })
    }
}

/// The parameters of the log of a claim.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LogParams {
    pub(crate) from: u64,
}

impl QueryParams for LogParams {
    fn accepted() -> Vec<Parameter> {
        vec![Parameter::LogFrom]
    }

    fn from_query(query: &QueryString, _: NaiveDate) -> Result<Self, ApiError> {
        let from = query.number_within(Parameter::LogFrom, 0..=usize::MAX >> 1)?.unwrap_or_default();
        Ok(LogParams { from: from as u64 })
    }
}

/// The parameters of a series.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SeriesParams {
    /// At least one.
    pub(crate) metrics: Vec<&'static Metric>,
    pub(crate) grain: Grain,
    pub(crate) range: Range,
    pub(crate) bots: BotFilter,
}

impl QueryParams for SeriesParams {
    fn accepted() -> Vec<Parameter> {
        vec![
            Parameter::Metrics,
            Parameter::Type,
            Parameter::Granularity,
            Parameter::Since,
            Parameter::Until,
            Parameter::Bots,
        ]
    }

    fn from_query(query: &QueryString, today: NaiveDate) -> Result<Self, ApiError> {
        let range = parse_range(query, today)?;
        let bots = parse_bots(query)?;
        let grain = query.choice(Parameter::Granularity, Grain::parse)?.unwrap_or(Grain::Day);
        Ok(SeriesParams { metrics: parse_series_metrics(query)?, grain, range, bots })
    }
}

/// The parameters of an export.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ExportParams {
    pub(crate) range: Range,
    pub(crate) grain: Grain,
    pub(crate) bots: BotFilter,
}

impl QueryParams for ExportParams {
    fn accepted() -> Vec<Parameter> {
        vec![Parameter::Granularity, Parameter::Since, Parameter::Until, Parameter::Bots]
    }

    fn from_query(query: &QueryString, today: NaiveDate) -> Result<Self, ApiError> {
        let range = parse_range(query, today)?;
        let bots = parse_bots(query)?;
        let grain = query.choice(Parameter::Granularity, Grain::parse)?.unwrap_or(Grain::Day);
        Ok(ExportParams { range, grain, bots })
    }
}

/// The parameters of a chart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ChartParams {
    pub(crate) grain: Grain,
    pub(crate) range: Range,
    pub(crate) bots: BotFilter,
    pub(crate) theme: Theme,
    /// The width in pixels.
    pub(crate) width: u32,
    pub(crate) language: Language,
}

impl QueryParams for ChartParams {
    fn accepted() -> Vec<Parameter> {
        vec![
            Parameter::Granularity,
            Parameter::Since,
            Parameter::Until,
            Parameter::Bots,
            Parameter::Theme,
            Parameter::Width,
            Parameter::Lang,
        ]
    }

    fn from_query(query: &QueryString, today: NaiveDate) -> Result<Self, ApiError> {
        let range = parse_range(query, today)?;
        let bots = parse_bots(query)?;
        let grain = query.choice(Parameter::Granularity, Grain::parse)?.unwrap_or_else(|| {
            let mut fine = [Grain::Day, Grain::Week].into_iter();
            fine.find(|grain| range.bucket_count(*grain) <= MAX_BUCKETS).unwrap_or(Grain::Month)
        });
        let theme = query.choice(Parameter::Theme, |name| value_of(&THEMES, name))?.unwrap_or_default();
        let language = query.choice(Parameter::Lang, |name| value_of(&LANGUAGES, name))?.unwrap_or_default();
        let width = query.number_within(Parameter::Width, MIN_WIDTH as usize..=MAX_WIDTH as usize)?;
        let width = width.map_or(DEFAULT_CHART_WIDTH, |width| width as u32);
        Ok(ChartParams { grain, range, bots, theme, width, language })
    }
}

/// The parameters of a listing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ListParams {
    pub(crate) range: Range,
    /// Whether the query string lacks the first day of the range.
    pub(crate) has_default_since: bool,
    /// Whether it lacks the end of the range.
    pub(crate) has_default_until: bool,
    pub(crate) bots: BotFilter,
    pub(crate) sort: ListSort,
    pub(crate) direction: SortDirection,
    pub(crate) name_filter: Option<NameFilter>,
    pub(crate) limit: usize,
    pub(crate) cursor: Option<String>,
    pub(crate) compare: bool,
}

impl ListParams {
    /// Returns the request for a page of this listing.
    pub(crate) fn request(self, listing: Listing) -> ListRequest {
        ListRequest {
            listing,
            range: self.range,
            has_default_since: self.has_default_since,
            has_default_until: self.has_default_until,
            bots: self.bots,
            sort: self.sort,
            direction: self.direction,
            name_filter: self.name_filter,
            limit: self.limit,
            cursor: self.cursor,
            compare: self.compare,
        }
    }
}

impl QueryParams for ListParams {
    fn accepted() -> Vec<Parameter> {
        vec![
            Parameter::Sort,
            Parameter::Order,
            Parameter::Name,
            Parameter::Limit,
            Parameter::Cursor,
            Parameter::Since,
            Parameter::Until,
            Parameter::Bots,
            Parameter::Compare,
        ]
    }

    fn from_query(query: &QueryString, today: NaiveDate) -> Result<Self, ApiError> {
        let MetricsParams { range, bots, compare } = MetricsParams::from_query(query, today)?;
        let sort = query.choice(Parameter::Sort, ListSort::parse)?;
        let sort = sort.unwrap_or_else(|| ListSort::Metric(catalogue_metric(DEFAULT_METRIC)));
        let direction = query.choice(Parameter::Order, |name| value_of(&SORT_DIRECTIONS, name))?;
        let direction = direction.unwrap_or(match sort {
            ListSort::Name => SortDirection::Asc,
            ListSort::Metric(_) => SortDirection::Desc,
        });
        let name_filter = parse_name_filter(query)?;
        let limit = query.number(Parameter::Limit, MAX_LIMIT)?.unwrap_or(DEFAULT_LIMIT);
        let cursor = query.text(Parameter::Cursor).map(str::to_owned);
        Ok(ListParams {
            range,
            has_default_since: query.text(Parameter::Since).is_none(),
            has_default_until: query.text(Parameter::Until).is_none(),
            bots,
            sort,
            direction,
            name_filter,
            limit,
            cursor,
            compare,
        })
    }
}

/// The parameters of a route about a repository.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct WithRepoId<P> {
    pub(crate) id: Option<i64>,
    pub(crate) params: P,
}

impl<P: QueryParams> QueryParams for WithRepoId<P> {
    fn accepted() -> Vec<Parameter> {
        let mut accepted = P::accepted();
        accepted.push(Parameter::Id);
        accepted
    }

    fn from_query(query: &QueryString, today: NaiveDate) -> Result<Self, ApiError> {
        Ok(WithRepoId { id: parse_id(query)?, params: P::from_query(query, today)? })
    }
}

/// The organization and the subject that a path names, and the validated query parameters of its route. A route about a
/// repository also takes the repository's id: its parameters are those of [`WithRepoId`].
pub(crate) struct SubjectQuery<P> {
    pub(crate) org: String,
    pub(crate) subject: SubjectRef,
    pub(crate) params: P,
}

impl<P: QueryParams> FromRequestParts<QueryPorts> for SubjectQuery<P> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, ports: &QueryPorts) -> Result<Self, ApiError> {
        let path = SubjectPath::from_request_parts(parts, ports).await?;
        let (id, params) = if matches!(path.subject, SubjectRef::Repo { .. }) {
            let Validated(WithRepoId { id, params }) = Validated::from_request_parts(parts, ports).await?;
            (id, params)
        } else {
            let Validated(params) = Validated::from_request_parts(parts, ports).await?;
            (None, params)
        };
        let SubjectPath { org, subject } = path.with_repo_id(id);
        Ok(SubjectQuery { org, subject, params })
    }
}

/// Parses a repository's id.
fn parse_id(query: &QueryString) -> Result<Option<i64>, ApiError> {
    let id = query.number(Parameter::Id, i64::MAX as usize)?;
    Ok(id.and_then(|id| i64::try_from(id).ok()))
}

fn catalogue_metric(name: &str) -> &'static Metric {
    Metric::named(name).expect("the default metric is in the catalogue")
}

fn parse_bots(query: &QueryString) -> Result<BotFilter, ApiError> {
    let bots = query.choice(Parameter::Bots, |name| value_of(&BOT_FILTERS, name))?;
    Ok(bots.unwrap_or_default())
}

/// Returns whether a comparison is requested.
fn parse_compare(query: &QueryString) -> Result<bool, ApiError> {
    let compare = query.choice(Parameter::Compare, |name| (name == COMPARE_PREVIOUS).then_some(()))?;
    Ok(compare.is_some())
}

fn parse_name_filter(query: &QueryString) -> Result<Option<NameFilter>, ApiError> {
    let text = query.short_text(Parameter::Name, MAX_NAME_CHARS)?;
    // A form sends the empty text of an unused field.
    Ok(text.filter(|text| !text.is_empty()).map(NameFilter::new))
}

/// Parses `metric` and `type`. A request may have both if they name the same metric.
fn parse_series_metrics(query: &QueryString) -> Result<Vec<&'static Metric>, ApiError> {
    let metrics = query.choices(Parameter::Metrics, Metric::named)?;
    let by_type = query.choice(Parameter::Type, metric_of_type)?;
    match (metrics.as_slice(), by_type) {
        ([], by_type) => Ok(vec![by_type.unwrap_or_else(|| catalogue_metric(DEFAULT_METRIC))]),
        (_, None) => Ok(metrics),
        ([metric], Some(by_type)) if *metric == by_type => Ok(metrics),
        (several, Some(by_type)) => Err(ApiError::invalid(format!(
            "`metric` {:?} and `type` {:?} disagree: this type is short for metric {:?}; send only one of them",
            several.iter().map(|metric| metric.name).collect::<Vec<_>>().join(", "),
            query.text(Parameter::Type).unwrap_or_default(),
            by_type.name
        ))),
    }
}

/// Parses `since` and `until`. The default of `until` is tomorrow. The default of `since` makes the
/// range [`DEFAULT_DAYS`] long.
fn parse_range(query: &QueryString, today: NaiveDate) -> Result<Range, ApiError> {
    let (since, until) = (query.day(Parameter::Since)?, query.day(Parameter::Until)?);
    let end = until.unwrap_or(today + Days::new(1));
    let start = since.unwrap_or((end - Days::new(DEFAULT_DAYS)).max(FIRST_DAY));
    Range::new(start, end).ok_or_else(|| {
        let end = match until {
            Some(until) => until.to_string(),
            None => format!("{end}, the default: tomorrow"),
        };
        ApiError::invalid(format!(
            "`since` ({start}) must be before `until` ({end}): `until` is exclusive, so the smallest valid value \
             is the day after `since`"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    /// Parses a query string on 2024-03-10.
    fn parse<Q: QueryParams>(query: &str) -> Result<Q, ApiError> {
        let query = QueryString::parse(&format!("/x?{query}").parse().unwrap(), &Q::accepted())?;
        Q::from_query(&query, day("2024-03-10"))
    }

    fn range(query: &str) -> (NaiveDate, NaiveDate) {
        let range = parse::<MetricsParams>(query).unwrap().range;
        (range.since(), range.until())
    }

    fn message<Q: QueryParams>(query: &str) -> String {
        format!("{:?}", parse::<Q>(query).err().expect("an error"))
    }

    #[test]
    fn the_default_range_is_thirty_days_up_to_today() {
        assert_eq!(range(""), (day("2024-02-10"), day("2024-03-11")));
        assert_eq!(range("since=2024-03-01"), (day("2024-03-01"), day("2024-03-11")));
        assert_eq!(range("until=2024-02-01"), (day("2024-01-02"), day("2024-02-01")));
        assert_eq!(range("until=1970-01-05"), (day("1970-01-01"), day("1970-01-05")));
        assert_eq!(range("since=1970-01-01&until=9999-01-01"), (day("1970-01-01"), day("9999-01-01")));
        assert_eq!(range("since=2024-03-10"), (day("2024-03-10"), day("2024-03-11")));
    }

    #[test]
    fn an_empty_or_inverted_range_is_invalid() {
        for query in [
            "since=2024-02-02&until=2024-02-02",
            "since=2024-02-03&until=2024-02-02",
            "since=2024-03-11",
            "until=1970-01-01",
        ] {
            assert!(message::<MetricsParams>(query).contains("`until` is exclusive"), "{query}");
        }
        let only_since = message::<MetricsParams>("since=2024-04-01");
        assert!(
            only_since
                .contains("`since` (2024-04-01) must be before `until` (2024-03-11, the default: tomorrow)"),
            "{only_since}"
        );
    }

    #[test]
    fn bots_count_in_deliveries_by_default() {
        assert_eq!(parse::<MetricsParams>("").unwrap().bots, BotFilter::Auto);
        assert_eq!(parse::<MetricsParams>("bots=auto").unwrap().bots, BotFilter::Auto);
        assert_eq!(parse::<MetricsParams>("bots=exclude").unwrap().bots, BotFilter::Exclude);
        assert_eq!(parse::<MetricsParams>("bots=include").unwrap().bots, BotFilter::Include);
        assert_eq!(parse::<MetricsParams>("bots=only").unwrap().bots, BotFilter::Only);
        assert!(message::<MetricsParams>("bots=no").contains("auto, exclude, include, only"));
    }

    #[test]
    fn a_series_takes_a_metric_or_a_type() {
        let metric = |query: &str| {
            let metrics = parse::<SeriesParams>(query).unwrap().metrics.into_iter();
            metrics.map(|metric| metric.name).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(metric(""), "commits");
        assert_eq!(metric("metric=cycle_time_hours"), "cycle_time_hours");
        assert_eq!(metric("type=commit"), "commits");
        assert_eq!(metric("type=pull_request"), "prs_opened");
        assert_eq!(metric("type=code_change"), "lines_changed");
        assert_eq!(metric("type=deploy&metric=deploys"), "deploys");
        assert_eq!(metric("metric=reviews&metric=commits"), "reviews commits");
        assert!(message::<SeriesParams>("metric=reviews&metric=reviews").contains("send each value once"));
        let several = message::<SeriesParams>("type=commit&metric=commits&metric=reviews");
        assert!(several.contains("commits, reviews") && several.contains("disagree"), "{several}");
        let both = message::<SeriesParams>("type=deploy&metric=commits");
        assert!(both.contains("disagree") && both.contains("deploys"), "{both}");
        assert!(
            message::<SeriesParams>("type=commits").contains("commit, pull_request, code_change, deploy")
        );
        assert!(message::<SeriesParams>("metric=stars").contains("commits, merge_commits"));
    }

    #[test]
    fn a_series_has_daily_buckets_by_default() {
        let grain = |query: &str| parse::<SeriesParams>(query).unwrap().grain;
        assert_eq!(grain(""), Grain::Day);
        assert_eq!(grain("granularity=week"), Grain::Week);
        assert_eq!(grain("granularity=month"), Grain::Month);
        assert!(message::<SeriesParams>("granularity=year").contains("day, week, month"));
    }

    #[test]
    fn a_chart_follows_the_system_by_default() {
        let params = parse::<ChartParams>("").unwrap();
        assert_eq!((params.theme, params.width, params.grain), (Theme::Auto, 680, Grain::Day));
        assert_eq!((params.language, params.bots), (Language::English, BotFilter::Auto));
        let params = parse::<ChartParams>("theme=dark&width=1600&lang=ja&granularity=week").unwrap();
        assert_eq!((params.theme, params.width, params.grain), (Theme::Dark, 1600, Grain::Week));
        assert_eq!(params.language, Language::Japanese);
        for width in ["239", "1601", "0", "-1", "wide"] {
            let message = message::<ChartParams>(&format!("width={width}"));
            assert!(message.contains("from 240 to 1600"), "{message}");
        }
        assert!(message::<ChartParams>("theme=pink").contains("light, dark, auto"));
        assert!(message::<ChartParams>("lang=fr").contains("en, ja"));
        assert!(message::<ChartParams>("metric=commits").contains("takes granularity, since"));
    }

    #[test]
    fn a_listing_starts_with_the_most_commits_by_default() {
        let params = parse::<ListParams>("").unwrap();
        assert_eq!(
            (params.sort.as_str(), params.direction, params.limit),
            ("commits", SortDirection::Desc, 50)
        );
        assert_eq!((params.cursor, params.name_filter, params.compare), (None, None, false));
        let params = parse::<ListParams>("sort=reviews&order=asc&limit=1000&cursor=a%2Bb").unwrap();
        assert_eq!(
            (params.sort.as_str(), params.direction, params.limit),
            ("reviews", SortDirection::Asc, 1000)
        );
        assert_eq!(params.cursor.as_deref(), Some("a+b"));
        assert!(message::<ListParams>("order=up").contains("asc, desc"));
        assert!(message::<ListParams>("sort=id").contains("name, commits"));
        assert!(message::<ListParams>("metric=commits").contains("takes sort, order"));
    }
    #[test]
    fn a_listing_by_name_starts_with_a_by_default() {
        let order = |query: &str| {
            let params = parse::<ListParams>(query).unwrap();
            (params.sort, params.direction)
        };
        assert_eq!(order("sort=name"), (ListSort::Name, SortDirection::Asc));
        assert_eq!(order("sort=name&order=desc"), (ListSort::Name, SortDirection::Desc));
    }

    #[test]
    fn a_name_filter_has_at_most_100_characters() {
        let filter = |query: &str| parse::<OrgsParams>(query).unwrap().name_filter;
        assert_eq!(filter("q=Ac%20me"), Some(NameFilter::new("ac me")));
        assert_eq!(filter("q="), None);
        assert_eq!(filter(""), None);
        assert!(parse::<ListParams>(&format!("q={}", "%C3%A4".repeat(100))).is_ok());
        assert!(message::<ListParams>(&format!("q={}", "x".repeat(101))).contains("at most 100 characters"));
    }

    #[test]
    fn a_comparison_has_one_value() {
        assert!(parse::<MetricsParams>("compare=previous").unwrap().compare);
        assert!(parse::<ListParams>("compare=previous").unwrap().compare);
        assert!(message::<MetricsParams>("compare=next").contains("expected one of previous"));
    }

    #[test]
    fn a_histogram_takes_metrics_with_durations() {
        let metric = |query: &str| parse::<HistogramParams>(query).unwrap().metric.name;
        assert_eq!(metric(""), "cycle_time_hours");
        assert_eq!(metric("metric=first_review_hours"), "first_review_hours");
        let error = message::<HistogramParams>("metric=commits");
        assert!(error.contains("cycle_time_hours, first_review_hours"), "{error}");
        assert!(message::<HistogramParams>("metric=commits&metric=commits").contains("repeated parameter"));
    }
}
