//! Folding the months whose rollups are stale.

use std::collections::{BTreeMap, BTreeSet};

use gam_lake::snapshot;
use gam_model::Month;
use gam_store::Marker;

use crate::month::{MonthOutcome, logic_of};
use crate::{AggregateError, AggregateRun};

impl AggregateRun<'_> {
    /// Folds every month whose marker does not match its snapshot, or with `rebuild` every month.
    pub(crate) async fn refold_months(&mut self, rebuild: bool) -> Result<(), AggregateError> {
        let objects = &*self.ports.objects;
        let markers = self.ports.rollups.markers(self.org).await?;
        let markers: BTreeMap<Month, Marker> = markers.into_iter().map(|m| (m.month, m)).collect();
        let mut months: BTreeSet<Month> = snapshot::months(objects, self.org).await?.into_iter().collect();
        months.extend(markers.keys());
        for month in months {
            if self.is_out_of_time() {
                return Ok(());
            }
            let stamp = snapshot::read_stamp(objects, self.org, month).await?;
            let is_current = match (&stamp, markers.get(&month)) {
                (Some(stamp), Some(marker)) => {
                    marker.logic == self.logic
                        && marker.generation == stamp.generation
                        && logic_of(stamp) == self.logic
                }
                _ => false,
            };
            if (rebuild || !is_current)
                && let MonthOutcome::Written { rollups } =
                    self.update_month(month, Vec::new(), rebuild).await?
            {
                self.report_month(month, rollups);
            }
        }
        Ok(())
    }
}
