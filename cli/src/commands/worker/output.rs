//! What a command prints, on its way to the log of its task.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gam_work::tasks::{MAX_LOG_LINE_CHARS, MAX_LOG_LINES, redact};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{ChildStderr, ChildStdout};
use tokio::task::JoinHandle;

/// The most bytes of lines that one request sends.
const MAX_REQUEST_BYTES: usize = 128 * 1024;
/// The most lines that wait for the server. Then the oldest are dropped.
const MAX_WAITING_LINES: usize = 20_000;
/// The longest line in bytes: a longer one is split.
const MAX_LINE_BYTES: usize = MAX_LOG_LINE_CHARS;

/// Reads the output of a command, line by line.
pub(super) struct CommandOutput {
    lines: Arc<Mutex<Lines>>,
    readers: Vec<JoinHandle<()>>,
    /// The lines that were taken to be sent, and are not confirmed yet.
    taken: Option<Vec<String>>,
    /// The number of the request that sends them.
    sequence: u64,
}

#[derive(Default)]
struct Lines {
    waiting: VecDeque<String>,
    dropped: usize,
    last_of_stdout: Option<String>,
}

impl CommandOutput {
    /// Begins to read.
    pub(super) fn read(stdout: Option<ChildStdout>, stderr: Option<ChildStderr>) -> Self {
        let lines = Arc::new(Mutex::new(Lines::default()));
        let mut readers = Vec::new();
        readers.extend(stdout.map(|pipe| tokio::spawn(read_lines(pipe, lines.clone(), true))));
        readers.extend(stderr.map(|pipe| tokio::spawn(read_lines(pipe, lines.clone(), false))));
        CommandOutput { lines, readers, taken: None, sequence: 0 }
    }

    /// Waits until everything is read, but not longer than `limit`.
    pub(super) async fn finish(&mut self, limit: Duration) {
        for reader in &mut self.readers {
            if tokio::time::timeout(limit, &mut *reader).await.is_err() {
                reader.abort();
            }
        }
        self.readers.clear();
    }

    /// Returns the last line of stdout that is not empty, without secrets.
    pub(super) fn last_line(&self) -> Option<String> {
        lock(&self.lines).last_of_stdout.clone()
    }

    /// Returns the next lines to send, with the number of their request. Returns the same ones again until they are
    /// confirmed. `None` if there are none.
    pub(super) fn next_lines(&mut self) -> Option<(u64, Vec<String>)> {
        if self.taken.is_none() {
            let mut lines = lock(&self.lines);
            let (mut taken, mut bytes) = (Vec::new(), 0);
            if lines.dropped > 0 {
                taken.push(format!("[{} lines are missing: the server was too slow]", lines.dropped));
                lines.dropped = 0;
            }
            while let Some(line) = lines.waiting.front() {
                bytes += line.len();
                if taken.len() >= MAX_LOG_LINES || (bytes > MAX_REQUEST_BYTES && !taken.is_empty()) {
                    break;
                }
                taken.extend(lines.waiting.pop_front());
            }
            self.taken = (!taken.is_empty()).then_some(taken);
        }
        self.taken.clone().map(|lines| (self.sequence, lines))
    }

    /// Takes note that the server has the lines that [`CommandOutput::next_lines`] returned last.
    pub(super) fn confirm_lines(&mut self) {
        if self.taken.take().is_some() {
            self.sequence += 1;
        }
    }
}

fn lock(lines: &Mutex<Lines>) -> std::sync::MutexGuard<'_, Lines> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn read_lines(mut pipe: impl AsyncRead + Unpin, lines: Arc<Mutex<Lines>>, is_stdout: bool) {
    let (mut line, mut buffer) = (Vec::new(), vec![0; 16 * 1024]);
    loop {
        let count = match pipe.read(&mut buffer).await {
            Ok(count) if count > 0 => count,
            _ => break,
        };
        for byte in &buffer[..count] {
            if *byte != b'\n' {
                line.push(*byte);
            }
            if *byte == b'\n' || line.len() >= MAX_LINE_BYTES {
                push_line(&lines, &line, is_stdout);
                line.clear();
            }
        }
    }
    if !line.is_empty() {
        push_line(&lines, &line, is_stdout);
    }
}

/// Adds a line, without what looks like a secret: it does not leave this machine.
fn push_line(lines: &Mutex<Lines>, line: &[u8], is_stdout: bool) {
    let text = String::from_utf8_lossy(line);
    let text = redact(text.trim_end_matches('\r')).into_owned();
    let mut lines = lock(lines);
    if is_stdout && !text.trim().is_empty() {
        lines.last_of_stdout = Some(text.trim().to_owned());
    }
    lines.waiting.push_back(text);
    if lines.waiting.len() > MAX_WAITING_LINES {
        lines.waiting.pop_front();
        lines.dropped += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output_of(text: &str) -> CommandOutput {
        let lines = Arc::new(Mutex::new(Lines::default()));
        for line in text.split('\n') {
            push_line(&lines, line.as_bytes(), true);
        }
        CommandOutput { lines, readers: Vec::new(), taken: None, sequence: 0 }
    }

    #[test]
    fn lines_are_sent_again_until_they_are_confirmed() {
        let mut output = output_of("a\nb");
        let first = (0, vec!["a".to_owned(), "b".to_owned()]);
        assert_eq!(output.next_lines(), Some(first.clone()));
        push_line(&output.lines, b"c", true);
        assert_eq!(output.next_lines(), Some(first));
        output.confirm_lines();
        assert_eq!(output.next_lines(), Some((1, vec!["c".to_owned()])));
        output.confirm_lines();
        assert_eq!(output.next_lines(), None);
        assert_eq!(output.last_line().as_deref(), Some("c"));
    }

    #[test]
    fn secrets_do_not_leave_the_machine() {
        let mut output = output_of(&format!("result ghp_{}", "a".repeat(36)));
        assert_eq!(output.next_lines().unwrap().1, ["result [redacted]"]);
        assert_eq!(output.last_line().as_deref(), Some("result [redacted]"));
    }

    #[test]
    fn a_slow_server_loses_the_oldest_lines_and_learns_it() {
        let text = vec!["x"; MAX_WAITING_LINES + 3].join("\n");
        let mut output = output_of(&text);
        let (_, lines) = output.next_lines().unwrap();
        assert_eq!(lines[0], "[3 lines are missing: the server was too slow]");
        assert_eq!(lines.len(), MAX_LOG_LINES);
    }
}
