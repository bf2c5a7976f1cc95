//! Walks through the history of a tip. The walk stays with that tip, even if the branch moves.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use gam_github::{CommitPage, Error, PageSize};

use super::{CommitReader, windows};
use crate::checkpoint::{CommitWalk, HistorySearch, HistoryWindow};
use crate::context::{ReadError, is_cursor_rejected};

/// How many history windows are read in parallel at most.
const MAX_PARALLEL_WINDOWS: usize = 10;

/// How far a window has been read.
struct WindowProgress {
    window: HistoryWindow,
    page_size: PageSize,
    /// Whether this is the only window of the walk and none of its pages was read yet.
    is_untouched: bool,
    /// Whether an earlier run saved the cursor, so that GitHub may have forgotten it.
    has_saved_cursor: bool,
}

impl CommitReader<'_> {
    /// Resumes the walk of an earlier run.
    pub(super) async fn resume(&mut self, walk: CommitWalk) -> Result<(), ReadError> {
        let tip = walk.covers.tip.clone();
        match self.walk(walk).await {
            Err(ReadError::GitHub(error @ Error::NotFound(_))) => {
                // If it is the repository that GitHub does not show, `shows` fails with an error of its own.
                if self.github.has_commit(&self.context.repo, &tip).await? {
                    return Err(error.into());
                }
                self.context.warn(format!(
                    "the tip of an unfinished walk is gone, so commits that the walk read and a force-push removed \
                     stay counted until the next reconcile ({error})"
                ));
                self.checkpoint.walk = None;
                self.save().await
            }
            result => result,
        }
    }

    /// Walks through the history of a tip: its windows in parallel, each page by page.
    pub(super) async fn walk(&mut self, mut walk: CommitWalk) -> Result<(), ReadError> {
        let (github, repo, tip) = (self.github, &self.context.repo, walk.covers.tip.clone());
        let covered_since = walk.covers.since;
        let fetch = |mut progress: WindowProgress| {
            let tip = &tip;
            async move {
                let HistoryWindow { since, until, cursor } = &progress.window;
                let (cursor, size) = (cursor.as_deref(), &mut progress.page_size);
                let page = match since {
                    Some(_) => {
                        let (span, with_counts) = ((*since, *until), progress.is_untouched);
                        github.commits(repo, tip, span, cursor, with_counts, size).await
                    }
                    None => github.commits_since(repo, tip, covered_since, *until, cursor, size).await,
                };
                (progress, page)
            }
        };
        let start = |windows: &[HistoryWindow], page_size| -> VecDeque<WindowProgress> {
            let start_window = |window: &HistoryWindow| WindowProgress {
                window: window.clone(),
                page_size: PageSize::new(100).resume(page_size),
                is_untouched: windows.len() == 1 && window.cursor.is_none(),
                has_saved_cursor: true,
            };
            windows.iter().map(start_window).collect()
        };
        let mut open = start(&walk.windows, self.checkpoint.page_size);
        let (mut in_flight, mut failure) = (FuturesUnordered::new(), None);
        loop {
            while in_flight.len() < MAX_PARALLEL_WINDOWS
                && failure.is_none()
                && let Some(progress) = open.pop_front()
            {
                in_flight.push(fetch(progress));
            }
            let Some((mut progress, page)) = in_flight.next().await else { break };
            let page = match page {
                Ok(page) => page,
                Err(error)
                    if progress.has_saved_cursor
                        && progress.window.cursor.is_some()
                        && is_cursor_rejected(&error) =>
                {
                    progress.window.cursor = None;
                    walk.search.iter_mut().for_each(|search| search.found = 0);
                    open.push_front(progress);
                    continue;
                }
                // Pages in flight are paid for: read them before failing.
                Err(error) => {
                    failure.get_or_insert(error.about(&describe(&progress.window)));
                    continue;
                }
            };
            let is_first = std::mem::take(&mut progress.is_untouched);
            if progress.page_size.to_save().is_some() || walk.windows.len() == 1 {
                self.checkpoint.page_size = progress.page_size.to_save();
            }
            progress.window.cursor.clone_from(&page.next);
            progress.has_saved_cursor = false;
            if is_first && let Some(search) = self.search_for_hidden(&page) {
                // The complete history holds the commits of this page too: they are read again.
                walk.search = Some(search);
                walk.windows =
                    vec![HistoryWindow { since: None, until: progress.window.until, cursor: None }];
                open = start(&walk.windows, self.checkpoint.page_size);
                self.save_walk(&walk, &page).await?;
                continue;
            }
            if let Some(search) = walk.search.as_mut().filter(|_| progress.window.since.is_none()) {
                search.found += page.entries.len() as i64;
                if search.found >= search.expected {
                    progress.window.cursor = None;
                }
            }
            let window = walk.windows.iter_mut().find(|window| window.since == progress.window.since);
            window.into_iter().for_each(|window| window.clone_from(&progress.window));
            if progress.window.cursor.is_none() {
                walk.windows.retain(|window| window.since != progress.window.since);
                self.save_walk(&walk, &page).await?;
                continue;
            }
            self.save_walk(&walk, &page).await?;
            let rest = if is_first { windows::rest_worth_cutting(&progress.window, &page) } else { None };
            let cut = match rest {
                Some(rest) => windows::cut(github, repo, &tip, rest).await?,
                None => None,
            };
            match cut {
                Some(windows) => {
                    walk.windows = windows;
                    self.checkpoint.walk = Some(walk.clone());
                    self.save().await?;
                    open = start(&walk.windows, self.checkpoint.page_size);
                }
                None => open.push_front(progress),
            }
        }
        failure.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Returns what to look for in the complete history if the list of a span misses commits of the span; `None`
    /// if it misses none. The list stops at a commit whose date lies before the span, though commits behind it
    /// may lie within, if somebody's clock was wrong.
    pub(super) fn search_for_hidden(&self, first: &CommitPage) -> Option<HistorySearch> {
        let counted = first.counts.filter(|counted| counted.listed < counted.in_span)?;
        let (repo, hidden) = (&self.context.repo.name, counted.in_span - counted.listed);
        tracing::info!(
            repo,
            hidden,
            commits = counted.up_to,
            "commits lie behind one with a wrong date: looking for them in the complete history"
        );
        Some(HistorySearch { expected: counted.in_span, found: 0 })
    }

    /// Sends the commits of a page that the walk covers, and saves what is left of the walk.
    async fn save_walk(&mut self, walk: &CommitWalk, page: &CommitPage) -> Result<(), ReadError> {
        let covered = page.entries.iter().filter(|commit| commit.committed_date >= walk.covers.since);
        let events = self.events(covered);
        if walk.windows.is_empty() {
            self.checkpoint.walk = None;
            self.checkpoint.covered = Some(walk.covers.clone());
        } else {
            self.checkpoint.walk = Some(walk.clone());
        }
        self.send(events).await
    }
}

/// Returns what a window holds, for messages.
fn describe(window: &HistoryWindow) -> String {
    let day = |at: Option<DateTime<Utc>>| at.map(|at| at.date_naive().to_string());
    match (day(window.since), day(window.until)) {
        (Some(since), Some(until)) => format!("the commits from {since} to {until}"),
        (Some(since), None) => format!("the commits since {since}"),
        (None, Some(until)) => format!("the commits up to {until}"),
        (None, None) => "the commits".to_owned(),
    }
}
