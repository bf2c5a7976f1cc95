//! What callers request of a run.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

/// What to collect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CollectRequest {
    /// The organization's login: the current one, or a former one that the registry knows.
    pub org: String,
    /// The first day, UTC. Without it, the first run reads the last 90 days, and a later run reads what is
    /// new.
    pub since: Option<NaiveDate>,
    /// The day after the last, UTC. Without it, everything up to now is read.
    pub until: Option<NaiveDate>,
    /// Whether the days are read again, whatever the checkpoints say. Without `since`, everything that was
    /// ever requested is read again.
    pub again: bool,
    /// The names of the repositories to read; all repositories if empty.
    pub repos: Vec<String>,
    /// How many read tasks may run in parallel.
    pub parallelism: usize,
}

/// A repository to be read by [`work`](crate::work), perhaps on another machine. It is a message of a queue,
/// as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkItem {
    /// The repository's name, for messages.
    pub repo: String,
    /// The repository's numeric id.
    pub repo_id: i64,
    /// The repository's GraphQL node id.
    pub node_id: String,
}
