//! Names: how GitHub writes the organization, its repositories and its members.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use gam_github::{Client, Error, OrgProbe};
use gam_store::checkpoint::MembersListed;
use gam_store::keys::CheckpointKey;
use gam_store::{Checkpoint, NameEntry, NameKind, OrgCheckpoint};

use crate::org::stored_name;
use crate::{CollectError, CollectPorts, CollectWarning};

/// How long the list of all members of an organization is not read again if their number stays the same.
const MEMBERS_INTERVAL: TimeDelta = TimeDelta::days(1);

/// Adds the members that did not fit into the probe, if it is time to list them: once a day, and after their number
/// has changed. Returns a warning if they cannot be listed: then the next run tries again. `key` is the
/// organization's storage key.
///
/// # Errors
/// If the store fails, or GitHub cannot be read at all.
pub(crate) async fn list_all_members(
    ports: &CollectPorts,
    key: &str,
    github: &Client,
    probe: &mut OrgProbe,
) -> Result<Option<CollectWarning>, CollectError> {
    let (Some(total), Some(cursor), Some(now)) = (probe.members_total, &probe.members_after, probe.read_at)
    else {
        return Ok(None);
    };
    let checkpoint_key = CheckpointKey::Org(key.to_owned());
    let org: Checkpoint<OrgCheckpoint> = Checkpoint::load(&*ports.checkpoints, &checkpoint_key).await?;
    let is_recent = |listed: &MembersListed| listed.total == total && now - listed.at < MEMBERS_INTERVAL;
    if org.value.members.as_ref().is_some_and(is_recent) {
        return Ok(None);
    }
    match github.members_after(&probe.login, cursor).await {
        Ok(members) => probe.members.extend(members),
        Err(error @ (Error::Limited { .. } | Error::Unauthorized(_))) => return Err(error.into()),
        Err(error) => {
            let text = format!("members after the first 100 without activity are unknown: {error}");
            return Ok(Some(CollectWarning { repo: None, text }));
        }
    }
    Checkpoint::change_org(&*ports.checkpoints, key, |org| {
        org.members = Some(MembersListed { at: now, total });
    })
    .await?;
    Ok(None)
}

/// Saves the names that the probe shows, as of its time, by GitHub's clock. Names that have not changed are not
/// written again. Without that time the local clock must do. `key` is the organization's storage key.
///
/// # Errors
/// If the store fails.
pub(crate) async fn save_names(
    ports: &CollectPorts,
    key: &str,
    probe: &OrgProbe,
) -> Result<(), CollectError> {
    let as_of = probe.read_at.unwrap_or_else(|| ports.clock.now());
    let entry = |kind, id, name: &str| NameEntry { kind, id, name: name.to_owned(), as_of };
    let repos = probe.repos.iter().map(|repo| entry(NameKind::Repo, repo.id, &repo.name));
    let members = probe
        .members
        .iter()
        .filter_map(|member| Some(entry(NameKind::Member, member.database_id?, &member.login)));
    let listed =
        std::iter::once(entry(NameKind::Org, 0, stored_name(key, &probe.login))).chain(repos).chain(members);
    let mut stored = BTreeMap::new();
    for kind in [NameKind::Org, NameKind::Repo, NameKind::Member] {
        for entry in ports.names.names(key, kind).await? {
            stored.insert((kind, entry.id), entry.name);
        }
    }
    let changed: Vec<NameEntry> =
        listed.filter(|entry| stored.get(&(entry.kind, entry.id)) != Some(&entry.name)).collect();
    if !changed.is_empty() {
        ports.names.put_names(key, &changed).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use gam_github::OrgMember;

    use super::*;
    use crate::ports::tests::memory_ports;

    #[tokio::test]
    async fn the_name_that_github_showed_last_wins_whatever_the_local_clock() {
        let ports = memory_ports();
        let probe = |login: &str, seconds: i64| OrgProbe {
            login: "Acme".into(),
            id: Some(1),
            repos: Vec::new(),
            members: vec![OrgMember { login: login.into(), database_id: Some(7) }],
            members_total: Some(1),
            members_after: None,
            unreadable: Vec::new(),
            read_at: DateTime::from_timestamp(seconds, 0),
        };
        save_names(&ports, "acme", &probe("old", 1_000)).await.unwrap();
        save_names(&ports, "acme", &probe("new", 2_000)).await.unwrap();
        let names = ports.names.names("Acme", NameKind::Member).await.unwrap();
        assert_eq!((names[0].name.as_str(), names[0].as_of), ("new", probe("", 2_000).read_at.unwrap()));
    }
}
