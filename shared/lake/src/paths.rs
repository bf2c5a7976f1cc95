//! All paths of the lake, typed. No adapter and no caller makes a path of its own.
//!
//! ```text
//! inbox/org={org}/{content hash}.parquet
//! events/org={org}/month={YYYY-MM}/snapshot.parquet
//! rejected/org={org}/{file name}
//! config/github-metrics.toml
//! ```
//!
//! Logins are matched without regard to case, so `{org}` is the lower-cased login. A login consists
//! of letters, digits and hyphens; any other character becomes `_`, so that no name, however
//! malformed, can leave its folder.

use std::fmt;

use gam_model::Month;

const INBOX: &str = "inbox/";
const EVENTS: &str = "events/";
const SUFFIX: &str = ".parquet";
const SNAPSHOT: &str = "snapshot.parquet";

/// The place of an object in the lake: components joined by `/`, none of them empty, `.` or `..`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectPath(String);

impl ObjectPath {
    /// The path as text, relative to the lake.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path of an object that an adapter has listed; `None` where the text is no path of an
    /// object: empty, absolute, or with an empty, `.` or `..` component.
    pub fn listed(path: impl Into<String>) -> Option<Self> {
        let path = path.into();
        let well_formed = path.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
            && !path.chars().any(|c| c == '\\' || c.is_control());
        well_formed.then_some(ObjectPath(path))
    }

    /// What follows the last `/`.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

impl fmt::Display for ObjectPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The organization as it stands in paths.
pub fn org_part(org: &str) -> String {
    let part: String = org
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' { c.to_ascii_lowercase() } else { '_' })
        .collect();
    if part.is_empty() { "_".to_owned() } else { part }
}

fn file_part(name: &str) -> String {
    let part: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '.') { c } else { '_' })
        .collect();
    // A leading dot would hide the object from the directory adapter.
    match part.strip_prefix('.') {
        Some(rest) => format!("_{rest}"),
        None if part.is_empty() => "_".to_owned(),
        None => part,
    }
}

/// The configuration of bots and aliases, where it is kept with the lake.
pub fn configuration() -> ObjectPath {
    ObjectPath("config/github-metrics.toml".to_owned())
}

/// Where every inbox batch lies.
pub fn inbox_root() -> &'static str {
    INBOX
}

/// Where every snapshot lies.
pub fn events_root() -> &'static str {
    EVENTS
}

/// Where the organization's inbox batches lie.
pub fn inbox_prefix(org: &str) -> String {
    format!("{INBOX}org={}/", org_part(org))
}

/// The inbox batch whose logical content has that hash (hex).
pub fn inbox(org: &str, content_hash: &str) -> ObjectPath {
    ObjectPath(format!("{}{}{SUFFIX}", inbox_prefix(org), file_part(content_hash)))
}

/// Where the organization's snapshots lie.
pub fn events_prefix(org: &str) -> String {
    format!("{EVENTS}org={}/", org_part(org))
}

/// The organization's UTC month.
pub fn snapshot(org: &str, month: Month) -> ObjectPath {
    ObjectPath(format!("{}month={month}/{SNAPSHOT}", events_prefix(org)))
}

/// Where the organization's batches that could not be read are set aside.
pub fn rejected_prefix(org: &str) -> String {
    format!("rejected/org={}/", org_part(org))
}

/// A batch set aside under that file name.
pub fn rejected(org: &str, file_name: &str) -> ObjectPath {
    ObjectPath(format!("{}{}", rejected_prefix(org), file_part(file_name)))
}

/// The organization and the content hash, where the path is that of an inbox batch.
pub fn parse_inbox(path: &ObjectPath) -> Option<(String, String)> {
    let (org, file) = path.as_str().strip_prefix(INBOX)?.strip_prefix("org=")?.split_once('/')?;
    let hash = file.strip_suffix(SUFFIX)?;
    (inbox(org, hash) == *path).then(|| (org.to_owned(), hash.to_owned()))
}

/// The organization and the month, where the path is that of a snapshot.
pub fn parse_snapshot(path: &ObjectPath) -> Option<(String, Month)> {
    let (org, rest) = path.as_str().strip_prefix(EVENTS)?.strip_prefix("org=")?.split_once('/')?;
    let month = Month::parse(rest.strip_prefix("month=")?.split_once('/')?.0)?;
    (snapshot(org, month) == *path).then(|| (org.to_owned(), month))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn month() -> Month {
        Month::parse("2026-03").unwrap()
    }

    #[test]
    fn paths_are_those_of_the_contract() {
        assert_eq!(inbox("Acme", "ab12").as_str(), "inbox/org=acme/ab12.parquet");
        assert_eq!(snapshot("Acme", month()).as_str(), "events/org=acme/month=2026-03/snapshot.parquet");
        assert_eq!(rejected("Acme", "ab12.parquet").as_str(), "rejected/org=acme/ab12.parquet");
    }

    #[test]
    fn paths_of_objects_never_change() {
        let org = "Acme-Works.x";
        let lines = [
            format!("configuration:   {}", configuration()),
            format!("inbox_root:      {}", inbox_root()),
            format!("inbox_prefix:    {}", inbox_prefix(org)),
            format!("inbox:           {}", inbox(org, "ab12")),
            format!("events_root:     {}", events_root()),
            format!("events_prefix:   {}", events_prefix(org)),
            format!("snapshot:        {}", snapshot(org, month())),
            format!("rejected_prefix: {}", rejected_prefix(org)),
            format!("rejected:        {}", rejected(org, "ab12-0123.parquet")),
        ];
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!("lake_paths", lines.join("\n"));
        });
    }

    #[test]
    fn only_our_own_paths_parse() {
        let parses = |text: &str| {
            let path = ObjectPath::listed(text).unwrap();
            (parse_inbox(&path).is_some(), parse_snapshot(&path).is_some())
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
    fn a_listed_path_stays_inside_the_lake() {
        for bad in ["", "/", "/etc/passwd", "a//b", "a/../b", "..", "./a", "a/", "a\\b", "a\0b"] {
            assert_eq!(ObjectPath::listed(bad), None, "{bad:?}");
        }
        assert_eq!(ObjectPath::listed("a/b.parquet").unwrap().file_name(), "b.parquet");
    }

    proptest! {
        #[test]
        fn no_name_leaves_its_folder(org in ".*", name in ".*") {
            for path in [inbox(&org, &name), snapshot(&org, month()), rejected(&org, &name)] {
                prop_assert_eq!(ObjectPath::listed(path.as_str()), Some(path.clone()));
                prop_assert!(path.as_str().split('/').all(|part| !part.starts_with('.')));
            }
            prop_assert_eq!(inbox(&org, &name).as_str().split('/').count(), 3);
            prop_assert_eq!(rejected(&org, &name).as_str().split('/').count(), 3);
        }

        #[test]
        fn paths_parse_back(org in "[A-Za-z0-9-]{1,39}", hash in "[0-9a-f]{64}") {
            prop_assert_eq!(parse_inbox(&inbox(&org, &hash)), Some((org.to_lowercase(), hash)));
            prop_assert_eq!(parse_snapshot(&snapshot(&org, month())), Some((org.to_lowercase(), month())));
        }
    }
}
