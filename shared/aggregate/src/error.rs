//! Why an aggregation fails.

use gam_lake::Error as LakeError;
use gam_model::Month;

/// Why an aggregation failed.
#[derive(Debug, thiserror::Error)]
pub enum AggregateError {
    /// The lake failed.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] gam_store::Error),
    /// The rows of a snapshot do not have the columns that a fold needs.
    #[error(
        "cannot fold the snapshot of {month} of {org}: restore it from a backup, or read the month again with \
         `github-metrics collect {org} --again --since {} --until {}` and aggregate again",
        month.first_day(),
        month.end()
    )]
    Fold {
        /// The organization's login in lower case.
        org: String,
        /// The UTC month of the snapshot.
        month: Month,
        /// The cause.
        #[source]
        source: gam_fold::FoldError,
    },
    /// Other aggregations replaced the month's snapshot during each attempt.
    #[error("other aggregations kept replacing {month} of {org}: run aggregate again")]
    Contended {
        /// The organization's login in lower case.
        org: String,
        /// The UTC month of the snapshot.
        month: Month,
    },
    /// Other processes kept changing the head of the organization's epochs.
    #[error("other processes keep changing which rules apply to {org}: run aggregate again")]
    HeadContended {
        /// The organization's key.
        org: String,
    },
    /// Other processes kept setting the organization's configuration.
    #[error("other processes keep setting the configuration of {org}: try again")]
    ConfigurationContended {
        /// The organization's key.
        org: String,
    },
    /// Snapshots are without the rows of more erased sessions than the newest configuration has.
    #[error(
        "the months of {org} are without sessions that its newest configuration does not call erased: restore the newest \
         revision under config/org={org}/ in the lake from a backup"
    )]
    LacksErasures {
        /// The organization's key.
        org: String,
    },
}

impl AggregateError {
    /// Returns whether a month cannot be folded until somebody restores its snapshot or reads the month again. Everything
    /// else was done.
    pub fn is_unreadable_month(&self) -> bool {
        matches!(self, AggregateError::Lake(LakeError::Damaged { .. }) | AggregateError::Fold { .. })
    }
}
