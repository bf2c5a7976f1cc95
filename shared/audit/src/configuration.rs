//! The rows of configurations. A revision is an object of the lake, which no commit of the store can include. So its row
//! follows from the revision itself: whoever looks next writes the rows of all revisions that have none.

use chrono::{DateTime, Utc};
use gam_access::{AuditKind, AuditRow};
use gam_lake::audit::SegmentHash;
use gam_lake::{configuration, paths};
use gam_store::{CommitOutcome, Expectation, RecordCommit, RecordCommitId, commit_until_answered};

use crate::AuditPorts;
use crate::error::{AuditError, Result};
use crate::head::{HeadOf, head_key};

/// How often a row is tried again because another process has written it.
const MAX_ATTEMPTS: u32 = 8;

/// Writes the rows of the organization's revisions that have none. `principal` is who set the newest of them, or
/// `unknown`. Returns the number of rows.
///
/// # Errors
/// If the lake or the store fails.
pub async fn log_configurations(ports: &AuditPorts, org: &str, principal: &str) -> Result<u64> {
    let revisions = configuration::revisions(&*ports.objects, org).await?;
    let Some(newest) = revisions.last().copied() else { return Ok(0) };
    let key = head_key(Some(org), HeadOf::Configurations)?;
    let (mut rows, mut attempts) = (0, 0);
    loop {
        let now = ports.clock.now();
        let marker = ports.records.get(&key, now).await?;
        let logged: u32 = marker.as_ref().and_then(|record| record.body.parse().ok()).unwrap_or_default();
        let Some(next) = revisions.iter().copied().find(|revision| *revision > logged) else {
            return Ok(rows);
        };
        let principal = if next == newest { principal } else { "unknown" };
        let row = row_of(ports, org, next, principal, now).await?;
        let commit = RecordCommit::new(RecordCommitId::random()).put(
            key.clone(),
            next.to_string(),
            Expectation::unchanged(marker.as_ref()),
        );
        match commit_until_answered(&*ports.records, &row.add_to(commit)?, now).await? {
            CommitOutcome::Committed => rows += 1,
            CommitOutcome::Conflict(_) if attempts < MAX_ATTEMPTS => attempts += 1,
            CommitOutcome::Conflict(_) => return Err(AuditError::Contended { log: org.to_owned() }),
        }
    }
}

async fn row_of(
    ports: &AuditPorts,
    org: &str,
    revision: u32,
    principal: &str,
    now: DateTime<Utc>,
) -> Result<AuditRow> {
    let object = ports.objects.get(&paths::configuration(org, revision)).await?;
    let hash = object.map(|object| SegmentHash::of(&object.bytes).to_string()).unwrap_or_default();
    // A revision that cannot be read has a row, too.
    let set_at = match configuration::revision(&*ports.objects, org, revision).await {
        Ok(revision) => revision.and_then(|revision| revision.set_at),
        Err(error) if error.is_retryable() => return Err(error.into()),
        Err(_) => None,
    };
    // The hash makes the id unique, also if the organization was removed and has a first revision again.
    let id = format!("config:{org}:{revision}:{}", hash.get(..16).unwrap_or_default());
    let subject = format!("configuration revision {revision}");
    Ok(AuditRow::new(id, Some(org), set_at.unwrap_or(now), principal, AuditKind::ConfigSet, subject)
        .with_detail("revision", revision)
        .with_detail("sha256", hash))
}
