//! The list of cached issues, page by page. It never asks GitHub.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use gam_model::Clock;
use gam_model::issue::IssueState;
use gam_store::{RecordStore, Result};

use crate::hooks::{HookState, list_hooks};
use crate::issue::{CachedIssue, issue_key, issue_range, list_issues};
use crate::repo::{list_repos, load_org};

/// Number of issues that one read of the store returns.
const PAGE_ISSUES: usize = 200;
/// Number of issues that one request looks at. A page can have fewer entries than requested, and even none, and still
/// have a next one.
const MAX_SCANNED_ISSUES: usize = 5_000;

/// Which issues to list. `None` selects all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IssueFilter {
    /// Open or closed ones.
    pub state: Option<IssueState>,
    /// Those with this label, in any case.
    pub label: Option<String>,
    /// Those assigned to this login, in any case, or to nobody if it is `none`.
    pub assignee: Option<String>,
    /// Those of the repository with this name, in any case.
    pub repo: Option<String>,
    /// Those that are in this set of repository ids and numbers, or those that are not.
    pub within: Option<(bool, BTreeSet<(i64, i64)>)>,
}

impl IssueFilter {
    fn accepts(&self, issue: &CachedIssue) -> bool {
        let is_assigned = |login: &str| match login {
            "none" => issue.details.assignees.is_empty(),
            login => issue.details.assignees.iter().any(|user| user.login.eq_ignore_ascii_case(login)),
        };
        issue.tombstone.is_none()
            && self.state.is_none_or(|state| state == issue.details.state)
            && self.label.as_ref().is_none_or(|label| issue.label(label).is_some())
            && self.assignee.as_deref().is_none_or(is_assigned)
            && self.repo.as_ref().is_none_or(|repo| issue.repo.eq_ignore_ascii_case(repo))
            && self
                .within
                .as_ref()
                .is_none_or(|(is_in, set)| set.contains(&(issue.repo_id, issue.details.number)) == *is_in)
    }
}

/// A page of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuePage {
    /// The issues, in order of repository id and number.
    pub issues: Vec<CachedIssue>,
    /// The repository id and number after which the next page begins. `None` if this is the last one.
    pub next: Option<(i64, i64)>,
    /// When the cache was last compared with GitHub, UTC. `None` if it never was.
    pub as_of: Option<DateTime<Utc>>,
}

/// Reads the cache of issues. Clones share it.
#[derive(Clone)]
pub struct IssueReader {
    records: Arc<dyn RecordStore>,
    clock: Arc<dyn Clock>,
}

impl IssueReader {
    /// Connects to the records of a store.
    pub fn new(records: Arc<dyn RecordStore>, clock: Arc<dyn Clock>) -> Self {
        IssueReader { records, clock }
    }

    /// Lists the known webhooks of the organization with this storage key, which keep the cache current.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn hooks(&self, org: &str) -> Result<Vec<HookState>> {
        list_hooks(&*self.records, org, self.clock.now()).await
    }

    /// Lists the issues of the organization with this storage key, after a repository id and number.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn list(
        &self,
        org: &str,
        filter: &IssueFilter,
        limit: usize,
        after: Option<(i64, i64)>,
    ) -> Result<IssuePage> {
        let now = self.clock.now();
        let as_of = load_org(&*self.records, org, now).await?.0.checked_at;
        let mut range = issue_range(org, self.repo_of(org, filter, now).await?)?;
        if let Some((repo_id, number)) = after {
            range = range.after(&issue_key(org, repo_id, number)?);
        }
        let (mut issues, mut scanned) = (Vec::new(), 0);
        loop {
            let page = list_issues(&*self.records, &range, PAGE_ISSUES, now).await?;
            let is_last = page.len() < PAGE_ISSUES;
            for (key, issue) in page {
                scanned += 1;
                let position = (issue.repo_id, issue.details.number);
                if filter.accepts(&issue) {
                    issues.push(issue);
                }
                if issues.len() == limit || scanned == MAX_SCANNED_ISSUES {
                    return Ok(IssuePage { issues, next: Some(position), as_of });
                }
                range = range.after(&key);
            }
            if is_last {
                return Ok(IssuePage { issues, next: None, as_of });
            }
        }
    }

    /// Returns the id of the only repository with the name that the filter has, so that others are not read.
    async fn repo_of(&self, org: &str, filter: &IssueFilter, now: DateTime<Utc>) -> Result<Option<i64>> {
        let Some(name) = &filter.repo else { return Ok(None) };
        let repos = list_repos(&*self.records, org, now).await?;
        let mut named = repos.values().filter(|it| it.repo.name.eq_ignore_ascii_case(name) && !it.is_gone);
        Ok(match (named.next(), named.next()) {
            (Some(only), None) => Some(only.repo.id),
            _ => None,
        })
    }
}
