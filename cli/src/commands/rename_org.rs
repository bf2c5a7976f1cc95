//! `rename-org`: an organization that was renamed on GitHub goes on under its new name.

use clap::Args;
use gam_access::AuditKind;
use gam_aggregate::orgs_in_lake;
use gam_lake::registry;
use gam_model::org_registry::{RenameOutcome, RenameRefusal};
use gam_model::{Clock, SystemClock};
use serde_json::json;

use crate::args;
use crate::audit_log;
use crate::error::{failure, usage_error};
use crate::exit::Exit;
use crate::open::open_lake;
use crate::session::CliSession;

const EXAMPLES: &str = "\
Examples:
  github-metrics rename-org acme newco    then collect newco, or restart `up newco`

One write to the lake; nothing moves. Answers show the new name, and the old one still finds them.";

/// Arguments of `rename-org`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RenameOrgArgs {
    /// The organization's former name
    #[arg(value_name = "OLD", value_parser = args::org)]
    old: String,
    /// The organization's name on GitHub now
    #[arg(value_name = "NEW", value_parser = args::org)]
    new: String,
}

/// Gives the organization its new name.
pub(crate) async fn run(session: &CliSession, args: RenameOrgArgs) -> anyhow::Result<Exit> {
    let RenameOrgArgs { old, new } = &args;
    let objects = open_lake(&session.settings.lake).await?;
    let stored_keys = orgs_in_lake(&*objects).await?;
    let now = SystemClock.now();
    let renamed = registry::update(&*objects, |registry| registry.rename(old, new, &stored_keys, now));
    let outcome = renamed.await?.map_err(|refusal| match refusal {
        RenameRefusal::SameName(_) => usage_error(refusal.to_string()),
        _ => failure(refusal.to_string()),
    })?;
    let is_renamed = outcome == RenameOutcome::Renamed;
    if is_renamed {
        let registry = registry::read(&*objects).await?;
        audit_log::log_org_change(session, AuditKind::OrgRenamed, &registry.key_of(new), |row| {
            row.with_detail("old", old.as_str()).with_detail("new", new.as_str())
        })
        .await;
    }
    if session.wants_json() {
        session.console.write_result(json!({ "old": old, "new": new, "renamed": is_renamed }).to_string())?;
    } else if is_renamed {
        session.console.write_summary(format!(
            "{old} is called {new} now: its history goes on under the new name; collect {new} from now on"
        ))?;
    } else {
        session.console.write_summary(format!("{old} is called {new} already: nothing changed"))?;
    }
    Ok(Exit::Success)
}
