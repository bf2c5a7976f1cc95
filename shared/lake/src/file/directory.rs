//! The blocking file operations of the directory adapter.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tempfile::{Builder, NamedTempFile};

use crate::error::{Error, Result};
use crate::object_store::{ETag, Object, ObjectMeta, PutIfAbsent, PutIfMatch};
use crate::paths::ObjectPath;

const LOCK_FILE: &str = ".lock";
const TEMP_DIR: &str = ".tmp";
const TEMP_PREFIX: &str = "unfinished-";

/// No write takes that long, so an unfinished file of this age has lost its process.
const STALE_AFTER: Duration = Duration::from_secs(60 * 60);

const READ_BYTES: usize = 1 << 20;

/// A directory of objects.
#[derive(Debug)]
pub(super) struct Directory {
    root: PathBuf,
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |error| Error::of_io(doing, &path, error)
}

fn etag_of(bytes: &[u8]) -> ETag {
    ETag(hex::encode(Sha256::digest(bytes)))
}

/// `None` where there is no such thing.
fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes the names in a directory durable.
#[cfg(unix)]
fn sync_directory(path: &Path) -> io::Result<()> {
    match File::open(path)?.sync_all() {
        // Some network and container file systems know no syncing of directories.
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
        result => result,
    }
}

/// Names are durable with the file where directories cannot be opened.
#[cfg(not(unix))]
fn sync_directory(_path: &Path) -> io::Result<()> {
    Ok(())
}

impl Directory {
    pub(super) fn open(root: PathBuf) -> Result<Self> {
        fs::create_dir_all(&root).map_err(failed("making the directory", &root))?;
        let directory = Directory { root };
        let probe = directory.unfinished()?;
        // Taken once, so that a directory that knows no locks is refused at once.
        drop(directory.lock()?);
        directory.sweep(&probe);
        sync_directory(&directory.root).map_err(failed("syncing", &directory.root))?;
        Ok(directory)
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    fn file(&self, path: &ObjectPath) -> PathBuf {
        self.root.join(path.as_str())
    }

    pub(super) fn read(&self, path: &ObjectPath) -> Result<Option<Object>> {
        let file = self.file(path);
        let bytes = found(fs::read(&file)).map_err(failed("reading", &file))?;
        Ok(bytes.map(|bytes| Object { etag: etag_of(&bytes), bytes: Bytes::from(bytes) }))
    }

    pub(super) fn read_tail(&self, path: &ObjectPath, length: u64) -> Result<Option<Object>> {
        let file = self.file(path);
        found(File::open(&file))
            .and_then(|opened| opened.map(|opened| tail_of(opened, length)).transpose())
            .map_err(failed("reading", &file))
    }

    pub(super) fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>> {
        // Whole directories that the prefix names need not be looked for.
        let base = prefix.rfind('/').map_or("", |end| &prefix[..end]);
        let mut objects = Vec::new();
        if base.is_empty() || ObjectPath::listed(base).is_some() {
            self.walk(base, prefix, &mut objects)?;
        }
        objects.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(objects)
    }

    fn walk(&self, directory: &str, prefix: &str, objects: &mut Vec<ObjectMeta>) -> Result<()> {
        let at = self.root.join(directory);
        let listing = || failed("listing", &at);
        let Some(entries) = found(fs::read_dir(&at)).map_err(listing())? else { return Ok(()) };
        for entry in entries {
            let entry = entry.map_err(listing())?;
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else { continue };
            let path = if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") };
            let kind = entry.file_type().map_err(listing())?;
            if kind.is_dir() && (path.starts_with(prefix) || prefix.starts_with(&path)) {
                self.walk(&path, prefix, objects)?;
            } else if kind.is_file() && path.starts_with(prefix) {
                let Some(metadata) = found(entry.metadata()).map_err(listing())? else { continue };
                objects
                    .extend(ObjectPath::listed(path).map(|path| ObjectMeta { path, size: metadata.len() }));
            }
        }
        Ok(())
    }

    pub(super) fn create(&self, path: &ObjectPath, bytes: &[u8]) -> Result<PutIfAbsent> {
        let file = self.file(path);
        // Saves writing what is there already; the rename below decides.
        let exists = fs::exists(&file).map_err(failed("reading", &file))?;
        if !exists {
            let unfinished = self.write_unfinished(path, bytes)?;
            if let Some(parent) = file.parent() {
                fs::create_dir_all(parent).map_err(failed("making the directory", parent))?;
            }
            match unfinished.persist_noclobber(&file) {
                Ok(_) => {
                    self.sync_ancestors(&file)?;
                    return Ok(PutIfAbsent::Written(etag_of(bytes)));
                }
                Err(error) if error.error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Error::of_io("writing", &file, error.error)),
            }
        }
        // Whoever wrote it may not have come to syncing, and "exists" promises that it stays.
        self.sync_ancestors(&file)?;
        Ok(PutIfAbsent::Exists)
    }

    pub(super) fn replace(&self, path: &ObjectPath, bytes: &[u8], etag: &ETag) -> Result<PutIfMatch> {
        let file = self.file(path);
        let unfinished = self.write_unfinished(path, bytes)?;
        let _lock = self.lock()?;
        if self.current_etag(&file)?.as_ref() != Some(etag) {
            return Ok(PutIfMatch::Changed);
        }
        unfinished.persist(&file).map_err(|error| Error::of_io("writing", &file, error.error))?;
        self.sync_ancestors(&file)?;
        Ok(PutIfMatch::Written(etag_of(bytes)))
    }

    pub(super) fn remove(&self, path: &ObjectPath) -> Result<()> {
        let file = self.file(path);
        let _lock = self.lock()?;
        match found(fs::remove_file(&file)).map_err(failed("removing", &file))? {
            Some(()) => self.sync_ancestors(&file),
            None => Ok(()),
        }
    }

    fn current_etag(&self, file: &Path) -> Result<Option<ETag>> {
        found(File::open(file))
            .and_then(|opened| opened.map(|mut opened| hash_of(&mut opened)).transpose())
            .map_err(failed("reading", file))
    }

    /// A new, empty file that is no object yet, and is removed again unless it becomes one.
    fn unfinished(&self) -> Result<NamedTempFile> {
        let temp = self.root.join(TEMP_DIR);
        fs::create_dir_all(&temp).map_err(failed("making the directory", &temp))?;
        let mut builder = Builder::new();
        builder.prefix(TEMP_PREFIX);
        #[cfg(unix)]
        {
            // Objects are for whoever the user's umask lets read them, not for this user alone.
            use std::os::unix::fs::PermissionsExt;
            builder.permissions(fs::Permissions::from_mode(0o666));
        }
        builder.tempfile_in(&temp).map_err(failed("writing to", &self.root))
    }

    fn write_unfinished(&self, path: &ObjectPath, bytes: &[u8]) -> Result<NamedTempFile> {
        let file = self.file(path);
        let mut unfinished = self.unfinished()?;
        unfinished
            .write_all(bytes)
            .and_then(|()| unfinished.as_file().sync_all())
            .map_err(failed("writing", &file))?;
        Ok(unfinished)
    }

    /// Makes the file's name durable, and those of the directories above it: another process may have
    /// made them without having come to syncing them.
    fn sync_ancestors(&self, file: &Path) -> Result<()> {
        for directory in file.ancestors().skip(1) {
            sync_directory(directory).map_err(failed("syncing", directory))?;
            if directory == self.root {
                break;
            }
        }
        Ok(())
    }

    /// Keeps every other holder out, in this process and in others, until it is dropped.
    fn lock(&self) -> Result<File> {
        let path = self.root.join(LOCK_FILE);
        // Every holder opens the file anew, for a lock belongs to the opening and not to the process.
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(failed("writing to", &path))?;
        loop {
            match file.lock() {
                Ok(()) => return Ok(file),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::of_io("locking", &path, error)),
            }
        }
    }

    /// Removes the unfinished files of killed processes. What cannot be removed does no harm.
    fn sweep(&self, probe: &NamedTempFile) {
        // A file just made tells the time by the clock that also dated the others.
        let Ok(now) = probe.as_file().metadata().and_then(|metadata| metadata.modified()) else { return };
        let Ok(entries) = fs::read_dir(self.root.join(TEMP_DIR)) else { return };
        for entry in entries.flatten() {
            let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(TEMP_PREFIX));
            let modified = entry.metadata().and_then(|metadata| metadata.modified());
            let stale = modified.is_ok_and(|at| now.duration_since(at).is_ok_and(|age| age > STALE_AFTER));
            if ours && stale && fs::remove_file(entry.path()).is_ok() {
                tracing::debug!(file = %entry.path().display(), "removed an unfinished file");
            }
        }
    }
}

/// Hashes the file from where it stands to its end.
fn hash_of(file: &mut File) -> io::Result<ETag> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(ETag(hex::encode(hasher.finalize()))),
            Ok(count) => hasher.update(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// A file is never changed once it has its name, so both readings see the same object.
fn tail_of(mut file: File, length: u64) -> io::Result<Object> {
    let etag = hash_of(&mut file)?;
    let size = file.stream_position()?;
    file.seek(SeekFrom::Start(size.saturating_sub(length)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(Object { bytes: Bytes::from(bytes), etag })
}
