//! Releases, the one created last first.

use serde_json::json;

use crate::RepoRef;
use crate::client::Client;
use crate::commits::gone;
use crate::error::Error;
use crate::page::{Page, PageSize};
use crate::queries::{RELEASES, RELEASES_BY_ID};
use crate::wire::{HasReleases, Node, Nodes, Release};

impl Client {
    /// A page of releases, the one created last first; drafts among them where the token may see them.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the repository is gone; others where GitHub does not answer.
    pub async fn releases(
        &self,
        repo: &RepoRef,
        cursor: Option<&str>,
        size: &mut PageSize,
    ) -> Result<Page<Release>, Error> {
        let variables = json!({ "repo": repo.node_id, "after": cursor });
        let reply = self.query::<Node<HasReleases>>(&RELEASES, variables, Some(size), |_| false).await?;
        let releases = reply.data.node.ok_or_else(|| gone(repo))?.releases;
        Ok(Page { next: releases.page_info.clone().next(), entries: releases.entries() })
    }

    /// Up to 100 releases by node id; those that are gone are left out.
    ///
    /// # Errors
    /// Where GitHub does not answer.
    pub async fn releases_by_id(&self, node_ids: &[String]) -> Result<Vec<Release>, Error> {
        let reply = self
            .query::<Nodes<Release>>(&RELEASES_BY_ID, json!({ "ids": node_ids }), None, |error| {
                error.is_not_found()
            })
            .await?;
        Ok(reply.data.nodes.into_iter().flatten().collect())
    }
}
