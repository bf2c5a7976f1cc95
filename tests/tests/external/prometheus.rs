//! A real Prometheus reads `/metrics`, and accepts and tests the alert rules.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use gam_tests::http::get;
use gam_tests::program::Sandbox;

use crate::tools::{Tool, root};
use crate::{ExternalTest, external_test};

const NEEDS: &[Tool] = &[Tool::Prometheus];

pub(crate) fn tests() -> Vec<ExternalTest> {
    vec![
        external_test!(NEEDS, the_alert_rules_are_valid_and_fire_when_they_should),
        external_test!(NEEDS, a_real_prometheus_reads_the_metrics),
    ]
}

fn promtool(args: &[&str]) {
    let mut command = Command::new(Tool::Prometheus.path().join("promtool"));
    let output =
        command.args(args).current_dir(root().join("infra/prometheus")).output().expect("promtool runs");
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && text.contains("SUCCESS"), "{text}");
}

fn the_alert_rules_are_valid_and_fire_when_they_should() {
    promtool(&["check", "config", "prometheus.yml"]);
    promtool(&["test", "rules", "alerts.test.yml"]);
}

/// Ends the process when a test ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn a_real_prometheus_reads_the_metrics() {
    let sandbox = Sandbox::new();
    sandbox.run(&["demo", "--no-serve", "--days", "3"]).expect_status(0);
    let server = sandbox.serve();
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let config = format!(
        "global: {{ scrape_interval: 1s }}\nrule_files: [{:?}]\nscrape_configs:\n  - job_name: github-metrics\n    static_configs: \
         [{{ targets: [{:?}] }}]\n",
        root().join("infra/prometheus/alerts.yml"),
        server.address()
    );
    let file = sandbox.dir().join("prometheus.yml");
    std::fs::write(&file, config).expect("a file");
    let mut command = Command::new(Tool::Prometheus.path().join("prometheus"));
    command.arg("--config.file").arg(&file).arg("--storage.tsdb.path").arg(sandbox.dir().join("tsdb"));
    command.arg("--web.listen-address").arg(free.to_string());
    let _prometheus =
        Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("Prometheus starts"));
    let start = Instant::now();
    let query = "/api/v1/query?query=gam_inbox_batches";
    loop {
        let is_up = std::net::TcpStream::connect(free).is_ok();
        let answer = is_up.then(|| get(&free.to_string(), query)).filter(|answer| answer.status == 200);
        if let Some(value) = answer
            .and_then(|answer| answer.json()["data"]["result"][0]["value"][1].as_str().map(str::to_owned))
        {
            assert_eq!(value, "0", "the demo has processed its batches");
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "Prometheus reads nothing");
        std::thread::sleep(Duration::from_millis(200));
    }
}
