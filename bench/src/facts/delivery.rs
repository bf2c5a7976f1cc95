//! Releases and deployments.

use super::{FactSort, OrgModel};
use crate::random::Sha;

const FIRST_DEPLOYMENT_ID: i64 = 700_000_000;
const FIRST_RELEASE_ID: i64 = 90_000_000;
const ENVIRONMENTS: [&str; 4] = ["production", "production", "staging", "preview"];
/// The file of the workflow whose runs count as deployments.
pub(crate) const DEPLOY_WORKFLOW: &str = "deploy.yml";

/// A deployment, or a run of a workflow that counts as one. Times are epoch seconds.
#[derive(Clone, Copy)]
pub(crate) struct GeneratedDeployment {
    pub(crate) id: i64,
    pub(crate) repo: u32,
    pub(crate) creator: u32,
    pub(crate) created: i64,
    pub(crate) failed: Option<i64>,
    pub(crate) succeeded: Option<i64>,
    /// `None` for a run of a workflow.
    pub(crate) environment: Option<&'static str>,
    pub(crate) sha: Sha,
}

impl GeneratedDeployment {
    /// Returns the deployment of a month with this number.
    pub(crate) fn generate(model: &OrgModel, month: usize, number: u64) -> Self {
        let random = &mut model.stream(FactSort::Deployment, month, number);
        let repo = model.population.pick_repo(random);
        let creator = match random.below(100) {
            0..70 => model.population.github_actions(),
            70..72 => model.population.unknown(),
            _ => model.population.pick_account(random),
        };
        let created = model.pick_time(month, creator, random);
        let first_end = created + 30 + random.below(1800) as i64;
        let second_end = first_end + 300 + random.below(7200) as i64;
        let (failed, succeeded) = match random.below(100) {
            0..84 => (None, Some(first_end)),
            84..94 => (Some(first_end), None),
            _ => (Some(first_end), Some(second_end)),
        };
        let is_workflow_run = random.chance(0.2);
        GeneratedDeployment {
            id: FIRST_DEPLOYMENT_ID + (model.plans[month].facts_before.deployments + number) as i64,
            repo,
            creator,
            created,
            failed: failed.and_then(|at| model.if_past(at)),
            succeeded: succeeded.and_then(|at| model.if_past(at)),
            environment: (!is_workflow_run).then(|| random.pick(&ENVIRONMENTS)),
            sha: random.sha(),
        }
    }

    /// Returns when it was last changed.
    pub(crate) fn updated(&self) -> i64 {
        self.succeeded.or(self.failed).unwrap_or(self.created)
    }
}

/// A published release.
#[derive(Clone, Copy)]
pub(crate) struct GeneratedRelease {
    pub(crate) id: i64,
    pub(crate) repo: u32,
    pub(crate) author: u32,
    /// Epoch seconds.
    pub(crate) created: i64,
    /// Epoch seconds.
    pub(crate) published: i64,
}

impl GeneratedRelease {
    /// Returns the release of a month with this number.
    pub(crate) fn generate(model: &OrgModel, month: usize, number: u64) -> Self {
        let random = &mut model.stream(FactSort::Release, month, number);
        let repo = model.population.pick_repo(random);
        let author = match random.below(100) {
            0..50 => model.population.github_actions(),
            50..53 => model.population.unknown(),
            _ => model.population.pick_account(random),
        };
        let published = model.pick_time(month, author, random);
        GeneratedRelease {
            id: FIRST_RELEASE_ID + (model.plans[month].facts_before.releases + number) as i64,
            repo,
            author,
            created: published - random.below(7200) as i64,
            published,
        }
    }
}
