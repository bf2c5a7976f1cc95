//! The paths of all objects in the lake. Adapters and callers build paths only with these functions.
//!
//! ```text
//! inbox/org={org}/{content hash}.parquet
//! events/org={org}/month={YYYY-MM}/snapshot.parquet
//! rejected/org={org}/{file name}
//! config/org={org}/{revision}.toml
//! audit/org={org}/block={000000}/segment={0000000001}.parquet
//! config/github-metrics.toml            of older versions, for all organizations
//! config/registry.json                  storage keys and names of organizations
//! ```
//!
//! `{org}` is the organization's storage key: its login at the first collection, in lower case, because GitHub
//! compares logins without regard to case. It stays the same if the organization is renamed. A login consists
//! of letters, digits and hyphens. Any other character becomes `_`, so that a malformed name cannot leave its
//! folder.

use std::fmt;

use gam_model::Month;

use crate::table::Table;

const CONFIG: &str = "config/";
/// The prefix of all segments of the audit log.
pub const AUDIT_ROOT: &str = "audit/";

/// Number of segments of the audit log in a folder. Readers of folders are slow if they have very many files.
const SEGMENTS_PER_BLOCK: u64 = 1_000;

const SUFFIX: &str = ".parquet";
const SNAPSHOT: &str = "snapshot.parquet";

/// The path of an object, relative to the lake: components joined by `/`. No component is empty, `.` or `..`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectPath(String);

impl ObjectPath {
    /// Returns the path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Parses the path of a listed object; `None` if the text is not a valid path.
    ///
    /// Empty and absolute paths are invalid, as are an empty, `.` or `..` component, a backslash and a
    /// control character.
    pub fn parse(path: impl Into<String>) -> Option<Self> {
        let path = path.into();
        let is_well_formed = path.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
            && !path.chars().any(|c| c == '\\' || c.is_control());
        is_well_formed.then_some(ObjectPath(path))
    }

    /// Returns the last component.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

impl fmt::Display for ObjectPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns the organization's storage key as a component of paths.
pub fn org_component(org: &str) -> String {
    let component: String = org
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' { c.to_ascii_lowercase() } else { '_' })
        .collect();
    if component.is_empty() { "_".to_owned() } else { component }
}

fn file_component(name: &str) -> String {
    let component: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '.') { c } else { '_' })
        .collect();
    // A leading dot would hide the object from the directory adapter.
    match component.strip_prefix('.') {
        Some(rest) => format!("_{rest}"),
        None if component.is_empty() => "_".to_owned(),
        None => component,
    }
}

/// Returns the path of the configuration that older versions of the program used for all organizations.
pub fn shared_configuration() -> ObjectPath {
    ObjectPath(format!("{CONFIG}github-metrics.toml"))
}

/// Returns the path of the registry of organizations.
pub fn registry() -> ObjectPath {
    ObjectPath(format!("{CONFIG}registry.json"))
}

/// Returns the prefix of the organization's configurations.
pub fn configuration_prefix(org: &str) -> String {
    format!("{CONFIG}org={}/", org_component(org))
}

/// Returns the path of a revision of the organization's configuration.
pub fn configuration(org: &str, revision: u32) -> ObjectPath {
    ObjectPath(format!("{}{revision}.toml", configuration_prefix(org)))
}

/// Parses the path of a configuration of the organization into its revision; `None` for any other path.
pub fn parse_configuration(org: &str, path: &ObjectPath) -> Option<u32> {
    let revision =
        path.as_str().strip_prefix(&configuration_prefix(org))?.strip_suffix(".toml")?.parse().ok()?;
    (configuration(org, revision) == *path).then_some(revision)
}

/// Returns the prefix of all segments of a log: that of an organization, or `_`.
pub fn audit_prefix(log: &str) -> String {
    format!("{AUDIT_ROOT}org={}/", org_component(log))
}

/// Returns the path of a segment of a log. The numbers have zeros in front, so that paths are in order.
pub fn audit_segment(log: &str, number: u64) -> ObjectPath {
    let block = number / SEGMENTS_PER_BLOCK;
    ObjectPath(format!("{}block={block:06}/segment={number:010}{SUFFIX}", audit_prefix(log)))
}

/// Parses the path of a segment into the log and the number; `None` for any other path.
pub fn parse_audit_segment(path: &ObjectPath) -> Option<(String, u64)> {
    let (log, rest) = path.as_str().strip_prefix(AUDIT_ROOT)?.strip_prefix("org=")?.split_once('/')?;
    let number = rest.split_once("/segment=")?.1.strip_suffix(SUFFIX)?.parse().ok()?;
    (audit_segment(log, number) == *path).then(|| (log.to_owned(), number))
}

/// Returns whether an object never changes after it was written.
pub(crate) fn is_permanent(path: &ObjectPath) -> bool {
    path.as_str().starts_with(AUDIT_ROOT)
}

/// Returns the prefix of all batches of a table.
pub fn inbox_root<T: Table>() -> String {
    format!("{}/", T::INBOX)
}

/// Returns the prefix of all snapshots of a table.
pub fn snapshots_root<T: Table>() -> String {
    format!("{}/", T::SNAPSHOTS)
}

/// Returns the prefix of the organization's batches.
pub fn inbox_prefix<T: Table>(org: &str) -> String {
    format!("{}/org={}/", T::INBOX, org_component(org))
}

/// Returns the path of the batch whose content has this hash, in hex.
pub fn inbox<T: Table>(org: &str, content_hash: &str) -> ObjectPath {
    ObjectPath(format!("{}{}{SUFFIX}", inbox_prefix::<T>(org), file_component(content_hash)))
}

/// Returns the prefix of the organization's snapshots.
pub fn snapshots_prefix<T: Table>(org: &str) -> String {
    format!("{}/org={}/", T::SNAPSHOTS, org_component(org))
}

/// Returns the path of the snapshot of an organization and UTC month.
pub fn snapshot<T: Table>(org: &str, month: Month) -> ObjectPath {
    ObjectPath(format!("{}month={month}/{SNAPSHOT}", snapshots_prefix::<T>(org)))
}

/// Returns the prefix of the organization's rejected batches.
pub fn rejected_prefix<T: Table>(org: &str) -> String {
    format!("{}/org={}/", T::REJECTED, org_component(org))
}

/// Returns the path of the rejected batch with this file name.
pub fn rejected<T: Table>(org: &str, file_name: &str) -> ObjectPath {
    ObjectPath(format!("{}{}", rejected_prefix::<T>(org), file_component(file_name)))
}

/// Returns the path of a snapshot that cannot be read, by the hash of its bytes.
pub fn rejected_snapshot<T: Table>(org: &str, month: Month, content_hash: &str) -> ObjectPath {
    ObjectPath(format!("{}snapshot-{month}-{content_hash}.parquet", rejected_prefix::<T>(org)))
}

/// Returns the prefixes of all objects of the organization in a table. Batches come first: without them, nothing is
/// added to the rest.
pub fn table_prefixes<T: Table>(org: &str) -> [String; 3] {
    [inbox_prefix::<T>(org), snapshots_prefix::<T>(org), rejected_prefix::<T>(org)]
}

/// Parses the path of a batch into the organization and the content hash; `None` for any other path.
pub fn parse_inbox<T: Table>(path: &ObjectPath) -> Option<(String, String)> {
    let (org, file) =
        path.as_str().strip_prefix(&inbox_root::<T>())?.strip_prefix("org=")?.split_once('/')?;
    let hash = file.strip_suffix(SUFFIX)?;
    (inbox::<T>(org, hash) == *path).then(|| (org.to_owned(), hash.to_owned()))
}

/// Parses the path of a snapshot into the organization and the month; `None` for any other path.
pub fn parse_snapshot<T: Table>(path: &ObjectPath) -> Option<(String, Month)> {
    let (org, rest) =
        path.as_str().strip_prefix(&snapshots_root::<T>())?.strip_prefix("org=")?.split_once('/')?;
    let month = Month::parse(rest.strip_prefix("month=")?.split_once('/')?.0)?;
    (snapshot::<T>(org, month) == *path).then(|| (org.to_owned(), month))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Events;
    use proptest::prelude::*;

    fn month() -> Month {
        Month::parse("2026-03").unwrap()
    }

    #[test]
    fn paths_do_not_change() {
        assert_eq!(inbox::<Events>("Acme", "ab12").as_str(), "inbox/org=acme/ab12.parquet");
        assert_eq!(
            snapshot::<Events>("Acme", month()).as_str(),
            "events/org=acme/month=2026-03/snapshot.parquet"
        );
        assert_eq!(rejected::<Events>("Acme", "ab12.parquet").as_str(), "rejected/org=acme/ab12.parquet");
    }

    #[test]
    fn paths_of_objects_never_change() {
        let org = "Acme-Works.x";
        let lines = [
            format!("configuration:   {}", configuration(org, 12)),
            format!("shared before:   {}", shared_configuration()),
            format!("registry:        {}", registry()),
            format!("audit_prefix:    {}", audit_prefix(org)),
            format!("audit_segment:   {}", audit_segment(org, 12_345)),
            format!("audit of no org: {}", audit_segment("_", 1)),
            format!("inbox_root:      {}", inbox_root::<Events>()),
            format!("inbox_prefix:    {}", inbox_prefix::<Events>(org)),
            format!("inbox:           {}", inbox::<Events>(org, "ab12")),
            format!("events_root:     {}", snapshots_root::<Events>()),
            format!("events_prefix:   {}", snapshots_prefix::<Events>(org)),
            format!("snapshot:        {}", snapshot::<Events>(org, month())),
            format!("rejected_prefix: {}", rejected_prefix::<Events>(org)),
            format!("rejected:        {}", rejected::<Events>(org, "ab12-0123.parquet")),
        ];
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!("lake_paths", lines.join("\n"));
        });
    }

    #[test]
    fn only_generated_paths_parse() {
        let parses = |text: &str| {
            let path = ObjectPath::parse(text).unwrap();
            (parse_inbox::<Events>(&path).is_some(), parse_snapshot::<Events>(&path).is_some())
        };
        assert_eq!(parses("inbox/org=acme/ab.parquet"), (true, false));
        assert_eq!(parses("events/org=acme/month=2026-03/snapshot.parquet"), (false, true));
        for other in [
            "inbox/org=Acme/ab.parquet",
            "inbox/org=acme/x/ab.parquet",
            "inbox/org=acme/ab.csv",
            "inbox/acme/ab.parquet",
            "events/org=acme/month=2026-13/snapshot.parquet",
            "events/org=acme/month=2026-03/other.parquet",
            "rejected/org=acme/ab.parquet",
        ] {
            assert_eq!(parses(other), (false, false), "{other}");
        }
    }

    #[test]
    fn parsed_paths_stay_inside_the_lake() {
        for invalid in ["", "/", "/etc/passwd", "a//b", "a/../b", "..", "./a", "a/", "a\\b", "a\0b"] {
            assert_eq!(ObjectPath::parse(invalid), None, "{invalid:?}");
        }
        assert_eq!(ObjectPath::parse("a/b.parquet").unwrap().file_name(), "b.parquet");
    }

    proptest! {
        #[test]
        fn no_name_leaves_its_folder(org in ".*", name in ".*") {
            for path in [inbox::<Events>(&org, &name), snapshot::<Events>(&org, month()), rejected::<Events>(&org, &name)] {
                prop_assert_eq!(ObjectPath::parse(path.as_str()), Some(path.clone()));
                prop_assert!(path.as_str().split('/').all(|part| !part.starts_with('.')));
            }
            prop_assert_eq!(inbox::<Events>(&org, &name).as_str().split('/').count(), 3);
            prop_assert_eq!(rejected::<Events>(&org, &name).as_str().split('/').count(), 3);
        }

        #[test]
        fn segments_parse_and_are_in_order(log in "_|[a-z0-9-]{1,39}", one in 1u64..1_000_000_000, other in 1u64..1_000_000_000) {
            prop_assert_eq!(parse_audit_segment(&audit_segment(&log, one)), Some((log.clone(), one)));
            prop_assert_eq!(audit_segment(&log, one).cmp(&audit_segment(&log, other)), one.cmp(&other));
        }

        #[test]
        fn generated_paths_parse(org in "[A-Za-z0-9-]{1,39}", hash in "[0-9a-f]{64}") {
            prop_assert_eq!(parse_inbox::<Events>(&inbox::<Events>(&org, &hash)), Some((org.to_lowercase(), hash)));
            prop_assert_eq!(parse_snapshot::<Events>(&snapshot::<Events>(&org, month())), Some((org.to_lowercase(), month())));
        }
    }
}
