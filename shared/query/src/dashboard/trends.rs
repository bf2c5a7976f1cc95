//! The trends of many repositories or members at once.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use gam_model::metric::Metric;
use gam_model::{Grain, ItemClass, Range, Subject};
use gam_rollup::Rollup;

use super::sums;
use crate::answers::{BotFilter, ListEntry, MetricValue};
use crate::org_reader::{OrgQuery, OrgReader, read_org};
use crate::values::metric_value;
use crate::{QueryError, QueryPorts};

/// The trends of the entries of a listing.
#[derive(Debug, Clone, PartialEq)]
pub struct TrendsAnswer {
    /// For each entry, the values of the metric by bucket.
    pub trends: Vec<Vec<u64>>,
    /// The names, in lower case, that several stored repositories of the organization have. Empty if the entries are
    /// members.
    pub shared_repo_names: BTreeSet<String>,
}

/// Returns the values of a count for each bucket of the range, for each entry of a listing. All of them are read in
/// one read.
///
/// # Errors
/// If there is no such organization, there are more than [`MAX_DASHBOARD_BUCKETS`](super::MAX_DASHBOARD_BUCKETS)
/// buckets, the store fails, or a stored item cannot be read.
pub async fn trends(
    ports: &QueryPorts,
    org: &str,
    entries: &[ListEntry],
    metric: &'static Metric,
    grain: Grain,
    range: Range,
    bots: BotFilter,
) -> Result<TrendsAnswer, QueryError> {
    super::check_bucket_count(range, grain)?;
    let subject = |entry: &ListEntry| match (entry.id, &entry.member) {
        (Some(id), _) => Subject::Repo(id),
        (None, member) => Subject::member(member.as_deref().unwrap_or_default()),
    };
    let subjects: Vec<Subject> = entries.iter().map(subject).collect();
    read_org(ports, org, &TrendsQuery { subjects, metric, grain, range, bots }).await
}

struct TrendsQuery {
    subjects: Vec<Subject>,
    metric: &'static Metric,
    grain: Grain,
    range: Range,
    bots: BotFilter,
}

impl OrgQuery for TrendsQuery {
    type Answer = TrendsAnswer;

    async fn answer(&self, org: &OrgReader<'_>) -> Result<TrendsAnswer, QueryError> {
        let mut buckets: BTreeMap<Subject, BTreeMap<chrono::NaiveDate, Rollup>> = BTreeMap::new();
        for month in org.read_days_of(&self.subjects, self.range).await? {
            let sums = sums::by_bucket(std::slice::from_ref(&month), self.range, self.grain);
            let ItemClass::Days(subject) = month.key.class else { continue };
            let of_subject = buckets.entry(subject).or_default();
            sums.into_iter().for_each(|(start, rollup)| of_subject.entry(start).or_default().merge(&rollup));
        }
        let value = |subject: &Subject, rollup: &Rollup| match metric_value(
            self.metric,
            subject,
            rollup,
            self.bots,
        ) {
            MetricValue::Count(count) | MetricValue::Distribution { count, .. } => count,
        };
        let trend = |subject: &Subject| {
            let sums = buckets.get(subject);
            let count =
                |start| sums.and_then(|sums| sums.get(&start)).map_or(0, |rollup| value(subject, rollup));
            self.range.buckets(self.grain).map(|bucket| count(bucket.start())).collect()
        };
        let has_repos = self.subjects.iter().any(|subject| matches!(subject, Subject::Repo(_)));
        let names = if has_repos { org.repo_names().await? } else { HashMap::new() };
        Ok(TrendsAnswer {
            trends: self.subjects.iter().map(trend).collect(),
            shared_repo_names: super::shared_names(&names),
        })
    }
}
