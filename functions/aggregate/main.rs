//! The function `aggregate`. Events of S3 say which organizations have new batches in the inbox. On a schedule it
//! sweeps all organizations, for what events missed. A rebuild and a change of rules send one message a month to a queue
//! of their own, so that months are folded side by side.

mod command;
mod handler;

use gam_functions::{LambdaContext, MessageSettlement, run, start_logging};

use handler::Aggregator;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    start_logging();
    let aggregator = start().await?;
    aggregator.warm_up().await;
    run(async |event, deadline_ms| aggregator.handle(event, deadline_ms).await).await
}

async fn start() -> anyhow::Result<Aggregator> {
    let context = LambdaContext::load().await?;
    let settlement = MessageSettlement::load(&context.config, "INBOX_QUEUE_URL", "INBOX_DEAD_LETTERS_URL")?;
    let months = MessageSettlement::load(&context.config, "MONTH_QUEUE_URL", "MONTH_DEAD_LETTERS_URL")?;
    Aggregator::new(context, settlement, months)
}
