//! What GitHub says of the token and of itself.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use crate::client::Client;
use crate::error::Error;
use crate::permissions::missing_of_app;
use crate::rest::{APP, App, Bucket, INSTALLATIONS, Installation, RateLimit, User};

/// How much of a limit is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// Requests or points an hour.
    pub limit: u64,
    /// How many are left.
    pub remaining: u64,
    /// When the limit is reset, UTC.
    pub reset: DateTime<Utc>,
}

/// What GitHub says of the token and of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnosis {
    /// Whose token it is; an app's installation token is nobody's.
    pub login: Option<String>,
    /// The scopes of a classic token; other tokens have permissions instead.
    pub scopes: Option<String>,
    /// The app, where one signs in.
    pub app: Option<AppDiagnosis>,
    /// What is left for REST; `None` where the server has no limits.
    pub rest: Option<Quota>,
    /// What is left for GraphQL; `None` where the server has no limits.
    pub graphql: Option<Quota>,
    /// GitHub's clock, UTC.
    pub server_time: Option<DateTime<Utc>>,
}

/// What GitHub says of an app.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppDiagnosis {
    /// Its name.
    pub name: String,
    /// The accounts it is installed in, each with the permissions that are missing there, in GitHub's words.
    pub installed_in: Vec<(String, BTreeSet<&'static str>)>,
}

impl Client {
    /// Asks GitHub about the app that signs in: each of its installations has limits of its own.
    async fn diagnose_app(&self) -> Result<Diagnosis, Error> {
        let (App { name }, response) = self.get::<App>("the app", APP.path).await?;
        let path = format!("{}?per_page=100", INSTALLATIONS.path);
        let (installations, _) = self.get::<Vec<Installation>>("the app's installations", &path).await?;
        let installed_in = installations.into_iter().filter_map(|installation| {
            let missing = missing_of_app(&installation.permissions);
            Some((installation.account?.login?, missing))
        });
        let app = Some(AppDiagnosis { name, installed_in: installed_in.collect() });
        Ok(Diagnosis { app, server_time: response.told.date, ..Diagnosis::default() })
    }

    /// Asks GitHub about the token and its limits.
    ///
    /// # Errors
    /// Where the token is refused or GitHub does not answer.
    pub async fn diagnose(&self) -> Result<Diagnosis, Error> {
        if self.is_app() {
            return self.diagnose_app().await;
        }
        let (login, scopes, date) = match self.get::<User>("the token's owner", "/user").await {
            Ok((user, response)) => (Some(user.login), response.scopes, response.told.date),
            // An app's installation token belongs to no user.
            Err(Error::Forbidden(_)) => (None, None, None),
            Err(error) => return Err(error),
        };
        let limits = match self.get::<RateLimit>("the limits", "/rate_limit").await {
            Ok((limits, _)) => limits,
            // Enterprise Server answers so where limits are off.
            Err(Error::NotFound(_)) => RateLimit::default(),
            Err(error) => return Err(error),
        };
        let quota = |bucket: Option<Bucket>| {
            bucket.filter(|bucket| bucket.limit > 0).and_then(|bucket| {
                let reset = DateTime::from_timestamp(bucket.reset, 0)?;
                Some(Quota { limit: bucket.limit, remaining: bucket.remaining, reset })
            })
        };
        Ok(Diagnosis {
            login,
            scopes,
            app: None,
            rest: quota(limits.resources.core),
            graphql: quota(limits.resources.graphql),
            server_time: date,
        })
    }
}
