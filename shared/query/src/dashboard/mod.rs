//! Everything that a page about a subject shows, from one read of its items.
//!
//! A page needs the numbers of a range, of the range before it, of each bucket, of each day of a year, and of each
//! repository or member. Computed from one epoch in one read, they agree with each other, and their cost does not
//! depend on the number of repositories.

mod entries;
mod sums;
mod trends;

pub use trends::{TrendsAnswer, trends};

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{Days, NaiveDate};
use gam_model::metric::{DurationMetric, HISTOGRAM_BOUNDS_SECONDS, Metric};
use gam_model::period::FIRST_DAY;
use gam_model::{Grain, MemberKind, Range, Subject};
use gam_rollup::Rollup;

use crate::answers::{BotFilter, CoverageAnswer, MetricValue, MetricValues, SubjectRef};
use crate::org_reader::{OrgQuery, OrgReader, read_org};
use crate::read_items::MonthOfDays;
use crate::{QueryError, QueryPorts, comparison};

/// How many members a dashboard can be limited to.
pub const MAX_DASHBOARD_MEMBERS: usize = 50;
/// How many repositories of an organization have a trend.
pub const MAX_TRENDS: usize = 8;
/// How many repositories of a member, or members of a repository, a dashboard has. All of them have a trend.
pub const MAX_ENTRIES: usize = 200;
/// How many buckets a dashboard and a trend can have: 50 years of months.
pub const MAX_DASHBOARD_BUCKETS: u64 = 600;

/// The weeks of a calendar of contributions.
const CALENDAR_WEEKS: u64 = 53;

/// A request for a dashboard.
#[derive(Debug, Clone)]
pub struct DashboardRequest {
    /// The subject.
    pub subject: SubjectRef,
    /// If not empty, only what these members did counts. Only for organizations; at most
    /// [`MAX_DASHBOARD_MEMBERS`] of them.
    pub members: Vec<String>,
    /// The days whose events count.
    pub range: Range,
    /// The length of the buckets.
    pub grain: Grain,
    /// Whose work counts.
    pub bots: BotFilter,
    /// The metric by which entries are chosen and of which they have trends. A count.
    pub trend: &'static Metric,
}

/// A bucket of a dashboard.
#[derive(Debug, Clone, PartialEq)]
pub struct DashboardBucket {
    /// The first day of the bucket, in the organization's time zone.
    pub start: NaiveDate,
    /// The day after the last of the bucket, in the organization's time zone.
    pub end: NaiveDate,
    /// Whether the range cuts the bucket, or the bucket is not over.
    pub is_partial: bool,
    /// The values of the days that are both in the bucket and in the range.
    pub metrics: MetricValues,
}

/// A repository or a member on a dashboard.
#[derive(Debug, Clone, PartialEq)]
pub struct DashboardEntry {
    /// The name as GitHub writes it.
    pub name: String,
    /// GitHub's id of the repository; `None` for a member.
    pub id: Option<i64>,
    /// The kind of account of the member; `None` for a repository.
    pub kind: Option<MemberKind>,
    /// The values in the range.
    pub metrics: MetricValues,
    /// The values of the requested metric, one for each bucket. `None` after the first [`MAX_TRENDS`] repositories of
    /// an organization.
    pub trend: Option<Vec<u64>>,
}

/// Everything that a page about a subject shows.
#[derive(Debug, Clone, PartialEq)]
pub struct DashboardAnswer {
    /// The organization's login as GitHub writes it.
    pub org: String,
    /// The repository's name as GitHub writes it. `None` if the subject is no repository.
    pub repo: Option<String>,
    /// GitHub's id of the repository. `None` if the subject is no repository.
    pub id: Option<i64>,
    /// The member's name. `None` if the subject is no member.
    pub member: Option<String>,
    /// The name of the organization's time zone, which decides where days begin.
    pub timezone: &'static str,
    /// The current day in that time zone.
    pub today: NaiveDate,
    /// The days whose events count.
    pub range: Range,
    /// From when until when the numbers are complete.
    pub coverage: CoverageAnswer,
    /// The values of the range. For an organization, they include `active_members`.
    pub metrics: MetricValues,
    /// The same number of days, ending where the range starts. `None` if there are not that many.
    pub previous_range: Option<Range>,
    /// The values of the range before. `None` if there is none.
    pub previous: Option<MetricValues>,
    /// Whether the numbers of the range before are complete, so that the two can be compared.
    pub is_comparable: bool,
    /// The buckets of the range, in order.
    pub buckets: Vec<DashboardBucket>,
    /// Number of durations of `cycle_time_hours` in each bin between
    /// [`HISTOGRAM_BOUNDS_SECONDS`].
    pub cycle_time_bins: Vec<u64>,
    /// Number of durations of `first_review_hours` in each bin between
    /// [`HISTOGRAM_BOUNDS_SECONDS`].
    pub first_review_bins: Vec<u64>,
    /// The days of the calendar: whole weeks, the last one with the last day of the range.
    pub calendar: Range,
    /// Contributions by day of the calendar, days without any left out: commits, pull requests and issues opened,
    /// reviews.
    pub contributions: BTreeMap<NaiveDate, u64>,
    /// The requested members that are not known.
    pub unknown_members: Vec<String>,
    /// The last day up to today with a credited event. Only looked for if the range has none.
    pub last_event: Option<NaiveDate>,
    /// An organization's repositories, or the first [`MAX_ENTRIES`] repositories of a member or members of a
    /// repository, by the requested metric, greatest first.
    pub entries: Vec<DashboardEntry>,
    /// The names, in lower case, that several stored repositories of the organization have. Empty if no repositories
    /// are listed.
    pub shared_repo_names: BTreeSet<String>,
    /// Number of repositories or members with those that `entries` leaves out.
    pub entry_count: usize,
    /// An organization's members with reviews and the number of their reviews, by name.
    pub reviewers: Vec<(String, u64)>,
}

impl DashboardAnswer {
    /// Returns whether nothing that is counted happened in the range.
    pub fn is_empty(&self) -> bool {
        self.metrics.0.iter().all(|(_, value)| match value {
            MetricValue::Count(count) | MetricValue::Distribution { count, .. } => *count == 0,
        })
    }
}

/// Returns everything that a page about a subject shows.
///
/// # Errors
/// If there is no such organization, repository or member, there are too many members or more than
/// [`MAX_DASHBOARD_BUCKETS`] buckets, the store fails, or a stored item cannot be read.
pub async fn dashboard(
    ports: &QueryPorts,
    org: &str,
    request: &DashboardRequest,
) -> Result<DashboardAnswer, QueryError> {
    if request.members.len() > MAX_DASHBOARD_MEMBERS {
        return Err(QueryError::Invalid(format!(
            "{} members are selected, but the limit is {MAX_DASHBOARD_MEMBERS}: leave some out",
            request.members.len()
        )));
    }
    check_bucket_count(request.range, request.grain)?;
    read_org(ports, org, &DashboardQuery(request)).await
}

/// Returns the names, in lower case, that several repositories have: a new repository can have the name of a deleted
/// one.
fn shared_names(names: &HashMap<i64, String>) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    names.values().map(|name| name.to_lowercase()).filter(|name| !seen.insert(name.clone())).collect()
}

/// Checks that a range does not have more buckets than a dashboard may have.
fn check_bucket_count(range: Range, grain: Grain) -> Result<(), QueryError> {
    let buckets = range.bucket_count(grain);
    if buckets <= MAX_DASHBOARD_BUCKETS {
        return Ok(());
    }
    Err(QueryError::Invalid(format!(
        "the range from {} to {} has {buckets} {}s, but the limit is {MAX_DASHBOARD_BUCKETS}: choose a shorter range \
         or a coarser granularity",
        range.since(),
        range.until(),
        grain.as_str()
    )))
}

struct DashboardQuery<'a>(&'a DashboardRequest);

impl OrgQuery for DashboardQuery<'_> {
    type Answer = DashboardAnswer;

    async fn answer(&self, org: &OrgReader<'_>) -> Result<DashboardAnswer, QueryError> {
        let request = self.0;
        let (range, grain, bots) = (request.range, request.grain, request.bots);
        let mut resolved = org.resolve_subject(&request.subject).await?;
        let previous_range = comparison::previous_range(range);
        let calendar = calendar(range);
        let first = previous_range.map_or(range.since(), Range::since).min(calendar.since());
        let read = Range::new(first, range.until().max(calendar.until())).expect("it contains the range");
        let counted = match resolved.subject {
            Subject::Org if !request.members.is_empty() => {
                sums::Counted::Members(org.member_subjects(&request.members).await?)
            }
            ref subject => sums::Counted::Subject(subject.clone()),
        };
        let (days, coverage) =
            tokio::try_join!(org.read_counted(&counted, read), org.coverage(&resolved.subject))?;
        org.set_display_name(&mut resolved, &days, range).await?;

        let unknown_members = org.unknown_members(&request.members, &days).await?;
        let is_comparable = match previous_range {
            Some(previous) => org.is_comparable(&coverage, previous).await?,
            None => false,
        };
        let in_range = sum(&days, range);
        let values = |range: Range| sums::values(&counted, &days, range, bots);
        let buckets = sums::by_bucket(&days, range, grain);
        let empty = Rollup::default();
        let today = org.today();
        let dashboard_bucket = |bucket: gam_model::Bucket| DashboardBucket {
            start: bucket.start(),
            end: bucket.end(),
            is_partial: bucket.start() < range.since()
                || range.until() < bucket.end()
                || (bucket.start()..bucket.end()).contains(&today),
            metrics: sums::bucket_values(&counted, buckets.get(&bucket.start()).unwrap_or(&empty), bots),
        };
        let tally = sums::tally(&counted, &in_range, bots);
        let bins =
            |metric: DurationMetric| tally.durations[metric as usize].histogram(&HISTOGRAM_BOUNDS_SECONDS);
        let last_event = match tally.has_credited_events() {
            true => None,
            false => self.last_event(org, &counted).await?,
        };
        let entries = self.entries(org, &resolved.subject, &counted).await?;
        let reviewers = self.reviewers(org, &resolved.subject, &counted, &days).await?;
        Ok(DashboardAnswer {
            org: org.name.clone(),
            id: resolved.repo_id(),
            repo: resolved.repo,
            member: resolved.member,
            timezone: org.time_zone.name(),
            today,
            range,
            metrics: values(range),
            previous_range,
            previous: previous_range.map(values),
            is_comparable,
            coverage,
            buckets: range.buckets(grain).map(dashboard_bucket).collect(),
            cycle_time_bins: bins(DurationMetric::CycleTime),
            first_review_bins: bins(DurationMetric::FirstReview),
            contributions: sums::contributions(&counted, &days, calendar, bots),
            calendar,
            unknown_members,
            last_event,
            entries: entries.first,
            shared_repo_names: entries.shared_repo_names,
            entry_count: entries.count,
            reviewers,
        })
    }
}

impl DashboardQuery<'_> {
    /// Returns the last day up to today with a credited event of those whose work counts.
    async fn last_event(
        &self,
        org: &OrgReader<'_>,
        counted: &sums::Counted,
    ) -> Result<Option<NaiveDate>, QueryError> {
        let all = all_days(org.today());
        let by_day = sums::by_bucket(&org.read_counted(counted, all).await?, all, Grain::Day);
        let has_events = |rollup: &Rollup| sums::tally(counted, rollup, self.0.bots).has_credited_events();
        Ok(by_day.iter().rev().find(|(_, rollup)| has_events(rollup)).map(|(day, _)| *day))
    }
}

/// Returns the days of the calendar of a range: whole weeks up to the one with its last day.
fn calendar(range: Range) -> Range {
    let end = Grain::Week.bucket(range.until() - Days::new(1)).end();
    let since = end.checked_sub_days(Days::new(7 * CALENDAR_WEEKS)).unwrap_or(FIRST_DAY);
    Range::new(since, end).expect("a year is not empty")
}

/// Returns all days up to today.
fn all_days(today: NaiveDate) -> Range {
    Range::new(FIRST_DAY, today + Days::new(1)).expect("today is not before the first day")
}

/// Returns the sum of the days in the range.
fn sum(days: &[MonthOfDays], range: Range) -> Rollup {
    let mut rollup = Rollup::default();
    days.iter().for_each(|days| rollup.merge(&days.sum(range)));
    rollup
}
