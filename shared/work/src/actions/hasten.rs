//! Has actions looked at as soon as a webhook says that something changed in their repository.

use chrono::{DateTime, Utc};
use gam_store::{RecordCommit, RecordCommitId, RecordStore, commit_until_answered};

use super::ActionError;
use super::action::{Action, Phase};
use super::entries::{ActionChange, DueEntry, due_range, load_action, parse_entry};
use crate::SERVICE;

/// Number of entries of the index that one read returns.
const PAGE_ENTRIES: usize = 200;

/// Returns whether a delivery of this event can concern an action: a push to the branch of a pull request, a review, a
/// merge, or what an action made.
pub(crate) fn concerns_actions(event: &str) -> bool {
    matches!(event, "pull_request" | "pull_request_review" | "issues" | "push")
}

/// Makes the actions of a repository due that wait for approvals, because their head may have moved, or whose result is
/// looked for. `org` is a storage key, `repo` a name without the owner.
///
/// # Errors
/// If the store fails.
pub(crate) async fn hasten(
    records: &dyn RecordStore,
    org: &str,
    repo: &str,
    now: DateTime<Utc>,
) -> Result<(), ActionError> {
    let mut range = due_range()?;
    loop {
        let page = records.range(&range, PAGE_ENTRIES, now).await?;
        for (_, record) in &page {
            // An entry that cannot be read is reported where it is due.
            let Ok(entry) = parse_entry::<DueEntry>(record) else { continue };
            if entry.id.org != org || entry.due <= now {
                continue;
            }
            let loaded = match load_action(records, &entry.id, now).await {
                // An action that cannot be read is reported where it is due, and must not stop deliveries.
                Err(error) if !error.is_retryable() => continue,
                loaded => loaded?,
            };
            let Some((before, revision)) = loaded else { continue };
            let is_looked_at = matches!(before.phase, Phase::Waiting { .. } | Phase::Checking { .. });
            if !is_looked_at || !before.repo.name.eq_ignore_ascii_case(repo) {
                continue;
            }
            let after = Action { due: Some(now), ..before.clone() };
            let mut change = ActionChange { before: Some((before, revision)), after, events: Vec::new() };
            let commit = RecordCommit::new(RecordCommitId::random());
            let commit = change.add_to(commit, &SERVICE.into(), now)?;
            // After a conflict, somebody else has just looked at it.
            commit_until_answered(records, &commit, now).await?;
        }
        match page.last() {
            Some((last, _)) if page.len() == PAGE_ENTRIES => range = range.after(last),
            _ => return Ok(()),
        }
    }
}
