//! Which organizations are collected, from the registry and the configurations of the lake.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use gam_lake::{ObjectStore, configuration, registry};
use gam_model::Clock;
use gam_store::NameStore;
use gam_work::{OrgScope, OrgScopes, WorkError};

/// How long [`CachedScopes`] keeps a scope.
const MAX_AGE: TimeDelta = TimeDelta::minutes(1);
/// Number of logins that [`CachedScopes`] keeps. Anybody can create an organization, but only the owner of a secret can
/// sign a delivery.
const MAX_LOGINS: usize = 1_000;

/// The organizations that a host collects, with the rules of their configurations.
pub struct LakeScopes {
    /// The lake, for configurations and the registry.
    pub lake: Arc<dyn ObjectStore>,
    /// Adds all organizations that the lake and this store know. `None` for those of `orgs` alone.
    pub names: Option<Arc<dyn NameStore>>,
    /// The logins of organizations that are collected, also if the store does not know them yet.
    pub orgs: Vec<String>,
}

#[async_trait]
impl OrgScopes for LakeScopes {
    async fn find(&self, login: &str) -> Result<Option<OrgScope>, WorkError> {
        let registry =
            registry::read(&*self.lake).await.map_err(|error| WorkError::Scope(Box::new(error)))?;
        let key = registry.key_of(login);
        let is_named =
            self.orgs.iter().any(|org| org.eq_ignore_ascii_case(login) || registry.key_of(org) == key);
        let is_known = is_named
            || match &self.names {
                Some(names) => {
                    registry.find(login).is_some()
                        || names.orgs().await?.iter().any(|org| registry.key_of(org) == key)
                }
                None => false,
            };
        if !is_known {
            return Ok(None);
        }
        let revision = configuration::latest(&*self.lake, &key)
            .await
            .map_err(|error| WorkError::Scope(Box::new(error)))?;
        let (revision, configuration) = (revision.number, revision.configuration);
        let identity = Arc::new(configuration.identity);
        Ok(Some(OrgScope { key, identity, task_rules: configuration.task_rules, revision }))
    }
}

impl LakeScopes {
    /// Returns the names of the organizations that are collected.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn orgs(&self) -> Result<BTreeSet<String>, WorkError> {
        let mut orgs = BTreeSet::new();
        if let Some(names) = &self.names {
            orgs.extend(names.orgs().await?);
        }
        for org in &self.orgs {
            if !orgs.iter().any(|known| known.eq_ignore_ascii_case(org)) {
                orgs.insert(org.clone());
            }
        }
        Ok(orgs)
    }
}

/// Remembers scopes for a minute, where each reading of the lake costs a request.
pub struct CachedScopes<S> {
    scopes: S,
    clock: Arc<dyn Clock>,
    /// What was found, by login.
    found: Mutex<HashMap<String, FoundScope>>,
}

/// A scope, and when it was read, UTC. `None` if the organization is not collected.
type FoundScope = (DateTime<Utc>, Option<OrgScope>);

impl<S: OrgScopes> CachedScopes<S> {
    /// Creates an empty cache.
    pub fn new(scopes: S, clock: Arc<dyn Clock>) -> Self {
        CachedScopes { scopes, clock, found: Mutex::default() }
    }
}

#[async_trait]
impl<S: OrgScopes> OrgScopes for CachedScopes<S> {
    async fn find(&self, login: &str) -> Result<Option<OrgScope>, WorkError> {
        let (login, now) = (login.to_lowercase(), self.clock.now());
        let cached = self.found.lock().unwrap_or_else(PoisonError::into_inner).get(&login).cloned();
        if let Some((at, scope)) = cached
            && (TimeDelta::zero()..MAX_AGE).contains(&(now - at))
        {
            return Ok(scope);
        }
        let scope = self.scopes.find(&login).await?;
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if found.len() >= MAX_LOGINS {
            found.clear();
        }
        found.insert(login, (now, scope.clone()));
        Ok(scope)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

    use gam_model::{Identity, TaskRules};

    use super::*;

    /// Finds every organization, and counts the calls.
    #[derive(Default)]
    struct CountingScopes(Arc<AtomicUsize>);

    #[async_trait]
    impl OrgScopes for CountingScopes {
        async fn find(&self, login: &str) -> Result<Option<OrgScope>, WorkError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(Some(OrgScope {
                key: login.to_owned(),
                identity: Arc::new(Identity::default()),
                task_rules: TaskRules::default(),
                revision: 0,
            }))
        }
    }

    /// A clock that shows this many seconds since the epoch.
    struct SecondsClock(Arc<AtomicI64>);

    impl Clock for SecondsClock {
        fn now(&self) -> DateTime<Utc> {
            DateTime::from_timestamp(self.0.load(Ordering::Relaxed), 0).unwrap()
        }
    }

    #[tokio::test]
    async fn a_scope_is_read_once_a_minute() {
        let (count, seconds) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicI64::new(1_000)));
        let clock = Arc::new(SecondsClock(seconds.clone()));
        let scopes = CachedScopes::new(CountingScopes(count.clone()), clock);
        for (at, login, reads) in [
            (1_000, "Acme", 1),
            (1_059, "acme", 1),
            (1_059, "other", 2),
            (1_060, "ACME", 3),
            (900, "acme", 4),
        ] {
            seconds.store(at, Ordering::Relaxed);
            assert_eq!(scopes.find(login).await.unwrap().unwrap().key, login.to_lowercase());
            assert_eq!(count.load(Ordering::Relaxed), reads, "{login} at {at}");
        }
    }
}
