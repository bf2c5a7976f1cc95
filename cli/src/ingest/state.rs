//! Which log files were read. It only saves time: without it, all files are read again, and the same facts result.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::replace_file::replace_file;

/// The name of the file in the data directory.
const STATE_FILE: &str = "ingested-sessions.json";
/// The name of the file that one run at a time holds locked.
const LOCK_FILE: &str = "ingested-sessions.lock";

/// How a file looked when it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileVersion {
    size: u64,
    modified_ms: u64,
}

impl FileVersion {
    /// Returns how the file looks now; `None` if that cannot be determined.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        let modified = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        Some(FileVersion { size: metadata.len(), modified_ms: u64::try_from(modified.as_millis()).ok()? })
    }

    /// Returns when the file was changed last, UTC.
    pub(crate) fn modified_at(self) -> DateTime<Utc> {
        let milliseconds = i64::try_from(self.modified_ms).unwrap_or(i64::MAX);
        DateTime::from_timestamp_millis(milliseconds).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// Returns the size in bytes.
    pub(crate) fn size(self) -> u64 {
        self.size
    }
}

/// A file that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IngestedFile {
    /// How it looked.
    #[serde(flatten)]
    pub(crate) version: FileVersion,
    /// Whether everything in it was ingested: it was understood completely, and nothing was left out.
    #[serde(default)]
    pub(crate) is_complete: bool,
    /// From when on it is read again although it did not change, UTC: a server refused some of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) read_again_at: Option<DateTime<Utc>>,
    /// The records that the program does not know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) unknown: Vec<UnknownRecords>,
}

/// Records of a file that the program does not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UnknownRecords {
    /// The agent that wrote them.
    pub(crate) agent: String,
    /// Their type.
    pub(crate) record_type: String,
    /// The version of the agent.
    pub(crate) client_version: String,
    /// Number of records.
    pub(crate) records: u64,
}

/// The files of an organization that were read under the same options.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IngestedFiles {
    /// What the result depends on, in addition to the files.
    pub(crate) options: String,
    /// When the last run ended, UTC.
    #[serde(default)]
    pub(crate) ingested_at: Option<DateTime<Utc>>,
    /// The server that took the events; `None` if they went to the lake.
    #[serde(default)]
    pub(crate) pushed_to: Option<String>,
    /// The files, by path.
    pub(crate) files: BTreeMap<String, IngestedFile>,
}

impl IngestedFiles {
    /// Returns whether the file, which looks like this now, need not be read again.
    pub(crate) fn has(&self, path: &str, version: FileVersion, now: DateTime<Utc>) -> bool {
        self.files
            .get(path)
            .is_some_and(|file| file.version == version && file.read_again_at.is_none_or(|at| now < at))
    }
}

/// What runs remember.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IngestState {
    /// By storage key of the organization.
    #[serde(default)]
    orgs: BTreeMap<String, IngestedFiles>,
    /// The remotes of directories.
    #[serde(default)]
    pub(crate) remotes: BTreeMap<String, String>,
}

impl IngestState {
    /// Returns the files of the organization that were read under these options.
    pub(crate) fn files(&self, org: &str, options: &str) -> BTreeMap<String, IngestedFile> {
        let ingested = self.orgs.get(org).filter(|ingested| ingested.options == options);
        ingested.map(|ingested| ingested.files.clone()).unwrap_or_default()
    }

    /// Returns what was ingested of the organization under the options of the last run.
    pub(crate) fn ingested(&self, org: &str) -> Option<&IngestedFiles> {
        self.orgs.get(org)
    }

    /// Returns when the last run ended, of whichever organization; `None` if there was none, or an older program made it.
    pub(crate) fn ingested_at(&self) -> Option<DateTime<Utc>> {
        self.orgs.values().filter_map(|ingested| ingested.ingested_at).max()
    }

    /// Returns the records that the program does not know, of all files. A file that belongs to several organizations
    /// counts once.
    pub(crate) fn unknown_records(&self) -> impl Iterator<Item = &UnknownRecords> {
        let files: BTreeMap<&String, &IngestedFile> =
            self.orgs.values().flat_map(|ingested| &ingested.files).collect();
        files.into_values().flat_map(|file| &file.unknown)
    }

    /// Replaces the files of the organization.
    pub(crate) fn set_files(&mut self, org: &str, ingested: IngestedFiles) {
        self.orgs.insert(org.to_owned(), ingested);
    }
}

/// The state in a data directory, locked against other runs.
pub(crate) struct LockedState {
    path: PathBuf,
    /// Held until it is dropped.
    _lock: File,
}

impl LockedState {
    /// Waits until no other run holds the state. With `can_wait` unset, returns `None` if one does.
    ///
    /// # Errors
    /// If the data directory cannot be written.
    pub(crate) fn lock(data_dir: &Path, can_wait: bool) -> anyhow::Result<Option<Self>> {
        fs::create_dir_all(data_dir).with_context(|| format!("cannot create {}", data_dir.display()))?;
        let path = data_dir.join(LOCK_FILE);
        let cannot_lock = || format!("cannot lock {}", path.display());
        let lock = File::create(&path).with_context(cannot_lock)?;
        if can_wait {
            lock.lock().with_context(cannot_lock)?;
        } else if let Err(error) = lock.try_lock() {
            return match error {
                fs::TryLockError::WouldBlock => Ok(None),
                fs::TryLockError::Error(error) => Err(error).with_context(cannot_lock),
            };
        }
        Ok(Some(LockedState { path: data_dir.join(STATE_FILE), _lock: lock }))
    }

    /// Reads the state. A missing or damaged one is empty.
    pub(crate) fn read(&self) -> IngestState {
        read(&self.path)
    }

    /// Replaces the state.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn write(&self, state: &IngestState) -> anyhow::Result<()> {
        let cannot_write = || format!("cannot write {}", self.path.display());
        replace_file(&self.path, &serde_json::to_vec(state)?).with_context(cannot_write)
    }
}

/// Reads the state of a data directory for a run that writes nothing.
pub(crate) fn read_unlocked(data_dir: &Path) -> IngestState {
    read(&data_dir.join(STATE_FILE))
}

fn read(path: &Path) -> IngestState {
    fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ingested(version: FileVersion) -> IngestedFile {
        IngestedFile { version, is_complete: false, read_again_at: None, unknown: Vec::new() }
    }

    #[test]
    fn a_file_is_read_again_when_it_changed_or_its_time_has_come() {
        let (version, grown) =
            (FileVersion { size: 1, modified_ms: 2 }, FileVersion { size: 2, modified_ms: 2 });
        let at = |hour: u32| DateTime::from_timestamp(i64::from(hour) * 3600, 0).unwrap();
        let refused = IngestedFile { read_again_at: Some(at(24)), ..ingested(version) };
        let files = BTreeMap::from([("/a".to_owned(), ingested(version)), ("/b".to_owned(), refused)]);
        let files = IngestedFiles { files, ..IngestedFiles::default() };
        assert!(files.has("/a", version, at(99)) && !files.has("/a", grown, at(0)));
        assert!(files.has("/b", version, at(23)) && !files.has("/b", version, at(24)));
        assert!(!files.has("/c", version, at(0)));
    }

    #[test]
    fn files_are_remembered_for_the_same_options() {
        let directory = tempfile::tempdir().unwrap();
        let locked = LockedState::lock(directory.path(), true).unwrap().unwrap();
        let mut state = locked.read();
        let version = FileVersion { size: 1, modified_ms: 2 };
        let files =
            BTreeMap::from([("/log".to_owned(), IngestedFile { is_complete: true, ..ingested(version) })]);
        state.set_files(
            "acme",
            IngestedFiles { options: "a".to_owned(), files: files.clone(), ..IngestedFiles::default() },
        );
        locked.write(&state).unwrap();
        let state = read_unlocked(directory.path());
        assert_eq!(state.files("acme", "a"), files);
        assert!(state.files("acme", "b").is_empty() && state.files("other", "a").is_empty());
    }

    #[test]
    fn files_of_an_older_state_are_known_and_not_complete() {
        let text = r#"{"orgs":{"acme":{"options":"a","files":{"/log":{"size":1,"modified_ms":2}}}}}"#;
        let state: IngestState = serde_json::from_str(text).unwrap();
        let version = FileVersion { size: 1, modified_ms: 2 };
        let expected = BTreeMap::from([("/log".to_owned(), ingested(version))]);
        assert_eq!(state.files("acme", "a"), expected);
    }

    #[test]
    fn one_run_at_a_time_holds_the_state() {
        let directory = tempfile::tempdir().unwrap();
        let first = LockedState::lock(directory.path(), true).unwrap().unwrap();
        assert!(LockedState::lock(directory.path(), false).unwrap().is_none());
        drop(first);
        assert!(LockedState::lock(directory.path(), false).unwrap().is_some());
    }

    #[test]
    fn a_damaged_state_is_empty() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(STATE_FILE), "{\"orgs\":[").unwrap();
        assert_eq!(read_unlocked(directory.path()), IngestState::default());
    }
}
