//! Organizations that have records of work, such as actions, although they may never have been collected. Neither the
//! registry of the lake nor the names in the store have them.

use chrono::{DateTime, Utc};

use crate::error::Result;
use crate::keys::{KeyPart, RecordKey, RecordKind, RecordRange};
use crate::record::RecordStore;

/// Number of records that one read returns.
const PAGE_RECORDS: usize = 1_000;

/// Returns the key of the record that names an organization by its storage key. Whoever writes the first record of an
/// organization that may not be collected writes this one in the same commit. It never expires: rows of the audit log
/// must be found.
///
/// # Errors
/// If `org` is no storage key.
pub fn work_org_key(org: &str) -> Result<RecordKey> {
    RecordKey::new(None, RecordKind::WorkOrg, &[KeyPart::Text(org)])
}

/// Returns the storage keys of all organizations that were recorded under [`work_org_key`], sorted.
///
/// # Errors
/// If the store fails.
pub async fn work_orgs(records: &dyn RecordStore, now: DateTime<Utc>) -> Result<Vec<String>> {
    let mut range = RecordRange::new(None, RecordKind::WorkOrg, &[])?;
    let mut orgs = Vec::new();
    loop {
        let page = records.range(&range, PAGE_RECORDS, now).await?;
        orgs.extend(page.iter().map(|(_, record)| record.body.clone()));
        match page.last() {
            Some((last, _)) if page.len() == PAGE_RECORDS => range = range.after(last),
            _ => return Ok(orgs),
        }
    }
}
