//! The function `api`: the same router as everywhere, behind API Gateway.

use std::sync::Arc;

use anyhow::bail;
use gam_aws::Secret;
use gam_functions::{LambdaContext, environment, start_logging};
use gam_http::{Router, TokenError, TokenSource, guarded_router, router};
use gam_query::QueryPorts;
use gam_store::NameStore;

#[tokio::main]
async fn main() -> Result<(), lambda_http::Error> {
    start_logging();
    let router = start().await?;
    lambda_http::run(router).await
}

async fn start() -> anyhow::Result<Router> {
    let context = LambdaContext::load().await?;
    let access = environment::required("ACCESS")?;
    let secret = match access.as_str() {
        // The gateway has checked the signature.
        "iam" => None,
        "bearer" => Some(Secret::new(&context.config, &environment::required("ACCESS_TOKEN_SECRET")?)),
        other => bail!("ACCESS {other:?} is not known: set it to bearer or iam"),
    };
    let ports = warm(&context, secret.as_ref()).await?;
    Ok(match secret {
        None => router(ports),
        Some(secret) => guarded_router(ports, token(secret)),
    })
}

/// Opens the connections that every request needs, and reads what does not change from one to the next.
///
/// # Errors
/// Where bots and aliases cannot be read: without them the answers would be others, for as long as this runs.
async fn warm(context: &LambdaContext, secret: Option<&Secret>) -> anyhow::Result<QueryPorts> {
    let token = async {
        match secret {
            Some(secret) => secret.get().await.map(drop),
            None => Ok(()),
        }
    };
    let (store, identity, token) = tokio::join!(context.store.orgs(), context.identity(), token);
    if let Err(error) = store {
        tracing::warn!(%error, "the store does not answer yet");
    }
    if let Err(error) = token {
        tracing::warn!(%error, "the token cannot be read yet");
    }
    Ok(context.query_ports(identity?))
}

/// The token that callers have to show, as it was a few minutes ago at most.
fn token(secret: Secret) -> TokenSource {
    Arc::new(move || {
        let secret = secret.clone();
        Box::pin(async move {
            let text = secret.get().await.map_err(|error| TokenError(Box::new(error)))?;
            Ok(gam_aws::secret::token(&text))
        })
    })
}
