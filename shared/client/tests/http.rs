//! The client against servers that answer as they should not.

use std::sync::{Arc, Mutex};

use gam_client::{
    Client, ClientError, HttpTransport, ListKind, ListQuery, MetricsQuery, SubjectRef, parse_address,
};
use gam_model::Grain;
use gam_model::metric::Metric;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const TOKEN: &str = "gamt_a-secret-token";
const ORGS: &str = r#"{"orgs":[{"org":"Acme","repos":1,"members":2,"first_event":null,"last_event":null}]}"#;

/// A server that gives each request the next one of some responses, and then closes the connection.
struct Server {
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(responses: Vec<String>) -> Self {
        // Others may have installed it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            for response in responses {
                let (mut connection, _) = listener.accept().await.expect("a connection");
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    connection.read_exact(&mut byte).await.expect("a request");
                    request.extend(byte);
                }
                seen.lock().expect("the requests").push(String::from_utf8_lossy(&request).into_owned());
                connection.write_all(response.as_bytes()).await.expect("an answer");
            }
        });
        Server { address, requests }
    }

    fn client(&self) -> Client {
        let address = parse_address(&self.address).expect("an address");
        Client::new(HttpTransport::new(address, Some(TOKEN.to_owned().into())).expect("a client"))
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("the requests").clone()
    }
}

fn response(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}connection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn problem(status: &str, code: &str, headers: &str) -> String {
    response(status, headers, &format!(r#"{{"type":"about:blank","detail":"the detail","code":"{code}"}}"#))
}

fn ok(body: &str) -> String {
    response("200 OK", "", body)
}

#[tokio::test]
async fn requests_have_the_token_and_encoded_names() {
    let list = r#"{"members":[{"member":"ada","kind":"user","metrics":{"commits":3}}],"next":null}"#;
    let server = Server::start(vec![ok(ORGS), ok(list)]).await;
    let client = server.client();
    let orgs = client.orgs().await.expect("an answer");
    assert_eq!((orgs.text.as_str(), orgs.value.orgs[0].org.as_str()), (ORGS, "Acme"));
    let query = ListQuery {
        metrics: MetricsQuery {
            since: Some("2026-03-01".parse().expect("a day")),
            ..MetricsQuery::default()
        },
        sort: Metric::named("reviews"),
        search: Some("a&b".to_owned()),
        limit: Some(5),
        ..ListQuery::default()
    };
    let list = client.list("Acme", &SubjectRef::repo("a/b?"), ListKind::Members, &query).await;
    assert_eq!(list.expect("an answer").value.entries[0].metrics.count("commits"), 3);
    let requests = server.requests();
    assert!(
        requests.iter().all(|it| it.contains(&format!("authorization: Bearer {TOKEN}\r\n"))),
        "{requests:?}"
    );
    assert!(requests[0].starts_with("GET /api/v1/orgs HTTP/1.1\r\n"), "{requests:?}");
    let target = "/api/v1/orgs/Acme/repos/a%2Fb%3F/members?bots=auto&since=2026-03-01&order=desc&sort=reviews&q=a%26b&limit=5";
    assert!(requests[1].starts_with(&format!("GET {target} ")), "{requests:?}");
}

#[tokio::test]
async fn a_server_that_is_busy_is_asked_again() {
    let later = |status: &str| problem(status, "RATE_LIMITED", "retry-after: 0\r\n");
    let server =
        Server::start(vec![later("429 Too Many Requests"), later("503 Service Unavailable"), ok(ORGS)]).await;
    assert!(server.client().orgs().await.is_ok());
    assert_eq!(server.requests().len(), 3);

    for response in [
        problem("503 Service Unavailable", "INTERNAL_ERROR", "retry-after: 30\r\n"),
        problem("429 Too Many Requests", "RATE_LIMITED", "retry-after: 3600\r\n"),
        problem("500 Internal Server Error", "INTERNAL_ERROR", "retry-after: 0\r\n"),
    ] {
        let server = Server::start(vec![response]).await;
        let error = server.client().orgs().await.expect_err("it is refused");
        assert!(matches!(error, ClientError::Problem { .. }), "{error:?}");
        assert_eq!(server.requests().len(), 1, "it is reported at once");
    }

    let limited = vec![later("429 Too Many Requests"); 20];
    let server = Server::start(limited).await;
    let error = server.client().orgs().await.expect_err("it is refused");
    assert!(matches!(error, ClientError::Problem { status: 429, .. }), "{error:?}");
    assert_eq!(server.requests().len(), 6, "the number of attempts is bounded");
}

#[tokio::test]
async fn a_problem_has_its_code_and_detail() {
    let server = Server::start(vec![problem("404 Not Found", "NOT_FOUND", "")]).await;
    let error =
        server.client().metrics("x", &SubjectRef::Org, &MetricsQuery::default()).await.expect_err("404");
    assert!(error.is_not_found());
    let ClientError::Problem { status: 404, problem } = &error else { panic!("{error:?}") };
    assert_eq!((problem.code.as_str(), error.to_string().as_str()), ("NOT_FOUND", "the detail"));
    for other in [ok("<html>"), ok("{}"), response("401 Unauthorized", "", "no")] {
        let server = Server::start(vec![other]).await;
        let error = server.client().orgs().await.expect_err("it is no answer");
        assert!(matches!(error, ClientError::Unexpected { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn redirects_stay_on_the_server() {
    let elsewhere = Server::start(vec![ok(ORGS)]).await;
    let redirect = |to: &str| response("302 Found", &format!("location: {to}\r\n"), "");
    let server = Server::start(vec![redirect(&elsewhere.address)]).await;
    let error = server.client().orgs().await.expect_err("it is not followed");
    assert!(
        matches!(&error, ClientError::Redirect { location, .. } if *location == elsewhere.address),
        "{error:?}"
    );
    assert!(elsewhere.requests().is_empty(), "the token stays here");
    let server = Server::start(vec![redirect("/api/v1/orgs?x"), ok(ORGS)]).await;
    assert!(server.client().orgs().await.is_ok());
}

#[tokio::test]
async fn rows_are_read_as_they_come_and_a_cut_one_is_an_error() {
    let row = |name: &str| {
        format!(
            r#"{{"level":"repo","name":"{name}","id":7,"start":"2026-03-01","end":"2026-03-02","commits":3,"new_metric":1}}"#
        )
    };
    let complete = format!("{}\n{}\n", row("a"), row("b"));
    let server = Server::start(vec![ok(&complete), ok(&complete[..complete.len() - 10])]).await;
    let client = server.client();
    let every_day = MetricsQuery::default();
    let request = || client.export("acme", Grain::Day, &every_day);
    let mut rows = request().await.expect("an answer");
    let read = rows.next_rows().await.expect("rows");
    assert_eq!(read.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(read[0].metrics.count("commits"), 3);
    assert!(rows.next_rows().await.expect("the end").is_empty());
    assert!(server.requests()[0].contains("accept: application/x-ndjson"));

    let mut rows = request().await.expect("an answer");
    let error = rows.next_rows().await.expect_err("the last row is cut");
    assert!(matches!(error, ClientError::Interrupted { .. }), "{error:?}");
}

#[tokio::test]
async fn a_token_is_neither_printed_nor_sent_in_plain_text() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    for refused in ["http://metrics.example.com", "http://10.0.0.1:8080", "http://127.0.0.1.example.com"] {
        let error = parse_address(refused).expect_err("others read along");
        assert!(matches!(error, ClientError::PlainHttp { .. }), "{refused}: {error:?}");
        let url = url::Url::parse(refused).expect("a URL");
        assert!(HttpTransport::new(url, Some(TOKEN.to_owned().into())).is_err(), "{refused}");
    }
    for invalid in ["", "metrics.example.com", "ftp://x", "user:hunter2"] {
        assert_eq!(parse_address(invalid), Err(ClientError::InvalidAddress), "{invalid}");
    }
    for local in ["http://localhost:1", "http://127.0.0.2:1", "http://[::1]:1/api/v1/"] {
        assert!(parse_address(local).is_ok(), "{local}");
    }
    let address = parse_address("http://user:hunter2@127.0.0.1:1/secret/").expect("an address");
    let transport = HttpTransport::new(address, Some(TOKEN.to_owned().into())).expect("a client");
    assert!(!format!("{transport:?}").contains(TOKEN));
    let error = Client::new(transport).orgs().await.expect_err("nobody listens");
    for text in [error.to_string(), format!("{error:?}")] {
        assert!(!text.contains("hunter2") && !text.contains("secret") && !text.contains(TOKEN), "{text}");
        assert!(text.contains("http://127.0.0.1:1"), "{text}");
    }
}
