//! How the function `gate` wakes the function `act`, which does actions on GitHub.

use std::error::Error;

use async_trait::async_trait;
use gam_aws::Queue;
use gam_work::actions::ActionWaker;

/// The message that has the function `act` do what is due.
pub const RUN_ACTIONS: &str = "{\"action\":\"run\"}";

/// The queue of the function `act`. Actions are in the store: a message only says that there is work.
pub struct QueueWaker(pub Queue);

#[async_trait]
impl ActionWaker for QueueWaker {
    async fn wake(&self) -> Result<(), Box<dyn Error + Send + Sync>> {
        Ok(self.0.send_one(RUN_ACTIONS).await?)
    }
}
