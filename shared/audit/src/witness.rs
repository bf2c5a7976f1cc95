//! What a witness keeps: the heads of logs at certain times, one line each, in a file outside of the lake.

use chrono::{DateTime, SecondsFormat, Utc};
use gam_lake::audit::SegmentHash;
use serde::{Deserialize, Serialize};

use crate::head::LogHead;
use crate::verify::KnownHead;

/// A line of a witness: the head of a log at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WitnessLine {
    /// When the head was read, UTC.
    pub at: DateTime<Utc>,
    /// The name of the log: a storage key, or `_`.
    pub log: String,
    /// The number of the last segment.
    pub segment: u64,
    /// The SHA-256 of its file, in hexadecimal digits.
    pub sha256: String,
}

impl WitnessLine {
    /// Creates the line about a head.
    pub fn new(log: &str, head: LogHead, at: DateTime<Utc>) -> Self {
        WitnessLine { at, log: log.to_owned(), segment: head.number, sha256: head.hash.to_string() }
    }

    /// Returns the head.
    pub fn known_head(&self) -> Option<KnownHead> {
        let hash = SegmentHash::parse(&self.sha256)?;
        let at = self.at.to_rfc3339_opts(SecondsFormat::Secs, true);
        Some(KnownHead {
            head: LogHead { number: self.segment, hash },
            source: format!("the witness of {at}"),
        })
    }
}

/// Parses the text of a witness.
///
/// # Errors
/// The number of the line that is invalid, counted from 1, and why.
pub fn parse_witness(text: &str) -> Result<Vec<WitnessLine>, (usize, String)> {
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(number, line)| {
            let parsed: WitnessLine =
                serde_json::from_str(line).map_err(|error| (number, error.to_string()))?;
            match parsed.known_head() {
                Some(_) => Ok(parsed),
                None => Err((number, format!("{:?} is no SHA-256", parsed.sha256))),
            }
        })
        .collect()
}
