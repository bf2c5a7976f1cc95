//! What a page about sessions shows, read once.

use gam_model::{AgentDimension, AgentMetric, Grain, Range};

use super::answers::{AgentListAnswer, AgentMetricsAnswer, AgentSeriesAnswer};
use super::list::{AgentListRequest, AgentListing, parts_of};
use super::metrics::{AgentMetricsRequest, coverage, metrics_of};
use super::prs::{PrClassesAnswer, classes_of};
use super::reading::SessionReader;
use super::series::{AgentSeriesRequest, check_points, series_of};
use crate::answers::{BotFilter, SortDirection, SubjectRef};
use crate::org_reader::{OrgQuery, OrgReader, read_org};
use crate::{QueryError, QueryPorts};

/// A request for a board of an organization.
#[derive(Debug, Clone, Copy)]
pub struct AgentBoardRequest {
    /// The days whose events count.
    pub range: Range,
    /// The length of the buckets of the series.
    pub grain: Grain,
    /// Whose work counts.
    pub bots: BotFilter,
    /// The most models that the series names.
    pub series: usize,
    /// The most entries of a list.
    pub entries: usize,
}

/// The metrics of sessions of an organization, with what a page shows beside them. All derive from the same items.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentBoardAnswer {
    /// The metrics.
    pub metrics: AgentMetricsAnswer,
    /// The cost by model.
    pub cost_by_model: AgentSeriesAnswer,
    /// The models, by cost.
    pub models: AgentListAnswer,
    /// The tools, by errors.
    pub tools: AgentListAnswer,
    /// The merged pull requests.
    pub prs: PrClassesAnswer,
}

/// Returns what a page about the sessions of an organization shows.
///
/// # Errors
/// If there is no such organization, the series would have more than [`MAX_POINTS`](crate::MAX_POINTS) points, the store
/// fails, or a stored item cannot be read.
pub async fn agent_board(
    ports: &QueryPorts,
    org: &str,
    request: AgentBoardRequest,
) -> Result<AgentBoardAnswer, QueryError> {
    check_points(&request.series())?;
    read_org(ports, org, &request).await
}

impl AgentBoardRequest {
    fn series(&self) -> AgentSeriesRequest {
        AgentSeriesRequest {
            subject: SubjectRef::Org,
            metric: metric("agent_cost_usd"),
            by: Some(AgentDimension::Model),
            grain: self.grain,
            range: self.range,
            bots: self.bots,
            limit: self.series,
        }
    }

    fn list(&self, dimension: AgentDimension, sort: &str) -> AgentListRequest {
        AgentListRequest {
            subject: SubjectRef::Org,
            listing: AgentListing::Parts(dimension),
            range: self.range,
            bots: self.bots,
            sort: metric(sort),
            direction: SortDirection::Desc,
            limit: self.entries,
            compare: false,
        }
    }
}

impl OrgQuery for AgentBoardRequest {
    type Answer = AgentBoardAnswer;

    async fn answer(&self, org: &OrgReader<'_>) -> Result<AgentBoardAnswer, QueryError> {
        let &AgentBoardRequest { range, bots, .. } = self;
        let subject = SubjectRef::Org;
        let sessions = SessionReader::open(org).await?.read_subject(&subject, range).await?;
        let days = org.read_days(sessions.subject(), range).await?;
        let coverage = coverage(&days, &sessions, range);
        let metrics = AgentMetricsRequest { subject, range, bots, compare: false };
        Ok(AgentBoardAnswer {
            metrics: metrics_of(org, &sessions, Some(coverage), &metrics),
            cost_by_model: series_of(org, &sessions, &self.series()).await?,
            models: parts_of(org, &sessions, &self.list(AgentDimension::Model, "agent_cost_usd")).await?,
            tools: parts_of(org, &sessions, &self.list(AgentDimension::Tool, "agent_tool_errors")).await?,
            prs: classes_of(org, (&sessions, &days), range, bots).await?,
        })
    }
}

fn metric(name: &str) -> &'static AgentMetric {
    AgentMetric::named(name).expect("the board names metrics of the catalogue")
}
