//! Reading releases. They have no order by change, and a release can be taken back and published
//! again under its id, so the whole list is read whenever it may have changed: it is short. Drafts
//! may be published at any time: they are remembered and asked for by id.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use gam_github::wire::Release;
use gam_github::{Client, Newest, PageSize, RepoProbe};
use gam_model::Event;
use tokio::sync::mpsc::Sender;

use super::plan::{Stop, Target};
use super::writer::{PageRead, Update};
use crate::checkpoint::{ReleasesCheckpoint, RepoCheckpoint, SeenReleases};

/// Releases changed within this time before the repository's latest activity are read anew.
const READ_ANEW: TimeDelta = TimeDelta::days(14);

fn seen(newest: Newest, target: &Target) -> SeenReleases {
    SeenReleases { total: newest.total, newest: newest.id, updated_at: target.watermark(newest.at) }
}

/// The repositories in which a known draft was published. Where GitHub does not answer there is none,
/// and the drafts stay remembered.
pub(super) async fn ask_drafts(
    github: &Client,
    repos: &[RepoProbe],
    checkpoints: &BTreeMap<i64, RepoCheckpoint>,
) -> BTreeSet<i64> {
    let mut drafts: BTreeMap<String, i64> = BTreeMap::new();
    for repo in repos {
        let known = checkpoints.get(&repo.id).into_iter().flat_map(|known| known.releases.drafts.values());
        drafts.extend(known.map(|node_id| (node_id.clone(), repo.id)));
    }
    let node_ids: Vec<String> = drafts.keys().cloned().collect();
    let mut published = BTreeSet::new();
    for chunk in node_ids.chunks(100) {
        match github.releases_by_id(chunk).await {
            Ok(found) => {
                let of_now = found.iter().filter(|release| !release.is_draft);
                published.extend(of_now.filter_map(|release| drafts.get(&release.id)));
            }
            Err(error) => tracing::warn!(%error, "drafts that may be published could not be asked for"),
        }
    }
    published
}

/// Whether there is anything to read, or to remember, beside drafts that were published.
pub(super) fn is_due(from: &ReleasesCheckpoint, newest: Newest, target: &Target) -> bool {
    let recent = newest.at.zip(target.active_at).is_some_and(|(at, active)| active - at <= READ_ANEW);
    let changed = from.seen.as_ref().is_none_or(|before| *before != seen(newest, target));
    changed || (recent && from.active_at != target.active_at)
}

pub(super) async fn read(
    github: &Client,
    target: &Target,
    newest: Newest,
    from: ReleasesCheckpoint,
    sink: &Sender<PageRead>,
) -> Result<(), Stop> {
    let mut size = PageSize::new(100);
    let mut releases: Vec<Release> = Vec::new();
    let mut cursor: Option<String> = None;
    while newest.total > 0 || !from.published.is_empty() {
        let page = github.releases(&target.repo, cursor.as_deref(), &mut size).await?;
        releases.extend(page.entries);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    let mut events: Vec<Event> =
        releases.iter().filter_map(|release| target.origin.release(release)).collect();
    events.extend(gone(target, &releases, &from, newest));
    let published = releases.iter().filter_map(|release| {
        let at = release.published_at.filter(|_| !release.is_draft)?;
        Some((release.database_id?, at))
    });
    let drafts = releases.iter().filter(|release| release.is_draft);
    let checkpoint = ReleasesCheckpoint {
        seen: Some(seen(newest, target)),
        published: published.collect(),
        drafts: drafts.filter_map(|draft| Some((draft.database_id?, draft.id.clone()))).collect(),
        active_at: target.active_at,
    };
    target.hand_over(sink, "releases", events, Some(Update::Releases(checkpoint))).await
}

/// Publications known before that are no more: taken back, replaced by a later one, or deleted.
fn gone(target: &Target, releases: &[Release], from: &ReleasesCheckpoint, newest: Newest) -> Vec<Event> {
    let now: BTreeMap<i64, &Release> =
        releases.iter().filter_map(|release| Some((release.database_id?, release))).collect();
    // A list that shifted while it was read tells nothing of what is missing from it.
    let whole = now.len() as i64 == newest.total;
    let retraction = |(&id, &published_at): (&i64, &DateTime<Utc>)| {
        let version = match now.get(&id) {
            Some(release) if !release.is_draft && release.published_at == Some(published_at) => return None,
            Some(release) => release.updated_at,
            None if whole => target.read_at.or(target.active_at)?,
            None => return None,
        };
        let version = version.max(published_at).timestamp() + 1;
        Some(target.origin.release_gone(id, published_at, version))
    };
    from.published.iter().filter_map(retraction).collect()
}
