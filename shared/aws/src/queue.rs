//! SQS queues: the queues that functions take messages from, and their dead-letter queues.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::MessageAttributeValue;
use futures::StreamExt;

use crate::service_error::ServiceError;

/// The longest delay that SQS accepts.
const MAX_DELAY: Duration = Duration::from_secs(900);
/// Number of requests that one call sends concurrently at most.
const MAX_CONCURRENT_REQUESTS: usize = 16;
/// Length of a dead letter's reason. Body and attributes of a message share SQS's size limit.
const MAX_REASON_CHARS: usize = 1_000;

/// How the names of FIFO queues end, and of no other queues.
pub const FIFO_SUFFIX: &str = ".fifo";

/// A message for a FIFO queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupedMessage {
    /// The group: at most 128 letters, digits and punctuation characters.
    pub group: String,
    /// The text of the message.
    pub body: String,
}

/// Why a message could not be sent.
#[derive(Debug, thiserror::Error)]
#[error("cannot send to the queue: {0}")]
pub struct QueueError(String);

/// An SQS queue.
#[derive(Debug, Clone)]
pub struct Queue {
    client: Client,
    url: String,
}

impl Queue {
    /// Creates a client for the queue at a URL. Sends no request.
    pub fn new(config: &SdkConfig, url: &str) -> Self {
        Queue { client: Client::new(config), url: url.to_owned() }
    }

    /// Sends messages that become visible after `delay`, which is limited to 15 minutes.
    ///
    /// # Errors
    /// If the queue fails. Some of the messages may have been sent.
    pub async fn send(&self, bodies: &[String], delay: Duration) -> Result<(), QueueError> {
        let delay_s = delay.min(MAX_DELAY).as_secs() as i32;
        let sends = bodies.iter().map(|body| {
            let request = self.client.send_message().queue_url(&self.url).message_body(body);
            request.delay_seconds(delay_s).send()
        });
        // One request per message: a batch request can succeed although some of its messages were rejected.
        let mut sends = futures::stream::iter(sends).buffer_unordered(MAX_CONCURRENT_REQUESTS);
        while let Some(sent) = sends.next().await {
            sent.map_err(|error| QueueError(ServiceError::new(&error).to_string()))?;
        }
        Ok(())
    }

    /// Sends a message. SQS has stored it on several machines when this returns.
    ///
    /// # Errors
    /// If the queue fails. The message may have been sent.
    pub async fn send_one(&self, body: &str) -> Result<(), QueueError> {
        let request = self.client.send_message().queue_url(&self.url).message_body(body);
        request.send().await.map(drop).map_err(|error| QueueError(ServiceError::new(&error).to_string()))
    }

    /// Sends messages to a FIFO queue that takes the hash of a message's body as its deduplication id. Messages of
    /// one group are received one after the other.
    ///
    /// # Errors
    /// If the queue fails. Some of the messages may have been sent.
    pub async fn send_grouped(&self, messages: &[GroupedMessage]) -> Result<(), QueueError> {
        let sends = messages.iter().map(|GroupedMessage { group, body }| {
            let request = self.client.send_message().queue_url(&self.url).message_body(body);
            request.message_group_id(group).send()
        });
        let mut sends = futures::stream::iter(sends).buffer_unordered(MAX_CONCURRENT_REQUESTS);
        while let Some(sent) = sends.next().await {
            sent.map_err(|error| QueueError(ServiceError::new(&error).to_string()))?;
        }
        Ok(())
    }

    /// Sets the visibility timeout of a received message, so that it is received again after `delay`.
    ///
    /// # Errors
    /// If the queue fails.
    pub async fn change_visibility(&self, receipt: &str, delay: Duration) -> Result<(), QueueError> {
        let request = self.client.change_message_visibility().queue_url(&self.url).receipt_handle(receipt);
        let request = request.visibility_timeout(delay.as_secs() as i32);
        request.send().await.map(drop).map_err(|error| QueueError(ServiceError::new(&error).to_string()))
    }

    /// Sends a message with the attribute `reason`, as a dead letter.
    ///
    /// # Errors
    /// If the queue fails.
    pub async fn send_with_reason(&self, body: &str, reason: &str) -> Result<(), QueueError> {
        let reason: String = reason.chars().filter(|c| !c.is_control()).take(MAX_REASON_CHARS).collect();
        let value = MessageAttributeValue::builder().data_type("String").string_value(reason);
        let value = value.build().map_err(|error| QueueError(error.to_string()))?;
        let request = self.client.send_message().queue_url(&self.url).message_body(body);
        let request = request.message_attributes("reason", value);
        // The order of dead letters does not matter, and a FIFO queue wants a group.
        let group = self.url.ends_with(FIFO_SUFFIX).then(|| "dead-letters".to_owned());
        let request = request.set_message_group_id(group);
        request.send().await.map(drop).map_err(|error| QueueError(ServiceError::new(&error).to_string()))
    }
}
