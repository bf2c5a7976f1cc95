//! The tools that these tests need, each pinned, and installed into the target directory once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};

use gam_tests::program::binary;
use serde_json::Value;

/// The version of DuckDB's Python package.
const DUCKDB_VERSION: &str = "1.5.6";
/// The version of the Python packages that hold DuckDB's program and its extension for S3, which fit each other.
const DUCKDB_PROGRAM_VERSION: &str = "1.5.5";
/// The version of Playwright's Python package.
const PLAYWRIGHT_VERSION: &str = "1.65.2";

/// Something that comes from a package registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tool {
    /// The emulator of AWS, with a Python that has boto3.
    Emulator,
    /// `sam`, with cargo-lambda and zig.
    Sam,
    /// checkov.
    Lint,
    /// Linters of workflows, issue forms, container files and Kubernetes manifests.
    Repository,
    /// schemathesis.
    Api,
    /// DuckDB's Python package.
    DuckDb,
    /// DuckDB's program.
    DuckDbProgram,
    /// The file of DuckDB's extension for S3.
    DuckDbHttpfs,
    /// Debian's Chromium.
    Chromium,
    /// Playwright's Python package, which drives a browser.
    Playwright,
    /// The script of axe-core, which checks the accessibility of a page.
    AxeCore,
    /// The programs of a PostgreSQL server, from a package of the operating system.
    Postgres,
    /// The program of Prometheus, with `promtool` next to it, from a package of the operating system.
    Prometheus,
    /// nginx, from a package of the operating system.
    Nginx,
    /// `systemd-analyze`, from a package of the operating system.
    Systemd,
    /// GitHub's GraphQL schema.
    GraphQlSchema,
    /// GitHub's description of its REST API.
    OpenApi,
    /// Examples of webhook deliveries: a directory.
    WebhookExamples,
}

impl Tool {
    /// Installs the tool if it is missing, and returns its path: a directory of programs or of Python
    /// packages, or the file of a schema.
    ///
    /// # Errors
    /// If it cannot be installed: what it needs, and why that failed.
    pub(crate) fn install(self) -> Result<PathBuf, String> {
        static INSTALLED: LazyLock<Mutex<BTreeMap<Tool, Result<PathBuf, String>>>> =
            LazyLock::new(Mutex::default);
        let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
        installed.entry(self).or_insert_with(|| self.install_now()).clone()
    }

    /// Returns the path of a tool that the test names in its needs.
    pub(crate) fn path(self) -> PathBuf {
        self.install().unwrap_or_else(|why| panic!("{why}"))
    }

    fn install_now(self) -> Result<PathBuf, String> {
        match self {
            Tool::Emulator => local_aws_tool("local-aws"),
            Tool::Sam => local_aws_tool("sam"),
            Tool::Lint => local_aws_tool("lint"),
            Tool::Repository => local_aws_tool("repository"),
            Tool::Api => local_aws_tool("api"),
            Tool::DuckDb => python_package("duckdb", DUCKDB_VERSION, false).map_err(|why| {
                format!("needs Python 3 with pip, and duckdb {DUCKDB_VERSION} from PyPI: {why}")
            }),
            Tool::DuckDbProgram => {
                let package = python_package("duckdb-cli", DUCKDB_PROGRAM_VERSION, false).map_err(|why| {
                    format!(
                        "needs Python 3 with pip, and duckdb-cli {DUCKDB_PROGRAM_VERSION} from PyPI: {why}"
                    )
                })?;
                Ok(package.join("duckdb_cli"))
            }
            Tool::DuckDbHttpfs => {
                let package = python_package("duckdb-extension-httpfs", DUCKDB_PROGRAM_VERSION, false);
                let package = package.map_err(|why| {
                    format!(
                        "needs Python 3 with pip, and duckdb-extension-httpfs {DUCKDB_PROGRAM_VERSION} from PyPI: {why}"
                    )
                })?;
                let version = format!("v{DUCKDB_PROGRAM_VERSION}");
                let folder = package.join("duckdb_extension_httpfs/extensions").join(version);
                Ok(folder.join("httpfs.duckdb_extension"))
            }
            Tool::Chromium => chromium(),
            Tool::Playwright => python_package("playwright", PLAYWRIGHT_VERSION, true).map_err(|why| {
                format!("needs Python 3 with pip, and playwright {PLAYWRIGHT_VERSION} from PyPI: {why}")
            }),
            Tool::AxeCore => npm("axe-core", "4.14.1", "axe.min.js"),
            Tool::Postgres => postgres(),
            Tool::Prometheus => prometheus(),
            Tool::Nginx => {
                system_program(&["nginx", "/usr/sbin/nginx"], "nginx: install the package nginx-light")
            }
            Tool::Systemd => {
                system_program(&["systemd-analyze"], "systemd-analyze: install the package systemd")
            }
            Tool::GraphQlSchema => npm("@octokit/graphql-schema", "15.26.1", "schema.graphql"),
            Tool::WebhookExamples => npm("@octokit/webhooks-examples", "7.6.1", ""),
            Tool::OpenApi => npm("@octokit/openapi", "23.0.2", "generated/api.github.com.json"),
        }
    }
}

/// The root of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace")
}

/// `infra/local-aws`, to be given arguments.
pub(crate) fn script() -> Command {
    let mut command = Command::new("python3");
    command.arg(root().join("infra/local-aws"));
    // Next to what cargo builds these tests into, wherever that is.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target directory");
    command.env("CARGO_TARGET_DIR", target);
    command.stdin(Stdio::null());
    command
}

/// Runs the script to its end. Returns what it wrote to stdout, or what it wrote to stderr if it failed.
pub(crate) fn run(mut script: Command) -> Result<String, String> {
    let output = script.output().map_err(|error| format!("python3 cannot be started ({error})"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

/// The directory of programs of one set of tools of `infra/local-aws`.
fn local_aws_tool(name: &str) -> Result<PathBuf, String> {
    let needs = |why| format!("needs Python 3.9 or newer with pip, and packages of {name} from PyPI: {why}");
    let mut script = script();
    script.args(["tools", name]);
    let places = run(script).map_err(needs)?;
    let places: Value = serde_json::from_str(&places).map_err(|error| needs(format!("{error}: {places}")))?;
    places[name].as_str().map(PathBuf::from).ok_or_else(|| needs(format!("no path in {places}")))
}

/// Where packages of these tests are installed.
fn packages() -> Result<PathBuf, String> {
    let target = binary().parent().and_then(Path::parent).ok_or("the program has no target directory")?;
    let packages = target.join("test-packages");
    std::fs::create_dir_all(&packages).map_err(|error| format!("{}: {error}", packages.display()))?;
    Ok(packages)
}

/// Installs a package into a fresh directory and moves it to `place`, unless another process was faster.
fn install_once(place: &Path, installer: impl FnOnce(&Path) -> Command) -> Result<(), String> {
    if place.is_dir() {
        return Ok(());
    }
    let fresh = tempfile::tempdir_in(packages()?).map_err(|error| error.to_string())?;
    let mut command = installer(fresh.path());
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{program} cannot be started ({error})"))?;
    if !output.status.success() {
        return Err(format!("{program} failed: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    let fresh = fresh.keep();
    if std::fs::rename(&fresh, place).is_err() {
        // The copy of the other process serves as well.
        let _ = std::fs::remove_dir_all(&fresh);
    }
    if place.is_dir() { Ok(()) } else { Err(format!("{} cannot be created", place.display())) }
}

/// A package from PyPI, with those that it needs if `has_dependencies`.
fn python_package(name: &str, version: &str, has_dependencies: bool) -> Result<PathBuf, String> {
    let place = packages()?.join(format!("{name}-{version}"));
    install_once(&place, |fresh| {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .args((!has_dependencies).then_some("--no-deps"))
            .args(["--only-binary", ":all:", &format!("{name}=={version}"), "--target"])
            .arg(fresh);
        pip
    })?;
    Ok(place)
}

/// The browser of the system. It is not installed from here, because a package of the system belongs to the system;
/// `.ci/run` installs it.
fn chromium() -> Result<PathBuf, String> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    system_program(&names, "Chromium: install Debian's package `chromium`")
}

/// The first of these programs that there is. `what` says what is needed, and how to get it.
fn system_program(names: &[&str], what: &str) -> Result<PathBuf, String> {
    let find = names.iter().map(|name| format!("command -v {name}")).collect::<Vec<_>>().join(" || ");
    let found = Command::new("sh").args(["-c", &find]).output().ok().filter(|output| output.status.success());
    let found = found.map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    found.ok_or_else(|| format!("needs {what}"))
}

/// The directory of Prometheus' programs.
fn prometheus() -> Result<PathBuf, String> {
    let find = Command::new("sh").args(["-c", "command -v promtool && command -v prometheus"]).output();
    let found = find.ok().filter(|output| output.status.success());
    let found = found.and_then(|output| {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Some(Path::new(text.lines().next()?).parent()?.to_owned())
    });
    found.ok_or_else(|| "needs Prometheus: install Debian's package `prometheus`".to_owned())
}

/// The directory of the server's programs. Debian installs each version into a directory of its own.
fn postgres() -> Result<PathBuf, String> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut places: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    places.sort();
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output() {
        places.push(String::from_utf8_lossy(&output.stdout).trim().into());
    }
    let has_server =
        |place: &PathBuf| ["initdb", "pg_ctl", "postgres"].iter().all(|name| place.join(name).is_file());
    let needs = || "needs a PostgreSQL server's initdb and pg_ctl: install the package postgresql".to_owned();
    places.into_iter().rfind(has_server).ok_or_else(needs)
}

/// A file of a package from npm.
fn npm(name: &str, version: &str, path: &str) -> Result<PathBuf, String> {
    let needs = |why| format!("needs npm, and {name} {version} from its registry: {why}");
    let place = packages().map_err(needs)?.join(format!("{}-{version}", name.replace('/', "-")));
    install_once(&place, |fresh| {
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"])
            .arg("--prefix")
            .arg(fresh)
            .arg(format!("{name}@{version}"));
        npm
    })
    .map_err(needs)?;
    Ok(place.join("node_modules").join(name).join(path))
}
