//! A lake whose audit log is in an object store of its own, such as a bucket that nobody can delete from.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::Result;
use crate::object_store::{ETag, Object, ObjectMeta, ObjectStore, PutIfAbsent, PutIfMatch};
use crate::paths::{AUDIT_ROOT, ObjectPath};

/// Two object stores that look like one: paths below `audit/` are in the second one, all others in the first one.
#[derive(Clone)]
pub struct SplitLake {
    lake: Arc<dyn ObjectStore>,
    audit: Arc<dyn ObjectStore>,
}

impl SplitLake {
    /// Joins the lake and the store of its audit log.
    pub fn new(lake: Arc<dyn ObjectStore>, audit: Arc<dyn ObjectStore>) -> Self {
        SplitLake { lake, audit }
    }

    fn store_of(&self, path: &ObjectPath) -> &dyn ObjectStore {
        if path.as_str().starts_with(AUDIT_ROOT) { &*self.audit } else { &*self.lake }
    }
}

#[async_trait]
impl ObjectStore for SplitLake {
    async fn get(&self, path: &ObjectPath) -> Result<Option<Object>> {
        self.store_of(path).get(path).await
    }

    async fn get_tail(&self, path: &ObjectPath, length: u64) -> Result<Option<Bytes>> {
        self.store_of(path).get_tail(path, length).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>> {
        if prefix.starts_with(AUDIT_ROOT) {
            return self.audit.list(prefix).await;
        }
        let mut listed = self.lake.list(prefix).await?;
        if AUDIT_ROOT.starts_with(prefix) {
            // What the lake has there is no part of the log.
            listed.retain(|object| !object.path.as_str().starts_with(AUDIT_ROOT));
            listed.extend(self.audit.list(AUDIT_ROOT).await?);
            listed.sort_by(|one, other| one.path.cmp(&other.path));
        }
        Ok(listed)
    }

    async fn put_if_absent(
        &self,
        path: &ObjectPath,
        bytes: Bytes,
        metadata: &[(&'static str, String)],
    ) -> Result<PutIfAbsent> {
        self.store_of(path).put_if_absent(path, bytes, metadata).await
    }

    async fn put_if_match(
        &self,
        path: &ObjectPath,
        bytes: Bytes,
        etag: &ETag,
        metadata: &[(&'static str, String)],
    ) -> Result<PutIfMatch> {
        self.store_of(path).put_if_match(path, bytes, etag, metadata).await
    }

    async fn delete(&self, path: &ObjectPath) -> Result<()> {
        self.store_of(path).delete(path).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryObjects;
    use crate::paths;

    #[tokio::test]
    async fn a_split_lake_is_an_object_store() {
        let memory = || Arc::new(MemoryObjects::new());
        let new_store = async || Arc::new(SplitLake::new(memory(), memory())) as Arc<dyn ObjectStore>;
        crate::conformance::run(new_store).await;
    }

    #[tokio::test]
    async fn the_audit_log_is_in_the_second_store() {
        let (lake, audit) = (Arc::new(MemoryObjects::new()), Arc::new(MemoryObjects::new()));
        let split = SplitLake::new(lake.clone(), audit.clone());
        let (segment, other) = (paths::audit_segment("acme", 1), paths::configuration("acme", 1));
        for path in [&segment, &other] {
            split.put_if_absent(path, Bytes::from_static(b"x"), &[]).await.unwrap();
            assert!(split.get(path).await.unwrap().is_some());
        }
        assert!(audit.get(&segment).await.unwrap().is_some() && lake.get(&segment).await.unwrap().is_none());
        assert!(lake.get(&other).await.unwrap().is_some() && audit.get(&other).await.unwrap().is_none());
        // A segment that somebody put into the lake is not part of the log.
        let foreign = paths::audit_segment("acme", 2);
        lake.put_if_absent(&foreign, Bytes::from_static(b"x"), &[]).await.unwrap();
        for (prefix, expected) in [
            ("", vec![segment.clone(), other.clone()]),
            ("a", vec![segment.clone()]),
            ("audit/org=", vec![segment.clone()]),
            ("config/", vec![other.clone()]),
        ] {
            let listed = split.list(prefix).await.unwrap();
            assert_eq!(
                listed.into_iter().map(|object| object.path).collect::<Vec<_>>(),
                expected,
                "{prefix}"
            );
        }
    }
}
