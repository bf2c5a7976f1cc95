//! Signing in to GitHub with what is kept as a secret: a token, several of them with commas in between,
//! or a GitHub App as JSON with `app_id` and `private_key`.

use std::time::Duration;

use anyhow::bail;
use gam_aws::secret::{field, token};
use gam_aws::{SdkConfig, Secret, SecretError};
use gam_functions::environment;
use gam_github::{AppCredentials, Client, ClientSettings, Credentials};
use gam_model::{Clock, SystemClock};
use tokio::sync::Mutex;

/// A function does not wait for GitHub's limits: its order does, in the queue.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Two invocations at a time, at most, share what GitHub likes to see in flight.
const PARALLELISM: u32 = 5;

/// The client, and where its token comes from.
pub(crate) struct SignIn {
    secret: Secret,
    settings: ClientSettings,
    /// The client of the token that was read last.
    client: Mutex<Option<(String, Client)>>,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SignInError {
    /// The token cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// It, or GitHub's address, cannot be used.
    #[error(transparent)]
    GitHub(#[from] gam_github::Error),
}

impl SignInError {
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self, SignInError::Secret(SecretError::Unavailable { .. }))
    }
}

impl SignIn {
    /// Reads the environment. It sends nothing.
    ///
    /// # Errors
    /// Where a variable is missing or cannot be used.
    pub(crate) fn load(config: &SdkConfig) -> anyhow::Result<Self> {
        let budget = environment::number("GITHUB_BUDGET")?;
        if let Some(percent) = budget.filter(|percent| !(1..=100).contains(percent)) {
            bail!("GITHUB_BUDGET {percent} is no share: give 1 to 100, in percent");
        }
        let parallelism = environment::number("GITHUB_PARALLELISM")?.unwrap_or(PARALLELISM);
        let settings = ClientSettings {
            api_url: environment::required("GITHUB_API_URL")?,
            // Those of the secret take their place.
            credentials: Credentials::Tokens(Vec::new()),
            forks: false,
            max_wait: LONGEST_WAIT,
            parallelism: parallelism.max(1) as usize,
            budget: budget.filter(|percent| *percent < 100).map(|percent| f64::from(percent) / 100.0),
        };
        let secret = Secret::new(config, &environment::required("GITHUB_TOKEN_SECRET")?);
        Ok(SignIn { secret, settings, client: Mutex::default() })
    }

    /// How many requests may be in flight.
    pub(crate) fn parallelism(&self) -> usize {
        self.settings.parallelism
    }

    /// The client of the token as it was read a few minutes ago at most.
    ///
    /// # Errors
    /// Where the token cannot be read.
    pub(crate) async fn client(&self) -> Result<Client, SignInError> {
        let token = self.secret.get().await?;
        self.client_of(token).await
    }

    /// The client of the token as it is now, where that is another one than GitHub has refused.
    ///
    /// # Errors
    /// Where the token cannot be read.
    pub(crate) async fn client_anew(&self) -> Result<Option<Client>, SignInError> {
        let refused = self.client.lock().await.as_ref().map(|(token, _)| token.clone());
        let token = self.secret.get_anew().await?;
        if refused.as_ref() == Some(&token) {
            return Ok(None);
        }
        Ok(Some(self.client_of(token).await?))
    }

    async fn client_of(&self, token: String) -> Result<Client, SignInError> {
        let mut known = self.client.lock().await;
        if let Some((of, client)) = &*known
            && *of == token
        {
            return Ok(client.clone());
        }
        let client =
            Client::new(ClientSettings { credentials: credentials(&token), ..self.settings.clone() })?;
        *known = Some((token, client.clone()));
        Ok(client)
    }
}

/// Who signs in, by the text of the secret.
fn credentials(secret: &str) -> Credentials {
    let app = field(secret, "app_id").zip(field(secret, "private_key"));
    match app {
        Some((id, private_key_pem)) => {
            Credentials::App(AppCredentials { id, private_key_pem, now: || SystemClock.now() })
        }
        None => Credentials::Tokens(
            token(secret)
                .split(',')
                .map(|token| token.trim().to_owned())
                .filter(|token| !token.is_empty())
                .collect(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_holds_tokens_or_an_app() {
        let tokens = |secret: &str| match credentials(secret) {
            Credentials::Tokens(tokens) => tokens,
            Credentials::App(app) => panic!("no app: {app:?}"),
        };
        assert_eq!(tokens("ghp_a"), ["ghp_a"]);
        assert_eq!(tokens("ghp_a, ghp_b,"), ["ghp_a", "ghp_b"]);
        assert_eq!(tokens("{\"token\": \"ghp_a\"}"), ["ghp_a"]);
        let app = credentials("{\"app_id\": 12, \"private_key\": \"-----BEGIN\\n\"}");
        assert!(matches!(app, Credentials::App(AppCredentials { id, .. }) if id == "12"));
    }
}
