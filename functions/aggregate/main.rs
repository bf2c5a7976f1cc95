//! The function `aggregate`: events of the bucket say which organizations have something in the inbox,
//! and the schedule sweeps all of them for what was left behind.

mod handler;
mod order;

use gam_functions::{LambdaContext, Settler, environment, start_logging};
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;

use handler::Aggregator;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    start_logging();
    let aggregator = start().await?;
    aggregator.warm().await;
    let aggregator = &aggregator;
    lambda_runtime::run(service_fn(async move |event: LambdaEvent<Value>| {
        Ok::<_, lambda_runtime::Error>(aggregator.handle(event.payload, event.context.deadline).await?)
    }))
    .await
}

async fn start() -> anyhow::Result<Aggregator> {
    let context = LambdaContext::load().await?;
    let queue =
        |name| Ok::<_, anyhow::Error>(gam_aws::Queue::new(&context.config, &environment::required(name)?));
    let settler = Settler::new(queue("INBOX_QUEUE_URL")?, queue("INBOX_DEAD_LETTERS_URL")?);
    Aggregator::new(context, settler)
}
