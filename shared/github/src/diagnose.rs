//! What GitHub reports about the token, the app and the rate limits.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use crate::client::Client;
use crate::error::Error;
use crate::permissions::missing_app_permissions;
use crate::rest::{
    APP, App, INSTALLATIONS, Installation, RATE_LIMIT, RateLimitResponse, ResourceQuota, USER, User,
};

/// How much of a rate limit is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// Requests or points an hour.
    pub limit: u64,
    /// Requests or points left.
    pub remaining: u64,
    /// When the limit resets, UTC.
    pub reset: DateTime<Utc>,
}

/// What GitHub reports about the token, the app and the rate limits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnosis {
    /// The login of the token's owner; `None` for an app, or for a token that an app was issued.
    pub login: Option<String>,
    /// Whether the owner is unknown because a rate limit is used up.
    pub is_limited: bool,
    /// The scopes of a classic token, comma-separated. Other tokens have permissions instead.
    pub scopes: Option<String>,
    /// The app; `None` if a token signs in.
    pub app: Option<AppDiagnosis>,
    /// The rate limit for REST; `None` if the server has none.
    pub rest: Option<Quota>,
    /// The rate limit for GraphQL; `None` if the server has none.
    pub graphql: Option<Quota>,
    /// The time on GitHub's clock, UTC.
    pub server_time: Option<DateTime<Utc>>,
}

/// What GitHub reports about an app.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppDiagnosis {
    /// The app's display name.
    pub name: String,
    /// The logins of the accounts in which the app is installed, each with the permissions that it lacks
    /// there, by GitHub's names.
    pub installed_in: Vec<(String, BTreeSet<&'static str>)>,
}

impl Client {
    /// Diagnoses the app. It has no single rate limit: each installation has its own.
    async fn diagnose_app(&self) -> Result<Diagnosis, Error> {
        let (App { name, .. }, response) = self.get::<App>("the app", APP.path).await?;
        let path = format!("{}?per_page=100", INSTALLATIONS.path);
        let (installations, _) = self.get::<Vec<Installation>>("the app's installations", &path).await?;
        let installed_in = installations.into_iter().filter_map(|installation| {
            let missing = missing_app_permissions(&installation.permissions);
            Some((installation.account?.login?, missing))
        });
        let app = Some(AppDiagnosis { name, installed_in: installed_in.collect() });
        Ok(Diagnosis { app, server_time: response.rate_limit.date, ..Diagnosis::default() })
    }

    /// Requests what GitHub knows about the token, or the app. The rate limits are read first: they are free
    /// of charge, while GitHub does not name the token's owner once a limit is used up.
    ///
    /// # Errors
    /// If GitHub refuses the token or cannot be read.
    pub async fn diagnose(&self) -> Result<Diagnosis, Error> {
        if self.is_app() {
            return self.diagnose_app().await;
        }
        let limits = self.get::<RateLimitResponse>("the rate limits", RATE_LIMIT.path).await;
        let (limits, limits_response) = match limits {
            Ok((limits, response)) => (limits, Some(response)),
            // Enterprise Server responds with 404 if its rate limits are off.
            Err(Error::NotFound(_)) => (RateLimitResponse::default(), None),
            Err(error) => return Err(error),
        };
        let (rest, graphql) = (quota(limits.resources.core), quota(limits.resources.graphql));
        let mut diagnosis = Diagnosis {
            scopes: limits_response.as_ref().and_then(|response| response.scopes.clone()),
            server_time: limits_response.and_then(|response| response.rate_limit.date),
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
                diagnosis.server_time = response.rate_limit.date.or(diagnosis.server_time);
            }
            // A token that an app was issued belongs to no user.
            Err(Error::Forbidden(_)) => {}
            Err(Error::Limited { .. }) => diagnosis.is_limited = true,
            Err(Error::NotFound(_)) => return Err(self.no_api_error(self.api_url())),
            Err(error) => return Err(error),
        }
        Ok(diagnosis)
    }
}

/// Converts a rate limit; `None` if the server has none.
fn quota(resource: Option<ResourceQuota>) -> Option<Quota> {
    let ResourceQuota { limit, remaining, reset } = resource.filter(|resource| resource.limit > 0)?;
    Some(Quota { limit, remaining, reset: DateTime::from_timestamp(reset, 0)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_zero_means_no_limit() {
        let quota_of = |limit| quota(Some(ResourceQuota { limit, remaining: 0, reset: 1_700_000_000 }));
        assert_eq!(quota_of(5000).map(|quota| (quota.limit, quota.remaining)), Some((5000, 0)));
        assert_eq!((quota_of(0), quota(None)), (None, None));
    }
}
