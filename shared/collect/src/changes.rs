//! Reading pull requests and issues, from the newest change down to the watermark, equality included.
//! What changes while a walk goes on is newer than the watermark that the walk leaves, and is read by the
//! next one.
//!
//! A list by change is a chain: where a page starts is told by the one before. A long list that is to be
//! read whole is read from both ends at once, by when entries were opened, until the two ways meet.

use chrono::{DateTime, TimeDelta, Utc};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use gam_github::wire::{Issue, PullRequest};
use gam_github::{Client, Error, ListOrder, ListSummary, Page, PageSize};
use gam_model::Event;
use tokio::sync::mpsc::Sender;

use crate::checkpoint::{ChangesCheckpoint, ChangesWalk, Way};
use crate::plan::{SECOND, Span, Stop, Target};
use crate::writer::{PageRead, Update};

/// Whether there is anything to read, or to remember.
pub(crate) fn is_due(from: &ChangesCheckpoint, newest: ListSummary, span: Span) -> bool {
    from.walk.is_some() || from.since.is_none() || floor(from, newest, span).is_some()
}

/// Down to where there is something to read.
fn floor(from: &ChangesCheckpoint, newest: ListSummary, span: Span) -> Option<DateTime<Utc>> {
    let top = newest.at?;
    let asked = span.since(from.since);
    let Some(known) = from.since.filter(|known| *known <= asked) else {
        return (top >= asked).then_some(asked);
    };
    match from.watermark {
        None => (top >= known).then_some(known),
        Some(watermark) => (top > watermark || newest.total > from.total).then_some(watermark.max(known)),
    }
}

/// An entry of such a list.
struct Entry {
    opened_at: DateTime<Utc>,
    changed_at: DateTime<Utc>,
    /// What it tells.
    events: Vec<Event>,
}

pub(crate) async fn read_pulls(
    github: &Client,
    target: &Target,
    newest: ListSummary,
    from: ChangesCheckpoint,
    sink: &Sender<PageRead>,
) -> Result<(), Stop> {
    let entry = |pull: PullRequest| Entry {
        opened_at: pull.created_at,
        changed_at: pull.updated_at,
        events: target.origin.pull_request(&pull),
    };
    let fetch = async |way: &Way, _: DateTime<Utc>, size: &mut PageSize| {
        let page = github.pull_requests(&target.repo, way.order, way.cursor.as_deref(), size).await?;
        Ok(Page { entries: page.entries.into_iter().map(entry).collect(), next: page.next })
    };
    // GitHub takes some seconds for a hundred of them with all that belongs to them, if it can at all.
    let size = PageSize::new(50).up_to(100);
    Walker { target, sink, what: "pull_requests", update: Update::Pulls, size, fetch }
        .read(newest, from)
        .await
}

pub(crate) async fn read_issues(
    github: &Client,
    target: &Target,
    newest: ListSummary,
    from: ChangesCheckpoint,
    sink: &Sender<PageRead>,
) -> Result<(), Stop> {
    let entry = |issue: Issue| Entry {
        opened_at: issue.created_at,
        changed_at: issue.updated_at,
        events: target.origin.issue(&issue),
    };
    let fetch = async |way: &Way, floor, size: &mut PageSize| {
        let since = (way.order == ListOrder::LastChanged).then_some(floor);
        let page = github.issues(&target.repo, way.order, since, way.cursor.as_deref(), size).await?;
        Ok(Page { entries: page.entries.into_iter().map(entry).collect(), next: page.next })
    };
    let size = PageSize::new(100);
    Walker { target, sink, what: "issues", update: Update::Issues, size, fetch }.read(newest, from).await
}

/// A list with more entries than this is worth reading from both ends.
const LONG: i64 = 500;
/// By how much what GitHub shows of an entry may lag behind what it showed of the newest change.
const LAG: TimeDelta = TimeDelta::minutes(5);

struct Walker<'a, F> {
    target: &'a Target,
    sink: &'a Sender<PageRead>,
    what: &'static str,
    update: fn(ChangesCheckpoint) -> Update,
    /// How much to ask for at first.
    size: PageSize,
    fetch: F,
}

impl<F> Walker<'_, F>
where
    F: AsyncFn(&Way, DateTime<Utc>, &mut PageSize) -> Result<Page<Entry>, Error>,
{
    async fn read(&self, newest: ListSummary, mut checkpoint: ChangesCheckpoint) -> Result<(), Stop> {
        if let Some(walk) = checkpoint.walk.take() {
            let is_resumed = walk.ways.iter().any(|way| way.cursor.is_some());
            match self.walk(&mut checkpoint, walk.clone()).await {
                // The place in the list is not known any more: begin the walk anew.
                Err(Stop::GitHub(Error::Invalid(_))) if is_resumed => {
                    let ways = walk.ways.iter().map(|way| Way::new(way.order)).collect();
                    self.walk(&mut checkpoint, ChangesWalk { ways, ..walk }).await?;
                }
                done => done?,
            }
        }
        match floor(&checkpoint, newest, self.target.span) {
            Some(floor) => {
                let walk = self.plan(&checkpoint, newest, floor).await?;
                self.walk(&mut checkpoint, walk).await
            }
            None if checkpoint.since.is_none() => {
                // Nothing has changed since the day asked for: that is known without reading.
                checkpoint.since = Some(self.target.span.since(None));
                checkpoint.watermark = self.target.watermark(newest.at, SECOND);
                checkpoint.total = newest.total;
                let update = Some((self.update)(checkpoint));
                self.target.hand_over(self.sink, self.what, Vec::new(), update).await
            }
            None => Ok(()),
        }
    }

    /// A long list of which all entries were opened since the floor is read from both ends.
    async fn plan(
        &self,
        checkpoint: &ChangesCheckpoint,
        newest: ListSummary,
        floor: DateTime<Utc>,
    ) -> Result<ChangesWalk, Stop> {
        let mut walk = ChangesWalk { watermark: None, floor, total: newest.total, ways: ChangesWalk::down() };
        let is_known = checkpoint.since.is_some_and(|known| known <= floor);
        if !is_known && newest.total > LONG {
            let oldest = Way::new(ListOrder::Oldest);
            let first = (self.fetch)(&oldest, floor, &mut PageSize::new(1)).await?.entries.pop();
            if first.is_some_and(|entry| entry.opened_at >= floor) {
                walk.ways = ChangesWalk::from_both_ends();
                walk.watermark = self.target.watermark(newest.at, LAG);
            }
        }
        Ok(walk)
    }

    async fn walk(&self, checkpoint: &mut ChangesCheckpoint, mut walk: ChangesWalk) -> Result<(), Stop> {
        let (fetch, floor) = (&self.fetch, walk.floor);
        let fetch = |way: Way, mut size: PageSize| async move {
            let page = fetch(&way, floor, &mut size).await;
            (way, size, page)
        };
        let size = self.size.resume(checkpoint.size);
        let mut idle: Vec<(Way, PageSize)> = walk.ways.iter().map(|way| (way.clone(), size)).collect();
        let (mut in_flight, mut failure) = (FuturesUnordered::new(), None);
        loop {
            let read: i64 = walk.ways.iter().map(|way| way.read).sum();
            while failure.is_none()
                && let Some((way, size)) = idle.pop_if(|(_, size)| {
                    // What is in flight may be all that is left.
                    let coming = in_flight.len() as i64 * i64::from(size.get());
                    coming == 0 || read + coming < walk.total
                })
            {
                in_flight.push(fetch(way, size));
            }
            let Some((mut way, size, page)) = in_flight.next().await else { break };
            let page = match page {
                Ok(page) => page,
                // What is in flight was paid for: it is read all the same.
                Err(error) => {
                    failure.get_or_insert(error);
                    continue;
                }
            };
            let is_by_change = way.order == ListOrder::LastChanged;
            if is_by_change && way.cursor.is_none() {
                let newest = page.entries.first().map(|entry| entry.changed_at);
                walk.watermark = self.target.watermark(newest, SECOND);
            }
            if size.to_save().is_some() || walk.ways.len() == 1 {
                checkpoint.size = size.to_save();
            }
            let at_floor = is_by_change && page.entries.iter().any(|entry| entry.changed_at < floor);
            way.read += page.entries.len() as i64;
            way.reached = page.entries.last().map(|entry| entry.opened_at).or(way.reached);
            way.cursor = page.next.filter(|_| !at_floor);
            let known = walk.ways.iter_mut().find(|known| known.order == way.order);
            known.into_iter().for_each(|known| known.clone_from(&way));
            let is_done = way.cursor.is_none() || walk.has_met();
            if is_done {
                checkpoint.walk = None;
                checkpoint.since = Some(checkpoint.since.map_or(floor, |since| since.min(floor)));
                checkpoint.watermark = walk.watermark.max(checkpoint.watermark);
                checkpoint.total = walk.total;
            } else {
                checkpoint.walk = Some(walk.clone());
            }
            let events = page.entries.into_iter().flat_map(|entry| entry.events).collect();
            let update = Some((self.update)(checkpoint.clone()));
            self.target.hand_over(self.sink, self.what, events, update).await?;
            if is_done {
                return Ok(());
            }
            idle.push((way, size));
        }
        failure.map_or(Ok(()), |error| Err(error.into()))
    }
}
