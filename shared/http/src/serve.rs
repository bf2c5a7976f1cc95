//! Serving a router on a socket.

use std::future::{Future, IntoFuture, pending};
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// How long requests that are under way at a shutdown may still take.
const GRACE: Duration = Duration::from_secs(10);

/// Serves the router until `shutdown` is done; then takes no more connections and lets the requests
/// that are under way end, for ten seconds at most.
///
/// # Errors
/// Where the listener fails.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let (begin, begun) = oneshot::channel();
    let signal = async move {
        shutdown.await;
        // Nobody listens any more only where the server has ended already.
        let _ = begin.send(());
    };
    let server = axum::serve(listener, router).with_graceful_shutdown(signal).into_future();
    // A client that never reads its answer must not keep the process alive.
    let grace_over = async move {
        if begun.await.is_err() {
            pending::<()>().await;
        }
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        ended = server => ended,
        () = grace_over => Ok(()),
    }
}
