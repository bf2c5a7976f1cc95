//! Erasing a session of a coding agent.
//!
//! The erasure is a revision of the organization's configuration, which every later revision keeps. The next aggregation
//! deletes the rows, and every later one drops those that come again. An aggregation that does not know the erasure cannot
//! replace a snapshot that is without them.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use gam_lake::{ObjectStore, Sessions, Table, configuration, inbox, paths, snapshot};
use gam_model::{ErasedSessions, FieldText, Identity, Month, RowEdit};

use crate::AggregateError;
use crate::month::run_blocking;

/// How often an erasure is added while other processes set configurations.
const MAX_ATTEMPTS: usize = 10;

/// What the lake has of a session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionContent {
    /// Number of rows that an erasure deletes, also of retracted ones.
    pub rows: usize,
    /// The months that have such rows, UTC, in order.
    pub months: BTreeSet<Month>,
    /// The members whose rows they are.
    pub members: BTreeSet<String>,
    /// The sessions that continue its history. An erasure removes its id from their rows, and keeps the rows.
    pub forks: BTreeSet<String>,
    /// Number of rejected batches, which may have rows of it and cannot be read.
    pub rejected: usize,
    /// Number of batches that wait in the inbox, and may have rows of it.
    pub batches: usize,
}

/// Returns what the snapshots of an organization have of a session. `org` is the storage key.
///
/// # Errors
/// If the lake fails, or a snapshot cannot be read.
pub async fn session_content(
    objects: &dyn ObjectStore,
    org: &str,
    session: &FieldText,
) -> Result<SessionContent, AggregateError> {
    let mut erased = ErasedSessions::default();
    erased.insert(ErasedSessions::hash(session));
    let mut content = SessionContent {
        rejected: objects.list(&paths::rejected_prefix::<Sessions>(org)).await?.len(),
        batches: inbox::list::<Sessions>(objects, org).await?.len(),
        ..SessionContent::default()
    };
    for month in snapshot::months::<Sessions>(objects, org).await? {
        let Some(file) = snapshot::fetch::<Sessions>(objects, org, month).await? else { continue };
        let erased = erased.clone();
        let found = run_blocking(move || {
            let mut found = SessionContent::default();
            for index in 0..file.rows.batch_count() {
                for row in Sessions::decode(&file.rows.complete_batch(index)?)? {
                    match erased.edit(&row) {
                        RowEdit::Keep => {}
                        RowEdit::Replace(_) => _ = found.forks.insert(row.session.to_string()),
                        RowEdit::Delete => {
                            found.rows += 1;
                            found.members.insert(row.member.name);
                        }
                    }
                }
            }
            Ok::<_, gam_lake::Error>(found)
        });
        let found = found.await?;
        content.rows += found.rows;
        content.months.extend((found.rows > 0).then_some(month));
        content.members.extend(found.members);
        content.forks.extend(found.forks);
    }
    Ok(content)
}

/// An erasure in the configuration of an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Erasure {
    /// The revision of the configuration that has it.
    pub revision: u32,
    /// Whether it was added now. Otherwise an earlier revision has it.
    pub is_new: bool,
}

/// Adds the erasure of a session to the configuration of an organization, and deletes the rejected batches of sessions,
/// which cannot be read. The next aggregation deletes the rows. It can be repeated. `org` is the storage key.
///
/// # Errors
/// If the lake fails, or other processes keep setting configurations. The erasure may have been added.
pub async fn erase_session(
    objects: &dyn ObjectStore,
    org: &str,
    session: &FieldText,
    now: DateTime<Utc>,
) -> Result<Erasure, AggregateError> {
    let erasure = add_erasure(objects, org, session, now).await?;
    for object in objects.list(&paths::rejected_prefix::<Sessions>(org)).await? {
        objects.delete(&object.path).await?;
    }
    Ok(erasure)
}

async fn add_erasure(
    objects: &dyn ObjectStore,
    org: &str,
    session: &FieldText,
    now: DateTime<Utc>,
) -> Result<Erasure, AggregateError> {
    for _ in 0..MAX_ATTEMPTS {
        let latest = configuration::latest(objects, org).await?;
        let mut changed = latest.configuration;
        let mut erased = changed.identity.erased_sessions().clone();
        if !erased.insert(ErasedSessions::hash(session)) {
            return Ok(Erasure { revision: latest.number, is_new: false });
        }
        let identity: Identity = std::mem::take(&mut changed.identity);
        changed.identity = identity.with_erased_sessions(erased);
        if let Some(revision) = configuration::add(objects, org, latest.number, &changed, now).await? {
            return Ok(Erasure { revision, is_new: true });
        }
    }
    Err(AggregateError::ConfigurationContended { org: org.to_owned() })
}
