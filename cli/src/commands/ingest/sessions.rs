//! `ingest sessions`: session logs to the lake's table `sessions`.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use gam_aggregate::aggregate_sessions;
use gam_lake::sessions as table;
use gam_model::session_event::combine_by_id;
use gam_model::{Clock as _, Member, OrgRegistry, SystemClock};

use super::SessionsArgs;
use super::push::{PushClient, Refusal, server_url};
use super::report::{self, IngestOutcome};
use super::scan::LogScan;
use crate::error::failure;
use crate::exit::Exit;
use crate::ingest::owners::OwnerRules;
use crate::ingest::state::{self, LockedState};
use crate::open::{OpenData, OpenStore};
use crate::session::CliSession;

/// The most events of a batch.
const MAX_BATCH_EVENTS: usize = 25_000;
/// The bytes of logs after which their events are written. Their facts and events need about a third of it.
const PORTION_BYTES: u64 = 64 << 20;
/// The bytes of logs after which their events are sent. A run that is stopped goes on after the last of these portions.
const PUSHED_PORTION_BYTES: u64 = 8 << 20;
/// When a file is read again of which a server refused something.
const TRY_REFUSED_AFTER: TimeDelta = TimeDelta::hours(24);
/// Stands for the member of the token, which only the server knows.
const MEMBER_OF_TOKEN: &str = "unknown";

/// How reading logs ended.
pub(super) enum Ingestion {
    /// The logs were read.
    Done(Box<IngestOutcome>),
    /// Another run is reading them.
    OtherRun,
}

/// What a run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RunMode {
    /// Whether it waits while another run reads the logs.
    pub(super) can_wait: bool,
    /// Whether it merges the events into their months. If not, they stay in the inbox until the next run that does.
    pub(super) merges: bool,
}

/// Reads the logs, and prints what was found.
pub(super) async fn run(session: &CliSession, args: &SessionsArgs) -> anyhow::Result<Exit> {
    let mut pusher = pusher(session, args)?;
    let mode = RunMode { can_wait: true, merges: true };
    match ingest(session, args, pusher.as_mut(), mode).await? {
        Ingestion::Done(outcome) => {
            report::print(session, args, &outcome)?;
            Ok(outcome.exit())
        }
        Ingestion::OtherRun => Err(failure("another run is reading the logs: try again when it has ended")),
    }
}

/// Returns the client of the server that `--push` names.
///
/// # Errors
/// If the address is invalid, or the token cannot be read.
pub(super) fn pusher(session: &CliSession, args: &SessionsArgs) -> anyhow::Result<Option<PushClient>> {
    let server = args.push.as_deref().map(server_url).transpose()?;
    server.map(|server| PushClient::new(session, args, &server)).transpose()
}

/// Reads the logs that changed, and writes their events to the lake, or sends them to a server, unless it is a dry run.
/// If it cannot wait, it does nothing while another run reads them.
///
/// # Errors
/// If nothing of the organization was collected, or the lake or the store fails.
pub(super) async fn ingest(
    session: &CliSession,
    args: &SessionsArgs,
    pusher: Option<&mut PushClient>,
    mode: RunMode,
) -> anyhow::Result<Ingestion> {
    let settings = &session.settings;
    if args.dry_run && args.push.is_some() {
        let outcome = read_only(session, args, push_rules(session, args), SystemClock.now()).await?;
        return Ok(Ingestion::Done(Box::new(outcome)));
    }
    if args.dry_run {
        let store = OpenStore::open_existing(settings).await?;
        let rules = owner_rules(session, args, &store).await;
        let now = store.clock().now();
        store.close().await;
        return Ok(Ingestion::Done(Box::new(read_only(session, args, rules?, now).await?)));
    }
    let Some(locked) = LockedState::lock(&settings.data_dir, mode.can_wait)? else {
        return Ok(Ingestion::OtherRun);
    };
    if let Some(client) = pusher {
        let outcome = push_logs(session, args, client, &locked).await?;
        return Ok(Ingestion::Done(Box::new(outcome)));
    }
    let data = OpenData::open(settings).await?;
    let outcome = ingest_into(session, args, &data, (&locked, mode.merges)).await;
    data.close().await;
    Ok(Ingestion::Done(Box::new(outcome?)))
}

/// Reads the logs that changed, and keeps their events in memory.
async fn read_only(
    session: &CliSession,
    args: &SessionsArgs,
    rules: OwnerRules,
    now: DateTime<Utc>,
) -> anyhow::Result<IngestOutcome> {
    let state = state::read_unlocked(&session.settings.data_dir);
    let mut scan = LogScan::start(session, args, rules, state, (now, PORTION_BYTES)).await?;
    let mut events = Vec::new();
    loop {
        let portion;
        (scan, portion) = scan.next_portion().await?;
        let Some(portion) = portion else { break };
        events.extend(portion.events);
    }
    let (outcome, ..) = scan.finish();
    Ok(IngestOutcome { events: combine_by_id(events), ..outcome })
}

async fn ingest_into(
    session: &CliSession,
    args: &SessionsArgs,
    data: &OpenData,
    (locked, merges): (&LockedState, bool),
) -> anyhow::Result<IngestOutcome> {
    let rules = owner_rules(session, args, &data.store).await?;
    let org = rules.org.clone();
    let now = data.clock().now();
    let mut scan = LogScan::start(session, args, rules, locked.read(), (now, PORTION_BYTES)).await?;
    loop {
        let portion;
        (scan, portion) = scan.next_portion().await?;
        let Some(portion) = portion else { break };
        for chunk in portion.events.chunks(MAX_BATCH_EVENTS) {
            table::put(&*data.objects, &org, chunk.to_vec()).await?;
        }
        scan.accept(portion.files);
    }
    let (mut outcome, mut state, ingested) = scan.finish();
    outcome.is_merge_due = !merges;
    if merges {
        outcome.merged = aggregate_sessions(&data.aggregate_ports(), &org).await?;
    }
    // Only now: files that were not stored must be read again.
    state.set_files(&org, ingested);
    locked.write(&state)?;
    Ok(outcome)
}

/// Reads the logs that changed, and sends their events to a server. Remembers each portion that the server has taken.
async fn push_logs(
    session: &CliSession,
    args: &SessionsArgs,
    client: &mut PushClient,
    locked: &LockedState,
) -> anyhow::Result<IngestOutcome> {
    let rules = push_rules(session, args);
    let (org, now) = (rules.org.clone(), SystemClock.now());
    let bounds = (now, PUSHED_PORTION_BYTES);
    let mut scan = LogScan::start(session, args, rules, locked.read(), bounds).await?;
    let mut all_refused: BTreeMap<Refusal, usize> = BTreeMap::new();
    loop {
        let portion;
        (scan, portion) = scan.next_portion().await?;
        let Some(mut portion) = portion else { break };
        let refused = client.push(&portion.events).await?;
        for file in &mut portion.files {
            let reasons: BTreeSet<Refusal> =
                file.ids.iter().filter_map(|id| refused.get(id)).copied().collect();
            if !reasons.is_empty() {
                // What belongs to somebody else stays so. Repositories can be collected later.
                let may_change = reasons.iter().any(|reason| *reason != Refusal::OtherMember);
                file.refuse(may_change.then(|| now + TRY_REFUSED_AFTER));
            }
        }
        for reason in refused.into_values() {
            *all_refused.entry(reason).or_default() += 1;
        }
        scan.accept(portion.files);
        locked.write(&scan.state(&org))?;
    }
    locked.write(&scan.state(&org))?;
    let (outcome, ..) = scan.finish();
    Ok(IngestOutcome { refused: all_refused, ..outcome })
}

/// Returns what decides to whom sessions belong if a server decides about repositories and members.
fn push_rules(session: &CliSession, args: &SessionsArgs) -> OwnerRules {
    let registry = OrgRegistry::default();
    OwnerRules {
        org: registry.key_of(&args.org),
        registry,
        repos: None,
        host: session.settings.github_host(),
        // It is not sent: the server credits the member of the token.
        member: Some(Member::account(args.member.as_deref().unwrap_or(MEMBER_OF_TOKEN), None, false)),
        rules: args.repo.clone(),
    }
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
        repos: Some(repos),
        host: session.settings.github_host(),
        member: args.member.as_deref().map(|login| Member::account(login, None, false)),
        rules: args.repo.clone(),
    })
}
