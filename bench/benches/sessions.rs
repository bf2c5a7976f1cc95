//! Measures how fast session logs are read: `cargo bench -p gam-bench --bench sessions -- [MEGABYTES] [SEED]`.
//!
//! It generates logs of Claude Code of this size, 700 MB by default, in a temporary directory. It reads the files on all
//! cores, three times, and prints the best time, and the number of facts, which depends on the size and the seed only.
//! `bench/sessions.py` measures `ingest sessions` as a whole, and compares it with ccusage.

use std::fs::File;
use std::io::{BufReader, Write as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use gam_bench::{SessionLogShape, WrittenLogs, write_session_logs};
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
    let directory = tempfile::tempdir()?;
    let bytes = megabytes * 1_000_000;
    let shape = SessionLogShape {
        files: usize::try_from(bytes / FILE_BYTES)?.max(1),
        bytes,
        seed: numbers.get(1).copied().unwrap_or(DEFAULT_SEED),
        first_session: 0,
    };
    let WrittenLogs { files, bytes } = write_session_logs(&shape, directory.path())?;
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
