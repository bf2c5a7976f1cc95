//! `demo`: everything on a generated sample organization.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::Context as _;
use chrono::{Days, NaiveDate, NaiveTime};
use clap::Args;
use gam_access::{Role, TokenSecret};
use gam_http::WebhookSecrets;
use gam_lake::{inbox, sessions};
use gam_model::{Clock, Event, EventBatch, Month, SessionEvent, SystemClock};
use gam_store::Checkpoint;

use super::aggregate;
use super::demo_trial::DemoTrial;
use super::serve::BoundServer;
use crate::args::{self, ListenOption};
use crate::error::{failure, usage_error};
use crate::exit::Exit;
use crate::format::count;
use crate::open::OpenData;
use crate::sample::{self, FIRST_SAMPLE_DAY, ORG, SampleRange};
use crate::session::CliSession;
use crate::signals;

const EXAMPLES: &str = "\
Examples:
  github-metrics demo                 http://127.0.0.1:8080
  github-metrics demo --no-serve --days 90 --data-dir /tmp/demo
  github-metrics demo --seed 7 --data-dir /tmp/other

The sample ends yesterday unless --until names another end, so all runs of one day
generate the same events. A run on a later day adds what has happened since.";

const STOPPED: &str = "stopped; run again to continue";

/// The file in the data directory that contains the seed of the sample.
const SEED_FILE: &str = "demo-seed";

/// A demo that is served.
struct ServedDemo<'a> {
    address: String,
    trial: &'a DemoTrial,
}

/// Arguments of `demo`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DemoArgs {
    /// Seed of the sample; another seed generates another history
    #[arg(long, value_name = "N", default_value_t = 42)]
    seed: u64,
    /// Number of days to generate
    #[arg(long, value_name = "N", default_value_t = 400, value_parser = clap::value_parser!(u64).range(1..=2000))]
    days: u64,
    /// Day after the last one of the sample, UTC [default: today]
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = args::day)]
    until: Option<NaiveDate>,
    /// Generate the sample, but do not serve it
    #[arg(long)]
    no_serve: bool,
    #[command(flatten)]
    listen: ListenOption,
}

/// Generates the sample, and serves it until Ctrl-C or SIGTERM.
pub(crate) async fn run(session: &CliSession, args: DemoArgs) -> anyhow::Result<Exit> {
    let today = SystemClock.now().date_naive();
    let range = sample_range(args.seed, args.days, args.until, today)?;
    // Reports a port that is taken before the work begins.
    let server = if args.no_serve { None } else { Some(BoundServer::bind(session, &args.listen).await?) };
    claim_data_dir(&session.settings.data_dir, args.seed)?;
    let data = OpenData::open(&session.settings).await?;
    let exit = generate_and_serve(session, &data, server, (range, args.until)).await;
    data.close().await;
    exit
}

async fn generate_and_serve(
    session: &CliSession,
    data: &OpenData,
    server: Option<BoundServer>,
    (range, until): (SampleRange, Option<NaiveDate>),
) -> anyhow::Result<Exit> {
    let Some(server) = server else {
        let generation = generate_and_explain(session, data, range, (until, None));
        return signals::run_until_stopped(&session.console, STOPPED, generation).await;
    };
    let access = server.access(session, &data.store).await?;
    let secrets = match session.settings.webhook_secrets.read()? {
        Some(secrets) => secrets,
        None => WebhookSecrets::new([TokenSecret::random().expose().to_owned()])
            .context("a random secret is not empty")?,
    };
    let trial = DemoTrial::new(secrets.clone(), data.clock().now());
    let served = ServedDemo { address: server.address.to_string(), trial: &trial };
    let generation = generate_and_explain(session, data, range, (until, Some(served)));
    let exit = signals::run_until_stopped(&session.console, STOPPED, generation).await?;
    if exit != Exit::Success {
        return Ok(exit);
    }
    let webhooks = data.store.webhooks_with(secrets, None, &[])?;
    trial.open_issue(&webhooks).await?;
    let access = access.with_process_token(trial.worker_token.clone(), Role::Worker);
    let shutdown = async { _ = signals::wait_for_stop_signal().await };
    // The organization is made up, and one of its name on GitHub belongs to somebody else.
    let ports = data.store.api_ports_without_github();
    server.serve((session, &data.store), ports, access, (Some(&webhooks), None), shutdown).await?;
    Ok(Exit::Success)
}

fn sample_range(
    seed: u64,
    days: u64,
    until: Option<NaiveDate>,
    today: NaiveDate,
) -> anyhow::Result<SampleRange> {
    let end = until.unwrap_or(today);
    if end <= FIRST_SAMPLE_DAY {
        return Err(match until {
            Some(until) => usage_error(format!(
                "invalid --until {until}: the sample begins on {FIRST_SAMPLE_DAY}, give a later day"
            )),
            None => failure(format!("the clock of this machine says {today}, long ago: set the clock first")),
        });
    }
    if end > today {
        return Err(usage_error(format!("--until {end} is in the future: today is {today}")));
    }
    Ok(SampleRange { seed, since: (end - Days::new(days)).max(FIRST_SAMPLE_DAY), until: end })
}

/// Records the seed in the data directory.
///
/// # Errors
/// If the directory contains the sample of another seed: two samples would mix.
fn claim_data_dir(data_dir: &Path, seed: u64) -> anyhow::Result<()> {
    let file = data_dir.join(SEED_FILE);
    let display = file.display();
    match std::fs::read_to_string(&file) {
        Ok(recorded) if recorded.trim() == seed.to_string() => Ok(()),
        Ok(recorded) => Err(usage_error(format!(
            "{} contains the sample of seed {}: choose another directory with --data-dir for seed {seed}",
            data_dir.display(),
            recorded.trim()
        ))),
        Err(error) if error.kind() == ErrorKind::NotFound => std::fs::create_dir_all(data_dir)
            .and_then(|()| std::fs::write(&file, format!("{seed}\n")))
            .with_context(|| format!("cannot write {display}: choose another directory with --data-dir")),
        Err(error) => Err(error)
            .with_context(|| format!("cannot read {display}: choose another directory with --data-dir")),
    }
}

async fn generate_and_explain(
    session: &CliSession,
    data: &OpenData,
    range: SampleRange,
    (until, served): (Option<NaiveDate>, Option<ServedDemo<'_>>),
) -> anyhow::Result<Exit> {
    let exit = generate(session, data, range).await?;
    if exit == Exit::Success {
        session.console.write_line(next_steps(session, until, served))?;
    }
    Ok(exit)
}

/// Writes the events of the sample to the inbox, as a collection would, and aggregates them.
pub(super) async fn generate(
    session: &CliSession,
    data: &OpenData,
    range: SampleRange,
) -> anyhow::Result<Exit> {
    let events = sample::events(range);
    session.console.print_info(format!(
        "{ORG}: {} of {}, {} to {}",
        count(events.len(), "event", "events"),
        count(sample::REPO_COUNT, "repository", "repositories"),
        range.since,
        range.until.pred_opt().unwrap_or(range.until)
    ));
    for (_, of_month) in sessions_by_month(sample::session_events(range.seed, &events)) {
        sessions::put(data.objects.as_ref(), ORG, of_month).await?;
    }
    for batch in &batches_by_month(events) {
        inbox::put(data.objects.as_ref(), batch).await?;
    }
    // Days before the sample are unknown, not empty: nothing may be compared with them.
    let since = range.since.and_time(NaiveTime::MIN).and_utc();
    Checkpoint::change_org(&*data.collect_ports().checkpoints, ORG, |org| org.since = Some(since)).await?;
    let (outcome, exit) = aggregate::aggregate_org(session, data, ORG).await?;
    session.console.print_info(format!("{ORG}: {}", aggregate::summary(&outcome)));
    Ok(exit)
}

/// Returns the session events of each month.
fn sessions_by_month(events: Vec<SessionEvent>) -> BTreeMap<Month, Vec<SessionEvent>> {
    let mut months: BTreeMap<Month, Vec<SessionEvent>> = BTreeMap::new();
    for event in events {
        months.entry(event.month()).or_default().push(event);
    }
    months
}

/// Returns a batch for each month, so that each batch changes only one snapshot.
fn batches_by_month(events: Vec<Event>) -> Vec<EventBatch> {
    let mut months: BTreeMap<Month, Vec<Event>> = BTreeMap::new();
    for event in events {
        months.entry(event.month()).or_default().push(event);
    }
    months.into_values().map(|events| EventBatch::new(ORG, events)).collect()
}

fn next_steps(session: &CliSession, until: Option<NaiveDate>, served: Option<ServedDemo<'_>>) -> String {
    let settings = &session.settings;
    let dir = settings.data_dir_option();
    // Without an end of its own, the sample ends with the default range of `show`.
    let days = until.map(|until| format!(" --until {until}")).unwrap_or_default();
    let option = format!("{days}{dir}");
    let lake = &settings.lake;
    // The program as it was started, so that the commands work even if it is not on the PATH.
    let program = std::env::args().next().unwrap_or_else(|| "github-metrics".to_owned());
    let mut lines = vec!["Next:".to_owned()];
    if let Some(ServedDemo { address, .. }) = &served {
        lines.push(format!("  http://{address}/orgs/{ORG} in a browser"));
    }
    lines.extend([
        format!("  {program} show {ORG}{option}"),
        format!("  {program} show repo {ORG} web-app --metric prs_merged --granularity week{option}"),
        format!("  {program} show member {ORG} ada-lind{option}"),
        format!("  {program} show members {ORG}{option}"),
        format!("  {program} export {ORG} --out {ORG}.parquet{dir}"),
        format!("  {lake}/events/org={ORG}/month=*/snapshot.parquet for DuckDB or any Parquet reader"),
    ]);
    match served {
        Some(ServedDemo { address, trial }) => {
            lines.push(format!(
                "  http://{address}/api/v1/orgs/{ORG}/metrics for the API, /openapi.json for its description"
            ));
            lines.extend(trial.lines(&address));
        }
        None => lines.push(format!("  {program} serve{dir}")),
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
    fn the_range_ends_today_and_is_clipped_at_the_first_day() {
        let today = day("2026-11-22");
        let range = sample_range(1, 400, None, today).unwrap();
        assert_eq!((range.since, range.until), (day("2025-10-18"), today));
        assert_eq!(sample_range(1, 2000, None, day("2020-02-01")).unwrap().since, FIRST_SAMPLE_DAY);
        assert!(sample_range(1, 1, None, day("1970-01-01")).is_err());
        let earlier = sample_range(1, 31, Some(day("2026-11-01")), today).unwrap();
        assert_eq!((earlier.since, earlier.until), (day("2026-10-01"), day("2026-11-01")));
        assert!(sample_range(1, 31, Some(day("2026-11-23")), today).is_err());
        assert!(sample_range(1, 31, Some(day("2019-11-23")), today).is_err());
    }

    #[test]
    fn a_directory_contains_one_sample() {
        let dir = tempfile::tempdir().unwrap();
        let data_dir = dir.path().join("demo");
        claim_data_dir(&data_dir, 42).unwrap();
        claim_data_dir(&data_dir, 42).unwrap();
        let error = claim_data_dir(&data_dir, 7).unwrap_err();
        assert_eq!(crate::error::exit_status(&error), Exit::Usage);
        assert!(error.to_string().contains("the sample of seed 42"), "{error}");
    }

    #[test]
    fn batches_are_reproducible_and_cover_a_month_each() {
        let generate = || {
            batches_by_month({
                let today = day("2026-11-22");
                sample::events(sample_range(42, 60, None, today).unwrap())
            })
        };
        let hashes =
            |batches: &[EventBatch]| batches.iter().map(EventBatch::content_hash).collect::<Vec<_>>();
        let batches = generate();
        assert_eq!(batches.len(), 3);
        assert_eq!(hashes(&batches), hashes(&generate()));
        for batch in &batches {
            let month = batch.events()[0].month();
            assert!(batch.events().iter().all(|event| event.month() == month));
        }
    }
}
