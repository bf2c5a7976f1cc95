//! A server that may write to a double of GitHub, and what clients of its actions send.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::github::writes::{WRITE_TOKEN, WriteDouble};
use crate::http::{HttpResponse, send_json, send_request, start_request};
use crate::program::{Sandbox, ServerProcess};

/// How long to wait for what another process does.
const LIMIT: Duration = Duration::from_secs(150);

/// A server with a GitHub that it may write to.
pub struct ActionHost {
    /// GitHub.
    pub github: WriteDouble,
    /// The data and the environment of the server.
    pub sandbox: Sandbox,
    /// `None` while it is killed.
    server: Option<ServerProcess>,
}

impl ActionHost {
    /// Starts a server in a sandbox. `policy` is the configuration of the organization `acme`.
    pub fn start(sandbox: Sandbox, policy: &str) -> Self {
        Self::start_with(sandbox, WriteDouble::start(), "acme", policy)
    }

    /// Starts a server in a sandbox, for another organization that has the repository of the double.
    pub fn start_with(sandbox: Sandbox, github: WriteDouble, owner: &str, policy: &str) -> Self {
        let sandbox = sandbox
            .with_variable("GITHUB_API_URL", &github.api_url())
            .with_variable("GITHUB_WRITE_TOKEN", WRITE_TOKEN)
            .with_variable("GITHUB_OWNER", owner);
        if !policy.is_empty() {
            std::fs::write(sandbox.dir().join("policy.toml"), policy).expect("the file is written");
            sandbox.run(&["config", "set", "policy.toml", owner]).expect_status(0);
        }
        let server = Some(sandbox.serve());
        ActionHost { github, sandbox, server }
    }

    /// The server.
    ///
    /// # Panics
    /// If it was killed.
    pub fn server(&self) -> &ServerProcess {
        self.server.as_ref().expect("the server runs")
    }

    /// The server's address.
    pub fn address(&self) -> &str {
        self.server().address()
    }

    /// Kills the server with SIGKILL, and starts another one.
    pub fn kill_and_restart(&mut self) {
        self.server = None;
        self.server = Some(self.sandbox.serve());
    }

    /// Creates a token. Returns the header for it.
    pub fn token(&self, name: &str, role: &str) -> String {
        let created = self.sandbox.run(&["token", "new", name, "--role", role]).expect_status(0);
        format!("Bearer {}", created.text().trim())
    }

    /// Sends JSON.
    pub fn post(&self, token: &str, path: &str, body: &Value, headers: &[(&str, &str)]) -> HttpResponse {
        let headers: Vec<(&str, &str)> =
            [("authorization", token)].into_iter().chain(headers.iter().copied()).collect();
        send_json(self.address(), path, &headers, body)
    }

    /// Sends a request with a key, and returns its connection. The server may die before it answers.
    pub fn start_post(&self, token: &str, path: &str, body: &Value, key: &str) -> TcpStream {
        let headers =
            [("authorization", token), ("content-type", "application/json"), ("idempotency-key", key)];
        start_request(self.address(), ("POST", path), &headers, &body.to_string())
    }

    /// Reads an action.
    pub fn action(&self, token: &str, id: &str) -> Value {
        let path = format!("/api/v1/actions/{id}");
        send_request(self.address(), "GET", &path, &[("authorization", token)]).json()
    }

    /// Waits until an action is in one of these states.
    pub fn wait_for(&self, token: &str, id: &str, states: &[&str]) -> Value {
        let mut action = Value::Null;
        wait_until(|| {
            action = self.action(token, id);
            states.iter().any(|state| action["state"] == *state)
        });
        action
    }
}

/// Waits until a condition holds.
///
/// # Panics
/// If it does not hold in time.
pub fn wait_until(mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < end, "it does not happen within {} s", LIMIT.as_secs());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Returns the id of the action that an answer is about.
pub fn action_of(answer: &HttpResponse) -> String {
    let action = answer.json()["data"]["action"].as_str().map(str::to_owned);
    action.unwrap_or_else(|| panic!("no action: {}", answer.text()))
}
