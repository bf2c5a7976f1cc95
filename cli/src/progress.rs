//! The progress of a run: a bar on a terminal, or plain lines elsewhere.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gam_aggregate::{AggregateObserver, AggregateProgress};
use gam_collect::{CollectObserver, CollectProgress};
use indicatif::{ProgressBar, ProgressStyle};

use crate::console::Console;
use crate::format::{count, utc};
use crate::terminal_text::escaped;

/// How often the spinner moves.
const TICK: Duration = Duration::from_millis(120);

/// Shows the progress of one run. The bar disappears when this is dropped.
pub(crate) struct RunProgress {
    console: Console,
    bar: Option<ProgressBar>,
    counts: Mutex<ProgressCounts>,
}

/// How far the run has come.
#[derive(Default)]
struct ProgressCounts {
    events: usize,
    repos: usize,
    repos_done: usize,
}

impl RunProgress {
    /// Starts to show a run. The bar begins with `title`, such as the name of an organization.
    pub(crate) fn new(console: &Console, title: &str) -> Self {
        let bar = console.shows_bars().then(|| {
            let bar = console.bars().add(ProgressBar::new_spinner());
            bar.set_style(bar_style(console, "{spinner} {prefix} {wide_msg}"));
            bar.set_prefix(escaped(title));
            bar.enable_steady_tick(TICK);
            bar
        });
        RunProgress { console: console.clone(), bar, counts: Mutex::default() }
    }

    fn counts(&self) -> MutexGuard<'_, ProgressCounts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Prints a line, unless there is a bar.
    fn print_line(&self, text: impl FnOnce() -> String) {
        if self.bar.is_none() {
            self.console.print_info(text());
        }
    }

    fn set_bar_message(&self, text: impl FnOnce() -> String) {
        if let Some(bar) = &self.bar {
            bar.set_message(escaped(&text()));
        }
    }

    /// Counts a repository as done. Returns the number of repositories done so far, and of all.
    fn finish_repo(&self) -> (usize, usize) {
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
        let mut counts = self.counts();
        counts.repos_done += 1;
        (counts.repos_done, counts.repos)
    }

    fn set_repo_count(&self, repos: usize) {
        self.counts().repos = repos;
        if let Some(bar) = &self.bar {
            bar.set_length(repos as u64);
            bar.set_style(bar_style(
                &self.console,
                "{prefix} [{bar:30}] {pos}/{len} repositories {wide_msg}",
            ));
        }
    }

    fn show_listed(&self, org: &str, repos: usize, changed: usize) {
        self.set_repo_count(changed);
        self.print_line(|| {
            format!("{org}: {}, {changed} to read", count(repos, "repository", "repositories"))
        });
    }

    fn show_comparing(&self, org: &str, repos: usize) {
        self.set_repo_count(repos);
        self.print_line(|| format!("{org}: comparing {}", count(repos, "repository", "repositories")));
    }

    fn show_page(&self, repo: &str, what: &str, events: usize) {
        let total = {
            let mut counts = self.counts();
            counts.events += events;
            counts.events
        };
        self.set_bar_message(|| {
            format!("{}, {repo} {}", count(total, "event", "events"), what.replace('_', " "))
        });
    }
}

/// Returns the style of a bar. All templates are constants of this file and valid.
fn bar_style(console: &Console, template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    if console.output().has_unicode {
        style.progress_chars("━╸ ")
    } else {
        style.progress_chars("=> ").tick_chars("|/-\\ ")
    }
}

impl CollectObserver for RunProgress {
    fn notice(&self, progress: CollectProgress) {
        match progress {
            CollectProgress::Listed { org, repos, changed } => self.show_listed(&org, repos, changed),
            CollectProgress::Page { repo, what, events } => self.show_page(&repo, what, events),
            CollectProgress::RepoDone { repo } => {
                let (done, total) = self.finish_repo();
                self.print_line(|| format!("{repo}: read ({done} of {total})"));
            }
            CollectProgress::Comparing { org, repos } => self.show_comparing(&org, repos),
            CollectProgress::Compared { repo } => {
                let (done, total) = self.finish_repo();
                self.print_line(|| format!("{repo}: compared ({done} of {total})"));
            }
            // The summary at the end of the run names what failed.
            CollectProgress::RepoFailed { .. } => _ = self.finish_repo(),
            CollectProgress::Waiting { until, why } => {
                self.console
                    .print_info(format!("waiting until {} for GitHub's rate limit: {why}", utc(until)));
            }
        }
    }
}

impl AggregateObserver for RunProgress {
    fn notice(&self, progress: AggregateProgress) {
        match progress {
            AggregateProgress::Inbox { batches } => {
                let text = || format!("{} in the inbox", count(batches, "batch", "batches"));
                self.set_bar_message(text);
                self.print_line(text);
            }
            AggregateProgress::MonthDone { month, rollups } => {
                // A line for each month would hide the summary of a long history.
                self.set_bar_message(|| format!("{month}: {}", count(rollups, "rollup", "rollups")));
            }
            AggregateProgress::StoreIsNew { org, months } => self.console.print_info(format!(
                "{org}: the store has none of the lake's numbers yet, or an older version of the program wrote them; \
                 computing {}",
                count(months, "month", "months")
            )),
            AggregateProgress::RulesChanged { org } => self.console.print_info(format!(
                "{org}: the configuration or the program has changed; answers keep to the old rules until every month \
                 is counted again"
            )),
            // The summary at the end of the run names the rejected batches.
            AggregateProgress::Rejected { .. } => {}
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
