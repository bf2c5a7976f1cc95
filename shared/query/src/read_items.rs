//! Reading the items of an organization, and adding them up over a range.
//!
//! Items belong to UTC months, and their days to the organization's time zone. So the first and the last day of a
//! month can be in the items of two months: months next to the range are read as well, and days are chosen by their
//! date.

use std::collections::{BTreeMap, HashSet};

use chrono::{Days, NaiveDate};
use gam_model::{DayOfMonth, ItemClass, ItemKey, Month, Range, Subject, SubjectKind};
use gam_rollup::{BreakdownItem, DaysItem, ListItem, Rollup, Side, SideTotals, StoredForm};
use gam_store::StoredItem;

use crate::QueryError;
use crate::org_reader::OrgReader;

/// An item as it was read.
pub(crate) struct ReadItem<T> {
    pub(crate) key: ItemKey,
    /// The generation of the snapshot that it was folded from.
    generation: u64,
    pub(crate) item: T,
}

/// A subject's days of one month.
pub(crate) type MonthOfDays = ReadItem<DaysItem>;

impl MonthOfDays {
    /// Returns the sum of the days in the range.
    pub(crate) fn sum(&self, range: Range) -> Rollup {
        self.item.sum(self.key.month, range)
    }

    /// Returns the sum of all days.
    pub(crate) fn sum_all(&self) -> Rollup {
        self.item.sum_all(self.key.month)
    }

    /// Returns the days with their dates, in order.
    pub(crate) fn dates(&self) -> impl Iterator<Item = (NaiveDate, &[SideTotals])> {
        self.item
            .days
            .iter()
            .filter_map(|(day, sides)| Some((DayOfMonth::new(*day)?.date(self.key.month), sides.as_slice())))
    }
}

/// How much of a month's items a range counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MonthShare {
    All,
    Some,
    None,
}

impl OrgReader<'_> {
    /// Returns the folded months whose items may have days of the range, in order.
    pub(crate) fn months_near(&self, range: Range) -> impl DoubleEndedIterator<Item = Month> {
        let day = Days::new(1);
        let is_near =
            move |month: &Month| month.first_day() - day < range.until() && range.since() < month.end() + day;
        self.markers.keys().copied().filter(is_near)
    }

    /// Decodes the items that count: those at or above the floor of their month.
    fn decode<T: StoredForm>(
        &self,
        stored: Vec<(ItemKey, StoredItem)>,
    ) -> Result<Vec<ReadItem<T>>, QueryError> {
        let is_current = |key: &ItemKey, stored: &StoredItem| {
            self.markers.get(&key.month).is_some_and(|marker| marker.should_count(stored))
        };
        stored
            .into_iter()
            .filter(|(key, stored)| is_current(key, stored))
            .map(|(key, stored)| match T::decode(&stored.body) {
                Ok(item) => Ok(ReadItem { key, generation: stored.generation, item }),
                Err(source) => Err(QueryError::Unreadable { key: format!("{key:?}"), source }),
            })
            .collect()
    }

    /// Reads the items of a class in these folded months, ordered by key, in one range read.
    async fn read_class<T: StoredForm>(
        &self,
        class: &ItemClass,
        mut months: impl DoubleEndedIterator<Item = Month>,
    ) -> Result<Vec<ReadItem<T>>, QueryError> {
        let (Some(active), Some(first)) = (&self.active, months.next()) else { return Ok(Vec::new()) };
        let last = months.next_back().unwrap_or(first);
        let stored = self.ports.rollups.range(&self.key, active.epoch, class, first, last).await?;
        self.decode(stored)
    }

    /// Reads single items, ordered by key.
    pub(crate) async fn read_keys<T: StoredForm>(
        &self,
        keys: &[ItemKey],
    ) -> Result<Vec<ReadItem<T>>, QueryError> {
        let Some(active) = self.active.as_ref().filter(|_| !keys.is_empty()) else { return Ok(Vec::new()) };
        let mut stored = self.ports.rollups.get(&self.key, active.epoch, keys).await?;
        stored.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.decode(stored)
    }

    /// Reads a subject's days of all months that may have days of the range.
    pub(crate) async fn read_days(
        &self,
        subject: &Subject,
        range: Range,
    ) -> Result<Vec<MonthOfDays>, QueryError> {
        self.read_class(&ItemClass::Days(subject.clone()), self.months_near(range)).await
    }

    /// Reads all days of a subject.
    pub(crate) async fn read_all_days(&self, subject: &Subject) -> Result<Vec<MonthOfDays>, QueryError> {
        self.read_class(&ItemClass::Days(subject.clone()), self.markers.keys().copied()).await
    }

    /// Returns what each repository, or each member, did in the range. Months that the range covers come from
    /// lists, the others from the days of the subjects that the lists name.
    pub(crate) async fn read_totals_by_subject(
        &self,
        kind: SubjectKind,
        range: Range,
    ) -> Result<BTreeMap<Subject, Rollup>, QueryError> {
        let class = ItemClass::List(kind);
        let lists: Vec<ReadItem<ListItem>> = self.read_class(&class, self.months_near(range)).await?;
        let shares = self.month_shares(&lists, range).await?;
        let (mut totals, mut cut) = (Totals::default(), Vec::new());
        for (list, share) in lists.iter().zip(shares) {
            for entry in list.item.entries.iter().filter(|_| share != MonthShare::None) {
                let subject = entry.subject.subject();
                match share {
                    MonthShare::All => totals.add(subject, list.item.rollup(list.key.month, entry)),
                    _ => cut.push(ItemKey::new(ItemClass::Days(subject), list.key.month)),
                }
            }
        }
        for days in self.read_keys::<DaysItem>(&cut).await? {
            let sum = days.sum(range);
            if let ItemClass::Days(subject) = days.key.class {
                totals.add(subject, sum);
            }
        }
        Ok(totals.0)
    }

    /// Returns how much of each list the range counts.
    ///
    /// A range counts all of a month that it exceeds by a day at both ends. In the few other months, the days of the
    /// organization show which days there are: usually just those of the month itself.
    async fn month_shares(
        &self,
        lists: &[ReadItem<ListItem>],
        range: Range,
    ) -> Result<Vec<MonthShare>, QueryError> {
        let exceeds = |month: Month| range.since() < month.first_day() && month.end() < range.until();
        let near_ends = lists.iter().map(|list| list.key.month).filter(|month| !exceeds(*month));
        let keys: Vec<_> =
            near_ends.map(|month| ItemKey::new(ItemClass::Days(Subject::Org), month)).collect();
        let days_of_org = self.read_keys::<DaysItem>(&keys).await?;
        let share = |list: &ReadItem<ListItem>| {
            if exceeds(list.key.month) {
                return MonthShare::All;
            }
            let days = days_of_org.iter().find(|days| days.key.month == list.key.month);
            // Days of another generation may have other dates than those that the list counts.
            let Some(days) = days.filter(|days| days.generation == list.generation) else {
                return MonthShare::Some;
            };
            let in_range = days.dates().filter(|(date, _)| range.contains(*date)).count();
            match in_range {
                0 => MonthShare::None,
                count if count == days.item.days.len() => MonthShare::All,
                _ => MonthShare::Some,
            }
        };
        Ok(lists.iter().map(share).collect())
    }

    /// Returns what each member did in a repository in the range, or a member in each repository. Their members and
    /// repositories are empty.
    pub(crate) async fn read_breakdown(
        &self,
        subject: &Subject,
        range: Range,
    ) -> Result<BTreeMap<Subject, Rollup>, QueryError> {
        let class = ItemClass::Breakdown(subject.clone());
        let weeks: Vec<ReadItem<BreakdownItem>> = self.read_class(&class, self.months_near(range)).await?;
        let mut totals = Totals::default();
        for week in weeks {
            for (other, sum) in week.item.sum_by_other(week.key.month, range) {
                totals.add(other, sum);
            }
        }
        Ok(totals.0)
    }
}

/// The members and repositories credited with events in any of a subject's days.
pub(crate) struct Credited<'a> {
    pub(crate) members: HashSet<&'a str>,
    pub(crate) repos: HashSet<i64>,
}

impl<'a> Credited<'a> {
    /// Collects the repositories of the sides for which `counts` is true, and the members of those for which
    /// `counts_members` is true.
    pub(crate) fn new(
        days: &'a [MonthOfDays],
        counts: impl Fn(Side) -> bool,
        counts_members: impl Fn(Side) -> bool,
    ) -> Self {
        let mut credited = Credited { members: HashSet::new(), repos: HashSet::new() };
        for MonthOfDays { item, .. } in days {
            for side in item.days.iter().flat_map(|(_, sides)| sides) {
                if counts_members(side.side) {
                    let members = side.members.iter().map(|&index| item.members[index as usize].as_str());
                    credited.members.extend(members);
                }
                if counts(side.side) {
                    credited.repos.extend(side.repos.iter().map(|&index| item.repos[index as usize]));
                }
            }
        }
        credited
    }
}

/// Rollups by subject, added up.
#[derive(Default)]
struct Totals(BTreeMap<Subject, Rollup>);

impl Totals {
    fn add(&mut self, subject: Subject, rollup: Rollup) {
        self.0.entry(subject).or_default().merge(&rollup);
    }
}
