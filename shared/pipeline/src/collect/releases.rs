//! Reading releases. They have no order by change, and a release can be taken back and published
//! again under its id, so the whole list is read whenever it may have changed: it is short.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use gam_github::wire::Release;
use gam_github::{Client, Newest, PageSize};
use gam_model::Event;
use tokio::sync::mpsc::Sender;

use super::plan::{Stop, Target};
use super::writer::{PageRead, Update};
use crate::checkpoint::{ReleasesCheckpoint, SeenReleases};

/// Releases changed within this time before the repository's latest activity are read anew.
const READ_ANEW: TimeDelta = TimeDelta::days(14);

fn seen(newest: Newest, target: &Target) -> SeenReleases {
    SeenReleases { total: newest.total, newest: newest.id, updated_at: target.watermark(newest.at) }
}

/// Whether there is anything to read, or to remember.
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
    let mut events: Vec<Event> = releases.iter().filter_map(|release| target.origin.release(release)).collect();
    events.extend(gone(target, &releases, &from, newest));
    let published = releases.iter().filter_map(|release| {
        let at = release.published_at.filter(|_| !release.is_draft)?;
        Some((release.database_id?, at))
    });
    let checkpoint = ReleasesCheckpoint {
        seen: Some(seen(newest, target)),
        published: published.collect(),
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
