//! The registry of organizations, as one object that is replaced by compare-and-swap.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use gam_model::org_registry::RegistryError;
use gam_model::{Clock, OrgRegistry};

use crate::error::{Error, Result};
use crate::object_store::{ETag, ObjectStore, ObjectVersion, PutIfAbsent, PutIfMatch};
use crate::paths;

/// How often a change is attempted while other processes change the registry.
const MAX_ATTEMPTS: usize = 20;

/// Reads the registry. A lake without one has an empty one.
///
/// # Errors
/// If the store fails; [`Error::Unusable`] if the registry cannot be read.
pub async fn read(objects: &dyn ObjectStore) -> Result<OrgRegistry> {
    Ok(read_with_etag(objects).await?.0)
}

async fn read_with_etag(objects: &dyn ObjectStore) -> Result<(OrgRegistry, Option<ETag>)> {
    let path = paths::registry();
    let Some(object) = objects.get(&path).await? else { return Ok(Default::default()) };
    let registry = OrgRegistry::parse(&object.bytes).map_err(|error| match error {
        RegistryError::NewerFormat(_) => Error::unusable(format!("cannot read {path}: {error}"), error),
        RegistryError::Malformed(_) => {
            Error::unusable(format!("cannot read {path}: {error}; restore it from a backup"), error)
        }
    })?;
    Ok((registry, Some(object.etag)))
}

/// Changes the registry, unless `change` returns an error or changes nothing. If another process changes the
/// registry meanwhile, `change` is applied again to what that process wrote. Returns what `change` returned.
///
/// # Errors
/// As [`read`], or if other processes keep changing the registry.
pub async fn update<T, E>(
    objects: &dyn ObjectStore,
    mut change: impl FnMut(&mut OrgRegistry) -> Result<T, E>,
) -> Result<Result<T, E>> {
    let path = paths::registry();
    for _ in 0..MAX_ATTEMPTS {
        let (before, etag) = read_with_etag(objects).await?;
        let mut after = before.clone();
        let outcome = change(&mut after);
        if outcome.is_err() || after == before {
            return Ok(outcome);
        }
        let bytes = Bytes::from(after.to_json());
        let is_written = match etag {
            None => objects.put_if_absent(&path, bytes, &[]).await? != PutIfAbsent::Exists,
            Some(etag) => objects.put_if_match(&path, bytes, &etag, &[]).await? != PutIfMatch::Changed,
        };
        if is_written {
            return Ok(outcome);
        }
    }
    Err(Error::Unavailable { what: format!("other processes keep changing {path}"), source: None })
}

/// Reads the registry for a program that runs for long. If the lake is a directory, what it returns is current.
/// Otherwise it is at most a minute old.
pub struct CachedRegistry {
    objects: Arc<dyn ObjectStore>,
    clock: Arc<dyn Clock>,
    last_read: Mutex<Option<RegistryRead>>,
}

/// A registry as it was read.
#[derive(Clone)]
struct RegistryRead {
    /// When it was read, UTC.
    at: DateTime<Utc>,
    /// The version of the object from before the read; `None` if the lake knows none.
    version: Option<ObjectVersion>,
    registry: Arc<OrgRegistry>,
}

impl CachedRegistry {
    const MAX_AGE: TimeDelta = TimeDelta::minutes(1);

    /// Creates an empty cache.
    pub fn new(objects: Arc<dyn ObjectStore>, clock: Arc<dyn Clock>) -> Self {
        CachedRegistry { objects, clock, last_read: Mutex::default() }
    }

    /// Returns the registry. If a lake that is no directory cannot be read, an older one is returned, if there is one.
    ///
    /// # Errors
    /// As [`read`], if the lake is a directory or the registry was never read.
    pub async fn get(&self) -> Result<Arc<OrgRegistry>> {
        let cached = self.last_read.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (now, version) = (self.clock.now(), self.objects.current_version(&paths::registry()));
        if let Some(cached) = &cached {
            let is_current = match version {
                Some(_) => version == cached.version,
                None => (TimeDelta::zero()..Self::MAX_AGE).contains(&(now - cached.at)),
            };
            if is_current {
                return Ok(cached.registry.clone());
            }
        }
        match (read(&*self.objects).await, cached) {
            (Ok(registry), _) => {
                let registry = Arc::new(registry);
                let read = RegistryRead { at: now, version, registry: registry.clone() };
                *self.last_read.lock().unwrap_or_else(PoisonError::into_inner) = Some(read);
                Ok(registry)
            }
            (Err(error), Some(cached)) if version.is_none() => {
                tracing::warn!(%error, "cannot read the registry of organizations: using what was read before");
                Ok(cached.registry)
            }
            (Err(error), _) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use gam_model::org_registry::{RenameOutcome, RenameRefusal};

    use super::*;
    use crate::file::FileStore;
    use crate::memory::MemoryObjects;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    async fn assign(objects: &dyn ObjectStore, login: &str, id: i64) -> String {
        update(objects, |registry| registry.assign(login, Some(id), at(id))).await.unwrap().unwrap()
    }

    #[tokio::test]
    async fn a_lake_without_a_registry_has_an_empty_one() {
        let objects = MemoryObjects::new();
        assert_eq!(read(&objects).await.unwrap(), OrgRegistry::default());
        assert_eq!(assign(&objects, "Acme", 1).await, "acme");
        assert_eq!(read(&objects).await.unwrap().current_name("acme"), "Acme");
    }

    #[tokio::test]
    async fn what_changes_nothing_writes_nothing() {
        let objects = MemoryObjects::new();
        assign(&objects, "acme", 1).await;
        let written = objects.get(&paths::registry()).await.unwrap();
        assign(&objects, "acme", 1).await;
        let refused = update(&objects, |registry| {
            registry.assign("other", Some(2), at(2)).unwrap();
            registry.rename("nobody", "x", &[], at(2))
        });
        assert_eq!(refused.await.unwrap(), Err(RenameRefusal::Unknown("nobody".into())));
        assert_eq!(objects.get(&paths::registry()).await.unwrap(), written);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn of_two_renamings_at_the_same_time_one_wins() {
        for _ in 0..50 {
            let objects = Arc::new(MemoryObjects::new());
            assign(&*objects, "acme", 1).await;
            let rename = |new: &'static str| {
                let objects = objects.clone();
                tokio::spawn(async move {
                    update(&*objects, |registry| registry.rename("acme", new, &[], at(9))).await.unwrap()
                })
            };
            let (first, second) = tokio::join!(rename("one"), rename("two"));
            let outcomes = [first.unwrap(), second.unwrap()];
            assert_eq!(outcomes.iter().filter(|outcome| **outcome == Ok(RenameOutcome::Renamed)).count(), 1);
            let winner = if outcomes[0].is_ok() { "one" } else { "two" };
            let registry = read(&*objects).await.unwrap();
            assert_eq!((registry.current_name("acme"), registry.key_of(winner)), (winner, "acme".to_owned()));
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn registrations_at_the_same_time_are_all_kept() {
        let objects = Arc::new(MemoryObjects::new());
        let tasks: Vec<_> = (1..=10)
            .map(|id| {
                let objects = objects.clone();
                tokio::spawn(async move { assign(&*objects, &format!("org{id}"), id).await })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let registry = read(&*objects).await.unwrap();
        assert!((1..=10).all(|id| registry.find(&format!("org{id}")).is_some()), "{registry:?}");
    }

    #[tokio::test]
    async fn a_registry_is_read_again_after_a_minute() {
        struct SettableClock(Mutex<DateTime<Utc>>);
        impl Clock for SettableClock {
            fn now(&self) -> DateTime<Utc> {
                *self.0.lock().unwrap()
            }
        }
        let (objects, clock) = (Arc::new(MemoryObjects::new()), Arc::new(SettableClock(Mutex::new(at(0)))));
        let cache = CachedRegistry::new(objects.clone(), clock.clone());
        assert_eq!(*cache.get().await.unwrap(), OrgRegistry::default());
        assign(&*objects, "acme", 1).await;
        *clock.0.lock().unwrap() = at(59);
        assert_eq!(cache.get().await.unwrap().find("acme"), None);
        *clock.0.lock().unwrap() = at(60);
        assert!(cache.get().await.unwrap().find("acme").is_some());
        objects.delete(&paths::registry()).await.unwrap();
        objects.put_if_absent(&paths::registry(), Bytes::from_static(b"{"), &[]).await.unwrap();
        *clock.0.lock().unwrap() = at(300);
        assert!(cache.get().await.unwrap().find("acme").is_some(), "the new one is damaged");
    }

    #[tokio::test]
    async fn a_registry_in_a_directory_is_always_current() {
        struct StoppedClock;
        impl Clock for StoppedClock {
            fn now(&self) -> DateTime<Utc> {
                at(0)
            }
        }
        let directory = tempfile::tempdir().unwrap();
        let open = || FileStore::open(directory.path()).unwrap();
        let (server, other) = (open(), open());
        let cache = CachedRegistry::new(Arc::new(server), Arc::new(StoppedClock));
        assert_eq!(*cache.get().await.unwrap(), OrgRegistry::default());
        // As another process does it.
        assign(&other, "acme", 1).await;
        let first = cache.get().await.unwrap();
        assert_eq!(first.current_name("acme"), "acme");
        assert!(Arc::ptr_eq(&first, &cache.get().await.unwrap()), "nothing is read while it is the same");
        let mut before = "acme";
        for name in ["globex", "hooli"] {
            let renamed = update(&other, |registry| registry.rename(before, name, &[], at(2)));
            assert_eq!(renamed.await.unwrap(), Ok(RenameOutcome::Renamed));
            assert_eq!(cache.get().await.unwrap().current_name("acme"), name);
            before = name;
        }
        other.delete(&paths::registry()).await.unwrap();
        assert_eq!(*cache.get().await.unwrap(), OrgRegistry::default());
        other.put_if_absent(&paths::registry(), Bytes::from_static(b"{"), &[]).await.unwrap();
        assert!(cache.get().await.is_err(), "a damaged registry is reported");
    }

    #[tokio::test]
    async fn a_damaged_registry_is_named_and_not_replaced() {
        let objects = MemoryObjects::new();
        objects.put_if_absent(&paths::registry(), Bytes::from_static(b"{"), &[]).await.unwrap();
        let error = update(&objects, |registry| registry.assign("acme", Some(1), at(1))).await.unwrap_err();
        assert!(matches!(error, Error::Unusable { .. }));
        assert!(
            error.to_string().starts_with("cannot read config/registry.json: it is no registry"),
            "{error}"
        );
        assert_eq!(objects.get(&paths::registry()).await.unwrap().unwrap().bytes, "{");
    }
}
