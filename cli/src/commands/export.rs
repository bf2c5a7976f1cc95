//! `export`: writes the metrics of all subjects and buckets to a file.

use std::io::{ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use chrono::{DateTime, Days, NaiveDate, Utc};
use clap::Args;
use futures::{StreamExt, TryStreamExt, stream};
use gam_model::metric::CATALOGUE;
use gam_model::{Bucket, Grain, Range};
use serde_json::{Map, Value};

use super::show::print_waiting_batches;
use crate::answer;
use crate::api::ApiClient;
use crate::args::{self, BotsOption, OutputFormat};
use crate::error::{failure, is_not_found, usage_error};
use crate::exit::Exit;
use crate::export_rows::{ExportLevel, ExportRow, to_csv, to_json, to_parquet};
use crate::format::count;
use crate::session::CliSession;
use crate::terminal_text::{escaped_json, escaped_lines, quoted};

const EXAMPLES: &str = "\
Examples:
  github-metrics export acme > acme.csv
  github-metrics export acme --out acme.parquet
  github-metrics export acme --granularity month --since 2025-01-01 --format json

One row for the organization in every bucket, and one for every repository and
member with activity in it. Formats: csv (default), json, parquet.";

/// The maximum number of requests in flight.
const MAX_PARALLEL_REQUESTS: usize = 4;
/// The maximum number of buckets of one request, below the limit of the API.
const MAX_BUCKETS_PER_REQUEST: usize = 5_000;
/// The maximum number of entries of a page: the limit of the API.
const MAX_ENTRIES_PER_PAGE: usize = 1_000;

/// Arguments of `export`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ExportArgs {
    /// Organization
    #[arg(value_name = "ORG", value_parser = args::org)]
    org: String,
    /// File to write; its ending names the format [default: stdout]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace the file of --out if it exists
    #[arg(long)]
    overwrite: bool,
    /// First day, UTC [default: the first day with complete data]
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = args::day)]
    since: Option<NaiveDate>,
    /// Day after the last one, UTC [default: the day after the last event, at most tomorrow]
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = args::day)]
    until: Option<NaiveDate>,
    /// Length of the bucket of a row
    #[arg(long, value_name = "GRAIN", default_value = "day", value_parser = args::grain_parser())]
    granularity: Grain,
    #[command(flatten)]
    bots: BotsOption,
}

/// Queries the API for everything, and writes it.
pub(crate) async fn run(session: &CliSession, args: ExportArgs) -> anyhow::Result<Exit> {
    let out = args.out.as_deref().filter(|path| *path != Path::new("-"));
    let format = export_format(session.settings.format, out)?;
    if let Some(path) = out.filter(|path| path.is_file() && !args.overwrite) {
        return Err(usage_error(file_exists(path)));
    }
    if format == OutputFormat::Parquet && out.is_none() && std::io::stdout().is_terminal() {
        return Err(usage_error(
            "cannot write parquet to a terminal: name a file with --out, or redirect the output",
        ));
    }
    let client = ApiClient::new(&session.settings).await?;
    let export = export_rows(&client, &args).await;
    client.close().await;
    print_waiting_batches(session, &args.org).await;
    let (rows, warnings) = export?;
    for warning in warnings {
        session.console.print_notice(warning);
    }
    let bytes = match format {
        OutputFormat::Json => to_json(&rows)?.into_bytes(),
        OutputFormat::Parquet => to_parquet(&rows)?,
        OutputFormat::Csv | OutputFormat::Table => to_csv(&rows)?.into_bytes(),
    };
    match out {
        None if session.console.output().is_terminal && format != OutputFormat::Parquet => {
            // A terminal must not obey what comes from outside.
            let text = String::from_utf8_lossy(&bytes);
            let is_json = format == OutputFormat::Json;
            let text = if is_json { escaped_json(&text) } else { escaped_lines(&text) };
            session.console.write_data(text)?;
        }
        None => session.console.write_data(bytes)?,
        Some(path) => {
            let file = path.display();
            write_file(path, &bytes, args.overwrite)?;
            session.console.print_info(format!("wrote {} to {file}", count(rows.len(), "row", "rows")));
        }
    }
    Ok(Exit::Success)
}

/// Returns the format of the option, or the one that the ending of the file names, or CSV.
fn export_format(option: Option<OutputFormat>, out: Option<&Path>) -> anyhow::Result<OutputFormat> {
    let ending = out.and_then(Path::extension).map(|ending| ending.to_string_lossy().to_lowercase());
    match (option, ending.as_deref()) {
        (Some(OutputFormat::Table), _) => Err(usage_error(
            "invalid --format \"table\": export writes csv, json or parquet; `github-metrics show` prints a table",
        )),
        (Some(format), _) => Ok(format),
        (None, Some("json")) => Ok(OutputFormat::Json),
        (None, Some("parquet")) => Ok(OutputFormat::Parquet),
        (None, Some("csv") | None) => Ok(OutputFormat::Csv),
        (None, Some(_)) => Err(usage_error(format!(
            "unknown format of --out {}: end it in .csv, .json or .parquet, or add --format",
            quoted(&out.unwrap_or(Path::new("")).to_string_lossy())
        ))),
    }
}

fn file_exists(path: &Path) -> String {
    format!("{} exists: choose another file with --out, or add --overwrite", quoted(&path.to_string_lossy()))
}

/// Writes a file. An existing one is replaced only with `overwrite`.
fn write_file(path: &Path, bytes: &[u8], overwrite: bool) -> anyhow::Result<()> {
    // Devices and pipes exist, and are meant to be written.
    let must_be_new = !overwrite && (path.is_file() || !path.exists());
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(must_be_new).create(true).truncate(true);
    match options.open(path).and_then(|mut file| file.write_all(bytes)) {
        // Another program has created it in the meantime.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(usage_error(file_exists(path))),
        written => written
            .with_context(|| format!("cannot write {}: choose another file with --out", path.display())),
    }
}

/// What is exported, with the defaults filled in.
struct ExportQuery {
    /// The display name of the organization.
    org: String,
    range: Range,
    grain: Grain,
    bots: String,
    /// What to know about the data: it is incomplete at the beginning of the range, or something is missing.
    warnings: Vec<String>,
}

/// Queries all rows, sorted by level, bucket and name. Also returns warnings if data is incomplete at the
/// beginning of the range, or something is missing.
///
/// # Errors
/// If a request fails, or the range is empty.
pub(super) async fn export_rows(
    client: &ApiClient,
    args: &ExportArgs,
) -> anyhow::Result<(Vec<ExportRow>, Vec<String>)> {
    let Some(query) = resolve_query(client, args).await? else { return Ok((Vec::new(), Vec::new())) };
    let mut rows = org_rows(client, &query).await?;
    let is_idle = |row: &ExportRow| row.metrics.get("active_members").and_then(Value::as_u64) == Some(0);
    // A bucket without an active member has no rows of repositories and members.
    let active_buckets: Vec<Bucket> =
        rows.iter().filter(|row| !is_idle(row)).map(|row| query.grain.bucket(row.start)).collect();
    let listings = active_buckets
        .into_iter()
        .flat_map(|bucket| [(ExportLevel::Repo, bucket), (ExportLevel::Member, bucket)]);
    let listed: Vec<Vec<ExportRow>> = stream::iter(listings)
        .map(|(level, bucket)| listing_rows(client, &query, level, bucket))
        .buffered(MAX_PARALLEL_REQUESTS)
        .try_collect()
        .await?;
    rows.extend(listed.into_iter().flatten());
    rows.sort_by(|a, b| (a.level, a.start, &a.name, a.id).cmp(&(b.level, b.start, &b.name, b.id)));
    Ok((rows, query.warnings))
}

/// Fills in the defaults. Returns `None` if there is nothing to export.
async fn resolve_query(client: &ApiClient, args: &ExportArgs) -> anyhow::Result<Option<ExportQuery>> {
    let answer = client.get(&["orgs"], &[]).await?.json;
    let orgs = answer["orgs"].as_array().map(Vec::as_slice).unwrap_or_default();
    let entry_of = |name: &str| {
        let is_named =
            |entry: &&Value| entry["org"].as_str().is_some_and(|org| org.eq_ignore_ascii_case(name));
        orgs.iter().find(is_named)
    };
    let entry = match entry_of(&args.org) {
        Some(entry) => Some(entry),
        // It may be a former name. Answers have the current one.
        None => match client.get(&["orgs", &args.org, "metrics"], &[]).await {
            Ok(answer) => answer.json["org"].as_str().and_then(entry_of),
            Err(error) if is_not_found(&error) => None,
            Err(error) => return Err(error),
        },
    };
    let entry = entry.ok_or_else(|| {
        failure(format!(
            "there is no data of {}: run `github-metrics collect {0}` and `github-metrics aggregate` first",
            args.org
        ))
    })?;
    let day_of = |name: &str| -> Option<NaiveDate> {
        let at: DateTime<Utc> = entry[name].as_str()?.parse().ok()?;
        Some(at.date_naive())
    };
    let org = entry["org"].as_str().unwrap_or(&args.org).to_owned();
    let metrics = client.get(&["orgs", &org, "metrics"], &[]).await?.json;
    // Events before the first day with complete data are only a part of what happened then.
    let since = args.since.or(day_of("first_event").max(answer::complete_since(&metrics)));
    let until = args.until.or(day_of("last_event").map(|last| last + Days::new(1)));
    let (Some(since), Some(until)) = (since, until) else { return Ok(None) };
    match Range::new(since, until) {
        Some(range) => Ok(Some(ExportQuery {
            org,
            range,
            grain: args.granularity,
            bots: args.bots.bots.clone(),
            warnings: answer::incomplete_warning(&metrics, since)
                .into_iter()
                .chain(answer::gap_lines(&metrics))
                .collect(),
        })),
        None if args.since.is_some() && args.until.is_some() => Err(usage_error(format!(
            "--since ({since}) must be before --until ({until}); --until is exclusive"
        ))),
        // All data is after the given `--until` or before the given `--since`, or is incomplete.
        None => Ok(None),
    }
}

/// Queries the rows of the organization: one series for each metric, merged by bucket.
async fn org_rows(client: &ApiClient, query: &ExportQuery) -> anyhow::Result<Vec<ExportRow>> {
    let buckets: Vec<Bucket> = query.range.buckets(query.grain).collect();
    let mut rows: Vec<ExportRow> = buckets
        .iter()
        .map(|bucket| ExportRow {
            level: ExportLevel::Org,
            name: query.org.clone(),
            id: None,
            start: bucket.start(),
            end: bucket.end(),
            metrics: Map::new(),
        })
        .collect();
    let chunks = CATALOGUE.iter().flat_map(|metric| {
        buckets
            .chunks(MAX_BUCKETS_PER_REQUEST)
            .enumerate()
            .map(move |(number, buckets)| (metric.name, number * MAX_BUCKETS_PER_REQUEST, buckets))
    });
    let mut answers = stream::iter(chunks)
        .map(|(metric, offset, buckets)| async move {
            let range = clip(query.range, buckets[0].start(), buckets[buckets.len() - 1].end());
            let mut parameters = range_parameters(query, range);
            parameters
                .extend([("metric", metric.to_owned()), ("granularity", query.grain.as_str().to_owned())]);
            let answer = client.get(&["orgs", &query.org, "metrics", "timeseries"], &parameters).await?;
            Ok::<_, anyhow::Error>((metric, offset, answer))
        })
        .buffered(MAX_PARALLEL_REQUESTS);
    while let Some((metric, offset, answer)) = answers.try_next().await? {
        let points = answer::points(&answer.json)
            .ok_or_else(|| failure("the answer of the API has no points: check --api"))?;
        for (row, point) in rows[offset..].iter_mut().zip(points) {
            row.metrics.insert(metric.to_owned(), point.value);
        }
    }
    Ok(rows)
}

/// Queries the rows of all repositories or members in a bucket, page by page.
async fn listing_rows(
    client: &ApiClient,
    query: &ExportQuery,
    level: ExportLevel,
    bucket: Bucket,
) -> anyhow::Result<Vec<ExportRow>> {
    let (list, name) = if level == ExportLevel::Repo { ("repos", "repo") } else { ("members", "member") };
    let range = clip(query.range, bucket.start(), bucket.end());
    let mut rows = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut parameters = range_parameters(query, range);
        parameters.push(("limit", MAX_ENTRIES_PER_PAGE.to_string()));
        parameters.extend(cursor.take().map(|cursor| ("cursor", cursor)));
        let mut answer = client.get(&["orgs", &query.org, list], &parameters).await?.json;
        for entry in answer[list].as_array_mut().map(std::mem::take).unwrap_or_default() {
            let (Some(name), Some(metrics)) = (entry[name].as_str(), entry["metrics"].as_object()) else {
                continue;
            };
            rows.push(ExportRow {
                level,
                name: name.to_owned(),
                id: entry["id"].as_i64(),
                start: bucket.start(),
                end: bucket.end(),
                metrics: metrics.clone(),
            });
        }
        match answer["next"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => return Ok(rows),
        }
    }
}

/// Returns the part of `[from, to)` within the range. A bucket of the range always overlaps it.
fn clip(range: Range, from: NaiveDate, to: NaiveDate) -> Range {
    Range::new(from.max(range.since()), to.min(range.until())).unwrap_or(range)
}

fn range_parameters(query: &ExportQuery, range: Range) -> Vec<(&'static str, String)> {
    vec![
        ("since", range.since().to_string()),
        ("until", range.until().to_string()),
        ("bots", query.bots.clone()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_of_the_file_names_the_format() {
        let format = |option, out: &str| export_format(option, Some(Path::new(out)));
        for (out, expected) in [
            ("x.parquet", OutputFormat::Parquet),
            ("x.JSON", OutputFormat::Json),
            ("dir.json/x.csv", OutputFormat::Csv),
            ("x", OutputFormat::Csv),
        ] {
            assert_eq!(format(None, out).unwrap(), expected, "{out}");
        }
        assert_eq!(format(Some(OutputFormat::Json), "x.parquet").unwrap(), OutputFormat::Json);
        assert_eq!(export_format(None, None).unwrap(), OutputFormat::Csv);
        assert!(format(None, "x.xlsx").unwrap_err().to_string().contains("--format"));
        assert!(format(Some(OutputFormat::Table), "x.csv").is_err());
    }

    #[test]
    fn a_file_is_replaced_only_on_request() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.csv");
        write_file(&path, b"a much longer first text", false).unwrap();
        write_file(&path, b"second", true).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"second");
        assert!(write_file(&path, b"third", false).unwrap_err().to_string().contains("--overwrite"));
        assert_eq!(std::fs::read(&path).unwrap(), b"second");
        assert!(write_file(dir.path(), b"x", true).is_err());
        assert!(file_exists(&path).contains("--overwrite"));
    }

    #[test]
    fn buckets_are_clipped_to_the_range() {
        let day = |text: &str| -> NaiveDate { text.parse().unwrap() };
        let range = Range::new(day("2026-01-07"), day("2026-01-20")).unwrap();
        let clipped: Vec<(NaiveDate, NaiveDate)> = range
            .buckets(Grain::Week)
            .map(|bucket| clip(range, bucket.start(), bucket.end()))
            .map(|part| (part.since(), part.until()))
            .collect();
        let expected =
            [("2026-01-07", "2026-01-12"), ("2026-01-12", "2026-01-19"), ("2026-01-19", "2026-01-20")];
        assert_eq!(clipped, expected.map(|(from, to)| (day(from), day(to))));
    }
}
