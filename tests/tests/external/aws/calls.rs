//! Calls of AWS, by way of one process with boto3 for all tests.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::tools::Tool;

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/external/aws/calls.py");

/// What AWS refused.
#[derive(Debug)]
pub(crate) struct AwsError {
    /// The error's code.
    pub(crate) code: String,
    /// What it says.
    pub(crate) message: String,
}

/// The process. It ends with that of the tests, as its input ends then.
pub(crate) struct Calls {
    _child: Child,
    input: Mutex<ChildStdin>,
    waiting: Arc<Mutex<Waiting>>,
}

#[derive(Default)]
struct Waiting {
    last: u64,
    answers: BTreeMap<u64, Sender<Value>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The process of all tests.
pub(crate) fn calls() -> Result<&'static Calls, String> {
    static CALLS: LazyLock<Result<Calls, String>> = LazyLock::new(start);
    CALLS.as_ref().map_err(Clone::clone)
}

fn start() -> Result<Calls, String> {
    let python = Tool::Emulator.install()?.join("python");
    let mut command = Command::new(python);
    command.arg(PROGRAM).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("boto3 cannot be started ({error})"))?;
    let input = Mutex::new(child.stdin.take().expect("its stdin"));
    let output = child.stdout.take().expect("its stdout");
    let waiting = Arc::<Mutex<Waiting>>::default();
    let shared = Arc::clone(&waiting);
    std::thread::spawn(move || hand_out(output, &shared));
    Ok(Calls { _child: child, input, waiting })
}

/// Hands every answer to who waits for it. It ends with the process, and then nobody is answered.
fn hand_out(output: ChildStdout, waiting: &Mutex<Waiting>) {
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        let Ok(answer) = serde_json::from_str::<Value>(&line) else { break };
        let waits = answer["id"].as_u64().and_then(|id| lock(waiting).answers.remove(&id));
        if let Some(waits) = waits {
            // Whoever waited may have given up.
            let _ = waits.send(answer);
        }
    }
    lock(waiting).answers.clear();
}

impl Calls {
    /// Asks, and waits for the answer.
    pub(crate) fn ask(&self, mut question: Value) -> Result<Value, AwsError> {
        let (sender, answer) = channel();
        let id = {
            let mut waiting = lock(&self.waiting);
            waiting.last += 1;
            let id = waiting.last;
            waiting.answers.insert(id, sender);
            id
        };
        question["id"] = json!(id);
        writeln!(lock(&self.input), "{question}").expect("the process with boto3 listens");
        let mut answer = answer.recv().expect("the process with boto3 answers");
        if let Some(error) = answer.get("error") {
            let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
            return Err(AwsError { code: text("code"), message: text("message") });
        }
        Ok(answer["ok"].take())
    }
}
