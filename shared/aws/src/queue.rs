//! Queues that functions hand work on with, and where they put aside what can never work.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::MessageAttributeValue;
use futures::StreamExt;

use crate::failure::Failure;

/// The longest delay that SQS takes.
const LONGEST_DELAY: Duration = Duration::from_secs(900);
/// How many requests are in flight.
const IN_FLIGHT: usize = 16;
/// SQS refuses longer attributes with the body; a reason needs no more.
const LONGEST_REASON: usize = 1_000;

/// Why a message could not be sent.
#[derive(Debug, thiserror::Error)]
#[error("sending to a queue failed: {0}")]
pub struct QueueError(String);

/// A queue to send to.
#[derive(Debug, Clone)]
pub struct Queue {
    client: Client,
    url: String,
}

impl Queue {
    /// The queue at that URL. It sends nothing.
    pub fn new(config: &SdkConfig, url: &str) -> Self {
        Queue { client: Client::new(config), url: url.to_owned() }
    }

    /// Sends messages, each to be received after the delay at the earliest (15 minutes at most).
    ///
    /// # Errors
    /// Where the queue fails; some of them may have been sent.
    pub async fn send(&self, bodies: &[String], delay: Duration) -> Result<(), QueueError> {
        let delay_s = delay.min(LONGEST_DELAY).as_secs() as i32;
        let sends = bodies.iter().map(|body| {
            let request = self.client.send_message().queue_url(&self.url).message_body(body);
            request.delay_seconds(delay_s).send()
        });
        // One by one: the answer to a batch has to be looked through for what was refused.
        let mut sends = futures::stream::iter(sends).buffer_unordered(IN_FLIGHT);
        while let Some(sent) = sends.next().await {
            sent.map_err(|error| QueueError(Failure::of(&error).to_string()))?;
        }
        Ok(())
    }

    /// Lets a message that was received be received again after the delay, and not only when the time is
    /// over that the queue gives whoever has received it.
    ///
    /// # Errors
    /// Where the queue fails.
    pub async fn give_back(&self, receipt: &str, delay: Duration) -> Result<(), QueueError> {
        let request = self.client.change_message_visibility().queue_url(&self.url).receipt_handle(receipt);
        let request = request.visibility_timeout(delay.as_secs() as i32);
        request.send().await.map(drop).map_err(|error| QueueError(Failure::of(&error).to_string()))
    }

    /// Puts a message aside, with the reason as its attribute.
    ///
    /// # Errors
    /// Where the queue fails.
    pub async fn set_aside(&self, body: &str, reason: &str) -> Result<(), QueueError> {
        let reason: String = reason.chars().filter(|c| !c.is_control()).take(LONGEST_REASON).collect();
        let value = MessageAttributeValue::builder().data_type("String").string_value(reason);
        let value = value.build().map_err(|error| QueueError(error.to_string()))?;
        let request = self.client.send_message().queue_url(&self.url).message_body(body);
        let request = request.message_attributes("reason", value);
        request.send().await.map(drop).map_err(|error| QueueError(Failure::of(&error).to_string()))
    }
}
