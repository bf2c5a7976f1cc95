//! The function `work`: carries out the orders of webhooks, and repairs what webhooks missed.

mod command;
mod handler;

use gam_aws::Queue;
use gam_functions::{ClientProvider, LambdaContext, MessageSettlement, environment, run, start_logging};

use handler::Worker;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    start_logging();
    let worker = start().await?;
    run(async |event, deadline_ms| worker.handle(event, deadline_ms).await).await
}

async fn start() -> anyhow::Result<Worker> {
    let context = LambdaContext::load().await?;
    let settlement = MessageSettlement::load(&context.config, "HOOK_QUEUE_URL", "HOOK_DEAD_LETTERS_URL")?;
    let collector = Queue::new(&context.config, &environment::required("WORK_QUEUE_URL")?);
    let clients = ClientProvider::load(&context.config)?;
    Worker::new(context, settlement, collector, clients)
}
