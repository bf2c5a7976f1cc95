//! `export`: writes the metrics of all subjects and buckets to a file.

use std::io::{ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use chrono::{DateTime, Days, NaiveDate, Utc};
use clap::Args;
use gam_client::{BotFilter, ExportRows, MetricsQuery, SubjectRef};
use gam_model::{AgentMetric, Grain, Range};
#[cfg(test)]
use gam_query::ExportRow;
use gam_query::{AgentMetricValues, AnswerContext, CoverageAnswer, MetricsAnswer};

use super::show::print_waiting_batches;
use crate::answer;
use crate::api::ApiClient;
use crate::args::{self, BotsOption, OutputFormat};
use crate::error::{failure, is_not_found, usage_error};
use crate::exit::Exit;
use crate::export_rows::{ColumnValues, ExportEncoder};
use crate::format::count;
use crate::session::CliSession;
use crate::suggest::with_suggestion;
use crate::terminal_text::{escaped_json, escaped_lines, quoted};

const EXAMPLES: &str = "\
Examples:
  github-metrics export acme > acme.csv
  github-metrics export acme --out acme.parquet
  github-metrics export acme --granularity month --since 2025-01-01 --format json
  github-metrics export acme --agents --out sessions.parquet

One row for the organization in every bucket, and one for every repository and
member with activity in it. Formats: csv (default), json, parquet.";

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
    /// Metrics of sessions of coding agents instead of those of GitHub
    #[arg(long)]
    agents: bool,
    #[command(flatten)]
    bots: BotsOption,
}

/// Streams all rows from the API, and writes them.
pub(crate) async fn run(session: &CliSession, args: ExportArgs) -> anyhow::Result<Exit> {
    let out = args.out.as_deref().filter(|path| *path != Path::new("-"));
    let format = export_format(session.settings.format, out)?;
    if let Some(path) = out.filter(|path| path.is_file() && !args.overwrite) {
        return Err(usage_error(file_exists(path)));
    }
    parquet_needs_file(format, out)?;
    let client = ApiClient::new(&session.settings).await?;
    let exported = export_to(&client, session, &args, format, out).await;
    client.close().await;
    print_waiting_batches(session, &args.org).await;
    let (rows, warnings) = exported?;
    for warning in warnings {
        session.console.print_notice(warning);
    }
    if let Some(path) = out {
        let file = path.display();
        session.console.print_info(format!("wrote {} to {file}", count(rows, "row", "rows")));
    }
    Ok(Exit::Success)
}

/// Writes all rows to the file, or to stdout. Returns their number, and what to know about the data.
async fn export_to(
    client: &ApiClient,
    session: &CliSession,
    args: &ExportArgs,
    format: OutputFormat,
    out: Option<&Path>,
) -> anyhow::Result<(usize, Vec<String>)> {
    let query = resolve_query(client, args).await?;
    let is_terminal = session.console.output().is_terminal && format != OutputFormat::Parquet;
    let mut target = match out {
        Some(path) => ExportTarget::file(path, args.overwrite)?,
        None => ExportTarget::Stdout { is_terminal, is_json: format == OutputFormat::Json },
    };
    let rows = match args.agents {
        true => {
            let rows = match &query {
                Some(query) => Some(query.request_agents(client).await?),
                None => None,
            };
            write_rows(session, client, rows, format, &mut target).await?
        }
        false => {
            let rows = match &query {
                Some(query) => Some(query.request(client).await?),
                None => None,
            };
            write_rows(session, client, rows, format, &mut target).await?
        }
    };
    target.finish()?;
    Ok((rows, query.map(|query| query.warnings).unwrap_or_default()))
}

/// Writes rows as they come. Returns their number.
async fn write_rows<V: ColumnValues>(
    session: &CliSession,
    client: &ApiClient,
    source: Option<ExportRows<V>>,
    format: OutputFormat,
    target: &mut ExportTarget,
) -> anyhow::Result<usize> {
    let mut encoder = ExportEncoder::new(format)?;
    let mut rows = 0;
    if let Some(mut source) = source {
        loop {
            let batch = client.next_rows(&mut source).await?;
            if batch.is_empty() {
                break;
            }
            rows += batch.len();
            target.write(session, &encoder.encode(&batch)?)?;
        }
    }
    target.write(session, &encoder.finish()?)?;
    Ok(rows)
}

/// Fails if Parquet would go to a terminal.
pub(super) fn parquet_needs_file(format: OutputFormat, out: Option<&Path>) -> anyhow::Result<()> {
    if format == OutputFormat::Parquet && out.is_none() && std::io::stdout().is_terminal() {
        return Err(usage_error(
            "cannot write parquet to a terminal: name a file with --out, or redirect the output",
        ));
    }
    Ok(())
}

/// Returns the format of the option, or the one that the ending of the file names, or CSV.
pub(super) fn export_format(
    option: Option<OutputFormat>,
    out: Option<&Path>,
) -> anyhow::Result<OutputFormat> {
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

pub(super) fn file_exists(path: &Path) -> String {
    format!("{} exists: choose another file with --out, or add --overwrite", quoted(&path.to_string_lossy()))
}

/// Where the export goes.
pub(super) enum ExportTarget {
    Stdout {
        is_terminal: bool,
        is_json: bool,
    },
    /// A file next to the path, which gets its name when it is complete. So no part of an export looks complete.
    NewFile {
        path: PathBuf,
        file: tempfile::NamedTempFile,
        overwrite: bool,
    },
    /// A device or a pipe: it exists, and is meant to be written.
    Device {
        path: PathBuf,
        file: std::fs::File,
    },
}

impl ExportTarget {
    /// Creates the file. An existing one is replaced only with `overwrite`.
    pub(super) fn file(path: &Path, overwrite: bool) -> anyhow::Result<Self> {
        if path.exists() && !path.is_file() {
            let file = std::fs::OpenOptions::new().write(true).open(path);
            return Ok(ExportTarget::Device {
                path: path.to_path_buf(),
                file: file.with_context(|| cannot_write(path))?,
            });
        }
        // The file that a link leads to is replaced, and not the link.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
        let mut builder = tempfile::Builder::new();
        builder.prefix(".github-metrics-export-");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // As any other new file; the user's mask takes away from it.
            builder.permissions(std::fs::Permissions::from_mode(0o666));
        }
        let file = builder.tempfile_in(directory.unwrap_or(Path::new(".")));
        let file = file.with_context(|| cannot_write(&path))?;
        Ok(ExportTarget::NewFile { path, file, overwrite })
    }

    pub(super) fn write(&mut self, session: &CliSession, bytes: &[u8]) -> anyhow::Result<()> {
        match self {
            ExportTarget::Stdout { is_terminal: false, .. } => session.console.write_data(bytes),
            ExportTarget::Stdout { is_json, .. } => {
                // A terminal must not obey what comes from outside.
                let text = String::from_utf8_lossy(bytes);
                session.console.write_data(if *is_json { escaped_json(&text) } else { escaped_lines(&text) })
            }
            ExportTarget::NewFile { path, file, .. } => {
                file.write_all(bytes).with_context(|| cannot_write(path))
            }
            ExportTarget::Device { path, file } => file.write_all(bytes).with_context(|| cannot_write(path)),
        }
    }

    pub(super) fn finish(self) -> anyhow::Result<()> {
        let ExportTarget::NewFile { path, file, overwrite } = self else { return Ok(()) };
        let persisted = if overwrite { file.persist(&path) } else { file.persist_noclobber(&path) };
        match persisted {
            Ok(_) => Ok(()),
            // Another program has created it in the meantime.
            Err(error) if error.error.kind() == ErrorKind::AlreadyExists => {
                Err(usage_error(file_exists(&path)))
            }
            Err(error) => Err(error.error).with_context(|| cannot_write(&path)),
        }
    }
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write {}: choose another file with --out", path.display())
}

/// What is exported, with the defaults filled in.
struct ExportQuery {
    /// The display name of the organization.
    org: String,
    range: Range,
    grain: Grain,
    bots: BotFilter,
    /// What to know about the data: it is incomplete at the beginning of the range, or something is missing.
    warnings: Vec<String>,
}

impl ExportQuery {
    /// Requests the rows of activity on GitHub.
    async fn request(&self, client: &ApiClient) -> anyhow::Result<ExportRows> {
        let query = self.metrics_query();
        client.send(async |api| api.export(&self.org, self.grain, &query).await).await
    }

    /// Requests the rows of sessions.
    async fn request_agents(&self, client: &ApiClient) -> anyhow::Result<ExportRows<AgentMetricValues>> {
        let query = self.metrics_query();
        client.send(async |api| api.agent_export(&self.org, self.grain, &query).await).await
    }

    fn metrics_query(&self) -> MetricsQuery {
        let (since, until) = (Some(self.range.since()), Some(self.range.until()));
        MetricsQuery { since, until, bots: self.bots, compare: false }
    }
}

/// Queries all rows, sorted by level, bucket, name and id. Also returns warnings if data is incomplete at the
/// beginning of the range, or something is missing.
///
/// # Errors
/// If a request fails, or the range is empty.
#[cfg(test)]
pub(super) async fn export_rows(
    client: &ApiClient,
    args: &ExportArgs,
) -> anyhow::Result<(Vec<ExportRow>, Vec<String>)> {
    let Some(query) = resolve_query(client, args).await? else { return Ok((Vec::new(), Vec::new())) };
    let (mut source, mut rows) = (query.request(client).await?, Vec::new());
    loop {
        let batch = client.next_rows(&mut source).await?;
        if batch.is_empty() {
            return Ok((rows, query.warnings));
        }
        rows.extend(batch);
    }
}

/// Fills in the defaults. Returns `None` if there is nothing to export.
async fn resolve_query(client: &ApiClient, args: &ExportArgs) -> anyhow::Result<Option<ExportQuery>> {
    let orgs = client.send(async |api| api.orgs().await).await?.value.orgs;
    let entry_of = |name: &str| orgs.iter().find(|entry| entry.org.eq_ignore_ascii_case(name));
    let every_day = MetricsQuery::default();
    let metrics_of =
        async |org: &str| client.send(async |api| api.metrics(org, &SubjectRef::Org, &every_day).await).await;
    let entry = match entry_of(&args.org) {
        Some(entry) => Some(entry),
        // It may be a former name. Answers have the current one.
        None => match metrics_of(&args.org).await {
            Ok(answer) => entry_of(&answer.value.context.org),
            Err(error) if is_not_found(&error) => None,
            Err(error) => return Err(error),
        },
    };
    let entry = entry.ok_or_else(|| {
        let message = format!(
            "there is no data of {}: run `github-metrics collect {0}` and `github-metrics aggregate` first",
            args.org
        );
        failure(with_suggestion(&message, &args.org, orgs.iter().map(|entry| entry.org.as_str())))
    })?;
    let org = entry.org.clone();
    let MetricsAnswer { context, coverage, .. } = metrics_of(&org).await?.value;
    let zone = answer::time_zone(&context);
    let day_of = |at: Option<DateTime<Utc>>| at.map(|at| zone.day(at));
    let (first, last) = match args.agents {
        true if args.since.is_some() && args.until.is_some() => (None, None),
        true => days_with_sessions(client, &org, args, context.until).await?,
        // Events before the first day with complete data are only a part of what happened then.
        false => {
            let first = day_of(entry.first_event).max(answer::complete_since(&context, &coverage));
            (first, day_of(entry.last_event))
        }
    };
    let since = args.since.or(first);
    let until = args.until.or(last.map(|last| last + Days::new(1)));
    let (Some(since), Some(until)) = (since, until) else { return Ok(None) };
    match Range::new(since, until) {
        Some(range) => Ok(Some(ExportQuery {
            org,
            range,
            grain: args.granularity,
            bots: args.bots.bots,
            // They are about what was read from GitHub.
            warnings: if args.agents { Vec::new() } else { warnings(&context, &coverage, since) },
        })),
        None if args.since.is_some() && args.until.is_some() => Err(usage_error(format!(
            "--since ({since}) must be before --until ({until}); --until is exclusive"
        ))),
        // All data is after the given `--until` or before the given `--since`, or is incomplete.
        None => Ok(None),
    }
}

fn warnings(context: &AnswerContext, coverage: &CoverageAnswer, since: NaiveDate) -> Vec<String> {
    let warning = answer::incomplete_warning(context, coverage, since);
    warning.into_iter().chain(answer::gap_lines(coverage)).collect()
}

/// The first day on which sessions are looked for. The first coding agents with logs are younger.
const FIRST_SESSIONS: NaiveDate = NaiveDate::from_ymd_opt(2020, 1, 1).expect("a valid date");

/// Returns the first and the last day with a session before a day. `None` if there is none.
async fn days_with_sessions(
    client: &ApiClient,
    org: &str,
    args: &ExportArgs,
    until: NaiveDate,
) -> anyhow::Result<(Option<NaiveDate>, Option<NaiveDate>)> {
    let Some(metric) = AgentMetric::named("agent_members") else { return Ok((None, None)) };
    let query = MetricsQuery {
        since: Some(FIRST_SESSIONS),
        until: Some(until),
        bots: args.bots.bots,
        compare: false,
    };
    let series = async |api: &gam_client::Client| {
        api.agent_series(org, &SubjectRef::Org, (metric, None, 1), Grain::Day, &query).await
    };
    let points = client.send(series).await?.value.points.unwrap_or_default();
    let mut days = points.iter().filter(|point| point.value.number() > Some(0.0)).map(|point| point.start);
    let first = days.next();
    Ok((first, days.next_back().or(first)))
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
    fn a_file_is_replaced_only_on_request_and_when_it_is_complete() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.csv");
        let write = |overwrite: bool, bytes: &[u8], is_complete: bool| {
            let mut target = ExportTarget::file(&path, overwrite)?;
            let ExportTarget::NewFile { file, .. } = &mut target else { panic!("it is a file") };
            file.write_all(bytes).unwrap();
            if is_complete { target.finish() } else { Ok(()) }
        };
        write(false, b"a part", false).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "no part of an export stays");
        write(false, b"a much longer first text", true).unwrap();
        write(true, b"second", true).unwrap();
        write(true, b"a part", false).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"second");
        assert!(write(false, b"third", true).unwrap_err().to_string().contains("--overwrite"));
        assert_eq!(std::fs::read(&path).unwrap(), b"second");
        assert!(ExportTarget::file(dir.path(), true).is_err());
        assert!(file_exists(&path).contains("--overwrite"));
    }

    /// A link goes on to lead to the file.
    #[cfg(unix)]
    #[test]
    fn a_linked_file_is_replaced_and_the_link_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("x.csv"), dir.path().join("link.csv"));
        std::fs::write(&path, "first").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let target = ExportTarget::file(&link, true).unwrap();
        target.finish().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"");
        assert!(link.is_symlink());
    }
}
