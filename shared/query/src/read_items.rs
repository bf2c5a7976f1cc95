//! Reading the items of an organization, and adding them up over a range.
//!
//! Items belong to UTC months, and their days to the organization's time zone. So the first and the last day of a
//! month can be in the items of two months: months next to the range are read as well, and days are chosen by their
//! date.

use std::collections::{BTreeMap, HashSet};

use chrono::{Days, NaiveDate};
use futures::{StreamExt, TryStreamExt, stream};
use gam_model::{DayOfMonth, ItemClass, ItemKey, Month, Range, Subject, SubjectKind};
use gam_rollup::{BreakdownItem, DaysItem, Rollup, Side, SideTotals, StoredForm};
use gam_store::{Epoch, Marker, RollupStore, StoredItem};
use tokio::task::JoinError;

use crate::QueryError;
use crate::answers::BotFilter;
use crate::org_reader::OrgReader;
use crate::ports::QueryPorts;

/// An item as it was read.
pub(crate) struct ReadItem<T> {
    pub(crate) key: ItemKey,
    /// The generation of the snapshot that it was folded from.
    pub(crate) generation: u64,
    pub(crate) item: T,
}

/// A subject's days of one month.
pub(crate) type MonthOfDays = ReadItem<DaysItem>;

impl MonthOfDays {
    /// Returns the sum of the days in the range.
    pub(crate) fn sum(&self, range: Range) -> Rollup {
        self.item.sum(self.key.month, range)
    }

    /// Adds the counters and durations of the days in the range. It copies no names of members and repositories: an
    /// organization has thousands.
    pub(crate) fn add_totals(&self, range: Range, rollup: &mut Rollup) {
        for (_, sides) in self.dates().filter(|(date, _)| range.contains(*date)) {
            for side in sides {
                side.totals.add_to(rollup.sides_mut()[side.side as usize]);
            }
        }
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

/// The most items that one read of single items returns.
const MAX_KEYS_OF_READ: usize = 500;
/// Number of such reads at the same time, and of the threads that decode what they return.
const MAX_CONCURRENT_READS: usize = 3;
/// More items than this are decoded in a thread for work that blocks: they take about a millisecond.
const MAX_ITEMS_ON_ASYNC_THREAD: usize = 100;

/// Decodes items.
fn decode_items<T: StoredForm>(stored: Vec<(ItemKey, StoredItem)>) -> Result<Vec<ReadItem<T>>, QueryError> {
    stored
        .into_iter()
        .map(|(key, stored)| match T::decode(&stored.body) {
            Ok(item) => Ok(ReadItem { key, generation: stored.generation, item }),
            Err(source) => Err(QueryError::Unreadable { key: format!("{key:?}"), source }),
        })
        .collect()
}

/// Decodes items. Many are decoded in a thread for work that blocks.
async fn decode_many<T: StoredForm + Send + 'static>(
    stored: Vec<(ItemKey, StoredItem)>,
) -> Result<Vec<ReadItem<T>>, QueryError> {
    match stored.len() {
        0..=MAX_ITEMS_ON_ASYNC_THREAD => decode_items(stored),
        _ => off_async_threads(move || decode_items(stored)).await?,
    }
}

/// Decodes lists, each in a thread for work that blocks: a list of thousands takes some milliseconds.
pub(crate) async fn decode_lists<T: StoredForm + Send + 'static>(
    stored: Vec<(ItemKey, StoredItem)>,
) -> Result<Vec<ReadItem<T>>, QueryError> {
    let decode = |stored| async { off_async_threads(move || decode_items(vec![stored])).await? };
    let lists: Vec<Vec<_>> =
        stream::iter(stored).map(decode).buffered(MAX_CONCURRENT_READS).try_collect().await?;
    Ok(lists.into_iter().flatten().collect())
}

/// Does work in a thread for work that blocks.
///
/// # Errors
/// If the program ends meanwhile.
pub(crate) async fn off_async_threads<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, QueryError> {
    match tokio::task::spawn_blocking(work).await.map_err(JoinError::try_into_panic) {
        Ok(done) => Ok(done),
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        Err(Err(ended)) => Err(gam_store::Error::unavailable("decoding items", ended).into()),
    }
}

/// Returns those of the months whose items may have days of the range.
pub(crate) fn months_near(
    months: impl DoubleEndedIterator<Item = Month>,
    range: Range,
) -> impl DoubleEndedIterator<Item = Month> {
    let day = Days::new(1);
    let is_near =
        move |month: &Month| month.first_day() - day < range.until() && range.since() < month.end() + day;
    months.filter(is_near)
}

/// Reads the items of one table of an organization, in the epoch that its answers derive from.
pub(crate) struct TableReader<'a> {
    rollups: &'a dyn RollupStore,
    /// Who the items belong to in the store.
    owner: String,
    /// `None` if the organization was never aggregated.
    epoch: Option<Epoch>,
    /// The markers of the epoch.
    pub(crate) markers: BTreeMap<Month, Marker>,
}

impl<'a> TableReader<'a> {
    /// Loads the markers of the table.
    pub(crate) async fn open(
        ports: &'a QueryPorts,
        owner: String,
        epoch: Option<Epoch>,
    ) -> Result<Self, QueryError> {
        let rollups = &*ports.rollups;
        let markers = match epoch {
            Some(epoch) => rollups.markers(&owner, epoch).await?,
            None => Vec::new(),
        };
        let markers = markers.into_iter().map(|marker| (marker.month, marker)).collect();
        Ok(TableReader { rollups, owner, epoch, markers })
    }

    /// Returns the folded months, in order.
    pub(crate) fn months(&self) -> impl DoubleEndedIterator<Item = Month> {
        self.markers.keys().copied()
    }

    /// Returns the folded months whose items may have days of the range, in order.
    pub(crate) fn months_near(&self, range: Range) -> impl DoubleEndedIterator<Item = Month> {
        months_near(self.months(), range)
    }

    /// Returns the items that count: those at or above the floor of their month.
    fn current(&self, mut stored: Vec<(ItemKey, StoredItem)>) -> Vec<(ItemKey, StoredItem)> {
        stored.retain(|(key, stored)| {
            self.markers.get(&key.month).is_some_and(|marker| marker.should_count(stored))
        });
        stored
    }

    /// Reads the items of a class in these folded months that count, ordered by key, in one range read.
    pub(crate) async fn read_stored(
        &self,
        class: &ItemClass,
        mut months: impl DoubleEndedIterator<Item = Month>,
    ) -> Result<Vec<(ItemKey, StoredItem)>, QueryError> {
        let (Some(epoch), Some(first)) = (self.epoch, months.next()) else { return Ok(Vec::new()) };
        let last = months.next_back().unwrap_or(first);
        Ok(self.current(self.rollups.range(&self.owner, epoch, class, first, last).await?))
    }

    /// Reads the items of a class in these folded months, ordered by key, in one range read.
    pub(crate) async fn read<T: StoredForm + Send + 'static>(
        &self,
        class: &ItemClass,
        months: impl DoubleEndedIterator<Item = Month>,
    ) -> Result<Vec<ReadItem<T>>, QueryError> {
        decode_many(self.read_stored(class, months).await?).await
    }

    /// Reads the lists of repositories or members in these folded months, in order.
    pub(crate) async fn read_lists<T: StoredForm + Send + 'static>(
        &self,
        kind: SubjectKind,
        months: impl DoubleEndedIterator<Item = Month>,
    ) -> Result<Vec<ReadItem<T>>, QueryError> {
        decode_lists(self.read_stored(&ItemClass::List(kind), months).await?).await
    }

    /// Reads single items, ordered by key.
    pub(crate) async fn read_keys<T: StoredForm + Send + 'static>(
        &self,
        keys: &[ItemKey],
    ) -> Result<Vec<ReadItem<T>>, QueryError> {
        let Some(epoch) = self.epoch.filter(|_| !keys.is_empty()) else { return Ok(Vec::new()) };
        let read = async |keys: Vec<ItemKey>| {
            let stored = self.rollups.get(&self.owner, epoch, &keys).await?;
            decode_many::<T>(self.current(stored)).await
        };
        let parts = keys.chunks(MAX_KEYS_OF_READ).map(<[ItemKey]>::to_vec);
        let parts: Vec<Vec<ReadItem<T>>> =
            stream::iter(parts).map(read).buffered(MAX_CONCURRENT_READS).try_collect().await?;
        let mut items: Vec<ReadItem<T>> = parts.into_iter().flatten().collect();
        items.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(items)
    }
}

impl OrgReader<'_> {
    /// Reads a subject's days of all months that may have days of the range.
    pub(crate) async fn read_days(
        &self,
        subject: &Subject,
        range: Range,
    ) -> Result<Vec<MonthOfDays>, QueryError> {
        self.events.read(&ItemClass::Days(subject.clone()), self.events.months_near(range)).await
    }

    /// Reads all days of a subject.
    pub(crate) async fn read_all_days(&self, subject: &Subject) -> Result<Vec<MonthOfDays>, QueryError> {
        self.events.read(&ItemClass::Days(subject.clone()), self.events.months()).await
    }

    /// Returns what each member did in a repository in the range, or a member in each repository. Their members and
    /// repositories are empty.
    pub(crate) async fn read_breakdown(
        &self,
        subject: &Subject,
        range: Range,
    ) -> Result<BTreeMap<Subject, Rollup>, QueryError> {
        let class = ItemClass::Breakdown(subject.clone());
        let weeks: Vec<ReadItem<BreakdownItem>> =
            self.events.read(&class, self.events.months_near(range)).await?;
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
    /// Collects the repositories and members that count with this filter, of the days for which `is_in_scope` is true.
    pub(crate) fn in_days(
        days: &'a [MonthOfDays],
        is_in_scope: impl Fn(NaiveDate) -> bool,
        bots: BotFilter,
    ) -> Self {
        let counts_members = |side| bots.counts_members(side);
        Credited::new(days, is_in_scope, |side| bots.counts(side), counts_members)
    }

    /// Collects the repositories of the sides for which `counts` is true, and the members of those for which
    /// `counts_members` is true, of the days for which `is_in_scope` is true.
    pub(crate) fn new(
        days: &'a [MonthOfDays],
        is_in_scope: impl Fn(NaiveDate) -> bool,
        counts: impl Fn(Side) -> bool,
        counts_members: impl Fn(Side) -> bool,
    ) -> Self {
        let mut credited = Credited { members: HashSet::new(), repos: HashSet::new() };
        for month in days {
            // Most members are in many days: each name is looked up once a month.
            let (members, repos) = (&month.item.members, &month.item.repos);
            let mut is_member_credited = vec![false; members.len()];
            let mut is_repo_credited = vec![false; repos.len()];
            let in_scope = month.dates().filter(|(date, _)| is_in_scope(*date));
            for side in in_scope.flat_map(|(_, sides)| sides) {
                if counts_members(side.side) {
                    side.members.iter().for_each(|&index| is_member_credited[index as usize] = true);
                }
                if counts(side.side) {
                    side.repos.iter().for_each(|&index| is_repo_credited[index as usize] = true);
                }
            }
            let flagged = members.iter().zip(is_member_credited).filter(|(_, is_credited)| *is_credited);
            credited.members.extend(flagged.map(|(member, _)| member.as_str()));
            let flagged = repos.iter().zip(is_repo_credited).filter(|(_, is_credited)| *is_credited);
            credited.repos.extend(flagged.map(|(repo, _)| *repo));
        }
        credited
    }
}

/// Rollups by subject, added up.
#[derive(Default)]
pub(crate) struct Totals(pub(crate) BTreeMap<Subject, Rollup>);

impl Totals {
    pub(crate) fn add(&mut self, subject: Subject, rollup: Rollup) {
        self.0.entry(subject).or_default().merge(&rollup);
    }
}
