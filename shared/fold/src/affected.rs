//! The rollups that an event affects.

use std::collections::BTreeSet;

use arrow_array::RecordBatch;
use chrono::{DateTime, NaiveDate};
use gam_model::agent::agent_by_id;
use gam_model::identity::member_key;
use gam_model::{Event, Grain, Identity, MemberKind, Month, RollupKey, Subject};
use rustc_hash::FxHashSet;

use crate::columns::{EventColumns, nullable};
use crate::fold::FoldError;
use crate::shared_commits::{commit_rows, sha_hash};

/// Returns the keys of the rollups in which the event is counted, or would be if it were not retracted.
///
/// Adding or removing the event changes no other rollup of its month, except those of
/// [`affected_by_shared_commits`].
pub fn affected_keys(event: &Event, identity: &Identity) -> impl Iterator<Item = RollupKey> {
    let co_authors = event.facts.co_authors.iter().flatten().map(String::as_str);
    // What has no author is credited to nobody.
    let is_unknown =
        event.kind.is_delivery() && matches!(event.member.kind, MemberKind::Ghost | MemberKind::Unknown);
    let member = (!is_unknown).then(|| row_name(&event.member.name, event.member.id));
    keys(event.repo_id, member.into_iter().chain(co_authors), event.occurred_at.date_naive(), identity)
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
            let member = row_name(member, nullable(columns.member_id, row));
            let at = DateTime::from_timestamp_millis(columns.occurred_at.value(row));
            let day = at.ok_or(FoldError::InvalidColumn("occurred_at"))?.date_naive();
            let names = std::iter::once(member).chain(columns.co_authors.names(row));
            affected.extend(keys(columns.repo_id.value(row), names, day, identity));
        }
    }
    Ok(affected)
}

/// Returns the name of a row's member: the agent's, if the account is a known agent.
fn row_name(name: &str, id: Option<i64>) -> &str {
    id.and_then(agent_by_id).unwrap_or(name)
}

fn keys<'a, N: Iterator<Item = &'a str>>(
    repo_id: i64,
    names: N,
    day: NaiveDate,
    identity: &Identity,
) -> impl Iterator<Item = RollupKey> + use<'a, N> {
    let members: BTreeSet<String> = names.map(|name| member_key(identity.name(name))).collect();
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
