//! The ports, and the guards that every adapter must enforce.
//!
//! * **Epoch**: a number for one set of rules, used once. Items and markers belong to an epoch, so that those of
//!   old and new rules do not meet. [`Head`](crate::Head) says which epoch answers derive from.
//! * **Generation**: how many times a month's snapshot has been replaced. An item carries the generation of the
//!   snapshot it was folded from.
//! * **Guarded write**: an item replaces a stored one of its epoch if the stored generation is not greater than its
//!   own, whatever the content. Otherwise the write is refused.
//! * **Marker**: up to which generation a month has been folded in an epoch, and the floor: the generation below
//!   which stored items are stale. It moves only as [`Marker::advanced`] allows.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use gam_model::Month;

use crate::error::Result;
use crate::head::Epoch;
use crate::keys::{CheckpointKey, ItemClass, ItemKey};

/// An item as it is stored. The store does not look into `body`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredItem {
    /// The generation of the snapshot that the item was folded from.
    pub generation: u64,
    /// The item's stored form. Empty if nothing is counted in it any more.
    pub body: Vec<u8>,
}

/// The outcome of writing many items, each under its guard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PutOutcome {
    /// Number of items that were refused because the stored one is newer.
    pub refused: u64,
    /// The greatest generation among the stored items that refused a write; 0 if none did.
    pub newest_generation: u64,
}

impl PutOutcome {
    /// Adds the outcome of other writes.
    pub fn merge(&mut self, other: PutOutcome) {
        self.refused += other.refused;
        self.newest_generation = self.newest_generation.max(other.newest_generation);
    }

    /// Returns whether a stored item of that generation refuses `new`, and counts the refusal.
    pub fn record_if_refused(&mut self, stored_generation: u64, new: &StoredItem) -> bool {
        let is_refused = stored_generation > new.generation;
        if is_refused {
            self.refused += 1;
            self.newest_generation = self.newest_generation.max(stored_generation);
        }
        is_refused
    }
}

/// Which of a month's items of an epoch are complete and current.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    /// The month, UTC.
    pub month: Month,
    /// The generation of the snapshot that all of the month's current items reflect.
    pub generation: u64,
    /// The generation below which stored items are stale.
    pub floor: u64,
}

impl Marker {
    /// Returns whether readers should count a stored item of the marker's month and epoch.
    pub fn should_count(&self, item: &StoredItem) -> bool {
        item.generation >= self.floor
    }

    /// Returns the marker after a fold at `generation`, or `None` if that fold must not move it.
    pub fn advanced(
        stored: Option<&Marker>,
        month: Month,
        generation: u64,
        scope: FoldScope,
    ) -> Option<Marker> {
        let floor = match stored {
            None if scope == FoldScope::Month => generation,
            // A month without a marker was never folded, so folding a part of it cannot complete it.
            None => return None,
            Some(marker) if marker.generation > generation => return None,
            Some(_) if scope == FoldScope::Month => generation,
            Some(marker) if marker.generation + 1 < generation => return None,
            Some(marker) => marker.floor,
        };
        Some(Marker { month, generation, floor })
    }
}

/// How much of a month a fold recomputed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoldScope {
    /// Every item of the month.
    Month,
    /// Only the items that a batch affects.
    Affected,
}

/// The outcome of an attempt to advance a marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdvanceOutcome {
    /// The marker now has the requested generation.
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

/// Stands for the content of a store at one time. Two equal tokens of one store mean that nothing was changed in it
/// in between: no item, marker, name or checkpoint, by whatever process. Tokens of different stores are not equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChangeToken {
    /// The number of the counter, unique in this process.
    counter: u64,
    /// What the counter shows.
    count: u64,
}

impl ChangeToken {
    /// Creates the token of a counter that shows `count`. `counter` comes from [`ChangeToken::new_counter`].
    pub fn new(counter: u64, count: u64) -> Self {
        ChangeToken { counter, count }
    }

    /// Returns a number for a counter of changes that no other counter of this process has.
    pub fn new_counter() -> u64 {
        static COUNTERS: AtomicU64 = AtomicU64::new(0);
        COUNTERS.fetch_add(1, Ordering::Relaxed)
    }
}

/// Stores the items of rollups and their markers, by epoch.
///
/// `org` is the owner of the rollups: [`rollup_owner`](crate::keys::rollup_owner) of the organization and the table of
/// the lake that they derive from.
#[async_trait]
pub trait RollupStore: Send + Sync {
    /// Returns the token of the store's present content. It covers everything that the adapter stores, including
    /// names and checkpoints. `None` if a change cannot be noticed in some microseconds; answers are then not kept.
    ///
    /// It is called for each request, and waits for nothing.
    fn change_token(&self) -> Option<ChangeToken> {
        None
    }

    /// Writes items, each under its guard. A refused one does not stop the others. They need not become visible
    /// together, but each one does at once, also if it is stored in parts. If the lists of a month come first among
    /// `items`, they become visible no later than the others: a list names the items of its month, so that what a killed
    /// run has written can be found.
    ///
    /// # Errors
    /// If the store fails. Some of the items may have been written.
    async fn put(&self, org: &str, epoch: Epoch, items: &[(ItemKey, StoredItem)]) -> Result<PutOutcome>;

    /// Returns the items of a class from the month `first` to the month `last`, both included, ordered by key.
    /// This is one range read.
    ///
    /// # Errors
    /// If the store fails.
    async fn range(
        &self,
        org: &str,
        epoch: Epoch,
        class: &ItemClass,
        first: Month,
        last: Month,
    ) -> Result<Vec<(ItemKey, StoredItem)>>;

    /// Returns those of the items that exist, in any order.
    ///
    /// # Errors
    /// If the store fails.
    async fn get(&self, org: &str, epoch: Epoch, keys: &[ItemKey]) -> Result<Vec<(ItemKey, StoredItem)>>;

    /// Returns the keys of all items of the epoch, in any order. Adapters may look at everything that they hold. Only to
    /// find what is left of an epoch that nobody reads or writes any more.
    ///
    /// # Errors
    /// If the store fails.
    async fn item_keys(&self, org: &str, epoch: Epoch) -> Result<Vec<ItemKey>>;

    /// Deletes items, of which some may not exist. Only for an epoch that nobody reads or writes any more.
    ///
    /// # Errors
    /// If the store fails. Some of the items may have been deleted.
    async fn delete(&self, org: &str, epoch: Epoch, keys: &[ItemKey]) -> Result<()>;

    /// Returns the month's marker in the epoch, or `None` if the month was never folded in it.
    ///
    /// # Errors
    /// If the store fails.
    async fn marker(&self, org: &str, epoch: Epoch, month: Month) -> Result<Option<Marker>>;

    /// Returns the markers of all months of the organization in the epoch, ordered by month.
    ///
    /// # Errors
    /// If the store fails.
    async fn markers(&self, org: &str, epoch: Epoch) -> Result<Vec<Marker>>;

    /// Moves the month's marker in the epoch as [`Marker::advanced`] says, in one atomic step.
    ///
    /// # Errors
    /// If the store fails.
    async fn advance(
        &self,
        org: &str,
        epoch: Epoch,
        month: Month,
        generation: u64,
        scope: FoldScope,
    ) -> Result<AdvanceOutcome>;

    /// Deletes the markers of these months in the epoch, of which some may not exist. Only for an epoch that
    /// nobody reads or writes any more.
    ///
    /// # Errors
    /// If the store fails. Some of the markers may have been deleted.
    async fn delete_markers(&self, org: &str, epoch: Epoch, months: &[Month]) -> Result<()>;
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

    /// Returns the display name of every organization that has a name or a head, ordered by the name in
    /// lower case. An organization without an entry of kind [`NameKind::Org`] is returned in lower case.
    ///
    /// # Errors
    /// If the store fails.
    async fn orgs(&self) -> Result<Vec<String>>;

    /// Returns the display name of one organization, in any case, as [`NameStore::orgs`] returns it. `None` if
    /// it has neither a name nor a head. It reads no other organization.
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

/// Removes organizations.
#[async_trait]
pub trait OrgStore: Send + Sync {
    /// Deletes everything that is stored about an organization: items and markers of all epochs, names, checkpoints,
    /// and its records. Records of no organization stay. Succeeds if there is nothing.
    ///
    /// What says that the organization exists is deleted first, so that no answer is made of a part of the rest. A
    /// process that works on the organization meanwhile may write again.
    ///
    /// # Errors
    /// If the store fails. A part may have been deleted: repeat it.
    async fn delete_org(&self, org: &str) -> Result<()>;
}
