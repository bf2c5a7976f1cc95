//! The adapter that stores objects as files in one directory.
//!
//! - A write is atomic. It goes to a temporary file, which is synced and renamed; then the directories are
//!   synced. A power cut leaves the old object or the new one.
//! - Any number of processes can use one directory. Replacing and removing an object hold a lock on the file
//!   `.lock`. Creating an object never replaces one.
//! - The etag of an object is the SHA-256 of its content. If old content comes back, it has its old etag
//!   again. That is harmless, because whoever holds the etag has read the same bytes.
//! - Names that start with a dot are not objects. Temporary files are in `.tmp`. Opening the directory
//!   removes those of killed processes.
//!
//! Files have no metadata, so the adapter drops the metadata of a write. A snapshot's generation is in its
//! Parquet footer, too.

mod directory;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::Result;
use crate::object_store::{ETag, Object, ObjectMeta, ObjectStore, ObjectVersion, PutIfAbsent, PutIfMatch};
use crate::parquet_file::spawn_blocking;
use crate::paths::ObjectPath;
use directory::Directory;

/// An object store in a directory. Clones share it.
#[derive(Debug, Clone)]
pub struct FileStore {
    directory: Arc<Directory>,
}

impl FileStore {
    /// Opens the directory, creates it if it does not exist, and removes the temporary files of killed
    /// processes. Blocks for a few file operations.
    ///
    /// # Errors
    /// [`Error::Unusable`](crate::Error::Unusable) if the directory cannot be created or written to.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self> {
        Ok(FileStore { directory: Arc::new(Directory::open(dir.into())?) })
    }

    /// Opens the directory for reading. Touches nothing: it takes no lock, creates no file, and needs no
    /// permission to write. A missing directory is empty.
    pub fn open_for_reading(dir: impl Into<PathBuf>) -> Self {
        FileStore { directory: Arc::new(Directory::for_reading(dir.into())) }
    }

    /// Returns the directory.
    pub fn dir(&self) -> &Path {
        self.directory.root()
    }

    async fn run_blocking<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Directory) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let directory = Arc::clone(&self.directory);
        spawn_blocking(move || operation(&directory)).await
    }
}

#[async_trait]
impl ObjectStore for FileStore {
    async fn get(&self, path: &ObjectPath) -> Result<Option<Object>> {
        let path = path.clone();
        self.run_blocking(move |directory| directory.read(&path)).await
    }

    async fn get_tail(&self, path: &ObjectPath, length: u64) -> Result<Option<Bytes>> {
        let path = path.clone();
        self.run_blocking(move |directory| directory.read_tail(&path, length)).await
    }

    fn current_version(&self, path: &ObjectPath) -> Option<ObjectVersion> {
        self.directory.current_version(path)
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>> {
        let prefix = prefix.to_owned();
        self.run_blocking(move |directory| directory.list(&prefix)).await
    }

    async fn put_if_absent(
        &self,
        path: &ObjectPath,
        bytes: Bytes,
        _metadata: &[(&'static str, String)],
    ) -> Result<PutIfAbsent> {
        let path = path.clone();
        self.run_blocking(move |directory| directory.create(&path, &bytes)).await
    }

    async fn put_if_match(
        &self,
        path: &ObjectPath,
        bytes: Bytes,
        etag: &ETag,
        _metadata: &[(&'static str, String)],
    ) -> Result<PutIfMatch> {
        let (path, etag) = (path.clone(), etag.clone());
        self.run_blocking(move |directory| directory.replace(&path, &bytes, &etag)).await
    }

    async fn delete(&self, path: &ObjectPath) -> Result<()> {
        let path = path.clone();
        self.run_blocking(move |directory| directory.remove(&path)).await
    }
}
