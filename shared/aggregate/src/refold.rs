//! Folding the months whose items are stale.

use std::collections::BTreeSet;

use gam_lake::snapshot;
use gam_model::Month;

use crate::month::MonthOutcome;
use crate::{AggregateError, AggregateRun};

impl AggregateRun<'_> {
    /// Folds every month whose marker does not match its snapshot, or with `rebuild` every month. Keeps the numbers
    /// of months that the lake has lost.
    pub(crate) async fn refold_months(&mut self, rebuild: bool) -> Result<(), AggregateError> {
        let objects = &*self.ports.objects;
        let markers = self.markers().await?;
        let mut months: BTreeSet<Month> = snapshot::months(objects, self.org).await?.into_iter().collect();
        months.extend(markers.keys());
        let own = self.ports.rollups.markers(self.org, self.epoch).await?;
        for month in months {
            if self.must_stop() {
                return Ok(());
            }
            let stamp = snapshot::read_stamp(objects, self.org, month).await?;
            let marker = own.iter().find(|marker| marker.month == month);
            let is_current = match (&stamp, marker) {
                (Some(stamp), Some(marker)) => {
                    marker.generation == stamp.generation && stamp.epoch == self.epoch.0
                }
                _ => false,
            };
            if !rebuild && is_current {
                continue;
            }
            match self.update_month(month, Vec::new(), rebuild).await? {
                MonthOutcome::Written { rollups } => self.report_month(month, rollups),
                MonthOutcome::Lost => {
                    if let Some(active) = self.other_active_epoch().await? {
                        let kept = self.keep_lost_month(month, active).await?;
                        self.report_month(month, kept);
                    }
                }
                MonthOutcome::SkippedNewerVersion => {}
                MonthOutcome::Superseded { epoch } => {
                    self.superseded_by = self.superseded_by.max(Some(epoch))
                }
            }
        }
        Ok(())
    }
}
