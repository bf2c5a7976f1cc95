//! Reading releases. They have no order by change, and a release can be taken back and published
//! again under its id, so the whole list is read whenever it may have changed: it is short. Drafts
//! may be published at any time: they are remembered and asked for by id.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use gam_github::wire::Release;
use gam_github::{Client, Error, ListSummary, PageSize, RepoProbe};
use gam_model::Event;
use tokio::sync::mpsc::Sender;

use crate::Refusal;
use crate::checkpoint::{ReleasesCheckpoint, RepoCheckpoint, SeenReleases};
use crate::plan::{SECOND, Stop, Target};
use crate::writer::{PageRead, Update};

/// Releases changed within this time before the repository's latest activity are read anew.
const READ_ANEW: TimeDelta = TimeDelta::days(14);

fn seen(newest: ListSummary, target: &Target) -> SeenReleases {
    SeenReleases { total: newest.total, newest: newest.id, updated_at: target.watermark(newest.at, SECOND) }
}

/// The repositories in which a known draft was published; and those that could not be asked, with why.
#[derive(Default)]
pub(crate) struct Drafts {
    pub(crate) published: BTreeSet<i64>,
    pub(crate) failed: BTreeMap<i64, Refusal>,
}

/// Asks for the drafts that may have been published, of all repositories together. Where GitHub does
/// not answer, they stay remembered and their repositories count as failed.
///
/// # Errors
/// Where no other question can fare better: the limits are used up, or the token is refused.
pub(crate) async fn ask_drafts(
    github: &Client,
    repos: &[RepoProbe],
    checkpoints: &BTreeMap<i64, RepoCheckpoint>,
) -> Result<Drafts, Error> {
    let mut drafts: BTreeMap<String, i64> = BTreeMap::new();
    for repo in repos {
        let known = checkpoints.get(&repo.id).into_iter().flat_map(|known| known.releases.drafts.values());
        drafts.extend(known.map(|node_id| (node_id.clone(), repo.id)));
    }
    let node_ids: Vec<String> = drafts.keys().cloned().collect();
    let mut answers = Drafts::default();
    for chunk in node_ids.chunks(100) {
        match github.releases_by_id(chunk).await {
            Ok(found) => {
                let of_now = found.iter().filter(|release| !release.is_draft);
                answers.published.extend(of_now.filter_map(|release| drafts.get(&release.id)));
            }
            Err(error @ (Error::Limited { .. } | Error::Unauthorized(_))) => return Err(error),
            Err(error) => {
                let refusal =
                    Refusal::of(&error).about("drafts that may be published could not be asked for");
                answers
                    .failed
                    .extend(chunk.iter().filter_map(|id| Some((*drafts.get(id)?, refusal.clone()))));
            }
        }
    }
    Ok(answers)
}

/// Whether there is anything to read, or to remember, beside drafts that were published.
pub(crate) fn is_due(from: &ReleasesCheckpoint, newest: ListSummary, target: &Target) -> bool {
    let recent = newest.at.zip(target.active_at).is_some_and(|(at, active)| active - at <= READ_ANEW);
    let changed = from.seen.as_ref().is_none_or(|before| *before != seen(newest, target));
    changed || (recent && from.active_at != target.active_at)
}

pub(crate) async fn read(
    github: &Client,
    target: &Target,
    newest: ListSummary,
    from: ReleasesCheckpoint,
    sink: &Sender<PageRead>,
) -> Result<(), Stop> {
    let mut size = PageSize::new(100).resume(from.size);
    let mut releases: Vec<Release> = Vec::new();
    let mut pages = 0;
    if newest.total > 0 || !from.published.is_empty() {
        let mut cursor: Option<String> = None;
        loop {
            let page = github.releases(&target.repo, cursor.as_deref(), &mut size).await?;
            releases.extend(page.entries);
            pages += 1;
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
    }
    let now: BTreeMap<i64, &Release> =
        releases.iter().filter_map(|release| Some((release.database_id?, release))).collect();
    // A list that shifted while its pages were read tells nothing of what is missing from it.
    let whole = pages <= 1 || now.len() as i64 == newest.total;
    let mut events: Vec<Event> =
        releases.iter().filter_map(|release| target.origin.release(release)).collect();
    events.extend(gone(target, &now, &from, whole));
    let published = releases.iter().filter_map(|release| {
        let at = release.published_at.filter(|_| !release.is_draft)?;
        Some((release.database_id?, at))
    });
    let mut published: BTreeMap<i64, DateTime<Utc>> = published.collect();
    if !whole {
        let missing = from.published.iter().filter(|(id, _)| !now.contains_key(id));
        published.extend(missing.map(|(id, at)| (*id, *at)));
    }
    let drafts = releases.iter().filter(|release| release.is_draft);
    let checkpoint = ReleasesCheckpoint {
        seen: Some(seen(newest, target)),
        published,
        drafts: drafts.filter_map(|draft| Some((draft.database_id?, draft.id.clone()))).collect(),
        active_at: target.active_at,
        size: size.to_save(),
    };
    target.hand_over(sink, "releases", events, Some(Update::Releases(checkpoint))).await
}

/// Publications known before that are no more: taken back, replaced by a later one, or deleted.
fn gone(
    target: &Target,
    now: &BTreeMap<i64, &Release>,
    from: &ReleasesCheckpoint,
    whole: bool,
) -> Vec<Event> {
    let retraction = |(&id, &published_at): (&i64, &DateTime<Utc>)| {
        let version = match now.get(&id) {
            Some(release) if !release.is_draft && release.published_at == Some(published_at) => return None,
            Some(release) => release.updated_at,
            None if whole => target.read_at.or(target.active_at)?,
            None => return None,
        };
        let version = version.max(published_at).timestamp() + 1;
        Some(target.origin.retracted_release(id, published_at, version))
    };
    from.published.iter().filter_map(retraction).collect()
}
