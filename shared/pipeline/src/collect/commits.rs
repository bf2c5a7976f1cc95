//! Reading commits: what is new is the ancestors of the new tip less those of the old one.
//!
//! A walk by date, or one that stops at the old tip, would lose commits that land late. The reverse
//! difference is what a force-push took away.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use gam_github::wire::Commit;
use gam_github::{Client, Comparison, Error, PageSize};
use gam_model::Event;
use tokio::sync::mpsc::Sender;

use super::plan::{Span, Stop, Target};
use super::windows;
use super::writer::{PageRead, Update};
use crate::checkpoint::{
    CommitWalk, CommitWindow, CommitsCheckpoint, CoveredCommits, MoveStep, Moving, Uncounted,
};

const WHAT: &str = "commits";
/// How many windows of a history are read side by side at most.
const WINDOWS: usize = 10;

/// Whether there is anything to read.
pub(super) fn is_due(from: &CommitsCheckpoint, tip: &str, span: Span, now: Option<DateTime<Utc>>) -> bool {
    match &from.covered {
        _ if from.uncounted.is_due(now) => true,
        _ if from.walk.is_some() || from.moving.is_some() => true,
        None => true,
        Some(covered) => covered.tip != tip || widening(covered, span).next().is_some(),
    }
}

/// The spans of committer dates that are asked for and not covered.
fn widening(covered: &CoveredCommits, span: Span) -> impl Iterator<Item = CommitWalk> {
    let earlier = span.since.filter(|since| *since < covered.since).map(|since| {
        CommitWalk::new(CoveredCommits { since, ..covered.clone() }, since, Some(covered.since))
    });
    let later = covered.until.filter(|until| span.until.is_none_or(|asked| asked > *until));
    let later = later.map(|until| {
        CommitWalk::new(CoveredCommits { until: span.until, ..covered.clone() }, until, span.until)
    });
    // One at a time: the second starts from what the first has covered.
    earlier.or(later).into_iter()
}

pub(super) async fn read(
    github: &Client,
    target: &Target,
    tip: &str,
    from: CommitsCheckpoint,
    sink: &Sender<PageRead>,
) -> Result<(), Stop> {
    let mut reading = Commits { github, target, sink, checkpoint: from };
    if reading.checkpoint.version == 0 {
        // Not less than what an earlier collection, whose checkpoints are lost, may have taken back.
        reading.checkpoint.version = reading.pushed_at().max(1);
    }
    if let (Some(covered), Some(moving)) =
        (reading.checkpoint.covered.clone(), reading.checkpoint.moving.clone())
    {
        reading.finish_move(covered, moving).await?;
    }
    if let Some(walk) = reading.checkpoint.walk.take() {
        reading.resume(walk).await?;
    }
    match reading.checkpoint.covered.clone() {
        None => {
            let since = target.span.since(None);
            let covers = CoveredCommits { tip: tip.to_owned(), since, until: target.span.until };
            reading.walk(CommitWalk::new(covers, since, target.span.until)).await?;
        }
        Some(covered) if covered.tip != tip => reading.move_tip(covered, tip).await?,
        Some(_) => {}
    }
    while let Some(walk) =
        reading.checkpoint.covered.as_ref().and_then(|covered| widening(covered, target.span).next())
    {
        reading.walk(walk).await?;
    }
    if reading.checkpoint.uncounted.is_due(target.read_at) {
        reading.count_again().await?;
    }
    Ok(())
}

/// Where the reading of a window stands.
struct Place {
    window: CommitWindow,
    size: PageSize,
    /// Whether the cursor was kept by an earlier run, so that GitHub may not know it any more.
    is_resumed: bool,
}

struct Commits<'a> {
    github: &'a Client,
    target: &'a Target,
    sink: &'a Sender<PageRead>,
    checkpoint: CommitsCheckpoint,
}

impl Commits<'_> {
    async fn hand_over(&self, events: Vec<Event>, save: bool) -> Result<(), Stop> {
        let update = save.then(|| Update::Commits(self.checkpoint.clone()));
        self.target.hand_over(self.sink, WHAT, events, update).await
    }

    /// The events of commits that are on the branch. Those that GitHub did not count are remembered.
    fn events(&mut self, commits: &[Commit]) -> Vec<Event> {
        let version = self.checkpoint.version;
        commits.iter().for_each(|commit| self.checkpoint.uncounted.note(&commit.oid, commit.is_counted()));
        commits.iter().map(|commit| self.target.origin.commit(commit, version)).collect()
    }

    /// Asks again for commits whose lines GitHub refused to count.
    async fn count_again(&mut self) -> Result<(), Stop> {
        let oids = self.checkpoint.uncounted.ask(self.target.read_at);
        let commits = match self.github.commits_by_id(&self.target.repo, &oids).await {
            Ok(commits) => commits,
            // One of them is not shown any more: they are asked for again another day.
            Err(Error::Unavailable { .. } | Error::NotFound(_)) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let counted: Vec<Commit> = commits.into_iter().filter(Commit::is_counted).collect();
        let events = self.events(&counted);
        self.hand_over(events, true).await
    }

    fn pushed_at(&self) -> i64 {
        self.target.pushed_at.map_or(0, |at: DateTime<Utc>| at.timestamp())
    }

    /// Goes on with a walk that an earlier run has begun.
    async fn resume(&mut self, walk: CommitWalk) -> Result<(), Stop> {
        match self.walk(walk).await {
            Err(Stop::GitHub(Error::NotFound(why))) => {
                tracing::warn!(
                    repo = self.target.repo.name,
                    why,
                    "the tip of an unfinished walk is gone; what it read and a force-push took away stays"
                );
                self.checkpoint.walk = None;
                Ok(())
            }
            done => done,
        }
    }

    /// Walks through the history of a pinned tip, its windows side by side, each page by page.
    async fn walk(&mut self, mut walk: CommitWalk) -> Result<(), Stop> {
        let (github, repo, tip) = (self.github, &self.target.repo, walk.covers.tip.clone());
        let fetch = |mut place: Place| {
            let tip = &tip;
            async move {
                let (span, cursor) =
                    ((Some(place.window.since), place.window.until), place.window.cursor.as_deref());
                let page = github.commits(repo, tip, span, cursor, &mut place.size).await;
                (place, page)
            }
        };
        let size = PageSize::resume(self.checkpoint.size, 100);
        let waiting = |windows: &[CommitWindow]| -> VecDeque<Place> {
            let place = |window: &CommitWindow| Place { window: window.clone(), size, is_resumed: true };
            windows.iter().map(place).collect()
        };
        let mut open = waiting(&walk.windows);
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
                    place = Place {
                        is_resumed: false,
                        window: CommitWindow { cursor: None, ..place.window },
                        ..place
                    };
                    open.push_front(place);
                    continue;
                }
                // What is in flight was paid for: it is read all the same.
                Err(error) => {
                    failure.get_or_insert(error);
                    continue;
                }
            };
            let is_first = place.window.cursor.is_none() && walk.windows.len() == 1;
            let events = self.events(&page.entries);
            if place.size.to_remember().is_some() || walk.windows.len() == 1 {
                self.checkpoint.size = place.size.to_remember();
            }
            place.window.cursor = page.next.clone();
            place.is_resumed = false;
            self.take_page(&mut walk, &place.window, events).await?;
            if place.window.cursor.is_none() {
                continue;
            }
            let left = if is_first { windows::rest(&place.window, &page) } else { None };
            let cut = match left {
                Some(left) => windows::cut(github, repo, &tip, left).await?,
                None => None,
            };
            match cut {
                Some(windows) => {
                    walk.windows = windows;
                    self.checkpoint.walk = Some(walk.clone());
                    self.hand_over(Vec::new(), true).await?;
                    open = waiting(&walk.windows);
                }
                None => open.push_front(place),
            }
        }
        failure.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Hands over a page of a window, which stands at what is left of it.
    async fn take_page(
        &mut self,
        walk: &mut CommitWalk,
        left: &CommitWindow,
        events: Vec<Event>,
    ) -> Result<(), Stop> {
        match &left.cursor {
            None => walk.windows.retain(|window| window.since != left.since),
            Some(_) => {
                let window = walk.windows.iter_mut().find(|window| window.since == left.since);
                window.into_iter().for_each(|window| *window = left.clone());
            }
        }
        if walk.windows.is_empty() {
            self.checkpoint.walk = None;
            self.checkpoint.covered = Some(walk.covers.clone());
        } else {
            self.checkpoint.walk = Some(walk.clone());
        }
        self.hand_over(events, true).await
    }

    /// Moves to another tip. Where the branch was pushed over, the version of everything written from
    /// now on is greater, with one between it and that of what was written before for what is taken back.
    async fn move_tip(&mut self, covered: CoveredCommits, tip: &str) -> Result<(), Stop> {
        let (github, repo) = (self.github, &self.target.repo);
        let forward = match github.compare(repo, &covered.tip, tip).await {
            Ok(forward) => Some(forward),
            // Histories without a common ancestor, or whose difference is too much for GitHub.
            Err(Error::NotFound(_) | Error::Unavailable { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        if forward.as_ref().is_none_or(|forward| forward.behind_by > 0) {
            self.checkpoint.version = (self.checkpoint.version + 2).max(self.pushed_at());
        }
        let step = if forward.is_some() {
            MoveStep::Compare { done: 0 }
        } else {
            MoveStep::TakeBack { cursor: None }
        };
        self.checkpoint.moving = Some(Moving { to: tip.to_owned(), step });
        // From here on some of the move may be in the lake: it is finished whatever comes.
        self.hand_over(Vec::new(), true).await?;
        match forward {
            Some(forward) => self.take_difference(covered, tip.to_owned(), forward, 0).await,
            None => self.replace(covered, tip.to_owned(), None).await,
        }
    }

    /// Finishes a move that an earlier run has begun.
    async fn finish_move(&mut self, covered: CoveredCommits, moving: Moving) -> Result<(), Stop> {
        let done = match moving.step {
            MoveStep::Compare { done } => done,
            MoveStep::TakeBack { cursor } => return self.replace(covered, moving.to, cursor).await,
        };
        match self.github.compare(&self.target.repo, &covered.tip, &moving.to).await {
            Ok(forward) => self.take_difference(covered, moving.to, forward, done).await,
            Err(Error::NotFound(_)) => self.replace(covered, moving.to, None).await,
            Err(error) => Err(error.into()),
        }
    }

    /// Reads what the new tip has and the old one has not, and takes back what it is the other way;
    /// of the former so many have been read.
    async fn take_difference(
        &mut self,
        covered: CoveredCommits,
        to: String,
        forward: Comparison,
        done: usize,
    ) -> Result<(), Stop> {
        let (github, repo) = (self.github, &self.target.repo);
        if forward.behind_by > 0 && done == 0 {
            let backward = github.compare(repo, &to, &covered.tip).await?;
            backward.commits.iter().for_each(|gone| self.checkpoint.uncounted.note(&gone.sha, true));
            let gone =
                backward.commits.iter().map(|gone| self.target.origin.commit_gone(gone, self.version_gone()));
            let gone = gone.collect();
            self.hand_over(gone, false).await?;
        }
        let new: Vec<String> = forward
            .commits
            .into_iter()
            .filter(|commit| commit.committed_at >= covered.since)
            .map(|commit| commit.sha)
            .collect();
        for (at, shas) in new.chunks(100).enumerate().filter(|(at, _)| at * 100 >= done) {
            let commits = github.commits_by_id(repo, shas).await?;
            let events = self.events(&commits);
            let step = MoveStep::Compare { done: at * 100 + shas.len() };
            self.checkpoint.moving = Some(Moving { to: to.clone(), step });
            self.hand_over(events, true).await?;
        }
        self.checkpoint.moving = None;
        self.checkpoint.covered = Some(CoveredCommits { tip: to, ..covered });
        self.hand_over(Vec::new(), true).await
    }

    /// Takes back the whole history of the old tip, and walks that of the new one: what is in both is
    /// told again under a greater version.
    async fn replace(
        &mut self,
        covered: CoveredCommits,
        to: String,
        cursor: Option<String>,
    ) -> Result<(), Stop> {
        // What is taken back is not to be asked for again; what stays is noted anew below.
        self.checkpoint.uncounted = Uncounted::default();
        let mut size = PageSize::resume(self.checkpoint.size, 100);
        let mut cursor = cursor;
        loop {
            let span = (Some(covered.since), None);
            let page = match self
                .github
                .commits(&self.target.repo, &covered.tip, span, cursor.as_deref(), &mut size)
                .await
            {
                Ok(page) => page,
                Err(Error::NotFound(why)) => {
                    tracing::warn!(
                        repo = self.target.repo.name,
                        why,
                        "the old tip is gone, so what a force-push took away stays"
                    );
                    break;
                }
                Err(error) => return Err(error.into()),
            };
            let version = self.version_gone();
            let gone = page.entries.iter().map(|commit| {
                let event = self.target.origin.commit(commit, version);
                Event { retracted: true, ..event }
            });
            let gone = gone.collect();
            cursor = page.next;
            let step = MoveStep::TakeBack { cursor: cursor.clone() };
            self.checkpoint.moving = Some(Moving { to: to.clone(), step });
            self.hand_over(gone, cursor.is_some()).await?;
            if cursor.is_none() {
                break;
            }
        }
        self.checkpoint.moving = None;
        self.checkpoint.covered = None;
        let (since, until) = (covered.since, covered.until);
        let covers = CoveredCommits { tip: to, ..covered };
        self.walk(CommitWalk::new(covers, since, until)).await
    }

    /// The version of what a force-push took away: between those before and after it.
    fn version_gone(&self) -> i64 {
        self.checkpoint.version - 1
    }
}
