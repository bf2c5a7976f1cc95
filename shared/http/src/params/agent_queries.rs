//! The query parameters of the routes about sessions of coding agents.

use chrono::NaiveDate;
use gam_model::{AgentDimension, AgentMetric, Grain, Range};
use gam_query::{AgentListing, BotFilter, MAX_AGENT_SERIES, MAX_LIMIT, SortDirection, default_agent_metric};

use super::queries::{MetricsParams, QueryParams};
use super::query_string::QueryString;
use super::{DEFAULT_LIMIT, DEFAULT_PARTS, Parameter, SORT_DIRECTIONS, value_of};
use crate::error::ApiError;

/// The parameters of the classes of a subject's merged pull requests.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AgentPrsParams {
    pub(crate) range: Range,
    pub(crate) bots: BotFilter,
}

impl QueryParams for AgentPrsParams {
    fn accepted() -> Vec<Parameter> {
        vec![Parameter::Since, Parameter::Until, Parameter::Bots]
    }

    fn from_query(query: &QueryString, today: NaiveDate) -> Result<Self, ApiError> {
        let MetricsParams { range, bots, .. } = MetricsParams::from_query(query, today)?;
        Ok(AgentPrsParams { range, bots })
    }
}

/// The parameters of a series of a metric of sessions.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AgentSeriesParams {
    pub(crate) metric: &'static AgentMetric,
    pub(crate) by: Option<AgentDimension>,
    pub(crate) grain: Grain,
    pub(crate) range: Range,
    pub(crate) bots: BotFilter,
    pub(crate) limit: usize,
}

impl QueryParams for AgentSeriesParams {
    fn accepted() -> Vec<Parameter> {
        vec![
            Parameter::AgentMetric,
            Parameter::AgentDivision,
            Parameter::Granularity,
            Parameter::AgentParts,
            Parameter::Since,
            Parameter::Until,
            Parameter::Bots,
        ]
    }

    fn from_query(query: &QueryString, today: NaiveDate) -> Result<Self, ApiError> {
        let MetricsParams { range, bots, .. } = MetricsParams::from_query(query, today)?;
        let metric = query.choice(Parameter::AgentMetric, AgentMetric::named)?;
        let by = query.choice(Parameter::AgentDivision, AgentDimension::parse)?;
        Ok(AgentSeriesParams {
            metric: metric.unwrap_or_else(|| agent_metric(default_agent_metric(by))),
            by,
            grain: query.choice(Parameter::Granularity, Grain::parse)?.unwrap_or(Grain::Day),
            limit: query.number(Parameter::AgentParts, MAX_AGENT_SERIES)?.unwrap_or(DEFAULT_PARTS),
            range,
            bots,
        })
    }
}

/// The parameters of a list about sessions.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AgentListParams {
    pub(crate) listing: AgentListing,
    pub(crate) sort: &'static AgentMetric,
    pub(crate) direction: SortDirection,
    pub(crate) range: Range,
    pub(crate) bots: BotFilter,
    pub(crate) limit: usize,
    pub(crate) compare: bool,
}

impl QueryParams for AgentListParams {
    fn accepted() -> Vec<Parameter> {
        vec![
            Parameter::AgentBy,
            Parameter::AgentSort,
            Parameter::AgentOrder,
            Parameter::Limit,
            Parameter::Since,
            Parameter::Until,
            Parameter::Bots,
            Parameter::Compare,
        ]
    }

    fn from_query(query: &QueryString, today: NaiveDate) -> Result<Self, ApiError> {
        let MetricsParams { range, bots, compare } = MetricsParams::from_query(query, today)?;
        let listing = query.choice(Parameter::AgentBy, AgentListing::parse)?.unwrap_or(AgentListing::ALL[0]);
        let sort = query.choice(Parameter::AgentSort, AgentMetric::named)?;
        let direction = query.choice(Parameter::AgentOrder, |name| value_of(&SORT_DIRECTIONS, name))?;
        Ok(AgentListParams {
            listing,
            sort: sort.unwrap_or_else(|| agent_metric(listing.default_sort())),
            direction: direction.unwrap_or_default(),
            limit: query.number(Parameter::Limit, MAX_LIMIT)?.unwrap_or(DEFAULT_LIMIT),
            range,
            bots,
            compare,
        })
    }
}

fn agent_metric(name: &str) -> &'static AgentMetric {
    AgentMetric::named(name).expect("the default metric is in the catalogue")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse<Q: QueryParams>(query: &str) -> Result<Q, ApiError> {
        let query = QueryString::parse(&format!("/x?{query}").parse().unwrap(), &Q::accepted())?;
        Q::from_query(&query, "2024-03-10".parse().unwrap())
    }

    #[test]
    fn a_list_is_by_model_and_cost_by_default() {
        let params = parse::<AgentListParams>("").unwrap();
        assert_eq!((params.listing.as_str(), params.sort.name), ("model", "agent_cost_usd"));
        assert_eq!((params.direction, params.limit), (SortDirection::Desc, 50));
        let params = parse::<AgentListParams>("by=tool&order=asc&limit=3").unwrap();
        assert_eq!((params.listing.as_str(), params.sort.name), ("tool", "agent_tool_calls"));
        let error = format!("{:?}", parse::<AgentListParams>("by=person").err());
        assert!(error.contains("model, tool, branch, repo, member"), "{error}");
    }

    #[test]
    fn a_series_is_the_total_by_default() {
        let params = parse::<AgentSeriesParams>("").unwrap();
        assert_eq!((params.metric.name, params.by, params.grain), ("agent_cost_usd", None, Grain::Day));
        let params = parse::<AgentSeriesParams>("metric=agent_tool_calls&by=tool&parts=20").unwrap();
        assert_eq!((params.by, params.limit), (Some(AgentDimension::Tool), 20));
        assert!(parse::<AgentSeriesParams>("parts=21").is_err());
        assert!(parse::<AgentSeriesParams>("metric=commits").is_err());
    }
}
