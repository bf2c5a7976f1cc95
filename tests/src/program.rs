//! The real program: found or built once, started with an environment of its own, watched, killed.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, LazyLock, Mutex};
use std::thread::JoinHandle;

use serde_json::Value;
use tempfile::TempDir;

use crate::github::{Double, TOKEN};

static BINARY: LazyLock<Option<PathBuf>> =
    LazyLock::new(|| variable("GITHUB_METRICS_BIN").map(PathBuf::from).or_else(build));

#[expect(clippy::disallowed_methods, reason = "the test runner is told where things are by its environment")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// What cargo tells a test of its package.
const OF_PACKAGE: [&str; 5] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_", "CARGO_BIN_", "OUT_DIR"];

/// The names of the variables that begin so.
#[expect(clippy::disallowed_methods, reason = "the test runner is told where things are by its environment")]
fn variables(prefix: &str) -> Vec<String> {
    std::env::vars().map(|(name, _)| name).filter(|name| name.starts_with(prefix)).collect()
}

/// Whether the tests run where everything they need is meant to be there.
pub fn is_ci() -> bool {
    variable("CI").is_some()
}

/// The binary: what `GITHUB_METRICS_BIN` names, or what cargo builds.
pub fn binary() -> &'static Path {
    BINARY
        .as_deref()
        .expect("the program cannot be built: `cargo test --workspace --all-features --no-run` says why")
}

/// Builds the program as the workspace's tests are built, with the same features, so that after
/// `cargo test --workspace --all-features` nothing is left to build; nothing where it cannot be.
fn build() -> Option<PathBuf> {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    let mut cargo = Command::new(variable("CARGO").unwrap_or_else(|| "cargo".to_owned()));
    // The program is built for the tests of its own package.
    cargo.args(["test", "--quiet", "--workspace", "--all-features", "--no-run"]);
    cargo.args(["--message-format", "json-render-diagnostics", "--manifest-path", manifest]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    // Build scripts that find another package in their environment than the last time begin anew, and with
    // them half of the tree.
    for name in OF_PACKAGE.iter().flat_map(|prefix| variables(prefix)) {
        cargo.env_remove(name);
    }
    let built = cargo.stderr(Stdio::inherit()).output().expect("cargo can be started");
    if !built.status.success() {
        return None;
    }
    let messages = String::from_utf8_lossy(&built.stdout).into_owned();
    let mut executable = messages.lines().filter_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let is_it = message["target"]["name"] == "github-metrics" && message["profile"]["test"] == false;
        is_it.then(|| message["executable"].as_str().map(PathBuf::from)).flatten()
    });
    executable.next_back()
}

/// How a run of the program ended.
#[derive(Debug)]
pub struct RunResult {
    /// The exit status; nothing where a signal ended it.
    pub status: Option<i32>,
    /// What it wrote as data.
    pub stdout: Vec<u8>,
    /// What it wrote about itself.
    pub stderr: String,
}

impl RunResult {
    /// The data as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// The data as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }

    /// The run, which must have ended with that status.
    #[track_caller]
    pub fn expect_status(self, status: i32) -> Self {
        assert_eq!(self.status, Some(status), "stdout: {}\nstderr: {}", self.text(), self.stderr);
        self
    }

    /// The one line that tells what was wrong: the run must have ended with that status, and must not
    /// have panicked.
    #[track_caller]
    pub fn expect_error(self, status: i32) -> String {
        let result = self.expect_status(status);
        for word in ["panicked", "RUST_BACKTRACE", "stack backtrace", "thread '"] {
            assert!(!result.stderr.contains(word), "{word}: {}", result.stderr);
        }
        let errors: Vec<&str> = result.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
        assert_eq!(errors.len(), 1, "one line tells what is wrong: {}", result.stderr);
        errors[0].to_owned()
    }
}

/// A place of its own for the program: a directory, the double's address, a token.
pub struct Sandbox {
    dir: TempDir,
    variables: Vec<(String, String)>,
}

impl Sandbox {
    /// An empty place, with no GitHub.
    pub fn new() -> Self {
        Sandbox { dir: TempDir::new().expect("a directory"), variables: Vec::new() }
    }

    /// An empty place, with the double for GitHub.
    pub fn with_github(double: &Double) -> Self {
        Self::new().with_variable("GITHUB_API_URL", &double.api_url()).with_variable("GITHUB_TOKEN", TOKEN)
    }

    /// The same place with a variable more, or with another value for it.
    pub fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.dir().join("data")
    }

    /// The lake.
    pub fn lake_dir(&self) -> PathBuf {
        self.data_dir().join("lake")
    }

    /// A command that has this place's environment and no other.
    pub fn isolate(&self, mut command: Command) -> Command {
        command.env_clear().current_dir(self.dir());
        command.env("PATH", variable("PATH").unwrap_or_default());
        command
            .env("HOME", self.dir())
            .env("RUST_BACKTRACE", "1")
            .env("GITHUB_METRICS_DATA_DIR", self.data_dir());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// The program with arguments.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(args);
        self.isolate(command)
    }

    /// Runs the program to its end.
    pub fn run(&self, args: &[&str]) -> RunResult {
        run_to_end(self.command(args))
    }

    /// Starts the program.
    pub fn spawn(&self, args: &[&str]) -> Child {
        let mut command = self.command(args);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("the program can be started")
    }

    /// Serves what is in the place.
    pub fn serve(&self) -> ServerProcess {
        ServerProcess::start(self.command(&["serve", "--listen", "127.0.0.1:0"]))
    }
}

impl Default for Sandbox {
    fn default() -> Self {
        Self::new()
    }
}

/// The memory of a running process in kB, by its name in `/proc/PID/status`: `VmRSS` for what it has now,
/// `VmHWM` for the most it ever had. Nothing where that is not known.
pub fn memory_kb(pid: u32, name: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    value.trim().trim_end_matches(" kB").parse().ok()
}

/// Runs a command to its end.
pub fn run_to_end(mut command: Command) -> RunResult {
    let output = command.output().expect("the program can be started");
    RunResult {
        status: output.status.code(),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The program, serving. It ends when this is dropped.
pub struct ServerProcess {
    child: Child,
    address: String,
    told: Arc<Mutex<String>>,
    listener: Option<JoinHandle<()>>,
}

impl ServerProcess {
    /// Starts a command that serves, and waits until it says where.
    pub fn start(mut command: Command) -> Self {
        let mut child = command.spawn().expect("the program can be started");
        let mut stderr = BufReader::new(child.stderr.take().expect("its stderr"));
        let mut told = String::new();
        let address = loop {
            let mut line = String::new();
            let read = stderr.read_line(&mut line).expect("its stderr is text");
            assert!(read > 0, "it does not serve: {told}");
            told.push_str(&line);
            if let Some((_, address)) = line.split_once("listening on http://") {
                break address.split(['"', ' ', '\n']).next().unwrap_or_default().to_owned();
            }
        };
        let told = Arc::new(Mutex::new(told));
        let shared = Arc::clone(&told);
        let listener = std::thread::spawn(move || {
            let mut rest = Vec::new();
            // It ends with the program.
            let _ = stderr.read_to_end(&mut rest);
            let mut told = shared.lock().expect("nobody panics with it");
            told.push_str(&String::from_utf8_lossy(&rest));
        });
        ServerProcess { child, address, told, listener: Some(listener) }
    }

    /// Where it serves: host and port.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Ends it, and gives what it wrote about itself.
    pub fn stop(mut self) -> String {
        self.end();
        self.told.lock().expect("nobody panics with it").clone()
    }

    fn end(&mut self) {
        // Where it has ended by itself there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        self.end();
    }
}
