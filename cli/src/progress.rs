//! A run's progress on the terminal: a bar, or plain lines where there is none.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gam_aggregate::{AggregateObserver, AggregateProgress};
use gam_collect::{CollectObserver, CollectProgress};
use indicatif::{ProgressBar, ProgressStyle};

use crate::console::Console;
use crate::format::{count, moment};

/// Shows one run's progress.
pub(crate) struct RunProgress {
    console: Console,
    bar: Option<ProgressBar>,
    counts: Mutex<Counts>,
}

/// How far the run has come.
#[derive(Default)]
struct Counts {
    events: usize,
    repos: usize,
    repos_done: usize,
}

impl RunProgress {
    /// Progress of a run that is told by `title`, such as an organization's name.
    pub(crate) fn new(console: &Console, title: &str) -> Self {
        let bar = console.shows_bars().then(|| {
            let bar = console.bars().add(ProgressBar::new_spinner());
            bar.set_style(style("{spinner} {prefix} {wide_msg}"));
            bar.set_prefix(title.to_owned());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        RunProgress { console: console.clone(), bar, counts: Mutex::default() }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells a line, where there is no bar to show it.
    fn line(&self, text: impl FnOnce() -> String) {
        if self.bar.is_none() {
            self.console.note(text());
        }
    }

    fn message(&self, text: impl FnOnce() -> String) {
        if let Some(bar) = &self.bar {
            bar.set_message(text());
        }
    }

    /// A repository has been read or compared, or has failed; says how many have by now, and of how many.
    fn ended(&self) -> (usize, usize) {
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
        let mut counts = self.counts();
        counts.repos_done += 1;
        (counts.repos_done, counts.repos)
    }

    /// So many repositories are ahead.
    fn begins(&self, repos: usize) {
        self.counts().repos = repos;
        if let Some(bar) = &self.bar {
            bar.set_length(repos as u64);
            bar.set_style(style("{prefix} [{bar:30}] {pos}/{len} repositories {wide_msg}"));
        }
    }

    fn listed(&self, org: &str, repos: usize, changed: usize) {
        self.begins(changed);
        self.line(|| {
            format!("{org}: {}, {changed} with something to read", count(repos, "repository", "repositories"))
        });
    }

    fn comparing(&self, org: &str, repos: usize) {
        self.begins(repos);
        self.line(|| format!("{org}: comparing {}", count(repos, "repository", "repositories")));
    }

    fn page(&self, repo: &str, what: &str, events: usize) {
        let total = {
            let mut counts = self.counts();
            counts.events += events;
            counts.events
        };
        self.message(|| format!("{} · {repo} {}", count(total, "event", "events"), what.replace('_', " ")));
    }
}

/// A bar's looks. The templates are this file's own, so they are well formed.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸ ")
}

impl CollectObserver for RunProgress {
    fn notice(&self, progress: CollectProgress) {
        match progress {
            CollectProgress::Listed { org, repos, changed } => self.listed(&org, repos, changed),
            CollectProgress::Page { repo, what, events } => self.page(&repo, what, events),
            CollectProgress::RepoDone { repo } => {
                let (done, of) = self.ended();
                self.line(|| format!("{repo}: read ({done} of {of})"));
            }
            CollectProgress::Comparing { org, repos } => self.comparing(&org, repos),
            CollectProgress::Compared { repo } => {
                let (done, of) = self.ended();
                self.line(|| format!("{repo}: compared ({done} of {of})"));
            }
            // The summary at the end of the run names what failed.
            CollectProgress::RepoFailed { .. } => _ = self.ended(),
            CollectProgress::Waiting { until, why } => {
                self.console.note(format!("waiting until {} for GitHub's limit: {why}", moment(until)));
            }
        }
    }
}

impl AggregateObserver for RunProgress {
    fn notice(&self, progress: AggregateProgress) {
        match progress {
            AggregateProgress::Inbox { batches } => {
                let text = || format!("{} in the inbox", count(batches, "batch", "batches"));
                self.message(text);
                self.line(text);
            }
            AggregateProgress::MonthDone { month, rollups } => {
                // A line for each month would hide the summary of a long history.
                self.message(|| format!("{month}: {}", count(rollups, "rollup", "rollups")));
            }
            AggregateProgress::Rejected { path, why } => self.line(|| format!("set aside as {path}: {why}")),
        }
    }
}

impl Drop for RunProgress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
