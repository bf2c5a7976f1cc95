//! All numbers of an organization, bucket by bucket, as a stream of rows.
//!
//! One pass over the items makes the rows: the days of a month are read once for the repositories and once for the
//! members, and are in memory as long as a bucket of the stream overlaps them. So the memory follows the subjects of
//! a few months, and not the range.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::NaiveDate;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use gam_model::{Bucket, Grain, ItemClass, ItemKey, Month, Range, Subject, SubjectKind};
use gam_rollup::{DaysItem, ListItem, Rollup};
use serde::{Deserialize, Serialize};

use crate::answers::{BotFilter, MetricValues};
use crate::list::subject_name;
use crate::org_reader::{OrgReader, PinnedOrg};
use crate::read_items::{Credited, MonthOfDays, ReadItem, Totals, months_near, off_async_threads};
use crate::values::metric_values;
use crate::{MAX_POINTS, QueryError, QueryPorts};

/// Rows of the organization that are returned together: they are small.
const MAX_ORG_ROWS: usize = 200;

/// What to export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExportRequest {
    /// The days whose events count, in the organization's time zone.
    pub range: Range,
    /// The length of the bucket of a row.
    pub grain: Grain,
    /// Whose work counts.
    pub bots: BotFilter,
}

/// What a row is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RowSubject {
    /// The organization.
    Org,
    /// A repository.
    Repo,
    /// A member.
    Member,
}

impl RowSubject {
    /// Returns the text that rows contain.
    pub fn as_str(self) -> &'static str {
        match self {
            RowSubject::Org => "org",
            RowSubject::Repo => "repo",
            RowSubject::Member => "member",
        }
    }
}

/// The metrics of one subject in one bucket: of activity on GitHub, or of sessions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExportRow<V = MetricValues> {
    /// What the row is about.
    pub level: RowSubject,
    /// The name of the organization, the repository or the member.
    pub name: String,
    /// GitHub's id of the repository, which distinguishes two of one name. `None` for other rows.
    #[serde(default)]
    pub id: Option<i64>,
    /// The first day of the bucket, in the organization's time zone.
    pub start: NaiveDate,
    /// The day after the last of the bucket, in the organization's time zone.
    pub end: NaiveDate,
    /// The values of the days that are both in the bucket and in the range.
    #[serde(flatten)]
    pub metrics: V,
}

/// An export that has begun.
pub struct Export<V = MetricValues> {
    /// The organization's login as GitHub writes it.
    pub org: String,
    /// The rows, in order of level, bucket, name and id: one for the organization in every bucket, and one for every
    /// repository and member that is credited with events in it. An error ends the stream.
    pub rows: BoxStream<'static, Result<Vec<ExportRow<V>>, QueryError>>,
}

/// Begins to export an organization. All rows derive from the epoch that is active now; if its items are deleted before
/// the end, the stream ends with an error.
///
/// # Errors
/// If there is no such organization, the range has more than [`MAX_POINTS`] buckets, no epoch of the organization is
/// complete, or the store fails.
pub async fn export(ports: &QueryPorts, org: &str, request: ExportRequest) -> Result<Export, QueryError> {
    export_table::<ActivityExport>(ports, org, request).await
}

/// What is exported: how its items are read, and how they become rows.
pub(crate) trait ExportedTable: 'static {
    /// What is read of a month.
    type Items: Send + Sync + 'static;
    /// The values of a row.
    type Values: Send + 'static;

    /// Returns the folded months, in order.
    fn read_months(org: &OrgReader<'_>) -> impl Future<Output = Result<Vec<Month>, QueryError>> + Send;

    /// Reads the items of all subjects of a level in a month.
    fn read_month(
        org: &OrgReader<'_>,
        level: RowSubject,
        month: Month,
    ) -> impl Future<Output = Result<Self::Items, QueryError>> + Send;

    /// Returns the values of the organization.
    fn values_of_org(months: &[Arc<Self::Items>], scope: &RowScope) -> Self::Values;

    /// Returns the repositories or members with activity: name, id and values.
    fn listed(
        months: &[Arc<Self::Items>],
        kind: SubjectKind,
        scope: &RowScope,
    ) -> Vec<(String, Option<i64>, Self::Values)>;
}

/// What counts in the rows of a bucket.
pub(crate) struct RowScope {
    /// The part of the bucket that counts.
    pub(crate) range: Range,
    pub(crate) bots: BotFilter,
    pub(crate) repo_names: Arc<HashMap<i64, String>>,
}

/// Begins to export a table of an organization, as [`export`] does.
///
/// # Errors
/// As [`export`].
pub(crate) async fn export_table<T: ExportedTable>(
    ports: &QueryPorts,
    org: &str,
    request: ExportRequest,
) -> Result<Export<T::Values>, QueryError> {
    let buckets = request.range.bucket_count(request.grain);
    if buckets > MAX_POINTS {
        return Err(QueryError::Invalid(format!(
            "the export would have {buckets} buckets, but the limit is {MAX_POINTS}: use a shorter range or a coarser \
             granularity"
        )));
    }
    let reader = OrgReader::open(ports, org).await?;
    let name = reader.name.clone();
    let state = ExportState::<T> {
        ports: ports.clone(),
        org: reader.pinned(),
        months: T::read_months(&reader).await?,
        request,
        level: Some(RowSubject::Org),
        next: request.range.since(),
        window: Vec::new(),
        repo_names: Arc::new(reader.repo_names().await?),
    };
    let rows = stream::try_unfold(state, |mut state| async move {
        let rows = state.next_rows().await?;
        Ok::<_, QueryError>(rows.map(|rows| (rows, state)))
    });
    Ok(Export { org: name, rows: rows.try_filter(|rows| futures::future::ready(!rows.is_empty())).boxed() })
}

/// Where an export is.
struct ExportState<T: ExportedTable> {
    ports: QueryPorts,
    org: PinnedOrg,
    /// The folded months, in order.
    months: Vec<Month>,
    request: ExportRequest,
    /// `None` at the end.
    level: Option<RowSubject>,
    /// The first day of the range that is in no row of the level yet.
    next: NaiveDate,
    /// The months whose days may be in the next bucket, in order, with the items of all subjects of the level.
    window: Vec<(Month, Arc<T::Items>)>,
    repo_names: Arc<HashMap<i64, String>>,
}

impl<T: ExportedTable> ExportState<T> {
    /// Returns the rows of the next buckets, in order. `None` at the end.
    async fn next_rows(&mut self) -> Result<Option<Vec<ExportRow<T::Values>>>, QueryError> {
        let Some(level) = self.level else { return Ok(None) };
        let mut rows = Vec::new();
        while self.next < self.request.range.until() {
            let bucket = self.request.grain.bucket(self.next);
            rows.append(&mut self.rows_of(level, bucket).await?);
            self.next = bucket.end();
            let is_enough = match level {
                RowSubject::Org => rows.len() >= MAX_ORG_ROWS,
                RowSubject::Repo | RowSubject::Member => !rows.is_empty(),
            };
            if is_enough {
                return Ok(Some(rows));
            }
            // A range can have thousands of years without activity.
            tokio::task::yield_now().await;
        }
        self.next = self.request.range.since();
        self.window.clear();
        self.level = match level {
            RowSubject::Org => Some(RowSubject::Repo),
            RowSubject::Repo => Some(RowSubject::Member),
            RowSubject::Member => None,
        };
        Ok(Some(rows))
    }

    async fn rows_of(
        &mut self,
        level: RowSubject,
        bucket: Bucket,
    ) -> Result<Vec<ExportRow<T::Values>>, QueryError> {
        let range = self.request.range;
        // A bucket of the range overlaps it.
        let range =
            Range::new(bucket.start().max(range.since()), bucket.end().min(range.until())).unwrap_or(range);
        self.read_window(level, range).await?;
        let months: Vec<_> = self.window.iter().map(|(_, items)| Arc::clone(items)).collect();
        let scope = RowScope { range, bots: self.request.bots, repo_names: Arc::clone(&self.repo_names) };
        let row = move |(name, id, metrics)| ExportRow {
            level,
            name,
            id,
            start: bucket.start(),
            end: bucket.end(),
            metrics,
        };
        let kind = match level {
            RowSubject::Org => {
                let metrics = T::values_of_org(&months, &scope);
                return Ok(vec![row((self.org.name().to_owned(), None, metrics))]);
            }
            RowSubject::Repo => SubjectKind::Repo,
            RowSubject::Member => SubjectKind::Member,
        };
        if months.is_empty() {
            return Ok(Vec::new());
        }
        off_async_threads(move || {
            let mut rows: Vec<_> = T::listed(&months, kind, &scope).into_iter().map(row).collect();
            rows.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
            rows
        })
        .await
    }

    /// Reads the months that the range needs and that are not in memory, and drops the others.
    async fn read_window(&mut self, level: RowSubject, range: Range) -> Result<(), QueryError> {
        let months: Vec<Month> = months_near(self.months.iter().copied(), range).collect();
        self.window.retain(|(month, _)| months.contains(month));
        for month in months {
            if self.window.iter().all(|(of, _)| *of != month) {
                let reader = self.org.reopen(&self.ports).await?;
                let items = T::read_month(&reader, level, month).await?;
                self.window.push((month, Arc::new(items)));
            }
        }
        Ok(())
    }
}

/// What happens on GitHub.
struct ActivityExport;

impl ExportedTable for ActivityExport {
    /// The days of all subjects of a level.
    type Items = Vec<MonthOfDays>;
    type Values = MetricValues;

    async fn read_months(org: &OrgReader<'_>) -> Result<Vec<Month>, QueryError> {
        Ok(org.events.months().collect())
    }

    async fn read_month(
        org: &OrgReader<'_>,
        level: RowSubject,
        month: Month,
    ) -> Result<Vec<MonthOfDays>, QueryError> {
        let days_of = |subject| ItemKey::new(ItemClass::Days(subject), month);
        let kind = match level {
            RowSubject::Org => return org.events.read_keys::<DaysItem>(&[days_of(Subject::Org)]).await,
            RowSubject::Repo => SubjectKind::Repo,
            RowSubject::Member => SubjectKind::Member,
        };
        let lists: Vec<ReadItem<ListItem>> = org.events.read_lists(kind, std::iter::once(month)).await?;
        let entries = lists.iter().flat_map(|list| &list.item.entries);
        let keys: Vec<ItemKey> = entries.map(|entry| days_of(entry.subject.subject())).collect();
        org.events.read_keys::<DaysItem>(&keys).await
    }

    fn values_of_org(months: &[Arc<Vec<MonthOfDays>>], scope: &RowScope) -> MetricValues {
        let (mut sum, mut members) = (Rollup::default(), HashSet::new());
        for days in months {
            days.iter().for_each(|days| days.add_totals(scope.range, &mut sum));
            members.extend(Credited::in_days(days, |date| scope.range.contains(date), scope.bots).members);
        }
        let mut metrics = metric_values(&Subject::Org, &sum, scope.bots);
        metrics.set_active_members(members.len());
        metrics
    }

    fn listed(
        months: &[Arc<Vec<MonthOfDays>>],
        kind: SubjectKind,
        scope: &RowScope,
    ) -> Vec<(String, Option<i64>, MetricValues)> {
        let mut totals = Totals::default();
        for days in months.iter().flat_map(|days| days.iter()) {
            if let ItemClass::Days(subject) = &days.key.class
                && days.dates().any(|(date, _)| scope.range.contains(date))
            {
                totals.add(subject.clone(), days.sum(scope.range));
            }
        }
        let is_listed = |rollup: &Rollup| scope.bots.tally_of_listed(kind, rollup).has_credited_events();
        let listed = totals.0.into_iter().filter(|(_, rollup)| is_listed(rollup));
        let values = |(subject, rollup): (Subject, Rollup)| {
            let id = if let Subject::Repo(id) = subject { Some(id) } else { None };
            let name = subject_name(&subject, &rollup, &scope.repo_names);
            (name, id, metric_values(&subject, &rollup, scope.bots))
        };
        listed.map(values).collect()
    }
}
