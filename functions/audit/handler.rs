//! Drains the logs of all organizations, within the time of an invocation.

use std::collections::BTreeSet;

use anyhow::{Context as _, bail};
use gam_audit::{AuditPorts, DrainReport, drain, log_configurations};
use gam_functions::{Deadline, FunctionMetric, LambdaContext};
use gam_model::error_chain;
use gam_store::{NameStore, work_orgs};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::timeout_at;

/// Who has set a configuration of which there is no row: the log does not know.
const UNKNOWN_PRINCIPAL: &str = "unknown";

/// What the schedule sends, as JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
enum AuditCommand {
    /// Write the rows of the store to segments.
    Drain {},
}

/// The function `audit`.
pub(crate) struct Drainer {
    context: LambdaContext,
    ports: AuditPorts,
    /// Logins of organizations whose log may have rows although the store does not know them.
    logins: Vec<String>,
}

impl Drainer {
    pub(crate) fn new(
        context: LambdaContext,
        ports: AuditPorts,
        organizations: Vec<String>,
        owner: Option<String>,
    ) -> Self {
        Drainer { context, ports, logins: organizations.into_iter().chain(owner).collect() }
    }

    /// Drains all logs. One that fails does not stop the others.
    ///
    /// # Errors
    /// If the event is no command, or a log could not be drained. What is left is drained by the next invocation.
    pub(crate) async fn handle(&self, event: &Value, deadline_ms: u64) -> anyhow::Result<()> {
        let AuditCommand::Drain {} = AuditCommand::deserialize(event)
            .with_context(|| format!("invalid command {event}: expected {{\"action\": \"drain\"}}"))?;
        let deadline = Deadline::new(deadline_ms, self.context.clock.now());
        let mut total = DrainReport::default();
        let drained = timeout_at(deadline.cancel_at(), self.drain_all(&mut total)).await;
        let rows = total.rows as f64;
        self.context.metrics.write(self.context.clock.now(), &[(FunctionMetric::AuditRowsWritten, rows)]);
        match drained {
            Ok(done) => done,
            Err(_) => {
                tracing::warn!("the time of the invocation is over; the next one goes on");
                Ok(())
            }
        }
    }

    async fn drain_all(&self, total: &mut DrainReport) -> anyhow::Result<()> {
        let mut failures = Vec::new();
        let logs = self.keys().await?.into_iter().map(Some).chain([None]);
        for org in logs {
            if let Err(error) = self.drain_one(org.as_deref(), total).await {
                let log = org.as_deref().unwrap_or("_");
                tracing::error!(log, error = error_chain(&error), "cannot drain the audit log");
                failures.push(log.to_owned());
            }
        }
        if !failures.is_empty() {
            bail!("cannot drain the audit log of {}: the lines above say why", failures.join(", "));
        }
        Ok(())
    }

    async fn drain_one(&self, org: Option<&str>, total: &mut DrainReport) -> gam_audit::Result<()> {
        if let Some(org) = org {
            log_configurations(&self.ports, org, UNKNOWN_PRINCIPAL).await?;
        }
        let DrainReport { segments, rows } = drain(&self.ports, org).await?;
        total.segments += segments;
        total.rows += rows;
        if rows > 0 {
            tracing::info!(log = org.unwrap_or("_"), segments, rows, "audit log drained");
        }
        Ok(())
    }

    /// Returns the storage keys of all organizations that can have rows.
    async fn keys(&self) -> anyhow::Result<BTreeSet<String>> {
        let registry = self.context.registry.get().await?;
        let mut keys: BTreeSet<String> = registry.keys().map(str::to_owned).collect();
        let logins = self.context.store.orgs().await?.into_iter().chain(self.logins.iter().cloned());
        keys.extend(logins.map(|login| registry.key_of(&login)));
        keys.extend(work_orgs(&*self.ports.records, self.context.clock.now()).await?);
        Ok(keys)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_schedule_sends_one_command() {
        let command = json!({ "action": "drain" });
        assert_eq!(AuditCommand::deserialize(&command).unwrap(), AuditCommand::Drain {});
        for event in [json!({}), json!(null), json!({ "action": "run" })] {
            assert!(AuditCommand::deserialize(&event).is_err(), "{event}");
        }
    }
}
