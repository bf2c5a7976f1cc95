//! An emulator for one test.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use aws_sdk_s3::config::retry::RetryConfig;
use gam_aws::SdkConfig;
use serde_json::{Value, json};

use super::calls::{AwsError, BotoProcess, boto};
use crate::tools::{Tool, root, script};

/// Longest wait for anything on the emulator.
const WAIT_LIMIT: Duration = Duration::from_secs(300);

/// Options of an emulator.
#[derive(Debug, Default)]
pub(crate) struct EmulatorSetup {
    is_strict: bool,
    variables: Vec<String>,
}

impl EmulatorSetup {
    /// An emulator that enforces the permissions of roles.
    pub(crate) fn strict() -> Self {
        EmulatorSetup { is_strict: true, variables: Vec::new() }
    }

    /// Sets an environment variable of the emulator, which functions inherit.
    pub(crate) fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push(format!("{name}={value}"));
        self
    }

    /// Starts the emulator.
    pub(crate) fn start(&self) -> Emulator {
        Emulator::start(self).unwrap_or_else(|why| panic!("the emulator does not start: {why}"))
    }
}

/// A running emulator, or the AWS that the environment names. An emulator stops when this is dropped, or when
/// the tests end.
pub(crate) struct Emulator {
    child: Option<Child>,
    endpoint: String,
    dir: PathBuf,
    boto: &'static BotoProcess,
}

impl Emulator {
    fn start(setup: &EmulatorSetup) -> Result<Self, String> {
        Tool::Emulator.install()?;
        let mut script = script();
        script.args(["start", "--port", "0", "--until-eof"]);
        if setup.is_strict {
            script.arg("--auth");
        }
        for variable in &setup.variables {
            script.args(["--variable", variable]);
        }
        script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = script.spawn().map_err(|error| format!("python3 cannot be started ({error})"))?;
        let mut line = String::new();
        let output = child.stdout.take().expect("its stdout");
        BufReader::new(output).read_line(&mut line).expect("its stdout is text");
        let started: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no emulator: {line:?}"));
        let text = |name: &str| started[name].as_str().expect("a path or URL").to_owned();
        let (endpoint, dir) = (text("endpoint"), PathBuf::from(text("dir")));
        Ok(Emulator { child: Some(child), endpoint, dir, boto: boto()? })
    }

    /// Returns the AWS that `AWS_ENDPOINT_URL` names, or starts an emulator.
    pub(crate) fn from_environment_or_start() -> Self {
        match environment_endpoint() {
            None => EmulatorSetup::default().start(),
            Some(endpoint) => {
                let boto = boto().unwrap_or_else(|why| panic!("{why}"));
                Emulator { child: None, endpoint, dir: PathBuf::new(), boto }
            }
        }
    }

    /// URL, such as `http://127.0.0.1:4566`.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Host and port.
    pub(crate) fn address(&self) -> &str {
        self.endpoint.trim_start_matches("http://")
    }

    /// Returns the configuration with which clients of this workspace reach it.
    pub(crate) async fn config(&self) -> SdkConfig {
        config_at(&self.endpoint).await
    }

    /// Calls an operation by its name in boto3.
    pub(crate) fn try_call(
        &self,
        service: &str,
        operation: &str,
        parameters: Value,
    ) -> Result<Value, AwsError> {
        let endpoint = &self.endpoint;
        let request = json!({
            "endpoint": endpoint, "service": service, "operation": operation, "parameters": parameters,
        });
        self.boto.send(request)
    }

    /// Calls an operation.
    ///
    /// # Panics
    /// If it fails.
    #[track_caller]
    pub(crate) fn call(&self, service: &str, operation: &str, parameters: Value) -> Value {
        match self.try_call(service, operation, parameters) {
            Ok(answer) => answer,
            Err(error) => panic!("{service} {operation}: {}: {}", error.code, error.message),
        }
    }

    /// Calls an operation with these credentials instead of the emulator's own.
    pub(crate) fn call_as(
        &self,
        credentials: &[String],
        service: &str,
        operation: &str,
        parameters: Value,
    ) -> Result<Value, AwsError> {
        self.boto.send(json!({
            "endpoint": self.endpoint, "service": service, "operation": operation,
            "parameters": parameters, "credentials": credentials,
        }))
    }

    /// Returns the values of a field from all pages of a list.
    #[track_caller]
    pub(crate) fn list(&self, service: &str, operation: &str, field: &str, parameters: Value) -> Vec<Value> {
        let answer = self.boto.send(json!({
            "endpoint": self.endpoint, "service": service, "operation": operation,
            "parameters": parameters, "pages": field,
        }));
        let mut answer = answer.unwrap_or_else(|error| panic!("{service} {operation}: {error:?}"));
        match answer.take() {
            Value::Array(values) => values,
            other => panic!("{service} {operation}: {other} is not a list"),
        }
    }

    /// Directory of its files, in which its functions run.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its log, with the logs of its functions.
    pub(crate) fn log(&self) -> String {
        std::fs::read(self.dir.join("log"))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        if std::thread::panicking() {
            save_log(&self.log());
        }
        if let Some(mut child) = self.child.take() {
            drop(child.stdin.take());
            let _ = child.wait();
        }
    }
}

/// Saves the log of a failed test and prints its end, which usually has the reason.
#[expect(clippy::print_stderr, reason = "whoever runs the tests needs the log")]
fn save_log(log: &str) {
    let test = std::thread::current().name().unwrap_or("test").replace("::", "-");
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{test}.log"));
    let lines: Vec<&str> = log.lines().collect();
    let end = lines[lines.len().saturating_sub(40)..].join("\n");
    match std::fs::write(&path, log) {
        Ok(()) => eprintln!("the emulator's log is in {} and ends with:\n{end}", path.display()),
        Err(_) => eprintln!("the emulator's log ends with:\n{end}"),
    }
}

#[expect(clippy::disallowed_methods, reason = "the environment of the test runner configures the tests")]
fn environment_endpoint() -> Option<String> {
    std::env::var("AWS_ENDPOINT_URL").ok().filter(|endpoint| !endpoint.is_empty())
}

/// Returns the configuration with which clients of this workspace reach an endpoint. It has the emulator's
/// credentials, unless the environment names an AWS.
pub(crate) async fn config_at(endpoint: &str) -> SdkConfig {
    use aws_sdk_s3::config::{Credentials, Region, SharedCredentialsProvider};
    let loaded = gam_aws::load().await;
    // The usual number of retries, with shorter waits.
    let retries = loaded.retry_config().cloned().unwrap_or_else(RetryConfig::standard);
    let retries = retries.with_initial_backoff(Duration::from_millis(20));
    let loaded = loaded.into_builder().endpoint_url(endpoint).retry_config(retries);
    if environment_endpoint().is_some() {
        return loaded.build();
    }
    let credentials = Credentials::new("test", "test", None, None, "the emulator's own");
    loaded
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .region(Region::new("us-east-1"))
        .build()
}

/// Reads the template as JSON, with its short forms expanded.
pub(crate) fn template(boto: &BotoProcess) -> Value {
    let path = root().join("template.yaml");
    let request = json!({
        "endpoint": "", "service": "tests", "operation": "template", "parameters": { "path": path },
    });
    boto.send(request).unwrap_or_else(|error| panic!("the template cannot be read: {error:?}"))
}

/// Polls until `poll` returns a value.
///
/// # Panics
/// If that takes too long.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, poll: impl FnMut() -> Option<T>) -> T {
    gam_tests::support::wait_for(what, WAIT_LIMIT, poll)
}
