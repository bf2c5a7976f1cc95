//! Use case query: answers about an organization, its repositories and members, from stored rollups.
//!
//! A subject's totals over any range take at most three range reads and the markers: complete months,
//! and the days before and after them. The same reads say whether a member exists and what its latest
//! name is.

mod answers;
mod error;
mod list;
mod org_reader;
mod ports;
mod sort_key;
mod values;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Days, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use gam_model::metric::Metric;
use gam_model::period::{FIRST_DAY, LAST_DAY, midnight};
use gam_model::{Grain, OrgRegistry, Range};
use gam_rollup::{Rollup, merged_span};

pub use answers::{
    BotFilter, CoverageAnswer, ListAnswer, ListEntry, ListKind, MetricValue, MetricValues, MetricsAnswer,
    OrgSummary, OrgsAnswer, SeriesAnswer, SeriesPoint, SortDirection, SubjectRef,
};
pub use error::QueryError;
pub use list::{ListRequest, list};
pub use ports::{IdentitySource, QueryPorts, RegistrySource};

use org_reader::{OrgReader, ResolvedSubject};
use values::{metric_value, metric_values};

/// The most points that a series may have.
pub const MAX_POINTS: u64 = 20_000;
/// The most entries that a page of a listing may have.
pub const MAX_LIMIT: usize = 1_000;
/// How many organizations are read at the same time.
const MAX_CONCURRENT_ORGS: usize = 4;

/// Returns every organization that was ever collected.
///
/// # Errors
/// If the store fails, or a stored rollup cannot be read.
pub async fn orgs(ports: &QueryPorts) -> Result<OrgsAnswer, QueryError> {
    let registry = &*ports.registry.registry().await.map_err(QueryError::Registry)?;
    let names = ports.names.orgs().await?;
    let summaries = stream::iter(names).map(|name| summary(ports, registry, name));
    let mut orgs: Vec<OrgSummary> = summaries.buffered(MAX_CONCURRENT_ORGS).try_collect().await?;
    orgs.sort_by_cached_key(|summary| summary.org.to_lowercase());
    Ok(OrgsAnswer { orgs })
}

/// Returns the overview of an organization, by its name in the store.
async fn summary(ports: &QueryPorts, registry: &OrgRegistry, name: String) -> Result<OrgSummary, QueryError> {
    let org = OrgReader::open_known(ports, registry, name).await?;
    let subject = ResolvedSubject::org();
    let mut total = Rollup::default();
    for (_, rollup) in org.read_buckets(&subject, Grain::Month, FIRST_DAY, LAST_DAY).await? {
        total.merge(&rollup);
    }
    let repos: BTreeSet<i64> = total.sides().into_iter().flat_map(|side| &side.repos).copied().collect();
    let (first_event, last_event) = first_and_last_event(&org, &total).await?;
    Ok(OrgSummary {
        repos: repos.len() as u64,
        members: total.people.members.len() as u64,
        first_event,
        last_event,
        org: org.name,
    })
}

/// Returns the times of the organization's first and last event up to the end of today, UTC. `total` is all
/// that it ever did, including what is dated in the future.
async fn first_and_last_event(
    org: &OrgReader<'_>,
    total: &Rollup,
) -> Result<(Option<DateTime<Utc>>, Option<DateTime<Utc>>), QueryError> {
    let span = |rollup: &Rollup| {
        rollup.sides().into_iter().filter_map(|side| side.span).fold(None, |a, b| merged_span(a, Some(b)))
    };
    let Some(all) = span(total) else { return Ok((None, None)) };
    let today = org.today();
    let tomorrow = today + Days::new(1);
    let end = midnight(tomorrow).timestamp_millis();
    let last = if all.1 < end {
        Some(all.1)
    } else {
        let past = Range::new(FIRST_DAY, tomorrow).expect("today is not before the first day");
        let rollups = org.read_range(&ResolvedSubject::org(), Grain::Month, past).await?;
        rollups.iter().filter_map(|(_, rollup)| span(rollup)).map(|span| span.1).max()
    };
    let time = DateTime::from_timestamp_millis;
    Ok((time(all.0).filter(|_| last.is_some()), last.and_then(time)))
}

/// Returns a subject's metrics over a range.
///
/// # Errors
/// If there is no such subject, the store fails, or a stored rollup cannot be read.
pub async fn metrics(
    ports: &QueryPorts,
    org: &str,
    subject: &SubjectRef,
    range: Range,
    bots: BotFilter,
) -> Result<MetricsAnswer, QueryError> {
    let org = OrgReader::open(ports, org).await?;
    let mut resolved = org.resolve_subject(subject).await?;
    // All months and not only those of the range: they say whether the subject was ever credited, and
    // what the totals of an organization are.
    let (mut in_range, mut ever) = (Rollup::default(), Rollup::default());
    let cover = range.split_by(Grain::Month);
    let (months, days, coverage) = tokio::try_join!(
        org.read_buckets(&resolved, Grain::Month, FIRST_DAY, LAST_DAY),
        org.read_spans(&resolved, [(cover.head, Grain::Day), (cover.tail, Grain::Day)]),
        org.coverage(&resolved.subject),
    )?;
    for (key, rollup) in months {
        ever.merge(&rollup);
        if cover.aligned.is_some_and(|complete_months| complete_months.contains(key.start)) {
            in_range.merge(&rollup);
        }
    }
    days.iter().for_each(|(_, rollup)| in_range.merge(rollup));
    org.set_display_name(&mut resolved, &ever).await?;
    let mut metrics = metric_values(&resolved.subject, &in_range, bots);
    if matches!(subject, SubjectRef::Org) {
        let ever = bots.tally(&ever);
        metrics.0.push(("total_repos", MetricValue::Count(ever.repos.len() as u64)));
        metrics.0.push(("total_members", MetricValue::Count(ever.members.len() as u64)));
    }
    Ok(MetricsAnswer {
        org: org.name,
        id: resolved.repo_id(),
        repo: resolved.repo,
        member: resolved.member,
        since: range.since(),
        until: range.until(),
        bots,
        coverage,
        metrics,
    })
}

/// Returns one metric of a subject, bucket by bucket.
///
/// # Errors
/// If there is no such subject, the series would have more than [`MAX_POINTS`] points, the store
/// fails, or a stored rollup cannot be read.
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
            "the series would have {points} points, but the limit is {MAX_POINTS}: use a shorter range or a \
             coarser granularity"
        )));
    }
    let org = OrgReader::open(ports, org).await?;
    let mut resolved = org.resolve_subject(subject).await?;
    let mut buckets: BTreeMap<_, Rollup> = BTreeMap::new();
    let mut total = Rollup::default();
    let (rollups, coverage) =
        tokio::try_join!(org.read_range(&resolved, grain, range), org.coverage(&resolved.subject))?;
    for (key, rollup) in rollups {
        total.merge(&rollup);
        buckets.entry(grain.bucket(key.start).start()).or_default().merge(&rollup);
    }
    if total.is_empty() && matches!(subject, SubjectRef::Member(_)) {
        for (_, rollup) in org.read_buckets(&resolved, Grain::Month, FIRST_DAY, LAST_DAY).await? {
            total.merge(&rollup);
        }
    }
    org.set_display_name(&mut resolved, &total).await?;
    let empty = Rollup::default();
    let points = range
        .buckets(grain)
        .map(|bucket| {
            let rollup = buckets.get(&bucket.start()).unwrap_or(&empty);
            SeriesPoint {
                start: bucket.start(),
                end: bucket.end(),
                value: metric_value(metric, &resolved.subject, rollup, bots),
                partial: bucket.start() < range.since() || range.until() < bucket.end(),
            }
        })
        .collect();
    Ok(SeriesAnswer {
        org: org.name,
        id: resolved.repo_id(),
        repo: resolved.repo,
        member: resolved.member,
        since: range.since(),
        until: range.until(),
        bots,
        metric: metric.name,
        granularity: grain,
        coverage,
        points,
    })
}
