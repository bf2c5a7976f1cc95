//! The audit log on this machine: what drains it, and the rows of changes that commands make to the lake.

use std::sync::Arc;
use std::time::Duration;

use gam_access::{AuditKind, AuditRow};
use gam_audit::{AuditPorts, DrainReport, drain};
use gam_lake::ObjectStore;
use gam_store::{RecordCommit, RecordCommitId, commit_until_answered};

use crate::commands::token::LOCAL_PRINCIPAL;
use crate::error::one_line;
use crate::open::{OpenStore, open_lake, store_exists};
use crate::session::CliSession;

/// Pause between two drains of a server. Each drain writes at most one small file for an organization that has new rows.
const DRAIN_EVERY: Duration = Duration::from_secs(5 * 60);

/// Who a server says has set a configuration of which it finds no row.
const UNKNOWN_PRINCIPAL: &str = "unknown";

/// Drains the logs of all organizations, and the one of rows that belong to none. Writes the rows of configurations that
/// have none before.
///
/// # Errors
/// If the lake or the store fails.
pub(crate) async fn drain_all(store: &OpenStore, ports: &AuditPorts) -> anyhow::Result<DrainReport> {
    let mut total = DrainReport::default();
    let mut add = |report: DrainReport| {
        total.segments += report.segments;
        total.rows += report.rows;
    };
    for key in store.keys().await? {
        gam_audit::log_configurations(ports, &key, UNKNOWN_PRINCIPAL).await?;
        add(drain(ports, Some(&key)).await?);
    }
    add(drain(ports, None).await?);
    Ok(total)
}

/// Returns the ports of draining, or `None` with a notice if the user may not write the lake or the store.
pub(crate) async fn drain_ports(session: &CliSession, store: &OpenStore) -> Option<AuditPorts> {
    // A server that only reads touches no lake.
    store.refusal_log()?;
    let lake = open_lake(&session.settings.lake).await;
    match lake.map(|objects| store.audit_ports(objects)) {
        Ok(Some(ports)) => Some(ports),
        Ok(None) => None,
        Err(error) => {
            let why = one_line(&error);
            session.console.print_notice(format!("the audit log stays in the store: {why}"));
            None
        }
    }
}

/// Drains from time to time. Never returns.
pub(crate) async fn keep_drained(session: &CliSession, store: &OpenStore, ports: Option<&AuditPorts>) {
    let Some(ports) = ports else { return std::future::pending().await };
    loop {
        drain_now(session, store, ports).await;
        tokio::time::sleep(DRAIN_EVERY).await;
    }
}

/// Drains, and reports a failure. The next drain writes what this one did not.
pub(crate) async fn drain_now(session: &CliSession, store: &OpenStore, ports: &AuditPorts) {
    match drain_all(store, ports).await {
        Ok(report) => tracing::debug!(report.rows, report.segments, "drained the audit log"),
        Err(error) => {
            session.console.print_error(format!("cannot write the audit log: {}", one_line(&error)));
        }
    }
}

/// Writes the rows of the configurations that this command has set, if there is a store. A failure is only reported: a
/// later drain writes them.
pub(crate) async fn log_configurations(session: &CliSession, objects: Arc<dyn ObjectStore>, keys: &[String]) {
    let open = async {
        match store_exists(&session.settings.store).await? {
            true => OpenStore::open(&session.settings).await.map(Some),
            false => Ok(None),
        }
    };
    match open.await {
        Ok(None) => {}
        Ok(Some(store)) => {
            if let Some(ports) = store.audit_ports(objects) {
                for key in keys {
                    log_configurations_in(session, ports.clone(), key).await;
                }
            }
            store.close().await;
        }
        Err(error) => report_unlogged(session, &error),
    }
}

/// Writes the rows of the organization's configurations that have none.
pub(crate) async fn log_configurations_in(session: &CliSession, ports: AuditPorts, key: &str) {
    if let Err(error) = gam_audit::log_configurations(&ports, key, LOCAL_PRINCIPAL).await {
        report_unlogged(session, &error.into());
    }
}

/// Writes a row about an erased session to the log of its organization.
pub(crate) async fn log_erasure(
    session: &CliSession,
    ports: &AuditPorts,
    key: &str,
    hash: &str,
    revision: u32,
) {
    let commit = RecordCommit::new(RecordCommitId::random());
    let now = ports.clock.now();
    let subject = format!("session sha256:{hash}");
    let id = format!("erase:{key}:{}", commit.id());
    let row = AuditRow::new(id, Some(key), now, LOCAL_PRINCIPAL, AuditKind::SessionErased, subject)
        .with_detail("revision", revision);
    let written = async { commit_until_answered(&*ports.records, &row.add_to(commit)?, now).await };
    if let Err(error) = written.await {
        report_unlogged(session, &error.into());
    }
}

fn report_unlogged(session: &CliSession, error: &anyhow::Error) {
    session.console.print_notice(format!("the audit log does not have this change yet: {}", one_line(error)));
}

/// Writes a row about an organization, if there is a store. It belongs to no organization, so that it stays if the
/// organization is removed.
pub(crate) async fn log_org_change(
    session: &CliSession,
    kind: AuditKind,
    key: &str,
    with_details: impl FnOnce(AuditRow) -> AuditRow,
) {
    let write = async {
        if !store_exists(&session.settings.store).await? {
            return Ok(());
        }
        let store = OpenStore::open(&session.settings).await?;
        let ports = store.audit_ports_for_reading();
        let commit = RecordCommit::new(RecordCommitId::random());
        let now = ports.clock.now();
        let id = format!("org:{key}:{}", commit.id());
        let row =
            with_details(AuditRow::new(id, None, now, LOCAL_PRINCIPAL, kind, format!("organization {key}")));
        let written = async { commit_until_answered(&*ports.records, &row.add_to(commit)?, now).await };
        let written = written.await;
        store.close().await;
        anyhow::Ok(written.map(|_| ())?)
    };
    if let Err(error) = write.await {
        report_unlogged(session, &error);
    }
}

/// Drains the log of an organization whose records are about to be removed.
///
/// # Errors
/// If the lake or the store fails.
pub(crate) async fn drain_before_removal(session: &CliSession, key: &str) -> anyhow::Result<()> {
    if !store_exists(&session.settings.store).await? {
        return Ok(());
    }
    let store = OpenStore::open(&session.settings).await?;
    let drained = async {
        let objects = open_lake(&session.settings.lake).await?;
        if let Some(ports) = store.audit_ports(objects) {
            drain(&ports, Some(key)).await?;
        }
        anyhow::Ok(())
    };
    let drained = drained.await;
    store.close().await;
    drained
}
