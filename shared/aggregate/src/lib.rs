//! Use case aggregate: inbox to snapshots to rollups.
//!
//! Working a batch off: for each month it touches, read the snapshot and the month's marker, keep the
//! winner of each id, swap the snapshot in, fold from it what the batch touches, write that, advance
//! the marker, and only then delete the batch. Whatever fails in between, and whoever else does the
//! same at the same time, the next run ends in the same state:
//!
//! * A snapshot's generation belongs to one rollup logic, which its stamp names. Whoever works with
//!   another (a newer version, other bots or aliases) first lifts the month to a generation of its
//!   own, so no two folds that differ ever write under one generation.
//! * Where the marker does not match the snapshot, the whole month is folded.
//! * A refused write, or a marker that has gone ahead, leads to a whole fold of the current snapshot.
//! * A store that is ahead of its lake (a restored lake) lifts the snapshot past the store.
//! * Written by a newer version of the logic, a month is left alone, and its batches stay.

mod ports;
mod progress;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use gam_fold::{LOGIC_VERSION, MonthFold, affected_keys};
use gam_lake::snapshot::{self, Snapshot, Stamp};
use gam_lake::{Error as LakeError, ObjectPath, ObjectStore, inbox};
use gam_model::{Event, Month, RollupKey};
use gam_store::{AdvanceOutcome, FoldScope, Logic, Marker, NameEntry, NameKind, StoredRollup};

pub use ports::AggregatePorts;
pub use progress::{AggregateObserver, AggregateProgress};

/// How much of the inbox is worked off at once, in bytes of Parquet.
const CHUNK_BYTES: u64 = 64 * 1024 * 1024;
/// Nothing that this program writes comes near it.
const LARGEST_BATCH_BYTES: u64 = 256 * 1024 * 1024;
/// How often a month is tried while others keep replacing it.
const TRIES: usize = 64;

/// How an aggregation goes about its work.
#[derive(Debug, Clone)]
pub struct AggregateOptions {
    /// Whether every month is folded anew.
    pub rebuild: bool,
    /// Whether all months are looked at, and not only those that the inbox touches: rollups must be folded
    /// anew where the store, the bots or the aliases are others than before.
    pub check_months: bool,
    /// How much of the inbox is worked off at once, in bytes of Parquet; all of it is in memory together.
    pub chunk_bytes: u64,
    /// How large a batch can be, in bytes of Parquet: a larger object is none, is named and not even read.
    pub largest_batch_bytes: u64,
    /// From when on nothing more is begun, UTC.
    pub until: Option<DateTime<Utc>>,
}

impl Default for AggregateOptions {
    fn default() -> Self {
        AggregateOptions {
            rebuild: false,
            check_months: true,
            chunk_bytes: CHUNK_BYTES,
            largest_batch_bytes: LARGEST_BATCH_BYTES,
            until: None,
        }
    }
}

/// What an aggregation did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AggregateReport {
    /// How many inbox batches were worked off.
    pub batches: usize,
    /// How many events they held.
    pub events: usize,
    /// The months whose rollups were written, in order.
    pub months: BTreeSet<Month>,
    /// How many rollups were written.
    pub rollups: usize,
    /// Damaged batches that were set aside, by their new path, with what is wrong.
    pub rejected: Vec<(String, String)>,
    /// Batches left for a newer version of the program, which has written the lake or the store already.
    pub deferred: usize,
    /// Objects in the inbox that are too large to be batches, with their sizes in bytes. They stay there.
    pub oversized: Vec<(String, u64)>,
    /// Whether time ran out: what was done is saved, and another run goes on.
    pub unfinished: bool,
}

/// Why an aggregation failed.
#[derive(Debug, thiserror::Error)]
pub enum AggregateError {
    /// The lake failed.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] gam_store::Error),
    /// A snapshot cannot be folded.
    #[error(
        "the snapshot of {month} of {org} cannot be folded: restore it, or delete it and collect again with --since"
    )]
    Fold {
        /// The organization.
        org: String,
        /// The month.
        month: Month,
        /// The cause.
        #[source]
        source: gam_fold::FoldError,
    },
    /// Others kept replacing a month.
    #[error("others kept replacing {month} of {org}: run aggregate again")]
    Contended {
        /// The organization.
        org: String,
        /// The month.
        month: Month,
    },
}

/// Works the organization's inbox off into snapshots and rollups, and folds every month whose rollups
/// do not match its snapshot; `rebuild` folds every month anew.
///
/// # Errors
/// Where the lake or the store fails. What was done until then stays valid, and the next run goes on.
pub async fn aggregate(
    ports: &AggregatePorts,
    org: &str,
    rebuild: bool,
    observer: &dyn AggregateObserver,
) -> Result<AggregateReport, AggregateError> {
    let options = AggregateOptions { rebuild, ..AggregateOptions::default() };
    aggregate_with(ports, org, &options, observer).await
}

/// The same, as the options say.
///
/// # Errors
/// As [`aggregate`].
pub async fn aggregate_with(
    ports: &AggregatePorts,
    org: &str,
    options: &AggregateOptions,
    observer: &dyn AggregateObserver,
) -> Result<AggregateReport, AggregateError> {
    let org = &gam_store::keys::org_key(org);
    let logic = Logic { version: LOGIC_VERSION, identity: ports.identity.hash() };
    let mut run = Run { ports, org, logic, options, observer, report: AggregateReport::default() };
    run.work_off().await?;
    if options.check_months || options.rebuild {
        run.check_months(options.rebuild).await?;
    }
    Ok(run.report)
}

/// Every organization the lake holds something of, in order, in lower case.
///
/// # Errors
/// Where the lake fails.
pub async fn orgs_in_lake(objects: &dyn ObjectStore) -> Result<Vec<String>, AggregateError> {
    Ok(inbox::orgs(objects).await?)
}

struct Run<'a> {
    ports: &'a AggregatePorts,
    org: &'a str,
    logic: Logic,
    options: &'a AggregateOptions,
    observer: &'a dyn AggregateObserver,
    report: AggregateReport,
}

/// What became of a month.
enum Done {
    /// Its rollups match its snapshot; so many were written.
    Written(usize),
    /// A newer version of the logic has written it.
    LeftToNewer,
}

impl Run<'_> {
    /// Whether the time is over; then the report says so.
    fn is_over(&mut self) -> bool {
        let over = self.options.until.is_some_and(|until| self.ports.clock.now() >= until);
        self.report.unfinished |= over;
        over
    }

    /// Works off all batches that are in the inbox now.
    async fn work_off(&mut self) -> Result<(), AggregateError> {
        let mut listed = inbox::list(&*self.ports.objects, self.org).await?;
        let largest = self.options.largest_batch_bytes;
        for batch in listed.extract_if(.., |batch| batch.size > largest) {
            tracing::error!(batch = %batch.path, bytes = batch.size, "too large to be a batch: move it away");
            self.report.oversized.push((batch.path.to_string(), batch.size));
        }
        if !listed.is_empty() {
            self.observer.notice(AggregateProgress::Inbox { batches: listed.len() });
        }
        let mut listed = listed.into_iter().peekable();
        while listed.peek().is_some() && !self.is_over() {
            let (mut paths, mut bytes) = (Vec::new(), 0);
            while bytes < self.options.chunk_bytes
                && let Some(batch) = listed.next()
            {
                bytes += batch.size;
                paths.push(batch.path);
            }
            self.work_off_chunk(paths).await?;
        }
        Ok(())
    }

    async fn work_off_chunk(&mut self, paths: Vec<ObjectPath>) -> Result<(), AggregateError> {
        let mut months: BTreeMap<Month, Vec<Event>> = BTreeMap::new();
        let mut batches: Vec<(ObjectPath, BTreeSet<Month>)> = Vec::new();
        let mut names = Names::default();
        for path in paths {
            let Some(events) = self.read_batch(&path).await? else { continue };
            self.report.events += events.len();
            let mut touches = BTreeSet::new();
            for event in events {
                names.note(&event);
                touches.insert(event.month());
                months.entry(event.month()).or_default().push(event);
            }
            batches.push((path, touches));
        }
        self.ports.names.put_names(self.org, &names.into_entries()).await?;
        let mut left = BTreeSet::new();
        for (month, events) in months {
            if self.is_over() {
                // The batches stay. What they have brought to other months is merged again, and changes nothing.
                return Ok(());
            }
            match self.fold_month(month, events, false).await? {
                Done::Written(rollups) => self.note_month(month, rollups),
                Done::LeftToNewer => {
                    left.insert(month);
                }
            }
        }
        for (path, touches) in batches {
            if touches.is_disjoint(&left) {
                self.ports.objects.delete(&path).await?;
                self.report.batches += 1;
            } else {
                self.report.deferred += 1;
            }
        }
        Ok(())
    }

    /// Reads a batch; one that cannot be read is set aside, one in a newer format is left.
    async fn read_batch(&mut self, path: &ObjectPath) -> Result<Option<Vec<Event>>, AggregateError> {
        match inbox::read(&*self.ports.objects, path).await {
            Ok(events) => Ok(events),
            Err(error @ LakeError::Damaged { .. }) => {
                let aside = inbox::reject(&*self.ports.objects, path).await?;
                let why = error.to_string();
                tracing::warn!(batch = %path, aside = %aside, why, "a damaged batch was set aside");
                self.observer
                    .notice(AggregateProgress::Rejected { path: aside.to_string(), why: why.clone() });
                self.report.rejected.push((aside.to_string(), why));
                Ok(None)
            }
            Err(LakeError::NewerFormat { .. }) => {
                self.report.deferred += 1;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn note_month(&mut self, month: Month, rollups: usize) {
        if rollups > 0 {
            self.report.months.insert(month);
            self.report.rollups += rollups;
            self.observer.notice(AggregateProgress::MonthDone { month, rollups });
        }
    }

    /// Folds every month whose marker does not match its snapshot; with `rebuild`, every month.
    async fn check_months(&mut self, rebuild: bool) -> Result<(), AggregateError> {
        let objects = &*self.ports.objects;
        let markers = self.ports.rollups.markers(self.org).await?;
        let markers: BTreeMap<Month, Marker> = markers.into_iter().map(|m| (m.month, m)).collect();
        let mut months: BTreeSet<Month> = snapshot::months(objects, self.org).await?.into_iter().collect();
        months.extend(markers.keys());
        for month in months {
            if self.is_over() {
                return Ok(());
            }
            let stamp = snapshot::read_stamp(objects, self.org, month).await?;
            let matches = match (&stamp, markers.get(&month)) {
                (Some(stamp), Some(marker)) => self.is_done(stamp, marker),
                _ => false,
            };
            if (rebuild || !matches)
                && let Done::Written(rollups) = self.fold_month(month, Vec::new(), rebuild).await?
            {
                self.note_month(month, rollups);
            }
        }
        Ok(())
    }

    fn is_done(&self, stamp: &Stamp, marker: &Marker) -> bool {
        marker.logic == self.logic && marker.generation == stamp.generation && logic_of(stamp) == self.logic
    }

    /// Brings events into a month's snapshot and its rollups up to it.
    async fn fold_month(
        &self,
        month: Month,
        events: Vec<Event>,
        rebuild: bool,
    ) -> Result<Done, AggregateError> {
        let mut scope = if rebuild { FoldScope::Month } else { FoldScope::Affected };
        let mut refused_by = 0;
        for _ in 0..TRIES {
            let step = self.try_month(month, events.clone(), scope, refused_by).await?;
            match step {
                Step::Done(done) => return Ok(done),
                Step::Again { newest } => (scope, refused_by) = (FoldScope::Month, newest),
                Step::Raced => {}
            }
        }
        Err(AggregateError::Contended { org: self.org.to_owned(), month })
    }

    async fn try_month(
        &self,
        month: Month,
        events: Vec<Event>,
        scope: FoldScope,
        refused_by: u64,
    ) -> Result<Step, AggregateError> {
        let AggregatePorts { objects, rollups, names, .. } = self.ports;
        let current = snapshot::read(&**objects, self.org, month).await?;
        let marker = rollups.marker(self.org, month).await?;
        if self.is_newer(current.as_ref(), marker.as_ref()) {
            return Ok(Step::Done(Done::LeftToNewer));
        }
        let generation = current.as_ref().map_or(0, |current| current.stamp.generation);
        let store_at = marker.as_ref().map_or(0, |marker| marker.generation).max(refused_by);
        let foreign = current.as_ref().is_some_and(|current| logic_of(&current.stamp) != self.logic);
        let rows = current.as_ref().map_or(&[][..], |current| &current.batches);
        let merged = merge(rows, events).await?;
        let swap = !merged.changes.is_empty() || foreign || store_at > generation;
        let full = scope == FoldScope::Month
            || marker.is_none_or(|m| m.logic != self.logic || m.generation != generation);
        if !swap && (generation == 0 || !full) {
            return Ok(Step::Done(Done::Written(0)));
        }
        let mut stamp = self.stamp(generation);
        if swap {
            stamp = self.stamp(generation.max(store_at) + 1);
            let expected = current.as_ref().map(|current| &current.etag);
            let written = snapshot::write(&**objects, self.org, month, &merged.batches, &stamp, expected);
            if written.await?.is_none() {
                return Ok(Step::Raced);
            }
        }
        if full {
            // The store may have lost the names, too.
            let latest = Names::of(gam_lake::latest_names(&merged.batches)?);
            names.put_names(self.org, &latest.into_entries()).await?;
        }
        let scope = if full { FoldScope::Month } else { FoldScope::Affected };
        let fold = self.fold(month, &merged).await?;
        let keys = (!full).then(|| self.affected_keys(&merged.changes));
        let new = self.stored(&fold, keys, stamp.generation);
        let outcome = rollups.put(self.org, &new).await?;
        if outcome.newer_logic {
            return Ok(Step::Done(Done::LeftToNewer));
        }
        if outcome.refused > 0 {
            return Ok(Step::Again { newest: outcome.newest_generation });
        }
        match rollups.advance(self.org, month, &self.logic, stamp.generation, scope).await? {
            AdvanceOutcome::Advanced => Ok(Step::Done(Done::Written(new.len()))),
            AdvanceOutcome::Refused => Ok(Step::Again { newest: refused_by }),
        }
    }

    fn is_newer(&self, current: Option<&Snapshot>, marker: Option<&Marker>) -> bool {
        current.is_some_and(|current| current.stamp.logic_version > self.logic.version)
            || marker.is_some_and(|marker| marker.logic.version > self.logic.version)
    }

    fn stamp(&self, generation: u64) -> Stamp {
        Stamp { generation, logic_version: self.logic.version, identity: self.logic.identity.clone() }
    }

    async fn fold(&self, month: Month, merged: &snapshot::MergedRows) -> Result<MonthFold, AggregateError> {
        let (batches, identity) = (merged.batches.clone(), self.ports.identity.clone());
        off_thread(move || gam_fold::fold(month, &batches, &identity))
            .await
            .map_err(|source| AggregateError::Fold { org: self.org.to_owned(), month, source })
    }

    fn affected_keys(&self, changes: &[snapshot::RowChange]) -> BTreeSet<RollupKey> {
        let identity = &self.ports.identity;
        changes
            .iter()
            .flat_map(|change| std::iter::once(&change.winner).chain(&change.loser))
            .flat_map(|event| affected_keys(event, identity))
            .collect()
    }

    /// The rollups of the keys, or all of them.
    fn stored(
        &self,
        fold: &MonthFold,
        keys: Option<BTreeSet<RollupKey>>,
        generation: u64,
    ) -> Vec<(RollupKey, StoredRollup)> {
        let store = |body| StoredRollup { logic: self.logic.clone(), generation, body };
        match keys {
            None => fold.iter().map(|(key, rollup)| (key.clone(), store(rollup.to_json()))).collect(),
            Some(keys) => keys
                .into_iter()
                .map(|key| {
                    let body = fold.get(&key).to_json();
                    (key, store(body))
                })
                .collect(),
        }
    }
}

/// What one try at a month came to.
enum Step {
    Done(Done),
    /// The store refused: fold the whole month anew. `newest` is the greatest generation that refused.
    Again {
        newest: u64,
    },
    /// Somebody else replaced the snapshot.
    Raced,
}

fn logic_of(stamp: &Stamp) -> Logic {
    Logic { version: stamp.logic_version, identity: stamp.identity.clone() }
}

async fn merge(
    rows: &[arrow_array::RecordBatch],
    events: Vec<Event>,
) -> Result<snapshot::MergedRows, AggregateError> {
    let rows = rows.to_vec();
    Ok(off_thread(move || snapshot::merge(&rows, events)).await?)
}

/// Runs heavy work where it does not hold up other tasks.
async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// How events spell organizations and repositories.
#[derive(Default)]
struct Names(BTreeMap<(NameKind, i64), NameEntry>);

impl Names {
    fn of(spellings: gam_lake::LatestNames) -> Self {
        let mut names = Names::default();
        if let Some((as_of, org)) = spellings.org {
            names.keep(NameKind::Org, 0, &org, as_of);
        }
        for (id, (as_of, repo)) in spellings.repos {
            names.keep(NameKind::Repo, id, &repo, as_of);
        }
        names
    }

    fn note(&mut self, event: &Event) {
        self.keep(NameKind::Org, 0, &event.org, event.collected_at);
        self.keep(NameKind::Repo, event.repo_id, &event.repo, event.collected_at);
    }

    fn keep(&mut self, kind: NameKind, id: i64, name: &str, as_of: DateTime<Utc>) {
        match self.0.get_mut(&(kind, id)) {
            Some(kept) if (kept.as_of, kept.name.as_str()) >= (as_of, name) => {}
            Some(kept) => {
                kept.as_of = as_of;
                name.clone_into(&mut kept.name);
            }
            None => {
                self.0.insert((kind, id), NameEntry { kind, id, name: name.to_owned(), as_of });
            }
        }
    }

    fn into_entries(self) -> Vec<NameEntry> {
        self.0.into_values().collect()
    }
}
