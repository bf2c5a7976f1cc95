//! The items that an event affects.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use gam_model::agent::agent_by_id;
use gam_model::identity::member_key;
use gam_model::{Event, Identity, ItemClass, ItemKey, MemberKind, Subject, SubjectKind, TimeZone};
use rustc_hash::FxHashSet;

use crate::columns::{COLUMNS, EventColumns, nullable};
use crate::fold::{FoldError, UNKNOWN_SINCE_READING};
use crate::month_days::day_at;
use crate::rows::{FoldRowsError, MonthRows, for_each_batch};
use crate::shared_commits::{COMMIT_COLUMNS, commit_rows, sha_hash};

/// Returns the keys of the items in which the event is counted, or would be if it were not retracted.
///
/// Adding or removing the event changes no other item of its month, except those of
/// [`affected_by_shared_commits`].
pub fn affected_keys<'a>(
    event: &'a Event,
    identity: &'a Identity,
) -> impl Iterator<Item = ItemKey> + use<'a> {
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
    keys(event.repo_id, member.into_iter().chain(co_authors), event.occurred_at, identity.time_zone())
}

/// Returns the keys of the items in which the live commits with these SHAs are counted.
///
/// If one row of a commit changes, another repository's row may count for the organization and its author
/// instead. So a change of a commit also affects the items of every other row of its SHA.
///
/// # Errors
/// If a batch cannot be read, or a column is missing or invalid.
pub fn affected_by_shared_commits<R: MonthRows + ?Sized>(
    rows: &R,
    shas: &BTreeSet<String>,
    identity: &Identity,
) -> Result<BTreeSet<ItemKey>, FoldRowsError<R::Error>> {
    let mut affected = BTreeSet::new();
    if shas.is_empty() {
        return Ok(affected);
    }
    let hashes: FxHashSet<u64> = shas.iter().map(|sha| sha_hash(sha)).collect();
    let mut positions: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for_each_batch(rows, COMMIT_COLUMNS, |index, batch| {
        let commits = commit_rows(batch, identity)?;
        let same = commits.filter(|(_, sha)| hashes.contains(&sha_hash(sha)) && shas.contains(*sha));
        let same: Vec<usize> = same.map(|(row, _)| row).collect();
        if !same.is_empty() {
            positions.insert(index, same);
        }
        Ok(())
    })?;
    for (index, batch_rows) in positions {
        let batch = rows.batch(index, COLUMNS).map_err(FoldRowsError::Rows)?;
        let columns = EventColumns::from_batch(&batch, identity)?;
        for row in batch_rows {
            affected.extend(row_keys(&columns, row, identity)?);
        }
    }
    Ok(affected)
}

/// Returns the keys of the items in which a row is counted.
fn row_keys<'a>(
    columns: &'a EventColumns<'_>,
    row: usize,
    identity: &'a Identity,
) -> Result<impl Iterator<Item = ItemKey>, FoldError> {
    let member = columns.member.text(row).ok_or(FoldError::InvalidColumn("member"))?;
    let (id, author) = (nullable(columns.member_id, row), columns.author_name_hash.text(row));
    let member = credited_name(member, id, author, identity);
    let at = DateTime::from_timestamp_millis(columns.occurred_at.value(row));
    let at = at.ok_or(FoldError::InvalidColumn("occurred_at"))?;
    let co_authors = columns.co_authors.names(row).map(|name| identity.name(name));
    let names = std::iter::once(member).chain(co_authors);
    Ok(keys(columns.repo_id.value(row), names, at, identity.time_zone()))
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

fn keys<'a, N: Iterator<Item = &'a str>>(
    repo_id: i64,
    names: N,
    at: DateTime<Utc>,
    time_zone: TimeZone,
) -> impl Iterator<Item = ItemKey> + use<'a, N> {
    let (month, day) = day_at(at, time_zone);
    let week = day.week();
    let members: BTreeSet<String> = names.map(member_key).collect();
    let subjects = std::iter::once(Subject::Repo(repo_id)).chain(members.into_iter().map(Subject::Member));
    let of_subjects = subjects.flat_map(move |subject| {
        let days = ItemKey::new(ItemClass::Days(subject.clone()), month);
        [days, ItemKey::breakdown(subject, month, week)]
    });
    // Lists have the display names of members, so an event of a member always affects them.
    let shared = [
        ItemClass::Days(Subject::Org),
        ItemClass::List(SubjectKind::Repo),
        ItemClass::List(SubjectKind::Member),
    ];
    shared.into_iter().map(move |class| ItemKey::new(class, month)).chain(of_subjects)
}
