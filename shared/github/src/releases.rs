//! Releases, newest first.

use serde_json::json;

use crate::client::Client;
use crate::envelope::GraphQlError;
use crate::error::Error;
use crate::page::{Page, PageSize};
use crate::partial_page::ListEntry;
use crate::queries::{Query, RELEASES, RELEASES_BY_ID};
use crate::repo_ref::RepoRef;
use crate::wire::{Nodes, Release};

impl ListEntry for Release {
    const ENTRIES_PATH: &'static [&'static str] = &["node", "releases", "nodes"];
    const BY_ID: Query = RELEASES_BY_ID;

    fn id(&self) -> &str {
        &self.id
    }
}

impl Client {
    /// Fetches a page of releases, the last created one first. It includes drafts if the token may see them.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the repository is gone; other errors if GitHub cannot be read.
    pub async fn releases(
        &self,
        repo: &RepoRef,
        cursor: Option<&str>,
        size: &mut PageSize,
    ) -> Result<Page<Release>, Error> {
        let variables = json!({ "repo": repo.node_id, "after": cursor });
        self.fetch_page::<Release>(&RELEASES, variables, size).await?.ok_or_else(|| repo.not_found())
    }

    /// Fetches up to 100 releases by node id, without those that are gone or that the token may not read.
    ///
    /// # Errors
    /// If GitHub cannot be read.
    pub async fn releases_by_id(&self, node_ids: &[String]) -> Result<Vec<Release>, Error> {
        let reply = self
            .query::<Nodes<Release>>(
                &RELEASES_BY_ID,
                json!({ "ids": node_ids }),
                None,
                GraphQlError::affects_single_node,
            )
            .await?;
        Ok(reply.data.nodes.into_iter().flatten().collect())
    }
}
