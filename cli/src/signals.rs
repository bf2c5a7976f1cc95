//! Ctrl-C and SIGTERM.

use std::future::Future;

use crate::console::Console;
use crate::exit::Exit;

/// Waits for Ctrl-C or SIGTERM, and says which it was by the status it stands for.
pub(crate) async fn stopped() -> Exit {
    let interrupt = async {
        // Where signals cannot be heard, they end the process by themselves.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = interrupt => Exit::Interrupted,
        () = terminated() => Exit::Terminated,
    }
}

#[cfg(unix)]
async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut signal) => _ = signal.recv().await,
        Err(_) => std::future::pending().await,
    }
}

#[cfg(not(unix))]
async fn terminated() {
    std::future::pending().await
}

/// Does the work until it is done or a signal comes; the work is dropped then, which loses nothing.
pub(crate) async fn unless_stopped(
    console: &Console,
    told: &str,
    work: impl Future<Output = anyhow::Result<Exit>>,
) -> anyhow::Result<Exit> {
    tokio::select! {
        done = work => done,
        exit = stopped() => {
            console.tell(told);
            Ok(exit)
        }
    }
}
