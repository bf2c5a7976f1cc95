//! A PostgreSQL server in a temporary directory, on a socket and on a loopback port.

use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use gam_store_sql::{PostgresAddress, PostgresStore};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions};
use tempfile::TempDir;

use crate::tools::Tool;

/// The password of all users. No output may contain it.
pub(crate) const PASSWORD: &str = "hunter2/?#";

/// [`PASSWORD`] in a URL.
const ENCODED_PASSWORD: &str = "hunter2%2F%3F%23";

/// The user and the group `nobody`: the server refuses to run as root.
const NOBODY: u32 = 65_534;

/// Settings that make the server fast. Its data outlives its processes, but not the machine.
const SETTINGS: [&str; 3] = ["fsync=off", "max_connections=60", "shared_buffers=32MB"];

/// A running server. It is stopped when this is dropped.
pub(crate) struct PostgresServer {
    dir: TempDir,
    port: u16,
    databases: AtomicU32,
}

impl PostgresServer {
    /// Creates a cluster with the superuser `admin` and starts its server.
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("password"), PASSWORD).expect("a file");
        if is_root(&dir) {
            chown(dir.path().join("password"), Some(NOBODY), Some(NOBODY)).expect("root owns the directory");
            chown(dir.path(), Some(NOBODY), Some(NOBODY)).expect("root owns the directory");
        }
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = free.local_addr().expect("its address").port();
        let server = PostgresServer { dir, port, databases: AtomicU32::new(0) };
        let arguments = ["--username=admin", "--auth=scram-sha-256", "--pwfile=password", "--encoding=UTF8"];
        server.run("initdb", &[&arguments[..], &["--locale=C.UTF-8", "--no-sync", "--pgdata=data"]].concat());
        drop(free);
        server.launch(&[]);
        server
    }

    /// Starts the stopped server, with more settings.
    pub(crate) fn launch(&self, settings: &[&str]) {
        let port = format!("port={}", self.port);
        let sockets = format!("unix_socket_directories={}", self.dir.path().display());
        let all = SETTINGS.iter().chain(settings).copied().chain([&*port, &*sockets]);
        let options: Vec<String> = all.map(|setting| format!("-c {setting}")).collect();
        self.run(
            "pg_ctl",
            &["start", "--wait", "--pgdata=data", "--log=log", "--options", &options.join(" ")],
        );
    }

    /// Stops the server: `fast` ends connections, `immediate` is a crash.
    pub(crate) fn stop(&self, mode: &str) {
        self.run("pg_ctl", &["stop", "--wait", "--pgdata=data", "--mode", mode]);
    }

    /// Runs a program in the server's directory, as a user that is not root.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) {
        let mut command = Command::new(Tool::Postgres.path().join(program));
        command.args(arguments).current_dir(self.dir.path());
        self.run_command(command);
    }

    /// Runs a command in the server's directory, as a user that is not root.
    pub(crate) fn run_command(&self, mut command: Command) {
        if self.dir.path().metadata().expect("the directory").uid() == NOBODY {
            command.uid(NOBODY).gid(NOBODY);
        }
        // The server outlives the command, so it must not hold a pipe.
        let out = std::fs::File::create(self.dir.path().join("out")).expect("a file");
        let errors = out.try_clone().expect("a file");
        command.current_dir(self.dir.path()).stdin(Stdio::null()).stdout(out).stderr(errors);
        let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let output = || std::fs::read_to_string(self.dir.path().join("out")).unwrap_or_default();
        assert!(status.success(), "{command:?}: {}\n{}", output(), self.log());
    }

    /// The server's port on the loopback address.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// A path in the server's directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What the server has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Returns the address of a database for a user, by TCP.
    pub(crate) fn url(&self, user: &str, database: &str) -> String {
        format!("postgres://{user}:{ENCODED_PASSWORD}@127.0.0.1:{}/{database}", self.port)
    }

    /// Returns the address of a database by the server's socket.
    pub(crate) fn socket_url(&self, database: &str) -> String {
        let directory = self.dir.path().display();
        format!("postgres://admin:{ENCODED_PASSWORD}@/{database}?host={directory}&port={}", self.port)
    }

    /// Connects to a database as the superuser.
    pub(crate) async fn connect(&self, database: &str) -> PgConnection {
        let options: PgConnectOptions = self.url("admin", database).parse().expect("an address");
        options.disable_statement_logging().connect().await.expect("the server accepts the connection")
    }

    /// Runs statements in a database as the superuser.
    pub(crate) async fn execute(&self, database: &str, sql: &str) {
        let mut connection = self.connect(database).await;
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.expect("the statements");
    }

    /// Creates an empty database, and returns its name.
    pub(crate) async fn create_database(&self) -> String {
        let name = format!("metrics_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.execute("postgres", &format!("CREATE DATABASE {name}")).await;
        name
    }

    /// Creates a database, and opens a store in it as the superuser.
    pub(crate) async fn create_store(&self) -> (String, PostgresStore) {
        let database = self.create_database().await;
        let store = self.open(&database).await;
        (database, store)
    }

    /// Opens the store of a database as the superuser.
    pub(crate) async fn open(&self, database: &str) -> PostgresStore {
        PostgresStore::open(&self.address("admin", database)).await.expect("the store opens")
    }

    /// Returns the parsed address of a database for a user.
    pub(crate) fn address(&self, user: &str, database: &str) -> PostgresAddress {
        PostgresAddress::parse(&self.url(user, database)).expect("an address")
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        // The directory is deleted next. A test may have stopped the server already.
        let pid = std::fs::read_to_string(self.path("data/postmaster.pid")).unwrap_or_default();
        if let Some(pid) = pid.lines().next() {
            let _ = Command::new("kill").args(["-QUIT", pid]).status();
            while self.path("data/postmaster.pid").exists() && PathBuf::from(format!("/proc/{pid}")).exists()
            {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        }
    }
}

fn is_root(dir: &TempDir) -> bool {
    dir.path().metadata().expect("the directory").uid() == 0
}

/// Creates a runtime with several threads, so that races happen.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().expect("a runtime")
}
