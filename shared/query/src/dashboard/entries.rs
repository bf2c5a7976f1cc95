//! The repositories or members of a dashboard.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::NaiveDate;
use gam_model::metric::Counter;
use gam_model::{ItemClass, ItemKey, Range, Subject, SubjectKind, WeekOfMonth};
use gam_rollup::{BreakdownItem, Rollup};

use super::{DashboardEntry, DashboardQuery, MAX_ENTRIES, MAX_TRENDS, sums};
use crate::QueryError;
use crate::answers::{BotFilter, MetricValue};
use crate::org_reader::OrgReader;
use crate::read_items::{MonthOfDays, ReadItem};
use crate::values::{metric_value, metric_values, subject_tally};

/// What a repository or a member did: the sum, and the sum of each bucket if the entry has a trend.
#[derive(Default)]
struct EntrySums {
    total: Rollup,
    buckets: BTreeMap<NaiveDate, Rollup>,
}

type Sums = BTreeMap<Subject, EntrySums>;

/// The entries of a dashboard, their number with those that are left out, and the names that do not identify them.
pub(super) struct Entries {
    pub(super) first: Vec<DashboardEntry>,
    pub(super) count: usize,
    pub(super) shared_repo_names: BTreeSet<String>,
}

impl DashboardQuery<'_> {
    /// Returns the repositories of an organization, or the first [`MAX_ENTRIES`] repositories of a member or members
    /// of a repository.
    pub(super) async fn entries(
        &self,
        org: &OrgReader<'_>,
        subject: &Subject,
        counted: &sums::Counted,
    ) -> Result<Entries, QueryError> {
        let weeks = match (subject, counted) {
            (Subject::Org, sums::Counted::Members(members)) => self.read_breakdowns(org, members).await?,
            (Subject::Org, _) => Vec::new(),
            _ => self.read_breakdowns(org, std::slice::from_ref(subject)).await?,
        };
        let mut sums = match (subject, counted) {
            (Subject::Org, sums::Counted::Subject(_)) => {
                let totals = org.read_totals_by_subject(SubjectKind::Repo, self.0.range).await?;
                let sums = |total| EntrySums { total, buckets: BTreeMap::new() };
                totals.into_iter().map(|(subject, total)| (subject, sums(total))).collect()
            }
            _ => self.breakdown_totals(&weeks),
        };
        let names = match subject {
            Subject::Repo(_) => HashMap::new(),
            _ => org.repo_names().await?,
        };
        let counted_of = |listed: &Subject| match (subject, counted) {
            (Subject::Member(_), _) | (_, sums::Counted::Members(_)) => counted.subject().into_owned(),
            _ => listed.clone(),
        };
        let bots = self.0.bots;
        sums.retain(|listed, sums| match listed {
            Subject::Member(_) => bots.listed_tally(&sums.total).has_credited_events(),
            _ => subject_tally(&counted_of(listed), &sums.total, bots).has_credited_events(),
        });
        let order = |listed: &Subject, sums: &EntrySums| {
            let value = match metric_value(self.0.trend, &counted_of(listed), &sums.total, bots) {
                MetricValue::Count(count) | MetricValue::Distribution { count, .. } => count,
            };
            (std::cmp::Reverse(value), name_of(listed, &sums.total, &names).to_lowercase(), listed.clone())
        };
        let mut order: Vec<_> = sums.iter().map(|(listed, sums)| order(listed, sums)).collect();
        order.sort();
        let (max_entries, max_trends) = match subject {
            Subject::Org => (usize::MAX, MAX_TRENDS),
            Subject::Repo(_) | Subject::Member(_) => (MAX_ENTRIES, MAX_ENTRIES),
        };
        let count = order.len();
        order.truncate(max_entries);
        let first: Vec<Subject> = order.iter().take(max_trends).map(|(.., listed)| listed.clone()).collect();
        if let (Subject::Org, sums::Counted::Subject(_)) = (subject, counted) {
            for month in org.read_days_of(&first, self.0.range).await? {
                let ItemClass::Days(repo) = &month.key.class else { continue };
                let buckets = sums::by_bucket(std::slice::from_ref(&month), self.0.range, self.0.grain);
                let Some(entry) = sums.get_mut(repo) else { continue };
                for (start, rollup) in buckets {
                    entry.buckets.entry(start).or_default().merge(&rollup);
                }
            }
        } else {
            self.add_breakdown_buckets(&weeks, &first, &mut sums);
        }
        let entry = |(at, listed): (usize, Subject)| {
            let sums = &sums[&listed];
            let id = if let Subject::Repo(id) = listed { Some(id) } else { None };
            DashboardEntry {
                name: name_of(&listed, &sums.total, &names),
                id,
                kind: sums.total.member.as_ref().filter(|_| id.is_none()).map(|(_, kind)| *kind),
                metrics: metric_values(&counted_of(&listed), &sums.total, bots),
                trend: (at < max_trends).then(|| self.trend(&counted_of(&listed), sums, bots)),
            }
        };
        let first = order.into_iter().map(|(.., listed)| listed).enumerate().map(entry).collect();
        Ok(Entries { first, count, shared_repo_names: super::shared_names(&names) })
    }

    fn trend(&self, counted: &Subject, sums: &EntrySums, bots: BotFilter) -> Vec<u64> {
        let value = |start: NaiveDate| {
            let value =
                sums.buckets.get(&start).map(|rollup| metric_value(self.0.trend, counted, rollup, bots));
            match value {
                Some(MetricValue::Count(count) | MetricValue::Distribution { count, .. }) => count,
                None => 0,
            }
        };
        self.0.range.buckets(self.0.grain).map(|bucket| value(bucket.start())).collect()
    }

    /// Reads what these members did in each repository, or each member in these repositories.
    async fn read_breakdowns(
        &self,
        org: &OrgReader<'_>,
        subjects: &[Subject],
    ) -> Result<Vec<ReadItem<BreakdownItem>>, QueryError> {
        let range: Range = self.0.range;
        let keys: Vec<ItemKey> = subjects
            .iter()
            .flat_map(|subject| org.events.months_near(range).map(move |month| (subject, month)))
            .flat_map(|(subject, month)| {
                WeekOfMonth::all().map(move |week| ItemKey::breakdown(subject.clone(), month, week))
            })
            .collect();
        org.events.read_keys(&keys).await
    }

    /// Adds up the range for each entry.
    fn breakdown_totals(&self, weeks: &[ReadItem<BreakdownItem>]) -> Sums {
        let mut sums = Sums::new();
        for week in weeks {
            for (other, rollup) in week.item.sum_by_other(week.key.month, self.0.range) {
                sums.entry(other).or_default().total.merge(&rollup);
            }
        }
        sums
    }

    /// Adds up each bucket for these entries.
    fn add_breakdown_buckets(&self, weeks: &[ReadItem<BreakdownItem>], entries: &[Subject], sums: &mut Sums) {
        let range: Range = self.0.range;
        let entries: BTreeSet<&Subject> = entries.iter().collect();
        for week in weeks {
            for bucket in range.buckets(self.0.grain) {
                let days = Range::new(bucket.start().max(range.since()), bucket.end().min(range.until()));
                // Local days of an item reach at most a day beyond its UTC month.
                let month = week.key.month;
                let near =
                    days.filter(|days| days.since() <= month.end() && month.first_day() <= days.until());
                let Some(days) = near else { continue };
                for (other, rollup) in week.item.sum_by_other(month, days) {
                    if entries.contains(&other) {
                        let buckets = &mut sums.entry(other).or_default().buckets;
                        buckets.entry(bucket.start()).or_default().merge(&rollup);
                    }
                }
            }
        }
    }

    /// Returns the members with reviews and the number of their reviews, by name. Only for organizations.
    pub(super) async fn reviewers(
        &self,
        org: &OrgReader<'_>,
        subject: &Subject,
        counted: &sums::Counted,
        days: &[MonthOfDays],
    ) -> Result<Vec<(String, u64)>, QueryError> {
        let (range, bots) = (self.0.range, self.0.bots);
        let totals = match (subject, counted) {
            (Subject::Org, sums::Counted::Subject(_)) => {
                org.read_totals_by_subject(SubjectKind::Member, range).await?
            }
            (Subject::Org, sums::Counted::Members(_)) => {
                let mut totals: BTreeMap<Subject, Rollup> = BTreeMap::new();
                for month in days {
                    let ItemClass::Days(member) = &month.key.class else { continue };
                    totals.entry(member.clone()).or_default().merge(&month.sum(range));
                }
                totals
            }
            _ => BTreeMap::new(),
        };
        let reviews = |(member, rollup): (Subject, Rollup)| {
            let tally = match counted {
                sums::Counted::Members(_) => subject_tally(&member, &rollup, bots),
                sums::Counted::Subject(_) => bots.listed_tally(&rollup),
            };
            let count = tally.counts[Counter::Reviews as usize];
            (count > 0).then(|| (name_of(&member, &rollup, &HashMap::new()), count))
        };
        let mut reviewers: Vec<(String, u64)> = totals.into_iter().filter_map(reviews).collect();
        reviewers.sort_by_cached_key(|(name, _)| name.to_lowercase());
        Ok(reviewers)
    }
}

fn name_of(subject: &Subject, rollup: &Rollup, repo_names: &HashMap<i64, String>) -> String {
    match (subject, &rollup.member) {
        (Subject::Repo(id), _) => repo_names.get(id).cloned().unwrap_or_else(|| id.to_string()),
        (_, Some((name, _))) => name.clone(),
        (subject, None) => subject.name(),
    }
}
