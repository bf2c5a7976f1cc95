//! The function `webhook`: takes the webhooks of GitHub. It verifies the signature, sends an order to the queue `hooks`,
//! and only then answers with success. It reaches neither the store, nor the lake, nor GitHub.

use std::sync::Arc;

use gam_aws::{CachedSecret, Queue};
use gam_functions::context::load_config;
use gam_functions::webhooks::{HookQueue, answer, secret_source};
use gam_functions::{MetricLog, environment, start_logging};
use gam_http::{Router, WebhookPorts, webhook_router};
use gam_model::SystemClock;
use lambda_http::service_fn;

#[tokio::main]
async fn main() -> Result<(), lambda_http::Error> {
    start_logging();
    let (router, metrics) = start().await?;
    lambda_http::run(service_fn(async |request| answer(&router, &metrics, &SystemClock, request).await)).await
}

async fn start() -> anyhow::Result<(Router, MetricLog)> {
    let (secret, queue) =
        (environment::required("WEBHOOK_SECRET")?, environment::required("HOOK_QUEUE_URL")?);
    let metrics = MetricLog::new(environment::required("STACK_NAME")?);
    let config = load_config().await;
    let secret = CachedSecret::new(&config, &secret);
    // The first delivery need not wait for it.
    if let Err(error) = secret.get().await {
        tracing::warn!(%error, "cannot read the secret of webhooks yet");
    }
    let ports = WebhookPorts {
        queue: Arc::new(HookQueue(Queue::new(&config, &queue))),
        secrets: secret_source(secret),
        clock: Arc::new(SystemClock),
    };
    Ok((webhook_router(ports), metrics))
}
