//! Errors by what the caller must do: try again, set the object aside, mend the surroundings, upgrade.

use std::io;
use std::path::Path;

/// The result of a lake's operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why the lake could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Trying again may help: the object store was busy or out of reach.
    #[error("the lake is busy or out of reach: {what}")]
    Unavailable {
        /// What was being done.
        what: String,
        /// The cause.
        #[source]
        source: Option<Source>,
    },
    /// An object is no readable table of ours. Trying again reads the same bytes again.
    #[error(
        "{path} is no readable event table: {what}; \
         restore it from a backup, or remove it and collect the time it covers again"
    )]
    Damaged {
        /// Which object.
        path: String,
        /// Why it cannot be read.
        what: String,
        /// The cause.
        #[source]
        source: Option<Source>,
    },
    /// The lake cannot be used as it is; the text says why and names the mend.
    #[error("{what}")]
    Unusable {
        /// What is wrong, and the mend.
        what: String,
        /// The cause.
        #[source]
        source: Option<Source>,
    },
    /// An object was written by a newer version of the program. It must be left as it is.
    #[error(
        "{path} was written by a newer version of github-metrics: it holds {found}, \
         this version knows {known}; upgrade github-metrics"
    )]
    NewerFormat {
        /// Which object.
        path: String,
        /// What it holds that is unknown here.
        found: String,
        /// What this version knows of that sort.
        known: String,
    },
}

impl Error {
    /// An error that trying again may help.
    pub fn unavailable(what: impl Into<String>, source: impl Into<Source>) -> Self {
        Error::Unavailable { what: what.into(), source: Some(source.into()) }
    }

    /// An error that needs somebody's hand; the text names the mend.
    pub fn unusable(what: impl Into<String>, source: impl Into<Source>) -> Self {
        Error::Unusable { what: what.into(), source: Some(source.into()) }
    }

    /// An object that cannot be read, found out without an underlying error.
    pub fn damaged(path: impl Into<String>, what: impl Into<String>) -> Self {
        Error::Damaged { path: path.into(), what: what.into(), source: None }
    }

    /// An object that cannot be read, with the error that showed it.
    pub(crate) fn damaged_by(path: &str, what: &str, source: impl Into<Source>) -> Self {
        let source = source.into();
        Error::Damaged { path: path.to_owned(), what: format!("{what}: {source}"), source: Some(source) }
    }

    /// The error of a file operation, sorted by what the caller can do about it. `doing` is a verb
    /// phrase such as "writing".
    pub(crate) fn of_io(doing: &str, path: &Path, source: io::Error) -> Self {
        let path = path.display();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::unusable(
                format!("the disk is full: {doing} {path} failed; free some space and run again"),
                source,
            ),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Error::unusable(
                format!(
                    "{doing} {path} is not permitted; make the lake's directory writable for this user, \
                     or choose another one with --lake"
                ),
                source,
            ),
            io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory | io::ErrorKind::AlreadyExists => {
                Error::unusable(
                    format!(
                        "{doing} {path} failed because a file or directory is in the way; \
                         move it away, or choose another directory with --lake"
                    ),
                    source,
                )
            }
            io::ErrorKind::Unsupported | io::ErrorKind::CrossesDevices => Error::unusable(
                format!(
                    "{doing} {path} is not supported by its file system; \
                     choose a directory on one local disk with --lake"
                ),
                source,
            ),
            _ => Error::unavailable(format!("{doing} {path}"), source),
        }
    }

    /// The same error about the object at `path`, where it was found in rows that knew no object.
    pub(crate) fn about(self, path: &str) -> Self {
        match self {
            Error::Damaged { what, source, .. } => Error::Damaged { path: path.to_owned(), what, source },
            Error::NewerFormat { found, known, .. } => {
                Error::NewerFormat { path: path.to_owned(), found, known }
            }
            other => other,
        }
    }

    /// Whether trying again may help.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Error::Unavailable { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    fn of_kind(kind: io::ErrorKind) -> Error {
        Error::of_io("writing", Path::new("/lake/x.parquet"), io::Error::from(kind))
    }

    #[test]
    fn a_full_disk_is_named_with_its_path() {
        let error = of_kind(io::ErrorKind::StorageFull);
        assert!(matches!(error, Error::Unusable { .. }));
        let text = error.to_string();
        assert!(text.contains("the disk is full") && text.contains("/lake/x.parquet"), "{text}");
        assert!(error.source().is_some());
    }

    #[test]
    fn only_what_may_pass_is_retryable() {
        assert!(of_kind(io::ErrorKind::TimedOut).is_retryable());
        assert!(!of_kind(io::ErrorKind::PermissionDenied).is_retryable());
        assert!(!of_kind(io::ErrorKind::ReadOnlyFilesystem).is_retryable());
        assert!(!Error::damaged("inbox/x", "cut short").is_retryable());
    }

    #[test]
    fn an_error_found_in_rows_is_told_about_the_object() {
        let text = Error::damaged("rows", "no column sha").about("inbox/org=a/1.parquet").to_string();
        assert!(
            text.starts_with("inbox/org=a/1.parquet is no readable event table: no column sha;"),
            "{text}"
        );
    }
}
