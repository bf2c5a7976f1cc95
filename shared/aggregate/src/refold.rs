//! Folding the months whose items are stale.

use futures::{StreamExt, stream};
use gam_lake::{Events, Sessions};
use gam_model::Month;

use crate::folded_table::FoldedTable;
use crate::month::{MonthOutcome, MonthUpdate, NewerEpoch};
use crate::month_states::{MonthState, month_states};
use crate::{AggregateError, AggregateRun};

impl AggregateRun<'_> {
    /// Folds every month whose marker does not match its snapshot, or with `rebuild` every month. Keeps the numbers
    /// of months that the lake has lost.
    pub(crate) async fn refold_months(&mut self, rebuild: bool) -> Result<(), AggregateError> {
        let events = self.refold_table::<Events>(rebuild).await;
        // One table does not wait for a damaged month of another one.
        events.and(self.refold_table::<Sessions>(rebuild).await)
    }

    /// Does for one table what [`AggregateRun::refold_months`] does.
    pub(crate) async fn refold_table<T: FoldedTable>(&mut self, rebuild: bool) -> Result<(), AggregateError> {
        let active = self.other_active_epoch().await?;
        let states = month_states::<T>(self.ports, self.org, self.epoch, active).await?;
        // A lost month is looked at each time, so that the run reports it.
        let stale = states.into_iter().filter(|(_, state)| rebuild || *state != MonthState::Current);
        let stale = stale.map(|(month, _)| month);
        let folds = stream::iter(stale).map(|month| self.refold_month::<T>(month, rebuild));
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
    pub(crate) async fn refold_month<T: FoldedTable>(
        &self,
        month: Month,
        rebuild: bool,
    ) -> Result<Option<RefoldedMonth>, AggregateError> {
        if self.is_time_over() {
            return Ok(None);
        }
        let MonthUpdate { outcome, was_lost, .. } = self.update_month::<T>(month, Vec::new(), rebuild).await?;
        let mut refolded = RefoldedMonth { month, was_lost, rollups: 0, superseded_by: None };
        match outcome {
            MonthOutcome::Written { rollups } => refolded.rollups = rollups,
            MonthOutcome::Lost => {
                if let Some(active) = self.other_active_epoch().await? {
                    refolded.rollups = self.keep_lost_month::<T>(month, active).await?;
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
pub(crate) struct RefoldedMonth {
    month: Month,
    /// Whether the lake has lost its snapshot.
    was_lost: bool,
    /// Number of items written.
    pub(crate) rollups: usize,
    /// The newer epoch that the month belongs to, if there is one.
    pub(crate) superseded_by: Option<NewerEpoch>,
}
