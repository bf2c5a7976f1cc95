//! `ingest prune`: deletes old session logs of which everything is in the lake.
//!
//! The state says which files were ingested completely. That is not trusted alone: each file is read once more, and each
//! of its events must be in the lake. Only a server that took the events is believed, because its lake cannot be seen.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::Args;
use gam_lake::{ObjectStore, configuration, registry, sessions};
use gam_model::{Clock as _, Identity, Month, SystemClock};
use gam_sessions::{LogFact, LogFacts};
use serde_json::json;

use super::scan::find_logs;
use crate::args;
use crate::error::usage_error;
use crate::exit::Exit;
use crate::format::{bytes, count};
use crate::ingest::discover::{LogDirectories, LogFile};
use crate::ingest::read::read_files;
use crate::ingest::state::{FileVersion, IngestedFiles, LockedState};
use crate::open::open_lake_for_reading;
use crate::replace_file::sync_directory;
use crate::session::CliSession;

const EXAMPLES: &str = "\
Examples:
  github-metrics ingest prune --org acme                    what would be deleted
  github-metrics ingest prune --org acme --older-than 90d --yes
  github-metrics ingest prune --org acme --archive logs/ --yes   moves them instead

A deleted session cannot be resumed. A file is kept if a line of it was not ingested, for whatever reason.";

/// The bytes of logs that are compared with the lake at a time.
const PORTION_BYTES: u64 = 64 << 20;

/// The end of the name of a file that is about to be deleted.
const DELETED_SUFFIX: &str = ".pruned";
/// A shorter time is refused: another line of the same UTC day would replace the day's row with smaller numbers.
const MIN_AGE: Duration = Duration::from_secs(24 * 60 * 60);

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
                "not ingested completely: sessions of other repositories, unknown or incomplete records, or unreadable lines"
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
    if args.older_than < MIN_AGE {
        return Err(usage_error(
            "--older-than is less than 1d: a session that goes on today would lose what its deleted log says of this day",
        ));
    }
    let settings = &session.settings;
    // Nobody ingests meanwhile.
    let locked = LockedState::lock(&settings.data_dir, true)?;
    let objects = open_lake_for_reading(&settings.lake).await?;
    let key = registry::read(&*objects).await?.key_of(&args.org);
    let ingested = locked.as_ref().and_then(|locked| locked.read().ingested(&key).cloned());
    let ingested = ingested.unwrap_or_default();
    let files = find_logs(&LogDirectories::of_settings(settings), &args.paths, None)?;
    let (candidates, mut pruning) = candidates(files, &ingested, SystemClock.now() - args.older_than);
    // The lake of a server cannot be seen.
    let lake = match ingested.pushed_to {
        None => Some(SeenLake::open(&*objects, &key).await?),
        Some(_) => None,
    };
    read_again(lake.as_ref(), candidates, &mut pruning).await?;
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

/// The lake that has the events of logs, and what it does not keep.
struct SeenLake<'a> {
    objects: &'a dyn ObjectStore,
    /// The storage key of the organization.
    org: &'a str,
    identity: Identity,
    now: DateTime<Utc>,
}

impl<'a> SeenLake<'a> {
    async fn open(objects: &'a dyn ObjectStore, org: &'a str) -> anyhow::Result<Self> {
        let identity = configuration::latest(objects, org).await?.configuration.identity;
        Ok(SeenLake { objects, org, identity, now: SystemClock.now() })
    }

    /// Returns whether the lake is to be without the fact: it was erased, or its month is over.
    fn is_without(&self, fact: &LogFact) -> bool {
        let month = Month::of(fact.occurred_at.date_naive());
        let is_over = self.identity.session_retention().is_some_and(|it| it.is_over(month, self.now));
        is_over || self.identity.erased_sessions().contains(&fact.session)
    }
}

/// Reads the files once more, and keeps those that are not understood completely, or of which the lake lacks an event.
async fn read_again(
    lake: Option<&SeenLake<'_>>,
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
        let facts = read.iter().filter_map(|(_, facts)| facts.as_ref());
        let stored = match lake {
            Some(lake) => Some(stored_versions(lake, facts).await?),
            None => None,
        };
        for ((file, version), facts) in read {
            match facts.map_or(Some(Kept::NotIngested), |facts| why_kept(&facts, stored.as_ref())) {
                None => pruning.files.push((file.path, version)),
                Some(why) => pruning.keep(why),
            }
        }
    }
    Ok(())
}

/// Returns why a log is kept. `stored` has the versions of the rows in the lake, by id; `None` if it cannot be seen.
fn why_kept(log: &LogFacts, stored: Option<&BTreeMap<String, i64>>) -> Option<Kept> {
    if !log.are_complete() {
        return Some(Kept::Incomplete);
    }
    let is_stored = |stored: &BTreeMap<String, i64>| {
        let mut facts = log.facts.iter();
        facts.all(|fact| stored.get(fact.id.as_str()).is_some_and(|version| *version >= fact.version))
    };
    stored.is_some_and(|stored| !is_stored(stored)).then_some(Kept::NotInLake)
}

/// Returns the versions of those facts that the lake has in the month of the fact, by id. A row that lies in the month
/// before has a retracted one there. A fact that the lake is to be without counts as stored: it will never be.
async fn stored_versions<'a>(
    lake: &SeenLake<'_>,
    logs: impl Iterator<Item = &'a LogFacts>,
) -> anyhow::Result<BTreeMap<String, i64>> {
    let mut ids_by_month: BTreeMap<Month, BTreeSet<String>> = BTreeMap::new();
    let mut stored: BTreeMap<String, i64> = BTreeMap::new();
    for fact in logs.flat_map(|log| &log.facts) {
        if lake.is_without(fact) {
            stored.insert(fact.id.to_string(), i64::MAX);
            continue;
        }
        let month = Month::of(fact.occurred_at.date_naive());
        ids_by_month.entry(month).or_default().insert(fact.id.to_string());
    }
    for (month, ids) in ids_by_month {
        for row in sessions::rows_by_id(lake.objects, lake.org, month, ids).await? {
            let version = stored.entry(row.id.to_string()).or_insert(row.version);
            *version = row.version.max(*version);
        }
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
        let deleted = archive
            .map_or(Ok(()), |archive| copy(&path, archive))
            .and_then(|()| remove_unchanged(&path, version));
        match deleted {
            Ok(()) => pruning.files.push((path, version)),
            Err(error) => failed.push(format!("{} was kept: {error}", path.display())),
        }
    }
    failed
}

/// Removes a file, unless it has changed: copying takes time, in which the agent may write. The check is repeated under
/// another name, under which no agent opens the file.
fn remove_unchanged(path: &Path, version: FileVersion) -> io::Result<()> {
    let has_changed = || io::Error::other("it has changed");
    if FileVersion::of(path) != Some(version) {
        return Err(has_changed());
    }
    let mut name = path.as_os_str().to_owned();
    name.push(DELETED_SUFFIX);
    let renamed = PathBuf::from(name);
    if renamed.try_exists()? {
        return Err(io::Error::other(format!("{} is in the way", renamed.display())));
    }
    fs::rename(path, &renamed)?;
    if FileVersion::of(&renamed) == Some(version) {
        return fs::remove_file(&renamed);
    }
    // Without replacing a file that was written under the name meanwhile.
    match fs::hard_link(&renamed, path) {
        Ok(()) => fs::remove_file(&renamed)?,
        Err(_) => {
            return Err(io::Error::other(format!("it has changed, and is now {}", renamed.display())));
        }
    }
    Err(has_changed())
}

/// Copies a file below the archive under its whole path. An older copy of the same path is kept.
fn copy(path: &Path, archive: &Path) -> io::Result<()> {
    let names = path.components().filter(|part| matches!(part, Component::Normal(_)));
    let target = archive.join(names.collect::<PathBuf>());
    let directory = target.parent().unwrap_or(archive);
    let new_parents: Vec<&Path> = directory.ancestors().take_while(|parent| !parent.exists()).collect();
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
    // The names must be durable, too, before the original is gone.
    sync_directory(directory)?;
    new_parents.into_iter().filter_map(Path::parent).try_for_each(sync_directory)
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

#[cfg(test)]
mod tests {
    use gam_lake::MemoryObjects;
    use gam_model::{CodingAgent, ErasedSessions, FieldText, Retention, SessionEventKind, SessionFacts};
    use gam_sessions::ReadCounts;

    use super::*;

    fn log(facts: &[(&str, i64)], counts: ReadCounts) -> LogFacts {
        let facts = facts.iter().map(|(id, version)| LogFact {
            workplace: 0,
            id: FieldText::new(id),
            version: *version,
            kind: SessionEventKind::AgentResponse,
            occurred_at: DateTime::UNIX_EPOCH,
            session: FieldText::new("s1"),
            facts: SessionFacts::default(),
        });
        LogFacts { agent: CodingAgent::Claude, workplaces: Vec::new(), facts: facts.collect(), counts }
    }

    #[test]
    fn only_a_log_whose_facts_are_all_stored_is_deleted() {
        let counts = ReadCounts { records: 1, ..ReadCounts::default() };
        let whole = log(&[("a", 3)], counts.clone());
        let stored = |version: i64| BTreeMap::from([("a".to_owned(), version)]);
        assert_eq!(why_kept(&whole, Some(&stored(3))), None);
        assert_eq!(why_kept(&whole, None), None, "the server has confirmed it");
        assert_eq!(why_kept(&whole, Some(&stored(2))), Some(Kept::NotInLake), "the row is older");
        assert_eq!(why_kept(&whole, Some(&BTreeMap::new())), Some(Kept::NotInLake));
        let dropped = ReadCounts { dropped_records: 1, ..counts.clone() };
        assert_eq!(why_kept(&log(&[("a", 3)], dropped), Some(&stored(3))), Some(Kept::Incomplete));
        assert_eq!(why_kept(&log(&[], counts), Some(&stored(3))), Some(Kept::Incomplete), "no facts at all");
    }

    #[tokio::test]
    async fn a_log_of_what_the_lake_is_to_be_without_is_deleted() {
        let counts = ReadCounts { records: 1, ..ReadCounts::default() };
        let log = log(&[("a", 3)], counts);
        let objects = MemoryObjects::new();
        let why_kept = async |identity: Identity, now: &str| {
            let lake = SeenLake { objects: &objects, org: "acme", identity, now: now.parse().unwrap() };
            let stored = stored_versions(&lake, std::iter::once(&log)).await.unwrap();
            super::why_kept(&log, Some(&stored))
        };
        let kept_for_a_month = || Identity::default().with_session_retention(Retention::new(30));
        assert_eq!(why_kept(Identity::default(), "1970-03-03T00:00:00Z").await, Some(Kept::NotInLake));
        assert_eq!(why_kept(kept_for_a_month(), "1970-03-01T00:00:00Z").await, Some(Kept::NotInLake));
        assert_eq!(why_kept(kept_for_a_month(), "1970-03-03T00:00:00Z").await, None, "January is over");
        let mut erased = ErasedSessions::default();
        erased.insert(ErasedSessions::hash(&FieldText::new("s1")));
        let erased = Identity::default().with_erased_sessions(erased);
        assert_eq!(why_kept(erased, "1970-01-02T00:00:00Z").await, None);
    }

    #[test]
    fn a_file_that_has_changed_is_not_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.jsonl");
        fs::write(&path, "{}").unwrap();
        let version = FileVersion::of(&path).unwrap();
        fs::write(&path, "{}{}").unwrap();
        assert!(remove_unchanged(&path, version).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "{}{}");
        remove_unchanged(&path, FileVersion::of(&path).unwrap()).unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
