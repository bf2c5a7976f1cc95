//! Pull requests with all their reviews and closings.

use serde::Deserialize;
use serde_json::json;

use crate::RepoRef;
use crate::client::Client;
use crate::commits::gone;
use crate::error::Error;
use crate::page::{Order, Page, PageSize};
use crate::partial::{Listed, not_told};
use crate::queries::{PULL_REQUEST_REST, PULL_REQUESTS, PULL_REQUESTS_BY_ID, Query};
use crate::wire::{Closing, Connection, Node, PageInfo, PullRequest, Review};

impl Listed for PullRequest {
    const ENTRIES: &'static [&'static str] = &["node", "pullRequests", "nodes"];
    const BY_ID: Query = PULL_REQUESTS_BY_ID;

    fn id(&self) -> &str {
        &self.id
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HasPullRequest {
    pull_request: Option<Rest>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rest {
    reviews: Option<Connection<Review>>,
    timeline_items: Option<Connection<Closing>>,
}

impl Client {
    /// A page of pull requests, each with all its reviews and closings.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the repository is gone; others where GitHub does not answer.
    pub async fn pull_requests(
        &self,
        repo: &RepoRef,
        order: Order,
        cursor: Option<&str>,
        size: &mut PageSize,
    ) -> Result<Page<PullRequest>, Error> {
        let variables = json!({ "repo": repo.node_id, "order": order.variable(), "after": cursor });
        let page = self.list::<PullRequest>(&PULL_REQUESTS, variables, size).await?;
        let mut page = page.ok_or_else(|| gone(repo))?;
        for pull in &mut page.entries {
            self.complete(repo, pull).await?;
        }
        Ok(page)
    }

    /// Pull requests by node id, each with all its reviews and closings; those that are gone are left out.
    ///
    /// # Errors
    /// Where GitHub does not answer, or does not tell one of them.
    pub async fn pull_requests_by_id(
        &self,
        repo: &RepoRef,
        node_ids: &[String],
    ) -> Result<Vec<PullRequest>, Error> {
        let mut pulls = self.by_ids(node_ids).await?.ok_or_else(|| not_told("pull requests"))?;
        for pull in &mut pulls {
            self.complete(repo, pull).await?;
        }
        Ok(pulls)
    }

    /// Reads what the page had no room for.
    async fn complete(&self, repo: &RepoRef, pull: &mut PullRequest) -> Result<(), Error> {
        let mut reviews = pull.reviews.as_ref().and_then(|reviews| reviews.page_info.clone().next());
        let mut closings = pull.timeline_items.page_info.clone().next();
        while reviews.is_some() || closings.is_some() {
            let variables = json!({
                "repo": repo.node_id, "number": pull.number,
                "reviews": reviews.is_some(), "reviewsAfter": reviews,
                "closings": closings.is_some(), "closingsAfter": closings,
            });
            let reply =
                self.query::<Node<HasPullRequest>>(&PULL_REQUEST_REST, variables, None, |_| false).await?;
            let rest = reply.data.node.and_then(|node| node.pull_request).ok_or_else(|| gone(repo))?;
            reviews = append(pull.reviews.as_mut(), rest.reviews);
            closings = append(Some(&mut pull.timeline_items), rest.timeline_items);
        }
        Ok(())
    }
}

/// Appends a page to a list; where the next one starts, if there is one.
pub(crate) fn append<T>(list: Option<&mut Connection<T>>, page: Option<Connection<T>>) -> Option<String> {
    let (list, page) = (list?, page?);
    list.nodes.get_or_insert_default().extend(page.nodes.unwrap_or_default());
    list.page_info = PageInfo::default();
    page.page_info.next()
}
