//! A double of the Lambda runtime API. It hands events to one function, takes its answers, and records when
//! each happened.

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

/// Time limit of a function for one event.
const INVOCATION_TIMEOUT: Duration = Duration::from_secs(29);
/// Longest wait for the function.
const WAIT_LIMIT: Duration = Duration::from_secs(60);

/// A request of the function to the runtime API.
#[derive(Debug)]
enum FunctionRequest {
    /// It polls for the next event.
    Poll(Instant),
    /// It answers an event, or reports an error.
    Answer(Instant, Result<Value, Value>),
}

/// A running runtime API.
#[derive(Debug)]
pub struct LambdaRuntimeApi {
    events: mpsc::UnboundedSender<Value>,
    requests: std::sync::mpsc::Receiver<FunctionRequest>,
    handed_out_at: Arc<Mutex<Option<Instant>>>,
    server: Server,
}

struct RuntimeState {
    events: tokio::sync::Mutex<mpsc::UnboundedReceiver<Value>>,
    requests: std::sync::mpsc::Sender<FunctionRequest>,
    handed_out_at: Arc<Mutex<Option<Instant>>>,
}

impl LambdaRuntimeApi {
    /// Starts the server, with no event yet.
    pub fn start() -> Self {
        let (events, pending_events) = mpsc::unbounded_channel();
        let (sender, requests) = std::sync::mpsc::channel();
        let handed_out_at = Arc::<Mutex<Option<Instant>>>::default();
        let state = Arc::new(RuntimeState {
            events: tokio::sync::Mutex::new(pending_events),
            requests: sender,
            handed_out_at: Arc::clone(&handed_out_at),
        });
        let server = Server::start(move |request| handle(request, Arc::clone(&state)));
        LambdaRuntimeApi { events, requests, handed_out_at, server }
    }

    /// Host and port: the value of `AWS_LAMBDA_RUNTIME_API`.
    pub fn address(&self) -> String {
        self.server.address().to_string()
    }

    /// Waits until the function polls for an event. Returns the time of the poll.
    pub fn wait_for_poll(&self) -> Instant {
        loop {
            match self.requests.recv_timeout(WAIT_LIMIT).expect("the function polls for an event") {
                FunctionRequest::Poll(at) => return at,
                FunctionRequest::Answer(..) => {}
            }
        }
    }

    /// Hands out an event and waits for the answer. Returns the answer and the duration.
    ///
    /// # Errors
    /// The inner result is the error that the function reported.
    pub fn invoke(&self, event: Value) -> (Result<Value, Value>, Duration) {
        self.events.send(event).expect("the runtime API runs");
        loop {
            match self.requests.recv_timeout(WAIT_LIMIT).expect("the function answers") {
                FunctionRequest::Answer(at, answer) => {
                    let started = self.handed_out_at.lock().unwrap_or_else(PoisonError::into_inner);
                    return (answer, at - started.expect("an event was handed out"));
                }
                FunctionRequest::Poll(_) => {}
            }
        }
    }
}

async fn handle(request: Request<Incoming>, state: Arc<RuntimeState>) -> io::Result<Response<Body>> {
    let at = Instant::now();
    let path = request.uri().path().to_owned();
    if request.method() == Method::GET {
        // The test may have ended.
        let _ = state.requests.send(FunctionRequest::Poll(at));
        let event = state.events.lock().await.recv().await.ok_or(io::ErrorKind::ConnectionReset)?;
        *state.handed_out_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        return event_response(&event);
    }
    let body = request.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
    let report = serde_json::from_slice(&body).unwrap_or_default();
    let answer = if path.ends_with("/response") { Ok(report) } else { Err(report) };
    let _ = state.requests.send(FunctionRequest::Answer(at, answer));
    Response::builder().status(202).body(complete_body(Bytes::new())).map_err(io::Error::other)
}

#[expect(clippy::disallowed_methods, reason = "a Lambda deadline is a wall-clock time")]
fn event_response(event: &Value) -> io::Result<Response<Body>> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Response::builder()
        .header("lambda-runtime-aws-request-id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd")
        .header("lambda-runtime-deadline-ms", (now + INVOCATION_TIMEOUT).as_millis() as u64)
        .header(
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:us-east-1:000000000000:function:measured",
        )
        .header("lambda-runtime-trace-id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=0")
        .header("content-type", "application/json")
        .body(complete_body(event.to_string()))
        .map_err(io::Error::other)
}
