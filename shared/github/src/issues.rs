//! Issues, with all their closings.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::json;

use crate::client::Client;
use crate::error::Error;
use crate::page::{ListOrder, Page, PageSize};
use crate::partial_page::{ListEntry, missing_by_id};
use crate::queries::{ISSUE_REST, ISSUES, ISSUES_BY_ID, Query};
use crate::repo_ref::RepoRef;
use crate::wire::{Closing, Connection, Issue, Node, append_page};

impl ListEntry for Issue {
    const ENTRIES_PATH: &'static [&'static str] = &["node", "issues", "nodes"];
    const BY_ID: Query = ISSUES_BY_ID;

    fn id(&self) -> &str {
        &self.id
    }
}

#[derive(Deserialize)]
struct WithIssue {
    issue: Option<FollowingClosings>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FollowingClosings {
    timeline_items: Connection<Closing>,
}

impl Client {
    /// Fetches a page of the issues that changed at or after `since` (all issues if `None`), each with all
    /// its closings.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the repository is gone; other errors if GitHub cannot be read.
    pub async fn issues(
        &self,
        repo: &RepoRef,
        order: ListOrder,
        since: Option<DateTime<Utc>>,
        cursor: Option<&str>,
        size: &mut PageSize,
    ) -> Result<Page<Issue>, Error> {
        let order = order.variable();
        let variables = json!({ "repo": repo.node_id, "order": order, "since": since, "after": cursor });
        let page = self.fetch_page::<Issue>(&ISSUES, variables, size).await?;
        let mut page = page.ok_or_else(|| repo.not_found())?;
        for issue in &mut page.entries {
            self.fetch_remaining_closings(repo, issue).await?;
        }
        Ok(page)
    }

    /// Fetches issues by node id, each with all its closings, without those that are gone.
    ///
    /// # Errors
    /// If GitHub cannot be read, or does not return one that exists.
    pub async fn issues_by_id(&self, repo: &RepoRef, node_ids: &[String]) -> Result<Vec<Issue>, Error> {
        let mut issues =
            self.fetch_by_ids(node_ids).await?.ok_or_else(|| missing_by_id(ISSUES_BY_ID.what))?;
        for issue in &mut issues {
            self.fetch_remaining_closings(repo, issue).await?;
        }
        Ok(issues)
    }

    async fn fetch_remaining_closings(&self, repo: &RepoRef, issue: &mut Issue) -> Result<(), Error> {
        let mut after = issue.timeline_items.page_info.clone().next();
        while after.is_some() {
            let variables = json!({ "repo": repo.node_id, "number": issue.number, "closingsAfter": after });
            let reply = self.query::<Node<WithIssue>>(&ISSUE_REST, variables, None, |_| false).await?;
            let page = reply.data.node.and_then(|node| node.issue).ok_or_else(|| repo.not_found())?;
            after = append_page(Some(&mut issue.timeline_items), Some(page.timeline_items));
        }
        Ok(())
    }
}
