//! The deployments of docs/OPERATIONS.md with systemd and nginx: the unit is valid, and nginx passes on what the server needs.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use gam_tests::action_host::wait_until;
use gam_tests::program::{RunResult, Sandbox, run_to_end};
use tempfile::TempDir;

use crate::tools::{Tool, root};
use crate::{ExternalTest, external_test};

fn the_systemd_unit_is_valid_and_locked_down() {
    let directory = tempfile::tempdir().expect("a directory");
    let unit =
        std::fs::read_to_string(root().join("infra/systemd/github-metrics.service")).expect("the unit");
    // The program is not installed here.
    let unit = unit.replace("/usr/local/bin/github-metrics", "/bin/true");
    let file = directory.path().join("github-metrics.service");
    std::fs::write(&file, unit).expect("a file");
    let analyze = |args: &[&str]| {
        let mut command = Command::new(Tool::Systemd.path());
        command.args(args).arg(&file);
        run_to_end(command)
    };
    let verified = analyze(&["verify"]).expect_status(0);
    assert_eq!(verified.stderr, "", "no warning either");
    // 10 is the most exposed, 2.5 the limit here; the tool counts in tenths.
    analyze(&["security", "--offline=true", "--threshold=25"]).expect_status(0);
}

/// nginx with the configuration of the repository, on ports of this test.
struct Nginx {
    directory: TempDir,
    process: Child,
    port: u16,
}

impl Nginx {
    fn start(upstream: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let dir = directory.path().display();
        let mut certificate = Command::new("openssl");
        certificate.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj"]);
        certificate.arg("/CN=metrics.example.com").current_dir(directory.path());
        certificate.args(["-keyout", "privkey.pem", "-out", "fullchain.pem"]);
        run_to_end(certificate).expect_status(0);
        let (port, plain_port) = (free_port(), free_port());
        let site = std::fs::read_to_string(root().join("infra/nginx/github-metrics.conf")).expect("a file");
        let site = site
            .replace("127.0.0.1:8080", upstream)
            .replace("listen 443 ssl", &format!("listen 127.0.0.1:{port} ssl"))
            .replace("listen 80", &format!("listen 127.0.0.1:{plain_port}"))
            .replace("/etc/letsencrypt/live/metrics.example.com", &dir.to_string())
            .replace("/var/log/nginx", &dir.to_string());
        std::fs::write(directory.path().join("site.conf"), site).expect("a file");
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {dir}/{name};"))
            .join(" ");
        let main = format!(
            "daemon off; pid {dir}/pid; error_log {dir}/error.log; events {{}} http {{ {temporary} include {dir}/site.conf; }}"
        );
        std::fs::write(directory.path().join("nginx.conf"), main).expect("a file");
        let command = || {
            let mut command = Command::new(Tool::Nginx.path());
            command.arg("-c").arg(directory.path().join("nginx.conf")).stdin(Stdio::null());
            command
        };
        let mut check = command();
        check.arg("-t");
        run_to_end(check).expect_status(0);
        let process = command().stderr(Stdio::null()).spawn().expect("nginx can be started");
        let nginx = Nginx { directory, process, port };
        wait_until(|| nginx.curl("/healthz", &[]).status == Some(0));
        nginx
    }

    /// Requests a path over TLS, as a client that trusts the certificate.
    fn curl(&self, path: &str, args: &[&str]) -> RunResult {
        let mut command = Command::new("curl");
        command.args(["--silent", "--insecure", "--max-time", "30", "--connect-to"]);
        command.arg(format!("metrics.example.com:443:127.0.0.1:{}", self.port)).args(args);
        command.arg(format!("https://metrics.example.com{path}"));
        run_to_end(command)
    }

    fn status(&self, path: &str, args: &[&str]) -> String {
        let write_status = ["--output", "/dev/null", "--write-out", "%{http_code}"];
        self.curl(path, &[&write_status, args].concat()).text()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("github-metrics.log")).unwrap_or_default()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // SIGTERM also stops its workers. SIGKILL would leave them.
        let _ = Command::new("kill").arg("-TERM").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

fn write_zeros(file: &Path, bytes: usize) {
    std::fs::write(file, vec![b'0'; bytes]).expect("a file");
}

fn nginx_passes_what_the_server_needs() {
    let sandbox = Sandbox::new()
        .with_variable("GITHUB_WEBHOOK_SECRET", "hunter2-hunter2-hunter2")
        .with_variable("API_ALLOW_HOST", "metrics.example.com");
    let token = sandbox.run(&["token", "new", "ann", "--role", "admin"]).expect_status(0).text();
    let server = sandbox.serve();
    let nginx = Nginx::start(server.address());
    let token = token.trim();
    let authorization = format!("authorization: Bearer {token}");
    assert_eq!(nginx.status("/api/v1/orgs", &[]), "401");
    assert_eq!(nginx.status("/api/v1/orgs", &["--header", &authorization]), "200");

    // A delivery of the greatest length reaches the program, which refuses its signature; a longer one does not.
    let body = sandbox.dir().join("body");
    let deliver = |bytes: usize| {
        write_zeros(&body, bytes);
        let data = format!("@{}", body.display());
        let signature = format!("x-hub-signature-256: sha256={}", "0".repeat(64));
        let headers = ["content-type: application/json", "expect:", "x-github-event: push", &signature];
        let headers = headers.iter().flat_map(|header| ["--header", header]);
        let args: Vec<&str> = headers.chain(["--data-binary", &data]).collect();
        nginx.status("/api/v1/webhook/github", &args)
    };
    assert_eq!(deliver(24 * 1024 * 1024), "401", "another signature");
    assert_eq!(deliver(30 * 1024 * 1024), "413");

    // Forms are accepted from the same origin, and the cookie is for encrypted connections only.
    let form = format!("token={token}&next=/");
    let sign_in = |origin: &str| {
        let origin = format!("origin: {origin}");
        nginx.curl("/sign-in", &["--include", "--header", &origin, "--data", &form]).text()
    };
    let signed_in = sign_in("https://metrics.example.com");
    assert!(signed_in.contains(" 303") && signed_in.contains("; Secure"), "{signed_in}");
    assert!(sign_in("https://evil.example").contains(" 403"));

    // The first event of the log arrives at once, although the stream does not end.
    let mut stream = ["--no-buffer", "--max-time", "5", "--header"].to_vec();
    stream.push(&authorization);
    let events = nginx.curl("/api/v1/log/stream?tail=true", &stream);
    assert_eq!(events.status, Some(28), "the stream lasts longer than that");
    assert!(events.text().contains("log_read"), "its own reading: {}", events.text());

    assert_eq!(nginx.status("/approve?link=secret-in-a-link", &[]), "404");
    let log = nginx.log();
    assert!(log.contains("/approve") && !log.contains("secret-in-a-link"), "{log}");
}

/// The tests of this file.
pub(crate) fn tests() -> Vec<ExternalTest> {
    vec![
        external_test!(&[Tool::Systemd], the_systemd_unit_is_valid_and_locked_down),
        external_test!(&[Tool::Nginx], nginx_passes_what_the_server_needs),
    ]
}
