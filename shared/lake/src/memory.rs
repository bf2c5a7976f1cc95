//! The adapter that keeps objects in memory: for tests, and as the plainest reading of the port.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::Result;
use crate::object_store::{ETag, Object, ObjectMeta, ObjectStore, PutIfAbsent, PutIfMatch};
use crate::paths::ObjectPath;

#[derive(Debug, Clone)]
struct Stored {
    object: Object,
    metadata: Vec<(&'static str, String)>,
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<ObjectPath, Stored>,
    writes: u64,
}

impl State {
    fn write(&mut self, path: &ObjectPath, bytes: Bytes, metadata: &[(&'static str, String)]) -> ETag {
        self.writes += 1;
        let etag = ETag(self.writes.to_string());
        let object = Object { bytes, etag: etag.clone() };
        self.objects.insert(path.clone(), Stored { object, metadata: metadata.to_vec() });
        etag
    }
}

/// Objects in memory, shared by whoever holds a reference; gone with the last one.
#[derive(Debug, Default)]
pub struct MemoryObjects {
    state: Mutex<State>,
}

impl MemoryObjects {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// The metadata the object was written with, or `None` where there is no object.
    pub fn metadata(&self, path: &ObjectPath) -> Option<Vec<(&'static str, String)>> {
        self.state().objects.get(path).map(|stored| stored.metadata.clone())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No change of the state can be left half done, so a poisoned lock holds a whole state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl ObjectStore for MemoryObjects {
    async fn get(&self, path: &ObjectPath) -> Result<Option<Object>> {
        Ok(self.state().objects.get(path).map(|stored| stored.object.clone()))
    }

    async fn get_tail(&self, path: &ObjectPath, length: u64) -> Result<Option<Object>> {
        Ok(self.get(path).await?.map(|object| {
            let length = usize::try_from(length).unwrap_or(usize::MAX).min(object.bytes.len());
            Object { bytes: object.bytes.slice(object.bytes.len() - length..), etag: object.etag }
        }))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>> {
        let state = self.state();
        let matching = state.objects.iter().filter(|(path, _)| path.as_str().starts_with(prefix));
        Ok(matching
            .map(|(path, stored)| ObjectMeta { path: path.clone(), size: stored.object.bytes.len() as u64 })
            .collect())
    }

    async fn put_if_absent(
        &self,
        path: &ObjectPath,
        bytes: Bytes,
        metadata: &[(&'static str, String)],
    ) -> Result<PutIfAbsent> {
        let mut state = self.state();
        if state.objects.contains_key(path) {
            return Ok(PutIfAbsent::Exists);
        }
        Ok(PutIfAbsent::Written(state.write(path, bytes, metadata)))
    }

    async fn put_if_match(
        &self,
        path: &ObjectPath,
        bytes: Bytes,
        etag: &ETag,
        metadata: &[(&'static str, String)],
    ) -> Result<PutIfMatch> {
        let mut state = self.state();
        if state.objects.get(path).is_none_or(|stored| stored.object.etag != *etag) {
            return Ok(PutIfMatch::Changed);
        }
        Ok(PutIfMatch::Written(state.write(path, bytes, metadata)))
    }

    async fn delete(&self, path: &ObjectPath) -> Result<()> {
        self.state().objects.remove(path);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn keeps_the_ports_promises() {
        crate::conformance::run(async || Arc::new(MemoryObjects::new()) as Arc<dyn ObjectStore>).await;
    }
}
