//! `github-metrics`: the local composition root. It turns options, variables and the configuration into
//! settings, opens the lake and the store, and runs one use case for each command. Data goes to stdout,
//! progress and logs to stderr, the outcome into the exit status.
//!
//! It decides nothing about events or metrics. `show` and `export` are clients of the product's own HTTP
//! API, either of a server elsewhere or of the router within this process.

mod answer;
mod api;
mod args;
mod aws;
mod chart;
mod cli;
mod commands;
mod config;
mod console;
mod environment;
mod error;
mod exit;
mod export_rows;
mod format;
mod location;
mod open;
mod progress;
mod report;
mod sample;
mod session;
mod settings;
mod sign_in;
mod signals;
mod store;
mod table;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;

use crate::cli::Cli;
use crate::console::Console;
use crate::environment::DotEnv;
use crate::error::{OutputClosed, exit_status, one_line};
use crate::exit::Exit;

/// How long work that cannot be cancelled, such as writing a file, may take after the command has ended.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let (dot_env, dot_env_error) = match DotEnv::load(Path::new(".env"), &cli::variables()) {
        Ok(dot_env) => (dot_env, None),
        Err(error) => (DotEnv::default(), Some(error)),
    };
    let cli = match (cli::parse(&dot_env), dot_env_error) {
        // Help and the version are printed even if the file is malformed. A closed stdout is no failure.
        (Err(help), _) if !help.use_stderr() => {
            let _ = help.print();
            return Exit::Success.code().into();
        }
        (_, Some(error)) => {
            // The console does not exist yet.
            let _ = writeln!(std::io::stderr(), "error: {}", one_line(&error));
            return exit_status(&error).code().into();
        }
        (Err(error), None) => {
            let _ = error.print();
            return Exit::Usage.code().into();
        }
        (Ok(cli), None) => cli,
    };
    let console = Console::new(&cli.globals, &cli.variables);
    let exit = run(cli, console.clone()).unwrap_or_else(|error| {
        if !error.is::<OutputClosed>() {
            console.print_error(one_line(&error));
        }
        exit_status(&error)
    });
    exit.code().into()
}

fn run(cli: Cli, console: Console) -> anyhow::Result<Exit> {
    // The TLS provider of the process. It is fine if one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the async runtime")?;
    let exit = runtime.block_on(cli.run(console));
    runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
    exit
}
