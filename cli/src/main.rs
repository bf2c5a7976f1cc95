//! `github-metrics`: the local composition root. It turns options, variables and the configuration into
//! settings, opens the lake and the store, and runs one use case for each command. Data goes to stdout,
//! progress and logs to stderr, the outcome into the exit status.
//!
//! It decides nothing about events or metrics. `show` and `export` are clients of the product's own HTTP
//! API, either of a server elsewhere or of the router within this process.

mod access;
mod actions;
mod answer;
mod api;
mod args;
mod audit_log;
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
mod ingest;
mod lake_views;
mod location;
mod notify;
mod open;
mod postgres;
mod progress;
mod records;
mod replace_file;
mod report;
mod sample;
mod secret_variable;
mod service_metrics;
mod session;
mod settings;
mod sign_in;
mod signals;
mod store;
mod suggest;
mod table;
mod terminal;
mod terminal_text;
mod webhooks;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;

use crate::cli::Cli;
use crate::commands::ingest::HookCall;
use crate::console::Console;
use crate::environment::EnvFile;
use crate::error::{OutputClosed, exit_status, one_line};
use crate::exit::Exit;

/// A rebuild frees a month's cells on other threads than those that made them, and the allocator of glibc keeps much of
/// that. The peak of a rebuild of 10 million events was 618 to 773 MB with it, and is 448 to 492 MB with this one.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long work that cannot be cancelled, such as writing a file, may take after the command has ended.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let named = environment::env_file_option(std::env::args_os());
    let hook_call = HookCall::find(std::env::args_os());
    let (env_file, env_error) = match EnvFile::load(named.as_deref(), &cli::variables()) {
        Ok(env_file) => (env_file, None),
        Err(error) => match &hook_call {
            // A hook runs in any directory, and the file there may be meant for other programs.
            Some(hook_call) => {
                hook_call.log(&one_line(&error));
                (EnvFile::default(), None)
            }
            None => (EnvFile::default(), Some(error)),
        },
    };
    let cli = match (cli::parse(&env_file), env_error) {
        // Help and the version are printed even if the file is malformed. A closed stdout is no failure.
        (Err(help), _) if !help.use_stderr() => {
            let _ = help.print();
            return Exit::Success.code().into();
        }
        (Ok(cli), env_error) if env_error.is_none() || cli.command.is_help() => cli,
        // The console does not exist yet.
        (_, Some(error)) => {
            Console::print_early_error(&format!("error: {}", one_line(&error)));
            return exit_status(&error).code().into();
        }
        (Err(error), None) => {
            let text = cli::error_text(error, std::env::args_os());
            if let Some(hook_call) = &hook_call {
                hook_call.log(&text);
                return Exit::Success.code().into();
            }
            Console::print_early_error(&text);
            return Exit::Usage.code().into();
        }
        (Ok(_), None) => unreachable!("an earlier arm takes it"),
    };
    let is_hook = hook_call.is_some();
    let console = Console::new(&cli.globals, &cli.variables, cli.command.is_server());
    let starts_with = |text: &Option<String>, scheme| text.as_ref().is_some_and(|it| it.starts_with(scheme));
    let uses_aws = starts_with(&cli.globals.lake, "s3:") || starts_with(&cli.globals.store, "dynamodb:");
    if let Some(notice) = env_file.ignored_notice(uses_aws).filter(|_| !cli.command.is_help() && !is_hook) {
        console.print_notice(notice);
    }
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
