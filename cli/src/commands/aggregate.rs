//! `aggregate`: the inbox to snapshots to rollups.

use std::collections::BTreeSet;
use std::time::Instant;

use clap::Args;
use gam_aggregate::{AggregateReport, aggregate, orgs_in_lake};
use gam_model::Month;
use serde_json::json;

use super::Session;
use super::collect::distinct;
use crate::args;
use crate::exit::{Exit, sentence};
use crate::format::{count, span};
use crate::open::OpenData;
use crate::progress::RunProgress;
use crate::signals;

const EXAMPLES: &str = "\
Examples:
  github-metrics aggregate                  every organization in the lake
  github-metrics aggregate acme --rebuild   every rollup anew from snapshots";

const STOPPED: &str = "stopped; what was done is saved, run again to go on";

/// Arguments of `aggregate`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Aggregate {
    /// The organizations; all of the lake's where none is named
    #[arg(value_name = "ORG", value_parser = args::org)]
    orgs: Vec<String>,
    /// Compute every rollup anew from the snapshots
    #[arg(long)]
    rebuild: bool,
}

/// Works the inbox off.
pub(super) async fn run(session: &Session, args: Aggregate) -> anyhow::Result<Exit> {
    let data = OpenData::open(&session.settings).await?;
    let done = signals::unless_stopped(&session.console, STOPPED, all(session, &data, &args)).await;
    data.close().await;
    done
}

async fn all(session: &Session, data: &OpenData, args: &Aggregate) -> anyhow::Result<Exit> {
    let known = known(data).await?;
    let (wanted, unknown) = wanted(&known, &args.orgs);
    if wanted.is_empty() && unknown.is_empty() {
        let lake = &session.settings.lake;
        session.console.note(format!("the lake {lake} is empty: run `github-metrics collect ORG` first"));
    }
    for org in &unknown {
        session.console.error(format!(
            "nothing was collected of {org} yet: check the spelling, or run `github-metrics collect {org}` first"
        ));
    }
    let mut parts = vec![Exit::Failed; unknown.len()];
    for org in &wanted {
        parts.push(match one(session, data, org, args.rebuild).await {
            Ok(exit) => exit,
            // The other organizations may fare better.
            Err(error) if wanted.len() + unknown.len() > 1 => {
                session.console.error(format!("{org}: {}", sentence(&error)));
                Exit::Failed
            }
            Err(error) => return Err(error),
        });
    }
    Ok(Exit::of_all(&parts))
}

/// The organizations that were ever collected: as GitHub spells them, where the store knows that, and
/// what else the lake holds.
async fn known(data: &OpenData) -> anyhow::Result<Vec<String>> {
    let mut known = data.store.orgs().await?;
    for org in orgs_in_lake(&*data.objects).await? {
        if !known.iter().any(|spelled| spelled.eq_ignore_ascii_case(&org)) {
            known.push(org);
        }
    }
    Ok(known)
}

/// The known organizations that were named, and the names that are not known; each once.
fn wanted<'a>(known: &'a [String], named: &'a [String]) -> (BTreeSet<&'a str>, Vec<&'a str>) {
    if named.is_empty() {
        return (known.iter().map(String::as_str).collect(), Vec::new());
    }
    let (mut wanted, mut unknown) = (BTreeSet::new(), Vec::new());
    for org in distinct(named) {
        match known.iter().find(|known| known.eq_ignore_ascii_case(org)) {
            Some(spelled) => _ = wanted.insert(spelled.as_str()),
            None => unknown.push(org),
        }
    }
    (wanted, unknown)
}

async fn one(session: &Session, data: &OpenData, org: &str, rebuild: bool) -> anyhow::Result<Exit> {
    let (report, seconds) = timed(session, data, org, rebuild).await?;
    if session.wants_json() {
        session.console.report(as_json(org, &report, seconds.as_secs_f64()).to_string())?;
    } else {
        session.console.summary(format!("{org}: {}, {}", summary(&report), span(seconds)))?;
    }
    Ok(tell_troubles(session, org, &report))
}

async fn timed(
    session: &Session,
    data: &OpenData,
    org: &str,
    rebuild: bool,
) -> anyhow::Result<(AggregateReport, std::time::Duration)> {
    let begun = Instant::now();
    let progress = RunProgress::new(&session.console, org);
    let report = aggregate(&data.aggregate_ports(), org, rebuild, &progress).await?;
    Ok((report, begun.elapsed()))
}

/// Aggregates as a part of another command's work.
pub(super) async fn quietly(
    session: &Session,
    data: &OpenData,
    org: &str,
) -> anyhow::Result<(AggregateReport, Exit)> {
    let (report, _) = timed(session, data, org, false).await?;
    let exit = tell_troubles(session, org, &report);
    Ok((report, exit))
}

/// What was done, in short.
pub(super) fn summary(report: &AggregateReport) -> String {
    if report.batches == 0 && report.months.is_empty() {
        return "nothing new".to_owned();
    }
    let months = match (report.months.first(), report.months.last()) {
        (Some(first), Some(last)) if first != last => {
            format!("{} ({first} to {last})", count(report.months.len(), "month", "months"))
        }
        (Some(only), _) => format!("month {only}"),
        (None, _) => "no month changed".to_owned(),
    };
    format!(
        "{} with {}, {months}, {}",
        count(report.batches, "batch", "batches"),
        count(report.events, "event", "events"),
        count(report.rollups, "rollup", "rollups")
    )
}

/// Names what could not be worked off.
fn tell_troubles(session: &Session, org: &str, report: &AggregateReport) -> Exit {
    for (path, why) in &report.rejected {
        session.console.error(format!("{org}: a damaged batch was set aside as {path} ({why})"));
    }
    if report.deferred > 0 {
        let batches = count(report.deferred, "batch was", "batches were");
        session.console.error(format!(
            "{org}: {batches} left for a newer github-metrics, which has written this store: upgrade this one"
        ));
    }
    if report.rejected.is_empty() && report.deferred == 0 { Exit::Done } else { Exit::Partial }
}

fn as_json(org: &str, report: &AggregateReport, seconds: f64) -> serde_json::Value {
    let rejected: Vec<_> =
        report.rejected.iter().map(|(path, why)| json!({"path": path, "why": why})).collect();
    json!({
        "org": org,
        "batches": report.batches,
        "events": report.events,
        "months": report.months.iter().map(Month::to_string).collect::<Vec<_>>(),
        "rollups": report.rollups,
        "rejected": rejected,
        "deferred": report.deferred,
        "seconds": seconds,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| name.to_string()).collect()
    }

    #[test]
    fn organizations_are_found_whatever_their_case() {
        let known = names(&["acme", "zeta"]);
        assert_eq!(wanted(&known, &[]), (BTreeSet::from(["acme", "zeta"]), vec![]));
        let named = names(&["ACME", "acme"]);
        assert_eq!(wanted(&known, &named), (BTreeSet::from(["acme"]), vec![]));
        let named = names(&["other", "acme", "OTHER"]);
        assert_eq!(wanted(&known, &named), (BTreeSet::from(["acme"]), vec!["other"]));
        assert!(wanted(&[], &[]).0.is_empty());
    }

    #[test]
    fn a_summary_says_what_changed() {
        let mut report = AggregateReport::default();
        assert_eq!(summary(&report), "nothing new");
        report.batches = 1;
        assert!(summary(&report).contains("no month changed"));
        report.months = ["2026-01", "2026-02"].iter().filter_map(|text| Month::parse(text)).collect();
        report.rollups = 1234;
        assert_eq!(summary(&report), "1 batch with 0 events, 2 months (2026-01 to 2026-02), 1,234 rollups");
    }
}
