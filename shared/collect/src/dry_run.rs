//! Estimates what a collection would read and what that would cost. Writes nothing.

use std::collections::{BTreeMap, HashMap};

use gam_github::{Client, Usage};
use gam_lake::configuration;
use gam_store::keys::CheckpointKey;
use gam_store::{Checkpoint, OrgCheckpoint};

use crate::context::{RepoContext, Warnings};
use crate::deployments::SettlementAnswers;
use crate::org::RequestedOrg;
use crate::scope::Scope;
use crate::task::{self, TaskEstimate};
use crate::window::{CollectionWindow, RequestedDays};
use crate::writer::Checkpoints;
use crate::{CollectError, CollectRequest, DryRunPorts};

/// What a collection would read of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedRepo {
    /// The repository's name.
    pub repo: String,
    /// The repository's read tasks, with their estimated cost.
    pub tasks: Vec<TaskEstimate>,
}

/// What a collection would read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CollectPlan {
    /// The organization's login, as GitHub writes it.
    pub org: String,
    /// Number of repositories in scope.
    pub repos: usize,
    /// The repositories with something to read, by name.
    pub planned: Vec<PlannedRepo>,
    /// Names of repositories that do not exist or cannot be read, with the reason.
    pub failed: Vec<(String, String)>,
    /// What listing the repositories cost. A collection lists them again.
    pub probing: Usage,
}

impl CollectPlan {
    /// Returns an upper estimate of requests and points. How far back a list has to be read is known only
    /// after reading it, so the estimate counts complete lists. Threads that do not fit into one page cost
    /// more. So do workflow runs: their number is unknown, and counts as one page.
    pub fn total(&self) -> (u64, u64) {
        let tasks = self.planned.iter().flat_map(|repo| &repo.tasks);
        let start = (self.probing.requests, self.probing.points);
        tasks.fold(start, |(requests, points), task| (requests + task.requests, points + task.points))
    }
}

/// Estimates what a collection would read now and what that would cost.
///
/// # Errors
/// If the request is invalid, the organization cannot be read, or the store fails.
pub async fn dry_run(
    ports: &DryRunPorts,
    github: &Client,
    request: &CollectRequest,
) -> Result<CollectPlan, CollectError> {
    let days = RequestedDays::from_request(request, ports.clock.now())?;
    let org = RequestedOrg::find(&*ports.objects, &request.org).await?;
    let github = org.sign_in(&*ports.objects, github).await?;
    let probe = org.probe(&*ports.objects, &github).await?;
    let probing = github.usage();
    let key = org.identify(&probe, ports.clock.now())?.key;
    let configuration = configuration::latest(&*ports.objects, &key).await?.configuration;
    let scope = Scope::from_names(&key, probe, &request.repos)?.without_excluded(&configuration);
    let (org, checkpoints) = load_all_checkpoints(ports, &key).await?;
    let window = CollectionWindow::resolve(&days, org.since);
    let commits = count_uncovered_commits(&github, &scope, &checkpoints, window).await?;
    let mut planned = Vec::new();
    for repo in &scope.repos {
        let (now, warnings) = (ports.clock.now(), Warnings::default());
        let context = RepoContext::new(&key, &scope.probe, repo, window, now, &warnings);
        let checkpoint = checkpoints.get(&repo.id).map(|stored| stored.value.clone()).unwrap_or_default();
        let answers = SettlementAnswers::new();
        let tasks =
            task::tasks(&context, repo, checkpoint, answers, Vec::new(), &configuration.deploy_workflows);
        let commits = commits.get(&repo.node_id).copied();
        let tasks: Vec<TaskEstimate> = tasks.iter().map(|task| task.estimate(commits)).collect();
        if !tasks.is_empty() {
            planned.push(PlannedRepo { repo: repo.name.clone(), tasks });
        }
    }
    Ok(CollectPlan {
        org: scope.probe.login.clone(),
        repos: scope.repos.len(),
        planned,
        failed: scope.failures(&BTreeMap::new()),
        probing,
    })
}

async fn load_all_checkpoints(
    ports: &DryRunPorts,
    org: &str,
) -> Result<(OrgCheckpoint, Checkpoints), CollectError> {
    let Some(store) = &ports.checkpoints else { return Ok(Default::default()) };
    let key = CheckpointKey::Org(org.to_owned());
    let checkpoint: Checkpoint<OrgCheckpoint> = Checkpoint::load(&**store, &key).await?;
    Ok((checkpoint.value, Checkpoint::load_repos(&**store, org).await?))
}

/// Returns how many commits the window holds, by node id, for each repository whose commits are not covered
/// from the start of the window on. For the others, only what is new is read, and that is not counted.
async fn count_uncovered_commits(
    github: &Client,
    scope: &Scope,
    checkpoints: &Checkpoints,
    window: CollectionWindow,
) -> Result<HashMap<String, i64>, CollectError> {
    let is_covered = |id: i64| {
        let covered = checkpoints.get(&id).and_then(|stored| stored.value.commits.covered.as_ref());
        window.is_covered(covered.map(|covered| covered.since))
    };
    let node_ids: Vec<String> = scope
        .repos
        .iter()
        .filter(|repo| repo.tip.is_some() && !is_covered(repo.id))
        .map(|repo| repo.node_id.clone())
        .collect();
    Ok(github.count_default_branch_commits(&node_ids, Some(window.start_for(None)), window.until()).await?)
}
