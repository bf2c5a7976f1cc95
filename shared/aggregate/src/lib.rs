//! Use case aggregate: inbox batches to month snapshots to rollups.
//!
//! To process a batch, an aggregation does this for each month the batch touches: read the snapshot
//! and the month's marker, keep the winning version of each event id, replace the snapshot, fold the
//! rollups that the batch affects, write them, and advance the marker. It deletes the batch last.
//! After a crash at any point, and whatever other aggregations do at the same time, the next run
//! reaches the same state. These rules make it so:
//!
//! * A snapshot's generation belongs to one rollup logic, which the stamp names. An aggregation with
//!   another logic (a newer version, other bots or aliases) first restamps the month: it writes the
//!   same rows as a new generation. Two different folds thus never write under one generation.
//! * If the marker does not match the snapshot, the complete month is folded.
//! * If the store refuses a write, or its marker is ahead, the complete current snapshot is folded.
//! * If the store is ahead of its lake (a restored lake), the snapshot is restamped past the store.
//! * A month written by a newer version of the logic is skipped, and its batches stay in the inbox.

mod error;
mod month;
mod names;
mod options;
mod ports;
mod process_inbox;
mod progress;
mod refold;
mod report;

use gam_fold::LOGIC_VERSION;
use gam_lake::{ObjectStore, inbox};
use gam_model::Month;
use gam_store::{Checkpoint, CheckpointKey, Logic, OrgCheckpoint, ReadAgainSpan};

pub use error::AggregateError;
pub use options::AggregateOptions;
pub use ports::AggregatePorts;
pub use progress::{AggregateObserver, AggregateProgress};
pub use report::AggregateReport;

/// Processes the organization's inbox, then folds every month whose rollups do not match its
/// snapshot. With `rebuild`, it folds every month.
///
/// # Errors
/// If the lake or the store fails. Everything done before stays valid, and the next run continues.
pub async fn aggregate(
    ports: &AggregatePorts,
    org: &str,
    rebuild: bool,
    observer: &dyn AggregateObserver,
) -> Result<AggregateReport, AggregateError> {
    let options = AggregateOptions { rebuild, ..AggregateOptions::default() };
    aggregate_with(ports, org, &options, observer).await
}

/// Does what [`aggregate`] does, with all options.
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
    // Whatever was read again before now is in the inbox, or was processed.
    let OrgCheckpoint { read_again, lost_months, .. } = run_state(ports, org).await?;
    let report = AggregateReport::default();
    let mut run = AggregateRun { ports, org, logic, options, observer, read_again, report };
    run.check_lost(&lost_months).await?;
    run.process_inbox().await?;
    if options.check_months || options.rebuild {
        run.refold_months(options.rebuild).await?;
    }
    if run.read_again.is_some() && !run.report.unfinished {
        Checkpoint::change_org(&*ports.checkpoints, org, |checkpoint| {
            if checkpoint.read_again == run.read_again {
                checkpoint.read_again = None;
            }
        })
        .await?;
    }
    Ok(run.report)
}

async fn run_state(ports: &AggregatePorts, org: &str) -> Result<OrgCheckpoint, AggregateError> {
    let key = CheckpointKey::Org(org.to_owned());
    Ok(Checkpoint::load(&*ports.checkpoints, &key).await?.value)
}

/// Returns every organization that the lake holds data of: lower-case logins, in order.
///
/// # Errors
/// If the lake fails.
pub async fn orgs_in_lake(objects: &dyn ObjectStore) -> Result<Vec<String>, AggregateError> {
    Ok(inbox::orgs(objects).await?)
}

/// One aggregation of one organization.
struct AggregateRun<'a> {
    ports: &'a AggregatePorts,
    /// The login in lower case, as in the keys of the store.
    org: &'a str,
    logic: Logic,
    options: &'a AggregateOptions,
    observer: &'a dyn AggregateObserver,
    /// The span that was read again from GitHub before the run: its months are not lost.
    read_again: Option<ReadAgainSpan>,
    report: AggregateReport,
}

impl AggregateRun<'_> {
    /// Returns whether the time limit is reached, and if so marks the report as unfinished.
    fn is_out_of_time(&mut self) -> bool {
        let is_over = self.options.until.is_some_and(|until| self.ports.clock.now() >= until);
        self.report.unfinished |= is_over;
        is_over
    }

    fn report_month(&mut self, month: Month, rollups: usize) {
        if rollups > 0 {
            self.report.months.insert(month);
            self.report.rollups += rollups;
            self.observer.notice(AggregateProgress::MonthDone { month, rollups });
        }
    }
}
