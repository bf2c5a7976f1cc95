//! The rollups that an event affects.

use std::collections::BTreeSet;

use gam_model::identity::member_key;
use gam_model::{Event, Grain, Identity, RollupKey, Subject};

/// Returns the keys of the rollups in which the event is counted, or would be if it were not retracted.
///
/// Adding or removing the event changes no other rollup of its month.
pub fn affected_keys(event: &Event, identity: &Identity) -> impl Iterator<Item = RollupKey> {
    let co_authors = event.facts.co_authors.iter().flatten().map(String::as_str);
    let names = std::iter::once(event.member.name.as_str()).chain(co_authors);
    let members: BTreeSet<String> = names.map(|name| member_key(identity.name(name))).collect();
    let (day, month) = (event.occurred_at.date_naive(), event.month());
    let key = move |subject: Subject, grain: Grain| RollupKey {
        subject,
        grain,
        start: grain.bucket(day).start(),
        month,
    };
    let subjects: Vec<Subject> = [Subject::Org, Subject::Repo(event.repo_id)]
        .into_iter()
        .chain(members.into_iter().map(Subject::Member))
        .collect();
    subjects.into_iter().flat_map(move |subject| Grain::ALL.map(|grain| key(subject.clone(), grain)))
}
