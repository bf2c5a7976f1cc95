//! `audit verify`: finds what was changed in the audit log.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use chrono::{DateTime, SecondsFormat, Utc};
use clap::Args;
use gam_audit::{AuditPorts, KnownHead, Verification, WitnessLine, parse_witness, stored_head, verify};
use gam_lake::{ObjectStore, audit, registry};
use serde_json::{Value, json};

use super::{LogSelection, org_of};
use crate::error::{failure, usage_error};
use crate::exit::Exit;
use crate::format::count;
use crate::open::{OpenStore, open_lake_for_reading, store_exists};
use crate::session::CliSession;
use crate::terminal_text::{escaped, quoted};

/// Arguments of `audit verify`.
#[derive(Args)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    logs: LogSelection,
    /// File of `audit witness`, which also finds an end that was cut off or replaced
    #[arg(long, value_name = "FILE")]
    witness: Option<PathBuf>,
}

pub(super) async fn run(session: &CliSession, args: VerifyArgs) -> anyhow::Result<Exit> {
    let witness = args.witness.as_deref().map(read_witness).transpose()?.unwrap_or_default();
    let objects = open_lake_for_reading(&session.settings.lake).await?;
    let store = match store_exists(&session.settings.store).await? {
        true => Some(OpenStore::open_existing(&session.settings).await?),
        false => None,
    };
    let verified = verify_logs(&*objects, store.as_ref(), &args.logs, &witness).await;
    if let Some(store) = store {
        store.close().await;
    }
    let verified = verified?;
    if verified.is_empty() {
        if let Some(org) = &args.logs.org {
            return Err(failure(format!(
                "there is no audit log of {}: run `github-metrics audit drain`",
                quoted(org)
            )));
        }
        session.console.print_info("there is no audit log yet: `github-metrics audit drain` writes it");
    }
    print(session, &verified)?;
    let faults = verified.iter().map(|log| log.faults.len()).sum();
    if faults == 0 {
        return Ok(Exit::Success);
    }
    let faults = count(faults, "fault", "faults");
    Err(failure(format!(
        "the audit log is not as it was written ({faults}): keep the lake as it is, and compare it with a backup"
    )))
}

/// Verifies the requested logs: those in the lake, and those that the store or the witness remembers.
async fn verify_logs(
    objects: &dyn ObjectStore,
    store: Option<&OpenStore>,
    selection: &LogSelection,
    witness: &[WitnessLine],
) -> anyhow::Result<Vec<Verification>> {
    let registry = registry::read(objects).await?;
    let ports = store.map(OpenStore::audit_ports_for_reading);
    let in_lake: BTreeSet<String> = selection.in_lake(objects, &registry).await?.into_iter().collect();
    let mut others: Vec<String> = witness.iter().map(|line| line.log.clone()).collect();
    if let Some(store) = store {
        others.extend(store.keys().await?.iter().map(|key| audit::log_name(Some(key))));
        others.push(audit::log_name(None));
    }
    let requested = selection.requested(&registry);
    others.retain(|log| requested.as_ref().is_none_or(|requested| log == requested));
    let mut verified = Vec::new();
    for log in in_lake.iter().cloned().chain(others).collect::<BTreeSet<_>>() {
        let known = known_heads(ports.as_ref(), witness, &log).await?;
        if in_lake.contains(&log) || !known.is_empty() {
            verified.push(verify(objects, &log, &known).await?);
        }
    }
    Ok(verified)
}

/// Returns what the store and the witness remember of a log.
async fn known_heads(
    ports: Option<&AuditPorts>,
    witness: &[WitnessLine],
    log: &str,
) -> anyhow::Result<Vec<KnownHead>> {
    let of_log = witness.iter().filter(|line| line.log == log);
    let mut known: Vec<KnownHead> = of_log.filter_map(WitnessLine::known_head).collect();
    if let Some(ports) = ports
        && let Some(head) = stored_head(ports, org_of(log)).await?
    {
        known.push(KnownHead { head, source: "the store".to_owned() });
    }
    Ok(known)
}

/// Reads a witness.
///
/// # Errors
/// If the file cannot be read, or a line is invalid.
pub(super) fn read_witness(path: &Path) -> anyhow::Result<Vec<WitnessLine>> {
    let text = std::fs::read_to_string(path).with_context(|| {
        format!("cannot read the witness {}: name a file of `audit witness`", path.display())
    })?;
    parse_witness(&text).map_err(|(line, why)| {
        usage_error(format!("line {line} of the witness {} is invalid: {why}", path.display()))
    })
}

fn print(session: &CliSession, verified: &[Verification]) -> anyhow::Result<()> {
    if session.wants_json() {
        let is_intact = verified.iter().all(|log| log.faults.is_empty());
        let logs: Vec<Value> = verified.iter().map(as_json).collect();
        return session.console.write_result(json!({ "intact": is_intact, "logs": logs }).to_string());
    }
    for log in verified {
        session.console.write_result(summary(log))?;
        for fault in &log.faults {
            session.console.write_result(escaped(&format!("{}: {fault}", log.log)))?;
        }
    }
    Ok(())
}

fn summary(log: &Verification) -> String {
    let span = log.times.map_or_else(String::new, |(first, last)| {
        format!(", {} to {}", first.format("%Y-%m-%d"), last.format("%Y-%m-%d"))
    });
    let verdict = match log.faults.len() {
        0 => "intact".to_owned(),
        faults => count(faults, "fault", "faults"),
    };
    format!(
        "{}: {}, {}{span}: {verdict}",
        log.log,
        count(usize::try_from(log.segments).unwrap_or(usize::MAX), "segment", "segments"),
        count(usize::try_from(log.rows).unwrap_or(usize::MAX), "row", "rows"),
    )
}

fn as_json(log: &Verification) -> Value {
    let time = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Millis, true);
    let faults: Vec<Value> = log
        .faults
        .iter()
        .map(|fault| json!({ "segment": fault.segment, "path": fault.path, "what": fault.what }))
        .collect();
    json!({
        "log": log.log,
        "segments": log.segments,
        "rows": log.rows,
        "first": log.times.map(|(first, _)| time(first)),
        "last": log.times.map(|(_, last)| time(last)),
        "head": log.head.map(|head| json!({ "segment": head.number, "sha256": head.hash.to_string() })),
        "faults": faults,
    })
}
