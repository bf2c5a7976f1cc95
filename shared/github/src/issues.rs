//! Issues with all their closings.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::json;

use crate::RepoRef;
use crate::client::Client;
use crate::commits::gone;
use crate::error::Error;
use crate::page::{Order, Page, PageSize};
use crate::partial::{Listed, not_told};
use crate::pulls::append;
use crate::queries::{ISSUE_REST, ISSUES, ISSUES_BY_ID, Query};
use crate::wire::{Closing, Connection, Issue, Node};

impl Listed for Issue {
    const ENTRIES: &'static [&'static str] = &["node", "issues", "nodes"];
    const BY_ID: Query = ISSUES_BY_ID;

    fn id(&self) -> &str {
        &self.id
    }
}

#[derive(Deserialize)]
struct HasIssue {
    issue: Option<Rest>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rest {
    timeline_items: Connection<Closing>,
}

impl Client {
    /// A page of the issues that changed at or after `since`, or of all; each with all its closings.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the repository is gone; others where GitHub does not answer.
    pub async fn issues(
        &self,
        repo: &RepoRef,
        order: Order,
        since: Option<DateTime<Utc>>,
        cursor: Option<&str>,
        size: &mut PageSize,
    ) -> Result<Page<Issue>, Error> {
        let order = order.variable();
        let variables = json!({ "repo": repo.node_id, "order": order, "since": since, "after": cursor });
        let mut page = self.list::<Issue>(&ISSUES, variables, size).await?.ok_or_else(|| gone(repo))?;
        for issue in &mut page.entries {
            self.complete_closings(repo, issue).await?;
        }
        Ok(page)
    }

    /// Issues by node id, each with all its closings; those that are gone are left out.
    ///
    /// # Errors
    /// Where GitHub does not answer, or does not tell one of them.
    pub async fn issues_by_id(&self, repo: &RepoRef, node_ids: &[String]) -> Result<Vec<Issue>, Error> {
        let mut issues = self.by_ids(node_ids).await?.ok_or_else(|| not_told("issues"))?;
        for issue in &mut issues {
            self.complete_closings(repo, issue).await?;
        }
        Ok(issues)
    }

    /// Reads the closings that the page had no room for.
    async fn complete_closings(&self, repo: &RepoRef, issue: &mut Issue) -> Result<(), Error> {
        let mut after = issue.timeline_items.page_info.clone().next();
        while after.is_some() {
            let variables = json!({ "repo": repo.node_id, "number": issue.number, "closingsAfter": after });
            let reply = self.query::<Node<HasIssue>>(&ISSUE_REST, variables, None, |_| false).await?;
            let rest = reply.data.node.and_then(|node| node.issue).ok_or_else(|| gone(repo))?;
            after = append(Some(&mut issue.timeline_items), Some(rest.timeline_items));
        }
        Ok(())
    }
}
