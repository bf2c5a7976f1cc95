//! The ports, and the guards that every adapter must enforce.
//!
//! * **Generation**: how many times a month's snapshot has been replaced. A rollup carries the generation of
//!   the snapshot it was folded from.
//! * **Logic**: the version of the rollup logic, and the hash of the configured bots and aliases.
//! * **Guarded write**: a rollup replaces a stored one if neither the stored generation nor the stored logic
//!   version is greater than its own, whatever the content. Otherwise the write is refused.
//! * **Marker**: up to which generation a month has been folded, by which logic, and the floor: the generation
//!   below which stored rollups are stale. It moves only as [`Marker::advanced`] allows.

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};
use gam_model::{Grain, Month};
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::keys::{CheckpointKey, RollupKey, Subject, SubjectKind};

/// The rollup logic: the rules that a fold applies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Logic {
    /// The version of the code that folds. A greater one is newer.
    pub version: u32,
    /// The hash of the configured bots and aliases. Hashes have no order: none is newer than another.
    pub identity: String,
}

/// A rollup as it is stored. The store does not look into `body`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRollup {
    /// The logic that the rollup was folded by.
    pub logic: Logic,
    /// The generation of the snapshot that the rollup was folded from.
    pub generation: u64,
    /// The rollup, as JSON text.
    pub body: String,
}

/// The outcome of writing many rollups, each under its guard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PutOutcome {
    /// Number of rollups that were refused because the stored one is newer.
    pub refused: u64,
    /// The greatest generation among the stored rollups that refused a write; 0 if none did.
    pub newest_generation: u64,
    /// Whether a stored rollup refused a write because its logic version is greater.
    pub newer_logic: bool,
}

impl PutOutcome {
    /// Adds the outcome of other writes.
    pub fn merge(&mut self, other: PutOutcome) {
        self.refused += other.refused;
        self.newest_generation = self.newest_generation.max(other.newest_generation);
        self.newer_logic |= other.newer_logic;
    }

    /// Returns whether a stored rollup of that logic version and generation refuses `new`, and counts the
    /// refusal.
    pub fn record_if_refused(
        &mut self,
        stored_version: u32,
        stored_generation: u64,
        new: &StoredRollup,
    ) -> bool {
        let newer_logic = stored_version > new.logic.version;
        let is_refused = newer_logic || stored_generation > new.generation;
        if is_refused {
            self.refused += 1;
            self.newest_generation = self.newest_generation.max(stored_generation);
            self.newer_logic |= newer_logic;
        }
        is_refused
    }
}

/// Which of a month's rollups are complete and current.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    /// The month, UTC.
    pub month: Month,
    /// The logic that the month's rollups were folded by.
    pub logic: Logic,
    /// The generation of the snapshot that all of the month's current rollups reflect.
    pub generation: u64,
    /// The generation below which stored rollups are stale.
    pub floor: u64,
}

impl Marker {
    /// Returns whether readers should count a stored rollup of the marker's month.
    pub fn should_count(&self, rollup: &StoredRollup) -> bool {
        rollup.logic == self.logic && rollup.generation >= self.floor
    }

    /// Returns the marker after a fold at `generation`, or `None` if that fold must not move it.
    pub fn advanced(
        stored: Option<&Marker>,
        month: Month,
        logic: &Logic,
        generation: u64,
        scope: FoldScope,
    ) -> Option<Marker> {
        let floor = match stored {
            None if scope == FoldScope::Month => generation,
            // A month without a marker was never folded, so folding a part of it cannot complete it.
            None => return None,
            Some(marker) if marker.generation > generation || marker.logic.version > logic.version => {
                return None;
            }
            Some(_) if scope == FoldScope::Month => generation,
            Some(marker) if marker.logic != *logic || marker.generation + 1 < generation => return None,
            Some(marker) => marker.floor,
        };
        Some(Marker { month, logic: logic.clone(), generation, floor })
    }
}

/// How much of a month a fold recomputed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoldScope {
    /// Every rollup of the month.
    Month,
    /// Only the rollups that a batch affects.
    Affected,
}

/// The outcome of an attempt to advance a marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdvanceOutcome {
    /// The marker now has the requested generation and logic.
    Advanced,
    /// [`Marker::advanced`] forbids the move: the stored marker is ahead, or too far behind.
    Refused,
}

/// What a name belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NameKind {
    /// An organization. Its `id` is 0.
    Org,
    /// A repository.
    Repo,
    /// An account that GitHub lists as a member of the organization, with or without activity.
    Member,
}

impl NameKind {
    /// Returns the text that adapters store.
    pub fn as_str(self) -> &'static str {
        match self {
            NameKind::Org => "org",
            NameKind::Repo => "repo",
            NameKind::Member => "member",
        }
    }
}

/// The display name that GitHub has for an id. Of two entries with the same kind and id, the store keeps the
/// one with the greater `(as_of, name)`, in whichever order they are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameEntry {
    /// What the name belongs to.
    pub kind: NameKind,
    /// GitHub's numeric id; 0 for an organization.
    pub id: i64,
    /// The name, in GitHub's upper and lower case.
    pub name: String,
    /// When the name was read from GitHub, UTC. Stores round it down to milliseconds.
    pub as_of: DateTime<Utc>,
}

/// Stores rollups and their markers.
#[async_trait]
pub trait RollupStore: Send + Sync {
    /// Writes rollups, each under its guard. A refused one does not stop the others. They need not become
    /// visible together.
    ///
    /// # Errors
    /// If the store fails. Some of the rollups may have been written.
    async fn put(&self, org: &str, rollups: &[(RollupKey, StoredRollup)]) -> Result<PutOutcome>;

    /// Returns one subject's rollups of a grain whose buckets start in `[from, to)`, ordered by key. This is
    /// one range read.
    ///
    /// # Errors
    /// If the store fails.
    async fn range(
        &self,
        org: &str,
        subject: &Subject,
        grain: Grain,
        from: NaiveDate,
        to: NaiveDate,
    ) -> Result<Vec<(RollupKey, StoredRollup)>>;

    /// Returns the rollups of all subjects of a kind and of a grain whose buckets start in `[from, to)`, in
    /// any order.
    ///
    /// Listings need days and months only, so an adapter may refuse [`Grain::Week`].
    ///
    /// # Errors
    /// If the store fails, or does not list that grain.
    async fn range_of_kind(
        &self,
        org: &str,
        kind: SubjectKind,
        grain: Grain,
        from: NaiveDate,
        to: NaiveDate,
    ) -> Result<Vec<(RollupKey, StoredRollup)>>;

    /// Returns the month's marker, or `None` if the month was never folded.
    ///
    /// # Errors
    /// If the store fails.
    async fn marker(&self, org: &str, month: Month) -> Result<Option<Marker>>;

    /// Returns the markers of all months of the organization, ordered by month.
    ///
    /// # Errors
    /// If the store fails.
    async fn markers(&self, org: &str) -> Result<Vec<Marker>>;

    /// Moves the month's marker as [`Marker::advanced`] says, in one atomic step.
    ///
    /// # Errors
    /// If the store fails.
    async fn advance(
        &self,
        org: &str,
        month: Month,
        logic: &Logic,
        generation: u64,
        scope: FoldScope,
    ) -> Result<AdvanceOutcome>;
}

/// Stores the display names of organizations, repositories and members.
#[async_trait]
pub trait NameStore: Send + Sync {
    /// Writes names. [`NameEntry`] says which of two entries stays.
    ///
    /// # Errors
    /// If the store fails. Some of the names may have been written.
    async fn put_names(&self, org: &str, entries: &[NameEntry]) -> Result<()>;

    /// Returns all names of a kind in an organization, ordered by id.
    ///
    /// # Errors
    /// If the store fails.
    async fn names(&self, org: &str, kind: NameKind) -> Result<Vec<NameEntry>>;

    /// Returns the display name of every organization that has a name or a marker, ordered by the name in
    /// lower case. An organization without an entry of kind [`NameKind::Org`] is returned in lower case.
    ///
    /// # Errors
    /// If the store fails.
    async fn orgs(&self) -> Result<Vec<String>>;

    /// Returns the display name of one organization, in any case, as [`NameStore::orgs`] returns it. `None` if
    /// it has neither a name nor a marker. It reads no other organization.
    ///
    /// # Errors
    /// If the store fails.
    async fn org(&self, org: &str) -> Result<Option<String>>;
}

/// Identifies one saved state of a checkpoint. Every save creates a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

/// A checkpoint as it was read from the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCheckpoint {
    /// The revision that was read.
    pub revision: Revision,
    /// The checkpoint, as JSON text.
    pub body: String,
}

/// The outcome of an attempt to save a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaveOutcome {
    /// The checkpoint was saved as this revision.
    Saved(Revision),
    /// Somebody else has saved the checkpoint since it was read. If the response to this save was lost, that
    /// may also have happened after it.
    Conflict,
}

/// Stores checkpoints durably.
#[async_trait]
pub trait CheckpointStore: Send + Sync {
    /// Returns a checkpoint, or `None` if there is none.
    ///
    /// # Errors
    /// If the store fails.
    async fn load(&self, key: &CheckpointKey) -> Result<Option<StoredCheckpoint>>;

    /// Returns the checkpoints of all repositories of an organization, ordered by repository id.
    ///
    /// # Errors
    /// If the store fails.
    async fn load_repos(&self, org: &str) -> Result<Vec<(i64, StoredCheckpoint)>>;

    /// Saves a checkpoint durably if it is still at the revision `expected`, or still absent for `None`.
    ///
    /// # Errors
    /// If the store fails.
    async fn save(&self, key: &CheckpointKey, body: &str, expected: Option<Revision>) -> Result<SaveOutcome>;
}
