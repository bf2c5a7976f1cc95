//! Use case collect: GitHub to inbox batches.
//!
//! A cheap probe tells which repositories have changed and in what. What there is to read is cut into
//! readings, one a repository and kind, which run side by side; each page they read goes, with the
//! checkpoint that follows from it, to one writer. The writer puts the events into the inbox first
//! and saves the checkpoint after, so a crash at any instant repeats at most the pages in flight, and
//! a repeated page says the same under the same ids.

mod changes;
pub mod checkpoint;
mod commits;
mod completeness;
mod cost;
mod deployments;
mod dry_run;
mod plan;
mod ports;
mod progress;
pub mod reconcile;
mod releases;
mod survey;
mod waits;
mod writer;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Days, NaiveDate, Utc};
pub use cost::RepoCost;
pub use dry_run::{CollectPlan, PlannedRepo, dry_run};
use gam_github::{Client, OrgProbe, RepoProbe, Usage};
use gam_model::period::midnight;
pub use plan::Estimate;
use serde::{Deserialize, Serialize};

use crate::waits::telling_waits;
use completeness::note_names;
use gam_store::Checkpoint;
use plan::Span;
pub use ports::{CollectPorts, DryRunPorts};
pub use progress::{CollectObserver, CollectProgress};
use survey::Survey;
use writer::checkpoints_of;

/// How far back the first run reads where no day is given.
const FIRST_RUN_DAYS: u64 = 90;

/// What is to be collected.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CollectRequest {
    /// The organization's login.
    pub org: String,
    /// From which day on, UTC; without it, 90 days back at first and from the checkpoints later.
    pub since: Option<NaiveDate>,
    /// Up to which day, exclusive.
    pub until: Option<NaiveDate>,
    /// Only these repositories, by name; all of them where empty.
    pub repos: Vec<String>,
    /// How many readings may run side by side.
    pub parallelism: usize,
}

/// What a collection did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CollectReport {
    /// The organization, as GitHub spells it.
    pub org: String,
    /// How many repositories were in question.
    pub repos: usize,
    /// How many events were written to the inbox.
    pub events: usize,
    /// How many batches that took.
    pub batches: usize,
    /// How many requests were sent to GitHub.
    pub requests: u64,
    /// What they cost, in total.
    pub usage: Usage,
    /// What reading each repository cost, as far as anything of it was read.
    pub costs: Vec<RepoCost>,
    /// Repositories that GitHub shows no more, by name: what was collected of them stays.
    pub gone: Vec<String>,
    /// Repositories that GitHub blocks, with the reason: what was collected of them stays.
    pub blocked: Vec<(String, String)>,
    /// Repositories that failed, with the reason; what was read of them is saved.
    pub failed: Vec<(String, String)>,
    /// Where the run stopped for the API's limits; what was read is saved.
    pub limited: Option<Limited>,
}

/// That the API's limits stopped a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limited {
    /// When they are reset, UTC, if GitHub said so.
    pub until: Option<DateTime<Utc>>,
    /// Why, in GitHub's words or the client's.
    pub why: String,
}

/// Why a collection failed as a whole.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// GitHub refused or failed.
    #[error(transparent)]
    GitHub(#[from] gam_github::Error),
    /// The lake failed.
    #[error(transparent)]
    Lake(#[from] gam_lake::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] gam_store::Error),
    /// What was asked for cannot be collected; the text names the input, why, and the mend.
    #[error("{0}")]
    Invalid(String),
    /// Another run collects the same organization.
    #[error("another run collects {0} at the same time: let it end; what this one read is saved")]
    Concurrent(String),
}

/// Collects what is new in the organization into the inbox.
///
/// # Errors
/// Where the organization cannot be read at all, or the lake or the store fails. A repository that
/// fails does not stop the others; it is named in the report.
pub async fn collect(
    ports: &CollectPorts,
    github: &Client,
    request: &CollectRequest,
    observer: &dyn CollectObserver,
) -> Result<CollectReport, CollectError> {
    let github = &github.for_org(&request.org).await?.metered();
    let collecting = async {
        let (survey, unknown) = survey_org(ports, github, request).await?;
        observer.notice(survey.listed());
        let mut report = survey.read(github, request.parallelism.max(1), observer).await?;
        report.failed.splice(0..0, unknown);
        Ok(report)
    };
    telling_waits(github, observer, collecting).await
}

/// One repository's share of a collection, to be read by [`work`], on another machine perhaps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkItem {
    /// The repository's name, for messages.
    pub repo: String,
    /// The repository's numeric id.
    pub repo_id: i64,
    /// The repository's GraphQL node id.
    pub node_id: String,
}

/// What there is to read in an organization, to be handed out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkPlan {
    /// The organization, as GitHub spells it.
    pub org: String,
    /// How many repositories are in question.
    pub repos: usize,
    /// The repositories that have something to read.
    pub items: Vec<WorkItem>,
    /// Repositories that cannot be read, with the reason.
    pub failed: Vec<(String, String)>,
    /// How many requests were sent to GitHub.
    pub requests: u64,
}

/// Finds what is new in the organization, for [`work`] to read it repository by repository. What has
/// not changed counts as read.
///
/// # Errors
/// As [`collect`].
pub async fn plan(
    ports: &CollectPorts,
    github: &Client,
    request: &CollectRequest,
    observer: &dyn CollectObserver,
) -> Result<WorkPlan, CollectError> {
    let github = &github.for_org(&request.org).await?.metered();
    let (survey, unknown) = survey_org(ports, github, request).await?;
    observer.notice(survey.listed());
    let mut plan = survey.hand_out().await?;
    plan.requests = github.requests();
    plan.failed.splice(0..0, unknown);
    Ok(plan)
}

/// What became of the items of [`work`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkReport {
    /// As for [`collect`].
    pub report: CollectReport,
    /// Repositories that the limits stopped, by id: what was read of them is saved, and more is left.
    pub stopped: BTreeSet<i64>,
    /// Repositories that failed, by id, with the reason and whether trying again may help.
    pub failed: BTreeMap<i64, Refusal>,
}

/// Why a repository failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The reason.
    pub why: String,
    /// Whether trying again may help.
    pub is_transient: bool,
}

/// Reads what is new in single repositories that [`plan`] has named. What is new is found out anew, so
/// items may come late, twice and in any order.
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
    let span = asked_span(ports.clock.now(), request)?;
    let github = &github.for_org(&request.org).await?.metered();
    let node_ids: Vec<String> = items.iter().map(|item| item.node_id.clone()).collect();
    let checkpoints = checkpoints_of(ports, &request.org, items.iter().map(|item| item.repo_id)).await?;
    let probe = github.probe_repos(&request.org, &node_ids).await?;
    let shown: BTreeSet<i64> = probe.repos.iter().map(|repo| repo.id).collect();
    let repos = probe.repos.clone();
    let survey = Survey::of(ports, github, checkpoints, probe, repos, span, false).await?;
    let mut done = survey.work(github, request.parallelism.max(1), observer).await?;
    for item in items.iter().filter(|item| !shown.contains(&item.repo_id)) {
        let why =
            format!("GitHub shows no repository {} in {} to this token any more", item.repo, request.org);
        done.failed.insert(item.repo_id, Refusal { why, is_transient: false });
    }
    Ok(done)
}

/// Lists the organization and finds what there is to read; and the repositories that were asked for
/// and are not there.
async fn survey_org<'a>(
    ports: &'a CollectPorts,
    github: &Client,
    request: &CollectRequest,
) -> Result<(Survey<'a>, Failed), CollectError> {
    let span = asked_span(ports.clock.now(), request)?;
    let checkpoints = Checkpoint::load_repos(&*ports.checkpoints, &request.org).await?;
    let probe = github.probe(&request.org).await?;
    let (repos, unknown) = chosen(&probe, &request.repos)?;
    note_names(ports, &probe, ports.clock.now()).await?;
    let everything = request.repos.is_empty();
    let survey = Survey::of(ports, github, checkpoints, probe, repos, span, everything).await?;
    Ok((survey, unknown))
}

/// What is asked for, as times.
fn asked_span(now: DateTime<Utc>, request: &CollectRequest) -> Result<Span, CollectError> {
    let today = now.date_naive();
    if let (Some(since), Some(until)) = (request.since, request.until)
        && since >= until
    {
        return Err(CollectError::Invalid(format!(
            "--since {since} is not before --until {until}: --until is the day after the last"
        )));
    }
    if let Some(since) = request.since
        && since > today
    {
        return Err(CollectError::Invalid(format!(
            "--since {since} is in the future: give a day up to {today}"
        )));
    }
    Ok(Span {
        since: request.since.map(midnight),
        before: None,
        first_since: midnight(
            request.until.map_or(today, |until| until.min(today)) - Days::new(FIRST_RUN_DAYS),
        ),
        until: request.until.map(midnight),
    })
}

type Failed = Vec<(String, String)>;

/// The repositories asked for, and those among them that are not there.
fn chosen(probe: &OrgProbe, names: &[String]) -> Result<(Vec<RepoProbe>, Failed), CollectError> {
    if names.is_empty() {
        return Ok((probe.repos.clone(), Vec::new()));
    }
    let is = |repo: &RepoProbe, name: &str| repo.name.to_lowercase() == name.to_lowercase();
    let repos: Vec<RepoProbe> =
        probe.repos.iter().filter(|repo| names.iter().any(|name| is(repo, name))).cloned().collect();
    let unknown: Failed = names
        .iter()
        .filter(|name| !repos.iter().any(|repo| is(repo, name)))
        .map(|name| {
            let mut unreadable = probe.unreadable.iter();
            let known = unreadable.find(|(unreadable, _)| unreadable.eq_ignore_ascii_case(name));
            let why = known.map_or_else(
                || {
                    let org = &probe.login;
                    format!("GitHub shows no such repository in {org} to this token; check the spelling")
                },
                |(_, why)| why.clone(),
            );
            (name.clone(), why)
        })
        .collect();
    if repos.is_empty() {
        let (name, why) = &unknown[0];
        return Err(CollectError::Invalid(format!("repository {name:?}: {why}")));
    }
    Ok((repos, unknown))
}
