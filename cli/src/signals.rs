//! Ctrl-C and SIGTERM.

use std::future::Future;

use crate::console::Console;
use crate::exit::Exit;

/// Waits for Ctrl-C or SIGTERM. Returns the exit status that belongs to the signal.
pub(crate) async fn wait_for_stop_signal() -> Exit {
    let interrupt = async {
        // If no handler can be installed, the signal ends the process by itself.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = interrupt => Exit::Interrupted,
        () = wait_for_sigterm() => Exit::Terminated,
    }
}

#[cfg(unix)]
async fn wait_for_sigterm() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut signal) => _ = signal.recv().await,
        Err(_) => std::future::pending().await,
    }
}

#[cfg(not(unix))]
async fn wait_for_sigterm() {
    std::future::pending().await
}

/// Runs `work` until it is done or a stop signal arrives. On a signal it drops the work, which loses
/// nothing that is saved, and prints `message`.
pub(crate) async fn run_until_stopped(
    console: &Console,
    message: &str,
    work: impl Future<Output = anyhow::Result<Exit>>,
) -> anyhow::Result<Exit> {
    tokio::select! {
        result = work => result,
        exit = wait_for_stop_signal() => {
            console.print_notice(message);
            Ok(exit)
        }
    }
}
