//! Messages of a queue or of a direct invocation, and how they are settled.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::bail;
use aws_lambda_events::event::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent, SqsMessage};
use gam_aws::queue::FIFO_SUFFIX;
use gam_aws::{GroupedMessage, Queue, SdkConfig};
use serde::Deserialize;
use serde_json::Value;

use crate::environment::required;

/// The visibility timeout of a message that failed for the first time. It doubles with every failure.
const MIN_RETRY_DELAY: Duration = Duration::from_secs(30);
/// Number of times that the retry delay is doubled at most.
const MAX_RETRY_DELAY_DOUBLINGS: u32 = 5;

/// Number of times that a command is requeued at most. Reading a repository of any size takes far fewer, and a
/// message must not circulate forever.
pub const MAX_REQUEUES: u32 = 1_000;

/// A message to process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Identifies the message in its queue. `None` if the function was invoked directly.
    pub receipt: Option<Receipt>,
    /// The text of the message.
    pub body: String,
}

/// Identifies a received message in its queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    id: String,
    handle: String,
    /// Number of times that the message was received.
    receive_count: u32,
    /// Whether the queue is a FIFO queue.
    is_fifo: bool,
}

impl Message {
    /// Returns whether the message comes from a FIFO queue.
    pub fn is_from_fifo_queue(&self) -> bool {
        self.receipt.as_ref().is_some_and(|receipt| receipt.is_fifo)
    }
}

/// The outcome of processing a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessageOutcome {
    /// Everything is done.
    Done,
    /// There is more to do: a new message takes the place of this one.
    Requeue {
        /// The text of the new message.
        body: String,
        /// How long the new message stays invisible.
        after: Duration,
    },
    /// The message failed, and trying again may help. It becomes visible in its queue again.
    Retry {
        /// Why it failed.
        reason: String,
    },
    /// The message can never succeed. It is moved to the dead-letter queue.
    DeadLetter {
        /// Why it failed.
        reason: String,
    },
}

impl MessageOutcome {
    /// Returns the outcome of a message that failed with an error.
    pub fn from_error(reason: String, is_transient: bool) -> Self {
        if is_transient { MessageOutcome::Retry { reason } } else { MessageOutcome::DeadLetter { reason } }
    }

    /// Requeues a command, given as the text of the new message. `None` means that it was requeued
    /// [`MAX_REQUEUES`] times, so it becomes a dead letter.
    pub fn requeue(body: Option<String>, after: Duration) -> Self {
        match body {
            Some(body) => MessageOutcome::Requeue { body, after },
            None => MessageOutcome::DeadLetter {
                reason: "requeued too often: find out in the log what keeps it from finishing".to_owned(),
            },
        }
    }
}

/// Returns the messages of an event of SQS. Any other event is one message: the event as JSON.
pub fn parse_event(event: Value) -> Vec<Message> {
    // Other events may have a field `Records` as well.
    let is_message = |record: &SqsMessage| {
        record.message_id.is_some() && record.body.as_ref().is_some_and(|body| !body.is_empty())
    };
    match SqsEvent::deserialize(&event) {
        Ok(event) if event.records.iter().all(is_message) => {
            event.records.into_iter().map(parse_record).collect()
        }
        _ => vec![Message { receipt: None, body: event.to_string() }],
    }
}

fn parse_record(record: SqsMessage) -> Message {
    let receive_count =
        record.attributes.get("ApproximateReceiveCount").and_then(|count| count.parse().ok()).unwrap_or(1);
    let receipt = Receipt {
        id: record.message_id.unwrap_or_default(),
        handle: record.receipt_handle.unwrap_or_default(),
        receive_count,
        is_fifo: record.event_source_arn.is_some_and(|arn| arn.ends_with(FIFO_SUFFIX)),
    };
    Message { receipt: Some(receipt), body: record.body.unwrap_or_default() }
}

/// The messages that take new bodies, by delay and new body. Messages that take the same one are requeued as one.
#[derive(Default)]
struct RequeuedMessages(BTreeMap<Duration, BTreeMap<String, Vec<Option<Receipt>>>>);

impl RequeuedMessages {
    fn push(&mut self, after: Duration, body: String, receipt: Option<Receipt>) {
        self.0.entry(after).or_default().entry(body).or_default().push(receipt);
    }
}

/// The result of settling the messages of an event.
#[derive(Debug, Default)]
pub struct SettledMessages {
    /// Number of messages that were sent to the dead-letter queue.
    pub dead_lettered: usize,
    /// Why the message of a direct invocation failed.
    pub failure: Option<String>,
    /// Messages that stay in their queue.
    unsettled: Vec<BatchItemFailure>,
}

impl SettledMessages {
    /// Returns the response of the function: the messages that stay in their queue.
    ///
    /// # Errors
    /// If the message of a direct invocation failed, so that the caller can try again.
    pub fn response(self) -> anyhow::Result<SqsBatchResponse> {
        if let Some(reason) = self.failure {
            bail!(reason);
        }
        let mut response = SqsBatchResponse::default();
        response.batch_item_failures = self.unsettled;
        Ok(response)
    }

    fn leave_unsettled(&mut self, receipt: Option<Receipt>, reason: String) {
        match receipt {
            Some(receipt) => {
                let mut failure = BatchItemFailure::default();
                failure.item_identifier = receipt.id;
                self.unsettled.push(failure);
            }
            None => self.failure = Some(reason),
        }
    }
}

/// Settles messages, with the queue that they come from and its dead-letter queue.
#[derive(Debug, Clone)]
pub struct MessageSettlement {
    queue: Queue,
    dead_letters: Queue,
}

impl MessageSettlement {
    /// Reads the URLs of the queue and of its dead-letter queue from two environment variables. Sends no request.
    ///
    /// # Errors
    /// If a variable is not set.
    pub fn load(
        config: &SdkConfig,
        queue_variable: &str,
        dead_letters_variable: &str,
    ) -> anyhow::Result<Self> {
        Ok(MessageSettlement {
            queue: Queue::new(config, &required(queue_variable)?),
            dead_letters: Queue::new(config, &required(dead_letters_variable)?),
        })
    }

    /// Sends messages to the queue.
    ///
    /// # Errors
    /// If the queue fails. Some of the messages may have been sent.
    pub async fn send(&self, bodies: &[String]) -> anyhow::Result<()> {
        Ok(self.queue.send(bodies, Duration::ZERO).await?)
    }

    /// Sends messages to the queue, which is a FIFO queue.
    ///
    /// # Errors
    /// If the queue fails. Some of the messages may have been sent.
    pub async fn send_grouped(&self, messages: &[GroupedMessage]) -> anyhow::Result<()> {
        Ok(self.queue.send_grouped(messages).await?)
    }

    /// Sends a dead letter with a reason that was logged already. Returns false if the queue fails.
    pub async fn send_dead_letter(&self, body: &str, reason: &str) -> bool {
        match self.dead_letters.send_with_reason(body, reason).await {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(%error, "cannot send a message to the dead-letter queue");
                false
            }
        }
    }

    /// Settles every message according to its outcome. If that fails, the message stays in its queue.
    pub async fn settle(&self, outcomes: Vec<(Message, MessageOutcome)>) -> SettledMessages {
        let mut settled = SettledMessages::default();
        let mut requeued = RequeuedMessages::default();
        for (message, outcome) in outcomes {
            match outcome {
                MessageOutcome::Done => {}
                MessageOutcome::Requeue { body, after } => {
                    requeued.push(after, body, message.receipt);
                }
                MessageOutcome::Retry { reason } => {
                    // The runtime logs the failure of a direct invocation, and reports it to the caller.
                    if let Some(receipt) = &message.receipt {
                        tracing::warn!(body = message.body, reason, "failed, will be tried again");
                        self.delay_retry(receipt).await;
                    }
                    settled.leave_unsettled(message.receipt, reason);
                }
                MessageOutcome::DeadLetter { reason } => {
                    tracing::error!(body = message.body, reason, "sent to the dead-letter queue");
                    if self.send_dead_letter(&message.body, &reason).await {
                        settled.dead_lettered += 1;
                    } else {
                        settled.leave_unsettled(message.receipt, reason);
                    }
                }
            }
        }
        for (after, messages) in requeued.0 {
            let (bodies, receipts): (Vec<_>, Vec<_>) = messages.into_iter().unzip();
            if let Err(error) = self.queue.send(&bodies, after).await {
                tracing::error!(%error, "cannot requeue messages");
                let receipts = receipts.into_iter().flatten();
                receipts.for_each(|receipt| settled.leave_unsettled(receipt, error.to_string()));
            }
        }
        settled
    }

    /// Makes a message that failed visible again soon, and later after every further failure.
    async fn delay_retry(&self, receipt: &Receipt) {
        let doublings = receipt.receive_count.saturating_sub(1).min(MAX_RETRY_DELAY_DOUBLINGS);
        let delay = MIN_RETRY_DELAY * 2_u32.pow(doublings);
        if let Err(error) = self.queue.change_visibility(&receipt.handle, delay).await {
            // The message then becomes visible after the visibility timeout of the queue.
            tracing::warn!(%error, "cannot change the visibility timeout of a message");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn receipt(id: &str, handle: &str, receive_count: u32) -> Receipt {
        Receipt { id: id.to_owned(), handle: handle.to_owned(), receive_count, is_fifo: false }
    }

    #[test]
    fn an_event_has_messages_of_a_queue_or_is_a_message() {
        let sqs_event = json!({"Records": [
            {"messageId": "1", "receiptHandle": "h1", "body": "a", "eventSource": "aws:sqs",
                "attributes": {}, "messageAttributes": {}},
            {"messageId": "2", "receiptHandle": "h2", "body": "b", "eventSource": "aws:sqs",
                "attributes": {"ApproximateReceiveCount": "3"}, "messageAttributes": {}},
        ]});
        let messages = parse_event(sqs_event);
        assert_eq!(messages[1], Message { receipt: Some(receipt("2", "h2", 3)), body: "b".into() });
        assert!(!messages[1].is_from_fifo_queue());
        let grouped = json!({"Records": [{
            "messageId": "1", "receiptHandle": "h1", "body": "a", "eventSource": "aws:sqs", "attributes": {},
            "messageAttributes": {}, "eventSourceARN": "arn:aws:sqs:us-east-1:1:months.fifo",
        }]});
        assert!(parse_event(grouped)[0].is_from_fifo_queue());
        for payload in [
            json!({"action": "plan"}),
            json!({}),
            json!(null),
            json!([1]),
            json!({"Records": "none"}),
            json!({"Records": [{}]}),
        ] {
            assert_eq!(parse_event(payload.clone()), [Message { receipt: None, body: payload.to_string() }]);
        }
    }

    #[test]
    fn messages_with_one_new_body_are_requeued_as_one() {
        let mut requeued = RequeuedMessages::default();
        for (id, after, body) in [("1", 0, "a"), ("2", 0, "b"), ("3", 0, "a"), ("4", 9, "a")] {
            requeued.push(Duration::from_secs(after), body.to_owned(), Some(receipt(id, "h", 1)));
        }
        let ids = |receipts: Vec<Option<Receipt>>| {
            receipts.into_iter().flatten().map(|receipt| receipt.id).collect::<String>()
        };
        let groups: Vec<_> = requeued
            .0
            .into_iter()
            .flat_map(|(after, messages)| {
                messages.into_iter().map(move |(body, receipts)| (after.as_secs(), body, ids(receipts)))
            })
            .collect();
        let group = |after, body: &str, ids: &str| (after, body.to_owned(), ids.to_owned());
        assert_eq!(groups, [group(0, "a", "13"), group(0, "b", "2"), group(9, "a", "4")]);
    }

    #[test]
    fn failures_are_reported_to_the_queue_or_to_the_caller() {
        let mut settled = SettledMessages::default();
        settled.leave_unsettled(Some(receipt("7", "h7", 1)), "reason".into());
        let response = serde_json::to_value(settled.response().unwrap()).unwrap();
        assert_eq!(response, json!({"batchItemFailures": [{"itemIdentifier": "7"}]}));
        let mut settled = SettledMessages::default();
        settled.leave_unsettled(None, "the store is busy".into());
        assert_eq!(settled.response().unwrap_err().to_string(), "the store is busy");
    }
}
