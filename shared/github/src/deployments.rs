//! Deployments, the one created last first, with all their statuses.

use serde::Deserialize;
use serde_json::json;

use crate::RepoRef;
use crate::client::Client;
use crate::commits::gone;
use crate::error::Error;
use crate::page::{Page, PageSize};
use crate::partial::Listed;
use crate::pulls::append;
use crate::queries::{DEPLOYMENT_REST, DEPLOYMENTS, DEPLOYMENTS_BY_ID, Query};
use crate::wire::{Connection, Deployment, DeploymentStatus, Node, Nodes};

impl Listed for Deployment {
    const ENTRIES: &'static [&'static str] = &["node", "deployments", "nodes"];
    const BY_ID: Query = DEPLOYMENTS_BY_ID;

    fn id(&self) -> &str {
        &self.id
    }
}

#[derive(Deserialize)]
struct HasStatuses {
    statuses: Option<Connection<DeploymentStatus>>,
}

impl Client {
    /// A page of deployments, the one created last first; each with all its statuses.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the repository is gone; others where GitHub does not answer.
    pub async fn deployments(
        &self,
        repo: &RepoRef,
        cursor: Option<&str>,
        size: &mut PageSize,
    ) -> Result<Page<Deployment>, Error> {
        let variables = json!({ "repo": repo.node_id, "after": cursor });
        let page = self.list::<Deployment>(&DEPLOYMENTS, variables, size).await?;
        let mut page = page.ok_or_else(|| gone(repo))?;
        for deployment in &mut page.entries {
            self.complete_statuses(deployment).await?;
        }
        Ok(page)
    }

    /// Up to 100 deployments by node id; `None` for one that is gone.
    ///
    /// # Errors
    /// Where GitHub does not answer.
    pub async fn deployments_by_id(&self, node_ids: &[String]) -> Result<Vec<Option<Deployment>>, Error> {
        let reply = self
            .query::<Nodes<Deployment>>(&DEPLOYMENTS_BY_ID, json!({ "ids": node_ids }), None, |error| {
                error.is_not_found()
            })
            .await?;
        let mut deployments = reply.data.nodes;
        for deployment in deployments.iter_mut().flatten() {
            self.complete_statuses(deployment).await?;
        }
        Ok(deployments)
    }

    /// Reads the statuses that the page had no room for.
    async fn complete_statuses(&self, deployment: &mut Deployment) -> Result<(), Error> {
        let mut after = deployment.statuses.as_ref().and_then(|statuses| statuses.page_info.clone().next());
        while after.is_some() {
            let variables = json!({ "id": deployment.id, "after": after });
            let reply = self.query::<Node<HasStatuses>>(&DEPLOYMENT_REST, variables, None, |_| false).await?;
            let rest = reply.data.node.and_then(|node| node.statuses);
            if rest.is_none() {
                return Err(Error::NotFound("a deployment went away while it was read".to_owned()));
            }
            after = append(deployment.statuses.as_mut(), rest);
        }
        Ok(())
    }
}
