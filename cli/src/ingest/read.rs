//! Reads log files side by side.

use std::fs::File;
use std::io::{self, BufReader};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use gam_sessions::LogFacts;

use crate::ingest::discover::LogFile;
use crate::ingest::state::FileVersion;

/// The bytes that are read from a file at a time.
const BUFFER_BYTES: usize = 256 << 10;
/// The most files that are read at a time. A long line of each one is held in memory.
const MAX_THREADS: usize = 8;

/// A file after reading.
pub(crate) struct ReadFile {
    /// How the file looked before it was read; `None` if that could not be determined.
    pub(crate) version: Option<FileVersion>,
    /// Its facts, or why it cannot be read.
    pub(crate) facts: io::Result<LogFacts>,
}

/// Reads the files on all cores. Returns one result for each file, in order.
pub(crate) fn read_files(files: &[LogFile]) -> Vec<ReadFile> {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS).min(files.len());
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<(usize, ReadFile)>> = Mutex::new(Vec::with_capacity(files.len()));
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(file) = files.get(index) else { break };
                    let read = read_file(file);
                    if let Ok(mut results) = results.lock() {
                        results.push((index, read));
                    }
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_default();
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, read)| read).collect()
}

fn read_file(file: &LogFile) -> ReadFile {
    // Before reading: what is written meanwhile makes the file look changed in the next run.
    let version = FileVersion::of(&file.path);
    let facts = File::open(&file.path).and_then(|open| {
        let mut input = BufReader::with_capacity(BUFFER_BYTES, open);
        gam_sessions::reader(file.agent).read(&mut input)
    });
    ReadFile { version, facts }
}
