//! A double of the Lambda service's runtime API: it hands events to one function and takes the answers,
//! and knows to the microsecond when each of that happened.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Method, Request, Response};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::server::{Body, Server, complete_body};

/// How long a function has for an event.
const TIMEOUT: Duration = Duration::from_secs(29);
/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a function does that is waited for.
#[derive(Debug)]
enum FunctionEvent {
    /// It asks for an event.
    Asks(Instant),
    /// It answers one, or says why it cannot.
    Answers(Instant, Result<Value, Value>),
}

/// A running runtime API.
#[derive(Debug)]
pub struct LambdaRuntimeApi {
    events: mpsc::UnboundedSender<Value>,
    turns: std::sync::mpsc::Receiver<FunctionEvent>,
    handed_out: Arc<Mutex<Option<Instant>>>,
    server: Server,
}

struct RuntimeState {
    events: tokio::sync::Mutex<mpsc::UnboundedReceiver<Value>>,
    turns: std::sync::mpsc::Sender<FunctionEvent>,
    handed_out: Arc<Mutex<Option<Instant>>>,
}

impl LambdaRuntimeApi {
    /// Starts one, with no event yet.
    pub fn start() -> Self {
        let (events, to_come) = mpsc::unbounded_channel();
        let (sender, turns) = std::sync::mpsc::channel();
        let handed_out = Arc::<Mutex<Option<Instant>>>::default();
        let state = Arc::new(RuntimeState {
            events: tokio::sync::Mutex::new(to_come),
            turns: sender,
            handed_out: Arc::clone(&handed_out),
        });
        let server = Server::start(move |request| answer(request, Arc::clone(&state)));
        LambdaRuntimeApi { events, turns, handed_out, server }
    }

    /// Its address, as `AWS_LAMBDA_RUNTIME_API` takes it.
    pub fn address(&self) -> String {
        self.server.address().to_string()
    }

    /// Waits until the function asks for an event, and says when that was.
    pub fn asked_at(&self) -> Instant {
        loop {
            match self.turns.recv_timeout(PATIENCE).expect("the function asks for an event") {
                FunctionEvent::Asks(at) => return at,
                FunctionEvent::Answers(..) => {}
            }
        }
    }

    /// Hands out an event and waits for the answer: what it is, and how long it took.
    ///
    /// # Errors
    /// With what the function failed with.
    pub fn invoke(&self, event: Value) -> (Result<Value, Value>, Duration) {
        self.events.send(event).expect("the runtime API runs");
        loop {
            match self.turns.recv_timeout(PATIENCE).expect("the function answers") {
                FunctionEvent::Answers(at, answer) => {
                    let begun = self.handed_out.lock().unwrap_or_else(PoisonError::into_inner);
                    return (answer, at - begun.expect("an event was handed out"));
                }
                FunctionEvent::Asks(_) => {}
            }
        }
    }
}

async fn answer(request: Request<Incoming>, state: Arc<RuntimeState>) -> io::Result<Response<Body>> {
    let at = Instant::now();
    let path = request.uri().path().to_owned();
    if request.method() == Method::GET {
        // Nobody may be waiting any more.
        let _ = state.turns.send(FunctionEvent::Asks(at));
        let event = state.events.lock().await.recv().await.ok_or(io::ErrorKind::ConnectionReset)?;
        *state.handed_out.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        return next(&event);
    }
    let body = request.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
    let told = serde_json::from_slice(&body).unwrap_or_default();
    let answer = if path.ends_with("/response") { Ok(told) } else { Err(told) };
    let _ = state.turns.send(FunctionEvent::Answers(at, answer));
    Response::builder().status(202).body(complete_body(Bytes::new())).map_err(io::Error::other)
}

#[expect(clippy::disallowed_methods, reason = "the double of a service tells its deadline by the wall clock")]
fn next(event: &Value) -> io::Result<Response<Body>> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Response::builder()
        .header("lambda-runtime-aws-request-id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd")
        .header("lambda-runtime-deadline-ms", (now + TIMEOUT).as_millis() as u64)
        .header(
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:us-east-1:000000000000:function:measured",
        )
        .header("lambda-runtime-trace-id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=0")
        .header("content-type", "application/json")
        .body(complete_body(event.to_string()))
        .map_err(io::Error::other)
}
