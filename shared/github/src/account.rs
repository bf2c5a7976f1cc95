//! Accounts. GitHub keeps rate limits for each of them: a token, or an installation of an app.
//!
//! The tokens of an installation are valid for an hour. They are renewed before they expire, or once GitHub
//! refuses one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::error::Error;
use crate::jwt::{self, AppTokenSigner};
use crate::meter::MeterStack;
use crate::rate_limit::RateLimiter;
use crate::rest::InstallationToken;
use crate::session::{ApiHost, TokenSession};

/// The lifetime of an installation token if GitHub's response does not show it.
const DEFAULT_TOKEN_LIFETIME: Duration = Duration::from_secs(3600);

/// A token of an installation, and when GitHub issued it, by its own clock, UTC.
pub(crate) type IssuedToken = (InstallationToken, Option<DateTime<Utc>>);

/// Issues tokens of an app's installations.
pub(crate) trait TokenIssuer {
    /// Requests a token of an installation, and records the cost with `meters`.
    ///
    /// # Errors
    /// If GitHub issues no token.
    async fn issue_token(&self, installation_id: i64, meters: &MeterStack) -> Result<IssuedToken, Error>;
}

/// Where an account's tokens come from.
pub(crate) enum TokenSource<I> {
    /// A fixed personal token.
    Personal(String),
    /// An app that signs its own tokens.
    App { signer: Box<AppTokenSigner>, now: fn() -> DateTime<Utc> },
    /// An installation of an app, whose tokens the app requests from GitHub.
    Installation { app: I, id: i64 },
}

/// An account: what GitHub keeps rate limits for.
pub(crate) struct Account<I> {
    host: ApiHost,
    source: TokenSource<I>,
    pub(crate) limiter: RateLimiter,
    session: Mutex<Option<Arc<TokenSession>>>,
    renewal: tokio::sync::Mutex<()>,
    is_refused: AtomicBool,
    /// How far GitHub's clock is ahead of this machine's. Zero until GitHub refuses a token of an app.
    clock_offset: Mutex<TimeDelta>,
}

impl<I: TokenIssuer> Account<I> {
    pub(crate) fn new(host: &ApiHost, source: TokenSource<I>, limiter: RateLimiter) -> Self {
        Account {
            host: host.clone(),
            source,
            limiter,
            session: Mutex::default(),
            renewal: tokio::sync::Mutex::default(),
            is_refused: AtomicBool::new(false),
            clock_offset: Mutex::new(TimeDelta::zero()),
        }
    }

    fn valid_session(&self) -> Option<Arc<TokenSession>> {
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        session.clone().filter(|session| session.is_valid())
    }

    /// Returns a session with a valid token. If several calls need a new token, only one requests it. `meters`
    /// record the cost of that.
    ///
    /// # Errors
    /// If GitHub issues no token.
    pub(crate) async fn session(&self, meters: &MeterStack) -> Result<Arc<TokenSession>, Error> {
        if let Some(session) = self.valid_session() {
            return Ok(session);
        }
        let _renewal = self.renewal.lock().await;
        if let Some(session) = self.valid_session() {
            return Ok(session);
        }
        let session = Arc::new(self.new_session(meters).await?);
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = Some(session.clone());
        Ok(session)
    }

    async fn new_session(&self, meters: &MeterStack) -> Result<TokenSession, Error> {
        match &self.source {
            TokenSource::Personal(token) => TokenSession::new(&self.host, token, None),
            TokenSource::App { signer, now } => {
                let offset = *self.clock_offset.lock().unwrap_or_else(PoisonError::into_inner);
                let token = signer.sign(now() + offset)?;
                // Renewed early as well: signing costs nothing.
                TokenSession::new(&self.host, &token, jwt::TOKEN_LIFETIME.to_std().ok())
            }
            TokenSource::Installation { app, id } => {
                // Boxed because the app sends the request through an account of its own.
                let (InstallationToken { token, expires_at }, issued_at) =
                    Box::pin(app.issue_token(*id, meters)).await?;
                let lifetime = issued_at.and_then(|issued_at| (expires_at - issued_at).to_std().ok());
                TokenSession::new(&self.host, &token, lifetime.or(Some(DEFAULT_TOKEN_LIFETIME)))
            }
        }
    }

    /// Records that GitHub refused the session's token; `date` is GitHub's clock. Returns whether the account
    /// can get another token.
    pub(crate) fn refuse(&self, session: &Arc<TokenSession>, date: Option<DateTime<Utc>>) -> bool {
        match &self.source {
            TokenSource::Personal(_) => {
                self.is_refused.store(true, Ordering::Relaxed);
                return false;
            }
            // GitHub refuses tokens signed with a wrong clock, so the next ones follow GitHub's clock.
            TokenSource::App { now, .. } => {
                let offset = date.map_or(TimeDelta::zero(), |date| date - now());
                *self.clock_offset.lock().unwrap_or_else(PoisonError::into_inner) = offset;
            }
            TokenSource::Installation { .. } => {}
        }
        let mut current = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, session)) {
            *current = None;
        }
        true
    }

    /// Whether this is the installation with that id.
    pub(crate) fn is_installation(&self, installation_id: i64) -> bool {
        matches!(&self.source, TokenSource::Installation { id, .. } if *id == installation_id)
    }

    /// Whether GitHub has refused the account's token for good.
    pub(crate) fn is_refused(&self) -> bool {
        self.is_refused.load(Ordering::Relaxed)
    }
}
