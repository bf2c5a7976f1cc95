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
use gam_model::metric::CATALOGUE;
use gam_model::{Bucket, Grain, ItemClass, ItemKey, Month, Range, Subject, SubjectKind};
use gam_rollup::{DaysItem, Rollup};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::answers::{BotFilter, MetricValues};
use crate::list::subject_name;
use crate::org_reader::{OrgReader, PinnedOrg};
use crate::read_items::{Credited, MonthOfDays, Totals, decode_lists, off_async_threads};
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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

/// The metrics of one subject in one bucket.
#[derive(Debug, Clone, PartialEq)]
pub struct ExportRow {
    /// What the row is about.
    pub level: RowSubject,
    /// The name of the organization, the repository or the member.
    pub name: String,
    /// GitHub's id of the repository, which distinguishes two of one name. `None` for other rows.
    pub id: Option<i64>,
    /// The first day of the bucket, in the organization's time zone.
    pub start: NaiveDate,
    /// The day after the last of the bucket, in the organization's time zone.
    pub end: NaiveDate,
    /// The values of the days that are both in the bucket and in the range.
    pub metrics: MetricValues,
}

impl Serialize for ExportRow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(5 + CATALOGUE.len()))?;
        map.serialize_entry("level", self.level.as_str())?;
        map.serialize_entry("name", &self.name)?;
        map.serialize_entry("id", &self.id)?;
        map.serialize_entry("start", &self.start)?;
        map.serialize_entry("end", &self.end)?;
        for (name, value) in &self.metrics.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// An export that has begun.
pub struct Export {
    /// The organization's login as GitHub writes it.
    pub org: String,
    /// The rows, in order of level, bucket, name and id: one for the organization in every bucket, and one for every
    /// repository and member that is credited with events in it. An error ends the stream.
    pub rows: BoxStream<'static, Result<Vec<ExportRow>, QueryError>>,
}

/// Begins to export an organization. All rows derive from the epoch that is active now; if its items are deleted before
/// the end, the stream ends with an error.
///
/// # Errors
/// If there is no such organization, the range has more than [`MAX_POINTS`] buckets, no epoch of the organization is
/// complete, or the store fails.
pub async fn export(ports: &QueryPorts, org: &str, request: ExportRequest) -> Result<Export, QueryError> {
    let buckets = request.range.bucket_count(request.grain);
    if buckets > MAX_POINTS {
        return Err(QueryError::Invalid(format!(
            "the export would have {buckets} buckets, but the limit is {MAX_POINTS}: use a shorter range or a coarser \
             granularity"
        )));
    }
    let reader = OrgReader::open(ports, org).await?;
    let org = reader.pinned();
    let name = reader.name.clone();
    let state = ExportState {
        ports: ports.clone(),
        org,
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
struct ExportState {
    ports: QueryPorts,
    org: PinnedOrg,
    request: ExportRequest,
    /// `None` at the end.
    level: Option<RowSubject>,
    /// The first day of the range that is in no row of the level yet.
    next: NaiveDate,
    /// The months whose days may be in the next bucket, in order, with the days of all subjects of the level.
    window: Vec<(Month, Arc<Vec<MonthOfDays>>)>,
    repo_names: Arc<HashMap<i64, String>>,
}

impl ExportState {
    /// Returns the rows of the next buckets, in order. `None` at the end.
    async fn next_rows(&mut self) -> Result<Option<Vec<ExportRow>>, QueryError> {
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

    async fn rows_of(&mut self, level: RowSubject, bucket: Bucket) -> Result<Vec<ExportRow>, QueryError> {
        let range = self.request.range;
        // A bucket of the range overlaps it.
        let range =
            Range::new(bucket.start().max(range.since()), bucket.end().min(range.until())).unwrap_or(range);
        self.read_window(level, range).await?;
        let days: Vec<_> = self.window.iter().map(|(_, days)| Arc::clone(days)).collect();
        let rows = RowMaker {
            level,
            bucket,
            range,
            bots: self.request.bots,
            org: self.org.name().to_owned(),
            repo_names: Arc::clone(&self.repo_names),
        };
        match level {
            RowSubject::Org => Ok(vec![rows.of_org(&days)]),
            _ if days.iter().all(|days| days.is_empty()) => Ok(Vec::new()),
            _ => off_async_threads(move || rows.of_listed(&days)).await,
        }
    }

    /// Reads the months that the range needs and that are not in memory, and drops the others.
    async fn read_window(&mut self, level: RowSubject, range: Range) -> Result<(), QueryError> {
        let months: Vec<Month> = self.org.months_near(range).collect();
        self.window.retain(|(month, _)| months.contains(month));
        for month in months {
            if self.window.iter().all(|(of, _)| *of != month) {
                let reader = self.org.reopen(&self.ports).await?;
                let days = read_month(&reader, level, month).await?;
                self.window.push((month, Arc::new(days)));
            }
        }
        Ok(())
    }
}

/// Reads the days of all subjects of a level in a month.
async fn read_month(
    org: &OrgReader<'_>,
    level: RowSubject,
    month: Month,
) -> Result<Vec<MonthOfDays>, QueryError> {
    let days_of = |subject| ItemKey::new(ItemClass::Days(subject), month);
    let kind = match level {
        RowSubject::Org => return org.read_keys::<DaysItem>(&[days_of(Subject::Org)]).await,
        RowSubject::Repo => SubjectKind::Repo,
        RowSubject::Member => SubjectKind::Member,
    };
    let stored = org.read_stored(&ItemClass::List(kind), std::iter::once(month)).await?;
    let lists = decode_lists(stored).await?;
    let entries = lists.iter().flat_map(|list| &list.item.entries);
    let keys: Vec<ItemKey> = entries.map(|entry| days_of(entry.subject.subject())).collect();
    org.read_keys::<DaysItem>(&keys).await
}

/// Makes the rows of a bucket.
struct RowMaker {
    level: RowSubject,
    bucket: Bucket,
    /// The part of the bucket that counts.
    range: Range,
    bots: BotFilter,
    /// The organization's display name.
    org: String,
    repo_names: Arc<HashMap<i64, String>>,
}

impl RowMaker {
    fn row(&self, name: String, id: Option<i64>, metrics: MetricValues) -> ExportRow {
        let (start, end) = (self.bucket.start(), self.bucket.end());
        ExportRow { level: self.level, name, id, start, end, metrics }
    }

    fn of_org(&self, months: &[Arc<Vec<MonthOfDays>>]) -> ExportRow {
        let (mut sum, mut members) = (Rollup::default(), HashSet::new());
        for days in months {
            days.iter().for_each(|days| days.add_totals(self.range, &mut sum));
            members.extend(Credited::in_days(days, |date| self.range.contains(date), self.bots).members);
        }
        let mut metrics = metric_values(&Subject::Org, &sum, self.bots);
        metrics.set_active_members(members.len());
        self.row(self.org.clone(), None, metrics)
    }

    fn of_listed(&self, months: &[Arc<Vec<MonthOfDays>>]) -> Vec<ExportRow> {
        let mut totals = Totals::default();
        for days in months.iter().flat_map(|days| days.iter()) {
            if let ItemClass::Days(subject) = &days.key.class
                && days.dates().any(|(date, _)| self.range.contains(date))
            {
                totals.add(subject.clone(), days.sum(self.range));
            }
        }
        let kind = if self.level == RowSubject::Repo { SubjectKind::Repo } else { SubjectKind::Member };
        let is_listed = |rollup: &Rollup| self.bots.tally_of_listed(kind, rollup).has_credited_events();
        let listed = totals.0.into_iter().filter(|(_, rollup)| is_listed(rollup));
        let mut rows: Vec<ExportRow> = listed
            .map(|(subject, rollup)| {
                let id = if let Subject::Repo(id) = subject { Some(id) } else { None };
                let name = subject_name(&subject, &rollup, &self.repo_names);
                self.row(name, id, metric_values(&subject, &rollup, self.bots))
            })
            .collect();
        rows.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
        rows
    }
}
