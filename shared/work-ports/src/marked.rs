//! The collector's side of marks: repositories that webhooks marked are read, and their marks settled.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use gam_collect::{WorkItem, WorkReport};
use gam_model::Clock;
use gam_store::RecordStore;
use gam_work::dirty::{RETRY_AFTER, RememberedMark, clear_mark, find_marks, keep_mark, list_marks};

/// The marks of an organization, as they were before the collector's first request.
pub struct MarkedRepos {
    records: Arc<dyn RecordStore>,
    clock: Arc<dyn Clock>,
    /// The organization's storage key.
    org: String,
    marks: Vec<RememberedMark>,
}

impl MarkedRepos {
    /// Remembers all marks of the organization with this storage key.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn all(
        records: Arc<dyn RecordStore>,
        clock: Arc<dyn Clock>,
        org: &str,
    ) -> gam_store::Result<Self> {
        let marks = list_marks(&*records, org, clock.now()).await?;
        Ok(MarkedRepos { records, clock, org: org.to_owned(), marks })
    }

    /// Remembers the marks whose time has come.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn due(
        records: Arc<dyn RecordStore>,
        clock: Arc<dyn Clock>,
        org: &str,
    ) -> gam_store::Result<Self> {
        let now = clock.now();
        let mut marked = Self::all(records, clock, org).await?;
        marked.marks.retain(|mark| mark.mark.due_at <= now);
        Ok(marked)
    }

    /// Remembers the marks of these repositories, by GitHub's ids. Those without a mark are left out.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn of_repos(
        records: Arc<dyn RecordStore>,
        clock: Arc<dyn Clock>,
        org: &str,
        repo_ids: &[i64],
    ) -> gam_store::Result<Self> {
        let marks = find_marks(&*records, org, repo_ids, clock.now()).await?;
        Ok(MarkedRepos { records, clock, org: org.to_owned(), marks })
    }

    /// Returns whether no repository is marked.
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// Returns what the collector has to read.
    pub fn items(&self) -> Vec<WorkItem> {
        let item = |mark: &RememberedMark| WorkItem {
            repo: mark.mark.repo.name.clone(),
            repo_id: mark.mark.repo.id,
            node_id: mark.mark.repo.node_id.clone(),
        };
        self.marks.iter().map(item).collect()
    }

    /// Settles the marks after a reading.
    ///
    /// # Errors
    /// If the store fails. Then the repositories are read again.
    pub async fn settle(&self, report: &WorkReport) -> gam_store::Result<()> {
        let until = report.report.limited.as_ref().and_then(|limited| limited.until);
        for mark in &self.marks {
            let id = mark.mark.repo.id;
            // What fails for good, such as a repository that is gone, would be read again all the time.
            let fails_for_now = report.failed.get(&id).is_some_and(|failure| failure.is_transient);
            match fails_for_now || report.stopped.contains(&id) {
                true => self.keep(mark, until).await?,
                false => self.clear(mark).await?,
            }
        }
        Ok(())
    }

    /// Clears all marks: the repositories were read.
    ///
    /// # Errors
    /// If the store fails. Then the repositories are read again.
    pub async fn clear_all(&self) -> gam_store::Result<()> {
        for mark in &self.marks {
            self.clear(mark).await?;
        }
        Ok(())
    }

    /// Keeps all marks: nothing was read. The repositories are due at `until`, UTC, or in some minutes if that is `None`.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn keep_all(&self, until: Option<DateTime<Utc>>) -> gam_store::Result<()> {
        for mark in &self.marks {
            self.keep(mark, until).await?;
        }
        Ok(())
    }

    async fn clear(&self, mark: &RememberedMark) -> gam_store::Result<()> {
        clear_mark(&*self.records, &self.org, mark, self.clock.now()).await
    }

    async fn keep(&self, mark: &RememberedMark, until: Option<DateTime<Utc>>) -> gam_store::Result<()> {
        let now = self.clock.now();
        let due_at = until.unwrap_or(now + RETRY_AFTER);
        keep_mark(&*self.records, &self.org, mark, due_at, now).await
    }
}
