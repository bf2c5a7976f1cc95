//! The adapter that keeps objects as files below one directory.
//!
//! - A write is seen whole or not at all: it goes to a file of its own, is synced, is renamed into
//!   place, and the directories are synced after it, so that a power cut leaves no torn object.
//! - Any number of processes may use one directory: replacing and removing hold a lock on the file
//!   `.lock` in it, and creating never replaces.
//! - An object's etag is the SHA-256 of its content. Content that was replaced and came back has its
//!   old etag again, which is harmless: whoever holds it has read just these bytes.
//! - Names that start with a dot are not objects. Unfinished files lie in `.tmp`; those of killed
//!   processes are swept away when the directory is opened.
//!
//! Files have no metadata of their own, so what is passed to a write is not kept: a snapshot says in
//! its Parquet footer which generation it is.

mod directory;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::Result;
use crate::object_store::{ETag, Object, ObjectMeta, ObjectStore, PutIfAbsent, PutIfMatch};
use crate::paths::ObjectPath;
use crate::table::off_thread;
use directory::Directory;

/// Objects as files below one directory. Clones share it.
#[derive(Debug, Clone)]
pub struct FileStore {
    directory: Arc<Directory>,
}

impl FileStore {
    /// Opens the directory, making it where it is missing, and sweeps away what killed processes left
    /// unfinished in it. Blocks for a few file operations.
    ///
    /// # Errors
    /// [`Error::Unusable`](crate::Error::Unusable) where the directory cannot be made or written to.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self> {
        Ok(FileStore { directory: Arc::new(Directory::open(dir.into())?) })
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        self.directory.root()
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Directory) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let directory = Arc::clone(&self.directory);
        off_thread(move || work(&directory)).await
    }
}

#[async_trait]
impl ObjectStore for FileStore {
    async fn get(&self, path: &ObjectPath) -> Result<Option<Object>> {
        let path = path.clone();
        self.run(move |directory| directory.read(&path)).await
    }

    async fn get_tail(&self, path: &ObjectPath, length: u64) -> Result<Option<Object>> {
        let path = path.clone();
        self.run(move |directory| directory.read_tail(&path, length)).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>> {
        let prefix = prefix.to_owned();
        self.run(move |directory| directory.list(&prefix)).await
    }

    async fn put_if_absent(
        &self,
        path: &ObjectPath,
        bytes: Bytes,
        _metadata: &[(&'static str, String)],
    ) -> Result<PutIfAbsent> {
        let path = path.clone();
        self.run(move |directory| directory.create(&path, &bytes)).await
    }

    async fn put_if_match(
        &self,
        path: &ObjectPath,
        bytes: Bytes,
        etag: &ETag,
        _metadata: &[(&'static str, String)],
    ) -> Result<PutIfMatch> {
        let (path, etag) = (path.clone(), etag.clone());
        self.run(move |directory| directory.replace(&path, &bytes, &etag)).await
    }

    async fn delete(&self, path: &ObjectPath) -> Result<()> {
        let path = path.clone();
        self.run(move |directory| directory.remove(&path)).await
    }
}
