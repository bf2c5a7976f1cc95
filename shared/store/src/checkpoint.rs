//! Checkpoints as JSON, loaded and saved by compare-and-swap, and the coverage that readers take from them.
//! Every time in a checkpoint comes from GitHub's clock.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use gam_model::Month;
use gam_model::period::midnight;

use crate::gaps::{ALL_REPOS, Gap, GapsByRepo, RepoGaps, list_gaps};
use crate::head::Head;
use crate::keys::CheckpointKey;
use crate::port::{CheckpointStore, Revision, SaveOutcome};

/// How often a change of an organization's checkpoint is tried.
const MAX_CHANGE_ATTEMPTS: u32 = 20;
/// The pause after the first failed attempt. It doubles with each further one.
const MIN_CHANGE_PAUSE: Duration = Duration::from_millis(10);
/// How often the pause doubles.
const MAX_PAUSE_DOUBLINGS: u32 = 6;

/// How far an organization has been collected.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrgCheckpoint {
    /// Every repository except those in `repos` has been read until this time, UTC.
    pub complete_until: Option<DateTime<Utc>>,
    /// Repositories that have been read until another time, by id; `None` if never.
    #[serde(default)]
    pub repos: BTreeMap<i64, Option<DateTime<Utc>>>,
    /// The earliest day ever requested, UTC. A repository that appears later is read from this day on.
    #[serde(default)]
    pub since: Option<DateTime<Utc>>,
    /// When the organization was last compared with GitHub, or when the first interval began, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reconciled_at: Option<DateTime<Utc>>,
    /// The id of the last repository that an interrupted comparison reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reconciled_to: Option<i64>,
    /// For how many repositories a comparison reads the lake together at most: half as many as the one that ran out of
    /// time. `None` for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reconcile_at_most: Option<u32>,
    /// What could not be read, by repository id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub gaps: GapsByRepo,
    /// Months (`YYYY-MM`, UTC) whose snapshot was lost from the lake and that were not read again completely, with
    /// the generation that the store knew of each.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lost_months: BTreeMap<String, u64>,
    /// The last span that was read again completely, whose batches may be in the inbox. An aggregation that has
    /// processed them removes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_again: Option<ReadAgainSpan>,
    /// When all members of the organization were last listed, and how many there were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members: Option<MembersListed>,
}

/// A span that was read again from GitHub, whatever the checkpoints said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadAgainSpan {
    /// Its beginning, UTC.
    pub from: DateTime<Utc>,
    /// Its end, UTC, exclusive; `None` for everything up to the reading.
    pub until: Option<DateTime<Utc>>,
    /// Whether batches have everything of the span, and not only what differed from the lake.
    #[serde(default)]
    pub has_everything: bool,
}

impl ReadAgainSpan {
    /// Returns whether all of the month lies in the span.
    pub fn covers(&self, month: Month) -> bool {
        self.from <= midnight(month.first_day())
            && self.until.is_none_or(|until| midnight(month.end()) <= until)
    }
}

/// When the members of an organization with more than 100 members were last listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MembersListed {
    /// By GitHub's clock, UTC.
    pub at: DateTime<Utc>,
    /// Number of members.
    pub total: i64,
}

impl OrgCheckpoint {
    /// Returns until when a repository has been read, or `None` if it never was.
    pub fn repo_complete_until(&self, repo_id: i64) -> Option<DateTime<Utc>> {
        self.repos.get(&repo_id).copied().unwrap_or(self.complete_until)
    }

    /// Returns from when on all repositories have been read, or `None` if nothing was ever requested.
    pub fn org_complete_since(&self) -> Option<DateTime<Utc>> {
        let later = self.gaps.values().filter_map(|gaps| gaps.complete_since).max();
        self.after_lost_months(self.since.map(|since| later.map_or(since, |later| later.max(since))))
    }

    /// Returns the end of the last lost month, UTC, if it is later than `complete_since`.
    pub fn after_lost_months(&self, complete_since: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
        let end = self.lost_months().last().map(|month| midnight(month.end()));
        complete_since.map(|since| end.map_or(since, |end| end.max(since)))
    }

    /// Returns the lost months, in order.
    pub fn lost_months(&self) -> impl DoubleEndedIterator<Item = Month> {
        self.lost_months.keys().filter_map(|month| Month::parse(month))
    }

    /// Returns the first gaps of a repository, or of all repositories, and their number.
    pub fn list_gaps(&self, repo_id: Option<i64>) -> (Vec<Gap>, u64) {
        let is_in_scope = |id: &i64| repo_id.is_none_or(|repo_id| repo_id == *id);
        let lost = self.lost_months().map(|month| Gap {
            repo: ALL_REPOS.to_owned(),
            kind: "month".to_owned(),
            number: None,
            from: Some(midnight(month.first_day())),
            until: Some(midnight(month.end())),
            why: format!(
                "the lake has lost the snapshot of {month}: restore it from a backup, or read the month again with \
                 `github-metrics collect ORG --again --since {} --until {}`",
                month.first_day(),
                month.end()
            ),
        });
        let lost = RepoGaps::new(lost.collect(), None);
        let repos = self.gaps.iter().filter(|(id, _)| is_in_scope(id)).map(|(_, gaps)| gaps);
        list_gaps(std::iter::once(&lost).chain(repos))
    }

    /// Returns until when all repositories have been read, or `None` if one of them never was.
    pub fn org_complete_until(&self) -> Option<DateTime<Utc>> {
        // `None` is less than any time.
        self.repos.values().copied().chain([self.complete_until]).min().flatten()
    }
}

/// From when a repository has been read, taken from its checkpoint. Other fields of the checkpoint belong
/// to the collector and are ignored here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RepoCoverage {
    commits: CommitCoverage,
    pulls: ListCoverage,
    issues: ListCoverage,
    deployments: ListCoverage,
    releases: ListCoverage,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct CommitCoverage {
    covered: Option<ListCoverage>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct ListCoverage {
    since: Option<DateTime<Utc>>,
}

impl RepoCoverage {
    /// Returns from when on everything in the repository has been read, UTC, or `None` if nothing has.
    /// A kind without entries, such as the commits of an empty branch, does not count.
    pub fn complete_since(&self) -> Option<DateTime<Utc>> {
        let commits = self.commits.covered.as_ref().and_then(|covered| covered.since);
        let lists = [self.pulls.since, self.issues.since, self.deployments.since, self.releases.since];
        lists.into_iter().chain([commits]).flatten().max()
    }
}

/// A checkpoint, together with the revision it was loaded at.
#[derive(Debug, Clone, Default)]
pub struct Checkpoint<T> {
    /// The content. Change it, then call [`Checkpoint::save`].
    pub value: T,
    revision: Option<Revision>,
}

impl<T> Checkpoint<T> {
    /// Returns whether the checkpoint has ever been saved.
    pub fn is_saved(&self) -> bool {
        self.revision.is_some()
    }
}

impl<T: Default + DeserializeOwned> Checkpoint<T> {
    /// Loads a checkpoint. One that was never saved has the default value.
    ///
    /// # Errors
    /// If the store fails, or the stored text is not a checkpoint of this program.
    pub async fn load(store: &dyn CheckpointStore, key: &CheckpointKey) -> Result<Self> {
        match store.load(key).await? {
            None => Ok(Checkpoint { value: T::default(), revision: None }),
            Some(stored) => {
                Ok(Checkpoint { value: parse(key, &stored.body)?, revision: Some(stored.revision) })
            }
        }
    }

    /// Loads the checkpoints of all repositories of an organization, by repository id.
    ///
    /// # Errors
    /// As [`Checkpoint::load`].
    pub async fn load_repos(store: &dyn CheckpointStore, org: &str) -> Result<BTreeMap<i64, Self>> {
        let stored = store.load_repos(org).await?.into_iter();
        let checkpoints = stored.map(|(id, stored)| {
            let key = CheckpointKey::Repo(org.to_owned(), id);
            Ok((id, Checkpoint { value: parse(&key, &stored.body)?, revision: Some(stored.revision) }))
        });
        checkpoints.collect()
    }
}

impl<T: Serialize> Checkpoint<T> {
    /// Saves the checkpoint. Returns false, and saves nothing, if another process has saved it since it was
    /// loaded.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn save(&mut self, store: &dyn CheckpointStore, key: &CheckpointKey) -> Result<bool> {
        let body = serde_json::to_string(&self.value).map_err(|error| {
            Error::unusable(format!("the checkpoint {} cannot be written", key.name()), error)
        })?;
        match store.save(key, &body, self.revision).await? {
            SaveOutcome::Saved(revision) => {
                self.revision = Some(revision);
                Ok(true)
            }
            SaveOutcome::Conflict => Ok(false),
        }
    }
}

impl Checkpoint<Head> {
    /// Loads the head of an organization; an empty one if it was never aggregated.
    ///
    /// # Errors
    /// As [`Checkpoint::load`].
    pub async fn load_head(store: &dyn CheckpointStore, org: &str) -> Result<Self> {
        Self::load(store, &CheckpointKey::Head(org.to_owned())).await
    }

    /// Saves the head of an organization, as [`Checkpoint::save`] does.
    ///
    /// # Errors
    /// As [`Checkpoint::save`].
    pub async fn save_head(&mut self, store: &dyn CheckpointStore, org: &str) -> Result<bool> {
        self.save(store, &CheckpointKey::Head(org.to_owned())).await
    }
}

impl Checkpoint<OrgCheckpoint> {
    /// Loads the checkpoint of an organization, applies `change` and saves it. Repeats after a pause if another
    /// process saves it in between, so `change` may be called more than once.
    ///
    /// # Errors
    /// If the store fails, or other processes keep saving the checkpoint: [`Error::Unavailable`].
    pub async fn change_org(
        store: &dyn CheckpointStore,
        org: &str,
        mut change: impl FnMut(&mut OrgCheckpoint),
    ) -> Result<()> {
        let key = CheckpointKey::Org(org.to_owned());
        for attempt in 0..MAX_CHANGE_ATTEMPTS {
            let mut checkpoint = Self::load(store, &key).await?;
            let before = checkpoint.value.clone();
            change(&mut checkpoint.value);
            if checkpoint.value == before || checkpoint.save(store, &key).await? {
                return Ok(());
            }
            tokio::time::sleep(pause_after_attempt(attempt)).await;
        }
        let what = format!("other processes keep changing the checkpoint of {org}");
        Err(Error::Unavailable { what, source: None })
    }
}

/// Returns how long to wait after a failed attempt: longer each time, and by chance, so that writers that wait for
/// each other do not stay in step.
fn pause_after_attempt(attempt: u32) -> Duration {
    let longest = MIN_CHANGE_PAUSE * 2_u32.pow(attempt.min(MAX_PAUSE_DOUBLINGS));
    // A new hasher is seeded by chance.
    let random = RandomState::new().build_hasher().finish() % 512;
    longest.mul_f64(0.5 + random as f64 / 1024.0)
}

fn parse<T: DeserializeOwned>(key: &CheckpointKey, body: &str) -> Result<T> {
    serde_json::from_str(body).map_err(|error| {
        let what = format!(
            "cannot read the checkpoint {} of {}: it is damaged, or another version of the program wrote it; \
             upgrade, or move the store away and collect again with --since",
            key.name(),
            key.org()
        );
        Error::unusable(what, error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp(second, 0)
    }

    #[test]
    fn an_organization_is_as_complete_as_its_least_complete_repository() {
        let mut org = OrgCheckpoint { complete_until: at(100), ..OrgCheckpoint::default() };
        assert_eq!((org.org_complete_until(), org.repo_complete_until(7)), (at(100), at(100)));
        org.repos.insert(7, at(50));
        assert_eq!(org.org_complete_until(), at(50));
        assert_eq!((org.repo_complete_until(7), org.repo_complete_until(8)), (at(50), at(100)));
        org.repos.insert(8, None);
        assert_eq!((org.org_complete_until(), org.repo_complete_until(8)), (None, None));
    }

    #[tokio::test(start_paused = true)]
    async fn changing_a_contended_checkpoint_gives_up_after_a_while() {
        #[derive(Default)]
        struct Contended(std::sync::atomic::AtomicU32);
        #[async_trait::async_trait]
        impl CheckpointStore for Contended {
            async fn load(&self, _: &CheckpointKey) -> Result<Option<crate::StoredCheckpoint>> {
                Ok(None)
            }
            async fn load_repos(&self, _: &str) -> Result<Vec<(i64, crate::StoredCheckpoint)>> {
                Ok(Vec::new())
            }
            async fn save(&self, _: &CheckpointKey, _: &str, _: Option<Revision>) -> Result<SaveOutcome> {
                self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                Ok(SaveOutcome::Conflict)
            }
        }
        let (store, started) = (Contended::default(), tokio::time::Instant::now());
        let result = Checkpoint::change_org(&store, "acme", |org| org.since = at(1)).await;
        assert!(result.is_err_and(|error| error.is_retryable() && error.to_string().contains("acme")));
        assert_eq!(store.0.into_inner(), MAX_CHANGE_ATTEMPTS);
        assert!(started.elapsed() > Duration::from_secs(1), "it pauses in between");
    }

    #[test]
    fn the_least_covered_repository_counts_for_the_organization() {
        let mut org = OrgCheckpoint { since: at(10), ..OrgCheckpoint::default() };
        assert_eq!((org.org_complete_since(), org.list_gaps(None).1), (at(10), 0));
        org.gaps.insert(7, crate::RepoGaps::new(Vec::new(), at(50)));
        assert_eq!(org.org_complete_since(), at(50));
    }

    #[test]
    fn coverage_starts_with_the_least_covered_kind() {
        let coverage = |body: &str| serde_json::from_str::<RepoCoverage>(body).unwrap().complete_since();
        let commits = r#""commits":{"covered":{"tip":"a","since":"1970-01-01T00:00:10Z","until":null}}"#;
        assert_eq!(coverage("{}"), None);
        assert_eq!(coverage(&format!("{{{commits}}}")), at(10));
        let issues = r#""issues":{"since":"1970-01-01T00:00:20Z","total":3},"pulls":{"since":null}"#;
        assert_eq!(coverage(&format!("{{{commits},{issues}}}")), at(20));
    }
}
