//! Reads the log files that changed, portion by portion, so that memory does not grow with the number of files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context as _;
use chrono::{DateTime, NaiveDate, Utc};
use gam_model::session_event::combine_by_id;
use gam_model::{CodingAgent, FieldText, SessionEvent};
use gam_sessions::{Disclosure, LogFacts, READING};

use super::SessionsArgs;
use super::push::hash;
use super::report::IngestOutcome;
use crate::ingest::discover::{self, LogDirectories, LogFile};
use crate::ingest::owners::{LeftOut, OwnerFinder, OwnerRules};
use crate::ingest::read::{ReadFile, read_files};
use crate::ingest::state::{FileVersion, IngestState, IngestedFile, IngestedFiles, UnknownRecords};
use crate::session::CliSession;

/// The events of some files, and the files.
pub(super) struct Portion {
    /// The events, one for each id.
    pub(super) events: Vec<SessionEvent>,
    /// The files that were read.
    pub(super) files: Vec<PortionFile>,
}

/// A file of a portion.
pub(super) struct PortionFile {
    path: String,
    file: IngestedFile,
    /// The ids of its events.
    pub(super) ids: Vec<FieldText>,
}

impl PortionFile {
    /// Remembers that something in the file was refused, and from when on to try again.
    pub(super) fn refuse(&mut self, read_again_at: Option<DateTime<Utc>>) {
        self.file.is_complete = false;
        self.file.read_again_at = read_again_at;
    }
}

/// The files that changed since they were ingested, and what was read of them so far.
pub(super) struct LogScan {
    changed: std::vec::IntoIter<(LogFile, Option<FileVersion>)>,
    portion_bytes: u64,
    disclosure: Disclosure,
    since: Option<NaiveDate>,
    now: DateTime<Utc>,
    finder: OwnerFinder,
    state: IngestState,
    ingested: IngestedFiles,
    outcome: IngestOutcome,
    /// Hashes of the ids that were counted, because copies of an event can be in several portions.
    counted: BTreeSet<u64>,
    left_out: BTreeMap<LeftOut, BTreeSet<FieldText>>,
}

impl LogScan {
    /// Finds the files. A portion ends when its files have more than `portion_bytes`.
    ///
    /// # Errors
    /// If a directory cannot be read.
    pub(super) async fn start(
        session: &CliSession,
        args: &SessionsArgs,
        rules: OwnerRules,
        mut state: IngestState,
        (now, portion_bytes): (DateTime<Utc>, u64),
    ) -> anyhow::Result<Self> {
        let directories = LogDirectories::of_settings(&session.settings);
        let options = options_text(session, args, &rules);
        let args = args.clone();
        let find = move || {
            let started = Instant::now();
            let files = find_logs(&directories, &args.paths, args.agent)?;
            let known = if args.again { BTreeMap::new() } else { state.files(&rules.org, &options) };
            let outcome = IngestOutcome { files: files.len(), ..IngestOutcome::default() };
            // Files that are gone stay: they may come back, and what was read of them stays in the lake, too.
            let pushed_to = args.push.clone();
            let ingested = IngestedFiles { options, ingested_at: Some(now), pushed_to, files: known };
            let is_changed = |(file, version): &(LogFile, Option<FileVersion>)| {
                !version.is_some_and(|version| ingested.has(&file.path.to_string_lossy(), version, now))
            };
            let versions = files.into_iter().map(|file| {
                let version = FileVersion::of(&file.path);
                (file, version)
            });
            let changed: Vec<_> = versions.filter(is_changed).collect();
            let finder = OwnerFinder::new(rules, std::mem::take(&mut state.remotes));
            let mut scan = LogScan {
                changed: changed.into_iter(),
                portion_bytes,
                disclosure: Disclosure { branches: args.branches, mcp_tools: args.mcp_tools },
                since: args.since,
                now,
                finder,
                state,
                ingested,
                outcome,
                counted: BTreeSet::new(),
                left_out: BTreeMap::new(),
            };
            scan.outcome.took = started.elapsed();
            Ok(scan)
        };
        tokio::task::spawn_blocking(find).await?
    }

    /// Reads the next files. `None` if all were read.
    ///
    /// # Errors
    /// If reading panics.
    pub(super) async fn next_portion(mut self) -> anyhow::Result<(Self, Option<Portion>)> {
        let read = tokio::task::spawn_blocking(move || {
            let started = Instant::now();
            let portion = self.read_portion();
            self.outcome.took += started.elapsed();
            (self, portion)
        });
        Ok(read.await?)
    }

    /// Remembers that the files were ingested.
    pub(super) fn accept(&mut self, files: Vec<PortionFile>) {
        self.ingested.files.extend(files.into_iter().map(|file| (file.path, file.file)));
    }

    /// Returns the state with the files that were ingested so far.
    pub(super) fn state(&self, org: &str) -> IngestState {
        let mut state = self.state.clone();
        state.remotes = self.finder.learnt().clone();
        state.set_files(org, self.ingested.clone());
        state
    }

    /// Returns what was read, what to remember, and the files that were ingested.
    pub(super) fn finish(mut self) -> (IngestOutcome, IngestState, IngestedFiles) {
        let left_out = self.left_out.into_iter();
        self.outcome.left_out = left_out.map(|(why, sessions)| (why, sessions.len())).collect();
        self.state.remotes = self.finder.into_learnt();
        (self.outcome, self.state, self.ingested)
    }

    fn read_portion(&mut self) -> Option<Portion> {
        let (mut files, mut bytes) = (Vec::new(), 0);
        while bytes <= self.portion_bytes
            && let Some((file, version)) = self.changed.next()
        {
            bytes += version.map_or(0, FileVersion::size);
            files.push(file);
        }
        if files.is_empty() {
            return None;
        }
        let mut portion = Portion { events: Vec::new(), files: Vec::new() };
        for (file, read) in files.iter().zip(read_files(&files)) {
            self.add_file(file, read, &mut portion);
        }
        portion.events = combine_by_id(portion.events);
        for event in &portion.events {
            if self.counted.insert(hash(&event.id)) {
                self.outcome.counts_of_events.add(event);
            }
        }
        Some(portion)
    }

    fn add_file(&mut self, file: &LogFile, read: ReadFile, portion: &mut Portion) {
        let ReadFile { version, facts } = read;
        let facts = match facts {
            Ok(facts) => facts,
            Err(error) => {
                self.outcome.failed.push((file.path.display().to_string(), error.to_string()));
                return;
            }
        };
        self.outcome.read_files += 1;
        self.outcome.read_bytes += version.map_or(0, FileVersion::size);
        self.outcome.counts.add(&facts.counts);
        if facts.counts.oversized_lines > 0 {
            self.outcome.files_with_oversized_lines.push(file.path.display().to_string());
        }
        let owners: Vec<_> = facts.workplaces.iter().map(|workplace| self.finder.owner(workplace)).collect();
        let found: Vec<_> = owners.iter().map(|owner| owner.clone().ok()).collect();
        let mut placed = facts.place(&found, self.disclosure, self.now);
        let mut is_complete = facts.are_complete() && placed.left_out.is_empty();
        for (workplace, session) in placed.left_out {
            let index = facts.workplaces.iter().position(|one| *one == workplace);
            let why = index.and_then(|index| owners[index].clone().err());
            self.left_out.entry(why.unwrap_or(LeftOut::NoRepository)).or_default().insert(session);
        }
        if let Some(since) = self.since {
            let all = placed.events.len();
            placed.events.retain(|event| event.occurred_at.date_naive() >= since);
            is_complete &= placed.events.len() == all;
        }
        if let Some(version) = version {
            portion.files.push(PortionFile {
                path: file.path.to_string_lossy().into_owned(),
                file: IngestedFile {
                    version,
                    is_complete,
                    read_again_at: None,
                    unknown: unknown_records(&facts),
                },
                ids: placed.events.iter().map(|event| event.id.clone()).collect(),
            });
        }
        portion.events.extend(placed.events);
    }
}

/// Finds the log files that the arguments name.
///
/// # Errors
/// If a path does not exist or cannot be read.
pub(super) fn find_logs(
    directories: &LogDirectories,
    paths: &[PathBuf],
    agent: Option<CodingAgent>,
) -> anyhow::Result<Vec<LogFile>> {
    let files = match paths {
        [] => discover::find_in_homes(directories, agent),
        paths => discover::find_at(paths, agent),
    };
    files.context("cannot list the log files")
}

fn unknown_records(facts: &LogFacts) -> Vec<UnknownRecords> {
    let records = facts.counts.unknown_records.iter().map(|(record, records)| UnknownRecords {
        agent: facts.agent.as_str().to_owned(),
        record_type: record.record_type.to_string(),
        client_version: record.client_version.to_string(),
        records: *records,
    });
    records.collect()
}

/// Returns a hash of all that the result depends on, apart from the files.
fn options_text(session: &CliSession, args: &SessionsArgs, rules: &OwnerRules) -> String {
    let repos: Vec<&String> = rules.repos.iter().flat_map(BTreeMap::keys).collect();
    let destination = args.push.clone().unwrap_or_else(|| session.settings.lake.to_string());
    let text = format!(
        "{READING} {destination} {:?} {:?} {:?} {} {} {repos:?}",
        args.member, args.repo, args.since, args.branches, args.mcp_tools
    );
    FieldText::hashed(&text).to_string()
}
