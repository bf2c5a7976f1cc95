//! Serving a router on a socket, with bounds on what clients can hold open.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tower::ServiceBuilder;

use crate::auth::PeerAddress;
use crate::error::OVERLOADED_RESPONSE;
use crate::throttled_warning::ThrottledWarning;

/// How long requests in progress may still take after a shutdown has begun.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);
/// How long to pause after a connection could not be accepted, so that others can end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// Number of connections that are refused with an answer at the same time. More are closed without one.
const MAX_REFUSALS: usize = 32;
/// How long a refused client may take to read the answer.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

/// The bounds of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServeLimits {
    /// Number of open connections. Further clients get 503 with `Retry-After`.
    pub max_connections: usize,
    /// How long a client may take to send the head of a request, and how long a connection may be idle.
    pub header_timeout: Duration,
    /// How long a connection may be used. Then it is closed after the request in progress, so that a client
    /// that does not read its responses cannot stay.
    pub connection_lifetime: Duration,
    /// How long an answer may still be sent after that. An export can take long.
    pub answer_lifetime: Duration,
}

impl Default for ServeLimits {
    fn default() -> Self {
        ServeLimits {
            max_connections: 512,
            header_timeout: Duration::from_secs(10),
            connection_lifetime: Duration::from_secs(300),
            answer_lifetime: Duration::from_secs(3600),
        }
    }
}

/// Serves the router until `shutdown` completes. It then accepts no more connections, and waits up to
/// ten seconds for requests in progress. It runs as a task of its own, so the caller may do other work in
/// the meantime.
///
/// # Errors
/// Never at present.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ServeLimits,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    // A task of its own: nothing else that the caller's task does can keep clients from connecting.
    let mut server = JoinSet::new();
    server.spawn(accept_until(listener, router, limits, shutdown));
    match server.join_next().await {
        Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        _ => Ok(()),
    }
}

async fn accept_until(
    listener: TcpListener,
    router: Router,
    limits: ServeLimits,
    shutdown: impl Future<Output = ()>,
) {
    let (stop, stopping) = watch::channel(false);
    let permits = Arc::new(Semaphore::new(limits.max_connections));
    let refusals = Arc::new(Semaphore::new(MAX_REFUSALS));
    let mut warning = ThrottledWarning::default();
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_of_connection(&error) => continue,
            Err(error) => {
                warning
                    .warn(|_| format!("cannot accept connections ({error}): raise the limit of open files"));
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        match Arc::clone(&permits).try_acquire_owned() {
            Ok(permit) => {
                let connection =
                    serve_connection((stream, peer.ip()), router.clone(), limits, stopping.clone());
                connections.spawn(async move {
                    connection.await;
                    drop(permit);
                });
            }
            Err(_) => {
                let max = limits.max_connections;
                warning
                    .warn(|count| format!("refused {count} connections: {max} are open, which is the limit"));
                if let Ok(permit) = Arc::clone(&refusals).try_acquire_owned() {
                    connections.spawn(async move {
                        // A client that does not read the answer gets none.
                        let _ = timeout(REFUSAL_TIMEOUT, refuse(stream)).await;
                        drop(permit);
                    });
                }
            }
        }
    }
    drop(listener);
    // Fails only if there is no connection.
    let _ = stop.send(true);
    // A client that never reads its response must not keep the process alive.
    let _ = timeout(SHUTDOWN_GRACE, async { while connections.join_next().await.is_some() {} }).await;
}

/// Returns whether accepting failed because of one connection, which is gone.
fn is_of_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionRefused | ConnectionAborted | ConnectionReset)
}

async fn serve_connection(
    (stream, peer): (TcpStream, IpAddr),
    router: Router,
    limits: ServeLimits,
    mut stopping: watch::Receiver<bool>,
) {
    let with_peer = move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(PeerAddress(peer));
        request
    };
    let service = TowerToHyperService::new(ServiceBuilder::new().map_request(with_peer).service(router));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let end_of_life = async {
        // The sender is dropped only if the server's task was cancelled, and this one with it.
        tokio::select! {
            () = tokio::time::sleep(limits.connection_lifetime) => {}
            _ = stopping.wait_for(|stop| *stop) => {}
        }
    };
    tokio::select! {
        // A connection that the client broke off is no error of the server.
        _ = connection.as_mut() => return,
        () = end_of_life => {}
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        _ = timeout(limits.answer_lifetime, connection.as_mut()) => return,
        _ = stopping.wait_for(|stop| *stop) => {}
    }
    let _ = timeout(SHUTDOWN_GRACE, connection).await;
}

/// Answers 503 without reading the request.
async fn refuse(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(OVERLOADED_RESPONSE.as_bytes()).await?;
    stream.shutdown().await?;
    // Closing a socket with unread bytes resets the connection, and the client might not see the answer.
    let mut ignored = [0; 4096];
    while stream.read(&mut ignored).await? > 0 {}
    Ok(())
}
