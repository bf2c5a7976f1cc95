//! Folding the months whose items are stale.

use std::collections::BTreeSet;

use futures::{StreamExt, stream};
use gam_lake::{Events, snapshot};
use gam_model::Month;

use crate::month::{MonthOutcome, MonthUpdate, NewerEpoch};
use crate::{AggregateError, AggregateRun};

impl AggregateRun<'_> {
    /// Folds every month whose marker does not match its snapshot, or with `rebuild` every month. Keeps the numbers
    /// of months that the lake has lost.
    pub(crate) async fn refold_months(&mut self, rebuild: bool) -> Result<(), AggregateError> {
        let objects = &*self.ports.objects;
        let rollups = &*self.ports.rollups;
        let mut months: BTreeSet<Month> =
            snapshot::months::<Events>(objects, self.org).await?.into_iter().collect();
        let own = rollups.markers(self.org, self.epoch).await?;
        months.extend(own.iter().map(|marker| marker.month));
        if let Some(active) = self.other_active_epoch().await? {
            months.extend(rollups.markers(self.org, active).await?.iter().map(|marker| marker.month));
        }
        let mut stale = Vec::new();
        for month in months {
            let stamp = match snapshot::read_stamp::<Events>(objects, self.org, month).await {
                // The fold reports it, after the other months.
                Err(gam_lake::Error::Damaged { .. }) => None,
                stamp => stamp?,
            };
            let marker = own.iter().find(|marker| marker.month == month);
            let is_current = match (&stamp, marker) {
                (Some(stamp), Some(marker)) => {
                    marker.generation == stamp.generation && stamp.epoch == self.epoch.0
                }
                _ => false,
            };
            if rebuild || !is_current {
                stale.push(month);
            }
        }
        let folds = stream::iter(stale).map(|month| self.refold_month(month, rebuild));
        let folded: Vec<Result<Option<RefoldedMonth>, AggregateError>> =
            folds.buffer_unordered(self.options.max_concurrent_months).collect().await;
        let mut failure = None;
        for month in folded {
            match month {
                Ok(Some(month)) => self.record_refolded(month),
                Ok(None) => self.report.unfinished = true,
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        failure.map_or(Ok(()), Err)
    }

    /// Folds one month again. Returns `None` if the time is over.
    async fn refold_month(
        &self,
        month: Month,
        rebuild: bool,
    ) -> Result<Option<RefoldedMonth>, AggregateError> {
        if self.is_time_over() {
            return Ok(None);
        }
        let MonthUpdate { outcome, was_lost } = self.update_month(month, Vec::new(), rebuild).await?;
        let mut refolded = RefoldedMonth { month, was_lost, rollups: 0, superseded_by: None };
        match outcome {
            MonthOutcome::Written { rollups } => refolded.rollups = rollups,
            MonthOutcome::Lost => {
                if let Some(active) = self.other_active_epoch().await? {
                    refolded.rollups = self.keep_lost_month(month, active).await?;
                }
            }
            MonthOutcome::SkippedNewerVersion => {}
            MonthOutcome::Superseded(newer) => refolded.superseded_by = Some(newer),
        }
        self.notice_month(month, refolded.rollups);
        Ok(Some(refolded))
    }

    fn record_refolded(&mut self, refolded: RefoldedMonth) {
        let RefoldedMonth { month, was_lost, rollups, superseded_by } = refolded;
        if was_lost {
            self.report.lost_months.insert(month);
        }
        self.count_month(month, rollups);
        self.superseded_by = self.superseded_by.max(superseded_by);
    }
}

/// What became of a month that was folded again.
struct RefoldedMonth {
    month: Month,
    /// Whether the lake has lost its snapshot.
    was_lost: bool,
    /// Number of items written.
    rollups: usize,
    /// The newer epoch that the month belongs to, if there is one.
    superseded_by: Option<NewerEpoch>,
}
