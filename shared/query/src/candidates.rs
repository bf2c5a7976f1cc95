//! The subjects that a listing may contain, and what they did in the range.
//!
//! Months that the range covers come from lists. Of a month that the range cuts, the list only says who may be listed:
//! the numbers come from the days of each subject. Reading those of all subjects takes long, so a listing reads them
//! only of subjects that may be on the page: no subject did more on some days than in the complete month.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use gam_model::metric::{Aggregation, Metric};
use gam_model::{ItemClass, ItemKey, Month, Range, Subject, SubjectKind};
use gam_rollup::{DaysItem, ListEntry, ListItem, ListedSubject, Rollup, Side};

use crate::QueryError;
use crate::org_reader::OrgReader;
use crate::read_items::{ReadItem, Totals, decode_lists};

/// How much of a month's items a range counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MonthShare {
    All,
    Some,
    None,
}

/// The repositories or members that did something in the months of a range.
pub(crate) struct Candidates {
    lists: Vec<(ReadItem<ListItem>, MonthShare)>,
    candidates: Vec<Candidate>,
}

struct Candidate {
    subject: Subject,
    /// The index of a list, and of the subject's entry in it.
    entries: Vec<(usize, usize)>,
}

/// What distinguishes the subjects of lists of one kind.
#[derive(PartialEq, Eq, Hash)]
enum ListedKey<'a> {
    Repo(i64),
    Member(&'a str),
}

impl Candidates {
    fn new(lists: Vec<(ReadItem<ListItem>, MonthShare)>) -> Self {
        let mut numbers: HashMap<ListedKey<'_>, usize> = HashMap::new();
        let mut candidates: Vec<Candidate> = Vec::new();
        for (list_index, (list, _)) in lists.iter().enumerate() {
            for (entry_index, entry) in list.item.entries.iter().enumerate() {
                let key = match &entry.subject {
                    ListedSubject::Repo(id) => ListedKey::Repo(*id),
                    ListedSubject::Member(key, _) => ListedKey::Member(key),
                };
                let number = *numbers.entry(key).or_insert_with(|| {
                    candidates.push(Candidate { subject: entry.subject.subject(), entries: Vec::new() });
                    candidates.len() - 1
                });
                candidates[number].entries.push((list_index, entry_index));
            }
        }
        Candidates { lists, candidates }
    }

    /// Returns the numbers of all candidates.
    pub(crate) fn all(&self) -> Vec<usize> {
        (0..self.candidates.len()).collect()
    }

    /// Returns the numbers of the candidates among these subjects.
    pub(crate) fn numbers_of(&self, subjects: &BTreeSet<&Subject>) -> Vec<usize> {
        let candidates = self.candidates.iter().enumerate();
        candidates
            .filter(|(_, candidate)| subjects.contains(&candidate.subject))
            .map(|(number, _)| number)
            .collect()
    }

    fn entries(
        &self,
        candidate: usize,
    ) -> impl Iterator<Item = (&ReadItem<ListItem>, MonthShare, &ListEntry)> {
        self.candidates[candidate].entries.iter().map(|&(list, entry)| {
            let (list, share) = &self.lists[list];
            (list, *share, &list.item.entries[entry])
        })
    }

    /// Returns the numbers of all candidates and the greatest value that each can have, greatest first. `counts` says
    /// which sides count. `None` if the value of the metric in a part of a range may be greater than in the range.
    pub(crate) fn by_greatest_value(
        &self,
        metric: &Metric,
        counts: impl Fn(Side) -> bool,
    ) -> Option<Vec<(u64, usize)>> {
        let single;
        let counters = match metric.aggregation {
            Aggregation::Count(counter) => {
                single = [counter];
                &single[..]
            }
            Aggregation::Sum(counters) => counters,
            Aggregation::DistinctMembers | Aggregation::Distribution(_) => return None,
        };
        let value = |candidate: usize| {
            let entries = self.entries(candidate);
            let sides = entries.flat_map(|(.., entry)| &entry.sides).filter(|side| counts(side.side));
            let counts =
                sides.flat_map(|side| counters.iter().map(|&counter| side.totals.counts[counter as usize]));
            counts.fold(0, u64::saturating_add)
        };
        let mut values: Vec<(u64, usize)> =
            (0..self.candidates.len()).map(|candidate| (value(candidate), candidate)).collect();
        values.sort_by(|a, b| b.cmp(a));
        Some(values)
    }
}

impl OrgReader<'_> {
    /// Reads the repositories, or the members, that did something in the months of the range.
    pub(crate) async fn read_candidates(
        &self,
        kind: SubjectKind,
        range: Range,
    ) -> Result<Candidates, QueryError> {
        let stored = self.events.read_stored(&ItemClass::List(kind), self.events.months_near(range)).await?;
        let months: Vec<_> = stored.iter().map(|(key, item)| (key.month, item.generation)).collect();
        let shares = self.month_shares(&months, range).await?;
        let (stored, shares): (Vec<_>, Vec<_>) =
            stored.into_iter().zip(shares).filter(|(_, share)| *share != MonthShare::None).unzip();
        let lists = decode_lists(stored).await?;
        Ok(Candidates::new(lists.into_iter().zip(shares).collect()))
    }

    /// Returns what some of the candidates did in the range.
    pub(crate) async fn read_rollups(
        &self,
        candidates: &Candidates,
        numbers: &[usize],
        range: Range,
    ) -> Result<BTreeMap<Subject, Rollup>, QueryError> {
        let (mut totals, mut cut) = (Totals::default(), Vec::new());
        for &number in numbers {
            let subject = &candidates.candidates[number].subject;
            let mut sum = Rollup::default();
            let mut is_listed = false;
            for (list, share, entry) in candidates.entries(number) {
                if share == MonthShare::All {
                    is_listed = true;
                    sum.merge(&list.item.rollup(list.key.month, entry));
                } else {
                    cut.push(ItemKey::new(ItemClass::Days(subject.clone()), list.key.month));
                }
            }
            if is_listed {
                totals.add(subject.clone(), sum);
            }
        }
        for days in self.events.read_keys::<DaysItem>(&cut).await? {
            let sum = days.sum(range);
            if let ItemClass::Days(subject) = days.key.class {
                totals.add(subject, sum);
            }
        }
        Ok(totals.0)
    }

    /// Returns what each repository, or each member, did in the range.
    pub(crate) async fn read_totals_by_subject(
        &self,
        kind: SubjectKind,
        range: Range,
    ) -> Result<BTreeMap<Subject, Rollup>, QueryError> {
        let candidates = self.read_candidates(kind, range).await?;
        self.read_rollups(&candidates, &candidates.all(), range).await
    }

    /// Returns how much the range counts of each list, by its month and generation.
    ///
    /// A range counts all of a month that it exceeds by a day at both ends. In the few other months, the days of the
    /// organization show which days there are: usually just those of the month itself.
    async fn month_shares(
        &self,
        lists: &[(Month, u64)],
        range: Range,
    ) -> Result<Vec<MonthShare>, QueryError> {
        let exceeds = |month: Month| range.since() < month.first_day() && month.end() < range.until();
        let near_ends = lists.iter().map(|(month, _)| *month).filter(|month| !exceeds(*month));
        let keys: Vec<_> =
            near_ends.map(|month| ItemKey::new(ItemClass::Days(Subject::Org), month)).collect();
        let days_of_org = self.events.read_keys::<DaysItem>(&keys).await?;
        let share = |&(month, generation): &(Month, u64)| {
            if exceeds(month) {
                return MonthShare::All;
            }
            let days = days_of_org.iter().find(|days| days.key.month == month);
            // Days of another generation may have other dates than those that the list counts.
            let Some(days) = days.filter(|days| days.generation == generation) else {
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
}
