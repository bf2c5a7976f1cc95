//! The catalogue of the metrics of coding-agent sessions.
//!
//! They derive from the table `sessions` of the lake, and have counters and rollups of their own. To add one, add its
//! entry here and count it in the `fold` crate.

use strum::{EnumString, IntoStaticStr, VariantArray};

/// A number that session events increment. Counters of disjoint time spans, repositories or members can be added.
///
/// The variants' order is stored in rollups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, VariantArray)]
#[repr(usize)]
pub enum AgentCounter {
    /// Sessions that began.
    Sessions,
    /// Active milliseconds of sessions.
    ActiveMs,
    /// What people submitted.
    Prompts,
    /// Responses of models.
    Responses,
    /// Input tokens, without those read from or written to the cache.
    TokensInput,
    /// Output tokens, including reasoning.
    TokensOutput,
    /// Input tokens read from the cache.
    TokensCacheRead,
    /// Input tokens written to the cache.
    TokensCacheWrite,
    /// The list price of the tokens, in nano-dollars.
    CostNanoUsd,
    /// Tokens of models without a price.
    UnpricedTokens,
    /// Calls of tools.
    ToolCalls,
    /// Calls that failed.
    ToolErrors,
    /// Calls that a person refused.
    ToolRejections,
    /// Lines that calls added to files.
    LinesAdded,
    /// Lines that calls deleted from files.
    LinesDeleted,
}

impl AgentCounter {
    /// The number of counters.
    pub const COUNT: usize = Self::VARIANTS.len();

    /// All counters, in declaration order.
    pub const ALL: [Self; Self::COUNT] = *Self::VARIANTS.first_chunk().unwrap();
}

/// What sums of session events can be divided by.
///
/// The variants' order is stored in rollups, and their lower-case names are parameters of the API.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, EnumString, IntoStaticStr, VariantArray,
)]
#[strum(serialize_all = "lowercase")]
#[repr(usize)]
pub enum AgentDimension {
    /// The model that answered.
    Model,
    /// The tool that was called.
    Tool,
    /// The git branch of the working directory, in its repository.
    Branch,
}

impl AgentDimension {
    /// The number of dimensions.
    pub const COUNT: usize = Self::VARIANTS.len();

    /// All dimensions, in declaration order.
    pub const ALL: [Self; Self::COUNT] = *Self::VARIANTS.first_chunk().unwrap();

    /// Returns the name in the API.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Returns the dimension with this name; `None` if there is none.
    pub fn parse(name: &str) -> Option<Self> {
        name.parse().ok()
    }
}

/// How a metric is computed from rollups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentAggregation {
    /// The value of one counter.
    Count(AgentCounter),
    /// A counter of milliseconds, in hours.
    Hours(AgentCounter),
    /// A counter of nano-dollars, in dollars; null if there are tokens and none of them has a price.
    Dollars(AgentCounter),
    /// The first counter divided by the second one; null if that is 0.
    Rate(AgentCounter, AgentCounter),
    /// The number of distinct members with a session event.
    DistinctMembers,
    /// The count, mean and nearest-rank percentiles of the active time of sessions, in hours.
    SessionLength,
}

/// An entry of the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgentMetric {
    /// The name in the API.
    pub name: &'static str,
    /// The unit of the values, in plural.
    pub unit: &'static str,
    /// What the metric counts, as Markdown without a full stop.
    pub meaning: &'static str,
    /// The time that assigns it to a bucket, as Markdown.
    pub at: &'static str,
    /// How the metric is computed from rollups.
    pub aggregation: AgentAggregation,
    /// By what it can be divided.
    pub dimensions: &'static [AgentDimension],
}

impl AgentMetric {
    /// Returns the metric with this name; `None` if there is none.
    pub fn named(name: &str) -> Option<&'static AgentMetric> {
        AGENT_CATALOGUE.iter().find(|metric| metric.name == name)
    }

    /// Returns whether the values are distributions.
    pub fn is_distribution(&self) -> bool {
        self.aggregation == AgentAggregation::SessionLength
    }

    /// Returns the metrics that can be divided by a dimension, in the catalogue's order; all of them for `None`.
    pub fn divided_by(dimension: Option<AgentDimension>) -> impl Iterator<Item = &'static AgentMetric> {
        AGENT_CATALOGUE
            .iter()
            .filter(move |metric| dimension.is_none_or(|dimension| metric.dimensions.contains(&dimension)))
    }
}

const OF_RESPONSES: &[AgentDimension] = &[AgentDimension::Model, AgentDimension::Branch];
const OF_TOOLS: &[AgentDimension] = &[AgentDimension::Tool, AgentDimension::Branch];
const RESPONSE: &str = "first line of the response";
const CALL: &str = "the call";

const fn of_responses(
    name: &'static str,
    unit: &'static str,
    meaning: &'static str,
    aggregation: AgentAggregation,
) -> AgentMetric {
    AgentMetric { name, unit, meaning, at: RESPONSE, aggregation, dimensions: OF_RESPONSES }
}

const fn of_tools(
    name: &'static str,
    unit: &'static str,
    meaning: &'static str,
    aggregation: AgentAggregation,
) -> AgentMetric {
    AgentMetric { name, unit, meaning, at: CALL, aggregation, dimensions: OF_TOOLS }
}

const fn of_sessions(
    name: &'static str,
    unit: &'static str,
    meaning: &'static str,
    at: &'static str,
    aggregation: AgentAggregation,
) -> AgentMetric {
    AgentMetric { name, unit, meaning, at, aggregation, dimensions: &[] }
}

/// All metrics of sessions, in display order.
pub const AGENT_CATALOGUE: &[AgentMetric] = &[
    of_sessions(
        "agent_sessions",
        "sessions",
        "sessions that began: once each, subagents belong to the session that started them",
        "the first line that the session wrote itself",
        AgentAggregation::Count(AgentCounter::Sessions),
    ),
    of_sessions(
        "agent_active_hours",
        "hours",
        "active time of sessions: the time between two lines of a session, if it is at most 5 minutes",
        "each quarter of an hour",
        AgentAggregation::Hours(AgentCounter::ActiveMs),
    ),
    of_sessions(
        "agent_session_hours",
        "hours",
        "active time of each session that began in the range, as a distribution; what a session does in later UTC \
         months is left out",
        "the first line that the session wrote itself",
        AgentAggregation::SessionLength,
    ),
    of_sessions(
        "agent_prompts",
        "prompts",
        "what people submitted, without results of tools and summaries of the agent",
        "the first line of the session on that UTC day",
        AgentAggregation::Count(AgentCounter::Prompts),
    ),
    of_responses(
        "agent_responses",
        "responses",
        "responses of models: one for each id of the service, however often logs repeat it",
        AgentAggregation::Count(AgentCounter::Responses),
    ),
    of_responses(
        "agent_tokens_input",
        "tokens",
        "input tokens, without those read from or written to the cache",
        AgentAggregation::Count(AgentCounter::TokensInput),
    ),
    of_responses(
        "agent_tokens_output",
        "tokens",
        "output tokens, including reasoning; a lower bound for responses whose end no log has",
        AgentAggregation::Count(AgentCounter::TokensOutput),
    ),
    of_responses(
        "agent_tokens_cache_read",
        "tokens",
        "input tokens read from the cache",
        AgentAggregation::Count(AgentCounter::TokensCacheRead),
    ),
    of_responses(
        "agent_tokens_cache_write",
        "tokens",
        "input tokens written to the cache, for five minutes or an hour",
        AgentAggregation::Count(AgentCounter::TokensCacheWrite),
    ),
    of_responses(
        "agent_cost_usd",
        "US dollars",
        "list price of the tokens and of web searches on their day, not what a subscription pays; tokens without a \
         price are left out, and are in `agent_unpriced_tokens`; null if no token has a price",
        AgentAggregation::Dollars(AgentCounter::CostNanoUsd),
    ),
    of_responses(
        "agent_unpriced_tokens",
        "tokens",
        "tokens of all kinds of models, speeds and days without a price",
        AgentAggregation::Count(AgentCounter::UnpricedTokens),
    ),
    of_tools("agent_tool_calls", "calls", "calls of tools", AgentAggregation::Count(AgentCounter::ToolCalls)),
    of_tools(
        "agent_tool_errors",
        "calls",
        "calls that failed; a call that a person refused or stopped is no error",
        AgentAggregation::Count(AgentCounter::ToolErrors),
    ),
    of_tools(
        "agent_tool_error_rate",
        "ratio",
        "`agent_tool_errors` divided by `agent_tool_calls`; null without a call",
        AgentAggregation::Rate(AgentCounter::ToolErrors, AgentCounter::ToolCalls),
    ),
    of_tools(
        "agent_tool_rejections",
        "calls",
        "calls that a person refused",
        AgentAggregation::Count(AgentCounter::ToolRejections),
    ),
    of_tools(
        "agent_tool_rejection_rate",
        "ratio",
        "`agent_tool_rejections` divided by `agent_tool_calls`; null without a call",
        AgentAggregation::Rate(AgentCounter::ToolRejections, AgentCounter::ToolCalls),
    ),
    of_tools(
        "agent_lines_added",
        "lines",
        "lines that calls added to files, whether or not they were committed",
        AgentAggregation::Count(AgentCounter::LinesAdded),
    ),
    of_tools(
        "agent_lines_deleted",
        "lines",
        "lines that calls deleted from files, whether or not that was committed",
        AgentAggregation::Count(AgentCounter::LinesDeleted),
    ),
    of_sessions(
        "agent_members",
        "members",
        "distinct members with a session, a response or a call in the range; by default people only",
        "each of them",
        AgentAggregation::DistinctMembers,
    ),
];

/// Returns the part of `docs/METRICS.md` about sessions.
pub(crate) fn markdown() -> String {
    let mut page = String::from(
        "\n## Sessions of coding agents\n\nThese metrics derive from session logs (`github-metrics ingest sessions`) and are \
         credited to the member who ingests them. The routes below `agents` return them, and `github-metrics show \
         agents`.\n\n| metric | unit | meaning | at | by |\n|---|---|---|---|---|\n",
    );
    for metric in AGENT_CATALOGUE {
        let by: Vec<&str> = metric.dimensions.iter().map(|dimension| dimension.as_str()).collect();
        page.push_str(&format!(
            "| `{}` | {} | {} | {} | {} |\n",
            metric.name,
            metric.unit,
            metric.meaning,
            metric.at,
            by.join(", ")
        ));
    }
    page.push_str(include_str!("agent_metric_notes.md"));
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_counters_have_a_metric() {
        let names: BTreeSet<_> = AGENT_CATALOGUE.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), AGENT_CATALOGUE.len());
        assert!(names.iter().all(|name| name.starts_with("agent_")));
        for counter in AgentCounter::ALL {
            let counts = |metric: &AgentMetric| match metric.aggregation {
                AgentAggregation::Count(of) | AgentAggregation::Hours(of) | AgentAggregation::Dollars(of) => {
                    of == counter
                }
                _ => false,
            };
            assert_eq!(AGENT_CATALOGUE.iter().filter(|metric| counts(metric)).count(), 1, "{counter:?}");
        }
        let names: Vec<_> = AgentDimension::ALL.map(AgentDimension::as_str).into();
        assert_eq!(names, ["model", "tool", "branch"]);
    }
}
