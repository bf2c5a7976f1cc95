//! Runs the real program: builds it once, and starts each process in a sandbox.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, LazyLock, Mutex};
use std::thread::JoinHandle;

use serde_json::Value;
use tempfile::TempDir;

use crate::github::{Double, TOKEN};

static BINARY: LazyLock<Option<PathBuf>> =
    LazyLock::new(|| variable("GITHUB_METRICS_BIN").map(PathBuf::from).or_else(build));

#[expect(clippy::disallowed_methods, reason = "the environment of the test runner configures the tests")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Prefixes of the variables that cargo sets for the package of a test.
const PACKAGE_VARIABLE_PREFIXES: [&str; 5] =
    ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_", "CARGO_BIN_", "OUT_DIR"];

/// Returns the names of the environment variables with that prefix.
#[expect(clippy::disallowed_methods, reason = "the environment of the test runner configures the tests")]
fn variable_names(prefix: &str) -> Vec<String> {
    std::env::vars().map(|(name, _)| name).filter(|name| name.starts_with(prefix)).collect()
}

/// Returns whether the tests run in CI, where a missing tool is an error.
pub fn is_ci() -> bool {
    variable("CI").is_some()
}

/// Returns the program: the file that `GITHUB_METRICS_BIN` names, or the one that cargo builds.
///
/// # Panics
/// If it cannot be built.
pub fn binary() -> &'static Path {
    BINARY.as_deref().expect(
        "the program cannot be built: run `cargo test --workspace --all-features --no-run` to see why",
    )
}

/// Builds the program with the flags that the workspace's tests are built with, so that after
/// `cargo test --workspace --all-features` nothing is left to build. `None` if the build fails.
fn build() -> Option<PathBuf> {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    let mut cargo = Command::new(variable("CARGO").unwrap_or_else(|| "cargo".to_owned()));
    // Cargo builds a package's program together with its tests.
    cargo.args(["test", "--quiet", "--workspace", "--all-features", "--no-run"]);
    cargo.args(["--message-format", "json-render-diagnostics", "--manifest-path", manifest]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    // Build scripts run again if their environment names another package than last time, and half of the
    // workspace is then rebuilt.
    for name in PACKAGE_VARIABLE_PREFIXES.iter().flat_map(|prefix| variable_names(prefix)) {
        cargo.env_remove(name);
    }
    let output = cargo.stderr(Stdio::inherit()).output().expect("cargo can be started");
    if !output.status.success() {
        return None;
    }
    let messages = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut executable = messages.lines().filter_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let is_program = message["target"]["name"] == "github-metrics" && message["profile"]["test"] == false;
        is_program.then(|| message["executable"].as_str().map(PathBuf::from)).flatten()
    });
    executable.next_back()
}

/// The result of a run of the program.
#[derive(Debug)]
pub struct RunResult {
    /// Exit status. `None` if a signal ended the process.
    pub status: Option<i32>,
    /// Everything written to stdout.
    pub stdout: Vec<u8>,
    /// Everything written to stderr.
    pub stderr: String,
}

impl RunResult {
    /// Stdout as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Stdout as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|error| panic!("not JSON ({error}): {self:?}"))
    }

    /// Asserts the exit status.
    #[track_caller]
    pub fn expect_status(self, status: i32) -> Self {
        assert_eq!(self.status, Some(status), "stdout: {}\nstderr: {}", self.text(), self.stderr);
        self
    }

    /// Asserts that the run failed with this status, without a panic and with exactly one error line. Returns
    /// that line.
    #[track_caller]
    pub fn expect_error(self, status: i32) -> String {
        let result = self.expect_status(status);
        for word in ["panicked", "RUST_BACKTRACE", "stack backtrace", "thread '"] {
            assert!(!result.stderr.contains(word), "{word}: {}", result.stderr);
        }
        let errors: Vec<&str> = result.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
        assert_eq!(errors.len(), 1, "expected one error line: {}", result.stderr);
        errors[0].to_owned()
    }
}

/// A directory and an environment for runs of the program, apart from every other test.
pub struct Sandbox {
    dir: TempDir,
    variables: Vec<(String, String)>,
}

impl Sandbox {
    /// Creates an empty sandbox without GitHub.
    pub fn new() -> Self {
        Sandbox { dir: TempDir::new().expect("a directory"), variables: Vec::new() }
    }

    /// Creates an empty sandbox that uses the double as GitHub.
    pub fn with_github(double: &Double) -> Self {
        Self::new().with_variable("GITHUB_API_URL", &double.api_url()).with_variable("GITHUB_TOKEN", TOKEN)
    }

    /// Sets an environment variable.
    pub fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.variables.retain(|(existing, _)| existing != name);
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The working directory.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The data directory, `--data-dir`.
    pub fn data_dir(&self) -> PathBuf {
        self.dir().join("data")
    }

    /// The directory of the lake.
    pub fn lake_dir(&self) -> PathBuf {
        self.data_dir().join("lake")
    }

    /// Gives a command this sandbox's environment, and no other variables.
    pub fn isolate(&self, mut command: Command) -> Command {
        command.env_clear().current_dir(self.dir());
        command.env("PATH", variable("PATH").unwrap_or_default());
        command
            .env("HOME", self.dir())
            .env("LANG", "C.UTF-8")
            .env("RUST_BACKTRACE", "1")
            .env("GITHUB_METRICS_DATA_DIR", self.data_dir());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Returns a command that runs the program with arguments.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(args);
        self.isolate(command)
    }

    /// Runs the program and waits for it.
    pub fn run(&self, args: &[&str]) -> RunResult {
        run_to_end(self.command(args))
    }

    /// Starts the program and discards its output.
    pub fn spawn(&self, args: &[&str]) -> Child {
        let mut command = self.command(args);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("the program can be started")
    }

    /// Starts `serve` on the sandbox's data.
    pub fn serve(&self) -> ServerProcess {
        ServerProcess::start(self.command(&["serve", "--listen", "127.0.0.1:0"]))
    }
}

impl Default for Sandbox {
    fn default() -> Self {
        Self::new()
    }
}

/// Returns the memory of a running process in kB. The name is a field of `/proc/PID/status`: `VmRSS` is the
/// current memory, `VmHWM` the peak. `None` if the system does not report it.
pub fn memory_kb(pid: u32, name: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    value.trim().trim_end_matches(" kB").parse().ok()
}

/// Runs a command and waits for it.
pub fn run_to_end(mut command: Command) -> RunResult {
    let output = command.output().expect("the program can be started");
    RunResult {
        status: output.status.code(),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A process that serves the API. It is killed when this is dropped.
pub struct ServerProcess {
    child: Child,
    address: String,
    stdout: BufReader<ChildStdout>,
    stderr_text: Arc<Mutex<String>>,
    stderr_reader: Option<JoinHandle<()>>,
}

impl ServerProcess {
    /// Starts a command that serves, and waits until it prints its address.
    pub fn start(mut command: Command) -> Self {
        let mut child = command.spawn().expect("the program can be started");
        let mut stderr = BufReader::new(child.stderr.take().expect("its stderr"));
        let mut stderr_text = String::new();
        let address = loop {
            let mut line = String::new();
            let length = stderr.read_line(&mut line).expect("its stderr is text");
            assert!(length > 0, "it does not serve: {stderr_text}");
            stderr_text.push_str(&line);
            if let Some((_, address)) = line.split_once("listening on http://") {
                break address.split(['"', ' ', '\n']).next().unwrap_or_default().to_owned();
            }
        };
        let stderr_text = Arc::new(Mutex::new(stderr_text));
        let shared = Arc::clone(&stderr_text);
        let stderr_reader = std::thread::spawn(move || {
            let mut rest = Vec::new();
            // The pipe closes when the process ends.
            let _ = stderr.read_to_end(&mut rest);
            let mut stderr_text = shared.lock().expect("no thread panics while it holds the lock");
            stderr_text.push_str(&String::from_utf8_lossy(&rest));
        });
        let stdout = BufReader::new(child.stdout.take().expect("its stdout"));
        ServerProcess { child, address, stdout, stderr_text, stderr_reader: Some(stderr_reader) }
    }

    /// Host and port.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Returns the next line of its stdout that begins with a text.
    pub fn next_line(&mut self, beginning: &str) -> String {
        loop {
            let mut line = String::new();
            let length = self.stdout.read_line(&mut line).expect("its stdout is text");
            assert!(length > 0, "it prints no line that begins with {beginning:?}");
            if line.starts_with(beginning) {
                return line.trim_end().to_owned();
            }
        }
    }

    /// Kills the process and returns what it wrote to stderr.
    pub fn stop(mut self) -> String {
        self.kill();
        self.stderr_text.lock().expect("no thread panics while it holds the lock").clone()
    }

    fn kill(&mut self) {
        // The process may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(stderr_reader) = self.stderr_reader.take() {
            let _ = stderr_reader.join();
        }
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        self.kill();
    }
}
