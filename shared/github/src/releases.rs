//! Releases, the one created last first.

use serde_json::json;

use crate::RepoRef;
use crate::client::Client;
use crate::commits::gone;
use crate::envelope::GraphQlError;
use crate::error::Error;
use crate::page::{Page, PageSize};
use crate::partial::Listed;
use crate::queries::{Query, RELEASES, RELEASES_BY_ID};
use crate::wire::{Nodes, Release};

impl Listed for Release {
    const ENTRIES: &'static [&'static str] = &["node", "releases", "nodes"];
    const BY_ID: Query = RELEASES_BY_ID;

    fn id(&self) -> &str {
        &self.id
    }
}

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
        self.list::<Release>(&RELEASES, variables, size).await?.ok_or_else(|| gone(repo))
    }

    /// Up to 100 releases by node id; those that are gone or refused are left out.
    ///
    /// # Errors
    /// Where GitHub does not answer.
    pub async fn releases_by_id(&self, node_ids: &[String]) -> Result<Vec<Release>, Error> {
        let reply = self
            .query::<Nodes<Release>>(
                &RELEASES_BY_ID,
                json!({ "ids": node_ids }),
                None,
                GraphQlError::is_of_a_node,
            )
            .await?;
        Ok(reply.data.nodes.into_iter().flatten().collect())
    }
}
