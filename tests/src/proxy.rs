//! A proxy in front of an AWS that lets some requests fail: refused before they arrive, or done and
//! their answers lost.

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

/// Headers that are about one connection.
const OF_A_CONNECTION: [HeaderName; 3] = [CONNECTION, TRANSFER_ENCODING, EXPECT];

/// A request as far as it matters.
#[derive(Debug)]
pub struct SeenRequest {
    /// The method and the path, such as `PUT /bucket/inbox/a`; for a service with one path the operation,
    /// such as `PutItem`.
    pub what: String,
    /// The body as text.
    pub body: String,
    is_json: bool,
}

impl SeenRequest {
    fn of(request: &Request<Bytes>) -> Self {
        let target = request.headers().get("x-amz-target").and_then(|target| target.to_str().ok());
        let what = match target {
            Some(target) => target.rsplit('.').next().unwrap_or_default().to_owned(),
            None => format!("{} {}", request.method(), request.uri().path()),
        };
        let body = String::from_utf8_lossy(request.body()).into_owned();
        SeenRequest { what, body, is_json: target.is_some() }
    }
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyFault {
    /// It is refused with that status and that code, and nothing is done.
    Refused(u16, &'static str),
    /// It does not arrive.
    LostRequest,
    /// It is done, and its answer does not arrive.
    LostAnswer,
    /// It arrives so many milliseconds later.
    Late(u64),
    /// It is done, and its answer arrives so many milliseconds later.
    LateAnswer(u64),
}

/// DynamoDB has more to do than it was provisioned for.
pub const THROTTLED: ProxyFault = ProxyFault::Refused(400, "ProvisionedThroughputExceededException");
/// DynamoDB is asked too much at once.
pub const THROTTLING: ProxyFault = ProxyFault::Refused(400, "ThrottlingException");
/// S3 failed.
pub const INTERNAL: ProxyFault = ProxyFault::Refused(500, "InternalError");
/// S3 has too much to do.
pub const SLOW_DOWN: ProxyFault = ProxyFault::Refused(503, "SlowDown");
/// Another write was under way, and S3 decided nothing.
pub const CONFLICT: ProxyFault = ProxyFault::Refused(409, "ConditionalRequestConflict");

/// How often a rule does harm.
enum Often {
    /// After `skip` requests, `times` in a row.
    Times { skip: u32, times: u32 },
    /// In so many of a hundred cases.
    Percent(u32),
}

struct Rule {
    matches: Box<dyn Fn(&SeenRequest) -> bool + Send>,
    often: Often,
    harm: ProxyFault,
}

impl Rule {
    fn applies(&mut self, asked: &SeenRequest, rng: &mut Rng) -> bool {
        if !(self.matches)(asked) {
            return false;
        }
        match &mut self.often {
            Often::Percent(percent) => rng.u32(..100) < *percent,
            Often::Times { skip, .. } if *skip > 0 => {
                *skip -= 1;
                false
            }
            Often::Times { times, .. } if *times > 0 => {
                *times -= 1;
                true
            }
            Often::Times { .. } => false,
        }
    }
}

struct ProxyState {
    upstream: String,
    rules: Vec<Rule>,
    rng: Rng,
    log: Vec<(String, Option<ProxyFault>)>,
    /// How many requests were done whose answers are kept back.
    held: usize,
    away: Away,
}

/// When any request was with the proxy or the AWS behind it.
#[derive(Default)]
struct Away {
    open: usize,
    since: Option<Instant>,
    total: Duration,
}

impl Away {
    fn leave(&mut self) {
        self.open += 1;
        self.since.get_or_insert_with(Instant::now);
    }

    fn come_back(&mut self) {
        self.open -= 1;
        if self.open == 0
            && let Some(since) = self.since.take()
        {
            self.total += since.elapsed();
        }
    }
}

impl ProxyState {
    fn harm(&mut self, asked: &SeenRequest) -> Option<ProxyFault> {
        let ProxyState { rules, rng, log, .. } = self;
        let harm = rules.iter_mut().find_map(|rule| rule.applies(asked, rng).then_some(rule.harm));
        log.push((asked.what.clone(), harm));
        harm
    }
}

/// A running proxy. It ends when it is dropped.
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
    /// Starts it; where it leads to may be told later. The seed decides which requests are harmed.
    pub fn start(seed: u64) -> Self {
        let state = ProxyState {
            upstream: String::new(),
            rules: Vec::new(),
            rng: Rng::with_seed(seed),
            log: Vec::new(),
            held: 0,
            away: Away::default(),
        };
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        let server = Server::start(move |request| pass(request, Arc::clone(&shared)));
        Proxy { state, server }
    }

    /// The address of the proxy.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// Tells where it leads to, such as `http://127.0.0.1:4566`.
    pub fn set_upstream(&self, endpoint: &str) {
        lock(&self.state).upstream = endpoint.trim_start_matches("http://").to_owned();
    }

    /// Does harm to that share of the matching requests.
    pub fn inject_randomly(
        &self,
        percent: u32,
        harm: ProxyFault,
        matches: impl Fn(&SeenRequest) -> bool + Send + 'static,
    ) {
        let rule = Rule { matches: Box::new(matches), often: Often::Percent(percent), harm };
        lock(&self.state).rules.push(rule);
    }

    /// Does harm to matching requests after `skip` of them, `times` in a row.
    pub fn inject_after(
        &self,
        skip: u32,
        times: u32,
        harm: ProxyFault,
        matches: impl Fn(&SeenRequest) -> bool + Send + 'static,
    ) {
        let rule = Rule { matches: Box::new(matches), often: Often::Times { skip, times }, harm };
        lock(&self.state).rules.push(rule);
    }

    /// Does no more harm.
    pub fn stop_faults(&self) {
        lock(&self.state).rules.clear();
    }

    /// What was asked, and which harm was done to it.
    pub fn log(&self) -> Vec<(String, Option<ProxyFault>)> {
        lock(&self.state).log.clone()
    }

    /// How long it and the AWS behind it have worked so far, requests at the same time counted once.
    pub fn busy_time(&self) -> Duration {
        lock(&self.state).away.total
    }

    /// How many requests were done whose answers came late.
    pub fn delayed_answers(&self) -> usize {
        lock(&self.state).held
    }

    /// How many requests were harmed so.
    pub fn injected_count(&self, harm: ProxyFault) -> usize {
        lock(&self.state).log.iter().filter(|(_, done)| *done == Some(harm)).count()
    }
}

async fn pass(request: Request<Incoming>, state: Arc<Mutex<ProxyState>>) -> io::Result<Response<Body>> {
    lock(&state).away.leave();
    let answer = settle(request, Arc::clone(&state)).await;
    lock(&state).away.come_back();
    answer
}

async fn settle(request: Request<Incoming>, state: Arc<Mutex<ProxyState>>) -> io::Result<Response<Body>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let request = Request::from_parts(parts, body);
    let asked = SeenRequest::of(&request);
    let (harm, upstream) = {
        let mut state = lock(&state);
        (state.harm(&asked), state.upstream.clone())
    };
    match harm {
        None => forward(request, &upstream).await,
        Some(ProxyFault::Refused(status, code)) => Ok(refusal(&asked, status, code)),
        Some(ProxyFault::LostRequest) => Err(io::ErrorKind::ConnectionReset.into()),
        Some(ProxyFault::LostAnswer) => {
            forward(request, &upstream).await?;
            Err(io::ErrorKind::ConnectionReset.into())
        }
        Some(ProxyFault::Late(late_ms)) => {
            tokio::time::sleep(Duration::from_millis(late_ms)).await;
            forward(request, &upstream).await
        }
        Some(ProxyFault::LateAnswer(late_ms)) => {
            let answer = forward(request, &upstream).await;
            lock(&state).held += 1;
            tokio::time::sleep(Duration::from_millis(late_ms)).await;
            answer
        }
    }
}

/// Sends it on as it is, with the host that was signed.
async fn forward(request: Request<Bytes>, upstream: &str) -> io::Result<Response<Body>> {
    let stream = TcpStream::connect(upstream).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let connection = tokio::spawn(connection);
    let (mut parts, body) = request.into_parts();
    OF_A_CONNECTION.iter().for_each(|name| drop(parts.headers.remove(name)));
    let request = Request::from_parts(parts, Full::new(body));
    let (mut parts, body) = sender.send_request(request).await.map_err(io::Error::other)?.into_parts();
    // An answer to HEAD tells the length of what it does not hold.
    let tells_length = parts.headers.contains_key(CONTENT_LENGTH);
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    connection.abort();
    OF_A_CONNECTION.iter().for_each(|name| drop(parts.headers.remove(name)));
    if !tells_length {
        parts.headers.insert(CONTENT_LENGTH, body.len().into());
    }
    Ok(Response::from_parts(parts, complete_body(body)))
}

/// A refusal as the service that was asked would write it.
fn refusal(asked: &SeenRequest, status: u16, code: &str) -> Response<Body> {
    let (kind, text) = if asked.is_json {
        let text =
            format!(r#"{{"__type":"com.amazonaws.dynamodb.v20120810#{code}","message":"told to refuse"}}"#);
        ("application/x-amz-json-1.0", text)
    } else {
        let text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>told to refuse</Message></Error>"
        );
        ("application/xml", text)
    };
    let answer = Response::builder().status(status).header("content-type", kind);
    let answer = answer.header("x-amzn-requestid", "refused-by-proxy");
    answer.body(complete_body(text)).expect("a response")
}
