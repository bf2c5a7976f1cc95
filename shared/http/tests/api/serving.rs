//! The router on a socket.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use gam_http::ServeLimits;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::support::empty_api;

const REQUEST: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// Limits that a test can reach.
const LIMITS: ServeLimits = ServeLimits {
    max_connections: 4,
    header_timeout: Duration::from_millis(200),
    connection_lifetime: Duration::from_millis(900),
    answer_lifetime: Duration::from_secs(10),
};

async fn start(limits: ServeLimits) -> (SocketAddr, oneshot::Sender<()>, JoinHandle<std::io::Result<()>>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(gam_http::serve(listener, empty_api(), limits, async {
        let _ = stopped.await;
    }));
    (address, stop, server)
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the server listens");
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
    stream
}

fn request(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(REQUEST)?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    Ok(response)
}

/// Returns how long the server keeps a connection open. The client sends these bytes again and again, in pieces
/// of that length.
fn time_until_closed(address: SocketAddr, bytes: &[u8], piece_bytes: usize) -> Duration {
    let started = Instant::now();
    let mut stream = connect(address);
    stream.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
    let mut pieces = bytes.chunks(piece_bytes).cycle();
    loop {
        // The write fails if the connection is closed, and so may the read.
        let written = pieces.next().map(|piece| stream.write_all(piece));
        match stream.read(&mut [0; 1024]) {
            Ok(0) => return started.elapsed(),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return started.elapsed(),
        }
        if written.is_some_and(|written| written.is_err()) {
            return started.elapsed();
        }
        assert!(started.elapsed() < Duration::from_secs(5), "it stays open");
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("no panic")
}

#[tokio::test(flavor = "multi_thread")]
async fn it_serves_until_shutdown() {
    let (address, stop, server) = start(ServeLimits::default()).await;
    let response = blocking(move || request(address)).await.expect("a response");
    assert!(
        response.starts_with("HTTP/1.1 200 OK\r\n") && response.contains("\"status\":\"ok\""),
        "{response}"
    );
    stop.send(()).expect("the server runs");
    server.await.expect("no panic").expect("the server ends without an error");
    assert!(blocking(move || request(address)).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_and_slow_clients_are_disconnected() {
    let (address, _stop, _server) = start(LIMITS).await;
    let silent = blocking(move || time_until_closed(address, b"", 1)).await;
    assert!(silent >= LIMITS.header_timeout && silent < Duration::from_secs(2), "{silent:?}");
    let dripping = blocking(move || time_until_closed(address, b"GET / HTTP/1.1", 1)).await;
    assert!(dripping < Duration::from_secs(2), "{dripping:?}");
    let http2 = blocking(move || time_until_closed(address, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24)).await;
    assert!(http2 < Duration::from_secs(3), "{http2:?}");
    let idle = blocking(move || {
        let mut stream = connect(address);
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("it is sent");
        let started = Instant::now();
        let mut response = Vec::new();
        stream.read_to_end(&mut response).expect("it is closed");
        (started.elapsed(), response)
    });
    let (idle, response) = idle.await;
    assert!(response.starts_with(b"HTTP/1.1 200 OK"), "it was answered before");
    assert!(idle >= LIMITS.header_timeout && idle < Duration::from_secs(2), "{idle:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_does_not_live_for_ever() {
    let limits = ServeLimits { header_timeout: Duration::from_secs(5), ..LIMITS };
    let (address, _stop, _server) = start(limits).await;
    let lifetime = blocking(move || {
        let request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
        time_until_closed(address, request, request.len())
    });
    let lifetime = lifetime.await;
    assert!(lifetime < Duration::from_secs(4), "{lifetime:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_beyond_the_limit_get_503() {
    let limits = ServeLimits { header_timeout: Duration::from_secs(5), ..LIMITS };
    let (address, _stop, _server) = start(limits).await;
    blocking(move || {
        let crowd: Vec<TcpStream> = (0..4).map(|_| connect(address)).collect();
        std::thread::sleep(Duration::from_millis(100));
        for _ in 0..3 {
            let refused = request(address).expect("an answer");
            assert!(refused.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{refused}");
            assert!(refused.contains("retry-after: 2\r\n") && refused.contains("RATE_LIMITED"), "{refused}");
        }
        drop(crowd);
        std::thread::sleep(Duration::from_millis(100));
        assert!(request(address).expect("an answer").starts_with("HTTP/1.1 200"), "it recovers");
    })
    .await;
}
