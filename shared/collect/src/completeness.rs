//! What is kept of a collection as a whole: names, and up to when GitHub has been read.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use gam_github::OrgProbe;
use gam_store::{NameEntry, NameKind};

use crate::CollectError;
use crate::CollectPorts;
use crate::plan::Span;
use gam_store::{Checkpoint, OrgCheckpoint};

/// Keeps how GitHub spells the organization, its repositories and its members.
pub(crate) async fn note_names(
    ports: &CollectPorts,
    probe: &OrgProbe,
    now: DateTime<Utc>,
) -> Result<(), CollectError> {
    let entry = |kind, id, name: &str| NameEntry { kind, id, name: name.to_owned(), as_of: now };
    let found = std::iter::once(entry(NameKind::Org, 0, &probe.login))
        .chain(probe.repos.iter().map(|repo| entry(NameKind::Repo, repo.id, &repo.name)))
        .chain(
            probe
                .members
                .iter()
                .filter_map(|member| Some(entry(NameKind::Member, member.database_id?, &member.login))),
        );
    let mut known = BTreeMap::new();
    for kind in [NameKind::Org, NameKind::Repo, NameKind::Member] {
        for entry in ports.names.names(&probe.login, kind).await? {
            known.insert((kind, entry.id), entry.name);
        }
    }
    let new: Vec<NameEntry> =
        found.filter(|entry| known.get(&(entry.kind, entry.id)) != Some(&entry.name)).collect();
    if !new.is_empty() {
        ports.names.put_names(&probe.login, &new).await?;
    }
    Ok(())
}

/// Keeps from when on the organization is asked for, before anything is read: a run that is stopped and
/// goes on without being told so has to know. Where only some repositories are asked for, that is not said of
/// the others.
pub(crate) async fn note_since(
    ports: &CollectPorts,
    org: &str,
    span: Span,
    everything: bool,
) -> Result<Span, CollectError> {
    let mut widened = span;
    Checkpoint::change_org(&*ports.checkpoints, org, |kept| {
        widened = span.widened(kept.since);
        if everything {
            kept.since = Some(widened.first_since);
        }
    })
    .await?;
    Ok(widened)
}

/// What a run has read.
pub(crate) struct Completeness {
    /// Repositories that were read to the end.
    pub(crate) read: BTreeSet<i64>,
    /// Repositories that were ever read.
    pub(crate) known: BTreeSet<i64>,
    pub(crate) span: Span,
    /// Whether all of the organization was in question.
    pub(crate) everything: bool,
}

/// Keeps up to when each repository has been read: to the moment of the probe, by GitHub's clock, or
/// to the day that was asked for; a repository that was not read to the end stays where it was.
pub(crate) async fn save_completeness(
    ports: &CollectPorts,
    probe: &OrgProbe,
    now: &Completeness,
) -> Result<(), CollectError> {
    let read_until = probe.read_at.map(|at| now.span.until.map_or(at, |bound| bound.min(at)));
    // Repositories that the token may not see are in question too, and nobody knows which they are.
    let everything = now.everything && probe.unreadable.is_empty();
    Checkpoint::change_org(&*ports.checkpoints, &probe.login, |kept| {
        let before = kept.clone();
        let after = |id: i64| {
            let known = now.known.contains(&id).then(|| before.repo_complete_until(id)).flatten();
            if now.read.contains(&id) { known.max(read_until) } else { known }
        };
        let complete_until =
            if everything { before.complete_until.max(read_until) } else { before.complete_until };
        let mut repos: BTreeMap<i64, _> = probe.repos.iter().map(|repo| (repo.id, after(repo.id))).collect();
        if !everything {
            // Repositories that GitHub does not show now keep what is known of them.
            before.repos.iter().for_each(|(id, at)| {
                repos.entry(*id).or_insert(*at);
            });
        }
        repos.retain(|_, at| *at != complete_until);
        *kept = OrgCheckpoint { complete_until, repos, ..before };
    })
    .await?;
    Ok(())
}
