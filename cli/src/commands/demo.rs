//! `demo`: the whole product on a generated sample organization.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::Context as _;
use chrono::{Days, NaiveDate};
use clap::Args;
use gam_lake::inbox;
use gam_model::{Clock, SystemClock};
use gam_model::{Event, EventBatch, Month};

use super::serve::{Bound, Listen};
use super::{Session, aggregate};
use crate::exit::{Exit, failed, usage};
use crate::format::count;
use crate::open::OpenData;
use crate::sample::{self, FOUNDED, ORG, Span};
use crate::signals;

const EXAMPLES: &str = "\
Examples:
  github-metrics demo                 http://127.0.0.1:8080
  github-metrics demo --no-serve --days 90 --data-dir /tmp/demo
  github-metrics demo --seed 7 --data-dir /tmp/other

The sample ends with yesterday, so that every run of a day makes the same
events. Running it on a later day adds what has happened since.";

const STOPPED: &str = "stopped; run again to go on";

/// The file that says which sample a data directory holds.
const SEED_FILE: &str = "demo-seed";

/// Arguments of `demo`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Demo {
    /// Another seed makes another history
    #[arg(long, value_name = "N", default_value_t = 42)]
    seed: u64,
    /// How many days the sample covers
    #[arg(long, value_name = "N", default_value_t = 400, value_parser = clap::value_parser!(u64).range(1..=2000))]
    days: u64,
    /// Make the sample, but do not serve it
    #[arg(long)]
    no_serve: bool,
    #[command(flatten)]
    listen: Listen,
}

/// Makes the sample, and serves it until Ctrl-C or SIGTERM.
pub(super) async fn run(session: &Session, args: Demo) -> anyhow::Result<Exit> {
    let today = SystemClock.now().date_naive();
    let span = span(args.seed, args.days, today)?;
    // A port that is taken is told before the work, not after it.
    let bound = if args.no_serve { None } else { Some(Bound::new(session, &args.listen).await?) };
    claim(&session.settings.data_dir, args.seed)?;
    let data = OpenData::open(&session.settings).await?;
    let address = bound.as_ref().map(|bound| bound.address.to_string());
    let made = signals::unless_stopped(&session.console, STOPPED, make(session, &data, span, address)).await;
    let done = match (made, bound) {
        (Ok(Exit::Done), Some(bound)) => {
            let shutdown = async { _ = signals::stopped().await };
            bound.serve(session, data.store.query_ports(), shutdown).await.map(|()| Exit::Done)
        }
        (made, _) => made,
    };
    data.close().await;
    done
}

fn span(seed: u64, days: u64, today: NaiveDate) -> anyhow::Result<Span> {
    if today <= FOUNDED {
        return Err(failed(format!("this machine's clock says {today}, which is long past: set it first")));
    }
    Ok(Span { seed, since: (today - Days::new(days)).max(FOUNDED), until: today })
}

/// Marks the directory as holding the sample of that seed: two samples in one lake would be a muddle.
fn claim(data_dir: &Path, seed: u64) -> anyhow::Result<()> {
    let file = data_dir.join(SEED_FILE);
    let shown = file.display();
    match std::fs::read_to_string(&file) {
        Ok(known) if known.trim() == seed.to_string() => Ok(()),
        Ok(known) => Err(usage(format!(
            "{} holds the sample of seed {}: choose another directory with --data-dir for seed {seed}",
            data_dir.display(),
            known.trim()
        ))),
        Err(error) if error.kind() == ErrorKind::NotFound => std::fs::create_dir_all(data_dir)
            .and_then(|()| std::fs::write(&file, format!("{seed}\n")))
            .with_context(|| format!("{shown} cannot be written: choose another directory with --data-dir")),
        Err(error) => Err(error)
            .with_context(|| format!("{shown} cannot be read: choose another directory with --data-dir")),
    }
}

async fn make(
    session: &Session,
    data: &OpenData,
    span: Span,
    address: Option<String>,
) -> anyhow::Result<Exit> {
    let exit = fill(session, data, span).await?;
    if exit == Exit::Done {
        session.console.line(next_steps(session, address))?;
    }
    Ok(exit)
}

/// Writes the sample's events to the inbox, as a collection would, and aggregates them.
pub(super) async fn fill(session: &Session, data: &OpenData, span: Span) -> anyhow::Result<Exit> {
    let events = sample::events(span);
    session.console.note(format!(
        "{ORG}: {} of {}, {} to {}",
        count(events.len(), "event", "events"),
        count(sample::REPO_COUNT, "repository", "repositories"),
        span.since,
        span.until.pred_opt().unwrap_or(span.until)
    ));
    for batch in &batches(events) {
        inbox::put(data.objects.as_ref(), batch).await?;
    }
    let (report, exit) = aggregate::quietly(session, data, ORG).await?;
    session.console.note(format!("{ORG}: {}", aggregate::summary(&report)));
    Ok(exit)
}

/// A batch a month, so that each touches one snapshot.
fn batches(events: Vec<Event>) -> Vec<EventBatch> {
    let mut months: BTreeMap<Month, Vec<Event>> = BTreeMap::new();
    for event in events {
        months.entry(event.month()).or_default().push(event);
    }
    months.into_values().map(|events| EventBatch::new(ORG, events)).collect()
}

fn next_steps(session: &Session, address: Option<String>) -> String {
    let settings = &session.settings;
    let flag = settings.data_dir_flag();
    let lake = &settings.lake;
    // As it was called, so that the lines work where it is not on the PATH.
    let program = std::env::args().next().unwrap_or_else(|| "github-metrics".to_owned());
    let mut lines = vec![
        "look at next:".to_owned(),
        format!("  {program} show {ORG}{flag}"),
        format!("  {program} show repo {ORG} web-app --metric prs_merged --granularity week{flag}"),
        format!("  {program} show member {ORG} ada-lind{flag}"),
        format!("  {program} export {ORG} --format parquet --out {ORG}.parquet{flag}"),
        format!("  {lake}/events/org={ORG}/month=*/snapshot.parquet for DuckDB or any Parquet reader"),
    ];
    match address {
        Some(address) => lines.extend([
            format!("  http://{address}/ for the pages it serves"),
            format!("  http://{address}/api/v1/orgs/{ORG}/metrics for the API, /openapi.json for all of it"),
        ]),
        None => lines.push(format!("  {program} serve{flag}")),
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn the_span_ends_with_today_and_begins_with_the_organization_at_the_earliest() {
        let it = span(1, 400, day("2026-11-22")).unwrap();
        assert_eq!((it.since, it.until), (day("2025-10-18"), day("2026-11-22")));
        assert_eq!(span(1, 2000, day("2020-02-01")).unwrap().since, FOUNDED);
        assert!(span(1, 1, day("1970-01-01")).is_err());
    }

    #[test]
    fn a_directory_holds_one_sample() {
        let dir = tempfile::tempdir().unwrap();
        let data_dir = dir.path().join("demo");
        claim(&data_dir, 42).unwrap();
        claim(&data_dir, 42).unwrap();
        let error = claim(&data_dir, 7).unwrap_err();
        assert_eq!(crate::exit::status(&error), Exit::Usage);
        assert!(error.to_string().contains("the sample of seed 42"), "{error}");
    }

    #[test]
    fn the_same_day_makes_the_same_batches_of_a_month_each() {
        let made = || batches(sample::events(span(42, 60, day("2026-11-22")).unwrap()));
        let hashes =
            |batches: &[EventBatch]| batches.iter().map(EventBatch::content_hash).collect::<Vec<_>>();
        let batches = made();
        assert_eq!(batches.len(), 3);
        assert_eq!(hashes(&batches), hashes(&made()));
        for batch in &batches {
            let month = batch.events()[0].month();
            assert!(batch.events().iter().all(|event| event.month() == month));
        }
    }
}
