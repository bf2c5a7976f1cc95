//! Generates lakes and session logs: `cargo run --release -p gam-bench -- generate --help`.

use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use gam_bench::{
    LakeGenerator, LakeShape, SessionLogShape, WrittenLake, WrittenLogs, write_batches, write_session_logs,
    write_snapshots,
};
use gam_model::Month;

/// Generates lakes and session logs to measure github-metrics on
#[derive(Parser)]
struct BenchCli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write a lake of an organization that never existed. The same options give the same bytes.
    Generate(GenerateArgs),
    /// Write logs of Claude Code with random words. The same options give the same bytes.
    SessionLogs(SessionLogsArgs),
}

#[derive(Args)]
struct SessionLogsArgs {
    /// Number of files
    #[arg(long, value_name = "N")]
    files: usize,
    /// Kilobytes of all files together, about
    #[arg(long, value_name = "N")]
    kilobytes: u64,
    /// Seed of all random numbers
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// The number of the first session: logs with other numbers have other sessions
    #[arg(long, value_name = "N", default_value_t = 0)]
    first_session: usize,
    /// Directory of Claude Code
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

#[derive(Args)]
struct GenerateArgs {
    /// Number of rows in all snapshots together
    #[arg(long, value_name = "N")]
    events: u64,
    /// Number of months
    #[arg(long, value_name = "N")]
    months: usize,
    /// Number of repositories
    #[arg(long, value_name = "N")]
    repos: u64,
    /// Number of members
    #[arg(long, value_name = "N")]
    members: u64,
    /// Seed of all random numbers
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Directory of the lake
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Organization
    #[arg(long, value_name = "NAME", default_value = "octo-bench")]
    org: String,
    /// Last month, UTC
    #[arg(long, value_name = "YYYY-MM", default_value = "2025-12", value_parser = parse_month)]
    last_month: Month,
    /// Number of months to generate at the same time; each takes about 700 bytes of memory an event
    #[arg(long, value_name = "N")]
    parallel_months: Option<NonZeroUsize>,
    /// Write inbox batches instead of snapshots
    #[arg(long)]
    as_batches: bool,
    /// Number of events in a batch
    #[arg(long, value_name = "N", default_value = "10000", requires = "as_batches")]
    batch_events: NonZeroUsize,
}

fn parse_month(text: &str) -> Result<Month, String> {
    Month::parse(text).ok_or_else(|| format!("{text:?} is not a month such as 2025-12"))
}

fn main() -> anyhow::Result<()> {
    match BenchCli::parse().command {
        Command::Generate(args) => generate_lake(&args),
        Command::SessionLogs(args) => generate_session_logs(&args),
    }
}

fn generate_session_logs(args: &SessionLogsArgs) -> anyhow::Result<()> {
    let started = Instant::now();
    let SessionLogsArgs { files, kilobytes, seed, first_session, out } = args;
    let bytes = kilobytes.saturating_mul(1_000);
    let shape = SessionLogShape { files: *files, bytes, seed: *seed, first_session: *first_session };
    let WrittenLogs { files, bytes } = write_session_logs(&shape, out)?;
    let (files, seconds) = (files.len(), started.elapsed().as_secs_f64());
    print_line(&format!("wrote {files} files with {bytes} bytes to {} in {seconds:.1} s", out.display()))
}

fn generate_lake(args: &GenerateArgs) -> anyhow::Result<()> {
    let started = Instant::now();
    let written = generate(args)?;
    let seconds = started.elapsed().as_secs_f64();
    let what = if args.as_batches { "batches" } else { "snapshots" };
    let WrittenLake { files, rows } = written;
    print_line(&format!("wrote {rows} events in {files} {what} to {} in {seconds:.1} s", args.out.display()))
}

fn generate(args: &GenerateArgs) -> anyhow::Result<WrittenLake> {
    let generator = LakeGenerator::new(&LakeShape {
        org: args.org.clone(),
        events: args.events,
        months: args.months,
        last_month: args.last_month,
        repos: args.repos,
        members: args.members,
        seed: args.seed,
    })?;
    let notice = |month: Month| {
        // A closed terminal does not stop the generator.
        _ = print_line(&format!("{month}"));
    };
    if args.as_batches {
        write_batches(&generator, &args.out, args.batch_events.get(), &notice)
    } else {
        let threads = args.parallel_months.or_else(|| std::thread::available_parallelism().ok());
        write_snapshots(&generator, &args.out, threads.map_or(1, NonZeroUsize::get), &notice)
    }
}

/// Prints a line of progress to stderr.
fn print_line(line: &str) -> anyhow::Result<()> {
    writeln!(std::io::stderr(), "{line}").context("cannot write to stderr")
}
