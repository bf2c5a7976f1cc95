//! `ingest sessions --watch`: ingests again whenever a log changes.
//!
//! Changes are found by the sizes and times of the files, because that works on every system and file system, and misses
//! nothing. A round is the same as a run without `--watch`, so nothing that a watch remembers can change a number.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::SessionsArgs;
use super::push::PushClient;
use super::report::{self, IngestOutcome, Notice};
use super::scan::find_logs;
use super::sessions::{Ingestion, RunMode, ingest, pusher};
use crate::error::{OutputClosed, is_own, one_line, usage_error};
use crate::exit::Exit;
use crate::format::duration;
use crate::ingest::discover::LogDirectories;
use crate::ingest::state::FileVersion;
use crate::session::CliSession;
use crate::signals;

/// The shortest pause between two looks at the files.
const MIN_PAUSE: Duration = Duration::from_secs(2);
/// The longest pause after a round that took long.
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// The pause is at least this many times as long as the round, so that a watch takes at most a tenth of a core.
const PAUSES_A_ROUND: u32 = 9;
/// The pause after the first failure. It doubles with each further one.
const FIRST_RETRY_PAUSE: Duration = Duration::from_secs(5);
/// The longest pause after a failure.
const MAX_RETRY_PAUSE: Duration = Duration::from_secs(300);
/// After this time a round is due although no file changed: repositories may have been collected meanwhile, and another
/// process may have left batches.
const ROUND_EVERY: Duration = Duration::from_secs(600);
/// The shortest time between two merges: each writes every month that changed as a whole. Tests wait for merges.
const MERGE_EVERY: Duration = Duration::from_secs(if cfg!(test) { 3 } else { 60 });
/// The most notices that are remembered, so that they are not printed again.
const MAX_NOTICES: usize = 1_000;
const WATCHING: &str = "watching for new lines; stop with Ctrl-C";
const STOPPED: &str = "stopped; everything that was ingested is saved";

/// Ingests until Ctrl-C or SIGTERM.
///
/// # Errors
/// If the options contradict each other, or the first round fails in a way that only the user can change.
pub(super) async fn run(session: &CliSession, args: SessionsArgs) -> anyhow::Result<Exit> {
    if args.dry_run {
        return Err(usage_error(
            "--watch writes new lines as they come, and --dry-run writes nothing: leave out one of them",
        ));
    }
    let directories = LogDirectories::of_settings(&session.settings);
    // A path that does not exist now is a mistake. Later it is a failure like others.
    find_logs(&directories, &args.paths, args.agent)?;
    let pusher = pusher(session, &args)?;
    let watch = Watch { session, directories, pusher, args, rounds: Rounds::default() };
    tokio::select! {
        result = watch.run() => result.map(|()| Exit::Success),
        _ = signals::wait_for_stop_signal() => {
            session.console.print_notice(STOPPED);
            Ok(Exit::Success)
        }
    }
}

/// The files as a look found them. `None` for a file that vanished meanwhile.
type SeenFiles = BTreeMap<PathBuf, Option<FileVersion>>;

struct Watch<'a> {
    session: &'a CliSession,
    directories: LogDirectories,
    pusher: Option<PushClient>,
    args: SessionsArgs,
    rounds: Rounds,
}

impl Watch<'_> {
    /// Returns only if another round cannot help.
    async fn run(mut self) -> anyhow::Result<()> {
        loop {
            let started = Instant::now();
            let result = self.look().await;
            let pause = match result {
                Ok(()) => pause_after(started.elapsed()),
                Err(error) if error.is::<OutputClosed>() => return Err(error),
                Err(error) if !self.rounds.has_succeeded && is_own(&error) => return Err(error),
                Err(error) => self.report_failure(&error),
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Looks at the files, and runs a round if one is due.
    async fn look(&mut self) -> anyhow::Result<()> {
        let (directories, args) = (self.directories.clone(), self.args.clone());
        let look = move || -> anyhow::Result<SeenFiles> {
            let files = find_logs(&directories, &args.paths, args.agent)?;
            Ok(files.into_iter().map(|file| (file.path.clone(), FileVersion::of(&file.path))).collect())
        };
        // Before the round: what is written during the round makes the next one due.
        let seen = tokio::task::spawn_blocking(look).await??;
        if !self.rounds.is_due(&seen, Instant::now()) {
            return Ok(());
        }
        let mode = RunMode { can_wait: false, merges: self.rounds.may_merge(Instant::now()) };
        match ingest(self.session, &self.args, self.pusher.as_mut(), mode).await? {
            // The next look tries again.
            Ingestion::OtherRun => Ok(()),
            Ingestion::Done(outcome) => {
                match mode.merges {
                    true => self.rounds.set_merged(Instant::now()),
                    // A server merges what it has taken.
                    false => self.rounds.has_unmerged |= self.pusher.is_none() && !outcome.is_empty(),
                }
                self.finish_round(seen, &outcome)
            }
        }
    }

    fn finish_round(&mut self, seen: SeenFiles, outcome: &IngestOutcome) -> anyhow::Result<()> {
        for notice in self.rounds.new_notices(outcome) {
            notice.print(self.session);
        }
        let is_first = !self.rounds.has_succeeded;
        if is_first || !outcome.is_empty() {
            report::print_result(self.session, &self.args, outcome)?;
        }
        if is_first {
            self.session.console.print_info(WATCHING);
        } else if self.rounds.failures > 0 {
            self.session.console.print_info("it works again");
        }
        self.args.again = false;
        self.rounds.succeed(seen, Instant::now());
        Ok(())
    }

    /// Reports a failure that differs from the last one. Returns the pause before the next attempt.
    fn report_failure(&mut self, error: &anyhow::Error) -> Duration {
        let text = one_line(error);
        let pause = self.rounds.fail();
        if self.rounds.reported.as_ref() != Some(&text) {
            self.session.console.print_error(format!(
                "{text}; tries again, first in {}, and says when it works again",
                duration(pause)
            ));
            self.rounds.reported = Some(text);
        }
        pause
    }
}

/// What a watch remembers of its rounds. It only saves time.
#[derive(Default)]
struct Rounds {
    has_succeeded: bool,
    /// The files before the last round that succeeded, and when it ended.
    last: Option<(SeenFiles, Instant)>,
    /// Number of failures since.
    failures: u32,
    /// When the months were merged last.
    merged_at: Option<Instant>,
    /// Whether a round since has left events in the inbox.
    has_unmerged: bool,
    /// The failure that was printed last.
    reported: Option<String>,
    notices: BTreeSet<Notice>,
}

impl Rounds {
    /// Returns whether a round has something to do.
    fn is_due(&self, seen: &SeenFiles, now: Instant) -> bool {
        let is_new =
            |(last, at): &(SeenFiles, Instant)| last != seen || now.duration_since(*at) >= ROUND_EVERY;
        self.last.as_ref().is_none_or(is_new) || (self.has_unmerged && self.may_merge(now))
    }

    /// Returns whether the next round merges.
    fn may_merge(&self, now: Instant) -> bool {
        self.merged_at.is_none_or(|at| now.duration_since(at) >= MERGE_EVERY)
    }

    fn set_merged(&mut self, now: Instant) {
        self.merged_at = Some(now);
        self.has_unmerged = false;
    }

    fn succeed(&mut self, seen: SeenFiles, now: Instant) {
        self.has_succeeded = true;
        self.last = Some((seen, now));
        self.failures = 0;
        self.reported = None;
    }

    /// Returns the pause before the next attempt.
    fn fail(&mut self) -> Duration {
        // What failed before the round is due as well.
        self.last = None;
        let pause = FIRST_RETRY_PAUSE.saturating_mul(1 << self.failures.min(10)).min(MAX_RETRY_PAUSE);
        self.failures = self.failures.saturating_add(1);
        pause
    }

    /// Returns the notices that were not printed yet.
    fn new_notices(&mut self, outcome: &IngestOutcome) -> Vec<Notice> {
        let new: Vec<Notice> =
            report::notices(outcome).into_iter().filter(|notice| !self.notices.contains(notice)).collect();
        if self.notices.len() > MAX_NOTICES {
            self.notices.clear();
        }
        self.notices.extend(new.iter().cloned());
        new
    }
}

/// Returns the pause after a round that took so long.
fn pause_after(round: Duration) -> Duration {
    (round * PAUSES_A_ROUND).clamp(MIN_PAUSE, MAX_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(files: &[(&str, Option<FileVersion>)]) -> SeenFiles {
        files.iter().map(|(path, version)| (PathBuf::from(path), *version)).collect()
    }

    #[test]
    fn a_round_is_due_if_a_file_changed_or_after_some_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s.jsonl");
        std::fs::write(&path, "{").unwrap();
        let version = FileVersion::of(&path);
        std::fs::write(&path, "{}").unwrap();
        let grown = FileVersion::of(&path);
        let (mut rounds, now) = (Rounds::default(), Instant::now());
        let before = seen(&[("a", version)]);
        assert!(rounds.is_due(&before, now), "the first round");
        rounds.succeed(before.clone(), now);
        assert!(!rounds.is_due(&before, now));
        assert!(rounds.is_due(&seen(&[("a", grown)]), now), "a file has grown");
        assert!(rounds.is_due(&seen(&[("a", version), ("b", version)]), now), "a new file");
        assert!(rounds.is_due(&before, now + ROUND_EVERY));
        rounds.fail();
        assert!(rounds.is_due(&before, now), "the failed round is made up for");
    }

    #[test]
    fn pauses_grow_with_failures_and_with_the_time_of_rounds() {
        let mut rounds = Rounds::default();
        let pauses: Vec<u64> = (0..8).map(|_| rounds.fail().as_secs()).collect();
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 300, 300]);
        rounds.succeed(SeenFiles::new(), Instant::now());
        assert_eq!(rounds.fail(), FIRST_RETRY_PAUSE);
        let pause = |seconds| pause_after(Duration::from_secs(seconds)).as_secs();
        assert_eq!([pause(0), pause(1), pause(60)], [2, 9, 60]);
    }

    #[test]
    fn months_are_merged_after_a_pause() {
        let (mut rounds, start) = (Rounds::default(), Instant::now());
        let (before, after) = (start + MERGE_EVERY / 2, start + MERGE_EVERY);
        assert!(rounds.may_merge(start), "the first round merges");
        rounds.set_merged(start);
        rounds.succeed(SeenFiles::new(), start);
        assert!(!rounds.may_merge(before) && !rounds.is_due(&SeenFiles::new(), after));
        rounds.has_unmerged = true;
        assert!(!rounds.is_due(&SeenFiles::new(), before));
        assert!(rounds.is_due(&SeenFiles::new(), after) && rounds.may_merge(after));
    }

    #[test]
    fn a_notice_is_printed_once() {
        let mut rounds = Rounds::default();
        let failed = vec![("/log".to_owned(), "denied".to_owned())];
        let outcome = IngestOutcome { failed, ..IngestOutcome::default() };
        assert_eq!(rounds.new_notices(&outcome).len(), 1);
        assert!(rounds.new_notices(&outcome).is_empty());
    }
}
