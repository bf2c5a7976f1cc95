//! Which organization a run is about: its login on GitHub, and the storage key of its data.

use chrono::{DateTime, Utc};
use gam_github::{Client, Error, OrgProbe};
use gam_lake::{ObjectStore, inbox, registry, snapshot};
use gam_model::OrgRegistry;
use gam_model::org_registry::OrgConflict;
use gam_store::Checkpoint;
use gam_store::keys::org_key;

use crate::writer::Checkpoints;
use crate::{CollectError, CollectPorts, CollectWarning};

/// An organization as a request names it.
pub(crate) struct RequestedOrg {
    /// The storage key that the name leads to.
    pub(crate) key: String,
    /// The login that the request names, and then the current one if that is another.
    logins: Vec<String>,
    registry: OrgRegistry,
}

/// An organization that is read: its storage key, and its login as GitHub writes it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OrgRef<'a> {
    pub(crate) key: &'a str,
    pub(crate) login: &'a str,
}

/// An organization as GitHub shows it, with the storage key of its data.
pub(crate) struct IdentifiedOrg {
    /// The storage key.
    pub(crate) key: String,
    /// What a person should know about the name; `None` if it is the current one.
    pub(crate) warning: Option<CollectWarning>,
}

impl RequestedOrg {
    /// Looks up a name in the registry.
    ///
    /// # Errors
    /// If the registry cannot be read.
    pub(crate) async fn find(objects: &dyn ObjectStore, name: &str) -> Result<Self, CollectError> {
        let registry = registry::read(objects).await?;
        let mut logins = vec![name.to_owned()];
        let current = registry.current_name(name);
        if !current.eq_ignore_ascii_case(name) {
            logins.push(current.to_owned());
        }
        Ok(RequestedOrg { key: registry.key_of(name), logins, registry })
    }

    fn name(&self) -> &str {
        &self.logins[0]
    }

    /// Returns the current login as far as the registry knows it.
    pub(crate) fn login(&self) -> &str {
        self.logins.last().map_or("", String::as_str)
    }

    /// Returns a client for the organization, whose requests are counted from now on.
    ///
    /// # Errors
    /// If an app is not installed in the organization, or GitHub cannot be read.
    pub(crate) async fn sign_in(
        &self,
        objects: &dyn ObjectStore,
        github: &Client,
    ) -> Result<Client, CollectError> {
        self.with_known_login(objects, async |login| github.for_org(login).await).await.map(|it| it.metered())
    }

    /// Lists the organization's repositories.
    ///
    /// # Errors
    /// If the organization does not exist, the token cannot see it, or GitHub cannot be read.
    pub(crate) async fn probe(
        &self,
        objects: &dyn ObjectStore,
        github: &Client,
    ) -> Result<OrgProbe, CollectError> {
        self.with_known_login(objects, async |login| github.probe(login).await).await
    }

    /// Sends a request with the login that the run names. If GitHub does not know that one, and it is a former
    /// name, sends the request with the current one.
    async fn with_known_login<T>(
        &self,
        objects: &dyn ObjectStore,
        request: impl AsyncFn(&str) -> Result<T, Error>,
    ) -> Result<T, CollectError> {
        let mut logins = self.logins.iter().peekable();
        while let Some(login) = logins.next() {
            // Boxed, because the compiler limits how deep futures are nested.
            match Box::pin(request(login)).await {
                Err(Error::NotFound(_)) if logins.peek().is_some() => {}
                Err(Error::NotFound(why)) if self.is_collected(objects).await? => {
                    let why = format!(
                        "{why}; if it was renamed on GitHub, run `github-metrics rename-org {login} NEW` with its new \
                         name, and then collect NEW"
                    );
                    return Err(Error::NotFound(why).into());
                }
                result => return Ok(result?),
            }
        }
        Err(Error::NotFound(format!("organization {:?} has no name", self.name())).into())
    }

    /// Returns whether the lake has data of the organization.
    async fn is_collected(&self, objects: &dyn ObjectStore) -> Result<bool, CollectError> {
        Ok(self.registry.name_of_key(&self.key).is_some()
            || !snapshot::months::<gam_lake::Events>(objects, &self.key).await?.is_empty()
            || !inbox::list::<gam_lake::Events>(objects, &self.key).await?.is_empty())
    }

    /// Checks that an organization that was never collected under this name was not collected under another one,
    /// by a version that did not register organizations.
    ///
    /// # Errors
    /// If most of its repositories were, or the store fails.
    pub(crate) async fn check_is_new(
        &self,
        ports: &CollectPorts,
        probe: &OrgProbe,
    ) -> Result<(), CollectError> {
        if self.registry.find(&probe.login).is_some() {
            return Ok(());
        }
        for old in ports.names.orgs().await? {
            let key = org_key(&old);
            if key == self.key || self.registry.knows_id_of(&key) {
                continue;
            }
            let collected: Checkpoints = Checkpoint::load_repos(&*ports.checkpoints, &key).await?;
            let known = probe.repos.iter().filter(|repo| collected.contains_key(&repo.id)).count();
            if known * 2 > probe.repos.len() {
                let new = probe.login.clone();
                return Err(OrgConflict::SameRepositories { old, new }.into());
            }
        }
        Ok(())
    }

    /// Returns the storage key of the organization that GitHub shows. Registers the organization if it is new.
    ///
    /// # Errors
    /// If it was collected under another name, or another organization was collected under its name.
    pub(crate) async fn register(
        &self,
        objects: &dyn ObjectStore,
        probe: &OrgProbe,
        now: DateTime<Utc>,
    ) -> Result<IdentifiedOrg, CollectError> {
        let (mut key, registry) = self.assign(probe, now)?;
        if registry != self.registry {
            let assign = |registry: &mut OrgRegistry| registry.assign(&probe.login, probe.id, now);
            key = registry::update(objects, assign).await??;
        }
        Ok(IdentifiedOrg { warning: self.warning(&key, probe), key })
    }

    /// Returns what [`RequestedOrg::register`] returns, and writes nothing.
    ///
    /// # Errors
    /// As [`RequestedOrg::register`].
    pub(crate) fn identify(
        &self,
        probe: &OrgProbe,
        now: DateTime<Utc>,
    ) -> Result<IdentifiedOrg, CollectError> {
        let (key, _) = self.assign(probe, now)?;
        Ok(IdentifiedOrg { warning: self.warning(&key, probe), key })
    }

    /// Returns the storage key of the organization, and the registry with it.
    fn assign(&self, probe: &OrgProbe, now: DateTime<Utc>) -> Result<(String, OrgRegistry), CollectError> {
        let mut registry = self.registry.clone();
        let key = registry.assign(&probe.login, probe.id, now)?;
        Ok((key, registry))
    }

    fn warning(&self, key: &str, probe: &OrgProbe) -> Option<CollectWarning> {
        let (name, current) = (self.name(), self.login());
        let text = if self.logins.len() == 1 {
            return None;
        } else if key == self.key {
            format!("{name} is called {} now: use that name", probe.login)
        } else {
            format!(
                "{name} is another organization now than the one that had this name before, and is collected \
                 separately; the other one is called {current} now: collect {current} to read it"
            )
        };
        Some(CollectWarning { repo: None, text })
    }
}

/// Returns the organization's name in rows of the lake and in the store: the login as GitHub writes it, or the
/// storage key if the organization was renamed. So all rows of an organization have one name, in upper or lower
/// case.
pub(crate) fn stored_name<'a>(key: &'a str, login: &'a str) -> &'a str {
    if org_key(login) == key { login } else { key }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_the_storage_key_once_the_organization_is_renamed() {
        assert_eq!(stored_name("acme", "Acme"), "Acme");
        assert_eq!(stored_name("acme", "NewCo"), "acme");
        assert_eq!(stored_name("acme-2", "acme"), "acme-2");
    }
}
