//! The logs of Codex CLI: `~/.codex/sessions/**/rollout-*.jsonl`.
//!
//! No specification exists. What is known is listed with its sources in ADR 45. Token counts are written twice, and
//! a fork or a subagent begins with a copy of its parent's history, with the time of the fork.

mod facts;
mod line;
mod replay;
mod tools;

use std::io::{self, BufRead};

use gam_model::CodingAgent;

use crate::codex::facts::CodexFacts;
use crate::codex::line::Line;
use crate::facts::{LogFacts, ReadCounts};
use crate::records::{RecordSink, read_records};
use crate::{LogReader, json};

/// Reads the logs of Codex CLI.
#[derive(Debug, Clone, Copy)]
pub struct CodexLogs;

impl LogReader for CodexLogs {
    fn agent(&self) -> CodingAgent {
        CodingAgent::Codex
    }

    fn read(&self, input: &mut dyn BufRead) -> io::Result<LogFacts> {
        let mut facts = CodexFacts::default();
        read_records(input, &mut facts)?;
        Ok(facts.into_log_facts())
    }
}

impl RecordSink for CodexFacts {
    fn add(&mut self, text: &str) -> bool {
        let record = json::record::<Line<'_>>(text);
        if let Some(record) = &record {
            self.add_record(record, text);
        }
        record.is_some()
    }

    fn counts(&mut self) -> &mut ReadCounts {
        &mut self.counts
    }
}
