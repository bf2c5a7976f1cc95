//! Secrets: read once, kept, and read again when they are refused.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::failure::Failure;

/// How long a secret is used before it is read again: how long a rotation may take to reach a warm function.
const KEPT: Duration = Duration::from_secs(300);

/// What stands before the name of a parameter.
const PARAMETER: &str = "ssm:";

/// Why a secret could not be read. The text names the secret and the mend, never its content.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Trying again may help.
    #[error("the secret {name} cannot be read now: {why}")]
    Unavailable {
        /// The secret's name.
        name: String,
        /// What AWS said.
        why: String,
    },
    /// It is not there, or this role may not read it.
    #[error("the secret {name} cannot be read ({why}): create it, and grant this role access to it")]
    Missing {
        /// The secret's name.
        name: String,
        /// What AWS said.
        why: String,
    },
    /// It holds nothing that can be used.
    #[error(
        "the secret {name} holds no text: put the token into it, as plain text or as {{\"token\": \"...\"}}"
    )]
    Empty {
        /// The secret's name.
        name: String,
    },
}

#[derive(Clone)]
enum Source {
    Manager(aws_sdk_secretsmanager::Client),
    Parameters(aws_sdk_ssm::Client),
}

/// A secret in Secrets Manager, or a parameter of Systems Manager (`ssm:/name`).
#[derive(Clone)]
pub struct Secret {
    source: Source,
    name: String,
    kept: Arc<Mutex<Option<(String, Instant)>>>,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Secret {
    /// The secret of that name or ARN; the parameter, where the name begins with `ssm:`. It sends nothing.
    pub fn new(config: &SdkConfig, name: &str) -> Self {
        let (source, name) = match name.strip_prefix(PARAMETER) {
            Some(parameter) => (Source::Parameters(aws_sdk_ssm::Client::new(config)), parameter),
            None => (Source::Manager(aws_sdk_secretsmanager::Client::new(config)), name),
        };
        Secret { source, name: name.to_owned(), kept: Arc::default() }
    }

    /// The secret's text, read a few minutes ago at most.
    ///
    /// # Errors
    /// Where it cannot be read, or is empty.
    pub async fn get(&self) -> Result<String, SecretError> {
        let mut kept = self.kept.lock().await;
        if let Some((text, at)) = &*kept
            && at.elapsed() < KEPT
        {
            return Ok(text.clone());
        }
        let text = self.fetch().await?;
        *kept = Some((text.clone(), Instant::now()));
        Ok(text)
    }

    /// The secret's text, read now: what was kept has been refused.
    ///
    /// # Errors
    /// As [`Secret::get`].
    pub async fn get_anew(&self) -> Result<String, SecretError> {
        *self.kept.lock().await = None;
        self.get().await
    }

    async fn fetch(&self) -> Result<String, SecretError> {
        let found = match &self.source {
            Source::Manager(client) => match client.get_secret_value().secret_id(&self.name).send().await {
                Ok(found) => found.secret_string,
                Err(error) => return Err(self.error(&Failure::of(&error))),
            },
            Source::Parameters(client) => {
                match client.get_parameter().name(&self.name).with_decryption(true).send().await {
                    Ok(found) => found.parameter.and_then(|parameter| parameter.value),
                    Err(error) => return Err(self.error(&Failure::of(&error))),
                }
            }
        };
        let text = found.unwrap_or_default().trim().to_owned();
        if text.is_empty() { Err(SecretError::Empty { name: self.name.clone() }) } else { Ok(text) }
    }

    fn error(&self, failure: &Failure) -> SecretError {
        let (name, why) = (self.name.clone(), failure.to_string());
        let is_missing = matches!(
            failure.code.as_str(),
            "ResourceNotFoundException"
                | "ParameterNotFound"
                | "InvalidRequestException"
                | "DecryptionFailure"
        );
        if is_missing || failure.is_refusal() {
            SecretError::Missing { name, why }
        } else {
            SecretError::Unavailable { name, why }
        }
    }
}

/// A field of a secret: the console writes names and values as JSON where it is not told otherwise.
pub fn field(secret: &str, name: &str) -> Option<String> {
    let fields = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(secret).ok()?;
    let value = fields.get(name)?;
    let text = value.as_str().map_or_else(|| value.to_string(), |text| text.trim().to_owned());
    (!text.is_empty()).then_some(text)
}

/// The token that a secret holds: its field `token`, or all of it.
pub fn token(secret: &str) -> String {
    field(secret, "token").unwrap_or_else(|| secret.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_plain_text_or_the_consoles_json() {
        assert_eq!(token(" ghp_x\n"), "ghp_x");
        assert_eq!(token("{\"token\": \" ghp_x \"}"), "ghp_x");
        assert_eq!(token("{not json"), "{not json");
        assert_eq!(field("{\"app_id\": 12}", "app_id").as_deref(), Some("12"));
        assert_eq!(field("{\"app_id\": \"\"}", "app_id"), None);
        assert_eq!(field("ghp_x", "token"), None);
    }
}
