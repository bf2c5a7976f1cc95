//! Actions: what the service does on GitHub for its clients, each at most once.
//!
//! * An **action** is stored before GitHub hears of it. It is one record, and each change of it expects its revision, so
//!   two processes never send one request twice. Every change commits its audit row.
//! * A request of an action is sent **once**. If the answer is lost, or the process dies before it records the answer,
//!   the result is looked for in GitHub's lists, by a **marker** in the text. The lists lag, so the action is looked for
//!   until it must have appeared. Then it is `unknown`, and a person resolves it. Nothing is sent again.
//! * The **choice**, such as the newest branch, is made once, and stored. Approvals bind the hash of request and choice.
//! * All requests of an account share a **pace** and a **circuit breaker**.
//!
//! The port [`GitHubActions`] is the only way to GitHub.

mod action;
mod check;
mod entries;
mod github;
mod hasten;
mod link;
mod list;
mod next_call;
mod outcome;
mod pace;
mod prepare;
mod preview;
mod remote;
mod request;
mod requests;
mod runner;

pub use action::{Action, ActionId, ActionState, Approval, Choice, FailureCode, Phase, Step};
pub use github::{
    BranchFacts, GitHubActions, ListedText, MergeStatus, PullFacts, PullState, ReadError, ReadErrorKind,
    RefusalKind, RepositoryFacts, ReviewFacts, WriteAnswer, WriteCall, WriteOutcome,
};
pub use link::{ApprovalLink, ApprovalLinks, LINK_PATH, MAX_LINK_LIFETIME, MIN_LINK_KEY_BYTES};
pub use list::{ActionFilter, ActionPage};
pub use remote::ActionWaker;
pub use request::{ActionRequest, MergeMethod, RepositoryName};
pub use requests::{ActionResolution, Decision, DecisionSource, NewAction, Submitted};
pub use runner::RunReport;

pub(crate) use self::hasten::{concerns_actions, hasten};
use self::preview::Previews;

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use gam_access::AccessError;
use gam_model::policy::ActionSettings;
use gam_model::{ActionPolicy, Clock};
use gam_store::{Error as StoreError, RecordCommit, RecordStore};
use tokio::sync::Notify;

/// How long an ended action can be read. Its audit rows stay.
pub const KEEP_ENDED: TimeDelta = TimeDelta::days(90);
/// How long a client's key identifies its action.
pub const KEEP_KEYS: TimeDelta = TimeDelta::days(30);
/// How often a change is tried again after somebody else changed the action first.
const MAX_CONFLICTS: u32 = 10;

/// Why a request about actions failed.
#[derive(Debug, thiserror::Error)]
pub enum ActionError {
    /// The request is invalid. The text says why, and what to do.
    #[error("{0}")]
    Invalid(String),
    /// The policy does not allow it.
    #[error("{0}")]
    Forbidden(String),
    /// There is no such action, or the principal must not know of it.
    #[error("{0}")]
    NotFound(String),
    /// The action is in another state, or its content is not the one that the principal saw.
    #[error("{0}")]
    Conflict(String),
    /// It is too late.
    #[error("{0}")]
    Expired(String),
    /// Another request has used the same key for something else.
    #[error("{0}")]
    KeyReused(String),
    /// This service cannot write to GitHub.
    #[error(
        "this server has no credential that may write to GitHub: set GITHUB_WRITE_TOKEN or GITHUB_WRITE_TOKEN_FILE, or on AWS \
         the parameter GitHubWriteSecret"
    )]
    NoCredential,
    /// Others changed the same action again and again.
    #[error("too many requests changed the same action at once: retry in a second")]
    Busy,
    /// GitHub could not be read.
    #[error("cannot read GitHub: {0}")]
    GitHub(String),
    /// The configuration cannot be read.
    #[error("cannot read the policy of the organization")]
    Settings(#[source] Box<dyn Error + Send + Sync>),
    /// The store failed.
    #[error("cannot read or change the actions in the store")]
    Store(#[from] StoreError),
    /// The tokens of approvers cannot be read.
    #[error("cannot read the tokens of approvers")]
    Tokens(#[from] AccessError),
}

/// Where the policies of organizations come from.
#[async_trait]
pub trait ActionSettingsSource: Send + Sync {
    /// Returns the settings of the organization with this storage key, and the revision of its configuration.
    ///
    /// # Errors
    /// If they cannot be read.
    async fn settings(&self, org: &str) -> Result<(u32, ActionSettings), Box<dyn Error + Send + Sync>>;
}

/// Adds an action that is done to a commit, for tests.
pub(crate) fn testing_action(id: &str, now: DateTime<Utc>, commit: RecordCommit) -> RecordCommit {
    let seed = action::ActionSeed {
        repo: RepositoryName { owner: "acme".to_owned(), name: "api".to_owned() },
        principal: "token:1".to_owned(),
        request: ActionRequest::CreateComment { number: 7, body: "Done.".to_owned() },
        policy: ActionPolicy::default(),
        policy_revision: 0,
    };
    let mut action = Action::new(ActionId::parse(id).expect("an id"), seed, now);
    action.choice = Some(Choice { number: Some(7), ..Choice::empty() });
    action.set_phase(Phase::Succeeded, None);
    let mut change = entries::ActionChange { before: None, after: action, events: Vec::new() };
    change.add_to(commit, &"token:1".into(), now).expect("a valid key")
}

/// The actions of a store. Clones share it.
#[derive(Clone)]
pub struct Actions {
    records: Arc<dyn RecordStore>,
    clock: Arc<dyn Clock>,
    settings: Arc<dyn ActionSettingsSource>,
    github: Option<Arc<dyn GitHubActions>>,
    remote: Option<Arc<dyn ActionWaker>>,
    wake: Arc<Notify>,
    is_stopping: Arc<AtomicBool>,
    previews: Arc<Previews>,
}

impl Actions {
    /// Connects to the records of a store. Without `github`, actions can be read and decided, but not requested.
    pub fn new(
        records: Arc<dyn RecordStore>,
        clock: Arc<dyn Clock>,
        settings: Arc<dyn ActionSettingsSource>,
        github: Option<Arc<dyn GitHubActions>>,
    ) -> Self {
        Actions {
            records,
            clock,
            settings,
            github,
            remote: None,
            wake: Arc::default(),
            is_stopping: Arc::default(),
            previews: Arc::default(),
        }
    }

    /// Has [`Actions::run_due`] return after the action that it works on.
    pub fn stop(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
        self.wake.notify_one();
    }

    /// Returns whether [`Actions::stop`] was called.
    pub fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Relaxed)
    }

    /// Returns the time by which actions are judged, UTC.
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Waits until an action was requested or decided in this process, at most for a time.
    pub async fn wait_for_work(&self, at_most: Duration) {
        // The end of the time is no error: then the store may have work of another process.
        _ = tokio::time::timeout(at_most, self.wake.notified()).await;
    }
}
