//! Merged pull requests by what is known of sessions that led to them.

use std::collections::BTreeMap;

use gam_model::metric::{Counter, DurationMetric};
use gam_model::{DayOfMonth, ItemClass, Month, Range, Subject, SubjectKind};
use gam_rollup::pr_classes::{PR_CLASS_RULES, PrClassTotals};
use gam_rollup::{PrClass, PrClassItem, StoredForm};
use gam_store::keys::{PR_CLASSES, rollup_owner};
use serde::{Deserialize, Serialize};

use super::answers::{AgentCoverage, AgentMetricValue};
use super::metrics::read_coverage;
use super::reading::SessionReader;
use super::sums::AgentSum;
use crate::answers::{AnswerContext, BotFilter, MetricValue, SubjectRef};
use crate::org_reader::{OrgQuery, OrgReader, read_org};
use crate::read_items::months_near;
use crate::values::distribution_in_hours;
use crate::{QueryError, QueryPorts};

const MICRO_PER_DOLLAR: f64 = 1e6;

/// The pull requests of a class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PrClassAnswer {
    /// `linked`, `probable` or `unknown`.
    pub class: String,
    /// Number of merged pull requests.
    pub prs: u64,
    /// The time from creation to merge, in hours.
    pub cycle_time_hours: AgentMetricValue,
    /// The list price of the responses on their branches, in dollars: `count` is the number of pull requests with responses.
    pub cost_usd: AgentMetricValue,
    /// Tokens of those responses that have no price.
    pub unpriced_tokens: u64,
}

/// The merged pull requests of a subject by class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PrClassesAnswer {
    /// The subject, the range, and whose pull requests count.
    #[serde(flatten)]
    pub context: AnswerContext,
    /// The version of the rules.
    pub rules: u32,
    /// Number of merged pull requests.
    pub prs: u64,
    /// Number of those of which a session is known: linked or probable.
    pub prs_with_sessions: u64,
    /// How many of the active people have sessions at all.
    pub coverage: AgentCoverage,
    /// The classes: linked, probable, unknown.
    pub classes: Vec<PrClassAnswer>,
}

/// Returns the merged pull requests of an organization or a repository by class.
///
/// # Errors
/// If a member is requested, there is no such subject, the store fails, or a stored item cannot be read.
pub async fn pr_classes(
    ports: &QueryPorts,
    org: &str,
    subject: &SubjectRef,
    range: Range,
    bots: BotFilter,
) -> Result<PrClassesAnswer, QueryError> {
    read_org(ports, org, &PrClassesQuery { subject, range, bots }).await
}

struct PrClassesQuery<'a> {
    subject: &'a SubjectRef,
    range: Range,
    bots: BotFilter,
}

impl OrgQuery for PrClassesQuery<'_> {
    type Answer = PrClassesAnswer;

    async fn answer(&self, org: &OrgReader<'_>) -> Result<PrClassesAnswer, QueryError> {
        let PrClassesQuery { subject, range, bots } = *self;
        let resolved = org.resolve_subject(subject).await?;
        let repo = match resolved.subject {
            Subject::Org => None,
            Subject::Repo(id) => Some(id),
            Subject::Member(_) => {
                return Err(QueryError::Invalid(
                    "classes of pull requests are of an organization or a repository".to_owned(),
                ));
            }
        };
        let items = read_items(org, range).await?;
        let mut classes: BTreeMap<PrClass, PrClassTotals> = BTreeMap::new();
        for (month, item) in &items {
            for (_, days) in item.repos.iter().filter(|(id, _)| repo.is_none_or(|repo| repo == *id)) {
                for (day, of_day) in days {
                    let date = DayOfMonth::new(*day).map(|day| day.date(*month));
                    if !date.is_some_and(|date| range.contains(date)) {
                        continue;
                    }
                    for ((side, class), totals) in of_day {
                        if bots.counts(*side) {
                            classes.entry(*class).or_default().merge(totals);
                        }
                    }
                }
            }
        }
        self.add_months_without_sessions(org, &resolved.subject, &items, &mut classes).await?;
        let sessions = SessionReader::open(org).await?;
        let mut sum = AgentSum::default();
        for month in sessions.read_days(&resolved.subject, range).await? {
            for (_, sides) in month.days(range) {
                sum.add(sides, &month.item.members, resolved.subject.kind(), bots);
            }
        }
        let coverage = read_coverage(org, &resolved.subject, range, &sum).await?;
        let answers: Vec<PrClassAnswer> = PrClass::ALL
            .into_iter()
            .map(|class| class_answer(class, classes.get(&class).cloned().unwrap_or_default()))
            .collect();
        let prs = answers.iter().map(|class| class.prs).sum();
        let unknown = answers.last().map_or(0, |class| class.prs);
        Ok(PrClassesAnswer {
            rules: PR_CLASS_RULES,
            prs,
            prs_with_sessions: prs - unknown,
            coverage,
            classes: answers,
            context: org.context(resolved, range, bots),
        })
    }
}

impl PrClassesQuery<'_> {
    /// Adds the pull requests of months without sessions: none is known of them.
    async fn add_months_without_sessions(
        &self,
        org: &OrgReader<'_>,
        subject: &Subject,
        items: &BTreeMap<Month, PrClassItem>,
        classes: &mut BTreeMap<PrClass, PrClassTotals>,
    ) -> Result<(), QueryError> {
        for month in org.read_days(subject, self.range).await? {
            if items.contains_key(&month.key.month) {
                continue;
            }
            let sides =
                month.dates().filter(|(date, _)| self.range.contains(*date)).flat_map(|(_, sides)| sides);
            for side in sides.filter(|side| self.bots.counts(side.side)) {
                if side.totals.counts[Counter::PrsMerged as usize] == 0 {
                    continue;
                }
                if let Some(durations) = &side.totals.durations {
                    let unknown = classes.entry(PrClass::Unknown).or_default();
                    unknown.cycle_times.merge(&durations[DurationMetric::CycleTime as usize]);
                }
            }
        }
        Ok(())
    }
}

/// Reads the items of the months that may have days of the range.
async fn read_items(org: &OrgReader<'_>, range: Range) -> Result<BTreeMap<Month, PrClassItem>, QueryError> {
    let Some(active) = &org.active else { return Ok(BTreeMap::new()) };
    let (rollups, owner) = (&org.ports.rollups, rollup_owner(&org.key, PR_CLASSES));
    let markers = rollups.markers(&owner, active.epoch).await?;
    let mut months = months_near(markers.iter().map(|marker| marker.month), range);
    let Some(first) = months.next() else { return Ok(BTreeMap::new()) };
    let last = months.next_back().unwrap_or(first);
    let class = ItemClass::List(SubjectKind::Repo);
    let stored = rollups.range(&owner, active.epoch, &class, first, last).await?;
    stored
        .into_iter()
        .map(|(key, stored)| match PrClassItem::decode(&stored.body) {
            Ok(item) => Ok((key.month, item)),
            Err(source) => Err(QueryError::Unreadable { key: format!("{key:?}"), source }),
        })
        .collect()
}

fn class_answer(class: PrClass, totals: PrClassTotals) -> PrClassAnswer {
    let hours = match distribution_in_hours(&totals.cycle_times) {
        MetricValue::Count(count) => AgentMetricValue::Count(count),
        MetricValue::Distribution { count, mean, p50, p90 } => {
            AgentMetricValue::Distribution { count, mean, p50, p90 }
        }
    };
    let dollars = |micro: u64| micro as f64 / MICRO_PER_DOLLAR;
    PrClassAnswer {
        class: class.as_str().to_owned(),
        prs: totals.cycle_times.count(),
        cycle_time_hours: hours,
        cost_usd: AgentMetricValue::Distribution {
            count: totals.costs.count(),
            mean: totals.costs.mean().map(|micro| micro / MICRO_PER_DOLLAR),
            p50: totals.costs.percentile(50).map(dollars),
            p90: totals.costs.percentile(90).map(dollars),
        },
        unpriced_tokens: totals.unpriced_tokens,
    }
}
