//! Answers about the sessions of coding agents.
//!
//! They derive from the items of the table `sessions`, in the epoch that all answers derive from: its markers are read
//! after the head and before the items, as those of other answers. Metrics and series of a subject are one range read of
//! its days; a list of repositories or members is one range read of lists.

mod answers;
mod board;
mod comparison;
mod export;
mod list;
mod metrics;
mod prs;
mod reading;
mod series;
mod sums;

pub use answers::{
    AgentCoverage, AgentListAnswer, AgentListEntry, AgentMetricValue, AgentMetricValues, AgentMetricsAnswer,
    AgentPartName, AgentPoint, AgentSeries, AgentSeriesAnswer, ByMetricName,
};
pub use board::{AgentBoardAnswer, AgentBoardRequest, agent_board};
pub use comparison::{AgentMetricChange, AgentMetricChanges, PreviousAgentMetrics, PreviousAgentValues};
pub use export::agent_export;
pub use list::{AgentListRequest, AgentListing, agent_list, default_agent_metric};
pub use metrics::{AgentMetricsRequest, agent_metrics};
pub use prs::{PrClassAnswer, PrClassesAnswer, pr_classes};
pub use series::{AgentSeriesRequest, MAX_AGENT_SERIES, agent_series};
