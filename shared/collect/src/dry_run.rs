//! What a collection would read, and about what that would cost. Nothing is written.

use std::collections::{BTreeMap, HashMap};

use gam_github::Client;
use gam_store::keys::CheckpointKey;

use crate::DryRunPorts;
use crate::checkpoint::RepoCheckpoint;
use crate::plan::{self, Estimate};
use crate::{CollectError, CollectRequest, asked_span, chosen};
use gam_store::{Checkpoint, OrgCheckpoint};

/// What a repository has to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedRepo {
    /// The repository's name.
    pub repo: String,
    /// What is to be read, and about how many requests and points that takes.
    pub readings: Vec<Estimate>,
}

/// What a collection would read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CollectPlan {
    /// The organization, as GitHub spells it.
    pub org: String,
    /// How many repositories are in question.
    pub repos: usize,
    /// Those with something to read, by name.
    pub planned: Vec<PlannedRepo>,
    /// Repositories that were asked for and are not there, or cannot be read, with the reason.
    pub failed: Vec<(String, String)>,
    /// Requests and points that planning took, and that a collection takes again.
    pub probing: gam_github::Usage,
}

impl CollectPlan {
    /// About how many requests and points it takes at most: how far back a list has to be read shows only
    /// when it is read. Threads that are too long for a page take more.
    pub fn total(&self) -> (u64, u64) {
        let readings = self.planned.iter().flat_map(|repo| &repo.readings);
        let start = (self.probing.requests, self.probing.points);
        readings.fold(start, |(requests, points), it| (requests + it.requests, points + it.points))
    }
}

/// Plans a collection: what it would read now, and about what that would cost.
///
/// # Errors
/// Where the organization cannot be read, or the store fails.
pub async fn dry_run(
    ports: &DryRunPorts,
    github: &Client,
    request: &CollectRequest,
) -> Result<CollectPlan, CollectError> {
    let span = asked_span(ports.clock.now(), request)?;
    let github = github.for_org(&request.org).await?.metered();
    let probe = github.probe(&request.org).await?;
    let probing = github.usage();
    let (repos, mut failed) = chosen(&probe, &request.repos)?;
    let (org, held) = match &ports.checkpoints {
        None => (OrgCheckpoint::default(), BTreeMap::new()),
        Some(store) => {
            let key = CheckpointKey::Org(probe.login.clone());
            let org: Checkpoint<OrgCheckpoint> = Checkpoint::load(&**store, &key).await?;
            (org.value, Checkpoint::<RepoCheckpoint>::load_repos(&**store, &probe.login).await?)
        }
    };
    let span = span.widened(org.since);
    // How many commits a walk would find, at first or further back; what is new since is not counted.
    let unread = |id: i64| {
        let covered = held.get(&id).and_then(|held| held.value.commits.covered.as_ref());
        !span.is_known(covered.map(|covered| covered.since))
    };
    let first: Vec<String> = repos
        .iter()
        .filter(|repo| repo.tip.is_some() && unread(repo.id))
        .map(|repo| repo.node_id.clone())
        .collect();
    let commits: HashMap<String, i64> =
        github.count_default_branch_commits(&first, Some(span.since(None)), span.until).await?;
    let mut planned = Vec::new();
    for repo in &repos {
        let checkpoint = held.get(&repo.id).map(|held| held.value.clone()).unwrap_or_default();
        let readings =
            plan::readings(&probe, repo, checkpoint, span, &HashMap::new(), false, ports.clock.now());
        let commits = commits.get(&repo.node_id).copied();
        let readings: Vec<Estimate> = readings.iter().map(|reading| reading.estimate(commits)).collect();
        if !readings.is_empty() {
            planned.push(PlannedRepo { repo: repo.name.clone(), readings });
        }
    }
    if request.repos.is_empty() {
        failed.extend(probe.unreadable.iter().cloned());
    }
    Ok(CollectPlan { org: probe.login.clone(), repos: repos.len(), planned, failed, probing })
}
