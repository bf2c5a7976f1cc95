//! `audit`: checks, exports and witnesses the audit log.

mod drain;
mod export;
mod verify;
mod witness;

use clap::{Args, Subcommand};
use gam_lake::{ObjectStore, audit};
use gam_model::OrgRegistry;
use gam_model::audit::NO_ORG_LOG;

use crate::args;
use crate::exit::Exit;
use crate::session::CliSession;

const EXAMPLES: &str = "\
Examples:
  github-metrics audit verify
  github-metrics audit verify acme --witness /mnt/elsewhere/heads.jsonl
  github-metrics audit witness /mnt/elsewhere/heads.jsonl    once a day, such as by cron
  github-metrics audit export acme --out audit.parquet
  github-metrics audit export _ --format json                rows of no organization, such as tokens

The log is in the lake: audit/org=ORG. Servers write new rows to it every five minutes; `drain`
does so now. `verify` ends with 1 if something was changed, cut out, reordered or cut off.";

/// Arguments of `audit`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct AuditArgs {
    #[command(subcommand)]
    action: AuditAction,
}

#[derive(Subcommand)]
enum AuditAction {
    /// Check that nobody changed, removed or reordered anything
    Verify(verify::VerifyArgs),
    /// Write the rows as CSV, JSON or Parquet
    Export(export::ExportArgs),
    /// Append the last segment of each log to a file, which `verify` compares
    Witness(witness::WitnessArgs),
    /// Write rows that are only in the store to the log now
    Drain,
}

/// Runs the command.
pub(crate) async fn run(session: &CliSession, args: AuditArgs) -> anyhow::Result<Exit> {
    match args.action {
        AuditAction::Verify(args) => verify::run(session, args).await,
        AuditAction::Export(args) => export::run(session, args).await,
        AuditAction::Witness(args) => witness::run(session, args).await,
        AuditAction::Drain => drain::run(session).await,
    }
}

/// The logs that a command is about.
#[derive(Args)]
struct LogSelection {
    /// Organization, or `_` for rows of none [default: all]
    #[arg(value_name = "ORG", value_parser = args::org)]
    org: Option<String>,
}

impl LogSelection {
    /// Returns the name of the requested log, or `None` for all.
    fn requested(&self, registry: &OrgRegistry) -> Option<String> {
        let org = self.org.as_deref()?;
        Some(if org == NO_ORG_LOG { org.to_owned() } else { audit::log_name(Some(&registry.key_of(org))) })
    }

    /// Returns the names of the logs with segments that the command is about, sorted.
    async fn in_lake(
        &self,
        objects: &dyn ObjectStore,
        registry: &OrgRegistry,
    ) -> anyhow::Result<Vec<String>> {
        let mut logs = audit::logs(objects).await?;
        if let Some(requested) = self.requested(registry) {
            logs.retain(|log| *log == requested);
        }
        Ok(logs)
    }
}

/// Returns the storage key of a log, or `None` for the one of rows that belong to no organization.
fn org_of(log: &str) -> Option<&str> {
    (log != NO_ORG_LOG).then_some(log)
}
