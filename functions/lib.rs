//! What the functions share: clients and settings, and how messages are received and settled. Each function is a
//! thin binary on top: it decodes the event, calls a use case and encodes the response.
//!
//! The functions guarantee:
//! * Every message has one of four outcomes, whatever it contains: it is done, requeued because there is more to
//!   do, left in its queue because trying again may help, or sent to the dead-letter queue with the reason. No
//!   message is lost, and none blocks the others.
//! * A function never sleeps for long, and saves what it has done before its deadline.
//! * Messages may arrive twice, late and in any order.
//!
//! This crate does not know how anything is collected, merged or counted.

pub mod actions;
pub mod channel_secrets;
pub mod client_provider;
pub mod collect_command;
pub mod context;
pub mod deadline;
pub mod environment;
pub mod http_api;
pub mod messages;
pub mod metrics;
pub mod webhooks;

use lambda_runtime::{LambdaEvent, service_fn};
use serde::Serialize;
use serde_json::Value;

pub use client_provider::{ClientError, ClientProvider};
pub use collect_command::{Attempts, CollectCommand};
pub use context::LambdaContext;
pub use deadline::Deadline;
pub use messages::{MAX_REQUEUES, Message, MessageOutcome, MessageSettlement};
pub use metrics::{FunctionMetric, MetricLog};

/// Runs a function that receives messages or commands. Calls `handle` for every invocation, with the event and the
/// deadline in milliseconds since the Unix epoch. The response to messages of a queue is a [`SqsBatchResponse`].
///
/// [`SqsBatchResponse`]: aws_lambda_events::event::sqs::SqsBatchResponse
///
/// # Errors
/// If the Lambda runtime fails.
pub async fn run<T: Serialize>(
    handle: impl AsyncFn(Value, u64) -> anyhow::Result<T>,
) -> Result<(), lambda_runtime::Error> {
    let handle = &handle;
    lambda_runtime::run(service_fn(async move |event: LambdaEvent<Value>| {
        Ok::<_, lambda_runtime::Error>(handle(event.payload, event.context.deadline).await?)
    }))
    .await
}

/// Writes logs as JSON lines to stdout, where Lambda reads them. `RUST_LOG` sets the level, which is INFO by
/// default.
pub fn start_logging() {
    use tracing_subscriber::filter::{LevelFilter, Targets};
    use tracing_subscriber::prelude::*;
    let filter = environment::optional("RUST_LOG").and_then(|text| text.parse::<Targets>().ok());
    let filter = filter.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stdout)
        .json()
        .flatten_event(true)
        .with_span_list(false);
    // A second call fails because the subscriber of the first one is installed, which is fine.
    let _ = tracing_subscriber::registry().with(lines).with(filter).try_init();
}
