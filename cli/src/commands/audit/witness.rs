//! `audit witness`: writes down the last segment of each log, outside of the lake.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use gam_audit::{WitnessLine, current_head};
use gam_lake::registry;

use super::verify::read_witness;
use super::{LogSelection, org_of};
use crate::exit::Exit;
use crate::format::count;
use crate::open::OpenStore;
use crate::session::CliSession;

/// Arguments of `audit witness`.
#[derive(Args)]
pub(super) struct WitnessArgs {
    /// File to append to. Keep it where nobody who can change the lake can change it
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    logs: LogSelection,
}

pub(super) async fn run(session: &CliSession, args: WitnessArgs) -> anyhow::Result<Exit> {
    // A file that is something else stays as it is.
    if args.file.is_file() {
        read_witness(&args.file)?;
    }
    let store = OpenStore::open_existing(&session.settings).await?;
    let lines = heads(&store, &args.logs).await;
    store.close().await;
    let lines = lines?;
    let mut text = String::new();
    for line in &lines {
        text.push_str(&serde_json::to_string(line)?);
        text.push('\n');
    }
    let cannot_write =
        || format!("cannot write {}: name a file that this user can write", args.file.display());
    let mut file =
        std::fs::OpenOptions::new().create(true).append(true).open(&args.file).with_context(cannot_write)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).with_context(cannot_write)?;
    if session.wants_json() {
        session.console.write_result(serde_json::to_string(&lines)?)?;
    } else {
        for WitnessLine { log, segment, sha256, .. } in &lines {
            session.console.write_summary(format!("{log}: segment {segment}, SHA-256 {sha256}"))?;
        }
        let written = count(lines.len(), "line", "lines");
        session.console.print_info(format!("appended {written} to {}", args.file.display()));
    }
    Ok(Exit::Success)
}

/// Returns the heads of the requested logs.
async fn heads(store: &OpenStore, selection: &LogSelection) -> anyhow::Result<Vec<WitnessLine>> {
    let ports = store.audit_ports_for_reading();
    let registry = registry::read(&*ports.objects).await?;
    let mut lines = Vec::new();
    for log in selection.in_lake(&*ports.objects, &registry).await? {
        if let Some(head) = current_head(&ports, org_of(&log)).await? {
            lines.push(WitnessLine::new(&log, head, ports.clock.now()));
        }
    }
    Ok(lines)
}
