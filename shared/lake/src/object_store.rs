//! The port to the store of objects: a directory, S3 or memory.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};

use crate::error::Result;
use crate::paths::ObjectPath;

/// Identifies the content of an object at one time. It changes whenever the content changes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ETag(pub String);

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An object as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// The complete content.
    pub bytes: Bytes,
    /// Identifies the content for [`ObjectStore::put_if_match`].
    pub etag: ETag,
}

/// An entry of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectMeta {
    /// The path relative to the lake.
    pub path: ObjectPath,
    /// The size in bytes.
    pub size: u64,
    /// When the object was written, by the clock of the store, UTC. `None` if the store does not say.
    pub modified_at: Option<DateTime<Utc>>,
}

/// The outcome of [`ObjectStore::put_if_absent`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutIfAbsent {
    /// The object was written.
    Written(ETag),
    /// An object exists already. Nothing was written.
    Exists,
}

/// The outcome of [`ObjectStore::put_if_match`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutIfMatch {
    /// The object was replaced.
    Written(ETag),
    /// The object has another content or does not exist. Nothing was written.
    Changed,
}

/// Stands for what an object contains at one time, without a read of the object. Two equal versions mean that it was not
/// replaced in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectVersion {
    /// The object does not exist.
    Missing,
    /// What the file system says about its file: which file it is, its size, and when it changed.
    File([u64; 6]),
}

/// Stores objects by path.
///
/// A write is durable when the call returns. Readers, in this process and in others, see either all of a
/// write or nothing of it.
#[async_trait]
pub trait ObjectStore: Send + Sync {
    /// Returns the object; `None` if it does not exist.
    ///
    /// # Errors
    /// If the store fails.
    async fn get(&self, path: &ObjectPath) -> Result<Option<Object>>;

    /// Returns the last `length` bytes of the object, or all bytes of a shorter one; `None` if it does not
    /// exist.
    ///
    /// # Errors
    /// If the store fails.
    async fn get_tail(&self, path: &ObjectPath, length: u64) -> Result<Option<Bytes>>;

    /// Returns the version of an object. `None` if the store cannot determine it in some microseconds: it would need a
    /// request.
    fn current_version(&self, path: &ObjectPath) -> Option<ObjectVersion> {
        let _ = path;
        None
    }

    /// Lists the objects whose path starts with the prefix, sorted by path.
    ///
    /// # Errors
    /// If the store fails.
    async fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>>;

    /// Writes an object that does not exist yet. Stores that support metadata attach `metadata` to the
    /// object, for people and other programs to read.
    ///
    /// # Errors
    /// If the store fails. The object may have been written.
    async fn put_if_absent(
        &self,
        path: &ObjectPath,
        bytes: Bytes,
        metadata: &[(&'static str, String)],
    ) -> Result<PutIfAbsent>;

    /// Replaces an object if its content is still the one that `etag` identifies. Handles `metadata` like
    /// [`put_if_absent`](Self::put_if_absent).
    ///
    /// # Errors
    /// If the store fails. The object may have been replaced.
    async fn put_if_match(
        &self,
        path: &ObjectPath,
        bytes: Bytes,
        etag: &ETag,
        metadata: &[(&'static str, String)],
    ) -> Result<PutIfMatch>;

    /// Removes the object. Succeeds if it does not exist.
    ///
    /// # Errors
    /// If the store fails. The object may have been removed.
    async fn delete(&self, path: &ObjectPath) -> Result<()>;
}
