//! SQLite's errors as the store's: what went wrong with which file, and the mend.

use std::path::Path;

use gam_store::Error;

/// What to do about a file that holds no usable store.
const START_ANEW: &str = "move it away and run `github-metrics aggregate --rebuild`: the rollups come back \
                          from the lake, and the next collection starts anew";

/// What to do about a place that cannot be used.
const OTHER_PLACE: &str = "let this user write the file and its directory, or choose another place with \
                           `--store sqlite:FILE`";

/// SQLite's primary result codes, <https://sqlite.org/rescode.html>.
mod code {
    pub(super) const PERM: u32 = 3;
    pub(super) const BUSY: u32 = 5;
    pub(super) const LOCKED: u32 = 6;
    pub(super) const NOMEM: u32 = 7;
    pub(super) const READONLY: u32 = 8;
    pub(super) const INTERRUPT: u32 = 9;
    pub(super) const IOERR: u32 = 10;
    pub(super) const FULL: u32 = 13;
    pub(super) const CANTOPEN: u32 = 14;
    pub(super) const PROTOCOL: u32 = 15;
    pub(super) const SCHEMA: u32 = 17;
    pub(super) const AUTH: u32 = 23;
}

/// Turns an error met while `doing` something into the store's.
pub(super) fn failed(path: &Path, doing: &str) -> impl FnOnce(sqlx::Error) -> Error {
    move |error| {
        let file = path.display();
        match &error {
            sqlx::Error::Database(cause) => {
                let (code, why) = (primary_code(&**cause), cause.message().to_owned());
                refused(path, doing, code, &why, error)
            }
            sqlx::Error::PoolTimedOut => {
                Error::unavailable(format!("{doing}: {file} has too many readers or writers"), error)
            }
            sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
                Error::unavailable(format!("{doing}: {file} has been closed"), error)
            }
            sqlx::Error::Encode(_) => {
                Error::unusable(format!("{doing}: {file} cannot hold a number that great"), error)
            }
            sqlx::Error::Io(_) => Error::unusable(format!("{file} cannot be opened: {OTHER_PLACE}"), error),
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::RowNotFound => {
                Error::unusable(damage(path, "it holds what this program never wrote"), error)
            }
            _ => Error::unavailable(format!("{doing}, in {file}"), error),
        }
    }
}

/// What SQLite itself refused.
fn refused(path: &Path, doing: &str, code: Option<u32>, why: &str, error: sqlx::Error) -> Error {
    let file = path.display();
    match code {
        Some(code::BUSY | code::LOCKED | code::PROTOCOL) => {
            Error::unavailable(format!("{doing}: another process keeps {file} locked"), error)
        }
        Some(code::NOMEM | code::INTERRUPT | code::SCHEMA) => {
            Error::unavailable(format!("{doing}, in {file}"), error)
        }
        Some(code::READONLY | code::CANTOPEN | code::PERM | code::AUTH) => {
            Error::unusable(format!("{file} cannot be opened for writing: {OTHER_PLACE}"), error)
        }
        Some(code::FULL) => Error::unusable(
            format!("the disk that holds {file} is full: make room and run again; what was saved is kept"),
            error,
        ),
        Some(code::IOERR) => Error::unusable(
            format!(
                "the disk that holds {file} does not read or write: check the disk, its free space and its \
                 quota, and run again; what was saved is kept"
            ),
            error,
        ),
        _ => Error::unusable(damage(path, why), error),
    }
}

/// The error for stored content that cannot be read.
pub(super) fn damaged(path: &Path, why: &str) -> Error {
    Error::Unusable { what: damage(path, why), source: None }
}

/// The error for a directory that cannot be made.
pub(super) fn no_directory(path: &Path, error: std::io::Error) -> Error {
    Error::unusable(format!("the directory of {} cannot be made: {OTHER_PLACE}", path.display()), error)
}

fn damage(path: &Path, why: &str) -> String {
    format!("{} is damaged or no store of github-metrics ({why}): {START_ANEW}", path.display())
}

pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(primary_code);
    matches!(code, Some(code::BUSY | code::LOCKED | code::PROTOCOL))
}

fn primary_code(error: &(dyn sqlx::error::DatabaseError + 'static)) -> Option<u32> {
    // The low byte of an extended code is the primary one.
    error.code()?.parse::<u32>().ok().map(|code| code & 0xff)
}
