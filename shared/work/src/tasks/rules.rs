//! Which issues workers get, and in which order.

use std::fmt;

use chrono::TimeDelta;
use gam_model::TaskRules;
use serde::{Deserialize, Serialize};

use crate::issue::CachedIssue;

/// What labels with a required skill begin with.
const SKILL_PREFIX: &str = "skill:";

/// Why no worker gets an issue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unassignable {
    /// It was deleted or transferred.
    Gone,
    /// It is closed.
    Closed,
    /// It has none of the labels that make it a task.
    Unlabelled,
    /// It has a label that excludes it.
    Excluded,
    /// Its title or body was edited after it was labelled, by somebody without write permission.
    Edited,
    /// Its conversation is locked.
    Locked,
    /// Another open issue blocks it, or one of its sub-issues is open.
    Blocked,
    /// GitHub was not asked yet whether a pull request closes it.
    Unfetched,
    /// An open pull request closes it.
    HasPullRequest,
    /// Too many claims of it failed or expired.
    TooManyAttempts,
    /// A worker has completed it.
    Completed,
}

impl Unassignable {
    /// Returns the name in answers and in the audit log.
    pub fn as_str(self) -> &'static str {
        match self {
            Unassignable::Gone => "gone",
            Unassignable::Closed => "closed",
            Unassignable::Unlabelled => "unlabelled",
            Unassignable::Excluded => "excluded",
            Unassignable::Edited => "edited",
            Unassignable::Locked => "locked",
            Unassignable::Blocked => "blocked",
            Unassignable::Unfetched => "unfetched",
            Unassignable::HasPullRequest => "has_pull_request",
            Unassignable::TooManyAttempts => "too_many_attempts",
            Unassignable::Completed => "completed",
        }
    }
}

impl fmt::Display for Unassignable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Returns whether an issue has a label that makes it a task.
pub(super) fn has_task_label(rules: &TaskRules, issue: &CachedIssue) -> bool {
    rules.labels_any.iter().any(|name| issue.label(name).is_some())
}

/// Checks whether workers can get an issue, whatever happened to earlier claims of it.
///
/// # Errors
/// The first reason why they cannot.
pub(super) fn check_issue(rules: &TaskRules, issue: &CachedIssue) -> Result<(), Unassignable> {
    if issue.tombstone.is_some() {
        return Err(Unassignable::Gone);
    }
    if !issue.is_open() {
        return Err(Unassignable::Closed);
    }
    if !has_task_label(rules, issue) {
        return Err(Unassignable::Unlabelled);
    }
    if rules.labels_none.iter().any(|name| issue.label(name).is_some()) {
        return Err(Unassignable::Excluded);
    }
    let mut labels = rules.labels_any.iter().filter_map(|name| issue.label(name));
    if !labels.any(|label| issue.is_vouched_by(label.id)) {
        return Err(Unassignable::Edited);
    }
    if issue.details.is_locked {
        return Err(Unassignable::Locked);
    }
    // Older versions of GitHub do not say it. An issue with open sub-issues is done by doing those.
    let has_open = |count: Option<u32>| count.is_some_and(|open| open > 0);
    if has_open(issue.details.blocked_by_open) || has_open(issue.details.sub_issues_open) {
        return Err(Unassignable::Blocked);
    }
    match &issue.closing_pull_requests {
        None => Err(Unassignable::Unfetched),
        Some(open) if open.is_empty() => Ok(()),
        Some(_) => Err(Unassignable::HasPullRequest),
    }
}
/// Returns the level of an issue's priority: 0 comes first. Issues of one level come in the order of their age.
pub(super) fn priority_level(rules: &TaskRules, issue: &CachedIssue) -> i64 {
    let labels = issue.details.labels.iter().map(|label| label.name.as_str());
    i64::try_from(rules.priority(labels)).unwrap_or(i64::from(u8::MAX))
}

/// Returns how long a claim lasts without a heartbeat.
pub(super) fn lease(rules: &TaskRules) -> TimeDelta {
    TimeDelta::seconds(rules.lease_seconds.into())
}

/// Returns the skills that an issue requires, in lower case and in order.
pub(super) fn required_skills(issue: &CachedIssue) -> Vec<String> {
    let names = issue.details.labels.iter().map(|label| label.name.to_lowercase());
    let mut skills: Vec<String> =
        names.filter_map(|name| Some(name.strip_prefix(SKILL_PREFIX)?.trim().to_owned())).collect();
    skills.sort();
    skills.dedup();
    skills
}

/// Returns the login of a worker, in lower case. A worker that runs several commands at once has a name for each, such
/// as `ann/2`.
pub fn login_of_worker(worker: &str) -> String {
    worker.split_once('/').map_or(worker, |(login, _)| login).to_lowercase()
}
