//! `erase`: deletes the rows of a session, and keeps them from coming back.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use clap::{Args, Subcommand};
use gam_aggregate::{Erasure, SessionContent, erase_session, session_content};
use gam_lake::registry;
use gam_model::{ErasedSessions, FieldText, Month};
use gam_work::OWNER_LIFETIME;
use serde_json::{Value, json};

use super::aggregate::{aggregate_org, collected_orgs};
use crate::args;
use crate::audit_log;
use crate::error::{failure, usage_error};
use crate::exit::Exit;
use crate::format::count;
use crate::location::LakeLocation;
use crate::open::{OpenData, OpenStore, open_lake_for_reading};
use crate::session::CliSession;
use crate::suggest::with_suggestion;
use crate::terminal_text::{escaped, quoted};

const EXAMPLES: &str = "\
Examples:
  github-metrics erase session 0b1c4f2e-8d3a --org acme          what would be deleted
  github-metrics erase session 0b1c4f2e-8d3a --org acme --yes    delete it

The id is the name of the session's log. An erasure cannot be undone: the configuration keeps
the hash of the id, so that no later ingest, push or old batch brings the session back. The
agent's own log, on the machine where it ran, stays: delete it there.";

/// Arguments of `erase`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct EraseArgs {
    #[command(subcommand)]
    action: EraseAction,
}

#[derive(Subcommand)]
enum EraseAction {
    /// Erase a session of a coding agent: its rows, and the rows of agents that it started
    Session(EraseSessionArgs),
}

#[derive(Args)]
#[command(after_help = EXAMPLES)]
struct EraseSessionArgs {
    /// Id of the session, as the agent names it: the name of its log
    #[arg(value_name = "ID", value_parser = session_id)]
    id: FieldText,
    /// Organization
    #[arg(long, value_name = "ORG", value_parser = args::org)]
    org: String,
    /// Erase it; without this, the command only shows what it would delete
    #[arg(long)]
    yes: bool,
}

fn session_id(text: &str) -> Result<FieldText, String> {
    let text = text.strip_suffix(".jsonl").unwrap_or(text);
    if text.trim().is_empty() {
        return Err("an id is not empty: write the name of the session's log".to_owned());
    }
    // Rows have the id in this form.
    Ok(FieldText::new(text))
}

/// Erases what the arguments name.
pub(crate) async fn run(session: &CliSession, args: EraseArgs) -> anyhow::Result<Exit> {
    let EraseAction::Session(args) = args.action;
    if args.yes {
        let data = OpenData::open(&session.settings).await?;
        let done = erase(session, &data, &args).await;
        data.close().await;
        return done;
    }
    preview(session, &args).await
}

/// Shows what would be deleted.
async fn preview(session: &CliSession, args: &EraseSessionArgs) -> anyhow::Result<Exit> {
    let objects = open_lake_for_reading(&session.settings.lake).await?;
    let registry = registry::read(&*objects).await?;
    let key = registry.key_of(&args.org);
    let store = OpenStore::open_existing(&session.settings).await?;
    let known = collected_orgs(&store, &*objects, &registry).await;
    store.close().await;
    let name = known_name(session, &known?, registry.current_name(&args.org))?;
    let content = session_content(&*objects, &key, &args.id).await?;
    print(session, &name, args, &content, None)?;
    Err(usage_error(format!(
        "nothing was erased: run `github-metrics erase session {} --org {} --yes` to erase this",
        args.id, args.org
    )))
}

async fn erase(session: &CliSession, data: &OpenData, args: &EraseSessionArgs) -> anyhow::Result<Exit> {
    let registry = data.store.registry().await?;
    let known = collected_orgs(&data.store, &*data.objects, &registry).await?;
    let name = known_name(session, &known, registry.current_name(&args.org))?;
    let key = registry.key_of(&args.org);
    let before = session_content(&*data.objects, &key, &args.id).await?;
    let erasure = erase_session(&*data.objects, &key, &args.id, data.clock().now()).await?;
    let (ports, hash) = (data.audit_ports(), ErasedSessions::hash(&args.id));
    audit_log::log_erasure(session, &ports, &key, &hash, erasure.revision).await;
    audit_log::log_configurations_in(session, ports, &key).await;
    let (_, exit) = aggregate_org(session, data, &name).await?;
    let left = session_content(&*data.objects, &key, &args.id).await?;
    if left.rows > 0 || !left.forks.is_empty() {
        return Err(failure(format!(
            "{} of {} in {} were not deleted yet: a newer github-metrics has written them, or others aggregate; run \
             `github-metrics aggregate {}` again",
            count(left.rows, "row", "rows"),
            args.id,
            months_text(&left),
            args.org,
        )));
    }
    print(session, &name, args, &before, Some((erasure, data.clock().now())))?;
    Ok(exit)
}

/// Returns the name of the organization if there are data of it.
fn known_name(session: &CliSession, known: &[String], requested: &str) -> anyhow::Result<String> {
    let found = known.iter().find(|name| name.eq_ignore_ascii_case(requested));
    found.cloned().ok_or_else(|| {
        let settings = &session.settings;
        let message =
            format!("there are no data of {} in {} and {}", quoted(requested), settings.lake, settings.store);
        failure(with_suggestion(&message, requested, known.iter().map(String::as_str)))
    })
}

/// What still has the session, and until when.
struct Remains {
    what: String,
    /// UTC. `None` if nobody deletes it by itself.
    until: Option<DateTime<Utc>>,
}

/// How long the numbers of before an erasure are kept in the store.
const FORMER_NUMBERS_LIFETIME: TimeDelta = TimeDelta::minutes(15);
/// For how long a bucket of the template keeps overwritten objects, unless it was deployed with another time.
const DEFAULT_VERSIONS_LIFETIME: TimeDelta = TimeDelta::days(30);

fn remains(lake: &LakeLocation, erased_at: DateTime<Utc>) -> Vec<Remains> {
    let mut remains = vec![
        Remains {
            what: "sums that include it, without its id, in the store: the first aggregation after this time deletes them"
                .to_owned(),
            until: Some(erased_at + FORMER_NUMBERS_LIFETIME),
        },
        Remains {
            what: "if it was pushed to a server: hashes of the ids of its events, with the member who pushed them, in the \
                   store"
                .to_owned(),
            until: Some(erased_at + OWNER_LIFETIME),
        },
        Remains { what: "the hash of its id, in the configuration and the audit log".to_owned(), until: None },
        Remains { what: "the agent's own log, on the machine where it ran".to_owned(), until: None },
        Remains { what: "backups, if there are any".to_owned(), until: None },
    ];
    if let LakeLocation::S3 { .. } = lake {
        remains.push(Remains {
            what: "overwritten and deleted versions of months and batches in the bucket, until its lifecycle rule deletes \
                   them: at this time, if `RetentionDays` is 30, as by default"
                .to_owned(),
            until: Some(erased_at + DEFAULT_VERSIONS_LIFETIME),
        });
    }
    remains
}

/// Prints what was deleted, or would be. `erased` is the erasure, and when it was complete.
fn print(
    session: &CliSession,
    org: &str,
    args: &EraseSessionArgs,
    content: &SessionContent,
    erased: Option<(Erasure, DateTime<Utc>)>,
) -> anyhow::Result<()> {
    let remains = erased.map_or_else(Vec::new, |(_, at)| remains(&session.settings.lake, at));
    if session.wants_json() {
        return session.console.write_result(as_json(org, args, content, erased, &remains).to_string());
    }
    let (verb, org) = (if erased.is_some() { "erased" } else { "would erase" }, escaped(org));
    let members: Vec<String> = content.members.iter().map(|name| escaped(name)).collect();
    let mut lines = vec![format!(
        "{verb} session {} of {org}: {} in {}{}",
        escaped(args.id.as_str()),
        count(content.rows, "row", "rows"),
        months_text(content),
        if members.is_empty() { String::new() } else { format!(", of {}", members.join(", ")) },
    )];
    if let Some((erasure, _)) = erased {
        let since = if erasure.is_new { "now" } else { "already" };
        lines.push(format!("  revision {} of the configuration {since} has the erasure", erasure.revision));
    }
    if content.rejected > 0 {
        let batches = count(content.rejected, "rejected batch", "rejected batches");
        let verb = if erased.is_some() { "deleted" } else { "would delete" };
        lines.push(format!("  {verb} {batches} of sessions, which cannot be read and may have rows of it"));
    }
    if !content.forks.is_empty() {
        let forks: Vec<String> = content.forks.iter().map(|fork| escaped(fork)).collect();
        lines.push(format!(
            "  these sessions continue its history; erase them, too, if their copies of it are to go: {}",
            forks.join(", ")
        ));
    }
    if !remains.is_empty() {
        lines.push("what remains:".to_owned());
    }
    lines.extend(remains.iter().map(|remains| {
        let until =
            remains.until.map_or_else(|| "for good".to_owned(), |until| format!("until {}", time(until)));
        format!("  {until}: {}", remains.what)
    }));
    session.console.write_summary(lines.join("\n"))
}

fn months_text(content: &SessionContent) -> String {
    match (content.months.first(), content.months.last()) {
        (Some(first), Some(last)) if first != last => {
            format!("{} ({first} to {last})", count(content.months.len(), "month", "months"))
        }
        (Some(only), _) => format!("month {only}"),
        (None, _) => "no month".to_owned(),
    }
}

fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn as_json(
    org: &str,
    args: &EraseSessionArgs,
    content: &SessionContent,
    erased: Option<(Erasure, DateTime<Utc>)>,
    remains: &[Remains],
) -> Value {
    let remains: Vec<Value> = remains
        .iter()
        .map(|remains| json!({ "what": remains.what, "until": remains.until.map(time) }))
        .collect();
    json!({
        "org": org,
        "session": args.id,
        "hash": ErasedSessions::hash(&args.id),
        "erased": erased.is_some(),
        "revision": erased.map(|(erasure, _)| erasure.revision),
        "rows": content.rows,
        "months": content.months.iter().map(Month::to_string).collect::<Vec<_>>(),
        "members": content.members,
        "forks": content.forks,
        "rejected_batches": content.rejected,
        "remains": remains,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_name_of_the_log() {
        assert_eq!(session_id("0b1c.jsonl").unwrap().as_str(), "0b1c");
        assert_eq!(session_id("0b1c").unwrap().as_str(), "0b1c");
        assert!(session_id(" ").unwrap_err().contains("the name of the session's log"));
        assert!(session_id("two words").unwrap().is_hashed(), "as in the rows");
    }

    #[test]
    fn only_a_bucket_keeps_overwritten_versions() {
        let at = DateTime::UNIX_EPOCH;
        let of_directory = remains(&LakeLocation::Dir("lake".into()), at);
        assert!(!of_directory.iter().any(|remains| remains.what.contains("bucket")));
        assert!(of_directory.iter().any(|remains| remains.until.is_none()));
    }
}
