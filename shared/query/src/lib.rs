//! Use case query: answers about an organization, its repositories and members, from stored items.
//!
//! Every answer derives from the items of one epoch, so from one set of rules: a reader loads the head, reads, loads
//! the head again, and starts over if another epoch became active. A subject's metrics or series over any range take
//! one range read of its days, and the markers. The same read says whether a member exists and what its latest name
//! is.

mod agents;
mod answer_stamp;
mod answers;
mod candidates;
mod comparison;
mod cursor;
mod dashboard;
mod deserialize;
mod error;
mod export;
mod histogram;
mod list;
mod list_order;
mod metrics;
mod org_reader;
mod orgs;
mod ports;
mod quote;
mod read_items;
mod resolved_subject;
mod series;
mod sort_key;
mod values;

pub use agents::{
    AgentBoardAnswer, AgentBoardRequest, AgentCoverage, AgentListAnswer, AgentListEntry, AgentListRequest,
    AgentListing, AgentMetricChange, AgentMetricChanges, AgentMetricValue, AgentMetricValues,
    AgentMetricsAnswer, AgentMetricsRequest, AgentPartName, AgentPoint, AgentSeries, AgentSeriesAnswer,
    AgentSeriesRequest, ByMetricName, MAX_AGENT_SERIES, PrClassAnswer, PrClassesAnswer, PreviousAgentMetrics,
    PreviousAgentValues, agent_board, agent_export, agent_list, agent_metrics, agent_series,
    default_agent_metric, pr_classes,
};
pub use answer_stamp::AnswerStamp;
pub use answers::{
    AnswerContext, BotFilter, CoverageAnswer, ListAnswer, ListEntry, ListKind, MetricValue, MetricValues,
    MetricsAnswer, OrgSummary, OrgsAnswer, SeriesAnswer, SeriesPoint, SortDirection, StaticName, SubjectRef,
};
pub use comparison::{Change, MetricChange, MetricChanges, PreviousMetrics, PreviousRange, PreviousValues};
pub use dashboard::{
    DashboardAnswer, DashboardBucket, DashboardEntry, DashboardRequest, MAX_DASHBOARD_BUCKETS,
    MAX_DASHBOARD_MEMBERS, MAX_ENTRIES, MAX_TRENDS, TrendsAnswer, dashboard, trends,
};
pub use error::QueryError;
pub use export::{Export, ExportRequest, ExportRow, RowSubject, export};
pub use gam_rollup::PrClass;
pub use gam_store::Gap;
pub use histogram::{HistogramAnswer, HistogramBin, histogram};
pub use list::{ListRequest, Listing, list};
pub use list_order::{ListSort, NameFilter};
pub use metrics::{compared_metrics, metrics};
pub use org_reader::{StoredOrgName, find_org, today};
pub use orgs::{KeptOrgs, orgs};
pub use ports::{IdentitySource, QueryPorts, RegistrySource};
pub use series::{PointOfMetrics, SeriesOfMetricsAnswer, series, series_of_metrics};

/// The most points that a series may have.
pub const MAX_POINTS: u64 = 20_000;
/// The most entries that a page of a listing may have.
pub const MAX_LIMIT: usize = 1_000;
