//! `aggregate`: processes collected batches into snapshots and rollups.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use clap::Args;
use gam_aggregate::{AggregateReport, aggregate, orgs_in_lake};
use gam_lake::ObjectStore;
use gam_model::{Month, OrgRegistry};
use serde_json::json;

use crate::args::{self, ConfigOption};
use crate::audit_log;
use crate::config;
use crate::error::one_line;
use crate::exit::Exit;
use crate::format::{count, duration};
use crate::notify;
use crate::open::{OpenData, OpenStore};
use crate::progress::RunProgress;
use crate::report::unique_names;
use crate::session::CliSession;
use crate::signals;

const EXAMPLES: &str = "\
Examples:
  github-metrics aggregate                  every organization in the lake
  github-metrics aggregate acme --rebuild   compute all rollups again from the snapshots";

const STOPPED: &str = "stopped; progress is saved, run again to continue";

/// Arguments of `aggregate`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct AggregateArgs {
    /// Organizations [default: all in the lake]
    #[arg(value_name = "ORG", value_parser = args::org)]
    orgs: Vec<String>,
    /// Compute all rollups again from the snapshots
    #[arg(long)]
    rebuild: bool,
    #[command(flatten)]
    config: ConfigOption,
}

/// Processes the inbox of every given organization.
pub(crate) async fn run(session: &CliSession, args: AggregateArgs) -> anyhow::Result<Exit> {
    let data = OpenData::open(&session.settings).await?;
    let aggregation = aggregate_orgs(session, &data, &args);
    let exit = signals::run_until_stopped(&session.console, STOPPED, aggregation).await;
    data.close().await;
    exit
}

async fn aggregate_orgs(session: &CliSession, data: &OpenData, args: &AggregateArgs) -> anyhow::Result<Exit> {
    let registry = data.store.registry().await?;
    let collected = collected_orgs(&data.store, &*data.objects, &registry).await?;
    let requested: Vec<String> = args.orgs.iter().map(|org| registry.current_name(org).to_owned()).collect();
    let (orgs, unknown) = select_orgs(&collected, &requested);
    let console = &session.console;
    if orgs.is_empty() && unknown.is_empty() {
        let lake = &session.settings.lake;
        console.print_info(format!("the lake {lake} is empty: run `github-metrics collect ORG` first"));
    }
    for org in &unknown {
        console.print_error(format!(
            "there is no data of {org} yet: check the spelling, or run `github-metrics collect {org}` first"
        ));
    }
    let configured: Vec<String> = orgs.iter().map(|org| (*org).to_owned()).collect();
    set_configuration(session, data, &configured, &args.config).await?;
    let mut exits = vec![Exit::Failed; unknown.len()];
    for org in &orgs {
        exits.push(match aggregate_and_report(session, data, org, args.rebuild).await {
            Ok(exit) => exit,
            // The other organizations may still succeed.
            Err(error) if orgs.len() + unknown.len() > 1 => {
                console.print_error(format!("{org}: {}", one_line(&error)));
                Exit::Failed
            }
            Err(error) => return Err(error),
        });
    }
    Ok(Exit::combine(&exits))
}

/// Sets the configuration of the organizations to the file of `--config`. Without the option, warns about a file
/// that older versions read.
pub(super) async fn set_configuration(
    session: &CliSession,
    data: &OpenData,
    orgs: &[String],
    option: &ConfigOption,
) -> anyhow::Result<()> {
    let Some(file) = &option.config else {
        for org in orgs {
            let latest = gam_lake::configuration::latest(&*data.objects, &data.key_of(org).await?).await?;
            config::unread_file_hint(org, &latest)
                .into_iter()
                .for_each(|hint| session.console.print_notice(hint));
        }
        return Ok(());
    };
    let configuration = config::load(file)?;
    config::mailmap_warning(&configuration).into_iter().for_each(|text| session.console.print_notice(text));
    for org in orgs {
        let change = config::set(&*data.objects, &data.key_of(org).await?, &configuration).await?;
        if change.is_new() {
            session.console.print_info(change.sentence(org));
        }
        audit_log::log_configurations_in(session, data.audit_ports(), &data.key_of(org).await?).await;
    }
    Ok(())
}

/// Returns the current names of the organizations that were ever collected: those in the store, and those that
/// only the lake contains.
pub(super) async fn collected_orgs(
    store: &OpenStore,
    objects: &dyn ObjectStore,
    registry: &OrgRegistry,
) -> anyhow::Result<Vec<String>> {
    let mut orgs = store.orgs().await?;
    for org in orgs_in_lake(objects).await? {
        if !orgs.iter().any(|name| name.eq_ignore_ascii_case(&org)) {
            orgs.push(org);
        }
    }
    Ok(orgs.iter().map(|org| registry.name_of_stored(org).to_owned()).collect())
}

/// Returns the collected organizations that were requested, and the requested names without data, each
/// once. No requested name selects all organizations.
pub(super) fn select_orgs<'a>(
    collected: &'a [String],
    requested: &'a [String],
) -> (BTreeSet<&'a str>, Vec<&'a str>) {
    if requested.is_empty() {
        return (collected.iter().map(String::as_str).collect(), Vec::new());
    }
    let (mut selected, mut unknown) = (BTreeSet::new(), Vec::new());
    for org in unique_names(requested) {
        match collected.iter().find(|display_name| display_name.eq_ignore_ascii_case(org)) {
            Some(display_name) => _ = selected.insert(display_name.as_str()),
            None => unknown.push(org),
        }
    }
    (selected, unknown)
}

async fn aggregate_and_report(
    session: &CliSession,
    data: &OpenData,
    org: &str,
    is_rebuild: bool,
) -> anyhow::Result<Exit> {
    let outcome = aggregate_timed(session, data, org, is_rebuild).await?;
    if session.wants_json() {
        session.console.write_result(as_json(org, &outcome).to_string())?;
    } else {
        session.console.write_summary(format!("{org}: {}", summary(&outcome)))?;
    }
    Ok(print_problems(session, org, &outcome))
}

/// The outcome of one aggregation.
#[derive(Clone)]
pub(super) struct AggregateOutcome {
    report: AggregateReport,
    took: Duration,
    is_rebuild: bool,
}

async fn aggregate_timed(
    session: &CliSession,
    data: &OpenData,
    org: &str,
    is_rebuild: bool,
) -> anyhow::Result<AggregateOutcome> {
    let started = Instant::now();
    let progress = RunProgress::new(&session.console, org);
    let key = data.key_of(org).await?;
    let result = aggregate(&data.aggregate_ports(), &key, is_rebuild, &progress).await;
    let took = started.elapsed();
    let result = result.map_err(anyhow::Error::from);
    let folded = result.as_ref().is_ok_and(|report| report.rollups > 0);
    notify::record_aggregation(data, &key, result.as_ref().err(), folded.then_some(took)).await;
    Ok(AggregateOutcome { report: result?, took, is_rebuild })
}

/// Processes the inbox of an organization as a part of another command, and prints problems only.
///
/// # Errors
/// If the lake or the store fails.
pub(super) async fn aggregate_org(
    session: &CliSession,
    data: &OpenData,
    org: &str,
) -> anyhow::Result<(AggregateOutcome, Exit)> {
    let outcome = aggregate_timed(session, data, org, false).await?;
    let exit = print_problems(session, org, &outcome);
    Ok((outcome, exit))
}

/// Returns what the aggregation did, on one line.
pub(super) fn summary(outcome: &AggregateOutcome) -> String {
    let (events, sessions) = (events_summary(outcome), &outcome.report.sessions);
    let parts = [(sessions.changed_rows, ""), (sessions.deleted_rows, "deleted ")].map(|(rows, verb)| {
        (rows > 0).then(|| format!("{verb}{}", count(rows, "session event", "session events")))
    });
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() {
        return events;
    }
    format!("{events}; {} in {}", parts.join(", "), count(sessions.months.len(), "month", "months"))
}

/// Returns what the aggregation did to events of GitHub.
fn events_summary(outcome: &AggregateOutcome) -> String {
    let AggregateOutcome { report, took, is_rebuild, .. } = outcome;
    if report.batches == 0 && report.months.is_empty() {
        return "nothing new".to_owned();
    }
    let took = duration(*took);
    let months = match (report.months.first(), report.months.last()) {
        (Some(first), Some(last)) if first != last => {
            format!("{} ({first} to {last})", count(report.months.len(), "month", "months"))
        }
        (Some(only), _) => format!("month {only}"),
        (None, _) => "no month".to_owned(),
    };
    let rollups = count(report.rollups, "rollup", "rollups");
    if report.batches == 0 {
        // Snapshots did not change, so what is computed from them did.
        let why = if *is_rebuild { "" } else { "the configuration, the store or the program changed; " };
        return format!("{why}recounted {months} in {took} ({rollups})");
    }
    let verb = if *is_rebuild { "recounted" } else { "updated" };
    format!(
        "processed {} with {} in {took}; {verb} {months} ({rollups})",
        count(report.batches, "batch", "batches"),
        count(report.events, "event", "events"),
    )
}

/// Prints which batches could not be processed. Returns the exit status that follows.
fn print_problems(session: &CliSession, org: &str, outcome: &AggregateOutcome) -> Exit {
    let report = &outcome.report;
    let sessions = &report.sessions;
    for (path, why) in report.rejected.iter().chain(&sessions.rejected) {
        session.console.print_error(format!("{org}: moved a damaged batch to {path} ({why})"));
    }
    for month in &report.lost_months {
        let (first, end) = (month.first_day(), month.end());
        session.console.print_error(format!(
            "{org}: the lake has lost the snapshot of {month}: restore it from a backup, or run `github-metrics \
             collect {org} --again --since {first} --until {end}` and aggregate again"
        ));
    }
    let deferred = report.deferred + sessions.deferred;
    if deferred > 0 {
        let batches = count(deferred, "batch", "batches");
        session.console.print_error(format!(
            "{org}: {batches} not processed: a newer github-metrics has written this data; upgrade this program"
        ));
    }
    if report.waiting > 0 {
        let batches = count(report.waiting, "batch waits", "batches wait");
        session.console.print_error(format!(
            "{org}: {batches} in the inbox for a month whose snapshot cannot be read: nothing of them is lost"
        ));
    }
    let is_complete = report.rejected.is_empty()
        && sessions.rejected.is_empty()
        && deferred + report.waiting == 0
        && report.lost_months.is_empty();
    if is_complete { Exit::Success } else { Exit::Partial }
}

fn as_json(org: &str, outcome: &AggregateOutcome) -> serde_json::Value {
    let report = &outcome.report;
    let rejected: Vec<_> =
        report.rejected.iter().map(|(path, why)| json!({"path": path, "why": why})).collect();
    json!({
        "org": org,
        "batches": report.batches,
        "events": report.events,
        "months": report.months.iter().map(Month::to_string).collect::<Vec<_>>(),
        "rollups": report.rollups,
        "deleted_session_events": report.sessions.deleted_rows,
        "rejected": rejected,
        "deferred": report.deferred,
        "waiting": report.waiting,
        "lost_months": report.lost_months.iter().map(Month::to_string).collect::<Vec<_>>(),
        "seconds": outcome.took.as_secs_f64(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| name.to_string()).collect()
    }

    #[test]
    fn organizations_are_selected_whatever_their_case() {
        let collected = names(&["acme", "zeta"]);
        assert_eq!(select_orgs(&collected, &[]), (BTreeSet::from(["acme", "zeta"]), vec![]));
        let requested = names(&["ACME", "acme"]);
        assert_eq!(select_orgs(&collected, &requested), (BTreeSet::from(["acme"]), vec![]));
        let requested = names(&["other", "acme", "OTHER"]);
        assert_eq!(select_orgs(&collected, &requested), (BTreeSet::from(["acme"]), vec!["other"]));
        assert!(select_orgs(&[], &[]).0.is_empty());
    }

    #[test]
    fn a_summary_says_what_changed() {
        let took = Duration::from_millis(2_100);
        let report = AggregateReport::default();
        let mut outcome = AggregateOutcome { report, took, is_rebuild: false };
        assert_eq!(summary(&outcome), "nothing new");
        outcome.report.batches = 1;
        assert!(summary(&outcome).contains("updated no month"));
        outcome.report.months = ["2026-01", "2026-02"].iter().filter_map(|text| Month::parse(text)).collect();
        outcome.report.rollups = 1234;
        let months = "2 months (2026-01 to 2026-02)";
        assert_eq!(
            summary(&outcome),
            format!("processed 1 batch with 0 events in 2.1 s; updated {months} (1,234 rollups)")
        );
        outcome.report.batches = 0;
        assert_eq!(
            summary(&outcome),
            format!(
                "the configuration, the store or the program changed; recounted {months} in 2.1 s (1,234 rollups)"
            )
        );
        outcome.is_rebuild = true;
        assert_eq!(summary(&outcome), format!("recounted {months} in 2.1 s (1,234 rollups)"));
    }
}
