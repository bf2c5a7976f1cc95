//! The log of all tests of the process.

use std::io::Write;
use std::sync::{Arc, LazyLock, Mutex};

use serde_json::Value;
use tracing_subscriber::fmt::MakeWriter;

#[derive(Clone, Default)]
pub(crate) struct CapturedLog(Arc<Mutex<Vec<u8>>>);

/// Captures what is logged. It must be initialized before the first request: a log statement that first
/// runs without a subscriber stays disabled.
pub(super) static LOG: LazyLock<CapturedLog> = LazyLock::new(|| {
    let log = CapturedLog::default();
    tracing_subscriber::fmt().json().with_writer(log.clone()).init();
    log
});

/// Returns the lines logged for the request with this id.
pub(crate) fn log_lines(request_id: &str) -> Vec<Value> {
    all_lines().into_iter().filter(|line| line["span"]["request_id"] == request_id).collect()
}

/// Returns the lines whose message contains the text.
pub(crate) fn log_lines_with(text: &str) -> Vec<Value> {
    let contains = |line: &Value| line["fields"]["message"].as_str().is_some_and(|it| it.contains(text));
    all_lines().into_iter().filter(contains).collect()
}

fn all_lines() -> Vec<Value> {
    let bytes = LOG.0.lock().expect("no writer panicked").clone();
    let lines = String::from_utf8(bytes).expect("the log is text");
    lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line is JSON")).collect()
}

impl Write for CapturedLog {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no writer panicked").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for CapturedLog {
    type Writer = CapturedLog;

    fn make_writer(&self) -> CapturedLog {
        self.clone()
    }
}
