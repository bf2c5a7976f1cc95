//! Finds what was changed, cut out, inserted, reordered or cut off.

use std::fmt;

use chrono::{DateTime, Utc};
use gam_lake::audit::{self, Segment, SegmentHash};
use gam_lake::{ObjectStore, paths};

use crate::error::Result;
use crate::head::LogHead;

/// A head of a log that somebody remembers outside of the lake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownHead {
    /// The segment, and the hash that it had.
    pub head: LogHead,
    /// Who remembers it, such as `the store`.
    pub source: String,
}

/// Something that is wrong with a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFault {
    /// The number of the segment.
    pub segment: u64,
    /// The path of the segment.
    pub path: String,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for LogFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "segment {} ({}): {}", self.segment, self.path, self.what)
    }
}

/// The outcome of [`verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// The name of the log.
    pub log: String,
    /// Number of segments that were read.
    pub segments: u64,
    /// Number of rows in the segments that are as they were written.
    pub rows: u64,
    /// The earliest and the latest time of a row, UTC. `None` without rows.
    pub times: Option<(DateTime<Utc>, DateTime<Utc>)>,
    /// The last segment; `None` if there is none.
    pub head: Option<LogHead>,
    /// What is wrong, in the order of segments. None if the log is as it was written.
    pub faults: Vec<LogFault>,
}

/// Reads all segments of a log, and compares them with each other and with the heads that others remember.
///
/// # Errors
/// If the lake fails. What is wrong with the log is no error.
pub async fn verify(objects: &dyn ObjectStore, log: &str, known: &[KnownHead]) -> Result<Verification> {
    let (numbers, others) = audit::list(objects, log).await?;
    let mut walk = ChainWalk::new(log);
    for other in others {
        walk.faults.push(LogFault {
            segment: 0,
            path: other.to_string(),
            what: "it is no segment, and does not belong here".to_owned(),
        });
    }
    for number in numbers {
        let path = paths::audit_segment(log, number);
        let Some(object) = objects.get(&path).await? else {
            walk.fault(number, "it was listed, and is gone");
            continue;
        };
        let hash = SegmentHash::of(&object.bytes);
        let segment = match audit::decode(path.as_str(), object.bytes) {
            Ok(segment) => Ok(segment),
            Err(gam_lake::Error::DamagedSegment { what, .. }) => Err(what),
            Err(error @ gam_lake::Error::NewerFormat { .. }) => Err(error.to_string()),
            Err(error) => return Err(error.into()),
        };
        walk.visit(number, hash, segment, known);
    }
    walk.end(known);
    Ok(walk.into_verification())
}

/// What a walk along the chain has seen.
struct ChainWalk {
    log: String,
    segments: u64,
    rows: u64,
    times: Option<(DateTime<Utc>, DateTime<Utc>)>,
    /// The last segment that was visited.
    head: LogHead,
    /// Whether the last segment was as it was written.
    is_head_intact: bool,
    faults: Vec<LogFault>,
}

impl ChainWalk {
    fn new(log: &str) -> Self {
        ChainWalk {
            log: log.to_owned(),
            segments: 0,
            rows: 0,
            times: None,
            head: LogHead::EMPTY,
            is_head_intact: true,
            faults: Vec::new(),
        }
    }

    fn fault(&mut self, segment: u64, what: impl Into<String>) {
        let path = paths::audit_segment(&self.log, segment).to_string();
        self.faults.push(LogFault { segment, path, what: what.into() });
    }

    fn visit(
        &mut self,
        number: u64,
        hash: SegmentHash,
        segment: Result<Segment, String>,
        known: &[KnownHead],
    ) {
        self.segments += 1;
        let expected = self.head.number + 1;
        if number > expected {
            self.missing(expected, number - 1);
        }
        let is_next = number == expected;
        let is_intact = segment.is_ok();
        match segment {
            Err(what) => self.fault(number, format!("it was changed: {what}")),
            Ok(segment) => self.check(number, is_next, &segment),
        }
        for KnownHead { head, source } in known.iter().filter(|known| known.head.number == number) {
            if head.hash != hash {
                self.fault(
                    number,
                    format!("it was replaced: its SHA-256 is {hash}, and {source} remembers {}", head.hash),
                );
            }
        }
        self.head = LogHead { number, hash };
        self.is_head_intact = is_intact;
    }

    /// Checks a segment whose bytes are as they were written.
    fn check(&mut self, number: u64, is_next: bool, segment: &Segment) {
        if (segment.log.as_str(), segment.number) != (self.log.as_str(), number) {
            self.fault(number, format!("it was written as segment {} of {}", segment.number, segment.log));
        } else if is_next && self.is_head_intact && segment.previous != self.head.hash {
            let before = self.head.number;
            self.fault(
                number,
                format!(
                    "it does not follow from segment {before}: it names {} as the SHA-256 of that, which is {}; one of \
                     them was replaced",
                    segment.previous, self.head.hash
                ),
            );
        }
        self.rows += segment.entries.len() as u64;
        for entry in &segment.entries {
            let at = entry.occurred_at;
            self.times = Some(self.times.map_or((at, at), |(first, last)| (first.min(at), last.max(at))));
        }
    }

    fn missing(&mut self, first: u64, last: u64) {
        let what = match first == last {
            true => "it is missing".to_owned(),
            false => format!("it is missing, as are all up to segment {last}"),
        };
        self.fault(first, what);
    }

    /// Compares the end of the chain with what others remember.
    fn end(&mut self, known: &[KnownHead]) {
        let beyond = known.iter().filter(|known| known.head.number > self.head.number);
        let Some(last) = beyond.max_by_key(|known| known.head.number).cloned() else { return };
        let first_missing = self.head.number + 1;
        self.fault(
            first_missing,
            format!("the end was cut off: {} remembers segment {}", last.source, last.head.number),
        );
    }

    fn into_verification(self) -> Verification {
        let ChainWalk { log, segments, rows, times, head, faults, .. } = self;
        let head = (head.number > 0).then_some(head);
        Verification { log, segments, rows, times, head, faults }
    }
}
