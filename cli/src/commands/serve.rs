//! `serve`: serves the HTTP API, and a page that links to it.

use std::future::Future;
use std::io::ErrorKind;
use std::net::SocketAddr;

use anyhow::Context as _;
use clap::Args;
use gam_http::{AllowedHosts, ServeLimits};
use gam_query::QueryPorts;
use tokio::net::TcpListener;

use crate::args::ListenOption;
use crate::error::failure;
use crate::exit::Exit;
use crate::open::OpenStore;
use crate::session::CliSession;
use crate::signals;

const EXAMPLES: &str = "\
Examples:
  github-metrics serve
  github-metrics serve --listen 0.0.0.0:9000
  github-metrics serve --listen 127.0.0.1:0    any free port; stderr says which
  github-metrics serve --allow-host metrics.example.com   behind a proxy that sends this Host

The API does not authenticate its callers. To share it, put an authenticating proxy in front.";

/// Number of files that the process itself may have open: the store, the lake, GitHub.
const FILES_OF_PROCESS: usize = 48;
/// Number of connections that are always accepted.
const MIN_CONNECTIONS: usize = 8;
/// Number of connections if the limit of open files is not known. Some systems allow 256 files.
const MAX_CONNECTIONS_UNKNOWN: usize = 192;

/// Arguments of `serve`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    listen: ListenOption,
}

/// A server that listens, but does not accept connections yet. So a port that is taken is reported before
/// the work begins.
pub(super) struct BoundServer {
    listener: TcpListener,
    hosts: AllowedHosts,
    /// The address, with the actual port if port 0 was requested.
    pub(super) address: SocketAddr,
}

impl BoundServer {
    /// Listens on the address that the option, the variables or the defaults name.
    ///
    /// # Errors
    /// If the address is invalid or not available.
    pub(super) async fn bind(session: &CliSession, option: &ListenOption) -> anyhow::Result<Self> {
        let (host, port) = session.settings.listen_address(option.listen.as_deref())?;
        let listener = match TcpListener::bind((host.as_str(), port)).await {
            Ok(listener) => listener,
            Err(error) => return Err(failure(bind_error(&host, port, &error))),
        };
        let address = listener.local_addr().context("cannot determine the address of the server")?;
        let names = session.settings.allowed_hosts(&option.allow_host);
        Ok(BoundServer { listener, hosts: AllowedHosts::new(names.into_iter().chain([host])), address })
    }

    /// Serves the API until `shutdown` completes and the requests in progress are answered.
    ///
    /// # Errors
    /// If the socket fails.
    pub(super) async fn serve(
        self,
        session: &CliSession,
        ports: QueryPorts,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> anyhow::Result<()> {
        if !self.address.ip().is_loopback() {
            session.console.print_notice(format!(
                "everyone who can reach {} can read all metrics: the server asks nobody who they are; to share it, \
                 put an authenticating proxy in front",
                self.address
            ));
        }
        session.console.print_notice(format!("listening on http://{}", self.address));
        let router = gam_http::local_router(ports, self.hosts);
        gam_http::serve(self.listener, router, limits(max_open_files()), shutdown)
            .await
            .context("the server failed")
    }
}

/// Returns the bounds of a server in a process with that limit of open files.
fn limits(max_open_files: Option<usize>) -> ServeLimits {
    let limits = ServeLimits::default();
    let available = max_open_files.map(|max| max.saturating_sub(FILES_OF_PROCESS).max(MIN_CONNECTIONS));
    let max_connections = available.unwrap_or(MAX_CONNECTIONS_UNKNOWN).min(limits.max_connections);
    ServeLimits { max_connections, ..limits }
}

/// Returns this process's limit of open files, or `None` if the system does not say it.
fn max_open_files() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/self/limits").ok()?;
    text.lines().find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next()?.parse().ok())
}

fn bind_error(host: &str, port: u16, error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::AddrInUse => {
            format!("port {port} on {host} is taken: stop the other program, or choose another with --listen")
        }
        ErrorKind::PermissionDenied => {
            format!("port {port} on {host} is not allowed for this user: choose one above 1023 with --listen")
        }
        _ => format!("cannot listen on {host}:{port} ({error}): choose another address with --listen"),
    }
}

/// Serves until Ctrl-C or SIGTERM.
pub(crate) async fn run(session: &CliSession, args: ServeArgs) -> anyhow::Result<Exit> {
    let server = BoundServer::bind(session, &args.listen).await?;
    let store = OpenStore::open_for_serving(&session.settings).await?;
    if store.orgs().await?.is_empty() {
        session.console.print_info(format!(
            "{} is empty: run `github-metrics up ORG`, or `github-metrics demo` for a sample",
            session.settings.store
        ));
    }
    let shutdown = async { _ = signals::wait_for_stop_signal().await };
    let served = server.serve(session, store.query_ports(), shutdown).await;
    store.close().await;
    served.map(|()| Exit::Success)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unavailable_port_is_reported_with_advice() {
        let message = |kind: ErrorKind| bind_error("127.0.0.1", 8080, &std::io::Error::from(kind));
        assert_eq!(
            message(ErrorKind::AddrInUse),
            "port 8080 on 127.0.0.1 is taken: stop the other program, or choose another with --listen"
        );
        assert!(message(ErrorKind::PermissionDenied).contains("above 1023"));
        assert!(message(ErrorKind::AddrNotAvailable).contains("--listen"));
    }

    #[test]
    fn connections_leave_room_for_the_files_of_the_process() {
        let max = |files| limits(files).max_connections;
        assert_eq!((max(Some(1024)), max(Some(256)), max(Some(64))), (512, 208, 16));
        assert_eq!((max(Some(10)), max(None)), (8, 192));
    }
}
