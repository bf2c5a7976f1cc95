//! The port to wherever objects live: a directory, S3, memory.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::Result;
use crate::paths::ObjectPath;

/// Which writing of an object was read: it differs after every write.
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
    /// The whole content.
    pub bytes: Bytes,
    /// Which writing it is.
    pub etag: ETag,
}

/// An object as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectMeta {
    /// Where it is.
    pub path: ObjectPath,
    /// Its size in bytes.
    pub size: u64,
}

/// What became of a write that must not replace anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutIfAbsent {
    /// It was written.
    Written(ETag),
    /// There is an object already; nothing was written.
    Exists,
}

/// What became of a write that must replace just what was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutIfMatch {
    /// It was written.
    Written(ETag),
    /// Somebody else has replaced or removed the object since; nothing was written.
    Changed,
}

/// Where objects live. A write is durable when it returns, and is seen whole or not at all, by this
/// process and by every other.
#[async_trait]
pub trait ObjectStore: Send + Sync {
    /// The object, or `None` where there is none.
    ///
    /// # Errors
    /// Where the store fails.
    async fn get(&self, path: &ObjectPath) -> Result<Option<Object>>;

    /// The last `length` bytes of the object (all of it where it is shorter), or `None` where there is none.
    ///
    /// # Errors
    /// Where the store fails.
    async fn get_tail(&self, path: &ObjectPath, length: u64) -> Result<Option<Object>>;

    /// Every object whose path starts with the prefix, in order of their paths.
    ///
    /// # Errors
    /// Where the store fails.
    async fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>>;

    /// Writes an object where there is none. `metadata` is shown with the object where the store can.
    ///
    /// # Errors
    /// Where the store fails; the object may have been written nevertheless.
    async fn put_if_absent(
        &self,
        path: &ObjectPath,
        bytes: Bytes,
        metadata: &[(&'static str, String)],
    ) -> Result<PutIfAbsent>;

    /// Replaces the object that was read as `etag`. `metadata` is shown with the object where the store can.
    ///
    /// # Errors
    /// Where the store fails; the object may have been replaced nevertheless.
    async fn put_if_match(
        &self,
        path: &ObjectPath,
        bytes: Bytes,
        etag: &ETag,
        metadata: &[(&'static str, String)],
    ) -> Result<PutIfMatch>;

    /// Removes the object; one that is not there is no error.
    ///
    /// # Errors
    /// Where the store fails; the object may have been removed nevertheless.
    async fn delete(&self, path: &ObjectPath) -> Result<()>;
}
