//! From records of the store to entries of the log.

use std::collections::BTreeMap;

use chrono::{DateTime, SubsecRound, Utc};
use gam_access::REFUSALS_GROW_FOR;
use gam_model::AuditEntry;
use gam_store::{Record, RecordKey};
use serde::Deserialize;
use serde_json::Value;

/// The kind of a row whose record cannot be read.
const UNREADABLE: &str = "unreadable";

/// The kind of rows that grow for an hour.
const GROWING_KIND: &str = "requests_refused";

/// A record, as any version of the program may have written it.
#[derive(Deserialize)]
struct StoredRow {
    id: String,
    org: Option<String>,
    repo: Option<String>,
    repo_id: Option<i64>,
    number: Option<i64>,
    time: DateTime<Utc>,
    principal: String,
    origin: Option<String>,
    kind: String,
    subject: String,
    outcome: String,
    count: Option<i64>,
    #[serde(default)]
    detail: BTreeMap<String, Value>,
    /// What this version does not know.
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

/// Returns the entry of a record. A record that cannot be read becomes an entry that holds its text, so that it is not
/// lost and does not stop others.
pub(crate) fn entry_of(key: &RecordKey, record: &Record) -> AuditEntry {
    let Ok(row) = serde_json::from_str::<StoredRow>(&record.body) else {
        return unreadable(key, record);
    };
    let mut detail = row.others;
    detail.extend(row.detail);
    AuditEntry {
        event_id: row.id,
        kind: row.kind,
        org: row.org,
        repo: row.repo,
        repo_id: row.repo_id,
        number: row.number,
        principal: row.principal,
        subject: row.subject,
        outcome: row.outcome,
        occurred_at: row.time.trunc_subsecs(3),
        count: row.count,
        origin: row.origin,
        commit_id: record.revision.to_string(),
        detail: (!detail.is_empty()).then(|| to_json(&detail)),
    }
}

fn unreadable(key: &RecordKey, record: &Record) -> AuditEntry {
    let milliseconds = key.sort().split('#').next().and_then(|part| part.parse().ok());
    let occurred_at = milliseconds.and_then(DateTime::from_timestamp_millis).unwrap_or(DateTime::UNIX_EPOCH);
    let detail = BTreeMap::from([("record".to_owned(), Value::from(record.body.clone()))]);
    AuditEntry {
        event_id: format!("{UNREADABLE}:{}", key.sort()),
        kind: UNREADABLE.to_owned(),
        org: (key.org() != gam_model::audit::NO_ORG_LOG).then(|| key.org().to_owned()),
        repo: None,
        repo_id: None,
        number: None,
        principal: "unknown".to_owned(),
        subject: "a row of the audit log that cannot be read".to_owned(),
        outcome: UNREADABLE.to_owned(),
        occurred_at,
        count: None,
        origin: None,
        commit_id: record.revision.to_string(),
        detail: Some(to_json(&detail)),
    }
}

fn to_json(detail: &BTreeMap<String, Value>) -> String {
    serde_json::to_string(detail).expect("a map has only text keys")
}

/// Returns whether the row can still change.
pub(crate) fn grows(entry: &AuditEntry, now: DateTime<Utc>) -> bool {
    entry.kind == GROWING_KIND && now < entry.occurred_at + REFUSALS_GROW_FOR
}

#[cfg(test)]
mod tests {
    use gam_access::{AuditKind, AuditRow};
    use gam_store::{KeyPart, RecordCommit, RecordCommitId, RecordKind};

    use super::*;

    fn entry(body: &str) -> AuditEntry {
        let parts = [KeyPart::Number(1_000), KeyPart::Text("x")];
        let key = RecordKey::new(Some("acme"), RecordKind::AuditRow, &parts).unwrap();
        entry_of(&key, &Record { revision: RecordCommitId::random(), expires: None, body: body.to_owned() })
    }

    #[test]
    fn a_row_becomes_an_entry_with_its_fields() {
        let time = "2026-03-01T00:00:00.123Z".parse().unwrap();
        let row =
            AuditRow::new("task:1:claimed", Some("acme"), time, "token:ab", AuditKind::TaskClaimed, "issue")
                .about(Some(7), "site", Some(3))
                .with_detail("fence", 4)
                .with_origin(Some("ab12".to_owned()));
        let commit = row.add_to(RecordCommit::new(RecordCommitId::random())).unwrap();
        let gam_store::RecordChange::Put { body, .. } = &commit.writes()[0].change else { panic!("a put") };
        let entry = entry(body);
        assert_eq!((entry.event_id.as_str(), entry.kind.as_str()), ("task:1:claimed", "task_claimed"));
        assert_eq!((entry.repo_id, entry.repo.as_deref(), entry.number), (Some(7), Some("site"), Some(3)));
        assert_eq!((entry.occurred_at, entry.origin.as_deref()), (time, Some("ab12")));
        assert_eq!(entry.detail.as_deref(), Some(r#"{"fence":4}"#));
    }

    #[test]
    fn unknown_fields_and_kinds_are_not_lost() {
        let entry = entry(
            r#"{"id":"x","time":"2026-03-01T00:00:00Z","principal":"p","kind":"moon_landing","subject":"s",
               "outcome":"ok","count":3,"crew":["a"],"detail":{"b":1}}"#,
        );
        assert_eq!((entry.kind.as_str(), entry.count, entry.org), ("moon_landing", Some(3), None));
        assert_eq!(entry.detail.as_deref(), Some(r#"{"b":1,"crew":["a"]}"#));
    }

    #[test]
    fn a_record_that_cannot_be_read_becomes_an_entry() {
        let entry = entry("no json");
        assert_eq!((entry.kind.as_str(), entry.org.as_deref()), (UNREADABLE, Some("acme")));
        assert_eq!(entry.occurred_at.timestamp_millis(), 1_000);
        assert_eq!(entry.detail.as_deref(), Some(r#"{"record":"no json"}"#));
    }
}
