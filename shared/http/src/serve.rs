//! Serving a router on a socket.

use std::future::{Future, IntoFuture, pending};
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// How long requests in progress may still take after a shutdown has begun.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);

/// Serves the router until `shutdown` completes. It then accepts no more connections, and waits up to
/// ten seconds for requests in progress.
///
/// # Errors
/// If the listener fails.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let (begin, begun) = oneshot::channel();
    let signal = async move {
        shutdown.await;
        // Sending fails only if the server has already ended.
        let _ = begin.send(());
    };
    let server = axum::serve(listener, router).with_graceful_shutdown(signal).into_future();
    // A client that never reads its response must not keep the process alive.
    let grace_over = async move {
        if begun.await.is_err() {
            pending::<()>().await;
        }
        tokio::time::sleep(SHUTDOWN_GRACE).await;
    };
    tokio::select! {
        result = server => result,
        () = grace_over => Ok(()),
    }
}
