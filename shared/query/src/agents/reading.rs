//! Reading the items of the table `sessions`.

use chrono::NaiveDate;
use gam_model::{AgentDimension, DayOfMonth, ItemClass, Month, Range, Subject, SubjectKind};
use gam_rollup::agents::{AgentCounts, AgentSides};
use gam_rollup::{AgentDaysItem, AgentListItem, AgentSide, Side};

use super::sums::AgentSum;
use crate::QueryError;
use crate::answers::{BotFilter, SubjectRef};
use crate::org_reader::OrgReader;
use crate::read_items::{ReadItem, TableReader};
use crate::resolved_subject::ResolvedSubject;
use crate::values::counts_in_subject;

/// The folder of the table's snapshots, which names its items in the store.
const SESSIONS_TABLE: &str = "sessions";

/// Reads the items of the table `sessions` of an organization, at the epoch of its reader.
pub(super) struct SessionReader<'a> {
    org: &'a OrgReader<'a>,
    pub(super) items: TableReader<'a>,
}

/// A subject's days of one month.
type MonthOfSessions = ReadItem<AgentDaysItem>;

/// Returns the days in the range, with their dates.
pub(super) fn days_in<T>(
    month: Month,
    days: &[(u8, T)],
    range: Range,
) -> impl Iterator<Item = (NaiveDate, &T)> {
    let dated = days.iter().filter_map(move |(day, done)| Some((DayOfMonth::new(*day)?.date(month), done)));
    dated.filter(move |(date, _)| range.contains(*date))
}

impl<'a> SessionReader<'a> {
    pub(super) async fn open(org: &'a OrgReader<'a>) -> Result<Self, QueryError> {
        Ok(SessionReader { org, items: org.open_table(SESSIONS_TABLE).await? })
    }

    /// Reads a subject's days of all months that may have days of the range.
    ///
    /// # Errors
    /// If there is no such subject, the store fails, or a stored item cannot be read.
    pub(super) async fn read_subject(
        &self,
        subject: &SubjectRef,
        range: Range,
    ) -> Result<SubjectSessions, QueryError> {
        let mut resolved = self.org.resolve_subject(subject).await?;
        let class = ItemClass::Days(resolved.subject.clone());
        let months = self.items.read(&class, self.items.months_near(range)).await?;
        self.set_display_name(&mut resolved, &months, range).await?;
        Ok(SubjectSessions { resolved, months })
    }

    /// Reads the lists of repositories or members of all months that may have days of the range.
    pub(super) async fn read_lists(
        &self,
        kind: SubjectKind,
        range: Range,
    ) -> Result<Vec<ReadItem<AgentListItem>>, QueryError> {
        self.items.read_lists(kind, self.items.months_near(range)).await
    }

    /// Replaces the requested name of a member by its latest one: in the months that were read, in all months, or else as
    /// GitHub's facts have it.
    async fn set_display_name(
        &self,
        subject: &mut ResolvedSubject,
        months: &[MonthOfSessions],
        range: Range,
    ) -> Result<(), QueryError> {
        let Some(name) = &mut subject.member else { return Ok(()) };
        let latest = |months: &[MonthOfSessions]| {
            let names = months.iter().rev().find_map(|month| month.item.name.as_ref());
            names.map(|name| name.name.clone())
        };
        let mut known = latest(months);
        if known.is_none() {
            let class = ItemClass::Days(subject.subject.clone());
            known = latest(&self.items.read(&class, self.items.months()).await?);
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

/// What was read of a subject's sessions.
pub(super) struct SubjectSessions {
    pub(super) resolved: ResolvedSubject,
    months: Vec<MonthOfSessions>,
}

impl SubjectSessions {
    pub(super) fn subject(&self) -> &Subject {
        &self.resolved.subject
    }

    pub(super) fn kind(&self) -> SubjectKind {
        self.resolved.subject.kind()
    }

    /// Returns the days in the range in order, with their dates and the names that they number.
    pub(super) fn days(
        &self,
        range: Range,
    ) -> impl Iterator<Item = (NaiveDate, &AgentDaysItem, &AgentSides)> {
        self.months.iter().flat_map(move |month| {
            let item = &month.item;
            days_in(month.key.month, &item.days, range).map(move |(date, sides)| (date, item, sides))
        })
    }

    /// Returns the sum of the days in the range.
    pub(super) fn sum(&self, range: Range, bots: BotFilter) -> AgentSum<'_> {
        let mut sum = AgentSum::default();
        for (_, item, sides) in self.days(range) {
            sum.add(sides, &item.members, self.kind(), bots);
        }
        sum
    }

    /// Returns the counters of each model, tool or branch on each day in the range, by name.
    pub(super) fn parts(
        &self,
        range: Range,
        bots: BotFilter,
        dimension: AgentDimension,
    ) -> impl Iterator<Item = (NaiveDate, &str, &AgentCounts)> {
        let kind = self.kind();
        self.days(range).flat_map(move |(date, item, sides)| {
            let names = &item.names[dimension as usize];
            let counted = sides.iter().filter(move |(side, _)| counts_in_subject(kind, bots, *side));
            let parts =
                counted.flat_map(move |(_, side): &(Side, AgentSide)| &side.parts[dimension as usize]);
            parts.map(move |(index, counts)| (date, names[*index as usize].as_str(), counts))
        })
    }
}
