//! How the rows of a snapshot spell names.

use std::collections::BTreeMap;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampMillisecondType};
use chrono::{DateTime, Utc};

use crate::error::{Error, Result};
use crate::schema::column;

/// A name, and when it was read from GitHub, UTC. Of two the later one counts, then the greater.
pub type Spelling = (DateTime<Utc>, String);

/// How the organization and its repositories, by id, are spelled by the rows collected last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spellings {
    /// The organization.
    pub org: Option<Spelling>,
    /// The repositories.
    pub repos: BTreeMap<i64, Spelling>,
}

/// Reads how the rows of a month spell names.
///
/// # Errors
/// [`Error::Damaged`] where a column is missing or of another type.
pub fn spellings(batches: &[RecordBatch]) -> Result<Spellings> {
    let mut found = Spellings::default();
    for batch in batches {
        note(batch, &mut found).ok_or_else(|| Error::Damaged {
            path: "a snapshot".to_owned(),
            what: "the columns org, repo, repo_id or collected_at are missing or of another type".to_owned(),
            source: None,
        })?;
    }
    Ok(found)
}

fn note(batch: &RecordBatch, found: &mut Spellings) -> Option<()> {
    let texts = |name: &str| batch.column_by_name(name)?.as_dictionary_opt::<Int32Type>();
    let (orgs, repos) = (texts(column::ORG)?, texts(column::REPO)?);
    let (org_names, repo_names) =
        (orgs.values().as_string_opt::<i32>()?, repos.values().as_string_opt::<i32>()?);
    let ids = batch.column_by_name(column::REPO_ID)?.as_primitive_opt::<Int64Type>()?;
    let times = batch.column_by_name(column::COLLECTED_AT)?.as_primitive_opt::<TimestampMillisecondType>()?;
    for row in 0..batch.num_rows() {
        let (Some(org), Some(repo)) = (orgs.key(row), repos.key(row)) else { continue };
        let Some(at) = DateTime::from_timestamp_millis(times.value(row)) else { continue };
        keep(found.org.get_or_insert_with(never), at, org_names.value(org));
        keep(found.repos.entry(ids.value(row)).or_insert_with(never), at, repo_names.value(repo));
    }
    Some(())
}

/// Earlier than any.
fn never() -> Spelling {
    (DateTime::<Utc>::MIN_UTC, String::new())
}

fn keep(kept: &mut Spelling, at: DateTime<Utc>, name: &str) {
    if (kept.0, kept.1.as_str()) < (at, name) {
        *kept = (at, name.to_owned());
    }
}
