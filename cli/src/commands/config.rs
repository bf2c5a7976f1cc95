//! `config`: the configuration of an organization, which belongs to its data.

use std::path::PathBuf;

use chrono::SecondsFormat;
use clap::{Args, Subcommand};
use gam_aggregate::orgs_in_lake;
use gam_lake::configuration::{self, Revision};
use gam_lake::{ObjectStore, registry};
use gam_model::OrgRegistry;
use serde_json::json;

use crate::args;
use crate::audit_log;
use crate::config;
use crate::error::{failure, usage_error};
use crate::exit::Exit;
use crate::open::open_lake;
use crate::report::unique_names;
use crate::session::CliSession;

const EXAMPLES: &str = "\
Examples:
  github-metrics config set github-metrics.toml acme   bots, aliases, excluded repositories, deploy workflows
  github-metrics config show acme
  github-metrics config history acme

Each change is a revision in the lake: config/org=ORG/REVISION.toml. The newest one applies.";

/// Arguments of `config`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    action: ConfigAction,
}

#[derive(Subcommand)]
enum ConfigAction {
    /// Set the configuration to the content of a file
    Set {
        /// The configuration, as TOML
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Organizations [default: all in the lake]
        #[arg(value_name = "ORG", value_parser = args::org)]
        orgs: Vec<String>,
    },
    /// Print the configuration
    Show {
        /// Organization [default: the only one in the lake]
        #[arg(value_name = "ORG", value_parser = args::org)]
        org: Option<String>,
        /// An earlier revision [default: the newest]
        #[arg(long, value_name = "N")]
        revision: Option<u32>,
    },
    /// List the revisions
    History {
        /// Organization [default: the only one in the lake]
        #[arg(value_name = "ORG", value_parser = args::org)]
        org: Option<String>,
    },
}

/// Sets or prints the configuration.
pub(crate) async fn run(session: &CliSession, args: ConfigArgs) -> anyhow::Result<Exit> {
    let objects = open_lake(&session.settings.lake).await?;
    match args.action {
        ConfigAction::Set { file, orgs } => {
            let keys = set(session, &*objects, &file, &orgs).await?;
            audit_log::log_configurations(session, objects, &keys).await;
        }
        ConfigAction::Show { org, revision } => show(session, &*objects, org, revision).await?,
        ConfigAction::History { org } => history(session, &*objects, org).await?,
    }
    Ok(Exit::Success)
}

/// Sets the configuration. Returns the storage keys of the organizations.
async fn set(
    session: &CliSession,
    objects: &dyn ObjectStore,
    file: &std::path::Path,
    requested: &[String],
) -> anyhow::Result<Vec<String>> {
    let configuration = config::load(file)?;
    let registry = registry::read(objects).await?;
    let mut orgs: Vec<(String, String)> =
        unique_names(requested).into_iter().map(|org| key_and_name(&registry, org)).collect();
    if orgs.is_empty() {
        orgs = keys_and_names(objects, &registry).await?;
    }
    if orgs.is_empty() {
        return Err(usage_error(format!(
            "the lake {} is empty: name the organization, as in `github-metrics config set {} ORG`",
            session.settings.lake,
            file.display()
        )));
    }
    if let Some(warning) = config::mailmap_warning(&configuration) {
        session.console.print_notice(warning);
    }
    for (key, org) in &orgs {
        let change = config::set(objects, key, &configuration).await?;
        if session.wants_json() {
            let document = json!({
                "org": org,
                "revision": change.number,
                "changed": change.is_new(),
                "recounts": change.is_new()
                    && !change.configuration.folds_like(&change.before.configuration),
            });
            session.console.write_result(document.to_string())?;
        } else {
            session.console.write_summary(change.sentence(org))?;
        }
    }
    Ok(orgs.into_iter().map(|(key, _)| key).collect())
}

async fn show(
    session: &CliSession,
    objects: &dyn ObjectStore,
    org: Option<String>,
    number: Option<u32>,
) -> anyhow::Result<()> {
    let (key, org) = only_org(objects, org).await?;
    let revision = match number {
        None => configuration::latest(objects, &key).await?,
        Some(number) => configuration::revision(objects, &key, number).await?.ok_or_else(|| {
            failure(format!(
                "{org} has no configuration revision {number}: see `github-metrics config history {org}`"
            ))
        })?,
    };
    if session.wants_json() {
        return session.console.write_result(as_json(&org, &revision).to_string());
    }
    let set_at = set_at(&revision).map_or_else(String::new, |at| format!(", set at {at}"));
    session.console.print_info(match revision.number {
        0 => format!("{org} has no configuration revision"),
        number => format!("{org}: revision {number}{set_at}"),
    });
    session.console.write_result(revision.configuration.to_toml().trim_end())
}

async fn history(session: &CliSession, objects: &dyn ObjectStore, org: Option<String>) -> anyhow::Result<()> {
    let (key, org) = only_org(objects, org).await?;
    let mut revisions = Vec::new();
    for number in configuration::revisions(objects, &key).await? {
        revisions.extend(configuration::revision(objects, &key, number).await?);
    }
    if session.wants_json() {
        let documents: Vec<_> = revisions.iter().map(|revision| as_json(&org, revision)).collect();
        return session.console.write_result(json!({ "org": org, "revisions": documents }).to_string());
    }
    if revisions.is_empty() {
        session.console.print_info(format!("{org} has no configuration revision"));
    }
    for revision in revisions {
        let set_at = set_at(&revision).unwrap_or_default();
        let line = format!("{}\t{set_at}\t{}", revision.number, revision.configuration.summary());
        session.console.write_result(line)?;
    }
    Ok(())
}

/// Returns the storage key and the current name of the organization with this name.
fn key_and_name(registry: &OrgRegistry, org: &str) -> (String, String) {
    (registry.key_of(org), registry.current_name(org).to_owned())
}

/// Returns the storage keys and the current names of the organizations in the lake.
async fn keys_and_names(
    objects: &dyn ObjectStore,
    registry: &OrgRegistry,
) -> anyhow::Result<Vec<(String, String)>> {
    let named = |key: String| {
        let name = registry.name_of_stored(&key).to_owned();
        (key, name)
    };
    Ok(orgs_in_lake(objects).await?.into_iter().map(named).collect())
}

/// Returns the storage key and the current name of the requested organization, or of the only one in the lake.
async fn only_org(objects: &dyn ObjectStore, requested: Option<String>) -> anyhow::Result<(String, String)> {
    let registry = registry::read(objects).await?;
    if let Some(org) = requested {
        return Ok(key_and_name(&registry, &org));
    }
    let mut orgs = keys_and_names(objects, &registry).await?;
    match (orgs.pop(), orgs.is_empty()) {
        (Some(org), true) => Ok(org),
        (Some(last), false) => {
            orgs.push(last);
            let names: Vec<String> = orgs.into_iter().map(|(_, name)| name).collect();
            Err(usage_error(format!("name one of the organizations: {}", names.join(", "))))
        }
        (None, _) => Err(usage_error("the lake is empty: name the organization")),
    }
}

fn set_at(revision: &Revision) -> Option<String> {
    revision.set_at.map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true))
}

fn as_json(org: &str, revision: &Revision) -> serde_json::Value {
    json!({
        "org": org,
        "revision": revision.number,
        "set_at": set_at(revision),
        "summary": revision.configuration.summary(),
        "toml": revision.configuration.to_toml(),
    })
}
