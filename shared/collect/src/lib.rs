//! Use case collect: from GitHub to batches in the inbox.
//!
//! A cheap probe shows which repositories have changed, and which of their lists. What there is to read
//! becomes read tasks, one for each repository and kind of data, which run in parallel. Each page that a task
//! reads goes to the only writer, together with the checkpoint that follows from it. The writer puts the
//! events into the inbox first and saves the checkpoint after. So a crash at any moment repeats at most the
//! pages in flight, and a repeated page produces the same events with the same ids.
//!
//! | file | what it does |
//! |---|---|
//! | `org` | which organization a run is about, and its storage key |
//! | `scope` | which repositories a run is about |
//! | `window` | which days it reads |
//! | `run` | finds out what there is to read, and reports what was read |
//! | `task`, `context` | one kind of data of one repository, and what all kinds share |
//! | `commits`, `threads`, `releases`, `deployments`, `workflow_runs` | read one kind of data |
//! | `execution`, `writer` | run the tasks in parallel, and write what they read |
//! | `checkpoint`, `coverage`, `gaps` | how far repositories and the organization have been read, and what is missing |
//! | `reconcile` | compares the snapshots with GitHub, and repairs the differences |

pub mod checkpoint;
mod commits;
mod context;
mod cost;
mod coverage;
mod deployments;
mod dry_run;
mod error;
mod execution;
mod gaps;
mod names;
mod org;
mod ports;
mod progress;
pub mod reconcile;
mod releases;
mod report;
mod request;
mod run;
mod scope;
mod task;
mod threads;
mod waits;
mod window;
mod workflow_runs;
mod writer;

use std::collections::BTreeSet;

use gam_github::Client;
use gam_lake::configuration;
use gam_store::Checkpoint;

pub use cost::RepoCost;
pub use dry_run::{CollectPlan, PlannedRepo, dry_run};
pub use error::CollectError;
pub use gaps::ReportedGap;
pub use ports::{CollectPorts, DryRunPorts};
pub use progress::{CollectObserver, CollectProgress};
pub use report::{CollectReport, CollectWarning, Limited, RepoFailure, WorkPlan, WorkReport};
pub use request::{CollectRequest, WorkItem};
pub use task::TaskEstimate;
pub use window::check_days;

use names::{list_all_members, save_names};
use org::RequestedOrg;
use run::CollectRun;
use scope::Scope;
use waits::with_wait_reports;
use window::RequestedDays;
use writer::load_checkpoints;

/// Collects what is new in the organization into the inbox.
///
/// # Errors
/// If the request is invalid, the organization cannot be read at all, or the lake or the store fails. A
/// repository that fails does not stop the others; the report names it.
pub async fn collect(
    ports: &CollectPorts,
    github: &Client,
    request: &CollectRequest,
    observer: &dyn CollectObserver,
) -> Result<CollectReport, CollectError> {
    let org = RequestedOrg::find(&*ports.objects, &request.org).await?;
    let github = &org.sign_in(&*ports.objects, github).await?;
    let collecting = async {
        let run = prepare_run(ports, github, &org, request).await?;
        observer.notice(run.listed());
        Ok(run.read(github, request.parallelism.max(1), observer).await?.report)
    };
    with_wait_reports(github, observer, collecting).await
}

/// Finds the repositories of the organization that have something to read, for [`work`] to read them. The
/// others count as read.
///
/// # Errors
/// As [`collect`].
pub async fn plan(
    ports: &CollectPorts,
    github: &Client,
    request: &CollectRequest,
    observer: &dyn CollectObserver,
) -> Result<WorkPlan, CollectError> {
    let org = RequestedOrg::find(&*ports.objects, &request.org).await?;
    let github = &org.sign_in(&*ports.objects, github).await?;
    let run = prepare_run(ports, github, &org, request).await?;
    observer.notice(run.listed());
    let plan = run.hand_out().await?;
    Ok(WorkPlan { requests: github.requests(), ..plan })
}

/// Reads what is new in some repositories that [`plan`] returned. What is new is determined again, so items
/// may come late, more than once and in any order.
///
/// # Errors
/// As [`collect`].
pub async fn work(
    ports: &CollectPorts,
    github: &Client,
    request: &CollectRequest,
    items: &[WorkItem],
    observer: &dyn CollectObserver,
) -> Result<WorkReport, CollectError> {
    let days = RequestedDays::from_request(request, ports.clock.now())?;
    let org = RequestedOrg::find(&*ports.objects, &request.org).await?;
    let (key, github) = (&org.key, &org.sign_in(&*ports.objects, github).await?);
    let node_ids: Vec<String> = items.iter().map(|item| item.node_id.clone()).collect();
    let configuration = configuration::latest(&*ports.objects, key).await?.configuration;
    let checkpoints = load_checkpoints(ports, key, items.iter().map(|item| item.repo_id)).await?;
    let probe = github.probe_repos(org.login(), &node_ids).await?;
    let scope = Scope::from_probe_by_id(key, probe).without_excluded(&configuration);
    let listed: BTreeSet<i64> = scope.listed();
    let workflows = &configuration.deploy_workflows;
    let run = CollectRun::prepare(ports, github, checkpoints, scope, &days, request.again, workflows).await?;
    let mut report = run.read(github, request.parallelism.max(1), observer).await?;
    for item in items.iter().filter(|item| !listed.contains(&item.repo_id)) {
        let why = format!(
            "repository {} no longer exists in {}, or this token cannot see it",
            item.repo, request.org
        );
        report.failed.insert(item.repo_id, RepoFailure::permanent(why));
    }
    Ok(report)
}

/// Lists the organization and finds out what there is to read.
async fn prepare_run<'a>(
    ports: &'a CollectPorts,
    github: &Client,
    org: &RequestedOrg,
    request: &CollectRequest,
) -> Result<CollectRun<'a>, CollectError> {
    let days = RequestedDays::from_request(request, ports.clock.now())?;
    let mut checkpoints = Checkpoint::load_repos(&*ports.checkpoints, &org.key).await?;
    let probe = org.probe(&*ports.objects, github).await?;
    if checkpoints.is_empty() {
        org.check_is_new(ports, &probe).await?;
    }
    let identified = org.register(&*ports.objects, &probe, ports.clock.now()).await?;
    let key = &identified.key;
    if *key != org.key {
        checkpoints = Checkpoint::load_repos(&*ports.checkpoints, key).await?;
    }
    let configuration = configuration::latest(&*ports.objects, key).await?.configuration;
    let mut scope = Scope::from_names(key, probe, &request.repos)?.without_excluded(&configuration);
    let warning = list_all_members(ports, key, github, &mut scope.probe).await?;
    save_names(ports, key, &scope.probe).await?;
    let workflows = &configuration.deploy_workflows;
    let run = CollectRun::prepare(ports, github, checkpoints, scope, &days, request.again, workflows).await?;
    run.warn(identified.warning);
    run.warn(warning);
    Ok(run)
}
