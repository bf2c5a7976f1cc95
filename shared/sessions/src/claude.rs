//! The logs of Claude Code: `~/.claude/projects/**/*.jsonl`.
//!
//! No specification exists. What is known is listed with its sources in ADR 45. One response of the model is
//! written many times: a line for each block, again in the lines of subagents, again by forks and resumed sessions.

mod facts;
mod line;

use std::io::{self, BufRead};

use gam_model::CodingAgent;

use crate::claude::facts::ClaudeFacts;
use crate::claude::line::Line;
use crate::facts::{LogFacts, ReadCounts};
use crate::records::{RecordSink, read_records};
use crate::{LogReader, json};

/// Reads the logs of Claude Code, of the session and of its subagents.
#[derive(Debug, Clone, Copy)]
pub struct ClaudeLogs;

impl LogReader for ClaudeLogs {
    fn agent(&self) -> CodingAgent {
        CodingAgent::Claude
    }

    fn read(&self, input: &mut dyn BufRead) -> io::Result<LogFacts> {
        let mut facts = ClaudeFacts::default();
        read_records(input, &mut facts)?;
        Ok(facts.into_log_facts())
    }
}

impl RecordSink for ClaudeFacts {
    fn add(&mut self, text: &str) -> bool {
        let record = json::record::<Line<'_>>(text);
        if let Some(record) = &record {
            self.add_record(record);
        }
        record.is_some()
    }

    fn counts(&mut self) -> &mut ReadCounts {
        &mut self.counts
    }
}
