//! Whether a principal works in a repository.

use super::entries::{TaskRef, load_task, parse_entry, worker_range};
use super::{TaskError, TaskPhase, Tasks};

/// The most claims of one principal that are read.
const MAX_CLAIMS: usize = 1_000;

impl Tasks {
    /// Returns whether a principal holds a live claim of an issue in the repository with this name: its lease is not over,
    /// and nobody cancelled it. `org` is a storage key.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn has_live_claim(&self, principal: &str, org: &str, repo: &str) -> Result<bool, TaskError> {
        let now = self.clock.now();
        for (_, record) in self.records.range(&worker_range(principal)?, MAX_CLAIMS, now).await? {
            let task: TaskRef = parse_entry(&record)?;
            if task.org != org {
                continue;
            }
            let Some((task, _)) = load_task(&*self.records, &task, now).await? else { continue };
            let TaskPhase::Claimed(claim) = &task.phase else { continue };
            let is_live =
                claim.principal == principal && claim.cancelled.is_none() && now < claim.lease_until;
            if is_live && task.repo.eq_ignore_ascii_case(repo) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
