//! Use case query: questions about an organization, and their answers as the API gives them.
//!
//! A subject's totals over any range come from at most three range reads and the markers: whole
//! months, and the days before and after them. Whether a subject was ever seen, and how its name is
//! spelled, comes out of the same reads.

mod answer;
mod list;
mod ports;
mod read;

pub use answer::{
    BotFilter, ListAnswer, ListEntry, ListKind, MetricValues, MetricsAnswer, Order, OrgSummary, OrgsAnswer,
    Point, QueryError, SeriesAnswer, SubjectRef, Value,
};
pub use list::{ListRequest, list};

use std::collections::{BTreeMap, BTreeSet};

use chrono::DateTime;
use gam_model::metric::Metric;
use gam_model::period::{FIRST_DAY, LAST_DAY};
use gam_model::{Grain, Range};
use gam_rollup::Rollup;

pub use ports::QueryPorts;
use read::{Asked, Org, value, values};

/// The most points a time series may have.
pub const MAX_POINTS: u64 = 20_000;
/// The most entries a page of a listing may have.
pub const MAX_LIMIT: usize = 1_000;

/// Every organization that was ever collected.
///
/// # Errors
/// Where the store fails.
pub async fn orgs(ports: &QueryPorts) -> Result<OrgsAnswer, QueryError> {
    let mut orgs = Vec::new();
    for name in ports.names.orgs().await? {
        let org = Org::open(ports, &name).await?;
        let mut all = Rollup::default();
        for (_, rollup) in org.read(&Asked::org(), Grain::Month, FIRST_DAY, LAST_DAY).await? {
            all.merge(&rollup);
        }
        let repos: BTreeSet<i64> = all.people.repos.union(&all.bots.repos).copied().collect();
        let spans = [all.people.span, all.bots.span];
        let spans = || spans.into_iter().flatten();
        orgs.push(OrgSummary {
            org: name,
            repos: repos.len() as u64,
            members: all.people.members.len() as u64,
            first_event: spans().map(|span| span.0).min().and_then(DateTime::from_timestamp_millis),
            last_event: spans().map(|span| span.1).max().and_then(DateTime::from_timestamp_millis),
        });
    }
    Ok(OrgsAnswer { orgs })
}

/// A subject's metrics over a range.
///
/// # Errors
/// Where the subject was never seen, or the store fails.
pub async fn metrics(
    ports: &QueryPorts,
    org: &str,
    subject: &SubjectRef,
    range: Range,
    bots: BotFilter,
) -> Result<MetricsAnswer, QueryError> {
    let org = Org::open(ports, org).await?;
    let mut asked = org.resolve(subject).await?;
    // All months, not only those of the range: they tell whether the subject was ever seen, and what
    // an organization has in all.
    let (mut total, mut ever) = (Rollup::default(), Rollup::default());
    let cover = range.split_by(Grain::Month);
    let (months, days, (complete_since, complete_until)) = tokio::try_join!(
        org.read(&asked, Grain::Month, FIRST_DAY, LAST_DAY),
        org.read_all(&asked, [(cover.head, Grain::Day), (cover.tail, Grain::Day)]),
        org.completeness(&asked.subject),
    )?;
    for (key, rollup) in months {
        ever.merge(&rollup);
        if cover.aligned.is_some_and(|whole| whole.contains(key.start)) {
            total.merge(&rollup);
        }
    }
    days.iter().for_each(|(_, rollup)| total.merge(rollup));
    org.name_member(&mut asked, &ever).await?;
    let mut metrics = values(&asked.subject, &total, bots);
    if matches!(subject, SubjectRef::Org) {
        let ever = bots.of(&ever);
        metrics.0.push(("total_repos", Value::Count(ever.repos.len() as u64)));
        metrics.0.push(("total_members", Value::Count(ever.members.len() as u64)));
    }
    Ok(MetricsAnswer {
        org: org.name,
        repo: asked.repo,
        member: asked.member,
        since: range.since(),
        until: range.until(),
        bots,
        complete_since,
        complete_until,
        metrics,
    })
}

/// A subject's metric, bucket by bucket.
///
/// # Errors
/// Where the subject was never seen, the series would have more than [`MAX_POINTS`] points, or the
/// store fails.
pub async fn series(
    ports: &QueryPorts,
    org: &str,
    subject: &SubjectRef,
    metric: &'static Metric,
    grain: Grain,
    range: Range,
    bots: BotFilter,
) -> Result<SeriesAnswer, QueryError> {
    let points = range.bucket_count(grain);
    if points > MAX_POINTS {
        return Err(QueryError::Invalid(format!(
            "the series would have {points} points, more than {MAX_POINTS}: ask for a shorter range or a coarser granularity"
        )));
    }
    let org = Org::open(ports, org).await?;
    let mut asked = org.resolve(subject).await?;
    let mut buckets: BTreeMap<_, Rollup> = BTreeMap::new();
    let mut all = Rollup::default();
    for (key, rollup) in org.cover(&asked, grain, range).await? {
        all.merge(&rollup);
        buckets.entry(grain.bucket(key.start).start()).or_default().merge(&rollup);
    }
    if all.is_empty() && matches!(subject, SubjectRef::Member(_)) {
        for (_, rollup) in org.read(&asked, Grain::Month, FIRST_DAY, LAST_DAY).await? {
            all.merge(&rollup);
        }
    }
    org.name_member(&mut asked, &all).await?;
    let empty = Rollup::default();
    let points = range
        .buckets(grain)
        .map(|bucket| Point {
            start: bucket.start(),
            end: bucket.end(),
            value: value(metric, &asked.subject, buckets.get(&bucket.start()).unwrap_or(&empty), bots),
        })
        .collect();
    Ok(SeriesAnswer {
        org: org.name,
        repo: asked.repo,
        member: asked.member,
        metric: metric.name,
        granularity: grain,
        points,
    })
}
