//! A proxy in front of AWS that injects faults: it rejects, loses or delays requests, or loses the answers to
//! requests that AWS has executed.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use fastrand::Rng;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HeaderName, TRANSFER_ENCODING};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::server::{Body, Server, complete_body};

/// Headers that apply to one connection only.
const CONNECTION_HEADERS: [HeaderName; 3] = [CONNECTION, TRANSFER_ENCODING, EXPECT];

/// What a fault rule sees of a request.
#[derive(Debug)]
pub struct SeenRequest {
    /// Method and path, such as `PUT /bucket/inbox/a`. For services with a single path the operation, such as
    /// `PutItem`.
    pub operation: String,
    /// Body as text.
    pub body: String,
    is_json: bool,
}

impl SeenRequest {
    fn new(request: &Request<Bytes>) -> Self {
        let target = request.headers().get("x-amz-target").and_then(|target| target.to_str().ok());
        let operation = match target {
            Some(target) => target.rsplit('.').next().unwrap_or_default().to_owned(),
            None => format!("{} {}", request.method(), request.uri().path()),
        };
        let body = String::from_utf8_lossy(request.body()).into_owned();
        SeenRequest { operation, body, is_json: target.is_some() }
    }
}

/// What the proxy does to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyFault {
    /// Rejects it with that status and error code. AWS does not see it.
    Rejected(u16, &'static str),
    /// Closes the connection. AWS does not see the request.
    LostRequest,
    /// Forwards it and drops the answer.
    LostAnswer,
    /// Forwards it after this many milliseconds.
    DelayedRequest(u64),
    /// Forwards it, and returns the answer after this many milliseconds.
    DelayedAnswer(u64),
}

/// DynamoDB's provisioned throughput is exceeded.
pub const THROTTLED: ProxyFault = ProxyFault::Rejected(400, "ProvisionedThroughputExceededException");
/// DynamoDB throttles.
pub const THROTTLING: ProxyFault = ProxyFault::Rejected(400, "ThrottlingException");
/// S3 fails.
pub const INTERNAL: ProxyFault = ProxyFault::Rejected(500, "InternalError");
/// S3 throttles.
pub const SLOW_DOWN: ProxyFault = ProxyFault::Rejected(503, "SlowDown");
/// A concurrent write made S3 reject a conditional write without a decision.
pub const CONFLICT: ProxyFault = ProxyFault::Rejected(409, "ConditionalRequestConflict");

/// Which matching requests a rule affects.
enum Trigger {
    /// Lets `skip` requests pass and affects the next `times`.
    Times { skip: u32, times: u32 },
    /// Affects this percentage of them, at random.
    Percent(u32),
}

struct FaultRule {
    matches: Box<dyn Fn(&SeenRequest) -> bool + Send>,
    trigger: Trigger,
    fault: ProxyFault,
}

impl FaultRule {
    fn applies(&mut self, request: &SeenRequest, rng: &mut Rng) -> bool {
        if !(self.matches)(request) {
            return false;
        }
        match &mut self.trigger {
            Trigger::Percent(percent) => rng.u32(..100) < *percent,
            Trigger::Times { skip, .. } if *skip > 0 => {
                *skip -= 1;
                false
            }
            Trigger::Times { times, .. } if *times > 0 => {
                *times -= 1;
                true
            }
            Trigger::Times { .. } => false,
        }
    }
}

struct ProxyState {
    upstream: String,
    rules: Vec<FaultRule>,
    rng: Rng,
    log: Vec<(String, Option<ProxyFault>)>,
    /// Number of requests that AWS executed and whose answers are or were delayed.
    delayed_answers: usize,
    busy: BusyTime,
}

/// Measures how long at least one request was in flight.
#[derive(Default)]
struct BusyTime {
    in_flight: usize,
    since: Option<Instant>,
    total: Duration,
}

impl BusyTime {
    fn start_request(&mut self) {
        self.in_flight += 1;
        self.since.get_or_insert_with(Instant::now);
    }

    fn end_request(&mut self) {
        self.in_flight -= 1;
        if self.in_flight == 0
            && let Some(since) = self.since.take()
        {
            self.total += since.elapsed();
        }
    }
}

impl ProxyState {
    fn choose_fault(&mut self, request: &SeenRequest) -> Option<ProxyFault> {
        let ProxyState { rules, rng, log, .. } = self;
        let fault = rules.iter_mut().find_map(|rule| rule.applies(request, rng).then_some(rule.fault));
        log.push((request.operation.clone(), fault));
        fault
    }
}

/// A running proxy. It stops when it is dropped.
pub struct Proxy {
    state: Arc<Mutex<ProxyState>>,
    server: Server,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("address", &self.server.address()).finish_non_exhaustive()
    }
}

fn lock(state: &Mutex<ProxyState>) -> MutexGuard<'_, ProxyState> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Proxy {
    /// Starts the proxy, without an upstream yet. The seed decides which requests random rules affect.
    pub fn start(seed: u64) -> Self {
        let state = ProxyState {
            upstream: String::new(),
            rules: Vec::new(),
            rng: Rng::with_seed(seed),
            log: Vec::new(),
            delayed_answers: 0,
            busy: BusyTime::default(),
        };
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        let server = Server::start(move |request| handle(request, Arc::clone(&shared)));
        Proxy { state, server }
    }

    /// URL of the proxy.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// Sets the AWS behind the proxy, such as `http://127.0.0.1:4566`.
    pub fn set_upstream(&self, endpoint: &str) {
        lock(&self.state).upstream = endpoint.trim_start_matches("http://").to_owned();
    }

    /// Injects a fault into this percentage of the matching requests.
    pub fn inject_randomly(
        &self,
        percent: u32,
        fault: ProxyFault,
        matches: impl Fn(&SeenRequest) -> bool + Send + 'static,
    ) {
        let rule = FaultRule { matches: Box::new(matches), trigger: Trigger::Percent(percent), fault };
        lock(&self.state).rules.push(rule);
    }

    /// Lets `skip` matching requests pass, and injects a fault into the next `times`.
    pub fn inject_after(
        &self,
        skip: u32,
        times: u32,
        fault: ProxyFault,
        matches: impl Fn(&SeenRequest) -> bool + Send + 'static,
    ) {
        let rule = FaultRule { matches: Box::new(matches), trigger: Trigger::Times { skip, times }, fault };
        lock(&self.state).rules.push(rule);
    }

    /// Injects no more faults.
    pub fn stop_faults(&self) {
        lock(&self.state).rules.clear();
    }

    /// Returns the operation of every request so far, and the fault that was injected.
    pub fn log(&self) -> Vec<(String, Option<ProxyFault>)> {
        lock(&self.state).log.clone()
    }

    /// Returns how long at least one request was in flight so far.
    pub fn busy_time(&self) -> Duration {
        lock(&self.state).busy.total
    }

    /// Returns the number of requests that AWS executed and whose answers are or were delayed.
    pub fn delayed_answers(&self) -> usize {
        lock(&self.state).delayed_answers
    }

    /// Returns how many requests got this fault.
    pub fn injected_count(&self, fault: ProxyFault) -> usize {
        lock(&self.state).log.iter().filter(|(_, injected)| *injected == Some(fault)).count()
    }
}

async fn handle(request: Request<Incoming>, state: Arc<Mutex<ProxyState>>) -> io::Result<Response<Body>> {
    lock(&state).busy.start_request();
    let answer = apply_fault(request, Arc::clone(&state)).await;
    lock(&state).busy.end_request();
    answer
}

async fn apply_fault(
    request: Request<Incoming>,
    state: Arc<Mutex<ProxyState>>,
) -> io::Result<Response<Body>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let request = Request::from_parts(parts, body);
    let seen = SeenRequest::new(&request);
    let (fault, upstream) = {
        let mut state = lock(&state);
        (state.choose_fault(&seen), state.upstream.clone())
    };
    match fault {
        None => forward(request, &upstream).await,
        Some(ProxyFault::Rejected(status, code)) => Ok(error_response(&seen, status, code)),
        Some(ProxyFault::LostRequest) => Err(io::ErrorKind::ConnectionReset.into()),
        Some(ProxyFault::LostAnswer) => {
            forward(request, &upstream).await?;
            Err(io::ErrorKind::ConnectionReset.into())
        }
        Some(ProxyFault::DelayedRequest(delay_ms)) => {
            tokio::time::sleep(Duration::from_millis(delay_ms)).await;
            forward(request, &upstream).await
        }
        Some(ProxyFault::DelayedAnswer(delay_ms)) => {
            let answer = forward(request, &upstream).await;
            lock(&state).delayed_answers += 1;
            tokio::time::sleep(Duration::from_millis(delay_ms)).await;
            answer
        }
    }
}

/// Forwards a request with its headers unchanged: the signature covers the host.
async fn forward(request: Request<Bytes>, upstream: &str) -> io::Result<Response<Body>> {
    let stream = TcpStream::connect(upstream).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let connection = tokio::spawn(connection);
    let (mut parts, body) = request.into_parts();
    CONNECTION_HEADERS.iter().for_each(|name| drop(parts.headers.remove(name)));
    let request = Request::from_parts(parts, Full::new(body));
    let (mut parts, body) = sender.send_request(request).await.map_err(io::Error::other)?.into_parts();
    // The length in an answer to HEAD is that of the missing body.
    let has_length = parts.headers.contains_key(CONTENT_LENGTH);
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    connection.abort();
    CONNECTION_HEADERS.iter().for_each(|name| drop(parts.headers.remove(name)));
    if !has_length {
        parts.headers.insert(CONTENT_LENGTH, body.len().into());
    }
    Ok(Response::from_parts(parts, complete_body(body)))
}

/// Returns an error in the format of the requested service.
fn error_response(request: &SeenRequest, status: u16, code: &str) -> Response<Body> {
    let (kind, text) = if request.is_json {
        let text =
            format!(r#"{{"__type":"com.amazonaws.dynamodb.v20120810#{code}","message":"injected fault"}}"#);
        ("application/x-amz-json-1.0", text)
    } else {
        let text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>injected fault</Message></Error>"
        );
        ("application/xml", text)
    };
    let answer = Response::builder().status(status).header("content-type", kind);
    let answer = answer.header("x-amzn-requestid", "rejected-by-proxy");
    answer.body(complete_body(text)).expect("a response")
}
