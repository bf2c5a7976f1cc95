//! Folding the months of an organization side by side, in any number of processes.
//!
//! One process plans: it lists the months that have to be folded. Each month is a [`MonthTask`], which any process
//! can run, at any time and as often as it likes. The one that finishes the last month of a target epoch switches
//! answers to it. A task of an epoch that is no longer the newest does nothing.

use std::collections::BTreeSet;

use gam_lake::{Events, Sessions};
use gam_model::Month;
use gam_store::Epoch;

use crate::month_states::month_states;
use crate::{AggregateError, AggregateObserver, AggregateOptions, AggregatePorts, AggregateRun};

/// One month to fold in one epoch: that of every table that has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MonthTask {
    /// The organization's storage key.
    pub org: String,
    /// The epoch to fold the month in.
    pub epoch: Epoch,
    /// The month, UTC.
    pub month: Month,
    /// Whether to fold the month even if its items match its snapshot.
    pub rebuild: bool,
}

/// The months to fold in the newest epoch of an organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MonthPlan {
    /// The newest epoch: the target, or the active one if there is no target.
    pub epoch: Epoch,
    /// Whether the epoch is a target, so that answers switch to it when all months are done.
    pub is_target: bool,
    /// The months to fold, UTC, in order.
    pub months: Vec<Month>,
}

/// What became of a [`MonthTask`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MonthTaskOutcome {
    /// The month's items match its snapshot.
    Done {
        /// Number of items written. 0 if nothing had to change.
        rollups: usize,
    },
    /// The task's epoch is not the newest one, so there was nothing to do.
    Outdated {
        /// Whether the months of the newest epoch should be planned again: somebody may have to fold them.
        needs_plan: bool,
    },
    /// The time limit was reached before the fold began.
    OutOfTime,
}

/// Lists the months that have to be folded in the newest epoch; all of them with `rebuild`. Sets a new target first
/// if the rules have changed. Returns `None` if a newer program has set the rules.
///
/// # Errors
/// If the lake or the store fails.
pub async fn plan_months(
    ports: &AggregatePorts,
    org: &str,
    rebuild: bool,
    observer: &dyn AggregateObserver,
) -> Result<Option<MonthPlan>, AggregateError> {
    let org = &gam_store::keys::org_key(org);
    let options = AggregateOptions::default();
    let Some((run, _)) = AggregateRun::start(ports, org, &options, observer).await? else { return Ok(None) };
    let head = run.load_head().await?.value;
    let is_target = head.target.is_some_and(|target| target.epoch == run.epoch);
    let active = head.active.map(|active| active.epoch).filter(|active| *active != run.epoch);
    let identity = &run.rules.identity;
    let events = month_states::<Events>(ports, org, identity, run.epoch, active).await?;
    let sessions = month_states::<Sessions>(ports, org, identity, run.epoch, active).await?;
    let stale = events.into_iter().chain(sessions).filter(|(_, state)| rebuild || !state.is_done());
    let months: BTreeSet<Month> = stale.map(|(month, _)| month).collect();
    Ok(Some(MonthPlan { epoch: run.epoch, is_target, months: months.into_iter().collect() }))
}

/// Folds one month in the epoch of its task, then switches answers to that epoch if it is a target and complete.
///
/// # Errors
/// If the lake or the store fails. Everything done before stays valid, and the task can be repeated.
pub async fn fold_month(
    ports: &AggregatePorts,
    task: &MonthTask,
    options: &AggregateOptions,
    observer: &dyn AggregateObserver,
) -> Result<MonthTaskOutcome, AggregateError> {
    let org = &gam_store::keys::org_key(&task.org);
    let Some((mut run, is_new_target)) = AggregateRun::start(ports, org, options, observer).await? else {
        // The newer program plans its own months.
        return Ok(MonthTaskOutcome::Outdated { needs_plan: false });
    };
    // What was read again of a lost month may still be in the inbox, which a task does not process.
    run.read_again = None;
    if run.epoch != task.epoch {
        // Whoever set the target may have failed before its months were planned.
        let needs_plan = is_new_target || run.is_target_without_months().await?;
        return Ok(MonthTaskOutcome::Outdated { needs_plan });
    }
    // Both tables may have the month. One that does not is not touched.
    let events = run.refold_month::<Events>(task.month, task.rebuild).await?;
    let sessions = run.refold_month::<Sessions>(task.month, task.rebuild).await?;
    let (Some(events), Some(sessions)) = (events, sessions) else { return Ok(MonthTaskOutcome::OutOfTime) };
    if let Some(newer) = events.superseded_by.max(sessions.superseded_by) {
        if newer.number <= run.epoch.0 {
            return Err(AggregateError::LacksErasures { org: org.clone() });
        }
        run.pass_epoch(newer).await?;
        return Ok(MonthTaskOutcome::Outdated { needs_plan: true });
    }
    let rollups = events.rollups + sessions.rollups;
    run.record_refolded::<Events>(events);
    run.record_refolded::<Sessions>(sessions);
    run.switch_if_complete().await?;
    match run.failure {
        Some(error) => Err(error),
        None => Ok(MonthTaskOutcome::Done { rollups }),
    }
}
