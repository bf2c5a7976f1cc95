//! SQL that shows the tables of the lake to DuckDB as views.

use std::path::Path;

use gam_lake::{Events, Sessions, Table as _};
use gam_model::OrgRegistry;

use crate::location::LakeLocation;

/// A table of the lake: a view, the folder with its files, and which they are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LakeTable {
    view: &'static str,
    folder: &'static str,
    /// The pattern of the files below the folder.
    files: &'static str,
    /// What the view selects.
    columns: &'static str,
}

/// The snapshots of a table, one for each organization and month.
const SNAPSHOTS: &str = "org=*/month=*/snapshot.parquet";

/// What organizations do on GitHub.
pub(crate) const EVENTS: LakeTable =
    LakeTable { view: "events", folder: Events::SNAPSHOTS, files: SNAPSHOTS, columns: "*" };
/// What coding agents do.
pub(crate) const SESSIONS: LakeTable =
    LakeTable { view: "sessions", folder: Sessions::SNAPSHOTS, files: SNAPSHOTS, columns: "*" };
/// Who changed what.
pub(crate) const AUDIT: LakeTable = LakeTable {
    view: "audit",
    folder: "audit",
    files: "org=*/block=*/segment=*.parquet",
    columns: "* EXCLUDE (block, filename), CAST(regexp_extract(filename, 'segment=([0-9]+)', 1) AS BIGINT) AS segment",
};

/// Returns the statements that create the views of these tables, for an organization with each of these storage keys.
/// DuckDB refuses a view without files, so each table must have a snapshot. Each view has the columns of its table as
/// Athena has them, and `org_name` at the end.
///
/// * `org` is the storage key, and `month` is `YYYY-MM`: the folders, so a condition on them skips files.
/// * `org_name` is the organization's present name.
/// * Rows of the audit log that belong to no organization have `_` as `org`. `segment` is the number of the segment.
/// * Times are shown in UTC.
/// * Columns that an older file lacks are null.
pub(crate) fn views(
    lake: &LakeLocation,
    tables: &[LakeTable],
    keys: &[String],
    registry: &OrgRegistry,
) -> String {
    let root_of = |folder: &str| match lake {
        LakeLocation::Dir(dir) => pattern(&std::path::absolute(dir).unwrap_or_else(|_| dir.clone())),
        LakeLocation::S3 { audit_log: Some(log), .. } if folder == AUDIT.folder => log.to_string(),
        LakeLocation::S3 { lake, .. } => lake.to_string(),
    };
    let org_name = org_name(keys, registry);
    let views = tables.iter().map(|table| {
        let LakeTable { view, folder, files, columns } = table;
        let files = text_literal(&format!("{}/{folder}/{files}", root_of(folder)));
        let filename = if columns.contains("filename") { ", filename = true" } else { "" };
        format!(
            "CREATE OR REPLACE VIEW {view} AS\n  SELECT {columns}, {org_name} AS org_name\n  FROM read_parquet(\n    \
             {files},\n    hive_partitioning = true, hive_types_autocast = false, union_by_name = true{filename}\n  );\n"
        )
    });
    format!("SET TimeZone = 'UTC';\n{}", views.collect::<String>())
}

/// Returns the expression for the present name of the organization of a row. Its storage key has no capitals, and
/// is an older name after a renaming.
fn org_name(keys: &[String], registry: &OrgRegistry) -> String {
    let name = |key: &String| Some((key.clone(), registry.name_of_key(key).filter(|name| name != key)?));
    let cases: String = keys
        .iter()
        .filter_map(name)
        .map(|(key, name)| format!(" WHEN {} THEN {}", text_literal(&key), text_literal(name)))
        .collect();
    if cases.is_empty() { "org".to_owned() } else { format!("CASE org{cases} ELSE org END") }
}

/// Returns a directory as a part of a pattern for files that matches nothing else.
fn pattern(directory: &Path) -> String {
    let text = directory.to_string_lossy();
    let escape = |c: char| if matches!(c, '*' | '?' | '[') { format!("[{c}]") } else { c.to_string() };
    text.chars().map(escape).collect()
}

/// Returns a text as a literal of SQL.
pub(crate) fn text_literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::location::S3Location;

    #[test]
    fn a_view_has_the_files_of_its_table_and_present_names() {
        let mut registry = OrgRegistry::default();
        let now = chrono::DateTime::UNIX_EPOCH;
        registry.assign("Acme", Some(1), now).unwrap();
        registry.assign("plain", Some(2), now).unwrap();
        let keys = ["acme", "plain", "unregistered"].map(str::to_owned);
        let sql = views(&LakeLocation::Dir("/data/it's [x]*".into()), &[EVENTS], &keys, &registry);
        assert!(sql.contains("'/data/it''s [[]x][*]/events/org=*/month=*/snapshot.parquet'"), "{sql}");
        assert!(sql.contains("SELECT *, CASE org WHEN 'acme' THEN 'Acme' ELSE org END AS org_name"), "{sql}");
        assert!(sql.contains("CREATE OR REPLACE VIEW events AS"), "{sql}");
        let sql = views(&LakeLocation::Dir("/data".into()), &[EVENTS, SESSIONS], &keys[1..], &registry);
        assert!(sql.contains("SELECT *, org AS org_name"), "{sql}");
        assert!(sql.contains("'/data/sessions/org=*/month=*/snapshot.parquet'"), "{sql}");
    }

    #[test]
    fn the_view_of_the_audit_log_has_the_number_of_the_segment() {
        let lake = LakeLocation::Dir("/data".into());
        let sql = views(&lake, &[AUDIT], &["acme".to_owned()], &OrgRegistry::default());
        assert!(sql.contains("'/data/audit/org=*/block=*/segment=*.parquet'"), "{sql}");
        assert!(sql.contains("AS segment, org AS org_name") && sql.contains("filename = true"), "{sql}");
    }

    #[test]
    fn a_lake_on_s3_is_named_by_its_address() {
        let lake = LakeLocation::S3 {
            lake: S3Location { bucket: "b".into(), prefix: "x/y".into() },
            audit_log: None,
        };
        let sql = views(&lake, &[EVENTS], &[], &OrgRegistry::default());
        assert!(sql.contains("'s3://b/x/y/events/org=*/month=*/snapshot.parquet'"), "{sql}");
        let lake = LakeLocation::S3 {
            lake: S3Location { bucket: "b".into(), prefix: String::new() },
            audit_log: Some(S3Location { bucket: "log".into(), prefix: String::new() }),
        };
        let sql = views(&lake, &[EVENTS, AUDIT], &[], &OrgRegistry::default());
        assert!(sql.contains("'s3://b/events/") && sql.contains("'s3://log/audit/"), "{sql}");
    }
}
