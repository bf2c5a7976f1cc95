//! Measures the API over SQLite: `cargo bench -p gam-bench --bench reading`.
//!
//! It generates two years of an organization, aggregates them into a SQLite file, serves the router on a socket, and
//! prints requests a second of kept answers next to a bare axum route with the same bytes, and the latencies of answers
//! that are computed: before each of those requests, a checkpoint is saved, so that no answer is kept.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use gam_aggregate::{AggregatePorts, aggregate};
use gam_bench::{LakeGenerator, LakeShape, write_snapshots};
use gam_http::{Body, Router, ServeLimits};
use gam_lake::FileStore;
use gam_model::{Identity, Month, OrgRegistry, SystemClock};
use gam_query::QueryPorts;
use gam_store::{CheckpointKey, CheckpointStore, Revision, SaveOutcome};
use gam_store_sql::SqliteStore;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt as _;

const ORG: &str = "octo-bench";
/// Number of connections that request the same answer again and again.
const CONNECTIONS: usize = 4;
/// How long each of them does.
const LOAD_TIME: Duration = Duration::from_secs(3);
/// Number of requests whose latencies are measured.
const SAMPLES: usize = 100;

/// Answers that are kept.
const KEPT: [&str; 2] = [
    "metrics?since=2025-01-01&until=2026-01-01",
    "metrics/timeseries?metric=commits&granularity=day&since=2025-01-01&until=2026-01-01",
];

/// Answers that are computed.
const COMPUTED: [&str; 8] = [
    "metrics?since=2025-01-01&until=2026-01-01",
    "metrics/timeseries?metric=commits&granularity=day&since=2025-01-01&until=2026-01-01",
    "members?since=2025-01-01&until=2026-01-01",
    "members?since=2025-01-16&until=2025-12-17",
    "members?since=2025-01-16&until=2025-12-17&sort=cycle_time_hours",
    "repos?since=2025-01-01&until=2026-01-01",
    "repos?since=2025-01-16&until=2025-12-17",
    "repos?since=2025-01-16&until=2025-12-17&sort=active_members",
];

fn main() -> anyhow::Result<()> {
    // `cargo test --all-targets` runs it without this argument, and must not wait for it.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let events = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(10_000_000);
    let dir = tempfile::tempdir()?;
    generate(dir.path(), events)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(measure(dir.path()))
}

/// Writes the lake of the organization that the targets are about: 1,000 repositories and 2,000 members.
fn generate(dir: &Path, events: u64) -> anyhow::Result<()> {
    let shape = LakeShape {
        org: ORG.into(),
        events,
        months: 24,
        last_month: Month::parse("2025-12").context("a month")?,
        repos: 1_000,
        members: 2_000,
        seed: 1,
    };
    print(&format!("generating {events} events"));
    write_snapshots(&LakeGenerator::new(&shape)?, &dir.join("lake"), 1, &|_| {})?;
    Ok(())
}

async fn measure(dir: &Path) -> anyhow::Result<()> {
    let store = Arc::new(SqliteStore::open(&dir.join("store.sqlite")).await?);
    print("aggregating");
    let aggregate_ports = AggregatePorts {
        objects: Arc::new(FileStore::open(dir.join("lake"))?),
        rollups: store.clone(),
        names: store.clone(),
        checkpoints: store.clone(),
        clock: Arc::new(SystemClock),
    };
    aggregate(&aggregate_ports, ORG, false, &()).await?;
    let reader = Arc::new(SqliteStore::open_read_only(&dir.join("store.sqlite")).await?);
    let router = gam_http::router(QueryPorts {
        rollups: reader.clone(),
        names: reader.clone(),
        checkpoints: reader,
        clock: Arc::new(SystemClock),
        identities: Arc::new(Identity::default()),
        registry: Arc::new(OrgRegistry::default()),
    });
    measure_kept(&router).await?;
    measure_computed(&router, &store).await
}

/// Prints requests a second of kept answers, and of a bare route with the same bytes.
async fn measure_kept(router: &Router) -> anyhow::Result<()> {
    let address = serve(router.clone()).await?;
    for path in KEPT {
        let path = path_of(path);
        let answer = request(router, &path).await?;
        let bare = bare_route(&path, answer);
        let bare = requests_per_second(serve(bare).await?, &path).await?;
        let kept = requests_per_second(address, &path).await?;
        print(&format!("{kept:>9.0} requests/s, a bare route {bare:>9.0} ({:.2}): {path}", kept / bare));
    }
    Ok(())
}

fn path_of(path: &str) -> String {
    format!("/api/v1/orgs/{ORG}/{path}")
}

async fn request(router: &Router, path: &str) -> anyhow::Result<Vec<u8>> {
    let response = router.clone().oneshot(Request::get(path).body(Body::empty())?).await?;
    ensure!(response.status().is_success(), "{path}: {}", response.status());
    Ok(response.into_body().collect().await.map_err(anyhow::Error::from)?.to_bytes().to_vec())
}

/// Returns a router that does nothing but return these bytes.
fn bare_route(path: &str, answer: Vec<u8>) -> Router {
    let answer = bytes::Bytes::from(answer);
    let service = tower::service_fn(move |_: Request<Body>| {
        let response = Response::builder().header("content-type", "application/json");
        let response = response.body(Body::from(answer.clone())).expect("a valid response");
        async move { Ok::<_, std::convert::Infallible>(response) }
    });
    Router::new().route_service(path.split('?').next().unwrap_or(path), service)
}

async fn serve(router: Router) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(gam_http::serve(listener, router, ServeLimits::default(), std::future::pending()));
    Ok(address)
}

/// Requests a path on several connections that stay open.
async fn requests_per_second(address: SocketAddr, path: &str) -> anyhow::Result<f64> {
    let clients = (0..CONNECTIONS).map(|_| tokio::spawn(count_answers(address, path.to_owned())));
    let mut answers = 0;
    for client in clients.collect::<Vec<_>>() {
        answers += client.await??;
    }
    Ok(answers as f64 / LOAD_TIME.as_secs_f64())
}

async fn count_answers(address: SocketAddr, path: String) -> anyhow::Result<u64> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let (started, mut answers, mut buffer) = (Instant::now(), 0, vec![0; 1 << 20]);
    while started.elapsed() < LOAD_TIME {
        stream.write_all(request.as_bytes()).await?;
        read_answer(&mut stream, &mut buffer).await?;
        answers += 1;
    }
    Ok(answers)
}

/// Reads one response with a `content-length`.
async fn read_answer(stream: &mut TcpStream, buffer: &mut [u8]) -> anyhow::Result<()> {
    let mut length = 0;
    loop {
        let read = stream.read(&mut buffer[length..]).await?;
        ensure!(read > 0, "the server closed the connection");
        length += read;
        let Some(head) = buffer[..length].windows(4).position(|end| end == b"\r\n\r\n") else { continue };
        let text = std::str::from_utf8(&buffer[..head])?;
        ensure!(text.starts_with("HTTP/1.1 200"), "{text}");
        let content =
            text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        if length >= head + 4 + content.context("a content-length")? {
            return Ok(());
        }
    }
}

/// Prints the latencies of answers that are computed.
async fn measure_computed(router: &Router, store: &SqliteStore) -> anyhow::Result<()> {
    let mut revision = None;
    for path in COMPUTED {
        let path = path_of(path);
        let mut latencies = Vec::with_capacity(SAMPLES);
        for _ in 0..SAMPLES {
            revision = Some(change(store, revision).await?);
            let started = Instant::now();
            request(router, &path).await?;
            latencies.push(started.elapsed());
        }
        latencies.sort();
        let (median, p99) = (latencies[SAMPLES / 2], latencies[SAMPLES * 99 / 100]);
        print(&format!(
            "median {:>6.1} ms, p99 {:>6.1} ms: {path}",
            median.as_secs_f64() * 1e3,
            p99.as_secs_f64() * 1e3
        ));
    }
    Ok(())
}

/// Changes something in the store that no answer contains.
async fn change(store: &SqliteStore, expected: Option<Revision>) -> anyhow::Result<Revision> {
    let key = CheckpointKey::Repo("other".to_owned(), 1);
    match store.save(&key, "{}", expected).await? {
        SaveOutcome::Saved(revision) => Ok(revision),
        SaveOutcome::Conflict => anyhow::bail!("nobody else saves this checkpoint"),
    }
}

fn print(line: &str) {
    // Nobody reads a closed output.
    let _ = writeln!(std::io::stdout(), "{line}");
}
