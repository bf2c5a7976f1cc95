//! Records in memory.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, SubsecRound, Utc};

use super::MemoryStore;
use crate::error::Result;
use crate::keys::{RecordKey, RecordRange};
use crate::port::ChangeToken;
use crate::record::{CommitOutcome, Record, RecordChange, RecordCommit, RecordStore, RecordWrite};

impl MemoryStore {
    pub(super) fn records(&self) -> MutexGuard<'_, BTreeMap<RecordKey, Record>> {
        // Every commit is complete before the lock is released, so the content is valid after a panic as well.
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl RecordStore for MemoryStore {
    fn content_token(&self) -> Option<ChangeToken> {
        // Waits for a commit in progress.
        let _records = self.records();
        Some(ChangeToken::new(self.changes.number, self.changes.count.load(Ordering::Acquire)))
    }

    async fn get(&self, key: &RecordKey, now: DateTime<Utc>) -> Result<Option<Record>> {
        Ok(self.records().get(key).filter(|record| record.is_live(now)).cloned())
    }

    async fn range(
        &self,
        range: &RecordRange,
        limit: usize,
        now: DateTime<Utc>,
    ) -> Result<Vec<(RecordKey, Record)>> {
        let is_inside = |key: &RecordKey| {
            key.org() == range.org() && key.kind() == range.kind() && key.sort() < range.to()
        };
        Ok(self
            .records()
            .range(RecordKey::first_of(range)..)
            .take_while(|(key, _)| is_inside(key))
            .filter(|(_, record)| record.is_live(now))
            .take(limit)
            .map(|(key, record)| (key.clone(), record.clone()))
            .collect())
    }

    async fn commit(&self, commit: &RecordCommit, now: DateTime<Utc>) -> Result<CommitOutcome> {
        let writes = commit.writes_with_receipt(now)?;
        let mut records = self.records();
        records.retain(|_, record| record.is_live(now));
        let revisions: Vec<_> =
            writes.iter().map(|write| records.get(&write.key).map(|record| record.revision)).collect();
        if let Some(outcome) = commit.decide(&writes, &revisions) {
            return Ok(outcome);
        }
        for RecordWrite { key, change, .. } in writes {
            match change {
                RecordChange::Put { body, expires } => {
                    let expires = expires.map(|expires| expires.trunc_subsecs(0));
                    records.insert(key, Record { revision: commit.id(), expires, body });
                }
                RecordChange::Delete => drop(records.remove(&key)),
                RecordChange::Check => {}
            }
        }
        self.changes.count.fetch_add(1, Ordering::Release);
        Ok(CommitOutcome::Committed)
    }
}
