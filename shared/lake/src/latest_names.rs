//! The latest names of an organization and its repositories, read from a snapshot's rows.

use std::collections::BTreeMap;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampMillisecondType};
use chrono::{DateTime, Utc};

use crate::error::{Error, Result};
use crate::schema::column;
use crate::snapshot::SnapshotRows;
use crate::table::Events;

/// When a name was read from GitHub, UTC, and the name. The greater pair is the later name.
pub type DatedName = (DateTime<Utc>, String);

/// The names in the rows that were collected last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LatestNames {
    /// The organization's login; `None` if there are no rows.
    pub org: Option<DatedName>,
    /// The repositories' names, by GitHub's numeric id.
    pub repos: BTreeMap<i64, DatedName>,
}

impl LatestNames {
    /// Reads the names in a snapshot's rows, a batch at a time.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the snapshot cannot be read.
    pub fn from_snapshot(rows: &SnapshotRows<Events>) -> Result<Self> {
        let columns = [column::ORG, column::REPO, column::REPO_ID, column::COLLECTED_AT];
        let mut names = LatestNames::default();
        for index in 0..rows.batch_count() {
            names.add_batch(&rows.batch(index, &columns)?).ok_or_else(|| Error::Damaged {
                path: "a snapshot".to_owned(),
                what: "column org, repo, repo_id or collected_at is missing or has the wrong type".to_owned(),
                source: None,
            })?;
        }
        Ok(names)
    }

    /// Returns `None` if a column is missing or has the wrong type.
    fn add_batch(&mut self, batch: &RecordBatch) -> Option<()> {
        let dictionary = |name: &str| batch.column_by_name(name)?.as_dictionary_opt::<Int32Type>();
        let (orgs, repos) = (dictionary(column::ORG)?, dictionary(column::REPO)?);
        let org_names = orgs.values().as_string_opt::<i32>()?;
        let repo_names = repos.values().as_string_opt::<i32>()?;
        let repo_ids = batch.column_by_name(column::REPO_ID)?.as_primitive_opt::<Int64Type>()?;
        let collected_at =
            batch.column_by_name(column::COLLECTED_AT)?.as_primitive_opt::<TimestampMillisecondType>()?;
        for row in 0..batch.num_rows() {
            let (Some(org), Some(repo)) = (orgs.key(row), repos.key(row)) else { continue };
            let Some(at) = DateTime::from_timestamp_millis(collected_at.value(row)) else { continue };
            update(self.org.get_or_insert_with(earliest), at, org_names.value(org));
            update(
                self.repos.entry(repo_ids.value(row)).or_insert_with(earliest),
                at,
                repo_names.value(repo),
            );
        }
        Some(())
    }
}

/// Returns a name that any other name replaces.
fn earliest() -> DatedName {
    (DateTime::<Utc>::MIN_UTC, String::new())
}

fn update(latest: &mut DatedName, at: DateTime<Utc>, name: &str) {
    if (latest.0, latest.1.as_str()) < (at, name) {
        *latest = (at, name.to_owned());
    }
}
