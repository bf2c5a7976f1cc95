//! Walking through the history of a pinned tip.

use std::collections::VecDeque;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use gam_github::{CommitPage, Error, PageSize};

use super::{Commits, windows};
use crate::checkpoint::{CommitWalk, CommitWindow};
use crate::plan::Stop;

/// How many windows of a history are read side by side at most.
const WINDOWS: usize = 10;
/// Up to how many commits are all looked at where some of a span lie behind one with a wrong date.
const MOST_LOOKED_AT: i64 = 20_000;

/// Where the reading of a window stands.
struct Place {
    window: CommitWindow,
    size: PageSize,
    /// Whether it is the whole that the walk is to read, of which nothing was read yet.
    is_whole: bool,
    /// Whether the cursor was kept by an earlier run, so that GitHub may not know it any more.
    is_resumed: bool,
}

impl Commits<'_> {
    /// Goes on with a walk that an earlier run has begun.
    pub(super) async fn resume(&mut self, walk: CommitWalk) -> Result<(), Stop> {
        let tip = walk.covers.tip.clone();
        match self.walk(walk).await {
            Err(Stop::GitHub(why @ Error::NotFound(_))) => {
                // Where it is the repository that is hidden, that is an error of its own.
                if self.github.has_commit(&self.target.repo, &tip).await? {
                    return Err(why.into());
                }
                tracing::warn!(
                    repo = self.target.repo.name,
                    %why,
                    "the tip of an unfinished walk is gone; what it read and a force-push took away stays"
                );
                self.checkpoint.walk = None;
                self.hand_over(Vec::new(), true).await
            }
            done => done,
        }
    }

    /// Walks through the history of a pinned tip, its windows side by side, each page by page.
    pub(super) async fn walk(&mut self, mut walk: CommitWalk) -> Result<(), Stop> {
        let (github, repo, tip) = (self.github, &self.target.repo, walk.covers.tip.clone());
        let fetch = |mut place: Place| {
            let tip = &tip;
            async move {
                let CommitWindow { since, until, cursor } = &place.window;
                let (span, counted) = ((*since, *until), place.is_whole);
                let page = github.commits(repo, tip, span, cursor.as_deref(), counted, &mut place.size).await;
                (place, page)
            }
        };
        let places = |windows: &[CommitWindow], size| -> VecDeque<Place> {
            let place = |window: &CommitWindow| Place {
                window: window.clone(),
                size: PageSize::new(100).resume(size),
                is_whole: windows.len() == 1 && window.cursor.is_none(),
                is_resumed: true,
            };
            windows.iter().map(place).collect()
        };
        let mut open = places(&walk.windows, self.checkpoint.size);
        let (mut in_flight, mut failure) = (FuturesUnordered::new(), None);
        loop {
            while in_flight.len() < WINDOWS
                && failure.is_none()
                && let Some(place) = open.pop_front()
            {
                in_flight.push(fetch(place));
            }
            let Some((mut place, page)) = in_flight.next().await else { break };
            let page = match page {
                Ok(page) => page,
                // The place in the list is not known any more: begin the window anew.
                Err(Error::Invalid(_)) if place.is_resumed && place.window.cursor.is_some() => {
                    place.window.cursor = None;
                    open.push_front(place);
                    continue;
                }
                // What is in flight was paid for: it is read all the same.
                Err(error) => {
                    failure.get_or_insert(error);
                    continue;
                }
            };
            let is_first = std::mem::take(&mut place.is_whole);
            if place.size.to_save().is_some() || walk.windows.len() == 1 {
                self.checkpoint.size = place.size.to_save();
            }
            place.window.cursor.clone_from(&page.next);
            place.is_resumed = false;
            if is_first && self.hides_some(&page) {
                // All are looked at instead, those of this page again.
                walk.windows = vec![CommitWindow { since: None, until: place.window.until, cursor: None }];
                open = places(&walk.windows, self.checkpoint.size);
                self.save_walk(&walk, &page).await?;
                continue;
            }
            let window = walk.windows.iter_mut().find(|window| window.since == place.window.since);
            window.into_iter().for_each(|window| window.clone_from(&place.window));
            if place.window.cursor.is_none() {
                walk.windows.retain(|window| window.since != place.window.since);
                self.save_walk(&walk, &page).await?;
                continue;
            }
            self.save_walk(&walk, &page).await?;
            let rest = if is_first { windows::rest(&place.window, &page) } else { None };
            let cut = match rest {
                Some(rest) => windows::cut(github, repo, &tip, rest).await?,
                None => None,
            };
            match cut {
                Some(windows) => {
                    walk.windows = windows;
                    self.checkpoint.walk = Some(walk.clone());
                    self.hand_over(Vec::new(), true).await?;
                    open = places(&walk.windows, self.checkpoint.size);
                }
                None => open.push_front(place),
            }
        }
        failure.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Whether the list of a span lacks commits of the span, and looking at all there are is feasible.
    pub(super) fn hides_some(&self, first: &CommitPage) -> bool {
        let Some(counted) = first.counts.filter(|counted| counted.listed < counted.in_span) else {
            return false;
        };
        let (repo, hidden) = (&self.target.repo.name, counted.in_span - counted.listed);
        if counted.up_to > MOST_LOOKED_AT {
            tracing::warn!(
                repo,
                hidden,
                "commits behind one with a wrong date are left out: there are too many"
            );
            return false;
        }
        tracing::info!(repo, hidden, "commits lie behind one with a wrong date: all are looked at");
        true
    }

    /// Hands over what a page has of what the walk covers, with what is left of the walk.
    async fn save_walk(&mut self, walk: &CommitWalk, page: &CommitPage) -> Result<(), Stop> {
        let events = self.events(page.entries.iter().filter(|it| it.committed_date >= walk.covers.since));
        if walk.windows.is_empty() {
            self.checkpoint.walk = None;
            self.checkpoint.covered = Some(walk.covers.clone());
        } else {
            self.checkpoint.walk = Some(walk.clone());
        }
        self.hand_over(events, true).await
    }
}
