//! Listings of members and repositories, sorted by a metric, page by page.

use std::collections::{BTreeMap, HashMap};

use gam_model::metric::Metric;
use gam_model::{Range, Subject, SubjectKind};
use gam_rollup::Rollup;

use crate::answers::{BotFilter, ListAnswer, ListEntry, ListKind, MetricValue, SortDirection};
use crate::org_reader::OrgReader;
use crate::sort_key::{SortKey, parse_cursor, to_cursor};
use crate::values::{metric_value, metric_values};
use crate::{MAX_LIMIT, QueryError, QueryPorts};

/// A request for one page of a listing.
#[derive(Debug, Clone)]
pub struct ListRequest {
    /// Whether to list members or repositories.
    pub kind: ListKind,
    /// The days whose events count.
    pub range: Range,
    /// Whether `range` is the default and not one that the caller chose. A cursor then brings its own range.
    pub has_default_range: bool,
    /// Whose work counts.
    pub bots: BotFilter,
    /// The metric to sort by. A distribution sorts by its median.
    pub sort: &'static Metric,
    /// The sort direction. Entries with equal values are in order of their names, then of their ids.
    pub direction: SortDirection,
    /// The most entries on the page, 1 to [`MAX_LIMIT`].
    pub limit: usize,
    /// The `next` value of the previous page. `None` for the first page.
    pub cursor: Option<String>,
}

/// Returns one page of the members or repositories credited with events in the range.
///
/// # Errors
/// If there is no such organization, the cursor is invalid or belongs to another query, the store fails, or a
/// stored rollup cannot be read.
pub async fn list(ports: &QueryPorts, org: &str, request: &ListRequest) -> Result<ListAnswer, QueryError> {
    let org = OrgReader::open(ports, org).await?;
    let cursor = request.cursor.as_deref();
    let cursor = cursor.map(|cursor| parse_cursor(cursor, &org.key, request)).transpose()?;
    let range = cursor.as_ref().map_or(request.range, |(_, range)| *range);
    let after = cursor.map(|(after, _)| after);
    let kind = match request.kind {
        ListKind::Members => SubjectKind::Member,
        ListKind::Repos => SubjectKind::Repo,
    };
    let mut subjects: BTreeMap<Subject, Rollup> = BTreeMap::new();
    let (rollups, coverage) =
        tokio::try_join!(org.read_range_of_kind(kind, range), org.coverage(&Subject::Org))?;
    for (key, rollup) in rollups {
        subjects.entry(key.subject).or_default().merge(&rollup);
    }
    let repo_names = org.repo_names().await?;
    let mut listed: Vec<(SortKey, Subject, Rollup)> = subjects
        .into_iter()
        // `bots` filters here. A member that is left answers all that it is credited with.
        .filter(|(_, rollup)| is_listed(request, rollup))
        .map(|(subject, rollup)| {
            let value = sort_value(request, &subject, &rollup);
            let name = display_name(&subject, &rollup, &repo_names);
            let id = if let Subject::Repo(id) = subject { id } else { 0 };
            (SortKey { value, name, id }, subject, rollup)
        })
        .filter(|(key, ..)| after.as_ref().is_none_or(|after| key.cmp(after, request.direction).is_gt()))
        .collect();
    listed.sort_by(|a, b| a.0.cmp(&b.0, request.direction));
    let limit = request.limit.clamp(1, MAX_LIMIT);
    let next = (listed.len() > limit).then(|| to_cursor(&listed[limit - 1].0, &org.key, request, range));
    listed.truncate(limit);
    let entries =
        listed.into_iter().map(|(key, subject, rollup)| list_entry(request, key, &subject, &rollup));
    Ok(ListAnswer { kind: request.kind, entries: entries.collect(), next, coverage })
}

fn is_listed(request: &ListRequest, rollup: &Rollup) -> bool {
    match request.kind {
        ListKind::Members => request.bots.listed_tally(rollup).has_credited_events(),
        ListKind::Repos => request.bots.tally(rollup).has_credited_events(),
    }
}

fn sort_value(request: &ListRequest, subject: &Subject, rollup: &Rollup) -> Option<f64> {
    match metric_value(request.sort, subject, rollup, request.bots) {
        MetricValue::Count(count) => Some(count as f64),
        MetricValue::Distribution { p50, .. } => p50,
    }
}

fn display_name(subject: &Subject, rollup: &Rollup, repo_names: &HashMap<i64, String>) -> String {
    match (subject, &rollup.member) {
        (Subject::Repo(id), _) => repo_names.get(id).cloned().unwrap_or_else(|| id.to_string()),
        (_, Some((name, _))) => name.clone(),
        (subject, None) => subject.name(),
    }
}

fn list_entry(request: &ListRequest, key: SortKey, subject: &Subject, rollup: &Rollup) -> ListEntry {
    let metrics = metric_values(subject, rollup, request.bots);
    match request.kind {
        ListKind::Repos => {
            ListEntry { repo: Some(key.name), id: Some(key.id), member: None, kind: None, metrics }
        }
        ListKind::Members => {
            let kind = rollup.member.as_ref().map(|(_, kind)| *kind);
            ListEntry { repo: None, id: None, member: Some(key.name), kind, metrics }
        }
    }
}
