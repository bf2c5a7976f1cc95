//! The double itself: a server on a port of its own, with a clock, a log and faults.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::http::response::Builder;
use hyper::{Method, Response};
use serde_json::{Value, json};

use super::faults::{Fault, FaultScript};
use super::graphql::{self, operation};
use super::rest;
use super::sign_in::{Caller, SignIn};
use super::world::{Time, World};
use crate::server::{Body, Server, complete_body};

/// How much is left of a token's limits at first.
const FULL: u64 = 4990;

/// The token that is accepted.
pub const TOKEN: &str = "ghp_doubletoken0123456789abcdefghijklmn";

struct DoubleState {
    world: World,
    now: Time,
    log: Vec<String>,
    script: FaultScript,
    sign_in: SignIn,
    /// After how many more requests every token is refused.
    revoke_tokens_after: Option<usize>,
    redirect: Option<String>,
}

/// A running double. It ends when it is dropped.
pub struct Double {
    state: Arc<Mutex<DoubleState>>,
    server: Server,
}

fn lock(state: &Mutex<DoubleState>) -> MutexGuard<'_, DoubleState> {
    state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Double {
    /// Shows the world as it is at the moment.
    pub fn start(world: World, now: Time) -> Self {
        let mut sign_in = SignIn::default();
        sign_in.accept(TOKEN, FULL);
        let (log, script) = (Vec::new(), FaultScript::default());
        let state =
            DoubleState { world, now, log, script, sign_in, revoke_tokens_after: None, redirect: None };
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        let server = Server::start(move |request| answer(request, Arc::clone(&shared)));
        Double { state, server }
    }

    /// The REST address, as `GITHUB_API_URL` takes it.
    pub fn api_url(&self) -> String {
        format!("http://{}/api/v3", self.server.address())
    }

    /// Moves the clock.
    pub fn set_now(&self, now: Time) {
        lock(&self.state).now = now;
    }

    /// Shows another world from now on.
    pub fn set_world(&self, world: World) {
        lock(&self.state).world = world;
    }

    /// How many requests came.
    pub fn request_count(&self) -> usize {
        lock(&self.state).log.len()
    }

    /// The requests that came: operations and paths.
    pub fn log(&self) -> Vec<String> {
        lock(&self.state).log.clone()
    }

    /// How many requests of an operation came.
    pub fn count_of(&self, operation: &str) -> usize {
        lock(&self.state).log.iter().filter(|asked| *asked == operation).count()
    }

    /// Plans a fault for an operation, a path or, with `*`, any request: after `skip` of them, and
    /// `times` in a row.
    pub fn plan_fault(&self, on: &'static str, skip: u32, times: u32, fault: Fault) {
        lock(&self.state).script.plan(on, skip, times, fault);
    }

    /// Accepts another token, or the same one with so much left of its limits.
    pub fn accept_token(&self, token: &str, left: u64) {
        lock(&self.state).sign_in.accept(token, left);
    }

    /// Accepts the app, installed in the organization.
    pub fn install_app(&self) {
        lock(&self.state).sign_in.install_app();
    }

    /// Takes the app out of the organization.
    pub fn uninstall_app(&self) {
        lock(&self.state).sign_in.uninstall_app();
    }

    /// Refuses a token from now on.
    pub fn revoke_token(&self, token: &str) {
        lock(&self.state).sign_in.revoke(Some(token));
    }

    /// Refuses every token that was given out, after so many more requests.
    pub fn revoke_tokens_after(&self, requests: usize) {
        lock(&self.state).revoke_tokens_after = Some(requests);
    }

    /// How many tokens the app's installation gave out.
    pub fn tokens_issued(&self) -> usize {
        lock(&self.state).sign_in.given()
    }

    /// With which tokens it was asked, one a request.
    pub fn tokens_used(&self) -> Vec<String> {
        lock(&self.state).sign_in.asked.clone()
    }

    /// Sends who asks the REST API next elsewhere.
    pub fn redirect_next_rest_request(&self, address: &str) {
        lock(&self.state).redirect = Some(address.to_owned());
    }

    /// How many planned faults have not happened yet.
    pub fn pending_faults(&self) -> u32 {
        lock(&self.state).script.left()
    }
}

/// A request as far as it matters.
struct ReceivedRequest {
    path: String,
    query: String,
    host: String,
    is_get: bool,
    body: Value,
}

impl ReceivedRequest {
    fn document(&self) -> &str {
        self.body["query"].as_str().unwrap_or_default()
    }

    fn is_graphql(&self) -> bool {
        self.path == "/api/graphql" && !self.is_get
    }

    /// What the log and the script call it.
    fn kind(&self) -> String {
        if self.is_graphql() { operation(self.document()).to_owned() } else { self.path.clone() }
    }
}

async fn answer(
    request: hyper::Request<Incoming>,
    state: Arc<Mutex<DoubleState>>,
) -> Result<Response<Body>, io::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let header = |name: &str| {
        let value = parts.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let asked = ReceivedRequest {
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        host: header("host"),
        is_get: parts.method == Method::GET,
        body: serde_json::from_slice(&body).unwrap_or_default(),
    };
    let mut state = lock(&state);
    let kind = asked.kind();
    state.log.push(kind.clone());
    state.revoke_tokens_after = match state.revoke_tokens_after {
        Some(0) => {
            state.sign_in.revoke(None);
            None
        }
        more => more.map(|requests| requests - 1),
    };
    let now = state.now;
    let left = match state.sign_in.who(&header("authorization"), now) {
        Caller::Token(left) => left,
        Caller::App => return state.tell_app(&asked),
        Caller::Nobody => {
            let body = json!({ "message": "Bad credentials", "status": "401" });
            return full(state.head(401, 60, 3600), body.to_string());
        }
    };
    if !asked.is_graphql()
        && let Some(address) = state.redirect.take()
    {
        return full(state.head(302, left, 3600).header("location", address), String::new());
    }
    match state.script.next(&kind) {
        None => state.respond(&asked, left),
        Some(fault) => state.fail(&asked, fault),
    }
}

impl DoubleState {
    /// The head of a response; the limit is reset in so many seconds.
    fn head(&self, status: u16, remaining: u64, reset_s: i64) -> Builder {
        Response::builder()
            .status(status)
            .header("date", self.now.format("%a, %d %b %Y %H:%M:%S GMT").to_string())
            .header("content-type", "application/json; charset=utf-8")
            .header("x-ratelimit-limit", "5000")
            .header("x-ratelimit-remaining", remaining)
            .header("x-ratelimit-used", 5000 - remaining)
            .header("x-ratelimit-reset", self.now.timestamp() + reset_s)
            .header("x-oauth-scopes", "repo, read:org")
    }

    fn answer(&self, asked: &ReceivedRequest) -> rest::RestResponse {
        if asked.is_graphql() {
            let (document, variables) = (asked.document(), &asked.body["variables"]);
            let request = graphql::GraphQlRequest { world: &self.world, now: self.now, document, variables };
            return rest::RestResponse { status: 200, body: request.answer(), link: None };
        }
        let below = asked.path.strip_prefix("/api/v3").filter(|_| asked.is_get).unwrap_or_default();
        rest::get(&self.world, self.now, below, &asked.query, &asked.host)
    }

    /// Answers what only the app may ask.
    fn tell_app(&mut self, asked: &ReceivedRequest) -> Result<Response<Body>, io::Error> {
        let below = asked.path.strip_prefix("/api/v3").unwrap_or_default();
        let answer = self.sign_in.answer(below, &self.world.org, self.now);
        let (status, body) =
            answer.unwrap_or_else(|| (404, json!({ "message": "Not Found", "status": "404" })));
        full(self.head(status, FULL, 3600), body.to_string())
    }

    fn respond(&self, asked: &ReceivedRequest, left: u64) -> Result<Response<Body>, io::Error> {
        let rest::RestResponse { status, body, link } = self.answer(asked);
        let head = self.head(status, left, 3600);
        full(link.into_iter().fold(head, |head, link| head.header("link", link)), body.to_string())
    }

    fn fail(&self, asked: &ReceivedRequest, fault: Fault) -> Result<Response<Body>, io::Error> {
        match fault {
            Fault::Status(status) => full(self.head(status, 4990, 3600), "<html>a unicorn</html>".to_owned()),
            Fault::Reset => Err(io::ErrorKind::ConnectionReset.into()),
            Fault::Truncated => {
                let whole = self.answer(asked).body.to_string();
                let half = Bytes::from(whole[..whole.len() / 2].to_owned());
                let cut = Err(io::ErrorKind::ConnectionAborted.into());
                let parts = futures::stream::iter([Ok(Frame::data(half)), cut]);
                let body = BodyExt::boxed(StreamBody::new(parts));
                self.head(200, 4990, 3600).body(body).map_err(io::Error::other)
            }
            Fault::NullNode => {
                let mut body = self.answer(asked).body;
                null_first(&mut body["data"]);
                body["errors"] = json!([{ "message": "Something went wrong while executing your query." }]);
                full(self.head(200, 4990, 3600), body.to_string())
            }
            Fault::BrokenEntry => {
                let mut body = self.answer(asked).body;
                if let Some(path) = null_last(&mut body["data"], Vec::new()) {
                    let message = "Resource limits for this query exceeded.";
                    let error =
                        json!({ "type": "RESOURCE_LIMITS_EXCEEDED", "path": path, "message": message });
                    body["errors"] = json!([error]);
                }
                full(self.head(200, 4990, 3600), body.to_string())
            }
            Fault::MissingNextLink => {
                let rest::RestResponse { status, body, .. } = self.answer(asked);
                full(self.head(status, 4990, 3600), body.to_string())
            }
            Fault::RateLimited(reset_s) => {
                let error =
                    json!({ "type": "RATE_LIMITED", "message": "API rate limit exceeded for user ID 1." });
                full(self.head(200, 0, reset_s as i64), json!({ "errors": [error] }).to_string())
            }
            Fault::UnknownCursor => {
                let message = "`Y3Vyc29yOjE=` does not appear to be a valid cursor.";
                let error = json!({ "type": "INVALID_CURSOR_ARGUMENTS", "message": message });
                full(self.head(200, 4990, 3600), json!({ "errors": [error] }).to_string())
            }
            Fault::SecondaryLimit(wait_s) => {
                let body = json!({ "message": "You have exceeded a secondary rate limit. Please wait." });
                full(self.head(403, 4990, 3600).header("retry-after", wait_s), body.to_string())
            }
        }
    }
}

/// Makes the first node of the outermost list null.
fn null_first(value: &mut Value) {
    match value {
        Value::Object(fields) => match fields.get_mut("nodes").and_then(Value::as_array_mut) {
            Some(nodes) => nodes.iter_mut().take(1).for_each(|node| *node = Value::Null),
            None => fields.values_mut().for_each(null_first),
        },
        Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Makes the last node of the outermost list null, and gives its path.
fn null_last(value: &mut Value, path: Vec<Value>) -> Option<Vec<Value>> {
    let below = |name: Value| [path.clone(), vec![name]].concat();
    let Value::Object(fields) = value else { return None };
    if let Some(nodes) = fields.get_mut("nodes").and_then(Value::as_array_mut) {
        let at = nodes.len().checked_sub(1)?;
        nodes[at] = Value::Null;
        return Some([below("nodes".into()), vec![at.into()]].concat());
    }
    // The ids and names beside a list come whatever becomes of it; whose members are told is another matter.
    let beside = ["ids", "names", "membersWithRole"];
    let mut fields = fields.iter_mut().filter(|(name, _)| !beside.contains(&name.as_str()));
    fields.find_map(|(name, value)| null_last(value, below(name.clone().into())))
}

fn full(head: Builder, text: String) -> Result<Response<Body>, io::Error> {
    head.body(complete_body(text)).map_err(io::Error::other)
}
