//! Folds the items that changed events affect.
//!
//! Every event affects the organization's days and both lists of its month. Of these three, only the days, repositories
//! and members of the changed events are computed. The rest is taken from the items as they are stored, so that a few
//! events need not fold the complete month.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use gam_model::agent::agent_by_id;
use gam_model::identity::member_key;
use gam_model::{
    DayOfMonth, Event, EventKind, Identity, ItemClass, ItemKey, MemberKind, Month, Subject, SubjectKind,
};
use gam_rollup::{DaysItem, DecodeError, ListItem, ListedSubject, StoredForm};

use crate::columns::{COLUMNS, EventColumns, nullable};
use crate::fold::{FoldError, UNKNOWN_SINCE_READING, fold_counted};
use crate::month_days::day_at;
use crate::month_fold::{EncodedItem, MonthFold, sort_items};
use crate::row_filter::RowFilter;
use crate::rows::{BatchReader, FoldRowsError, MonthRows};
use crate::shared_commits::shared_commits;

/// The classes of the three items of a month that all of its events affect.
pub const COMMON_CLASSES: [ItemClass; 3] =
    [ItemClass::Days(Subject::Org), ItemClass::List(SubjectKind::Repo), ItemClass::List(SubjectKind::Member)];

/// The three items of a month that all of its events affect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommonItems {
    org_days: DaysItem,
    repo_list: ListItem,
    member_list: ListItem,
}

impl CommonItems {
    /// Decodes stored items, in the order of [`COMMON_CLASSES`].
    ///
    /// # Errors
    /// If a stored form is invalid.
    pub fn decode([org_days, repo_list, member_list]: [&[u8]; 3]) -> Result<Self, DecodeError> {
        Ok(CommonItems {
            org_days: DaysItem::decode(org_days)?,
            repo_list: ListItem::decode(repo_list)?,
            member_list: ListItem::decode(member_list)?,
        })
    }
}

/// Returns the items of a month that changed events affect, the lists first, in their stored form. An item that is empty
/// has an empty body. All other items of the month stay as they are.
///
/// `changed` are the events that were added, those that were replaced, and those that replaced them. `rows` are the
/// month's rows after the change. `before` are the items of exactly the rows before the change; without them, the
/// complete month is folded.
///
/// # Errors
/// If a batch cannot be read, if a column is missing or invalid, or if a row is outside the month.
pub fn fold_changes<'a, R: MonthRows + ?Sized>(
    month: Month,
    rows: &R,
    changed: impl IntoIterator<Item = &'a Event>,
    before: Option<CommonItems>,
    identity: &Identity,
) -> Result<Vec<EncodedItem>, FoldRowsError<R::Error>> {
    let reader = BatchReader::on_all_cores(rows);
    let mut affected = AffectedItems::new(identity);
    let mut shas = BTreeSet::new();
    for event in changed {
        affected.add_event(event);
        shas.extend(event.facts.sha.as_deref().filter(|_| event.kind == EventKind::Commit));
    }
    let commits = shared_commits(&reader, identity, &shas)?;
    // If one row of a commit changes, another repository's row may count for the organization and its author instead.
    let batches: Vec<usize> = commits.requested.keys().copied().collect();
    reader.for_each_of(&batches, COLUMNS, |index, batch| {
        let columns = EventColumns::from_batch(batch, identity)?;
        commits.requested[&index].iter().try_for_each(|&row| affected.add_row(&columns, row))
    })?;
    affected.keys.retain(|key| key.month == month);
    let filter = before.is_some().then(|| affected.row_filter());
    let fold = fold_counted(month, &reader, identity, commits.repeats, filter)?;
    Ok(match before {
        Some(before) => affected.items(&fold, before),
        None => fold.items_of(&affected.keys),
    })
}

/// The items that events affect, and the days of the events.
struct AffectedItems<'a> {
    identity: &'a Identity,
    keys: BTreeSet<ItemKey>,
    days: BTreeSet<DayOfMonth>,
}

impl<'a> AffectedItems<'a> {
    fn new(identity: &'a Identity) -> Self {
        AffectedItems { identity, keys: BTreeSet::new(), days: BTreeSet::new() }
    }

    /// Adds the items in which the event is counted, or would be if it were not retracted. Adding or removing the event
    /// changes no other item of its month, except those of other rows of the same commit.
    fn add_event(&mut self, event: &Event) {
        let identity = self.identity;
        let co_authors = event.facts.co_authors.iter().flatten().map(String::as_str);
        // What has no author is credited to nobody.
        let is_unknown = match event.member.kind {
            MemberKind::Unknown => event.kind.is_delivery(),
            MemberKind::Ghost => event.kind.is_delivery() && event.reading < UNKNOWN_SINCE_READING,
            _ => false,
        };
        let (name, author) = (&event.member.name, event.facts.author_name_hash.as_deref());
        let member = (!is_unknown).then(|| credited_name(name, event.member.id, author, identity));
        let co_authors = co_authors.map(|name| identity.name(name));
        self.add(event.repo_id, member.into_iter().chain(co_authors), event.occurred_at);
    }

    /// Adds the items in which a row is counted.
    fn add_row(&mut self, columns: &EventColumns<'_>, row: usize) -> Result<(), FoldError> {
        let identity = self.identity;
        let member = columns.member.text(row).ok_or(FoldError::InvalidColumn("member"))?;
        let (id, author) = (nullable(columns.member_id, row), columns.author_name_hash.text(row));
        let member = credited_name(member, id, author, identity);
        let at = DateTime::from_timestamp_millis(columns.occurred_at.value(row));
        let at = at.ok_or(FoldError::InvalidColumn("occurred_at"))?;
        let co_authors = columns.co_authors.names(row).map(|name| identity.name(name));
        self.add(columns.repo_id.value(row), std::iter::once(member).chain(co_authors), at);
        Ok(())
    }

    fn add<'n>(&mut self, repo_id: i64, names: impl Iterator<Item = &'n str>, at: DateTime<Utc>) {
        let (month, day) = day_at(at, self.identity.time_zone());
        self.days.insert(day);
        // Lists have the display names of members, so an event of a member always affects them.
        self.keys.extend(COMMON_CLASSES.map(|class| ItemKey::new(class, month)));
        let members: BTreeSet<String> = names.map(member_key).collect();
        let members = members.into_iter().map(Subject::Member);
        for subject in std::iter::once(Subject::Repo(repo_id)).chain(members) {
            self.keys.insert(ItemKey::new(ItemClass::Days(subject.clone()), month));
            self.keys.insert(ItemKey::breakdown(subject, month, day.week()));
        }
    }

    /// Returns what selects all rows that the affected items are folded from.
    fn row_filter(&self) -> RowFilter {
        let mut filter = RowFilter::default();
        filter.days.extend(&self.days);
        for key in &self.keys {
            match &key.class {
                ItemClass::Days(Subject::Repo(id)) => _ = filter.repos.insert(*id),
                ItemClass::Days(Subject::Member(name)) => _ = filter.members.insert(name.clone()),
                _ => {}
            }
        }
        filter
    }

    /// Returns the affected items. Those that also have other days and subjects get these from `before`.
    fn items(mut self, fold: &MonthFold, before: CommonItems) -> Vec<EncodedItem> {
        let has_subject = |subject: &ListedSubject| {
            self.keys.contains(&ItemKey::new(ItemClass::Days(subject.subject()), fold.month))
        };
        let has_day = |day: u8| DayOfMonth::new(day).is_some_and(|day| self.days.contains(&day));
        let CommonItems { org_days, repo_list, member_list } = before;
        let bodies = [
            org_days.with_days(fold.org_days(), has_day).encode(),
            repo_list.with_entries(fold.repo_list(), has_subject).encode(),
            member_list.with_entries(fold.member_list(), has_subject).encode(),
        ];
        let common = COMMON_CLASSES.map(|class| ItemKey::new(class, fold.month));
        let common: Vec<_> =
            common.into_iter().zip(bodies).filter(|(key, _)| self.keys.remove(key)).collect();
        let mut items = fold.items_of(&self.keys);
        items.extend(common);
        sort_items(&mut items);
        items
    }
}

/// Returns the name that a row is credited to.
fn credited_name<'a>(
    name: &'a str,
    id: Option<i64>,
    author_name_hash: Option<&str>,
    identity: &'a Identity,
) -> &'a str {
    match id.and_then(agent_by_id) {
        Some(agent) => identity.name(agent),
        None => identity.author(name, author_name_hash),
    }
}
