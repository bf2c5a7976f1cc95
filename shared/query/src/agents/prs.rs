//! Merged pull requests by what is known of sessions that led to them.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use gam_model::metric::{Counter, DurationMetric};
use gam_model::{Month, Range, Subject, SubjectKind};
use gam_rollup::pr_classes::{PR_CLASS_RULES, PrClassTotals};
use gam_rollup::{PrClass, PrClassItem};
use gam_store::keys::PR_CLASSES;
use serde::{Deserialize, Serialize};

use super::answers::{AgentCoverage, AgentMetricValue};
use super::metrics::coverage;
use super::reading::{SessionReader, SubjectSessions, days_in};
use crate::answers::{AnswerContext, BotFilter, SubjectRef};
use crate::org_reader::{OrgQuery, OrgReader, read_org};
use crate::read_items::{MonthOfDays, ReadItem};
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
    /// The list price of the responses on their branches, in dollars: `count` is the number of pull requests with a
    /// response that has a price.
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
    /// The first day, UTC, whose sessions are kept: of pull requests that were merged before, and for some weeks after,
    /// sessions may be unknown because they were deleted. `None` if sessions are kept for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_since: Option<NaiveDate>,
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
        let sessions = SessionReader::open(org).await?.read_subject(self.subject, self.range).await?;
        let days = org.read_days(sessions.subject(), self.range).await?;
        classes_of(org, (&sessions, &days), self.range, self.bots).await
    }
}

/// Returns the classes of a subject whose days were read: those of sessions, and those on GitHub.
pub(super) async fn classes_of(
    org: &OrgReader<'_>,
    (sessions, days): (&SubjectSessions, &[MonthOfDays]),
    range: Range,
    bots: BotFilter,
) -> Result<PrClassesAnswer, QueryError> {
    let repo = match sessions.subject() {
        Subject::Org => None,
        Subject::Repo(id) => Some(*id),
        Subject::Member(_) => {
            return Err(QueryError::Invalid(
                "classes of pull requests are of an organization or a repository".to_owned(),
            ));
        }
    };
    let table = org.open_table(PR_CLASSES).await?;
    let items: Vec<ReadItem<PrClassItem>> =
        table.read_lists(SubjectKind::Repo, table.months_near(range)).await?;
    let mut classes: BTreeMap<PrClass, PrClassTotals> = BTreeMap::new();
    let of_repos =
        items.iter().flat_map(|item| item.item.repos.iter().map(|of_repo| (item.key.month, of_repo)));
    for (month, (_, of_repo)) in of_repos.filter(|(_, (id, _))| repo.is_none_or(|repo| repo == *id)) {
        for (_, of_day) in days_in(month, of_repo, range) {
            for ((_, class), totals) in of_day.iter().filter(|((side, _), _)| bots.counts(*side)) {
                classes.entry(*class).or_default().merge(totals);
            }
        }
    }
    let is_classified = |month: &Month| items.iter().any(|item| item.key.month == *month);
    let unclassified = days.iter().filter(|month| !is_classified(&month.key.month));
    unclassified.for_each(|month| add_month_without_sessions(month, range, bots, &mut classes));
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
        coverage: coverage(days, sessions, range),
        kept_since: org.sessions_kept_since(),
        classes: answers,
        context: org.context(sessions.resolved.clone(), range, bots),
    })
}

/// Adds the pull requests of a month without sessions: none is known of them.
fn add_month_without_sessions(
    month: &MonthOfDays,
    range: Range,
    bots: BotFilter,
    classes: &mut BTreeMap<PrClass, PrClassTotals>,
) {
    let sides = month.dates().filter(|(date, _)| range.contains(*date)).flat_map(|(_, sides)| sides);
    for side in sides.filter(|side| bots.counts(side.side)) {
        if side.totals.counts[Counter::PrsMerged as usize] == 0 {
            continue;
        }
        if let Some(durations) = &side.totals.durations {
            let unknown = classes.entry(PrClass::Unknown).or_default();
            unknown.cycle_times.merge(&durations[DurationMetric::CycleTime as usize]);
        }
    }
}

fn class_answer(class: PrClass, totals: PrClassTotals) -> PrClassAnswer {
    let dollars = |micro: u64| micro as f64 / MICRO_PER_DOLLAR;
    PrClassAnswer {
        class: class.as_str().to_owned(),
        prs: totals.cycle_times.count(),
        cycle_time_hours: distribution_in_hours(&totals.cycle_times).into(),
        cost_usd: AgentMetricValue::Distribution {
            count: totals.costs.count(),
            mean: totals.costs.mean().map(|micro| micro / MICRO_PER_DOLLAR),
            p50: totals.costs.percentile(50).map(dollars),
            p90: totals.costs.percentile(90).map(dollars),
        },
        unpriced_tokens: totals.unpriced_tokens,
    }
}
