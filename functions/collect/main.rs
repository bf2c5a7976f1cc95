//! The function `collect`: a plan, made by the schedule, hands out one message a repository; each
//! message is worked on until it is done, over several invocations where it has to be.

mod handler;
mod order;
mod sign_in;

use gam_functions::{LambdaContext, Settler, environment, start_logging};
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;

use handler::Collector;
use sign_in::SignIn;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    start_logging();
    let collector = start().await?;
    collector.warm().await;
    let collector = &collector;
    lambda_runtime::run(service_fn(async move |event: LambdaEvent<Value>| {
        Ok::<_, lambda_runtime::Error>(collector.handle(event.payload, event.context.deadline).await?)
    }))
    .await
}

async fn start() -> anyhow::Result<Collector> {
    let context = LambdaContext::load().await?;
    let queue =
        |name| Ok::<_, anyhow::Error>(gam_aws::Queue::new(&context.config, &environment::required(name)?));
    let settler = Settler::new(queue("WORK_QUEUE_URL")?, queue("WORK_DEAD_LETTERS_URL")?);
    let sign_in = SignIn::load(&context.config)?;
    Collector::new(context, settler, sign_in)
}
