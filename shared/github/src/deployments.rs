//! Deployments, the one created last first, with all their statuses.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::json;

use crate::RepoRef;
use crate::client::Client;
use crate::commits::gone;
use crate::envelope::GraphQlError;
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

/// What GitHub shows of a deployment that is asked for by id.
#[derive(Debug, Clone, PartialEq)]
pub enum Shown {
    /// All of it.
    Whole(Box<Deployment>),
    /// Nothing: there is none.
    Gone,
    /// Nothing: the token may not see it, or the repository is blocked.
    Refused,
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

    /// The first of these deployments by node id, as many as the size allows, in the order asked for.
    ///
    /// # Errors
    /// Where GitHub does not answer.
    pub async fn deployments_by_id(
        &self,
        node_ids: &[String],
        size: &mut PageSize,
    ) -> Result<Vec<Shown>, Error> {
        let what = DEPLOYMENTS_BY_ID.what;
        let text = DEPLOYMENTS_BY_ID.text();
        let reply = self
            .persist(what, Some(size), async |first| {
                let now = &node_ids[..node_ids.len().min(first as usize)];
                let body = json!({ "query": text, "variables": { "ids": now } });
                let points = DEPLOYMENTS_BY_ID.points;
                self.ask::<Nodes<Deployment>>(what, points, &body, GraphQlError::is_of_a_node).await
            })
            .await?;
        let refused: BTreeSet<usize> = reply
            .errors
            .iter()
            .filter(|error| error.is_refusal())
            .filter_map(|error| error.entry_below(&["nodes"]))
            .collect();
        let mut shown = Vec::with_capacity(reply.data.nodes.len());
        for (at, node) in reply.data.nodes.into_iter().enumerate() {
            shown.push(match node {
                Some(mut deployment) => {
                    self.complete_statuses(&mut deployment).await?;
                    Shown::Whole(Box::new(deployment))
                }
                None if refused.contains(&at) => Shown::Refused,
                None => Shown::Gone,
            });
        }
        Ok(shown)
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
