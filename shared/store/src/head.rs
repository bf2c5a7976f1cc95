//! The head of an organization: which epoch answers derive from, and which one is being folded.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// A number for one set of rules in one store, used once. Greater ones are newer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Epoch(pub u64);

/// The rules that a fold applies. Version, revision and time zones have an order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Logic {
    /// The version of the code that folds.
    pub version: u32,
    /// The revision of the organization's configuration: bots, aliases, time zone.
    pub revision: u32,
    /// The hash of what the fold applies of that revision. It has no order; two revisions with one hash fold alike.
    pub identity: String,
    /// The name of the time zone whose days are counted.
    pub time_zone: String,
    /// The version of the time-zone database, such as `2026a`. Versions sort as text.
    pub time_zones: String,
    /// How many days rows of sessions are kept after the end of their month. `None` for ever. [`Logic::identity`] covers
    /// it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_retention_days: Option<u32>,
}

impl Logic {
    /// Returns whether any part is smaller than the other's. Who is behind must not write.
    pub fn is_behind(&self, other: &Logic) -> bool {
        self.version < other.version || self.revision < other.revision || self.time_zones < other.time_zones
    }

    /// Returns whether both fold the same rows to the same items.
    pub fn folds_like(&self, other: &Logic) -> bool {
        // The days of UTC follow from no database.
        let has_same_days = self.time_zones == other.time_zones || self.time_zone == "UTC";
        self.version == other.version && self.identity == other.identity && has_same_days
    }
}

/// An epoch and the rules that its items are folded by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochRules {
    /// The number.
    pub epoch: Epoch,
    /// The rules.
    pub logic: Logic,
}

/// An epoch that is neither active nor target any more, whose items are to be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetiredEpoch {
    /// The number.
    pub epoch: Epoch,
    /// Since when it is neither active nor target, UTC.
    pub since: DateTime<Utc>,
}

/// The epochs of an organization. It is stored as a checkpoint ([`CheckpointKey::Head`](crate::CheckpointKey)) and
/// changed by compare-and-swap.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The epoch that answers derive from. `None` until the first one is complete.
    pub active: Option<EpochRules>,
    /// The epoch that is being folded, which becomes the active one when it is complete. `None` if there is none.
    pub target: Option<EpochRules>,
    /// The epochs whose items are to be deleted.
    #[serde(default)]
    pub retired: Vec<RetiredEpoch>,
}

impl Head {
    /// Returns the epoch that batches are merged under: the target, else the active one.
    pub fn newest(&self) -> Option<&EpochRules> {
        self.target.as_ref().or(self.active.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_behind_if_any_part_is_smaller() {
        let logic = |version, revision, zones: &str| {
            let identity = format!("revision {revision}");
            Logic {
                version,
                revision,
                identity,
                time_zone: "Asia/Tokyo".into(),
                time_zones: zones.into(),
                session_retention_days: None,
            }
        };
        let stored = logic(5, 2, "2026a");
        assert!(!stored.is_behind(&stored));
        assert!(logic(4, 3, "2026a").is_behind(&stored));
        assert!(logic(6, 1, "2026a").is_behind(&stored));
        assert!(logic(6, 3, "2025c").is_behind(&stored));
        assert!(!logic(6, 2, "2026a").is_behind(&stored));
        assert!(!logic(5, 3, "2026a").folds_like(&stored));
        assert!(!Logic { time_zones: "2026b".into(), ..stored.clone() }.folds_like(&stored));
        let utc = Logic { time_zone: "UTC".into(), ..stored.clone() };
        assert!(Logic { time_zones: "2026b".into(), ..utc.clone() }.folds_like(&utc));
        assert!(Logic { revision: 9, ..stored.clone() }.folds_like(&stored));
    }
}
