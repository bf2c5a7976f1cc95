//! `serve`: serves the page and the HTTP API.

use std::future::Future;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use gam_access::{Role, TokenSecret};
use gam_http::{
    AccessControl, AllowedHosts, AllowedOrigins, ApiPorts, OriginHasher, ServeLimits, TokenSource,
};
use gam_work_ports::LakeSessionInbox;
use tokio::net::TcpListener;

use crate::actions;
use crate::args::{GitHubOptions, ListenOption};
use crate::audit_log;
use crate::error::{failure, usage_error};
use crate::exit::Exit;
use crate::notify;
use crate::open::OpenStore;
use crate::service_metrics::StoreMetrics;
use crate::session::CliSession;
use crate::signals;
use crate::webhooks::Webhooks;

const EXAMPLES: &str = "\
Examples:
  github-metrics serve
  github-metrics token new admin --role admin   then everybody needs a token
  github-metrics serve --listen 0.0.0.0:9000    other machines too; needs a token
  github-metrics serve --listen 127.0.0.1:0    any free port; stderr says which
  github-metrics serve --allow-host metrics.example.com   behind a proxy that sends this Host

Without tokens, only this machine can read. Over networks, put a proxy with TLS in front.";

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
    origins: AllowedOrigins,
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
        let origins = session.settings.allowed_origins(&option.allow_origin)?;
        let listener = match TcpListener::bind((host.as_str(), port)).await {
            Ok(listener) => listener,
            Err(error) => return Err(failure(bind_error(&host, port, &error))),
        };
        let address = listener.local_addr().context("cannot determine the address of the server")?;
        let names = session.settings.allowed_hosts(&option.allow_host);
        let hosts = AllowedHosts::new(names.into_iter().chain([host]));
        Ok(BoundServer { listener, hosts, origins, address })
    }

    /// Returns who may use the server: the holders of tokens, or everybody on this machine as long as there is no
    /// token. Call it before any other work, so that a refusal comes first.
    ///
    /// # Errors
    /// If other machines can reach the server and there is no token. If the store or a variable cannot be read.
    pub(super) async fn access(
        &self,
        session: &CliSession,
        store: &OpenStore,
    ) -> anyhow::Result<AccessControl> {
        let admin_token = session.settings.admin_token.read_admin_token()?;
        let tokens = store.tokens();
        let is_local = self.address.ip().is_loopback();
        if !is_local && admin_token.is_none() && !tokens.is_in_use().await? {
            let data_dir = session.settings.data_dir_option();
            return Err(usage_error(format!(
                "refused to listen on {} without a token, since everyone who reaches it could read all metrics: create \
                 a token with `github-metrics token new admin --role admin{data_dir}`, or set \
                 GITHUB_METRICS_ADMIN_TOKEN to the output of `openssl rand -hex 32`",
                self.address
            )));
        }
        let access = AccessControl::tokens(tokens).with_origins(origin_hasher(session)?);
        // Tokens that are created later are required from then on.
        let access = if is_local { access.open_without_tokens(self.hosts.clone()) } else { access };
        let access = match store.refusal_log() {
            Some(refusals) => access.with_refusal_log(refusals),
            None => access,
        };
        Ok(match admin_token {
            None => access,
            Some(token) => access.with_host_token(constant(token), Role::Admin),
        })
    }

    /// Serves the API until `shutdown` completes and the requests in progress are answered.
    ///
    /// # Errors
    /// If the socket fails.
    pub(super) async fn serve(
        self,
        (session, store): (&CliSession, &OpenStore),
        ports: ApiPorts,
        access: AccessControl,
        (webhooks, inbox): (Option<&Webhooks>, Option<&LakeSessionInbox>),
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> anyhow::Result<()> {
        session.console.print_notice(format!("listening on http://{}", self.address));
        let actions = ports.work.as_ref().map(|work| work.actions.clone());
        let mut router = gam_http::guarded_router(ports, access.clone(), self.origins);
        router = gam_http::with_notifications(router, notify::page_ports(store));
        router = gam_http::with_service_metrics(router, Arc::new(StoreMetrics::new(store)));
        if let Some(sessions) = inbox.and_then(|inbox| store.pushed_sessions(inbox)) {
            router = gam_http::with_pushed_sessions(router, sessions);
        }
        if let Some(webhooks) = webhooks {
            router = router.merge(gam_http::webhook_router(webhooks.ports()));
            let path = gam_http::WEBHOOK_PATH;
            session.console.print_info(format!("webhooks of GitHub are taken at {path}"));
        }
        let serve = async {
            let orders = async {
                match webhooks {
                    Some(webhooks) => webhooks.run().await,
                    None => std::future::pending().await,
                }
            };
            let served = tokio::select! {
                served = gam_http::serve(self.listener, router, limits(max_open_files()), shutdown) => served,
                () = orders => Ok(()),
            };
            if let Some(actions) = &actions {
                actions.stop();
            }
            served
        };
        // A request to GitHub that is under way is finished, so that its answer is recorded.
        let act = async {
            if let Some(actions) = &actions {
                actions::run(actions).await;
            }
        };
        let (served, ()) = tokio::join!(serve, act);
        access.flush_refusals().await;
        served.context("the server failed")
    }
}

/// The shortest key of the hashes of addresses, in bytes.
const MIN_ORIGIN_KEY_BYTES: usize = 16;

/// Returns what hashes the addresses of senders: with the configured key, or with a random one.
fn origin_hasher(session: &CliSession) -> anyhow::Result<OriginHasher> {
    let variable = &session.settings.origin_key;
    match variable.read()? {
        Some(key) if key.len() < MIN_ORIGIN_KEY_BYTES => Err(usage_error(format!(
            "{} is too short: expected at least {MIN_ORIGIN_KEY_BYTES} characters, such as the output of `openssl rand \
             -hex 32`",
            variable.name()
        ))),
        Some(key) => Ok(OriginHasher::new(key.as_bytes())),
        None => Ok(OriginHasher::new(TokenSecret::random().expose().as_bytes())),
    }
}

/// Returns a source of always the same token.
fn constant(token: TokenSecret) -> TokenSource {
    Arc::new(move || {
        let token = token.expose().to_owned();
        Box::pin(async { Ok(token) })
    })
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
    let served = serve_store(session, server, &store).await;
    store.close().await;
    served.map(|()| Exit::Success)
}

async fn serve_store(session: &CliSession, server: BoundServer, store: &OpenStore) -> anyhow::Result<()> {
    let access = server.access(session, store).await?;
    if store.orgs().await?.is_empty() {
        session.console.print_info(format!(
            "{} is empty: run `github-metrics up ORG`, or `github-metrics demo` for a sample",
            session.settings.store
        ));
    }
    let ports = store.api_ports(&session.settings)?;
    let shutdown = async { _ = signals::wait_for_stop_signal().await };
    let needs_github =
        session.settings.webhook_secrets.read()?.is_some() && session.settings.has_credentials();
    let github = match needs_github {
        true => Some(session.settings.github(&GitHubOptions::WITHOUT_WAITING)?),
        false => None,
    };
    let webhooks = store.webhooks(&session.settings, github.as_ref(), &[])?;
    let drain_ports = audit_log::drain_ports(session, store).await;
    // The next aggregation merges what other machines push.
    let inbox = drain_ports.as_ref().map(|ports| LakeSessionInbox::new(ports.objects.clone()));
    let hosted = (webhooks.as_ref(), inbox.as_ref());
    let served = tokio::select! {
        served = server.serve((session, store), ports, access, hosted, shutdown) => served,
        () = audit_log::keep_drained(session, store, drain_ports.as_ref()) => Ok(()),
        () = notify::keep_sending(session, store) => Ok(()),
    };
    if let Some(ports) = &drain_ports {
        audit_log::drain_now(session, store, ports).await;
    }
    served
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
