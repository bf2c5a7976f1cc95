//! Deployments, newest first, with all their statuses.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::json;

use crate::client::Client;
use crate::envelope::GraphQlError;
use crate::error::Error;
use crate::page::{Page, PageSize};
use crate::partial_page::ListEntry;
use crate::queries::{DEPLOYMENT_REST, DEPLOYMENTS, DEPLOYMENTS_BY_ID, Query};
use crate::repo_ref::RepoRef;
use crate::wire::{Connection, Deployment, DeploymentStatus, Node, Nodes, append_page};

impl ListEntry for Deployment {
    const ENTRIES_PATH: &'static [&'static str] = &["node", "deployments", "nodes"];
    const BY_ID: Query = DEPLOYMENTS_BY_ID;

    fn id(&self) -> &str {
        &self.id
    }
}

/// The result of looking up a deployment by id.
#[derive(Debug, Clone, PartialEq)]
pub enum DeploymentLookup {
    /// The deployment, with all its statuses.
    Found(Box<Deployment>),
    /// The deployment does not exist.
    Gone,
    /// The token may not read the deployment, or the repository is blocked.
    Refused,
}

#[derive(Deserialize)]
struct WithStatuses {
    statuses: Option<Connection<DeploymentStatus>>,
}

impl Client {
    /// Fetches a page of deployments, the last created one first, each with all its statuses.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the repository is gone; other errors if GitHub cannot be read.
    pub async fn deployments(
        &self,
        repo: &RepoRef,
        cursor: Option<&str>,
        size: &mut PageSize,
    ) -> Result<Page<Deployment>, Error> {
        let variables = json!({ "repo": repo.node_id, "after": cursor });
        let page = self.fetch_page::<Deployment>(&DEPLOYMENTS, variables, size).await?;
        let mut page = page.ok_or_else(|| repo.not_found())?;
        for deployment in &mut page.entries {
            self.fetch_remaining_statuses(deployment).await?;
        }
        Ok(page)
    }

    /// Looks up the first of these deployments by node id, as many as the page size allows. The results are
    /// in the order of `node_ids`.
    ///
    /// # Errors
    /// If GitHub cannot be read.
    pub async fn deployments_by_id(
        &self,
        node_ids: &[String],
        size: &mut PageSize,
    ) -> Result<Vec<DeploymentLookup>, Error> {
        let what = DEPLOYMENTS_BY_ID.what;
        let text = DEPLOYMENTS_BY_ID.text();
        let reply = self
            .retry(what, Some(size), async |first| {
                let batch = &node_ids[..node_ids.len().min(first as usize)];
                let body = json!({ "query": text, "variables": { "ids": batch } });
                let points = DEPLOYMENTS_BY_ID.points;
                self.send_query::<Nodes<Deployment>>(what, points, &body, GraphQlError::affects_single_node)
                    .await
            })
            .await?;
        let refused: BTreeSet<usize> = reply
            .errors
            .iter()
            .filter(|error| error.is_permission_denied())
            .filter_map(|error| error.entry_below(&["nodes"]))
            .collect();
        let mut lookups = Vec::with_capacity(reply.data.nodes.len());
        for (at, node) in reply.data.nodes.into_iter().enumerate() {
            lookups.push(match node {
                Some(mut deployment) => {
                    self.fetch_remaining_statuses(&mut deployment).await?;
                    DeploymentLookup::Found(Box::new(deployment))
                }
                None if refused.contains(&at) => DeploymentLookup::Refused,
                None => DeploymentLookup::Gone,
            });
        }
        Ok(lookups)
    }

    async fn fetch_remaining_statuses(&self, deployment: &mut Deployment) -> Result<(), Error> {
        let mut after = deployment.statuses.as_ref().and_then(|statuses| statuses.page_info.clone().next());
        while after.is_some() {
            let variables = json!({ "id": deployment.id, "after": after });
            let reply =
                self.query::<Node<WithStatuses>>(&DEPLOYMENT_REST, variables, None, |_| false).await?;
            let page = reply.data.node.and_then(|node| node.statuses);
            if page.is_none() {
                return Err(Error::NotFound("a deployment disappeared while it was read".to_owned()));
            }
            after = append_page(deployment.statuses.as_mut(), page);
        }
        Ok(())
    }
}
