//! `ingest prune`: deletes old session logs of which everything is in the lake.
//!
//! The state says which files were ingested completely. That is not trusted alone: each file is read once more, and each
//! of its events must be in the lake. Only a server that took the events is believed, because its lake cannot be seen.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use clap::Args;
use gam_lake::{ObjectStore, registry, sessions};
use gam_model::{Clock as _, Month, SystemClock};
use gam_sessions::LogFacts;
use serde_json::json;

use crate::args;
use crate::exit::Exit;
use crate::format::{bytes, count};
use crate::ingest::discover::{self, LogDirectories, LogFile};
use crate::ingest::read::read_files;
use crate::ingest::state::{FileVersion, IngestedFiles, LockedState};
use crate::open::open_lake_for_reading;
use crate::session::CliSession;

const EXAMPLES: &str = "\
Examples:
  github-metrics ingest prune --org acme                    what would be deleted
  github-metrics ingest prune --org acme --older-than 90d --yes
  github-metrics ingest prune --org acme --archive logs/ --yes   moves them instead

A deleted session cannot be resumed. A file is kept if a line of it was not ingested, for whatever reason.";

/// The bytes of logs that are compared with the lake at a time.
const PORTION_BYTES: u64 = 64 << 20;

/// Arguments of `ingest prune`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct PruneArgs {
    /// Log files, or directories with log files [default: where the agents write them]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Organization that the sessions were ingested for
    #[arg(long, value_name = "ORG", value_parser = args::org)]
    org: String,
    /// Keep files that changed within this time
    #[arg(long, value_name = "DURATION", default_value = "30d", value_parser = args::long_duration)]
    older_than: Duration,
    /// Copy the files to this directory before they are deleted, with their paths
    #[arg(long, value_name = "DIR")]
    archive: Option<PathBuf>,
    /// Delete the files [default: only say which]
    #[arg(long)]
    yes: bool,
}

/// Why a file is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kept {
    Recent,
    NotIngested,
    Incomplete,
    NotInLake,
}

impl Kept {
    fn reason(self) -> &'static str {
        match self {
            Kept::Recent => "changed lately",
            Kept::NotIngested => "not ingested since they changed; run `ingest sessions`",
            Kept::Incomplete => {
                "not ingested completely: sessions of other repositories, unknown records, or unreadable lines"
            }
            Kept::NotInLake => "not in the lake; run `ingest sessions --again`",
        }
    }
}

/// What is deleted, and what is kept.
#[derive(Debug, Default)]
struct Pruning {
    files: Vec<(PathBuf, FileVersion)>,
    kept: BTreeMap<Kept, usize>,
}

impl Pruning {
    fn keep(&mut self, why: Kept) {
        *self.kept.entry(why).or_default() += 1;
    }
}

/// Deletes logs, or says which would be deleted.
pub(super) async fn run(session: &CliSession, args: &PruneArgs) -> anyhow::Result<Exit> {
    let settings = &session.settings;
    // Nobody ingests meanwhile.
    let locked = LockedState::lock(&settings.data_dir, true)?;
    let objects = open_lake_for_reading(&settings.lake).await?;
    let key = registry::read(&*objects).await?.key_of(&args.org);
    let ingested = locked.as_ref().and_then(|locked| locked.read().ingested(&key).cloned());
    let ingested = ingested.unwrap_or_default();
    let files = match args.paths.as_slice() {
        [] => discover::find_in_homes(&LogDirectories::of_settings(settings), None),
        paths => discover::find_at(paths, None),
    };
    let files = files.context("cannot list the log files")?;
    let (candidates, mut pruning) = candidates(files, &ingested, SystemClock.now() - args.older_than);
    if ingested.pushed_to.is_some() {
        pruning.files.extend(candidates.into_iter().map(|(file, version)| (file.path, version)));
    } else {
        compare_with_lake(&*objects, &key, candidates, &mut pruning).await?;
    }
    let failed = if args.yes { delete(&mut pruning, args.archive.as_deref()) } else { Vec::new() };
    for failure in &failed {
        session.console.print_error(failure);
    }
    print(session, args, &pruning)?;
    Ok(if failed.is_empty() { Exit::Success } else { Exit::Partial })
}

/// Returns the files that the state calls ingested, with their versions.
fn candidates(
    files: Vec<LogFile>,
    ingested: &IngestedFiles,
    before: DateTime<Utc>,
) -> (Vec<(LogFile, FileVersion)>, Pruning) {
    let (mut candidates, mut pruning) = (Vec::new(), Pruning::default());
    for file in files {
        let known = ingested.files.get(&*file.path.to_string_lossy());
        match (FileVersion::of(&file.path), known) {
            (Some(version), _) if version.modified_at() >= before => pruning.keep(Kept::Recent),
            (Some(version), Some(known)) if known.version == version => match known.is_complete {
                true => candidates.push((file, version)),
                false => pruning.keep(Kept::Incomplete),
            },
            _ => pruning.keep(Kept::NotIngested),
        }
    }
    (candidates, pruning)
}

/// Reads the files once more, and keeps those of which the lake lacks an event.
async fn compare_with_lake(
    objects: &dyn ObjectStore,
    org: &str,
    candidates: Vec<(LogFile, FileVersion)>,
    pruning: &mut Pruning,
) -> anyhow::Result<()> {
    let mut rest = candidates.into_iter().peekable();
    while rest.peek().is_some() {
        let (mut portion, mut size) = (Vec::new(), 0);
        while size <= PORTION_BYTES
            && let Some((file, version)) = rest.next()
        {
            size += version.size();
            portion.push((file, version));
        }
        let read = tokio::task::spawn_blocking(move || {
            let files: Vec<LogFile> = portion.iter().map(|(file, _)| file.clone()).collect();
            let read = read_files(&files).into_iter().map(|read| read.facts.ok());
            portion.into_iter().zip(read).collect::<Vec<_>>()
        });
        let read = read.await?;
        let stored = stored_ids(objects, org, read.iter().filter_map(|(_, facts)| facts.as_ref())).await?;
        for ((file, version), facts) in read {
            let is_stored = facts.is_some_and(|facts| {
                facts.counts.is_complete() && facts.facts.iter().all(|fact| stored.contains(fact.id.as_str()))
            });
            if is_stored {
                pruning.files.push((file.path, version));
            } else {
                pruning.keep(Kept::NotInLake);
            }
        }
    }
    Ok(())
}

/// Returns those ids of the facts that the lake has in the month of the fact. A row that lies in the month before has a
/// retracted one there.
async fn stored_ids<'a>(
    objects: &dyn ObjectStore,
    org: &str,
    logs: impl Iterator<Item = &'a LogFacts>,
) -> anyhow::Result<BTreeSet<String>> {
    let mut ids_by_month: BTreeMap<Month, BTreeSet<String>> = BTreeMap::new();
    for fact in logs.flat_map(|log| &log.facts) {
        let month = Month::of(fact.occurred_at.date_naive());
        ids_by_month.entry(month).or_default().insert(fact.id.to_string());
    }
    let mut stored = BTreeSet::new();
    for (month, ids) in ids_by_month {
        let rows = sessions::rows_by_id(objects, org, month, ids).await?;
        stored.extend(rows.into_iter().map(|row| row.id.to_string()));
    }
    Ok(stored)
}

/// Deletes the files, after they were copied to the archive. Returns what failed. Files that changed are kept.
fn delete(pruning: &mut Pruning, archive: Option<&Path>) -> Vec<String> {
    let mut failed = Vec::new();
    for (path, version) in std::mem::take(&mut pruning.files) {
        let is_same = || FileVersion::of(&path) == Some(version);
        if !is_same() {
            pruning.keep(Kept::NotIngested);
            continue;
        }
        let deleted = archive.map_or(Ok(()), |archive| copy(&path, archive)).and_then(|()| {
            // Copying takes time, in which the agent may write.
            if is_same() { fs::remove_file(&path) } else { Err(io::Error::other("it has changed")) }
        });
        match deleted {
            Ok(()) => pruning.files.push((path, version)),
            Err(error) => failed.push(format!("{} was kept: {error}", path.display())),
        }
    }
    failed
}

/// Copies a file below the archive under its whole path. An older copy of the same path is kept.
fn copy(path: &Path, archive: &Path) -> io::Result<()> {
    let names = path.components().filter(|part| matches!(part, Component::Normal(_)));
    let target = archive.join(names.collect::<PathBuf>());
    let directory = target.parent().unwrap_or(archive);
    fs::create_dir_all(directory)?;
    let mut copy = tempfile::NamedTempFile::new_in(directory)?;
    io::copy(&mut fs::File::open(path)?, copy.as_file_mut())?;
    copy.as_file().sync_all()?;
    for number in 0.. {
        let name = match number {
            0 => target.clone().into_os_string(),
            _ => {
                let mut name = target.clone().into_os_string();
                name.push(format!(".{number}"));
                name
            }
        };
        match copy.persist_noclobber(name) {
            Ok(_) => break,
            Err(error) if error.error.kind() == ErrorKind::AlreadyExists => copy = error.file,
            Err(error) => return Err(error.error),
        }
    }
    Ok(())
}

fn print(session: &CliSession, args: &PruneArgs, pruning: &Pruning) -> anyhow::Result<()> {
    let size: u64 = pruning.files.iter().map(|(_, version)| version.size()).sum();
    if session.wants_json() {
        let paths: Vec<String> = pruning.files.iter().map(|(path, _)| path.display().to_string()).collect();
        let kept = pruning.kept.iter().map(|(why, files)| json!({ "files": files, "why": why.reason() }));
        let kept: Vec<_> = kept.collect();
        let document =
            json!({ "org": args.org, "deleted": args.yes, "files": paths, "bytes": size, "kept": kept });
        return session.console.write_result(document.to_string());
    }
    for (why, files) in &pruning.kept {
        session.console.print_info(format!("kept {}: {}", count(*files, "file", "files"), why.reason()));
    }
    if !args.yes {
        for (path, _) in &pruning.files {
            session.console.write_line(session.for_stdout(path.display().to_string()))?;
        }
    }
    let files = count(pruning.files.len(), "log file", "log files");
    session.console.write_summary(match args.yes {
        true => format!("deleted {files} ({})", bytes(size)),
        false => format!("would delete {files} ({}); nothing was deleted, --yes does", bytes(size)),
    })
}
