//! The server of the double, with a clock, a log and planned faults.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use chrono::TimeDelta;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::http::response::Builder;
use hyper::{Method, Response};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::faults::{self, Fault, FaultScript};
use super::graphql::{self, operation};
use super::rest;
use super::sign_in::{Caller, SignIn};
use super::webhooks::{self, DeliveryList, Transit, WebhookEvent};
use super::world::{Time, World};
use crate::server::{Body, Server, complete_body};

/// Points that are left of a token's limit at the start.
const INITIAL_POINTS: u64 = 4990;

/// The token that the double accepts from the start.
pub const TOKEN: &str = "ghp_doubletoken0123456789abcdefghijklmn";

struct DoubleState {
    world: World,
    now: Time,
    log: Vec<String>,
    fault_script: FaultScript,
    sign_in: SignIn,
    /// Number of requests after which every token is revoked.
    revoke_tokens_after: Option<usize>,
    redirect: Option<String>,
    deliveries: DeliveryList,
    /// By how much the clock moves after each page of a REST list of issues.
    list_step: Option<TimeDelta>,
}

/// A running double. It stops when it is dropped.
pub struct Double {
    state: Arc<Mutex<DoubleState>>,
    server: Server,
}

fn lock(state: &Mutex<DoubleState>) -> MutexGuard<'_, DoubleState> {
    state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Double {
    /// Starts a double that serves the world as it is at `now`.
    pub fn start(world: World, now: Time) -> Self {
        let mut sign_in = SignIn::default();
        sign_in.accept(TOKEN, INITIAL_POINTS);
        let (log, fault_script) = (Vec::new(), FaultScript::default());
        let state = DoubleState {
            world,
            now,
            log,
            fault_script,
            sign_in,
            revoke_tokens_after: None,
            redirect: None,
            deliveries: DeliveryList::default(),
            list_step: None,
        };
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        let server = Server::start(move |request| handle(request, Arc::clone(&shared)));
        Double { state, server }
    }

    /// The URL of the REST API: the value of `GITHUB_API_URL`.
    pub fn api_url(&self) -> String {
        format!("http://{}/api/v3", self.server.address())
    }

    /// Sets the clock.
    pub fn set_now(&self, now: Time) {
        lock(&self.state).now = now;
    }

    /// Moves the clock after each page of a REST list of issues, so that the list changes between two pages.
    pub fn move_clock_between_pages(&self, step: TimeDelta) {
        lock(&self.state).list_step = Some(step);
    }

    /// Serves another world from now on.
    pub fn set_world(&self, world: World) {
        lock(&self.state).world = world;
    }

    /// Returns the number of requests so far.
    pub fn request_count(&self) -> usize {
        lock(&self.state).log.len()
    }

    /// Returns the operation or path of every request so far.
    pub fn log(&self) -> Vec<String> {
        lock(&self.state).log.clone()
    }

    /// Returns the number of requests with this operation or path.
    pub fn count_of(&self, operation: &str) -> usize {
        lock(&self.state).log.iter().filter(|logged| *logged == operation).count()
    }

    /// Plans a fault for an operation or a path, or for any request if `kind` is `*`. It lets `skip` of
    /// them pass and affects the next `times`.
    pub fn plan_fault(&self, kind: &'static str, skip: u32, times: u32, fault: Fault) {
        lock(&self.state).fault_script.plan(kind, skip, times, fault);
    }

    /// Accepts a token with `remaining` points left of its limit, also one that it knows already.
    pub fn accept_token(&self, token: &str, remaining: u64) {
        lock(&self.state).sign_in.accept(token, remaining);
    }

    /// Accepts the app, installed in the organization.
    pub fn install_app(&self) {
        lock(&self.state).sign_in.install_app();
    }

    /// Uninstalls the app from the organization.
    pub fn uninstall_app(&self) {
        lock(&self.state).sign_in.uninstall_app();
    }

    /// Revokes a token.
    pub fn revoke_token(&self, token: &str) {
        lock(&self.state).sign_in.revoke(Some(token));
    }

    /// Revokes every token after this many more requests.
    pub fn revoke_tokens_after(&self, requests: usize) {
        lock(&self.state).revoke_tokens_after = Some(requests);
    }

    /// Returns the number of tokens that the app's installation issued.
    pub fn tokens_issued(&self) -> usize {
        lock(&self.state).sign_in.issued_tokens()
    }

    /// Returns the token of every request so far.
    pub fn tokens_used(&self) -> Vec<String> {
        lock(&self.state).sign_in.used_tokens.clone()
    }

    /// Redirects the next REST request to another URL.
    pub fn redirect_next_rest_request(&self, address: &str) {
        lock(&self.state).redirect = Some(address.to_owned());
    }

    /// Creates the webhook of the organization, which delivers to a server at an address.
    pub fn create_webhook(&self, address: &str) {
        lock(&self.state).deliveries.url = Some(format!("https://{address}/api/v1/webhook/github"));
    }

    /// Creates the webhook of a repository instead.
    pub fn create_repo_webhook(&self, address: &str, repo: &str) {
        self.create_webhook(address);
        lock(&self.state).deliveries.repo = Some(repo.to_owned());
    }

    /// Delivers events, each as `transits` says, and lists the attempts. `at` is when, by the clock of the program.
    pub fn deliver_events(&self, address: &str, events: &[(WebhookEvent, Transit)], at: Time) {
        self.deliver_events_to_host((address, address), events, at);
    }

    /// Does the same with one of the hosts at an address.
    pub fn deliver_events_to_host(
        &self,
        (address, host): (&str, &str),
        events: &[(WebhookEvent, Transit)],
        at: Time,
    ) {
        for (event, transit) in events {
            let status = match transit {
                Transit::Dropped => 0,
                Transit::Delivered | Transit::WrongSignature => {
                    webhooks::deliver_to_host(address, host, event, *transit)
                }
            };
            lock(&self.state).deliveries.attempts.push((event.clone(), status, at));
        }
    }

    /// Returns the number of planned faults that have not happened yet.
    pub fn pending_faults(&self) -> u32 {
        lock(&self.state).fault_script.pending()
    }
}

/// What the double needs of a request.
struct ReceivedRequest {
    path: String,
    query: String,
    host: String,
    is_get: bool,
    if_none_match: String,
    body: Value,
}

impl ReceivedRequest {
    fn document(&self) -> &str {
        self.body["query"].as_str().unwrap_or_default()
    }

    fn is_graphql(&self) -> bool {
        self.path == "/api/graphql" && !self.is_get
    }

    /// Its name in the log and in planned faults.
    fn kind(&self) -> String {
        if self.is_graphql() { operation(self.document()).to_owned() } else { self.path.clone() }
    }
}

async fn handle(
    request: hyper::Request<Incoming>,
    state: Arc<Mutex<DoubleState>>,
) -> Result<Response<Body>, io::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let header = |name: &str| {
        let value = parts.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let request = ReceivedRequest {
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        host: header("host"),
        is_get: parts.method == Method::GET,
        if_none_match: header("if-none-match"),
        body: serde_json::from_slice(&body).unwrap_or_default(),
    };
    let mut state = lock(&state);
    let kind = request.kind();
    state.log.push(kind.clone());
    state.revoke_tokens_after = match state.revoke_tokens_after {
        Some(0) => {
            state.sign_in.revoke(None);
            None
        }
        countdown => countdown.map(|requests| requests - 1),
    };
    let now = state.now;
    let remaining = match state.sign_in.identify(&header("authorization"), now) {
        Caller::Token(remaining) => remaining,
        Caller::App => return state.answer_app(&request),
        Caller::Unknown => {
            let body = json!({ "message": "Bad credentials", "status": "401" });
            return response(state.head(401, 60, 3600), body.to_string());
        }
    };
    if !request.is_graphql()
        && let Some(address) = state.redirect.take()
    {
        return response(state.head(302, remaining, 3600).header("location", address), String::new());
    }
    match state.fault_script.next(&kind) {
        None => {
            let response = state.respond(&request, remaining);
            if let Some(step) =
                state.list_step.filter(|_| request.is_get && request.path.ends_with("/issues"))
            {
                state.now += step;
            }
            response
        }
        Some(fault) => state.fail(&request, fault),
    }
}

impl DoubleState {
    /// Starts a response. The limit resets in `reset_s` seconds.
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

    fn answer(&self, request: &ReceivedRequest) -> rest::RestResponse {
        if request.is_graphql() {
            let (document, variables) = (request.document(), &request.body["variables"]);
            let graphql = graphql::GraphQlRequest { world: &self.world, now: self.now, document, variables };
            if graphql.is_past_release_limit() {
                return rest::RestResponse { status: 500, body: json!({}), link: None };
            }
            let (status, body) = faults::poison(&self.world, operation(document), graphql.answer());
            return rest::RestResponse { status, body, link: None };
        }
        let path = request.path.strip_prefix("/api/v3").filter(|_| request.is_get).unwrap_or_default();
        let answer = match path.split('/').collect::<Vec<_>>().as_slice() {
            ["", "orgs", _, "hooks", rest @ ..] => self.deliveries.answer(None, rest),
            ["", "repos", _, repo, "hooks", rest @ ..] => self.deliveries.answer(Some(repo), rest),
            _ => None,
        };
        if let Some(body) = answer {
            return rest::RestResponse { status: 200, body, link: None };
        }
        rest::get(&self.world, self.now, path, &request.query, &request.host)
    }

    /// Answers a request of the app itself.
    fn answer_app(&mut self, request: &ReceivedRequest) -> Result<Response<Body>, io::Error> {
        let path = request.path.strip_prefix("/api/v3").unwrap_or_default();
        let answer = self.sign_in.answer(path, &self.world.org, self.now);
        let (status, body) =
            answer.unwrap_or_else(|| (404, json!({ "message": "Not Found", "status": "404" })));
        response(self.head(status, INITIAL_POINTS, 3600), body.to_string())
    }

    fn respond(&self, request: &ReceivedRequest, remaining: u64) -> Result<Response<Body>, io::Error> {
        let rest::RestResponse { status, body, link } = self.answer(request);
        let etag = format!("\"{}\"", hex::encode(Sha256::digest(body.to_string())));
        if request.is_get && request.if_none_match == etag {
            return response(self.head(304, remaining, 3600), String::new());
        }
        let head = self.head(status, remaining, 3600).header("etag", etag);
        response(link.into_iter().fold(head, |head, link| head.header("link", link)), body.to_string())
    }

    fn fail(&self, request: &ReceivedRequest, fault: Fault) -> Result<Response<Body>, io::Error> {
        match fault {
            Fault::Status(status) => {
                response(self.head(status, 4990, 3600), "<html>a unicorn</html>".to_owned())
            }
            Fault::Reset => Err(io::ErrorKind::ConnectionReset.into()),
            Fault::Truncated => {
                let text = self.answer(request).body.to_string();
                let half = Bytes::from(text[..text.len() / 2].to_owned());
                let cut = Err(io::ErrorKind::ConnectionAborted.into());
                let parts = futures::stream::iter([Ok(Frame::data(half)), cut]);
                let body = BodyExt::boxed(StreamBody::new(parts));
                self.head(200, 4990, 3600).body(body).map_err(io::Error::other)
            }
            Fault::NullNode => {
                let mut body = self.answer(request).body;
                null_first(&mut body["data"]);
                body["errors"] = json!([{ "message": "Something went wrong while executing your query." }]);
                response(self.head(200, 4990, 3600), body.to_string())
            }
            Fault::BrokenEntry => {
                let mut body = self.answer(request).body;
                if let Some(path) = null_last(&mut body["data"], Vec::new()) {
                    let message = "Resource limits for this query exceeded.";
                    let error =
                        json!({ "type": "RESOURCE_LIMITS_EXCEEDED", "path": path, "message": message });
                    body["errors"] = json!([error]);
                }
                response(self.head(200, 4990, 3600), body.to_string())
            }
            Fault::MissingNextLink => {
                let rest::RestResponse { status, body, .. } = self.answer(request);
                response(self.head(status, 4990, 3600), body.to_string())
            }
            Fault::RateLimited(reset_s) => {
                let error =
                    json!({ "type": "RATE_LIMITED", "message": "API rate limit exceeded for user ID 1." });
                response(self.head(200, 0, reset_s as i64), json!({ "errors": [error] }).to_string())
            }
            Fault::UnknownCursor => {
                let message = "`Y3Vyc29yOjE=` does not appear to be a valid cursor.";
                let error = json!({ "type": "INVALID_CURSOR_ARGUMENTS", "message": message });
                response(self.head(200, 4990, 3600), json!({ "errors": [error] }).to_string())
            }
            Fault::NotFound => {
                let message = "Could not resolve to a node with the global id.";
                let error = json!({ "type": "NOT_FOUND", "path": ["node"], "message": message });
                let body = json!({ "data": { "node": null }, "errors": [error] });
                response(self.head(200, 4990, 3600), body.to_string())
            }
            Fault::SecondaryLimit(wait_s) => {
                let body = json!({ "message": "You have exceeded a secondary rate limit. Please wait." });
                response(self.head(403, 4990, 3600).header("retry-after", wait_s), body.to_string())
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

/// Makes the last node of the outermost list null, and returns its path.
fn null_last(value: &mut Value, path: Vec<Value>) -> Option<Vec<Value>> {
    let child_path = |name: Value| [path.clone(), vec![name]].concat();
    let Value::Object(fields) = value else { return None };
    if let Some(nodes) = fields.get_mut("nodes").and_then(Value::as_array_mut) {
        let at = nodes.len().checked_sub(1)?;
        nodes[at] = Value::Null;
        return Some([child_path("nodes".into()), vec![at.into()]].concat());
    }
    // The ids and names next to a list do not fail with it, and members are not the list.
    let other_lists = ["ids", "names", "membersWithRole"];
    let mut fields = fields.iter_mut().filter(|(name, _)| !other_lists.contains(&name.as_str()));
    fields.find_map(|(name, value)| null_last(value, child_path(name.clone().into())))
}

fn response(head: Builder, text: String) -> Result<Response<Body>, io::Error> {
    head.body(complete_body(text)).map_err(io::Error::other)
}
