//! `ingest sessions`: session logs to the lake's table `sessions`.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::time::Instant;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use gam_aggregate::aggregate_sessions;
use gam_lake::sessions as table;
use gam_model::session_event::combine_by_id;
use gam_model::{FieldText, Member, SessionEvent};
use gam_sessions::{Disclosure, READING};

use super::SessionsArgs;
use super::report::{self, IngestOutcome};
use crate::error::failure;
use crate::exit::Exit;
use crate::ingest::discover::{self, LogDirectories, LogFile};
use crate::ingest::owners::{LeftOut, OwnerFinder, OwnerRules};
use crate::ingest::read::{ReadFile, read_files};
use crate::ingest::state::{self, FileVersion, IngestState, IngestedFiles, LockedState};
use crate::open::{OpenData, OpenStore};
use crate::session::CliSession;

/// The most events of a batch.
const MAX_BATCH_EVENTS: usize = 100_000;

/// How reading logs ended.
pub(super) enum Ingestion {
    /// The logs were read.
    Done(Box<IngestOutcome>),
    /// Another run is reading them.
    OtherRun,
}

/// Reads the logs, and prints what was found.
pub(super) async fn run(session: &CliSession, args: &SessionsArgs) -> anyhow::Result<Exit> {
    match ingest(session, args, true).await? {
        Ingestion::Done(outcome) => {
            report::print(session, args, &outcome)?;
            Ok(outcome.exit())
        }
        Ingestion::OtherRun => Err(failure("another run is reading the logs: try again when it has ended")),
    }
}

/// Reads the logs that changed, and writes their events to the lake, unless it is a dry run. With `can_wait` unset,
/// does nothing while another run reads them.
///
/// # Errors
/// If nothing of the organization was collected, or the lake or the store fails.
pub(super) async fn ingest(
    session: &CliSession,
    args: &SessionsArgs,
    can_wait: bool,
) -> anyhow::Result<Ingestion> {
    let settings = &session.settings;
    if args.dry_run {
        let store = OpenStore::open_existing(settings).await?;
        let rules = owner_rules(session, args, &store).await;
        let now = store.clock().now();
        store.close().await;
        let state = state::read_unlocked(&settings.data_dir);
        let read = read_logs(session, args, rules?, state, now).await?;
        return Ok(Ingestion::Done(Box::new(read.outcome)));
    }
    let Some(locked) = LockedState::lock(&settings.data_dir, can_wait)? else {
        return Ok(Ingestion::OtherRun);
    };
    let data = OpenData::open(settings).await?;
    let outcome = ingest_into(session, args, &data, &locked).await;
    data.close().await;
    Ok(Ingestion::Done(Box::new(outcome?)))
}

async fn ingest_into(
    session: &CliSession,
    args: &SessionsArgs,
    data: &OpenData,
    locked: &LockedState,
) -> anyhow::Result<IngestOutcome> {
    let rules = owner_rules(session, args, &data.store).await?;
    let org = rules.org.clone();
    let ReadLogs { mut outcome, mut state, ingested } =
        read_logs(session, args, rules, locked.read(), data.clock().now()).await?;
    for chunk in outcome.events.chunks(MAX_BATCH_EVENTS) {
        table::put(&*data.objects, &org, chunk.to_vec()).await?;
    }
    outcome.merged = aggregate_sessions(&data.aggregate_ports(), &org).await?;
    // Only now: files that were not stored must be read again.
    state.set_files(&org, ingested);
    locked.write(&state)?;
    Ok(outcome)
}

/// Returns what decides to whom sessions belong.
async fn owner_rules(
    session: &CliSession,
    args: &SessionsArgs,
    store: &OpenStore,
) -> anyhow::Result<OwnerRules> {
    let registry = store.registry().await?;
    let org = registry.key_of(&args.org);
    let repos = store.repos(&org).await?;
    if repos.is_empty() {
        return Err(failure(format!(
            "there is no data of {org} yet: run `github-metrics collect {org}` and `github-metrics aggregate` first; \
             sessions belong to repositories that were collected",
            org = args.org
        )));
    }
    let repos = repos.into_iter().map(|(id, name)| (name.to_lowercase(), (id, name))).collect();
    Ok(OwnerRules {
        org,
        registry,
        repos,
        host: session.settings.github_host(),
        member: args.member.as_deref().map(|login| Member::account(login, None, false)),
        rules: args.repo.clone(),
    })
}

/// What was read, and what to remember of it.
struct ReadLogs {
    outcome: IngestOutcome,
    state: IngestState,
    ingested: IngestedFiles,
}

async fn read_logs(
    session: &CliSession,
    args: &SessionsArgs,
    rules: OwnerRules,
    state: IngestState,
    now: DateTime<Utc>,
) -> anyhow::Result<ReadLogs> {
    let directories = LogDirectories {
        home: env::home_dir(),
        claude_config_dir: session.settings.claude_config_dir.clone(),
        codex_home: session.settings.codex_home.clone(),
    };
    let options = options_text(session, args, &rules);
    let args = args.clone();
    let read = move || {
        let started = Instant::now();
        let files = if args.paths.is_empty() {
            discover::find_in_homes(&directories, args.agent)
        } else {
            discover::find_at(&args.paths, args.agent)
        };
        let files = files.context("cannot list the log files")?;
        let known = if args.again { BTreeMap::new() } else { state.files(&rules.org, &options) };
        let mut read = read_changed(&args, rules, files, known, state, now);
        read.ingested.options = options;
        read.outcome.took = started.elapsed();
        Ok(read)
    };
    tokio::task::spawn_blocking(read).await?
}

/// Reads the files that differ from the known ones.
fn read_changed(
    args: &SessionsArgs,
    rules: OwnerRules,
    files: Vec<LogFile>,
    known: BTreeMap<String, FileVersion>,
    mut state: IngestState,
    now: DateTime<Utc>,
) -> ReadLogs {
    let mut outcome = IngestOutcome { files: files.len(), ..IngestOutcome::default() };
    // Files that are gone stay: they may come back, and what was read of them stays in the lake, too.
    let mut ingested = IngestedFiles { options: String::new(), files: known };
    let changed: Vec<LogFile> = files
        .into_iter()
        .filter(|file| {
            let version = FileVersion::of(&file.path);
            version.is_none()
                || ingested.files.get(&file.path.to_string_lossy().into_owned()).copied() != version
        })
        .collect();
    let disclosure = Disclosure { branches: args.branches, mcp_tools: args.mcp_tools };
    let mut finder = OwnerFinder::new(rules, std::mem::take(&mut state.remotes));
    let mut events: Vec<SessionEvent> = Vec::new();
    let mut left_out: BTreeMap<LeftOut, BTreeSet<FieldText>> = BTreeMap::new();
    for (file, ReadFile { version, facts }) in changed.iter().zip(read_files(&changed)) {
        let facts = match facts {
            Ok(facts) => facts,
            Err(error) => {
                outcome.failed.push((file.path.display().to_string(), error.to_string()));
                continue;
            }
        };
        outcome.read_files += 1;
        outcome.read_bytes += version.map_or(0, FileVersion::size);
        outcome.counts.add(&facts.counts);
        if facts.counts.oversized_lines > 0 {
            outcome.files_with_oversized_lines.push(file.path.display().to_string());
        }
        let owners: Vec<_> = facts.workplaces.iter().map(|workplace| finder.owner(workplace)).collect();
        let found: Vec<_> = owners.iter().map(|owner| owner.clone().ok()).collect();
        let placed = facts.place(&found, disclosure, now);
        events.extend(placed.events);
        for (workplace, session) in placed.left_out {
            let index = facts.workplaces.iter().position(|one| *one == workplace);
            let why = index.and_then(|index| owners[index].clone().err());
            left_out.entry(why.unwrap_or(LeftOut::NoRepository)).or_default().insert(session);
        }
        if let Some(version) = version {
            ingested.files.insert(file.path.to_string_lossy().into_owned(), version);
        }
    }
    state.remotes = finder.into_learnt();
    outcome.events = combine_by_id(events);
    if let Some(since) = args.since {
        outcome.events.retain(|event| event.occurred_at.date_naive() >= since);
    }
    outcome.left_out = left_out.into_iter().map(|(why, sessions)| (why, sessions.len())).collect();
    ReadLogs { outcome, state, ingested }
}

/// Returns all that the result depends on, in addition to the files.
fn options_text(session: &CliSession, args: &SessionsArgs, rules: &OwnerRules) -> String {
    let repos: Vec<&String> = rules.repos.keys().collect();
    let text = format!(
        "{READING} {} {:?} {:?} {:?} {} {} {repos:?}",
        session.settings.lake, args.member, args.repo, args.since, args.branches, args.mcp_tools
    );
    FieldText::hashed(&text).to_string()
}
