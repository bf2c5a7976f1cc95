//! Tokens of the real program: created and revoked by one process, checked by another.

use gam_store::{RecordKind, RecordRange, RecordStore};
use gam_store_sql::SqliteStore;
use serde_json::Value;

use gam_tests::http::{HttpResponse, get, send_request};
use gam_tests::program::{Sandbox, ServerProcess};
use gam_tests::support::runtime;

const ORGS: &str = "/api/v1/orgs";
const ADMIN_TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn demo() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.run(&["demo", "--no-serve", "--days", "3"]).expect_status(0);
    sandbox
}

fn get_with(address: &str, target: &str, token: &str) -> HttpResponse {
    send_request(address, "GET", target, &[("authorization", &format!("Bearer {token}"))])
}

/// Creates a token with options, and returns it.
fn create(sandbox: &Sandbox, args: &[&str]) -> String {
    let args: Vec<&str> = ["token", "new"].iter().chain(args).copied().collect();
    let created = sandbox.run(&args).expect_status(0);
    let token = created.text().trim().to_owned();
    assert!(token.starts_with("gamt_") && token.lines().count() == 1, "{token}");
    token
}

#[test]
fn another_process_creates_and_revokes_the_tokens_of_a_server() {
    let sandbox = demo();
    let server = sandbox.serve();
    let address = server.address();
    assert_eq!(get(address, ORGS).status, 200, "open without tokens");
    let viewer = create(&sandbox, &["dash", "--role", "viewer", "--org", "Octo-Demo", "--expires", "90d"]);
    let other = create(&sandbox, &["other", "--role", "viewer", "--org", "other"]);
    let worker = create(&sandbox, &["worker", "--role", "worker"]);
    assert_eq!(get(address, ORGS).status, 401);
    assert_eq!(get(address, "/healthz").status, 200);
    let metrics = "/api/v1/orgs/octo-demo/metrics";
    let status = |token: &str| get_with(address, metrics, token).status;
    assert_eq!([&viewer, &other, &worker].map(|token| status(token)), [200, 404, 403]);
    assert_eq!(get_with(address, ORGS, &other).json()["orgs"], Value::Array(Vec::new()));

    let listed = sandbox.run(&["token", "list", "--format", "json"]).expect_status(0).json();
    let tokens = listed["tokens"].as_array().expect("a list");
    let names: Vec<&str> = tokens.iter().map(|token| token["name"].as_str().expect("a name")).collect();
    assert_eq!(names, ["dash", "other", "worker"]);
    assert_eq!((&tokens[0]["role"], &tokens[0]["orgs"][0]), (&"viewer".into(), &"octo-demo".into()));
    let table = sandbox.run(&["token", "list"]).expect_status(0).text();
    assert!(table.starts_with("name\trole\tsees\texpires\tcreated\n"), "{table}");
    assert!(table.contains("\nworker\tworker\tall organizations\tnever\t"), "{table}");
    for secret in [&viewer, &other, &worker] {
        assert!(!table.contains(secret.as_str()) && !listed.to_string().contains(secret.as_str()));
    }

    sandbox.run(&["token", "revoke", "dash"]).expect_status(0);
    assert_eq!(status(&viewer), 401, "refused at once");
    let error = sandbox.run(&["token", "revoke", "dash"]).expect_error(2);
    assert!(error.contains("there is no token \"dash\""), "{error}");
    let error = sandbox.run(&["token", "new", "other", "--role", "admin"]).expect_error(2);
    assert!(error.contains("token revoke other"), "{error}");
    for name in ["other", "worker"] {
        sandbox.run(&["token", "revoke", name]).expect_status(0);
    }
    assert_eq!(get(address, ORGS).status, 401, "closed without tokens, once there were some");
    let log = server.stop();
    for secret in [viewer, other, worker] {
        assert!(!log.contains(&secret), "{log}");
    }
}

#[test]
fn other_machines_are_served_with_a_token_only() {
    let sandbox = demo();
    let serve = ["serve", "--listen", "0.0.0.0:0"];
    let error = sandbox.run(&serve).expect_error(2);
    assert!(error.contains("github-metrics token new admin --role admin --data-dir"), "{error}");
    assert!(error.contains("GITHUB_METRICS_ADMIN_TOKEN"), "{error}");

    let token = create(&sandbox, &["admin", "--role", "admin"]);
    let server = ServerProcess::start(sandbox.command(&serve));
    let local = server.address().replace("0.0.0.0", "127.0.0.1");
    assert_eq!((get(&local, ORGS).status, get(&local, "/healthz").status), (401, 200));
    let by_name = [("host", "metrics.example.com"), ("authorization", &*format!("Bearer {token}"))];
    assert_eq!(send_request(&local, "GET", ORGS, &by_name).status, 200, "any name, with a token");
}

#[test]
fn a_variable_or_a_file_bootstraps_a_server() {
    let sandbox = demo();
    let file = sandbox.dir().join("admin-token");
    std::fs::write(&file, format!("{ADMIN_TOKEN}\n")).expect("the file is written");
    for (name, value) in [
        ("GITHUB_METRICS_ADMIN_TOKEN", ADMIN_TOKEN),
        ("GITHUB_METRICS_ADMIN_TOKEN_FILE", file.to_str().expect("a text")),
    ] {
        let mut command = sandbox.command(&["serve", "--listen", "0.0.0.0:0"]);
        command.env(name, value);
        let server = ServerProcess::start(command);
        let local = server.address().replace("0.0.0.0", "127.0.0.1");
        assert_eq!((get(&local, ORGS).status, get(&local, "/healthz").status), (401, 200), "{name}");
        assert_eq!(get_with(&local, ORGS, ADMIN_TOKEN).status, 200, "{name}");
        assert!(!server.stop().contains(ADMIN_TOKEN));
    }
    let mut short = sandbox.command(&["serve", "--listen", "0.0.0.0:0"]);
    short.env("GITHUB_METRICS_ADMIN_TOKEN", "hunter2");
    let error = gam_tests::program::run_to_end(short).expect_error(2);
    assert!(error.contains("too short") && !error.contains("hunter2"), "{error}");
}

#[test]
fn show_and_export_send_the_token_of_a_variable() {
    let sandbox = demo();
    let token = create(&sandbox, &["dash", "--role", "viewer"]);
    let server = sandbox.serve();
    let api = format!("http://{}", server.address());
    let show = ["show", "octo-demo", "--format", "json", "--api", &api];
    let error = sandbox.run(&show).expect_error(2);
    assert!(error.contains("GITHUB_METRICS_TOKEN") && error.contains("token new"), "{error}");
    let file = sandbox.dir().join("token");
    std::fs::write(&file, &token).expect("the file is written");
    let local = sandbox.run(&show[..4]).expect_status(0).text();
    for (name, value) in
        [("GITHUB_METRICS_TOKEN", &*token), ("GITHUB_METRICS_TOKEN_FILE", file.to_str().expect("a text"))]
    {
        let mut command = sandbox.command(&show);
        command.env(name, value);
        assert_eq!(gam_tests::program::run_to_end(command).expect_status(0).text(), local, "{name}");
    }
    let mut export = sandbox.command(&["export", "octo-demo", "--format", "csv", "--api", &api]);
    export.env("GITHUB_METRICS_TOKEN", &token);
    gam_tests::program::run_to_end(export).expect_status(0);
    let mut plain = sandbox.command(&["show", "octo-demo", "--api", "http://metrics.example.com"]);
    plain.env("GITHUB_METRICS_TOKEN", &token);
    let error = gam_tests::program::run_to_end(plain).expect_error(2);
    assert!(error.contains("plain http") && !error.contains(&token), "{error}");
}

#[test]
fn a_file_of_the_current_directory_lets_no_administrator_in() {
    let sandbox = demo();
    std::fs::write(sandbox.dir().join(".env"), format!("GITHUB_METRICS_ADMIN_TOKEN={ADMIN_TOKEN}\n"))
        .expect("the file is written");
    let error = sandbox.run(&["serve", "--listen", "0.0.0.0:0"]).expect_error(2);
    assert!(error.contains("refused to listen"), "{error}");
    let server = sandbox.serve();
    assert_eq!(get(server.address(), ORGS).status, 200, "it is as if there was no token");
    assert!(server.stop().contains("ignored in .env: GITHUB_METRICS_ADMIN_TOKEN"));
}

#[test]
fn refused_requests_are_counted_in_the_store() {
    let sandbox = demo();
    let worker = create(&sandbox, &["worker", "--role", "worker"]);
    for _ in 0..2 {
        let server = sandbox.serve();
        assert_eq!(get(server.address(), ORGS).status, 401);
        assert_eq!(get_with(server.address(), ORGS, &worker).status, 403);
        server.stop();
    }
    let store = sandbox.data_dir().join("store.sqlite");
    let rows: Vec<Value> = runtime().block_on(async {
        let store = SqliteStore::open(&store).await.expect("the store");
        let range = RecordRange::new(None, RecordKind::AuditRow, &[]).expect("a range");
        let records =
            RecordStore::range(&store, &range, 100, chrono::DateTime::UNIX_EPOCH).await.expect("records");
        let rows = records.iter().map(|(_, record)| serde_json::from_str(&record.body).expect("a row"));
        rows.collect()
    });
    let count = |is_anonymous: bool| -> u64 {
        let refused = rows.iter().filter(|row| row["kind"] == "requests_refused" && row["subject"] == "read");
        refused
            .filter(|row| (row["principal"] == "anonymous") == is_anonymous)
            .filter_map(|row| row["count"].as_u64())
            .sum()
    };
    assert_eq!((count(true), count(false)), (2, 2), "two processes add up: {rows:?}");
}
