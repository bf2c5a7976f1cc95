//! Reads releases. GitHub does not order them by change, and a release can be withdrawn and published again
//! under its id. So the complete list is read whenever it may have changed: it is short. Drafts may be
//! published at any time: the checkpoint remembers them, and each run requests them by id.
//!
//! A release that was published and is deleted later stays counted.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use gam_github::wire::Release;
use gam_github::{Client, Error, ListSummary, PageSize, RepoProbe};
use gam_model::Event;
use tokio::sync::mpsc::Sender;

use crate::RepoFailure;
use crate::checkpoint::{ProbedReleases, ReleasesCheckpoint, RepoCheckpoint};
use crate::context::{ReadError, RepoContext, SECOND};
use crate::writer::{CheckpointUpdate, PageRead};

/// If the newest release changed within this time before the repository's latest activity, the list is read
/// again after every activity.
const RECHECK_PERIOD: TimeDelta = TimeDelta::days(14);
/// How many drafts are requested together.
const DRAFTS_PER_REQUEST: usize = 100;

fn probed(newest: ListSummary, context: &RepoContext) -> ProbedReleases {
    let updated_at = context.watermark(newest.at, SECOND);
    ProbedReleases { total: newest.total, newest: newest.id, updated_at }
}

/// The result of requesting the known drafts.
#[derive(Default)]
pub(crate) struct DraftCheck {
    /// Ids of repositories that have published a known draft.
    pub(crate) published: BTreeSet<i64>,
    /// Repositories whose drafts GitHub did not return, by id.
    pub(crate) failed: BTreeMap<i64, RepoFailure>,
}

/// Requests the known drafts of all repositories. If GitHub does not answer, the drafts stay remembered and
/// their repositories count as failed.
///
/// # Errors
/// If no other request can succeed either: the limits are used up, or GitHub rejects the token.
pub(crate) async fn check_drafts(
    github: &Client,
    repos: &[RepoProbe],
    checkpoints: &BTreeMap<i64, RepoCheckpoint>,
) -> Result<DraftCheck, Error> {
    let mut repo_of_draft: BTreeMap<String, i64> = BTreeMap::new();
    for repo in repos {
        let drafts = checkpoints.get(&repo.id).into_iter().flat_map(|known| known.releases.drafts.values());
        repo_of_draft.extend(drafts.map(|node_id| (node_id.clone(), repo.id)));
    }
    let node_ids: Vec<String> = repo_of_draft.keys().cloned().collect();
    let mut check = DraftCheck::default();
    for chunk in node_ids.chunks(DRAFTS_PER_REQUEST) {
        match github.releases_by_id(chunk).await {
            Ok(releases) => {
                let published = releases.iter().filter(|release| !release.is_draft);
                check.published.extend(published.filter_map(|release| repo_of_draft.get(&release.id)));
            }
            Err(error) => {
                let failure = RepoFailure::unless_fatal(error, "cannot check whether drafts were published")?;
                let repos = chunk.iter().filter_map(|node_id| repo_of_draft.get(node_id));
                check.failed.extend(repos.map(|repo| (*repo, failure.clone())));
            }
        }
    }
    Ok(check)
}

/// Returns whether there is anything to read, or to save in the checkpoint, apart from published drafts.
pub(crate) fn is_due(checkpoint: &ReleasesCheckpoint, newest: ListSummary, context: &RepoContext) -> bool {
    let is_recent =
        newest.at.zip(context.active_at).is_some_and(|(at, active)| active - at <= RECHECK_PERIOD);
    let has_changed = checkpoint.probed.as_ref().is_none_or(|before| *before != probed(newest, context));
    has_changed || (is_recent && checkpoint.active_at != context.active_at)
}

pub(crate) async fn read(
    github: &Client,
    context: &RepoContext,
    newest: ListSummary,
    checkpoint: ReleasesCheckpoint,
    pages: &Sender<PageRead>,
) -> Result<(), ReadError> {
    let mut size = PageSize::new(100).resume(checkpoint.page_size);
    let mut releases: Vec<Release> = Vec::new();
    let mut pages_read = 0;
    if newest.total > 0 || !checkpoint.published.is_empty() {
        let mut cursor: Option<String> = None;
        loop {
            let page = github.releases(&context.repo, cursor.as_deref(), &mut size).await?;
            releases.extend(page.entries);
            pages_read += 1;
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
    }
    let by_id: BTreeMap<i64, &Release> =
        releases.iter().filter_map(|release| Some((release.database_id?, release))).collect();
    // If the list shifted while its pages were read, a release that is missing may still exist.
    let is_complete = pages_read <= 1 || by_id.len() as i64 == newest.total;
    let mut events: Vec<Event> =
        releases.iter().filter_map(|release| context.event_builder.release(release)).collect();
    events.extend(retractions(context, &by_id, &checkpoint));
    let mut published: BTreeMap<i64, DateTime<Utc>> =
        releases.iter().filter_map(|release| Some((release.database_id?, published_at(release)?))).collect();
    if !is_complete {
        let missing = checkpoint.published.iter().filter(|(id, _)| !by_id.contains_key(id));
        published.extend(missing.map(|(id, at)| (*id, *at)));
    }
    let drafts = releases.iter().filter(|release| release.is_draft);
    let checkpoint = ReleasesCheckpoint {
        probed: Some(probed(newest, context)),
        published,
        drafts: drafts.filter_map(|draft| Some((draft.database_id?, draft.id.clone()))).collect(),
        active_at: context.active_at,
        page_size: size.to_save(),
    };
    context.send_page(pages, "releases", events, Some(CheckpointUpdate::Releases(checkpoint))).await
}

fn published_at(release: &Release) -> Option<DateTime<Utc>> {
    release.published_at.filter(|_| !release.is_draft)
}

/// Returns the retractions of publications that are no longer true: the release was withdrawn, or published
/// again at another time. One that was deleted was published all the same and stays.
fn retractions(
    context: &RepoContext,
    by_id: &BTreeMap<i64, &Release>,
    checkpoint: &ReleasesCheckpoint,
) -> Vec<Event> {
    let retraction = |(&id, &published_before): (&i64, &DateTime<Utc>)| {
        let release = by_id.get(&id).filter(|release| published_at(release) != Some(published_before))?;
        let version = release.updated_at.max(published_before).timestamp() + 1;
        Some(context.event_builder.retracted_release(id, published_before, version))
    };
    checkpoint.published.iter().filter_map(retraction).collect()
}
