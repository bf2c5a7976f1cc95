//! The parameters of the routes, their values and defaults, and their strict parsing.
//!
//! [`Parameter`] is the only definition of each query parameter. The parser and the OpenAPI document
//! both use it.

mod agent_queries;
mod json_body;
mod page_form;
mod queries;
mod query_string;
mod subject_path;

pub(crate) use agent_queries::{AgentListParams, AgentPrsParams, AgentSeriesParams};
pub(crate) use json_body::JsonBody;
pub(crate) use page_form::{FromOwnPage, PageForm};
pub(crate) use queries::{
    ActionParams, ActionsParams, AuditLogParams, ChartParams, ExportParams, HistogramParams, IssuesParams,
    ListParams, LogParams, MetricsParams, NoParams, OrgsParams, QueryParams, SeriesParams, SubjectQuery,
    TasksParams, Validated, WithRepoId,
};
pub(crate) use subject_path::{PathParams, SubjectPath};

use gam_model::agent_metric::AGENT_CATALOGUE;
use gam_model::issue::IssueState;
use gam_model::metric::{CATALOGUE, Metric};
use gam_model::{AgentDimension, Grain};
use gam_query::{AgentListing, BotFilter, ListSort, SortDirection};
use gam_work::actions::ActionState;
use gam_work::tasks::TaskState;

use crate::charts::{Language, Theme};

/// The length of the default range, in days. Its last day is today.
pub(crate) const DEFAULT_DAYS: u64 = 30;
/// The default of `limit`.
pub(crate) const DEFAULT_LIMIT: usize = 50;
/// The default of `width`, in pixels.
pub(crate) const DEFAULT_CHART_WIDTH: u32 = 680;
/// The default of `metric` and `sort`.
pub(crate) const DEFAULT_METRIC: &str = "commits";
/// The default of a histogram's `metric`.
pub(crate) const DEFAULT_DURATION_METRIC: &str = "cycle_time_hours";
/// The default of how many parts a divided series names.
pub(crate) const DEFAULT_PARTS: usize = 8;
/// The most characters of `q`.
pub(crate) const MAX_NAME_CHARS: usize = 100;

/// A query parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parameter {
    Id,
    Since,
    Until,
    Bots,
    Compare,
    /// The metrics of a series. It can be repeated.
    Metrics,
    /// The metric of a histogram.
    DurationMetric,
    Type,
    Granularity,
    Sort,
    Order,
    Name,
    Limit,
    Cursor,
    Theme,
    Width,
    Lang,
    IssueState,
    IssueLabel,
    IssueAssignee,
    IssueRepo,
    Assignable,
    TaskOrg,
    TaskState,
    TaskRepo,
    ActionState,
    DryRun,
    /// The part of a log at which a page begins.
    LogFrom,
    AuditOrg,
    AuditKind,
    AuditAfter,
    AuditTail,
    /// What the entries of a list about sessions are.
    AgentBy,
    /// What a series of sessions is divided by.
    AgentDivision,
    AgentMetric,
    AgentSort,
    AgentOrder,
    /// The most parts that a divided series names.
    AgentParts,
}

/// The values of `bots`.
const BOT_FILTERS: [(&str, BotFilter); 4] = [
    ("auto", BotFilter::Auto),
    ("exclude", BotFilter::Exclude),
    ("include", BotFilter::Include),
    ("only", BotFilter::Only),
];

/// The values of a parameter that is true or false.
const BOOLEANS: [(&str, bool); 2] = [("true", true), ("false", false)];

/// The values of `state` of issues, the default first.
const ISSUE_STATES: [(&str, Option<IssueState>); 3] =
    [("open", Some(IssueState::Open)), ("closed", Some(IssueState::Closed)), ("all", None)];

/// The values of `theme`.
const THEMES: [(&str, Theme); 3] = [("light", Theme::Light), ("dark", Theme::Dark), ("auto", Theme::Auto)];

/// The values of `lang`.
const LANGUAGES: [(&str, Language); 2] = [("en", Language::English), ("ja", Language::Japanese)];
/// The value of `compare`.
pub(crate) const COMPARE_PREVIOUS: &str = "previous";

/// The values of `order`.
const SORT_DIRECTIONS: [(&str, SortDirection); 2] =
    [("asc", SortDirection::Asc), ("desc", SortDirection::Desc)];

/// The values of `type`, and the metric that each is short for.
const TYPES: [(&str, &str); 4] = [
    ("commit", "commits"),
    ("pull_request", "prs_opened"),
    ("code_change", "lines_changed"),
    ("deploy", "deploys"),
];

impl Parameter {
    /// Returns the name in the query string.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Parameter::Id => "id",
            Parameter::Since => "since",
            Parameter::Until => "until",
            Parameter::Bots => "bots",
            Parameter::Compare => "compare",
            Parameter::Metrics | Parameter::DurationMetric => "metric",
            Parameter::Type => "type",
            Parameter::Granularity => "granularity",
            Parameter::Sort => "sort",
            Parameter::Order => "order",
            Parameter::Name => "q",
            Parameter::Limit => "limit",
            Parameter::Cursor => "cursor",
            Parameter::Theme => "theme",
            Parameter::Width => "width",
            Parameter::Lang => "lang",
            Parameter::IssueState => "state",
            Parameter::IssueLabel => "label",
            Parameter::IssueAssignee => "assignee",
            Parameter::IssueRepo => "repo",
            Parameter::Assignable => "assignable",
            Parameter::TaskOrg => "org",
            Parameter::TaskState | Parameter::ActionState => "state",
            Parameter::DryRun => "dry_run",
            Parameter::TaskRepo => "repo",
            Parameter::LogFrom => "from",
            Parameter::AuditOrg => "org",
            Parameter::AuditKind => "kind",
            Parameter::AuditAfter => "after",
            Parameter::AuditTail => "tail",
            Parameter::AgentBy | Parameter::AgentDivision => "by",
            Parameter::AgentMetric => "metric",
            Parameter::AgentSort => "sort",
            Parameter::AgentOrder => "order",
            Parameter::AgentParts => "parts",
        }
    }

    /// Returns whether a request can have the parameter several times.
    pub(crate) fn is_repeatable(self) -> bool {
        self == Parameter::Metrics
    }

    /// Returns every valid value, or `None` if the values are not a fixed set.
    pub(crate) fn values(self) -> Option<Vec<&'static str>> {
        match self {
            Parameter::Bots => Some(BOT_FILTERS.map(|(name, _)| name).to_vec()),
            Parameter::Order | Parameter::AgentOrder => Some(SORT_DIRECTIONS.map(|(name, _)| name).to_vec()),
            Parameter::AgentBy => Some(AgentListing::ALL.map(AgentListing::as_str).to_vec()),
            Parameter::AgentDivision => Some(AgentDimension::ALL.map(AgentDimension::as_str).to_vec()),
            Parameter::AgentMetric | Parameter::AgentSort => {
                Some(AGENT_CATALOGUE.iter().map(|metric| metric.name).collect())
            }
            Parameter::Type => Some(TYPES.map(|(name, _)| name).to_vec()),
            Parameter::Granularity => Some(Grain::ALL.map(Grain::as_str).to_vec()),
            Parameter::Theme => Some(THEMES.map(|(name, _)| name).to_vec()),
            Parameter::Lang => Some(LANGUAGES.map(|(name, _)| name).to_vec()),
            Parameter::Compare => Some(vec![COMPARE_PREVIOUS]),
            Parameter::Metrics => Some(CATALOGUE.iter().map(|metric| metric.name).collect()),
            Parameter::DurationMetric => {
                let durations = CATALOGUE.iter().filter(|metric| metric.is_distribution());
                Some(durations.map(|metric| metric.name).collect())
            }
            Parameter::Sort => {
                let metrics = CATALOGUE.iter().map(ListSort::Metric);
                Some([ListSort::Name].into_iter().chain(metrics).map(ListSort::as_str).collect())
            }
            Parameter::TaskState => Some(TaskState::ALL.map(TaskState::as_str).to_vec()),
            Parameter::ActionState => Some(ActionState::ALL.map(ActionState::as_str).to_vec()),
            Parameter::DryRun => Some(BOOLEANS.map(|(name, _)| name).to_vec()),
            Parameter::IssueState => Some(ISSUE_STATES.map(|(name, _)| name).to_vec()),
            Parameter::Assignable | Parameter::AuditTail => Some(BOOLEANS.map(|(name, _)| name).to_vec()),
            Parameter::TaskOrg
            | Parameter::TaskRepo
            | Parameter::IssueLabel
            | Parameter::IssueAssignee
            | Parameter::IssueRepo
            | Parameter::LogFrom
            | Parameter::AuditOrg
            | Parameter::AuditKind
            | Parameter::AuditAfter
            | Parameter::Id
            | Parameter::Since
            | Parameter::Until
            | Parameter::Name
            | Parameter::Limit
            | Parameter::Cursor
            | Parameter::AgentParts
            | Parameter::Width => None,
        }
    }

    /// Returns the default value, or `None` if there is none or it is not a fixed text.
    pub(crate) fn default_value(self) -> Option<&'static str> {
        match self {
            Parameter::Bots => Some(name_of(&BOT_FILTERS, BotFilter::default())),
            Parameter::Granularity => Some(Grain::Day.as_str()),
            Parameter::Theme => Some(name_of(&THEMES, Theme::default())),
            Parameter::Lang => Some(name_of(&LANGUAGES, Language::default())),
            Parameter::IssueState => Some(ISSUE_STATES[0].0),
            Parameter::AuditTail => Some("false"),
            Parameter::AgentBy => Some(AgentListing::ALL[0].as_str()),
            Parameter::AgentOrder => Some(name_of(&SORT_DIRECTIONS, SortDirection::default())),
            Parameter::Sort => Some(DEFAULT_METRIC),
            Parameter::DurationMetric => Some(DEFAULT_DURATION_METRIC),
            // The default of `order` depends on `sort`, that of a metric of agents on `by`, and that of `metric` is a list.
            Parameter::Order
            | Parameter::AgentMetric
            | Parameter::AgentDivision
            | Parameter::AgentSort
            | Parameter::AgentParts
            | Parameter::Metrics
            | Parameter::Compare
            | Parameter::IssueLabel
            | Parameter::IssueAssignee
            | Parameter::IssueRepo
            | Parameter::Assignable
            | Parameter::TaskOrg
            | Parameter::TaskState
            | Parameter::ActionState
            | Parameter::DryRun
            | Parameter::TaskRepo
            | Parameter::LogFrom
            | Parameter::AuditOrg
            | Parameter::AuditKind
            | Parameter::AuditAfter
            | Parameter::Id
            | Parameter::Name
            | Parameter::Type
            | Parameter::Since
            | Parameter::Until
            | Parameter::Limit
            | Parameter::Cursor
            | Parameter::Width => None,
        }
    }
}

fn name_of<T: Copy + PartialEq>(table: &[(&'static str, T)], value: T) -> &'static str {
    table.iter().find(|(_, it)| *it == value).map(|(name, _)| *name).expect("the table holds every value")
}

fn value_of<T: Copy>(table: &[(&'static str, T)], name: &str) -> Option<T> {
    table.iter().find(|(it, _)| *it == name).map(|(_, value)| *value)
}

/// Returns the metric that a value of `type` is short for.
fn metric_of_type(name: &str) -> Option<&'static Metric> {
    value_of(&TYPES, name).and_then(Metric::named)
}
