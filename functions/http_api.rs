//! The HTTP API behind API Gateway, with the same router as `serve`. Two functions serve it: `api` reads, and `gate`
//! changes tasks, with a role that may.

use std::sync::Arc;

use anyhow::bail;
use gam_access::{Principal, Role};
use gam_aws::CachedSecret;
use gam_http::{AccessControl, AllowedOrigins, Router, TokenError, TokenSource, guarded_router};
use gam_store::NameStore;

use crate::{LambdaContext, environment};

/// Reads the environment, and returns the router of the HTTP API. `role` is that of callers whose signed requests API
/// Gateway lets through.
///
/// # Errors
/// If a variable is missing or invalid.
pub async fn load_router(role: Role) -> anyhow::Result<Router> {
    let context = LambdaContext::load().await?;
    let access = environment::required("ACCESS")?;
    let secret = match access.as_str() {
        // API Gateway has checked the signature.
        "iam" => None,
        "bearer" => Some(CachedSecret::new(&context.config, &environment::required("ACCESS_TOKEN_SECRET")?)),
        other => bail!("invalid ACCESS {other:?}: expected bearer or iam"),
    };
    warm_up(&context, secret.as_ref()).await;
    let access = match secret {
        None => AccessControl::trusted(Principal::trusted("host", role)),
        // Tokens of the store have the role that they were created with.
        Some(secret) => AccessControl::tokens(context.tokens())
            .with_host_token(bearer_token(secret), Role::Viewer)
            .with_refusal_log(context.refusal_log()),
    };
    // API Gateway answers for CORS.
    Ok(guarded_router(context.api_ports(), access, AllowedOrigins::default()))
}

/// Opens connections during the cold start, so that no request waits for them.
async fn warm_up(context: &LambdaContext, secret: Option<&CachedSecret>) {
    let token = async {
        match secret {
            Some(secret) => secret.get().await.map(drop),
            None => Ok(()),
        }
    };
    let (store, registry, token) = tokio::join!(context.store.orgs(), context.registry.get(), token);
    if let Err(error) = store {
        tracing::warn!(%error, "cannot reach the store yet");
    }
    if let Err(error) = registry {
        tracing::warn!(%error, "cannot read the registry of organizations yet");
    }
    if let Err(error) = token {
        tracing::warn!(%error, "cannot read the token yet");
    }
}

/// Returns how to read the bearer token of the deployment, which lets callers read. It is at most five minutes old.
fn bearer_token(secret: CachedSecret) -> TokenSource {
    Arc::new(move || {
        let secret = secret.clone();
        Box::pin(async move {
            let text = secret.get().await.map_err(|error| TokenError(Box::new(error)))?;
            Ok(gam_aws::secret::parse_token(&text))
        })
    })
}
