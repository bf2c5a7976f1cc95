//! Issues, newest change first, with all their closings.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::json;

use crate::RepoRef;
use crate::client::Client;
use crate::commits::gone;
use crate::error::Error;
use crate::page::{Page, PageSize};
use crate::pulls::append;
use crate::queries::{ISSUE_REST, ISSUES};
use crate::wire::{Closing, Connection, HasIssues, Issue, Node};

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
    /// A page of the issues that changed at or after `since`, the one that changed last first; each
    /// with all its closings.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the repository is gone; others where GitHub does not answer.
    pub async fn issues(
        &self,
        repo: &RepoRef,
        since: Option<DateTime<Utc>>,
        cursor: Option<&str>,
        size: &mut PageSize,
    ) -> Result<Page<Issue>, Error> {
        let variables = json!({ "repo": repo.node_id, "since": since, "after": cursor });
        let reply = self.query::<Node<HasIssues>>(&ISSUES, variables, Some(size), |_| false).await?;
        let issues = reply.data.node.ok_or_else(|| gone(repo))?.issues;
        let next = issues.page_info.clone().next();
        let mut entries = issues.entries();
        for issue in &mut entries {
            let mut after = issue.timeline_items.page_info.clone().next();
            while after.is_some() {
                let variables =
                    json!({ "repo": repo.node_id, "number": issue.number, "closingsAfter": after });
                let reply = self.query::<Node<HasIssue>>(&ISSUE_REST, variables, None, |_| false).await?;
                let rest = reply.data.node.and_then(|node| node.issue).ok_or_else(|| gone(repo))?;
                after = append(Some(&mut issue.timeline_items), Some(rest.timeline_items));
            }
        }
        Ok(Page { entries, next })
    }
}
