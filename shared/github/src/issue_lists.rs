//! Lists of issues that change while they are read.
//!
//! Both lists are in order of the last change, the oldest first. The next page begins at the time of the last entry, not
//! at a page number: an issue that is closed or changed in between would shift another one to the page before, where
//! nobody sees it.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use gam_model::issue::{IssueListPosition, RestIssue};

use crate::client::Client;
use crate::error::Error;
use crate::issue_details::{DetailedIssue, ISSUES, without_relations};

/// How many issues one request lists.
const ISSUES_PER_REQUEST: usize = 100;

/// Which issues to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IssueQuery {
    /// All open ones.
    Open,
    /// All that changed at this time or later, UTC.
    ChangedSince(DateTime<Utc>),
}

impl IssueQuery {
    fn state(self) -> &'static str {
        match self {
            IssueQuery::Open => "open",
            IssueQuery::ChangedSince(_) => "all",
        }
    }

    fn start(self) -> IssueListPosition {
        let since = match self {
            IssueQuery::Open => None,
            IssueQuery::ChangedSince(since) => Some(since),
        };
        IssueListPosition { since, page: 1, last_number: None }
    }
}

/// A page of a list of issues, without pull requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuesPage {
    /// The issues, in order of their last change.
    pub issues: Vec<DetailedIssue>,
    /// Where the next page begins. `None` if there is none.
    pub next: Option<IssueListPosition>,
}

impl Client {
    /// Lists a page of issues: the first one, or the one at a position. An issue may be on several pages. The last page
    /// ends with what changed last, so no change before that is missing, whatever changes meanwhile.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the repository is gone, or has issues switched off; other errors if GitHub cannot be read.
    pub async fn list_issue_details(
        &self,
        (owner, repo): (&str, &str),
        query: IssueQuery,
        position: Option<IssueListPosition>,
    ) -> Result<IssuesPage, Error> {
        let mut position = position.unwrap_or_else(|| query.start());
        let mut listed = self.issues_at((owner, repo), query, position).await?;
        if position.page > 1 {
            // More changes of one second than fit on a page. If the page before ends with another issue by now, this one
            // may lack what moved there.
            let before = IssueListPosition { page: position.page - 1, ..position };
            let relisted = self.issues_at((owner, repo), query, before).await?;
            if relisted.last().map(RestIssue::number) != position.last_number {
                (listed, position) = (relisted, before);
            }
        }
        let next = next_position(position, &listed);
        let mut issues: Vec<_> =
            listed.into_iter().filter_map(RestIssue::into_details).map(without_relations).collect();
        self.add_relations(&mut issues).await?;
        Ok(IssuesPage { issues, next })
    }

    async fn issues_at(
        &self,
        (owner, repo): (&str, &str),
        query: IssueQuery,
        position: IssueListPosition,
    ) -> Result<Vec<RestIssue>, Error> {
        let IssueListPosition { since, page, .. } = position;
        let since = since.map(|since| since.to_rfc3339_opts(SecondsFormat::Secs, true));
        let since = since.map(|since| format!("&since={since}")).unwrap_or_default();
        let path = format!(
            "/repos/{owner}/{repo}/issues?state={}&sort=updated&direction=asc{since}\
             &per_page={ISSUES_PER_REQUEST}&page={page}",
            query.state()
        );
        let (listed, _) = self.get::<Vec<RestIssue>>(ISSUES, &path).await?;
        Ok(listed)
    }
}

/// Returns where the page after one begins. `None` if that one is the last.
fn next_position(position: IssueListPosition, listed: &[RestIssue]) -> Option<IssueListPosition> {
    let last = listed.last().filter(|_| listed.len() >= ISSUES_PER_REQUEST)?;
    // A second earlier, in case a server takes `since` as later than that time.
    let since = last.updated_at() - TimeDelta::seconds(1);
    Some(match position.since.is_none_or(|known| known < since) {
        true => IssueListPosition { since: Some(since), page: 1, last_number: None },
        false => IssueListPosition { page: position.page + 1, last_number: Some(last.number()), ..position },
    })
}
