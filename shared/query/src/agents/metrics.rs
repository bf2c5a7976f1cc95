//! A subject's metrics of sessions over a range.

use std::collections::{BTreeSet, HashSet};

use gam_model::{AgentCounter, AgentDimension, Range, Subject};

use super::answers::{AgentCoverage, AgentMetricsAnswer};
use super::reading::{MonthOfSessions, SessionReader};
use super::sums::AgentSum;
use crate::answers::{BotFilter, SubjectRef};
use crate::org_reader::{OrgQuery, OrgReader, read_org};
use crate::read_items::Credited;
use crate::values::counts_in_subject;
use crate::{QueryError, QueryPorts};

/// Returns a subject's metrics of sessions over a range.
///
/// # Errors
/// If there is no such subject, the store fails, or a stored item cannot be read.
pub async fn agent_metrics(
    ports: &QueryPorts,
    org: &str,
    subject: &SubjectRef,
    range: Range,
    bots: BotFilter,
) -> Result<AgentMetricsAnswer, QueryError> {
    read_org(ports, org, &AgentMetricsQuery { subject, range, bots }).await
}

struct AgentMetricsQuery<'a> {
    subject: &'a SubjectRef,
    range: Range,
    bots: BotFilter,
}

impl OrgQuery for AgentMetricsQuery<'_> {
    type Answer = AgentMetricsAnswer;

    async fn answer(&self, org: &OrgReader<'_>) -> Result<AgentMetricsAnswer, QueryError> {
        let AgentMetricsQuery { subject, range, bots } = *self;
        let mut resolved = org.resolve_subject(subject).await?;
        let sessions = SessionReader::open(org).await?;
        let days = sessions.read_days(&resolved.subject, range).await?;
        sessions.set_display_name(&mut resolved, &days, range).await?;
        let kind = resolved.subject.kind();
        let mut sum = AgentSum::default();
        for month in &days {
            for (_, sides) in month.days(range) {
                sum.add(sides, &month.item.members, kind, bots);
            }
        }
        let coverage = match resolved.subject {
            Subject::Member(_) => None,
            _ => Some(read_coverage(org, &resolved.subject, range, &sum).await?),
        };
        let counts = |side| counts_in_subject(kind, bots, side);
        let unpriced_models = unpriced_models(&days, range, counts);
        Ok(AgentMetricsAnswer {
            metrics: sum.values(None, kind),
            coverage,
            unpriced_models,
            context: org.context(resolved, range, bots),
        })
    }
}

/// Returns how many of the people who were active on GitHub have a session.
pub(super) async fn read_coverage(
    org: &OrgReader<'_>,
    subject: &Subject,
    range: Range,
    sum: &AgentSum,
) -> Result<AgentCoverage, QueryError> {
    let days = org.read_days(subject, range).await?;
    let active: HashSet<&str> =
        Credited::in_days(&days, |date| range.contains(date), BotFilter::Exclude).members;
    Ok(AgentCoverage {
        active_members: active.len() as u64,
        active_members_with_sessions: sum
            .members
            .iter()
            .filter(|member| active.contains(member.as_str()))
            .count() as u64,
    })
}

fn unpriced_models(
    days: &[MonthOfSessions],
    range: Range,
    counts: impl Fn(gam_rollup::Side) -> bool,
) -> Vec<String> {
    let mut models = BTreeSet::new();
    for month in days {
        let names = &month.item.names[AgentDimension::Model as usize];
        let sides = month.days(range).flat_map(|(_, sides)| sides).filter(|(side, _)| counts(*side));
        for (index, part) in sides.flat_map(|(_, side)| &side.parts[AgentDimension::Model as usize]) {
            if part[AgentCounter::UnpricedTokens as usize] > 0 {
                models.insert(names[*index as usize].clone());
            }
        }
    }
    models.into_iter().collect()
}
