//! Session events of other machines go to the inbox of the lake's table `sessions`.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use gam_lake::{ObjectStore, sessions};
use gam_model::{Month, SessionEvent};
use gam_work::{InboxError, SessionInbox};
use tokio::sync::Notify;

/// The table `sessions` of a lake.
#[derive(Clone)]
pub struct LakeSessionInbox {
    objects: Arc<dyn ObjectStore>,
    has_new: Arc<Notify>,
}

impl LakeSessionInbox {
    /// Connects to a lake that can be written.
    pub fn new(objects: Arc<dyn ObjectStore>) -> Self {
        LakeSessionInbox { objects, has_new: Arc::default() }
    }

    /// Waits until events were stored since the last call returned.
    pub async fn wait_for_new(&self) {
        self.has_new.notified().await;
    }
}

#[async_trait]
impl SessionInbox for LakeSessionInbox {
    async fn put(&self, org: &str, events: Vec<SessionEvent>) -> Result<(), InboxError> {
        sessions::put(&*self.objects, org, events).await?;
        self.has_new.notify_one();
        Ok(())
    }

    async fn members(
        &self,
        org: &str,
        month: Month,
        ids: BTreeSet<String>,
    ) -> Result<HashMap<String, String>, InboxError> {
        let rows = sessions::rows_by_id(&*self.objects, org, month, ids).await?;
        // A retracted row says that the month before has the fact, of the same member.
        Ok(rows.into_iter().map(|row| (row.id.to_string(), row.member.name)).collect())
    }
}
