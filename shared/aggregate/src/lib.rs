//! Use case aggregate: inbox batches to month snapshots to rollups.
//!
//! To process a batch, an aggregation does this for each month the batch touches: read the snapshot
//! and the month's marker, keep the winning version of each event id, replace the snapshot, fold the
//! items that the batch affects, write them, and advance the marker. It deletes the batch last.
//! After a crash at any point, and whatever other aggregations do at the same time, the next run
//! reaches the same state. These rules make it so:
//!
//! * Items and markers belong to an epoch, which is one set of rules: the code, bots, aliases. An aggregation with
//!   greater rules sets a new target epoch, writes every snapshot again with the target's number, and folds it.
//!   Who works in an older epoch can no longer replace that snapshot.
//! * Answers derive from the active epoch. When all months are complete in the target, it becomes the active one.
//! * If the marker does not match the snapshot, the complete month is folded.
//! * If the store refuses a write, or its marker is ahead, the complete current snapshot is folded.
//! * If the store is ahead of its lake (a restored lake), the snapshot is written again past the store.
//! * Whoever adds a month to an epoch looks at the head again before it writes items: a target that was set before the
//!   month's first snapshot does not know the month.
//! * A month whose snapshot cannot be read keeps its numbers, as a lost one does, and holds back no other month.
//! * Rows of sessions that were erased, or whose month is over, are dropped by every merge, and deleted when a month's
//!   snapshot is written for them. A snapshot says of how many erasures it is; who knows fewer cannot replace it.
//! * If a newer program has set the rules, or written a snapshot with columns that this one does not know, batches
//!   stay in the inbox.

mod epochs;
mod erase;
mod error;
mod fan_out;
mod folded_table;
mod forget;
mod lake_rows;
mod month;
mod month_items;
mod month_states;
mod names;
mod options;
mod ports;
mod pr_classes;
mod process_inbox;
mod progress;
mod refold;
mod report;
mod rules;
mod sessions;
mod status;

use std::collections::{BTreeMap, BTreeSet};

use gam_lake::{Events, ObjectStore, Sessions, Table, inbox};
use gam_model::Month;
use gam_store::{Checkpoint, CheckpointKey, Epoch, Logic, OrgCheckpoint, ReadAgainSpan};

pub use erase::{Erasure, SessionContent, erase_session, session_content};
pub use error::AggregateError;
pub use fan_out::{MonthPlan, MonthTask, MonthTaskOutcome, fold_month, plan_months};
pub use forget::{ForgetPorts, ForgetStorePorts, OrgContent, forget_org, org_content};
pub use options::AggregateOptions;
pub use ports::AggregatePorts;
pub use progress::{AggregateObserver, AggregateProgress};
pub use report::AggregateReport;
pub use sessions::{SessionsReport, aggregate_sessions};
pub use status::{FoldStatus, RulesState, fold_status};

use epochs::Entered;
use folded_table::FoldedTable;
use month::NewerEpoch;
use rules::Rules;

/// How often one aggregation starts over because others have changed the rules.
const MAX_RULE_CHANGES: usize = 16;

/// Processes the organization's inbox, then folds every month whose items do not match its snapshot. With `rebuild`,
/// it folds every month.
///
/// # Errors
/// If the lake or the store fails. Everything done before stays valid, and the next run continues. If the snapshot of
/// a month cannot be read, everything else is done first.
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
    run_in_newest_epoch(ports, org, options, observer, async |run, is_new_target| {
        let lost_months = std::mem::take(&mut run.lost_months);
        run.check_lost(&lost_months).await?;
        run.run(is_new_target).await
    })
    .await
}

/// Runs `work` in the newest epoch of an organization, and again in the next one while snapshots of newer epochs are found.
/// `work` gets the run, and whether the run has set a new target. A month that cannot be read is an error at the end.
async fn run_in_newest_epoch(
    ports: &AggregatePorts,
    org: &str,
    options: &AggregateOptions,
    observer: &dyn AggregateObserver,
    work: impl AsyncFn(&mut AggregateRun<'_>, bool) -> Result<(), AggregateError>,
) -> Result<AggregateReport, AggregateError> {
    let org = &gam_store::keys::org_key(org);
    let mut report = AggregateReport::default();
    let mut lacked_erasures = 0;
    for _ in 0..MAX_RULE_CHANGES {
        let Some((mut run, is_new_target)) = AggregateRun::start(ports, org, options, observer).await? else {
            report.deferred = inbox::list::<Events>(&*ports.objects, org).await?.len();
            report.sessions.deferred = inbox::list::<Sessions>(&*ports.objects, org).await?.len();
            return Ok(report);
        };
        run.report = report;
        work(&mut run, is_new_target).await?;
        let Some(newer) = run.superseded_by else { return run.failure.map_or(Ok(run.report), Err) };
        if newer.number <= run.epoch.0 {
            // A snapshot of the run's own epoch, or of an older one, has erasures that the run does not know.
            lacked_erasures += 1;
            if lacked_erasures == MAX_LACKED_ERASURES {
                return Err(AggregateError::LacksErasures { org: org.clone() });
            }
        }
        run.pass_epoch(newer).await?;
        report = run.report;
    }
    Err(AggregateError::HeadContended { org: org.to_owned() })
}

async fn load_org_checkpoint(ports: &AggregatePorts, org: &str) -> Result<OrgCheckpoint, AggregateError> {
    let key = CheckpointKey::Org(org.to_owned());
    Ok(Checkpoint::load(&*ports.checkpoints, &key).await?.value)
}

/// Returns every organization that the lake holds data of: lower-case logins, in order.
///
/// # Errors
/// If the lake fails.
pub async fn orgs_in_lake(objects: &dyn ObjectStore) -> Result<Vec<String>, AggregateError> {
    Ok(inbox::orgs::<Events>(objects).await?)
}

/// How often one aggregation finds erasures that the configuration it has just loaded does not have.
const MAX_LACKED_ERASURES: usize = 3;

/// One aggregation of one organization in one epoch.
struct AggregateRun<'a> {
    ports: &'a AggregatePorts,
    /// The organization's key.
    org: &'a str,
    rules: Rules,
    epoch: Epoch,
    options: &'a AggregateOptions,
    observer: &'a dyn AggregateObserver,
    /// The span that was read again from GitHub before the run: its months are not lost.
    read_again: Option<ReadAgainSpan>,
    /// The months (`YYYY-MM`, UTC) that earlier runs found lost, with the generations that the store knew.
    lost_months: BTreeMap<String, u64>,
    /// The greatest epoch that a snapshot was found to belong to, if it is newer than the run's. The run then ends.
    superseded_by: Option<NewerEpoch>,
    /// The months that a newer program has written. Batches that touch them stay in the inbox.
    skipped: BTreeSet<Month>,
    /// Months whose snapshot is lost or cannot be read: batches that touch them wait in the inbox.
    unmergeable: BTreeSet<Month>,
    /// The tables and months whose snapshot cannot be read.
    unreadable: BTreeSet<(&'static str, Month)>,
    /// Why the first of them cannot be read. The run does everything else, then fails with it.
    failure: Option<AggregateError>,
    report: AggregateReport,
}

impl<'a> AggregateRun<'a> {
    /// Starts a run with the newest configuration, and returns whether it has set a new target. Returns `None` if a
    /// newer program has set the rules. `org` is the organization's key.
    async fn start(
        ports: &'a AggregatePorts,
        org: &'a str,
        options: &'a AggregateOptions,
        observer: &'a dyn AggregateObserver,
    ) -> Result<Option<(Self, bool)>, AggregateError> {
        let mut behind: Option<Logic> = None;
        for _ in 0..MAX_RULE_CHANGES {
            let rules = Rules::load(ports, org, options.logic_version).await?;
            let (epoch, is_new_target) = match epochs::enter(ports, org, &rules, observer).await? {
                Entered::Epoch { epoch, is_new_target } => (epoch, is_new_target),
                // The configuration may have changed after it was loaded. If not, the rules are those of a newer program.
                Entered::Behind if behind.as_ref() != Some(&rules.logic) => {
                    behind = Some(rules.logic);
                    continue;
                }
                Entered::Behind => return Ok(None),
            };
            // Whatever was read again before now is in the inbox, or was processed.
            let OrgCheckpoint { read_again, lost_months, .. } = load_org_checkpoint(ports, org).await?;
            let (superseded_by, report) = (None, AggregateReport::default());
            let run = AggregateRun {
                ports,
                org,
                rules,
                epoch,
                options,
                observer,
                read_again,
                lost_months,
                superseded_by,
                skipped: BTreeSet::new(),
                unmergeable: BTreeSet::new(),
                unreadable: BTreeSet::new(),
                failure: None,
                report,
            };
            return Ok(Some((run, is_new_target)));
        }
        Err(AggregateError::HeadContended { org: org.to_owned() })
    }

    /// `is_new_target` says that this run has set a target, so that all months are to be folded.
    async fn run(&mut self, is_new_target: bool) -> Result<(), AggregateError> {
        self.process_inbox().await?;
        if !self.must_stop() {
            self.process_sessions().await?;
        }
        let checks_months = self.options.check_months || self.options.rebuild;
        if checks_months && !self.must_stop() {
            self.refold_months(self.options.rebuild).await?;
        }
        // Somebody must fold the other months soon.
        self.report.unfinished |= is_new_target && !checks_months;
        // Only events can be read again.
        let is_readable = !self.unreadable.iter().any(|(table, _)| *table == Events::SNAPSHOTS);
        let is_complete = !self.report.unfinished && is_readable;
        if self.read_again.is_some() && !self.must_stop() && is_complete {
            Checkpoint::change_org(&*self.ports.checkpoints, self.org, |checkpoint| {
                if checkpoint.read_again == self.read_again {
                    checkpoint.read_again = None;
                }
            })
            .await?;
        }
        if !self.must_stop() {
            self.report.rollups += self.refresh_pr_classes().await?;
            if checks_months {
                self.switch_and_delete().await?;
            } else {
                // The months that batches have touched may have been the last ones.
                self.switch_if_complete().await?;
            }
        }
        Ok(())
    }

    /// Records that the snapshot of a month cannot be read.
    fn record_unreadable<T: FoldedTable>(&mut self, month: Month, error: AggregateError) {
        tracing::info!(org = self.org, %month, %error, "the month keeps its numbers until its snapshot is restored");
        if T::IS_COLLECTED {
            self.unmergeable.insert(month);
        }
        self.unreadable.insert((T::SNAPSHOTS, month));
        self.failure.get_or_insert(error);
    }

    /// Returns whether the run is over before everything is done: the time ran out, or a newer epoch was found.
    fn must_stop(&mut self) -> bool {
        self.superseded_by.is_some() || self.is_out_of_time()
    }

    /// Returns whether the time limit is reached, and if so marks the report as unfinished.
    fn is_out_of_time(&mut self) -> bool {
        let is_over = self.is_time_over();
        self.report.unfinished |= is_over;
        is_over
    }

    fn is_time_over(&self) -> bool {
        self.options.until.is_some_and(|until| self.ports.clock.now() >= until)
    }

    fn report_month(&mut self, month: Month, rollups: usize) {
        self.notice_month(month, rollups);
        self.count_month(month, rollups);
    }

    fn notice_month(&self, month: Month, rollups: usize) {
        if rollups > 0 {
            self.observer.notice(AggregateProgress::MonthDone { month, rollups });
        }
    }

    fn count_month(&mut self, month: Month, rollups: usize) {
        if rollups > 0 {
            self.report.months.insert(month);
            self.report.rollups += rollups;
        }
    }
}
