//! The script of the local AWS, and the tools that it gets.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};

use gam_tests::program::is_ci;
use serde_json::Value;

/// The emulator with a Python that has boto3.
pub(crate) const EMULATOR: &str = "local-aws";
/// `sam` with cargo-lambda and zig.
pub(crate) const SAM: &str = "sam";
/// checkov.
pub(crate) const LINT: &str = "lint";

const NEEDS: &str = "this test needs Python 3.9 or newer with pip, and packages from PyPI";

/// The root of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace")
}

/// `infra/local-aws`, to be given arguments.
pub(crate) fn script() -> Command {
    let mut command = Command::new("python3");
    command.arg(root().join("infra/local-aws"));
    // Beside what cargo builds these tests into, wherever that is.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target directory");
    command.env("CARGO_TARGET_DIR", target);
    command.stdin(Stdio::null());
    command
}

/// Runs the script to its end, and gives what it wrote as data; what it wrote about itself, where it failed.
pub(crate) fn run(mut script: Command) -> Result<String, String> {
    let output = script.output().map_err(|error| format!("python3 cannot be started ({error})"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

/// Where the programs of a set of tools are; installed, where they are not there yet.
pub(crate) fn tool(name: &'static str) -> Result<PathBuf, String> {
    static FOUND: LazyLock<Mutex<BTreeMap<&str, Result<PathBuf, String>>>> = LazyLock::new(Mutex::default);
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    found.entry(name).or_insert_with(|| install(name)).clone()
}

fn install(name: &str) -> Result<PathBuf, String> {
    let mut script = script();
    script.args(["tools", name]);
    let told = run(script)?;
    let places: Value = serde_json::from_str(&told).map_err(|error| format!("{error}: {told}"))?;
    places[name].as_str().map(PathBuf::from).ok_or_else(|| format!("it does not tell of {name}: {told}"))
}

/// What a test needs; nothing where it is to be skipped, as it cannot be had here.
pub(crate) fn or_skip<T>(what: Result<T, String>) -> Option<T> {
    match what {
        Ok(what) => Some(what),
        Err(why) => {
            assert!(!is_ci(), "{NEEDS}: {why}");
            skip(&why);
            None
        }
    }
}

#[expect(clippy::print_stderr, reason = "who runs the tests should know that this one did nothing")]
fn skip(why: &str) {
    eprintln!("skipped: {NEEDS}: {why}");
}
