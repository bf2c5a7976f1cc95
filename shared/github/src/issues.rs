//! Issues, with all their closings.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::json;

use crate::client::Client;
use crate::error::Error;
use crate::page::{ListOrder, Page, PageSize, UnansweredEntry};
use crate::partial_page::{KnownUnanswered, ListEntry};
use crate::queries::{ISSUE_REST, ISSUES, ISSUES_BASIC, ISSUES_BY_ID, Query};
use crate::repo_ref::RepoRef;
use crate::wire::{Closing, Connection, Issue, Node, append_page};

impl ListEntry for Issue {
    const ENTRIES_PATH: &'static [&'static str] = &["node", "issues", "nodes"];
    const BY_ID: Query = ISSUES_BY_ID;
    const BASIC: Query = ISSUES_BASIC;

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
    /// its closings. Of issues in `known` only the basic fields are requested if GitHub does not return the page.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the repository is gone; other errors if GitHub cannot be read.
    pub async fn issues(
        &self,
        repo: &RepoRef,
        order: ListOrder,
        since: Option<DateTime<Utc>>,
        cursor: Option<&str>,
        known: &KnownUnanswered,
        size: &mut PageSize,
    ) -> Result<Page<Issue>, Error> {
        let order = order.variable();
        let variables = json!({ "repo": repo.node_id, "order": order, "since": since, "after": cursor });
        let page = self.fetch_page::<Issue>(&ISSUES, variables, known, size).await?;
        let page = page.ok_or_else(|| repo.not_found())?;
        self.complete_issues(repo, page).await
    }

    /// Fetches issues by node id, each with all its closings, without those that are gone or that
    /// GitHub does not return.
    ///
    /// # Errors
    /// If GitHub cannot be read.
    pub async fn issues_by_id(&self, repo: &RepoRef, node_ids: &[String]) -> Result<Vec<Issue>, Error> {
        let entries = self.fetch_by_ids::<Issue>(node_ids).await?.entries.into_values().collect();
        let page = Page { entries, unanswered: Vec::new(), next: None };
        Ok(self.complete_issues(repo, page).await?.entries)
    }

    /// Fetches the closings that did not fit into the page.
    async fn complete_issues(&self, repo: &RepoRef, page: Page<Issue>) -> Result<Page<Issue>, Error> {
        let mut complete = Page { entries: Vec::new(), ..page };
        for mut issue in page.entries {
            match self.fetch_remaining_closings(repo, &mut issue).await {
                Ok(()) => complete.entries.push(issue),
                Err(Error::Unanswered { why, .. }) => {
                    complete.unanswered.push(UnansweredEntry { entry: issue, why });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(complete)
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
