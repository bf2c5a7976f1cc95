//! Which rollups an event is counted in.

use gam_model::identity::member_key;
use gam_model::{Event, Grain, Identity, RollupKey, Subject};

/// The keys of every rollup that the event is, or would be, counted in.
pub fn touched(event: &Event, identity: &Identity) -> impl Iterator<Item = RollupKey> {
    let member = member_key(identity.name(&event.member.name));
    let (day, month) = (event.occurred_at.date_naive(), event.month());
    let key = move |subject: Subject, grain: Grain| RollupKey {
        subject,
        grain,
        start: grain.bucket(day).start(),
        month,
    };
    let subjects = [Subject::Org, Subject::Repo(event.repo_id), Subject::Member(member.clone())];
    let by_month = key(Subject::RepoMember(event.repo_id, member), Grain::Month);
    subjects
        .into_iter()
        .flat_map(move |subject| Grain::ALL.map(|grain| key(subject.clone(), grain)))
        .chain(std::iter::once(by_month))
}
