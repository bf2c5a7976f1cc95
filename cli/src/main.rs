//! `github-metrics`: the local composition root. It turns flags, variables and the configuration into
//! a context, calls a use case for each command, and tells what came of it: data to stdout, progress
//! and logs to stderr, the outcome as the exit status.
//!
//! It decides nothing about events or metrics: `show` and `export` are clients of the product's own
//! HTTP API, whether it is served elsewhere or asked within this process.

mod api;
mod args;
mod aws;
mod commands;
mod config;
mod console;
mod environment;
mod exit;
mod format;
mod location;
mod open;
mod progress;
mod rows;
mod sample;
mod settings;
mod sign_in;
mod signals;
mod table;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;

use crate::args::Cli;
use crate::console::Console;
use crate::environment::DotEnv;
use crate::exit::{Exit, OutputClosed, sentence, status};

/// How long work that cannot be dropped, such as a file that is being written, may take at the end.
const GRACE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let (dot_env, unread) = match DotEnv::load(Path::new(".env"), &args::variables()) {
        Ok(dot_env) => (dot_env, None),
        Err(error) => (DotEnv::default(), Some(error)),
    };
    let cli = match (args::parse(&dot_env), unread) {
        // Help and the version are told whatever is in the file; that nobody reads them is no failure.
        (Err(asked), _) if !asked.use_stderr() => {
            let _ = asked.print();
            return Exit::Done.code().into();
        }
        (_, Some(error)) => {
            // There is no terminal set up yet that could be told how to write it.
            let _ = writeln!(std::io::stderr(), "error: {}", sentence(&error));
            return status(&error).code().into();
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
            console.error(sentence(&error));
        }
        status(&error)
    });
    exit.code().into()
}

fn run(cli: Cli, console: Console) -> anyhow::Result<Exit> {
    // The one TLS provider of the process; that there is one already is just as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime cannot be started")?;
    let done = runtime.block_on(commands::run(cli, console));
    runtime.shutdown_timeout(GRACE);
    done
}
