//! The adapter that stores objects in memory, for tests.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::Result;
use crate::object_store::{ETag, Object, ObjectMeta, ObjectStore, PutIfAbsent, PutIfMatch};
use crate::paths::ObjectPath;

#[derive(Debug, Clone)]
struct StoredObject {
    object: Object,
    metadata: Vec<(&'static str, String)>,
}

#[derive(Debug, Default)]
struct MemoryContent {
    objects: BTreeMap<ObjectPath, StoredObject>,
    writes: u64,
}

impl MemoryContent {
    fn write(&mut self, path: &ObjectPath, bytes: Bytes, metadata: &[(&'static str, String)]) -> ETag {
        self.writes += 1;
        let etag = ETag(self.writes.to_string());
        let object = Object { bytes, etag: etag.clone() };
        self.objects.insert(path.clone(), StoredObject { object, metadata: metadata.to_vec() });
        etag
    }
}

/// An object store in memory. Its objects are dropped with it.
#[derive(Debug, Default)]
pub struct MemoryObjects {
    content: Mutex<MemoryContent>,
}

impl MemoryObjects {
    /// Creates an empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the metadata that the object was written with; `None` if the object does not exist.
    pub fn metadata(&self, path: &ObjectPath) -> Option<Vec<(&'static str, String)>> {
        self.content().objects.get(path).map(|stored| stored.metadata.clone())
    }

    fn content(&self) -> MutexGuard<'_, MemoryContent> {
        // A panic cannot interrupt a change halfway, so the content of a poisoned lock is consistent.
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl ObjectStore for MemoryObjects {
    async fn get(&self, path: &ObjectPath) -> Result<Option<Object>> {
        Ok(self.content().objects.get(path).map(|stored| stored.object.clone()))
    }

    async fn get_tail(&self, path: &ObjectPath, length: u64) -> Result<Option<Bytes>> {
        Ok(self.get(path).await?.map(|object| {
            let length = usize::try_from(length).unwrap_or(usize::MAX).min(object.bytes.len());
            object.bytes.slice(object.bytes.len() - length..)
        }))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>> {
        let content = self.content();
        let matching = content.objects.iter().filter(|(path, _)| path.as_str().starts_with(prefix));
        Ok(matching
            .map(|(path, stored)| ObjectMeta {
                path: path.clone(),
                size: stored.object.bytes.len() as u64,
                modified_at: None,
            })
            .collect())
    }

    async fn put_if_absent(
        &self,
        path: &ObjectPath,
        bytes: Bytes,
        metadata: &[(&'static str, String)],
    ) -> Result<PutIfAbsent> {
        let mut content = self.content();
        if content.objects.contains_key(path) {
            return Ok(PutIfAbsent::Exists);
        }
        Ok(PutIfAbsent::Written(content.write(path, bytes, metadata)))
    }

    async fn put_if_match(
        &self,
        path: &ObjectPath,
        bytes: Bytes,
        etag: &ETag,
        metadata: &[(&'static str, String)],
    ) -> Result<PutIfMatch> {
        let mut content = self.content();
        if content.objects.get(path).is_none_or(|stored| stored.object.etag != *etag) {
            return Ok(PutIfMatch::Changed);
        }
        Ok(PutIfMatch::Written(content.write(path, bytes, metadata)))
    }

    async fn delete(&self, path: &ObjectPath) -> Result<()> {
        self.content().objects.remove(path);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn passes_the_conformance_suite() {
        crate::conformance::run(async || Arc::new(MemoryObjects::new()) as Arc<dyn ObjectStore>).await;
    }
}
