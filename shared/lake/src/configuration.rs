//! The configurations of organizations: revisions that are added and never changed.
//!
//! Revision 1 is the first. The newest one applies. Before revisions, one object held the configuration of all
//! organizations; it applies to those without a revision.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use gam_model::Clock;
use gam_model::configuration::Configuration;

use crate::error::{Error, Result};
use crate::object_store::{ObjectStore, PutIfAbsent};
use crate::paths;

/// The beginning of the first line of a revision, before the time at which it was set.
const SET_AT: &str = "# set at ";

/// The configuration of an organization at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// 1 for the first; 0 if no revision was ever set.
    pub number: u32,
    /// When it was set, UTC; `None` if its text does not say.
    pub set_at: Option<DateTime<Utc>>,
    /// What it configures.
    pub configuration: Configuration,
}

/// Returns the numbers of the organization's revisions, in order.
///
/// # Errors
/// If the store fails.
pub async fn revisions(objects: &dyn ObjectStore, org: &str) -> Result<Vec<u32>> {
    let listed = objects.list(&paths::configuration_prefix(org)).await?;
    let mut numbers: Vec<u32> =
        listed.iter().filter_map(|object| paths::parse_configuration(org, &object.path)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Returns a revision of the organization; `None` if it does not exist.
///
/// # Errors
/// If the store fails; [`Error::Damaged`] if the revision is no configuration.
pub async fn revision(objects: &dyn ObjectStore, org: &str, number: u32) -> Result<Option<Revision>> {
    let path = paths::configuration(org, number);
    let Some(object) = objects.get(&path).await? else { return Ok(None) };
    let text = text_of(path.as_str(), &object.bytes)?;
    let set_at = text.lines().next().and_then(|line| line.strip_prefix(SET_AT)?.trim().parse().ok());
    Ok(Some(Revision { number, set_at, configuration: parse(path.as_str(), text)? }))
}

/// Returns the organization's newest revision. Without any, it is number 0, with what older versions of the
/// program configured, or empty.
///
/// # Errors
/// As [`revision`].
pub async fn latest(objects: &dyn ObjectStore, org: &str) -> Result<Revision> {
    if let Some(newest) = revisions(objects, org).await?.last()
        && let Some(revision) = revision(objects, org, *newest).await?
    {
        return Ok(revision);
    }
    Ok(Revision { number: 0, set_at: None, configuration: before_revisions(objects).await? })
}

/// Returns what older versions of the program configured for all organizations without a revision, or nothing.
async fn before_revisions(objects: &dyn ObjectStore) -> Result<Configuration> {
    let path = paths::shared_configuration();
    match objects.get(&path).await? {
        Some(object) => parse(path.as_str(), text_of(path.as_str(), &object.bytes)?),
        None => Ok(Configuration::default()),
    }
}

/// Adds a revision after `latest`, with the erased sessions of that one. Returns its number, or `None` if another process
/// added one first.
///
/// # Errors
/// If the store fails. The revision may have been added. [`Error::Damaged`] if `latest` is no configuration, or if the new
/// one would be none: it can be too long.
pub async fn add(
    objects: &dyn ObjectStore,
    org: &str,
    latest: u32,
    configuration: &Configuration,
    now: DateTime<Utc>,
) -> Result<Option<u32>> {
    let number = latest + 1;
    let before = match latest {
        0 => None,
        _ => revision(objects, org, latest).await?,
    };
    let configuration = match before {
        Some(before) => configuration.clone().with_erasures_of(&before.configuration),
        None => configuration.clone(),
    };
    let text =
        format!("{SET_AT}{}\n{}", now.to_rfc3339_opts(SecondsFormat::Secs, true), configuration.to_toml());
    let path = paths::configuration(org, number);
    // A revision that nobody can read would stop the organization.
    parse(path.as_str(), &text)?;
    Ok(match objects.put_if_absent(&path, Bytes::from(text), &[]).await? {
        PutIfAbsent::Written(_) => Some(number),
        PutIfAbsent::Exists => None,
    })
}

/// Reads revisions of configurations for a program that runs for long, and keeps them: a revision never changes.
/// Only what older versions of the program configured, which revision 0 stands for, is read again after a minute.
pub struct CachedConfigurations {
    objects: Arc<dyn ObjectStore>,
    clock: Arc<dyn Clock>,
    /// By organization and number.
    read: Mutex<HashMap<(String, u32), ReadConfiguration>>,
}

/// A configuration, and when it was read.
#[derive(Clone)]
struct ReadConfiguration {
    /// UTC.
    at: DateTime<Utc>,
    configuration: Arc<Configuration>,
}

impl CachedConfigurations {
    const MAX_AGE: TimeDelta = TimeDelta::minutes(1);

    /// Creates an empty cache.
    pub fn new(objects: Arc<dyn ObjectStore>, clock: Arc<dyn Clock>) -> Self {
        CachedConfigurations { objects, clock, read: Mutex::default() }
    }

    /// Returns a revision of the organization's configuration; for number 0 what applies without any.
    ///
    /// # Errors
    /// As [`revision`], and [`Error::Damaged`] if there is no such revision.
    pub async fn revision(&self, org: &str, number: u32) -> Result<Arc<Configuration>> {
        let key = (paths::org_component(org), number);
        let cached = self.read.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        let now = self.clock.now();
        if let Some(ReadConfiguration { at, configuration }) = cached
            && (number > 0 || (TimeDelta::zero()..Self::MAX_AGE).contains(&(now - at)))
        {
            return Ok(configuration);
        }
        let configuration = match number {
            0 => before_revisions(&*self.objects).await?,
            _ => {
                let found = revision(&*self.objects, org, number).await?;
                let missing = || Error::damaged(paths::configuration(org, number).as_str(), "it is missing");
                found.ok_or_else(missing)?.configuration
            }
        };
        let configuration = Arc::new(configuration);
        let entry = ReadConfiguration { at: now, configuration: configuration.clone() };
        self.read.lock().unwrap_or_else(PoisonError::into_inner).insert(key, entry);
        Ok(configuration)
    }
}

fn text_of<'a>(path: &str, bytes: &'a [u8]) -> Result<&'a str> {
    std::str::from_utf8(bytes).map_err(|error| Error::damaged_by(path, "it is not UTF-8 text", error))
}

fn parse(path: &str, text: &str) -> Result<Configuration> {
    Configuration::parse_stored(text).map_err(|why| Error::damaged(path, why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryObjects;

    fn configuration(bot: &str) -> Configuration {
        Configuration::parse_stored(&format!("bots = [{bot:?}]")).unwrap()
    }

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    #[tokio::test]
    async fn revisions_are_added_once_and_the_newest_applies() {
        let objects = MemoryObjects::new();
        assert_eq!(latest(&objects, "acme").await.unwrap().number, 0);
        for (expected, bot) in [(1, "a"), (2, "b"), (3, "c")] {
            let added = add(&objects, "Acme", expected - 1, &configuration(bot), at(60)).await.unwrap();
            assert_eq!(added, Some(expected));
        }
        assert_eq!(add(&objects, "acme", 2, &configuration("z"), at(60)).await.unwrap(), None);
        let newest = latest(&objects, "acme").await.unwrap();
        assert_eq!((newest.number, newest.set_at), (3, Some(at(60))));
        assert_eq!(newest.configuration, configuration("c"));
        assert_eq!(revisions(&objects, "acme").await.unwrap(), [1, 2, 3]);
        assert_eq!(revision(&objects, "acme", 1).await.unwrap().unwrap().configuration, configuration("a"));
        assert_eq!(revision(&objects, "acme", 4).await.unwrap(), None);
        assert_eq!(latest(&objects, "acme-two").await.unwrap().number, 0, "another organization");
    }

    #[tokio::test]
    async fn an_erasure_is_in_every_later_revision() {
        let objects = MemoryObjects::new();
        let erased = format!("[sessions]\nerased = [\"{}\"]", "ab".repeat(32));
        let erased = Configuration::parse_stored(&erased).unwrap();
        add(&objects, "acme", 0, &erased, at(0)).await.unwrap();
        add(&objects, "acme", 1, &configuration("a"), at(0)).await.unwrap();
        let newest = latest(&objects, "acme").await.unwrap().configuration;
        assert_eq!(newest.identity.erased_sessions(), erased.identity.erased_sessions());
        assert_eq!(newest.identity.bots().collect::<Vec<_>>(), ["a"]);
    }

    #[tokio::test]
    async fn revisions_are_in_numeric_order() {
        let objects = MemoryObjects::new();
        for latest in 0..11 {
            add(&objects, "acme", latest, &configuration("a"), at(0)).await.unwrap();
        }
        assert_eq!(latest(&objects, "acme").await.unwrap().number, 11);
    }

    #[tokio::test]
    async fn what_older_versions_configured_applies_until_a_revision_is_set() {
        let objects = MemoryObjects::new();
        let shared = Bytes::from_static(b"bots = [\"old\"]");
        objects.put_if_absent(&paths::shared_configuration(), shared, &[]).await.unwrap();
        let before = latest(&objects, "acme").await.unwrap();
        assert_eq!((before.number, before.configuration), (0, configuration("old")));
        add(&objects, "acme", 0, &Configuration::default(), at(0)).await.unwrap();
        assert_eq!(latest(&objects, "acme").await.unwrap().configuration, Configuration::default());
        assert_eq!(latest(&objects, "zeta").await.unwrap().configuration, configuration("old"));
    }

    #[tokio::test]
    async fn a_revision_is_read_once_and_what_precedes_revisions_each_minute() {
        struct SettableClock(Mutex<DateTime<Utc>>);
        impl Clock for SettableClock {
            fn now(&self) -> DateTime<Utc> {
                *self.0.lock().unwrap()
            }
        }
        let (objects, clock) = (Arc::new(MemoryObjects::new()), Arc::new(SettableClock(Mutex::new(at(0)))));
        let cache = CachedConfigurations::new(objects.clone(), clock.clone());
        assert_eq!(*cache.revision("acme", 0).await.unwrap(), Configuration::default());
        assert!(cache.revision("acme", 1).await.is_err(), "there is none yet");
        add(&*objects, "acme", 0, &configuration("a"), at(0)).await.unwrap();
        assert_eq!(*cache.revision("Acme", 1).await.unwrap(), configuration("a"));
        objects.delete(&paths::configuration("acme", 1)).await.unwrap();
        assert_eq!(*cache.revision("acme", 1).await.unwrap(), configuration("a"), "it is not read again");
        let shared = Bytes::from_static(b"bots = [\"old\"]");
        objects.put_if_absent(&paths::shared_configuration(), shared, &[]).await.unwrap();
        *clock.0.lock().unwrap() = at(59);
        assert_eq!(*cache.revision("acme", 0).await.unwrap(), Configuration::default());
        *clock.0.lock().unwrap() = at(60);
        assert_eq!(*cache.revision("acme", 0).await.unwrap(), configuration("old"));
    }

    #[tokio::test]
    async fn a_damaged_revision_is_named() {
        let objects = MemoryObjects::new();
        objects
            .put_if_absent(&paths::configuration("acme", 1), Bytes::from_static(b"bots"), &[])
            .await
            .unwrap();
        let error = latest(&objects, "acme").await.unwrap_err();
        assert!(
            matches!(error, Error::Damaged { .. }) && error.to_string().contains("config/org=acme/1.toml")
        );
    }
}
