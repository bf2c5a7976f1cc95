//! Accounts: whom GitHub keeps limits for. A token is one, and so is each installation of an app, whose
//! tokens are good for an hour and are renewed before that, or once GitHub refuses one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use gam_model::error_chain;
use octocrab::Octocrab;
use tokio::time::Instant;

use crate::client::Client;
use crate::error::Error;
use crate::jwt::{self, Signer};
use crate::limits::Limits;
use crate::rest::InstallationToken;

/// How long it may take until a connection is there.
const CONNECT: Duration = Duration::from_secs(10);
/// How long before its end a token is renewed.
const RENEW_BEFORE: Duration = Duration::from_secs(300);

/// Where GitHub is, and how it is reached.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    pub(crate) api_url: String,
    pub(crate) graphql_base: String,
    http: reqwest::Client,
}

impl Host {
    /// The host with that REST address. Proxies are those of the environment (`HTTPS_PROXY`, `NO_PROXY`).
    /// No redirect is followed here: where it leads has to be looked at, for the token's sake.
    ///
    /// # Errors
    /// Where no HTTPS client can be made.
    pub(crate) fn new(api_url: String) -> Result<Self, Error> {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .build()
            .map_err(|error| {
                Error::Invalid(format!(
                    "no HTTPS client can be made ({}): are the system's CA certificates installed (package \
                     ca-certificates), and is HTTPS_PROXY an address?",
                    error_chain(&error)
                ))
            })?;
        // Enterprise Server serves REST at /api/v3 and GraphQL at /api/graphql.
        let graphql_base = api_url.strip_suffix("/v3").unwrap_or(&api_url).to_owned();
        Ok(Host { api_url, graphql_base, http })
    }
}

/// Ready to call, with a token.
pub(crate) struct Session {
    pub(crate) rest: Octocrab,
    pub(crate) graphql: Octocrab,
    good_until: Option<Instant>,
}

impl Session {
    fn new(host: &Host, token: &str, lifetime: Option<Duration>) -> Result<Self, Error> {
        let octocrab = |base: &str| {
            let invalid = |why: octocrab::Error| {
                Error::Invalid(format!(
                    "GITHUB_API_URL {base:?} is no usable address ({why}): give https://HOST/api/v3"
                ))
            };
            // As a personal token it is sent to the base's host and to no other.
            Octocrab::builder()
                .base_uri(base)
                .map_err(invalid)?
                .personal_token(token.to_owned())
                .build_with_reqwest(host.http.clone())
                .map_err(invalid)
        };
        Ok(Session {
            rest: octocrab(&host.api_url)?,
            graphql: octocrab(&host.graphql_base)?,
            good_until: lifetime.map(|lifetime| Instant::now() + lifetime.saturating_sub(RENEW_BEFORE)),
        })
    }

    fn is_good(&self) -> bool {
        self.good_until.is_none_or(|until| Instant::now() < until)
    }
}

/// Where an account's tokens come from.
pub(crate) enum Source {
    /// It is given, once and for all.
    Token(String),
    /// An app signs what it says of itself.
    App { signer: Box<Signer>, now: fn() -> DateTime<Utc> },
    /// An app's installation: the app asks for its tokens.
    Installation { app: Client, id: i64 },
}

/// Whom GitHub keeps limits for.
pub(crate) struct Account {
    host: Host,
    source: Source,
    pub(crate) limits: Limits,
    session: Mutex<Option<Arc<Session>>>,
    renewing: tokio::sync::Mutex<()>,
    refused: AtomicBool,
    /// How far GitHub's clock is ahead of this machine's, in seconds, where it was found to matter.
    ahead: Mutex<TimeDelta>,
}

impl Account {
    pub(crate) fn new(host: &Host, source: Source, limits: Limits) -> Self {
        Account {
            host: host.clone(),
            source,
            limits,
            session: Mutex::default(),
            renewing: tokio::sync::Mutex::default(),
            refused: AtomicBool::new(false),
            ahead: Mutex::new(TimeDelta::zero()),
        }
    }

    fn good_session(&self) -> Option<Arc<Session>> {
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        session.clone().filter(|session| session.is_good())
    }

    /// A session whose token is good; tokens are renewed by one call at a time.
    pub(crate) async fn session(&self) -> Result<Arc<Session>, Error> {
        if let Some(session) = self.good_session() {
            return Ok(session);
        }
        let _alone = self.renewing.lock().await;
        if let Some(session) = self.good_session() {
            return Ok(session);
        }
        let session = Arc::new(self.renew().await?);
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = Some(session.clone());
        Ok(session)
    }

    async fn renew(&self) -> Result<Session, Error> {
        match &self.source {
            Source::Token(token) => Session::new(&self.host, token, None),
            Source::App { signer, now } => {
                let ahead = *self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
                let token = signer.sign(now() + ahead)?;
                // Renewed in good time too: signing costs nothing.
                Session::new(&self.host, &token, jwt::AFTER.to_std().ok())
            }
            Source::Installation { app, id } => {
                // The app's own calls have accounts too, so the way leads back here.
                let (InstallationToken { token, expires_at }, now) =
                    Box::pin(app.installation_token(*id)).await?;
                let lifetime = now.and_then(|now| (expires_at - now).to_std().ok());
                Session::new(&self.host, &token, lifetime.or(Some(Duration::from_secs(3600))))
            }
        }
    }

    /// GitHub has refused the session's token; whether another may fare better.
    pub(crate) fn refuse(&self, session: &Arc<Session>, date: Option<DateTime<Utc>>) -> bool {
        match &self.source {
            Source::Token(_) => {
                self.refused.store(true, Ordering::Relaxed);
                return false;
            }
            // What a machine with a wrong clock signs is refused: from now on by GitHub's clock.
            Source::App { now, .. } => {
                let off = date.map_or(TimeDelta::zero(), |date| date - now());
                *self.ahead.lock().unwrap_or_else(PoisonError::into_inner) = off;
            }
            Source::Installation { .. } => {}
        }
        let mut held = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        if held.as_ref().is_some_and(|held| Arc::ptr_eq(held, session)) {
            *held = None;
        }
        true
    }

    /// Whether it is that installation of an app.
    pub(crate) fn is_of(&self, installation: i64) -> bool {
        matches!(&self.source, Source::Installation { id, .. } if *id == installation)
    }

    /// Whether GitHub has refused its token for good.
    pub(crate) fn is_refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }
}
