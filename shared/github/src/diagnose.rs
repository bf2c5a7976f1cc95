//! What GitHub says of the token and of itself.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use crate::client::Client;
use crate::error::Error;
use crate::permissions::missing_of_app;
use crate::rest::{APP, App, Bucket, INSTALLATIONS, Installation, RATE_LIMIT, RateLimit, USER, User};

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
    /// Whether GitHub did not say whose token it is, because a limit is used up.
    pub is_limited: bool,
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

    /// Asks GitHub about the token and its limits. The limits come first: to ask for them is free, while
    /// whose token it is is not told once they are used up.
    ///
    /// # Errors
    /// Where the token is refused or GitHub does not answer.
    pub async fn diagnose(&self) -> Result<Diagnosis, Error> {
        if self.is_app() {
            return self.diagnose_app().await;
        }
        let (limits, of_limits) = match self.get::<RateLimit>("the limits", RATE_LIMIT.path).await {
            Ok((limits, response)) => (limits, Some(response)),
            // Enterprise Server answers so where limits are off.
            Err(Error::NotFound(_)) => (RateLimit::default(), None),
            Err(error) => return Err(error),
        };
        let (rest, graphql) = (quota(limits.resources.core), quota(limits.resources.graphql));
        let mut diagnosis = Diagnosis {
            scopes: of_limits.as_ref().and_then(|response| response.scopes.clone()),
            server_time: of_limits.and_then(|response| response.told.date),
            rest,
            graphql,
            ..Diagnosis::default()
        };
        if diagnosis.rest.as_ref().is_some_and(|rest| rest.remaining == 0) {
            diagnosis.is_limited = true;
            return Ok(diagnosis);
        }
        match self.get::<User>("the token's owner", USER.path).await {
            Ok((user, response)) => {
                diagnosis.login = Some(user.login);
                diagnosis.scopes = response.scopes;
                diagnosis.server_time = response.told.date.or(diagnosis.server_time);
            }
            // An app's installation token belongs to no user.
            Err(Error::Forbidden(_)) => {}
            Err(Error::Limited { .. }) => diagnosis.is_limited = true,
            Err(Error::NotFound(_)) => return Err(self.no_api(self.url())),
            Err(error) => return Err(error),
        }
        Ok(diagnosis)
    }
}

/// A limit as it is told; `None` where there is none.
fn quota(bucket: Option<Bucket>) -> Option<Quota> {
    let bucket = bucket.filter(|bucket| bucket.limit > 0)?;
    let reset = DateTime::from_timestamp(bucket.reset, 0)?;
    Some(Quota { limit: bucket.limit, remaining: bucket.remaining, reset })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_nothing_is_none() {
        let of = |limit| quota(Some(Bucket { limit, remaining: 0, reset: 1_700_000_000 }));
        assert_eq!(of(5000).map(|quota| (quota.limit, quota.remaining)), Some((5000, 0)));
        assert_eq!((of(0), quota(None)), (None, None));
    }
}
