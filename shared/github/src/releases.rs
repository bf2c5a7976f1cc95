//! Releases, newest first.

use serde_json::json;

use crate::client::Client;
use crate::envelope::GraphQlError;
use crate::error::Error;
use crate::page::{Page, PageSize};
use crate::partial_page::{KnownUnanswered, ListEntry};
use crate::queries::{Query, RELEASES, RELEASES_BASIC, RELEASES_BY_ID};
use crate::repo_ref::RepoRef;
use crate::wire::{Nodes, Release};

impl ListEntry for Release {
    const ENTRIES_PATH: &'static [&'static str] = &["node", "releases", "nodes"];
    const BY_ID: Query = RELEASES_BY_ID;
    const BASIC: Query = RELEASES_BASIC;

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
        known: &KnownUnanswered,
        size: &mut PageSize,
    ) -> Result<Page<Release>, Error> {
        let variables = json!({ "repo": repo.node_id, "after": cursor });
        let page = self.fetch_page::<Release>(&RELEASES, variables, known, size).await?;
        page.ok_or_else(|| repo.not_found())
    }

    /// Fetches up to 100 releases by node id, without those that are gone, that the token may not read, or
    /// that GitHub fails to return.
    ///
    /// # Errors
    /// If GitHub cannot be read.
    pub async fn releases_by_id(&self, node_ids: &[String]) -> Result<Vec<Release>, Error> {
        let variables = json!({ "ids": node_ids });
        // The size lets the policy notice that the request is too heavy.
        let mut size = PageSize::new(node_ids.len() as u32);
        let policy = self.policy_without_shrinking();
        let is_tolerated = GraphQlError::affects_single_node;
        let reply = self
            .query_with_policy::<Nodes<Release>>(
                &policy,
                &RELEASES_BY_ID,
                variables,
                Some(&mut size),
                is_tolerated,
            )
            .await;
        match reply {
            Ok(reply) => Ok(reply.data.nodes.into_iter().flatten().collect()),
            Err(Error::Unanswered { .. }) => {
                Ok(self.fetch_by_ids(node_ids).await?.entries.into_values().collect())
            }
            Err(error) => Err(error),
        }
    }
}
