//! The ports, and the guards that every adapter must keep.
//!
//! * **Generation**: how often a month's snapshot was replaced. A rollup carries the generation of
//!   the snapshot it was folded from.
//! * **Logic**: the version of the rollup logic, with the hash of the bots-and-aliases configuration.
//! * **Guarded write**: a rollup replaces a stored one of the same or an older generation and logic
//!   version, whatever its content, and is refused by a newer one.
//! * **Marker**: up to which generation a month has been folded, by which logic, and the floor below
//!   which stored rollups are stale. It only moves as [`Marker::advanced`] allows.

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};
use gam_model::{Grain, Month};
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::keys::{CheckpointKey, RollupKey, Subject, SubjectKind};

/// By which rules rollups were folded.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Logic {
    /// The version of the rollup logic; a greater one is newer.
    pub version: u32,
    /// The hash of the bots-and-aliases configuration; none is newer than another.
    pub identity: String,
}

/// A rollup as it is stored: the store does not look into `body`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRollup {
    /// By which rules it was folded.
    pub logic: Logic,
    /// The generation of the snapshot it was folded from.
    pub generation: u64,
    /// The rollup, as JSON text.
    pub body: String,
}

/// What became of a guarded write of many rollups.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PutOutcome {
    /// How many were refused because the stored one is newer.
    pub refused: u64,
    /// The greatest generation among the rollups that refused, 0 where none did.
    pub newest_generation: u64,
    /// Whether any refused because of a newer logic version.
    pub newer_logic: bool,
}

impl PutOutcome {
    /// Adds the outcome of other writes.
    pub fn merge(&mut self, other: PutOutcome) {
        self.refused += other.refused;
        self.newest_generation = self.newest_generation.max(other.newest_generation);
        self.newer_logic |= other.newer_logic;
    }

    /// Whether a stored rollup refuses the new one; if so, notes it.
    pub fn note_refusal(&mut self, stored_version: u32, stored_generation: u64, new: &StoredRollup) -> bool {
        let newer_logic = stored_version > new.logic.version;
        let refused = newer_logic || stored_generation > new.generation;
        if refused {
            self.refused += 1;
            self.newest_generation = self.newest_generation.max(stored_generation);
            self.newer_logic |= newer_logic;
        }
        refused
    }
}

/// Up to where a month's rollups are complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    /// The month.
    pub month: Month,
    /// By which rules its rollups were folded.
    pub logic: Logic,
    /// The generation of the snapshot that all of them reflect.
    pub generation: u64,
    /// Rollups of an older generation are stale.
    pub floor: u64,
}

impl Marker {
    /// Whether readers count a stored rollup of the marker's month.
    pub fn counts(&self, rollup: &StoredRollup) -> bool {
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
            // Nothing was folded before the first snapshot, so its fold is whole by nature.
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

/// What became of an attempt to advance a marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdvanceOutcome {
    /// The marker stands where it was asked to.
    Advanced,
    /// The marker must not move so; it has gone ahead, or was too far behind.
    Refused,
}

/// What a name belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NameKind {
    /// An organization, as GitHub spells it. Its `id` is 0.
    Org,
    /// A repository.
    Repo,
    /// A member of the organization, as GitHub lists it.
    Member,
}

impl NameKind {
    /// The text an adapter stores.
    pub fn as_str(self) -> &'static str {
        match self {
            NameKind::Org => "org",
            NameKind::Repo => "repo",
            NameKind::Member => "member",
        }
    }

    /// The kind that [`NameKind::as_str`] wrote.
    pub fn parse(code: &str) -> Option<Self> {
        [NameKind::Org, NameKind::Repo, NameKind::Member].into_iter().find(|kind| kind.as_str() == code)
    }
}

/// How GitHub spells the name behind an id. Of two entries with one (kind, id), the one with the
/// greater `(as_of, name)` is kept, whatever the order in which they come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameEntry {
    /// What the name belongs to.
    pub kind: NameKind,
    /// GitHub's numeric id.
    pub id: i64,
    /// The name.
    pub name: String,
    /// When the name was read from GitHub, UTC. Stores keep and compare whole milliseconds.
    pub as_of: DateTime<Utc>,
}

/// Stores rollups and their markers.
#[async_trait]
pub trait RollupStore: Send + Sync {
    /// Writes rollups, each under its guard; a refused one does not stop the others. They need not
    /// become visible together.
    ///
    /// # Errors
    /// Where the store fails; some of them may have been written.
    async fn put(&self, org: &str, rollups: &[(RollupKey, StoredRollup)]) -> Result<PutOutcome>;

    /// One subject's rollups of a grain whose buckets start in `[from, to)`, in key order: one range read.
    ///
    /// # Errors
    /// Where the store fails.
    async fn range(
        &self,
        org: &str,
        subject: &Subject,
        grain: Grain,
        from: NaiveDate,
        to: NaiveDate,
    ) -> Result<Vec<(RollupKey, StoredRollup)>>;

    /// The rollups of every subject of a kind, of a grain, whose buckets start in `[from, to)`, in any order.
    ///
    /// # Errors
    /// Where the store fails.
    async fn range_of_kind(
        &self,
        org: &str,
        kind: SubjectKind,
        grain: Grain,
        from: NaiveDate,
        to: NaiveDate,
    ) -> Result<Vec<(RollupKey, StoredRollup)>>;

    /// The month's marker, if it has one.
    ///
    /// # Errors
    /// Where the store fails.
    async fn marker(&self, org: &str, month: Month) -> Result<Option<Marker>>;

    /// The markers of all months of the organization, in order.
    ///
    /// # Errors
    /// Where the store fails.
    async fn markers(&self, org: &str) -> Result<Vec<Marker>>;

    /// Moves the month's marker as [`Marker::advanced`] says, in one atomic step.
    ///
    /// # Errors
    /// Where the store fails.
    async fn advance(
        &self,
        org: &str,
        month: Month,
        logic: &Logic,
        generation: u64,
        scope: FoldScope,
    ) -> Result<AdvanceOutcome>;
}

/// The registry of names.
#[async_trait]
pub trait NameStore: Send + Sync {
    /// Keeps names, each by the rule told at [`NameEntry`].
    ///
    /// # Errors
    /// Where the store fails; some of them may have been kept.
    async fn put_names(&self, org: &str, entries: &[NameEntry]) -> Result<()>;

    /// All names of a kind in an organization, ordered by id.
    ///
    /// # Errors
    /// Where the store fails.
    async fn names(&self, org: &str, kind: NameKind) -> Result<Vec<NameEntry>>;

    /// Every organization with a name or a marker, as its entry of kind [`NameKind::Org`] spells it
    /// (in lower case where there is no such entry), in the order of their lower-cased names.
    ///
    /// # Errors
    /// Where the store fails.
    async fn orgs(&self) -> Result<Vec<String>>;
}

/// Which writing of a checkpoint was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

/// A checkpoint as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCheckpoint {
    /// Which writing it is.
    pub revision: Revision,
    /// The checkpoint, as JSON text.
    pub body: String,
}

/// What became of an attempt to save a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaveOutcome {
    /// It was saved, as this revision.
    Saved(Revision),
    /// Somebody else has saved it since it was read; perhaps after this save, where its answer was lost.
    Conflict,
}

/// Where the durable resume points of collection live.
#[async_trait]
pub trait CheckpointStore: Send + Sync {
    /// The checkpoint, if there is one.
    ///
    /// # Errors
    /// Where the store fails.
    async fn load(&self, key: &CheckpointKey) -> Result<Option<StoredCheckpoint>>;

    /// All checkpoints of the organization's repositories, by repository id, in order.
    ///
    /// # Errors
    /// Where the store fails.
    async fn load_repos(&self, org: &str) -> Result<Vec<(i64, StoredCheckpoint)>>;

    /// Saves the checkpoint durably, if it is still as it was read: at `expected`, or absent for `None`.
    ///
    /// # Errors
    /// Where the store fails.
    async fn save(&self, key: &CheckpointKey, body: &str, expected: Option<Revision>) -> Result<SaveOutcome>;
}
