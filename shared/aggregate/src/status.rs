//! How far the folding of an organization is.

use gam_lake::{Events, Sessions, snapshot};
use gam_model::Month;
use gam_store::{Checkpoint, Head};

use crate::month_states::{MonthState, month_states};
use crate::rules::Rules;
use crate::{AggregateError, AggregatePorts};

/// How the rules of this program stand to those that the store has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RulesState {
    /// They are the same.
    Same,
    /// Nothing was ever aggregated, or the configuration or the program changed: the next aggregation folds all months
    /// under new rules.
    NewerHere,
    /// A newer program or configuration has set them, so this program would leave batches alone.
    NewerInStore,
}

/// How far the newest epoch of an organization is folded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoldStatus {
    /// How the rules of this program stand to those of the store.
    pub rules: RulesState,
    /// Whether a change of rules is under way: answers derive from an older epoch, or from none.
    pub is_changing: bool,
    /// Whether there are answers.
    pub has_answers: bool,
    /// Number of months, including lost ones.
    pub months: usize,
    /// The months that have to be folded, UTC, in order.
    pub months_left: Vec<Month>,
    /// The months whose snapshot the lake has lost, UTC, in order.
    pub lost_months: Vec<Month>,
}

/// Returns how far the newest epoch of an organization is folded. Writes nothing.
///
/// # Errors
/// If the lake or the store fails.
pub async fn fold_status(ports: &AggregatePorts, org: &str) -> Result<FoldStatus, AggregateError> {
    let org = &gam_store::keys::org_key(org);
    let rules = Rules::load(ports, org, gam_fold::LOGIC_VERSION).await?;
    let head: Head = Checkpoint::load_head(&*ports.checkpoints, org).await?.value;
    let Some(newest) = head.newest() else {
        let months = snapshot::months::<Events>(&*ports.objects, org).await?;
        return Ok(FoldStatus {
            rules: RulesState::NewerHere,
            is_changing: false,
            has_answers: false,
            months: months.len(),
            months_left: months,
            lost_months: Vec::new(),
        });
    };
    let active = head.active.as_ref().map(|active| active.epoch);
    let other_active = active.filter(|active| *active != newest.epoch);
    let (identity, epoch) = (&rules.identity, newest.epoch);
    let mut states = month_states::<Events>(ports, org, identity, epoch, other_active).await?;
    for (month, state) in month_states::<Sessions>(ports, org, identity, epoch, other_active).await? {
        // A month is as far as the table that is least far. Only GitHub's facts can be lost and read again.
        if state == MonthState::Stale || !states.contains_key(&month) {
            states.insert(month, state);
        }
    }
    let months_of = |matches: fn(MonthState) -> bool| {
        states.iter().filter(|(_, state)| matches(**state)).map(|(month, _)| *month).collect()
    };
    let rules = match &rules.logic {
        own if *own == newest.logic => RulesState::Same,
        own if own.is_behind(&newest.logic) => RulesState::NewerInStore,
        own if own.folds_like(&newest.logic) => RulesState::Same,
        _ => RulesState::NewerHere,
    };
    Ok(FoldStatus {
        rules,
        is_changing: head.target.is_some(),
        has_answers: active.is_some(),
        months: states.len(),
        months_left: months_of(|state| !state.is_done()),
        lost_months: months_of(|state| matches!(state, MonthState::Lost { .. })),
    })
}
