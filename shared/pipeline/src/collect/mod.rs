//! GitHub to inbox batches.
//!
//! A cheap probe tells which repositories have changed and in what. What there is to read is cut into
//! readings, one a repository and kind, which run side by side; each page they read goes, with the
//! checkpoint that follows from it, to one writer. The writer puts the events into the inbox first
//! and saves the checkpoint after, so a crash at any instant repeats at most the pages in flight, and
//! a repeated page says the same under the same ids.

mod changes;
mod commits;
mod cost;
mod deployments;
mod dry_run;
mod plan;
mod releases;
mod writer;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Days, NaiveDate, Utc};
use cost::Costs;
pub use cost::RepoCost;
pub use dry_run::{CollectPlan, PlannedRepo, dry_run};
use futures::StreamExt;
use gam_github::{Client, OrgProbe, RepoProbe, RepoState, Usage};
use gam_model::period::midnight;
use gam_store::keys::CheckpointKey;
use gam_store::{NameEntry, NameKind};
pub use plan::Estimate;
use tokio::time::Instant;

use crate::checkpoint::{Held, OrgCheckpoint};
use crate::{Context, Observer, Progress};
use plan::{Reading, Span};
use writer::Writer;

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
    /// Whether the run stopped for the API's limits; what was read is saved.
    pub limited: bool,
    /// Where it did: when the limits are reset, UTC, if GitHub said so.
    pub limited_until: Option<DateTime<Utc>>,
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
    context: &Context,
    github: &Client,
    request: &CollectRequest,
    observer: &dyn Observer,
) -> Result<CollectReport, CollectError> {
    let mut span = asked_span(context, request)?;
    let github = &github.for_org(&request.org).await?;
    let github = &github.metered();
    let probe = github.probe(&request.org).await?;
    let (repos, unknown) = chosen(&probe, &request.repos)?;
    let key = CheckpointKey::Org(probe.login.clone());
    let org: Held<OrgCheckpoint> = Held::load(&*context.checkpoints, &key).await?;
    if let Some(since) = org.value.since {
        span.first_since = since;
    }
    let now = context.clock.now();
    note_names(context, &probe, now).await?;

    let mut writer = Writer::open(context, &probe.login, &repos).await?;
    let (checkpoints, known) = (writer.checkpoints(), writer.known());
    let unsettled = deployments::ask_unsettled(github, &repos, &checkpoints).await?;
    let drafts = releases::ask_drafts(github, &repos, &checkpoints).await?;
    let mut readings: Vec<Reading> = Vec::new();
    for repo in &repos {
        let checkpoint = checkpoints.get(&repo.id).cloned().unwrap_or_default();
        let is_published = drafts.published.contains(&repo.id);
        readings.extend(plan::readings(&probe, repo, checkpoint, span, &unsettled.asked, is_published, now));
    }
    let changed: BTreeSet<i64> = readings.iter().map(|reading| reading.repo().id).collect();
    observer.notice(Progress::Listed {
        org: probe.login.clone(),
        repos: repos.len(),
        changed: changed.len(),
    });

    let mut outcome = run(github, readings, &mut writer, request.parallelism.max(1), observer).await?;
    for (repo, why) in unsettled.failed.into_iter().chain(drafts.failed) {
        outcome.failed.entry(repo).or_insert(why);
    }
    let mut report = CollectReport {
        org: probe.login.clone(),
        repos: repos.len(),
        events: writer.events(),
        batches: writer.batches(),
        requests: github.requests(),
        usage: github.usage(),
        costs: std::mem::take(&mut outcome.costs).into_repos(writer.events_of()),
        gone: Vec::new(),
        blocked: Vec::new(),
        failed: unknown,
        limited: outcome.limited.is_some(),
        limited_until: outcome.limited.flatten(),
    };
    let blocked = outcome.blocked.keys();
    let undone: BTreeSet<i64> =
        outcome.failed.keys().chain(&outcome.stopped).chain(blocked).copied().collect();
    let read = repos.iter().map(|repo| repo.id).filter(|id| !undone.contains(id)).collect();
    save_completeness(context, &probe, &Completeness { read, known, span }, request).await?;
    if request.repos.is_empty() {
        report.failed.extend(probe.unreadable.iter().cloned());
    }
    let gone = mark(&mut writer, &probe, &repos, &outcome, request).await?;
    if !gone.is_empty() {
        let names = context.rollups.names(&probe.login, NameKind::Repo).await?;
        report.gone =
            names.into_iter().filter(|entry| gone.contains(&entry.id)).map(|entry| entry.name).collect();
    }
    for repo in &repos {
        if let Some(why) = outcome.blocked.get(&repo.id) {
            report.blocked.push((repo.name.clone(), why.clone()));
        }
        if let Some(why) = outcome.failed.get(&repo.id) {
            observer.notice(Progress::RepoFailed { repo: repo.name.clone(), why: why.clone() });
            report.failed.push((repo.name.clone(), why.clone()));
        }
    }
    Ok(report)
}

/// Keeps why nothing new may come from repositories; gives back those that GitHub shows no more.
async fn mark(
    writer: &mut Writer<'_>,
    probe: &OrgProbe,
    repos: &[RepoProbe],
    outcome: &Outcome,
    request: &CollectRequest,
) -> Result<BTreeSet<i64>, CollectError> {
    let is_blocked = |repo: &RepoProbe| outcome.blocked.contains_key(&repo.id);
    let state = |repo: &RepoProbe| if is_blocked(repo) { Some(RepoState::Blocked) } else { repo.state };
    let states = repos.iter().map(|repo| (repo.id, state(repo))).collect();
    let shown: BTreeSet<i64> = probe.repos.iter().map(|repo| repo.id).collect();
    // Which of the others are hidden and which are gone is not known where some cannot be read.
    let shows_all = request.repos.is_empty() && probe.unreadable.is_empty();
    writer.mark(&states, shows_all.then_some(&shown)).await
}

/// What became of the readings.
#[derive(Default)]
struct Outcome {
    /// Why a repository failed.
    failed: BTreeMap<i64, String>,
    /// Repositories whose reading the limits stopped.
    stopped: BTreeSet<i64>,
    /// Whether the limits stopped any, and when they are reset.
    limited: Option<Option<DateTime<Utc>>>,
    /// Why GitHub blocks a repository.
    blocked: BTreeMap<i64, String>,
    costs: Costs,
}

/// Runs the readings side by side, and the writer beside them.
async fn run(
    github: &Client,
    readings: Vec<Reading>,
    writer: &mut Writer<'_>,
    parallelism: usize,
    observer: &dyn Observer,
) -> Result<Outcome, CollectError> {
    let (sink, pages) = tokio::sync::mpsc::channel(parallelism * 2);
    let mut left: BTreeMap<i64, usize> = BTreeMap::new();
    for reading in &readings {
        *left.entry(reading.repo().id).or_default() += 1;
    }
    let reading = async move {
        let mut outcome = Outcome::default();
        let mut fatal = None;
        let mut done = futures::stream::iter(readings)
            .map(|reading| {
                let sink = sink.clone();
                async move {
                    let (repo, begun, github) = (reading.repo().clone(), Instant::now(), github.metered());
                    let result = reading.run(&github, &sink).await;
                    (repo, result, github.usage(), begun)
                }
            })
            .buffer_unordered(parallelism * 2);
        while let Some((repo, result, usage, begun)) = done.next().await {
            outcome.costs.add(repo.id, &repo.name, usage, begun);
            match result {
                Ok(()) => {}
                Err(plan::Stop::WriterGone) => break,
                Err(plan::Stop::GitHub(gam_github::Error::Limited { until, .. })) => {
                    outcome.limited = Some(until.max(outcome.limited.flatten()));
                    outcome.stopped.insert(repo.id);
                }
                Err(plan::Stop::GitHub(gam_github::Error::Blocked(why))) => {
                    outcome.blocked.insert(repo.id, why);
                }
                Err(plan::Stop::GitHub(error @ gam_github::Error::Unauthorized(_))) => {
                    fatal = Some(error);
                    break;
                }
                Err(plan::Stop::GitHub(error)) => {
                    outcome.failed.entry(repo.id).or_insert_with(|| error.to_string());
                }
            }
            let open = left.entry(repo.id).or_default();
            *open = open.saturating_sub(1);
            if *open == 0 && !outcome.failed.contains_key(&repo.id) && !outcome.stopped.contains(&repo.id) {
                observer.notice(Progress::RepoDone { repo: repo.name });
            }
        }
        fatal.map_or(Ok(outcome), Err)
    };
    let waits = tell_waits(github, observer);
    let work = async { tokio::join!(reading, writer.run(pages, observer)) };
    tokio::select! {
        (outcome, written) = work => {
            written?;
            Ok(outcome?)
        }
        () = waits => unreachable!("telling of waits never ends"),
    }
}

/// Tells the observer whenever the client waits for a limit. Never ends.
async fn tell_waits(github: &Client, observer: &dyn Observer) {
    let mut waits = github.waits();
    let mut told = None;
    while waits.changed().await.is_ok() {
        let wait = waits.borrow_and_update().clone();
        if let Some(wait) = wait
            && told != Some(wait.until)
        {
            told = Some(wait.until);
            observer.notice(Progress::Waiting { until: wait.until, why: wait.why });
        }
    }
    std::future::pending().await
}

/// What is asked for, as times.
fn asked_span(context: &Context, request: &CollectRequest) -> Result<Span, CollectError> {
    let today = context.clock.now().date_naive();
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
            let why = format!(
                "GitHub shows no such repository in {} to this token; check the spelling",
                probe.login
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

/// Keeps how GitHub spells the organization, its repositories and its members.
async fn note_names(context: &Context, probe: &OrgProbe, now: DateTime<Utc>) -> Result<(), CollectError> {
    let entry = |kind, id, name: &str| NameEntry { kind, id, name: name.to_owned(), as_of: now };
    let found = std::iter::once(entry(NameKind::Org, 0, &probe.login))
        .chain(probe.repos.iter().map(|repo| entry(NameKind::Repo, repo.id, &repo.name)))
        .chain(
            probe
                .members
                .iter()
                .filter_map(|member| Some(entry(NameKind::Member, member.database_id?, &member.login))),
        );
    let mut known = BTreeMap::new();
    for kind in [NameKind::Org, NameKind::Repo, NameKind::Member] {
        for entry in context.rollups.names(&probe.login, kind).await? {
            known.insert((kind, entry.id), entry.name);
        }
    }
    let new: Vec<NameEntry> =
        found.filter(|entry| known.get(&(entry.kind, entry.id)) != Some(&entry.name)).collect();
    if !new.is_empty() {
        context.rollups.put_names(&probe.login, &new).await?;
    }
    Ok(())
}

/// What a run has read.
struct Completeness {
    /// Repositories that were read to the end.
    read: BTreeSet<i64>,
    /// Repositories that were ever read.
    known: BTreeSet<i64>,
    span: Span,
}

/// Keeps up to when each repository has been read: to the moment of the probe, by GitHub's clock, or
/// to the day that was asked for; a repository that was not read to the end stays where it was.
async fn save_completeness(
    context: &Context,
    probe: &OrgProbe,
    now: &Completeness,
    request: &CollectRequest,
) -> Result<(), CollectError> {
    let read_until = probe.read_at.map(|at| now.span.until.map_or(at, |bound| bound.min(at)));
    // Repositories that the token may not see are in question too, and nobody knows which they are.
    let everything = request.repos.is_empty() && probe.unreadable.is_empty();
    let key = CheckpointKey::Org(probe.login.clone());
    loop {
        let mut held: Held<OrgCheckpoint> = Held::load(&*context.checkpoints, &key).await?;
        let before = held.value.clone();
        let after = |id: i64| {
            let known = now.known.contains(&id).then(|| before.of_repo(id)).flatten();
            if now.read.contains(&id) { known.max(read_until) } else { known }
        };
        let complete_until =
            if everything { before.complete_until.max(read_until) } else { before.complete_until };
        let mut repos: BTreeMap<i64, _> = probe.repos.iter().map(|repo| (repo.id, after(repo.id))).collect();
        if !everything {
            // Repositories that GitHub does not show now keep what is known of them.
            before.repos.iter().for_each(|(id, at)| {
                repos.entry(*id).or_insert(*at);
            });
        }
        repos.retain(|_, at| *at != complete_until);
        let asked = now.span.since.unwrap_or(now.span.first_since);
        let since = Some(before.since.map_or(asked, |since| since.min(asked)));
        held.value = OrgCheckpoint { complete_until, repos, since, ..before.clone() };
        if held.value == before || held.save(&*context.checkpoints, &key).await? {
            return Ok(());
        }
    }
}
