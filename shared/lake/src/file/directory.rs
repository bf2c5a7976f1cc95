//! The blocking file operations of the directory adapter.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use tempfile::{Builder, NamedTempFile};

use crate::error::{Error, Result};
use crate::object_store::{ETag, Object, ObjectMeta, ObjectVersion, PutIfAbsent, PutIfMatch};
use crate::paths::{self, ObjectPath};

const LOCK_FILE: &str = ".lock";
const TEMP_DIR: &str = ".tmp";
const TEMP_FILE_PREFIX: &str = "unfinished-";

/// No write takes this long. An older temporary file belongs to a killed process.
const STALE_AFTER: Duration = Duration::from_secs(60 * 60);

const HASH_BUFFER_BYTES: usize = 1 << 20;

/// A directory that contains objects.
#[derive(Debug)]
pub(super) struct Directory {
    root: PathBuf,
}

/// Returns a function that converts the error of a file operation. `operation` is a verb such as "write".
fn io_error(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |error| Error::from_io(operation, &path, error)
}

fn etag_of(bytes: &[u8]) -> ETag {
    ETag(hex::encode(Sha256::digest(bytes)))
}

/// Converts the error "not found" to `None`.
fn none_if_missing<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes the file names in a directory durable.
#[cfg(unix)]
fn sync_directory(path: &Path) -> io::Result<()> {
    match File::open(path)?.sync_all() {
        // Some network and container file systems cannot sync directories.
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
        result => result,
    }
}

/// Does nothing: this platform cannot open directories, and syncing a file also makes its name durable.
#[cfg(not(unix))]
fn sync_directory(_path: &Path) -> io::Result<()> {
    Ok(())
}

impl Directory {
    pub(super) fn open(root: PathBuf) -> Result<Self> {
        fs::create_dir_all(&root).map_err(io_error("create the directory", &root))?;
        let directory = Directory { root };
        let probe = directory.create_temp_file()?;
        // Fails early if the file system does not support locks.
        drop(directory.lock()?);
        directory.remove_stale_temp_files(&probe);
        sync_directory(&directory.root).map_err(io_error("sync", &directory.root))?;
        Ok(directory)
    }

    pub(super) fn for_reading(root: PathBuf) -> Self {
        Directory { root }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    fn file_path(&self, path: &ObjectPath) -> PathBuf {
        self.root.join(path.as_str())
    }

    pub(super) fn read(&self, path: &ObjectPath) -> Result<Option<Object>> {
        let file = self.file_path(path);
        let bytes = none_if_missing(fs::read(&file)).map_err(io_error("read", &file))?;
        Ok(bytes.map(|bytes| Object { etag: etag_of(&bytes), bytes: Bytes::from(bytes) }))
    }

    /// Returns the version of a file. A write replaces the file, so another file has another version, whatever the
    /// clock says.
    #[cfg(unix)]
    pub(super) fn current_version(&self, path: &ObjectPath) -> Option<ObjectVersion> {
        use std::os::unix::fs::MetadataExt;
        let found = none_if_missing(fs::metadata(self.file_path(path))).ok()?;
        Some(found.map_or(ObjectVersion::Missing, |file| {
            let times =
                [file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec()].map(|time| time as u64);
            let [modified, modified_ns, changed, changed_ns] = times;
            ObjectVersion::File([file.ino(), file.size(), modified, modified_ns, changed, changed_ns])
        }))
    }

    /// Returns `None`: this platform does not identify files.
    #[cfg(not(unix))]
    pub(super) fn current_version(&self, _path: &ObjectPath) -> Option<ObjectVersion> {
        None
    }

    pub(super) fn read_tail(&self, path: &ObjectPath, length: u64) -> Result<Option<Bytes>> {
        let file = self.file_path(path);
        none_if_missing(File::open(&file))
            .and_then(|opened| opened.map(|opened| read_last_bytes(opened, length)).transpose())
            .map_err(io_error("read", &file))
    }

    pub(super) fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>> {
        // Start the walk in the directory of the prefix, instead of visiting all directories.
        let base = prefix.rfind('/').map_or("", |end| &prefix[..end]);
        let mut objects = Vec::new();
        if base.is_empty() || ObjectPath::parse(base).is_some() {
            self.walk(base, prefix, &mut objects)?;
        }
        objects.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(objects)
    }

    fn walk(&self, directory: &str, prefix: &str, objects: &mut Vec<ObjectMeta>) -> Result<()> {
        let directory_path = self.root.join(directory);
        let list_error = || io_error("list", &directory_path);
        let Some(entries) = none_if_missing(fs::read_dir(&directory_path)).map_err(list_error())? else {
            return Ok(());
        };
        for entry in entries {
            let entry = entry.map_err(list_error())?;
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else { continue };
            let path = if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") };
            let kind = entry.file_type().map_err(list_error())?;
            if kind.is_dir() && (path.starts_with(prefix) || prefix.starts_with(&path)) {
                self.walk(&path, prefix, objects)?;
            } else if kind.is_file() && path.starts_with(prefix) {
                let Some(metadata) = none_if_missing(entry.metadata()).map_err(list_error())? else {
                    continue;
                };
                let modified_at = metadata.modified().ok().map(DateTime::<Utc>::from);
                let object = ObjectPath::parse(path).map(|path| ObjectMeta {
                    path,
                    size: metadata.len(),
                    modified_at,
                });
                objects.extend(object);
            }
        }
        Ok(())
    }

    pub(super) fn create(&self, path: &ObjectPath, bytes: &[u8]) -> Result<PutIfAbsent> {
        let file = self.file_path(path);
        // An early check that saves the write. The rename below decides.
        let exists = fs::exists(&file).map_err(io_error("read", &file))?;
        if !exists {
            let temp_file = self.write_temp_file(path, bytes)?;
            if let Some(parent) = file.parent() {
                fs::create_dir_all(parent).map_err(io_error("create the directory", parent))?;
            }
            if paths::is_permanent(path) {
                set_read_only(&temp_file).map_err(io_error("write", &file))?;
            }
            match temp_file.persist_noclobber(&file) {
                Ok(_) => {
                    self.sync_ancestors(&file)?;
                    return Ok(PutIfAbsent::Written(etag_of(bytes)));
                }
                Err(error) if error.error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Error::from_io("write", &file, error.error)),
            }
        }
        // The object must be durable, and the process that wrote it may not have synced it yet.
        self.sync_ancestors(&file)?;
        Ok(PutIfAbsent::Exists)
    }

    pub(super) fn replace(&self, path: &ObjectPath, bytes: &[u8], etag: &ETag) -> Result<PutIfMatch> {
        let file = self.file_path(path);
        let temp_file = self.write_temp_file(path, bytes)?;
        let _lock = self.lock()?;
        if self.current_etag(&file)?.as_ref() != Some(etag) {
            return Ok(PutIfMatch::Changed);
        }
        temp_file.persist(&file).map_err(|error| Error::from_io("write", &file, error.error))?;
        self.sync_ancestors(&file)?;
        Ok(PutIfMatch::Written(etag_of(bytes)))
    }

    pub(super) fn remove(&self, path: &ObjectPath) -> Result<()> {
        let file = self.file_path(path);
        let _lock = self.lock()?;
        match none_if_missing(fs::remove_file(&file)).map_err(io_error("remove", &file))? {
            Some(()) => self.sync_ancestors(&file),
            None => Ok(()),
        }
    }

    fn current_etag(&self, file: &Path) -> Result<Option<ETag>> {
        none_if_missing(File::open(file))
            .and_then(|opened| opened.map(|mut opened| hash_file(&mut opened)).transpose())
            .map_err(io_error("read", file))
    }

    /// Creates an empty temporary file. It is removed when dropped, unless it is renamed to an object.
    fn create_temp_file(&self) -> Result<NamedTempFile> {
        let temp = self.root.join(TEMP_DIR);
        fs::create_dir_all(&temp).map_err(io_error("create the directory", &temp))?;
        let mut builder = Builder::new();
        builder.prefix(TEMP_FILE_PREFIX);
        #[cfg(unix)]
        {
            // The user's umask decides who can read objects. The default would be this user only.
            use std::os::unix::fs::PermissionsExt;
            builder.permissions(fs::Permissions::from_mode(0o666));
        }
        builder.tempfile_in(&temp).map_err(io_error("write to", &self.root))
    }

    fn write_temp_file(&self, path: &ObjectPath, bytes: &[u8]) -> Result<NamedTempFile> {
        let file = self.file_path(path);
        let mut temp_file = self.create_temp_file()?;
        temp_file
            .write_all(bytes)
            .and_then(|()| temp_file.as_file().sync_all())
            .map_err(io_error("write", &file))?;
        Ok(temp_file)
    }

    /// Makes the names of the file and of the directories above it durable. Another process may have created
    /// the directories and not synced them yet.
    fn sync_ancestors(&self, file: &Path) -> Result<()> {
        for directory in file.ancestors().skip(1) {
            sync_directory(directory).map_err(io_error("sync", directory))?;
            if directory == self.root {
                break;
            }
        }
        Ok(())
    }

    /// Acquires the exclusive lock on the directory, for this process and all others. Dropping the file
    /// releases it.
    fn lock(&self) -> Result<File> {
        let path = self.root.join(LOCK_FILE);
        // A lock belongs to an open file, not to a process. Each holder therefore opens the file itself.
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(io_error("write to", &path))?;
        loop {
            match file.lock() {
                Ok(()) => return Ok(file),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::from_io("lock", &path, error)),
            }
        }
    }

    /// Removes the temporary files of killed processes. Ignores errors, because the files do no harm.
    fn remove_stale_temp_files(&self, probe: &NamedTempFile) {
        // The age of files is measured by the clock of the file system, which dated the new file `probe`.
        let Ok(now) = probe.as_file().metadata().and_then(|metadata| metadata.modified()) else { return };
        let Ok(entries) = fs::read_dir(self.root.join(TEMP_DIR)) else { return };
        for entry in entries.flatten() {
            let is_ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(TEMP_FILE_PREFIX));
            let modified = entry.metadata().and_then(|metadata| metadata.modified());
            let is_stale = modified.is_ok_and(|at| now.duration_since(at).is_ok_and(|age| age > STALE_AFTER));
            if is_ours && is_stale && fs::remove_file(entry.path()).is_ok() {
                tracing::debug!(file = %entry.path().display(), "removed a temporary file of a killed process");
            }
        }
    }
}

/// Takes the permission to write the file from everybody.
fn set_read_only(file: &NamedTempFile) -> io::Result<()> {
    let mut permissions = file.as_file().metadata()?.permissions();
    permissions.set_readonly(true);
    fs::set_permissions(file.path(), permissions)
}

/// Returns the etag of the file's content.
fn hash_file(file: &mut File) -> io::Result<ETag> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; HASH_BUFFER_BYTES];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(ETag(hex::encode(hasher.finalize()))),
            Ok(count) => hasher.update(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn read_last_bytes(mut file: File, length: u64) -> io::Result<Bytes> {
    let size = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(size.saturating_sub(length)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(Bytes::from(bytes))
}
