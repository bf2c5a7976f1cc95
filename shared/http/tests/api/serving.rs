//! The router on a socket.

use std::io::{Read, Write};
use std::net::TcpStream;

use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::support::empty;

#[tokio::test(flavor = "multi_thread")]
async fn it_serves_until_it_is_told_to_stop() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(gam_http::serve(listener, empty(), async {
        let _ = stopped.await;
    }));
    let ask = move || {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = tokio::task::spawn_blocking(ask).await.expect("no panic").expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("\"status\":\"ok\""), "{answer}");
    stop.send(()).expect("the server runs");
    server.await.expect("no panic").expect("the server ends well");
    assert!(tokio::task::spawn_blocking(ask).await.expect("no panic").is_err());
}
