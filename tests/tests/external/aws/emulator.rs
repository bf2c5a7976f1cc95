//! An emulator of a test's own.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use aws_sdk_s3::config::retry::RetryConfig;
use gam_aws::SdkConfig;
use serde_json::{Value, json};

use super::calls::{AwsError, Calls, calls};
use crate::tools::{Tool, root, script};

/// How long anything on the emulator may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(120);

/// How an emulator is started.
#[derive(Debug, Default)]
pub(crate) struct EmulatorSetup {
    is_strict: bool,
    variables: Vec<String>,
}

impl EmulatorSetup {
    /// One that holds everybody to what their roles allow.
    pub(crate) fn strict() -> Self {
        EmulatorSetup { is_strict: true, variables: Vec::new() }
    }

    /// With a variable more, which functions inherit.
    pub(crate) fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push(format!("{name}={value}"));
        self
    }

    /// Starts it.
    pub(crate) fn start(&self) -> Emulator {
        Emulator::start(self).unwrap_or_else(|why| panic!("the emulator does not start: {why}"))
    }
}

/// A running emulator, or another AWS that was named from outside. Its own ends when this is dropped,
/// or when the process of the tests ends.
pub(crate) struct Emulator {
    child: Option<Child>,
    endpoint: String,
    dir: PathBuf,
    calls: &'static Calls,
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
        let told: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no emulator: {line:?}"));
        let text = |name: &str| told[name].as_str().expect("where it is").to_owned();
        let (endpoint, dir) = (text("endpoint"), PathBuf::from(text("dir")));
        Ok(Emulator { child: Some(child), endpoint, dir, calls: calls()? })
    }

    /// The AWS that `AWS_ENDPOINT_URL` names, or else an emulator.
    pub(crate) fn given_or_started() -> Self {
        match outside() {
            None => EmulatorSetup::default().start(),
            Some(endpoint) => {
                let calls = calls().unwrap_or_else(|why| panic!("{why}"));
                Emulator { child: None, endpoint, dir: PathBuf::new(), calls }
            }
        }
    }

    /// Its address, such as `http://127.0.0.1:4566`.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Host and port.
    pub(crate) fn address(&self) -> &str {
        self.endpoint.trim_start_matches("http://")
    }

    /// How clients of this workspace reach it.
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
        let question = json!({
            "endpoint": endpoint, "service": service, "operation": operation, "parameters": parameters,
        });
        self.calls.ask(question)
    }

    /// Calls an operation, which must succeed.
    #[track_caller]
    pub(crate) fn call(&self, service: &str, operation: &str, parameters: Value) -> Value {
        match self.try_call(service, operation, parameters) {
            Ok(answer) => answer,
            Err(refusal) => panic!("{service} {operation}: {}: {}", refusal.code, refusal.message),
        }
    }

    /// Calls an operation with other credentials than the emulator's own.
    pub(crate) fn call_as(
        &self,
        credentials: &[String],
        service: &str,
        operation: &str,
        parameters: Value,
    ) -> Result<Value, AwsError> {
        self.calls.ask(json!({
            "endpoint": self.endpoint, "service": service, "operation": operation,
            "parameters": parameters, "credentials": credentials,
        }))
    }

    /// All pages of a list: what that field holds.
    #[track_caller]
    pub(crate) fn list(&self, service: &str, operation: &str, field: &str, parameters: Value) -> Vec<Value> {
        let answer = self.calls.ask(json!({
            "endpoint": self.endpoint, "service": service, "operation": operation,
            "parameters": parameters, "pages": field,
        }));
        let mut answer = answer.unwrap_or_else(|refusal| panic!("{service} {operation}: {refusal:?}"));
        match answer.take() {
            Value::Array(found) => found,
            other => panic!("{service} {operation}: {other} is no list"),
        }
    }

    /// Where its files are, and its functions run.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// What it wrote about itself and its functions.
    pub(crate) fn log(&self) -> String {
        std::fs::read(self.dir.join("log"))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tell(&self.log());
        }
        if let Some(mut child) = self.child.take() {
            drop(child.stdin.take());
            let _ = child.wait();
        }
    }
}

/// Keeps the log, as the functions' last words say why a test failed.
#[expect(clippy::print_stderr, reason = "who runs the tests should see it")]
fn tell(log: &str) {
    let test = std::thread::current().name().unwrap_or("test").replace("::", "-");
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{test}.log"));
    let lines: Vec<&str> = log.lines().collect();
    let end = lines[lines.len().saturating_sub(40)..].join("\n");
    match std::fs::write(&kept, log) {
        Ok(()) => eprintln!("the emulator's log is in {} and ends:\n{end}", kept.display()),
        Err(_) => eprintln!("the emulator's log ends:\n{end}"),
    }
}

#[expect(clippy::disallowed_methods, reason = "the test runner is told where things are by its environment")]
fn outside() -> Option<String> {
    std::env::var("AWS_ENDPOINT_URL").ok().filter(|endpoint| !endpoint.is_empty())
}

/// How clients of this workspace reach an endpoint; the emulator's own credentials, unless the
/// environment names an AWS.
pub(crate) async fn config_at(endpoint: &str) -> SdkConfig {
    use aws_sdk_s3::config::{Credentials, Region, SharedCredentialsProvider};
    let loaded = gam_aws::load().await;
    // Tried as often as always, only sooner.
    let retries = loaded.retry_config().cloned().unwrap_or_else(RetryConfig::standard);
    let retries = retries.with_initial_backoff(Duration::from_millis(20));
    let loaded = loaded.into_builder().endpoint_url(endpoint).retry_config(retries);
    if outside().is_some() {
        return loaded.build();
    }
    let credentials = Credentials::new("test", "test", None, None, "the emulator's own");
    loaded
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .region(Region::new("us-east-1"))
        .build()
}

/// The template as JSON, its short forms written out.
pub(crate) fn template(calls: &Calls) -> Value {
    let path = root().join("template.yaml");
    let question = json!({
        "endpoint": "", "service": "tests", "operation": "template", "parameters": { "path": path },
    });
    calls.ask(question).unwrap_or_else(|refusal| panic!("the template cannot be read: {refusal:?}"))
}

/// Looks again and again until there is something to be seen.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < until, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
