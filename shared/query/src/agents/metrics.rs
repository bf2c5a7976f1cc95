//! A subject's metrics of sessions over a range.

use std::collections::{BTreeSet, HashSet};

use gam_model::{AgentCounter, AgentDimension, Range, Subject};

use super::answers::{AgentCoverage, AgentMetricsAnswer};
use super::comparison::{AgentMetricChanges, PreviousAgentMetrics, PreviousAgentValues};
use super::reading::{SessionReader, SubjectSessions};
use crate::answers::{BotFilter, SubjectRef};
use crate::comparison::previous_range;
use crate::org_reader::{OrgQuery, OrgReader, read_org};
use crate::read_items::{Credited, MonthOfDays};
use crate::{QueryError, QueryPorts};

/// A request for metrics.
#[derive(Debug, Clone)]
pub struct AgentMetricsRequest {
    /// The subject.
    pub subject: SubjectRef,
    /// The days whose events count.
    pub range: Range,
    /// Whose work counts.
    pub bots: BotFilter,
    /// Whether to compare the range with the same number of days before it.
    pub compare: bool,
}

/// Returns a subject's metrics of sessions over a range.
///
/// # Errors
/// If there is no such subject, the store fails, or a stored item cannot be read.
pub async fn agent_metrics(
    ports: &QueryPorts,
    org: &str,
    request: &AgentMetricsRequest,
) -> Result<AgentMetricsAnswer, QueryError> {
    read_org(ports, org, &AgentMetricsQuery { request }).await
}

struct AgentMetricsQuery<'a> {
    request: &'a AgentMetricsRequest,
}

impl OrgQuery for AgentMetricsQuery<'_> {
    type Answer = AgentMetricsAnswer;

    async fn answer(&self, org: &OrgReader<'_>) -> Result<AgentMetricsAnswer, QueryError> {
        let AgentMetricsRequest { subject, range, compare, .. } = self.request;
        let first_day = previous_range(*range).filter(|_| *compare).map_or(range.since(), Range::since);
        let read_range = Range::new(first_day, range.until()).unwrap_or(*range);
        let sessions = SessionReader::open(org).await?.read_subject(subject, read_range).await?;
        let coverage = match sessions.subject() {
            Subject::Member(_) => None,
            of => Some(coverage(&org.read_days(of, *range).await?, &sessions, *range)),
        };
        Ok(metrics_of(org, &sessions, coverage, self.request))
    }
}

/// Returns the metrics of a subject whose days were read.
pub(super) fn metrics_of(
    org: &OrgReader<'_>,
    sessions: &SubjectSessions,
    coverage: Option<AgentCoverage>,
    request: &AgentMetricsRequest,
) -> AgentMetricsAnswer {
    let AgentMetricsRequest { range, bots, compare, .. } = *request;
    let values = |range: Range| sessions.sum(range, bots).values(None, sessions.kind());
    let metrics = values(range);
    let previous = previous_range(range).filter(|_| compare).map(|range| PreviousAgentMetrics {
        range: range.into(),
        values: PreviousAgentValues { metrics: values(range) },
    });
    let change =
        previous.as_ref().map(|previous| AgentMetricChanges::between(&metrics, &previous.values.metrics));
    AgentMetricsAnswer {
        metrics,
        coverage,
        kept_since: org.sessions_kept_since(),
        unpriced_models: unpriced_models(sessions, range, bots),
        context: org.context(sessions.resolved.clone(), range, bots),
        previous: compare.then_some(previous),
        change: compare.then_some(change),
    }
}

/// Returns how many of the people who were active on GitHub have a session. `days` are those of the subject on GitHub. It
/// is about people whatever `bots` says: sessions belong to people, also those that led to a bot's pull requests.
pub(super) fn coverage(days: &[MonthOfDays], sessions: &SubjectSessions, range: Range) -> AgentCoverage {
    let active: HashSet<&str> =
        Credited::in_days(days, |date| range.contains(date), BotFilter::Exclude).members;
    let mut with_sessions: HashSet<&str> = HashSet::new();
    for (_, item, sides) in sessions.days(range) {
        let members = sides.iter().flat_map(|(_, side)| &side.members);
        with_sessions.extend(members.map(|&index| item.members[index as usize].as_str()));
    }
    AgentCoverage {
        active_members: active.len() as u64,
        active_members_with_sessions: active.intersection(&with_sessions).count() as u64,
    }
}

fn unpriced_models(sessions: &SubjectSessions, range: Range, bots: BotFilter) -> Vec<String> {
    let models: BTreeSet<&str> = sessions
        .parts(range, bots, AgentDimension::Model)
        .filter(|(.., counts)| counts[AgentCounter::UnpricedTokens as usize] > 0)
        .map(|(_, model, _)| model)
        .collect();
    models.into_iter().map(str::to_owned).collect()
}
