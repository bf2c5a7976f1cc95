//! The rollups that an event affects.

use std::collections::BTreeSet;

use arrow_array::RecordBatch;
use chrono::{DateTime, NaiveDate};
use gam_model::agent::agent_by_id;
use gam_model::identity::member_key;
use gam_model::{Event, Grain, Identity, MemberKind, Month, RollupKey, Subject};
use rustc_hash::FxHashSet;

use crate::columns::{EventColumns, nullable};
use crate::fold::{FoldError, UNKNOWN_SINCE_READING};
use crate::shared_commits::{commit_rows, sha_hash};

/// Returns the keys of the rollups in which the event is counted, or would be if it were not retracted.
///
/// Adding or removing the event changes no other rollup of its month, except those of
/// [`affected_by_shared_commits`].
pub fn affected_keys<'a>(
    event: &'a Event,
    identity: &'a Identity,
) -> impl Iterator<Item = RollupKey> + use<'a> {
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
    keys(event.repo_id, member.into_iter().chain(co_authors), event.occurred_at.date_naive())
}

/// Returns the keys of the rollups in which the live commits with these SHAs are counted.
///
/// If one row of a commit changes, another repository's row may count for the organization and its author
/// instead. So a change of a commit also affects the rollups of every other row of its SHA.
///
/// # Errors
/// If a column is missing or invalid.
pub fn affected_by_shared_commits(
    batches: &[RecordBatch],
    shas: &BTreeSet<String>,
    identity: &Identity,
) -> Result<BTreeSet<RollupKey>, FoldError> {
    let mut affected = BTreeSet::new();
    if shas.is_empty() {
        return Ok(affected);
    }
    let hashes: FxHashSet<u64> = shas.iter().map(|sha| sha_hash(sha)).collect();
    for batch in batches {
        let columns = EventColumns::from_batch(batch, identity)?;
        let rows =
            commit_rows(&columns).filter(|(_, sha)| hashes.contains(&sha_hash(sha)) && shas.contains(*sha));
        for (row, _) in rows {
            let member = columns.member.text(row).ok_or(FoldError::InvalidColumn("member"))?;
            let (id, author) = (nullable(columns.member_id, row), columns.author_name_hash.text(row));
            let member = credited_name(member, id, author, identity);
            let at = DateTime::from_timestamp_millis(columns.occurred_at.value(row));
            let day = at.ok_or(FoldError::InvalidColumn("occurred_at"))?.date_naive();
            let co_authors = columns.co_authors.names(row).map(|name| identity.name(name));
            let names = std::iter::once(member).chain(co_authors);
            affected.extend(keys(columns.repo_id.value(row), names, day));
        }
    }
    Ok(affected)
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
    day: NaiveDate,
) -> impl Iterator<Item = RollupKey> + use<'a, N> {
    let members: BTreeSet<String> = names.map(member_key).collect();
    let month = Month::of(day);
    let key = move |subject: Subject, grain: Grain| RollupKey {
        subject,
        grain,
        start: grain.bucket(day).start(),
        month,
    };
    let subjects: Vec<Subject> = [Subject::Org, Subject::Repo(repo_id)]
        .into_iter()
        .chain(members.into_iter().map(Subject::Member))
        .collect();
    subjects.into_iter().flat_map(move |subject| Grain::ALL.map(|grain| key(subject.clone(), grain)))
}
