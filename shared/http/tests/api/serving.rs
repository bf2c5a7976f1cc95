//! The router on a socket.

use std::io::{Read, Write};
use std::net::TcpStream;

use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::support::empty_api;

#[tokio::test(flavor = "multi_thread")]
async fn it_serves_until_shutdown() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(gam_http::serve(listener, empty_api(), async {
        let _ = stopped.await;
    }));
    let request = move || {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut response = String::new();
        stream.read_to_string(&mut response)?;
        Ok::<_, std::io::Error>(response)
    };
    let response = tokio::task::spawn_blocking(request).await.expect("no panic").expect("a response");
    assert!(
        response.starts_with("HTTP/1.1 200 OK\r\n") && response.contains("\"status\":\"ok\""),
        "{response}"
    );
    stop.send(()).expect("the server runs");
    server.await.expect("no panic").expect("the server ends without an error");
    assert!(tokio::task::spawn_blocking(request).await.expect("no panic").is_err());
}
