//! Reading the items of the table `sessions`.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use gam_model::{DayOfMonth, ItemClass, ItemKey, Month, Range, Subject, SubjectKind};
use gam_rollup::agents::AgentSides;
use gam_rollup::{AgentDaysItem, AgentListItem, StoredForm};
use gam_store::keys::rollup_owner;
use gam_store::{Marker, StoredItem};

use crate::QueryError;
use crate::org_reader::OrgReader;
use crate::read_items::{ReadItem, decode_many, months_near};
use crate::resolved_subject::ResolvedSubject;

/// The folder of the table's snapshots, which names its items in the store.
const SESSIONS_TABLE: &str = "sessions";

/// Reads the items of the table `sessions` of an organization, at the epoch of its reader.
pub(super) struct SessionReader<'a> {
    org: &'a OrgReader<'a>,
    /// The owner of the items in the store.
    owner: String,
    markers: BTreeMap<Month, Marker>,
}

/// A subject's days of one month.
pub(super) type MonthOfSessions = ReadItem<AgentDaysItem>;

impl MonthOfSessions {
    /// Returns the days in the range, with their dates.
    pub(super) fn days(&self, range: Range) -> impl Iterator<Item = (NaiveDate, &AgentSides)> {
        let month = self.key.month;
        days_in(month, &self.item.days, range)
    }
}

/// Returns the days in the range, with their dates.
pub(super) fn days_in(
    month: Month,
    days: &[(u8, AgentSides)],
    range: Range,
) -> impl Iterator<Item = (NaiveDate, &AgentSides)> {
    let dated = days.iter().filter_map(move |(day, sides)| Some((DayOfMonth::new(*day)?.date(month), sides)));
    dated.filter(move |(date, _)| range.contains(*date))
}

impl<'a> SessionReader<'a> {
    pub(super) async fn open(org: &'a OrgReader<'a>) -> Result<Self, QueryError> {
        let owner = rollup_owner(&org.key, SESSIONS_TABLE);
        let markers = match &org.active {
            Some(active) => org.ports.rollups.markers(&owner, active.epoch).await?,
            None => Vec::new(),
        };
        let markers = markers.into_iter().map(|marker| (marker.month, marker)).collect();
        Ok(SessionReader { org, owner, markers })
    }

    /// Reads the items of a class in these folded months that count, in one range read.
    async fn read<T: StoredForm + Send + 'static>(
        &self,
        class: &ItemClass,
        mut months: impl DoubleEndedIterator<Item = Month>,
    ) -> Result<Vec<ReadItem<T>>, QueryError> {
        let (Some(active), Some(first)) = (&self.org.active, months.next()) else { return Ok(Vec::new()) };
        let last = months.next_back().unwrap_or(first);
        let rollups = &self.org.ports.rollups;
        let mut stored: Vec<(ItemKey, StoredItem)> =
            rollups.range(&self.owner, active.epoch, class, first, last).await?;
        stored.retain(|(key, item)| {
            self.markers.get(&key.month).is_some_and(|marker| marker.should_count(item))
        });
        decode_many(stored).await
    }

    /// Reads a subject's days of all months that may have days of the range.
    pub(super) async fn read_days(
        &self,
        subject: &Subject,
        range: Range,
    ) -> Result<Vec<MonthOfSessions>, QueryError> {
        let months = months_near(self.markers.keys().copied(), range);
        self.read(&ItemClass::Days(subject.clone()), months).await
    }

    /// Reads the lists of repositories or members of all months that may have days of the range.
    pub(super) async fn read_lists(
        &self,
        kind: SubjectKind,
        range: Range,
    ) -> Result<Vec<ReadItem<AgentListItem>>, QueryError> {
        self.read(&ItemClass::List(kind), months_near(self.markers.keys().copied(), range)).await
    }

    /// Replaces the requested name of a member by its latest one: in the days that were read, in all days, or else as
    /// GitHub's facts have it.
    ///
    /// # Errors
    /// If there is no such member, or the store fails.
    pub(super) async fn set_display_name(
        &self,
        subject: &mut ResolvedSubject,
        days: &[MonthOfSessions],
        range: Range,
    ) -> Result<(), QueryError> {
        let Some(name) = &mut subject.member else { return Ok(()) };
        let latest = |days: &[MonthOfSessions]| {
            let names = days.iter().rev().find_map(|month| month.item.name.as_ref());
            names.map(|name| name.name.clone())
        };
        let mut known = latest(days);
        if known.is_none() {
            let class = ItemClass::Days(subject.subject.clone());
            known = latest(&self.read(&class, self.markers.keys().copied()).await?);
        }
        match known {
            Some(known) => {
                *name = known;
                Ok(())
            }
            None => self.org.set_display_name(subject, &[], range).await,
        }
    }
}
