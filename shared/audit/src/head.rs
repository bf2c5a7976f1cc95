//! How far a log was written, as the store remembers it. The lake decides: a segment that the store does not know of is
//! found by its number.

use chrono::{DateTime, Utc};
use gam_lake::audit::{self, SegmentHash};
use gam_store::{
    CommitOutcome, Expectation, KeyPart, Record, RecordCommit, RecordCommitId, RecordKey, RecordKind,
    RecordStore, commit_until_answered,
};
use serde::{Deserialize, Serialize};

use crate::AuditPorts;
use crate::error::{AuditError, Result};

/// How often a head is read and written again because another process has changed it.
const MAX_ATTEMPTS: u32 = 8;

/// The last segment of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogHead {
    /// The number of the segment; 0 if there is none.
    pub number: u64,
    /// The hash of its file.
    pub hash: SegmentHash,
}

impl LogHead {
    /// The head of a log without segments.
    pub(crate) const EMPTY: LogHead = LogHead { number: 0, hash: SegmentHash::NONE };
}

#[derive(Serialize, Deserialize)]
struct StoredHead {
    segment: u64,
    sha256: String,
}

/// What the head's record is about.
#[derive(Debug, Clone, Copy)]
pub(crate) enum HeadOf {
    Segments,
    Configurations,
}

pub(crate) fn head_key(org: Option<&str>, of: HeadOf) -> Result<RecordKey> {
    let name = match of {
        HeadOf::Segments => "segments",
        HeadOf::Configurations => "configurations",
    };
    Ok(RecordKey::new(org, RecordKind::AuditHead, &[KeyPart::Text(name)])?)
}

/// Returns the head that the store remembers, or the one of a log without segments.
pub(crate) async fn load(
    records: &dyn RecordStore,
    org: Option<&str>,
    now: DateTime<Utc>,
) -> Result<LogHead> {
    let record = records.get(&head_key(org, HeadOf::Segments)?, now).await?;
    Ok(record.as_ref().and_then(parse).unwrap_or(LogHead::EMPTY))
}

/// A record that cannot be read counts as absent: the segments are found by their numbers.
fn parse(record: &Record) -> Option<LogHead> {
    let StoredHead { segment, sha256 } = serde_json::from_str(&record.body).ok()?;
    Some(LogHead { number: segment, hash: SegmentHash::parse(&sha256)? })
}

/// Stores a head, unless the store remembers a later one.
pub(crate) async fn advance(ports: &AuditPorts, org: Option<&str>, head: LogHead) -> Result<()> {
    let key = head_key(org, HeadOf::Segments)?;
    let stored = StoredHead { segment: head.number, sha256: head.hash.to_string() };
    let body = serde_json::to_string(&stored).expect("a head has only text keys");
    for _ in 0..MAX_ATTEMPTS {
        let now = ports.clock.now();
        let record = ports.records.get(&key, now).await?;
        if record.as_ref().and_then(parse).is_some_and(|stored| stored.number >= head.number) {
            return Ok(());
        }
        let commit = RecordCommit::new(RecordCommitId::random());
        let commit = commit.put(key.clone(), body.clone(), Expectation::unchanged(record.as_ref()));
        if commit_until_answered(&*ports.records, &commit, now).await? == CommitOutcome::Committed {
            return Ok(());
        }
    }
    Err(AuditError::Contended { log: audit::log_name(org) })
}

/// Returns the last segment of a log that the store remembers, or `None` if it remembers none.
///
/// # Errors
/// If the store fails.
pub async fn stored_head(ports: &AuditPorts, org: Option<&str>) -> Result<Option<LogHead>> {
    let head = load(&*ports.records, org, ports.clock.now()).await?;
    Ok((head.number > 0).then_some(head))
}

/// Returns the last segment of a log, or `None` if it has none: what the store remembers, and the segments after it.
///
/// # Errors
/// If a segment was changed, or the lake or the store fails.
pub async fn current_head(ports: &AuditPorts, org: Option<&str>) -> Result<Option<LogHead>> {
    let log = audit::log_name(org);
    let mut head = load(&*ports.records, org, ports.clock.now()).await?;
    if head == LogHead::EMPTY
        && let Some(last) = audit::numbers(&*ports.objects, &log).await?.last()
        && let Some(segment) = audit::read(&*ports.objects, &log, *last).await?
    {
        head = LogHead { number: segment.number, hash: segment.hash };
    }
    while let Some(segment) = audit::read(&*ports.objects, &log, head.number + 1).await? {
        head = LogHead { number: segment.number, hash: segment.hash };
    }
    Ok((head.number > 0).then_some(head))
}
