//! Sums over days, of a subject or of some members.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use gam_model::metric::Counter;
use gam_model::{Grain, ItemClass, ItemKey, Range, Subject};
use gam_rollup::{DaysItem, Rollup, Tally};

use crate::QueryError;
use crate::answers::{BotFilter, MetricValue, MetricValues, SubjectRef};
use crate::org_reader::OrgReader;
use crate::read_items::MonthOfDays;
use crate::values::{metric_values, subject_tally};

/// The counters of a contribution calendar.
const CONTRIBUTIONS: [Counter; 4] =
    [Counter::Commits, Counter::PrsOpened, Counter::Reviews, Counter::IssuesOpened];

/// Whose days are added up.
pub(super) enum Counted {
    Subject(Subject),
    /// Some members of the organization.
    Members(Vec<Subject>),
}

impl Counted {
    /// Returns a subject whose rules for bots apply: a member that was selected by name counts in any case.
    pub(super) fn subject(&self) -> Cow<'_, Subject> {
        match self {
            Counted::Subject(subject) => Cow::Borrowed(subject),
            Counted::Members(_) => Cow::Owned(Subject::Member(String::new())),
        }
    }
}

impl OrgReader<'_> {
    /// Returns the members with these names or aliases. A name that nobody has is a member without events.
    pub(super) async fn member_subjects(&self, names: &[String]) -> Result<Vec<Subject>, QueryError> {
        let mut subjects = BTreeSet::new();
        for name in names {
            subjects.insert(self.resolve_subject(&SubjectRef::Member(name.clone())).await?.subject);
        }
        Ok(subjects.into_iter().collect())
    }

    /// Returns those of the names that no member has or had. `days` is what was read of the members.
    pub(super) async fn unknown_members(
        &self,
        names: &[String],
        days: &[MonthOfDays],
    ) -> Result<Vec<String>, QueryError> {
        let mut unknown = Vec::new();
        for name in names {
            let mut member = self.resolve_subject(&SubjectRef::Member(name.clone())).await?;
            let class = ItemClass::Days(member.subject.clone());
            if days.iter().any(|days| days.key.class == class) {
                continue;
            }
            let mut sum = Rollup::default();
            self.read_all_days(&member.subject).await?.iter().for_each(|days| sum.merge(&days.sum_all()));
            match self.set_member_name(&mut member, &sum).await {
                Ok(()) => {}
                Err(QueryError::NotFound(_)) => unknown.push(name.clone()),
                Err(error) => return Err(error),
            }
        }
        Ok(unknown)
    }

    /// Reads the days of all months that may have days of the range.
    pub(super) async fn read_counted(
        &self,
        counted: &Counted,
        range: Range,
    ) -> Result<Vec<MonthOfDays>, QueryError> {
        match counted {
            Counted::Subject(subject) => self.read_days(subject, range).await,
            Counted::Members(members) => self.read_days_of(members, range).await,
        }
    }

    /// Reads the days of several subjects in one read.
    pub(super) async fn read_days_of(
        &self,
        subjects: &[Subject],
        range: Range,
    ) -> Result<Vec<MonthOfDays>, QueryError> {
        let keys: Vec<ItemKey> = subjects
            .iter()
            .flat_map(|subject| {
                let class = ItemClass::Days(subject.clone());
                self.events.months_near(range).map(move |month| ItemKey::new(class.clone(), month))
            })
            .collect();
        self.events.read_keys::<DaysItem>(&keys).await
    }
}

/// Returns the part of a rollup that counts.
pub(super) fn tally<'a>(counted: &Counted, rollup: &'a Rollup, bots: BotFilter) -> Cow<'a, Tally> {
    subject_tally(&counted.subject(), rollup, bots)
}

/// Returns the values of a range.
pub(super) fn values(counted: &Counted, days: &[MonthOfDays], range: Range, bots: BotFilter) -> MetricValues {
    let mut values = bucket_values(counted, &super::sum(days, range), bots);
    if let Counted::Members(_) = counted {
        let mut by_member: BTreeMap<&ItemClass, Rollup> = BTreeMap::new();
        for month in days {
            by_member.entry(&month.key.class).or_default().merge(&month.sum(range));
        }
        let is_active = |rollup: &&Rollup| tally(counted, rollup, bots).has_credited_events();
        let active = by_member.values().filter(is_active).count() as u64;
        let value = values.0.iter_mut().find(|(name, _)| *name == "active_members");
        value.into_iter().for_each(|(_, value)| *value = MetricValue::Count(active));
    }
    values
}

/// Returns the values of a rollup. Of several members, `active_members` is at most 1.
pub(super) fn bucket_values(counted: &Counted, rollup: &Rollup, bots: BotFilter) -> MetricValues {
    metric_values(&counted.subject(), rollup, bots)
}

/// Adds up the days in the range, by the first day of their bucket.
pub(super) fn by_bucket(days: &[MonthOfDays], range: Range, grain: Grain) -> BTreeMap<NaiveDate, Rollup> {
    let mut buckets: BTreeMap<NaiveDate, Rollup> = BTreeMap::new();
    for month in days {
        for (date, sides) in month.dates().filter(|(date, _)| range.contains(*date)) {
            let rollup = buckets.entry(grain.bucket(date).start()).or_default();
            for side in sides {
                let tally = &mut *rollup.sides_mut()[side.side as usize];
                side.totals.add_to(tally);
                let names = side.members.iter().map(|&index| &month.item.members[index as usize]);
                tally.members.extend(names.cloned());
            }
        }
    }
    buckets
}

/// Returns the contributions of each day that has some.
pub(super) fn contributions(
    counted: &Counted,
    days: &[MonthOfDays],
    calendar: Range,
    bots: BotFilter,
) -> BTreeMap<NaiveDate, u64> {
    let mut by_day: BTreeMap<NaiveDate, Rollup> = BTreeMap::new();
    for (date, sides) in days.iter().flat_map(MonthOfDays::dates).filter(|(date, _)| calendar.contains(*date))
    {
        let rollup = by_day.entry(date).or_default();
        for side in sides {
            let counts = &mut rollup.sides_mut()[side.side as usize].counts;
            let added = CONTRIBUTIONS.map(|counter| (counter as usize, side.totals.counts[counter as usize]));
            added.into_iter().for_each(|(index, count)| counts[index] = counts[index].saturating_add(count));
        }
    }
    let count = |rollup: &Rollup| {
        let tally = tally(counted, rollup, bots);
        CONTRIBUTIONS.iter().map(|counter| tally.counts[*counter as usize]).sum::<u64>()
    };
    by_day.iter().map(|(date, rollup)| (*date, count(rollup))).filter(|(_, count)| *count > 0).collect()
}
