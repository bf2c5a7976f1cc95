//! A double of the Lambda service's runtime API: it hands events to one function and takes the answers,
//! and knows to the microsecond when each of that happened.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

/// How long a function has for an event.
const TIMEOUT: Duration = Duration::from_secs(29);
/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a function does that is waited for.
#[derive(Debug)]
enum Turn {
    /// It asks for an event.
    Asks(Instant),
    /// It answers one, or says why it cannot.
    Answers(Instant, Result<Value, Value>),
}

/// A running runtime API.
#[derive(Debug)]
pub struct Runtime {
    address: SocketAddr,
    events: mpsc::UnboundedSender<Value>,
    turns: std::sync::mpsc::Receiver<Turn>,
    handed_out: Arc<Mutex<Option<Instant>>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct State {
    events: tokio::sync::Mutex<mpsc::UnboundedReceiver<Value>>,
    turns: std::sync::mpsc::Sender<Turn>,
    handed_out: Arc<Mutex<Option<Instant>>>,
}

impl Runtime {
    /// Starts one, with no event yet.
    pub fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket that does not block");
        let address = listener.local_addr().expect("the port's number");
        let (events, to_come) = mpsc::unbounded_channel();
        let (sender, turns) = std::sync::mpsc::channel();
        let handed_out = Arc::<Mutex<Option<Instant>>>::default();
        let state = Arc::new(State {
            events: tokio::sync::Mutex::new(to_come),
            turns: sender,
            handed_out: Arc::clone(&handed_out),
        });
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                tokio::select! {
                    () = serve(listener, state) => {}
                    _ = stopped => {}
                }
            });
        });
        Runtime { address, events, turns, handed_out, stop: Some(stop), thread: Some(thread) }
    }

    /// Its address, as `AWS_LAMBDA_RUNTIME_API` takes it.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Waits until the function asks for an event, and says when that was.
    pub fn asked_at(&self) -> Instant {
        loop {
            match self.turns.recv_timeout(PATIENCE).expect("the function asks for an event") {
                Turn::Asks(at) => return at,
                Turn::Answers(..) => {}
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
                Turn::Answers(at, answer) => {
                    let begun = self.handed_out.lock().unwrap_or_else(PoisonError::into_inner);
                    return (answer, at - begun.expect("an event was handed out"));
                }
                Turn::Asks(_) => {}
            }
        }
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // Where the server has ended by itself there is nobody to tell.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(listener: std::net::TcpListener, state: Arc<State>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener for the runtime");
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, Arc::clone(&state)));
            // The function may be killed at any time.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(request: Request<Incoming>, state: Arc<State>) -> Result<Response<Full<Bytes>>, io::Error> {
    let at = Instant::now();
    let path = request.uri().path().to_owned();
    if request.method() == Method::GET {
        // Nobody may be waiting any more.
        let _ = state.turns.send(Turn::Asks(at));
        let event = state.events.lock().await.recv().await.ok_or(io::ErrorKind::ConnectionReset)?;
        *state.handed_out.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        return next(&event);
    }
    let body = request.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
    let told = serde_json::from_slice(&body).unwrap_or_default();
    let answer = if path.ends_with("/response") { Ok(told) } else { Err(told) };
    let _ = state.turns.send(Turn::Answers(at, answer));
    Response::builder().status(202).body(Full::default()).map_err(io::Error::other)
}

#[expect(clippy::disallowed_methods, reason = "the double of a service tells its deadline by the wall clock")]
fn next(event: &Value) -> Result<Response<Full<Bytes>>, io::Error> {
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
        .body(Full::new(Bytes::from(event.to_string())))
        .map_err(io::Error::other)
}
