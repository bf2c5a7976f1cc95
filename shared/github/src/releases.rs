//! Releases, the one created last first.

use serde_json::json;

use crate::RepoRef;
use crate::client::Client;
use crate::commits::gone;
use crate::error::Error;
use crate::page::{Page, PageSize};
use crate::queries::RELEASES;
use crate::wire::{HasReleases, Node, Release};

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
}
