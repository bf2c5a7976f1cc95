//! Names: how GitHub writes the organization, its repositories and its members.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use gam_github::OrgProbe;
use gam_store::{NameEntry, NameKind};

use crate::{CollectError, CollectPorts};

/// Saves the names that the probe shows, as of `now`. Names that have not changed are not written again.
///
/// # Errors
/// If the store fails.
pub(crate) async fn save_names(
    ports: &CollectPorts,
    probe: &OrgProbe,
    now: DateTime<Utc>,
) -> Result<(), CollectError> {
    let entry = |kind, id, name: &str| NameEntry { kind, id, name: name.to_owned(), as_of: now };
    let repos = probe.repos.iter().map(|repo| entry(NameKind::Repo, repo.id, &repo.name));
    let members = probe
        .members
        .iter()
        .filter_map(|member| Some(entry(NameKind::Member, member.database_id?, &member.login)));
    let listed = std::iter::once(entry(NameKind::Org, 0, &probe.login)).chain(repos).chain(members);
    let mut stored = BTreeMap::new();
    for kind in [NameKind::Org, NameKind::Repo, NameKind::Member] {
        for entry in ports.names.names(&probe.login, kind).await? {
            stored.insert((kind, entry.id), entry.name);
        }
    }
    let changed: Vec<NameEntry> =
        listed.filter(|entry| stored.get(&(entry.kind, entry.id)) != Some(&entry.name)).collect();
    if !changed.is_empty() {
        ports.names.put_names(&probe.login, &changed).await?;
    }
    Ok(())
}
