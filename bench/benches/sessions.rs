//! Measures how fast session logs are read: `cargo bench -p gam-bench --bench sessions -- [MEGABYTES] [SEED]`.
//!
//! It generates logs of Claude Code of this size, 700 MB by default, in a temporary directory, with the proportions of real
//! logs: most bytes are results of tools, each response has several lines, and a fifth is progress. It reads the files on
//! all cores, three times, and prints the best time, and the number of facts, which depends on the size and the seed only.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use gam_model::CodingAgent;

const DEFAULT_MEGABYTES: u64 = 700;
const DEFAULT_SEED: u64 = 7;
const RUNS: usize = 3;
/// The bytes of a file, on average.
const FILE_BYTES: u64 = 1_300_000;

fn main() -> anyhow::Result<()> {
    // `cargo test --all-targets` runs it without this argument, and must not wait for it.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let megabytes = numbers.first().copied().unwrap_or(DEFAULT_MEGABYTES);
    let mut rng = Rng::with_seed(numbers.get(1).copied().unwrap_or(DEFAULT_SEED));
    let directory = tempfile::tempdir()?;
    let (mut files, mut bytes) = (Vec::new(), 0);
    while bytes < megabytes * 1_000_000 {
        let (path, size) = write_log(directory.path(), files.len(), &mut rng)?;
        files.push(path);
        bytes += size;
    }
    let mut best = Duration::MAX;
    let mut facts = 0;
    for _ in 0..RUNS {
        let started = Instant::now();
        facts = read_all(&files);
        best = best.min(started.elapsed());
    }
    let megabytes = bytes as f64 / 1e6;
    let mut out = std::io::stdout();
    writeln!(out, "{} files, {megabytes:.0} MB, {facts} facts", files.len())?;
    writeln!(out, "{:.2} s, {:.0} MB/s", best.as_secs_f64(), megabytes / best.as_secs_f64())?;
    Ok(())
}

/// Reads the files side by side. Returns the number of facts.
fn read_all(files: &[PathBuf]) -> usize {
    let (next, facts) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(path) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let file = File::open(path).expect("the file was written");
                    let mut input = BufReader::with_capacity(256 << 10, file);
                    let read = gam_sessions::reader(CodingAgent::Claude).read(&mut input);
                    facts.fetch_add(read.expect("the file can be read").facts.len(), Ordering::Relaxed);
                }
            });
        }
    });
    facts.into_inner()
}

/// Writes the log of a session. Returns its path and size.
fn write_log(directory: &Path, number: usize, rng: &mut Rng) -> anyhow::Result<(PathBuf, u64)> {
    let mut text = String::new();
    let target = FILE_BYTES / 2 + rng.u64(..FILE_BYTES);
    let mut log = SessionLog { session: number, line: 0, second: 0 };
    while (text.len() as u64) < target {
        log.write_turn(&mut text, rng)?;
    }
    let path = directory.join(format!("{number}.jsonl"));
    fs::write(&path, &text)?;
    Ok((path, text.len() as u64))
}

/// The session whose log is written.
struct SessionLog {
    session: usize,
    line: u64,
    second: u64,
}

impl SessionLog {
    /// Writes a prompt, and some responses, each with a tool call and its result.
    fn write_turn(&mut self, text: &mut String, rng: &mut Rng) -> std::fmt::Result {
        let prompt = format!("{{\"role\":\"user\",\"content\":\"{}\"}}", words(rng, 200));
        self.write_record(text, "user", &format!("\"message\":{prompt}"))?;
        for _ in 0..rng.usize(2..12) {
            let id = self.line;
            for output in [1, rng.u64(2..900)] {
                let usage = format!(
                    "{{\"input_tokens\":{},\"output_tokens\":{output},\"cache_read_input_tokens\":{},\
                     \"cache_creation_input_tokens\":{}}}",
                    rng.u64(..9),
                    rng.u64(..90_000),
                    rng.u64(..9_000)
                );
                let call = format!(
                    "{{\"type\":\"tool_use\",\"id\":\"toolu_{}_{id}\",\"name\":\"Bash\",\"input\":{{\"command\":\"{}\"}}}}",
                    self.session,
                    words(rng, 120)
                );
                let message = format!(
                    "\"message\":{{\"id\":\"msg_{}_{id}\",\"model\":\"claude-opus-4-6\",\"role\":\"assistant\",\
                     \"content\":[{call}],\"stop_reason\":null,\"usage\":{usage}}},\"requestId\":\"req_{id}\"",
                    self.session
                );
                self.write_record(text, "assistant", &message)?;
            }
            let progress =
                format!("\"data\":{{\"type\":\"bash_progress\",\"output\":\"{}\"}}", words(rng, 1_500));
            self.write_record(text, "progress", &progress)?;
            let (bytes, is_error) = (rng.usize(100..9_000), rng.u8(..20) == 0);
            let output = words(rng, bytes);
            let result = format!(
                "\"message\":{{\"role\":\"user\",\"content\":[{{\"type\":\"tool_result\",\"tool_use_id\":\"toolu_{}_{id}\",\
                 \"content\":\"{output}\",\"is_error\":{is_error}}}]}},\"toolUseResult\":{{\"stdout\":\"{output}\"}}",
                self.session
            );
            self.write_record(text, "user", &result)?;
        }
        Ok(())
    }

    fn write_record(&mut self, text: &mut String, record_type: &str, fields: &str) -> std::fmt::Result {
        self.line += 1;
        self.second += 7;
        let (day, hour) = (1 + self.second / 86_400 % 28, self.second / 3_600 % 24);
        let (minute, second) = (self.second / 60 % 60, self.second % 60);
        writeln!(
            text,
            "{{\"parentUuid\":null,\"isSidechain\":false,\"userType\":\"external\",\"cwd\":\"/work/site\",\
             \"sessionId\":\"session-{}\",\"version\":\"2.1.39\",\"gitBranch\":\"main\",\"type\":\"{record_type}\",{fields},\
             \"uuid\":\"{}-{}\",\"timestamp\":\"2026-02-{day:02}T{hour:02}:{minute:02}:{second:02}.000Z\"}}",
            self.session, self.session, self.line
        )
    }
}

/// Returns about this many bytes of words, with some that JSON escapes.
fn words(rng: &mut Rng, bytes: usize) -> String {
    const WORDS: [&str; 8] =
        ["fn", "return", "value\\n", "\\\"text\\\"", "src/main.rs", "let", "error", "0x1f"];
    let mut text = String::with_capacity(bytes + 16);
    while text.len() < bytes {
        text.push_str(WORDS[rng.usize(..WORDS.len())]);
        text.push(' ');
    }
    text
}
