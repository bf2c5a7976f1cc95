//! What all read tasks of a repository share.

use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use gam_github::events::EventBuilder;
use gam_github::{Error, OrgProbe, RepoProbe, RepoRef};
use gam_model::Event;
use tokio::sync::mpsc::Sender;

use crate::org::stored_name;
use crate::report::CollectWarning;
use crate::window::CollectionWindow;
use crate::writer::{CheckpointUpdate, PageRead};

/// The resolution of GitHub's times. Until a second is over, more can change within it.
pub(crate) const SECOND: TimeDelta = TimeDelta::seconds(1);

/// Why a read task ended early.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// GitHub refused or failed.
    GitHub(Error),
    /// The writer has failed, and returns its own error.
    WriterGone,
}

impl From<Error> for ReadError {
    fn from(error: Error) -> Self {
        ReadError::GitHub(error)
    }
}

/// Returns whether GitHub rejected a request as invalid. If the request had a cursor that an earlier run
/// saved, the cause is the cursor: GitHub forgets cursors after a while. The list is then read again from
/// its start.
pub(crate) fn is_cursor_rejected(error: &Error) -> bool {
    matches!(error, Error::Invalid(_))
}

/// What a read task knows of its repository.
#[derive(Debug, Clone)]
pub(crate) struct RepoContext {
    pub(crate) repo: RepoRef,
    /// Makes the repository's events.
    pub(crate) event_builder: EventBuilder,
    pub(crate) window: CollectionWindow,
    /// When GitHub answered the probe, by GitHub's clock.
    pub(crate) probed_at: Option<DateTime<Utc>>,
    /// The latest activity that the probe shows: a change of any list, or a push.
    pub(crate) active_at: Option<DateTime<Utc>>,
    /// When the repository was last pushed to.
    pub(crate) pushed_at: Option<DateTime<Utc>>,
    warnings: Warnings,
    /// Whether the repository's checkpoint stays as it is, because a span is read again.
    is_again: bool,
}

/// The warnings of a run, which its report returns. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Warnings(Arc<Mutex<Vec<CollectWarning>>>);

impl Warnings {
    pub(crate) fn add(&self, warning: CollectWarning) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(warning);
    }

    /// Takes all warnings so far.
    pub(crate) fn take(&self) -> Vec<CollectWarning> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl RepoContext {
    /// `now` is the time of the probe by GitHub's clock, for `collected_at`. `key` is the organization's storage
    /// key.
    pub(crate) fn new(
        key: &str,
        probe: &OrgProbe,
        repo: &RepoProbe,
        window: CollectionWindow,
        now: DateTime<Utc>,
        warnings: &Warnings,
    ) -> Self {
        let (org, name) = (&probe.login, &repo.name);
        let newest = [repo.pulls.at, repo.issues.at, repo.releases.at, repo.deployments.at, repo.pushed_at];
        RepoContext {
            repo: RepoRef {
                owner: org.clone(),
                name: name.clone(),
                node_id: repo.node_id.clone(),
                id: repo.id,
            },
            event_builder: EventBuilder {
                org: stored_name(key, org).to_owned(),
                repo: name.clone(),
                repo_id: repo.id,
                collected_at: now,
            },
            window,
            probed_at: probe.read_at,
            active_at: newest.into_iter().max().flatten(),
            pushed_at: repo.pushed_at,
            warnings: warnings.clone(),
            is_again: false,
        }
    }

    /// The context of reading a window again, which leaves the repository's checkpoint as it is.
    pub(crate) fn again(self, window: CollectionWindow) -> Self {
        RepoContext { window, is_again: true, ..self }
    }

    /// Returns the watermark of a list whose newest change was at `newest`. More may have changed within
    /// `margin` after that moment than GitHub showed. If the margin was not over when the probe was answered,
    /// the watermark lies one margin earlier, so that the next walk reads those changes.
    pub(crate) fn watermark(
        &self,
        newest: Option<DateTime<Utc>>,
        margin: TimeDelta,
    ) -> Option<DateTime<Utc>> {
        newest.map(|at| match self.probed_at {
            Some(probed_at) if at + margin < probed_at => at,
            _ => at - margin,
        })
    }

    /// Warns a person about the repository: the report of the run returns the warning.
    pub(crate) fn warn(&self, text: impl Into<String>) {
        self.warnings.add(CollectWarning { repo: Some(self.repo.name.clone()), text: text.into() });
    }

    /// Sends a page to the writer. `kind` names what was read, for progress reports. `update` is the
    /// checkpoint that holds once the events are saved.
    ///
    /// # Errors
    /// [`ReadError::WriterGone`] if the writer has failed.
    pub(crate) async fn send_page(
        &self,
        pages: &Sender<PageRead>,
        kind: &'static str,
        events: Vec<Event>,
        update: Option<CheckpointUpdate>,
    ) -> Result<(), ReadError> {
        let update = update.filter(|_| !self.is_again);
        let page = PageRead { repo_id: self.repo.id, repo: self.repo.name.clone(), kind, events, update };
        pages.send(page).await.map_err(|_| ReadError::WriterGone)
    }
}
