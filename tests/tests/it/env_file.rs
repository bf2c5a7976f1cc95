//! `.env` sets tokens, paths and formats. It never chooses where a token or data is sent.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::thread::JoinHandle;

use gam_tests::github::{Double, TOKEN, generated};
use gam_tests::program::Sandbox;
use gam_tests::support::{SINCE, settled_at};

/// A token that must not leave the program.
const SECRET: &str = "ghp_SECRETTOKEN0123456789";
/// An address on this machine at which nobody listens.
const NOBODY: &str = "http://127.0.0.1:1";

/// A socket to which nothing must be sent.
struct Trap(TcpListener);

impl Trap {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket that does not block");
        Trap(listener)
    }

    fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().expect("its address"))
    }

    #[track_caller]
    fn assert_untouched(&self) {
        let error = self.0.accept().expect_err("somebody connected");
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    }
}

fn sandbox_with_file(text: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    std::fs::write(sandbox.dir().join(".env"), text).expect("a file");
    sandbox
}

#[test]
fn a_file_cannot_send_the_token_of_the_environment_elsewhere() {
    let trap = Trap::new();
    let sandbox = sandbox_with_file(&format!("GITHUB_API_URL={}\n", trap.url()))
        .with_variable("GITHUB_TOKEN", SECRET)
        // Keeps the test off the network.
        .with_variable("HTTPS_PROXY", NOBODY);
    for args in [&["doctor"][..], &["doctor", "acme"], &["collect", "acme", "--max-wait", "0s"]] {
        let run = sandbox.run(args);
        assert_ne!(run.status, Some(0), "{args:?}: {}", run.stderr);
        assert!(run.stderr.contains("ignored in .env: GITHUB_API_URL"), "{}", run.stderr);
        assert!(run.stderr.contains("run with --env-file .env"), "{}", run.stderr);
        assert!(!run.stderr.contains(SECRET) && !run.text().contains(SECRET));
        trap.assert_untouched();
    }
}

#[test]
fn a_file_cannot_set_proxies() {
    let trap = Trap::new();
    let url = trap.url();
    let text = format!("HTTP_PROXY={url}\nhttps_proxy={url}\nALL_PROXY={url}\nSSL_CERT_FILE=ca.pem\n");
    let sandbox = sandbox_with_file(&text)
        .with_variable("GITHUB_TOKEN", SECRET)
        .with_variable("GITHUB_API_URL", NOBODY);
    let run = sandbox.run(&["doctor"]).expect_status(1);
    let expected = "ignored in .env: HTTP_PROXY, https_proxy, ALL_PROXY, SSL_CERT_FILE;";
    assert!(run.stderr.contains(expected), "{}", run.stderr);
    trap.assert_untouched();
}

#[test]
fn a_file_cannot_choose_the_api_that_show_reads() {
    let trap = Trap::new();
    let sandbox = sandbox_with_file(&format!("API_ENDPOINT={}\n", trap.url()));
    let run = sandbox.run(&["show", "acme"]).expect_status(1);
    assert!(run.stderr.contains("ignored in .env: API_ENDPOINT"), "{}", run.stderr);
    assert!(run.stderr.contains("there is no store"), "it reads the local store: {}", run.stderr);
    trap.assert_untouched();
}

#[test]
fn a_file_cannot_send_data_or_credentials_of_aws_elsewhere() {
    let trap = Trap::new();
    let url = trap.url();
    let text = format!(
        "AWS_ENDPOINT_URL={url}\nAWS_ENDPOINT_URL_DYNAMODB={url}\nGITHUB_METRICS_STORE=dynamodb:theirs\n\
         GITHUB_METRICS_LAKE=s3://theirs\n"
    );
    let sandbox = sandbox_with_file(&text)
        .with_variable("AWS_ACCESS_KEY_ID", "AKIASECRET")
        .with_variable("AWS_SECRET_ACCESS_KEY", SECRET)
        .with_variable("AWS_REGION", "us-east-1");
    let run = sandbox.run(&["aggregate"]).expect_status(0);
    assert!(
        run.stderr.contains("ignored in .env: GITHUB_METRICS_STORE, GITHUB_METRICS_LAKE;"),
        "{}",
        run.stderr
    );
    assert!(sandbox.data_dir().join("store.sqlite").exists(), "it uses the local store");
    trap.assert_untouched();
}

/// The token belongs to the address next to it, so it is not sent to the default one either.
#[test]
fn a_token_next_to_an_ignored_address_is_not_sent_anywhere() {
    let trap = Trap::new();
    let sandbox = sandbox_with_file(&format!("GITHUB_TOKEN={SECRET}\nGITHUB_API_URL={}\n", trap.url()))
        .with_variable("HTTPS_PROXY", &trap.url());
    let error = sandbox.run(&["collect", "acme"]).expect_error(2);
    assert!(error.contains("https://api.github.com") && error.contains("--env-file .env"), "{error}");
    assert!(!error.contains(SECRET), "{error}");
    trap.assert_untouched();
}

#[test]
fn a_file_sets_tokens_paths_and_formats() {
    let world = generated::world(71);
    let double = Double::start(world.clone(), settled_at());
    let text = format!(
        "OTHER=a b\nGITHUB_TOKEN=\"{TOKEN}\"\nGITHUB_METRICS_STORE=sqlite:elsewhere.sqlite\n\
         GITHUB_METRICS_FORMAT=json\n"
    );
    let sandbox = sandbox_with_file(&text).with_variable("GITHUB_API_URL", &double.api_url());
    let run = sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
    assert_eq!(run.json()["org"], world.org.as_str());
    assert!(!run.stderr.contains("ignored"), "{}", run.stderr);
    assert!(sandbox.dir().join("elsewhere.sqlite").exists());
}

#[test]
fn a_named_file_may_set_addresses() {
    let world = generated::world(72);
    let double = Double::start(world.clone(), settled_at());
    let sandbox = Sandbox::new();
    let text = format!("GITHUB_TOKEN={TOKEN}\nGITHUB_API_URL={}\n", double.api_url());
    std::fs::write(sandbox.dir().join("ghe.env"), text).expect("a file");
    for args in [
        ["--env-file", "ghe.env", "collect", &world.org, "--since", SINCE],
        ["collect", &world.org, "--since", SINCE, "--env-file", "ghe.env"],
    ] {
        let run = sandbox.run(&args).expect_status(0);
        assert!(!run.stderr.contains("ignored"), "{}", run.stderr);
    }
    assert!(double.request_count() > 0);
    let error = sandbox.run(&["doctor", "--env-file", "missing.env"]).expect_error(2);
    assert!(error.contains("missing.env"), "{error}");
}

#[test]
fn plain_http_is_refused_beyond_this_machine() {
    // An address that answers to nobody: a refusal after a request would take long.
    let url = "http://192.0.2.2:9";
    let sandbox = Sandbox::new().with_variable("GITHUB_TOKEN", SECRET).with_variable("GITHUB_API_URL", url);
    let error = sandbox.run(&["collect", "acme"]).expect_error(2);
    assert!(error.contains("refused GITHUB_API_URL") && error.contains("use https"), "{error}");
    let error = Sandbox::new().run(&["show", "acme", "--api", url]).expect_error(2);
    assert!(error.contains("refused --api"), "{error}");
    for (name, option) in [("AWS_ENDPOINT_URL", "--store"), ("AWS_ENDPOINT_URL_S3", "--lake")] {
        let sandbox = Sandbox::new()
            .with_variable("AWS_ACCESS_KEY_ID", "AKIASECRET")
            .with_variable("AWS_SECRET_ACCESS_KEY", SECRET)
            .with_variable("AWS_REGION", "us-east-1")
            .with_variable(name, url);
        let value = if option == "--store" { "dynamodb:t" } else { "s3://b" };
        let error = sandbox.run(&["aggregate", option, value]).expect_error(2);
        assert!(error.contains("refused AWS_ENDPOINT_URL"), "{error}");
    }
}

/// Answers one request with this response.
fn answer_once(response: String) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let _ = stream.read(&mut [0; 4096]);
        stream.write_all(response.as_bytes()).expect("the response is sent");
    });
    (url, server)
}

#[test]
fn show_follows_no_redirect_to_another_host() {
    let trap = Trap::new();
    let response = format!(
        "HTTP/1.1 302 Found\r\nlocation: {}/latest/meta-data\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        trap.url()
    );
    let (url, server) = answer_once(response);
    let error = Sandbox::new().run(&["show", "acme", "--api", &url]).expect_error(1);
    server.join().expect("it has answered");
    assert!(error.contains(&url) && error.contains("redirects to") && error.contains(&trap.url()), "{error}");
    trap.assert_untouched();
}

#[test]
fn what_a_server_sends_cannot_control_the_terminal() {
    let body =
        "{\"detail\":\"\\u001b]0;pwned\\u0007\\u001b[31mevil\\u001b[2J\\u009b2J\",\"code\":\"NOT_FOUND\"}";
    let response = format!(
        "HTTP/1.1 404 Not Found\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    );
    let (url, server) = answer_once(response);
    let run = Sandbox::new().run(&["show", "acme", "--api", &url]).expect_status(1);
    server.join().expect("it has answered");
    assert!(run.stderr.contains("evil"), "{}", run.stderr);
    assert!(!run.stderr.contains(|c: char| c.is_control() && c != '\n'), "{:?}", run.stderr);
}
