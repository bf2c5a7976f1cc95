//! Reading one organization at one active epoch: its names and its coverage.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use gam_model::{OrgRegistry, Range, Retention, Subject, TimeZone};
use gam_store::keys::{CheckpointKey, EVENTS_TABLE, org_key, rollup_owner};
use gam_store::{Checkpoint, EpochRules, Head, Logic, NameKind, OrgCheckpoint, RepoCoverage, RetiredEpoch};

use crate::answers::CoverageAnswer;
use crate::quote::not_computed;
use crate::read_items::{MonthOfDays, TableReader};
use crate::{QueryError, QueryPorts};

/// How often an organization is read whose active epoch changes meanwhile.
const MAX_READ_ATTEMPTS: u32 = 4;

/// How long an epoch is read after another one became active. Its items are deleted five minutes later.
const MAX_AGE_OF_RETIRED: TimeDelta = TimeDelta::minutes(10);

/// Reads an organization that exists, at the epoch that was active when it was opened.
pub(crate) struct OrgReader<'a> {
    pub(crate) ports: &'a QueryPorts,
    /// The storage key.
    pub(crate) key: String,
    /// The current login as GitHub writes it.
    pub(crate) name: String,
    /// The active epoch; `None` if the organization was never aggregated.
    pub(crate) active: Option<EpochRules>,
    /// The time zone whose days the active epoch counts.
    pub(crate) time_zone: TimeZone,
    /// The items about what happens on GitHub.
    pub(crate) events: TableReader<'a>,
}

/// The names of an organization that the store has.
#[derive(Debug, Clone)]
pub struct StoredOrgName {
    /// The storage key.
    pub key: String,
    /// The current login as GitHub writes it.
    pub display: String,
}

impl StoredOrgName {
    /// Creates the names from what the store returns: the storage key, as GitHub wrote the name that it comes from.
    pub(crate) fn new(registry: &OrgRegistry, stored: &str) -> Self {
        StoredOrgName { key: org_key(stored), display: registry.name_of_stored(stored).to_owned() }
    }
}

/// An organization and the epoch that it is read at, for reads that take so long that another epoch may become active
/// meanwhile.
pub(crate) struct PinnedOrg {
    name: StoredOrgName,
    rules: Option<EpochRules>,
}

impl PinnedOrg {
    /// Returns the current login as GitHub writes it.
    pub(crate) fn name(&self) -> &str {
        &self.name.display
    }

    /// Opens the organization again at its epoch, with the markers as they are now.
    ///
    /// # Errors
    /// If the items of the epoch may be deleted soon, because others became active, or the store fails.
    pub(crate) async fn reopen<'a>(&self, ports: &'a QueryPorts) -> Result<OrgReader<'a>, QueryError> {
        let head = load_head(ports, &self.name.key).await?;
        let epoch = |rules: &EpochRules| rules.epoch;
        let own = self.rules.as_ref().map(epoch);
        let is_kept = |retired: &RetiredEpoch| {
            Some(retired.epoch) == own && ports.clock.now() - retired.since < MAX_AGE_OF_RETIRED
        };
        if head.active.as_ref().map(epoch) != own && !head.retired.iter().any(is_kept) {
            let what = format!(
                "the rules of {} changed while its numbers were read: start again",
                self.name.display
            );
            return Err(gam_store::Error::Unavailable { what, source: None }.into());
        }
        OrgReader::with_rules(ports, self.name.clone(), self.rules.clone()).await
    }
}

/// A query of one organization.
pub(crate) trait OrgQuery: Sync {
    /// The answer.
    type Answer: Send;

    /// Computes the answer from the items of the reader's epoch. It is called again if another epoch becomes active
    /// meanwhile.
    fn answer(&self, org: &OrgReader<'_>) -> impl Future<Output = Result<Self::Answer, QueryError>> + Send;
}

/// Computes an answer about an organization from the items of one epoch. If another epoch becomes active
/// meanwhile, it computes the answer again, so that no answer mixes the numbers of two sets of rules.
///
/// # Errors
/// If there is no such organization, no epoch of it is complete, the active epoch changes again and again, or
/// the query fails.
pub(crate) async fn read_org<Q: OrgQuery>(
    ports: &QueryPorts,
    org: &str,
    query: &Q,
) -> Result<Q::Answer, QueryError> {
    read_opened(ports, OrgLookup::Named(org), query).await
}

/// Computes an answer about an organization whose name in the store is known, as [`read_org`] does.
///
/// # Errors
/// As [`read_org`].
pub(crate) async fn read_stored_org<Q: OrgQuery>(
    ports: &QueryPorts,
    name: &StoredOrgName,
    query: &Q,
) -> Result<Q::Answer, QueryError> {
    read_opened(ports, OrgLookup::Stored(name), query).await
}

/// How an organization is found.
#[derive(Clone, Copy)]
enum OrgLookup<'a> {
    /// By any of its names.
    Named(&'a str),
    /// It was read from the store.
    Stored(&'a StoredOrgName),
}

async fn read_opened<Q: OrgQuery>(
    ports: &QueryPorts,
    lookup: OrgLookup<'_>,
    query: &Q,
) -> Result<Q::Answer, QueryError> {
    for _ in 0..MAX_READ_ATTEMPTS {
        let change_token = ports.rollups.change_token();
        let reader = match lookup {
            OrgLookup::Named(name) => OrgReader::open(ports, name).await?,
            OrgLookup::Stored(name) => OrgReader::open_stored(ports, name.clone()).await?,
        };
        let answer = match query.answer(&reader).await {
            Err(error @ QueryError::Store(_)) => return Err(error),
            // Any other error may come from items of a retired epoch, too.
            answer => answer,
        };
        let is_unchanged = change_token.is_some() && change_token == ports.rollups.change_token();
        if is_unchanged || reader.is_current().await? {
            return answer;
        }
    }
    let org = match lookup {
        OrgLookup::Named(name) => name,
        OrgLookup::Stored(name) => &name.display,
    };
    let what = format!("the rules of {org} changed {MAX_READ_ATTEMPTS} times while its numbers were read");
    Err(gam_store::Error::Unavailable { what, source: None }.into())
}

async fn load_head(ports: &QueryPorts, org_key: &str) -> gam_store::Result<Head> {
    Ok(Checkpoint::load_head(&*ports.checkpoints, org_key).await?.value)
}

/// Returns whether all of the organization was ever read from GitHub. Its numbers are then not zero only because
/// nothing has been aggregated: a store of an older program was emptied, or the first aggregation runs.
async fn was_collected(ports: &QueryPorts, org_key: &str) -> Result<bool, QueryError> {
    let key = CheckpointKey::Org(org_key.to_owned());
    let org: Checkpoint<OrgCheckpoint> = Checkpoint::load(&*ports.checkpoints, &key).await?;
    Ok(org.value.org_complete_until().is_some())
}

/// Returns the time zone of an epoch.
fn time_zone_of(rules: &EpochRules) -> Result<TimeZone, QueryError> {
    let name = &rules.logic.time_zone;
    TimeZone::parse(name).ok_or_else(|| {
        let what = format!("this program does not know the time zone {name:?}: upgrade it");
        gam_store::Error::Unusable { what, source: None }.into()
    })
}

/// Returns the current day in the time zone of an organization; the UTC day if nothing of it is known.
///
/// # Errors
/// If the store fails, or its time zone is not known.
pub async fn today(ports: &QueryPorts, org: &str) -> Result<NaiveDate, QueryError> {
    let registry = ports.registry.registry().await.map_err(QueryError::Registry)?;
    let head = load_head(ports, &registry.key_of(org)).await?;
    let time_zone = head.active.as_ref().map_or(Ok(TimeZone::UTC), time_zone_of)?;
    Ok(time_zone.day(ports.clock.now()))
}

/// Returns the storage key and the display name of an organization.
///
/// # Errors
/// If there is no such organization, or the registry or the store fails.
pub async fn find_org(ports: &QueryPorts, org: &str) -> Result<StoredOrgName, QueryError> {
    let registry = ports.registry.registry().await.map_err(QueryError::Registry)?;
    let name = ports.names.org(&registry.key_of(org)).await?;
    let name = name.ok_or_else(|| QueryError::unknown_org(org))?;
    Ok(StoredOrgName::new(&registry, &name))
}

impl<'a> OrgReader<'a> {
    pub(crate) async fn open(ports: &'a QueryPorts, org: &str) -> Result<Self, QueryError> {
        let registry = ports.registry.registry().await.map_err(QueryError::Registry)?;
        let key = registry.key_of(org);
        let (name, head) = tokio::try_join!(ports.names.org(&key), load_head(ports, &key))?;
        let name = name.ok_or_else(|| QueryError::unknown_org(org))?;
        Self::with_head(ports, StoredOrgName::new(&registry, &name), head).await
    }

    async fn open_stored(ports: &'a QueryPorts, name: StoredOrgName) -> Result<Self, QueryError> {
        let head = load_head(ports, &name.key).await?;
        Self::with_head(ports, name, head).await
    }

    async fn with_head(ports: &'a QueryPorts, name: StoredOrgName, head: Head) -> Result<Self, QueryError> {
        if head.active.is_none() && (head.target.is_some() || was_collected(ports, &name.key).await?) {
            return Err(QueryError::NotComputed(not_computed(&name.display)));
        }
        Self::with_rules(ports, name, head.active).await
    }

    async fn with_rules(
        ports: &'a QueryPorts,
        name: StoredOrgName,
        active: Option<EpochRules>,
    ) -> Result<Self, QueryError> {
        let StoredOrgName { key, display: name } = name;
        let time_zone = active.as_ref().map_or(Ok(TimeZone::UTC), time_zone_of)?;
        let epoch = active.as_ref().map(|active| active.epoch);
        let events = TableReader::open(ports, rollup_owner(&key, EVENTS_TABLE), epoch).await?;
        Ok(OrgReader { ports, key, name, active, time_zone, events })
    }

    /// Opens another table of the organization, in the epoch of this reader.
    pub(crate) async fn open_table(&self, table: &str) -> Result<TableReader<'a>, QueryError> {
        let epoch = self.active.as_ref().map(|active| active.epoch);
        TableReader::open(self.ports, rollup_owner(&self.key, table), epoch).await
    }

    /// Returns the organization with the epoch of this reader.
    pub(crate) fn pinned(&self) -> PinnedOrg {
        PinnedOrg {
            name: StoredOrgName { key: self.key.clone(), display: self.name.clone() },
            rules: self.active.clone(),
        }
    }

    /// Returns whether the epoch that was active when the organization was opened is still active.
    async fn is_current(&self) -> Result<bool, QueryError> {
        let head = load_head(self.ports, &self.key).await?;
        let epoch = |rules: &EpochRules| rules.epoch;
        Ok(head.active.as_ref().map(epoch) == self.active.as_ref().map(epoch))
    }

    /// Returns the rules that the numbers are computed by; `None` if the organization was never aggregated.
    pub(crate) fn rules(&self) -> Option<&Logic> {
        self.active.as_ref().map(|active| &active.logic)
    }

    /// Returns the current day in the organization's time zone.
    pub(crate) fn today(&self) -> NaiveDate {
        self.time_zone.day(self.ports.clock.now())
    }

    /// Returns the first day, UTC, whose sessions are kept; `None` if they are kept for ever.
    pub(crate) fn sessions_kept_since(&self) -> Option<NaiveDate> {
        let retention = Retention::new(self.rules()?.session_retention_days?)?;
        Some(retention.first_kept_month(self.ports.clock.now()).first_day())
    }

    /// Returns the coverage of a subject. The store has an organization's first day before anything was
    /// read, so `complete_since` is `None` unless `complete_until` is known.
    pub(crate) async fn coverage(&self, subject: &Subject) -> Result<CoverageAnswer, QueryError> {
        let key = CheckpointKey::Org(self.key.clone());
        let org: Checkpoint<OrgCheckpoint> = Checkpoint::load(&*self.ports.checkpoints, &key).await?;
        let (since, until, repo_id) = match subject {
            Subject::Repo(id) => {
                let since = org.value.after_lost_months(self.repo_complete_since(*id).await?);
                (since, org.value.repo_complete_until(*id), Some(*id))
            }
            _ => (org.value.org_complete_since(), org.value.org_complete_until(), None),
        };
        let (gaps, gap_count) = org.value.list_gaps(repo_id);
        let complete_since = since.filter(|_| until.is_some());
        // A repository without a checkpoint was read with its organization, if at all.
        let read_since = since.or(org.value.since);
        Ok(CoverageAnswer { complete_since, complete_until: until, read_since, gaps, gap_count })
    }

    /// Returns whether the numbers of the range before can be compared with: whether its days were collected. If nothing
    /// is known of the collection, as in the demo, they count as collected from the first event of the organization on.
    ///
    /// # Errors
    /// If the store fails, or a stored item cannot be read.
    pub(crate) async fn is_comparable(
        &self,
        coverage: &CoverageAnswer,
        previous: Range,
    ) -> Result<bool, QueryError> {
        if let Some(since) = coverage.read_since {
            return Ok(since <= self.time_zone.start_of_day(previous.since()));
        }
        Ok(self.first_day().await?.is_some_and(|first| first <= previous.since()))
    }

    /// Returns the first day with events; `None` if there are none.
    async fn first_day(&self) -> Result<Option<NaiveDate>, QueryError> {
        for month in self.events.months() {
            let range = Range::new(month.first_day(), month.end()).expect("a month has days");
            let days = self.read_days(&Subject::Org, range).await?;
            let first = days.iter().flat_map(MonthOfDays::dates).map(|(date, _)| date).min();
            if first.is_some() {
                return Ok(first);
            }
        }
        Ok(None)
    }

    /// Returns the time from which on a repository has been read. A repository can be collected by
    /// itself, from another day on than its organization.
    async fn repo_complete_since(&self, id: i64) -> Result<Option<DateTime<Utc>>, QueryError> {
        let key = CheckpointKey::Repo(self.key.clone(), id);
        let repo: Checkpoint<RepoCoverage> = Checkpoint::load(&*self.ports.checkpoints, &key).await?;
        Ok(repo.value.complete_since())
    }

    /// Returns the repositories' names by id. Names of deleted repositories are among them.
    pub(crate) async fn repo_names(&self) -> Result<HashMap<i64, String>, QueryError> {
        let names = self.ports.names.names(&self.key, NameKind::Repo).await?;
        Ok(names.into_iter().map(|entry| (entry.id, entry.name)).collect())
    }
}
