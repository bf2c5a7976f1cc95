//! Calls of AWS through boto3. All tests share one Python process.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::tools::Tool;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/external/aws/calls.py");

/// An error of AWS.
#[derive(Debug)]
pub(crate) struct AwsError {
    /// Error code.
    pub(crate) code: String,
    /// Error message.
    pub(crate) message: String,
}

/// The process with boto3. It exits with the tests, because its input ends then.
pub(crate) struct BotoProcess {
    _child: Child,
    input: Mutex<ChildStdin>,
    pending: Arc<Mutex<PendingRequests>>,
}

#[derive(Default)]
struct PendingRequests {
    last_id: u64,
    senders: BTreeMap<u64, Sender<Value>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the process that all tests share.
///
/// # Errors
/// If it cannot be started.
pub(crate) fn boto() -> Result<&'static BotoProcess, String> {
    static PROCESS: LazyLock<Result<BotoProcess, String>> = LazyLock::new(start);
    PROCESS.as_ref().map_err(Clone::clone)
}

fn start() -> Result<BotoProcess, String> {
    let python = Tool::Emulator.install()?.join("python");
    let mut command = Command::new(python);
    command.arg(SCRIPT).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("boto3 cannot be started ({error})"))?;
    let input = Mutex::new(child.stdin.take().expect("its stdin"));
    let output = child.stdout.take().expect("its stdout");
    let pending = Arc::<Mutex<PendingRequests>>::default();
    let shared = Arc::clone(&pending);
    std::thread::spawn(move || deliver_answers(output, &shared));
    Ok(BotoProcess { _child: child, input, pending })
}

/// Passes each answer to the caller that waits for it. When the process ends, the waiting callers panic.
fn deliver_answers(output: ChildStdout, pending: &Mutex<PendingRequests>) {
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        let Ok(answer) = serde_json::from_str::<Value>(&line) else { break };
        let sender = answer["id"].as_u64().and_then(|id| lock(pending).senders.remove(&id));
        if let Some(sender) = sender {
            // The caller may have panicked.
            let _ = sender.send(answer);
        }
    }
    lock(pending).senders.clear();
}

impl BotoProcess {
    /// Sends a request and waits for the answer.
    pub(crate) fn send(&self, mut request: Value) -> Result<Value, AwsError> {
        let (sender, answer) = channel();
        let id = {
            let mut pending = lock(&self.pending);
            pending.last_id += 1;
            let id = pending.last_id;
            pending.senders.insert(id, sender);
            id
        };
        request["id"] = json!(id);
        writeln!(lock(&self.input), "{request}").expect("the process with boto3 runs");
        let mut answer = answer.recv().expect("the process with boto3 answers");
        if let Some(error) = answer.get("error") {
            let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
            return Err(AwsError { code: text("code"), message: text("message") });
        }
        Ok(answer["ok"].take())
    }
}
