//! The list of actions.

use gam_store::{RecordRange, work_orgs};

use super::action::{Action, ActionId, ActionState};
use super::entries::{action_key, action_range, parse_action};
use super::{ActionError, Actions};

/// Number of records that one read returns.
const PAGE_RECORDS: usize = 200;

/// Which actions are listed.
#[derive(Debug, Clone, Default)]
pub struct ActionFilter {
    /// Only those in this state.
    pub state: Option<ActionState>,
    /// Only those in the repository with this name, in any case.
    pub repo: Option<String>,
}

/// A page of the list of actions, the newest first.
#[derive(Debug, Clone, Default)]
pub struct ActionPage {
    /// The actions.
    pub actions: Vec<Action>,
    /// The last one, if there are more.
    pub next: Option<ActionId>,
}

impl Actions {
    /// Returns the storage keys of the organizations for which actions were requested, sorted. They may never have been
    /// collected.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn orgs(&self) -> Result<Vec<String>, ActionError> {
        Ok(work_orgs(&*self.records, self.clock.now()).await?)
    }

    /// Lists the actions of an organization, by its storage key, the newest first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn list(
        &self,
        org: &str,
        filter: &ActionFilter,
        is_visible: impl Fn(&Action) -> bool,
        limit: usize,
        after: Option<&ActionId>,
    ) -> Result<ActionPage, ActionError> {
        let mut range: RecordRange = action_range(org)?;
        if let Some(after) = after {
            range = range.after(&action_key(after)?);
        }
        let mut page = ActionPage::default();
        loop {
            let records = self.records.range(&range, PAGE_RECORDS, self.clock.now()).await?;
            for (_, record) in &records {
                let action = parse_action(record)?;
                let is_listed = filter.state.is_none_or(|state| action.state() == state)
                    && filter.repo.as_ref().is_none_or(|repo| action.repo.name.eq_ignore_ascii_case(repo))
                    && is_visible(&action);
                if !is_listed {
                    continue;
                }
                if page.actions.len() == limit {
                    page.next = page.actions.last().map(|last| last.id.clone());
                    return Ok(page);
                }
                page.actions.push(action);
            }
            match records.last() {
                Some((last, _)) if records.len() == PAGE_RECORDS => range = range.after(last),
                _ => return Ok(page),
            }
        }
    }
}
