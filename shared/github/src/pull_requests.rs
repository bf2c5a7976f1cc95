//! Pull requests, with all their reviews and closings.

use serde::Deserialize;
use serde_json::json;

use crate::client::Client;
use crate::error::Error;
use crate::page::{ListOrder, Page, PageSize, UnansweredEntry};
use crate::partial_page::{KnownUnanswered, ListEntry};
use crate::queries::{PULL_REQUEST_REST, PULL_REQUESTS, PULL_REQUESTS_BASIC, PULL_REQUESTS_BY_ID, Query};
use crate::repo_ref::RepoRef;
use crate::wire::{Closing, Connection, Node, PullRequest, Review, append_page};

impl ListEntry for PullRequest {
    const ENTRIES_PATH: &'static [&'static str] = &["node", "pullRequests", "nodes"];
    const BY_ID: Query = PULL_REQUESTS_BY_ID;
    const BASIC: Query = PULL_REQUESTS_BASIC;

    fn id(&self) -> &str {
        &self.id
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WithPullRequest {
    pull_request: Option<FollowingPages>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FollowingPages {
    reviews: Option<Connection<Review>>,
    timeline_items: Option<Connection<Closing>>,
}

impl Client {
    /// Fetches a page of pull requests, each with all its reviews and closings. Of those in `known` only the basic
    /// fields are requested if GitHub does not return the page.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the repository is gone; other errors if GitHub cannot be read.
    pub async fn pull_requests(
        &self,
        repo: &RepoRef,
        order: ListOrder,
        cursor: Option<&str>,
        known: &KnownUnanswered,
        size: &mut PageSize,
    ) -> Result<Page<PullRequest>, Error> {
        let variables = json!({ "repo": repo.node_id, "order": order.variable(), "after": cursor });
        let page = self.fetch_page::<PullRequest>(&PULL_REQUESTS, variables, known, size).await?;
        let page = page.ok_or_else(|| repo.not_found())?;
        self.complete_pull_requests(repo, page).await
    }

    /// Fetches pull requests by node id, each with all its reviews and closings, without those that are gone or
    /// that GitHub does not return.
    ///
    /// # Errors
    /// If GitHub cannot be read.
    pub async fn pull_requests_by_id(
        &self,
        repo: &RepoRef,
        node_ids: &[String],
    ) -> Result<Vec<PullRequest>, Error> {
        let entries = self.fetch_by_ids::<PullRequest>(node_ids).await?.entries.into_values().collect();
        let page = Page { entries, unanswered: Vec::new(), next: None };
        Ok(self.complete_pull_requests(repo, page).await?.entries)
    }

    /// Fetches the reviews and closings that did not fit into the page.
    async fn complete_pull_requests(
        &self,
        repo: &RepoRef,
        page: Page<PullRequest>,
    ) -> Result<Page<PullRequest>, Error> {
        let mut complete = Page { entries: Vec::new(), ..page };
        for mut pull in page.entries {
            match self.fetch_remaining_reviews_and_closings(repo, &mut pull).await {
                Ok(()) => complete.entries.push(pull),
                Err(Error::Unanswered { why, .. }) => {
                    complete.unanswered.push(UnansweredEntry { entry: pull, why });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(complete)
    }

    async fn fetch_remaining_reviews_and_closings(
        &self,
        repo: &RepoRef,
        pull: &mut PullRequest,
    ) -> Result<(), Error> {
        let mut reviews = pull.reviews.as_ref().and_then(|reviews| reviews.page_info.clone().next());
        let mut closings = pull.timeline_items.page_info.clone().next();
        while reviews.is_some() || closings.is_some() {
            let variables = json!({
                "repo": repo.node_id, "number": pull.number,
                "reviews": reviews.is_some(), "reviewsAfter": reviews,
                "closings": closings.is_some(), "closingsAfter": closings,
            });
            let reply =
                self.query::<Node<WithPullRequest>>(&PULL_REQUEST_REST, variables, None, |_| false).await?;
            let pages = reply.data.node.and_then(|node| node.pull_request).ok_or_else(|| repo.not_found())?;
            reviews = append_page(pull.reviews.as_mut(), pages.reviews);
            closings = append_page(Some(&mut pull.timeline_items), pages.timeline_items);
        }
        Ok(())
    }
}
