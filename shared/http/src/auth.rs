//! Who may use a server. Every request passes [`check_access`], on every host.

mod credentials;
mod origin;
mod request_rate;
mod scope;
mod sign_in;

pub(crate) use credentials::{TOKEN_COOKIE, is_same_origin};
pub use origin::{OriginHasher, PeerAddress};
pub use request_rate::RequestRate;
pub(crate) use request_rate::RequestRates;
pub(crate) use scope::visible_orgs;
pub(crate) use sign_in::{LOCATION_OF_SIGN_IN, redirect_to_sign_in};

use std::convert::Infallible;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use gam_access::{Principal, RefusalLog, Role, RouteClass, TokenLookup, TokenSecret, Tokens};
use gam_model::error_chain;
use gam_query::QueryPorts;

use self::credentials::{Credentials, has_cookie};
use crate::error::{ApiError, Refusal};
use crate::middleware::hosts::{AllowedHosts, named_hosts};
use crate::routes;
use crate::throttled_warning::ThrottledWarning;

/// Returns a token that the host itself knows. It is called for each request, so a host can read the token again
/// from time to time.
pub type TokenSource = Arc<dyn Fn() -> BoxFuture<'static, Result<String, TokenError>> + Send + Sync>;

/// Why a [`TokenSource`] has no token.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the API's own token")]
pub struct TokenError(#[source] pub Box<dyn Error + Send + Sync>);

/// The sender of a request whom the host has recognized and checked, as an extension of the request. It counts only where
/// [`AccessControl::trusted`] lets every request through.
#[derive(Debug, Clone)]
pub struct HostPrincipal(pub Principal);

/// Decides who may use a server. Clones share what it counts.
#[derive(Clone)]
pub struct AccessControl {
    senders: Senders,
    rates: Arc<RequestRates>,
    warning: Arc<Mutex<ThrottledWarning>>,
    /// Counts refused requests. `None` if the host cannot write to the store.
    refusals: Option<RefusalLog>,
    /// Hashes the addresses of senders. `None` if the host knows none.
    origins: Option<OriginHasher>,
}

/// How senders are recognized.
#[derive(Clone)]
enum Senders {
    /// Somebody else has checked the sender.
    Trusted(Principal),
    /// By tokens.
    Tokens(TokenRules),
}

#[derive(Clone)]
struct TokenRules {
    tokens: Tokens,
    /// A token that the host knows, and its role.
    host_token: Option<(TokenSource, Role)>,
    /// While there is no token at all, everybody may read who addresses the server by one of these names. `None` if a
    /// token is always required.
    open_to: Option<AllowedHosts>,
    /// A token of this process alone, and its role. Unlike the others, it does not end that everybody may read.
    process_token: Option<(TokenSecret, Role)>,
}

impl AccessControl {
    /// Lets every request through, as from this principal. For callers that the host has checked itself, and for
    /// requests from within the process.
    pub fn trusted(principal: Principal) -> Self {
        Self::new(Senders::Trusted(principal))
    }

    /// Requires a token of the store.
    pub fn tokens(tokens: Tokens) -> Self {
        let rules = TokenRules { tokens, host_token: None, open_to: None, process_token: None };
        Self::new(Senders::Tokens(rules))
    }

    /// Takes a token that the host knows, too. Its holder has the role.
    #[must_use]
    pub fn with_host_token(mut self, source: TokenSource, role: Role) -> Self {
        if let Senders::Tokens(rules) = &mut self.senders {
            rules.host_token = Some((source, role));
        }
        self
    }

    /// Lets everybody read while the store never had a token, if they address the server by one of these names. For
    /// servers that only this machine reaches.
    #[must_use]
    pub fn open_without_tokens(mut self, hosts: AllowedHosts) -> Self {
        if let Senders::Tokens(rules) = &mut self.senders {
            rules.open_to = Some(hosts);
        }
        self
    }

    /// Takes a token that is valid as long as this process, too. Its holder has the role. Everybody else reads without a
    /// token as before, so a sample can be tried.
    #[must_use]
    pub fn with_process_token(mut self, secret: TokenSecret, role: Role) -> Self {
        if let Senders::Tokens(rules) = &mut self.senders {
            rules.process_token = Some((secret, role));
        }
        self
    }

    /// Sets how many requests each token may send.
    #[must_use]
    pub fn with_request_rate(self, rate: RequestRate) -> Self {
        AccessControl { rates: Arc::new(RequestRates::new(rate)), ..self }
    }

    /// Counts refused requests in the audit log.
    #[must_use]
    pub fn with_refusal_log(self, refusals: RefusalLog) -> Self {
        AccessControl { refusals: Some(refusals), ..self }
    }

    /// Adds the keyed hash of a sender's address to audit rows.
    #[must_use]
    pub fn with_origins(self, origins: OriginHasher) -> Self {
        AccessControl { origins: Some(origins), ..self }
    }

    fn new(senders: Senders) -> Self {
        AccessControl {
            origins: None,
            senders,
            rates: Arc::new(RequestRates::new(RequestRate::default())),
            warning: Arc::default(),
            refusals: None,
        }
    }

    /// Logs a warning once in a while if senders are refused. The log of requests has a line for each.
    fn warn_of(&self, error: &ApiError) {
        let Some(Refusal(reason)) = error.refusal() else { return };
        let mut warning = self.warning.lock().unwrap_or_else(PoisonError::into_inner);
        warning.warn(|count| format!("refused {count} requests, the last one because {reason}"));
    }

    /// Returns the response to a request that is not admitted. Refusals are logged and counted.
    async fn refuse(&self, error: ApiError, sender: Option<&str>, class: RouteClass) -> Response {
        self.warn_of(&error);
        if error.is_refused() {
            self.count_refusal(sender, class).await;
        }
        error.into_response()
    }

    /// Counts a refused request. If the store fails, the count is written later.
    pub(crate) async fn count_refusal(&self, sender: Option<&str>, class: RouteClass) {
        let Some(refusals) = &self.refusals else { return };
        if let Err(error) = refusals.count(sender, class).await {
            let mut warning = self.warning.lock().unwrap_or_else(PoisonError::into_inner);
            warning
                .warn(|_| format!("cannot count refused requests in the audit log: {}", error_chain(&error)));
        }
    }

    /// Writes the refusals that are not written yet, before the host ends.
    pub async fn flush_refusals(&self) {
        let Some(refusals) = &self.refusals else { return };
        if let Err(error) = refusals.flush().await {
            tracing::warn!("cannot count refused requests in the audit log: {}", error_chain(&error));
        }
    }

    /// Returns who sends a request to a route of the class, if the sender may; `None` if the route is public and nobody
    /// needs to know. `sender` becomes the id of a sender who is known, also if the request is refused.
    async fn admit(
        &self,
        parts: &mut Parts,
        class: RouteClass,
        ports: &QueryPorts,
        sender: &mut Option<String>,
    ) -> Result<Option<Principal>, ApiError> {
        let mut principal = match &self.senders {
            Senders::Trusted(principal) => match parts.extensions.get::<HostPrincipal>() {
                Some(HostPrincipal(recognized)) => recognized.clone(),
                None => principal.clone(),
            },
            Senders::Tokens(rules) => match rules.process_or_open_principal(parts).await? {
                Some(principal) => principal,
                None if class == RouteClass::Public => return Ok(None),
                None => rules.authenticate(parts).await?,
            },
        };
        *sender = Some(principal.id.clone());
        if principal.has_token {
            tracing::Span::current().record("principal", principal.id.as_str());
            self.rates.take(&principal.id).map_err(|seconds| {
                ApiError::too_many_requests(seconds).because("the token sends too many requests")
            })?;
        }
        if !principal.may(class) {
            return Err(ApiError::forbidden().because("the role does not include this route"));
        }
        scope::check(parts, &principal, ports).await?;
        principal.origin = self.origin_of(parts);
        Ok(Some(principal))
    }

    /// Returns the keyed hash of the address that a request came from, or `None` if the host knows none.
    fn origin_of(&self, parts: &Parts) -> Option<String> {
        self.origins.as_ref().and_then(|origins| origins.origin_of(parts))
    }

    /// Returns the tokens of the store, or `None` if the host checks senders itself.
    pub(crate) fn stored_tokens(&self) -> Option<&Tokens> {
        match &self.senders {
            Senders::Tokens(rules) => Some(&rules.tokens),
            Senders::Trusted(_) => None,
        }
    }

    /// Returns whether a request without a token is refused.
    ///
    /// # Errors
    /// If the store fails.
    pub(crate) async fn requires_token(&self) -> Result<bool, ApiError> {
        match &self.senders {
            Senders::Trusted(_) => Ok(false),
            Senders::Tokens(rules) => rules.requires_token().await,
        }
    }

    /// Returns until when somebody who signs in with this text as a token is signed in; `None` if the token does not
    /// expire.
    ///
    /// # Errors
    /// 401 if it is no valid token. If the store fails.
    pub(crate) async fn sign_in(&self, text: &str) -> Result<Option<DateTime<Utc>>, ApiError> {
        let Senders::Tokens(rules) = &self.senders else { return Ok(None) };
        let secret = TokenSecret::parse(text)
            .filter(TokenSecret::fits_cookie)
            .ok_or_else(|| ApiError::unauthorized().because("the text is no token that a cookie can hold"))?;
        rules.find(&secret).await.map(|(_, expires_at)| expires_at)
    }
}

/// Extracts the keyed hash of the address that a request came from: `None` if the host knows none. Routes with a
/// [`Principal`] have it there.
pub(crate) struct SenderOrigin(pub(crate) Option<String>);

impl<S: Sync> FromRequestParts<S> for SenderOrigin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(SenderOrigin(parts.extensions.get::<AccessControl>().and_then(|access| access.origin_of(parts))))
    }
}

impl TokenRules {
    /// Returns the holder of the token of this process, or as [`TokenRules::open_principal`].
    async fn process_or_open_principal(&self, parts: &Parts) -> Result<Option<Principal>, ApiError> {
        let Some((secret, role)) = &self.process_token else { return self.open_principal(parts).await };
        let is_holder = Credentials::read(&parts.headers)
            .is_ok_and(|it| !it.is_from_cookie && it.secret.hash() == secret.hash());
        match is_holder {
            true => {
                if let Some(allowed) = &self.open_to {
                    allowed.check(&named_hosts(parts)?)?;
                }
                Ok(Some(Principal::of_host_token(*role)))
            }
            false => self.open_principal(parts).await,
        }
    }

    /// Returns the principal of everybody on this machine, if there is no token. `None` if a token is required.
    ///
    /// # Errors
    /// If the request addresses the server by a foreign name.
    async fn open_principal(&self, parts: &Parts) -> Result<Option<Principal>, ApiError> {
        let Some(allowed) = &self.open_to else { return Ok(None) };
        let hosts = named_hosts(parts)?;
        if self.requires_token().await? {
            return Ok(None);
        }
        allowed.check(&hosts)?;
        Ok(Some(Principal::trusted("local", Role::Viewer)))
    }

    async fn authenticate(&self, parts: &Parts) -> Result<Principal, ApiError> {
        let credentials = Credentials::read(&parts.headers)?;
        if credentials.is_from_cookie && !parts.method.is_safe() && !is_same_origin(&parts.headers) {
            return Err(ApiError::forbidden().because("another page sent the request"));
        }
        self.find(&credentials.secret).await.map(|(principal, _)| principal)
    }

    async fn requires_token(&self) -> Result<bool, ApiError> {
        Ok(self.open_to.is_none() || self.host_token.is_some() || self.tokens.is_in_use().await?)
    }

    /// Returns the holder of a token, and when the token expires.
    async fn find(&self, secret: &TokenSecret) -> Result<(Principal, Option<DateTime<Utc>>), ApiError> {
        let host_token = self.is_host_token(secret).await;
        if let Ok(Some(role)) = host_token {
            return Ok((Principal::of_host_token(role), None));
        }
        match self.tokens.find(secret).await? {
            TokenLookup::Valid(token) => Ok((Principal::of_token(&token), token.expires_at)),
            TokenLookup::Expired(token) => {
                tracing::Span::current().record("principal", format!("token:{}", token.id));
                Err(ApiError::unauthorized().because("the token is expired"))
            }
            TokenLookup::Unknown => {
                host_token?;
                Err(ApiError::unauthorized().because("the token is unknown or was revoked"))
            }
        }
    }

    /// Returns the role of the host's token if this is it. Hashes are compared, so that the duration of the comparison
    /// reveals nothing about the token.
    async fn is_host_token(&self, secret: &TokenSecret) -> Result<Option<Role>, ApiError> {
        let Some((source, role)) = &self.host_token else { return Ok(None) };
        let expected = source().await.map_err(ApiError::internal)?;
        let is_equal = TokenSecret::parse(&expected).is_some_and(|it| it.hash() == secret.hash());
        Ok(is_equal.then_some(*role))
    }
}

/// Passes a request on if its sender may use the route, with the [`Principal`] as an extension unless the route is
/// public.
pub(crate) async fn check_access(
    State((access, ports)): State<(AccessControl, QueryPorts)>,
    request: Request,
    next: Next,
) -> Response {
    if routes::is_health_check(request.uri().path()) {
        return next.run(request).await;
    }
    let class = routes::class_of(&request);
    let (mut parts, body) = request.into_parts();
    let mut sender = None;
    match access.admit(&mut parts, class, &ports, &mut sender).await {
        Ok(principal) => {
            if let Some(principal) = principal {
                parts.extensions.insert(principal);
            }
            next.run(Request::from_parts(parts, body)).await
        }
        Err(error) if error.is_unauthorized() => match redirect_to_sign_in(&parts) {
            Some(mut redirect) => {
                // Opening the page without a token is no attempt.
                if has_cookie(&parts.headers) {
                    access.count_refusal(sender.as_deref(), class).await;
                }
                if let Some(refusal) = error.refusal() {
                    redirect.extensions_mut().insert(refusal);
                }
                redirect
            }
            None => access.refuse(error, sender.as_deref(), class).await,
        },
        Err(error) => access.refuse(error, sender.as_deref(), class).await,
    }
}
