//! Creates GitHub clients with the credentials in a secret: one token, several tokens separated by commas, or a
//! GitHub App as JSON with `app_id` and `private_key`.

use std::time::Duration;

use anyhow::bail;
use gam_aws::secret::{parse_field, parse_token};
use gam_aws::{CachedSecret, SdkConfig, SecretError};
use gam_github::{AppCredentials, Client, ClientSettings, Credentials};
use gam_model::{Clock, SystemClock};
use gam_work_ports::GitHubWriter;
use tokio::sync::Mutex;

use crate::environment;

/// The longest wait for GitHub's limits within an invocation. Longer waits happen in the queue.
const MAX_WAIT: Duration = Duration::from_secs(10);
/// Number of concurrent requests per invocation. At most two invocations run at the same time.
const DEFAULT_PARALLELISM: u32 = 5;

/// Provides a GitHub client with the current credentials.
pub struct ClientProvider {
    secret: CachedSecret,
    settings: ClientSettings,
    /// The text of the secret that was read last, and its client.
    client: Mutex<Option<(String, Client)>>,
}

/// Why no client could be created.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The secret cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The credentials or GitHub's address are invalid.
    #[error(transparent)]
    GitHub(#[from] gam_github::Error),
}

impl ClientError {
    /// Returns whether trying again may help.
    pub fn is_transient(&self) -> bool {
        matches!(self, ClientError::Secret(SecretError::Unavailable { .. }))
    }
}

impl ClientProvider {
    /// Reads the environment. Sends no request.
    ///
    /// # Errors
    /// If a variable is missing or invalid.
    pub fn load(config: &SdkConfig) -> anyhow::Result<Self> {
        let budget = environment::number("GITHUB_BUDGET")?;
        if let Some(percent) = budget.filter(|percent| !(1..=100).contains(percent)) {
            bail!("invalid GITHUB_BUDGET {percent}: expected 1 to 100, in percent");
        }
        let parallelism = environment::number("GITHUB_PARALLELISM")?.unwrap_or(DEFAULT_PARALLELISM);
        let settings = ClientSettings {
            api_url: environment::required("GITHUB_API_URL")?,
            // Replaced by those in the secret.
            credentials: Credentials::Tokens(Vec::new()),
            forks: false,
            max_wait: MAX_WAIT,
            parallelism: parallelism.max(1) as usize,
            budget: budget.filter(|percent| *percent < 100).map(|percent| f64::from(percent) / 100.0),
        };
        Self::with_settings(config, "GITHUB_TOKEN_SECRET", settings)
    }

    /// Reads the environment for the credential that may write to GitHub. Sends no request.
    ///
    /// # Errors
    /// If a variable is missing.
    pub fn load_for_writing(config: &SdkConfig) -> anyhow::Result<Self> {
        let api_url = environment::required("GITHUB_API_URL")?;
        // The credentials are replaced by those in the secret.
        let settings = GitHubWriter::client_settings(api_url, Credentials::Tokens(Vec::new()));
        Self::with_settings(config, "GITHUB_WRITE_SECRET", settings)
    }

    fn with_settings(
        config: &SdkConfig,
        secret_variable: &str,
        settings: ClientSettings,
    ) -> anyhow::Result<Self> {
        let secret = CachedSecret::new(config, &environment::required(secret_variable)?);
        Ok(ClientProvider { secret, settings, client: Mutex::default() })
    }

    /// Returns the number of requests that an invocation sends concurrently at most.
    pub fn parallelism(&self) -> usize {
        self.settings.parallelism
    }

    /// Returns a client whose credentials were read at most five minutes ago.
    ///
    /// # Errors
    /// If the secret cannot be read, or the credentials are invalid.
    pub async fn client(&self) -> Result<Client, ClientError> {
        let secret = self.secret.get().await?;
        self.client_for(secret).await
    }

    /// Reads the secret again and returns a client for it, or `None` if the credentials have not changed. Call this
    /// if GitHub rejects the credentials.
    ///
    /// # Errors
    /// If the secret cannot be read, or the credentials are invalid.
    pub async fn refresh(&self) -> Result<Option<Client>, ClientError> {
        let rejected = self.client.lock().await.as_ref().map(|(secret, _)| secret.clone());
        let secret = self.secret.refresh().await?;
        if rejected.as_ref() == Some(&secret) {
            return Ok(None);
        }
        Ok(Some(self.client_for(secret).await?))
    }

    async fn client_for(&self, secret: String) -> Result<Client, ClientError> {
        let mut current = self.client.lock().await;
        if let Some((current_secret, client)) = &*current
            && *current_secret == secret
        {
            return Ok(client.clone());
        }
        let client =
            Client::new(ClientSettings { credentials: parse_credentials(&secret), ..self.settings.clone() })?;
        *current = Some((secret, client.clone()));
        Ok(client)
    }
}

/// Parses the text of the secret.
fn parse_credentials(secret: &str) -> Credentials {
    let app = parse_field(secret, "app_id").zip(parse_field(secret, "private_key"));
    match app {
        Some((id, private_key_pem)) => {
            Credentials::App(AppCredentials { id, private_key_pem, now: || SystemClock.now() })
        }
        None => Credentials::Tokens(
            parse_token(secret)
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
        let tokens = |secret: &str| match parse_credentials(secret) {
            Credentials::Tokens(tokens) => tokens,
            Credentials::App(app) => panic!("expected tokens: {app:?}"),
        };
        assert_eq!(tokens("ghp_a"), ["ghp_a"]);
        assert_eq!(tokens("ghp_a, ghp_b,"), ["ghp_a", "ghp_b"]);
        assert_eq!(tokens("{\"token\": \"ghp_a\"}"), ["ghp_a"]);
        let app = parse_credentials("{\"app_id\": 12, \"private_key\": \"-----BEGIN\\n\"}");
        assert!(matches!(app, Credentials::App(AppCredentials { id, .. }) if id == "12"));
    }
}
