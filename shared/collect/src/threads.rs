//! Reads threads: pull requests and issues. A walk reads from the newest change down to the watermark,
//! including threads that changed at that very moment. What changes during a walk is newer than the watermark
//! that the walk leaves, so the next walk reads it.
//!
//! A list by change can only be read page after page, since each page says where the next one starts. A long
//! list that must be read completely is read from both ends in parallel, by creation, until the two
//! directions cross.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use gam_github::events::EventBuilder;
use gam_github::wire::{Issue, PullRequest};
use gam_github::{Client, Error, KnownUnanswered, ListOrder, ListSummary, Page, PageSize, UnansweredEntry};
use gam_model::Event;
use tokio::sync::mpsc::Sender;

use crate::checkpoint::{ThreadsCheckpoint, ThreadsWalk, UnansweredItem, WalkDirection};
use crate::context::{ReadError, RepoContext, SECOND, is_cursor_rejected};
use crate::window::CollectionWindow;
use crate::writer::{CheckpointUpdate, PageRead};

/// A list with more threads than this may be read from both ends.
const MIN_THREADS_FOR_BOTH_ENDS: i64 = 500;
/// By how much a thread may lag behind the newest change that the probe showed. GitHub's servers do not all
/// see a change at once.
const MAX_LAG: TimeDelta = TimeDelta::minutes(5);

/// By how much GitHub's clock must be past the opening of a thread, so that GitHub's count includes it.
const COUNT_MARGIN: TimeDelta = TimeDelta::minutes(1);

/// Returns whether there is anything to read, or to save in the checkpoint. `now` is the time of GitHub's clock.
pub(crate) fn is_due(
    checkpoint: &ThreadsCheckpoint,
    newest: ListSummary,
    window: CollectionWindow,
    now: Option<DateTime<Utc>>,
) -> bool {
    checkpoint.walk.is_some()
        || checkpoint.unanswered.is_due(now)
        || checkpoint.covered_from.is_none()
        || checkpoint.has_shrunk_to(newest.total)
        || lower_bound(checkpoint, newest, window).is_some()
}

/// Returns down to which change a walk has to read; `None` if there is nothing to read.
fn lower_bound(
    checkpoint: &ThreadsCheckpoint,
    newest: ListSummary,
    window: CollectionWindow,
) -> Option<DateTime<Utc>> {
    let newest_at = newest.at?;
    let start = window.start_for(checkpoint.covered_from);
    let Some(covered_from) = checkpoint.covered_from.filter(|at| *at <= start) else {
        return (newest_at >= start).then_some(start);
    };
    match checkpoint.watermark {
        None => (newest_at >= covered_from).then_some(covered_from),
        Some(watermark) => {
            let has_changed = newest_at > watermark || newest.total != checkpoint.total;
            has_changed.then_some(watermark.max(covered_from))
        }
    }
}

/// What a walk needs of a thread.
struct ThreadRead {
    node_id: String,
    number: i64,
    opened_at: DateTime<Utc>,
    changed_at: DateTime<Utc>,
    events: Vec<Event>,
}

pub(crate) async fn read_pulls(
    github: &Client,
    context: &RepoContext,
    newest: ListSummary,
    checkpoint: ThreadsCheckpoint,
    pages: &Sender<PageRead>,
) -> Result<(), ReadError> {
    let builder = &context.event_builder;
    let thread = |pull: PullRequest, events: fn(&EventBuilder, &PullRequest) -> Vec<Event>| ThreadRead {
        opened_at: pull.created_at,
        changed_at: pull.updated_at,
        number: pull.number,
        events: events(builder, &pull),
        node_id: pull.id,
    };
    let full = |pull| thread(pull, EventBuilder::pull_request);
    let basic = |pull| thread(pull, EventBuilder::basic_pull_request);
    let fetch =
        async |direction: &WalkDirection, _: DateTime<Utc>, known: &KnownUnanswered, size: &mut PageSize| {
            let cursor = direction.cursor.as_deref();
            let page = github.pull_requests(&context.repo, direction.order, cursor, known, size).await?;
            Ok(page.map(full, basic))
        };
    let fetch_by_id = async |node_ids: &[String]| {
        let pulls = github.pull_requests_by_id(&context.repo, node_ids).await?;
        Ok(pulls.into_iter().map(full).collect())
    };
    // A hundred pull requests with their reviews take GitHub several seconds, if it can answer at all.
    let page_size = PageSize::new(50).up_to(100);
    let update = CheckpointUpdate::Pulls;
    let kind = "pull_requests";
    ThreadReader { context, pages, kind, update, page_size, fetch, fetch_by_id }
        .read(newest, checkpoint)
        .await
}

pub(crate) async fn read_issues(
    github: &Client,
    context: &RepoContext,
    newest: ListSummary,
    checkpoint: ThreadsCheckpoint,
    pages: &Sender<PageRead>,
) -> Result<(), ReadError> {
    let builder = &context.event_builder;
    let thread = |issue: Issue, events: fn(&EventBuilder, &Issue) -> Vec<Event>| ThreadRead {
        opened_at: issue.created_at,
        changed_at: issue.updated_at,
        number: issue.number,
        events: events(builder, &issue),
        node_id: issue.id,
    };
    let full = |issue| thread(issue, EventBuilder::issue);
    let basic = |issue| thread(issue, EventBuilder::basic_issue);
    let fetch = async |direction: &WalkDirection,
                       lower_bound: DateTime<Utc>,
                       known: &KnownUnanswered,
                       size: &mut PageSize| {
        let since = (direction.order == ListOrder::LastChanged).then_some(lower_bound);
        let cursor = direction.cursor.as_deref();
        let page = github.issues(&context.repo, direction.order, since, cursor, known, size).await?;
        Ok(page.map(full, basic))
    };
    let fetch_by_id = async |node_ids: &[String]| {
        let issues = github.issues_by_id(&context.repo, node_ids).await?;
        Ok(issues.into_iter().map(full).collect())
    };
    let (page_size, update, kind) = (PageSize::new(100), CheckpointUpdate::Issues, "issues");
    ThreadReader { context, pages, kind, update, page_size, fetch, fetch_by_id }
        .read(newest, checkpoint)
        .await
}

/// Finds the threads of a walk that were opened since the last one.
struct NewThreads {
    /// Threads with a greater number are new; `None` if no number is known.
    known_number: Option<i64>,
    /// Without a known number, threads that were opened later are new; `None` in the first walk.
    known_until: Option<DateTime<Utc>>,
    is_first_walk: bool,
    /// Threads that were opened later may be missing in GitHub's count.
    counted_until: Option<DateTime<Utc>>,
    /// The greatest number so far.
    newest: Option<i64>,
    /// Whether GitHub's count may miss some of the new threads.
    are_uncertain: bool,
}

impl NewThreads {
    /// `probed_at` is when GitHub counted the threads.
    fn of(checkpoint: &ThreadsCheckpoint, probed_at: Option<DateTime<Utc>>) -> Self {
        NewThreads {
            known_number: checkpoint.newest_number,
            known_until: checkpoint.watermark,
            is_first_walk: checkpoint.covered_from.is_none(),
            counted_until: probed_at.map(|at| at - COUNT_MARGIN),
            newest: None,
            are_uncertain: false,
        }
    }

    /// Adds the numbers of the new threads of a page to `opened`.
    fn add<'t>(&mut self, threads: impl Iterator<Item = &'t ThreadRead>, opened: &mut BTreeSet<i64>) {
        for thread in threads {
            self.newest = self.newest.max(Some(thread.number));
            let is_new = match (self.known_number, self.known_until) {
                (Some(known), _) => thread.number > known,
                (None, until) => until.is_none_or(|until| thread.opened_at > until),
            };
            if is_new && !self.is_first_walk {
                opened.insert(thread.number);
                self.are_uncertain |= self.counted_until.is_none_or(|until| thread.opened_at > until);
            }
        }
    }
}

/// Reads one list of threads of one repository. `fetch` gets a page: in which direction, down to which
/// change, which threads GitHub did not return before, and with which page size. `fetch_by_id` gets threads by
/// node id.
struct ThreadReader<'a, F, G> {
    context: &'a RepoContext,
    pages: &'a Sender<PageRead>,
    kind: &'static str,
    update: fn(ThreadsCheckpoint) -> CheckpointUpdate,
    /// The page size to start with.
    page_size: PageSize,
    fetch: F,
    fetch_by_id: G,
}

impl<F, G> ThreadReader<'_, F, G>
where
    F: AsyncFn(
        &WalkDirection,
        DateTime<Utc>,
        &KnownUnanswered,
        &mut PageSize,
    ) -> Result<Page<ThreadRead>, Error>,
    G: AsyncFn(&[String]) -> Result<Vec<ThreadRead>, Error>,
{
    async fn read(&self, newest: ListSummary, mut checkpoint: ThreadsCheckpoint) -> Result<(), ReadError> {
        if let Some(walk) = checkpoint.walk.take() {
            self.resume(&mut checkpoint, walk).await?;
        }
        if checkpoint.unanswered.is_due(self.context.probed_at) {
            self.retry_unanswered(&mut checkpoint).await?;
        }
        match lower_bound(&checkpoint, newest, self.context.window) {
            Some(lower_bound) => {
                let walk = self.plan_walk(&checkpoint, newest, lower_bound).await?;
                self.walk(&mut checkpoint, walk).await
            }
            None if checkpoint.covered_from.is_none() => {
                // The probe shows that nothing has changed since the start: there is nothing to read.
                checkpoint.covered_from = Some(self.context.window.start_for(None));
                checkpoint.watermark = self.context.watermark(newest.at, SECOND);
                checkpoint.settle_count(newest.total);
                self.send(checkpoint, Vec::new()).await
            }
            // The list has become empty, or a thread is gone and the others have not changed.
            None if checkpoint.has_shrunk_to(newest.total) => {
                checkpoint.count_threads(newest.total, 0, false);
                self.send(checkpoint, Vec::new()).await
            }
            None => Ok(()),
        }
    }

    async fn send(&self, checkpoint: ThreadsCheckpoint, events: Vec<Event>) -> Result<(), ReadError> {
        self.context.send_page(self.pages, self.kind, events, Some((self.update)(checkpoint))).await
    }

    /// Requests again, by id, what GitHub did not return another day.
    async fn retry_unanswered(&self, checkpoint: &mut ThreadsCheckpoint) -> Result<(), ReadError> {
        let node_ids = checkpoint.unanswered.start_retry(self.context.probed_at);
        let threads = match (self.fetch_by_id)(&node_ids).await {
            Ok(threads) => threads,
            Err(Error::Unanswered { .. }) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        for thread in &threads {
            checkpoint.unanswered.remove(&thread.node_id);
        }
        let events = threads.into_iter().flat_map(|thread| thread.events).collect();
        self.send(checkpoint.clone(), events).await
    }

    /// Returns what the next page in a direction holds, for messages.
    fn describe_page(&self, direction: &WalkDirection) -> String {
        let list = self.kind.replace('_', " ");
        let order = match direction.order {
            ListOrder::LastChanged => "by last change",
            ListOrder::Newest => "newest first",
            ListOrder::Oldest => "oldest first",
        };
        match direction.threads_read {
            0 => format!("the first {list}, {order}"),
            read => format!("the {list} after the first {read}, {order}"),
        }
    }

    /// Resumes the walk of an earlier run; starts it over if GitHub has forgotten its cursors.
    async fn resume(&self, checkpoint: &mut ThreadsCheckpoint, walk: ThreadsWalk) -> Result<(), ReadError> {
        let has_saved_cursor = walk.directions.iter().any(|direction| direction.cursor.is_some());
        match self.walk(checkpoint, walk.clone()).await {
            Err(ReadError::GitHub(error)) if has_saved_cursor && is_cursor_rejected(&error) => {
                let orders = walk.directions.iter().map(|direction| direction.order);
                let directions = orders.map(WalkDirection::new).collect();
                self.walk(checkpoint, ThreadsWalk { directions, ..walk }).await
            }
            result => result,
        }
    }

    /// Plans a walk down to `lower_bound`. A long list whose threads were all opened after that is read from
    /// both ends.
    async fn plan_walk(
        &self,
        checkpoint: &ThreadsCheckpoint,
        newest: ListSummary,
        lower_bound: DateTime<Utc>,
    ) -> Result<ThreadsWalk, ReadError> {
        let directions = ThreadsWalk::from_newest_change();
        let (total, opened) = (newest.total, BTreeSet::new());
        let mut walk = ThreadsWalk { watermark: None, lower_bound, total, directions, opened };
        let is_covered = checkpoint.covered_from.is_some_and(|covered_from| covered_from <= lower_bound);
        if !is_covered && newest.total > MIN_THREADS_FOR_BOTH_ENDS {
            let from_oldest = WalkDirection::new(ListOrder::Oldest);
            let (known, mut size) = (checkpoint.unanswered.known(), PageSize::new(1));
            let page = (self.fetch)(&from_oldest, lower_bound, &known, &mut size).await?;
            let oldest = page.listed().next();
            if oldest.is_some_and(|oldest| oldest.opened_at >= lower_bound) {
                walk.directions = ThreadsWalk::from_both_ends();
                walk.watermark = self.context.watermark(newest.at, MAX_LAG);
            }
        }
        Ok(walk)
    }

    /// Remembers which threads of a page GitHub did not return.
    fn note_unanswered(&self, checkpoint: &mut ThreadsCheckpoint, page: &Page<ThreadRead>) {
        for thread in &page.entries {
            checkpoint.unanswered.remove(&thread.node_id);
        }
        for UnansweredEntry { entry, why } in &page.unanswered {
            let item = UnansweredItem {
                number: Some(entry.number),
                created_at: entry.opened_at,
                changed_at: entry.changed_at,
                retries: 0,
                why: why.clone(),
            };
            checkpoint.unanswered.add(&entry.node_id, item, self.context.probed_at);
        }
    }

    async fn walk(&self, checkpoint: &mut ThreadsCheckpoint, mut walk: ThreadsWalk) -> Result<(), ReadError> {
        let (fetch, lower_bound, known) = (&self.fetch, walk.lower_bound, checkpoint.unanswered.known());
        let known = &known;
        let fetch = |direction: WalkDirection, mut size: PageSize| async move {
            let page = fetch(&direction, lower_bound, known, &mut size).await;
            (direction, size, page)
        };
        let mut new_threads = NewThreads::of(checkpoint, self.context.probed_at);
        let size = self.page_size.resume(checkpoint.page_size);
        let mut idle: Vec<(WalkDirection, PageSize)> =
            walk.directions.iter().map(|direction| (direction.clone(), size)).collect();
        let (mut in_flight, mut failure) = (FuturesUnordered::new(), None::<Error>);
        loop {
            let threads_read: i64 = walk.directions.iter().map(|direction| direction.threads_read).sum();
            // If GitHub does not return a page, the other direction may still lead to the end.
            while failure.as_ref().is_none_or(Error::is_transient)
                && let Some((direction, size)) = idle.pop_if(|(_, size)| {
                    // The pages in flight may hold everything that is left.
                    let expected = in_flight.len() as i64 * i64::from(size.get());
                    expected == 0 || threads_read + expected < walk.total
                })
            {
                in_flight.push(fetch(direction, size));
            }
            let Some((mut direction, size, page)) = in_flight.next().await else { break };
            let page = match page {
                Ok(page) => page,
                // Pages in flight are paid for: read them before failing.
                Err(error) => {
                    let error = error.about(&self.describe_page(&direction));
                    failure.get_or_insert(error);
                    continue;
                }
            };
            let is_by_change = direction.order == ListOrder::LastChanged;
            if is_by_change && direction.cursor.is_none() {
                let newest = page.listed().map(|thread| thread.changed_at).max();
                walk.watermark = self.context.watermark(newest, SECOND);
            }
            if size.to_save().is_some() || walk.directions.len() == 1 {
                checkpoint.page_size = size.to_save();
            }
            let is_at_bound = is_by_change && page.listed().any(|thread| thread.changed_at < lower_bound);
            new_threads.add(page.listed(), &mut walk.opened);
            if new_threads.is_first_walk {
                checkpoint.newest_number = checkpoint.newest_number.max(new_threads.newest);
            }
            direction.threads_read += page.listed().count() as i64;
            let opened = || page.listed().map(|thread| thread.opened_at);
            let last = if direction.order == ListOrder::Oldest { opened().max() } else { opened().min() };
            direction.reached = last.or(direction.reached);
            self.note_unanswered(checkpoint, &page);
            direction.cursor = page.next.clone().filter(|_| !is_at_bound);
            let saved = walk.directions.iter_mut().find(|saved| saved.order == direction.order);
            saved.into_iter().for_each(|saved| saved.clone_from(&direction));
            let is_done = direction.cursor.is_none() || walk.have_crossed();
            if is_done {
                checkpoint.walk = None;
                checkpoint.count_threads(walk.total, walk.opened.len() as i64, new_threads.are_uncertain);
                checkpoint.newest_number = checkpoint.newest_number.max(new_threads.newest);
                checkpoint.covered_from =
                    Some(checkpoint.covered_from.map_or(lower_bound, |at| at.min(lower_bound)));
                checkpoint.watermark = walk.watermark.max(checkpoint.watermark);
            } else {
                checkpoint.walk = Some(walk.clone());
            }
            let unanswered = page.unanswered.into_iter().map(|unanswered| unanswered.entry);
            let threads = page.entries.into_iter().chain(unanswered);
            self.send(checkpoint.clone(), threads.flat_map(|thread| thread.events).collect()).await?;
            if is_done {
                return Ok(());
            }
            idle.push((direction, size));
        }
        failure.map_or(Ok(()), |error| Err(error.into()))
    }
}
