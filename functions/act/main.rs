//! The function `act`: does actions on GitHub. It is the only one that may write there.

mod handler;

use gam_functions::{ClientProvider, LambdaContext, MessageSettlement, run, start_logging};

use handler::Actor;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    start_logging();
    let actor = start().await?;
    run(async |event, deadline_ms| actor.handle(event, deadline_ms).await).await
}

async fn start() -> anyhow::Result<Actor> {
    let context = LambdaContext::load().await?;
    let settlement = MessageSettlement::load(&context.config, "ACTION_QUEUE_URL", "ACTION_DEAD_LETTERS_URL")?;
    let clients = ClientProvider::load_for_writing(&context.config)?;
    Ok(Actor::new(context, settlement, clients))
}
