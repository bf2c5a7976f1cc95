//! The function `notify`: sends people what needs them, and digests. It reads the audit log and metrics, and changes
//! nothing but what channels have to send.

mod handler;

use std::sync::Arc;

use anyhow::anyhow;
use gam_functions::channel_secrets::StoredSecrets;
use gam_functions::{LambdaContext, environment, run, start_logging};
use gam_notify_ports::NetTransport;

use handler::Sender;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    start_logging();
    let sender = start().await?;
    run(async |event, deadline_ms| sender.handle(&event, deadline_ms).await).await
}

async fn start() -> anyhow::Result<Sender> {
    let context = LambdaContext::load().await?;
    let prefix = environment::required("NOTIFY_SECRETS")?;
    let secrets = Arc::new(StoredSecrets::new(&context.config, prefix));
    let ports = context.notify_ports(secrets.clone()).await?;
    let transport = NetTransport::new().map_err(|why| anyhow!("cannot create a client of HTTP: {why}"))?;
    Ok(Sender::new(context, ports, secrets, Arc::new(transport)))
}
