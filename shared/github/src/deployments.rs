//! Deployments, newest first, with all their statuses.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::json;

use crate::by_id::FetchedById;
use crate::client::Client;
use crate::envelope::GraphQlError;
use crate::error::Error;
use crate::page::{Page, PageSize, UnansweredEntry};
use crate::partial_page::{KnownUnanswered, ListEntry};
use crate::queries::{DEPLOYMENT_REST, DEPLOYMENTS, DEPLOYMENTS_BASIC, DEPLOYMENTS_BY_ID, Query};
use crate::repo_ref::RepoRef;
use crate::retry::RetryPolicy;
use crate::wire::{Connection, Deployment, DeploymentStatus, Node, Nodes, append_page};

impl ListEntry for Deployment {
    const ENTRIES_PATH: &'static [&'static str] = &["node", "deployments", "nodes"];
    const BY_ID: Query = DEPLOYMENTS_BY_ID;
    const BASIC: Query = DEPLOYMENTS_BASIC;

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
    /// The token may not read the deployment, the repository is blocked, or GitHub fails to return the
    /// deployment.
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
        let page =
            self.fetch_page::<Deployment>(&DEPLOYMENTS, variables, &KnownUnanswered::new(), size).await?;
        let page = page.ok_or_else(|| repo.not_found())?;
        let mut complete = Page { entries: Vec::new(), ..page };
        for mut deployment in page.entries {
            match self.fetch_remaining_statuses(&mut deployment).await {
                Ok(()) => complete.entries.push(deployment),
                Err(Error::Unanswered { why, .. }) => {
                    complete.unanswered.push(UnansweredEntry { entry: deployment, why });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(complete)
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
        let policy = RetryPolicy { max_shrinks: Some(1), ..self.retry_policy() };
        let reply = policy
            .run(what, Some(size), async |first| {
                let batch = &node_ids[..node_ids.len().min(first as usize)];
                let body = json!({ "query": text, "variables": { "ids": batch } });
                let points = DEPLOYMENTS_BY_ID.points;
                self.send_query::<Nodes<Deployment>>(what, points, &body, GraphQlError::affects_single_node)
                    .await
            })
            .await;
        let reply = match reply {
            Ok(reply) => reply,
            Err(Error::Unanswered { .. }) => return self.look_up_one_by_one(node_ids).await,
            Err(error) => return Err(error),
        };
        let refused: BTreeSet<usize> = reply
            .errors
            .iter()
            .filter(|error| error.is_permission_denied())
            .filter_map(|error| error.entry_below(&["nodes"]))
            .collect();
        let mut lookups = Vec::with_capacity(reply.data.nodes.len());
        for (at, node) in reply.data.nodes.into_iter().enumerate() {
            lookups.push(match node {
                Some(deployment) => self.complete_lookup(deployment).await?,
                None if refused.contains(&at) => DeploymentLookup::Refused,
                None => DeploymentLookup::Gone,
            });
        }
        Ok(lookups)
    }

    /// Looks up deployments that GitHub does not return together: one of them may be to blame.
    async fn look_up_one_by_one(&self, node_ids: &[String]) -> Result<Vec<DeploymentLookup>, Error> {
        let FetchedById { mut entries, unanswered } = self.fetch_by_ids::<Deployment>(node_ids).await?;
        let mut lookups = Vec::with_capacity(node_ids.len());
        for id in node_ids {
            lookups.push(match entries.remove(id) {
                Some(deployment) => self.complete_lookup(deployment).await?,
                None if unanswered.contains_key(id) => DeploymentLookup::Refused,
                None => DeploymentLookup::Gone,
            });
        }
        Ok(lookups)
    }

    async fn complete_lookup(&self, mut deployment: Deployment) -> Result<DeploymentLookup, Error> {
        match self.fetch_remaining_statuses(&mut deployment).await {
            Ok(()) => Ok(DeploymentLookup::Found(Box::new(deployment))),
            Err(Error::Unanswered { .. }) => Ok(DeploymentLookup::Refused),
            Err(error) => Err(error),
        }
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
