//! Reading lists ordered by change: pull requests and issues, from the newest change down to the
//! watermark, equality included. What changes while a walk goes on moves to the top of the list,
//! above the watermark that the walk leaves, and is read by the next one.

use chrono::{DateTime, Utc};
use gam_github::{Client, Error, Newest, Page, PageSize};
use gam_model::Event;
use tokio::sync::mpsc::Sender;

use super::plan::{Span, Stop, Target};
use super::writer::{PageRead, Update};
use crate::checkpoint::{ChangesCheckpoint, ChangesWalk};

/// Whether there is anything to read, or to remember.
pub(super) fn is_due(from: &ChangesCheckpoint, newest: Newest, span: Span) -> bool {
    from.walk.is_some() || from.since.is_none() || floor(from, newest, span).is_some()
}

/// Down to where there is something to read.
fn floor(from: &ChangesCheckpoint, newest: Newest, span: Span) -> Option<DateTime<Utc>> {
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

/// An entry of such a list: when it changed, and what it tells.
type Entry = (DateTime<Utc>, Vec<Event>);

pub(super) async fn read_pulls(
    github: &Client,
    target: &Target,
    newest: Newest,
    from: ChangesCheckpoint,
    sink: &Sender<PageRead>,
) -> Result<(), Stop> {
    let walker = Walker { target, sink, what: "pull_requests", update: Update::Pulls };
    walker
        .read(newest, from, 50, async |cursor: Option<&str>, _, size: &mut PageSize| {
            let page = github.pull_requests(&target.repo, cursor, size).await?;
            let entries = page.entries.iter().map(|pull| (pull.updated_at, target.origin.pull_request(pull)));
            Ok(Page { entries: entries.collect(), next: page.next })
        })
        .await
}

pub(super) async fn read_issues(
    github: &Client,
    target: &Target,
    newest: Newest,
    from: ChangesCheckpoint,
    sink: &Sender<PageRead>,
) -> Result<(), Stop> {
    let walker = Walker { target, sink, what: "issues", update: Update::Issues };
    walker
        .read(newest, from, 100, async |cursor: Option<&str>, floor, size: &mut PageSize| {
            let page = github.issues(&target.repo, Some(floor), cursor, size).await?;
            let entries = page.entries.iter().map(|issue| (issue.updated_at, target.origin.issue(issue)));
            Ok(Page { entries: entries.collect(), next: page.next })
        })
        .await
}

struct Walker<'a> {
    target: &'a Target,
    sink: &'a Sender<PageRead>,
    what: &'static str,
    update: fn(ChangesCheckpoint) -> Update,
}

impl Walker<'_> {
    async fn read(
        &self,
        newest: Newest,
        mut checkpoint: ChangesCheckpoint,
        largest: u32,
        fetch: impl AsyncFn(Option<&str>, DateTime<Utc>, &mut PageSize) -> Result<Page<Entry>, Error>,
    ) -> Result<(), Stop> {
        let mut size = PageSize::resume(checkpoint.size, largest);
        if let Some(walk) = checkpoint.walk.take() {
            match self.walk(&mut checkpoint, walk.clone(), &mut size, &fetch).await {
                // The place in the list is not known any more: begin the walk anew.
                Err(Stop::GitHub(Error::Invalid(_))) if walk.cursor.is_some() => {
                    self.walk(&mut checkpoint, ChangesWalk { cursor: None, ..walk }, &mut size, &fetch)
                        .await?;
                }
                done => done?,
            }
        }
        match floor(&checkpoint, newest, self.target.span) {
            Some(floor) => {
                let walk = ChangesWalk { watermark: None, floor, total: newest.total, cursor: None };
                self.walk(&mut checkpoint, walk, &mut size, &fetch).await
            }
            None if checkpoint.since.is_none() => {
                // Nothing has changed since the day asked for: that is known without reading.
                checkpoint.since = Some(self.target.span.since(None));
                checkpoint.watermark = self.target.watermark(newest.at);
                checkpoint.total = newest.total;
                let update = Some((self.update)(checkpoint));
                self.target.hand_over(self.sink, self.what, Vec::new(), update).await
            }
            None => Ok(()),
        }
    }

    async fn walk(
        &self,
        checkpoint: &mut ChangesCheckpoint,
        mut walk: ChangesWalk,
        size: &mut PageSize,
        fetch: &impl AsyncFn(Option<&str>, DateTime<Utc>, &mut PageSize) -> Result<Page<Entry>, Error>,
    ) -> Result<(), Stop> {
        loop {
            let page = fetch(walk.cursor.as_deref(), walk.floor, size).await?;
            checkpoint.size = size.to_remember();
            if walk.cursor.is_none() {
                walk.watermark = self.target.watermark(page.entries.first().map(|(at, _)| *at));
            }
            let at_floor = page.entries.iter().any(|(at, _)| *at < walk.floor);
            let events = page.entries.into_iter().flat_map(|(_, events)| events).collect();
            walk.cursor = page.next.filter(|_| !at_floor);
            let more = walk.cursor.is_some();
            if more {
                checkpoint.walk = Some(walk.clone());
            } else {
                checkpoint.walk = None;
                checkpoint.since = Some(checkpoint.since.map_or(walk.floor, |since| since.min(walk.floor)));
                checkpoint.watermark = walk.watermark.max(checkpoint.watermark);
                checkpoint.total = walk.total;
            }
            let update = Some((self.update)(checkpoint.clone()));
            self.target.hand_over(self.sink, self.what, events, update).await?;
            if !more {
                return Ok(());
            }
        }
    }
}
