//! The function `audit`: moves rows of the audit log from the store to segments in a bucket from which nobody can delete.

mod handler;

use gam_functions::{LambdaContext, environment, run, start_logging};

use handler::Drainer;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    start_logging();
    let drainer = start().await?;
    run(async |event, deadline_ms| drainer.handle(&event, deadline_ms).await).await
}

async fn start() -> anyhow::Result<Drainer> {
    let context = LambdaContext::load().await?;
    let ports = context.audit_ports()?;
    Ok(Drainer::new(context, ports, environment::organizations()?, environment::optional("GITHUB_OWNER")))
}
