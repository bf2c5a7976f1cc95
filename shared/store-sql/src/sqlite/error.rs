//! Turns errors of SQLite into errors of the store: what is wrong with which file, and how to fix it.

use std::path::Path;

use gam_store::Error;

/// How to replace a file that is not a usable store.
const HOW_TO_REBUILD: &str = "move it away and run `github-metrics aggregate --rebuild`, which computes the \
                              rollups from the lake; the next collection then starts from the beginning, and the \
                              access tokens in the store are lost";

/// What to do if a file cannot be opened.
const HOW_TO_OPEN: &str = "give this user write permission for the file and its directory, or choose another \
                           file with `--store sqlite:FILE`";

/// What to do if a file cannot be opened for reading.
const HOW_TO_READ: &str = "check that it exists and that this user may read it; if another program is writing to \
                           it, this user also needs write permission for its directory";

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

/// Returns a function that turns an error of `action`, such as "writing rollups", into an error of the store.
pub(super) fn failed(path: &Path, action: &str) -> impl FnOnce(sqlx::Error) -> Error {
    move |error| {
        let file = path.display();
        match &error {
            sqlx::Error::Database(cause) => {
                let (code, why) = (primary_code(&**cause), cause.message().to_owned());
                sqlite_error(path, action, code, &why, error)
            }
            sqlx::Error::PoolTimedOut => {
                Error::unavailable(format!("{action}: too many readers or writers wait for {file}"), error)
            }
            sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
                Error::unavailable(format!("{action}: {file} has been closed"), error)
            }
            sqlx::Error::Encode(_) => {
                Error::unusable(format!("{action}: the number is too great for {file}"), error)
            }
            sqlx::Error::Io(_) => Error::unusable(format!("cannot open {file}: {HOW_TO_OPEN}"), error),
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::RowNotFound => {
                Error::unusable(damage(path, "it contains values that this program never writes"), error)
            }
            _ => Error::unavailable(format!("{action} in {file}"), error),
        }
    }
}

/// Returns a function that turns an error of opening the file for reading into an error of the store.
pub(super) fn failed_to_read(path: &Path) -> impl FnOnce(sqlx::Error) -> Error {
    move |error| {
        let code = error.as_database_error().and_then(primary_code);
        match code {
            Some(code::READONLY | code::CANTOPEN | code::PERM | code::AUTH) => {
                Error::unusable(format!("cannot read {}: {HOW_TO_READ}", path.display()), error)
            }
            _ => failed(path, "opening the store")(error),
        }
    }
}

/// Returns whether SQLite cannot open the file because it cannot write its log next to it.
pub(super) fn needs_log_files(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(primary_code);
    matches!(code, Some(code::READONLY | code::CANTOPEN))
}

/// Turns an error that SQLite itself reported into an error of the store, by its primary result code.
fn sqlite_error(path: &Path, action: &str, code: Option<u32>, why: &str, error: sqlx::Error) -> Error {
    let file = path.display();
    match code {
        Some(code::BUSY | code::LOCKED | code::PROTOCOL) => {
            Error::unavailable(format!("{action}: another process keeps {file} locked"), error)
        }
        Some(code::NOMEM | code::INTERRUPT | code::SCHEMA) => {
            Error::unavailable(format!("{action} in {file}"), error)
        }
        Some(code::READONLY | code::CANTOPEN | code::PERM | code::AUTH) => {
            Error::unusable(format!("cannot open {file} for writing: {HOW_TO_OPEN}"), error)
        }
        Some(code::FULL) => Error::unusable(
            format!(
                "the disk of {file} is full: free some space and run again; nothing that was saved is lost"
            ),
            error,
        ),
        Some(code::IOERR) => Error::unusable(
            format!(
                "cannot read or write the disk of {file}: check the disk, its free space and its quota, and run \
                 again; nothing that was saved is lost"
            ),
            error,
        ),
        _ => Error::unusable(damage(path, why), error),
    }
}

/// Returns the error for stored content that cannot be read.
pub(super) fn damaged(path: &Path, why: &str) -> Error {
    Error::Unusable { what: damage(path, why), source: None }
}

/// Returns the error for a directory that cannot be created.
pub(super) fn no_directory(path: &Path, error: std::io::Error) -> Error {
    Error::unusable(format!("cannot create the directory of {}: {HOW_TO_OPEN}", path.display()), error)
}

fn damage(path: &Path, why: &str) -> String {
    format!("{} is damaged or not a store of github-metrics ({why}): {HOW_TO_REBUILD}", path.display())
}

pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(primary_code);
    matches!(code, Some(code::BUSY | code::LOCKED | code::PROTOCOL))
}

pub(super) fn is_full(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(primary_code) == Some(code::FULL)
}

fn primary_code(error: &(dyn sqlx::error::DatabaseError + 'static)) -> Option<u32> {
    // The low byte of an extended code is the primary one.
    error.code()?.parse::<u32>().ok().map(|code| code & 0xff)
}
