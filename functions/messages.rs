//! Messages: from a queue, or from whoever calls the function; and how they are settled.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::bail;
use aws_lambda_events::event::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent, SqsMessage};
use gam_aws::Queue;
use serde::Deserialize;
use serde_json::Value;

/// After which delay a message that has failed comes back, and how often that delay is doubled at most.
const FIRST_DELAY: Duration = Duration::from_secs(30);
const LAST_DOUBLING: u32 = 5;

/// A message to work on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// How the queue knows it; absent where the function was called with it.
    pub receipt: Option<Receipt>,
    /// What it says.
    pub body: String,
}

/// How a queue knows a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    id: String,
    handle: String,
    /// How often the message was received.
    count: u32,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Everything is done.
    Done,
    /// There is more to do: this is to be received again, after the delay at the earliest.
    Again {
        /// The message to come.
        body: String,
        /// The delay.
        after: Duration,
    },
    /// It failed, and trying again may help.
    Retry {
        /// Why.
        why: String,
    },
    /// It can never work.
    Aside {
        /// Why.
        why: String,
    },
}

impl Outcome {
    /// What an error makes of a message.
    pub fn of_error(why: String, is_transient: bool) -> Self {
        if is_transient { Outcome::Retry { why } } else { Outcome::Aside { why } }
    }
}

/// The messages of an event: those of a queue, or the event itself.
pub fn of_event(event: Value) -> Vec<Message> {
    // Whatever else has records is no event of a queue, and is one message as it is.
    let is_message = |record: &SqsMessage| {
        record.message_id.is_some() && record.body.as_ref().is_some_and(|body| !body.is_empty())
    };
    match SqsEvent::deserialize(&event) {
        Ok(event) if event.records.iter().all(is_message) => {
            event.records.into_iter().map(of_record).collect()
        }
        _ => vec![Message { receipt: None, body: event.to_string() }],
    }
}

fn of_record(record: SqsMessage) -> Message {
    let count =
        record.attributes.get("ApproximateReceiveCount").and_then(|count| count.parse().ok()).unwrap_or(1);
    let receipt = Receipt {
        id: record.message_id.unwrap_or_default(),
        handle: record.receipt_handle.unwrap_or_default(),
        count,
    };
    Message { receipt: Some(receipt), body: record.body.unwrap_or_default() }
}

/// Settles messages: the queue they come from, and where they are set aside.
#[derive(Debug, Clone)]
pub struct Settler {
    queue: Queue,
    aside: Queue,
}

/// What the settling of an event's messages came to.
#[derive(Debug, Default)]
pub struct Settled {
    /// How many were set aside.
    pub set_aside: usize,
    /// Why a message that the function was called with failed.
    pub failure: Option<String>,
    left: Vec<BatchItemFailure>,
}

impl Settled {
    /// The answer of the function: which messages of the queue are to be delivered again.
    ///
    /// # Errors
    /// Where the function was called with a message that failed, for the caller to try again.
    pub fn answer(self) -> anyhow::Result<SqsBatchResponse> {
        if let Some(why) = self.failure {
            bail!(why);
        }
        let mut answer = SqsBatchResponse::default();
        answer.batch_item_failures = self.left;
        Ok(answer)
    }

    fn leave(&mut self, receipt: Option<Receipt>, why: String) {
        match receipt {
            Some(receipt) => {
                let mut failure = BatchItemFailure::default();
                failure.item_identifier = receipt.id;
                self.left.push(failure);
            }
            None => self.failure = Some(why),
        }
    }
}

impl Settler {
    /// A settler for messages of that queue.
    pub fn new(queue: Queue, aside: Queue) -> Self {
        Settler { queue, aside }
    }

    /// Sends messages to the queue.
    ///
    /// # Errors
    /// Where the queue fails; some of them may have been sent.
    pub async fn send(&self, bodies: &[String]) -> anyhow::Result<()> {
        Ok(self.queue.send(bodies, Duration::ZERO).await?)
    }

    /// Sets a text aside with the reason; where that fails it is in the log at least.
    pub async fn set_aside(&self, body: &str, why: &str) -> bool {
        tracing::error!(body, why, "set aside");
        self.put_aside(body, why).await
    }

    /// The same of what is in the log already.
    pub async fn put_aside(&self, body: &str, why: &str) -> bool {
        match self.aside.set_aside(body, why).await {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(%error, "a message could not be set aside");
                false
            }
        }
    }

    /// Lets a message that has failed come back soon, and later each time.
    async fn give_back(&self, receipt: &Receipt) {
        let delay = FIRST_DELAY * 2_u32.pow(receipt.count.saturating_sub(1).min(LAST_DOUBLING));
        if let Err(error) = self.queue.give_back(&receipt.handle, delay).await {
            // Then it comes back when the queue's own time is over.
            tracing::warn!(%error, "a message could not be given back");
        }
    }

    /// Settles every message as it has turned out; what cannot be settled so is left in its queue.
    pub async fn settle(&self, outcomes: Vec<(Message, Outcome)>) -> Settled {
        let mut settled = Settled::default();
        let mut again: BTreeMap<Duration, Vec<(Option<Receipt>, String)>> = BTreeMap::new();
        for (message, outcome) in outcomes {
            match outcome {
                Outcome::Done => {}
                Outcome::Again { body, after } => {
                    again.entry(after).or_default().push((message.receipt, body))
                }
                Outcome::Retry { why } => {
                    // Whoever called the function is told by the runtime, which logs it, too.
                    if let Some(receipt) = &message.receipt {
                        tracing::warn!(body = message.body, why, "failed, to be tried again");
                        self.give_back(receipt).await;
                    }
                    settled.leave(message.receipt, why);
                }
                Outcome::Aside { why } => {
                    if self.set_aside(&message.body, &why).await {
                        settled.set_aside += 1;
                    } else {
                        settled.leave(message.receipt, why);
                    }
                }
            }
        }
        for (after, messages) in again {
            let (receipts, bodies): (Vec<_>, Vec<_>) = messages.into_iter().unzip();
            if let Err(error) = self.queue.send(&bodies, after).await {
                tracing::error!(%error, "messages could not be put back");
                receipts.into_iter().for_each(|receipt| settled.leave(receipt, error.to_string()));
            }
        }
        settled
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn receipt(id: &str, handle: &str, count: u32) -> Receipt {
        Receipt { id: id.to_owned(), handle: handle.to_owned(), count }
    }

    #[test]
    fn an_event_is_of_a_queue_or_a_message_itself() {
        let of_queue = json!({"Records": [
            {"messageId": "1", "receiptHandle": "h1", "body": "a", "eventSource": "aws:sqs",
                "attributes": {}, "messageAttributes": {}},
            {"messageId": "2", "receiptHandle": "h2", "body": "b", "eventSource": "aws:sqs",
                "attributes": {"ApproximateReceiveCount": "3"}, "messageAttributes": {}},
        ]});
        let found = of_event(of_queue);
        assert_eq!(found[1], Message { receipt: Some(receipt("2", "h2", 3)), body: "b".into() });
        for called in [
            json!({"action": "plan"}),
            json!({}),
            json!(null),
            json!([1]),
            json!({"Records": "none"}),
            json!({"Records": [{}]}),
        ] {
            assert_eq!(of_event(called.clone()), [Message { receipt: None, body: called.to_string() }]);
        }
    }

    #[test]
    fn a_caller_hears_of_a_failure_and_a_queue_of_what_to_deliver_again() {
        let mut settled = Settled::default();
        settled.leave(Some(receipt("7", "h7", 1)), "why".into());
        let answer = serde_json::to_value(settled.answer().unwrap()).unwrap();
        assert_eq!(answer, json!({"batchItemFailures": [{"itemIdentifier": "7"}]}));
        let mut settled = Settled::default();
        settled.leave(None, "the store is busy".into());
        assert_eq!(settled.answer().unwrap_err().to_string(), "the store is busy");
    }
}
