//! Logs of coding agents to facts: what a session used and did, without a word of what was said.
//!
//! A [`LogReader`] reads one file of one agent's log. It holds one line and the facts of the file, never the file.
//! Records that it does not know are counted and skipped, so that a newer version of an agent breaks nothing.
//! [`LogFacts::place`] adds who and where, and returns [`SessionEvent`](gam_model::SessionEvent)s.
//!
//! Each file is read for itself. The same fact in two files has the same id, and
//! [`SessionEvent::combine`](gam_model::SessionEvent::combine) makes one row of both. Files can therefore be read
//! in any order, in part, again, side by side, and on several machines.
//!
//! This crate opens no file, runs no program, and does not know where events are stored.

mod activity;
mod claude;
mod codex;
mod commit_ids;
mod facts;
mod json;
mod lines;
mod records;
mod salvage;
mod session_days;

use std::io;

use gam_model::CodingAgent;

pub use claude::ClaudeLogs;
pub use codex::CodexLogs;
pub use facts::{Disclosure, LogFact, LogFacts, Owner, PlacedFacts, ReadCounts, UnknownRecord, Workplace};
pub use lines::MAX_LINE_BYTES;

/// The version of the code that reads logs. Increment it whenever the same log yields other facts.
pub const READING: i64 = 1;

/// Reads the log files of one agent.
pub trait LogReader: Sync {
    /// Returns the agent whose files it reads.
    fn agent(&self) -> CodingAgent;

    /// Reads a file. A last line without an end is read if it is complete, and else left out, because the agent is
    /// still writing it.
    ///
    /// # Errors
    /// If the input fails. Invalid content is no error: it is counted.
    fn read(&self, input: &mut dyn io::BufRead) -> io::Result<LogFacts>;
}

/// Returns the reader of the agent's files.
pub fn reader(agent: CodingAgent) -> &'static dyn LogReader {
    match agent {
        CodingAgent::Claude => &ClaudeLogs,
        CodingAgent::Codex => &CodexLogs,
    }
}
