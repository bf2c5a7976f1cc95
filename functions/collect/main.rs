//! The function `collect`. On a schedule it plans a collection and sends one message per repository. It then
//! processes each of these messages until its repository is read, in several invocations if necessary.

mod handler;

use gam_functions::{ClientProvider, LambdaContext, MessageSettlement, run, start_logging};

use handler::Collector;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    start_logging();
    let collector = start().await?;
    collector.warm_up().await;
    run(async |event, deadline_ms| collector.handle(event, deadline_ms).await).await
}

async fn start() -> anyhow::Result<Collector> {
    let context = LambdaContext::load().await?;
    let settlement = MessageSettlement::load(&context.config, "WORK_QUEUE_URL", "WORK_DEAD_LETTERS_URL")?;
    let clients = ClientProvider::load(&context.config)?;
    Collector::new(context, settlement, clients)
}
