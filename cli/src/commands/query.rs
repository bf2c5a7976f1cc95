//! `query`: SQL over the tables of the lake, run by an installed DuckDB.

use std::ffi::OsString;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::Context as _;
use clap::Args;
use gam_lake::{Events, Sessions, registry, snapshot};
use tempfile::NamedTempFile;

use crate::args::OutputFormat;
use crate::aws;
use crate::cli;
use crate::error::{OutputClosed, failure, usage_error};
use crate::exit::Exit;
use crate::lake_views::{AUDIT, EVENTS, SESSIONS, views};
use crate::location::{LakeLocation, S3Location};
use crate::open::open_lake_for_reading;
use crate::session::CliSession;
use crate::terminal_text::{escaped, quoted};

const EXAMPLES: &str = "\
Examples:
  github-metrics query \"SELECT kind, count(*) FROM events WHERE NOT retracted GROUP BY kind\"
  github-metrics query --format csv \"FROM events WHERE month = '2026-10'\" > october.csv
  github-metrics query - < commits.sql
  github-metrics query --views        the SQL of the views, for a DuckDB of your own

The view events has a row for each event, and the columns of the Parquet files (see README). The
view sessions exists once `ingest sessions` has written something. org is the name at the first
collection, in lower case; org_name is the present name. Leave out rows with retracted = true.
A lake on S3 is read with DuckDB's extension httpfs, and with the credentials and the endpoint that
AWS tools find.
DuckDB runs the query: https://duckdb.org/docs/stable/sql/introduction
Formats: table (default in a terminal), json, csv. Otherwise the output is tab-separated.";

const HOW_TO_INSTALL: &str = "install it (https://duckdb.org/install, or `pip install duckdb-cli`), or name it with \
                              --duckdb PATH; the views above work in any DuckDB";

/// An empty file.
const NO_FILE: &str = if cfg!(windows) { "NUL" } else { "/dev/null" };

/// The name of DuckDB's program.
const DUCKDB: &str = "duckdb";

/// Arguments of `query`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct QueryArgs {
    /// The query, or - to read it from stdin
    // A query may begin with a comment: `--`.
    #[arg(value_name = "SQL", required_unless_present = "views", allow_hyphen_values = true)]
    sql: Option<String>,
    /// DuckDB's program [default: duckdb on the PATH]
    #[arg(long, value_name = "PATH")]
    duckdb: Option<PathBuf>,
    /// Print the SQL that creates the views, and run nothing
    #[arg(long, conflicts_with_all = ["sql", "duckdb"])]
    views: bool,
}

/// Runs the query on DuckDB, and prints the rows.
pub(crate) async fn run(session: &CliSession, args: QueryArgs) -> anyhow::Result<Exit> {
    if session.settings.format == Some(OutputFormat::Parquet) {
        return Err(usage_error(
            "invalid --format \"parquet\": query writes table, json or csv; in SQL, COPY (SELECT ...) TO 'x.parquet' writes \
             parquet",
        ));
    }
    let lake = &session.settings.lake;
    let objects = open_lake_for_reading(lake).await?;
    let keys = snapshot::orgs::<Events>(&*objects).await?;
    let mut tables = vec![EVENTS];
    let keys_with_sessions = snapshot::orgs::<Sessions>(&*objects).await?;
    if !keys_with_sessions.is_empty() {
        tables.push(SESSIONS);
    }
    if !gam_lake::audit::logs(&*objects).await?.is_empty() {
        tables.push(AUDIT);
    }
    let views = views(lake, &tables, &keys, &registry::read(&*objects).await?);
    let Some(sql) = args.sql else {
        session.console.write_data(session.for_stdout(views))?;
        return Ok(Exit::Success);
    };
    if keys.is_empty() {
        return Err(failure(format!(
            "there are no events in the lake {lake} yet: run `github-metrics up ORG` first, or name another directory \
             with --data-dir"
        )));
    }
    let sql = if sql == "-" { read_stdin()? } else { sql };
    let duckdb = args.duckdb.clone().unwrap_or_else(|| DUCKDB.into());
    let setup = match lake {
        LakeLocation::Dir(_) => views.clone(),
        LakeLocation::S3 { lake, audit_log } => {
            let secret = aws::duckdb_secret(lake, audit_log.as_ref()).await?;
            match install_httpfs(&duckdb).await? {
                Some(output) if output.status.success() => {
                    // The statement that creates the secret returns a row.
                    format!("LOAD httpfs;\n.once {NO_FILE}\n{secret}{views}")
                }
                Some(output) => return Err(missing_httpfs(lake, &duckdb, &output)),
                None => return Err(missing_duckdb(session, args.duckdb, views)),
            }
        }
    };
    match run_duckdb(session, duckdb, &setup, sql).await? {
        Some(output) => print_output(session, &output),
        None => Err(missing_duckdb(session, args.duckdb, views)),
    }
}

/// Says that there is no DuckDB. If none was named, it prints the views for another one.
fn missing_duckdb(session: &CliSession, named: Option<PathBuf>, views: String) -> anyhow::Error {
    match named {
        Some(path) => usage_error(format!(
            "invalid --duckdb {}: there is no such program",
            quoted(&path.to_string_lossy())
        )),
        None => match session.console.write_data(session.for_stdout(views)) {
            Ok(()) => failure(format!("there is no {DUCKDB} on the PATH: {HOW_TO_INSTALL}")),
            Err(error) => error,
        },
    }
}

/// Has DuckDB install its extension for S3, unless it is installed. Returns `None` if there is no such program.
async fn install_httpfs(program: &Path) -> anyhow::Result<Option<Output>> {
    let mut command = Command::new(program);
    // Without the user's own file.
    command.args(["-init", NO_FILE, "-batch", "-bail", "-c", "INSTALL httpfs; LOAD httpfs;"]);
    command.stdout(Stdio::piped());
    output_of(command).await
}

/// Says why DuckDB has no extension for S3, and how to install it.
fn missing_httpfs(lake: &S3Location, program: &Path, output: &Output) -> anyhow::Error {
    let lines = error_lines(&String::from_utf8_lossy(&output.stderr));
    let why = lines.lines().next().unwrap_or("DuckDB gave no reason");
    failure(format!(
        "query needs DuckDB's extension httpfs to read the lake {lake}, and it cannot be installed ({}): run `{} -c \
         \"INSTALL httpfs\"` where DuckDB can download it, or install a downloaded file with INSTALL 'FILE' \
         (https://duckdb.org/docs/stable/extensions/advanced_installation_methods)",
        escaped(why),
        escaped(&program.to_string_lossy())
    ))
}

fn read_stdin() -> anyhow::Result<String> {
    let mut sql = String::new();
    std::io::stdin().read_to_string(&mut sql).context("cannot read the query from stdin")?;
    Ok(sql)
}

/// Runs DuckDB to its end. Its stdout is this program's, unless that is a terminal. Returns `None` if there is no such
/// program.
async fn run_duckdb(
    session: &CliSession,
    program: PathBuf,
    setup: &str,
    sql: String,
) -> anyhow::Result<Option<Output>> {
    // Nobody else may read the file: it can hold credentials of AWS.
    let mut file = NamedTempFile::new().context("cannot create a file for the views")?;
    file.write_all(setup_text(session, setup).as_bytes()).context("cannot write the views")?;
    let mut command = Command::new(&program);
    // In place of the user's own file, so that a query means the same everywhere.
    command.arg("-init").arg(file.path()).args(["-batch", "-bail"]);
    command.args(format_options(session)).args([OsString::from("-c"), sql.into()]);
    let is_terminal = session.console.output().is_terminal;
    command.stdout(if is_terminal { Stdio::piped() } else { Stdio::inherit() });
    let output = output_of(command).await;
    drop(file);
    output
}

/// Runs DuckDB to its end. Returns `None` if there is no such program.
async fn output_of(mut command: Command) -> anyhow::Result<Option<Output>> {
    // A query can read variables, and needs none of this program's: some are secrets.
    for name in cli::variables() {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).stderr(Stdio::piped());
    let program = command.get_program().to_owned();
    let output = tokio::task::spawn_blocking(move || command.spawn()?.wait_with_output());
    match output.await.context("DuckDB was not waited for")? {
        Ok(output) => Ok(Some(output)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failure(format!(
            "cannot start {} ({error}): name DuckDB's program with --duckdb",
            quoted(&program.to_string_lossy())
        ))),
    }
}

/// Returns what DuckDB reads before the query.
fn setup_text(session: &CliSession, setup: &str) -> String {
    // DuckDB does not see the terminal.
    format!(".maxwidth {}\n{setup}", session.console.output().width)
}

fn format_options(session: &CliSession) -> &'static [&'static str] {
    let output = session.console.output();
    match session.settings.format {
        Some(OutputFormat::Json) => &["-json"],
        Some(OutputFormat::Csv) => &["-csv", "-nullvalue", ""],
        None if !output.is_terminal && !output.has_color => &["-csv", "-separator", "\t", "-nullvalue", ""],
        None | Some(OutputFormat::Table | OutputFormat::Parquet) if output.has_unicode => &[],
        None | Some(OutputFormat::Table | OutputFormat::Parquet) => &["-table"],
    }
}

fn print_output(session: &CliSession, output: &Output) -> anyhow::Result<Exit> {
    let stdout = String::from_utf8_lossy(&output.stdout);
    session.console.write_data(session.for_stdout(stdout.into_owned()))?;
    if output.status.success() {
        return Ok(Exit::Success);
    }
    #[cfg(unix)]
    if std::os::unix::process::ExitStatusExt::signal(&output.status) == Some(SIGPIPE) {
        return Err(OutputClosed.into());
    }
    let why = error_lines(&String::from_utf8_lossy(&output.stderr));
    if !why.is_empty() {
        session.console.print_notice(why);
    }
    Err(failure("DuckDB could not run the query: `FROM events LIMIT 1` shows the columns"))
}

/// The signal that ends a process that writes to a closed pipe, on every Unix.
#[cfg(unix)]
const SIGPIPE: i32 = 13;

/// Returns what DuckDB wrote to stderr, without colours and without the line about the views.
fn error_lines(stderr: &str) -> String {
    let mut text = String::new();
    let mut parts = stderr.split("\u{1b}[");
    text.push_str(parts.next().unwrap_or_default());
    for part in parts {
        // A colour ends in a letter.
        let end = part.find(|c: char| c.is_ascii_alphabetic()).map_or(0, |end| end + 1);
        text.push_str(&part[end..]);
    }
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("-- Loading resources")).collect();
    lines.join("\n").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_no_colours_and_no_line_about_the_views() {
        let stderr = "\u{1b}[90m-- Loading resources from /tmp/x\n\u{1b}[00mParser Error: near \"selec\"\n\nLINE 1: selec 1\n        ^\n";
        assert_eq!(error_lines(stderr), "Parser Error: near \"selec\"\n\nLINE 1: selec 1\n        ^");
        assert_eq!(error_lines("a\u{1b}[1;31mb\u{1b}["), "ab");
    }
}
