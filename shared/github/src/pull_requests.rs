//! Pull requests, with all their reviews and closings.

use serde::Deserialize;
use serde_json::json;

use crate::client::Client;
use crate::error::Error;
use crate::page::{ListOrder, Page, PageSize};
use crate::partial_page::{ListEntry, missing_by_id};
use crate::queries::{PULL_REQUEST_REST, PULL_REQUESTS, PULL_REQUESTS_BY_ID, Query};
use crate::repo_ref::RepoRef;
use crate::wire::{Closing, Connection, Node, PullRequest, Review, append_page};

impl ListEntry for PullRequest {
    const ENTRIES_PATH: &'static [&'static str] = &["node", "pullRequests", "nodes"];
    const BY_ID: Query = PULL_REQUESTS_BY_ID;

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
    /// Fetches a page of pull requests, each with all its reviews and closings.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the repository is gone; other errors if GitHub cannot be read.
    pub async fn pull_requests(
        &self,
        repo: &RepoRef,
        order: ListOrder,
        cursor: Option<&str>,
        size: &mut PageSize,
    ) -> Result<Page<PullRequest>, Error> {
        let variables = json!({ "repo": repo.node_id, "order": order.variable(), "after": cursor });
        let page = self.fetch_page::<PullRequest>(&PULL_REQUESTS, variables, size).await?;
        let mut page = page.ok_or_else(|| repo.not_found())?;
        for pull in &mut page.entries {
            self.fetch_remaining_reviews_and_closings(repo, pull).await?;
        }
        Ok(page)
    }

    /// Fetches pull requests by node id, each with all its reviews and closings, without those that are gone.
    ///
    /// # Errors
    /// If GitHub cannot be read, or does not return one that exists.
    pub async fn pull_requests_by_id(
        &self,
        repo: &RepoRef,
        node_ids: &[String],
    ) -> Result<Vec<PullRequest>, Error> {
        let mut pulls =
            self.fetch_by_ids(node_ids).await?.ok_or_else(|| missing_by_id(PULL_REQUESTS_BY_ID.what))?;
        for pull in &mut pulls {
            self.fetch_remaining_reviews_and_closings(repo, pull).await?;
        }
        Ok(pulls)
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
