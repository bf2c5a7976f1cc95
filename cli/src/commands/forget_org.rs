//! `forget-org`: removes an organization from the lake and the store.

use clap::Args;
use gam_access::AuditKind;
use gam_aggregate::{ForgetPorts, ForgetStorePorts, OrgContent, forget_org, org_content, orgs_in_lake};
use serde_json::json;

use crate::args;
use crate::audit_log;
use crate::error::{failure, usage_error};
use crate::exit::Exit;
use crate::format::count;
use crate::open::{OpenStore, open_lake, open_lake_for_reading, store_exists};
use crate::session::CliSession;
use crate::suggest::with_suggestion;
use crate::terminal_text::{escaped, quoted};

const EXAMPLES: &str = "\
Examples:
  github-metrics forget-org acme          what would be removed
  github-metrics forget-org acme --yes    remove it

Stop `up` for the organization first: what it collects meanwhile comes back. If the command is
interrupted, run it again. GitHub keeps its data: `github-metrics collect ORG --since DAY` reads
them again. Access tokens stay: revoke those of the organization with `token revoke`.";

/// Arguments of `forget-org`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ForgetOrgArgs {
    /// Organization
    #[arg(value_name = "ORG", value_parser = args::org)]
    org: String,
    /// Remove it; without this, the command only shows what it would remove
    #[arg(long)]
    yes: bool,
}

/// Shows what there is of the organization, and removes it with `--yes`.
pub(crate) async fn run(session: &CliSession, args: ForgetOrgArgs) -> anyhow::Result<Exit> {
    let settings = &session.settings;
    let objects = if args.yes {
        open_lake(&settings.lake).await?
    } else {
        open_lake_for_reading(&settings.lake).await?
    };
    let store = match store_exists(&settings.store).await? {
        true if args.yes => Some(OpenStore::open(settings).await?),
        true => Some(OpenStore::open_existing(settings).await?),
        false => None,
    };
    let ports = ForgetPorts { objects: &*objects, store: store.as_ref().map(OpenStore::forget_ports) };
    let done = run_on(session, ports, &args).await;
    if let Some(store) = store {
        store.close().await;
    }
    done.map(|()| Exit::Success)
}

async fn run_on(session: &CliSession, ports: ForgetPorts<'_>, args: &ForgetOrgArgs) -> anyhow::Result<()> {
    let content = org_content(ports, &args.org).await?;
    if content.is_empty() {
        let names = known_names(ports).await?;
        let settings = &session.settings;
        let (lake, store) = (&settings.lake, &settings.store);
        let message = format!("there are no data of {} in {lake} and {store}", quoted(&args.org));
        return Err(failure(with_suggestion(&message, &args.org, names.iter().map(String::as_str))));
    }
    if args.yes {
        // The rows of the organization first: what the store has is removed.
        audit_log::drain_before_removal(session, &content.key).await?;
        audit_log::log_org_change(session, AuditKind::OrgForgotten, &content.key, |row| row).await;
        forget_org(ports, &content.key).await?;
    }
    let name = content.name.clone().unwrap_or_else(|| args.org.clone());
    if session.wants_json() {
        session.console.write_result(as_json(&name, &content, args.yes).to_string())?;
    } else {
        let (lake, store) = texts(&content);
        let done = if args.yes { "removed" } else { "would remove" };
        let name = escaped(&name);
        session.console.write_summary(format!("{done} {name}\n  lake: {lake}\n  store: {store}"))?;
    }
    if args.yes {
        return Ok(());
    }
    Err(usage_error(format!(
        "nothing was removed: run `github-metrics forget-org {} --yes` to remove this",
        args.org
    )))
}

/// Returns the names of all organizations in the lake and the store.
async fn known_names(ports: ForgetPorts<'_>) -> anyhow::Result<Vec<String>> {
    let registry = gam_lake::registry::read(ports.objects).await?;
    let mut keys = orgs_in_lake(ports.objects).await?;
    if let Some(ForgetStorePorts { names, .. }) = ports.store {
        keys.extend(names.orgs().await?);
    }
    Ok(keys.iter().map(|key| registry.name_of_stored(key).to_owned()).collect())
}

/// Describes what the lake and the store have.
fn texts(content: &OrgContent) -> (String, String) {
    let OrgContent { key, months, batches, rejected, revisions, repos, members, collected_repos, .. } =
        content;
    let span = match (months.first(), months.last()) {
        (Some(first), Some(last)) => format!(" ({first} to {last})"),
        _ => String::new(),
    };
    let lake = format!(
        "{}{span}, {}, {}, {}, under org={key}",
        count(months.len(), "month of events", "months of events"),
        count(*batches, "batch in the inbox", "batches in the inbox"),
        count(*rejected, "rejected batch", "rejected batches"),
        count(*revisions, "revision of the configuration", "revisions of the configuration"),
    );
    let store = format!(
        "all numbers, the names of {} and {}, {}",
        count(*repos, "repository", "repositories"),
        count(*members, "member", "members"),
        count(*collected_repos, "checkpoint of a repository", "checkpoints of repositories"),
    );
    (lake, store)
}

fn as_json(name: &str, content: &OrgContent, is_removed: bool) -> serde_json::Value {
    let months: Vec<String> = content.months.iter().map(ToString::to_string).collect();
    json!({
        "org": name,
        "key": content.key,
        "removed": is_removed,
        "lake": {
            "months": months,
            "batches": content.batches,
            "rejected": content.rejected,
            "revisions": content.revisions,
        },
        "store": {
            "repos": content.repos,
            "members": content.members,
            "checkpoints": content.collected_repos,
        },
    })
}
