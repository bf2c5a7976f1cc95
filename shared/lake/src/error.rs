//! Errors, by what the caller must do: retry, reject the object, fix the environment, or upgrade.

use std::io;
use std::path::Path;

use gam_model::Month;

/// The result of an operation on the lake.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why an operation on the lake failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The object store is busy or unreachable. A retry may succeed.
    #[error("the lake is busy or unreachable: {what}")]
    Unavailable {
        /// The operation that failed.
        what: String,
        /// The underlying error.
        #[source]
        source: Option<BoxError>,
    },
    /// An object does not contain a valid table of events. A retry reads the same bytes.
    #[error(
        "cannot read the events in {path}: {what}; restore it from a backup, or {}",
        how_to_read_again(path)
    )]
    Damaged {
        /// The path of the object.
        path: String,
        /// What is wrong with the object.
        what: String,
        /// The underlying error.
        #[source]
        source: Option<BoxError>,
    },
    /// A segment of the audit log is not as it was written. A retry reads the same bytes.
    #[error(
        "the segment {path} of the audit log was damaged or changed: {what}; `github-metrics audit verify` finds what \
         else was changed"
    )]
    DamagedSegment {
        /// The path of the object.
        path: String,
        /// What is wrong with it.
        what: String,
    },
    /// The lake cannot be used until somebody fixes its environment.
    #[error("{what}")]
    Unusable {
        /// What is wrong, and how to fix it.
        what: String,
        /// The underlying error.
        #[source]
        source: Option<BoxError>,
    },
    /// A newer version of the program wrote the object. It must not be changed or removed.
    #[error(
        "{path} was written by a newer version of github-metrics: it contains {actual}, \
         but this version knows {supported}; upgrade github-metrics"
    )]
    NewerFormat {
        /// The path of the object.
        path: String,
        /// What the object contains that this version does not know.
        actual: String,
        /// What this version knows instead.
        supported: String,
    },
}

/// Returns how to read again what the object at a path has: a snapshot, or a batch.
fn how_to_read_again(path: &str) -> String {
    let value = |name: &str| path.split('/').find_map(|part| part.strip_prefix(name));
    let org = value("org=").unwrap_or("ORG");
    if path.starts_with("sessions") {
        return format!(
            "remove it and read the logs again with `github-metrics ingest sessions --org {org}`"
        );
    }
    let (since, until) = match value("month=").and_then(Month::parse) {
        Some(month) => (month.first_day().to_string(), month.end().to_string()),
        None => ("DAY".to_owned(), "DAY".to_owned()),
    };
    format!(
        "read its time again with `github-metrics collect {org} --again --since {since} --until {until}` and aggregate"
    )
}

impl Error {
    /// Creates an error that a retry may resolve.
    pub fn unavailable(what: impl Into<String>, source: impl Into<BoxError>) -> Self {
        Error::Unavailable { what: what.into(), source: Some(source.into()) }
    }

    /// Creates an error that somebody must fix. `what` says how.
    pub fn unusable(what: impl Into<String>, source: impl Into<BoxError>) -> Self {
        Error::Unusable { what: what.into(), source: Some(source.into()) }
    }

    /// Creates an error about an unreadable object, without an underlying error.
    pub fn damaged(path: impl Into<String>, what: impl Into<String>) -> Self {
        Error::Damaged { path: path.into(), what: what.into(), source: None }
    }

    /// Creates an error about an unreadable object from the underlying error, whose text is appended to
    /// `what`.
    pub(crate) fn damaged_by(path: &str, what: &str, source: impl Into<BoxError>) -> Self {
        let source = source.into();
        Error::Damaged { path: path.to_owned(), what: format!("{what}: {source}"), source: Some(source) }
    }

    /// Creates an error from a failed file operation. `operation` is a verb such as "write".
    pub(crate) fn from_io(operation: &str, path: &Path, source: io::Error) -> Self {
        let failure = format!("cannot {operation} {}", path.display());
        let reason_and_fix = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "the disk is full; free some space and run again"
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                "not permitted; make the lake's directory writable for this user, \
                 or choose another one with --lake"
            }
            io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory | io::ErrorKind::AlreadyExists => {
                "a file or directory is in the way; move it, or choose another directory with --lake"
            }
            io::ErrorKind::Unsupported | io::ErrorKind::CrossesDevices => {
                "its file system does not support this; choose a directory on one local disk with --lake"
            }
            _ => return Error::unavailable(failure, source),
        };
        Error::unusable(format!("{failure}: {reason_and_fix}"), source)
    }

    /// Sets the path of an error that was found in rows without knowing their object.
    pub(crate) fn with_path(self, path: &str) -> Self {
        match self {
            Error::Damaged { what, source, .. } => Error::Damaged { path: path.to_owned(), what, source },
            Error::NewerFormat { actual, supported, .. } => {
                Error::NewerFormat { path: path.to_owned(), actual, supported }
            }
            other => other,
        }
    }

    /// Returns whether a retry may succeed.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Error::Unavailable { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    fn write_error(kind: io::ErrorKind) -> Error {
        Error::from_io("write", Path::new("/lake/x.parquet"), io::Error::from(kind))
    }

    #[test]
    fn a_full_disk_error_names_the_path() {
        let error = write_error(io::ErrorKind::StorageFull);
        assert!(matches!(error, Error::Unusable { .. }));
        let text = error.to_string();
        assert!(text.contains("the disk is full") && text.contains("/lake/x.parquet"), "{text}");
        assert!(error.source().is_some());
    }

    #[test]
    fn only_temporary_errors_are_retryable() {
        assert!(write_error(io::ErrorKind::TimedOut).is_retryable());
        assert!(!write_error(io::ErrorKind::PermissionDenied).is_retryable());
        assert!(!write_error(io::ErrorKind::ReadOnlyFilesystem).is_retryable());
        assert!(!Error::damaged("inbox/x", "cut short").is_retryable());
    }

    #[test]
    fn with_path_replaces_the_path_of_the_rows() {
        let text = Error::damaged("rows", "no column sha").with_path("inbox/org=a/1.parquet").to_string();
        assert!(
            text.starts_with("cannot read the events in inbox/org=a/1.parquet: no column sha;"),
            "{text}"
        );
    }
}
