//! Reads releases. GitHub does not order them by change, and a release can be withdrawn and published again
//! under its id. So the list is read again whenever it may have changed: from the newest release down to the
//! first day of the window. Drafts may be published at any time: the checkpoint remembers them, and each run
//! requests them by id.
//!
//! A release counts from its publication on, which may be later than its creation. So reading stops only after a
//! page of which every release was created before the window.
//!
//! GitHub lists only the newest releases of a repository, and then fails: 1,000 or 10,000 of them. What was read
//! counts, and the checkpoint says from when on it is complete. A release that was deleted stays counted: it was
//! published all the same.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use gam_github::wire::Release;
use gam_github::{Client, Error, ListSummary, Page, PageSize, RepoProbe, UnansweredEntry};
use gam_model::Event;
use tokio::sync::mpsc::Sender;

use crate::RepoFailure;
use crate::checkpoint::{ProbedReleases, ReleaseListEnd, ReleasesCheckpoint, RepoCheckpoint, UnansweredItem};
use crate::context::{ReadError, RepoContext, SECOND};
use crate::window::CollectionWindow;
use crate::writer::{CheckpointUpdate, PageRead};

/// If the newest release changed within this time before the repository's latest activity, the list is read
/// again after every activity.
const RECHECK_PERIOD: TimeDelta = TimeDelta::days(14);
/// How much time may be lost to failures at the end of the list.
const MAX_LIST_END_TIME: Duration = Duration::from_secs(10);
/// After which time the rest of a list that ended in an error is requested again.
const LIST_END_RETRY_INTERVAL: TimeDelta = TimeDelta::days(1);
/// How many releases, and how many drafts, are remembered, so that the checkpoint stays small.
const MAX_REMEMBERED: usize = 3000;
/// How many drafts are requested together.
const DRAFTS_PER_REQUEST: usize = 100;

fn probed(newest: ListSummary, context: &RepoContext) -> ProbedReleases {
    let updated_at = context.watermark(newest.at, SECOND);
    ProbedReleases { total: newest.total, newest: newest.id, updated_at }
}

/// The result of requesting the known drafts.
#[derive(Default)]
pub(crate) struct DraftCheck {
    /// Known drafts that have been published, by repository id.
    pub(crate) published: BTreeMap<i64, Vec<Release>>,
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
                for release in releases.into_iter().filter(|release| !release.is_draft) {
                    if let Some(repo) = repo_of_draft.get(&release.id) {
                        check.published.entry(*repo).or_default().push(release);
                    }
                }
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

/// Returns the id of a release and when it was published, UTC. `None` for a draft.
fn publication(release: &Release) -> Option<(i64, DateTime<Utc>)> {
    release.database_id.zip(release.published_at.filter(|_| !release.is_draft))
}

/// From when on the releases of a checkpoint have been read. An earlier version always read the complete list.
fn covered_from(checkpoint: &ReleasesCheckpoint) -> Option<DateTime<Utc>> {
    checkpoint.covered_from.or_else(|| checkpoint.probed.as_ref().map(|_| DateTime::UNIX_EPOCH))
}

/// Returns whether the rest of a list that ended in an error is not to be requested at `now`, by GitHub's clock.
fn must_stop_at_end(end: &ReleaseListEnd, now: Option<DateTime<Utc>>) -> bool {
    end.requested_at.is_some_and(|at| now.is_none_or(|now| now - at < LIST_END_RETRY_INTERVAL))
}

/// Returns whether releases are missing that were created since the start of the window.
fn lacks_earlier(
    checkpoint: &ReleasesCheckpoint,
    window: CollectionWindow,
    now: Option<DateTime<Utc>>,
) -> bool {
    let is_at_end = checkpoint.list_end.as_ref().is_some_and(|end| must_stop_at_end(end, now));
    !window.is_covered(covered_from(checkpoint)) && !is_at_end
}

/// Returns whether there is anything to read, or to save in the checkpoint, apart from published drafts.
pub(crate) fn is_due(checkpoint: &ReleasesCheckpoint, newest: ListSummary, context: &RepoContext) -> bool {
    let is_recent =
        newest.at.zip(context.active_at).is_some_and(|(at, active)| active - at <= RECHECK_PERIOD);
    let has_changed = checkpoint.probed.as_ref().is_none_or(|before| *before != probed(newest, context));
    has_changed
        || (is_recent && checkpoint.active_at != context.active_at)
        || lacks_earlier(checkpoint, context.window, context.probed_at)
        || checkpoint.unanswered.is_due(context.probed_at)
}

pub(crate) async fn read(
    github: &Client,
    context: &RepoContext,
    newest: ListSummary,
    checkpoint: ReleasesCheckpoint,
    published_drafts: Vec<Release>,
    pages: &Sender<PageRead>,
) -> Result<(), ReadError> {
    let covered_from = covered_from(&checkpoint);
    let start = context.window.start_for(covered_from);
    let saved = checkpoint.clone();
    let mut reader = ReleaseReader { github, context, pages, saved, checkpoint, start };
    reader.retry_unanswered().await?;
    reader.send_page(&Page { entries: published_drafts, unanswered: Vec::new(), next: None }).await?;
    let end = if newest.total > 0 { reader.read_list().await? } else { ListRead::default() };
    reader.finish(newest, covered_from, end).await
}

/// How far the list was read.
#[derive(Default)]
struct ListRead {
    /// When the earliest release that was listed was created, UTC.
    earliest: Option<DateTime<Utc>>,
    /// Whether a release that an earlier run has read was listed.
    has_overlap: bool,
    /// What GitHub answered instead of the next page; `None` if it did not fail.
    failure: Option<String>,
    /// Whether reading stopped where GitHub failed in an earlier run.
    is_at_known_end: bool,
    /// Number of releases that were listed.
    listed: usize,
}

/// Reads the releases of one repository.
struct ReleaseReader<'a> {
    github: &'a Client,
    context: &'a RepoContext,
    pages: &'a Sender<PageRead>,
    /// The checkpoint that is saved: that of the earlier runs, and the publications that this run has announced.
    saved: ReleasesCheckpoint,
    /// The checkpoint at the end of this run.
    checkpoint: ReleasesCheckpoint,
    /// The first moment of the window.
    start: DateTime<Utc>,
}

impl ReleaseReader<'_> {
    /// Sends events to the writer. The saved checkpoint stays as it is if `checkpoint` is `None`.
    async fn send(
        &self,
        events: Vec<Event>,
        checkpoint: Option<ReleasesCheckpoint>,
    ) -> Result<(), ReadError> {
        if events.is_empty() && checkpoint.is_none() {
            return Ok(());
        }
        let update = checkpoint.map(CheckpointUpdate::Releases);
        self.context.send_page(self.pages, "releases", events, update).await
    }

    /// Requests again, by id, what GitHub did not return another day.
    async fn retry_unanswered(&mut self) -> Result<(), ReadError> {
        if !self.checkpoint.unanswered.is_due(self.context.probed_at) {
            return Ok(());
        }
        let node_ids = self.checkpoint.unanswered.start_retry(self.context.probed_at);
        let entries = match self.github.releases_by_id(&node_ids).await {
            Ok(entries) => entries,
            Err(Error::Unanswered { .. }) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        self.send_page(&Page { entries, unanswered: Vec::new(), next: None }).await
    }

    /// Reads the list page by page, from the newest release down.
    async fn read_list(&mut self) -> Result<ListRead, ReadError> {
        let known_end =
            self.saved.list_end.clone().filter(|end| must_stop_at_end(end, self.context.probed_at));
        let known = self.checkpoint.unanswered.known();
        let mut size = PageSize::new(100).resume(self.checkpoint.page_size);
        let (mut read, mut cursor) = (ListRead::default(), None::<String>);
        loop {
            let is_beyond_window = read.earliest.is_some_and(|earliest| earliest < self.start);
            // What was read counts, so it is not worth much time to find that the list ends here.
            let github = match read.listed {
                0 => self.github.clone(),
                _ if is_beyond_window => self.github.with_one_retry(),
                _ => self.github.with_failure_limit(MAX_LIST_END_TIME),
            };
            let page = match github.releases(&self.context.repo, cursor.as_deref(), &known, &mut size).await {
                Ok(page) => page,
                Err(Error::Unanswered { why, .. }) if read.listed > 0 => {
                    let listed = read.listed;
                    read.failure =
                        Some(format!("GitHub did not list the releases after the newest {listed}: {why}"));
                    return Ok(read);
                }
                Err(error) => return Err(error.about("the first releases").into()),
            };
            self.checkpoint.page_size = size.to_save();
            read.listed += page.listed().count();
            read.earliest = page.listed().map(|release| release.created_at).chain(read.earliest).min();
            let is_known =
                |id: &i64| self.saved.published.contains_key(id) || self.saved.drafts.contains_key(id);
            read.has_overlap |=
                page.listed().filter_map(|release| release.database_id).any(|id| is_known(&id));
            let is_before_window = page.listed().all(|release| release.created_at < self.start);
            // GitHub limits the number of releases that it lists.
            read.is_at_known_end = known_end.as_ref().is_some_and(|end| {
                read.listed >= end.listed || read.earliest.is_some_and(|at| at <= end.reached)
            });
            self.send_page(&page).await?;
            cursor = page.next;
            if cursor.is_none() || is_before_window || read.is_at_known_end {
                return Ok(read);
            }
        }
    }

    /// Sends the events of a page. Publications that the saved checkpoint does not know are saved first.
    async fn send_page(&mut self, page: &Page<Release>) -> Result<(), ReadError> {
        let events = self.take(page);
        let mut has_new = false;
        for release in page.listed() {
            let Some((id, at)) = publication(release) else { continue };
            if self.saved.published.get(&id) != Some(&at) {
                has_new |= self.saved.announced.entry(id).or_default().insert(at);
            }
        }
        if has_new {
            self.send(Vec::new(), Some(self.saved.clone())).await?;
        }
        self.send(events, None).await
    }

    /// Returns the events of a page, and remembers its releases.
    fn take(&mut self, page: &Page<Release>) -> Vec<Event> {
        let mut events = Vec::new();
        for release in &page.entries {
            self.checkpoint.unanswered.remove(&release.id);
            events.extend(self.context.event_builder.release(release));
            events.extend(self.remember(release));
        }
        for UnansweredEntry { entry: release, why } in &page.unanswered {
            let item = UnansweredItem {
                number: release.database_id,
                created_at: release.created_at,
                changed_at: release.updated_at,
                retries: 0,
                why: why.clone(),
            };
            self.checkpoint.unanswered.add(&release.id, item, self.context.probed_at);
            events.extend(self.context.event_builder.basic_release(release));
            events.extend(self.remember(release));
        }
        events
    }

    /// Remembers when a release was published. Returns the retractions of earlier publications that are no longer true:
    /// the release was withdrawn, or published again.
    fn remember(&mut self, release: &Release) -> Vec<Event> {
        let Some(id) = release.database_id else { return Vec::new() };
        let mut earlier = self.checkpoint.announced.remove(&id).unwrap_or_default();
        earlier.extend(self.checkpoint.published.remove(&id));
        self.checkpoint.drafts.remove(&id);
        let published = publication(release).map(|(_, at)| at);
        if let Some(at) = published {
            self.checkpoint.published.insert(id, at);
        } else if self.checkpoint.drafts.len() < MAX_REMEMBERED {
            self.checkpoint.drafts.insert(id, release.id.clone());
        }
        let retracted = earlier.into_iter().filter(|before| published != Some(*before));
        retracted.map(|at| self.retract(release, id, at)).collect()
    }

    /// Returns the retraction of the publication of a release at `published_at`, and says so.
    fn retract(&self, release: &Release, id: i64, published_at: DateTime<Utc>) -> Event {
        self.context.warn(format!(
            "release {:?}, published on {}, was withdrawn{}",
            release.tag_name,
            published_at.date_naive(),
            if publication(release).is_some() {
                " and published again: it counts on the later day"
            } else {
                ": it no longer counts"
            }
        ));
        let version = release.updated_at.max(published_at).timestamp() + 1;
        self.context.event_builder.retracted_release(id, published_at, version)
    }

    /// Saves how far the list was read. `covered_from` is how far earlier runs have read it.
    async fn finish(
        mut self,
        newest: ListSummary,
        covered_from: Option<DateTime<Utc>>,
        read: ListRead,
    ) -> Result<(), ReadError> {
        self.checkpoint.covered_from = Some(match (read.failure, read.earliest) {
            (Some(why), Some(reached)) => {
                // A first failure may be a short disturbance: the next run requests the rest again.
                let is_repeated = self.saved.list_end.is_some();
                let requested_at = self.context.probed_at.filter(|_| is_repeated || reached < self.start);
                let listed = read.listed;
                self.checkpoint.list_end = Some(ReleaseListEnd { reached, listed, requested_at, why });
                self.covered_down_to(reached, covered_from, read.has_overlap)
            }
            (None, Some(reached)) if read.is_at_known_end => {
                self.covered_down_to(reached, covered_from, read.has_overlap)
            }
            _ => {
                self.checkpoint.list_end = None;
                covered_from.map_or(self.start, |at| at.min(self.start))
            }
        });
        let checkpoint = &mut self.checkpoint;
        while checkpoint.published.len() > MAX_REMEMBERED {
            checkpoint.published.pop_first();
        }
        while checkpoint.announced.len() > MAX_REMEMBERED {
            checkpoint.announced.pop_first();
        }
        checkpoint.probed = Some(probed(newest, self.context));
        checkpoint.active_at = self.context.active_at;
        self.send(Vec::new(), Some(self.checkpoint.clone())).await
    }

    /// From when on the releases have been read if the list ended at `reached`. What earlier runs have read stays
    /// covered if the list was read down to it.
    fn covered_down_to(
        &self,
        reached: DateTime<Utc>,
        covered_from: Option<DateTime<Utc>>,
        has_overlap: bool,
    ) -> DateTime<Utc> {
        let read_before = covered_from.filter(|_| has_overlap).unwrap_or(reached);
        read_before.min(reached).max(self.start.min(reached))
    }
}
