//! The real `serve` towards hostile and crowding clients.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use gam_tests::http::{HttpResponse, get, send_request};
use gam_tests::program::{Sandbox, ServerProcess, binary};

fn demo() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.run(&["demo", "--no-serve", "--days", "3"]).expect_status(0);
    sandbox
}

fn get_as(address: &str, host: &str, target: &str) -> HttpResponse {
    send_request(address, "GET", target, &[("host", host)])
}

#[test]
fn a_foreign_host_is_refused() {
    let sandbox = demo();
    let args = ["serve", "--listen", "127.0.0.1:0", "--allow-host", "metrics.example.com"];
    let server = ServerProcess::start(sandbox.command(&args));
    let address = server.address();
    let port = address.rsplit(':').next().expect("a port");
    for host in [
        "localhost".to_owned(),
        format!("localhost:{port}"),
        address.to_owned(),
        "[::1]".to_owned(),
        "192.0.2.7".to_owned(),
        "Metrics.Example.COM".to_owned(),
    ] {
        assert_eq!(get_as(address, &host, "/api/v1/orgs").status, 200, "{host}");
    }
    for host in [format!("evil.example:{port}"), "localhost.evil.example".to_owned(), String::new()] {
        for target in ["/api/v1/orgs", "/", "/openapi.json", "/nothing"] {
            let answer = get_as(address, &host, target);
            assert_eq!(answer.status, 403, "{host} {target}");
            assert_eq!(answer.json()["code"], "FORBIDDEN");
            assert!(!answer.text().contains("octo-demo"), "{}", answer.text());
        }
    }
    assert_eq!(get_as(address, "evil.example", "/healthz").status, 200, "a health check needs no name");
}

#[test]
fn a_request_has_exactly_one_host() {
    let sandbox = demo();
    let server = sandbox.serve();
    for hosts in ["", "host: localhost\r\nhost: evil.example\r\n", "host: localhost\r\nhost: localhost\r\n"] {
        let mut stream = TcpStream::connect(server.address()).expect("the server listens");
        write!(stream, "GET /api/v1/orgs HTTP/1.1\r\n{hosts}connection: close\r\n\r\n").expect("it is sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 400"), "{hosts:?}: {answer}");
        assert!(answer.contains("INVALID_ARGUMENT"), "{answer}");
    }
    // The authority of an absolute target counts too.
    let mut stream = TcpStream::connect(server.address()).expect("the server listens");
    let request =
        "GET http://evil.example/api/v1/orgs HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("it is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
}

/// With few files allowed, idle connections must not keep others from being answered, silently.
#[cfg(unix)]
#[test]
fn a_crowd_gets_503_and_one_line_in_the_log() {
    let sandbox = demo();
    let mut shell = Command::new("sh");
    let program = binary().display();
    shell.args(["-c", &format!("ulimit -n 64; exec '{program}' serve --listen 127.0.0.1:0")]);
    let server = ServerProcess::start(sandbox.isolate(shell));
    let address = server.address().to_owned();
    let crowd: Vec<TcpStream> =
        (0..40).map(|_| TcpStream::connect(&address).expect("the server listens")).collect();
    std::thread::sleep(Duration::from_millis(300));
    let started = Instant::now();
    let refused = get(&address, "/api/v1/orgs");
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert_eq!(refused.headers["retry-after"], "2");
    assert_eq!(refused.json()["code"], "RATE_LIMITED");
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    drop(crowd);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(get(&address, "/api/v1/orgs").status, 200, "it recovers");
    let log = server.stop();
    assert_eq!(log.lines().filter(|line| line.contains("WARN")).count(), 1, "{log}");
    assert!(log.contains("connections: 16 are open, which is the limit"), "{log}");
}
