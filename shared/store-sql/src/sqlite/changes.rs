//! Notices that the file has changed, within some microseconds.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use gam_store::ChangeToken;
use rusqlite::{Connection, OpenFlags};

use super::file_name;

/// Notices the commits of all other connections to a file, of this and of other processes.
///
/// It has a connection of its own. That never writes, because `PRAGMA data_version` does not count the commits of its
/// own connection. The driver of the other connections answers in a thread of its own, and waking that up takes longer
/// than the query, so this connection is called directly.
#[derive(Debug)]
pub(super) struct ChangeWatcher {
    path: PathBuf,
    state: Mutex<WatcherState>,
}

#[derive(Debug, Default)]
enum WatcherState {
    #[default]
    NotConnected,
    Connected(WatchedFile),
    /// The store was closed, or another file has its path now. Connections to the old file do not notice that.
    Ended,
}

/// An open connection that watches.
#[derive(Debug)]
struct WatchedFile {
    connection: Connection,
    /// Identifies the connection. Another one counts changes from the beginning.
    counter: u64,
    id: Option<FileId>,
}

impl ChangeWatcher {
    pub(super) fn new(path: &Path) -> Self {
        ChangeWatcher { path: path.to_path_buf(), state: Mutex::default() }
    }

    /// Returns the token of the file's present content. `None` if that cannot be found out without waiting.
    pub(super) fn token(&self) -> Option<ChangeToken> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let WatcherState::NotConnected = *state {
            *state = WatcherState::Connected(self.connect()?);
        }
        let WatcherState::Connected(file) = &*state else { return None };
        if file.id != file_id(&self.path) {
            *state = WatcherState::Ended;
            return None;
        }
        let version = file.connection.query_row("PRAGMA data_version", (), |row| row.get::<_, i64>(0));
        match version {
            Ok(version) => Some(ChangeToken::new(file.counter, version.cast_unsigned())),
            Err(_) => {
                // The next call connects again, and its tokens differ from all before.
                *state = WatcherState::NotConnected;
                None
            }
        }
    }

    /// Connects without waiting for locks. `None` if that fails; the next call tries again.
    fn connect(&self) -> Option<WatchedFile> {
        let id = file_id(&self.path);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(file_name(&self.path), flags).ok()?;
        connection.busy_timeout(std::time::Duration::ZERO).ok()?;
        Some(WatchedFile { connection, counter: ChangeToken::new_counter(), id })
    }

    /// Closes the connection. There are no more tokens.
    pub(super) fn close(&self) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = WatcherState::Ended;
    }
}

/// What distinguishes a file from another one that has its path later.
type FileId = (u64, u64);

#[cfg(unix)]
fn file_id(path: &Path) -> Option<FileId> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

/// Windows does not let an open file be replaced.
#[cfg(not(unix))]
fn file_id(_: &Path) -> Option<FileId> {
    None
}
