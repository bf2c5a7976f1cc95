//! How far each month of an organization is folded in an epoch.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use gam_lake::snapshot::{self, Stamp};
use gam_model::{Identity, Month};
use gam_store::Epoch;

use crate::folded_table::FoldedTable;
use crate::{AggregateError, AggregatePorts};

/// How a month's items in an epoch stand to its snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MonthState {
    /// The snapshot belongs to the epoch, and the items match it.
    Current,
    /// The month has to be folded.
    Stale,
    /// The lake has lost the snapshot.
    Lost {
        /// Whether the epoch has the month's last numbers.
        is_kept: bool,
    },
}

impl MonthState {
    /// Returns whether the epoch lacks nothing of the month that can still be computed.
    pub(crate) fn is_done(self) -> bool {
        matches!(self, MonthState::Current | MonthState::Lost { is_kept: true })
    }
}

/// Returns the state of every month of a table that the lake or the store knows, in `epoch`, under the rules of
/// `identity`. `active` is the epoch that answers derive from, if that is another one: its months are to be kept.
pub(crate) async fn month_states<T: FoldedTable>(
    ports: &AggregatePorts,
    org: &str,
    identity: &Identity,
    epoch: Epoch,
    active: Option<Epoch>,
) -> Result<BTreeMap<Month, MonthState>, AggregateError> {
    let AggregatePorts { objects, rollups, .. } = ports;
    let mut months: BTreeSet<Month> = snapshot::months::<T>(&**objects, org).await?.into_iter().collect();
    let owner = T::owner(org);
    let markers = rollups.markers(&owner, epoch).await?;
    let generations: BTreeMap<Month, u64> =
        markers.into_iter().map(|marker| (marker.month, marker.generation)).collect();
    months.extend(generations.keys());
    if let Some(active) = active {
        months.extend(rollups.markers(&owner, active).await?.iter().map(|marker| marker.month));
    }
    let (mut states, now) = (BTreeMap::new(), ports.clock.now());
    for month in months {
        let folded = generations.get(&month).copied();
        let state = match read_stamp::<T>(ports, org, identity, month, now).await {
            // The fold reports it, after the other months.
            Err(gam_lake::Error::Damaged { .. }) => MonthState::Stale,
            found => match found? {
                Some((stamp, has_rows_to_delete))
                    if has_rows_to_delete || stamp.erased < T::erasures(identity) =>
                {
                    MonthState::Stale
                }
                found => state(found.map(|(stamp, _)| stamp).as_ref(), folded, epoch),
            },
        };
        states.insert(month, state);
    }
    Ok(states)
}

/// Returns the stamp of a month, and whether the month is over and still has rows. `None` if there is no snapshot.
async fn read_stamp<T: FoldedTable>(
    ports: &AggregatePorts,
    org: &str,
    identity: &Identity,
    month: Month,
    now: DateTime<Utc>,
) -> Result<Option<(Stamp, bool)>, gam_lake::Error> {
    let objects = &*ports.objects;
    if T::is_over(identity, month, now) {
        // It is small once it has no rows.
        let file = snapshot::fetch::<T>(objects, org, month).await?;
        return Ok(file.map(|file| (file.stamp, file.rows.row_count() > 0)));
    }
    Ok(snapshot::read_stamp::<T>(objects, org, month).await?.map(|stamp| (stamp, false)))
}

/// `folded` is the generation of the month's marker.
fn state(stamp: Option<&Stamp>, folded: Option<u64>, epoch: Epoch) -> MonthState {
    match (stamp, folded) {
        (None, folded) => MonthState::Lost { is_kept: folded.is_some() },
        (Some(stamp), Some(folded)) if folded == stamp.generation && stamp.epoch == epoch.0 => {
            MonthState::Current
        }
        (Some(_), _) => MonthState::Stale,
    }
}
