//! The HTTP API behind API Gateway, with the same router as `serve`. Four functions serve it: `api` reads, `gate` changes
//! tasks and actions and knows the key of approvers' links, `sessions` takes session events, and `log` shows the audit log.
//! Each has a role that may do this, and no more.

use std::sync::Arc;

use anyhow::bail;
use gam_access::{Principal, Role};
use gam_aws::CachedSecret;
use gam_http::{
    AccessControl, AllowedOrigins, HostPrincipal, Router, TokenError, TokenSource, guarded_router,
    with_notifications, with_pushed_sessions,
};
use gam_store::NameStore;
use lambda_http::request::RequestContext;
use lambda_http::tower::ServiceExt as _;
use lambda_http::{Request, RequestExt as _, service_fn};

use crate::{LambdaContext, environment};

/// The routes that API Gateway sends to a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServedRoutes {
    /// Those that read, but not the audit log.
    Reading,
    /// Those that change tasks and actions.
    Changing,
    /// The one that takes session events.
    Sessions,
    /// Those of the audit log.
    AuditLog,
}

impl ServedRoutes {
    /// Returns the role of a caller whose signed request for a path API Gateway lets through. IAM policies name routes, so
    /// whoever may call one has the role for it.
    fn role_of(self, path: &str) -> Role {
        match self {
            ServedRoutes::Reading => Role::Viewer,
            ServedRoutes::AuditLog => Role::Auditor,
            ServedRoutes::Sessions => Role::Worker,
            ServedRoutes::Changing
                if path == "/api/v1/request-task" || path.starts_with("/api/v1/tasks/") =>
            {
                Role::Worker
            }
            ServedRoutes::Changing if path.starts_with("/api/v1/approvals/") || path.ends_with("/decide") => {
                Role::Approver
            }
            ServedRoutes::Changing => Role::Operator,
        }
    }
}

/// Reads the environment, and answers requests until Lambda ends the process.
///
/// # Errors
/// If a variable is missing or invalid, or the Lambda runtime fails.
pub async fn serve(routes: ServedRoutes) -> Result<(), lambda_http::Error> {
    let router = load_router(routes).await?;
    lambda_http::run(service_fn(move |mut request: Request| {
        if let Some(caller) = iam_caller(&request) {
            let principal = Principal::trusted(&caller, routes.role_of(request.uri().path()));
            request.extensions_mut().insert(HostPrincipal(principal));
        }
        router.clone().oneshot(request)
    }))
    .await
}

/// Returns who signed a request, if API Gateway has checked a signature: `iam:` and the unique id of the user or the role.
/// The name of a role's session is left out: the caller chooses it, so it proves nothing, and it can be an address.
fn iam_caller(request: &Request) -> Option<String> {
    let Some(RequestContext::ApiGatewayV2(context)) = request.request_context_ref() else { return None };
    let caller = context.authorizer.as_ref()?.iam.as_ref()?.caller_id.as_deref()?;
    let id = caller.split(':').next().filter(|id| !id.is_empty())?;
    Some(format!("iam:{id}"))
}

async fn load_router(routes: ServedRoutes) -> anyhow::Result<Router> {
    let context = LambdaContext::load().await?;
    let mut ports = context.api_ports();
    if routes == ServedRoutes::AuditLog {
        ports.log = Some(context.log_ports()?);
    }
    if routes == ServedRoutes::Changing
        && let Some(work) = &mut ports.work
    {
        work.links = context.approval_links().await;
    }
    let access = environment::required("ACCESS")?;
    let secret = match access.as_str() {
        // API Gateway has checked the signature.
        "iam" => None,
        "bearer" => Some(CachedSecret::new(&context.config, &environment::required("ACCESS_TOKEN_SECRET")?)),
        other => bail!("invalid ACCESS {other:?}: expected bearer or iam"),
    };
    warm_up(&context, secret.as_ref()).await;
    let access = match secret {
        // It has also said who the caller is; without that the sender may do nothing but read.
        None => AccessControl::trusted(Principal::trusted("host", Role::Viewer)),
        // Tokens of the store have the role that they were created with.
        Some(secret) => AccessControl::tokens(context.tokens())
            .with_host_token(bearer_token(secret), Role::Viewer)
            .with_refusal_log(context.refusal_log()),
    };
    // API Gateway answers for CORS.
    let router = guarded_router(ports, access, AllowedOrigins::default());
    Ok(match routes {
        ServedRoutes::Sessions => with_pushed_sessions(router, context.pushed_sessions()),
        ServedRoutes::Reading if environment::optional("NOTIFICATIONS").is_some() => {
            with_notifications(router, context.notification_ports())
        }
        ServedRoutes::Reading | ServedRoutes::Changing | ServedRoutes::AuditLog => router,
    })
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn event(caller: &Value) -> Request {
        let event = json!({
            "version": "2.0", "routeKey": "$default", "rawPath": "/api/v1/orgs", "rawQueryString": "",
            "headers": { "host": "api.example" },
            "requestContext": {
                "accountId": "1", "apiId": "a", "domainName": "api.example", "requestId": "1", "routeKey": "$default",
                "stage": "$default", "time": "20/Feb/2024:04:00:00 +0000", "timeEpoch": 1_708_401_600_000_i64,
                "http": {
                    "method": "GET", "path": "/api/v1/orgs", "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1",
                    "userAgent": "test",
                },
                "authorizer": caller,
            },
            "isBase64Encoded": false,
        });
        lambda_http::request::from_str(&event.to_string()).expect("an event of API Gateway")
    }

    #[test]
    fn a_signed_request_has_the_unique_id_of_its_caller() {
        let signed =
            |id: &str| event(&json!({ "iam": { "callerId": id, "userArn": "arn:aws:iam::1:user/x" } }));
        assert_eq!(iam_caller(&signed("AIDAEXAMPLE")).as_deref(), Some("iam:AIDAEXAMPLE"));
        let session = signed("AROAEXAMPLE:ann@example.com");
        assert_eq!(iam_caller(&session).as_deref(), Some("iam:AROAEXAMPLE"), "its session is its own choice");
        for caller in [json!(null), json!({}), json!({ "iam": { "callerId": "" } })] {
            assert_eq!(iam_caller(&event(&caller)), None, "{caller}");
        }
    }

    #[test]
    fn the_route_gives_the_caller_of_a_signed_request_a_role() {
        for (routes, path, role) in [
            (ServedRoutes::Reading, "/api/v1/create-issue", Role::Viewer),
            (ServedRoutes::AuditLog, "/api/v1/log", Role::Auditor),
            (ServedRoutes::Sessions, "/api/v1/sessions", Role::Worker),
            (ServedRoutes::Changing, "/api/v1/request-task", Role::Worker),
            (ServedRoutes::Changing, "/api/v1/tasks/1/heartbeat", Role::Worker),
            (ServedRoutes::Changing, "/create-issue", Role::Operator),
            (ServedRoutes::Changing, "/api/v1/approve-merge-pr", Role::Operator),
            (ServedRoutes::Changing, "/api/v1/actions/x/retry", Role::Operator),
            (ServedRoutes::Changing, "/orgs/acme/actions/merge", Role::Operator),
            (ServedRoutes::Changing, "/api/v1/approvals/x/approve", Role::Approver),
            (ServedRoutes::Changing, "/orgs/acme/actions/x/decide", Role::Approver),
        ] {
            assert_eq!(routes.role_of(path), role, "{path}");
        }
    }
}
