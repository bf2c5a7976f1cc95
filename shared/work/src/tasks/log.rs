//! The log of a claim: what the command of a worker printed.

use chrono::TimeDelta;
use gam_access::Principal;
use gam_store::{
    CommitOutcome, Expectation, KeyPart, RecordCommit, RecordCommitId, RecordKey, RecordKind, RecordRange,
    Result, commit_until_answered,
};
use serde::{Deserialize, Serialize};

use super::claim_id::ClaimId;
use super::entries::{parse_entry, to_json};
use super::redact::redact;
use super::{MAX_CONFLICTS, TaskError, Tasks};

/// The most lines of one append.
pub const MAX_LOG_LINES: usize = 1_000;
/// The longest line, in characters. The rest of a longer one is cut.
pub const MAX_LOG_LINE_CHARS: usize = 4_000;
/// The most bytes of one append.
const MAX_APPEND_BYTES: usize = 256 * 1024;
/// The most bytes of the log of a claim. Later lines are dropped.
const MAX_LOG_BYTES: usize = 4 * 1024 * 1024;
/// How long a log stays after its last line.
const LOG_LIFETIME: TimeDelta = TimeDelta::days(30);
/// The most appends that one page of a log has.
const PAGE_APPENDS: usize = 20;

/// Lines to append to the log of a claim.
#[derive(Debug, Clone)]
pub struct LogAppend {
    /// The fence of the claim.
    pub fence: u64,
    /// The lines, without line breaks.
    pub lines: Vec<String>,
    /// The number of this append, from 0, if the worker counts them. One with a number that was appended is not appended
    /// again, so that a worker can repeat it after a lost answer.
    pub sequence: Option<u64>,
}

/// A part of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPage {
    /// The lines.
    pub lines: Vec<String>,
    /// Where the next page begins. `None` at the end.
    pub next: Option<u64>,
    /// Whether lines were dropped because the log was too long.
    pub is_cut: bool,
}

/// What is known of the log of a claim.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct LogHead {
    /// Number of appends.
    appends: u64,
    /// Their length in bytes.
    bytes: usize,
    /// The next number that the worker gives to an append.
    next_sequence: u64,
    /// Whether lines were dropped.
    is_cut: bool,
}

fn parts_of(id: &ClaimId) -> [KeyPart<'_>; 4] {
    let number = |number: i64| KeyPart::Number(u64::try_from(number).unwrap_or_default());
    [number(id.repo_id), number(id.number), KeyPart::Number(id.fence), KeyPart::Text(&id.nonce)]
}

fn head_key(id: &ClaimId) -> Result<RecordKey> {
    RecordKey::new(Some(&id.org), RecordKind::TaskLogHead, &parts_of(id))
}

fn lines_key(id: &ClaimId, index: u64) -> Result<RecordKey> {
    let parts: Vec<KeyPart<'_>> = parts_of(id).into_iter().chain([KeyPart::Number(index)]).collect();
    RecordKey::new(Some(&id.org), RecordKind::TaskLog, &parts)
}

/// Returns the number of the append that a key has.
fn append_of(key: &RecordKey) -> Option<u64> {
    key.sort().rsplit('#').next()?.parse().ok()
}

impl Tasks {
    /// Appends lines to the log of a claim. Secrets in them are removed as far as they are recognized.
    ///
    /// # Errors
    /// As [`Tasks::report`]. If there are too many lines.
    pub async fn append_log(
        &self,
        principal: &Principal,
        id: &ClaimId,
        append: &LogAppend,
    ) -> std::result::Result<(), TaskError> {
        let lines: Vec<String> = append.lines.iter().map(|line| clean(line)).collect();
        let bytes: usize = lines.iter().map(String::len).sum();
        if lines.len() > MAX_LOG_LINES || bytes > MAX_APPEND_BYTES {
            return Err(TaskError::Invalid(format!(
                "too many lines: send at most {MAX_LOG_LINES} lines and {MAX_APPEND_BYTES} bytes at once"
            )));
        }
        self.check_live_claim(principal, id, append.fence, self.clock.now()).await?;
        for _ in 0..MAX_CONFLICTS {
            let now = self.clock.now();
            let record = self.records.get(&head_key(id)?, now).await?;
            let mut head: LogHead = record.as_ref().map(parse_entry).transpose()?.unwrap_or_default();
            if append.sequence.is_some_and(|sequence| sequence < head.next_sequence) || lines.is_empty() {
                return Ok(());
            }
            let expectation = Expectation::unchanged(record.as_ref());
            let expires = now + LOG_LIFETIME;
            let mut commit = RecordCommit::new(RecordCommitId::random());
            head.next_sequence = append.sequence.map_or(head.next_sequence, |sequence| sequence + 1);
            if head.bytes + bytes > MAX_LOG_BYTES {
                head.is_cut = true;
            } else {
                let key = lines_key(id, head.appends)?;
                commit = commit.put_until(key, to_json(&lines), expires, Expectation::Absent);
                head.appends += 1;
                head.bytes += bytes;
            }
            commit = commit.put_until(head_key(id)?, to_json(&head), expires, expectation);
            if commit_until_answered(&*self.records, &commit, now).await? == CommitOutcome::Committed {
                return Ok(());
            }
        }
        Err(TaskError::Busy)
    }

    /// Returns a page of the log of a claim, from an append on. The caller has checked that the principal may read it.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn read_log(&self, id: &ClaimId, from: u64) -> std::result::Result<LogPage, TaskError> {
        let now = self.clock.now();
        let head = self.records.get(&head_key(id)?, now).await?;
        let head: LogHead = head.as_ref().map(parse_entry).transpose()?.unwrap_or_default();
        let range = RecordRange::new(Some(&id.org), RecordKind::TaskLog, &parts_of(id))?;
        let range = if from == 0 { range } else { range.after(&lines_key(id, from - 1)?) };
        let page = self.records.range(&range, PAGE_APPENDS, now).await?;
        let mut lines: Vec<String> = Vec::new();
        for (_, record) in &page {
            lines.extend(parse_entry::<Vec<String>>(record)?);
        }
        // The first appends may have expired, so their number does not follow from how many there are.
        let last = page.last().filter(|_| page.len() == PAGE_APPENDS).and_then(|(key, _)| append_of(key));
        Ok(LogPage { lines, next: last.map(|last| last + 1), is_cut: head.is_cut })
    }
}

/// Returns a line as it is stored: cut, without secrets and control characters.
fn clean(line: &str) -> String {
    let cut = line.char_indices().nth(MAX_LOG_LINE_CHARS).map_or(line, |(end, _)| &line[..end]);
    redact(cut).chars().filter(|c| !c.is_control() || *c == '\t').collect()
}
