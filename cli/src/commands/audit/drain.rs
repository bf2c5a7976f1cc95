//! `audit drain`: writes rows that are only in the store to the log.

use serde_json::json;

use crate::audit_log::drain_all;
use crate::error::failure;
use crate::exit::Exit;
use crate::format::integer;
use crate::open::{OpenStore, open_lake};
use crate::session::CliSession;

pub(super) async fn run(session: &CliSession) -> anyhow::Result<Exit> {
    let objects = open_lake(&session.settings.lake).await?;
    let store = OpenStore::open_existing_for_writing(&session.settings).await?;
    let drained = match store.audit_ports(objects) {
        Some(ports) => drain_all(&store, &ports).await,
        None => Err(failure("this user may only read the store: run as the user that the server runs as")),
    };
    store.close().await;
    let report = drained?;
    if session.wants_json() {
        let document = json!({ "rows": report.rows, "segments": report.segments });
        session.console.write_result(document.to_string())?;
    } else {
        let (rows, segments) = (integer(report.rows), integer(report.segments));
        session.console.write_summary(format!("rows written: {rows}, in segments: {segments}"))?;
    }
    Ok(Exit::Success)
}
