//! `serve`: the HTTP API, and a page that links to it.

use std::future::Future;
use std::io::ErrorKind;
use std::net::SocketAddr;

use anyhow::Context as _;
use clap::Args;
use gam_query::QueryPorts;
use tokio::net::TcpListener;

use super::Session;
use crate::exit::{Exit, failed};
use crate::open::OpenStore;
use crate::signals;

const EXAMPLES: &str = "\
Examples:
  github-metrics serve
  github-metrics serve --listen 0.0.0.0:9000
  github-metrics serve --listen 127.0.0.1:0    any free port, told on stderr";

/// Arguments of `serve`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Serve {
    #[command(flatten)]
    listen: Listen,
}

/// Where to listen.
#[derive(Args)]
pub(crate) struct Listen {
    /// Where to serve: HOST:PORT, or a port [default: API_HOST and API_PORT, or 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
}

/// A socket that is listened on already, so that a port that is taken is found before the work begins.
pub(super) struct Bound {
    listener: TcpListener,
    /// Its address, with the port that was really given.
    pub(super) address: SocketAddr,
}

impl Bound {
    /// Listens where the flag or the variables say.
    ///
    /// # Errors
    /// Where that is no address, or cannot be listened on.
    pub(super) async fn new(session: &Session, listen: &Listen) -> anyhow::Result<Self> {
        let (host, port) = session.settings.listen(listen.listen.as_deref())?;
        let listener = match TcpListener::bind((host.as_str(), port)).await {
            Ok(listener) => listener,
            Err(error) => return Err(failed(refusal(&host, port, &error))),
        };
        let address = listener.local_addr().context("the address that is listened on is not known")?;
        Ok(Bound { listener, address })
    }

    /// Serves the API until `shutdown` is done.
    ///
    /// # Errors
    /// Where the socket fails.
    pub(super) async fn serve(
        self,
        session: &Session,
        ports: QueryPorts,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> anyhow::Result<()> {
        session.console.tell(format!("listening on http://{}", self.address));
        let router = gam_http::router(ports);
        gam_http::serve(self.listener, router, shutdown).await.context("serving failed")
    }
}

fn refusal(host: &str, port: u16, error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::AddrInUse => {
            format!("port {port} on {host} is taken: stop the other program or choose another with --listen")
        }
        ErrorKind::PermissionDenied => {
            format!("port {port} on {host} is not for this user: choose one above 1023 with --listen")
        }
        _ => format!("{host}:{port} cannot be listened on ({error}): choose another address with --listen"),
    }
}

/// Serves until Ctrl-C or SIGTERM.
pub(super) async fn run(session: &Session, args: Serve) -> anyhow::Result<Exit> {
    let bound = Bound::new(session, &args.listen).await?;
    let store = OpenStore::open(&session.settings).await?;
    if store.orgs().await?.is_empty() {
        session.console.note(format!(
            "{} holds nothing yet: run `github-metrics up ORG`, or `github-metrics demo` for a sample",
            session.settings.store
        ));
    }
    let shutdown = async { _ = signals::stopped().await };
    let served = bound.serve(session, store.query_ports(), shutdown).await;
    store.close().await;
    served.map(|()| Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_cannot_be_had_is_told_with_the_mend() {
        let told = |kind: ErrorKind| refusal("127.0.0.1", 8080, &std::io::Error::from(kind));
        assert_eq!(
            told(ErrorKind::AddrInUse),
            "port 8080 on 127.0.0.1 is taken: stop the other program or choose another with --listen"
        );
        assert!(told(ErrorKind::PermissionDenied).contains("above 1023"));
        assert!(told(ErrorKind::AddrNotAvailable).contains("--listen"));
    }
}
